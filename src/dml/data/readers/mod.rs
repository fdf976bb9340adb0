//! Readers of data sets in the shapes in which they are downloaded, one file for each.
//!
//! Every reader has a list of [`Layout`]s, the shapes in which its data set is passed on. [`Reader::find`] tries
//! them on a folder and on the folders in it; the first that lies there is read. A layout whose files are there
//! but wrong is an error, never a reason to try the next.
//!
//! | file | layouts |
//! | --- | --- |
//! | [`cub200`] | the official folder |
//! | [`cars196`] | `car_ims` with `cars_annos.mat`; the devkit with `cars_train` and `cars_test` |
//! | [`sop`] | `Ebay_train.txt` and `Ebay_test.txt` |
//! | [`in_shop`] | `list_eval_partition.txt` |
//! | [`manifest`] | `listing.csv`, `manifest.csv`, and any other table with the columns `path` and `label` |
//! | [`lists`] | `train.txt` and `test.txt`, or `train.txt`, `query.txt` and `gallery.txt`, with a space or a comma |
//! | [`folders`] | a folder for each class, all together or below `train` and `test` |
//!
//! The last three fit anybody's images, and the known data sets too when somebody has rearranged them.

mod cars196;
mod cub200;
mod folders;
mod in_shop;
mod lists;
pub mod manifest;
mod sop;
mod text;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::{
    DataError,
    archive::is_clutter,
    listing::{Class, Counts, Image, Listing, ListingError, Part, Role},
};

/// A data set that can be read, or anybody's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Caltech-UCSD Birds-200-2011.
    Cub200,
    /// Stanford Cars.
    Cars196,
    /// Stanford Online Products.
    Sop,
    /// DeepFashion's in-shop clothes retrieval.
    InShop,
    /// A user's own images.
    Own,
}

/// A shape in which a data set is passed on.
struct Layout {
    /// What it is called when it was found.
    name: &'static str,
    /// Reads it, if it lies in this folder.
    list: fn(&Path) -> Result<Option<Listing>, DataError>,
}

/// A data set that was found.
#[derive(Debug)]
pub struct Found {
    /// The shape it has.
    pub layout: &'static str,
    /// The folder in which that shape lies.
    pub root: PathBuf,
    /// What there is, checked. All its files exist.
    pub listing: Listing,
}

/// How deep below a folder a data set is looked for.
const DEPTH: usize = 2;

impl Reader {
    /// The shapes it knows, the most telling first.
    fn layouts(self) -> impl Iterator<Item = &'static Layout> {
        let own: &[Layout] = match self {
            Reader::Cub200 => &cub200::LAYOUTS,
            Reader::Cars196 => &cars196::LAYOUTS,
            Reader::Sop => &sop::LAYOUTS,
            Reader::InShop => &in_shop::LAYOUTS,
            Reader::Own => &[],
        };
        own.iter()
            .chain(&manifest::LAYOUTS)
            .chain(&lists::LAYOUTS)
            .chain(&folders::LAYOUTS)
    }

    /// What there is in it, as its authors or the papers that use it say.
    pub fn published(self) -> Option<Counts> {
        match self {
            Reader::Cub200 => Some(cub200::PUBLISHED),
            Reader::Cars196 => Some(cars196::PUBLISHED),
            Reader::Sop => Some(sop::PUBLISHED),
            Reader::InShop => Some(in_shop::PUBLISHED),
            Reader::Own => None,
        }
    }

    /// Finds the data set in a folder, or in a folder in it.
    ///
    /// # Errors
    /// If no layout lies there, or the one that does is damaged, lacks files or makes no sense.
    pub fn find(self, folder: &Path) -> Result<Found, DataError> {
        let folder = folder.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => DataError::missing(folder, "a folder with images"),
            _ => DataError::unreadable(folder, error),
        })?;
        let places = places(&folder)?;
        for layout in self.layouts() {
            for root in &places {
                if let Some(listing) = (layout.list)(root)? {
                    listing
                        .check()
                        .map_err(|error| refused(root, layout, &error))?;
                    all_there(&listing)?;
                    return Ok(Found {
                        layout: layout.name,
                        root: root.clone(),
                        listing,
                    });
                }
            }
        }
        let known: Vec<&str> = self.layouts().map(|layout| layout.name).collect();
        Err(DataError::unreadable(
            &folder,
            format!("no known layout lies there: {}", known.join("; ")),
        ))
    }
}

fn refused(root: &Path, layout: &Layout, error: &ListingError) -> DataError {
    DataError::unreadable(root, format!("read as {}: {error}", layout.name))
}

/// The folder and the folders in it, the nearest first.
fn places(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut places = vec![folder.to_owned()];
    let mut level = places.clone();
    for _ in 0..DEPTH {
        let inner = level
            .iter()
            .map(|folder| folders_in(folder))
            .collect::<Result<Vec<_>, _>>()?;
        level = inner.into_iter().flatten().map(|(_, path)| path).collect();
        places.extend(level.iter().cloned());
    }
    Ok(places)
}

/// The names and paths in a folder in the order of names, without what is hidden.
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
    ["jpg", "jpeg", "png"]
        .iter()
        .any(|image| ending.eq_ignore_ascii_case(image))
}

/// Sees that every listed file is a file.
fn all_there(listing: &Listing) -> Result<(), DataError> {
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

/// A listed image on its way into a half.
struct Row<K> {
    /// Brings classes into order, and is equal for images of one class only.
    key: K,
    class: Class,
    path: PathBuf,
    role: Role,
    bounding_box: Option<[u32; 4]>,
}

impl<K> Row<K> {
    /// An image that is a query and a reference, whole, of a class without a super-class.
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

/// Puts images into the order of classes, then of names, and numbers the classes from 0 without gaps.
fn part<K: Ord>(mut rows: Vec<Row<K>>) -> Part {
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

/// Trains on the first half of the classes, rounded down, and tests on the others.
fn halves<K: Ord>(rows: Vec<Row<K>>) -> Listing {
    Listing {
        training: part(rows),
        test: Part::default(),
    }
    .in_halves()
}

/// The order of labels: numbers by value, and other texts, after all numbers, by letters.
fn label_key(label: &str) -> (u64, String) {
    (label.parse().unwrap_or(u64::MAX), label.to_owned())
}

/// Names classes by the folder their images lie in, where that says the same as their labels do.
///
/// Some lists number the classes of the test half from 0 again; their folders still tell them apart.
fn named_by_folders<K: Ord + Clone>(rows: &mut [Row<K>]) {
    let folder_of = |row: &Row<K>| {
        row.path
            .parent()
            .and_then(Path::file_name)
            .map(|name| name.to_string_lossy().into_owned())
    };
    let (mut folder_of_class, mut class_of_folder) = (BTreeMap::new(), BTreeMap::new());
    for row in rows.iter() {
        let Some(folder) = folder_of(row) else { return };
        if *folder_of_class
            .entry(row.key.clone())
            .or_insert_with(|| folder.clone())
            != folder
            || *class_of_folder
                .entry(folder)
                .or_insert_with(|| row.key.clone())
                != row.key
        {
            return;
        }
    }
    for row in rows {
        row.class.name = folder_of_class[&row.key].clone();
    }
}

#[cfg(test)]
mod tests;
