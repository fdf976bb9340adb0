//! What computed the runs of a plan, and what was tried on the way to its tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rayon::prelude::*;
use report::{Cost, EverMeasured, Origin, Tried};
use schema::{Computation, DataId, Identity, Recipe, RunId};
use serde::Serialize;

use crate::{
    cli::Opened,
    ledger::{Job, Ledger, LedgerError},
    plan::{PerRecipe, Plan},
};

/// Returns the origin of each run of the tables.
pub(super) fn origins(
    plan: &Plan,
    ledger: &Ledger,
) -> Result<BTreeMap<RunId, Arc<Origin>>, LedgerError> {
    let runs: BTreeSet<RunId> = plan.members.iter().map(|member| member.run).collect();
    runs.into_par_iter()
        .map(|run| Ok((run, Arc::new(origin(run, plan, ledger)?))))
        .collect()
}

fn origin(run: RunId, plan: &Plan, ledger: &Ledger) -> Result<Origin, LedgerError> {
    let trained = ledger.trained(run)?;
    let recipe = plan.runs.get(&run).map(|planned| &planned.unseeded.recipe);
    let steps = trained.as_ref().map(|trained| trained.steps);
    let of_a_step = recipe.and_then(images_of_a_step);
    Ok(Origin {
        training: ledger.computations(Job::Train(run))?,
        measuring: ledger.computations(Job::Evaluate(run))?,
        images: steps.zip(of_a_step).map(|(steps, images)| steps * images),
        validation: trained.and_then(|trained| trained.validation),
    })
}

fn images_of_a_step(recipe: &Recipe) -> Option<u64> {
    let training = recipe.training.as_ref()?;
    Some(u64::from(training.sampler.batch()) * training.accumulate)
}

/// Returns what was tried for a sweep, and what was ever measured on its test classes.
pub(super) fn tried(
    opened: &Opened,
    origins: &BTreeMap<RunId, Arc<Origin>>,
) -> Result<Tried, LedgerError> {
    let Opened { plan, ledger, .. } = opened;
    let of_run = |(&run, _)| {
        let cost = match origins.get(&run) {
            Some(origin) => cost_of(origin.training.iter().chain(&origin.measuring)),
            None => cost(Job::Train(run), ledger)? + cost(Job::Evaluate(run), ledger)?,
        };
        Ok::<_, LedgerError>((usize::from(ledger.has_ended(run)?), cost))
    };
    let none = || (0, Cost::default());
    let (runs, mut cost_of_all) = plan
        .runs
        .par_iter()
        .map(of_run)
        .try_reduce(none, |one, other| Ok((one.0 + other.0, one.1 + other.1)))?;
    let prepare = plan.data.keys().map(|&data| Job::Prepare(data));
    for job in prepare.chain(plan.ensembles.keys().map(|&id| Job::Ensemble(id))) {
        cost_of_all = cost_of_all + cost(job, ledger)?;
    }
    Ok(Tried {
        runs,
        cost: cost_of_all,
        measured: ever_measured(plan, ledger)?,
    })
}

fn cost(job: Job, ledger: &Ledger) -> Result<Cost, LedgerError> {
    Ok(cost_of(&ledger.computations(job)?))
}

fn cost_of<'c>(attempts: impl IntoIterator<Item = &'c Arc<Computation>>) -> Cost {
    attempts.into_iter().map(|attempt| Cost::of(attempt)).sum()
}

/// The runs that were measured on the same test classes, and their recipes.
#[derive(Default)]
struct Measured {
    recipes: BTreeSet<Hash>,
    runs: usize,
}

/// A hash of a text, to compare by. The texts of many runs would take much memory.
type Hash = [u8; blake3::OUT_LEN];

fn ever_measured(plan: &Plan, ledger: &Ledger) -> Result<Vec<EverMeasured>, LedgerError> {
    let runs: Vec<RunId> = ledger.runs()?.iter().copied().collect();
    let planned = plan.data.iter();
    let planned: BTreeMap<DataId, Hash> = planned
        .map(|(&id, data)| (id, hash_of(&(&data.dataset, &data.fingerprint))))
        .collect();
    let recipes = PerRecipe::default();
    let measured = runs.par_iter().filter_map(|&run| {
        // Runs of other sweeps that cannot be read are of no concern here.
        if !ledger.has_scores(run).unwrap_or(false) {
            return None;
        }
        if let Some(run) = plan.runs.get(&run) {
            let recipe = recipes.get(run, || recipe_of(&run.unseeded));
            return Some((planned[&run.data], recipe));
        }
        let identity = other_identity(run, ledger)?;
        let data = hash_of(&(&identity.recipe.dataset, &identity.data));
        Some((data, recipe_of(&identity)))
    });
    let mut found: BTreeMap<Hash, Measured> = BTreeMap::new();
    for (data, recipe) in measured.collect::<Vec<(Hash, Hash)>>() {
        let measured = found.entry(data).or_default();
        measured.runs += 1;
        measured.recipes.insert(recipe);
    }
    let of_data = plan.data.iter().filter_map(|(id, data)| {
        let measured = found.remove(&planned[id])?;
        Some(EverMeasured {
            dataset: data.dataset.clone(),
            recipes: measured.recipes.len(),
            runs: measured.runs,
        })
    });
    Ok(of_data.collect())
}

/// What tells the recipe of a run from those that differ in more than seed and fold.
fn recipe_of(identity: &Identity) -> Hash {
    hash_of(&Recipe {
        seed: 0,
        fold: None,
        ..identity.recipe.clone()
    })
}

/// Equal values have equal texts, because each type writes its keys in one order.
fn hash_of(value: &impl Serialize) -> Hash {
    blake3::hash(&serde_json::to_vec(value).unwrap_or_default()).into()
}

/// Returns the identity of a run of another sweep.
fn other_identity(run: RunId, ledger: &Ledger) -> Option<Identity> {
    let stored = ledger.identity(run).ok()??;
    serde_json::from_value(stored).ok()
}
