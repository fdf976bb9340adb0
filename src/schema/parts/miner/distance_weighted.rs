//! Negatives uniform over distances.

use crate::{
    OutOfRange,
    parts::{part::part, range::above},
};

part! {
    /// Draws negatives uniformly over Euclidean distances of normalized embeddings (Wu et al., ICCV 2017).
    pub struct DistanceWeightedMiner {
        /// Closer negatives are as likely as those at this distance.
        cutoff: f64 = 0.5 => above(0.0),
        /// Negatives at this distance or farther are never drawn.
        nonzero_loss_cutoff: f64 = 1.4,
    }
    formula: "for each positive pair a negative, drawn uniformly over the distances between cutoff and nonzero_loss_cutoff",
    source: "Wu et al., ICCV 2017",
    check: check_cutoffs,
}

fn check_cutoffs(miner: &DistanceWeightedMiner) -> Result<(), OutOfRange> {
    let cutoff = miner.cutoff;
    if miner.nonzero_loss_cutoff > cutoff && miner.nonzero_loss_cutoff <= 2.0 {
        return Ok(());
    }
    Err(OutOfRange::new(
        "nonzero_loss_cutoff",
        format!("expected a number above cutoff = {cutoff} and at most 2"),
    ))
}
