//! What Slurm says of an array element: a closed list of states, and what another version may say.

/// The state of an array element in Slurm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits, configures its node or was put back.
    Waiting,
    /// Its processes run, or Slurm cleans up after them.
    Running,
    /// It has ended.
    Ended(Cause),
    /// A word that this version does not know. It is neither taken for an end nor for life.
    Unknown(String),
}

/// How an array element ended, according to Slurm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// With exit code 0.
    Completed,
    /// With another exit code, or killed.
    Failed,
    /// At its time limit.
    TimeLimit,
    /// Someone cancelled it.
    Cancelled,
    /// Its node failed.
    NodeFailed,
    /// Other jobs needed its resources.
    Preempted,
    /// It needed more memory than it had asked for.
    OutOfMemory,
    /// Slurm could not run it: a boot failure, a deadline, a revoked sibling.
    NotRun,
}

impl State {
    /// Returns the state that a word of `squeue` (`%T`) stands for.
    pub fn of(word: &str) -> State {
        match word {
            "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED"
            | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => State::Waiting,
            "RUNNING" | "COMPLETING" | "SUSPENDED" | "STOPPED" | "RESIZING" | "SIGNALING"
            | "STAGE_OUT" => State::Running,
            "COMPLETED" => State::Ended(Cause::Completed),
            "FAILED" => State::Ended(Cause::Failed),
            "TIMEOUT" => State::Ended(Cause::TimeLimit),
            "CANCELLED" => State::Ended(Cause::Cancelled),
            "NODE_FAIL" => State::Ended(Cause::NodeFailed),
            "PREEMPTED" => State::Ended(Cause::Preempted),
            "OUT_OF_MEMORY" => State::Ended(Cause::OutOfMemory),
            "BOOT_FAIL" | "DEADLINE" | "REVOKED" => State::Ended(Cause::NotRun),
            other => State::Unknown(other.to_owned()),
        }
    }

    /// True if it may still work, or begin to.
    pub fn is_live(&self) -> bool {
        !matches!(self, State::Ended(_))
    }
}

impl Cause {
    /// Returns the end as the rest of a sentence: "the element ..".
    pub fn in_words(self) -> &'static str {
        match self {
            Cause::Completed => "has completed",
            Cause::Failed => "has failed",
            Cause::TimeLimit => "reached its time limit",
            Cause::Cancelled => "was cancelled",
            Cause::NodeFailed => "was lost with its node",
            Cause::Preempted => "was preempted",
            Cause::OutOfMemory => "ran out of memory",
            Cause::NotRun => "could not be run by Slurm",
        }
    }

    /// True if the worker is not to blame: a batch system ends jobs in this way.
    pub fn is_usual(self) -> bool {
        match self {
            Cause::TimeLimit | Cause::NodeFailed | Cause::Preempted => true,
            Cause::Completed
            | Cause::Failed
            | Cause::Cancelled
            | Cause::OutOfMemory
            | Cause::NotRun => false,
        }
    }
}

/// A reason for which an element waits, as `squeue` (`%r`) words it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason(pub String);

impl Reason {
    /// Returns what a person has to do before the element can start; nothing if Slurm starts it by itself.
    pub fn remedy(&self) -> Option<&'static str> {
        match self.0.as_str() {
            "JobHeldUser" | "JobHoldMaxRequeue" => {
                Some("it is held: `scontrol release JOB` lets it go on")
            }
            "JobHeldAdmin" => Some("an administrator holds it: ask for its release"),
            "DependencyNeverSatisfied" => {
                Some("it depends on a job that failed: remove the dependency from `options`")
            }
            "BadConstraints" => Some("no node fits its options: change them"),
            "PartitionDown" | "PartitionInactive" => {
                Some("its partition is down: choose another one, or ask an administrator")
            }
            "PartitionTimeLimit" | "PartitionNodeLimit" => {
                Some("it asks for more than its partition allows: change `time` or the partition")
            }
            "InvalidAccount" | "InvalidQOS" => Some("its account or qos is not valid: change it"),
            "AccountNotAllowed" | "QOSNotAllowed" => {
                Some("its partition does not allow its account or qos: change them")
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_another_version_is_kept_and_counts_as_alive() {
        let state = State::of("TELEPORTED");
        assert_eq!(state, State::Unknown("TELEPORTED".to_owned()));
        assert!(state.is_live());
    }

    #[test]
    fn all_words_of_the_manual_of_squeue_are_known() {
        let words = "BOOT_FAIL CANCELLED COMPLETED CONFIGURING COMPLETING DEADLINE FAILED NODE_FAIL \
                     OUT_OF_MEMORY PENDING PREEMPTED RUNNING RESV_DEL_HOLD REQUEUE_FED REQUEUE_HOLD \
                     REQUEUED RESIZING REVOKED SIGNALING SPECIAL_EXIT STAGE_OUT STOPPED SUSPENDED TIMEOUT";
        for word in words.split_whitespace() {
            assert!(!matches!(State::of(word), State::Unknown(_)), "{word}");
        }
    }

    #[test]
    fn a_held_element_has_a_remedy_and_one_that_waits_for_its_turn_has_none() {
        assert!(Reason("JobHeldUser".to_owned()).remedy().is_some());
        assert!(Reason("Priority".to_owned()).remedy().is_none());
    }
}
