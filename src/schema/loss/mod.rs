//! Losses, as a recipe names them: settings, defaults, and what goes with what. What they compute is told in
//! `dml::loss`, one file each.
//!
//! Defaults are those of pytorch-metric-learning 2.9.0 where it has the loss. Names that end in `_dm` are the forms
//! of the Deep_Metric repository where these differ from the papers'.

mod cards;
mod fit;
mod proxies;
mod range;
mod rankings;
mod tuples;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Distance, Miner, Reduction, Regularizer};

pub use fit::Misfit;
pub use proxies::{
    ArcFace, Boundary, CosFace, Margin, NormalisedSoftmax, ProxyAnchor, ProxyNca, ProxyNcaPp,
    SoftTriple,
};
pub use rankings::{Clustering, FastAp, HierarchicalTriplet, Histogram, RecallAtK, SmoothAp};
pub use tuples::{
    Angular, Binomial, BinomialDm, Circle, Contrastive, ContrastiveDm, GeneralisedLifted, Lifted,
    LiftedDm, MultiSimilarity, NPair, Nca, NcaDm, NtXent, SemiHardDm, SnrContrastive, SupCon,
    Triplet,
};

/// Declares the enum of all losses and the list of their defaults.
macro_rules! losses {
    ($($variant:ident),* $(,)?) => {
        /// A loss with its settings.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Loss {
            $(#[doc = concat!("See [`", stringify!($variant), "`].")] $variant($variant),)*
            /// A weighted sum of others.
            Sum(Vec<Summand>),
        }

        impl Loss {
            /// Every loss with its default settings, sums left out.
            pub fn every() -> Vec<Loss> {
                vec![$(Loss::$variant($variant::default())),*]
            }
        }
    };
}

losses![
    Contrastive,
    ContrastiveDm,
    Triplet,
    Lifted,
    GeneralisedLifted,
    LiftedDm,
    Binomial,
    BinomialDm,
    Nca,
    NcaDm,
    SemiHardDm,
    MultiSimilarity,
    NtXent,
    SupCon,
    Circle,
    SnrContrastive,
    NPair,
    Angular,
    FastAp,
    Histogram,
    SmoothAp,
    RecallAtK,
    HierarchicalTriplet,
    Clustering,
    Margin,
    ProxyNca,
    ProxyNcaPp,
    ProxyAnchor,
    NormalisedSoftmax,
    CosFace,
    ArcFace,
    SoftTriple,
];

/// One loss of a sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summand {
    /// What it counts for.
    #[serde(default = "one")]
    pub weight: f64,
    /// The loss; not a sum itself.
    pub loss: Loss,
    /// How far apart embeddings are. Absent: the loss's own distance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
    /// How terms become one number. Absent: as the loss has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduction: Option<Reduction>,
    /// Which pairs or triplets it sees. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub miner: Option<Miner>,
    /// A penalty on embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regularizer: Option<Regularizer>,
}

fn one() -> f64 {
    1.0
}

impl Loss {
    /// Its name, as a sweep file spells it.
    pub fn name(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value
            .as_object()
            .and_then(|object| object.keys().next().cloned())
            .unwrap_or_default()
    }
}
