//! Places where attempts run, and which of them still work.
//!
//! A place is a GPU, or the CPU. It has one or more slots, and each takes one attempt at a time. A
//! place that fails rests for a while, and it is left out after too many failures in a row. A job that
//! ran out of memory is given a place of its own: nothing else starts there until the job has ended.

use std::collections::BTreeSet;

use crate::{
    ledger::Job,
    run::slots::{PlaceId, SlotId},
};

/// The rest of a place after its first failure, in ticks.
const REST: u32 = super::TICKS_PER_SECOND / 2;

/// The slots of a sweep, and the state of their places.
#[derive(Debug)]
pub(super) struct Places {
    slots: Vec<SlotState>,
    places: Vec<PlaceState>,
}

#[derive(Debug)]
struct SlotState {
    place: PlaceId,
    job: Option<Job>,
    /// True if a process that cannot be killed is still in it.
    lost: bool,
}

#[derive(Clone, Debug, Default)]
struct PlaceState {
    /// Failures since an attempt last finished here.
    failures: u32,
    /// Ticks before it is used again.
    rest: u32,
    left_out: bool,
    /// The job that has the place to itself; it waits until the other attempts have ended.
    alone: Option<Job>,
}

impl Places {
    /// Creates free slots at these places.
    pub(super) fn new(slots: &[PlaceId]) -> Places {
        let places = slots.iter().map(|place| place.0 + 1).max().unwrap_or(0);
        let slots = slots.iter().map(|&place| SlotState {
            place,
            job: None,
            lost: false,
        });
        Places {
            slots: slots.collect(),
            places: vec![PlaceState::default(); places],
        }
    }

    /// Returns the jobs that run.
    pub(super) fn running(&self) -> impl Iterator<Item = Job> {
        self.slots.iter().filter_map(|slot| slot.job)
    }

    /// Returns the place of a slot.
    pub(super) fn place_of(&self, slot: SlotId) -> PlaceId {
        self.slots[slot.0].place
    }

    /// True if attempts can run somewhere, now or later.
    pub(super) fn any_works(&self) -> bool {
        self.slots
            .iter()
            .any(|slot| !slot.lost && !self.places[slot.place.0].left_out)
    }

    /// Returns a slot for a job that shares its place, if possible not at one of the places to `avoid`.
    pub(super) fn free_slot(&self, avoid: &BTreeSet<PlaceId>) -> Option<SlotId> {
        let free = (0..self.slots.len())
            .map(SlotId)
            .filter(|&slot| self.is_free(slot) && self.place(slot).alone.is_none());
        free.min_by_key(|&slot| avoid.contains(&self.place_of(slot)))
    }

    /// Gives a job the place with the fewest attempts to itself. Returns false if all are given away.
    pub(super) fn reserve(&mut self, job: Job) -> bool {
        let shared = (0..self.slots.len())
            .map(SlotId)
            .filter(|&slot| !self.slots[slot.0].lost && self.place(slot).is_shared());
        let places: BTreeSet<PlaceId> = shared.map(|slot| self.place_of(slot)).collect();
        let emptiest = places
            .into_iter()
            .min_by_key(|&place| self.attempts_at(place));
        match emptiest {
            Some(place) => {
                self.places[place.0].alone = Some(job);
                true
            }
            None => false,
        }
    }

    /// True if a job has a place to itself, or waits for it.
    pub(super) fn any_reserved(&self) -> bool {
        self.places.iter().any(|place| place.alone.is_some())
    }

    /// Returns a job that waited for a place of its own, and its slot, once nothing else runs there.
    pub(super) fn emptied(&self) -> Option<(Job, SlotId)> {
        (0..self.slots.len()).map(SlotId).find_map(|slot| {
            let job = self.place(slot).alone?;
            let is_empty = self.attempts_at(self.place_of(slot)) == 0;
            (is_empty && self.is_free(slot)).then_some((job, slot))
        })
    }

    /// Puts a job into a slot.
    pub(super) fn occupy(&mut self, slot: SlotId, job: Job) {
        self.slots[slot.0].job = Some(job);
    }

    /// Frees the slot of an attempt that has ended.
    pub(super) fn vacate(&mut self, slot: SlotId) {
        let SlotState { place, job, .. } = &mut self.slots[slot.0];
        let alone = &mut self.places[place.0].alone;
        if *alone == *job {
            *alone = None;
        }
        *job = None;
    }

    /// Never uses a slot again.
    pub(super) fn lose(&mut self, slot: SlotId) {
        self.slots[slot.0].lost = true;
    }

    /// Notes that an attempt finished at a place.
    pub(super) fn worked(&mut self, place: PlaceId) {
        self.places[place.0].failures = 0;
    }

    /// True if an attempt has finished at a place since it last failed.
    pub(super) fn has_worked_since(&self, place: PlaceId) -> bool {
        self.places[place.0].failures == 0
    }

    /// Notes a failure of a place. Returns true if the place is left out from now on: this was failure
    /// number `limit` in a row. Otherwise it rests, twice as long after each failure.
    pub(super) fn failed(&mut self, place: PlaceId, limit: u32) -> bool {
        let state = &mut self.places[place.0];
        let was_left_out = state.left_out;
        state.failures += 1;
        state.rest = REST << (state.failures - 1).min(6);
        state.left_out |= state.failures >= limit;
        state.left_out && !was_left_out
    }

    /// Takes back the job that waits for this place to be empty.
    pub(super) fn take_stranded(&mut self, place: PlaceId) -> Option<Job> {
        self.places[place.0].alone.take()
    }

    /// Lets a moment pass.
    pub(super) fn tick(&mut self) {
        for place in &mut self.places {
            place.rest = place.rest.saturating_sub(1);
        }
    }

    fn place(&self, slot: SlotId) -> &PlaceState {
        &self.places[self.place_of(slot).0]
    }

    fn is_free(&self, slot: SlotId) -> bool {
        let SlotState { job, lost, .. } = &self.slots[slot.0];
        job.is_none() && !lost && self.place(slot).is_usable()
    }

    fn attempts_at(&self, place: PlaceId) -> usize {
        let here = self.slots.iter().filter(|slot| slot.place == place);
        here.filter(|slot| slot.job.is_some()).count()
    }
}

impl PlaceState {
    fn is_usable(&self) -> bool {
        !self.left_out && self.rest == 0
    }

    /// True if it can be used, and no job has it to itself.
    fn is_shared(&self) -> bool {
        !self.left_out && self.alone.is_none()
    }
}
