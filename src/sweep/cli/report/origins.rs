//! What computed the runs of a plan, and what was tried on the way to its tables.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use report::{EverMeasured, Origin, Tried};
use schema::{Dataset, Fingerprint, Identity, Outcome, Recipe, RunId, canonical_json};

use crate::{
    cli::Opened,
    ledger::{Job, Ledger, LedgerError, RunStage},
    plan::Plan,
};

/// Returns the origin of each run of the tables.
pub(super) fn origins(
    plan: &Plan,
    ledger: &Ledger,
) -> Result<BTreeMap<RunId, Origin>, LedgerError> {
    let runs: BTreeSet<RunId> = plan.members.iter().map(|member| member.run).collect();
    runs.into_par_iter()
        .map(|run| Ok((run, origin(run, plan, ledger)?)))
        .collect()
}

fn origin(run: RunId, plan: &Plan, ledger: &Ledger) -> Result<Origin, LedgerError> {
    let trained = ledger.trained(run)?;
    let recipe = plan.runs.get(&run).map(|planned| &planned.identity.recipe);
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
pub(super) fn tried(opened: &Opened) -> Result<Tried, LedgerError> {
    let Opened { plan, ledger, .. } = opened;
    let runs = plan.runs.keys();
    let jobs = runs
        .clone()
        .flat_map(|&run| [Job::Train(run), Job::Evaluate(run)])
        .chain(plan.data.keys().map(|&data| Job::Prepare(data)))
        .chain(plan.ensembles.keys().map(|&id| Job::Ensemble(id)));
    let jobs: Vec<Job> = jobs.collect();
    let attempts: Result<Vec<_>, LedgerError> = jobs
        .into_par_iter()
        .map(|job| ledger.computations(job))
        .collect();
    Ok(Tried {
        runs: runs.filter(|run| ledger.has_result(**run)).count(),
        attempts: attempts?.into_iter().flatten().collect(),
        measured: ever_measured(plan, ledger)?,
    })
}

/// The runs that were measured on the same test classes, and their recipes.
#[derive(Default)]
struct Measured {
    recipes: BTreeSet<String>,
    runs: usize,
}

fn ever_measured(plan: &Plan, ledger: &Ledger) -> Result<Vec<EverMeasured>, LedgerError> {
    let runs: Vec<RunId> = ledger.runs()?.into_iter().collect();
    let identities = runs
        .par_iter()
        .filter_map(|run| measured_identity(*run, ledger));
    let mut found: BTreeMap<(String, Fingerprint), Measured> = BTreeMap::new();
    for identity in identities.collect::<Vec<Identity>>() {
        let measured = found
            .entry(key(&identity.recipe.dataset, &identity.data))
            .or_default();
        measured.runs += 1;
        let recipe = Recipe {
            seed: 0,
            fold: None,
            ..identity.recipe
        };
        measured.recipes.insert(canonical_json(&recipe));
    }
    let of_data = plan.data.values().filter_map(|data| {
        let measured = found.remove(&key(&data.dataset, &data.fingerprint))?;
        Some(EverMeasured {
            dataset: data.dataset.clone(),
            recipes: measured.recipes.len(),
            runs: measured.runs,
        })
    });
    Ok(of_data.collect())
}

fn key(dataset: &Dataset, fingerprint: &Fingerprint) -> (String, Fingerprint) {
    (canonical_json(dataset), fingerprint.clone())
}

/// Returns the identity of a run that is measured. Runs of other sweeps that cannot be read are of no concern here.
fn measured_identity(run: RunId, ledger: &Ledger) -> Option<Identity> {
    let RunStage::Recorded(record) = ledger.state(run).ok()? else {
        return None;
    };
    match record.outcome {
        Outcome::Finished(_) => serde_json::from_value(ledger.identity(run).ok()??).ok(),
        Outcome::Broken { .. } => None,
    }
}
