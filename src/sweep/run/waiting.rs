//! Trainers that wait for an attempt in their slots, so that libtorch and the driver of a GPU are loaded when there is one.
//!
//! A trainer that was started ahead waits as long as it takes. One that has made an attempt waits for a while on the CPU. On
//! a GPU it is ended unless another attempt follows at once: it keeps memory of the GPU, which is not counted.

use std::collections::BTreeMap;

use schema::Device;

use super::{child::Child, scheduler::TICKS_PER_SECOND, slots::SlotId};

/// The ticks that a trainer waits on the CPU.
const PATIENCE: u32 = 10 * TICKS_PER_SECOND;

/// The trainers that wait, by slot.
#[derive(Debug)]
pub(super) struct Waiting<T = Child>(BTreeMap<SlotId, (T, Patience)>);

/// How long a trainer waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Endless,
    Ticks(u32),
}

impl<T> Default for Waiting<T> {
    fn default() -> Waiting<T> {
        Waiting(BTreeMap::new())
    }
}

impl<T> Waiting<T> {
    /// Adds a trainer that was started ahead.
    pub(super) fn add_ahead(&mut self, slot: SlotId, trainer: T) {
        self.0.insert(slot, (trainer, Patience::Endless));
    }

    /// Adds a trainer that has made an attempt on a device.
    pub(super) fn add(&mut self, slot: SlotId, trainer: T, device: Device) {
        let ticks = match device {
            Device::Cpu => PATIENCE,
            Device::Cuda => 0,
        };
        self.0.insert(slot, (trainer, Patience::Ticks(ticks)));
    }

    /// Takes the trainer that waits in a slot.
    pub(super) fn take(&mut self, slot: SlotId) -> Option<T> {
        self.0.remove(&slot).map(|(trainer, _)| trainer)
    }

    /// Ends those that wait only for an attempt that follows at once: all decisions of a moment are carried out.
    pub(super) fn settle(&mut self) {
        self.0
            .retain(|_, (_, patience)| *patience != Patience::Ticks(0));
    }

    /// Lets a tick pass.
    pub(super) fn tick(&mut self) {
        for (_, patience) in self.0.values_mut() {
            if let Patience::Ticks(ticks) = patience {
                *ticks = ticks.saturating_sub(1);
            }
        }
        self.settle();
    }

    /// Ends all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: SlotId = SlotId(3);

    #[test]
    fn on_the_cpu_a_trainer_waits_for_a_while() {
        let mut waiting = Waiting::default();
        waiting.add(SLOT, "a", Device::Cpu);
        waiting.settle();
        (1..PATIENCE).for_each(|_| waiting.tick());
        assert_eq!((waiting.take(SLOT), waiting.take(SLOT)), (Some("a"), None));
        waiting.add(SLOT, "b", Device::Cpu);
        (0..PATIENCE).for_each(|_| waiting.tick());
        assert_eq!(waiting.take(SLOT), None);
    }

    #[test]
    fn on_a_gpu_it_waits_only_for_an_attempt_that_follows_at_once() {
        let mut waiting = Waiting::default();
        waiting.add(SLOT, "a", Device::Cuda);
        assert_eq!(waiting.take(SLOT), Some("a"));
        waiting.add(SLOT, "a", Device::Cuda);
        waiting.settle();
        assert_eq!(waiting.take(SLOT), None);
    }

    #[test]
    fn one_that_was_started_ahead_waits_as_long_as_it_takes() {
        let mut waiting = Waiting::default();
        waiting.add_ahead(SLOT, "a");
        (0..=2 * PATIENCE).for_each(|_| waiting.tick());
        assert_eq!(waiting.take(SLOT), Some("a"));
        waiting.add_ahead(SLOT, "b");
        waiting.clear();
        assert_eq!(waiting.take(SLOT), None);
    }
}
