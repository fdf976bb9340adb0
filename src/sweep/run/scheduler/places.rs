//! Places where attempts run, and which of them still work.
//!
//! A place is a GPU, or the CPU. It has one or more slots, and each takes one attempt at a time. A GPU takes
//! an attempt only if its memory has room beside those that run there and beside the processes of others.
//! What an attempt takes may be unknown: if runs share the GPU as they fit, such an attempt starts only
//! where nothing runs, and nothing joins it until its memory is measured.
//!
//! A place that fails rests for a while, and it is left out after too many failures in a row. Where trainers crash, the job
//! or the place may be to blame: after two crashes in a row, the jobs go elsewhere, and if they finish there, the place
//! is left out. A place can be reserved for a job: nothing else starts there until the job has started, or, if it must
//! be alone, until it has ended.

use std::{cmp::Reverse, collections::BTreeSet};

use schema::{Device, KindId};

use crate::{
    ledger::Job,
    run::slots::{Place, PlaceId, SlotId},
};

/// The rest of a place after its first failure, in ticks.
const REST: u32 = super::TICKS_PER_SECOND / 2;

/// How many crashes in a row throw suspicion on a place, and how many of their jobs have to finish elsewhere before it is
/// left out.
const SUSPICIOUS: u32 = 2;

/// What a job needs of a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Need {
    pub(super) device: Device,
    pub(super) kind: KindId,
    /// Bytes of the GPU's memory; nothing if they are unknown.
    pub(super) bytes: Option<u64>,
}

/// The slots of a sweep, and the state of their places.
#[derive(Debug)]
pub(super) struct Places {
    slots: Vec<SlotState>,
    /// The number of attempts that have ended.
    ended: u64,
    places: Vec<PlaceState>,
    /// The share of a GPU's memory that must be free of other processes.
    free_share: f64,
}

#[derive(Debug)]
struct SlotState {
    place: PlaceId,
    job: Option<Job>,
    /// The number of attempts that had ended when the last one here did; 0: none ran here.
    vacated: u64,
    /// True if a process that cannot be killed is still in it.
    lost: bool,
}

#[derive(Debug)]
struct Occupant {
    job: Job,
    /// Bytes of the GPU's memory that are kept for it; nothing if they are unknown.
    bytes: Option<u64>,
}

#[derive(Debug)]
struct PlaceState {
    place: Place,
    attempts: Vec<Occupant>,
    /// Failures since an attempt last finished here.
    failures: u32,
    /// Attempts that crashed since one last finished here.
    crashes: u32,
    /// Jobs that finished elsewhere after they had crashed here, since an attempt last finished here.
    accusations: u32,
    /// Ticks before it is used again.
    rest: u32,
    left_out: bool,
    reserved: Option<Reservation>,
    /// Bytes that the processes of others take of its memory.
    others: u64,
}

/// What the processes of others make of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// They take too much of its memory.
    Busy,
    /// They do not take too much any more.
    Free,
}

/// A place that is kept for a job.
#[derive(Clone, Copy, Debug)]
struct Reservation {
    job: Job,
    need: Need,
    /// True if nothing may run beside it.
    alone: bool,
}

impl Places {
    /// Creates free slots at these places.
    pub(super) fn new(slots: &[PlaceId], places: &[Place], free_share: f64) -> Places {
        let slots = slots.iter().map(|&place| SlotState {
            place,
            job: None,
            vacated: 0,
            lost: false,
        });
        let places = places.iter().map(|place| PlaceState {
            place: place.clone(),
            attempts: Vec::new(),
            failures: 0,
            crashes: 0,
            accusations: 0,
            rest: 0,
            left_out: false,
            reserved: None,
            others: 0,
        });
        Places {
            slots: slots.collect(),
            ended: 0,
            places: places.collect(),
            free_share,
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

    /// Returns what a place is.
    pub(super) fn facts(&self, place: PlaceId) -> &Place {
        &self.places[place.0].place
    }

    /// Returns all places.
    pub(super) fn ids(&self) -> impl Iterator<Item = PlaceId> + use<> {
        (0..self.places.len()).map(PlaceId)
    }

    /// True if attempts can run somewhere on this device, now or later.
    pub(super) fn any_works(&self, device: Device) -> bool {
        self.slots.iter().any(|slot| {
            let place = &self.places[slot.place.0];
            !slot.lost && !place.left_out && place.place.device == device
        })
    }

    /// True if a slot is free now.
    pub(super) fn any_free(&self) -> bool {
        self.all_slots().any(|slot| self.is_free(slot))
    }

    /// Returns a slot for a job that shares its place, where `may_use` allows it, and if possible not at one of the places
    /// to `avoid`. Of those that are equal, it is the one where an attempt ended last: its process may wait for another,
    /// and has what a run that it has trained needs to be measured.
    pub(super) fn free_slot(
        &self,
        need: Need,
        avoid: &BTreeSet<PlaceId>,
        may_use: impl Fn(PlaceId, &Place) -> bool,
    ) -> Option<SlotId> {
        let free = self.all_slots().filter(|&slot| {
            let at = self.place_of(slot);
            let place = &self.places[at.0];
            self.is_free(slot)
                && place.reserved.is_none()
                && self.has_room(at, need)
                && may_use(at, &place.place)
        });
        free.min_by_key(|&slot| {
            let at = self.place_of(slot);
            let memory = self.places[at.0].place.memory;
            let vacated = Reverse(self.slots[slot.0].vacated);
            (
                avoid.contains(&at),
                self.attempts_at(at),
                memory,
                vacated,
                slot,
            )
        })
    }

    /// Keeps a place for a job: of those that can hold it, the one with the fewest attempts, and of several the largest.
    /// Returns false if all are kept for other jobs.
    pub(super) fn reserve(
        &mut self,
        job: Job,
        need: Need,
        shunned: &BTreeSet<PlaceId>,
        alone: bool,
    ) -> bool {
        let candidates: BTreeSet<PlaceId> = self
            .all_slots()
            .filter(|&slot| !self.slots[slot.0].lost)
            .map(|slot| self.place_of(slot))
            .filter(|at| !shunned.contains(at))
            .filter(|&at| self.places[at.0].is_open(need.device) && self.can_hold(at, need))
            .collect();
        let fewest = candidates.into_iter().min_by_key(|&at| {
            (
                self.attempts_at(at),
                Reverse(self.places[at.0].place.memory),
            )
        });
        let Some(at) = fewest else {
            return false;
        };
        self.places[at.0].reserved = Some(Reservation { job, need, alone });
        true
    }

    /// True if a job waits for a place that is kept for it.
    pub(super) fn any_reserved(&self) -> bool {
        self.places.iter().any(|place| place.reserved.is_some())
    }

    /// Returns the jobs for which a place is kept.
    pub(super) fn jobs_with_a_place(&self) -> impl Iterator<Item = Job> {
        let reserved = self.places.iter().filter_map(|place| place.reserved);
        reserved.map(|reserved| reserved.job)
    }

    /// Returns a job whose reserved place has room now, with a slot there; `may_start` tells which jobs may start.
    pub(super) fn reserved(&self, may_start: impl Fn(Job) -> bool) -> Option<(Job, Need, SlotId)> {
        self.all_slots().find_map(|slot| {
            let at = self.place_of(slot);
            let Reservation { job, need, alone } = self.places[at.0].reserved?;
            let has_room = self.attempts_at(at) == 0 || (!alone && self.has_room(at, need));
            (has_room && self.is_free(slot) && may_start(job)).then_some((job, need, slot))
        })
    }

    /// Puts a job into a slot.
    pub(super) fn occupy(&mut self, slot: SlotId, job: Job, need: Need) {
        let slot = &mut self.slots[slot.0];
        slot.job = Some(job);
        let place = &mut self.places[slot.place.0];
        place.attempts.push(Occupant {
            job,
            bytes: need.bytes,
        });
        let starts_now = |reserved: &mut Reservation| reserved.job == job && !reserved.alone;
        place.reserved.take_if(starts_now);
    }

    /// Frees the slot of an attempt that has ended.
    pub(super) fn vacate(&mut self, slot: SlotId) {
        let slot = &mut self.slots[slot.0];
        let Some(ended) = slot.job.take() else {
            return;
        };
        self.ended += 1;
        slot.vacated = self.ended;
        let place = &mut self.places[slot.place.0];
        place.attempts.retain(|attempt| attempt.job != ended);
        place.reserved.take_if(|reserved| reserved.job == ended);
    }

    /// Keeps as many bytes for an attempt as it was measured to take, if they are more. Returns true if that
    /// makes a difference.
    pub(super) fn measured(&mut self, slot: SlotId, bytes: u64) -> bool {
        let SlotState { place, job, .. } = self.slots[slot.0];
        let attempts = &mut self.places[place.0].attempts;
        let attempt = attempts.iter_mut().find(|attempt| Some(attempt.job) == job);
        attempt.is_some_and(|attempt| {
            let is_more = attempt.bytes.is_none_or(|kept| kept < bytes);
            if is_more {
                attempt.bytes = Some(bytes);
            }
            is_more
        })
    }

    /// Notes what the processes of others take. Returns what that makes of the place, if anything changes.
    pub(super) fn taken_by_others(&mut self, at: PlaceId, bytes: u64) -> Option<Turn> {
        let was_busy = self.is_busy(at);
        self.places[at.0].others = bytes;
        match (was_busy, self.is_busy(at)) {
            (false, true) => Some(Turn::Busy),
            (true, false) => Some(Turn::Free),
            (false, false) | (true, true) => None,
        }
    }

    /// Returns the GPU with the most room of those where a job would fit but for what the processes of others take.
    pub(super) fn crowded_out(&self, need: Need) -> Option<PlaceId> {
        let bytes = need.bytes?;
        let would_fit = |at: PlaceId| {
            let place = &self.places[at.0].place;
            place.device == need.device && place.memory.is_some_and(|memory| bytes <= memory)
        };
        let free = self.all_slots().filter(|&slot| self.is_free(slot));
        let places = free.map(|slot| self.place_of(slot));
        let crowded = places.filter(|&at| would_fit(at) && !self.can_hold(at, need));
        crowded.min_by_key(|&at| Reverse(self.room(at)))
    }

    /// Returns what the processes of others take.
    pub(super) fn others(&self, at: PlaceId) -> u64 {
        self.places[at.0].others
    }

    /// True if nothing can run beside an attempt at a place.
    pub(super) fn has_one_slot(&self, at: PlaceId) -> bool {
        self.slots.iter().filter(|slot| slot.place == at).count() == 1
    }

    /// Returns the memory of a GPU that others do not take; 0 if it is unknown.
    pub(super) fn room(&self, at: PlaceId) -> u64 {
        let PlaceState { place, others, .. } = &self.places[at.0];
        place.memory.unwrap_or_default().saturating_sub(*others)
    }

    /// True if another place of the same device has more memory than this one.
    pub(super) fn any_larger(&self, at: PlaceId) -> bool {
        let this = &self.places[at.0].place;
        let usable = self.places.iter().filter(|place| !place.left_out);
        let mut alike = usable
            .map(|place| &place.place)
            .filter(|place| place.device == this.device);
        alike.any(|place| this.memory.is_some() && place.memory > this.memory)
    }

    /// Never uses a slot again, nor its place if it was the last one there.
    pub(super) fn lose(&mut self, slot: SlotId) {
        self.slots[slot.0].lost = true;
        let at = self.place_of(slot);
        let mut of_place = self.slots.iter().filter(|slot| slot.place == at);
        self.places[at.0].left_out |= of_place.all(|slot| slot.lost);
    }

    /// Notes that an attempt finished at a place.
    pub(super) fn worked(&mut self, place: PlaceId) {
        let state = &mut self.places[place.0];
        (state.failures, state.crashes, state.accusations) = (0, 0, 0);
    }

    /// Notes that an attempt crashed at a place.
    pub(super) fn crashed(&mut self, place: PlaceId) {
        self.places[place.0].crashes += 1;
    }

    /// Notes that a job which crashed at a place has finished elsewhere. Returns true if the place is left out from now on,
    /// because that has happened often enough in a row.
    pub(super) fn accuse(&mut self, place: PlaceId) -> bool {
        let state = &mut self.places[place.0];
        let was_left_out = state.left_out;
        state.accusations += u32::from(state.crashes > 0);
        state.left_out |= state.accusations >= SUSPICIOUS;
        state.left_out && !was_left_out
    }

    /// Returns the places where a job should not be tried again: those where it and others crashed in a row, if it can run
    /// elsewhere.
    pub(super) fn shunned(&self, crashed_at: &BTreeSet<PlaceId>, need: Need) -> BTreeSet<PlaceId> {
        let is_suspected = |at: &PlaceId| self.places[at.0].crashes >= SUSPICIOUS;
        let can_run_at = |at: PlaceId| {
            let place = &self.places[at.0];
            !place.left_out && place.place.device == need.device && self.can_hold(at, need)
        };
        let mut elsewhere = self.ids().filter(|at| !crashed_at.contains(at));
        match elsewhere.any(can_run_at) {
            true => crashed_at.iter().copied().filter(is_suspected).collect(),
            false => BTreeSet::new(),
        }
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

    /// Takes back the job that waits for this place.
    pub(super) fn take_stranded(&mut self, at: PlaceId) -> Option<Job> {
        let is_here = |job| self.running().any(|running| running == job);
        let job = self.places[at.0].reserved?.job;
        if is_here(job) {
            return None;
        }
        self.places[at.0].reserved = None;
        Some(job)
    }

    /// Lets time pass. Returns true if a place has rested.
    pub(super) fn tick(&mut self, ticks: u32) -> bool {
        let mut has_rested = false;
        for place in &mut self.places {
            has_rested |= (1..=ticks).contains(&place.rest);
            place.rest = place.rest.saturating_sub(ticks);
        }
        has_rested
    }

    /// Returns the ticks until a place has rested; nothing if none rests.
    pub(super) fn next_rested(&self) -> Option<u32> {
        let resting = self.places.iter().filter(|place| place.rest > 0);
        resting.map(|place| place.rest).min()
    }

    fn all_slots(&self) -> impl Iterator<Item = SlotId> + use<> {
        (0..self.slots.len()).map(SlotId)
    }

    fn is_free(&self, slot: SlotId) -> bool {
        let SlotState {
            place, job, lost, ..
        } = &self.slots[slot.0];
        job.is_none() && !lost && self.places[place.0].is_usable() && !self.is_busy(*place)
    }

    /// True if the processes of others take too much of its memory.
    fn is_busy(&self, at: PlaceId) -> bool {
        let PlaceState { place, others, .. } = &self.places[at.0];
        place.memory.is_some_and(|memory| {
            let free = memory.saturating_sub(*others) as f64;
            *others > 0 && free < self.free_share * memory as f64
        })
    }

    /// True if a job has room at a place now.
    fn has_room(&self, at: PlaceId, need: Need) -> bool {
        let state = &self.places[at.0];
        if state.place.device != need.device {
            return false;
        }
        let Some(memory) = state.place.memory else {
            return !state.place.packs || state.attempts.is_empty();
        };
        let Some(bytes) = need.bytes else {
            return !state.place.packs || state.attempts.is_empty();
        };
        if state.attempts.is_empty() {
            return self.can_hold(at, need);
        }
        let taken: Option<u64> = state.attempts.iter().map(|attempt| attempt.bytes).sum();
        match taken {
            Some(taken) => taken + state.others + bytes <= memory,
            None => !state.place.packs,
        }
    }

    /// True if a job has room at a place where nothing else of the sweep runs. What is larger than all
    /// places is tried at the largest: it may take less than expected.
    fn can_hold(&self, at: PlaceId, need: Need) -> bool {
        let state = &self.places[at.0];
        let (Some(memory), Some(bytes)) = (state.place.memory, need.bytes) else {
            return true;
        };
        let largest = self.places.iter().filter(|place| !place.left_out);
        let largest = largest.filter_map(|place| place.place.memory).max();
        let is_too_large = Some(bytes) > largest;
        state.others + bytes <= memory || (is_too_large && Some(memory) == largest)
    }

    fn attempts_at(&self, at: PlaceId) -> usize {
        self.places[at.0].attempts.len()
    }
}

impl PlaceState {
    fn is_usable(&self) -> bool {
        !self.left_out && self.rest == 0
    }

    /// True if it can be kept for a job on this device.
    fn is_open(&self, device: Device) -> bool {
        !self.left_out && self.reserved.is_none() && self.place.device == device
    }
}
