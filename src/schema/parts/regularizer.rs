//! Regularizers: penalties on embeddings, whatever their labels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{part::check_setting, range::at_least};
use crate::OutOfRange;

/// A penalty on embeddings, with its weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Regularizer {
    /// The mean length of embeddings, for a network that does not normalize them.
    LpNorm(f64),
    /// The mean absolute sum of the components of an embedding (Yuan et al., CVPR 2019).
    ZeroMean(f64),
    /// The mean squared difference of squared lengths from their mean.
    CenterInvariant(f64),
}

impl Regularizer {
    /// Returns every regularizer with weight 1.
    pub fn every() -> Vec<Regularizer> {
        vec![
            Regularizer::LpNorm(1.0),
            Regularizer::ZeroMean(1.0),
            Regularizer::CenterInvariant(1.0),
        ]
    }

    /// Returns the key of this regularizer in a sweep file.
    pub fn key(&self) -> &'static str {
        match self {
            Regularizer::LpNorm(_) => "lp_norm",
            Regularizer::ZeroMean(_) => "zero_mean",
            Regularizer::CenterInvariant(_) => "center_invariant",
        }
    }

    /// Returns the weight of the penalty.
    pub fn weight(&self) -> f64 {
        match self {
            Regularizer::LpNorm(weight)
            | Regularizer::ZeroMean(weight)
            | Regularizer::CenterInvariant(weight) => *weight,
        }
    }

    /// True if the penalty depends on nothing but the lengths of embeddings.
    pub fn is_of_lengths(&self) -> bool {
        match self {
            Regularizer::LpNorm(_) | Regularizer::CenterInvariant(_) => true,
            Regularizer::ZeroMean(_) => false,
        }
    }

    /// Checks the weight. It may be 0: a search may find that no penalty is best.
    ///
    /// # Errors
    /// If the weight is negative or not finite.
    pub fn check(&self) -> Result<(), OutOfRange> {
        check_setting(self.key(), &self.weight(), &[at_least(0.0)])
    }
}
