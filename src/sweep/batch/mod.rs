//! Beyond one machine: what a batch system such as Slurm is asked to run.
//!
//! The jobs of a sweep that can start are put into chunks, and a [`Submission`] asks the batch system for a worker for
//! each chunk. `sweep worker` plans the same sweep again, keeps to the jobs of its chunk and runs them as `sweep run`
//! would, on what the batch system has allocated to it. Nothing passes between orchestrator and workers but files: what
//! a submission says, and what the folders of runs say.
//!
//! [`chunks`] groups jobs; [`dispatch`] decides, without side effects, what is submitted and what becomes of elements that
//! have ended; [`session`] carries that out with the commands of [`slurm`]. A [`submission`] is what workers read, and its
//! [`standing`] what became of it. Workers may read [`copies`] of prepared data on the disks of their nodes.

pub mod chunks;
pub mod copies;
pub mod dispatch;
mod pace;
pub mod preview;
mod restriction;
pub mod session;
pub mod slurm;
pub mod standing;
pub mod submission;

pub use restriction::restrict;
pub use submission::{Submission, SubmissionError, SubmissionFolder};
