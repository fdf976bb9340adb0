//! `index.json`: what a prepared folder says of itself.

use std::{io, path::Path};

use schema::{Dataset, Fingerprint, PreparedIndex, StoredImages};
use serde::{Deserialize, Serialize};

use super::{PREPARED, Summary, half::Half};
use crate::data::{
    DataError,
    stored::{Decoding, Origin, Sides},
};

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    pub(super) version: u32,
    /// The title of the data set, for people who read the file.
    pub(super) source: String,
    /// Absent in folders that an earlier version prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dataset: Option<Dataset>,
    pub(super) stored: StoredImages,
    /// The hash of the files that were read. Absent if it was not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) counts: Summary,
    pub(super) blake3: String,
    /// The size of `images.u8`, if images are kept. Absent in folders that an earlier version prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    pub(super) training: Half,
    pub(super) test: Half,
    /// Width and height of each image, if they are not all squares of one size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sides: Option<Vec<[usize; 2]>>,
    /// The files to decode, if there is no cache; those below the root are relative to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<Vec<Origin>>,
}

impl Index {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// It is not there, is damaged, contradicts itself, or another version wrote it.
    pub(super) fn read(path: &Path) -> Result<Index, DataError> {
        let text = durable::read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                DataError::missing(path, "the index of a prepared data set; prepare it first")
            }
            _ => DataError::unreadable(path, error),
        })?;
        let version = serde_json::from_slice::<serde_json::Value>(&text)
            .ok()
            .and_then(|index| index["version"].as_u64());
        if version.is_some_and(|version| version != u64::from(PREPARED)) {
            return Err(DataError::unreadable(
                path,
                "it was written by another version; remove its folder",
            ));
        }
        let index: Index = schema::unsealed(PreparedIndex::SUBJECT, &text)
            .map_err(|error| DataError::damaged(path, &error.to_string()))?;
        check(&index).map_err(|why| DataError::damaged(path, why))?;
        Ok(index)
    }

    /// Writes the file, sealed.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(super) fn write(&self, path: &Path) -> Result<(), DataError> {
        let text = schema::sealed(PreparedIndex::SUBJECT, self)
            .map_err(|error| DataError::disk("write", path)(error.into()))?;
        Ok(durable::write(path, text.as_bytes())?)
    }

    /// Returns how its images are decoded.
    pub(super) fn decoding(&self) -> Decoding {
        let dataset = self.dataset.as_ref();
        Decoding {
            stored: self.stored,
            inverted: dataset.is_some_and(|dataset| dataset.facts().inverted),
        }
    }

    /// Returns the sides of its images.
    pub(super) fn sides(&self) -> Sides {
        match &self.sides {
            Some(sides) => Sides::Each(sides.clone()),
            None => Sides::Square {
                side: self.stored.size.short_side() as usize,
                count: self.training.labels.len() + self.test.labels.len(),
            },
        }
    }
}

/// Returns what contradicts itself.
fn check(index: &Index) -> Result<(), &'static str> {
    let (training, test, counts) = (&index.training, &index.test, index.counts);
    let count = training.labels.len() + test.labels.len();
    if !training.fits(counts.training_classes, counts.training_images)
        || !test.fits(counts.test_classes, counts.test_images)
    {
        return Err("labels and classes do not fit its counts");
    }
    let have_pixels = |sides: &Vec<[usize; 2]>| {
        sides.len() == count && sides.iter().flatten().all(|side| *side > 0)
    };
    if index.stored.size.short_side() == 0 || !index.sides.as_ref().is_none_or(have_pixels) {
        return Err("its images have no pixels");
    }
    let files = index.files.as_ref();
    match files.is_none_or(|files| files.len() == count) {
        true => Ok(()),
        false => Err("there are not as many files as labels"),
    }
}
