//! Steps at equal intervals.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::a_tenth;
use crate::{
    OutOfRange, Part, Span,
    parts::{part::check_setting, range::above},
};

/// PyTorch's `StepLR`: rates are multiplied by `factor` after each `every`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepSchedule {
    /// Time between two changes.
    pub every: Span,
    /// Factor of each change.
    #[serde(default = "a_tenth")]
    pub factor: f64,
}

/// Every 10 epochs, an example.
impl Default for StepSchedule {
    fn default() -> Self {
        StepSchedule {
            every: Span::Epochs(10),
            factor: a_tenth(),
        }
    }
}

impl Part for StepSchedule {
    const FORMULA: &'static str = "rates x factor after each `every.steps` or `every.epochs`";
    const SOURCE: &'static str = "PyTorch's StepLR";

    fn check(&self) -> Result<(), OutOfRange> {
        self.every.check_positive("every")?;
        check_setting("factor", &self.factor, &[above(0.0)])
    }
}
