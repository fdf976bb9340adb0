//! `sweep worker`: the jobs of one chunk of a submission, on what a batch system has allocated.

use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use clap::Args;
use schema::{DataId, Device, bytes_in_words};

use super::{
    Exit, Opened, counted,
    interrupts::{Counted, Interrupts},
    plan::slot_names,
    progress::Progress,
    room::MAKE_ROOM,
    run::{check_device, mps},
    tell,
};
use crate::{
    batch::{
        Submission, SubmissionError, SubmissionFolder,
        copies::{Copies, LocalCopy, Stage},
        restrict,
        standing::WorkerEnd,
    },
    config::{DeviceChoice, Gpus, Sweep},
    ledger::{Job, Ledger, SlurmJob, absolute},
    plan::{
        Arithmetic,
        freshness::{self, Freshness, FreshnessOf},
        in_words,
    },
    run::{
        scheduler::{Halt, Tally},
        session::{Role, Session},
        trainer::Trainer,
    },
    shell::CommandLine,
};

/// Work on one chunk of a submission; a batch system starts it
///
/// Runs the jobs of the chunk on the GPUs and cores that the batch system has allocated, beside other workers. At the
/// signals USR1, TERM and XCPU the trainers write checkpoints. Exits with code 0 when each job has a result or has failed
/// for good, and with 85 if it was asked to stop before.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep worker results/slurm/5f1c --chunk 3")]
pub(super) struct Worker {
    /// The folder of the submission
    folder: PathBuf,
    /// The number of the chunk, from 0
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = chunk_number)]
    chunk: usize,
    /// Program to run instead of the trainer of the submission
    #[arg(long, value_name = "PROGRAM")]
    trainer: Option<PathBuf>,
}

fn chunk_number(text: &str) -> Result<usize, String> {
    let number = text.parse();
    number.map_err(|_| "expected the number of a chunk, from 0".to_owned())
}

/// Comes before the reason why data has no copy.
const NOT_COPIED: &str = "not copied to this node, but read from the results folder";

/// Of more jobs than this, the rest is counted.
const NAMED: usize = 3;

impl Worker {
    pub(super) fn run(&self, interrupts: &Interrupts) -> Result<(), Exit> {
        // From the first moment: a batch system that ends the job learns that it can be continued.
        let interrupts = interrupts.counted();
        let folder = SubmissionFolder::at(absolute(&self.folder));
        let submission = folder.read()?;
        let chunk: BTreeSet<Job> = folder.read_chunk(self.chunk)?.into_iter().collect();
        if folder.is_over() {
            // Slurm may start an element that nobody waits for any more.
            tell("the submission is over: nothing is left to do");
            return Ok(());
        }
        let worked = self.work_on(&submission, &chunk, &folder, &interrupts);
        folder.note_end(self.chunk, end_of(&worked))?;
        worked
    }

    fn work_on(
        &self,
        submission: &Submission,
        chunk: &BTreeSet<Job>,
        folder: &SubmissionFolder,
        interrupts: &Counted<'_>,
    ) -> Result<(), Exit> {
        go_to(&submission.folder)?;
        require_arithmetic(submission, chunk)?;
        let mut opened = opened(submission, &folder.read_sweep()?)?;
        opened.require_ids()?;
        require_planned(chunk, &opened)?;
        let mut freshness = freshness::of(&opened.plan, &opened.ledger, &opened.sweep.report)?;
        let waiting = restrict(chunk, &mut freshness, &opened.plan);
        let tally = self.work(submission, folder, &mut opened, freshness, interrupts)?;
        verdict(&tally, &waiting, &opened)
    }

    fn work(
        &self,
        submission: &Submission,
        folder: &SubmissionFolder,
        opened: &mut Opened,
        freshness: FreshnessOf,
        interrupts: &Counted<'_>,
    ) -> Result<Tally, Exit> {
        let copies = copies(opened, &freshness, interrupts);
        if interrupts.number().load(Ordering::Relaxed) > 0 {
            return Err(Exit::ToBeContinued("stopped before it began".to_owned()));
        }
        let layout = opened.layout().map_err(Exit::mistake)?;
        let Opened {
            sweep,
            ledger,
            plan,
            ..
        } = opened;
        let program = self.trainer.as_ref().or(submission.trainer.as_ref());
        let trainer = Trainer::find(program.map(PathBuf::as_path))?;
        check_device(&trainer, &layout)?;
        let mps = mps(&sweep.resources, &layout)?;
        tell(&format!(
            "{}: chunk {} of submission {}, {}",
            sweep.name,
            self.chunk,
            folder.id(),
            slot_names(&layout)
        ));
        let restarts = SlurmJob::of_this_process().map_or(0, |job| job.restarts);
        let journal = folder.journal(self.chunk, restarts);
        let folders = copies
            .iter()
            .map(|(&data, copy)| (data, copy.folder.clone()));
        let mut progress = Progress::new(plan, &freshness);
        let mut session = Session {
            plan,
            ledger,
            role: Role::Worker {
                journal: &journal,
                ended: &submission.ended,
                copies: folders.collect(),
            },
            trainer: &trainer,
            layout: &layout,
            mps: mps.as_ref(),
            sweep,
            interrupts: interrupts.number(),
        };
        let tally = session.run(freshness, &mut progress);
        progress.close();
        Ok(tally?)
    }
}

/// Copies the prepared data that jobs will read to the disk of the node, if the sweep asks for it. What cannot be copied is
/// told, and read from the results folder.
fn copies(opened: &Opened, freshness: &FreshnessOf, interrupts: &Counted<'_>) -> Copies {
    let Some(stage) = opened.sweep.resources.on.stage() else {
        return Copies::new();
    };
    let stage = match Stage::open(stage, interrupts.number()) {
        Ok(stage) => stage,
        Err(error) => {
            tell(&format!("warning: {NOT_COPIED}: {error}"));
            return Copies::new();
        }
    };
    let stale = freshness
        .iter()
        .filter(|(_, freshness)| matches!(freshness, Freshness::Stale(_)));
    let data: BTreeSet<DataId> = stale
        .flat_map(|(&job, _)| opened.plan.data_of(job))
        .collect();
    let copies = data
        .into_iter()
        .filter_map(|data| Some((data, copy(data, &stage, opened)?)));
    copies.collect()
}

fn copy(data: DataId, stage: &Stage<'_>, opened: &Opened) -> Option<LocalCopy> {
    let title = opened.plan.data[&data].dataset.title();
    match stage.copy_of(data, &opened.ledger) {
        Ok(None) => None,
        Ok(Some(copy)) => {
            let done = match copy.copied {
                Some(bytes) => format!("copied to this node, {}", bytes_in_words(bytes)),
                None => "read from the copy on this node".to_owned(),
            };
            tell(&format!("{title}: {done}: {}", copy.folder.display()));
            Some(copy)
        }
        Err(error) => {
            tell(&format!("warning: {title}: {NOT_COPIED}: {error}"));
            None
        }
    }
}

fn end_of(worked: &Result<(), Exit>) -> WorkerEnd {
    WorkerEnd {
        code: worked.as_ref().err().map_or(0, Exit::number),
        disk_full: matches!(worked, Err(Exit::DiskFull(_))),
    }
}

/// Makes a folder the current one, as it was when the sweep was submitted.
fn go_to(folder: &Path) -> Result<(), Exit> {
    env::set_current_dir(folder).map_err(|error| {
        Exit::mistake(format!(
            "`{}`, where the sweep was submitted, cannot be used on this machine: {error}",
            folder.display()
        ))
    })
}

/// Plans the sweep as it was submitted, for what the worker has.
fn opened(submission: &Submission, text: &str) -> Result<Opened, Exit> {
    let command = CommandLine::new("sweep run").path(&submission.file);
    let mut sweep = Sweep::parse(&submission.file, text, &[], command.to_string())?;
    sweep.resources.device = match submission.device {
        Device::Cpu => DeviceChoice::Cpu,
        Device::Cuda => DeviceChoice::Cuda,
    };
    // Those of the sweep file are numbers on one machine; the batch system has chosen.
    sweep.resources.gpus = Gpus::All;
    let arithmetic = Arithmetic::Here(submission.numerics);
    let ledger = Ledger::new(&submission.results);
    Opened::with(sweep, ledger, Opened::machine(), arithmetic)
}

/// Fails if runs would be computed in another arithmetic than their ids say: only data is prepared anywhere.
fn require_arithmetic(submission: &Submission, chunk: &BTreeSet<Job>) -> Result<(), Exit> {
    let is_same = submission.numerics.device() == submission.device;
    let is_prepared = |job: &Job| matches!(job, Job::Prepare(_));
    match is_same || chunk.iter().all(is_prepared) {
        true => Ok(()),
        false => Err(Exit::mistake(format!(
            "the chunk has runs for {}, and the submission asks for another device",
            in_words(&submission.numerics)
        ))),
    }
}

/// Fails if the plan lacks jobs of the chunk.
fn require_planned(chunk: &BTreeSet<Job>, opened: &Opened) -> Result<(), Exit> {
    let unknown = chunk.iter().filter(|job| !opened.plan.has(**job));
    let unknown: Vec<String> = unknown.map(Job::to_string).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Exit::mistake(format!(
        "the sweep has no {} any more: since it was submitted, its data, its weights, its modules or its results have \
         changed; submit it again",
        some_of(&unknown)
    )))
}

/// `train 7f2c, train 9a0b and 4 more`
fn some_of(names: &[String]) -> String {
    let first = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn verdict(tally: &Tally, waiting: &[Job], opened: &Opened) -> Result<(), Exit> {
    let left = counted(tally.left(), "job");
    match tally.halt() {
        Some(Halt::Interrupted) => Err(Exit::ToBeContinued(format!(
            "stopped with checkpoints, {left} left"
        ))),
        Some(Halt::DiskFull) => Err(Exit::DiskFull(format!(
            "a disk is full or cannot be written, {} left; {MAKE_ROOM}",
            counted(tally.left() + tally.failed, "job")
        ))),
        Some(Halt::Stranded(message)) => Err(Exit::stuck(format!(
            "nothing is left to run on ({message}), {left} left"
        ))),
        Some(Halt::GaveUp) => Err(Exit::stuck(format!(
            "stopped after {} (resources.on_failure), {left} left",
            counted(tally.failed, "failed job")
        ))),
        Some(Halt::Taken) => Err(Exit::Locked(format!(
            "other processes work on {}, {left} left",
            counted(tally.taken, "job")
        ))),
        None => require_all_started(waiting, opened),
    }
}

/// Fails if jobs of the chunk wait for others that are not in it.
fn require_all_started(waiting: &[Job], opened: &Opened) -> Result<(), Exit> {
    if waiting.is_empty() {
        return Ok(());
    }
    let names = waiting.iter().map(|&job| opened.plan.name_of_job(job));
    Err(Exit::stuck(format!(
        "{} of the chunk cannot start, because what it needs is not done: {}",
        counted(waiting.len(), "job"),
        some_of(&names.collect::<Vec<_>>())
    )))
}

impl From<SubmissionError> for Exit {
    fn from(error: SubmissionError) -> Exit {
        match error {
            SubmissionError::Ledger(error) => error.into(),
            SubmissionError::Missing { .. }
            | SubmissionError::OtherVersion { .. }
            | SubmissionError::NoChunk { .. } => Exit::mistake(error),
        }
    }
}
