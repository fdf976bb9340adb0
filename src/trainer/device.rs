//! Where tensors live: the CPU, or a CUDA device that is there.
//!
//! The executable is not linked with libtorch's CUDA half, which takes seconds to load and gigabytes of disk.
//! [`open`] opens it only when an attempt asks for a GPU, so that one executable serves both.

use std::{path::Path, sync::OnceLock};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use schema::Device;

use crate::Failed;

/// The device, ready for use.
///
/// # Errors
/// If it is not there.
pub(crate) fn open(device: Device) -> Result<tch::Device, Failed> {
    match device {
        Device::Cpu => Ok(tch::Device::Cpu),
        Device::Cuda => open_cuda(),
    }
}

fn open_cuda() -> Result<tch::Device, Failed> {
    load_cuda().map_err(Failed::device)?;
    if !tch::Cuda::is_available() {
        return Err(Failed::device("no CUDA device is available"));
    }
    Ok(tch::Device::Cuda(0))
}

/// How many CUDA devices there are. Nothing is loaded where the system has no driver.
pub(crate) fn count_cuda() -> u32 {
    let driver = ["/dev/nvidia0", "/proc/driver/nvidia/version"]
        .iter()
        .any(|path| Path::new(path).exists());
    if !driver || load_cuda().is_err() {
        return 0;
    }
    u32::try_from(tch::Cuda::device_count()).unwrap_or(0)
}

/// The file of the libtorch in use, as far as the system tells.
pub(crate) fn libtorch() -> String {
    let mapped = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let line = mapped
        .lines()
        .find(|line| line.ends_with("/libtorch_cpu.so"));
    line.and_then(|line| Some(line[line.find('/')?..].to_owned()))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Registers the CUDA half of libtorch, once.
fn load_cuda() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED.get_or_init(load_cuda_now).clone()
}

#[expect(
    unsafe_code,
    reason = "opening a library runs its initialisers, which register the CUDA backend"
)]
fn load_cuda_now() -> Result<(), String> {
    // SAFETY: the library belongs to the libtorch that is already loaded, which expects it to be opened so.
    let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) }
        .map_err(|error| format!("this libtorch has no CUDA: {error}"))?;
    // What it registered stays in use until the process ends.
    std::mem::forget(library);
    Ok(())
}
