//! Text files that come from elsewhere: with a byte order mark or without, with lines ended in either way, and with
//! paths written on another system.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::DataError;

/// A line that is not empty.
pub(in crate::data) struct TextLine {
    file: PathBuf,
    number: usize,
    /// Its text, without surrounding white space.
    pub(in crate::data) text: String,
}

impl TextLine {
    /// Returns its words.
    pub(super) fn words<const N: usize>(&self, what: &str) -> Result<[&str; N], DataError> {
        let words: Vec<&str> = self.text.split_whitespace().collect();
        words
            .try_into()
            .map_err(|_| self.wrong(format!("`{}` is not {what}", self.text)))
    }

    /// Returns a word as a number.
    pub(super) fn number(&self, word: &str) -> Result<u32, DataError> {
        word.parse()
            .map_err(|_| self.wrong(format!("`{word}` is not a number")))
    }

    /// Returns a word as pixels, possibly written as `12.0`.
    pub(super) fn pixels(&self, word: &str) -> Result<u32, DataError> {
        self.number(word.strip_suffix(".0").unwrap_or(word))
    }

    /// Returns an error about this line.
    pub(in crate::data) fn wrong(&self, why: impl std::fmt::Display) -> DataError {
        DataError::unreadable(&self.file, format!("{}: {why}", self.place()))
    }

    /// Returns where it is in its file.
    pub(in crate::data) fn place(&self) -> String {
        format!("line {}", self.number)
    }
}

/// Returns the lines of a file, or nothing if there is no such file.
pub(super) fn lines(path: &Path) -> Result<Option<Vec<TextLine>>, DataError> {
    let Some(text) = text(path)? else {
        return Ok(None);
    };
    let line = |(place, text): (usize, &str)| {
        let text = text.trim();
        (!text.is_empty()).then(|| TextLine {
            file: path.to_owned(),
            number: place + 1,
            text: text.to_owned(),
        })
    };
    Ok(Some(
        text.split('\n').enumerate().filter_map(line).collect(),
    ))
}

/// As [`lines`], but the file must be there.
pub(in crate::data) fn required(path: &Path, what: &str) -> Result<Vec<TextLine>, DataError> {
    lines(path)?.ok_or_else(|| DataError::missing(path, what))
}

/// Returns the file that a line of a list or table in the folder `root` means: as written, if it exists; else without
/// surrounding white space, and with `/` for each `\` of Windows.
pub(super) fn located(root: &Path, written: &str) -> Result<PathBuf, String> {
    let plain = written.trim().replace('\\', "/");
    let is_elsewhere = starts_with_drive(&plain);
    let exact = root.join(written);
    if (plain == written && !is_elsewhere) || exact.exists() {
        return Ok(exact);
    }
    if is_elsewhere {
        return Err(format!(
            "`{written}` is a path of another computer; write paths relative to the folder of this file"
        ));
    }
    Ok(root.join(plain))
}

/// Returns true for a path like `C:/images/1.jpg`.
fn starts_with_drive(path: &str) -> bool {
    matches!(path.as_bytes(), [letter, b':', b'/', ..] if letter.is_ascii_alphabetic())
}

/// Returns the first line of a file as far as it is text, in UTF-8 or UTF-16.
pub(super) fn first_line(path: &Path) -> Result<String, DataError> {
    let mut head = Vec::new();
    durable::open(path)
        .and_then(|file| file.take(HEAD).read_to_end(&mut head))
        .map_err(|error| DataError::unreadable(path, error))?;
    // The header of a table has ASCII letters only, which UTF-16 pads with zeros.
    head.retain(|&byte| byte != 0);
    let text = String::from_utf8_lossy(&head);
    let marks = ['\u{feff}', char::REPLACEMENT_CHARACTER];
    let line = text.trim_start_matches(marks).lines().next();
    Ok(line.unwrap_or_default().to_owned())
}

/// Bytes that are read to find the first line of a file.
const HEAD: u64 = 64 * 1024;

/// Returns the text of a file without its byte order mark, or nothing if there is no such file.
pub(super) fn text(path: &Path) -> Result<Option<String>, DataError> {
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = match durable::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DataError::unreadable(path, error)),
    };
    if bytes.contains(&0) {
        let why = "it has zero bytes, as UTF-16 does; save it as UTF-8 (in a spreadsheet, as \"CSV UTF-8\")";
        return Err(DataError::unreadable(path, why));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(
            text.strip_prefix('\u{feff}')
                .map(str::to_owned)
                .unwrap_or(text),
        )),
        Err(error) => {
            let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|&&b| b == b'\n')
                .count();
            Err(DataError::unreadable(
                path,
                format!(
                    "line {line}: it is not valid UTF-8, but perhaps Latin-1 or Windows-1252; save it as UTF-8"
                ),
            ))
        }
    }
}
