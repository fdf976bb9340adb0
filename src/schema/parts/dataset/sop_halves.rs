//! Stanford Online Products in equal halves of 11,317 classes, as Musgrave, Belongie & Lim split it
//! in "A Metric Learning Reality Check", ECCV 2020.

use super::{DatasetFacts, sop};

pub(super) const fn facts() -> DatasetFacts<'static> {
    DatasetFacts {
        title: "Stanford Online Products (equal halves)",
        equal_halves: true,
        ..sop::facts()
    }
}
