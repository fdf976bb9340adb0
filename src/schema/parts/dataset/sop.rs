//! Stanford Online Products: 120,053 photographs of 22,634 products of 12 kinds.
//! Song, Xiang, Jegelka & Savarese, "Deep Metric Learning via Lifted Structured Feature Embedding",
//! 2016. Counts: section 3.

use super::{Counts, DatasetFacts, Download};

pub(super) const fn facts() -> DatasetFacts<'static> {
    DatasetFacts {
        download: Some(Download {
            files: "Stanford_Online_Products.zip",
            page: "https://cvgl.stanford.edu/projects/lifted_struct",
        }),
        super_classes: Some(true),
        recall_at: &[1, 10, 100, 1000],
        counts: Some(Counts {
            training_classes: 11_318,
            training_images: 59_551,
            test_classes: 11_316,
            test_images: 60_502,
            queries: 60_502,
            references: 60_502,
        }),
        smallest_class: Some(2),
        ..DatasetFacts::named("Stanford Online Products", "sop")
    }
}
