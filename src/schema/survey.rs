//! A pass over the training images, from which samplers and losses learn where all classes lie.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{OutOfRange, Span};

/// When the training images are embedded, without their augmentation and in evaluation mode, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Survey {
    /// Time between two surveys. The first one is after this time, too.
    pub every: Span,
    /// Images of each class, drawn anew for each survey. Absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_class: Option<u32>,
}

impl Survey {
    /// Checks the settings; keys are those within `survey`.
    ///
    /// # Errors
    /// Returns the first setting that is not allowed.
    pub fn check(&self) -> Result<(), OutOfRange> {
        self.every.check_positive("every")?;
        match self.per_class {
            // One image says nothing about the spread of a class.
            Some(images) if images < 2 => Err(OutOfRange::new(
                "per_class",
                "expected at least 2 images of a class",
            )),
            Some(_) | None => Ok(()),
        }
    }
}
