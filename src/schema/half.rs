//! The two halves of a data set.

use serde::{Deserialize, Serialize};

/// One of the two class-disjoint halves of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// The classes for training and validation.
    Train,
    /// The test classes.
    Test,
}

impl Half {
    /// Returns the name used by commands and tables.
    pub fn word(self) -> &'static str {
        match self {
            Half::Train => "train",
            Half::Test => "test",
        }
    }
}
