//! Data sets: what is known about each before its files are read, one file each.
//!
//! A data set has class-disjoint training and test halves. A new one needs a file here with its
//! [`DatasetFacts`], a line in the list below, and a reader of its files in `dml::data::readers`.

mod cars196;
mod cub200;
mod glyphs;
mod in_shop;
mod inaturalist2018;
mod omniglot;
mod own;
mod registration;
mod sop;
mod sop_halves;
mod vehicle_id_large;
mod vehicle_id_medium;
mod vehicle_id_small;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use glyphs::Glyphs;
pub use own::Own;
pub use registration::{BrokenImage, Registration, TrainingHalf};

use crate::Color;

/// Declares the data sets: for each its variant, the type of its settings if it has any, and the
/// module with a function that returns its facts.
macro_rules! data_sets {
    (@without_settings $variant:ident) => { Some(Dataset::$variant) };
    (@without_settings $variant:ident $type:ty) => { None };
    (
        $(#[$doc:meta])*
        pub enum Dataset {
            $(
                $(#[$variant_doc:meta])*
                $variant:ident $(($settings:ident: $type:ty))? => $module:ident,
            )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case", deny_unknown_fields)]
        pub enum Dataset {
            $($(#[$variant_doc])* $variant $(($type))?,)*
        }

        impl Dataset {
            /// Returns every data set that has no settings, in the order of their declaration.
            pub fn published() -> Vec<Dataset> {
                let every = [$(data_sets!(@without_settings $variant $($type)?)),*];
                every.into_iter().flatten().collect()
            }

            /// Returns the key of the data set in a sweep file.
            pub fn key(&self) -> &'static str {
                match self {
                    $(Dataset::$variant { .. } => stringify!($module),)*
                }
            }

            /// Returns what is known about the data set before its files are read.
            pub fn facts(&self) -> DatasetFacts<'_> {
                match self {
                    $(Dataset::$variant $(($settings))? => $module::facts($($settings)?),)*
                }
            }
        }
    };
}

data_sets! {
    /// A data set, by name and by whatever else determines its images and its two class-disjoint halves.
    ///
    /// The location of the files is not part of it: a moved data set is the same data set.
    pub enum Dataset {
        /// Drawn by the program itself.
        Glyphs(glyphs: Glyphs) => glyphs,
        /// Omniglot (Lake et al., 2015): 964 background characters to train on, 659 evaluation characters
        /// to test on, 20 drawings each.
        Omniglot => omniglot,
        /// CUB-200-2011 (Wah et al., 2011): the first 100 classes to train on, the last 100 to test on.
        #[schemars(extend("x-also" = ["cub"]))]
        Cub200 => cub200,
        /// Cars-196 (Krause et al., 2013): the first 98 classes to train on, the last 98 to test on.
        #[schemars(extend("x-also" = ["StanfordCars", "cars"]))]
        Cars196 => cars196,
        /// Stanford Online Products (Song et al., 2016) with its own split: 11,318 classes to train on, 11,316 to
        /// test on.
        #[schemars(extend("x-also" = ["StanfordOnlineProducts", "OnlineProducts"]))]
        Sop => sop,
        /// Stanford Online Products as "A Metric Learning Reality Check" (Musgrave et al., 2020) splits it: in equal
        /// halves of 11,317 classes, one class of the official training half being tested on.
        SopHalves => sop_halves,
        /// In-Shop Clothes Retrieval (Liu et al., 2016), with queries and gallery.
        #[schemars(extend("x-also" = ["DeepFashion"]))]
        InShop => in_shop,
        /// iNaturalist 2018 (Van Horn et al., 2018) with the split of Smooth-AP (Brown et al., 2020): 5,690 species to
        /// train on, 2,452 to test on.
        #[schemars(extend("x-also" = ["INaturalist2018", "inat", "inaturalist"]))]
        Inaturalist2018 => inaturalist2018,
        /// PKU VehicleID (Liu et al., 2016) with its small test set: 13,164 vehicles to train on, 800 to test on. As its
        /// authors do, each result is the mean over ten galleries with one random image of each vehicle, in which all other
        /// images search.
        #[schemars(extend("x-also" = ["VehicleID", "PKUVehicleID"]))]
        VehicleIdSmall => vehicle_id_small,
        /// PKU VehicleID with the medium test set: 1,600 vehicles to test on, likewise on drawn galleries.
        VehicleIdMedium => vehicle_id_medium,
        /// PKU VehicleID with the large test set: 2,400 vehicles to test on, likewise on drawn galleries.
        VehicleIdLarge => vehicle_id_large,
        /// A user's own images.
        Own(own: Own) => own,
    }
}

/// What is known about a data set before its files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatasetFacts<'a> {
    /// The name of the data set in tables. Synthetic data says that it is.
    pub title: &'a str,
    /// The folder of the data set under the data root, and its name for `sweep data`.
    pub folder: &'a str,
    /// What to download. Absent if there is nothing to download.
    pub download: Option<Download>,
    /// How the files of the data set enter its fingerprint.
    pub files: Files,
    /// Whether its images have colors.
    pub color: Color,
    /// True if its images are dark on light and are stored inverted: ink 255 on 0.
    pub inverted: bool,
    /// True if the authors' split is replaced by equal halves of all classes, in their order.
    pub equal_halves: bool,
    /// True if all classes have equally many images.
    pub equal_classes: bool,
    /// True if every class belongs to a super-class. Absent: it depends on the files.
    pub super_classes: Option<bool>,
    /// The K of Recall@K that papers report on it.
    pub recall_at: &'static [u32],
    /// The published counts of the authors' split.
    pub counts: Option<Counts>,
    /// The fewest images of a training class.
    pub smallest_class: Option<u32>,
    /// If its authors test on galleries with one random image of each test class, in which all other test images search:
    /// their number.
    pub drawn_galleries: Option<u32>,
}

impl<'a> DatasetFacts<'a> {
    /// Returns the facts of color images in a table of files, about which nothing else is known.
    const fn named(title: &'a str, folder: &'a str) -> DatasetFacts<'a> {
        DatasetFacts {
            title,
            folder,
            download: None,
            files: Files::Listed,
            color: Color::Rgb,
            inverted: false,
            equal_halves: false,
            equal_classes: false,
            super_classes: None,
            recall_at: &[1, 2, 4, 8],
            counts: None,
            smallest_class: None,
            drawn_galleries: None,
        }
    }
}

/// What a user downloads to add a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Download {
    /// The files, separated by spaces.
    pub files: &'static str,
    /// The page that has them.
    pub page: &'static str,
}

/// How the files of a data set enter its fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// It has none: the program draws its images.
    Drawn,
    /// In the order of the table of images, each with all columns of its row but the path.
    Listed,
    /// In the order of their paths, each with its path from one of these folders on.
    Below(&'static [&'static str]),
}

/// The size of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Classes to train on.
    pub training_classes: u64,
    /// Their images.
    pub training_images: u64,
    /// Classes to test on.
    pub test_classes: u64,
    /// Their images.
    pub test_images: u64,
    /// Test images that are queries.
    pub queries: u64,
    /// Test images that are references.
    pub references: u64,
}

impl Counts {
    /// Returns each count with its name.
    pub fn quantities(&self) -> [(&'static str, u64); 6] {
        [
            ("training classes", self.training_classes),
            ("training images", self.training_images),
            ("test classes", self.test_classes),
            ("test images", self.test_images),
            ("queries", self.queries),
            ("references", self.references),
        ]
    }
}

impl Dataset {
    /// Returns the name of the data set, as a sweep file or its owner spells it.
    pub fn name(&self) -> &str {
        match self {
            Dataset::Own(own) => &own.name,
            published => published.key(),
        }
    }

    /// Returns the folder of the data set under the data root, which is also its name for `sweep data`.
    pub fn folder(&self) -> &str {
        self.facts().folder
    }

    /// Returns the name of the data set in tables.
    pub fn title(&self) -> &str {
        self.facts().title
    }

    /// Returns how the files of the data set enter its fingerprint.
    pub fn files(&self) -> Files {
        self.facts().files
    }

    /// Returns the K of Recall@K that papers report on the data set.
    pub fn recall_at(&self) -> &'static [u32] {
        self.facts().recall_at
    }

    /// Returns the data sets that are downloaded, one for each folder.
    pub fn downloaded() -> Vec<Dataset> {
        let mut downloaded = Dataset::published();
        downloaded.retain(|dataset| dataset.folder() == dataset.key());
        downloaded
    }

    /// Returns what there is to train on: as in the registered files, or else as published.
    pub fn training_half(&self, registration: Option<&Registration>) -> TrainingHalf {
        let facts = self.facts();
        let classes = match registration {
            Some(found) => Some([found.training_classes, found.test_classes]),
            None => facts
                .counts
                .map(|counts| [counts.training_classes as u32, counts.test_classes as u32]),
        };
        let smallest_class = match registration {
            Some(found) => Some(found.smallest_training_class),
            None => facts.smallest_class,
        };
        TrainingHalf {
            classes: classes.map(|[training, test]| {
                if facts.equal_halves {
                    (training + test) / 2
                } else {
                    training
                }
            }),
            smallest_class,
            // Other halves than the listed ones have other test classes.
            nothing_to_find: !facts.equal_halves
                && registration.is_some_and(|found| !found.is_measurable()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_data_set_is_read_from_its_key() {
        for dataset in Dataset::published() {
            let read: Dataset = serde_json::from_value(dataset.key().into()).unwrap();
            assert_eq!(read, dataset);
            assert_eq!(serde_json::to_value(&read).unwrap(), dataset.key());
        }
        let own: Dataset = serde_json::from_str(r#"{ "own": { "name": "birds" } }"#).unwrap();
        assert_eq!((own.title(), own.files()), ("birds", Files::Listed));
        assert_eq!((own.key(), own.name()), ("own", "birds"));
    }

    #[test]
    fn every_published_data_set_has_a_download_counts_and_a_title_of_its_own() {
        let mut titles = std::collections::BTreeSet::new();
        for dataset in Dataset::published() {
            let facts = dataset.facts();
            assert!(facts.download.is_some() && facts.counts.is_some());
            assert!(titles.insert(facts.title.to_owned()));
        }
    }

    #[test]
    fn equal_halves_of_products_have_one_training_class_less() {
        let (sop, halves) = (Dataset::Sop, Dataset::SopHalves);
        assert_eq!(sop.folder(), halves.folder());
        assert_eq!(
            (
                sop.training_half(None).classes,
                halves.training_half(None).classes
            ),
            (Some(11_318), Some(11_317))
        );
    }
}
