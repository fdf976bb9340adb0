//! Reads the text of a sweep file, whatever the path leads to.
//!
//! A path may be that of a folder, a pipe or a device, and a file may be in another encoding than
//! UTF-8 or be no text at all. Each is said so; nothing waits for a pipe, and no more is read than
//! a sweep file may have.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use super::diagnostic::Diagnostic;

/// Maximum size in bytes of a sweep file, and of all that it builds on.
pub(super) const MOST_BYTES: usize = 16 << 20;

/// Reads a sweep file, or a file that one builds on.
///
/// # Errors
/// There is no such file, or it is not a text.
pub(super) fn read(path: &Path) -> Result<String, Diagnostic> {
    let bytes = bytes(path).map_err(|reason| Diagnostic::of_file(path, reason))?;
    let encoding = match bytes.as_slice() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16"),
        bytes if is_every_second_zero(bytes) => Some("UTF-16"),
        _ => None,
    };
    if let Some(encoding) = encoding {
        let message = format!("the file is {encoding} text, and a sweep file is UTF-8");
        return Err(Diagnostic::of_file(path, message).with_hint(SAVE));
    }
    if bytes.iter().any(|&byte| byte < b'\t') {
        return Err(Diagnostic::of_file(path, "this is not a text file"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let start = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        let place = start..start + char::REPLACEMENT_CHARACTER.len_utf8();
        let message = "this character is not UTF-8, as in a file that was saved as Latin-1";
        Diagnostic::at(path, &text, place, message).with_hint(SAVE)
    })
}

const SAVE: &str = "save the file as UTF-8";

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: &io::Error| format!("failed to read the file: {}", in_words(error));
    let kind = fs::metadata(path).map_err(|error| failed(&error))?;
    if kind.is_dir() {
        return Err("this is a folder, not a file".to_owned());
    }
    if !kind.is_file() {
        return Err("this is a pipe or a device, not a file".to_owned());
    }
    let file = durable::open(path).map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(&error))?;
    if bytes.len() > MOST_BYTES {
        return Err(format!(
            "the file has more than {} MiB, the most that a sweep file may have",
            MOST_BYTES >> 20
        ));
    }
    Ok(bytes)
}

/// Returns what went wrong, without the number of the error.
fn in_words(error: &io::Error) -> String {
    let words = error.to_string();
    match words.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => words,
    }
}

/// True for ASCII text in UTF-16.
fn is_every_second_zero(bytes: &[u8]) -> bool {
    let halves = [0, 1].map(|first| bytes.iter().skip(first).step_by(2));
    bytes.len() >= 4
        && halves
            .into_iter()
            .any(|mut half| half.all(|&byte| byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, bytes).unwrap();
        read(&file).unwrap_err().to_string()
    }

    #[test]
    fn text_in_another_encoding_is_said_so() {
        let text = "[sweep]\nname = \"a\"\n";
        let wide = || text.encode_utf16();
        let little: Vec<u8> = wide().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = wide().flat_map(u16::to_be_bytes).collect();
        let marked = [&[0xff, 0xfe], little.as_slice()].concat();
        for utf16 in [little, big, marked] {
            assert!(message_of(&utf16).contains("is UTF-16 text"));
        }
        let latin1 = message_of(b"[sweep]\nname = \"gr\xf6\xdfe\"\n");
        assert!(latin1.contains("a.toml:2:11"), "{latin1}");
        assert!(latin1.contains("Latin-1"), "{latin1}");
    }

    #[test]
    fn what_is_no_file_is_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let is_said = |path: &Path, words: &str| {
            let message = read(path).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        };
        is_said(folder.path(), "a folder");
        is_said(Path::new("/dev/zero"), "a device");
        is_said(&folder.path().join("none.toml"), "no such file");
        let large = folder.path().join("large.toml");
        fs::write(&large, vec![b'#'; MOST_BYTES + 1]).unwrap();
        is_said(&large, "more than 16 MiB");
    }
}
