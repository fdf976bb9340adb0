//! Slots, in which attempts run: shares of GPUs, or threads of the CPU.

use std::{collections::BTreeSet, thread};

use schema::{Device, Numerics};
use thiserror::Error;

use super::{
    affinity,
    gpus::{Gpu, GpuList, NamedTwice},
    memory,
};
use crate::config::{ByteSize, DeviceChoice, Gpus, Resources, RunsPerGpu};

/// The most runs that share a GPU if their number is not set.
const MOST_SHARING: u32 = 8;

/// The position of a slot in the list of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotId(pub usize);

/// The position of a place in the list of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlaceId(pub usize);

/// A GPU, or the CPU: all slots of a place share its memory, and its defects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name to display: `gpu 1`.
    pub name: String,
    /// What computes there.
    pub device: Device,
    /// Bytes of memory of its own; nothing if they are unknown, and for the CPU.
    pub memory: Option<u64>,
    /// The model of the GPU; empty if it is unknown.
    pub model: String,
    /// True if its slots are used as far as its memory and the speed of its runs allow.
    pub packs: bool,
    /// True if it is a partition of a GPU (MIG).
    pub is_partition: bool,
    /// The cores near a GPU; none if they are unknown, and for the CPU.
    pub near: Vec<usize>,
}

/// Room for one attempt at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The name to display: `cpu 0`, `gpu 1`, `gpu 1.2`.
    pub name: String,
    /// The device of the trainer.
    pub device: Device,
    /// Where it is.
    pub place: PlaceId,
    /// CPU threads of an attempt.
    pub threads: u32,
    /// The cores that it is confined to; none: it may use all.
    pub cores: Vec<usize>,
    /// The trainer's `CUDA_VISIBLE_DEVICES`.
    pub visible: Option<String>,
}

/// All places of a sweep, and their slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The places.
    pub places: Vec<Place>,
    /// The slots. The first of every GPU comes before the second of any: few runs spread out.
    pub slots: Vec<Slot>,
    /// Logical CPU cores.
    pub cores: u32,
    /// The most attempts at a time, if main memory bounds them.
    pub at_most: Option<u32>,
}

impl Layout {
    /// Returns the slots in which runs are trained and measured.
    pub fn for_runs(&self) -> impl Iterator<Item = &Slot> {
        let device = self.device();
        self.slots.iter().filter(move |slot| slot.device == device)
    }

    /// Returns the GPUs.
    pub fn gpus(&self) -> impl Iterator<Item = &Place> {
        let places = self.places.iter();
        places.filter(|place| place.device == Device::Cuda)
    }

    /// Returns the slots in which this many runs start first: one of each GPU, or of the CPU as many as may be in use.
    pub fn first_slots(&self, runs: usize) -> Vec<SlotId> {
        let device = self.device();
        let mut used = BTreeSet::new();
        let slots = self.slots.iter().enumerate();
        let first = slots.filter(|(_, slot)| match slot.device {
            _ if slot.device != device => false,
            Device::Cuda => used.insert(slot.place),
            Device::Cpu => true,
        });
        let most = self.at_most.map_or(runs, |most| runs.min(most as usize));
        first.map(|(number, _)| SlotId(number)).take(most).collect()
    }

    /// Returns the GPUs that runs would share if their memory were known.
    pub fn unshared(&self) -> impl Iterator<Item = &Place> {
        let packed = self.places.iter().filter(|place| place.packs);
        packed.filter(|place| place.memory.is_none())
    }

    /// Returns the device of runs.
    pub fn device(&self) -> Device {
        let is_gpu = |slot: &Slot| slot.device == Device::Cuda;
        match self.slots.iter().any(is_gpu) {
            true => Device::Cuda,
            false => Device::Cpu,
        }
    }

    /// Returns the name of a place.
    pub fn name_of(&self, place: PlaceId) -> &str {
        &self.places[place.0].name
    }

    /// Gives each slot for runs cores of its own; those of a GPU share them.
    fn pin(&mut self, allowed: &[usize]) -> Result<(), SlotError> {
        let units = match self.device() {
            Device::Cuda => self.cores_of_gpus(allowed),
            Device::Cpu => self.cores_of_slots(allowed),
        };
        let slots = self.for_runs().count();
        let device = self.device();
        let runs = self.slots.iter_mut().filter(|slot| slot.device == device);
        for (number, slot) in runs.enumerate() {
            let unit = match device {
                Device::Cuda => slot.place.0,
                Device::Cpu => number,
            };
            let own = units.get(unit).filter(|own| !own.is_empty());
            slot.cores = own.cloned().ok_or(SlotError::TooFewCores {
                slots,
                threads: slot.threads,
                cores: allowed.len(),
            })?;
        }
        Ok(())
    }

    /// Returns the cores of each GPU. GPUs come first among places.
    fn cores_of_gpus(&self, allowed: &[usize]) -> Vec<Vec<usize>> {
        let near: Vec<&[usize]> = self.gpus().map(|gpu| gpu.near.as_slice()).collect();
        affinity::divided(allowed, &near)
    }

    /// Returns the cores of each slot on the CPU, as far as there are enough.
    fn cores_of_slots(&self, allowed: &[usize]) -> Vec<Vec<usize>> {
        let threads = self.slots.first().map_or(1, |slot| slot.threads) as usize;
        let units = allowed.chunks_exact(threads.max(1));
        units.map(<[usize]>::to_vec).collect()
    }

    /// Returns places and slots on GPUs, and a slot with all cores to prepare data in.
    pub fn on_gpus(gpus: &[NumberedGpu<'_>], resources: &Resources, cores: u32) -> Layout {
        let shares = |gpu: &Gpu| match resources.runs_per_gpu {
            _ if gpu.is_exclusive => 1,
            RunsPerGpu::Number(number) => number,
            RunsPerGpu::Auto => MOST_SHARING,
        };
        let packs = resources.runs_per_gpu == RunsPerGpu::Auto;
        let most = gpus.iter().map(|numbered| shares(numbered.gpu)).max();
        // How many will share a GPU is not known if that is left to the sweep.
        let abreast = match resources.runs_per_gpu {
            RunsPerGpu::Number(_) => gpus.iter().map(|numbered| shares(numbered.gpu)).sum(),
            RunsPerGpu::Auto => u32::try_from(gpus.len()).unwrap_or(u32::MAX),
        };
        let threads = resources.threads.unwrap_or((cores / abreast.max(1)).max(1));
        let mut layout = Layout {
            cores,
            ..Layout::default()
        };
        for NumberedGpu { number, gpu } in gpus {
            layout.places.push(Place {
                name: format!("gpu {number}"),
                device: Device::Cuda,
                memory: gpu.memory,
                model: gpu.model.clone(),
                packs,
                is_partition: gpu.is_partition,
                near: gpu.near.clone(),
            });
        }
        for share in 0..most.unwrap_or(0) {
            for (place, NumberedGpu { number, gpu }) in gpus.iter().enumerate() {
                let has_others = shares(gpu) > 1;
                if share < shares(gpu) {
                    layout.slots.push(Slot {
                        name: match has_others {
                            true => format!("gpu {number}.{share}"),
                            false => format!("gpu {number}"),
                        },
                        device: Device::Cuda,
                        place: PlaceId(place),
                        threads,
                        cores: Vec::new(),
                        visible: Some(gpu.visible.clone()),
                    });
                }
            }
        }
        layout.add_cpu(["cpu".to_owned()], cores);
        layout
    }

    /// Returns slots on the CPU.
    pub fn on_cpu(count: u32, threads: u32, cores: u32) -> Layout {
        let mut layout = Layout {
            cores,
            ..Layout::default()
        };
        layout.add_cpu((0..count).map(|index| format!("cpu {index}")), threads);
        layout
    }

    fn add_cpu(&mut self, names: impl IntoIterator<Item = String>, threads: u32) {
        let place = PlaceId(self.places.len());
        self.places.push(Place {
            name: "the CPU".to_owned(),
            device: Device::Cpu,
            memory: None,
            model: String::new(),
            packs: false,
            is_partition: false,
            near: Vec::new(),
        });
        self.slots.extend(names.into_iter().map(|name| Slot {
            name,
            device: Device::Cpu,
            place,
            threads,
            cores: Vec::new(),
            visible: None,
        }));
    }
}

/// A GPU with its number in the sweep file.
#[derive(Clone, Copy, Debug)]
pub struct NumberedGpu<'g> {
    /// Its position among the visible ones.
    pub number: usize,
    /// The GPU.
    pub gpu: &'g Gpu,
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
    /// There are too few cores to give each slot its own.
    #[error(
        "`resources.pin` needs a core for each thread, but {slots} slots of {threads} threads are more than {cores} cores"
    )]
    TooFewCores {
        /// The number of slots.
        slots: usize,
        /// The threads of each.
        threads: u32,
        /// The cores that may be used.
        cores: usize,
    },
    /// NVIDIA's service for sharing does not share the partitions of a GPU.
    #[error(
        "`resources.mps` is for whole GPUs, but {place} is a partition (MIG) of one; remove `mps`: runs share a partition in turns"
    )]
    Partition {
        /// The name of the partition's place.
        place: String,
    },
    /// `CUDA_VISIBLE_DEVICES` is no valid list.
    #[error(transparent)]
    NamedTwice(#[from] NamedTwice),
}

impl Machine {
    /// Looks for GPUs, cores and memory; `visible` is `CUDA_VISIBLE_DEVICES`, if it is set.
    pub fn survey(visible: Option<&str>) -> Machine {
        Machine {
            gpus: GpuList::survey(visible),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory: memory::available(),
        }
    }

    /// Returns the machine with at most this number of cores.
    #[must_use]
    pub fn with_cores(self, most: usize) -> Machine {
        Machine {
            cores: self.cores.min(most.max(1)),
            ..self
        }
    }

    /// Returns the kind of device that the sweep uses on this machine.
    pub fn device(&self, resources: &Resources) -> Device {
        match resources.device {
            DeviceChoice::Cpu => Device::Cpu,
            DeviceChoice::Cuda => Device::Cuda,
            // A login node has no GPU: what the jobs ask for decides.
            DeviceChoice::Auto if resources.on.asks_for_gpus() => Device::Cuda,
            DeviceChoice::Auto if self.gpus.is_empty() => Device::Cpu,
            DeviceChoice::Auto => Device::Cuda,
        }
    }

    /// Returns the numerics that follow from the device.
    pub fn numerics(&self, resources: &Resources) -> Numerics {
        match self.device(resources) {
            Device::Cpu => Numerics::Cpu {
                threads: resources.threads_on_cpu(),
            },
            Device::Cuda => Numerics::Cuda,
        }
    }

    /// Returns the numerics that the sweep may have on any machine, those on this machine first.
    pub fn allowed_numerics(&self, resources: &Resources) -> Vec<Numerics> {
        let here = self.numerics(resources);
        let cpu = Numerics::Cpu {
            threads: resources.threads_on_cpu(),
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
    pub fn layout(&self, resources: &Resources, bytes: u64) -> Result<Layout, SlotError> {
        let mut layout = match self.device(resources) {
            Device::Cpu => self.cpu_layout(resources, bytes),
            Device::Cuda => self.gpu_layout(resources)?,
        };
        layout.at_most = self.at_most(resources);
        if resources.pin {
            let allowed = affinity::allowed();
            match layout.device() {
                Device::Cuda => layout.pin(&affinity::siblings_together(allowed))?,
                Device::Cpu => layout.pin(&allowed)?,
            }
        }
        Ok(layout)
    }

    fn cpu_layout(&self, resources: &Resources, bytes: u64) -> Layout {
        let threads = resources.threads_on_cpu();
        let by_cores = self.cores() / threads;
        let bytes = resources.needs.ram.map_or(bytes, ByteSize::bytes);
        let by_memory = self.room(bytes).unwrap_or(u32::MAX);
        let fitting = by_cores.min(by_memory).max(1);
        Layout::on_cpu(resources.slots.unwrap_or(fitting), threads, self.cores())
    }

    fn cores(&self) -> u32 {
        u32::try_from(self.cores).unwrap_or(u32::MAX)
    }

    /// Returns how many runs of this size the available memory has room for; nothing if that is
    /// unknown.
    pub fn room(&self, bytes: u64) -> Option<u32> {
        let count = self.memory?.checked_div(bytes)?;
        Some(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Returns how many jobs main memory allows at a time, by what a run needs of it; nothing if one of the two is
    /// unknown.
    pub fn at_most(&self, resources: &Resources) -> Option<u32> {
        let bytes = resources.needs.ram.map(ByteSize::bytes)?;
        self.room(bytes).map(|most| most.max(1))
    }

    fn gpu_layout(&self, resources: &Resources) -> Result<Layout, SlotError> {
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
        let chosen: Vec<NumberedGpu<'_>> = chosen
            .into_iter()
            .map(|number| NumberedGpu {
                number,
                gpu: &gpus[number],
            })
            .collect();
        let layout = Layout::on_gpus(&chosen, resources, self.cores());
        match layout.places.iter().find(|place| place.is_partition) {
            Some(partition) if resources.mps => Err(SlotError::Partition {
                place: partition.name.clone(),
            }),
            _ => Ok(layout),
        }
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
    use crate::config::Needs;

    fn machine(gpus: usize) -> Machine {
        Machine {
            gpus: GpuList::indices(gpus),
            cores: 8,
            memory: Some(16 << 30),
        }
    }

    fn names(layout: &Layout) -> Vec<&str> {
        layout.slots.iter().map(|slot| slot.name.as_str()).collect()
    }

    #[test]
    fn cpu_slots_fill_the_cores() {
        let resources = Resources {
            threads: Some(3),
            ..Resources::default()
        };
        assert_eq!(
            names(&machine(0).layout(&resources, 1 << 30).unwrap()),
            ["cpu 0", "cpu 1"]
        );
        let more_threads_than_cores = Resources {
            threads: Some(64),
            ..Resources::default()
        };
        assert_eq!(
            machine(0)
                .layout(&more_threads_than_cores, 1 << 30)
                .unwrap()
                .slots
                .len(),
            1
        );
    }

    #[test]
    fn cpu_slots_follow_the_available_memory() {
        let count = |bytes, slots| {
            let resources = Resources {
                threads: Some(1),
                slots,
                ..Resources::default()
            };
            machine(0).layout(&resources, bytes).unwrap().slots.len()
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
            runs_per_gpu: RunsPerGpu::Number(2),
            ..Resources::default()
        };
        assert_eq!(
            names(&machine(2).layout(&resources, 1 << 30).unwrap()),
            ["gpu 0.0", "gpu 1.0", "gpu 0.1", "gpu 1.1", "cpu"]
        );
    }

    #[test]
    fn the_cores_are_shared_by_the_runs_on_gpus_and_are_all_there_to_prepare_data() {
        let threads = |resources: &Resources| {
            let layout = machine(2).layout(resources, 0).unwrap();
            let threads = layout.slots.iter().map(|slot| slot.threads);
            threads.collect::<Vec<u32>>()
        };
        assert_eq!(threads(&Resources::default()), [4, 4, 8]);
        let set = Resources {
            threads: Some(1),
            ..Resources::default()
        };
        assert_eq!(threads(&set), [1, 1, 8]);
    }

    #[test]
    fn what_a_run_needs_of_main_memory_bounds_the_runs_at_a_time() {
        let resources = |ram: &str, slots| Resources {
            needs: Needs {
                ram: Some(ram.parse().unwrap()),
            },
            slots,
            ..Resources::default()
        };
        // 16 GiB are available.
        let on_cpu = |ram, slots| machine(0).layout(&resources(ram, slots), 1 << 30).unwrap();
        assert_eq!(on_cpu("5 GB", None).slots.len(), 3);
        assert_eq!(on_cpu("5GB", Some(8)).at_most, Some(3));
        assert_eq!(on_cpu("999 GB", None).at_most, Some(1));
        let on_gpus = machine(4).layout(&resources("8000 MB", None), 0).unwrap();
        assert_eq!((on_gpus.for_runs().count(), on_gpus.at_most), (4, Some(2)));
    }

    #[test]
    fn slots_have_cores_of_their_own_if_there_are_enough() {
        let cores = |mut layout: Layout, allowed: &[usize]| {
            let pinned = layout.pin(allowed).map_err(|error| error.to_string());
            pinned.map(|()| {
                layout
                    .slots
                    .into_iter()
                    .map(|slot| slot.cores)
                    .collect::<Vec<_>>()
            })
        };
        let on_cpu = Layout::on_cpu(2, 2, 8);
        assert_eq!(
            cores(on_cpu.clone(), &[1, 3, 4, 7, 8]),
            Ok(vec![vec![1, 3], vec![4, 7]])
        );
        assert!(
            cores(on_cpu, &[1, 3, 4])
                .unwrap_err()
                .contains("2 slots of 2 threads")
        );
        let resources = Resources {
            runs_per_gpu: RunsPerGpu::Number(2),
            ..Resources::default()
        };
        let on_gpus = machine(2).layout(&resources, 0).unwrap();
        let halves = [vec![0, 1], vec![2, 3]];
        let expected = [&halves[0], &halves[1], &halves[0], &halves[1], &Vec::new()];
        assert_eq!(
            cores(on_gpus.clone(), &[0, 1, 2, 3]),
            Ok(expected.map(Vec::clone).to_vec())
        );
        assert!(cores(on_gpus.clone(), &[0]).is_err());
        let mut crossed = on_gpus;
        crossed.places[0].near = vec![2, 3];
        let expected = [&halves[1], &halves[0], &halves[1], &halves[0], &Vec::new()];
        assert_eq!(
            cores(crossed, &[0, 1, 2, 3]),
            Ok(expected.map(Vec::clone).to_vec())
        );
    }

    #[test]
    fn the_service_for_sharing_is_refused_for_partitions() {
        let mut machine = machine(2);
        let layout = |machine: &Machine, mps| {
            let resources = Resources {
                mps,
                ..Resources::default()
            };
            machine.layout(&resources, 0).map(|layout| layout.places)
        };
        assert!(layout(&machine, true).is_ok());
        machine.gpus.set_partition(1);
        assert!(layout(&machine, false).unwrap()[1].is_partition);
        let error = layout(&machine, true).unwrap_err().to_string();
        assert!(error.contains("gpu 1 is a partition"), "{error}");
    }

    #[test]
    fn a_gpu_that_takes_one_process_has_one_slot() {
        let mut machine = machine(2);
        machine.gpus.set_exclusive(1);
        for runs_per_gpu in [RunsPerGpu::Number(3), RunsPerGpu::Auto] {
            let resources = Resources {
                runs_per_gpu,
                ..Resources::default()
            };
            let layout = machine.layout(&resources, 0).unwrap();
            assert_eq!(names(&layout)[..2], ["gpu 0.0", "gpu 1"]);
            assert_eq!(
                names(&layout)
                    .iter()
                    .filter(|name| name.starts_with("gpu 1"))
                    .count(),
                1
            );
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_an_error() {
        let wanted = Resources {
            device: DeviceChoice::Cuda,
            ..Resources::default()
        };
        assert!(matches!(
            machine(0).layout(&wanted, 1 << 30),
            Err(SlotError::NoGpu)
        ));
        let third = Resources {
            gpus: Gpus::These(vec![2]),
            ..Resources::default()
        };
        assert!(matches!(
            machine(2).layout(&third, 1 << 30),
            Err(SlotError::NoSuchGpu { index: 2, count: 2 })
        ));
    }
}
