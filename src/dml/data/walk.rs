//! All image files below a folder, those that are decoded and others.
//!
//! An image is known by its ending or else by its content. Links are followed, but not back to a folder above;
//! hidden files are passed over.

use std::{
    fs,
    path::{Path, PathBuf},
};

use image::ImageFormat;
use walkdir::{DirEntry, WalkDir};

use super::{
    DataError,
    archive::{head, is_clutter},
    decode::{is_decodable, is_decoded},
};

/// What lies below a folder, in the order of names.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// The image files.
    pub(super) images: Vec<ImageFile>,
    /// The folders.
    pub(super) folders: Vec<PathBuf>,
    /// All other files.
    pub(super) others: Vec<PathBuf>,
}

/// An image file.
#[derive(Clone, Debug)]
pub(super) struct ImageFile {
    /// Its path, below the folder that was given.
    pub(super) path: PathBuf,
    /// The names of the folders between that folder and the file.
    pub(super) folders: Vec<String>,
    /// True if images of its format are decoded.
    pub(super) decodable: bool,
}

/// Finds all image files below a folder.
///
/// # Errors
/// If a folder cannot be read, or a name is not valid UTF-8.
pub(super) fn walk(root: &Path) -> Result<Walked, DataError> {
    let is_seen = |entry: &DirEntry| entry.depth() == 0 || !is_hidden(entry.path());
    let entries = WalkDir::new(root)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(is_seen);
    let mut walked = Walked::default();
    for entry in entries {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => walked.folders.push(entry.into_path()),
            Ok(entry) => walked.add(root, entry.into_path())?,
            Err(error) => walked.add_unreadable(root, &error)?,
        }
    }
    Ok(walked)
}

impl Walked {
    fn add(&mut self, root: &Path, path: PathBuf) -> Result<(), DataError> {
        match is_image(&path) {
            Some(decodable) => self.images.push(ImageFile {
                folders: folders_between(root, &path)?,
                path,
                decodable,
            }),
            None => self.others.push(path),
        }
        Ok(())
    }

    /// Adds a link that leads nowhere, as a file; one that leads back to a folder above is passed over.
    fn add_unreadable(&mut self, root: &Path, error: &walkdir::Error) -> Result<(), DataError> {
        match (error.path(), error.io_error()) {
            (Some(path), Some(_)) if is_hidden(path) => Ok(()),
            (Some(path), Some(_)) if path.is_symlink() => self.add(root, path.to_owned()),
            (Some(path), Some(cause)) => Err(DataError::unreadable(path, cause)),
            _ => Ok(()),
        }
    }
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    is_clutter(&name.to_string_lossy())
}

/// Returns whether an image is decodable, and nothing if the file is none.
fn is_image(path: &Path) -> Option<bool> {
    let by_ending = ImageFormat::from_path(path).ok();
    if by_ending.is_some_and(is_decoded) {
        return Some(true);
    }
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let head = is_file.then(|| head(path).ok()).flatten();
    let head = head.unwrap_or_default();
    if is_decodable(&head) {
        return Some(true);
    }
    (by_ending.is_some() || infer::is_image(&head)).then_some(false)
}

fn folders_between(root: &Path, path: &Path) -> Result<Vec<String>, DataError> {
    let below = path.strip_prefix(root).unwrap_or(path);
    let parts: Option<Vec<String>> = below
        .components()
        .map(|part| part.as_os_str().to_str().map(str::to_owned))
        .collect();
    let mut parts = parts
        .ok_or_else(|| DataError::unreadable(path, "its name is not valid UTF-8; rename it"))?;
    parts.pop();
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The first bytes of a PNG and of a picture of a telephone.
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";

    #[test]
    fn images_are_known_by_their_ending_or_their_content() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        fs::create_dir_all(&folder).unwrap();
        for (name, content) in [
            ("1.JPG", &b""[..]),
            ("2", PNG),
            ("3.data", PNG),
            ("4.heic", HEIC),
            ("5", HEIC),
            ("6.txt", b"text"),
            (".7.png", PNG),
        ] {
            fs::write(folder.join(name), content).unwrap();
        }
        symlink("..", folder.join("loop")).unwrap();
        symlink("gone.png", folder.join("8.png")).unwrap();
        symlink("9.png", folder.join("9.png")).unwrap();
        symlink("gone.png", folder.join(".10.png")).unwrap();
        let walked = walk(root.path()).unwrap();
        let images: Vec<(&str, bool)> = walked
            .images
            .iter()
            .map(|image| {
                (
                    image.path.file_name().unwrap().to_str().unwrap(),
                    image.decodable,
                )
            })
            .collect();
        assert_eq!(
            images,
            [
                ("1.JPG", true),
                ("2", true),
                ("3.data", true),
                ("4.heic", false),
                ("5", false),
                ("8.png", true),
                ("9.png", true),
            ]
        );
        assert!(
            walked
                .images
                .iter()
                .all(|image| image.folders == ["a", "b"])
        );
        assert_eq!(walked.others, [folder.join("6.txt")]);
    }
}
