//! iNaturalist 2018: photographs of 8,142 species of plants, animals and fungi, in 14 groups.
//! Van Horn et al., "The iNaturalist Species Classification and Detection Dataset", 2018. Its class-disjoint split is
//! that of Brown, Xie, Kalogeiton & Zisserman, "Smooth-AP: Smoothing the Path Towards Large-Scale Image Retrieval",
//! 2020, whose section 5 has the counts.

use super::{Counts, DatasetFacts, Download};

pub(super) const fn facts() -> DatasetFacts<'static> {
    DatasetFacts {
        download: Some(Download {
            files: "train_val2018.tar.gz Inat_dataset_splits.zip",
            page: "https://github.com/visipedia/inat_comp/tree/master/2018",
        }),
        super_classes: Some(true),
        recall_at: &[1, 4, 16, 32],
        counts: Some(Counts {
            training_classes: 5_690,
            training_images: 325_846,
            test_classes: 2_452,
            test_images: 136_093,
            queries: 136_093,
            references: 136_093,
        }),
        ..DatasetFacts::named("iNaturalist 2018", "inaturalist2018")
    }
}
