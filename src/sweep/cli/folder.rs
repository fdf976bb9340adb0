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

    use clap::{Command, CommandFactory, Parser};

    use super::checked;
    use crate::cli::Cli;

    /// All commands, with those below them.
    fn commands(command: Command) -> Vec<Command> {
        let below = command.get_subcommands().cloned();
        let mut all: Vec<Command> = below.flat_map(commands).collect();
        all.push(command);
        all
    }

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

    #[test]
    fn every_option_for_a_folder_refuses_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tried = 0;
        for command in commands(Cli::command()) {
            for option in command.get_opts() {
                let names = option.get_value_names().unwrap_or_default();
                let is_folder = names
                    .iter()
                    .any(|name| ["FOLDER", "RESULTS"].contains(&name.as_str()));
                if !is_folder {
                    continue;
                }
                let long = option.get_long().unwrap();
                let given = format!("--{long}={}", file.path().display());
                // Alone, so that no other argument is missing.
                let mut alone = Command::new("sweep").arg(option.clone());
                let error = alone
                    .try_get_matches_from_mut(["sweep", &given])
                    .unwrap_err();
                let told = error.to_string();
                assert!(
                    told.contains("is a file; name a folder"),
                    "{} {told}",
                    command.get_name()
                );
                tried += 1;
            }
        }
        assert!(tried > 20, "{tried}");
    }

    #[test]
    fn a_negative_number_is_a_value() {
        for command in commands(Cli::command()) {
            for option in command.get_opts() {
                let names = option.get_value_names().unwrap_or_default();
                let numbers = ["NUMBER", "COUNT", "FRACTION", "IMAGES"];
                let is_number = names.iter().any(|name| numbers.contains(&name.as_str()));
                if is_number {
                    let place = format!("{} --{}", command.get_name(), option.get_id());
                    assert!(option.is_allow_negative_numbers_set(), "{place}");
                }
            }
        }
        let told = Cli::try_parse_from(["sweep", "simulate", "a.toml", "--gpus", "-1"]);
        let told = told.unwrap_err().to_string();
        assert!(told.contains("-1 is not in 1..=4096"), "{told}");
    }
}
