//! Executes a plan: one trainer process for each attempt at a job.
//!
//! The [`scheduler`] decides and does nothing; the [`session`] does and decides nothing; a [`child`] is one
//! process; [`slots`] says where there is room. Whoever wants to show progress implements [`Watcher`].

mod child;
pub mod scheduler;
pub mod session;
pub mod slots;
pub mod trainer;

use schema::Event;

use crate::{
    ledger::{End, Job},
    plan::{Plan, Study, freshness::FreshnessOf},
};

/// Is told what happens; nothing depends on what it makes of it.
pub trait Watcher {
    /// An attempt starts in a slot.
    fn started(&mut self, job: Job, attempt: u32, slot: &str);
    /// A trainer said something.
    fn said(&mut self, job: Job, event: &Event);
    /// An attempt ended; `again` if another one follows.
    fn ended(&mut self, job: Job, end: &End, again: bool);
    /// A search is over.
    fn selected(&mut self, plan: &Plan, study: &Study);
    /// Further jobs have turned out to be needed.
    fn grown(&mut self, plan: &Plan, freshness: &FreshnessOf);
    /// Nothing happened for a moment.
    fn tick(&mut self);
}
