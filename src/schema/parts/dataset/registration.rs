//! What `sweep data add` found in the files of a data set.

use serde::{Deserialize, Serialize};

/// What there is to train on, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrainingHalf {
    /// The number of classes.
    pub classes: Option<u32>,
    /// The fewest images of a class.
    pub smallest_class: Option<u32>,
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
    /// Counts that differ from the published ones, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}

impl Registration {
    /// The name of its file in the data set's own folder.
    pub const FILE: &str = "dataset.json";
    /// The name of the table of images beside it.
    pub const LISTING: &str = "listing.csv";
}
