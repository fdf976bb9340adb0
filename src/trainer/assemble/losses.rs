//! The losses of a recipe, with everything chosen about them.

use dml::{loss::ClassInit, objective::ConfiguredLoss};
use schema::{Loss, Training, WeightedLoss};

use super::impossible;
use crate::Failed;

/// Returns the losses to minimize: one, unless the loss of the recipe is a sum.
///
/// # Errors
/// If the recipe asks for something impossible.
pub(crate) fn losses(training: &Training, init: &ClassInit) -> Result<Vec<ConfiguredLoss>, Failed> {
    let only = WeightedLoss {
        distance: training.distance,
        reduction: training.reduction,
        miner: training.miner.clone(),
        regularizer: training.regularizer.clone(),
        ..WeightedLoss::of(training.loss.clone())
    };
    let all = if let Loss::Sum(losses) = &training.loss {
        losses.as_slice()
    } else {
        std::slice::from_ref(&only)
    };
    (0..)
        .zip(all)
        .map(|(part, one)| ConfiguredLoss::new(one, &ClassInit { part, ..*init }))
        .collect::<Result<_, _>>()
        .map_err(impossible)
}
