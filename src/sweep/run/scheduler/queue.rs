//! The jobs that can start, in the order of their turns, by kind.
//!
//! Jobs of one kind that take the same of countable resources need the same, so that the first of each kind stands for
//! all of them. A job that others pass too often, because it needs more room than they do, gets a place of its own.

use std::collections::{BTreeMap, BTreeSet};

use schema::KindId;

use crate::{ledger::Job, plan::agenda::Turn};

/// How often others may start before the first job of a kind that has no room.
const PATIENCE: u32 = 8;

/// The order of jobs that can start: by the failures of places that they met, then by their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) setbacks: u32,
    pub(super) turn: Turn,
}

/// A job that can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) rank: Rank,
    pub(super) job: Job,
    /// What the jobs of its line have in common.
    pub(super) line: KindId,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: BTreeMap<KindId, Line>,
}

/// Jobs that need the same.
#[derive(Debug, Default)]
struct Line {
    jobs: BTreeSet<Candidate>,
    /// How often another job started before the first one.
    passed: u32,
}

impl Queue {
    pub(super) fn insert(&mut self, candidate: Candidate) {
        let line = self.lines.entry(candidate.line).or_default();
        line.jobs.insert(candidate);
    }

    pub(super) fn remove(&mut self, candidate: &Candidate) {
        let Some(line) = self.lines.get_mut(&candidate.line) else {
            return;
        };
        line.jobs.remove(candidate);
        line.passed = 0;
        if line.jobs.is_empty() {
            self.lines.remove(&candidate.line);
        }
    }

    /// Returns the first job of each kind, in order.
    pub(super) fn first_of_kinds(&self) -> Vec<Candidate> {
        let lines = self.lines.values();
        let mut first: Vec<Candidate> = lines
            .filter_map(|line| line.jobs.first().copied())
            .collect();
        first.sort_unstable();
        first
    }

    /// Notes that another job starts before this one. Returns true if that has happened too often.
    pub(super) fn pass(&mut self, candidate: &Candidate) -> bool {
        let Some(line) = self.lines.get_mut(&candidate.line) else {
            return false;
        };
        line.passed += 1;
        line.passed >= PATIENCE
    }
}
