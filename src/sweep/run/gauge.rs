//! Whose the memory of a GPU is: each attempt's, and that of the processes of others.
//!
//! The driver tells the memory of each process. Where it does not, or numbers processes otherwise than a
//! container does, an attempt that is alone on a GPU has what is in use now and was not before.

use rustix::process::{Pid, getpgid};

use super::{
    driver::{Driver, Usage},
    scheduler::Input,
    slots::{Layout, PlaceId},
};
use crate::ledger::Job;

/// The memory of one GPU, by owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reading {
    /// The bytes of attempts, as far as they are known.
    attempts: Vec<(Job, u64)>,
    /// The bytes of the processes of others; nothing if they cannot be told from those of attempts.
    others: Option<u64>,
}

/// Measures the memory of one GPU.
#[derive(Debug)]
struct Gauge {
    uuid: String,
    /// The bytes that were in use when no attempt ran there.
    before: u64,
}

impl Gauge {
    /// Creates a gauge for the GPU with this name.
    fn new(uuid: &str) -> Gauge {
        Gauge {
            uuid: uuid.to_owned(),
            before: 0,
        }
    }

    /// Measures the memory of the attempts there, each with its process group; nothing if the driver does
    /// not tell it.
    fn read(&mut self, driver: &Driver, attempts: &[(Job, Pid)]) -> Option<Reading> {
        let usage = driver.usage(&self.uuid)?;
        Some(self.share_out(&usage, attempts, group_of))
    }

    fn share_out(
        &mut self,
        usage: &Usage,
        attempts: &[(Job, Pid)],
        group_of: impl Fn(u32) -> Option<Pid>,
    ) -> Reading {
        if attempts.is_empty() {
            self.before = usage.bytes;
            return Reading {
                attempts: Vec::new(),
                others: Some(usage.bytes),
            };
        }
        let mut owned: Vec<(Job, u64)> = Vec::new();
        for &(job, group) in attempts {
            let processes = usage.processes.iter();
            let ours = processes.filter(|(pid, _)| group_of(*pid) == Some(group));
            let bytes: Option<u64> = ours.map(|(_, bytes)| *bytes).sum();
            owned.extend(bytes.filter(|&bytes| bytes > 0).map(|bytes| (job, bytes)));
        }
        let total: u64 = owned.iter().map(|(_, bytes)| bytes).sum();
        if owned.len() == attempts.len() {
            return Reading {
                attempts: owned,
                others: Some(usage.bytes.saturating_sub(total)),
            };
        }
        match attempts {
            [(job, _)] if usage.bytes > self.before => Reading {
                attempts: vec![(*job, usage.bytes - self.before)],
                others: Some(self.before),
            },
            _ => Reading {
                attempts: owned,
                others: None,
            },
        }
    }
}

/// The gauges of all GPUs of a sweep.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    driver: Option<Driver>,
    gauges: Vec<(PlaceId, Gauge)>,
}

impl Gauges {
    /// Creates a gauge for each GPU whose memory is known.
    pub(super) fn new(layout: &Layout) -> Gauges {
        let places = layout.places.iter().enumerate();
        let measured = places.filter(|(_, place)| place.memory.is_some());
        let gauges: Vec<(PlaceId, Gauge)> = measured
            .filter_map(|(number, _)| {
                let place = PlaceId(number);
                let slot = layout.slots.iter().find(|slot| slot.place == place)?;
                Some((place, Gauge::new(slot.visible.as_deref()?)))
            })
            .collect();
        Gauges {
            driver: (!gauges.is_empty()).then(Driver::open).flatten(),
            gauges,
        }
    }

    /// Measures all GPUs. Returns what the scheduler hears of it.
    pub(super) fn read(&mut self, attempts: &[(Job, PlaceId, Pid)]) -> Vec<Input> {
        let Gauges { driver, gauges } = self;
        let Some(driver) = driver else {
            return Vec::new();
        };
        let mut inputs = Vec::new();
        for (place, gauge) in gauges {
            let here = attempts.iter().filter(|(_, at, _)| at == place);
            let here: Vec<(Job, Pid)> = here.map(|&(job, _, group)| (job, group)).collect();
            let reading = gauge.read(driver, &here).unwrap_or_default();
            let owned = reading.attempts.into_iter();
            inputs.extend(owned.map(|(job, bytes)| Input::Memory(job, bytes)));
            inputs.extend(reading.others.map(|bytes| Input::Others(*place, bytes)));
        }
        inputs
    }
}

/// Returns the process group of a process; nothing if it is not there.
fn group_of(process: u32) -> Option<Pid> {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    getpgid(Some(process?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn job(id: u32) -> Job {
        Job::Train(format!("{id:016x}").parse().unwrap())
    }

    fn group(number: u32) -> Pid {
        Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
    }

    /// Every process is its own group.
    fn own_group(process: u32) -> Option<Pid> {
        Some(group(process))
    }

    fn usage(bytes: u64, processes: &[(u32, Option<u64>)]) -> Usage {
        Usage {
            bytes,
            processes: processes.to_vec(),
        }
    }

    #[test]
    fn the_memory_of_attempts_is_that_of_their_processes() {
        let attempts = [(job(1), group(11)), (job(2), group(12))];
        let processes = [
            (11, Some(3 * GIB)),
            (12, Some(4 * GIB)),
            (99, Some(2 * GIB)),
        ];
        let reading = Gauge::new("").share_out(&usage(10 * GIB, &processes), &attempts, own_group);
        assert_eq!(reading.attempts, [(job(1), 3 * GIB), (job(2), 4 * GIB)]);
        assert_eq!(reading.others, Some(3 * GIB));
    }

    #[test]
    fn without_known_processes_an_attempt_alone_has_what_was_not_in_use_before() {
        let mut gauge = Gauge::new("");
        let empty = gauge.share_out(&usage(2 * GIB, &[]), &[], own_group);
        assert_eq!((empty.attempts.len(), empty.others), (0, Some(2 * GIB)));
        let one = [(job(1), group(11))];
        let reading = gauge.share_out(&usage(7 * GIB, &[(99, None)]), &one, own_group);
        assert_eq!(reading.attempts, [(job(1), 5 * GIB)]);
        assert_eq!(reading.others, Some(2 * GIB));
        let two = [(job(1), group(11)), (job(2), group(12))];
        let reading = gauge.share_out(&usage(9 * GIB, &[]), &two, own_group);
        assert_eq!((reading.attempts.len(), reading.others), (0, None));
    }
}
