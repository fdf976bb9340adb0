//! The machine of this process, as it is noted with a result: bits differ between processors, and so does the time.

use std::{fs, path::Path};

use dml::libtorch;

use nvml_wrapper::{Nvml, enums::device::UsedGpuMemory, error::NvmlError};
use schema::{Device, GpuModel, Host};

use crate::device;

/// Describes the machine, once the work on `device` is over.
pub(crate) fn describe(device: tch::Device) -> Host {
    let gpu = match device {
        tch::Device::Cuda(_) => gpu().ok(),
        _ => None,
    };
    Host {
        processor: processor(),
        gpu,
        libtorch: device::libtorch_version(),
        memory: peak_memory(),
    }
}

/// Returns the model of the CPU, or its architecture where the system does not tell.
fn processor() -> String {
    let text = durable::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
    field(&text, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Returns the largest resident memory of this process in bytes.
fn peak_memory() -> Option<u64> {
    let text = durable::read_to_string(Path::new("/proc/self/status")).ok()?;
    let kilobytes = field(&text, "VmHWM")?;
    let kilobytes: u64 = kilobytes.strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Gives back the memory that an attempt has left, and forgets how much it took, so that the next attempt of this process
/// is described as that of a process of its own. Returns false if that cannot be done here.
pub(crate) fn forget(device: Device) -> bool {
    let device = match device {
        Device::Cpu => tch::Device::Cpu,
        Device::Cuda => tch::Device::Cuda(0),
    };
    // 5: the peak of the resident memory; see proc(5).
    libtorch::release_memory(device) && fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Returns the value of the first line `name : value` of a file of `/proc`.
fn field(text: &str, name: &str) -> Option<String> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(key, _)| key.trim() == name)?;
    let words: Vec<&str> = value.split_whitespace().collect();
    Some(words.join(" "))
}

/// Returns the GPU on which this process computes. Where the driver does not say which that is, all are taken to be
/// alike.
fn gpu() -> Result<GpuModel, NvmlError> {
    let nvml = Nvml::init()?;
    let driver = nvml.sys_driver_version()?;
    for index in 0..nvml.device_count()? {
        let device = nvml.device_by_index(index)?;
        let processes = device.running_compute_processes().unwrap_or_default();
        let own = processes
            .iter()
            .find(|process| process.pid == std::process::id());
        if let Some(own) = own {
            let memory = match own.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(bytes),
                UsedGpuMemory::Unavailable => None,
            };
            return Ok(GpuModel {
                model: device.name()?,
                driver,
                memory,
            });
        }
    }
    Ok(GpuModel {
        model: nvml.device_by_index(0)?.name()?,
        driver,
        memory: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_are_found_by_their_names() {
        let text =
            "processor\t: 0\nmodel name\t: Intel(R)  Xeon(R) CPU @ 2.20GHz\nVmHWM:\t   12 kB\n";
        let model = field(text, "model name");
        assert_eq!(model.as_deref(), Some("Intel(R) Xeon(R) CPU @ 2.20GHz"));
        assert_eq!(field(text, "VmHWM").as_deref(), Some("12 kB"));
        assert_eq!(field(text, "VmPeak"), None);
    }

    #[test]
    fn this_machine_has_a_processor_and_this_process_takes_memory() {
        let host = describe(tch::Device::Cpu);
        assert!(!host.processor.is_empty() && host.gpu.is_none());
        assert!(host.memory.is_some_and(|bytes| bytes > 1 << 20));
        assert!(
            host.libtorch
                .is_some_and(|version| version.starts_with("2.11"))
        );
    }
}
