//! Methods x axis values x seeds x folds: the recipe of each repetition of each cell.

use schema::{
    Backbone, BatchNorm, Fingerprint, Fold, Identity, Metric, Model, Numerics, Recipe, SCHEMA, Schedule, Training,
    Weights,
};

use super::Member;
use crate::spec::{Baseline, Method, MethodTable, Point, Sweep};

/// All repetitions of a method under one combination of axis values, whose backbone starts from these weights.
pub(super) fn members(
    sweep: &Sweep,
    point: &Point,
    Method { settings, table: method }: &Method,
    data: &Fingerprint,
    weights: Option<&Weights>,
    numerics: Numerics,
) -> Vec<(Member, Box<Identity>)> {
    let mut members = Vec::with_capacity(sweep.seeds.len() * sweep.folds.len());
    let settings = [&point.settings[..], settings].concat();
    let seeds: Vec<u64> = match is_drawn(method, weights) {
        true => sweep.seeds.clone(),
        false => vec![0; sweep.seeds.len()],
    };
    let of_fold = |&fold| {
        let recipe = recipe(point, method, weights, fold);
        let identity = Identity { schema: SCHEMA, recipe, data: data.clone(), numerics };
        (fold, identity.runs(&seeds), identity)
    };
    let folds: Vec<_> = sweep.folds.iter().map(of_fold).collect();
    for (place, &seed) in sweep.seeds.iter().enumerate() {
        for (fold, runs, identity) in &folds {
            let mut identity = Box::new(identity.clone());
            identity.recipe.seed = seeds[place];
            let member = Member {
                method: method.name.clone(),
                dataset: point.dataset.title().to_owned(),
                settings: settings.clone(),
                seed,
                fold: *fold,
                run: runs[place],
            };
            members.push((member, identity));
        }
    }
    members
}

/// Whether the seed changes anything: not for pixels, nor for features that were trained before.
fn is_drawn(method: &MethodTable, weights: Option<&Weights>) -> bool {
    match method.baseline {
        Some(Baseline::Pixels) => false,
        Some(Baseline::Trunk) => weights.is_none(),
        Some(Baseline::Untrained) | None => true,
    }
}

/// What determines nothing is left out, so that equal results have equal names: no fold for a network
/// that is not trained, nor what only training heeds. Every seed has this recipe with itself in the place of 0.
fn recipe(point: &Point, method: &MethodTable, weights: Option<&Weights>, fold: Option<Fold>) -> Recipe {
    let backbone = match weights {
        Some(weights) => point.model.backbone.clone().with_weights(weights.clone()),
        None => point.model.backbone.clone(),
    };
    let model = Model { backbone, ..point.model.clone() };
    let (model, training, fold) = match method.baseline {
        Some(Baseline::Pixels) => (Model::new(Backbone::Pixels, None), None, None),
        Some(Baseline::Untrained) => (untrained(model), None, None),
        Some(Baseline::Trunk) => (Model { embedding: None, head: None, ..untrained(model) }, None, None),
        None => (model, training(point, method, fold), fold),
    };
    let mut transform = point.transform.clone();
    transform.train = transform.train.filter(|_| training.is_some());
    Recipe { dataset: point.dataset.clone(), images: point.images, transform, fold, model, training, seed: 0 }
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
        head_optimizer: shared.head_optimizer.clone().filter(|head| *head != shared.optimizer),
        schedule: shared.schedule.clone().unwrap_or(Schedule::Constant),
        warm_up: shared.warm_up.clone(),
        freeze_trunk: shared.freeze_trunk.clone(),
        epoch_steps: shared.epoch_steps,
        clip: shared.clip,
        accumulate: shared.accumulate.unwrap_or(1),
        chunk: shared.chunk,
        steps: shared.steps,
        select: fold.and(shared.select).unwrap_or(Metric::MapAtR),
        patience: fold.and(shared.patience),
        guards: shared.guards.clone(),
        validate_every: fold.map(|_| shared.validate_every.unwrap_or(shared.steps)),
        labels: shared.labels,
    })
}
