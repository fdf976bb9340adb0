//! What a file is, by its first bytes: one of the formats that are read, or something that people mistake for one.

use std::{fs::File, io::Read, path::Path};

use super::{Format, TensorFileError, pytorch, sharded};
use crate::foreign::{Foreign, HEAD};

const TEXT: &str =
    "it is a text in the place of the file, perhaps an error message; download the file itself";

/// Other endings of names, for formats without a mark of their own.
const ENDINGS: &[(&str, &str)] = &[
    ("onnx", "an ONNX file"),
    ("pb", "a file of TensorFlow"),
    ("tflite", "a file of TensorFlow Lite"),
    ("msgpack", "a file of Flax"),
];

/// What to do about another format.
const REMEDY: &str = "save named tensors with `torch.save` or as safetensors";

/// Returns the format of a file.
///
/// # Errors
/// The file cannot be read, or has none of the formats: the error says what it is.
pub(super) fn format(path: &Path, file: &mut File) -> Result<Format, TensorFileError> {
    let mut start = Vec::new();
    file.take(HEAD as u64).read_to_end(&mut start)?;
    match known(&start) {
        Some(format) => Ok(format),
        None if sharded::is_index(path) && is_text(&start) => Ok(Format::Index),
        None => Err(TensorFileError::OtherFormat(other(path, &start))),
    }
}

fn known(start: &[u8]) -> Option<Format> {
    if start.starts_with(b"PK\x03\x04") {
        return Some(Format::Zip);
    }
    if start.starts_with(pytorch::OLDER_MAGIC) {
        return Some(Format::Pickle);
    }
    let begins_a_header = start.get(8) == Some(&b'{') && !is_text(&start[..8]);
    begins_a_header.then_some(Format::Safetensors)
}

/// Returns what a file is that has none of the formats.
fn other(path: &Path, start: &[u8]) -> String {
    if start.is_empty() {
        return "it is empty; download it again".to_owned();
    }
    if let Some(foreign) = Foreign::of(start) {
        return foreign.clause(REMEDY);
    }
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    let ended = ENDINGS
        .iter()
        .find(|(known, _)| ending.eq_ignore_ascii_case(known));
    match ended {
        Some((_, what)) => format!("it is {what}; {REMEDY}"),
        None if is_text(start) => TEXT.to_owned(),
        None => "it is neither safetensors nor a file of PyTorch".to_owned(),
    }
}

/// True if the bytes are text, up to a character that is cut at the end.
fn is_text(bytes: &[u8]) -> bool {
    let is_utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    let is_control = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    is_utf8 && !bytes.iter().any(is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_of_weights_is_named() {
        for (name, content, what) in [
            ("a.pth", &b""[..], "empty"),
            (
                "a.pth",
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                "Git LFS",
            ),
            ("a.safetensors", b"\n<!DOCTYPE html>\n<html>", "web page"),
            (
                "a.pth",
                b"<?xml version='1.0'?><Error>AccessDenied</Error>",
                "web page",
            ),
            ("a.pth", b"{\"error\": \"not found\"}", "text"),
            (
                "a.bin",
                "Zugriff verweigert: Stra\u{df}e".as_bytes(),
                "text",
            ),
            ("a.h5", b"\x89HDF\r\n\x1a\n\0", "HDF5"),
            ("a.onnx", b"\x08\x07\x12\x07pytorch", "ONNX"),
            ("a.ONNX", b"\x08\x07\x12\x07pytorch", "ONNX"),
            ("a.pth.gz", b"\x1f\x8b\x08", "gzip"),
            ("a.pkl", b"\x80\x04\x95\x10", "pickle"),
            ("a.pth", b"\0\0\0\0\0\0\0\0\0\0\0\0", "neither"),
        ] {
            assert_eq!(known(content), None, "{name}");
            let found = other(Path::new(name), content);
            assert!(found.contains(what), "{name}: {found}");
        }
    }

    #[test]
    fn formats_are_known_by_their_first_bytes() {
        assert_eq!(
            known(b"\x10\0\0\0\0\0\0\0{\"a\":"),
            Some(Format::Safetensors)
        );
        assert_eq!(known(b"PK\x03\x04\0\0"), Some(Format::Zip));
        assert_eq!(known(pytorch::OLDER_MAGIC), Some(Format::Pickle));
    }
}
