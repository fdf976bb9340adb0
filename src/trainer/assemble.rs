//! From the words of a recipe to the things they name: the one place where both vocabularies meet.

mod losses;
mod network;

use dml::{loss, memory::CrossBatchMemory, model::Network, objective::Objective, script::Scripts};
use schema::{Memory, Training, Xbm};

use crate::Failed;

pub(crate) use losses::{losses, scripts};
pub(crate) use network::{fit_weights, network, warn_of_precision};

/// What training minimises, on images with these labels, with a memory for the embeddings of this network.
///
/// # Errors
/// If the memory would hold nothing, or more than there are images, or a module of the user cannot be used.
pub(crate) fn objective(
    training: &Training,
    network: &Network,
    labels: &[i64],
    scripts: &Scripts,
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
    let blocks = network.blocks();
    let objective = Objective {
        seed,
        links: losses::links(training, &blocks, &init),
        ..Objective::sum(losses::losses(training, &blocks, scripts, &init)?)
    };
    match &training.memory {
        Some(memory) => with_memory(
            objective,
            memory,
            training.accumulate,
            network,
            labels.len(),
        ),
        None => Ok(objective),
    }
}

/// Adds a memory to an objective, for steps of `batches` batches and `images` training images.
///
/// # Errors
/// If the memory would hold nothing, or more than there are images.
fn with_memory(
    objective: Objective,
    memory: &Memory,
    batches: u64,
    network: &Network,
    images: usize,
) -> Result<Objective, Failed> {
    let Memory::Xbm(xbm) = memory;
    let size = memory_size(xbm, images)?;
    let memory = CrossBatchMemory::new(xbm.clone(), size, network.width(), network.device());
    Ok(Objective {
        memory: Some(memory),
        memory_start: xbm.start_step * batches,
        ..objective
    })
}

fn memory_size(xbm: &Xbm, images: usize) -> Result<i64, Failed> {
    let size = xbm.size.of(images as u64);
    if size == 0 {
        return Err(Failed::recipe("a memory must hold at least one embedding"));
    }
    if size > images as u64 {
        return Err(Failed::recipe(format!(
            "a memory of {size} embeddings is larger than the {images} images trained on"
        )));
    }
    Ok(size as i64)
}

/// Returns the super-class of each class, numbered in order of first appearance: the part of its name before the first
/// `/`, as in `Korean/character05`. Returns nothing if a name has none.
pub(crate) fn super_classes(names: &[String]) -> Option<Vec<i64>> {
    let mut known: Vec<&str> = Vec::new();
    let mut super_classes = Vec::new();
    for name in names {
        let (super_class, _) = name.split_once('/')?;
        let number = known.iter().position(|known| *known == super_class);
        super_classes.push(number.unwrap_or(known.len()) as i64);
        if number.is_none() {
            known.push(super_class);
        }
    }
    Some(super_classes)
}

pub(crate) fn impossible(error: impl std::error::Error) -> Failed {
    Failed::recipe(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_super_class_of_a_class_is_the_part_of_its_name_before_the_slash() {
        let names = |all: &[&str]| {
            all.iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let omniglot = names(&[
            "Korean/character01",
            "Korean/character02",
            "Latin/character01",
            "Korean/character03",
        ]);
        assert_eq!(super_classes(&omniglot), Some(vec![0, 0, 1, 0]));
        assert_eq!(super_classes(&names(&["glyph000001", "glyph000002"])), None);
    }
}
