//! Prepared data sets: decoded and resized images, as trainings read them.
//!
//! The folder holds `images.u8`, the images one after another, first those to train on, in the order of
//! classes and names, and `index.json`, which describes them. The index is written last: a folder
//! without one is not prepared. It is sealed and has the hash of the images, and opening compares both.
//!
//! If the images do not fit on the disk, they are decoded whenever they are needed, and instead of `images.u8` there
//! is a file `root` with the path of the folder to which the paths in the index are relative. Either way all processes
//! on a machine share one copy in its page cache.

mod contents;
mod half;
mod index;
mod preparation;
#[cfg(test)]
mod tests;

use std::{io, ops::Range, path::Path, sync::Arc};

use schema::{Dataset, PrepareWork, StoredImages};
use serde::{Deserialize, Serialize};

use self::index::Index;
pub use self::{half::Half, preparation::Preparation};
use super::{DataError, ImageStore, listing::Role, stored::Origin};

/// Version of the folder's layout and of the pixels: raised whenever either changes.
pub const PREPARED: u32 = 3;

const IMAGES: &str = PrepareWork::IMAGES;
const INDEX: &str = PrepareWork::INDEX;

/// The size of a prepared data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Classes to train on.
    pub training_classes: u64,
    /// Their images.
    pub training_images: u64,
    /// Classes to test on.
    pub test_classes: u64,
    /// Their images.
    pub test_images: u64,
}

impl Summary {
    fn of(training: &Half, test: &Half) -> Summary {
        Summary {
            training_classes: training.classes.len() as u64,
            training_images: training.labels.len() as u64,
            test_classes: test.classes.len() as u64,
            test_images: test.labels.len() as u64,
        }
    }
}

/// A prepared data set, open.
#[derive(Debug)]
pub struct PreparedData {
    /// All images: those to train on, then those to test on.
    pub images: Arc<ImageStore>,
    /// The data set. Absent if an earlier version prepared it.
    pub dataset: Option<Dataset>,
    /// The classes and images to train on.
    pub training: Half,
    /// The classes and images to test on.
    pub test: Half,
    /// The BLAKE3 hash of all images; of their files, if there is no cache.
    pub blake3: String,
}

impl PreparedData {
    /// Opens what [`Preparation::run`] wrote, and compares it with its hashes.
    ///
    /// # Errors
    /// If nothing is prepared there, or it is damaged.
    pub fn open(into: &Path) -> Result<PreparedData, DataError> {
        let mut index = Index::read(&into.join(INDEX))?;
        let (decoding, sides) = (index.decoding(), index.sides());
        let images = match index.files {
            Some(files) => ImageStore::streamed(located(files, into)?, decoding, sides),
            None => ImageStore::cached(&into.join(IMAGES), decoding, sides, &index.blake3)?,
        };
        for half in [&mut index.training, &mut index.test] {
            half.roles.resize(half.labels.len(), Role::Both);
        }
        Ok(PreparedData {
            images: Arc::new(images),
            dataset: index.dataset,
            training: index.training,
            test: index.test,
            blake3: index.blake3,
        })
    }

    /// Returns true if these are the images of a data set, stored in this way. Folders of earlier versions do
    /// not name their data set, and are known by their location alone.
    pub fn is_of(&self, dataset: &Dataset, stored: &StoredImages) -> bool {
        let is_dataset = self.dataset.as_ref().is_none_or(|known| known == dataset);
        is_dataset && self.images.stored() == stored
    }

    /// Returns the indices of the images to train on among all.
    pub fn training_images(&self) -> Range<usize> {
        0..self.training.labels.len()
    }

    /// Returns the indices of the images to test on among all.
    pub fn test_images(&self) -> Range<usize> {
        self.training.labels.len()..self.training.labels.len() + self.test.labels.len()
    }

    /// Returns the number of classes and images.
    pub fn counts(&self) -> Summary {
        Summary::of(&self.training, &self.test)
    }
}

/// Returns the files with their present paths.
fn located(files: Vec<Origin>, into: &Path) -> Result<Vec<Origin>, DataError> {
    let path = into.join(PrepareWork::ROOT);
    let root = durable::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            DataError::missing(&path, "the path of the folder with the images")
        }
        _ => DataError::unreadable(&path, error),
    })?;
    Ok(files
        .into_iter()
        .map(|file| Origin {
            path: Path::new(&root).join(&file.path),
            ..file
        })
        .collect())
}
