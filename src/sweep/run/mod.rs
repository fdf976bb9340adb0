//! Executes a plan: trainer processes make attempts at its jobs.
//!
//! The [`scheduler`] decides, without side effects; the [`session`] carries the decisions out. A
//! [`child`] is one process, whose results are believed after a check ([`reply`]); some are [`waiting`] for their next
//! attempt. [`slots`] is where processes can run, by cores, GPUs ([`driver`]) and `memory`; a `gauge` measures what they
//! take of a GPU, and [`mps`] lets them share it. [`simulate`] runs a plan on a machine that is not there. [`growth`] is
//! what results add to a plan. A [`Watcher`] shows progress. [`leftovers`] of killed processes are removed at the start,
//! and [`stragglers`] among them ended.

pub mod affinity;
mod child;
pub mod driver;
mod gauge;
pub mod gpus;
pub mod growth;
pub mod leftovers;
mod lines;
mod memory;
pub mod mps;
mod reply;
pub mod scheduler;
pub mod session;
pub mod simulate;
pub mod slots;
pub mod stragglers;
pub mod trainer;
mod waiting;

use std::path::Path;

use schema::Event;

use crate::{
    ledger::{AttemptEnd, Job, journal::TakenMemory},
    plan::{Growth, Plan, Study, freshness::FreshnessOf},
};

/// Receives what happens, for display.
pub trait Watcher {
    /// Damaged lines of the journal in a results folder were moved away. No result depends on them.
    fn moved_lines(&mut self, lines: usize, folder: &Path);
    /// An attempt starts in a slot.
    fn started(&mut self, job: Job, attempt: u32, slot: &str);
    /// A trainer reported an event.
    fn on_event(&mut self, job: Job, event: &Event);
    /// An attempt ended; `again` if another one follows.
    fn ended(&mut self, job: Job, end: &AttemptEnd, again: bool);
    /// A job is left to the process of this name, which works on it or on another job of the same run.
    fn taken(&mut self, job: Job, holder: &str);
    /// Another process has done a job that was about to start.
    fn found(&mut self, job: Job);
    /// A place or a slot is not used any more, after this failure.
    fn left_out(&mut self, place: &str, message: &str);
    /// A GPU is not used while the processes of others take so much of its memory.
    fn awaits_others(&mut self, place: &str, taken: TakenMemory);
    /// The processes of others have freed enough of a GPU's memory, and it is used again.
    fn uses_again(&mut self, place: &str);
    /// At most this number of attempts runs at a time from now on, because main memory was short.
    fn runs_fewer(&mut self, at_most: usize);
    /// An interrupt asks this number of running attempts to write checkpoints and end; the next one kills them.
    fn stopping(&mut self, running: usize);
    /// A study ended.
    fn selected(&mut self, plan: &Plan, study: &Study);
    /// The plan has new jobs.
    fn grown(&mut self, plan: &Plan, freshness: &FreshnessOf, growth: &Growth);
    /// Nothing happened for a moment.
    fn tick(&mut self);
}
