//! Methods x axis values x seeds x folds: the recipe of each repetition of each cell.

use schema::{Backbone, BatchNorm, Fingerprint, Fold, Identity, Model, Numerics, Recipe, SCHEMA, Training, Weights};

use super::Member;
use crate::spec::{Baseline, MethodTable, Point, Sweep};

/// All repetitions of all methods under one combination of axis values, whose backbone starts from these weights.
pub(super) fn members(
    sweep: &Sweep,
    point: &Point,
    data: &Fingerprint,
    weights: Option<&Weights>,
    numerics: Numerics,
) -> Vec<(Member, Identity)> {
    let mut members = Vec::with_capacity(point.methods.len() * sweep.seeds.len() * sweep.folds.len());
    for method in &point.methods {
        for &seed in &sweep.seeds {
            for &fold in &sweep.folds {
                let recipe = recipe(point, method, weights, seed, fold);
                let identity = Identity { schema: SCHEMA, recipe, data: data.clone(), numerics };
                let member = Member {
                    method: method.name.clone(),
                    dataset: point.dataset.title(),
                    settings: point.settings.clone(),
                    seed,
                    fold,
                    run: identity.run(),
                };
                members.push((member, identity));
            }
        }
    }
    members
}

/// What determines nothing is left out, so that equal results have equal names: no seed or fold for pixels or for
/// features that were trained before, no fold for a network that is not trained, nor what only training heeds.
fn recipe(point: &Point, method: &MethodTable, weights: Option<&Weights>, seed: u64, fold: Option<Fold>) -> Recipe {
    let backbone = match weights {
        Some(weights) => point.model.backbone.clone().with_weights(weights.clone()),
        None => point.model.backbone.clone(),
    };
    let model = Model { backbone, ..point.model.clone() };
    let (model, training, seed, fold) = match method.baseline {
        Some(Baseline::Pixels) => (Model::new(Backbone::Pixels, None), None, 0, None),
        Some(Baseline::Untrained) => (untrained(model), None, seed, None),
        Some(Baseline::Trunk) => {
            let seed = if weights.is_some() { 0 } else { seed };
            (Model { embedding: None, head: None, ..untrained(model) }, None, seed, None)
        }
        None => (model, training(point, method, fold), seed, fold),
    };
    Recipe { dataset: point.dataset.clone(), image_size: point.image_size, fold, model, training, seed }
}

fn untrained(model: Model) -> Model {
    Model { batch_norm: BatchNorm::Train, freeze: Vec::new(), ..model }
}

fn training(point: &Point, method: &MethodTable, fold: Option<Fold>) -> Option<Training> {
    let (shared, loss) = (&point.training, method.loss.as_ref()?);
    Some(Training {
        loss: loss.clone(),
        distance: method.distance,
        reduction: method.reduction,
        regularizer: method.regularizer.clone(),
        miner: method.miner.clone(),
        memory: method.memory.clone(),
        sampler: method.sampler.as_ref().unwrap_or(&shared.sampler).clone(),
        optimizer: shared.optimizer.clone(),
        // Where it changes nothing, it is no part of the run's identity either.
        loss_optimizer: method
            .loss_optimizer
            .as_ref()
            .or(shared.loss_optimizer.as_ref())
            .filter(|_| loss.has_parameters())
            .cloned(),
        steps: shared.steps,
        validate_every: fold.map(|_| shared.validate_every.unwrap_or(shared.steps)),
        labels: shared.labels,
    })
}
