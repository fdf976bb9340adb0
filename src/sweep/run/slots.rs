//! Slots, in which attempts run: shares of GPUs, or threads of the CPU.

use std::thread;

use schema::{Device, Numerics};
use thiserror::Error;

use super::{
    gpus::{Gpu, GpuList, NamedTwice},
    memory,
};
use crate::config::{DeviceChoice, Gpus, Resources};

/// The position of a slot in the list of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotId(pub usize);

/// A GPU, or the CPU: all slots of a place share its memory, and its defects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlaceId(pub usize);

/// Room for one attempt at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The name to display: `cpu 0`, `gpu 1`, `gpu 1.2`.
    pub name: String,
    /// The device of the trainer.
    pub device: Device,
    /// Where it is.
    pub place: PlaceId,
    /// The name of the place to display: `gpu 1`.
    pub place_name: String,
    /// The trainer's `CUDA_VISIBLE_DEVICES`.
    pub visible: Option<String>,
}

/// The hardware of the machine, examined once by the command line.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// The GPUs that a trainer may use.
    pub gpus: GpuList,
    /// Logical CPU cores.
    pub cores: usize,
    /// The bytes of main memory that are available; nothing if that is unknown.
    pub memory: Option<u64>,
}

/// The sweep requests a device that does not exist.
#[derive(Debug, Error)]
pub enum SlotError {
    /// There is no GPU.
    #[error(
        "`resources.device` is \"cuda\", but this machine shows no NVIDIA GPU (CUDA_VISIBLE_DEVICES hides them, or the driver is missing)"
    )]
    NoGpu,
    /// There is no GPU of this index.
    #[error("`resources.gpus` names GPU {index}, but there are only {count}")]
    NoSuchGpu {
        /// The index in the sweep file.
        index: u32,
        /// The number of GPUs.
        count: usize,
    },
    /// `CUDA_VISIBLE_DEVICES` is no valid list.
    #[error(transparent)]
    NamedTwice(#[from] NamedTwice),
}

impl Machine {
    /// Looks for GPUs without loading any driver; `visible` is `CUDA_VISIBLE_DEVICES`, if it is set.
    pub fn survey(visible: Option<&str>) -> Machine {
        Machine {
            gpus: GpuList::survey(visible),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory: memory::available(),
        }
    }

    /// Returns the kind of device that the sweep uses on this machine.
    pub fn device(&self, resources: &Resources) -> Device {
        match resources.device {
            DeviceChoice::Cpu => Device::Cpu,
            DeviceChoice::Cuda => Device::Cuda,
            DeviceChoice::Auto if self.gpus.is_empty() => Device::Cpu,
            DeviceChoice::Auto => Device::Cuda,
        }
    }

    /// Returns the numerics that follow from the device.
    pub fn numerics(&self, resources: &Resources) -> Numerics {
        match self.device(resources) {
            Device::Cpu => Numerics::Cpu {
                threads: resources.threads,
            },
            Device::Cuda => Numerics::Cuda,
        }
    }

    /// Returns the numerics that the sweep may have on any machine, those on this machine first.
    pub fn allowed_numerics(&self, resources: &Resources) -> Vec<Numerics> {
        let here = self.numerics(resources);
        let cpu = Numerics::Cpu {
            threads: resources.threads,
        };
        let mut allowed = vec![here];
        if resources.device == DeviceChoice::Auto {
            let elsewhere = [cpu, Numerics::Cuda];
            allowed.extend(elsewhere.into_iter().filter(|numerics| *numerics != here));
        }
        allowed
    }

    /// Returns the slots that the sweep uses on this machine; on the CPU, a run takes about `bytes`
    /// of memory.
    ///
    /// # Errors
    /// The sweep requests a GPU that does not exist.
    pub fn slots(&self, resources: &Resources, bytes: u64) -> Result<Vec<Slot>, SlotError> {
        match self.device(resources) {
            Device::Cpu => Ok(self.cpu_slots(resources, bytes)),
            Device::Cuda => self.gpu_slots(resources),
        }
    }

    fn cpu_slots(&self, resources: &Resources, bytes: u64) -> Vec<Slot> {
        let by_cores = u32::try_from(self.cores).unwrap_or(u32::MAX) / resources.threads;
        let by_memory = self.room(bytes).unwrap_or(u32::MAX);
        let fitting = by_cores.min(by_memory).max(1);
        let count = resources.slots.unwrap_or(fitting);
        (0..count)
            .map(|index| Slot {
                name: format!("cpu {index}"),
                device: Device::Cpu,
                place: PlaceId(0),
                place_name: "the CPU".to_owned(),
                visible: None,
            })
            .collect()
    }

    /// Returns how many runs of this size the available memory has room for; nothing if that is
    /// unknown.
    pub fn room(&self, bytes: u64) -> Option<u32> {
        let count = self.memory?.checked_div(bytes)?;
        Some(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn gpu_slots(&self, resources: &Resources) -> Result<Vec<Slot>, SlotError> {
        let gpus = self.gpus.checked()?;
        if gpus.is_empty() {
            return Err(SlotError::NoGpu);
        }
        let chosen: Vec<usize> = match &resources.gpus {
            Gpus::All => (0..gpus.len()).collect(),
            Gpus::These(indices) => indices
                .iter()
                .map(|&index| position(index, gpus.len()))
                .collect::<Result<_, _>>()?,
        };
        let shares = 0..resources.runs_per_gpu;
        // The first share of every GPU comes before the second of any: few runs spread out.
        let slots = shares.flat_map(|share| {
            let share = (resources.runs_per_gpu > 1).then_some(share);
            chosen
                .iter()
                .map(move |&gpu| gpu_slot(gpu, share, &gpus[gpu]))
        });
        Ok(slots.collect())
    }
}

fn gpu_slot(gpu: usize, share: Option<u32>, device: &Gpu) -> Slot {
    let place_name = format!("gpu {gpu}");
    Slot {
        name: match share {
            Some(share) => format!("{place_name}.{share}"),
            None => place_name.clone(),
        },
        device: Device::Cuda,
        place: PlaceId(gpu),
        place_name,
        visible: Some(device.0.clone()),
    }
}

fn position(index: u32, count: usize) -> Result<usize, SlotError> {
    usize::try_from(index)
        .ok()
        .filter(|&gpu| gpu < count)
        .ok_or(SlotError::NoSuchGpu { index, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(gpus: usize) -> Machine {
        Machine {
            gpus: GpuList::indices(gpus),
            cores: 8,
            memory: Some(16 << 30),
        }
    }

    fn names(slots: &[Slot]) -> Vec<&str> {
        slots.iter().map(|slot| slot.name.as_str()).collect()
    }

    #[test]
    fn cpu_slots_fill_the_cores() {
        let resources = Resources {
            threads: 3,
            ..Resources::default()
        };
        assert_eq!(
            names(&machine(0).slots(&resources, 1 << 30).unwrap()),
            ["cpu 0", "cpu 1"]
        );
        let more_threads_than_cores = Resources {
            threads: 64,
            ..Resources::default()
        };
        assert_eq!(
            machine(0)
                .slots(&more_threads_than_cores, 1 << 30)
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn cpu_slots_follow_the_available_memory() {
        let count = |bytes, slots| {
            let resources = Resources {
                threads: 1,
                slots,
                ..Resources::default()
            };
            machine(0).slots(&resources, bytes).unwrap().len()
        };
        assert_eq!(count(1 << 30, None), 8);
        assert_eq!(count(5 << 30, None), 3);
        assert_eq!(count(99 << 30, None), 1);
        assert_eq!(count(0, None), 8);
        // Who names a number of slots gets it.
        assert_eq!(count(99 << 30, Some(4)), 4);
    }

    #[test]
    fn runs_spread_over_gpus_before_they_share_one() {
        let resources = Resources {
            runs_per_gpu: 2,
            ..Resources::default()
        };
        assert_eq!(
            names(&machine(2).slots(&resources, 1 << 30).unwrap()),
            ["gpu 0.0", "gpu 1.0", "gpu 0.1", "gpu 1.1"]
        );
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error() {
        let wanted = Resources {
            device: DeviceChoice::Cuda,
            ..Resources::default()
        };
        assert!(matches!(
            machine(0).slots(&wanted, 1 << 30),
            Err(SlotError::NoGpu)
        ));
        let third = Resources {
            gpus: Gpus::These(vec![2]),
            ..Resources::default()
        };
        assert!(matches!(
            machine(2).slots(&third, 1 << 30),
            Err(SlotError::NoSuchGpu { index: 2, count: 2 })
        ));
    }
}
