//! What the NVIDIA driver says of its GPUs, through NVML.
//!
//! A GPU may be cut into partitions (MIG), each with memory and multiprocessors of its own. Programs then compute on a
//! partition, by its name (`MIG-..`), and cannot use the whole.
//!
//! The driver's library is loaded when it is needed, so that the program starts on a machine without one.
//! Whatever the driver does not tell is unknown, and no error.

use std::fmt;

use nvml_wrapper::{
    Device, Nvml, enum_wrappers::device::ComputeMode, enums::device::UsedGpuMemory,
    error::NvmlError,
};

use super::affinity;

/// The driver of this machine.
pub struct Driver {
    nvml: Nvml,
}

/// A GPU, or a partition of one (MIG), as the driver describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuFacts {
    /// Its name for `CUDA_VISIBLE_DEVICES`: `GPU-..`, or `MIG-..` of a partition.
    pub uuid: String,
    /// Its model.
    pub model: String,
    /// Bytes of its memory.
    pub memory: Option<u64>,
    /// True if it takes one process at a time, or none.
    pub is_exclusive: bool,
    /// True if it is a partition.
    pub is_partition: bool,
    /// True if only its partitions can be used.
    pub is_partitioned: bool,
    /// Its partitions.
    pub partitions: Vec<GpuFacts>,
    /// The cores near it; none if they are unknown.
    pub near: Vec<usize>,
    /// What is going on there.
    pub usage: Usage,
}

/// The memory of a GPU that is in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in use.
    pub bytes: u64,
    /// The bytes of each process by its id; nothing for one whose memory the driver does not tell.
    pub processes: Vec<(u32, Option<u64>)>,
}

impl GpuFacts {
    /// True if nothing can compute there, because only its partitions can be used and it has none.
    pub fn is_unusable(&self) -> bool {
        self.is_partitioned && self.partitions.is_empty()
    }
}

impl Driver {
    /// Opens the driver's library; nothing if there is no driver.
    pub fn open() -> Option<Driver> {
        Nvml::init().ok().map(|nvml| Driver { nvml })
    }

    /// Returns the version of the driver.
    pub fn version(&self) -> Option<String> {
        self.nvml.sys_driver_version().ok()
    }

    /// Returns all GPUs, in the order of their bus addresses.
    pub fn gpus(&self) -> Vec<GpuFacts> {
        let count = self.nvml.device_count().unwrap_or(0);
        let devices = (0..count).filter_map(|index| self.nvml.device_by_index(index).ok());
        devices.filter_map(|device| facts(&device).ok()).collect()
    }

    /// Returns the GPU or partition of this name; nothing if there is none.
    pub fn named(&self, uuid: &str) -> Option<GpuFacts> {
        facts(&self.nvml.device_by_uuid(uuid).ok()?).ok()
    }

    /// Returns what is in use of the GPU or partition of this name; nothing if the driver does not tell.
    pub fn usage(&self, uuid: &str) -> Option<Usage> {
        usage(&self.nvml.device_by_uuid(uuid).ok()?).ok()
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}

fn facts(device: &Device<'_>) -> Result<GpuFacts, NvmlError> {
    let is_exclusive = !matches!(device.compute_mode(), Ok(ComputeMode::Default) | Err(_));
    let is_partition = device.mig_is_mig_device_handle().unwrap_or(false);
    let is_partitioned = !is_partition && device.mig_mode().is_ok_and(|mode| mode.current == 1);
    Ok(GpuFacts {
        uuid: device.uuid()?,
        model: device.name().unwrap_or_default(),
        memory: device.memory_info().ok().map(|memory| memory.total),
        is_exclusive,
        is_partition,
        is_partitioned,
        partitions: match is_partitioned {
            true => partitions(device),
            false => Vec::new(),
        },
        near: near(device, is_partition).unwrap_or_default(),
        usage: usage(device).unwrap_or_default(),
    })
}

/// Returns the partitions of a GPU. Of those that it has room for, some may not exist.
fn partitions(device: &Device<'_>) -> Vec<GpuFacts> {
    let most = device.mig_device_count().unwrap_or(0);
    let partitions = (0..most).filter_map(|index| device.mig_device_by_index(index).ok());
    partitions
        .filter_map(|partition| facts(&partition).ok())
        .collect()
}

/// Returns the cores near a GPU, or near the one that a partition belongs to.
fn near(device: &Device<'_>, is_partition: bool) -> Result<Vec<usize>, NvmlError> {
    let pci = match is_partition {
        true => device.mig_parent_device()?.pci_info()?,
        false => device.pci_info()?,
    };
    Ok(affinity::near(&pci.bus_id))
}

fn usage(device: &Device<'_>) -> Result<Usage, NvmlError> {
    let processes = device.running_compute_processes().unwrap_or_default();
    let processes = processes.into_iter().map(|process| {
        let bytes = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        (process.pid, bytes)
    });
    Ok(Usage {
        bytes: device.memory_info()?.used,
        processes: processes.collect(),
    })
}
