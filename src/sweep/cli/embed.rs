//! `sweep embed`: embeddings of photos that belong to no data set.

use std::path::PathBuf;

use clap::Args;
use schema::EmbedWork;

use super::{Exit, counted, evaluate::ResultsArgs, show, tell, writable};
use crate::ledger::absolute;

/// Embed a folder of photos with a trained network
///
/// Writes an array of NumPy with a row for each photo, and a CSV file of the same name with the path of each row, which
/// replaces no file of yours. The photos are decoded and resized as the images that the network was trained on, a batch at
/// a time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep embed 6b1c5a0e photos --into photos.npy
  sweep embed best:Triplet photos --sweep sweeps/omniglot.toml --into photos.npy")]
pub(super) struct Embed {
    /// Id of a run or its beginning, the folder of a run, or best:METHOD with --sweep
    run: String,
    /// A photo, or a folder of photos, in which folders may lie
    photos: PathBuf,
    /// File to write: NAME.npy; the paths are in NAME.csv
    #[arg(long, value_name = "FILE")]
    into: PathBuf,
    /// Leave out photos that cannot be decoded
    #[arg(long)]
    skip_broken: bool,
    #[command(flatten)]
    place: ResultsArgs,
}

impl Embed {
    pub(super) fn run(&self) -> Result<(), Exit> {
        if self
            .into
            .extension()
            .is_none_or(|extension| extension != "npy")
        {
            return Err(Exit::mistake(format!(
                "`{}` is no name for an array: `--into` takes NAME.npy",
                self.into.display()
            )));
        }
        if !self.photos.exists() {
            return Err(Exit::mistake(format!(
                "there is no photo or folder `{}`",
                self.photos.display()
            )));
        }
        let paths = EmbedWork::paths_beside(&self.into);
        writable::check_pair(&self.into, &paths, |text| {
            text.starts_with(EmbedWork::COLUMNS)
        })?;
        let found = self.place.find(&self.run)?;
        let work = EmbedWork {
            recipe: found.identity.recipe,
            run: found.run.path().to_owned(),
            images: absolute(&self.photos),
            into: absolute(&self.into),
            skip_broken: self.skip_broken,
        };
        let embedded = self.place.attempt(work, "embedding");
        let embedded = embedded.map_err(|exit| self.with_hint(exit))?;
        for photo in &embedded.corrupt {
            tell(&format!("left out: {photo}"));
        }
        tell(&format!(
            "{}, {} numbers each; their paths: {}",
            counted(embedded.images as usize, "photo"),
            embedded.width,
            paths.display()
        ));
        show(&format!("{}\n", self.into.display()))
    }

    /// Adds what helps if a photo cannot be decoded.
    fn with_hint(&self, exit: Exit) -> Exit {
        match exit {
            Exit::Mistake(message) if !self.skip_broken => Exit::Mistake(format!(
                "{message}\nhint: `--skip-broken` leaves out photos that cannot be decoded"
            )),
            other => other,
        }
    }
}
