//! A value for each job of a plan.
//!
//! A plan may have a hundred thousand jobs, and each of many trainers reports several times a second: what an event costs
//! must not grow with the plan. In tests, all values that are visited are counted.

use std::{collections::BTreeMap, ops::Index};

use crate::ledger::Job;

/// A value for each job of a plan.
#[derive(Debug)]
pub struct PerJob<T>(BTreeMap<Job, T>);

impl<T> Default for PerJob<T> {
    fn default() -> PerJob<T> {
        PerJob(BTreeMap::new())
    }
}

impl<T> PerJob<T> {
    /// Returns the number of jobs that have a value.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if no job has a value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if a job has a value.
    pub fn contains(&self, job: Job) -> bool {
        count_visits(1);
        self.0.contains_key(&job)
    }

    /// Returns the value of a job, if it has one.
    pub fn get(&self, job: Job) -> Option<&T> {
        count_visits(1);
        self.0.get(&job)
    }

    /// Returns the value of a job to be changed, if it has one.
    pub fn get_mut(&mut self, job: Job) -> Option<&mut T> {
        count_visits(1);
        self.0.get_mut(&job)
    }

    /// Sets the value of a job, and returns the one it had.
    pub fn insert(&mut self, job: Job, value: T) -> Option<T> {
        count_visits(1);
        self.0.insert(job, value)
    }

    /// Returns the values of all jobs, which takes long in a large plan.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        count_visits(self.len());
        self.0.values()
    }
}

impl<T> Index<Job> for PerJob<T> {
    type Output = T;

    fn index(&self, job: Job) -> &T {
        count_visits(1);
        &self.0[&job]
    }
}

#[cfg(not(test))]
fn count_visits(_: usize) {}

#[cfg(test)]
pub(crate) use counting::{count_visits, visits};

#[cfg(test)]
mod counting {
    use std::cell::Cell;

    thread_local! {
        static VISITS: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn count_visits(values: usize) {
        VISITS.set(VISITS.get() + values);
    }

    /// Returns the number of values that some work visits in this thread.
    pub(crate) fn visits(work: impl FnOnce()) -> usize {
        let before = VISITS.get();
        work();
        VISITS.get() - before
    }
}
