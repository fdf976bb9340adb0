//! Data sets, as a recipe names them.

use serde::{Deserialize, Serialize};

use crate::Colour;

/// A data set, by name and by whatever else determines its images and its two class-disjoint halves.
///
/// Where the files lie is not part of it: a moved data set is the same data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Dataset {
    /// Drawn by the program itself; see [`Glyphs`].
    Glyphs(Glyphs),
    /// Omniglot (Lake et al., 2015): 964 background characters to train on, 659 evaluation characters
    /// to test on, 20 drawings each.
    Omniglot,
}

impl Dataset {
    /// The name of the data set, as a sweep file and a folder under the data root spell it.
    pub fn name(&self) -> &'static str {
        match self {
            Dataset::Glyphs(_) => "glyphs",
            Dataset::Omniglot => "omniglot",
        }
    }

    /// The name under which its numbers are shown. Synthetic data always says so.
    pub fn title(&self) -> &'static str {
        match self {
            Dataset::Glyphs(_) => "Glyphs (synthetic)",
            Dataset::Omniglot => "Omniglot",
        }
    }

    /// The folders, relative to the data set's own, that hold all its content.
    /// Empty for a data set that the program draws itself.
    pub fn folders(&self) -> &'static [&'static str] {
        match self {
            Dataset::Glyphs(_) => &[],
            Dataset::Omniglot => &["images_background", "images_evaluation"],
        }
    }

    /// Whether its images have colours.
    pub fn colour(&self) -> Colour {
        match self {
            Dataset::Glyphs(_) | Dataset::Omniglot => Colour::Grey,
        }
    }

    /// How many classes there are to train on.
    pub fn training_classes(&self) -> u32 {
        match self {
            Dataset::Glyphs(glyphs) => glyphs.classes,
            Dataset::Omniglot => 964,
        }
    }

    /// The fewest images that any training class has.
    pub fn smallest_class(&self) -> u32 {
        match self {
            Dataset::Glyphs(glyphs) => glyphs.per_class,
            Dataset::Omniglot => 20,
        }
    }
}

/// A synthetic data set of hand-drawn-looking characters: each class is a random program of strokes,
/// each image one jittered, deformed and thickened execution of it.
///
/// `{ classes = 11318, test_classes = 11316, per_class = 5 }` has about the shape of Stanford Online Products.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Glyphs {
    /// Classes to train on.
    pub classes: u32,
    /// Further classes, to test on.
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
    pub const DRAWING: u32 = 1;
}

fn twenty() -> u32 {
    20
}
