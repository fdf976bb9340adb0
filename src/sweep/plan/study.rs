//! Studies: which trials of each search are known, and which of them is selected.
//!
//! The state of a study depends on existing results alone: replayed from its first trial, it reaches the
//! same state. A trial is one point on every fold, trained and validated with one seed that no repetition in
//! the table has; test classes are not used. If trials are pruned, the folds of a trial follow each other. A trial fails if any of its runs diverges, collapses or has an
//! invalid recipe; a run that failed for other reasons, such as a full disk, has no result, and its study
//! waits for it.

use std::{collections::VecDeque, ops::Range};

use schema::{
    Breakdown, Failure, Metric, Outcome as Ended, Record, RunId, StudyId, canonical_json,
    renamed::in_old_spelling,
};
use serde_json::json;

use super::{
    Identity, Plan, PlannedRun, RunInputs,
    expand::{Cell, Seeded},
};
use crate::{
    config::{Method, MethodTable, Sweep, TrainingTable, at_point, without},
    ledger::{AttemptEnd, Job, Ledger, LedgerError, RunStage},
    search::{
        AtBound, Decision, FIRST_SEED_OF_TRIALS, Importance, Search, Suggestion, TrialOutcome,
        TrialPoint, TrialRecord, best, importance,
    },
};

/// A selected value this close to a bound, as a share of the range, causes a warning.
const NEAR: f64 = 0.02;

/// The search for one row of the table.
#[derive(Clone, Debug)]
pub struct Study {
    /// Its id.
    pub id: StudyId,
    /// Its position in the plan.
    position: usize,
    /// The position of its point in the sweep.
    pub point: usize,
    /// The position of its method in the point.
    pub method: usize,
    /// The number of its repetition, from 0, if the search is repeated.
    pub repeat: Option<usize>,
    /// The members of the plan that repeat the selected trial.
    pub members: Range<usize>,
    /// The number of trials.
    pub budget: usize,
    /// Its trials so far.
    pub trials: Vec<Trial>,
    /// The number of points on disk.
    pub kept: usize,
    /// The points that were on disk at the beginning.
    recalled: Vec<TrialPoint>,
    /// Its state.
    pub state: StudyState,
    search: Box<Search>,
    inputs: RunInputs,
}

/// One point of a study.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The searched values.
    pub point: TrialPoint,
    /// Its runs, by fold; if trials are pruned, those of the folds that it has come to.
    pub runs: Vec<RunId>,
    /// The validation score of each of these folds that has finished.
    pub folds: Vec<Option<f64>>,
    /// The runs of the folds after those.
    pub ahead: VecDeque<Identity>,
    /// Its outcome.
    pub outcome: TrialOutcome,
    /// The breakdown of its first failed run, if it had one.
    pub broken: Option<Breakdown>,
}

/// The state of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StudyState {
    /// Trials are outstate.
    Open,
    /// All trials have ended; this one is the best.
    Selected(usize),
    /// All trials have failed.
    Hopeless,
}

/// The outcome of one run of a trial.
enum OfRun {
    Pending,
    Failed(Option<Breakdown>),
    Validated(f64),
}

impl Study {
    /// The study of a cell, if anything is searched.
    pub(super) fn new(cell: &Cell<'_>, inputs: RunInputs) -> Option<Study> {
        let search = cell.search()?;
        let (members, trials, state) = (0..0, Vec::new(), StudyState::Open);
        Some(Study {
            id: Study::id_of(cell),
            position: 0,
            point: 0,
            method: 0,
            repeat: cell.repeat,
            members,
            budget: search.trials(),
            trials,
            kept: 0,
            recalled: Vec::new(),
            state,
            search: Box::new(search),
            inputs,
        })
    }

    /// The id of the search for the row of a cell.
    pub(super) fn id_of(cell: &Cell<'_>) -> StudyId {
        StudyId::of(&description(cell))
    }

    /// Sets its positions in the plan and in the sweep, and its members in the plan.
    pub(super) fn placed(
        self,
        position: usize,
        point: usize,
        method: usize,
        members: Range<usize>,
    ) -> Study {
        Study {
            position,
            point,
            method,
            members,
            ..self
        }
    }

    /// The search itself, with the seed of this repetition.
    pub fn search(&self) -> &Search {
        &self.search
    }

    /// The method that is searched.
    pub fn method<'s>(&self, sweep: &'s Sweep) -> &'s Method {
        &sweep.points[self.point].methods[self.method]
    }

    /// The selected trial, counted from 0.
    pub fn number_of_selected(&self) -> Option<usize> {
        match self.state {
            StudyState::Selected(trial) => Some(trial),
            StudyState::Open | StudyState::Hopeless => None,
        }
    }

    /// The selected trial.
    pub fn selected(&self) -> Option<&Trial> {
        self.trials.get(self.number_of_selected()?)
    }

    /// The trials that are still to be known and wait for each other, if each waits for the results of the
    /// trials before.
    pub fn rounds_ahead(&self) -> usize {
        self.budget
            .saturating_sub(self.trials.len())
            .div_ceil(self.search.settings().parallelism)
    }

    /// The points and mean scores of the trials that finished.
    pub fn finished(&self) -> Vec<(&TrialPoint, f64)> {
        let trials = self.trials.iter();
        let finished = trials.filter_map(|trial| match trial.outcome {
            TrialOutcome::Finished { mean, .. } => Some((&trial.point, mean)),
            TrialOutcome::Pruned { .. } | TrialOutcome::Failed | TrialOutcome::Pending => None,
        });
        finished.collect()
    }

    /// How much each searched value matters for being among the best trials, if the trials tell.
    pub fn importance(&self) -> Option<Vec<Importance>> {
        importance(self.search.space(), &self.finished())
    }

    /// The selected values so close to a bound that better ones may be beyond it.
    pub fn at_bounds(&self) -> Vec<AtBound> {
        let space = self.search.space();
        self.selected()
            .map(|trial| space.at_bounds(&trial.point, NEAR))
            .unwrap_or_default()
    }

    /// Updates the outcome of a trial from the results.
    fn learn(&mut self, trial: usize, sweep: &Sweep, ledger: &Ledger) -> Result<(), LedgerError> {
        let select = sweep.points[self.point].training.selecting();
        let trial = &mut self.trials[trial];
        if trial.outcome != TrialOutcome::Pending {
            return Ok(());
        }
        for (&run, fold) in trial.runs.iter().zip(&mut trial.folds) {
            if fold.is_none() {
                match of_run(run, ledger, select)? {
                    OfRun::Pending => {}
                    OfRun::Failed(how) => {
                        (trial.outcome, trial.broken) = (TrialOutcome::Failed, how)
                    }
                    OfRun::Validated(score) => *fold = Some(score),
                }
            }
        }
        if trial.outcome == TrialOutcome::Pending
            && trial.ahead.is_empty()
            && let Some(folds) = trial.scores()
        {
            trial.outcome = finished(&folds);
        }
        Ok(())
    }

    /// Learns what other processes have finished: of the first trials that had not ended, up to one that still has not.
    fn catch_up(&mut self, sweep: &Sweep, ledger: &Ledger) -> Result<(), LedgerError> {
        for trial in 0..self.trials.len() {
            if self.trials[trial].outcome == TrialOutcome::Pending {
                self.learn(trial, sweep, ledger)?;
                if self.trials[trial].outcome == TrialOutcome::Pending {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The positions of the trials that a run belongs to.
    fn trials_of(&self, run: RunId) -> Vec<usize> {
        let trials = self.trials.iter().enumerate();
        let of_run = trials.filter(|(_, trial)| trial.runs.contains(&run));
        of_run.map(|(position, _)| position).collect()
    }

    /// The first trial that has ended its folds so far and can be decided on, with the decision.
    fn decision(&self, history: &[TrialRecord]) -> Option<(usize, Decision)> {
        let is_due = |trial: &Trial| {
            let is_open = trial.outcome == TrialOutcome::Pending && !trial.ahead.is_empty();
            is_open && trial.scores().is_some()
        };
        let due = self.trials.iter().position(is_due)?;
        let scores = self.trials.iter().map(|trial| trial.folds.iter().flatten());
        let scores: Vec<Vec<f64>> = scores.map(|folds| folds.copied().collect()).collect();
        let decision = self.search.decide(history, &scores, due)?;
        Some((due, decision))
    }

    /// The most runs that its known trials may still add.
    pub fn runs_ahead(&self) -> usize {
        let pending = self.trials.iter();
        let pending = pending.filter(|trial| trial.outcome == TrialOutcome::Pending);
        pending.map(|trial| trial.ahead.len()).sum()
    }

    /// The number of folds of a trial.
    pub fn folds(&self) -> usize {
        let first = self.trials.first();
        first
            .map_or(1, |trial| trial.runs.len() + trial.ahead.len())
            .max(1)
    }

    /// Returns the point of the next trial, if it is known; otherwise updates the state.
    fn next(&mut self, history: &[TrialRecord]) -> Option<TrialPoint> {
        let number = self.trials.len();
        if let Some(point) = self.recalled.get(number).filter(|_| number < self.budget) {
            return Some(point.clone());
        }
        match self.search.suggest(history, number) {
            Suggestion::Try(point) => return Some(point),
            Suggestion::Wait { .. } => {}
            Suggestion::Exhausted
                if history
                    .iter()
                    .any(|trial| trial.outcome == TrialOutcome::Pending) => {}
            Suggestion::Exhausted => {
                self.state = best(history).map_or(StudyState::Hopeless, StudyState::Selected);
            }
        }
        None
    }
}

impl Trial {
    /// What searches know of it.
    fn record(&self) -> TrialRecord {
        TrialRecord {
            point: self.point.clone(),
            outcome: self.outcome,
        }
    }

    /// The scores on all folds that it has come to; none until they have finished.
    fn scores(&self) -> Option<Vec<f64>> {
        self.folds.iter().copied().collect()
    }
}

fn of_run(run: RunId, ledger: &Ledger, select: Metric) -> Result<OfRun, LedgerError> {
    if let RunStage::Recorded(Record {
        outcome: Ended::Broken { how, .. },
        ..
    }) = ledger.state(run)?
    {
        return Ok(OfRun::Failed(Some(how)));
    }
    // A trial keeps its scores, not its network.
    let score = ledger
        .trained(run)?
        .and_then(|trained| trained.validation?.get(&select).copied());
    if let Some(score) = score {
        return Ok(if score.is_finite() {
            OfRun::Validated(score)
        } else {
            OfRun::Failed(None)
        });
    }
    let end = ledger
        .last_exit(Job::Train(run))?
        .map(|exit| exit.end.clone());
    Ok(match end {
        Some(AttemptEnd::Failed {
            class: Failure::Recipe,
            ..
        }) => OfRun::Failed(None),
        _ => OfRun::Pending,
    })
}

/// The mean over folds, and its standard error.
fn finished(folds: &[f64]) -> TrialOutcome {
    let n = folds.len() as f64;
    let mean = folds.iter().sum::<f64>() / n;
    let variance = folds
        .iter()
        .map(|score| (score - mean).powi(2))
        .sum::<f64>()
        / (n - 1.0);
    TrialOutcome::Finished {
        mean,
        sem: (folds.len() > 1).then(|| (variance / n).sqrt()),
    }
}

/// What all trials of a study have in common. Studies belong to a sweep, so that one search does not spend
/// the budget of another.
fn description(cell: &Cell<'_>) -> String {
    let search = cell.search();
    let names: Vec<&str> = search
        .iter()
        .flat_map(|search| search.space().names())
        .collect();
    let dimensions = names.iter().copied();
    let (method, training) = without(&cell.method.table, &cell.point.training, dimensions);
    let point = cell.point;
    let written: Vec<String> = names.iter().copied().map(in_old_spelling).collect();
    let mut described = json!({
        "sweep": cell.sweep.name, "method": method, "training": training, "searched": written, "folds": cell.sweep.folds,
        "seed": search.as_ref().map(|search| search.settings().seed),
        "strategy": search.as_ref().map(|search| search.settings().strategy),
        "dataset": point.dataset, "images": point.images, "transform": point.transform, "model": point.model,
        "weights": cell.weights, "data": cell.data, "numerics": cell.numerics,
    });
    if !point.training_images.are_all() {
        described["training_images"] = json!(point.training_images);
    }
    canonical_json(&described)
}

/// What results add to a plan.
#[derive(Debug, Default)]
pub struct Growth {
    /// The new jobs.
    pub jobs: Vec<Job>,
    /// The positions of the studies that went on.
    pub studies: Vec<usize>,
    /// The positions of those of them that are over now.
    pub over: Vec<usize>,
    /// The new runs of trials, each with the position of its study.
    pub(super) trials: Vec<(usize, RunId)>,
}

impl Growth {
    /// True if the plan is as before.
    pub fn is_nothing(&self) -> bool {
        self.jobs.is_empty() && self.over.is_empty()
    }
}

impl Plan {
    /// Updates all open studies from the results: adds the next trials, and the repetitions of selected ones.
    ///
    /// # Errors
    /// A result is damaged.
    pub(super) fn begin(&mut self, sweep: &Sweep, ledger: &Ledger) -> Result<(), LedgerError> {
        for study in &mut self.studies {
            study.recalled = ledger.points_of(study.id)?;
            study.kept = study.recalled.len();
        }
        self.grow_studies(0..self.studies.len(), sweep, ledger)?;
        self.add_ensembles(0..self.members.len());
        Ok(())
    }

    /// Updates the open studies that have this run as a trial from the results. What that costs does not depend on the
    /// rest of the plan.
    ///
    /// # Errors
    /// A result is damaged.
    pub fn grow(
        &mut self,
        sweep: &Sweep,
        ledger: &Ledger,
        after: RunId,
    ) -> Result<Growth, LedgerError> {
        let studies = self.studies_of.get(&after).cloned().unwrap_or_default();
        for &study in &studies {
            let study = &mut self.studies[study];
            for trial in study.trials_of(after) {
                study.learn(trial, sweep, ledger)?;
            }
            study.catch_up(sweep, ledger)?;
        }
        let graph = self.take_graph();
        let mut growth = self.grow_studies(studies, sweep, ledger)?;
        self.link_new(graph, &mut growth);
        Ok(growth)
    }

    /// Updates those of these studies that are open.
    fn grow_studies(
        &mut self,
        positions: impl IntoIterator<Item = usize>,
        sweep: &Sweep,
        ledger: &Ledger,
    ) -> Result<Growth, LedgerError> {
        let mut growth = Growth::default();
        let mut studies = std::mem::take(&mut self.studies);
        let grown = positions.into_iter().try_for_each(|position| {
            let study = &mut studies[position];
            if study.state != StudyState::Open {
                return Ok(());
            }
            self.grow_one(study, sweep, ledger, &mut growth)
        });
        self.studies = studies;
        grown.map(|()| growth)
    }

    fn grow_one(
        &mut self,
        study: &mut Study,
        sweep: &Sweep,
        ledger: &Ledger,
        growth: &mut Growth,
    ) -> Result<(), LedgerError> {
        let mut history: Vec<TrialRecord> = study.trials.iter().map(Trial::record).collect();
        loop {
            let changed = if let Some((trial, decision)) = study.decision(&history) {
                self.carry_out(study, trial, decision, growth);
                trial
            } else if let Some(point) = study.next(&history) {
                let trial = self.trial(study, point, sweep, growth);
                study.trials.push(trial);
                study.trials.len() - 1
            } else {
                break;
            };
            study.learn(changed, sweep, ledger)?;
            history.truncate(changed);
            history.extend(study.trials[changed..].iter().map(Trial::record));
        }
        growth.studies.push(study.position);
        if study.state != StudyState::Open {
            growth.over.push(study.position);
        }
        if let StudyState::Selected(best) = study.state {
            self.select(study, best, sweep);
        }
        Ok(())
    }

    fn trial(
        &mut self,
        study: &Study,
        point: TrialPoint,
        sweep: &Sweep,
        growth: &mut Growth,
    ) -> Trial {
        let seed = FIRST_SEED_OF_TRIALS + study.search.settings().seed;
        let mut identities: VecDeque<Identity> = match tables(study, &point, sweep) {
            Ok((method, training)) => self
                .with_cell(study, sweep, |cell| cell.trial(&method, &training, seed))
                .into(),
            Err(_) => VecDeque::new(),
        };
        // A point that does not fit the types of the file is a failed trial without runs.
        let outcome = if identities.is_empty() {
            TrialOutcome::Failed
        } else {
            TrialOutcome::Pending
        };
        let is_pruned = study.search.settings().prune.is_some();
        let at_once = if is_pruned { 1 } else { identities.len() };
        let ahead = identities.split_off(at_once.min(identities.len()));
        let runs: Vec<RunId> = identities
            .into_iter()
            .map(|identity| self.add_trial(study, identity, growth))
            .collect();
        Trial {
            point,
            folds: vec![None; runs.len()],
            runs,
            ahead,
            outcome,
            broken: None,
        }
    }

    /// Adds the run of a trial's next fold, or ends the trial.
    fn carry_out(
        &mut self,
        study: &mut Study,
        trial: usize,
        decision: Decision,
        growth: &mut Growth,
    ) {
        match decision {
            Decision::End(outcome) => study.trials[trial].outcome = outcome,
            Decision::GoOn => {
                if let Some(identity) = study.trials[trial].ahead.pop_front() {
                    let run = self.add_trial(study, identity, growth);
                    study.trials[trial].runs.push(run);
                    study.trials[trial].folds.push(None);
                }
            }
        }
    }

    /// Gives the members of a study the runs of the selected trial.
    fn select(&mut self, study: &Study, best: usize, sweep: &Sweep) {
        let Ok((method, training)) = tables(study, &study.trials[best].point, sweep) else {
            return;
        };
        let members = self.with_cell(study, sweep, |cell| cell.members(&method, &training));
        for (place, (member, seeded)) in study.members.clone().zip(members) {
            let planned = self.planned(study, place, member.run, seeded);
            planned.be_result_of(place);
            self.members[place] = member;
        }
    }

    /// Adds a run of a trial.
    fn add_trial(&mut self, study: &Study, identity: Identity, growth: &mut Growth) -> RunId {
        let run = identity.run();
        self.planned(study, study.members.start, run, identity.into());
        let studies = self.studies_of.entry(run).or_default();
        studies.insert(study.position);
        growth.trials.push((study.position, run));
        run
    }

    /// Returns a run that a study needs for a row.
    fn planned(
        &mut self,
        study: &Study,
        row: usize,
        run: RunId,
        seeded: Seeded,
    ) -> &mut PlannedRun {
        let planned = self.runs.entry(run);
        let planned = planned.or_insert_with(|| PlannedRun::new(seeded, &study.inputs));
        planned.serve(row, &self.members[row]);
        planned
    }

    fn with_cell<T>(&self, study: &Study, sweep: &Sweep, with: impl FnOnce(&Cell<'_>) -> T) -> T {
        let point = &sweep.points[study.point];
        with(&Cell {
            sweep,
            point,
            method: study.method(sweep),
            repeat: study.repeat,
            data: &self.data[&study.inputs.data].fingerprint,
            weights: study.inputs.weights.as_ref(),
            numerics: self.numerics,
        })
    }
}

fn tables(
    study: &Study,
    point: &TrialPoint,
    sweep: &Sweep,
) -> Result<(MethodTable, TrainingTable), serde_json::Error> {
    let dimensions = study.search.space().names();
    at_point(
        &study.method(sweep).table,
        &sweep.points[study.point].training,
        dimensions,
        point,
    )
}

#[cfg(test)]
mod tests;
