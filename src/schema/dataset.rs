//! Data sets, as a recipe names them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Colour;

/// A data set, by name and by whatever else determines its images and its two class-disjoint halves.
///
/// Where the files lie is not part of it: a moved data set is the same data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Dataset {
    /// Drawn by the program itself; see [`Glyphs`].
    Glyphs(Glyphs),
    /// Omniglot (Lake et al., 2015): 964 background characters to train on, 659 evaluation characters
    /// to test on, 20 drawings each.
    Omniglot,
    /// CUB-200-2011 (Wah et al., 2011): the first 100 classes to train on, the last 100 to test on.
    Cub200,
    /// Cars-196 (Krause et al., 2013): the first 98 classes to train on, the last 98 to test on.
    Cars196,
    /// Stanford Online Products (Song et al., 2016) with its own split: 11,318 classes to train on, 11,316 to
    /// test on.
    Sop,
    /// Stanford Online Products as "A Metric Learning Reality Check" (Musgrave et al., 2020) splits it: in equal
    /// halves of 11,317 classes, one class of the official training half being tested on.
    SopHalves,
    /// In-Shop Clothes Retrieval (Liu et al., 2016), with queries and gallery.
    InShop,
    /// A user's own images; see [`Own`].
    Own(Own),
}

/// How the files of a data set are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// There are none: the program draws it.
    Drawn,
    /// All that lie in these folders of the data set's own.
    Folders(&'static [&'static str]),
    /// Those in the table that `sweep data add` writes: [`Registration::LISTING`].
    Listed,
}

impl Dataset {
    /// The name of the data set, as a sweep file spells it.
    pub fn name(&self) -> &str {
        match self {
            Dataset::Glyphs(_) => "glyphs",
            Dataset::Omniglot => "omniglot",
            Dataset::Cub200 => "cub200",
            Dataset::Cars196 => "cars196",
            Dataset::Sop => "sop",
            Dataset::SopHalves => "sop_halves",
            Dataset::InShop => "in_shop",
            Dataset::Own(own) => &own.name,
        }
    }

    /// Its folder under the data root, and what `sweep data add` calls it.
    pub fn folder(&self) -> &str {
        match self {
            Dataset::SopHalves => Dataset::Sop.name(),
            other => other.name(),
        }
    }

    /// What to download, and from which page. Absent where there is nothing to download.
    pub fn download(&self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Dataset::Glyphs(_) | Dataset::Own(_) => return None,
            Dataset::Omniglot => (
                "images_background.zip images_evaluation.zip",
                "https://github.com/brendenlake/omniglot",
            ),
            Dataset::Cub200 => (
                "CUB_200_2011.tgz",
                "https://data.caltech.edu/records/65de6-vp158",
            ),
            // Its own page is gone; this archive has it in the form of its first publication.
            Dataset::Cars196 => (
                "car_ims.tgz cars_annos.mat",
                "http://ftp.cs.stanford.edu/cs/cvgl/CARS196.zip",
            ),
            Dataset::Sop | Dataset::SopHalves => (
                "Stanford_Online_Products.zip",
                "https://cvgl.stanford.edu/projects/lifted_struct",
            ),
            Dataset::InShop => (
                "FOLDER",
                "https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html",
            ),
        })
    }

    /// The name under which its numbers are shown. Synthetic data always says so.
    pub fn title(&self) -> &str {
        match self {
            Dataset::Glyphs(_) => "Glyphs (synthetic)",
            Dataset::Omniglot => "Omniglot",
            Dataset::Cub200 => "CUB-200-2011",
            Dataset::Cars196 => "Cars-196",
            Dataset::Sop => "Stanford Online Products",
            Dataset::SopHalves => "Stanford Online Products (equal halves)",
            Dataset::InShop => "In-Shop",
            Dataset::Own(own) => &own.name,
        }
    }

    /// How its files are known.
    pub fn files(&self) -> Files {
        match self {
            Dataset::Glyphs(_) => Files::Drawn,
            Dataset::Omniglot => Files::Folders(&["images_background", "images_evaluation"]),
            _ => Files::Listed,
        }
    }

    /// Whether its images have colours.
    pub fn colour(&self) -> Colour {
        match self {
            Dataset::Glyphs(_) | Dataset::Omniglot => Colour::Grey,
            Dataset::Cub200
            | Dataset::Cars196
            | Dataset::Sop
            | Dataset::SopHalves
            | Dataset::InShop
            | Dataset::Own(_) => Colour::Rgb,
        }
    }

    /// The K of Recall@K that papers report on it.
    pub fn recall_at(&self) -> &'static [u32] {
        match self {
            Dataset::Cub200 | Dataset::Cars196 => &[1, 2, 4, 8, 16, 32],
            Dataset::Sop | Dataset::SopHalves => &[1, 10, 100, 1000],
            Dataset::InShop => &[1, 10, 20, 30, 40, 50],
            Dataset::Glyphs(_) | Dataset::Omniglot | Dataset::Own(_) => &[1, 2, 4, 8],
        }
    }

    /// What the data set has to train on, before anybody has looked at its files.
    pub fn published(&self) -> TrainingHalf {
        let known = |classes, smallest_class| TrainingHalf {
            classes: Some(classes),
            smallest_class,
        };
        match self {
            Dataset::Glyphs(glyphs) => known(glyphs.classes, Some(glyphs.per_class)),
            Dataset::Omniglot => known(964, Some(20)),
            Dataset::Cub200 => known(100, Some(41)),
            Dataset::Cars196 => known(98, None),
            Dataset::Sop => known(11_318, Some(2)),
            Dataset::SopHalves => known(11_317, Some(2)),
            Dataset::InShop => known(3_997, None),
            Dataset::Own(_) => TrainingHalf::default(),
        }
    }

    /// What it has to train on, if `registration` says so, and as published otherwise.
    pub fn training_half(&self, registration: Option<&Registration>) -> TrainingHalf {
        match (self, registration) {
            (_, None) => self.published(),
            (Dataset::SopHalves, Some(found)) => TrainingHalf {
                classes: Some((found.training_classes + found.test_classes) / 2),
                smallest_class: Some(found.smallest_training_class),
            },
            (_, Some(found)) => TrainingHalf {
                classes: Some(found.training_classes),
                smallest_class: Some(found.smallest_training_class),
            },
        }
    }
}

/// What there is to train on, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrainingHalf {
    /// How many classes.
    pub classes: Option<u32>,
    /// The fewest images that any of them has.
    pub smallest_class: Option<u32>,
}

/// A user's own images, as `sweep data add NAME` registered them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// The folder under the data root, and the title of its tables: letters, digits, `-` and `_`.
    pub name: String,
}

impl Own {
    /// Whether a folder can have the name.
    pub fn is_name(name: &str) -> bool {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    }
}

/// What `sweep data add` found, beside the table of images in the data set's own folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// The shape that the data set had.
    pub layout: String,
    /// Classes to train on.
    pub training_classes: u32,
    /// Their images.
    pub training_images: u64,
    /// The fewest images that any of them has.
    pub smallest_training_class: u32,
    /// Whether all of them have a super-class.
    pub super_classes: bool,
    /// Classes to test on.
    pub test_classes: u32,
    /// Their images.
    pub test_images: u64,
    /// Test images that are queries.
    pub queries: u64,
    /// Test images that are searched in.
    pub references: u64,
    /// Test classes with a single image, whose query can find nothing.
    pub lone_test_classes: u32,
    /// How its counts differ from the published ones, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}

impl Registration {
    /// Its file, in the data set's own folder.
    pub const FILE: &str = "dataset.json";
    /// The table of images beside it.
    pub const LISTING: &str = "listing.csv";
}

/// A synthetic data set of hand-drawn-looking characters: each class is a random program of strokes,
/// each image one jittered, deformed and thickened execution of it.
///
/// `{ classes = 11318, test_classes = 11316, per_class = 5 }` has about the shape of Stanford Online Products.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_data_set_is_read_as_it_is_spelt() {
        for name in [
            "omniglot",
            "cub200",
            "cars196",
            "sop",
            "sop_halves",
            "in_shop",
        ] {
            let dataset: Dataset = serde_json::from_value(name.into()).unwrap();
            assert_eq!(dataset.name(), name);
        }
        let own: Dataset = serde_json::from_str(r#"{ "own": { "name": "birds" } }"#).unwrap();
        assert_eq!((own.title(), own.files()), ("birds", Files::Listed));
    }

    #[test]
    fn equal_halves_of_products_have_one_training_class_less() {
        let (sop, halves) = (Dataset::Sop, Dataset::SopHalves);
        assert_eq!(sop.folder(), halves.folder());
        assert_eq!(
            (sop.published().classes, halves.published().classes),
            (Some(11_318), Some(11_317))
        );
    }
}
