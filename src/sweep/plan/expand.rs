//! Methods x axis values x seeds x folds: the recipe of every repetition of every cell.

use std::sync::Arc;

use rayon::prelude::*;
use schema::{
    Backbone, BatchNorm, Fingerprint, Fold, Identity, Join, LabelMap, Metric, Model, Numerics,
    Recipe, RunId, SCHEMA, Schedule, StudyId, Training, Weights,
};

use super::Member;
use crate::{
    config::{Baseline, LabelMaps, Method, MethodTable, Point, Sweep, TrainingTable},
    search::Search,
};

/// The number of ids that are made at a time.
const TOGETHER: usize = 64;

/// Everything that the runs of one row of the table have in common.
pub(super) struct Cell<'a> {
    pub(super) sweep: &'a Sweep,
    pub(super) point: &'a Point,
    pub(super) method: &'a Method,
    /// Which repetition of its search, from 0, if it is repeated.
    pub(super) repeat: Option<usize>,
    pub(super) data: &'a Fingerprint,
    /// Those from which the backbone starts.
    pub(super) weights: Option<&'a Weights>,
    pub(super) numerics: Numerics,
}

/// What the id of a run is the hash of.
pub(super) struct Seeded {
    /// With the seed 0: what it has in common with the runs of other seeds.
    pub(super) unseeded: Arc<Identity>,
    pub(super) seed: u64,
}

impl From<Identity> for Seeded {
    fn from(identity: Identity) -> Seeded {
        Seeded {
            seed: identity.recipe.seed,
            unseeded: Arc::new(identity.with_seed(0)),
        }
    }
}

/// A fold and a label map of a cell.
struct Part {
    fold: Option<Fold>,
    map: Option<LabelMap>,
    /// With the seed 0.
    unseeded: Arc<Identity>,
}

impl Part {
    /// The ids of its runs with these seeds.
    fn runs(&self, seeds: &[u64]) -> Vec<RunId> {
        let together = seeds.par_chunks(TOGETHER);
        together
            .flat_map_iter(|seeds| self.unseeded.runs(seeds))
            .collect()
    }
}

impl Cell<'_> {
    /// The search of its values, if any are searched.
    pub(super) fn search(&self) -> Option<Search> {
        let search = self.method.search.as_deref()?;
        Some(search.repetition(self.repeat.unwrap_or(0)))
    }

    /// The seeds of its runs: no two repetitions of a search have one in common.
    fn seeds(&self) -> Vec<u64> {
        let seeds = &self.sweep.seeds;
        let beyond = seeds.iter().max().map_or(0, |highest| highest + 1);
        let shift = self.repeat.unwrap_or(0) as u64 * beyond;
        seeds.iter().map(|seed| seed + shift).collect()
    }

    /// All repetitions with this training of this method, by seed and fold.
    pub(super) fn members(
        &self,
        method: &MethodTable,
        training: &TrainingTable,
    ) -> Vec<(Member, Seeded)> {
        let seeds = self.seeds_of_recipes(method);
        let parts = self.parts(method, training);
        let runs: Vec<Vec<RunId>> = parts.iter().map(|part| part.runs(&seeds)).collect();
        let of_seed = |(position, seed): (usize, u64)| {
            let of_part = |(part, runs): (&Part, &Vec<RunId>)| {
                self.repetition(part, seed, seeds[position], runs[position])
            };
            parts.iter().zip(&runs).map(of_part).collect::<Vec<_>>()
        };
        let members = self.seeds().into_par_iter().enumerate().map(of_seed);
        members.flatten_iter().collect()
    }

    /// A repetition with a seed, and with that of its recipe.
    fn repetition(&self, part: &Part, seed: u64, of_recipe: u64, run: RunId) -> (Member, Seeded) {
        let seeded = Seeded {
            unseeded: Arc::clone(&part.unseeded),
            seed: of_recipe,
        };
        let member = Member {
            map: part.map.map(|map| map.index),
            ..self.member(seed, part.fold, run)
        };
        (member, seeded)
    }

    /// The ids of the same runs, by fold and seed, as far as they are asked for.
    pub(super) fn runs(
        &self,
        method: &MethodTable,
        training: &TrainingTable,
    ) -> impl Iterator<Item = RunId> {
        let seeds = self.seeds_of_recipes(method);
        let seeds: Vec<Vec<u64>> = seeds.chunks(TOGETHER).map(<[u64]>::to_vec).collect();
        let of_part = move |part: Part| {
            let seeds = seeds.clone().into_iter();
            seeds.flat_map(move |seeds| part.unseeded.runs(&seeds))
        };
        self.parts(method, training).into_iter().flat_map(of_part)
    }

    /// What its runs with one seed have in common with those of other seeds, by fold and label map.
    fn parts(&self, method: &MethodTable, training: &TrainingTable) -> Vec<Part> {
        let mut parts = Vec::with_capacity(self.sweep.folds.len());
        for &fold in &self.sweep.folds {
            for map in maps(method) {
                let mut identity = self.identity(method, training, fold);
                if let (Some(training), Some(map)) = (&mut identity.recipe.training, map) {
                    training.label_map = Some(map);
                }
                parts.push(Part {
                    fold,
                    map,
                    unseeded: Arc::new(identity),
                });
            }
        }
        parts
    }

    /// The seeds as recipes have them.
    fn seeds_of_recipes(&self, method: &MethodTable) -> Vec<u64> {
        let mut seeds = self.seeds();
        if !is_drawn(method, self.weights) {
            seeds.fill(0);
        }
        seeds
    }

    /// The same while a study has not selected anything: the ids of runs are not final.
    pub(super) fn undecided(&self, study: StudyId) -> Vec<Member> {
        let mut members = Vec::new();
        for seed in self.seeds() {
            for (position, &fold) in self.sweep.folds.iter().enumerate() {
                let run = RunId::undecided(study, seed, position);
                members.push(self.member(seed, fold, run));
            }
        }
        members
    }

    /// The run of each fold with this seed alone.
    pub(super) fn trial(
        &self,
        method: &MethodTable,
        training: &TrainingTable,
        seed: u64,
    ) -> Vec<Identity> {
        let mut identities = Vec::with_capacity(self.sweep.folds.len());
        for &fold in &self.sweep.folds {
            let mut identity = self.identity(method, training, fold);
            identity.recipe.seed = seed;
            identities.push(identity);
        }
        identities
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
        let mut needs = self.point.needs.clone();
        needs.raise(&self.method.table.needs);
        Member {
            method: self.method.table.name.clone(),
            dataset: self.point.dataset.clone(),
            settings: [&self.point.settings[..], &self.method.settings].concat(),
            repeat: self.repeat,
            seed,
            fold,
            map: None,
            run,
            priority: self.method.table.priority,
            needs,
        }
    }
}

/// Returns the label maps of the networks of a method; a single absent one if it has none.
fn maps(method: &MethodTable) -> Vec<Option<LabelMap>> {
    let Some(LabelMaps { members, classes }) = method.label_maps else {
        return vec![None];
    };
    let map = |index| Some(LabelMap { classes, index });
    (0..members).map(map).collect()
}

/// True if the result depends on the seed: not for pixels, nor for pretrained features.
fn is_drawn(method: &MethodTable, weights: Option<&Weights>) -> bool {
    match method.baseline {
        Some(Baseline::Pixels) => false,
        Some(Baseline::Trunk) => weights.is_none(),
        Some(Baseline::Untrained) | None => true,
    }
}

/// The recipe with seed 0. It leaves out what cannot change the result, so that equal results have equal
/// ids: no fold for an untrained network, nor settings of training alone.
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
    let model = method.model(&Model {
        backbone,
        ..point.model.clone()
    });
    let (model, training, fold) = match method.baseline {
        Some(Baseline::Pixels) => (Model::new(Backbone::Pixels, None), None, None),
        Some(Baseline::Untrained) => (untrained(model), None, None),
        Some(Baseline::Trunk) => (
            Model {
                embedding: None,
                head: None,
                heads: Vec::new(),
                join: Join::Equal,
                ..untrained(model)
            },
            None,
            None,
        ),
        None => (model, self::training(point, training, method, fold), fold),
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
        lora: None,
        drop_path: 0.0,
        checkpointing: false,
        ..model
    }
}

fn training(
    point: &Point,
    shared: &TrainingTable,
    method: &MethodTable,
    fold: Option<Fold>,
) -> Option<Training> {
    let loss = method.loss.as_ref()?;
    let sampler = method.sampler.as_ref().unwrap_or(&shared.sampler);
    let needs_survey = method.needs_survey() || sampler.needs_survey();
    Some(Training {
        loss: loss.clone(),
        distance: method.distance,
        reduction: method.reduction,
        regularizer: method.regularizer.clone(),
        miner: method.miner.clone(),
        memory: method.memory.clone(),
        heads: method.losses_of_heads(),
        links: method.links.clone(),
        sampler: sampler.clone(),
        optimizer: shared.optimizer.clone(),
        // It is part of the run's identity only where it changes the result.
        loss_optimizer: method
            .loss_optimizer
            .as_ref()
            .or(shared.loss_optimizer.as_ref())
            .filter(|_| method.has_parameters())
            .cloned(),
        head_optimizer: shared
            .head_optimizer
            .clone()
            .filter(|head| *head != shared.optimizer),
        weight_decay_on: shared.weight_decay_on,
        layer_decay: shared.layer_decay.filter(|&decay| decay != 1.0),
        schedule: shared.schedule.clone().unwrap_or(Schedule::Constant),
        warm_up: shared.warm_up.clone(),
        survey: shared.survey.clone().filter(|_| needs_survey),
        freeze_trunk: shared.freeze_trunk.clone(),
        epoch_steps: shared.epoch_steps,
        ema: shared.ema.clone(),
        clip: shared.clip,
        accumulate: shared.accumulate.unwrap_or(1),
        chunk: shared.chunk,
        steps: shared.steps,
        select: fold.and(shared.select).unwrap_or(Metric::MapAtR),
        patience: fold.and(shared.patience),
        guards: shared.guards.clone(),
        validate_every: fold.map(|_| shared.validate_every.unwrap_or(shared.steps)),
        labels: shared.labels,
        images: point.training_images,
        label_map: None,
    })
}
