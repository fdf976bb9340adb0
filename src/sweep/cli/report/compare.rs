//! Compares the files of a report with what the results give.

use std::{
    io,
    path::{Path, PathBuf},
};

use report::parquet_as_text;

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
            if let Some(found) = self.found(path)? {
                let found = String::from_utf8_lossy(&found);
                compared.add(path, difference(&found, expected, command));
            }
        }
        for (path, expected) in &self.binary {
            if let Some(found) = self.found(path)? {
                compared.add(path, difference_of_binary(found, expected.clone(), command));
            }
        }
        Ok(compared)
    }

    /// Returns the content of a file that the results determine, if it is there.
    fn found(&self, path: &Path) -> Result<Option<Vec<u8>>, Exit> {
        if self.history.contains(path) {
            return Ok(None);
        }
        match durable::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let path = path.display();
                Err(Exit::stuck(format!("failed to read `{path}`: {error}")))
            }
        }
    }
}

impl Compared {
    fn add(&mut self, path: &Path, difference: Option<String>) {
        self.files.push(path.to_owned());
        let difference = difference.map(|difference| format!("`{}`, {difference}", path.display()));
        self.differences.extend(difference);
    }
}

/// Returns the first line in which a Parquet file differs. Its bytes may be those of another version of the program.
fn difference_of_binary(found: Vec<u8>, expected: Vec<u8>, command: &str) -> Option<String> {
    match (parquet_as_text(found), parquet_as_text(expected)) {
        (Ok(found), Ok(expected)) => difference(&found, &expected, command),
        _ => Some("it is damaged".to_owned()),
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
