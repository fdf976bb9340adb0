//! The command line: parses arguments, calls the rest of the crate and prints. One file per command.
//!
//! Results go to standard output, everything else to standard error. Nothing else in the crate
//! prints or examines the terminal. What decides about runs ([`crate::config`], [`crate::plan`],
//! [`crate::search`], the scheduler) reads neither clock nor environment; elsewhere the session
//! measures silence and polls, the journal stamps its entries, and the trainer is looked up on `PATH`.

mod cell;
mod check;
mod chosen;
mod completions;
mod data;
mod diff;
mod doctor;
#[cfg(test)]
mod documentation;
mod embed;
mod evaluate;
mod exit;
mod export;
mod folder;
mod foreground;
mod fsck;
mod gc;
mod init;
mod interrupts;
mod log_tail;
mod logs;
mod merge;
mod neighbors;
mod only;
mod paint;
mod picture;
mod plan;
mod printable;
mod progress;
mod report;
mod room;
mod run;
mod run_ids;
mod schema;
mod scope;
mod scripts;
mod shipped;
mod show;
mod simulate;
mod slurm;
mod status;
mod stop;
mod studies;
mod triage;
#[cfg(test)]
mod values_tests;
mod verify;
mod weights;
mod why;
mod width;
mod worker;
mod writable;

use std::{
    env,
    io::{self, BufWriter, Write},
    mem,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anstream::{AutoStream, ColorChoice};
use clap::{Args, Parser, Subcommand};
pub use exit::Exit;
use folder::folder;
use interrupts::Interrupts;
use printable::{PrintableWriter, printable};
use serde::Serialize;
use slurm::Where;

use crate::{
    config::{Diagnostic, Sweep, resolved},
    ledger::{
        Check, Ledger,
        fingerprint::{keep_registration, registration},
    },
    plan::{Arithmetic, Plan, in_words, integrity, memory},
    run::slots::{Layout, Machine, SlotError},
    shell::CommandLine,
};

/// Compare deep-metric-learning methods fairly: a TOML file in, a table with confidence intervals out
#[derive(Debug, Parser)]
#[command(version = crate::VERSION, arg_required_else_help = true, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    color: colorchoice_clap::Color,
    /// Print no progress; results, warnings and errors remain
    #[arg(short, long, global = true)]
    quiet: bool,
}

const AFTER_HELP: &str = "\
First steps:
  sweep init first.toml                  write a commented sweep file that runs
  sweep plan first.toml                  see what would run
  sweep run first.toml                   run it; the same command resumes it
  sweep init birds.toml --data ~/birds   compare losses on your own images
  sweep show losses                      see what a sweep file can name

Exit codes:
  0    done
  1    a mistake in the command, the sweep file, the data or the set-up
  2    the sweep ended, but some runs failed; the table shows which
  3    the sweep could not continue, for example because a disk is full
  4    another `sweep` works in the same results folder, or on the same run
  85   a worker was asked to stop and wants to be started again
  130  interrupted; the same command resumes

Documentation: README.md and docs/";

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Check(check::Check),
    Plan(plan::PlanCommand),
    Diff(diff::Diff),
    Run(run::Run),
    Worker(worker::Worker),
    Simulate(simulate::Simulate),
    Status(status::Status),
    Stop(stop::Stop),
    Logs(logs::Logs),
    Why(why::Why),
    Triage(triage::Triage),
    Report(report::Report),
    Cell(cell::Cell),
    Verify(verify::Verify),
    Show(show::Show),
    Schema(schema::SchemaCommand),
    Evaluate(evaluate::Evaluate),
    Export(export::Export),
    Embed(embed::Embed),
    #[command(alias = "neighbours")]
    Neighbors(neighbors::Neighbors),
    #[command(subcommand)]
    Data(data::Data),
    #[command(subcommand)]
    Weights(weights::WeightsCommand),
    #[command(subcommand)]
    Loss(scripts::LossCommand),
    #[command(subcommand)]
    Miner(scripts::MinerCommand),
    Fsck(fsck::Fsck),
    Gc(gc::Gc),
    Merge(merge::Merge),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
    Man(completions::Man),
}

/// The sweep and its results folder: the same for all commands.
#[derive(Debug, Args)]
struct Target {
    /// The sweep file
    file: PathBuf,
    /// Override a value for this command, e.g. --set training.steps=500 or
    /// --set 'method."Triplet, semi-hard".loss.triplet.margin=0.2'; the file stays as it is
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Folder of finished and interrupted runs
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = "results")]
    results: PathBuf,
}

/// A sweep with its plan.
struct Opened {
    sweep: Sweep,
    ledger: Ledger,
    machine: Machine,
    plan: Plan,
}

impl Target {
    fn read(&self) -> Result<Sweep, Exit> {
        let sweep = Sweep::read(&self.file, &self.overrides)?;
        for warning in &sweep.warnings {
            tell(&warning.warning(color_on_stderr()));
        }
        if let Err(diagnostic) = &sweep.published {
            return Err(Exit::Diagnosed(diagnostic.clone()));
        }
        Ok(sweep)
    }

    /// Plans the sweep as it would run here.
    fn open(&self) -> Result<Opened, Exit> {
        Opened::here(self.read()?, &self.results)
    }

    /// Plans the sweep as it would run somewhere else than its file says, if so chosen.
    fn open_on(&self, on: Option<Where>) -> Result<Opened, Exit> {
        let mut sweep = self.read()?;
        Where::apply(on, &mut sweep)?;
        Opened::here(sweep, &self.results)
    }

    /// Plans the sweep as it was run, be it on another machine, and says what is no longer at hand.
    fn open_results(&self) -> Result<Opened, Exit> {
        let opened = Opened::of_results(self.read()?, &self.results)?;
        opened.remarks().iter().for_each(|remark| tell(remark));
        Ok(opened)
    }

    /// Another command on the same sweep, as a shell takes it.
    fn command(&self, verb: &str) -> CommandLine {
        CommandLine::new("sweep")
            .plain(verb)
            .path(&self.file)
            .overrides(&self.overrides)
            .folder("--results", "results", &self.results)
    }

    /// Keeps a copy of the file in the results folder.
    fn keep(&self, opened: &Opened) -> Result<(), Exit> {
        Ok(opened
            .ledger
            .keep_sweep(&opened.sweep.name, &resolved(&self.file, &self.overrides)?)?)
    }
}

impl Opened {
    /// Returns the slots of this machine for the jobs of the sweep.
    ///
    /// # Errors
    /// The sweep requests a GPU that does not exist.
    fn layout(&self) -> Result<Layout, SlotError> {
        let bytes = memory::of(&self.plan).peak();
        self.machine.layout(&self.sweep.resources, bytes)
    }

    /// The sweep as it would run here.
    fn here(sweep: Sweep, results: &Path) -> Result<Opened, Exit> {
        let machine = Opened::machine();
        let here = machine.numerics(&sweep.resources);
        let ledger = Ledger::with_cache(results);
        Opened::with(sweep, ledger, machine, Arithmetic::Here(here))
    }

    /// The sweep as it was run, be it on another machine, with its results as they are now.
    fn of_results(sweep: Sweep, results: &Path) -> Result<Opened, Exit> {
        let machine = Opened::machine();
        let allowed = machine.allowed_numerics(&sweep.resources);
        let mut ledger = Ledger::with_cache(results);
        ledger.freeze();
        Opened::with(sweep, ledger, machine, Arithmetic::OfResults(&allowed))
    }

    fn machine() -> Machine {
        let visible = env::var_os("CUDA_VISIBLE_DEVICES");
        let machine = Machine::survey(
            visible
                .as_ref()
                .map(|list| list.to_string_lossy())
                .as_deref(),
        );
        // Not every Slurm keeps the processes of a job to the cores that the job has.
        let allocated = env::var("SLURM_CPUS_ON_NODE").ok();
        match allocated.and_then(|cores| cores.parse().ok()) {
            Some(cores) => machine.with_cores(cores),
            None => machine,
        }
    }

    fn with(
        sweep: Sweep,
        ledger: Ledger,
        machine: Machine,
        arithmetic: Arithmetic<'_>,
    ) -> Result<Opened, Exit> {
        let plan = Plan::with(&sweep, &ledger, arithmetic).map_err(Exit::mistake)?;
        Ok(Opened {
            sweep,
            ledger,
            machine,
            plan,
        })
    }

    /// Leaves its memory to the end of the process, which is near: to free a hundred thousand results one by one takes
    /// as long as to read a third of them.
    fn leave(self) {
        mem::forget(self);
    }

    /// Keeps with the results what is known of the data sets.
    fn keep_registrations(&self) -> Result<(), Exit> {
        for (&id, data) in &self.plan.data {
            if let Some(found) = registration(&data.dataset, &self.sweep.data_root) {
                keep_registration(&self.ledger, id, &found)?;
            }
        }
        Ok(())
    }

    /// What of a sweep that was run is not at hand, or different here.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        for absent in &self.plan.recalled {
            remarks.push(format!("note: finished runs are used, but {absent}"));
        }
        let here = self.machine.numerics(&self.sweep.resources);
        if here != self.plan.numerics {
            remarks.push(format!(
                "note: the results are from {}; here, `sweep run` would use {}",
                in_words(&self.plan.numerics),
                in_words(&here)
            ));
        }
        remarks
    }

    /// Fails if the ids of runs are not known, because inputs are missing and no result tells what they were.
    fn require_ids(&self) -> Result<(), Exit> {
        match self.plan.missing[..] {
            [] => Ok(()),
            _ => Err(run::missing(self, &self.plan.missing)),
        }
    }

    /// Tells of damaged results. They are not counted.
    fn tell_damage(&self) -> Result<(), Exit> {
        integrity::of_results(&self.plan, &self.ledger, Check::Sizes)?;
        self.tell_found_damage();
        Ok(())
    }

    /// The same of results that were looked at.
    fn tell_found_damage(&self) {
        for damage in self.ledger.damage() {
            let again = &self.sweep.command;
            tell(&format!(
                "warning: {damage}; it is not used, and `{again}` computes what is needed again"
            ));
        }
    }

    /// Refuses to report while results are damaged: the tables would lack them.
    fn refuse_damage(&self) -> Result<(), Exit> {
        let damage: Vec<String> = self
            .ledger
            .damage()
            .iter()
            .map(ToString::to_string)
            .collect();
        if damage.is_empty() {
            return Ok(());
        }
        Err(Exit::mistake(format!(
            "{}\nhint: `{}` computes it again; the report is as it was",
            damage.join("\n"),
            self.sweep.command
        )))
    }
}

/// Parses and executes the command line.
pub fn main() -> ExitCode {
    let interrupts = match Interrupts::watch() {
        Ok(interrupts) => interrupts,
        Err(exit) => return told(&exit),
    };
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no error for a help text.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::MISTAKE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    cli.color.write_global();
    progress::be_quiet(cli.quiet);
    let result = match &cli.command {
        Command::Init(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Run(command) => command.run(&interrupts),
        Command::Worker(command) => command.run(&interrupts),
        Command::Simulate(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Stop(command) => command.run(),
        Command::Logs(command) => command.run(),
        Command::Why(command) => command.run(),
        Command::Triage(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Cell(command) => command.run(),
        Command::Verify(command) => command.run(),
        Command::Show(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Embed(command) => command.run(),
        Command::Neighbors(command) => command.run(),
        Command::Data(command) => command.run(),
        Command::Weights(command) => command.run(),
        Command::Loss(command) => command.run(),
        Command::Miner(command) => command.run(),
        Command::Fsck(command) => command.run(),
        Command::Gc(command) => command.run(),
        Command::Merge(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => told(&exit),
    }
}

/// Tells why the program ends without success, and returns its exit code.
fn told(exit: &Exit) -> ExitCode {
    if let Some(message) = exit.message(color_on_stderr()) {
        tell(&message);
    }
    exit.code()
}

/// Prints a result.
fn show(text: &str) -> Result<(), Exit> {
    // Stripping colors from a text without any takes longer than the rest of a large plan.
    let text = &printable(text);
    let written = match text.contains('\x1b') {
        true => print(anstream::stdout().lock(), text),
        false => print(io::stdout().lock(), text),
    };
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Exit::NobodyReads),
        Err(error) => Err(Exit::stuck(format!("failed to print: {error}"))),
    }
}

fn print(mut output: impl Write, text: &str) -> io::Result<()> {
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
}

/// Prints a result as JSON, while it is serialized.
fn show_json(value: &impl Serialize) -> Result<(), Exit> {
    let mut output = PrintableWriter(BufWriter::new(io::stdout().lock()));
    let written = serde_json::to_writer_pretty(&mut output, value).map_err(io::Error::from);
    match written
        .and_then(|()| writeln!(output))
        .and_then(|()| output.flush())
    {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Exit::NobodyReads),
        Err(error) => Err(Exit::stuck(format!("failed to print: {error}"))),
    }
}

/// Clears the terminal on standard output, if it is one that knows how.
fn clear_screen() {
    const CLEAR: &[u8] = b"\x1b[2J\x1b[H";
    if color_on_stdout() {
        // A closed output is noticed by what is printed next.
        let _ = io::stdout().lock().write_all(CLEAR);
    }
}

/// Prints a line about the work to standard error; a closed one is no error.
fn tell(line: &str) {
    let _ = writeln!(anstream::stderr(), "{}", printable(line));
}

fn color_on_stderr() -> bool {
    !matches!(AutoStream::choice(&std::io::stderr()), ColorChoice::Never)
}

fn color_on_stdout() -> bool {
    !matches!(AutoStream::choice(&std::io::stdout()), ColorChoice::Never)
}

impl From<Diagnostic> for Exit {
    fn from(diagnostic: Diagnostic) -> Exit {
        Exit::Diagnosed(Box::new(diagnostic))
    }
}

/// `1 class`, `3 classes`.
fn counted_classes(count: u64) -> String {
    match count {
        1 => "1 class".to_owned(),
        _ => format!("{count} classes"),
    }
}

/// `1 run`, `2 runs`.
fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}
