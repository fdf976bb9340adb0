//! The command line: parses arguments, calls the rest of the crate and prints. One file per command.
//!
//! Results go to standard output, everything else to standard error. Nothing else in the crate
//! prints or examines the terminal. What decides about runs ([`crate::config`], [`crate::plan`],
//! [`crate::search`], the scheduler) reads neither clock nor environment; elsewhere the session
//! measures silence and polls, the journal stamps its entries, and the trainer is looked up on `PATH`.

mod check;
mod data;
mod diff;
mod doctor;
#[cfg(test)]
mod documentation;
mod evaluate;
mod exit;
mod foreground;
mod neighbors;
mod plan;
mod progress;
mod report;
mod run;
mod schema;
mod show;
mod status;
mod studies;
mod weights;
mod why;

use std::{
    env,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anstream::{AutoStream, ColorChoice};
use clap::{Args, Parser, Subcommand};
pub use exit::Exit;
use serde::Serialize;

use crate::{
    config::{Diagnostic, Sweep, resolved},
    ledger::Ledger,
    plan::Plan,
    run::slots::Machine,
};

/// Compare deep-metric-learning methods fairly: a TOML file in, a table with confidence intervals out
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
First steps:
  sweep run sweeps/quickstart.toml       compare losses on a built-in data set
  sweep data add omniglot images_*.zip   add a downloaded data set
  sweep plan sweeps/omniglot.toml        see what would run
  sweep run sweeps/omniglot.toml         run it; the same command resumes it
  sweep show losses                      see what a sweep file can name

Exit codes:
  0    done
  1    a mistake in the command, the sweep file, the data or the set-up
  2    the sweep ended, but some runs failed; the table shows which
  3    the sweep could not continue, for example because a disk is full
  4    another `sweep` works in the same results folder
  130  interrupted; the same command resumes

Documentation: README.md and docs/";

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Check),
    Plan(plan::PlanCommand),
    Diff(diff::Diff),
    Run(run::Run),
    Status(status::Status),
    Why(why::Why),
    Report(report::Report),
    Show(show::Show),
    Schema(schema::SchemaCommand),
    Evaluate(evaluate::Evaluate),
    #[command(alias = "neighbours")]
    Neighbors(neighbors::Neighbors),
    #[command(subcommand)]
    Data(data::Data),
    #[command(subcommand)]
    Weights(weights::WeightsCommand),
    Doctor(doctor::Doctor),
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
    #[arg(long, value_name = "FOLDER", default_value = "results")]
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
        Ok(sweep)
    }

    fn open(&self) -> Result<Opened, Exit> {
        Opened::new(self.read()?, &self.results)
    }

    /// Keeps a copy of the file in the results folder.
    fn keep(&self, opened: &Opened) -> Result<(), Exit> {
        Ok(opened
            .ledger
            .keep_sweep(&opened.sweep.name, &resolved(&self.file, &self.overrides)?)?)
    }
}

impl Opened {
    fn new(sweep: Sweep, results: &Path) -> Result<Opened, Exit> {
        let ledger = Ledger::new(results);
        let machine = Machine::survey(env::var("CUDA_VISIBLE_DEVICES").ok().as_deref());
        let plan = Plan::new(&sweep, &ledger, machine.numerics(&sweep.resources))
            .map_err(Exit::mistake)?;
        Ok(Opened {
            sweep,
            ledger,
            machine,
            plan,
        })
    }
}

/// Parses and executes the command line.
pub fn main() -> ExitCode {
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
    let result = match &cli.command {
        Command::Check(command) => command.run(),
        Command::Plan(command) => command.run(),
        Command::Diff(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Why(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Show(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Neighbors(command) => command.run(),
        Command::Data(command) => command.run(),
        Command::Weights(command) => command.run(),
        Command::Doctor(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            if let Some(message) = exit.message(color_on_stderr()) {
                tell(&message);
            }
            exit.code()
        }
    }
}

/// Prints a result.
fn show(text: &str) -> Result<(), Exit> {
    // Stripping colors from a text without any takes longer than the rest of a large plan.
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
    let mut output = BufWriter::new(io::stdout().lock());
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

/// Prints a line about the work to standard error; a closed one is no error.
fn tell(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
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

/// `1 run`, `2 runs`.
fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}
