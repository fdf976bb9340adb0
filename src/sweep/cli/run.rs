//! `sweep run`: runs what is not there yet, resumes what was interrupted, makes the table.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use schema::{Dataset, Device, Download, Files};

use super::{
    Exit, Opened, Target,
    check::arithmetic,
    counted,
    interrupts::Interrupts,
    only::Only,
    plan::{slot_names, tally},
    progress::{Progress, jobs_left},
    report::Destination,
    room::{MAKE_ROOM, shortage_of_memory},
    slurm::{self, BatchProgress, Where},
    studies, tell,
};
use crate::{
    batch::{
        session::{self as batch_session, BatchError, BatchSession, Launch},
        standing::open_submissions,
    },
    config::{On, OnFailure, Resources, SlurmTable, resolved},
    ledger::{Check, Ledger, LedgerError, Lock, Locking, absolute},
    plan::{
        freshness::{self, FreshnessOf},
        integrity::{self, Inputs},
    },
    run::{
        leftovers,
        mps::Mps,
        scheduler::{Halt, Tally},
        session::{Role, Session, SessionError},
        slots::{Layout, PlaceId},
        stragglers,
        trainer::{Trainer, check_folder},
    },
    shell::CommandLine,
};

/// Run or resume a sweep and print its table
///
/// Finished runs are reused and interrupted ones continue from their last checkpoint, so the same command resumes a sweep.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep run sweeps/quickstart.toml
  sweep run sweeps/omniglot.toml --set data.root=/datasets/omniglot
  sweep run sweeps/omniglot.toml --set training.steps=100 --set sweep.name=trial
  sweep run sweeps/omniglot.toml            resume after Ctrl-C, a crash or an edit
  sweep run sweeps/omniglot.toml --only failed,lost          first what failed or was lost
  sweep run sweeps/omniglot.toml --on slurm                  in array jobs of a cluster")]
pub(super) struct Run {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    destination: Destination,
    /// Run only jobs of runs that failed, or that were begun and lost; a search goes on from them
    #[arg(long, value_name = "WHICH", value_delimiter = ',')]
    only: Vec<Only>,
    /// Try each job once in this session
    #[arg(long)]
    no_retry: bool,
    /// Begin nothing more once a job has failed, whatever `on_failure` in [resources] says
    #[arg(long)]
    fail_fast: bool,
    /// Program to run instead of `sweep-trainer`; see docs/trainer-protocol.md
    #[arg(long, value_name = "PROGRAM")]
    trainer: Option<PathBuf>,
    /// Work in a results folder whose file system has no locks; no other `sweep` may use the folder
    #[arg(long)]
    no_lock: bool,
    /// Run there, whatever `on` in [resources] says; see docs/slurm.md
    #[arg(long, value_name = "WHERE")]
    on: Option<Where>,
    /// On Slurm: return as soon as all that can start is submitted; the same command watches over it again
    #[arg(long)]
    detach: bool,
}

/// What a session that cannot continue leaves behind.
const KEPT: &str = "finished runs are kept; fix the cause and rerun the same command";

impl Run {
    pub(super) fn run(&self, interrupts: &Interrupts) -> Result<(), Exit> {
        check_folder(&absolute(&self.target.results))?;
        let mut opened = self.target.open_on(self.on)?;
        let end = self.run_opened(&mut opened, interrupts);
        opened.leave();
        end
    }

    fn run_opened(&self, opened: &mut Opened, interrupts: &Interrupts) -> Result<(), Exit> {
        opened.require_ids()?;
        self.destination.check(opened)?;
        let mut lock = opened.ledger.lock(Locking::of(self.no_lock))?;
        let is_submitted = self.is_submitted(opened)?;
        if self.no_retry {
            opened.sweep.resources.retries = 0;
        }
        if self.fail_fast {
            opened.sweep.resources.on_failure = OnFailure::Stop;
        }
        let mut freshness = match is_submitted {
            // Workers are writing: nothing is set aside or removed.
            true => freshness::of(&opened.plan, &opened.ledger, &opened.sweep.report)?,
            false => freshness_of_intact(opened)?,
        };
        let left_out = match self.only.as_slice() {
            [] => 0,
            only => Only::restrict(only, &mut freshness, opened)?,
        };
        let todo: usize = tally(&freshness).values().map(|tally| tally.todo).sum();
        if todo > 0 && !opened.plan.recalled.is_empty() {
            return Err(missing(opened, &opened.plan.recalled));
        }
        self.target.keep(opened)?;
        opened.keep_registrations()?;
        let on = opened.sweep.resources.on.clone();
        let tally = if todo == 0 && !is_submitted {
            let state = match left_out {
                0 => "up to date",
                _ => "nothing is left of what failed or was lost",
            };
            let name = &opened.sweep.name;
            tell(&format!("{name}: {}; {state}", arithmetic(&opened.sweep)));
            Tally::default()
        } else {
            opened.ledger.thaw();
            match on {
                On::Here => self.work(opened, &mut lock, freshness, interrupts)?,
                On::Slurm(table) => {
                    let tally =
                        self.work_on_slurm(&table, opened, &mut lock, freshness, interrupts)?;
                    self.verdict_of_slurm(&tally, opened)?;
                    if self.detach {
                        return Ok(());
                    }
                    tally
                }
            }
        };
        drop(lock);
        if todo > 0 || is_submitted {
            opened.ledger.freeze();
        }
        let report = self.destination.report(&self.target, opened, None)?;
        let written = report.write();
        // Without it, the next command takes longer.
        let _ = opened.ledger.keep_read();
        report.print_tables()?;
        if written.is_ok() {
            report.tell_places();
        }
        report.leave();
        self.verdict(&tally, opened)?;
        if left_out > 0 {
            let jobs = counted(left_out, "job");
            tell(&format!(
                "{jobs} left out by --only; `{}` runs them",
                self.resume_command()
            ));
        }
        written
    }

    /// Returns the command that resumes this one.
    fn resume_command(&self) -> CommandLine {
        let run = self.target.command("run");
        let mut command = run.folder("--reports", "reports", self.destination.folder());
        if let Some(program) = &self.trainer {
            command = command.plain("--trainer").path(program);
        }
        if self.no_lock {
            command = command.plain("--no-lock");
        }
        match self.on {
            Some(Where::Slurm) => command.plain("--on slurm"),
            Some(Where::Here) => command.plain("--on here"),
            None => command,
        }
    }

    /// True if something that was submitted may run.
    ///
    /// # Errors
    /// The sweep is to run on this machine, where it would get in the way.
    fn is_submitted(&self, opened: &Opened) -> Result<bool, Exit> {
        let mut open = open_submissions(&opened.ledger).map_err(Exit::stuck)?;
        if !opened.sweep.resources.on.is_here() {
            return Ok(!open.is_empty());
        }
        // Workers that someone started by hand are none of Slurm's; what they work on, they have claimed.
        open.retain(|folder| matches!(folder.accepted(), Ok(Some(_))));
        if open.is_empty() {
            return Ok(false);
        }
        Err(Exit::Locked(format!(
            "{} of Slurm may work in `{}`: add `--on slurm` to watch over them, or end them with `{}`",
            counted(open.len(), "array"),
            opened.ledger.root().display(),
            self.target.command("stop")
        )))
    }

    /// Returns why a session that watched over Slurm has ended before its jobs.
    fn verdict_of_slurm(&self, tally: &Tally, opened: &Opened) -> Result<(), Exit> {
        let left = jobs_left(tally.left(), &opened.plan);
        let resume = self.resume_command();
        match tally.halt() {
            Some(Halt::Interrupted) => Err(Exit::Interrupted(format!(
                "interrupted, {left}; what Slurm has goes on: `{resume}` watches over it again, and `{}` ends it",
                self.target.command("stop")
            ))),
            Some(Halt::Stranded(message)) => Err(Exit::mistake(format!(
                "Slurm refuses the array: {message}\nhint: {left}; correct `on.slurm` in [resources], then `{resume}`"
            ))),
            // The report comes first.
            Some(Halt::DiskFull | Halt::GaveUp | Halt::Taken) | None => {
                self.tell_detached(tally, &left);
                Ok(())
            }
        }
    }

    /// Tells someone who detaches what is left, and how to come back.
    fn tell_detached(&self, tally: &Tally, left: &str) {
        if self.detach && tally.left() > 0 {
            tell(&format!(
                "{left}, and all that can start is submitted; `{}` watches over it, `{}` shows it",
                self.resume_command(),
                self.target.command("status")
            ));
        }
    }

    /// Submits the jobs to Slurm and watches over them.
    fn work_on_slurm(
        &self,
        table: &SlurmTable,
        opened: &mut Opened,
        lock: &mut Lock,
        freshness: FreshnessOf,
        interrupts: &Interrupts,
    ) -> Result<Tally, Exit> {
        let limits = slurm::limits()?;
        // A missing trainer is told here, not by each worker.
        Trainer::find(self.trainer.as_deref())?;
        let launch = self.launch(opened)?;
        let Opened {
            sweep,
            ledger,
            plan,
            ..
        } = opened;
        tell(&format!("{}: {}, on Slurm", sweep.name, arithmetic(sweep)));
        let mut progress = BatchProgress::new(plan, &freshness, ledger);
        let interrupts = interrupts.counted();
        let mut session = BatchSession {
            plan,
            ledger,
            lock,
            sweep,
            table,
            launch: &launch,
            limits,
            interrupts: interrupts.number(),
            detach: self.detach,
        };
        session
            .run(freshness, &mut progress)
            .map_err(|error| match error {
                BatchError::Lock(error) => error.into(),
                BatchError::Ledger(error) => error.into(),
                BatchError::Io { .. } | BatchError::Submission(_) => Exit::stuck(error),
            })
    }

    /// Returns what all submissions of this command have in common.
    fn launch(&self, opened: &Opened) -> Result<Launch, Exit> {
        let mut overrides = self.target.overrides.clone();
        // Failures are counted here, over all workers.
        overrides.push("resources.on_failure=continue".to_owned());
        if self.no_retry {
            overrides.push("resources.retries=0".to_owned());
        }
        Ok(Launch {
            program: batch_session::program(),
            trainer: self.trainer.as_deref().map(absolute),
            file: absolute(&self.target.file),
            text: resolved(&self.target.file, &overrides)?,
            folder: absolute(".".as_ref()),
            results: absolute(opened.ledger.root()),
            numerics: opened.plan.numerics,
            device: opened.plan.numerics.device(),
        })
    }

    fn verdict(&self, tally: &Tally, opened: &Opened) -> Result<(), Exit> {
        let (plan, failed) = (&opened.plan, tally.failed);
        let left = jobs_left(tally.left(), plan);
        let (resume, status) = (self.resume_command(), self.target.command("status"));
        match tally.halt() {
            Some(Halt::Interrupted) => Err(Exit::Interrupted(format!(
                "interrupted, {left}; resume with `{resume}`"
            ))),
            Some(Halt::DiskFull) => Err(Exit::DiskFull(format!(
                "a disk is full or cannot be written, {}; {MAKE_ROOM} and resume with `{resume}`",
                jobs_left(tally.left() + failed, plan)
            ))),
            Some(Halt::Stranded(message)) => Err(Exit::stuck(format!(
                "nothing is left to run on ({message}), {left}; fix the cause and resume with `{resume}`"
            ))),
            Some(Halt::GaveUp) => Err(Exit::RunsFailed(format!(
                "stopped after {} (resources.on_failure), {left}; see `{status}`, and resume with `{resume}`",
                counted(failed, "failed job")
            ))),
            Some(Halt::Taken) => Err(Exit::Locked(format!(
                "other processes work on {}, {left}; wait for them, and then `{resume}` makes the table",
                counted(tally.taken, "job")
            ))),
            None if failed > 0 => {
                let failed = counted(failed, "job");
                Err(Exit::RunsFailed(format!("{failed} failed; see `{status}`")))
            }
            None => match studies::waiting_in_vain(opened) {
                0 => Ok(()),
                count => Err(Exit::RunsFailed(format!(
                    "{} cannot go on: a trial ended without its validation score; see `{status}`",
                    studies::counted_searches(count)
                ))),
            },
        }
    }

    fn work(
        &self,
        opened: &mut Opened,
        lock: &mut Lock,
        freshness: FreshnessOf,
        interrupts: &Interrupts,
    ) -> Result<Tally, Exit> {
        let layout = opened.layout().map_err(Exit::mistake)?;
        let Opened {
            sweep,
            ledger,
            plan,
            machine,
        } = opened;
        let trainer = Trainer::find(self.trainer.as_deref())?;
        check_device(&trainer, &layout)?;
        for place in layout.unshared() {
            tell(&format!(
                "warning: the driver does not tell the memory of {}: runs do not share it; set `resources.runs_per_gpu` to a number",
                place.name
            ));
        }
        if let Some(shortage) = shortage_of_memory(machine, &sweep.resources) {
            tell(&format!("warning: {shortage}"));
        }
        end_stragglers(ledger)?;
        let mps = mps(&sweep.resources, &layout)?;
        tell(&format!(
            "{}: {}, {}",
            sweep.name,
            arithmetic(sweep),
            slot_names(&layout)
        ));
        let mut progress = Progress::new(plan, &freshness);
        let interrupts = interrupts.counted();
        let mut session = Session {
            plan,
            ledger,
            role: Role::Orchestrator(lock),
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

/// Starts the service through which runs share GPUs, if the sweep asks for it.
pub(super) fn mps(resources: &Resources, layout: &Layout) -> Result<Option<Mps>, Exit> {
    match resources.mps && layout.device() == Device::Cuda {
        true => Ok(Some(Mps::start().map_err(Exit::mistake)?)),
        false => Ok(None),
    }
}

impl From<SessionError> for Exit {
    fn from(error: SessionError) -> Exit {
        if error.is_disk_full() {
            return Exit::DiskFull(format!(
                "{error}\nfinished runs are kept; {MAKE_ROOM} and rerun the same command"
            ));
        }
        match error {
            SessionError::Ledger(error) if error.is_superseded() => Exit::Locked(error.to_string()),
            SessionError::Ledger(LedgerError::Disk(_) | LedgerError::Io { .. })
            | SessionError::Journal { .. } => Exit::stuck(format!("{error}\n{KEPT}")),
            SessionError::Superseded => Exit::Locked(error.to_string()),
            SessionError::Lock(error) => error.into(),
            SessionError::Ledger(LedgerError::Damaged { .. }) | SessionError::WrongReply { .. } => {
                Exit::stuck(error)
            }
        }
    }
}

/// Returns which jobs have to run, and freezes the results that this is about. Damaged files are set aside first, so that
/// they count as absent.
fn freshness_of_intact(opened: &mut Opened) -> Result<FreshnessOf, Exit> {
    let Opened {
        sweep,
        ledger,
        plan,
        ..
    } = opened;
    ledger.freeze();
    integrity::of_results(plan, ledger, Check::Contents)?;
    let mut inputs = Inputs::default();
    loop {
        let freshness = freshness::of(plan, ledger, &sweep.report)?;
        inputs.check(plan, &freshness, ledger)?;
        let set_aside = ledger.set_damage_aside()?;
        if set_aside.is_empty() {
            integrity::restore_identities(plan, ledger)?;
            leftovers::remove(plan, &freshness, ledger)?;
            leftovers::remove_inputs(&sweep.data_root, &sweep.resources.weights);
            return Ok(freshness);
        }
        for (damage, path) in set_aside {
            let fate = match path {
                Some(path) => format!("renamed to `{}`", path.display()),
                None => "removed".to_owned(),
            };
            tell(&format!(
                "warning: {damage}; it is {fate}, and what is needed is computed again"
            ));
        }
        ledger.freeze();
    }
}

/// Ends trainers of an earlier orchestrator, so that no late attempt overwrites a newer one.
fn end_stragglers(ledger: &Ledger) -> Result<(), Exit> {
    for process in stragglers::end(ledger.root()).map_err(Exit::stuck)? {
        tell(&format!(
            "warning: process {process} of an earlier `sweep` still worked here; it is ended"
        ));
    }
    Ok(())
}

/// Lists what is missing, with its source and the command that adds it.
pub(super) fn missing(opened: &Opened, missing: &[String]) -> Exit {
    let add = |dataset: &Dataset, files: &str| {
        CommandLine::new("sweep data add")
            .word(dataset.folder())
            .plain(files)
            .plain("--root")
            .path(&opened.sweep.data_root)
    };
    let absent = opened
        .plan
        .data
        .values()
        .filter(|data| data.source.is_none() && data.dataset.files() != Files::Drawn);
    let of_data: BTreeSet<String> = absent
        .map(|data| match data.dataset.facts().download {
            Some(Download { files, page }) => {
                format!("from {page}:\n      {}", add(&data.dataset, files))
            }
            None => format!("your own:\n      {}", add(&data.dataset, "DOWNLOADED...")),
        })
        .collect();
    let without_weights = opened.plan.runs.values().filter(|run| {
        run.weights.is_none() && run.unseeded.recipe.model.backbone.weights().is_some()
    });
    let usual: BTreeSet<String> = without_weights
        .filter_map(|run| run.unseeded.recipe.model.backbone.part().usual_weights())
        .map(|page| format!("the weights that most papers use are at {page}"))
        .collect();
    let list = missing.join("\n       ");
    let hints: Vec<String> = of_data.into_iter().chain(usual).collect();
    if hints.is_empty() {
        return Exit::mistake(list);
    }
    Exit::mistake(format!(
        "{list}\nhint: add downloaded files with\n    {}\n  or set the folder of files that exist elsewhere with `--set data.root=FOLDER`",
        hints.join("\n    ")
    ))
}

/// Compares the GPUs of the slots with those that the trainer sees.
pub(super) fn check_device(trainer: &Trainer, layout: &Layout) -> Result<(), Exit> {
    let on_gpus = layout.for_runs().filter(|slot| slot.device == Device::Cuda);
    let gpus: BTreeSet<PlaceId> = on_gpus.map(|slot| slot.place).collect();
    let seen = trainer.description.cuda_devices as usize;
    if seen == 0 && !gpus.is_empty() {
        return Err(Exit::mistake(format!(
            "there is a GPU, but `{}` cannot use it: its libtorch is CPU-only or does not match the driver\n\
             hint: install libtorch for CUDA with `make setup` and build again, or set `resources.device = \"cpu\"`",
            trainer.program.display()
        )));
    }
    // A process sees one partition at most, and a trainer is told which.
    let has_partitions = layout.places.iter().any(|place| place.is_partition);
    if seen < gpus.len() && !has_partitions {
        tell(&format!(
            "warning: the sweep uses {}, but the trainer sees only {seen}",
            counted(gpus.len(), "GPU")
        ));
    }
    Ok(())
}
