//! Links: what several heads of one network have to do with each other. One file each.
//!
//! Without links, heads share the trunk and nothing else. Constants that no publication or program was read for are
//! settings; the defaults are those of the programs named.

mod activation;
mod additive;
mod adversarial;
mod average;
mod cascade;
mod divide;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::part::{OutOfRange, Part, parts};

pub use cascade::{Cascade, CascadeOf};
pub use divide::Divide;

/// What links the heads of a network in training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Links {
    /// Later heads learn more from what earlier heads got wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boost: Option<Boost>,
    /// Later heads see only the hardest pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cascade: Option<Cascade>,
    /// A penalty on heads that agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diversity: Option<Diversity>,
    /// Each head learns from one cluster of the training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub divide: Option<Divide>,
}

impl Links {
    /// True if the heads are not linked.
    pub fn are_none(&self) -> bool {
        *self == Links::default()
    }

    /// True if a link has trainable parameters.
    pub fn have_parameters(&self) -> bool {
        matches!(self.diversity, Some(Diversity::Adversarial(_)))
    }

    /// Checks the settings; keys are those within `links`.
    ///
    /// # Errors
    /// Returns the first setting that is not allowed.
    pub fn check(&self) -> Result<(), OutOfRange> {
        let below = |table: String, checked: Result<(), OutOfRange>| {
            checked.map_err(|error| OutOfRange {
                setting: format!("{table}.{}", error.setting),
                ..error
            })
        };
        if let Some(boost) = &self.boost {
            below(format!("boost.{}", boost.key()), boost.check())?;
        }
        if let Some(cascade) = &self.cascade {
            below("cascade".to_owned(), cascade.check())?;
        }
        if let Some(divide) = &self.divide {
            below("divide".to_owned(), divide.check())?;
        }
        if let Some(diversity) = &self.diversity {
            below(format!("diversity.{}", diversity.key()), diversity.check())?;
        }
        Ok(())
    }
}

mod boost {
    use super::{additive, average, parts};

    parts! {
        ($)
        /// How the heads before one weigh its pairs or triplets.
        pub enum Boost, for_each_boost {
            Additive(additive::Additive),
        }
        without_settings {
            average::Average,
        }
    }
}

mod diversity {
    use super::{activation, adversarial, parts};

    parts! {
        ($)
        /// A penalty on heads that agree. It reaches only their last layers, not the trunk.
        pub enum Diversity, for_each_diversity {
            Activation(activation::Activation),
            Adversarial(adversarial::Adversarial),
        }
    }
}

pub use boost::{Additive, Average, Boost};
pub use diversity::{Activation, Adversarial, Diversity};
