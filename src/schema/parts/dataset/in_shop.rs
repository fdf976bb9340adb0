//! In-Shop Clothes Retrieval, a part of DeepFashion: 52,712 photographs of 7,982 articles.
//! Liu, Luo, Qiu, Wang & Tang, "DeepFashion: Powering Robust Clothes Recognition and Retrieval",
//! 2016. Counts: the official list.

use super::{Counts, DatasetFacts, Download};

pub(super) const fn facts() -> DatasetFacts<'static> {
    DatasetFacts {
        download: Some(Download {
            files: "FOLDER",
            page: "https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html",
        }),
        super_classes: Some(true),
        recall_at: &[1, 10, 20, 30, 40, 50],
        counts: Some(Counts {
            training_classes: 3_997,
            training_images: 25_882,
            test_classes: 3_985,
            test_images: 26_830,
            queries: 14_218,
            references: 12_612,
        }),
        ..DatasetFacts::named("In-Shop", "in_shop")
    }
}
