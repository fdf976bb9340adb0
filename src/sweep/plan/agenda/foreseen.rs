//! The jobs that searches will add, as far as they can be foreseen.
//!
//! Which values a trial will try is not known, but when it can start is: its suggestion uses the results of
//! certain earlier trials. Each later trial is taken to cost as much as the first, and so are the runs that
//! repeat the selected one.

use std::{cmp::Reverse, collections::BTreeMap, ops::Range};

use schema::{Device, EnsembleId, KindId, RunId};

use super::{Agenda, JobSpec, Stage, Turn, priority_of, step};
use crate::{
    ledger::Job,
    plan::{Plan, Study, StudyState, costs::kind},
};

impl Agenda {
    /// Returns the jobs that the open searches of a plan will add.
    pub fn foresee(&mut self, plan: &Plan) -> Vec<JobSpec> {
        let mut jobs = Vec::new();
        for study in &plan.studies {
            if let Some(search) = Foreseen::of(study, self, plan) {
                let new = search.jobs(self, plan);
                jobs.extend(new);
            }
        }
        jobs
    }
}

/// A search whose first trial is known.
struct Foreseen<'p> {
    study: &'p Study,
    /// A run of the first trial.
    example: RunId,
    device: Device,
    /// The kinds of its trainings and of its measurements.
    training: KindId,
    measuring: KindId,
    /// The seconds of a training, and of a measurement.
    to_train: f64,
    to_measure: f64,
    /// Bytes of a GPU's memory that a measurement takes.
    to_hold: u64,
}

impl<'p> Foreseen<'p> {
    fn of(study: &'p Study, agenda: &Agenda, plan: &Plan) -> Option<Foreseen<'p>> {
        let example = *study.trials.first()?.runs.first()?;
        let recipe = &plan.runs.get(&example)?.unseeded.recipe;
        (study.state == StudyState::Open).then(|| Foreseen {
            study,
            example,
            device: agenda.device,
            training: kind(Job::Train(example), plan),
            measuring: kind(Job::Evaluate(example), plan),
            to_train: agenda.costs.seconds(Job::Train(example), plan),
            to_hold: recipe.bytes_to_evaluate(agenda.device),
            to_measure: agenda.costs.seconds(Job::Evaluate(example), plan),
        })
    }

    fn jobs(&self, agenda: &mut Agenda, plan: &Plan) -> Vec<JobSpec> {
        let search = self.study.search();
        let mut jobs = Vec::new();
        for trial in self.study.trials.len()..self.study.budget {
            let rounds = (self.study.budget - trial).div_ceil(search.settings().parallelism);
            let chain = (rounds + 1) as f64 * self.to_train + self.to_measure;
            let needed = search.outcomes_needed(trial);
            // The last of these has waited for those before.
            let waited = needed
                .checked_sub(1)
                .map_or(0, |last| search.outcomes_needed(last));
            let waits_for = self.runs_of(waited..needed);
            for run in self.runs(trial) {
                jobs.push(self.spec(Job::Train(run), waits_for.clone(), chain, plan));
                agenda.seconds.insert(Job::Train(run), self.to_train);
            }
        }
        jobs.extend(self.repetitions(agenda, plan));
        jobs
    }

    /// Returns the jobs that repeat the selected trial with each seed and fold, and measure each seed's
    /// networks as an ensemble.
    fn repetitions(&self, agenda: &mut Agenda, plan: &Plan) -> Vec<JobSpec> {
        let trials = self.runs_of(0..self.study.budget);
        let chain = self.to_train + self.to_measure;
        let mut of_seeds: BTreeMap<u64, Vec<RunId>> = BTreeMap::new();
        let mut jobs = Vec::new();
        for member in &plan.members[self.study.members.clone()] {
            let (train, evaluate) = (Job::Train(member.run), Job::Evaluate(member.run));
            jobs.push(self.spec(train, trials.clone(), chain, plan));
            jobs.push(self.spec(evaluate, vec![train], self.to_measure, plan));
            agenda.seconds.insert(train, self.to_train);
            agenda.seconds.insert(evaluate, self.to_measure);
            of_seeds.entry(member.seed).or_default().push(member.run);
        }
        for runs in of_seeds.into_values().filter(|runs| runs.len() > 1) {
            let ensemble = Job::Ensemble(EnsembleId::of(&runs));
            let seconds = runs.len() as f64 * self.to_measure;
            let measured = runs.into_iter().map(Job::Evaluate).collect();
            jobs.push(self.spec(ensemble, measured, seconds, plan));
            agenda.seconds.insert(ensemble, seconds);
        }
        jobs
    }

    /// Returns the runs of a trial. Those of a future one have ids that no real run has.
    fn runs(&self, trial: usize) -> Vec<RunId> {
        let folds = self.study.trials[0].runs.len();
        let future = |fold| RunId::undecided(self.study.id, u64::MAX - trial as u64, fold);
        match self.study.trials.get(trial) {
            Some(known) => known.runs.clone(),
            None => (0..folds).map(future).collect(),
        }
    }

    /// Returns the trainings of some trials.
    fn runs_of(&self, trials: Range<usize>) -> Vec<Job> {
        let runs = trials.flat_map(|trial| self.runs(trial));
        runs.map(Job::Train).collect()
    }

    fn spec(&self, job: Job, waits_for: Vec<Job>, chain: f64, plan: &Plan) -> JobSpec {
        let (stage, kind) = match job {
            Job::Train(_) | Job::Prepare(_) => (Stage::Train, self.training),
            Job::Evaluate(_) | Job::Ensemble(_) => (Stage::Measure, self.measuring),
        };
        JobSpec {
            job,
            waits_for,
            has_to_run: true,
            turn: Turn {
                stage,
                priority: Reverse(priority_of(self.study, plan)),
                is_usual: true,
                chain: Reverse(step(chain)),
                data: plan.runs.get(&self.example).map(|run| run.data),
                row: self.study.members.start,
            },
            kind,
            guess: (stage == Stage::Measure).then_some(self.to_hold),
            device: self.device,
            needs: plan.members[self.study.members.start].needs.clone(),
        }
    }
}
