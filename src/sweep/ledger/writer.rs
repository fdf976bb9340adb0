//! The processes that write under `results/`, as they name themselves to others.

use std::{env, fmt, fs};

use rustix::{
    process::{Pid, getuid, test_kill_process},
    system::uname,
};
use serde::{Deserialize, Serialize};

/// A process that writes results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// Its id.
    pub pid: u32,
    /// Its user.
    pub user: String,
    /// The name of its machine.
    pub host: String,
    /// What tells the processes of its machine, since it was started, from those of any other.
    pub system: String,
    /// The job of Slurm that it belongs to, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm: Option<SlurmJob>,
}

/// A job of Slurm, or an element of an array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlurmJob {
    /// As Slurm writes it: `15`, or `15_3` of an array.
    pub id: String,
    /// How often Slurm has started it again.
    pub restarts: u32,
}

impl Writer {
    /// Returns this process.
    pub fn this_process() -> Writer {
        Writer::here(std::process::id())
    }

    /// Returns a process of this machine and user.
    pub(super) fn here(pid: u32) -> Writer {
        let user = ["USER", "LOGNAME"]
            .iter()
            .find_map(|name| env::var(name).ok());
        Writer {
            pid,
            user: user.unwrap_or_else(|| format!("user {}", getuid().as_raw())),
            host: uname().nodename().to_string_lossy().into_owned(),
            system: this_system(),
            slurm: SlurmJob::of_this_process(),
        }
    }

    /// Returns the process without its job: `process 3631 of anna on gpu7`.
    pub(super) fn process(&self) -> String {
        let Writer {
            pid, user, host, ..
        } = self;
        format!("process {pid} of {user} on {host}")
    }

    /// True if it is a process of this machine that lives.
    pub fn lives_here(&self) -> bool {
        self.system == this_system() && is_alive(self.pid)
    }

    /// True if it has ended, as far as this machine can tell.
    pub fn has_ended(&self) -> bool {
        self.system == this_system() && !is_alive(self.pid)
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.process())?;
        match &self.slurm {
            Some(job) => write!(f, ", {job}"),
            None => Ok(()),
        }
    }
}

impl SlurmJob {
    /// Returns the job that this process belongs to. Slurm describes it in the environment.
    pub fn of_this_process() -> Option<SlurmJob> {
        let variable = |name: &str| env::var(name).ok();
        let id = match (
            variable("SLURM_ARRAY_JOB_ID"),
            variable("SLURM_ARRAY_TASK_ID"),
        ) {
            (Some(array), Some(element)) => format!("{array}_{element}"),
            _ => variable("SLURM_JOB_ID")?,
        };
        let restarts = variable("SLURM_RESTART_COUNT").and_then(|count| count.parse().ok());
        Some(SlurmJob {
            id,
            restarts: restarts.unwrap_or(0),
        })
    }
}

impl fmt::Display for SlurmJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slurm job {}", self.id)
    }
}

/// True if a process of this machine runs. One that no longer does and whose parent has not noticed counts as gone.
pub(super) fn is_alive(pid: u32) -> bool {
    let known = i32::try_from(pid).ok().and_then(Pid::from_raw);
    known.is_some_and(|known| test_kill_process(known).is_ok()) && !is_zombie(pid)
}

fn is_zombie(pid: u32) -> bool {
    let state = durable::read_to_string(format!("/proc/{pid}/stat").as_ref()).unwrap_or_default();
    // The name of the program is in parentheses, and the state follows it.
    state
        .rsplit_once(')')
        .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
}

/// Returns what identifies the processes of this machine: the start of its system, and the space of process ids, which
/// containers have for themselves.
fn this_system() -> String {
    let started = durable::read_to_string("/proc/sys/kernel/random/boot_id".as_ref());
    let ids = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", started.unwrap_or_default().trim(), ids.display())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_of_this_machine_is_known_to_have_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let writer = Writer::here(child.id());
        assert!(!writer.has_ended());
        child.kill().unwrap();
        while !writer.has_ended() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.wait().unwrap();
        assert!(writer.has_ended());
        let elsewhere = Writer {
            system: "another".to_owned(),
            ..writer
        };
        assert!(!elsewhere.has_ended());
    }

    #[test]
    fn a_writer_is_named_with_its_job() {
        let writer = Writer {
            pid: 3631,
            user: "anna".to_owned(),
            host: "gpu7".to_owned(),
            system: String::new(),
            slurm: Some(SlurmJob {
                id: "15_3".to_owned(),
                restarts: 1,
            }),
        };
        assert_eq!(
            writer.to_string(),
            "process 3631 of anna on gpu7, Slurm job 15_3"
        );
    }
}
