//! A loss and all choices about it, alone or in a sum.

use schema::{Combination, Loss, Memory, Model, WeightedLoss};

use super::{Checked, fault, in_range, mining, positive, require};

/// Checks one loss and, if it is a sum, each loss of it, for a method with this memory and this network. `key` returns
/// the path of a key in the table of this loss.
pub(super) fn weighted(
    one: &WeightedLoss,
    memory: Option<&Memory>,
    model: &Model,
    key: &dyn Fn(&str) -> String,
) -> Checked {
    let loss = &one.loss;
    positive(one.weight, &key("weight"))?;
    in_range(loss.check(), &key(&format!("loss.{}", loss.key())))?;
    if let Some(reduction) = &one.reduction {
        in_range(reduction.check(), &key("reduction"))?;
    }
    if let Some(regularizer) = &one.regularizer {
        in_range(regularizer.check(), &key("regularizer"))?;
    }
    if let Some(miner) = &one.miner {
        mining::miner(miner, key)?;
    }
    let combination = Combination {
        distance: one.distance,
        reduction: one.reduction,
        miner: one.miner.as_ref(),
        memory,
        regularizer: one.regularizer.as_ref(),
        has_lengths: !model.normalize,
    };
    if let Err(incompatible) = loss.check_combination(combination) {
        return fault(key(incompatible.key), incompatible.reason);
    }
    if let Loss::Torchscript(script) = loss {
        in_range(script.check(), &key("loss.torchscript"))?;
    }
    if let Loss::Sum(losses) = loss {
        sum(losses, memory, model, key)?;
    }
    Ok(())
}

fn sum(
    losses: &[WeightedLoss],
    memory: Option<&Memory>,
    model: &Model,
    key: &dyn Fn(&str) -> String,
) -> Checked {
    require(
        !losses.is_empty(),
        &key("loss.sum"),
        "the sum is empty: write at least one loss",
    )?;
    for (index, one) in losses.iter().enumerate() {
        let key = |name: &str| key(&format!("loss.sum.{index}.{name}"));
        let is_sum = matches!(one.loss, Loss::Sum(_));
        require(!is_sum, &key("loss"), "a sum within a sum: write one sum")?;
        weighted(one, memory, model, &key)?;
    }
    Ok(())
}
