//! Lines of text files that come from elsewhere: with a byte order mark or without, ended in either way.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::DataError;

/// A line that is not empty.
pub(super) struct TextLine {
    file: PathBuf,
    number: usize,
    /// Its text, without surrounding white space.
    pub(super) text: String,
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
    pub(super) fn wrong(&self, why: impl std::fmt::Display) -> DataError {
        DataError::unreadable(&self.file, format!("line {}: {why}", self.number))
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
pub(super) fn required(path: &Path, what: &str) -> Result<Vec<TextLine>, DataError> {
    lines(path)?.ok_or_else(|| DataError::missing(path, what))
}

/// Returns the text of a file without its byte order mark, or nothing if there is no such file.
pub(super) fn text(path: &Path) -> Result<Option<String>, DataError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DataError::unreadable(path, error)),
    };
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
                format!("line {line}: it is not valid UTF-8"),
            ))
        }
    }
}
