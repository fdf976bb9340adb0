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
//! | [`inaturalist2018`] | `Inaturalist_train_set1.txt` and `Inaturalist_test_set1.txt` |
//! | [`vehicle_id`] | `train_list.txt` and the list of a test set in `train_test_split` |
//! | [`manifest`] | `manifest.csv`, and any other table with the columns `path` and `label` |
//! | [`lists`] | `train.txt` and `test.txt`, or `train.txt`, `query.txt` and `gallery.txt`, with a space or a comma |
//! | [`folders`] | a folder for each class, all together or below `train` and `test` or `val`, also in super-classes |
//!
//! The last three fit any images, and the published data sets too where somebody has rearranged them.

mod cars196;
mod cub200;
mod folders;
mod in_shop;
mod inaturalist2018;
mod lists;
pub mod manifest;
mod omniglot;
mod sop;
pub(super) mod text;
mod vehicle_id;

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use image::ImageFormat;
use rayon::prelude::*;
use schema::Dataset;

use super::{
    DataError,
    archive::{head, is_clutter},
    decode::is_decoded,
    listing::{Class, Image, Listing, ListingError, Part, Role},
    walk::walk,
};
use crate::foreign::Foreign;

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
    /// True if the classes are the folders of their images.
    pub by_folders: bool,
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
        Dataset::Inaturalist2018 => &inaturalist2018::LAYOUTS,
        Dataset::VehicleIdSmall => &vehicle_id::SMALL,
        Dataset::VehicleIdMedium => &vehicle_id::MEDIUM,
        Dataset::VehicleIdLarge => &vehicle_id::LARGE,
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
    find_named(dataset, folder, &Path::to_owned)
}

/// As [`find`]. Errors have the names that `name` returns for files and folders.
///
/// # Errors
/// As for [`find`].
pub(super) fn find_named(
    dataset: &Dataset,
    folder: &Path,
    name: &dyn Fn(&Path) -> PathBuf,
) -> Result<Found, DataError> {
    let found = search(dataset, folder).map_err(|error| error.with_names(name))?;
    let named = with_names(&found.listing, name);
    named
        .check()
        .map_err(|error| refused(&name(&found.root), &found, &error))?;
    check_files(&found.listing).map_err(|error| error.with_names(name))?;
    Ok(found)
}

/// Reads the first layout that is there.
fn search(dataset: &Dataset, folder: &Path) -> Result<Found, DataError> {
    let folder = folder.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DataError::missing(folder, "a folder with images"),
        _ => DataError::unreadable(folder, error),
    })?;
    let candidates = folders_below(&folder)?;
    for layout in layouts(dataset) {
        for root in &candidates {
            if let Some(listing) = (layout.list)(root)? {
                return Ok(Found {
                    layout: layout.name,
                    by_folders: folders::LAYOUTS.iter().any(|own| own.name == layout.name),
                    root: root.clone(),
                    listing,
                });
            }
        }
    }
    Err(DataError::unreadable(
        &folder,
        nothing_found(dataset, &folder)?,
    ))
}

/// Says what is missing where there is no layout.
fn nothing_found(dataset: &Dataset, folder: &Path) -> Result<String, DataError> {
    let images = walk(folder)?.images;
    let why = match images.iter().filter(|image| image.decodable).count() {
        0 if images.is_empty() => "there is no image in it",
        0 => "its images are of a format that is not read; convert them to PNG",
        _ => "its images are not in folders of two or more classes",
    };
    let known: Vec<&str> = layouts(dataset).map(|layout| layout.name).collect();
    Ok(format!("{why}\nknown layouts:\n  {}", known.join("\n  ")))
}

fn with_names(listing: &Listing, name: &dyn Fn(&Path) -> PathBuf) -> Listing {
    let mut named = listing.clone();
    for image in named
        .training
        .images
        .iter_mut()
        .chain(&mut named.test.images)
    {
        image.path = name(&image.path);
    }
    named
}

fn refused(root: &Path, found: &Found, error: &ListingError) -> DataError {
    let mut why = format!("read as {}: {error}", found.layout);
    if found.by_folders && matches!(error, ListingError::Shared { .. }) {
        why += "; retrieval is tested on classes that were not trained on: merge the folders of each class, and \
                half of the classes are tested on";
    }
    DataError::unreadable(root, why)
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
    ImageFormat::from_path(name).is_ok_and(is_decoded)
}

/// Checks that every listed file is a file, and no two are one.
fn check_files(listing: &Listing) -> Result<(), DataError> {
    let images: Vec<&Image> = listing
        .halves()
        .into_iter()
        .flat_map(|(_, part)| &part.images)
        .collect();
    let checked: Vec<Result<PathBuf, DataError>> = images
        .par_iter()
        .map(|image| check_file(&image.path))
        .collect();
    let wrong = checked.iter().filter(|file| file.is_err()).count();
    let mut files = HashMap::with_capacity(images.len());
    for (image, file) in images.into_iter().zip(checked) {
        let file = file.map_err(|error| error.and_others(wrong - 1))?;
        if let Some(other) = files.insert(file, &image.path) {
            let why = format!(
                "it is the same file as `{}`, which is listed, too",
                other.display()
            );
            return Err(DataError::unreadable(&image.path, why));
        }
    }
    Ok(())
}

/// Returns the path of a file without links, if it can be an image.
fn check_file(path: &Path) -> Result<PathBuf, DataError> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DataError::missing(path, "an image that the data set lists; to use a part of its images, add them under a name of your own, in class folders"),
        _ => DataError::unreadable(path, error),
    })?;
    if metadata.is_dir() {
        return Err(DataError::unreadable(path, "it is a folder, not an image"));
    }
    if !metadata.is_file() {
        return Err(DataError::unreadable(
            path,
            "it is a pipe or a device, not an image",
        ));
    }
    if metadata.len() < LARGEST_POINTER
        && let Ok(head) = head(path)
        && let Some(pointer @ Foreign::LfsPointer) = Foreign::of(&head)
    {
        return Err(DataError::unreadable(path, pointer.clause("")));
    }
    fs::canonicalize(path).map_err(|error| DataError::unreadable(path, error))
}

/// Bytes that a pointer of Git LFS never has.
const LARGEST_POINTER: u64 = 1024;

/// A listed image.
pub(super) struct Row<K> {
    /// The order of classes; equal only for images of one class.
    pub(super) key: K,
    pub(super) class: Class,
    pub(super) path: PathBuf,
    pub(super) role: Role,
    pub(super) bounding_box: Option<[u32; 4]>,
    pub(super) camera: Option<String>,
}

impl<K> Row<K> {
    /// Returns an image that is a query and a reference, of unknown camera, without a box, of a class
    /// without a super-class.
    fn new(key: K, class: impl Into<String>, path: PathBuf) -> Row<K> {
        let class = Class {
            name: class.into(),
            category: None,
            wider: Vec::new(),
        };
        Row {
            key,
            class,
            path,
            role: Role::Both,
            bounding_box: None,
            camera: None,
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
            camera: row.camera,
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
