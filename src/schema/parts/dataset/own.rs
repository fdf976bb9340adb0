//! A user's own images, as `sweep data add NAME` registered them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DatasetFacts;

/// A user's own images, as `sweep data add NAME` registered them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Own {
    /// The folder under the data root, and the title of its tables: letters, digits, `-` and `_`.
    pub name: String,
}

impl Own {
    /// Returns true if a data set can have the name.
    pub fn is_name(name: &str) -> bool {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    }
}

pub(super) const fn facts(own: &Own) -> DatasetFacts<'_> {
    DatasetFacts::named(own.name.as_str(), own.name.as_str())
}
