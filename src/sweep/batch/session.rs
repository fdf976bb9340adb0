//! The loop that carries out the dispatcher's actions: submits arrays, watches over them, and lets the plan grow.
//!
//! It may end at any moment, and another one may take its place on any machine that sees the results folder: what it has
//! submitted is found again. A submission is on disk before Slurm hears of it, with a name of its own. New files
//! are looked for every few seconds; Slurm is asked once after something has happened, and then once a minute.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, SystemTime},
};

use schema::{Device, Numerics};
use thiserror::Error;

use super::{
    chunks::{Array, Cut},
    dispatch::{Action, ArrayId, Dispatcher, ElementId, End, Input, Policy},
    pace::Pace,
    slurm::{
        client::{self, Element, Limits, SlurmError},
        script::Script,
    },
    standing::{CONTINUE, TAKEN, WorkerEnd, closed_lately, open_submissions},
    submission::{self, Submission, SubmissionError, SubmissionFolder},
};
use crate::{
    config::{SlurmTable, Sweep},
    ledger::{
        Job, Ledger, LedgerError, Lock, LockError, absolute,
        journal::{self, Decision, Journal},
    },
    plan::{
        Growth, Node, Plan, Study,
        agenda::{Agenda, JobSpec},
        costs::Costs,
        freshness::{self, Freshness, FreshnessOf},
    },
    run::{
        growth::{grow, keep_studies, selected},
        scheduler::Tally,
    },
};

/// How long claims may outlive their elements: as long as they stand without a heartbeat, and some more.
const CLAIMS_STAND: Duration = Duration::from_secs(600);

/// Between two looks at signals and files, at the least.
const TURN: Duration = Duration::from_secs(1);
/// Between two looks at files, at the most.
const SLOWEST_LOOK: Duration = Duration::from_secs(10);
/// Between a submission, or the end of an element, and the next question to Slurm.
const FIRST_POLL: Duration = Duration::from_secs(10);
/// Between two questions to Slurm, while nothing happens.
const SLOWEST_POLL: Duration = Duration::from_secs(60);
/// How many times longer the next period is after an answer: one question follows what happens, and then one a minute.
const CALM: u32 = 6;
/// Until Slurm is asked again about what it did not show.
const SECOND_LOOK: Duration = Duration::from_secs(3);

/// Chunks among which few jobs are spread, if the table does not limit its arrays.
const SPREAD: usize = 8;

/// The sweep cannot be continued. Finished runs are kept, and so is what Slurm has.
#[derive(Debug, Error)]
pub enum BatchError {
    /// A result or a submission cannot be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The journal or a folder cannot be read or written.
    #[error("failed to write in `{}`: {source}", folder.display())]
    Io {
        /// The results folder.
        folder: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A submission cannot be read.
    #[error(transparent)]
    Submission(#[from] SubmissionError),
    /// The results folder is not this process's own any more.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// Receives what happens, for display.
pub trait BatchWatcher {
    /// Damaged lines of the journal in a results folder were moved away. No result depends on them.
    fn moved_lines(&mut self, lines: usize, folder: &Path);
    /// An array was submitted.
    fn submitted(&mut self, array: u64, elements: usize, jobs: usize, device: Device);
    /// `sbatch` failed: Slurm is asked whether it has the array.
    fn in_doubt(&mut self, error: &SlurmError);
    /// An array of an earlier session is watched over.
    fn adopted(&mut self, name: &str, elements: usize);
    /// Slurm told the states of elements.
    fn observed(&mut self, elements: &[Element]);
    /// Slurm does not answer.
    fn away(&mut self, error: &SlurmError);
    /// Slurm refused an array; at most this number of elements is asked for next.
    fn refused(&mut self, at_most: usize, message: &str);
    /// Jobs of an element are submitted again, because of this end.
    fn again(&mut self, element: &str, end: End, jobs: usize);
    /// The result of a job exists.
    fn done(&mut self, job: Job);
    /// A job has failed: by itself, or because its elements ended like this.
    fn failed(&mut self, job: Job, end: Option<End>);
    /// A study ended.
    fn selected(&mut self, plan: &Plan, study: &Study);
    /// The plan has new jobs.
    fn grown(&mut self, plan: &Plan, growth: &Growth);
}

/// What all submissions of a session have in common.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The executable of `sweep`, as the nodes see it.
    pub program: PathBuf,
    /// The trainer, if it is not the one beside that.
    pub trainer: Option<PathBuf>,
    /// The absolute path of the sweep file.
    pub file: PathBuf,
    /// Its text with all that it builds on.
    pub text: String,
    /// The absolute path of the folder where `sweep run` was called.
    pub folder: PathBuf,
    /// The absolute path of the results folder.
    pub results: PathBuf,
    /// The arithmetic of the runs.
    pub numerics: Numerics,
    /// What runs compute on.
    pub device: Device,
}

/// One session of watching over submissions.
pub struct BatchSession<'a> {
    /// The jobs; grows as trials end.
    pub plan: &'a mut Plan,
    /// The results folder.
    pub ledger: &'a Ledger,
    /// The right to submit from it.
    pub lock: &'a mut Lock,
    /// The sweep of the plan.
    pub sweep: &'a Sweep,
    /// What elements ask for.
    pub table: &'a SlurmTable,
    /// What all submissions have in common.
    pub launch: &'a Launch,
    /// The limits of the cluster.
    pub limits: Limits,
    /// The number of interrupts by the user so far.
    pub interrupts: &'a AtomicU32,
    /// True if the session ends as soon as everything that can be submitted is.
    pub detach: bool,
}

/// Returns how jobs are put together for a sweep.
pub fn policy(sweep: &Sweep, table: &SlurmTable, limits: Limits) -> Policy {
    Policy {
        cut: Cut {
            seconds: table.chunk * 60.0,
            spread: table.array_limit.map_or(SPREAD, |limit| limit as usize),
            array: limits.array_size.saturating_sub(1).max(1),
        },
        retries: sweep.resources.retries,
        most_failures: sweep.resources.on_failure.most_failures(),
    }
}

/// Returns the jobs of a plan with the seconds that each is expected to take.
pub fn with_seconds(agenda: &Agenda, jobs: Vec<JobSpec>) -> impl Iterator<Item = (JobSpec, f64)> {
    jobs.into_iter().map(|spec| {
        let seconds = agenda.seconds(spec.job);
        (spec, seconds)
    })
}

struct Watching<'r, 'a> {
    session: &'r mut BatchSession<'a>,
    freshness: FreshnessOf,
    agenda: Agenda,
    dispatcher: Dispatcher,
    journal: Journal,
    /// The submission of each array, by position.
    submitted: Vec<Submitted>,
    /// For each job the elements that had it and have ended, as Slurm names them.
    formerly: BTreeMap<Job, BTreeSet<String>>,
    files: Pace,
    poll: Pace,
    /// The bytes of the journal of each worker, by its path.
    segments: BTreeMap<PathBuf, u64>,
}

/// An array with its folder.
struct Submitted {
    folder: SubmissionFolder,
    /// Its id in Slurm, once that is known.
    array: Option<u64>,
    /// How far each of its jobs was at the time of the submission.
    reached: BTreeMap<Job, Reached>,
    /// Chunks whose workers have said how they ended.
    ended: BTreeSet<usize>,
}

/// How far a job is: what grows while it is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reached {
    attempts: u32,
    /// When the checkpoint of a training was written.
    checkpoint: Option<SystemTime>,
}

impl BatchSession<'_> {
    /// Submits all stale jobs and watches over them, until they are done.
    ///
    /// # Errors
    /// The session cannot continue; failed jobs are in the tally.
    pub fn run(
        &mut self,
        freshness: FreshnessOf,
        watcher: &mut dyn BatchWatcher,
    ) -> Result<Tally, BatchError> {
        let root = self.ledger.root();
        let (journal, past) = Journal::open(root).map_err(|error| self.io(error))?;
        if past.damaged > 0 {
            watcher.moved_lines(past.damaged, root);
        }
        self.plan.place_images(self.ledger)?;
        let costs = Costs::of(past, self.plan, self.ledger);
        let mut agenda = Agenda::new(costs, self.launch.device);
        let jobs = agenda.all(self.plan, &freshness);
        let mut dispatcher = Dispatcher::new(policy(self.sweep, self.table, self.limits));
        dispatcher.add(with_seconds(&agenda, jobs));
        keep_studies(0..self.plan.studies.len(), self.plan, self.ledger)?;
        let mut watching = Watching {
            session: self,
            freshness,
            agenda,
            dispatcher,
            journal,
            submitted: Vec::new(),
            formerly: BTreeMap::new(),
            files: Pace::new(TURN, SLOWEST_LOOK, 2),
            poll: Pace::new(FIRST_POLL, SLOWEST_POLL, CALM),
            segments: BTreeMap::new(),
        };
        watching.note(Decision::Opened {
            sweep: watching.session.sweep.name.clone(),
            pid: std::process::id(),
            worker: None,
        })?;
        watching.recall_ended()?;
        watching.adopt(watcher)?;
        watching.run(watcher)?;
        watching.note(Decision::Closed)?;
        let committed = watching.journal.commit();
        let tally = watching.dispatcher.tally();
        committed.map_err(|error| self.io(error))?;
        Ok(tally)
    }

    fn io(&self, source: io::Error) -> BatchError {
        BatchError::Io {
            folder: self.ledger.root().to_owned(),
            source,
        }
    }
}

impl Watching<'_, '_> {
    fn run(&mut self, watcher: &mut dyn BatchWatcher) -> Result<(), BatchError> {
        while !self.dispatcher.is_over() {
            if self.is_to_leave() {
                self.dispatcher.on(Input::Interrupt);
                return Ok(());
            }
            if self.session.detach && self.dispatcher.has_submitted_all() {
                return Ok(());
            }
            self.session.lock.check()?;
            self.look_at_files(watcher)?;
            if self.is_poll_due() {
                self.ask_slurm(watcher)?;
            }
            self.heed(Input::Second, watcher)?;
            let committed = self.journal.commit();
            committed.map_err(|error| self.session.io(error))?;
            self.rest();
        }
        Ok(())
    }

    /// Sleeps for a turn, or until the user interrupts.
    fn rest(&self) {
        const STEP: Duration = Duration::from_millis(100);
        let mut left = TURN;
        while !left.is_zero() && !self.is_interrupted() {
            thread::sleep(STEP);
            left = left.saturating_sub(STEP);
        }
    }

    /// True if the user wants the session to end, here or with `sweep stop`.
    fn is_to_leave(&self) -> bool {
        let mut open = self.dispatcher.open_arrays();
        self.is_interrupted() || open.any(|array| self.submitted[array.0].folder.is_to_stop())
    }

    fn is_interrupted(&self) -> bool {
        self.session.interrupts.load(Ordering::Relaxed) > 0
    }

    /// Takes over what earlier sessions submitted for jobs of this sweep.
    fn adopt(&mut self, watcher: &mut dyn BatchWatcher) -> Result<(), BatchError> {
        let ledger = self.session.ledger;
        for folder in open_submissions(ledger).map_err(|error| self.session.io(error))? {
            let chunks = folder.read_chunks()?;
            let mut jobs = chunks.iter().flatten();
            if !jobs.any(|job| self.freshness.contains_key(job)) {
                continue;
            }
            folder.forget_to_stop()?;
            let array = folder.accepted()?;
            watcher.adopted(&folder.name(), chunks.len());
            self.remember(&chunks, folder, array)?;
            self.dispatcher.adopt(chunks, array.is_some());
        }
        self.poll.hurry(Duration::ZERO);
        Ok(())
    }

    /// Recalls which elements have ended lately: what they had claimed is free.
    fn recall_ended(&mut self) -> Result<(), BatchError> {
        let ledger = self.session.ledger;
        for folder in closed_lately(ledger, CLAIMS_STAND).map_err(|error| self.session.io(error))? {
            let Some(array) = folder.accepted()? else {
                continue;
            };
            for (chunk, jobs) in folder.read_chunks()?.into_iter().enumerate() {
                for job in jobs {
                    let ended = self.formerly.entry(job).or_default();
                    ended.insert(format!("{array}_{chunk}"));
                }
            }
        }
        Ok(())
    }

    fn remember(
        &mut self,
        chunks: &[Vec<Job>],
        folder: SubmissionFolder,
        array: Option<u64>,
    ) -> Result<(), BatchError> {
        let mut reached = BTreeMap::new();
        for &job in chunks.iter().flatten() {
            reached.insert(job, self.reached(job)?);
        }
        self.submitted.push(Submitted {
            ended: BTreeSet::new(),
            reached,
            folder,
            array,
        });
        Ok(())
    }

    fn reached(&self, job: Job) -> Result<Reached, BatchError> {
        let ledger = self.session.ledger;
        let checkpoint = match job {
            Job::Train(run) => {
                let file = fs::metadata(ledger.run(run).checkpoint());
                file.and_then(|file| file.modified()).ok()
            }
            Job::Prepare(_) | Job::Evaluate(_) | Job::Ensemble(_) => None,
        };
        Ok(Reached {
            attempts: ledger.attempts(job)?,
            checkpoint,
        })
    }

    /// Lets the dispatcher hear of something, and carries out what it answers.
    fn heed(&mut self, input: Input, watcher: &mut dyn BatchWatcher) -> Result<(), BatchError> {
        for action in self.dispatcher.on(input) {
            match action {
                Action::Submit(id, array) => self.submit(id, &array, watcher)?,
                Action::Settle(element, end) => self.settle(element, end, watcher)?,
                Action::Close(array) => self.submitted[array.0].folder.close()?,
                Action::Again(element, end, jobs) => {
                    watcher.again(&self.name_of(element), end, jobs);
                }
                Action::Fail(job, end) => watcher.failed(job, end),
                Action::Fewer(at_most, message) => watcher.refused(at_most, &message),
            }
        }
        Ok(())
    }

    /// Writes a submission and calls `sbatch`.
    fn submit(
        &mut self,
        id: ArrayId,
        array: &Array,
        watcher: &mut dyn BatchWatcher,
    ) -> Result<(), BatchError> {
        let folder = self.new_folder();
        self.write(&folder, array)?;
        self.remember(&array.chunks, folder.clone(), None)?;
        let answer = client::submit(&folder.script());
        let input = match answer {
            Ok(number) => {
                folder.note_accepted(number)?;
                self.submitted[id.0].array = Some(number);
                let jobs = array.chunks.iter().map(Vec::len).sum();
                self.poll.quicken();
                watcher.submitted(number, array.chunks.len(), jobs, array.device);
                Input::Accepted(id)
            }
            Err(error) => {
                watcher.in_doubt(&error);
                self.poll.hurry(SECOND_LOOK);
                Input::InDoubt(id, error.to_string())
            }
        };
        self.heed(input, watcher)
    }

    fn new_folder(&self) -> SubmissionFolder {
        loop {
            let folder = SubmissionFolder::new(self.session.ledger, &new_id());
            if !folder.path().exists() {
                return folder;
            }
        }
    }

    fn write(&self, folder: &SubmissionFolder, array: &Array) -> Result<(), BatchError> {
        let launch = self.session.launch;
        let script = Script {
            table: self.session.table,
            sweep: &self.session.sweep.name,
            elements: array.chunks.len(),
            needs_gpus: array.device == launch.device,
            submission: &SubmissionFolder::at(absolute(folder.path())),
            folder: &launch.folder,
            program: &launch.program,
        };
        durable::write(&folder.script(), script.text().as_bytes()).map_err(LedgerError::from)?;
        fs::create_dir_all(folder.logs()).map_err(|error| self.session.io(error))?;
        let jobs = array.chunks.iter().flatten();
        let ended = jobs.filter_map(|job| self.formerly.get(job)).flatten();
        let ended: BTreeSet<String> = ended.cloned().collect();
        let submission = Submission {
            version: submission::VERSION,
            folder: launch.folder.clone(),
            device: array.device,
            ended: ended.into_iter().collect(),
            file: launch.file.clone(),
            results: launch.results.clone(),
            numerics: launch.numerics,
            trainer: launch.trainer.clone(),
        };
        Ok(folder.write(&submission, &launch.text, &array.chunks)?)
    }

    /// Looks for what workers have written, if that is due.
    fn look_at_files(&mut self, watcher: &mut dyn BatchWatcher) -> Result<(), BatchError> {
        if !self.files.is_due() {
            return Ok(());
        }
        let ended = self.newly_ended()?;
        let written = self.newly_written();
        self.files.looked(!ended.is_empty() || !written.is_empty());
        for element in written {
            self.refresh(element, watcher)?;
        }
        for (element, end) in ended {
            self.poll.quicken();
            self.heed(Input::Left(element, end), watcher)?;
        }
        Ok(())
    }

    /// Returns the elements whose workers have said since the last look how they ended.
    fn newly_ended(&mut self) -> Result<Vec<(ElementId, End)>, BatchError> {
        let mut found = Vec::new();
        for array in self.dispatcher.open_arrays().collect::<Vec<_>>() {
            let submitted = &mut self.submitted[array.0];
            for chunk in submitted.folder.ended_chunks() {
                if submitted.ended.contains(&chunk) {
                    continue;
                }
                if let Some(end) = submitted.folder.end_of(chunk)? {
                    submitted.ended.insert(chunk);
                    found.push((ElementId { array, chunk }, said(end)));
                }
            }
        }
        Ok(found)
    }

    /// Returns the elements whose workers have written into their journals since the last look.
    fn newly_written(&mut self) -> Vec<ElementId> {
        let journals = journal::of_workers(self.session.ledger.root());
        let mut written = Vec::new();
        for path in journals.unwrap_or_default() {
            let Some(element) = self.writer_of(&path) else {
                continue;
            };
            let bytes = fs::metadata(&path).map_or(0, |file| file.len());
            if self.segments.insert(path, bytes) != Some(bytes) {
                written.push(element);
            }
        }
        written
    }

    /// Returns the element whose worker writes a journal.
    fn writer_of(&self, journal: &Path) -> Option<ElementId> {
        let name = journal.file_name()?.to_str()?;
        self.dispatcher.open_arrays().find_map(|array| {
            let chunk = self.submitted[array.0].folder.chunk_of(name)?;
            Some(ElementId { array, chunk })
        })
    }

    /// Looks which jobs of an element are done now. Returns true if any is.
    fn refresh(
        &mut self,
        element: ElementId,
        watcher: &mut dyn BatchWatcher,
    ) -> Result<bool, BatchError> {
        let mut done = Vec::new();
        for job in self.dispatcher.unfinished(element) {
            if self.is_done(job)? {
                done.push(job);
            }
        }
        for &job in &done {
            watcher.done(job);
            self.heed(Input::Done(job), watcher)?;
            self.tell_ensembles(job, watcher)?;
            self.grow(job, watcher)?;
        }
        Ok(!done.is_empty())
    }

    /// True if the result of a job exists now, or if nothing needs it any more.
    fn is_done(&self, job: Job) -> Result<bool, BatchError> {
        let Some(Freshness::Stale(was)) = self.freshness.get(&job) else {
            return Ok(true);
        };
        let BatchSession {
            plan,
            ledger,
            sweep,
            ..
        } = &*self.session;
        Ok(freshness::is_done_since(
            job,
            was,
            plan,
            ledger,
            &sweep.report,
        )?)
    }

    /// There is no ensemble of runs whose training broke down.
    fn tell_ensembles(
        &mut self,
        job: Job,
        watcher: &mut dyn BatchWatcher,
    ) -> Result<(), BatchError> {
        let Job::Evaluate(run) = job else {
            return Ok(());
        };
        let evaluate = Node::Job(Job::Evaluate(run));
        let waiting = self.session.plan.graph().neighbors(evaluate);
        let ensembles: Vec<Job> = waiting.filter_map(Node::job).collect();
        for ensemble in ensembles {
            if self.is_done(ensemble)? {
                self.heed(Input::Done(ensemble), watcher)?;
            }
        }
        Ok(())
    }

    /// Continues the studies that have a training among their trials.
    fn grow(&mut self, job: Job, watcher: &mut dyn BatchWatcher) -> Result<(), BatchError> {
        let Job::Train(run) = job else {
            return Ok(());
        };
        let BatchSession {
            plan,
            ledger,
            sweep,
            ..
        } = &mut *self.session;
        let growth = grow(plan, &mut self.freshness, sweep, ledger, run)?;
        keep_studies(growth.studies.iter().copied(), plan, ledger)?;
        let mut decisions = Vec::new();
        for (study, decision) in selected(&growth, plan) {
            watcher.selected(plan, study);
            decisions.push(decision);
        }
        if !growth.is_nothing() {
            watcher.grown(plan, &growth);
            let jobs = self.agenda.extend(&growth.jobs, plan, &self.freshness);
            self.dispatcher.add(with_seconds(&self.agenda, jobs));
        }
        for decision in decisions {
            self.note(decision)?;
        }
        Ok(())
    }

    /// Looks at the jobs of an element that has ended.
    fn settle(
        &mut self,
        element: ElementId,
        end: End,
        watcher: &mut dyn BatchWatcher,
    ) -> Result<(), BatchError> {
        let any_done = self.refresh(element, watcher)?;
        let name = self.name_of(element);
        let mut progressed = any_done;
        let mut tried = BTreeSet::new();
        for job in self.dispatcher.unfinished(element) {
            self.formerly.entry(job).or_default().insert(name.clone());
            let before = self.submitted[element.array.0].reached.get(&job).copied();
            let now = self.reached(job)?;
            progressed |= before.is_some_and(|before| before.checkpoint != now.checkpoint);
            if before.is_some_and(|before| before.attempts < now.attempts) {
                tried.insert(job);
            }
            if end == End::Finished {
                // A study may go on after a training that failed for good.
                self.grow(job, watcher)?;
            }
        }
        let settled = Input::Settled {
            element,
            end,
            progressed,
            tried,
        };
        self.heed(settled, watcher)
    }

    fn is_poll_due(&self) -> bool {
        self.dispatcher.open_arrays().next().is_some() && self.poll.is_due()
    }

    /// Asks Slurm for the states of all elements.
    fn ask_slurm(&mut self, watcher: &mut dyn BatchWatcher) -> Result<(), BatchError> {
        let open: Vec<ArrayId> = self.dispatcher.open_arrays().collect();
        let names: Vec<String> = open
            .iter()
            .map(|array| self.submitted[array.0].folder.name())
            .collect();
        let elements = match client::elements(&names) {
            Ok(elements) => elements,
            Err(error) => {
                watcher.away(&error);
                self.poll.looked(false);
                return Ok(());
            }
        };
        let by_name: BTreeMap<&String, ArrayId> = names.iter().zip(open).collect();
        let mut states = BTreeMap::new();
        for element in &elements {
            let Some(&array) = by_name.get(&element.name) else {
                continue;
            };
            self.know_array(array, element.array)?;
            let chunk = element.number as usize;
            states.insert(ElementId { array, chunk }, element.state.clone());
        }
        watcher.observed(&elements);
        self.poll.looked(false);
        self.heed(Input::Observed(states), watcher)?;
        if self.dispatcher.is_in_doubt() {
            self.poll.hurry(SECOND_LOOK);
        }
        Ok(())
    }

    /// Notes the id of an array whose submission was in doubt.
    fn know_array(&mut self, array: ArrayId, number: u64) -> Result<(), BatchError> {
        let submitted = &mut self.submitted[array.0];
        if submitted.array.is_none() {
            submitted.folder.note_accepted(number)?;
            submitted.array = Some(number);
        }
        Ok(())
    }

    /// Returns the name of an element in Slurm: `15_3`.
    fn name_of(&self, element: ElementId) -> String {
        let submitted = &self.submitted[element.array.0];
        match submitted.array {
            Some(array) => format!("{array}_{}", element.chunk),
            None => format!("{}_{}", submitted.folder.name(), element.chunk),
        }
    }

    fn note(&mut self, decision: Decision) -> Result<(), BatchError> {
        let noted = self.journal.append(decision);
        noted.map_err(|error| self.session.io(error))
    }
}

/// Returns what a worker says about its end.
fn said(end: WorkerEnd) -> End {
    match end.code {
        _ if end.disk_full => End::DiskFull,
        0 => End::Finished,
        CONTINUE => End::Stopped,
        TAKEN => End::Taken,
        other => End::Unable(other),
    }
}

/// Returns 16 hexadecimal digits that no other submission has.
fn new_id() -> String {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let time = time.unwrap_or_default().as_nanos();
    let random = RandomState::new().hash_one((time, std::process::id()));
    format!("{random:016x}")
}

/// Returns the path of a program as the nodes of a cluster see it.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().and_then(|path| path.canonicalize());
    own.unwrap_or_else(|_| Path::new("sweep").to_owned())
}
