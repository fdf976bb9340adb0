//! PKU VehicleID with the test set of 1,600 vehicles.

use super::{DatasetFacts, vehicle_id_small};

pub(super) const fn facts() -> DatasetFacts<'static> {
    vehicle_id_small::of("VehicleID (medium)", "vehicle_id_medium", 1_600, 13_377)
}
