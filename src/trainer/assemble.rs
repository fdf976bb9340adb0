//! From the words of a recipe to the things they name: the one place where both vocabularies meet.

mod losses;
mod network;
mod remembering;
mod sampling;

use dml::{loss, model::Network, objective::Objective};
use schema::Training;

use crate::Failed;

pub(crate) use network::{network, warn_of_precision, weights_fit};
pub(crate) use sampling::{sampler, super_classes};

/// What training minimises, on images with these labels, with a memory for the embeddings of this network.
///
/// # Errors
/// If the memory would hold nothing, or more than there are images.
pub(crate) fn objective(
    training: &Training,
    network: &Network,
    labels: &[i64],
    seed: u64,
) -> Result<Objective, Failed> {
    let classes = labels.iter().max().map_or(0, |last| last + 1);
    let init = loss::ClassInit {
        classes,
        width: network.width(),
        seed,
        part: 0,
        device: network.device(),
    };
    let objective = Objective {
        seed,
        ..Objective::sum(losses::losses(training, &init)?)
    };
    match &training.memory {
        Some(memory) => remembering::with_memory(
            objective,
            memory,
            training.accumulate,
            network,
            labels.len(),
        ),
        None => Ok(objective),
    }
}

pub(super) fn impossible(error: impl std::error::Error) -> Failed {
    Failed::recipe(error.to_string())
}
