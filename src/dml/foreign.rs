//! Files that are not what they should be, known by their first bytes.
//!
//! Readers of images, archives, weights and arrays all meet them. The words for a message are here; what a reader takes
//! instead, it says itself.

use std::fmt;

/// What a file is that no reader takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A pointer that Git LFS left in the place of the file.
    LfsPointer,
    /// A page that a web server sent in the place of the file.
    WebPage,
    /// A file that has to be unpacked first, with the name of its format.
    Packed(&'static str),
    /// A file of another format, with its name.
    Format(&'static str),
}

/// Bytes of a file from which it is known.
pub const HEAD: usize = 512;

/// The first bytes of files, and what these are.
const MARKS: &[(&[u8], Foreign)] = &[
    (b"version https://git-lfs", Foreign::LfsPointer),
    (b"\x1f\x8b", Foreign::Packed("a file compressed with gzip")),
    (b"BZh", Foreign::Packed("a file compressed with bzip2")),
    (b"\xfd7zXZ\0", Foreign::Packed("a file compressed with xz")),
    (
        b"\x28\xb5\x2f\xfd",
        Foreign::Packed("a file compressed with zstd"),
    ),
    (b"7z\xbc\xaf\x27\x1c", Foreign::Packed("a 7z archive")),
    (b"Rar!", Foreign::Packed("a RAR archive")),
    (b"\x89HDF\r\n\x1a\n", Foreign::Format("an HDF5 file")),
    (b"MATLAB 5.0", Foreign::Format("a MATLAB file")),
    (b"PAR1", Foreign::Format("a Parquet file")),
    (b"ARROW1", Foreign::Format("an Arrow file")),
    (b"FEA1", Foreign::Format("a Feather file")),
    (b"\x93NUMPY", Foreign::Format("an array of NumPy (.npy)")),
    (b"GGUF", Foreign::Format("a GGUF file of a language model")),
    (b"\x80\x02", PICKLE),
    (b"\x80\x03", PICKLE),
    (b"\x80\x04", PICKLE),
    (b"\x80\x05", PICKLE),
    (b"\xd0\xcf\x11\xe0", Foreign::Format("an Excel file")),
    (b"\xff\xd8\xff", Foreign::Format("a JPEG image")),
    (b"\x89PNG", Foreign::Format("a PNG image")),
    (b"%PDF", Foreign::Format("a PDF file")),
    (b"SQLite format 3", Foreign::Format("a database")),
    (b"\x7fELF", Foreign::Format("a program")),
];

const PICKLE: Foreign = Foreign::Format("a Python pickle");

impl Foreign {
    /// Returns what a file is that begins with these bytes, as far as that is known. A reader asks this only after it
    /// has looked for its own formats.
    pub fn of(head: &[u8]) -> Option<Foreign> {
        let marked = MARKS.iter().find(|(mark, _)| head.starts_with(mark));
        if let Some((_, foreign)) = marked {
            return Some(*foreign);
        }
        if head.get(257..262) == Some(b"ustar") {
            return Some(Foreign::Packed("a tar archive"));
        }
        is_web_page(head).then_some(Foreign::WebPage)
    }

    /// Returns what the file is and what to do, as a clause: `it is a RAR archive; unpack it first`. `otherwise` is
    /// what to do about another format.
    pub fn clause(self, otherwise: &str) -> String {
        let remedy = match self {
            Foreign::LfsPointer => "run `git lfs pull` in its repository",
            Foreign::WebPage => "open the address in a browser, and download the file again",
            Foreign::Packed(_) => "unpack it first",
            Foreign::Format(_) => otherwise,
        };
        format!("it is {self}; {remedy}")
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Foreign::LfsPointer => "a pointer of Git LFS, not the file itself",
            Foreign::WebPage => "a web page in the place of the file",
            Foreign::Packed(what) | Foreign::Format(what) => what,
        })
    }
}

fn is_web_page(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let head = head.trim_ascii_start();
    [&b"<!doctype html"[..], b"<html", b"<?xml"]
        .iter()
        .any(|tag| {
            head.get(..tag.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(tag))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_place_of_a_file_is_told_with_what_to_do() {
        for (head, says) in [
            (
                &b"version https://git-lfs.github.com/spec/v1\noid"[..],
                "git lfs pull",
            ),
            (
                b"\xef\xbb\xbf\n <!DOCTYPE html><html>",
                "download the file again",
            ),
            (
                b"<?xml version='1.0'?><Error>AccessDenied</Error>",
                "web page",
            ),
            (b"\x1f\x8b\x08", "gzip; unpack it first"),
            (b"\x89HDF\r\n\x1a\n\0", "an HDF5 file; write another"),
        ] {
            let clause = Foreign::of(head).unwrap().clause("write another");
            assert!(clause.contains(says), "{clause}");
        }
        assert_eq!(Foreign::of(b"path,label\n"), None);
        assert_eq!(Foreign::of(b""), None);
    }

    #[test]
    fn no_mark_hides_another_one() {
        for (at, (mark, foreign)) in MARKS.iter().enumerate() {
            assert_eq!(Foreign::of(mark), Some(*foreign));
            let hidden = MARKS[..at]
                .iter()
                .any(|(earlier, _)| mark.starts_with(earlier));
            assert!(!hidden, "{foreign}");
        }
    }
}
