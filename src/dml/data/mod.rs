//! Images and labels: where they come from and how a training reads them.
//!
//! [`adding`] unpacks what a user downloaded, and the [`readers`] list its files. A [`Source`] is a data
//! set with class-disjoint training and test halves. A [`Preparation`] decodes and resizes it once into
//! a folder of two files. [`PreparedData`] opens that folder; all processes that open it share one copy
//! of the images in memory. [`Batches`] and [`Loader`] transform images batch by batch.
//!
//! Files and folders get their names only when they are complete, and the index of a prepared data set
//! is written last. Faults of the user's files are [`DataError::Missing`] or
//! [`DataError::Unreadable`]; faults of the disk are [`DataError::Disk`].

pub mod adding;
mod archive;
mod broken;
mod chosen;
mod class_list;
mod class_splits;
mod colors;
mod decode;
mod fingerprint;
mod given;
mod glyphs;
mod inspect;
mod left_aside;
pub mod listing;
mod loader;
mod mat;
mod on_device;
mod operations;
mod photos;
mod policy;
mod prepared;
mod raster;
pub mod readers;
mod resize;
mod stored;
mod table;
mod transform;
mod walk;

use std::{
    io,
    path::{Path, PathBuf},
};

use durable::DiskError;
use schema::Registration;
pub use schema::{
    Background, Cache, Color, ColorJitter, Dataset, Glyphs, ImageSize, RandomErasing,
    RandomResizedCrop, StoredImages, TrainTransform,
};

pub use self::{
    chosen::{ClassedImage, chosen},
    colors::Adjustment,
    decode::decode,
    inspect::{Inspection, Spread},
    listing::Listing,
    loader::{Batches, Loader},
    operations::Operation,
    prepared::{Half, PREPARED, Preparation, PreparedData, Summary},
    raster::{Raster, Region},
    stored::ImageStore,
    transform::{AugmentParams, DrawKey},
};
use crate::random::{Draws, Purpose};

/// Receives the number of images or bytes that are done, and the total, from any thread.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// A data set and the location of its images.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Drawn by the program itself.
    Glyphs(Glyphs),
    /// Files, as a reader listed them.
    Files {
        /// The data set.
        dataset: Dataset,
        /// The data set's own folder. It can move after it is prepared: see
        /// [`PrepareWork::ROOT`](schema::PrepareWork::ROOT).
        root: PathBuf,
        /// The files, checked.
        listing: Listing,
    },
}

impl Source {
    /// Opens a data set whose own folder is `root`, and reads its table of images.
    ///
    /// # Errors
    /// If it has files and no folder is given, or the table is missing or inconsistent.
    pub fn open(dataset: &Dataset, root: Option<&Path>) -> Result<Source, DataError> {
        if let Dataset::Glyphs(glyphs) = dataset {
            return Ok(Source::Glyphs(glyphs.clone()));
        }
        let facts = dataset.facts();
        let Some(root) = root else {
            let what = format!("the folder of {}; none is given", facts.title);
            return Err(DataError::missing(Path::new(facts.folder), what));
        };
        let table = root.join(Registration::LISTING);
        let listing = table::read(&table)?;
        let listing = if facts.equal_halves {
            listing.in_halves()
        } else {
            listing
        };
        listing
            .check()
            .map_err(|error| DataError::unreadable(&table, error))?;
        Ok(Source::Files {
            dataset: dataset.clone(),
            root: root.to_owned(),
            listing,
        })
    }

    /// Returns the data set.
    pub fn dataset(&self) -> Dataset {
        match self {
            Source::Glyphs(glyphs) => Dataset::Glyphs(glyphs.clone()),
            Source::Files { dataset, .. } => dataset.clone(),
        }
    }

    /// Returns the data set's own folder; empty for one that is drawn.
    fn root(&self) -> &Path {
        match self {
            Source::Glyphs(_) => Path::new(""),
            Source::Files { root, .. } => root,
        }
    }
}

/// Why images cannot be read or stored.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Something that should be there is not.
    #[error("`{}` is missing: {what}", path.display())]
    Missing {
        /// The missing file or folder.
        path: PathBuf,
        /// What it should be, and what to do.
        what: String,
    },
    /// A file or folder is there but cannot be used.
    #[error("cannot use `{}`: {why}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do if that is known.
        why: String,
    },
    /// The counts of a data set differ from the published ones.
    #[error("cannot use `{}`: {why}", path.display())]
    OtherCounts {
        /// The folder of the data set.
        path: PathBuf,
        /// The counts that differ, one per line.
        why: String,
    },
    /// The files of a data set are not those whose fingerprint is in the ids of the runs.
    #[error("cannot use `{}`: {why}", path.display())]
    Changed {
        /// The folder of the data set.
        path: PathBuf,
        /// What changed, and what to do.
        why: String,
    },
    /// The disk does not accept a file or folder.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl DataError {
    fn missing(path: &Path, what: impl Into<String>) -> DataError {
        DataError::Missing {
            path: path.into(),
            what: what.into(),
        }
    }

    fn unreadable(path: &Path, why: impl ToString) -> DataError {
        DataError::Unreadable {
            path: path.into(),
            why: why.to_string(),
        }
    }

    fn damaged(path: &Path, why: &str) -> DataError {
        DataError::unreadable(path, format!("it is damaged ({why}); remove its folder"))
    }

    /// Returns the same with other names for files and folders.
    fn with_names(mut self, name: impl Fn(&Path) -> PathBuf) -> DataError {
        match &mut self {
            DataError::Missing { path, .. }
            | DataError::Unreadable { path, .. }
            | DataError::OtherCounts { path, .. }
            | DataError::Changed { path, .. }
            | DataError::Disk(DiskError { path, .. }) => *path = name(path),
        }
        self
    }

    /// Returns the same, saying how many other files are as wrong.
    fn and_others(mut self, others: usize) -> DataError {
        if let DataError::Missing { what: why, .. } | DataError::Unreadable { why, .. } = &mut self
            && others > 0
        {
            *why += &format!(" ({others} others cannot be used either)");
        }
        self
    }

    /// Returns what is wrong, without the file or folder.
    fn why(&self) -> String {
        match self {
            DataError::Missing { what, .. } => format!("it is missing: {what}"),
            DataError::Unreadable { why, .. }
            | DataError::OtherCounts { why, .. }
            | DataError::Changed { why, .. } => why.clone(),
            DataError::Disk(error) => error.cause.to_string(),
        }
    }

    /// Returns a function for `map_err` that adds the action and the path to a system error.
    fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataError {
        let at = DiskError::at(action, path);
        move |cause| DataError::Disk(at(cause))
    }
}

/// Returns a random permutation of the labels.
pub fn shuffled(labels: &[i64], seed: u64) -> Vec<i64> {
    let mut labels = labels.to_vec();
    let count = labels.len();
    Draws::new(seed, Purpose::Labels, 0, 0).choose(&mut labels, count);
    labels
}

/// Returns the larger class, of `larger`, of each of `classes` classes: a random map, the one of this number, with as many
/// classes in each up to one.
pub fn label_map(classes: usize, larger: usize, seed: u64, number: u32) -> Vec<i64> {
    let mut order: Vec<usize> = (0..classes).collect();
    Draws::new(seed, Purpose::LabelMap, number.into(), 0).choose(&mut order, classes);
    let mut map = vec![0; classes];
    for (place, class) in order.into_iter().enumerate() {
        map[class] = (place % larger.max(1)) as i64;
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_map_is_balanced_and_depends_on_the_seed_and_its_number() {
        let map = label_map(50, 12, 1, 0);
        let mut counts = [0; 12];
        map.iter().for_each(|&larger| counts[larger as usize] += 1);
        assert!(
            counts.iter().all(|count| (4..=5).contains(count)),
            "{counts:?}"
        );
        assert_eq!(map, label_map(50, 12, 1, 0));
        assert_ne!(map, label_map(50, 12, 1, 1));
        assert_ne!(map, label_map(50, 12, 2, 0));
    }

    #[test]
    fn shuffled_labels_are_a_permutation_that_depends_on_the_seed_alone() {
        let labels: Vec<i64> = (0..200).map(|image| image / 20).collect();
        let (one, other) = (shuffled(&labels, 1), shuffled(&labels, 2));
        assert_eq!(one, shuffled(&labels, 1));
        assert_ne!(one, other);
        assert_ne!(one, labels);
        let mut sorted = one;
        sorted.sort_unstable();
        assert_eq!(sorted, labels);
    }
}

#[cfg(test)]
mod adding_tests;
#[cfg(test)]
mod pixels_tests;
#[cfg(test)]
mod transform_tests;
