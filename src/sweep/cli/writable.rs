//! Whether files can be written, asked before the work that makes them.
//!
//! Training and embedding may take hours. Before they begin, the user learns that their files cannot be written, or would
//! replace a file of the user's own.

use std::{
    io::{self, ErrorKind, Read},
    path::Path,
};

use super::{Exit, room::nearest_existing};

/// How much of a file tells who wrote it: more than a line with the longest name of a file.
const BEGINNING: u64 = 1024;

/// Checks that files can be created in a folder, which need not exist yet. `option` names another folder.
///
/// # Errors
/// They cannot.
pub(super) fn check_folder(folder: &Path, option: &str) -> Result<(), Exit> {
    let nearest = nearest_existing(folder).unwrap_or(folder);
    // It has no name, and is gone at once.
    let created = tempfile::tempfile_in(nearest);
    created.map(drop).map_err(|error| {
        Exit::stuck(format!(
            "no files can be written to `{}`: {}\nhint: name another place with `{option}`",
            nearest.display(),
            error.kind()
        ))
    })
}

/// Checks that a command can write the file that the user named with `--into`, and another beside it. The user did not name
/// the latter: it may replace only what the same command wrote earlier, which `is_own` tells from its beginning.
///
/// # Errors
/// One of them cannot be written, or the one beside is a file of the user.
pub(super) fn check_pair(
    named: &Path,
    beside: &Path,
    is_own: impl Fn(&str) -> bool,
) -> Result<(), Exit> {
    check_folder(named.parent().unwrap_or(named), "--into")?;
    if let Some(folder) = [named, beside].into_iter().find(|path| path.is_dir()) {
        return Err(refusal(
            beside,
            &format!("`{}` is a folder", folder.display()),
        ));
    }
    match beginning(beside) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(text) if is_own(&text) => Ok(()),
        Ok(_) => Err(refusal(
            beside,
            &format!(
                "`{}` exists, and this command did not write it",
                beside.display()
            ),
        )),
        Err(error) => Err(refusal(
            beside,
            &format!("`{}` cannot be replaced: {error}", beside.display()),
        )),
    }
}

fn refusal(beside: &Path, why: &str) -> Exit {
    Exit::mistake(format!(
        "nothing is written: {why}\nhint: give `--into` another name; `{}` is written, too",
        beside.display()
    ))
}

fn beginning(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    durable::open(path)?
        .take(BEGINNING)
        .read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn told(result: Result<(), Exit>) -> String {
        result.unwrap_err().reason()
    }

    #[test]
    fn a_folder_that_does_not_exist_yet_is_writable_if_it_can_be_created() {
        let folder = tempfile::tempdir().unwrap();
        let reports = folder.path().join("reports/sweep");
        assert!(check_folder(&reports, "--reports").is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        fs::write(folder.path().join("reports"), "a file").unwrap();
        let message = told(check_folder(&reports, "--reports"));
        assert!(message.contains("not a directory"), "{message}");
        assert!(message.contains("with `--reports`"), "{message}");
        assert!(check_folder(Path::new("/proc/reports"), "--reports").is_err());
    }

    #[test]
    fn a_file_beside_the_named_one_replaces_only_what_the_command_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let (named, beside) = (folder.path().join("x.npy"), folder.path().join("x.csv"));
        let check = || check_pair(&named, &beside, |text| text.starts_with("row,path\n"));
        assert!(check().is_ok());

        fs::write(&named, "an earlier array").unwrap();
        fs::write(&beside, "row,path\n0,a.png\n").unwrap();
        assert!(check().is_ok());

        for own in ["row,path,label\n0,a.png,cat\n", "", "\u{0}\u{0}"] {
            fs::write(&beside, own).unwrap();
            let message = told(check());
            assert!(message.contains("x.csv` exists"), "{message}");
            assert_eq!(fs::read_to_string(&beside).unwrap(), own);
        }
        fs::remove_file(&beside).unwrap();
        fs::create_dir(&beside).unwrap();
        assert!(told(check()).contains("x.csv` is a folder"));
    }
}
