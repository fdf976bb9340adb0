//! The loop that carries out the scheduler's actions: starts trainers, receives their events,
//! publishes results and keeps the journal.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use schema::{
    Attempt, EnsembleId, EnsembleRecord, EnsembleWork, EvaluateWork, Finished, Metric, Outcome,
    PROTOCOL, PrepareWork, Record, RunId, SCHEMA, StudyId, Task, TrainWork, Trained, TrainingEnd,
    Work, WrongReply,
};
use thiserror::Error;

use super::{
    Watcher,
    child::{Child, Message, Notice},
    scheduler::{Action, Input, ProcessEnd, Scheduler, Tally},
    slots::Slot,
};
use crate::{
    config::Sweep,
    ledger::{
        AttemptEnd, AttemptExit, Job, Ledger, LedgerError, RunStage, absolute,
        journal::{Decision, Journal},
        write_json,
    },
    plan::{
        Plan, Study, StudyState,
        freshness::{self, FreshnessOf},
    },
};

/// The longest wait for a message before interrupts are checked and the watcher redraws.
const TICK: Duration = Duration::from_millis(100);

/// The orchestrator cannot continue. Finished runs are kept.
#[derive(Debug, Error)]
pub enum SessionError {
    /// A result or an attempt could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The journal could not be written.
    #[error("failed to write the journal in `{}`: {source}", folder.display())]
    Journal {
        /// The results folder.
        folder: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A trainer replied to another kind of task.
    #[error("the trainer reported for `{job}` the result of another kind of work")]
    WrongReply {
        /// The job.
        job: Job,
    },
}

impl SessionError {
    fn journal(ledger: &Ledger, source: io::Error) -> SessionError {
        SessionError::Journal {
            folder: ledger.root().to_owned(),
            source,
        }
    }
}

/// One execution of a plan.
pub struct Session<'a> {
    /// The jobs; grows as trials end.
    pub plan: &'a mut Plan,
    /// The results folder.
    pub ledger: &'a Ledger,
    /// The trainer's executable.
    pub trainer: &'a Path,
    /// The slots for trainers.
    pub slots: &'a [Slot],
    /// The sweep of the plan.
    pub sweep: &'a Sweep,
    /// The number of interrupts by the user so far.
    pub interrupts: &'a AtomicU32,
}

struct Running<'r, 'a> {
    session: &'r mut Session<'a>,
    freshness: FreshnessOf,
    journal: Journal,
    children: BTreeMap<Job, Child>,
    exits: BTreeMap<Job, ProcessEnd>,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
}

impl Session<'_> {
    /// Runs all stale jobs.
    ///
    /// # Errors
    /// The orchestrator itself cannot continue; failed jobs are in the tally.
    pub fn run(
        &mut self,
        freshness: FreshnessOf,
        watcher: &mut dyn Watcher,
    ) -> Result<Tally, SessionError> {
        let journal = Journal::open(self.ledger.root())
            .map_err(|source| SessionError::journal(self.ledger, source))?
            .0;
        for (&data, planned) in &self.plan.data {
            if let Some(source) = &planned.source {
                self.ledger.place_images(data, source)?;
            }
        }
        let (sender, receiver) = mpsc::channel();
        let retries = self.sweep.resources.retries;
        let mut scheduler = Scheduler::new(self.plan, &freshness, self.slots.len(), retries);
        let mut running = Running {
            session: self,
            freshness,
            journal,
            children: BTreeMap::new(),
            exits: BTreeMap::new(),
            sender,
            receiver,
        };
        running.note(Decision::Opened {
            sweep: running.session.sweep.name.clone(),
            pid: std::process::id(),
        })?;
        running.keep_studies()?;
        running.carry_out(scheduler.on(Input::Begin), watcher)?;
        let mut handled = 0;
        while !scheduler.is_over() {
            if running.session.interrupts.load(Ordering::Relaxed) > handled {
                handled += 1;
                running.carry_out(scheduler.on(Input::Interrupt), watcher)?;
            }
            if let Some(input) = running.next(watcher) {
                let trained = trained(&input);
                running.carry_out(scheduler.on(input), watcher)?;
                if let Some(run) = trained {
                    running.grow(run, &mut scheduler, watcher)?;
                }
            }
        }
        running.note(Decision::Closed)?;
        Ok(scheduler.tally())
    }

    fn work(&self, job: Job) -> Result<Work, LedgerError> {
        Ok(match job {
            Job::Prepare(data) => {
                let planned = &self.plan.data[&data];
                Work::Prepare(PrepareWork {
                    dataset: planned.dataset.clone(),
                    fingerprint: planned.fingerprint.clone(),
                    images: planned.images,
                    cache: planned.cache,
                    source: planned.source.as_deref().map(absolute),
                    into: absolute(&self.ledger.data(data)),
                })
            }
            Job::Train(run) => {
                let planned = &self.plan.runs[&run];
                self.ledger.describe_run(&planned.identity)?;
                Work::Train(TrainWork {
                    recipe: planned.identity.recipe.clone(),
                    data: absolute(&self.ledger.data(planned.data)),
                    run: absolute(self.ledger.run(run).path()),
                    weights: planned.weights.as_deref().map(absolute),
                    checkpoint_seconds: self.sweep.resources.checkpoint_seconds,
                })
            }
            Job::Evaluate(run) => {
                let planned = &self.plan.runs[&run];
                Work::Evaluate(EvaluateWork {
                    recipe: planned.identity.recipe.clone(),
                    data: absolute(&self.ledger.data(planned.data)),
                    run: absolute(self.ledger.run(run).path()),
                    metrics: self.metrics_of(run)?,
                    read_only: false,
                })
            }
            Job::Ensemble(id) => {
                let runs = self.runs_of(id);
                let members = runs.iter().map(|run| {
                    (
                        self.plan.runs[run].identity.recipe.clone(),
                        absolute(self.ledger.run(*run).path()),
                    )
                });
                Work::Ensemble(EnsembleWork {
                    members: members.collect(),
                    data: absolute(&self.ledger.data(self.plan.runs[&runs[0]].data)),
                    into: absolute(self.ledger.ensemble(id).path()),
                    metrics: self.metrics_of_ensemble(id)?,
                })
            }
        })
    }

    /// Returns the metrics of the sweep and those measured before: two sweeps that share a run both
    /// keep their columns.
    fn metrics_of(&self, run: RunId) -> Result<Vec<Metric>, LedgerError> {
        let mut metrics = self
            .sweep
            .report
            .metrics(&self.plan.runs[&run].identity.recipe.dataset);
        if let RunStage::Recorded(Record {
            outcome: Outcome::Finished(evaluated),
            ..
        }) = self.ledger.state(run)?
        {
            metrics.extend(evaluated.scores.keys());
        }
        metrics.sort();
        metrics.dedup();
        Ok(metrics)
    }

    fn metrics_of_ensemble(&self, id: EnsembleId) -> Result<Vec<Metric>, LedgerError> {
        let mut metrics = self
            .sweep
            .report
            .metrics(&self.plan.runs[&self.runs_of(id)[0]].identity.recipe.dataset);
        let before = self.ledger.ensemble_record(id)?;
        metrics.extend(
            before
                .iter()
                .flat_map(|record| record.evaluated.scores.keys()),
        );
        metrics.sort();
        metrics.dedup();
        Ok(metrics)
    }

    fn runs_of(&self, id: EnsembleId) -> &[RunId] {
        &self.plan.ensembles[&id].runs
    }

    /// Writes the result of a job where other jobs and reports find it.
    fn publish(&self, job: Job, finished: Finished) -> Result<(), SessionError> {
        match job {
            Job::Prepare(_) => reply::<PrepareWork>(job, finished).map(|_| ()),
            Job::Train(run) => self.publish_trained(run, &reply::<TrainWork>(job, finished)?),
            Job::Evaluate(run) => {
                let evaluated = reply::<EvaluateWork>(job, finished)?;
                self.publish_outcome(run, Outcome::Finished(evaluated))
            }
            Job::Ensemble(id) => {
                let record = EnsembleRecord {
                    schema: SCHEMA,
                    runs: self.runs_of(id).to_vec(),
                    evaluated: reply::<EnsembleWork>(job, finished)?,
                };
                Ok(self.ledger.publish_ensemble(id, &record)?)
            }
        }
    }

    fn publish_trained(&self, run: RunId, trained: &Trained) -> Result<(), SessionError> {
        if let TrainingEnd::Broken(how) = trained.end {
            // Before `trained.json`: a run with that file alone would be measured.
            let step = trained.steps;
            self.publish_outcome(run, Outcome::Broken { how, step })?;
        }
        self.ledger.publish_trained(run, trained)?;
        let is_trial = self.plan.runs[&run].member.is_none();
        if is_trial {
            // Nothing is measured on a trial's network: its validation scores are its result.
            self.ledger.remove_model(run)?;
        }
        Ok(())
    }

    fn publish_outcome(&self, run: RunId, outcome: Outcome) -> Result<(), SessionError> {
        let record = Record {
            schema: SCHEMA,
            run,
            outcome,
        };
        Ok(self.ledger.publish_record(&record)?)
    }
}

/// Returns the reply to a job's task.
fn reply<T: Task>(job: Job, finished: Finished) -> Result<T::Reply, SessionError> {
    T::Reply::try_from(finished).map_err(|WrongReply| SessionError::WrongReply { job })
}

/// Returns the run whose training has ended, successfully or not.
fn trained(input: &Input) -> Option<RunId> {
    if let Input::Exited(Job::Train(run), _) = input {
        Some(*run)
    } else {
        None
    }
}

impl Running<'_, '_> {
    /// Continues the studies that have the run among their trials.
    fn grow(
        &mut self,
        run: RunId,
        scheduler: &mut Scheduler,
        watcher: &mut dyn Watcher,
    ) -> Result<(), SessionError> {
        let Session {
            plan,
            ledger,
            sweep,
            ..
        } = &mut *self.session;
        if plan
            .runs
            .get(&run)
            .is_none_or(|planned| planned.member.is_some())
        {
            return Ok(());
        }
        let open: Vec<StudyId> = plan.open_studies_of(run).map(|study| study.id).collect();
        let new = plan.grow(sweep, ledger, Some(run))?;
        let is_over = |study: &&Study| study.state != StudyState::Open && open.contains(&study.id);
        let over: Vec<&Study> = plan.studies.iter().filter(is_over).collect();
        for &study in &over {
            watcher.selected(plan, study);
            let trial = study.number_of_selected();
            let decision = Decision::Selected {
                study: study.id,
                trial,
            };
            self.journal
                .append(decision)
                .map_err(|source| SessionError::journal(ledger, source))?;
        }
        if new.is_empty() && over.is_empty() {
            return Ok(());
        }
        freshness::extend(&mut self.freshness, plan, ledger, &sweep.report)?;
        watcher.grown(plan, &self.freshness);
        let actions = scheduler.grow(plan, &self.freshness);
        self.keep_studies()?;
        self.carry_out(actions, watcher)
    }

    /// Keeps the points that the studies have chosen, in the ledger.
    fn keep_studies(&mut self) -> Result<(), SessionError> {
        let Session { plan, ledger, .. } = &mut *self.session;
        for study in plan
            .studies
            .iter_mut()
            .filter(|study| study.kept < study.trials.len())
        {
            let points: Vec<_> = study
                .trials
                .iter()
                .map(|trial| trial.point.clone())
                .collect();
            ledger.keep_points(study.id, &points)?;
            study.kept = points.len();
        }
        Ok(())
    }

    /// Waits for the next input of the scheduler; `None` after a moment without one.
    fn next(&mut self, watcher: &mut dyn Watcher) -> Option<Input> {
        if let Some(limit) = self.session.sweep.resources.silence() {
            for child in self.children.values_mut() {
                child.kill_if_silent(limit);
            }
        }
        let message = match self.receiver.recv_timeout(TICK) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                watcher.tick();
                return None;
            }
        };
        // A late message of an earlier attempt must not be taken for one of the current attempt.
        let child = self
            .children
            .get_mut(&message.job)
            .filter(|child| child.attempt == message.attempt)?;
        match message.notice {
            Notice::Event(event) => {
                child.last_event = Instant::now();
                watcher.on_event(message.job, &event);
                Some(Input::Event(message.job, event))
            }
            Notice::Exited(end) => {
                let end = ProcessEnd {
                    hung: child.hung,
                    ..end
                };
                self.exits.insert(message.job, end.clone());
                Some(Input::Exited(message.job, end))
            }
        }
    }

    fn carry_out(
        &mut self,
        actions: Vec<Action>,
        watcher: &mut dyn Watcher,
    ) -> Result<(), SessionError> {
        for action in actions {
            match action {
                Action::Start { job, slot } => self.start(job, slot, watcher)?,
                Action::Publish { job, finished } => self.session.publish(job, finished)?,
                Action::Ended { job, end, again } => self.ended(job, end, again, watcher)?,
                Action::Stop(job) => {
                    if let Some(child) = self.children.get_mut(&job) {
                        child.request_stop();
                    }
                }
                Action::Kill(job) => {
                    if let Some(child) = self.children.get(&job) {
                        child.kill();
                    }
                }
            }
        }
        Ok(())
    }

    fn start(
        &mut self,
        job: Job,
        slot: usize,
        watcher: &mut dyn Watcher,
    ) -> Result<(), SessionError> {
        let session = &*self.session;
        let slot = &session.slots[slot];
        let (number, folder) = session.ledger.new_attempt(job)?;
        let (device, threads) = (slot.device, session.sweep.resources.threads);
        let attempt = Attempt {
            protocol: PROTOCOL,
            number,
            device,
            threads,
            work: session.work(job)?,
        };
        let started = Decision::Started {
            job,
            attempt: number,
            slot: slot.name.clone(),
        };
        self.journal
            .append(started)
            .map_err(|source| SessionError::journal(session.ledger, source))?;
        watcher.started(job, number, &slot.name);
        let child = Child::start(
            session.trainer,
            job,
            &attempt,
            slot,
            &folder,
            self.sender.clone(),
        );
        let child = child.map_err(|source| LedgerError::Io {
            doing: "start the trainer for",
            path: folder.path().to_owned(),
            source,
        })?;
        self.children.insert(job, child);
        Ok(())
    }

    fn ended(
        &mut self,
        job: Job,
        end: AttemptEnd,
        again: bool,
        watcher: &mut dyn Watcher,
    ) -> Result<(), SessionError> {
        let Some(child) = self.children.remove(&job) else {
            return Ok(());
        };
        watcher.ended(job, &end, again);
        let path = self
            .session
            .ledger
            .attempt_folder(job, child.attempt)
            .exit();
        let process = self.exits.remove(&job).unwrap_or_default();
        write_json(
            &path,
            &AttemptExit {
                end: end.clone(),
                code: process.code,
                signal: process.signal,
            },
        )?;
        self.note(Decision::Ended {
            job,
            attempt: child.attempt,
            end,
        })
    }

    fn note(&mut self, decision: Decision) -> Result<(), SessionError> {
        self.journal
            .append(decision)
            .map_err(|source| SessionError::journal(self.session.ledger, source))
    }
}
