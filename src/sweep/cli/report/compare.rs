//! Compares the files of a report with what the results give.

use std::{io, path::PathBuf};

use super::Tables;
use crate::cli::Exit;

/// The files of a report that are there, and how they differ from what the results give.
#[derive(Debug, Default)]
pub(in crate::cli) struct Compared {
    /// The files that were compared.
    pub(in crate::cli) files: Vec<PathBuf>,
    /// One sentence for each file that differs.
    pub(in crate::cli) differences: Vec<String>,
}

impl Tables {
    /// Compares the files that the results determine with those that are there. `command` made the tables here; the files
    /// may name another one.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(in crate::cli) fn compared(&self, command: &str) -> Result<Compared, Exit> {
        let mut compared = Compared::default();
        for (path, expected) in &self.files {
            if self.history.contains(path) {
                continue;
            }
            let found = match durable::read(path) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let path = path.display();
                    return Err(Exit::stuck(format!("failed to read `{path}`: {error}")));
                }
            };
            compared.files.push(path.clone());
            if let Some(difference) = difference(&found, expected, command) {
                compared
                    .differences
                    .push(format!("`{}`, {difference}", path.display()));
            }
        }
        Ok(compared)
    }
}

/// Returns the first line in which a file differs, apart from the command that made it.
fn difference(found: &str, expected: &str, command: &str) -> Option<String> {
    let mut lines = found.lines();
    let headings = expected.lines().next().unwrap_or_default();
    for (number, expected) in (1..).zip(expected.lines()) {
        match lines.next() {
            Some(line) if is_alike(line, expected, command) => {}
            Some(line) => {
                let (place, line, expected) = field(line, expected, headings);
                return Some(format!(
                    "line {number}{place}: it has `{line}`, but the results give `{expected}`"
                ));
            }
            None => return Some(format!("line {number} is missing: `{expected}`")),
        }
    }
    let further = lines.next()?;
    Some(format!("there is a further line `{further}`"))
}

/// True if two lines are equal apart from the command in the expected one.
fn is_alike(line: &str, expected: &str, command: &str) -> bool {
    if line == expected {
        return true;
    }
    expected.split_once(command).is_some_and(|(before, after)| {
        line.strip_prefix(before)
            .is_some_and(|rest| rest.ends_with(after))
    })
}

/// Returns the first field in which two lines of a CSV file differ, after its column and the beginning of its line; of
/// another file, the lines.
fn field(line: &str, expected: &str, headings: &str) -> (String, String, String) {
    let all = [line, expected, headings].map(fields);
    let [found, wanted, headings] = all;
    let places = found.iter().zip(&wanted).zip(&headings);
    let mut different = places.filter(|((found, wanted), _)| found != wanted);
    match different.next() {
        Some(((one, other), heading)) if found.len() == wanted.len() && found.len() > 1 => {
            let row: Vec<&str> = wanted.iter().take(2).map(String::as_str).collect();
            let place = format!(" ({}), column `{heading}`", row.join(", "));
            (place, one.clone(), other.clone())
        }
        _ => (String::new(), line.to_owned(), expected.to_owned()),
    }
}

/// Returns the fields of a line of a CSV file.
fn fields(line: &str) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(line.as_bytes());
    let record = reader.records().next().and_then(Result::ok);
    record.iter().flatten().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "method,n,map@r\nTriplet,3,0.25\nMS,3,0.5\n";

    #[test]
    fn the_first_different_field_is_named_with_its_row() {
        let edited = TABLE.replace("0.25", "0.35");
        assert_eq!(
            difference(&edited, TABLE, "sweep run"),
            Some(
                "line 2 (Triplet, 3), column `map@r`: it has `0.35`, but the results give `0.25`"
                    .to_owned()
            )
        );
    }

    #[test]
    fn lines_that_are_missing_or_added_are_differences() {
        let cut = "method,n,map@r\nTriplet,3,0.25\n";
        assert!(difference(cut, TABLE, "x").is_some_and(|text| text.contains("line 3 is missing")));
        assert!(difference(TABLE, cut, "x").is_some_and(|text| text.contains("further line")));
        assert_eq!(difference(TABLE, TABLE, "x"), None);
    }

    #[test]
    fn another_command_makes_the_same_table() {
        let made = |command: &str| format!("a\nMade with `{command}`; more.\n");
        let found = made("sweep run elsewhere/a.toml");
        assert_eq!(
            difference(&found, &made("sweep run a.toml"), "sweep run a.toml"),
            None
        );
        assert!(
            difference(
                "a\nMade by hand.\n",
                &made("sweep run a.toml"),
                "sweep run a.toml"
            )
            .is_some()
        );
    }
}
