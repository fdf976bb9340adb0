//! Cars-196: 16,185 photographs of 196 models of cars.
//! Krause, Stark, Deng & Fei-Fei, "3D Object Representations for Fine-Grained Categorization", 2013.

use super::{Counts, DatasetFacts, Download};

/// Counts: Kim, Kim, Cho & Kwak, "Proxy Anchor Loss for Deep Metric Learning", 2020, section 4.1.
pub(super) const fn facts() -> DatasetFacts<'static> {
    DatasetFacts {
        // The authors' page is gone; this archive has the data set as first published.
        download: Some(Download {
            files: "car_ims.tgz cars_annos.mat",
            page: "http://ftp.cs.stanford.edu/cs/cvgl/CARS196.zip",
        }),
        super_classes: Some(false),
        recall_at: &[1, 2, 4, 8, 16, 32],
        counts: Some(Counts {
            training_classes: 98,
            training_images: 8_054,
            test_classes: 98,
            test_images: 8_131,
            queries: 8_131,
            references: 8_131,
        }),
        ..DatasetFacts::named("Cars-196", "cars196")
    }
}
