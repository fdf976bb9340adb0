//! From the words of a recipe to the things they name: the one place where both vocabularies meet.

use std::path::Path;

use dml::{
    data, loss,
    memory::Xbm,
    miner,
    model::{self, Network, NetworkConfig},
    objective::Objective,
    optim, sampler,
};
use schema::{Backbone, Dataset, Loss, Memory, Miner, Optimizer, Recipe, Sampler, Training};

use crate::Failed;

/// The data set, and where it lies.
///
/// # Errors
/// If it must lie somewhere and nobody said where.
pub(crate) fn source(dataset: &Dataset, root: Option<&Path>) -> Result<data::Source, Failed> {
    match dataset {
        Dataset::Glyphs(glyphs) => Ok(data::Source::Glyphs(data::Glyphs {
            classes: glyphs.classes,
            test_classes: glyphs.test_classes,
            per_class: glyphs.per_class,
            seed: glyphs.seed,
        })),
        Dataset::Omniglot => {
            let root = root.ok_or_else(|| Failed::data("the attempt does not say where Omniglot lies"))?;
            Ok(data::Source::Omniglot { root: root.to_owned() })
        }
    }
}

/// The network with its initial weights, for images of so many channels.
///
/// # Errors
/// If there is no such network.
pub(crate) fn network(recipe: &Recipe, channels: u32, device: tch::Device) -> Result<Network, Failed> {
    let config = NetworkConfig {
        backbone: match recipe.model.backbone {
            Backbone::Conv4 => model::Backbone::Conv4,
            Backbone::Pixels => model::Backbone::Pixels,
        },
        channels: i64::from(channels),
        image_size: i64::from(recipe.image_size),
        embedding: recipe.model.embedding.map(i64::from),
    };
    Network::new(config, recipe.seed, device).map_err(impossible)
}

/// What training minimises, with a memory for the embeddings of this network.
///
/// # Errors
/// If the memory would hold nothing, or more than there are images.
pub(crate) fn objective(training: &Training, network: &Network, images: usize) -> Result<Objective, Failed> {
    let mut objective = Objective {
        loss: loss(&training.loss),
        miner: training.miner.as_ref().map(miner),
        memory: None,
        memory_start: 0,
        memory_weight: 0.0,
    };
    match &training.memory {
        Some(Memory::Xbm(xbm)) => {
            let size = memory_size(xbm.size, images)?;
            objective.memory = Some(Xbm::new(size, network.width(), network.device()));
            objective.memory_start = xbm.start_step;
            objective.memory_weight = xbm.weight;
        }
        None => {}
    }
    Ok(objective)
}

fn memory_size(size: u32, images: usize) -> Result<i64, Failed> {
    if size == 0 {
        return Err(Failed::recipe("a memory must hold at least one embedding"));
    }
    if size as usize > images {
        return Err(Failed::recipe(format!(
            "a memory of {size} embeddings is larger than the {images} images trained on"
        )));
    }
    Ok(i64::from(size))
}

fn loss(loss: &Loss) -> Box<dyn loss::Loss> {
    match loss {
        Loss::Contrastive(schema::Contrastive { pos_margin, neg_margin }) => {
            Box::new(loss::Contrastive { pos_margin: *pos_margin, neg_margin: *neg_margin })
        }
        Loss::Triplet(schema::Triplet { margin }) => Box::new(loss::Triplet { margin: *margin }),
        Loss::MultiSimilarity(schema::MultiSimilarity { alpha, beta, base }) => {
            Box::new(loss::MultiSimilarity { alpha: *alpha, beta: *beta, base: *base })
        }
    }
}

fn miner(miner: &Miner) -> Box<dyn miner::Miner> {
    match miner {
        Miner::SemiHard(schema::SemiHard { margin }) => Box::new(miner::SemiHard { margin: *margin }),
        Miner::MultiSimilarity(schema::MultiSimilarityMiner { epsilon }) => {
            Box::new(miner::MultiSimilarity { epsilon: *epsilon })
        }
    }
}

/// What forms the batches of images with these labels.
///
/// # Errors
/// If the labels do not allow such batches.
pub(crate) fn sampler(sampler: &Sampler, labels: &[i64], seed: u64) -> Result<sampler::MPerClass, Failed> {
    match sampler {
        Sampler::MPerClass(schema::MPerClass { batch, per_class }) => {
            sampler::MPerClass::new(labels, *batch as usize, *per_class as usize, seed).map_err(impossible)
        }
    }
}

/// What changes the weights of this network.
///
/// # Errors
/// If it has none.
pub(crate) fn optimizer(optimizer: &Optimizer, network: &mut Network) -> Result<optim::Optimizer, Failed> {
    let parameters = network.flat_parameters();
    if parameters.numel() == 0 {
        return Err(Failed::recipe("this model has no weights, there is nothing to train"));
    }
    Ok(match optimizer {
        Optimizer::Adam(schema::Adam { lr, betas, epsilon, weight_decay }) => optim::Optimizer::new(
            optim::Adam { lr: *lr, betas: *betas, epsilon: *epsilon, weight_decay: *weight_decay },
            parameters,
        ),
        Optimizer::Sgd(schema::Sgd { lr, momentum, weight_decay }) => {
            optim::Optimizer::new(optim::Sgd { lr: *lr, momentum: *momentum, weight_decay: *weight_decay }, parameters)
        }
    })
}

fn impossible(error: impl std::error::Error) -> Failed {
    Failed::recipe(error.to_string())
}

/// The version of the drawing is part of the name of every run on glyphs, so the two must not part.
const _: () = assert!(schema::Glyphs::DRAWING == data::DRAWING);
