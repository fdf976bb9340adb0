//! PKU VehicleID with the test set of 2,400 vehicles.

use super::{DatasetFacts, vehicle_id_small};

pub(super) const fn facts() -> DatasetFacts<'static> {
    vehicle_id_small::of("VehicleID (large)", "vehicle_id_large", 2_400, 19_777)
}
