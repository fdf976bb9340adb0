//! Executes a plan: one trainer process for each attempt at a job.
//!
//! The [`scheduler`] decides, without side effects; the [`session`] carries the decisions out. A
//! [`child`] is one process, whose results are believed after a check ([`reply`]). [`slots`] is where
//! processes can run, by cores, GPUs and `memory`, and a [`Watcher`] shows progress. [`leftovers`] of killed
//! processes are removed at the start, and [`stragglers`] among them ended.

mod child;
mod gpus;
pub mod leftovers;
mod lines;
mod memory;
mod reply;
pub mod scheduler;
pub mod session;
pub mod slots;
pub mod stragglers;
pub mod trainer;

use schema::Event;

use crate::{
    ledger::{AttemptEnd, Job},
    plan::{Plan, Study, freshness::FreshnessOf},
};

/// Receives what happens, for display.
pub trait Watcher {
    /// An attempt starts in a slot.
    fn started(&mut self, job: Job, attempt: u32, slot: &str);
    /// A trainer reported an event.
    fn on_event(&mut self, job: Job, event: &Event);
    /// An attempt ended; `again` if another one follows.
    fn ended(&mut self, job: Job, end: &AttemptEnd, again: bool);
    /// A place is not used any more, after this failure.
    fn left_out(&mut self, place: &str, message: &str);
    /// A study ended.
    fn selected(&mut self, plan: &Plan, study: &Study);
    /// The plan has new jobs.
    fn grown(&mut self, plan: &Plan, freshness: &FreshnessOf);
    /// Nothing happened for a moment.
    fn tick(&mut self);
}
