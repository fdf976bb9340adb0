//! The loop that carries out the scheduler's actions: starts trainers, receives their events,
//! publishes results and keeps the journal.
//!
//! A session is that of an orchestrator, which has the results folder to itself and lets searches grow, or that of a
//! worker, one of many on a cluster ([`Role`]). Both claim each job before they begin it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use chrono::DateTime;
use durable::DiskError;
use schema::{
    Attempt, Computation, DataId, EnsembleId, EnsembleRecord, EnsembleWork, EvaluateWork, Event,
    Failure, Finished, Host, Metric, Outcome, PROTOCOL, PrepareWork, Recipe, Record, RunId, SCHEMA,
    Task, TrainWork, Trained, Training, TrainingEnd, Work, WrongReply,
};
use thiserror::Error;

use super::{
    Watcher,
    child::{Child, Message, Notice, Reports},
    gauge::Gauges,
    growth,
    mps::Mps,
    reply::checked,
    scheduler::{Action, Input, Learned, ProcessEnd, Scheduler, Setup, TICKS_PER_SECOND, Tally},
    slots::{Layout, PlaceId, Slot, SlotId},
    trainer::Trainer,
    waiting::Waiting,
};
use crate::{
    config::Sweep,
    ledger::{
        AttemptEnd, AttemptExit, AttemptFolder, Claim, Claimant, Claimed, Job, Ledger, LedgerError,
        Lock, LockError, RunStage, Writer, absolute, fingerprint,
        journal::{self, Decision, Journal, JournalContents, TakenMemory},
        read_json, write_json,
    },
    plan::{
        Plan,
        agenda::Agenda,
        costs::Costs,
        freshness::{self, Freshness, FreshnessOf},
    },
};

/// The time between two ticks. Silence and waiting are counted in ticks that the session has seen, so
/// that nothing seems old after the session itself was stopped for a while.
const TICK: Duration = Duration::from_millis(1000 / TICKS_PER_SECOND as u64);

/// The number of ticks between two measurements of the memory of GPUs.
const MEASURED_EVERY: u32 = TICKS_PER_SECOND / 2;

/// The number of messages from trainers that may wait. If there are more, the trainers have to wait.
const QUEUE: usize = 1024;

/// The orchestrator cannot continue. Finished runs are kept.
#[derive(Debug, Error)]
pub enum SessionError {
    /// A result or an attempt could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The journal could not be written.
    #[error(transparent)]
    Journal(DiskError),
    /// The results folder is not this process's own any more.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Another worker was started in the place of this one.
    #[error("another worker has begun the same jobs anew, and this one has stopped")]
    Superseded,
    /// A trainer replied to another kind of task.
    #[error("the trainer reported for `{job}` the result of another kind of work")]
    WrongReply {
        /// The job.
        job: Job,
    },
}

impl SessionError {
    /// True if there is no space left for a file.
    pub fn is_disk_full(&self) -> bool {
        match self {
            SessionError::Ledger(error) => error.is_disk_full(),
            SessionError::Journal(error) => error.is_full(),
            SessionError::Lock(_) | SessionError::Superseded | SessionError::WrongReply { .. } => {
                false
            }
        }
    }

    fn journal(ledger: &Ledger, source: io::Error) -> SessionError {
        SessionError::Journal(DiskError::at("write the journal in", ledger.root())(source))
    }
}

/// One execution of a plan.
pub struct Session<'a> {
    /// The jobs; grows as trials end.
    pub plan: &'a mut Plan,
    /// The results folder.
    pub ledger: &'a Ledger,
    /// What it may write there.
    pub role: Role<'a>,
    /// The trainer.
    pub trainer: &'a Trainer,
    /// Where trainers run.
    pub layout: &'a Layout,
    /// The service through which runs share GPUs, if they use one.
    pub mps: Option<&'a Mps>,
    /// The sweep of the plan.
    pub sweep: &'a Sweep,
    /// The number of interrupts by the user so far.
    pub interrupts: &'a AtomicU32,
}

/// What a session may write, apart from what belongs to the jobs that it claims.
pub enum Role<'a> {
    /// All of the results folder.
    Orchestrator(&'a mut Lock),
    /// Its own journal. Searches do not grow, and signals are no reason to kill trainers: the batch system does that.
    Worker {
        /// The name of the journal.
        journal: &'a str,
        /// Jobs of Slurm that are known to have ended.
        ended: &'a [String],
        /// The folders of prepared data sets that are not read from the results folder.
        copies: BTreeMap<DataId, PathBuf>,
    },
}

impl Role<'_> {
    /// Fails if the session may not write any more.
    fn check(&mut self) -> Result<(), LockError> {
        match self {
            Role::Orchestrator(lock) => lock.check(),
            Role::Worker { .. } => Ok(()),
        }
    }

    fn is_worker(&self) -> bool {
        matches!(self, Role::Worker { .. })
    }

    fn claimant(&self) -> Claimant {
        match self {
            Role::Orchestrator(_) => Claimant::with_lock(),
            Role::Worker { ended, .. } => Claimant::beside_others(ended.iter().cloned()),
        }
    }

    /// Returns its journal, and what is in the orchestrator's.
    fn journal(&self, ledger: &Ledger) -> Result<(Journal, JournalContents), SessionError> {
        let root = ledger.root();
        let journal = match self {
            Role::Orchestrator(_) => Journal::open(root),
            Role::Worker { journal, .. } => Journal::begin(root, journal).map(|journal| {
                // An unreadable one costs the expected times, nothing else.
                let of_orchestrator = journal::read_of_orchestrator(root);
                (journal, of_orchestrator.unwrap_or_default())
            }),
        };
        journal.map_err(|source| SessionError::journal(ledger, source))
    }

    /// Returns the number of interrupts that count.
    fn counted(&self, interrupts: u32) -> u32 {
        match self {
            Role::Orchestrator(_) => interrupts,
            Role::Worker { .. } => interrupts.min(1),
        }
    }
}

struct Running<'r, 'a> {
    session: &'r mut Session<'a>,
    claimant: Claimant,
    freshness: FreshnessOf,
    agenda: Agenda,
    journal: Journal,
    attempts: BTreeMap<Job, LiveAttempt>,
    waiting: Waiting,
    /// Inputs for the scheduler that the session itself causes.
    inputs: VecDeque<Input>,
    /// Trainings that have ended, whose studies have not heard of it.
    trained: Vec<RunId>,
    /// The interrupts that the scheduler knows.
    interrupts: u32,
    /// True if a worker has lost a job to another one, which was started in its place.
    is_superseded: bool,
    last_tick: Instant,
    ticks: u32,
    gauges: Gauges,
    sender: SyncSender<Message>,
    receiver: Receiver<Message>,
}

/// An attempt whose end is not written down yet.
struct LiveAttempt {
    claim: Claim,
    slot: SlotId,
    place: PlaceId,
    work: Work,
    /// True if it reads a copy of its data.
    reads_copy: bool,
    /// Its process; `None` if it could not be started.
    child: Option<Child>,
    /// The end of the process.
    end: ProcessEnd,
    begun: Instant,
    host: Option<Host>,
    parameters: Option<u64>,
}

impl LiveAttempt {
    /// Keeps what an event tells about the machine and the network.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Host(host) => self.host = Some(host.clone()),
            Event::Network { parameters } => self.parameters = Some(*parameters),
            Event::Started { .. }
            | Event::Progress { .. }
            | Event::Remark { .. }
            | Event::Scores { .. }
            | Event::Learning { .. }
            | Event::Memory { .. }
            | Event::Survey { .. }
            | Event::Alive {}
            | Event::Ready {}
            | Event::Checkpoint { .. }
            | Event::Finished(_)
            | Event::Failed { .. } => {}
        }
    }

    /// Returns the slot of a trainer that may make other attempts.
    fn served_slot(&self) -> Option<SlotId> {
        let serves = self.child.as_ref().is_some_and(Child::serves);
        serves.then_some(self.slot)
    }

    /// Returns what the attempt was computed by.
    fn computation(&self, trainer: &Trainer) -> Computation {
        Computation {
            sweep: crate::VERSION.to_owned(),
            trainer: trainer.description.trainer.clone(),
            host: self.host.clone(),
            parameters: self.parameters,
            ended: now(),
            milliseconds: self.begun.elapsed().as_millis() as u64,
        }
    }
}

/// Returns the time (UTC) in ISO 8601, to the second.
fn now() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let time = DateTime::from_timestamp(seconds as i64, 0).unwrap_or_default();
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
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
        // Both take long for a large plan.
        let (opened, _) = rayon::join(|| self.role.journal(self.ledger), || self.plan.graph());
        let (journal, past) = opened?;
        if past.damaged > 0 && !self.role.is_worker() {
            watcher.moved_lines(past.damaged, self.ledger.root());
        }
        let claimant = self.role.claimant();
        if !self.role.is_worker() {
            self.plan.place_images(self.ledger)?;
        }
        let costs = Costs::of(past, self.plan, self.ledger);
        let mut agenda = Agenda::new(costs, self.layout.device());
        let jobs = agenda.all(self.plan, &freshness);
        let learned = learned(self.ledger);
        let setup = Setup::new(self.layout, &self.sweep.resources, learned.clone());
        let mut scheduler = Scheduler::new(jobs, setup);
        let mut gauges = Gauges::new(self.layout);
        // What others use is known before anything starts.
        let mut inputs = VecDeque::from(gauges.read(&[]));
        inputs.push_back(Input::Begin);
        let (sender, receiver) = mpsc::sync_channel(QUEUE);
        let mut running = Running {
            session: self,
            claimant,
            freshness,
            agenda,
            journal,
            attempts: BTreeMap::new(),
            waiting: Waiting::default(),
            inputs,
            trained: Vec::new(),
            interrupts: 0,
            is_superseded: false,
            last_tick: Instant::now(),
            ticks: 0,
            gauges,
            sender,
            receiver,
        };
        running.note(Decision::Opened {
            sweep: running.session.sweep.name.clone(),
            pid: std::process::id(),
            worker: running.worker(),
        })?;
        running.keep_studies()?;
        running.run(&mut scheduler, watcher)?;
        running.note(Decision::Closed)?;
        if *scheduler.learned() != learned && !running.session.role.is_worker() {
            write_json(&running.session.ledger.learned(), scheduler.learned())?;
        }
        running
            .journal
            .commit()
            .map_err(|source| SessionError::journal(running.session.ledger, source))?;
        match running.is_superseded {
            true => Err(SessionError::Superseded),
            false => Ok(scheduler.tally()),
        }
    }

    /// Keeps the modules that a recipe needs in the results. Returns their folder, if it needs some.
    fn kept_scripts(&self, recipe: &Recipe) -> Result<Option<PathBuf>, LedgerError> {
        let needed = recipe.training.as_ref().map(Training::scripts);
        let needed = needed.unwrap_or_default();
        for file in &needed {
            if let Some(content) = self.sweep.scripts.get(file) {
                self.ledger.keep_script(file, content)?;
            }
        }
        Ok((!needed.is_empty()).then(|| absolute(&self.ledger.scripts())))
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
                self.ledger.describe_run(&planned.identity())?;
                Work::Train(TrainWork {
                    recipe: planned.recipe(),
                    data: self.data(planned.data),
                    run: absolute(self.ledger.run(run).path()),
                    weights: planned.weights.as_deref().map(absolute),
                    scripts: self.kept_scripts(&planned.unseeded.recipe)?,
                    deterministic: self.sweep.resources.deterministic,
                    checkpoint_seconds: self.sweep.resources.checkpoint_seconds.number(),
                })
            }
            Job::Evaluate(run) => {
                let planned = &self.plan.runs[&run];
                Work::Evaluate(EvaluateWork {
                    recipe: planned.recipe(),
                    data: self.data(planned.data),
                    run: absolute(self.ledger.run(run).path()),
                    metrics: self.metrics_of(run)?,
                    read_only: false,
                })
            }
            Job::Ensemble(id) => {
                let runs = self.runs_of(id);
                let members = runs.iter().map(|run| {
                    (
                        self.plan.runs[run].recipe(),
                        absolute(self.ledger.run(*run).path()),
                    )
                });
                Work::Ensemble(EnsembleWork {
                    members: members.collect(),
                    data: self.data(self.plan.runs[&runs[0]].data),
                    into: absolute(self.ledger.ensemble(id).path()),
                    metrics: self.metrics_of_ensemble(id)?,
                })
            }
        })
    }

    /// Returns the folder from which trainers read a prepared data set.
    fn data(&self, data: DataId) -> PathBuf {
        let copy = self.copy_of(data);
        copy.map_or_else(|| absolute(&self.ledger.data(data)), PathBuf::clone)
    }

    fn copy_of(&self, data: DataId) -> Option<&PathBuf> {
        match &self.role {
            Role::Orchestrator(_) => None,
            Role::Worker { copies, .. } => copies.get(&data),
        }
    }

    /// True if a job reads a copy of its data.
    fn reads_copy(&self, job: Job) -> bool {
        let data = self.plan.data_of(job);
        data.into_iter().any(|data| self.copy_of(data).is_some())
    }

    /// Returns an event of an attempt that reads a copy of its data, as it counts: if data cannot be read, the disk of the
    /// copy may be to blame. Later attempts read the results folder.
    fn on_copy(&mut self, job: Job, event: Event) -> Event {
        match event {
            Event::Failed {
                class: Failure::Data,
                message,
            } => {
                let read = self.plan.data_of(job);
                if let Role::Worker { copies, .. } = &mut self.role {
                    copies.retain(|data, _| !read.contains(data));
                }
                Event::Failed {
                    class: Failure::Crashed,
                    message: format!("the copy of its data on this node: {message}"),
                }
            }
            event => event,
        }
    }

    /// Returns the CPU threads of an attempt. Preparing takes all cores: what needs the data waits for it.
    fn threads(&self, job: Job, slot: &Slot) -> u32 {
        match job {
            Job::Prepare(_) => self.layout.cores.max(slot.threads),
            Job::Train(_) | Job::Evaluate(_) | Job::Ensemble(_) => slot.threads,
        }
    }

    /// Returns the metrics of the sweep and those measured before: two sweeps that share a run both
    /// keep their columns.
    fn metrics_of(&self, run: RunId) -> Result<Vec<Metric>, LedgerError> {
        let mut metrics = self
            .sweep
            .report
            .metrics(&self.plan.runs[&run].unseeded.recipe.dataset);
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
            .metrics(&self.plan.runs[&self.runs_of(id)[0]].unseeded.recipe.dataset);
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
    fn publish(&self, job: Job, finished: Finished, claim: &Claim) -> Result<(), SessionError> {
        let ledger = &self.ledger.in_turn_of(claim);
        match job {
            Job::Prepare(_) => reply::<PrepareWork>(job, finished).map(|_| ()),
            Job::Train(run) => {
                self.publish_trained(run, &reply::<TrainWork>(job, finished)?, ledger)
            }
            Job::Evaluate(run) => {
                let evaluated = reply::<EvaluateWork>(job, finished)?;
                publish_outcome(run, Outcome::Finished(evaluated), ledger)
            }
            Job::Ensemble(id) => {
                let record = EnsembleRecord {
                    schema: SCHEMA,
                    runs: self.runs_of(id).to_vec(),
                    evaluated: reply::<EnsembleWork>(job, finished)?,
                };
                Ok(ledger.publish_ensemble(id, &record)?)
            }
        }
    }

    fn publish_trained(
        &self,
        run: RunId,
        trained: &Trained,
        ledger: &Ledger,
    ) -> Result<(), SessionError> {
        if let TrainingEnd::Broken(how) = trained.end {
            // Before `trained.json`: a run with that file alone would be measured.
            let step = trained.steps;
            publish_outcome(run, Outcome::Broken { how, step }, ledger)?;
        }
        let is_trial = self.plan.runs[&run].member.is_none();
        if is_trial {
            ledger.publish_trial(run, trained)?;
        } else {
            ledger.publish_trained(run, trained)?;
        }
        Ok(ledger.remove_checkpoint(run)?)
    }
}

fn publish_outcome(run: RunId, outcome: Outcome, ledger: &Ledger) -> Result<(), SessionError> {
    let record = Record {
        schema: SCHEMA,
        run,
        outcome,
    };
    Ok(ledger.publish_record(&record)?)
}

/// Returns what earlier sweeps learned. A damaged file costs time, nothing else.
fn learned(ledger: &Ledger) -> Learned {
    let kept = read_json(&ledger.learned()).ok().flatten();
    kept.unwrap_or_default()
}

/// Returns the reply to a job's task.
fn reply<T: Task>(job: Job, finished: Finished) -> Result<T::Reply, SessionError> {
    T::Reply::try_from(finished).map_err(|WrongReply| SessionError::WrongReply { job })
}

impl Running<'_, '_> {
    fn run(
        &mut self,
        scheduler: &mut Scheduler,
        watcher: &mut dyn Watcher,
    ) -> Result<(), SessionError> {
        while !scheduler.is_over() {
            let input = self.next(watcher)?;
            let begins = matches!(input, Input::Begin);
            self.carry_out(scheduler.on(input), watcher)?;
            while let Some(run) = self.trained.pop() {
                if !self.session.role.is_worker() {
                    self.grow(run, scheduler, watcher)?;
                }
            }
            if begins {
                self.start_ahead();
            }
            self.waiting.settle();
        }
        Ok(())
    }

    /// Starts trainers ahead in the slots that will make the first attempts, while data is prepared.
    fn start_ahead(&mut self) {
        let is_preparing = |job: &Job| matches!(job, Job::Prepare(_));
        let session = &*self.session;
        if !session.trainer.description.serves || !self.attempts.keys().any(is_preparing) {
            return;
        }
        let trainings = self.freshness.iter();
        let trainings = trainings.filter(|(job, freshness)| {
            matches!((job, freshness), (Job::Train(_), Freshness::Stale(_)))
        });
        let served = self.attempts.values().filter_map(LiveAttempt::served_slot);
        let served: BTreeSet<SlotId> = served.collect();
        let slots = session.layout.first_slots(trainings.count());
        for id in slots.into_iter().filter(|id| !served.contains(id)) {
            let slot = &session.layout.slots[id.0];
            // An error shows once an attempt starts there.
            if let Ok(child) = self.serving(slot) {
                self.waiting.add_ahead(id, child);
            }
        }
    }

    /// Starts a trainer that waits for attempts.
    fn serving(&self, slot: &Slot) -> io::Result<Child> {
        let Session {
            trainer,
            mps,
            ledger,
            ..
        } = &*self.session;
        let results = absolute(ledger.root());
        Child::serve(&trainer.program, slot, *mps, &results)
    }

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
        let growth = growth::grow(plan, &mut self.freshness, sweep, ledger, run)?;
        for (study, decision) in growth::selected(&growth, plan) {
            watcher.selected(plan, study);
            self.journal
                .append(decision)
                .map_err(|source| SessionError::journal(ledger, source))?;
        }
        if growth.is_nothing() {
            return Ok(());
        }
        watcher.grown(plan, &self.freshness, &growth);
        let jobs = self.agenda.extend(&growth.jobs, plan, &self.freshness);
        let actions = scheduler.grow(jobs);
        growth::keep_studies(growth.studies, plan, ledger)?;
        self.carry_out(actions, watcher)
    }

    /// Keeps the points that all studies have chosen, in the ledger. A worker leaves that to the orchestrator.
    fn keep_studies(&mut self) -> Result<(), SessionError> {
        if self.session.role.is_worker() {
            return Ok(());
        }
        let Session { plan, ledger, .. } = &mut *self.session;
        Ok(growth::keep_studies(0..plan.studies.len(), plan, ledger)?)
    }

    /// Waits for the next input of the scheduler.
    fn next(&mut self, watcher: &mut dyn Watcher) -> Result<Input, SessionError> {
        loop {
            if let Some(input) = self.inputs.pop_front() {
                return Ok(input);
            }
            let interrupts = self.session.interrupts.load(Ordering::Relaxed);
            if self.session.role.counted(interrupts) > self.interrupts {
                self.interrupts += 1;
                self.waiting.clear();
                self.tell_interrupt(watcher);
                return Ok(Input::Interrupt);
            }
            let left = TICK.saturating_sub(self.last_tick.elapsed());
            if left.is_zero() {
                return self.tick(watcher);
            }
            if let Ok(message) = self.receiver.recv_timeout(left)
                && let Some(input) = self.heard(message, watcher)?
            {
                return Ok(input);
            }
        }
    }

    /// Tells of the first interrupt: attempts may take a while to end. Those of a worker are killed by the batch system.
    fn tell_interrupt(&self, watcher: &mut dyn Watcher) {
        let is_first = self.interrupts == 1 && !self.session.role.is_worker();
        if is_first && !self.attempts.is_empty() {
            watcher.stopping(self.attempts.len());
        }
    }

    /// Lets a moment pass.
    fn tick(&mut self, watcher: &mut dyn Watcher) -> Result<Input, SessionError> {
        self.session.role.check()?;
        self.renew_claims(watcher)?;
        let limit = self.session.sweep.resources.silence().map(ticks);
        for (&job, attempt) in &mut self.attempts {
            let ticked = attempt.child.as_mut().map(|child| child.tick(limit));
            if let Some(end) = ticked.flatten() {
                attempt.end = end.clone();
                self.inputs.push_back(Input::Exited(job, end));
            }
        }
        self.waiting.tick();
        if self.ticks.is_multiple_of(MEASURED_EVERY) {
            self.measure_memory();
        }
        self.ticks = self.ticks.wrapping_add(1);
        self.journal
            .commit()
            .map_err(|source| SessionError::journal(self.session.ledger, source))?;
        watcher.tick();
        self.last_tick = Instant::now();
        Ok(Input::Ticks(1))
    }

    /// Gives the claims a heartbeat, and gives up the jobs that other processes have claimed.
    fn renew_claims(&mut self, watcher: &mut dyn Watcher) -> Result<(), SessionError> {
        let mut lost = Vec::new();
        for (&job, attempt) in &mut self.attempts {
            if !attempt.claim.renew()? {
                lost.push(job);
            }
        }
        for job in lost {
            self.give_up(job, watcher)?;
            self.inputs.push_back(Input::Taken(job));
        }
        Ok(())
    }

    /// Measures the memory of the GPUs.
    fn measure_memory(&mut self) {
        let attempts = self.attempts.iter();
        let running: Vec<_> = attempts
            .filter_map(|(&job, attempt)| {
                Some((job, attempt.place, attempt.child.as_ref()?.group()))
            })
            .collect();
        self.inputs.extend(self.gauges.read(&running));
    }

    /// Returns the input of a message from an attempt.
    fn heard(
        &mut self,
        message: Message,
        watcher: &mut dyn Watcher,
    ) -> Result<Option<Input>, SessionError> {
        let Message {
            job,
            attempt: number,
            notice,
        } = message;
        // A late message of an earlier attempt must not be taken for one of the current attempt.
        let attempt = self.attempts.get_mut(&job);
        let Some(attempt) = attempt.filter(|attempt| attempt.claim.number() == number) else {
            return Ok(None);
        };
        let Some(child) = attempt.child.as_mut() else {
            return Ok(None);
        };
        attempt.end = match notice {
            Notice::Event(event) => {
                let event = match (checked(event, &attempt.work), attempt.reads_copy) {
                    (event, true) => self.session.on_copy(job, event),
                    (event, false) => event,
                };
                child.heard(&event);
                attempt.note(&event);
                watcher.on_event(job, &event);
                return Ok(Some(Input::Event(job, event)));
            }
            Notice::Ready => ProcessEnd {
                is_waiting: true,
                ..ProcessEnd::default()
            },
            Notice::Exited(end) => child.end(end),
        };
        if attempt.claim.stands()? {
            return Ok(Some(Input::Exited(job, attempt.end.clone())));
        }
        self.give_up(job, watcher)?;
        Ok(Some(Input::Taken(job)))
    }

    /// Ends the attempt at a job that another process has claimed. A worker stops then: what the batch system had
    /// allocated to it may belong to others by now.
    fn give_up(&mut self, job: Job, watcher: &mut dyn Watcher) -> Result<(), SessionError> {
        if self.session.role.is_worker() && !self.is_superseded {
            self.is_superseded = true;
            self.inputs.push_back(Input::Interrupt);
        }
        self.on_child(job, Child::kill);
        self.ended(job, AttemptEnd::Superseded, false, watcher)
    }

    fn carry_out(
        &mut self,
        actions: Vec<Action>,
        watcher: &mut dyn Watcher,
    ) -> Result<(), SessionError> {
        if !actions.is_empty() {
            self.session.role.check()?;
        }
        for action in actions {
            match action {
                Action::Start { job, slot } => self.start(job, slot, watcher)?,
                Action::Publish { job, finished } => self.publish(job, finished)?,
                Action::Ended { job, end, again } => self.ended(job, end, again, watcher)?,
                Action::LeaveOut { place, message } => {
                    let name = self.session.layout.name_of(place).to_owned();
                    self.leave_out(name, message, watcher)?;
                }
                Action::LeaveOutSlot { slot, message } => {
                    let name = self.session.layout.slots[slot.0].name.clone();
                    self.leave_out(name, message, watcher)?;
                }
                Action::AwaitOthers(place, used) => {
                    self.await_others(place, used, None, watcher)?;
                }
                Action::AwaitRoom {
                    place,
                    used,
                    needed,
                } => self.await_others(place, used, Some(needed), watcher)?,
                Action::UseAgain(place) => self.use_again(place, watcher)?,
                Action::RunFewer { at_most } => watcher.runs_fewer(at_most),
                Action::Stop(job) => self.on_child(job, Child::request_stop),
                Action::Kill(job) => self.on_child(job, Child::kill),
            }
        }
        Ok(())
    }

    fn publish(&self, job: Job, finished: Finished) -> Result<(), SessionError> {
        match self.attempts.get(&job) {
            Some(attempt) => self.session.publish(job, finished, &attempt.claim),
            None => Ok(()),
        }
    }

    fn on_child(&mut self, job: Job, act: fn(&mut Child)) {
        let attempt = self.attempts.get_mut(&job);
        if let Some(child) = attempt.and_then(|attempt| attempt.child.as_mut()) {
            act(child);
        }
    }

    fn start(
        &mut self,
        job: Job,
        slot: SlotId,
        watcher: &mut dyn Watcher,
    ) -> Result<(), SessionError> {
        let Some(claim) = self.claimed(job, watcher)? else {
            return Ok(());
        };
        let session = &*self.session;
        let id = slot;
        let slot = &session.layout.slots[id.0];
        let place = slot.place;
        let (number, folder) = (claim.number(), claim.folder());
        let attempt = Attempt {
            protocol: PROTOCOL,
            number,
            device: slot.device,
            threads: session.threads(job, slot),
            work: session.work(job)?,
        };
        session.ledger.request(&folder, &attempt)?;
        let started = Decision::Started {
            job,
            attempt: number,
            slot: slot.name.clone(),
        };
        self.journal
            .append(started)
            .map_err(|source| SessionError::journal(session.ledger, source))?;
        watcher.started(job, number, &slot.name);
        let may_serve = session.trainer.description.serves
            && attempt.threads == slot.threads
            && folder.fits_into_a_line();
        let reports = Reports {
            job,
            attempt: number,
            messages: self.sender.clone(),
        };
        let waiting = match may_serve {
            true => self.waiting.take(id),
            false => None,
        };
        let child = self.start_child(waiting, may_serve, slot, &folder, reports);
        let child = child.map_err(|error| {
            let (class, message) = unstarted(error, &session.trainer.program, &folder);
            self.inputs
                .push_back(Input::NotStarted(job, class, message));
        });
        let attempt = LiveAttempt {
            claim,
            slot: id,
            place,
            work: attempt.work,
            reads_copy: session.reads_copy(job),
            child: child.ok(),
            end: ProcessEnd::default(),
            begun: Instant::now(),
            host: None,
            parameters: None,
        };
        self.attempts.insert(job, attempt);
        Ok(())
    }

    /// Claims a job that is about to start. `None` if another process works on it or has done it.
    fn claimed(
        &mut self,
        job: Job,
        watcher: &mut dyn Watcher,
    ) -> Result<Option<Claim>, SessionError> {
        if self.is_done(job)? {
            self.found(job, watcher);
            return Ok(None);
        }
        let claim = match self.session.ledger.claim(job, &self.claimant)? {
            Claimed::Own(claim) => claim,
            Claimed::Others(holder) => {
                watcher.taken(job, &holder);
                self.inputs.push_back(Input::Taken(job));
                return Ok(None);
            }
        };
        // Whoever had the job before may have published just before the claim; now nobody can any more.
        if !self.is_done(job)? {
            return Ok(Some(claim));
        }
        let exit = AttemptExit {
            end: AttemptEnd::Superseded,
            code: None,
            signal: None,
            computation: None,
        };
        self.session.ledger.note_exit(job, claim.number(), &exit)?;
        self.found(job, watcher);
        Ok(None)
    }

    fn found(&mut self, job: Job, watcher: &mut dyn Watcher) {
        watcher.found(job);
        self.inputs.push_back(Input::Found(job));
        if let Job::Train(run) = job {
            self.trained.push(run);
        }
    }

    /// True if a job that had to run has a result by now.
    fn is_done(&self, job: Job) -> Result<bool, LedgerError> {
        let Session {
            plan,
            ledger,
            sweep,
            ..
        } = &*self.session;
        match self.freshness.get(&job) {
            Some(Freshness::Stale(was)) => {
                freshness::is_done_since(job, was, plan, ledger, &sweep.report)
            }
            Some(Freshness::Fresh | Freshness::NotNeeded) | None => Ok(false),
        }
    }

    /// Gives an attempt to the trainer that waits in its slot, or to a new one.
    ///
    /// # Errors
    /// The log of the attempt cannot be created, or the trainer not be started.
    fn start_child(
        &self,
        waiting: Option<Child>,
        may_serve: bool,
        slot: &Slot,
        folder: &AttemptFolder,
        reports: Reports,
    ) -> io::Result<Child> {
        let session = &*self.session;
        let program = &session.trainer.program;
        if let Some(mut child) = waiting
            && child.assign(folder, reports.clone()).is_ok()
        {
            return Ok(child);
        }
        match may_serve {
            true => self.serving(slot).and_then(|mut child| {
                child.assign(folder, reports)?;
                Ok(child)
            }),
            false => Child::start(program, slot, session.mps, folder, reports),
        }
    }

    fn ended(
        &mut self,
        job: Job,
        end: AttemptEnd,
        again: bool,
        watcher: &mut dyn Watcher,
    ) -> Result<(), SessionError> {
        let Some(mut attempt) = self.attempts.remove(&job) else {
            return Ok(());
        };
        if let Some(child) = attempt.child.take()
            && child.serves()
            && attempt.end.is_waiting
            && end == AttemptEnd::Finished
        {
            let device = self.session.layout.slots[attempt.slot.0].device;
            self.waiting.add(attempt.slot, child, device);
        }
        watcher.ended(job, &end, again);
        let exit = AttemptExit {
            end: end.clone(),
            code: attempt.end.code,
            signal: attempt.end.signal,
            computation: Some(Arc::new(attempt.computation(self.session.trainer))),
        };
        let Session { plan, ledger, .. } = &*self.session;
        ledger.note_exit(job, attempt.claim.number(), &exit)?;
        if let (Job::Prepare(data), AttemptEnd::Failed { .. }) = (job, &end)
            && let Some(source) = &plan.data[&data].source
        {
            // The files may be others than those that were hashed.
            fingerprint::forget(ledger, source);
        }
        self.note(Decision::Ended {
            job,
            attempt: attempt.claim.number(),
            end,
        })?;
        if let Job::Train(run) = job {
            self.trained.push(run);
        }
        Ok(())
    }

    fn leave_out(
        &mut self,
        place: String,
        message: String,
        watcher: &mut dyn Watcher,
    ) -> Result<(), SessionError> {
        watcher.left_out(&place, &message);
        self.note(Decision::LeftOut { place, message })
    }

    fn await_others(
        &mut self,
        place: PlaceId,
        used: u64,
        needed: Option<u64>,
        watcher: &mut dyn Watcher,
    ) -> Result<(), SessionError> {
        let memory = self.session.layout.places[place.0].memory.unwrap_or(used);
        let taken = TakenMemory {
            used,
            memory,
            needed,
        };
        let place = self.session.layout.name_of(place).to_owned();
        watcher.awaits_others(&place, taken);
        self.note(Decision::AwaitsOthers { place, taken })
    }

    fn use_again(&mut self, place: PlaceId, watcher: &mut dyn Watcher) -> Result<(), SessionError> {
        let place = self.session.layout.name_of(place).to_owned();
        watcher.uses_again(&place);
        self.note(Decision::UsesAgain { place })
    }

    /// Returns this process, if it is a worker.
    fn worker(&self) -> Option<Box<Writer>> {
        let is_worker = self.session.role.is_worker();
        is_worker.then(|| Box::new(self.claimant.writer.clone()))
    }

    fn note(&mut self, decision: Decision) -> Result<(), SessionError> {
        self.journal
            .append(decision)
            .map_err(|source| SessionError::journal(self.session.ledger, source))
    }
}

/// Returns the class of the failure of an attempt that could not be started, and a sentence about it. The only file
/// that is created then is its log.
fn unstarted(error: io::Error, program: &Path, folder: &AttemptFolder) -> (Failure, String) {
    let error = DiskError::at("write", &folder.log())(error);
    match error.is_full() {
        true => (Failure::Disk, error.to_string()),
        false => {
            let (program, cause) = (program.display(), error.cause);
            let message = format!("failed to start the trainer `{program}`: {cause}");
            (Failure::NotStarted, message)
        }
    }
}

/// Returns the number of ticks in a time, at least one.
fn ticks(time: Duration) -> u32 {
    let ticks = time.as_millis() / TICK.as_millis();
    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_without_room_is_a_full_disk_and_no_fault_of_the_trainer() {
        let folder = AttemptFolder::at(Path::new("results/a"));
        let unstarted = |kind: io::ErrorKind| {
            let program = Path::new("sweep-trainer");
            unstarted(kind.into(), program, &folder)
        };
        let (class, message) = unstarted(io::ErrorKind::StorageFull);
        assert_eq!(class, Failure::Disk);
        assert_eq!(
            message,
            "the disk is full: cannot write `results/a/log.txt`"
        );
        let (class, message) = unstarted(io::ErrorKind::NotFound);
        assert_eq!(class, Failure::NotStarted);
        assert!(message.starts_with("failed to start the trainer `sweep-trainer`: "));
    }
}
