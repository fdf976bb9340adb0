//! PKU VehicleID: photographs of vehicles by surveillance cameras. Liu, Tian, Yang, Pang & Huang, "Deep Relative Distance
//! Learning: Tell the Difference between Similar Vehicles", 2016. It has three test sets, of 800, 1,600 and 2,400 vehicles.
//!
//! Counts: the lists in `train_test_split` as they are distributed (FastReID's `vehicleid.py` states the same). Those in
//! the paper are others: 110,178 images of 13,134 vehicles to train on.

use super::{Counts, DatasetFacts, Download};

pub(super) const fn facts() -> DatasetFacts<'static> {
    of("VehicleID (small)", "vehicle_id_small", 800, 6_493)
}

/// Returns the facts of a test set with these vehicles and images.
pub(super) const fn of(
    title: &'static str,
    folder: &'static str,
    vehicles: u64,
    images: u64,
) -> DatasetFacts<'static> {
    DatasetFacts {
        download: Some(Download {
            files: "FOLDER",
            page: "https://pkuml.org/resources/pku-vehicleid.html",
        }),
        super_classes: Some(false),
        recall_at: &[1, 5],
        counts: Some(Counts {
            training_classes: 13_164,
            training_images: 113_346,
            test_classes: vehicles,
            test_images: images,
            queries: images,
            references: images,
        }),
        drawn_galleries: Some(10),
        ..DatasetFacts::named(title, folder)
    }
}
