//! The lines of text files that other programs wrote.

use std::path::Path;

use dml::foreign::Foreign;

use super::format::{REMEDY, describe};

/// A line that is not blank, with its number in the file, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    pub(super) text: &'a str,
}

/// Returns the text of a file in UTF-8, or in UTF-16 with a byte order mark.
///
/// # Errors
/// It cannot be read, or is no text.
pub(super) fn text(path: &Path) -> Result<String, String> {
    let bytes = durable::read(path).map_err(describe)?;
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        _ => utf8(bytes)?,
    };
    if let Some(foreign) = Foreign::of(text.as_bytes()) {
        return Err(foreign.clause(REMEDY));
    }
    Ok(text)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, String> {
    let units: Vec<u16> = bytes.as_chunks().0.iter().map(|&pair| unit(pair)).collect();
    String::from_utf16(&units).map_err(|_| "it is not valid UTF-16".to_owned())
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.contains(&0) {
        return Err(format!(
            "it is not a text, nor .npy, .npz or .safetensors; {REMEDY}"
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        format!(
            "line {line} is not UTF-8; if it is Latin-1, convert the file with \
             `iconv -f latin1 -t utf-8`"
        )
    })
}

/// Returns the lines that are not blank, trimmed, however they end.
pub(super) fn lines(text: &str) -> Vec<Line<'_>> {
    let text = text.trim_start_matches('\u{feff}');
    let end = if text.contains('\n') { '\n' } else { '\r' };
    let numbered = (1..).zip(text.split(end)).map(|(number, line)| Line {
        number,
        text: line.trim(),
    });
    numbered.filter(|line| !line.text.is_empty()).collect()
}

/// The most characters of a file that a message shows.
const SHOWN: usize = 40;

/// Returns the beginning of a text for a message.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns the text without the quotes around it.
pub(super) fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inside = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    inside.unwrap_or(text)
}

/// True if the texts are 0, 1, 2, .. or 1, 2, 3, ..
pub(super) fn counts_up<'a>(mut texts: impl Iterator<Item = &'a str>) -> bool {
    let first = match texts.next().map(unquoted) {
        Some("0") => 0u64,
        Some("1") => 1,
        _ => return false,
    };
    (first + 1..)
        .zip(texts)
        .all(|(number, text)| unquoted(text) == number.to_string())
}
