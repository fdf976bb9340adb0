//! Whether one more attempt makes a GPU faster.
//!
//! A window is a stretch of time in which the same attempts ran at a place. Each attempt's steps in a second,
//! divided by those of its kind alone, add up to the total speed of the window. One more attempt may join
//! while the total of that many is unknown or known to be larger than that of fewer; an unknown one is tried
//! after the present window has been measured.

use std::collections::BTreeMap;

use schema::{Device, KindId};

use super::{TICKS_PER_SECOND, learned::Learned};
use crate::{
    ledger::Job,
    run::slots::{Place, PlaceId},
};

/// The shortest window that measures, in ticks.
const LONG: u32 = 3 * TICKS_PER_SECOND;
/// The fewest steps of each attempt in a window that measures.
const STEPS: u64 = 20;

/// The windows of all places, and what they taught.
#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) learned: Learned,
    windows: Vec<Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// Ticks since the beginning.
    ticks: u32,
    attempts: BTreeMap<Job, AttemptHere>,
    is_measured: bool,
}

#[derive(Debug)]
struct AttemptHere {
    kind: KindId,
    /// Steps that are done in all.
    done: u64,
    /// Its first and its last report in this window.
    reports: Option<(Report, Report)>,
}

/// A report of an attempt.
#[derive(Clone, Copy, Debug)]
struct Report {
    ticks: u32,
    done: u64,
}

impl Sharing {
    pub(super) fn new(learned: Learned, places: usize) -> Sharing {
        let windows = (0..places).map(|_| Window::default());
        Sharing {
            learned,
            windows: windows.collect(),
        }
    }

    /// Begins a new window with one more attempt.
    pub(super) fn joined(&mut self, at: PlaceId, place: &Place, job: Job, kind: KindId) {
        self.measure(at, place);
        let attempt = AttemptHere {
            kind,
            done: 0,
            reports: None,
        };
        self.windows[at.0].attempts.insert(job, attempt);
        self.windows[at.0].begin();
    }

    /// Begins a new window without an attempt.
    pub(super) fn left(&mut self, at: PlaceId, place: &Place, job: Job) {
        self.measure(at, place);
        self.windows[at.0].attempts.remove(&job);
        self.windows[at.0].begin();
    }

    /// Notes the steps of an attempt.
    pub(super) fn progressed(&mut self, at: PlaceId, job: Job, done: u64) {
        let window = &mut self.windows[at.0];
        let Some(attempt) = window.attempts.get_mut(&job) else {
            return;
        };
        attempt.done = done;
        let report = Report {
            ticks: window.ticks,
            done,
        };
        let first = attempt.reports.map_or(report, |(first, _)| first);
        attempt.reports = Some((first, report));
    }

    /// Lets time pass at a place. Returns true if its window is measured from now on.
    pub(super) fn tick(&mut self, at: PlaceId, place: &Place, ticks: u32) -> bool {
        let window = &mut self.windows[at.0];
        window.ticks = window.ticks.saturating_add(ticks);
        if window.is_measured {
            return false;
        }
        self.measure(at, place);
        self.windows[at.0].is_measured
    }

    /// True if one more attempt may make the place faster.
    pub(super) fn may_join(&self, at: PlaceId, place: &Place, kind: KindId) -> bool {
        let window = &self.windows[at.0];
        let count = window.attempts.len() + 1;
        let present = window.attempts.values().map(|attempt| attempt.kind);
        count == 1
            || present.chain([kind]).all(|kind| {
                let known = self.learned.is_worth(kind, &place.model, count);
                known.unwrap_or(window.is_measured)
            })
    }

    /// True if an attempt has done enough steps that its memory does not grow any more.
    pub(super) fn is_steady(&self, at: PlaceId, job: Job) -> bool {
        let attempt = self.windows[at.0].attempts.get(&job);
        attempt.is_some_and(|attempt| attempt.done >= STEPS)
    }

    /// Learns from the window of a place, if it is long enough.
    fn measure(&mut self, at: PlaceId, place: &Place) {
        let window = &mut self.windows[at.0];
        let speeds: Option<Vec<(KindId, f64)>> = window
            .attempts
            .values()
            .map(|attempt| Some((attempt.kind, attempt.speed()?)))
            .collect();
        let Some(speeds) = speeds.filter(|speeds| !speeds.is_empty()) else {
            return;
        };
        if place.device == Device::Cpu {
            return;
        }
        window.is_measured = true;
        if let [(kind, speed)] = speeds[..] {
            self.learned.note_alone(kind, &place.model, speed);
            return;
        }
        let shares: Option<Vec<f64>> = speeds
            .iter()
            .map(|&(kind, speed)| Some(speed / self.learned.alone(kind, &place.model)?))
            .collect();
        let Some(shares) = shares else {
            return;
        };
        let (count, total) = (shares.len(), shares.iter().sum());
        let mut kinds: Vec<KindId> = speeds.iter().map(|&(kind, _)| kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            self.learned.note_together(kind, &place.model, count, total);
        }
    }
}

impl Window {
    fn begin(&mut self) {
        self.ticks = 0;
        self.is_measured = false;
        for attempt in self.attempts.values_mut() {
            attempt.reports = None;
        }
    }
}

impl AttemptHere {
    /// Returns its steps in a second; nothing if the window is too short to tell.
    fn speed(&self) -> Option<f64> {
        let (first, last) = self.reports?;
        let (ticks, steps) = (
            last.ticks - first.ticks,
            last.done.saturating_sub(first.done),
        );
        let seconds = f64::from(ticks) / f64::from(TICKS_PER_SECOND);
        (ticks >= LONG && steps >= STEPS).then(|| steps as f64 / seconds)
    }
}
