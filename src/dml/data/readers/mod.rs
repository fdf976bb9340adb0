//! Readers of data sets in the layouts in which they are downloaded, one file each.
//!
//! A reader has a list of [`Layout`]s: the shapes in which its data set is passed on. [`find`] tries them
//! on a folder and on the folders in it, and reads the first that is there. A layout whose files are
//! there but wrong is an error, never a reason to try the next.
//!
//! | file | layouts |
//! | --- | --- |
//! | [`omniglot`] | `images_background` and `images_evaluation` |
//! | [`cub200`] | the official folder |
//! | [`cars196`] | `car_ims` with `cars_annos.mat`; the devkit with `cars_train` and `cars_test` |
//! | [`sop`] | `Ebay_train.txt` and `Ebay_test.txt` |
//! | [`in_shop`] | `list_eval_partition.txt` |
//! | [`manifest`] | `manifest.csv`, and any other table with the columns `path` and `label` |
//! | [`lists`] | `train.txt` and `test.txt`, or `train.txt`, `query.txt` and `gallery.txt`, with a space or a comma |
//! | [`folders`] | a folder for each class, all together or below `train` and `test` |
//!
//! The last three fit any images, and the published data sets too where somebody has rearranged them.

mod cars196;
mod cub200;
mod folders;
mod in_shop;
mod lists;
mod manifest;
mod omniglot;
mod sop;
mod text;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use schema::Dataset;

use super::{
    DataError,
    archive::is_clutter,
    listing::{Class, Image, Listing, ListingError, Part, Role},
};

/// A shape in which a data set is passed on.
struct Layout {
    /// Its name in messages.
    name: &'static str,
    /// Reads it, if it is in this folder.
    list: fn(&Path) -> Result<Option<Listing>, DataError>,
}

/// A data set that was found.
#[derive(Debug)]
pub struct Found {
    /// Its layout.
    pub layout: &'static str,
    /// The folder with that layout.
    pub root: PathBuf,
    /// Its images, checked. All files exist.
    pub listing: Listing,
}

/// The levels of folders in which a data set is looked for.
const DEPTH: usize = 2;

/// Returns the layouts of a data set's authors.
fn official_layouts(dataset: &Dataset) -> &'static [Layout] {
    match dataset {
        Dataset::Glyphs(_) | Dataset::Own(_) => &[],
        Dataset::Omniglot => &omniglot::LAYOUTS,
        Dataset::Cub200 => &cub200::LAYOUTS,
        Dataset::Cars196 => &cars196::LAYOUTS,
        Dataset::Sop | Dataset::SopHalves => &sop::LAYOUTS,
        Dataset::InShop => &in_shop::LAYOUTS,
    }
}

/// Returns all layouts in which a data set is looked for, the most specific first.
fn layouts(dataset: &Dataset) -> impl Iterator<Item = &'static Layout> {
    official_layouts(dataset)
        .iter()
        .chain(&manifest::LAYOUTS)
        .chain(&lists::LAYOUTS)
        .chain(&folders::LAYOUTS)
}

/// Finds a data set in a folder, or in a folder in it.
///
/// # Errors
/// If no layout is there, or the one that is there is damaged, lacks files or is inconsistent.
pub fn find(dataset: &Dataset, folder: &Path) -> Result<Found, DataError> {
    let folder = folder.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DataError::missing(folder, "a folder with images"),
        _ => DataError::unreadable(folder, error),
    })?;
    let candidates = folders_below(&folder)?;
    for layout in layouts(dataset) {
        for root in &candidates {
            let Some(listing) = (layout.list)(root)? else {
                continue;
            };
            listing
                .check()
                .map_err(|error| refused(root, layout, &error))?;
            check_files(&listing)?;
            check_disjoint_files(&listing)?;
            return Ok(Found {
                layout: layout.name,
                root: root.clone(),
                listing,
            });
        }
    }
    let known: Vec<&str> = layouts(dataset).map(|layout| layout.name).collect();
    let why = format!("it has none of the known layouts: {}", known.join("; "));
    Err(DataError::unreadable(&folder, why))
}

fn refused(root: &Path, layout: &Layout, error: &ListingError) -> DataError {
    DataError::unreadable(root, format!("read as {}: {error}", layout.name))
}

/// Returns the folder and the folders in it, the nearest first.
fn folders_below(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut all = vec![folder.to_owned()];
    let mut level = all.clone();
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for folder in &level {
            next.extend(folders_in(folder)?.into_iter().map(|(_, path)| path));
        }
        all.extend(next.iter().cloned());
        level = next;
    }
    Ok(all)
}

/// Returns the names and paths in a folder in the order of names, without hidden ones.
fn inside(folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let unreadable = |error: io::Error| DataError::unreadable(folder, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        match name {
            None => {
                return Err(DataError::unreadable(
                    &path,
                    "its name is not valid UTF-8; rename it",
                ));
            }
            Some(name) if is_clutter(name) => {}
            Some(name) => found.push((name.to_owned(), path)),
        }
    }
    found.sort();
    Ok(found)
}

fn folders_in(folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    Ok(inside(folder)?
        .into_iter()
        .filter(|(name, path)| !is_image(name) && path.is_dir())
        .collect())
}

fn is_image(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    [
        "jpg", "jpeg", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff",
    ]
    .iter()
    .any(|image| ending.eq_ignore_ascii_case(image))
}

/// Checks that every listed file is a file.
fn check_files(listing: &Listing) -> Result<(), DataError> {
    let images: Vec<&Image> = listing
        .halves()
        .into_iter()
        .flat_map(|(_, part)| &part.images)
        .collect();
    let wrong = |image: &&Image| match fs::metadata(&image.path) {
        Ok(metadata) if metadata.is_file() => None,
        Ok(_) => Some(DataError::unreadable(
            &image.path,
            "it is a folder, not an image",
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(DataError::missing(
            &image.path,
            "an image that the data set lists",
        )),
        Err(error) => Some(DataError::unreadable(&image.path, error)),
    };
    images.par_iter().find_map_first(wrong).map_or(Ok(()), Err)
}

/// Checks that no file is in both halves under two names.
fn check_disjoint_files(listing: &Listing) -> Result<(), DataError> {
    let identity = |image: &Image| {
        let metadata = fs::metadata(&image.path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let training: BTreeMap<_, &Image> = listing
        .training
        .images
        .iter()
        .filter_map(|image| Some((identity(image)?, image)))
        .collect();
    let same = |image: &Image| training.get(&identity(image)?).copied();
    let mut both = listing.test.images.iter();
    let shared = both.find_map(|image| Some((image, same(image)?)));
    shared.map_or(Ok(()), |(test, training)| {
        let why = format!(
            "it is in both halves: it is the same file as `{}`",
            training.path.display()
        );
        Err(DataError::unreadable(&test.path, why))
    })
}

/// A listed image.
pub(super) struct Row<K> {
    /// The order of classes; equal only for images of one class.
    pub(super) key: K,
    pub(super) class: Class,
    pub(super) path: PathBuf,
    pub(super) role: Role,
    pub(super) bounding_box: Option<[u32; 4]>,
}

impl<K> Row<K> {
    /// Returns an image that is a query and a reference, without a box, of a class without a super-class.
    fn new(key: K, class: impl Into<String>, path: PathBuf) -> Row<K> {
        let class = Class {
            name: class.into(),
            category: None,
        };
        Row {
            key,
            class,
            path,
            role: Role::Both,
            bounding_box: None,
        }
    }
}

/// Sorts images by class, then by path, and numbers the classes from 0 without gaps.
pub(super) fn part<K: Ord>(mut rows: Vec<Row<K>>) -> Part {
    rows.sort_by(|one, other| (&one.key, &one.path).cmp(&(&other.key, &other.path)));
    let mut part = Part::default();
    let mut last = None;
    for row in rows {
        if last.as_ref() != Some(&row.key) {
            part.classes.push(row.class);
            last = Some(row.key);
        }
        let class = part.classes.len() as u32 - 1;
        part.images.push(Image {
            path: row.path,
            class,
            role: row.role,
            bounding_box: row.bounding_box,
        });
    }
    part
}

/// Returns a listing with the first half of the classes, rounded down, to train on.
fn halves<K: Ord>(rows: Vec<Row<K>>) -> Listing {
    Listing {
        training: part(rows),
        test: Part::default(),
    }
    .in_halves()
}

/// Returns the sort key of a label: numbers by value, also if written as `12.0`, then other texts alphabetically.
fn label_key(label: &str) -> (u64, String) {
    let number = label.strip_suffix(".0").unwrap_or(label);
    (number.parse().unwrap_or(u64::MAX), label.to_owned())
}

/// Names classes by the folder of their images, if folders and labels correspond one to one.
///
/// Some lists number the classes of the test half from 0 again; their folders still distinguish them.
fn named_by_folders<K: Ord + Clone>(rows: &mut [Row<K>]) {
    let mut folder_of_class = BTreeMap::new();
    let mut class_of_folder = BTreeMap::new();
    for row in rows.iter() {
        let Some(folder) = folder_of(row) else { return };
        let of_class = folder_of_class.entry(row.key.clone());
        let of_folder = class_of_folder.entry(folder.clone());
        if *of_class.or_insert(folder.clone()) != folder
            || *of_folder.or_insert(row.key.clone()) != row.key
        {
            return;
        }
    }
    for row in rows {
        row.class.name = folder_of_class[&row.key].clone();
    }
}

fn folder_of<K>(row: &Row<K>) -> Option<String> {
    let folder = row.path.parent()?.file_name()?;
    Some(folder.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
