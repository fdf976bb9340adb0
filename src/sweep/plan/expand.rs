//! Methods x axis values x seeds x folds: the recipe of each repetition of each cell.

use schema::{Backbone, Fingerprint, Fold, Identity, Model, Numerics, Recipe, SCHEMA, Training};

use super::Member;
use crate::spec::{Baseline, MethodTable, Point, Sweep};

/// All repetitions of all methods under one combination of axis values.
pub(super) fn members(sweep: &Sweep, point: &Point, data: &Fingerprint, numerics: Numerics) -> Vec<(Member, Identity)> {
    let mut members = Vec::with_capacity(point.methods.len() * sweep.seeds.len() * sweep.folds.len());
    for method in &point.methods {
        for &seed in &sweep.seeds {
            for &fold in &sweep.folds {
                let recipe = recipe(point, method, seed, fold);
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

/// What determines nothing is left out, so that equal results have equal names: no seed or fold for pixels,
/// no fold for a network that is not trained.
fn recipe(point: &Point, method: &MethodTable, seed: u64, fold: Option<Fold>) -> Recipe {
    let (model, training, seed, fold) = match method.baseline {
        Some(Baseline::Pixels) => (Model { backbone: Backbone::Pixels, embedding: None }, None, 0, None),
        Some(Baseline::Untrained) => (point.model.clone(), None, seed, None),
        None => (point.model.clone(), training(point, method, fold), seed, fold),
    };
    Recipe { dataset: point.dataset.clone(), image_size: point.image_size, fold, model, training, seed }
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
