//! CUB-200-2011: 11,788 photographs of 200 species of birds.
//! Wah, Branson, Welinder, Perona & Belongie, "The Caltech-UCSD Birds-200-2011 Dataset", 2011.

use super::{Counts, DatasetFacts, Download};

/// The counts are those of the official lists.
pub(super) const fn facts() -> DatasetFacts<'static> {
    DatasetFacts {
        download: Some(Download {
            files: "CUB_200_2011.tgz",
            page: "https://data.caltech.edu/records/65de6-vp158",
        }),
        super_classes: Some(false),
        recall_at: &[1, 2, 4, 8, 16, 32],
        counts: Some(Counts {
            training_classes: 100,
            training_images: 5_864,
            test_classes: 100,
            test_images: 5_924,
            queries: 5_924,
            references: 5_924,
        }),
        smallest_class: Some(41),
        ..DatasetFacts::named("CUB-200-2011", "cub200")
    }
}
