//! A loss and all that is chosen about it, whether it stands alone or in a sum.

use schema::{Loss, Memory, Reduction, Regularizer, Summand};

use super::{Checked, fault, mining, not_negative, positive, require};

/// Checks one loss, and each of which it is the sum. `key` leads to the table that the loss stands in.
pub(super) fn summand(
    summand: &Summand,
    memory: Option<&Memory>,
    key: &dyn Fn(&str) -> String,
) -> Checked {
    let Summand {
        weight,
        loss,
        distance,
        reduction,
        miner,
        regularizer,
    } = summand;
    positive(*weight, &key("weight"))?;
    if let Some((setting, message)) = loss.out_of_range() {
        return fault(key(&format!("loss.{}.{setting}", loss.name())), message);
    }
    reduction
        .iter()
        .try_for_each(|reduction| self::reduction(reduction, key))?;
    regularizer
        .iter()
        .try_for_each(|regularizer| self::regularizer(regularizer, key))?;
    miner
        .iter()
        .try_for_each(|miner| mining::miner(miner, key))?;
    if let Some(misfit) = loss.misfit(*distance, *reduction, miner.as_ref(), memory) {
        return fault(key(misfit.key), misfit.reason);
    }
    if let Loss::Sum(summands) = loss {
        sum(summands, memory, key)
    } else {
        Ok(())
    }
}

fn sum(summands: &[Summand], memory: Option<&Memory>, key: &dyn Fn(&str) -> String) -> Checked {
    require(!summands.is_empty(), &key("loss.sum"), "the sum is empty")?;
    summands
        .iter()
        .enumerate()
        .try_for_each(|(place, summand)| {
            let key = |name: &str| key(&format!("loss.sum.{place}.{name}"));
            let is_sum = matches!(summand.loss, Loss::Sum(_));
            require(!is_sum, &key("loss"), "a sum within a sum: write one sum")?;
            self::summand(summand, memory, &key)
        })
}

fn reduction(reduction: &Reduction, key: &dyn Fn(&str) -> String) -> Checked {
    match reduction {
        Reduction::Threshold { low, high } => require(
            low < high,
            &key("reduction.threshold"),
            "`low` is not below `high`: no term would count",
        ),
        Reduction::Mean
        | Reduction::AvgNonZero
        | Reduction::Sum
        | Reduction::PerImage
        | Reduction::PerAnchor => Ok(()),
    }
}

fn regularizer(regularizer: &Regularizer, key: &dyn Fn(&str) -> String) -> Checked {
    let (name, weight) = match regularizer {
        Regularizer::LpNorm(weight) => ("lp_norm", weight),
        Regularizer::ZeroMean(weight) => ("zero_mean", weight),
        Regularizer::CenterInvariant(weight) => ("center_invariant", weight),
    };
    // A search may well find that none is best.
    not_negative(*weight, &key(&format!("regularizer.{name}")))
}
