//! Omniglot: 1,623 characters of 50 alphabets, each drawn by 20 people.
//! Lake, Salakhutdinov & Tenenbaum, "Human-level concept learning through probabilistic program
//! induction", Science 2015.
//!
//! The authors' two archives are the two halves. A fingerprint is made of the paths below their
//! folders, so that it does not depend on how the archives were added.

use super::{Counts, DatasetFacts, Download, Files};
use crate::Color;

pub(super) const fn facts() -> DatasetFacts<'static> {
    DatasetFacts {
        download: Some(Download {
            files: "images_background.zip images_evaluation.zip",
            page: "https://github.com/brendenlake/omniglot",
        }),
        files: Files::Below(&["images_background", "images_evaluation"]),
        color: Color::Gray,
        inverted: true,
        equal_classes: true,
        super_classes: Some(true),
        counts: Some(Counts {
            training_classes: 964,
            training_images: 19_280,
            test_classes: 659,
            test_images: 13_180,
            queries: 13_180,
            references: 13_180,
        }),
        smallest_class: Some(20),
        ..DatasetFacts::named("Omniglot", "omniglot")
    }
}
