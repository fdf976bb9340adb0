//! Synthetic characters, drawn by the program itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Counts, DatasetFacts, Files};
use crate::Color;

/// A synthetic data set of hand-drawn-looking characters: each class is a random program of strokes,
/// each image one jittered, deformed and thickened execution of it.
///
/// `{ classes = 11318, test_classes = 11316, per_class = 5 }` has about the shape of Stanford Online Products.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Glyphs {
    /// Classes to train on.
    pub classes: u32,
    /// Further classes, to test on. They are numbered after the others.
    pub test_classes: u32,
    /// Images of each class.
    #[serde(default = "twenty")]
    pub per_class: u32,
    /// Another seed draws another alphabet.
    #[serde(default)]
    pub seed: u64,
}

impl Glyphs {
    /// Version of the drawing: raised whenever the same parameters give other images than before.
    /// It is part of the fingerprint.
    pub const DRAWING: u32 = 1;

    /// Returns the number of training images and of test images.
    fn images(&self) -> [u64; 2] {
        [self.classes, self.test_classes]
            .map(|classes| u64::from(classes) * u64::from(self.per_class))
    }
}

fn twenty() -> u32 {
    20
}

pub(super) fn facts(glyphs: &Glyphs) -> DatasetFacts<'static> {
    let [training_images, test_images] = glyphs.images();
    DatasetFacts {
        files: Files::Drawn,
        color: Color::Gray,
        equal_classes: true,
        super_classes: Some(false),
        counts: Some(Counts {
            training_classes: glyphs.classes.into(),
            training_images,
            test_classes: glyphs.test_classes.into(),
            test_images,
            queries: test_images,
            references: test_images,
        }),
        smallest_class: Some(glyphs.per_class),
        ..DatasetFacts::named("Glyphs (synthetic)", "glyphs")
    }
}
