//! Runs as they are named on the command line: by the beginning of their ids, or by their folders.

use std::{ffi::OsStr, path::Path};

use schema::RunId;

use super::Exit;
use crate::ledger::RunFolder;

/// Returns the only one of these runs whose id has this beginning, or whose folder this is; `None` if there is none.
///
/// # Errors
/// Several have it.
pub(super) fn the_only(
    named: &str,
    runs: impl IntoIterator<Item = RunId>,
) -> Result<Option<RunId>, Exit> {
    const NAMED: usize = 8;
    let beginning = id_of_folder(named).unwrap_or(named).to_ascii_lowercase();
    let mut found: Vec<RunId> = runs.into_iter().collect();
    found.retain(|run| run.to_string().starts_with(&beginning));
    found.sort();
    found.dedup();
    if found.len() < 2 {
        return Ok(found.pop());
    }
    let mut names: Vec<String> = found.iter().take(NAMED).map(RunId::to_string).collect();
    if found.len() > NAMED {
        names.push("..".to_owned());
    }
    Err(Exit::mistake(format!(
        "{} runs begin with `{beginning}`: {}",
        found.len(),
        names.join(", ")
    )))
}

/// Returns the name of a run's folder, which is the id of the run; `None` if there is no such folder.
fn id_of_folder(named: &str) -> Option<&str> {
    let folder = Path::new(named);
    let is_of_run = RunFolder::at(folder).identity().is_file();
    folder
        .file_name()
        .and_then(OsStr::to_str)
        .filter(|_| is_of_run)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_run_is_named_by_the_beginning_of_its_id_or_by_its_folder() {
        let results = tempfile::tempdir().unwrap();
        let runs: Vec<RunId> = ["40875c7d43a3bf04", "448b2df77c220b60"]
            .map(|id| id.parse().unwrap())
            .into();
        let folder = results.path().join("40875c7d43a3bf04");
        fs::create_dir(&folder).unwrap();
        let found = |named: &str| the_only(named, runs.clone());
        let folder_name = folder.to_str().unwrap();
        assert_eq!(
            found(folder_name).ok(),
            Some(None),
            "nothing of a run is there"
        );
        fs::write(RunFolder::at(&folder).identity(), "{}").unwrap();
        assert_eq!(found(folder_name).ok(), Some(Some(runs[0])));
        assert_eq!(found(&format!("{folder_name}/")).ok(), Some(Some(runs[0])));
        assert_eq!(found("44").ok(), Some(Some(runs[1])));
        assert_eq!(found("5").ok(), Some(None));
        assert!(found("4").is_err());
    }
}
