//! The events that a trainer reports: one JSON object per line.

use serde::{Deserialize, Serialize};

use crate::{Finished, Host, Scores};

/// An event of a trainer at work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The first event.
    Started {
        /// The step that training resumes from; 0 at a fresh start.
        from: u64,
    },
    /// Progress, at most a few times a second.
    Progress {
        /// Steps, images or bytes that are done.
        done: u64,
        /// The total number of them.
        total: u64,
        /// The loss of the latest training step.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        loss: Option<f64>,
    },
    /// A note for the user.
    Remark {
        /// One sentence.
        #[serde(deserialize_with = "crate::visible::deserialize")]
        text: String,
    },
    /// A measurement of the validation classes.
    Scores {
        /// Training steps before the measurement.
        step: u64,
        /// The values.
        validation: Scores,
    },
    /// The course of the training, about two hundred times.
    Learning {
        /// Training steps so far.
        step: u64,
        /// The loss that was read last.
        loss: f64,
        /// The learning rate of the latest step, as a factor of that of the recipe.
        rate: f64,
        /// The share of steps since the last such event to which any pair or triplet contributed.
        useful: f64,
    },
    /// The state of the memory, every hundred batches.
    Memory {
        /// Batches so far.
        step: u64,
        /// The fraction of slots that are filled.
        fill: f64,
        /// The mean age of a filled slot in batches.
        age: f64,
        /// The mean Euclidean distance of a batch's embeddings from the stored embeddings of the
        /// same images; `None` if none of them is stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drift: Option<f64>,
    },
    /// A pass over the training images between two steps, at most a few times a second.
    Survey {
        /// Images that are done.
        done: u64,
        /// The total number of them.
        total: u64,
    },
    /// A sign of life: the process has computed since the last one, although there is no progress to report.
    Alive {},
    /// The network is built.
    Network {
        /// The number of its parameters, without those of losses.
        parameters: u64,
    },
    /// The machine, once the work is done or has failed.
    Host(Host),
    /// A checkpoint is on disk.
    Checkpoint {
        /// Training steps in it.
        step: u64,
    },
    /// The result of work that succeeded. Nothing follows but [`Ready`](Event::Ready).
    Finished(Finished),
    /// Nothing is left of the attempt, and the process waits for the next one.
    Ready {},
    /// The last event of work that failed.
    Failed {
        /// The class of the failure.
        class: Failure,
        /// One sentence for the user.
        #[serde(deserialize_with = "crate::visible::deserialize")]
        message: String,
    },
}

/// The class of a failure. It decides whether the job is tried again, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// A file of the data set is missing, unreadable or has unexpected content.
    Data,
    /// The counts of a data set differ from the published ones.
    OtherCounts,
    /// A file could not be written: no space, no permission.
    Disk,
    /// The recipe cannot be carried out.
    Recipe,
    /// The device is not available or does not work.
    Device,
    /// The memory of the device was exhausted.
    Memory,
    /// The main memory of the machine was exhausted.
    HostMemory,
    /// A fault of the program.
    Internal,
    /// The process ended without reporting a result: killed, crashed.
    Crashed,
    /// The process reported nothing for too long and was killed.
    Hung,
    /// The process could not be started.
    NotStarted,
}

impl Failure {
    /// True if the place where the job ran is to blame: the job itself has not failed.
    pub fn is_of_place(self) -> bool {
        matches!(self, Failure::Device | Failure::NotStarted)
    }
}
