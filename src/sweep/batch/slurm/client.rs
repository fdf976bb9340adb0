//! The commands of Slurm: each with a time limit of its own, and its output as data.
//!
//! A command that does not answer says nothing about jobs. The controller may be away for minutes, and the clients then
//! block and fail ([`SlurmError::Away`]); only an answer counts.

use std::{
    io,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use thiserror::Error;

use super::state::{Reason, State};

/// How long a command may take. The clients of Slurm give up by themselves after `MessageTimeout`, which is 10 seconds
/// unless the site has changed it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(25);

/// The exit code of `timeout` for a command that took too long.
const TOOK_TOO_LONG: i32 = 124;
/// The exit code of `timeout` for a command that does not exist.
const NOT_FOUND: i32 = 127;

/// The columns of `squeue`: array, element, state, reason, nodes and job name.
const COLUMNS: &str = "%F|%K|%T|%r|%N|%j";

/// Slurm did not do what it was asked for.
#[derive(Debug, Error)]
pub enum SlurmError {
    /// Its commands are not installed here.
    #[error(
        "there is no `{command}` here: run this on a machine with Slurm, such as its login node"
    )]
    Missing {
        /// The command.
        command: &'static str,
    },
    /// The command did not answer in time.
    #[error("`{command}` did not answer within {} s", ANSWERED_WITHIN.as_secs())]
    Away {
        /// The command.
        command: &'static str,
    },
    /// The command failed.
    #[error("`{command}` failed: {message}")]
    Failed {
        /// The command.
        command: &'static str,
        /// What it wrote.
        message: String,
    },
}

/// The limits of a cluster that decide how arrays are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest index of an array element is below this number.
    pub array_size: usize,
}

impl Default for Limits {
    /// As Slurm has them, if the site says nothing.
    fn default() -> Limits {
        Limits { array_size: 1001 }
    }
}

/// One array element, as `squeue` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// The id of the array.
    pub array: u64,
    /// Its number in the array.
    pub number: u32,
    /// Its state.
    pub state: State,
    /// Why it waits, or why it ended.
    pub reason: Reason,
    /// Where it runs; empty while it waits.
    pub nodes: String,
    /// The name of the array.
    pub name: String,
}

/// Returns the limits of the cluster.
///
/// # Errors
/// The controller does not answer.
pub fn limits() -> Result<Limits, SlurmError> {
    Ok(parse_limits(&run("scontrol", &["show", "config"])?))
}

/// Submits a script. Returns the id of the array.
///
/// # Errors
/// Slurm refuses it, or does not answer. In both cases it may have accepted it: look for its name.
pub fn submit(script: &Path) -> Result<u64, SlurmError> {
    let script = script.display().to_string();
    let answer = run("sbatch", &["--parsable", &script])?;
    parse_id(&answer).ok_or_else(|| SlurmError::Failed {
        command: "sbatch",
        message: format!("its answer is no number: {}", answer.trim()),
    })
}

/// Returns the elements of all arrays with these names, also of those that ended lately.
///
/// # Errors
/// The controller does not answer.
pub fn elements(names: &[String]) -> Result<Vec<Element>, SlurmError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names = names.join(",");
    let arguments = ["-h", "-r", "-t", "all", "-n", &names, "-o", COLUMNS];
    let answer = run("squeue", &arguments)?;
    Ok(answer.lines().filter_map(parse_element).collect())
}

/// How elements are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Those that run write checkpoints; those that wait do not start.
    WithCheckpoints,
    /// At once.
    Now,
}

/// Ends all elements of the arrays with these names.
///
/// # Errors
/// The controller does not answer.
pub fn cancel(names: &[String], ending: Ending) -> Result<(), SlurmError> {
    for name in names {
        let name = format!("--name={name}");
        match ending {
            Ending::Now => run("scancel", &[&name]).map(drop)?,
            Ending::WithCheckpoints => {
                run("scancel", &[&name, "--state=PENDING"])?;
                run("scancel", &[&name, "--batch", "--signal=USR1"])?;
            }
        }
    }
    Ok(())
}

/// Runs a command and returns its output.
fn run(command: &'static str, arguments: &[&str]) -> Result<String, SlurmError> {
    let failed = |message: String| SlurmError::Failed { command, message };
    let mut limited = Command::new("timeout");
    limited.arg("--kill-after=2");
    limited.arg(ANSWERED_WITHIN.as_secs().to_string());
    limited.arg(command).args(arguments);
    // A format of the user's own would change the output.
    limited
        .env_remove("SQUEUE_FORMAT")
        .env_remove("SQUEUE_FORMAT2");
    let output = limited.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => SlurmError::Missing { command },
        _ => failed(error.to_string()),
    })?;
    match output.status.code() {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Some(TOOK_TOO_LONG) => Err(SlurmError::Away { command }),
        Some(NOT_FOUND) => Err(SlurmError::Missing { command }),
        _ => Err(failed(complaint(&output))),
    }
}

/// Returns what a command said about its failure, on one line.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}

fn parse_limits(config: &str) -> Limits {
    let value = |key: &str| {
        let lines = config.lines().filter_map(|line| line.split_once('='));
        let mut values = lines.filter(|(name, _)| name.trim() == key);
        values.next()?.1.trim().parse().ok()
    };
    let usual = Limits::default();
    Limits {
        array_size: value("MaxArraySize").unwrap_or(usual.array_size),
    }
}

/// Reads `15` or `15;cluster`.
fn parse_id(answer: &str) -> Option<u64> {
    let line = answer.lines().last()?;
    line.split(';').next()?.trim().parse().ok()
}

fn parse_element(line: &str) -> Option<Element> {
    let mut columns = line.split('|');
    let mut next = || columns.next().map(str::trim);
    Some(Element {
        array: next()?.parse().ok()?,
        number: next()?.parse().ok()?,
        state: State::of(next()?),
        reason: Reason(next()?.to_owned()),
        nodes: next()?.to_owned(),
        name: next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::state::Cause, *};

    #[test]
    fn recorded_lines_of_squeue_are_read() {
        let recorded = include_str!("testdata/squeue.txt");
        let elements: Vec<Element> = recorded.lines().filter_map(parse_element).collect();
        let states: Vec<&State> = elements.iter().map(|element| &element.state).collect();
        assert_eq!(
            states,
            [
                &State::Ended(Cause::Completed),
                &State::Ended(Cause::Failed),
                &State::Running,
                &State::Waiting,
                &State::Waiting,
                &State::Ended(Cause::Cancelled),
            ]
        );
        assert_eq!((elements[2].array, elements[2].number), (7, 1));
        assert_eq!(elements[2].nodes, "n2");
        assert_eq!(elements[3].reason, Reason("JobArrayTaskLimit".to_owned()));
        assert_eq!(elements[4].reason, Reason("JobHeldUser".to_owned()));
        assert!(
            elements
                .iter()
                .all(|element| element.name.starts_with("sweep-"))
        );
    }

    #[test]
    fn a_line_of_something_else_is_no_element() {
        for line in [
            "",
            "slurm_load_jobs error: Unable to contact",
            "9|N/A|RUNNING|None|n1|bash",
        ] {
            assert_eq!(parse_element(line), None, "{line}");
        }
    }

    #[test]
    fn recorded_limits_are_read_and_usual_without() {
        let recorded = include_str!("testdata/config.txt");
        assert_eq!(parse_limits(recorded), Limits { array_size: 501 });
        assert_eq!(parse_limits(""), Limits::default());
    }

    #[test]
    fn the_id_of_an_array_is_read_with_and_without_a_cluster() {
        assert_eq!(parse_id("15\n"), Some(15));
        assert_eq!(parse_id("15;tiny\n"), Some(15));
        assert_eq!(parse_id("sbatch: queued\n"), None);
    }
}
