//! No schedule.

use crate::Part;

/// Learning rates do not change.
pub struct Constant;

impl Part for Constant {
    const FORMULA: &'static str = "learning rates stay what they are";
}
