//! Arguments that name a folder: a file in its place is refused while the command line is read.

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};

use super::room::nearest_existing;

/// Returns the parser of all arguments that name a folder. The folder need not exist.
///
/// # Errors
/// The path, or a folder that it lies in, is no folder.
pub(super) fn folder() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(checked)
}

fn checked(path: PathBuf) -> Result<PathBuf, String> {
    match nearest_existing(&path).filter(|found| !found.is_dir()) {
        None => Ok(path),
        Some(file) => Err(refusal(file)),
    }
}

fn refusal(file: &Path) -> String {
    format!("`{}` is a file; name a folder", file.display())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::checked;

    #[test]
    fn a_file_is_no_folder_and_nothing_lies_in_it() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        let refusal = format!("`{}` is a file; name a folder", file.display());
        assert_eq!(checked(file.clone()).unwrap_err(), refusal);
        assert_eq!(checked(file.join("below")).unwrap_err(), refusal);
        assert!(checked(place.path().to_owned()).is_ok());
        assert!(checked(place.path().join("new/folder")).is_ok());
        assert!(checked("new".into()).is_ok());
    }
}
