//! Steps at given times.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::a_tenth;
use crate::{
    OutOfRange, Part, Span,
    parts::{part::check_setting, range::above},
};

/// PyTorch's `MultiStepLR`: rates are multiplied by `factor` at each time of `at`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultiStep {
    /// Times of the changes.
    pub at: Span<Vec<u64>>,
    /// Factor of each change.
    #[serde(default = "a_tenth")]
    pub factor: f64,
}

/// At 1200 and 2400 steps, an example.
impl Default for MultiStep {
    fn default() -> Self {
        MultiStep {
            at: Span::Steps(vec![1200, 2400]),
            factor: a_tenth(),
        }
    }
}

impl Part for MultiStep {
    const FORMULA: &'static str = "rates x factor at each of `at.steps` or `at.epochs`";
    const SOURCE: &'static str = "PyTorch's MultiStepLR";

    fn check(&self) -> Result<(), OutOfRange> {
        let (unit, at) = self.at.named();
        if at.first() == Some(&0) || !at.is_sorted_by(|one, next| one < next) {
            return Err(OutOfRange::new(
                &format!("at.{unit}"),
                "expected times above 0, each later than the one before",
            ));
        }
        check_setting("factor", &self.factor, &[above(0.0)])
    }
}
