//! `sweep data remove`: removes a data set that was added.

use std::{fs, path::PathBuf};

use clap::Args;
use schema::Registration;

use super::{DEFAULT_ROOT, named};
use crate::{
    cli::{Exit, folder::folder, tell},
    ledger::absolute,
};

/// Remove a data set that was added
///
/// Removes its folder below the data root. Folders that were linked to stay where they are, and so do results: tables are
/// made from them as before.
#[derive(Debug, Args)]
pub(in crate::cli) struct Remove {
    /// Name of a data set, as `sweep data list` shows it
    name: String,
    /// Folder of data sets
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = DEFAULT_ROOT)]
    root: PathBuf,
}

impl Remove {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let home = absolute(&self.root).join(named(&self.name)?.folder());
        if !home.join(Registration::FILE).is_file() {
            return Err(Exit::mistake(format!(
                "there is no data set `{}` in `{}` that `sweep data add` made; nothing is removed",
                self.name,
                self.root.display()
            )));
        }
        let failed = |error| Exit::stuck(format!("failed to remove `{}`: {error}", home.display()));
        // The registration first: what is left after an interruption is no data set.
        fs::remove_file(home.join(Registration::FILE)).map_err(failed)?;
        fs::remove_dir_all(&home).map_err(failed)?;
        tell(&format!("removed `{}`", home.display()));
        Ok(())
    }
}
