//! Methods x axis values x seeds x folds: the recipe of each repetition of each cell.

use schema::{
    Backbone, BatchNorm, Fingerprint, Fold, Identity, Metric, Model, Numerics, Recipe, RunId,
    SCHEMA, Schedule, StudyId, Training, Weights,
};

use super::Member;
use crate::config::{Baseline, Method, MethodTable, Point, Sweep, TrainingTable};

/// Everything that the runs of one row of the table have in common.
pub(super) struct Cell<'a> {
    pub(super) sweep: &'a Sweep,
    pub(super) point: &'a Point,
    pub(super) method: &'a Method,
    pub(super) data: &'a Fingerprint,
    /// Those that the backbone starts from.
    pub(super) weights: Option<&'a Weights>,
    pub(super) numerics: Numerics,
}

impl Cell<'_> {
    /// All repetitions, the folds of each seed one after the other, with this training of this method.
    pub(super) fn members(
        &self,
        method: &MethodTable,
        training: &TrainingTable,
    ) -> Vec<(Member, Box<Identity>)> {
        let sweep = self.sweep;
        let mut members = Vec::with_capacity(sweep.seeds.len() * sweep.folds.len());
        let seeds: Vec<u64> = match is_drawn(method, self.weights) {
            true => sweep.seeds.clone(),
            false => vec![0; sweep.seeds.len()],
        };
        let of_fold = |&fold| {
            let identity = self.identity(method, training, fold);
            (fold, identity.runs(&seeds), identity)
        };
        let folds: Vec<_> = sweep.folds.iter().map(of_fold).collect();
        for (place, &seed) in sweep.seeds.iter().enumerate() {
            for (fold, runs, identity) in &folds {
                let mut identity = Box::new(identity.clone());
                identity.recipe.seed = seeds[place];
                members.push((self.member(seed, *fold, runs[place]), identity));
            }
        }
        members
    }

    /// The same while a study has not selected anything: no run has its final name.
    pub(super) fn undecided(&self, study: StudyId) -> Vec<Member> {
        let folds = || self.sweep.folds.iter().enumerate();
        let of_seed = |&seed: &u64| {
            folds().map(move |(place, &fold)| {
                self.member(seed, fold, RunId::undecided(study, seed, place))
            })
        };
        self.sweep.seeds.iter().flat_map(of_seed).collect()
    }

    /// The run of each fold with this seed alone.
    pub(super) fn trial(
        &self,
        method: &MethodTable,
        training: &TrainingTable,
        seed: u64,
    ) -> Vec<Identity> {
        let of_fold = |&fold| {
            let mut identity = self.identity(method, training, fold);
            identity.recipe.seed = seed;
            identity
        };
        self.sweep.folds.iter().map(of_fold).collect()
    }

    fn identity(
        &self,
        method: &MethodTable,
        training: &TrainingTable,
        fold: Option<Fold>,
    ) -> Identity {
        let recipe = recipe(self.point, method, training, self.weights, fold);
        Identity {
            schema: SCHEMA,
            recipe,
            data: self.data.clone(),
            numerics: self.numerics,
        }
    }

    fn member(&self, seed: u64, fold: Option<Fold>, run: RunId) -> Member {
        Member {
            method: self.method.table.name.clone(),
            dataset: self.point.dataset.title().to_owned(),
            settings: [&self.point.settings[..], &self.method.settings].concat(),
            seed,
            fold,
            run,
        }
    }
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
fn recipe(
    point: &Point,
    method: &MethodTable,
    training: &TrainingTable,
    weights: Option<&Weights>,
    fold: Option<Fold>,
) -> Recipe {
    let backbone = match weights {
        Some(weights) => point.model.backbone.clone().with_weights(weights.clone()),
        None => point.model.backbone.clone(),
    };
    let model = Model {
        backbone,
        ..point.model.clone()
    };
    let (model, training, fold) = match method.baseline {
        Some(Baseline::Pixels) => (Model::new(Backbone::Pixels, None), None, None),
        Some(Baseline::Untrained) => (untrained(model), None, None),
        Some(Baseline::Trunk) => (
            Model {
                embedding: None,
                head: None,
                ..untrained(model)
            },
            None,
            None,
        ),
        None => (model, self::training(training, method, fold), fold),
    };
    let mut transform = point.transform.clone();
    transform.train = transform.train.filter(|_| training.is_some());
    Recipe {
        dataset: point.dataset.clone(),
        images: point.images,
        transform,
        fold,
        model,
        training,
        seed: 0,
    }
}

fn untrained(model: Model) -> Model {
    Model {
        batch_norm: BatchNorm::untrained(&model.backbone),
        freeze: Vec::new(),
        ..model
    }
}

fn training(shared: &TrainingTable, method: &MethodTable, fold: Option<Fold>) -> Option<Training> {
    let loss = method.loss.as_ref()?;
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
        head_optimizer: shared
            .head_optimizer
            .clone()
            .filter(|head| *head != shared.optimizer),
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
