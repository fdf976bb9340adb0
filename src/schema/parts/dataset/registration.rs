//! What `sweep data add` found in the files of a data set.

use serde::{Deserialize, Serialize};

/// The known sizes of what is trained on and searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrainingHalf {
    /// The number of classes.
    pub classes: Option<u32>,
    /// The fewest images of a class.
    pub smallest_class: Option<u32>,
    /// True if no query of the test half has an image of its class to find.
    pub nothing_to_find: bool,
}

/// What `sweep data add` found, beside the table of images in the data set's own folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// The layout of the files.
    pub layout: String,
    /// Classes to train on.
    pub training_classes: u32,
    /// Their images.
    pub training_images: u64,
    /// The fewest images of a training class.
    pub smallest_training_class: u32,
    /// True if every training class has a super-class.
    pub super_classes: bool,
    /// Classes to test on.
    pub test_classes: u32,
    /// Their images.
    pub test_images: u64,
    /// Test images that are queries.
    pub queries: u64,
    /// Test images that are references.
    pub references: u64,
    /// Test classes with a single image, whose query has no positive.
    #[serde(alias = "lone_test_classes")]
    pub test_classes_without_positive: u32,
    /// Queries that have another image of their class among the references. Absent: an earlier version did not
    /// count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries_with_positive: Option<u64>,
    /// Cameras of the test images; a query does not search its class from its own.
    #[serde(default, skip_serializing_if = "crate::is_zero")]
    pub cameras: u64,
    /// Counts that differ from the published ones, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// What was beside the images and is not listed, one line for each folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_aside: Vec<String>,
    /// The images that were left out because they cannot be decoded. Absent: none was decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<Vec<BrokenImage>>,
    /// The hash of the table of images that this is of. Absent: an earlier version wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<String>,
}

/// An image that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokenImage {
    /// Its path, relative to what was added.
    pub path: String,
    /// Why it cannot be decoded.
    pub why: String,
}

impl Registration {
    /// The name of its file in the data set's own folder.
    pub const FILE: &str = "dataset.json";
    /// The name of the table of images beside it.
    pub const LISTING: &str = "listing.csv";

    /// Returns the hash of a table of images with this content.
    pub fn hash(table: &[u8]) -> String {
        blake3::hash(table).to_hex().to_string()
    }

    /// True if it is of the table of images with this content.
    pub fn is_of(&self, table: &[u8]) -> bool {
        let listing = self.listing.as_ref();
        listing.is_none_or(|listing| *listing == Registration::hash(table))
    }

    /// True if something can be measured: at least one query has something right to find.
    pub fn is_measurable(&self) -> bool {
        match self.queries_with_positive {
            Some(queries) => queries > 0,
            None => self.test_classes_without_positive < self.test_classes,
        }
    }
}
