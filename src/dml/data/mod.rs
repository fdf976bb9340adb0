//! Images and labels: where they come from and how a training gets at them.
//!
//! A [`Source`] is a data set with class-disjoint training and test halves. A [`Preparation`] decodes and resizes
//! it once into a folder of two files, whatever the source was; [`PreparedData`] opens that folder, and many
//! processes that do so share one copy of the images in memory. [`omniglot::import`] comes before
//! both: it turns what a user downloaded into a verified folder.
//!
//! Nothing half-written is ever taken for whole: folders and files get their names only when they are
//! complete, and the index, which says that there is something to open, comes last. What is wrong with the
//! user's files is [`DataError::Missing`] or [`DataError::Unreadable`]; what is wrong with the machine's
//! disk is [`DataError::Disk`].

pub mod adding;
mod archive;
mod colours;
mod decode;
mod glyphs;
mod inspect;
pub mod listing;
mod loader;
mod mat;
pub mod omniglot;
mod on_device;
mod prepared;
mod raster;
pub mod readers;
mod resize;
mod stored;
mod transform;

use std::{
    io,
    path::{Path, PathBuf},
};

use durable::DiskError;

pub use self::{
    adding::LISTING,
    colours::Adjustment,
    decode::decode,
    glyphs::{DRAWING, Glyphs},
    inspect::{Inspection, Spread},
    listing::Listing,
    loader::{Batches, Loader},
    on_device::on_device,
    prepared::{Cache, PREPARED, Preparation, PreparedData, ROOT, Summary},
    raster::{Colour, Raster, Region},
    stored::{ImageSize, ImageStore, StoredImages},
    transform::{ColourJitter, Crop, Plan, RandomErasing, Transform},
};
use crate::random::{Draws, Purpose};

/// Is told how many of how many images are done, from any thread.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// A data set and where it lies.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Drawn by the program itself.
    Glyphs(Glyphs),
    /// Omniglot, as [`omniglot::import`] leaves it.
    Omniglot {
        /// The folder with `images_background` and `images_evaluation`.
        root: PathBuf,
    },
    /// Files in the shape of any data set, as a reader found them.
    Files {
        /// The name of the data set.
        title: String,
        /// The data set's own folder. When it moves, what is prepared of it can be told so: see [`ROOT`].
        root: PathBuf,
        /// The files, checked.
        listing: Listing,
    },
}

impl Source {
    /// The name of the data set. Synthetic data always says so.
    pub fn title(&self) -> &str {
        match self {
            Source::Glyphs(_) => "Glyphs (synthetic)",
            Source::Omniglot { .. } => "Omniglot",
            Source::Files { title, .. } => title,
        }
    }

    /// The data set's own folder; nothing for one that is drawn.
    fn root(&self) -> &Path {
        match self {
            Source::Glyphs(_) => Path::new(""),
            Source::Omniglot { root } | Source::Files { root, .. } => root,
        }
    }
}

/// Why images could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Something that should be there is not.
    #[error("`{}` is missing: {what}", path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
        /// What it should have been, and what to do.
        what: String,
    },
    /// A file or folder is there but cannot be used.
    #[error("cannot use `{}`: {why}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do if that can be known.
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

    /// Returns a function for `map_err` that adds the action and the path to a system error.
    fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataError {
        let at = DiskError::at(action, path);
        move |cause| DataError::Disk(at(cause))
    }
}

/// Returns the labels in a random order: as many images of each class as before, of no class any more.
pub fn shuffled(labels: &[i64], seed: u64) -> Vec<i64> {
    let mut labels = labels.to_vec();
    let count = labels.len();
    Draws::new(seed, Purpose::Labels, 0, 0).choose(&mut labels, count);
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

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
mod pixels_tests;
#[cfg(test)]
mod transform_tests;
