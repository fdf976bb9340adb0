//! What a failure means: a rule for each class, and words for the end of a process.

use rustix::process::Signal;
use schema::Failure;

/// The exit code of a trainer that stopped on request; see [`Attempt`](schema::Attempt).
const STOPPED: i32 = 3;

/// The consequence of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The job would fail again: it has failed.
    Final,
    /// No job can be done now: nothing new starts.
    Drain,
    /// Chance may be to blame: the job is tried again, a limited number of times.
    Retry,
    /// The place is to blame: the job goes elsewhere without counting, and the place is left out after
    /// `limit` failures in a row.
    Place {
        /// The number of failures in a row.
        limit: u32,
    },
    /// Several attempts together may be to blame: the job is tried again once, alone at its place.
    Alone,
    /// So many attempts at a time may be to blame: the job is tried again while fewer run, without counting.
    Fewer,
}

/// Returns the rule for a class of failure.
pub(super) fn rule(class: Failure) -> Rule {
    match class {
        Failure::Data | Failure::OtherCounts | Failure::Recipe | Failure::Internal => Rule::Final,
        Failure::Disk => Rule::Drain,
        Failure::Crashed | Failure::Hung => Rule::Retry,
        Failure::Device => Rule::Place { limit: 2 },
        // A trainer that is being built again is back after seconds.
        Failure::NotStarted => Rule::Place { limit: 4 },
        Failure::Memory => Rule::Alone,
        Failure::HostMemory => Rule::Fewer,
    }
}

/// The end of a process, or of its work for an attempt.
#[derive(Clone, Debug, Default)]
pub struct ProcessEnd {
    /// Its exit code, unless a signal killed it.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// The last line of its log.
    pub last_line: Option<String>,
    /// True if it was killed because it reported nothing for too long.
    pub hung: bool,
    /// The id of a process that could not be killed and may still be there.
    pub abandoned: Option<i32>,
    /// True if the system killed it because main memory was short.
    pub out_of_memory: bool,
    /// True if the process goes on and waits for another attempt.
    pub is_waiting: bool,
}

impl ProcessEnd {
    /// Returns the class of a process that ended without a result.
    pub(super) fn class(&self) -> Failure {
        if self.hung || self.abandoned.is_some() {
            Failure::Hung
        } else {
            Failure::Crashed
        }
    }

    /// Describes the end of a process that reported no result.
    pub(super) fn description(&self) -> String {
        let end = self.left_behind().unwrap_or_else(|| self.end());
        match &self.last_line {
            Some(line) => format!("{end}: {line}"),
            None => end,
        }
    }

    /// Names the process, if it could not be killed.
    pub(super) fn left_behind(&self) -> Option<String> {
        let process = self.abandoned?;
        let why = match self.hung {
            true => "reported nothing for too long and ",
            false => "",
        };
        Some(format!(
            "process {process} {why}cannot be killed; its slot is not used again"
        ))
    }

    fn end(&self) -> String {
        match (self.signal, self.code) {
            _ if self.hung => "reported nothing for too long and was killed".to_owned(),
            _ if self.is_waiting => "ended without reporting a result".to_owned(),
            _ if self.out_of_memory => {
                "killed by the system, because main memory was short".to_owned()
            }
            (Some(signal), _) if self.was_killed() => {
                format!("killed by {}; out of memory?", signals::name(signal))
            }
            (Some(signal), _) => format!("killed by {}", signals::name(signal)),
            (None, Some(STOPPED)) => "stopped, although `sweep` did not ask for it".to_owned(),
            (None, Some(code)) => format!("exited (code {code}) without reporting a result"),
            (None, None) => "ended in an unknown way".to_owned(),
        }
    }

    /// True if SIGKILL ended it, which is what a system does when memory is short.
    pub(super) fn was_killed(&self) -> bool {
        !self.hung && self.signal == Some(Signal::KILL.as_raw())
    }

    /// True if someone else asked it to end, as a batch system does with all processes of a job.
    pub(super) fn was_asked_to_end(&self) -> bool {
        const REQUESTS: [Signal; 5] = [
            Signal::TERM,
            Signal::INT,
            Signal::HUP,
            Signal::USR1,
            Signal::XCPU,
        ];
        let by = |signal: i32| REQUESTS.iter().any(|request| request.as_raw() == signal);
        !self.hung && (self.code == Some(STOPPED) || self.signal.is_some_and(by))
    }
}
