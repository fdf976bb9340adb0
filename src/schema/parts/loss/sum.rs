//! Weighted sums of losses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Loss;
use crate::{Distance, Miner, Reduction, Regularizer, ScriptFile};

/// One loss of a sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedLoss {
    /// Weight in the sum.
    #[serde(default = "one")]
    pub weight: f64,
    /// The loss; not a sum itself.
    pub loss: Loss,
    /// The distance between embeddings. Absent: the default of the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
    /// The reduction of its terms. Absent: the default of the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reduction: Option<Reduction>,
    /// Chooses the pairs or triplets. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub miner: Option<Miner>,
    /// A penalty on embeddings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regularizer: Option<Regularizer>,
}

impl WeightedLoss {
    /// Returns this loss with weight 1 and its defaults.
    pub fn of(loss: Loss) -> WeightedLoss {
        WeightedLoss {
            weight: one(),
            loss,
            distance: None,
            reduction: None,
            miner: None,
            regularizer: None,
        }
    }
}

impl WeightedLoss {
    /// Returns the losses of the sum that this is, with this weight, or this loss alone.
    pub fn summands(&self) -> Vec<WeightedLoss> {
        let Loss::Sum(losses) = &self.loss else {
            return vec![self.clone()];
        };
        let weighted = |one: &WeightedLoss| WeightedLoss {
            weight: self.weight * one.weight,
            ..one.clone()
        };
        losses.iter().map(weighted).collect()
    }

    /// Returns the files of the modules that are its loss or its miner. Those of a sum are not among them.
    pub fn scripts(&self) -> impl Iterator<Item = &ScriptFile> {
        let loss = match &self.loss {
            Loss::Torchscript(script) => Some(&script.file),
            _ => None,
        };
        let miner = match &self.miner {
            Some(Miner::Torchscript(script)) => Some(&script.file),
            _ => None,
        };
        loss.into_iter().chain(miner)
    }
}

fn one() -> f64 {
    1.0
}
