//! What lies beside the images of a data set and is not among them: other images, empty folders, tables.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use schema::Registration;

use super::{
    DataError, Listing,
    listing::Image,
    walk::{ImageFile, Walked, walk},
};

/// The most lines, and the most examples of each.
const LINES: usize = 8;
const EXAMPLES: usize = 3;

/// Tells what is below `root` but not in the listing, by folder, one line each. With `class_folders`, folders
/// beside those of classes and tables are told, too: they may have been meant.
///
/// # Errors
/// If a folder cannot be read.
pub(super) fn left_aside(
    root: &Path,
    listing: &Listing,
    class_folders: bool,
) -> Result<Vec<String>, DataError> {
    let walked = walk(root)?;
    let listed = Listed::of(listing, root);
    let mut lines = image_lines(root, &listed, &walked);
    if class_folders {
        lines.extend(empty_folders(root, &listed, &walked));
        lines.extend(unused_tables(root, &walked));
    }
    Ok(lines)
}

/// The images of a listing, and the folders that they are in.
struct Listed<'a> {
    paths: HashSet<&'a Path>,
    /// The same without links and other detours.
    canonical: HashSet<PathBuf>,
    /// The folders with an image in them, or in a folder below.
    folders: HashSet<&'a Path>,
    /// The folders in which these are that have an image in them.
    class_parents: HashSet<&'a Path>,
}

impl<'a> Listed<'a> {
    fn of(listing: &'a Listing, root: &Path) -> Listed<'a> {
        let images: Vec<&Image> = listing
            .halves()
            .into_iter()
            .flat_map(|(_, part)| &part.images)
            .collect();
        let paths: HashSet<&Path> = images.iter().map(|image| image.path.as_path()).collect();
        let of_images: HashSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
        let above = of_images.iter().flat_map(|folder| folder.ancestors());
        Listed {
            canonical: images
                .par_iter()
                .filter_map(|image| fs::canonicalize(&image.path).ok())
                .collect(),
            folders: above.filter(|folder| folder.starts_with(root)).collect(),
            class_parents: of_images
                .iter()
                .filter_map(|folder| folder.parent())
                .collect(),
            paths,
        }
    }

    fn has(&self, image: &ImageFile) -> bool {
        self.paths.contains(image.path.as_path())
            || fs::canonicalize(&image.path).is_ok_and(|path| self.canonical.contains(&path))
    }

    /// Returns the highest folder above a file that has no listed image, or else the one it is in.
    fn group<'p>(&self, path: &'p Path, root: &Path) -> &'p Path {
        let inner = path.parent().unwrap_or(path);
        let above = inner.ancestors().take_while(|folder| *folder != root);
        let unlisted = above.take_while(|folder| !self.folders.contains(folder));
        unlisted.last().unwrap_or(inner)
    }
}

fn image_lines(root: &Path, listed: &Listed, walked: &Walked) -> Vec<String> {
    let mut groups: BTreeMap<(&Path, bool), Vec<&Path>> = BTreeMap::new();
    for image in walked.images.iter().filter(|image| !listed.has(image)) {
        let group = (listed.group(&image.path, root), image.decodable);
        groups.entry(group).or_default().push(&image.path);
    }
    let mut lines: Vec<String> = groups
        .iter()
        .take(LINES)
        .map(|((folder, decodable), files)| image_line(root, folder, *decodable, files))
        .collect();
    let rest: Vec<usize> = groups.values().skip(LINES).map(Vec::len).collect();
    if !rest.is_empty() {
        lines.push(format!(
            "{} more in {} other folders",
            count(rest.iter().sum(), "image file"),
            rest.len()
        ));
    }
    lines
}

fn image_line(root: &Path, folder: &Path, decodable: bool, files: &[&Path]) -> String {
    let endings: BTreeSet<String> = files.iter().filter_map(|file| ending(file)).collect();
    let endings = match endings.len() {
        0 => String::new(),
        _ => format!(" ({})", endings.into_iter().collect::<Vec<_>>().join(", ")),
    };
    let why = if decodable {
        "not listed"
    } else {
        "of a format that is not read"
    };
    format!(
        "{}{endings} in `{}`, {why}: {}",
        count(files.len(), "image file"),
        below(root, folder),
        examples(files.iter().map(|file| below(root, file)))
    )
}

/// Folders beside those of classes in which there is no image at all.
fn empty_folders(root: &Path, listed: &Listed, walked: &Walked) -> Option<String> {
    let has_image: HashSet<&Path> = walked
        .images
        .iter()
        .flat_map(|image| image.path.ancestors())
        .collect();
    let empty: Vec<&PathBuf> = walked
        .folders
        .iter()
        .filter(|folder| {
            folder
                .parent()
                .is_some_and(|parent| listed.class_parents.contains(parent))
        })
        .filter(|folder| !has_image.contains(folder.as_path()))
        .collect();
    let names = empty.iter().map(|folder| below(root, folder));
    (!empty.is_empty()).then(|| {
        format!(
            "{} without an image: {}",
            count(empty.len(), "folder"),
            examples(names)
        )
    })
}

/// Tables, where classes were read from folders.
fn unused_tables(root: &Path, walked: &Walked) -> Option<String> {
    let is_own = |path: &PathBuf| path.ends_with(Registration::LISTING);
    let is_table =
        |path: &PathBuf| ending(path).is_some_and(|ending| ending == ".csv" || ending == ".tsv");
    let tables = walked
        .others
        .iter()
        .filter(|path| is_table(path) && !is_own(path));
    let tables: Vec<&PathBuf> = tables.collect();
    let names = tables.iter().map(|table| below(root, table));
    (!tables.is_empty()).then(|| {
        format!(
            "{} not used, as classes are read from folders (a table of images has the columns `path` and `label`): {}",
            count(tables.len(), "table"),
            examples(names)
        )
    })
}

fn examples(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len() > EXAMPLES;
    let mut shown = names.take(EXAMPLES).collect::<Vec<_>>().join(", ");
    if more {
        shown += ", …";
    }
    shown
}

fn ending(file: &Path) -> Option<String> {
    let ending = file.extension()?.to_string_lossy().to_lowercase();
    Some(format!(".{ending}"))
}

/// Returns a path relative to `root`.
fn below(root: &Path, path: &Path) -> String {
    match path.strip_prefix(root) {
        Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
        Ok(below) => below.display().to_string(),
        Err(_) => path.display().to_string(),
    }
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
