//! The device of an attempt: the CPU, or a CUDA device.
//!
//! The executable is not linked with libtorch's CUDA library, which takes seconds to load and
//! gigabytes of disk. [`open`] loads it only if an attempt uses a GPU, so that one executable serves
//! both.

use std::{path::Path, sync::OnceLock};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use nvml_wrapper::Nvml;
use schema::{Device, Work};

use crate::Failed;

/// Returns the device, ready for use.
///
/// # Errors
/// It is not available.
pub(crate) fn open(device: Device) -> Result<tch::Device, Failed> {
    match device {
        Device::Cpu => Ok(tch::Device::Cpu),
        Device::Cuda => open_cuda(),
    }
}

/// Sets what libtorch keeps for the whole process: an attempt does not depend on those before it.
pub(crate) fn settle(device: tch::Device, work: &Work) {
    if device.is_cuda() {
        // All batches of a training have the same shape, so trying kernels once pays.
        let tries_kernels = matches!(work, Work::Train(work) if !work.deterministic);
        tch::Cuda::cudnn_set_benchmark(tries_kernels);
    }
}

fn open_cuda() -> Result<tch::Device, Failed> {
    load_cuda().map_err(Failed::device)?;
    if !tch::Cuda::is_available() {
        return Err(Failed::device("no CUDA device is available"));
    }
    Ok(tch::Device::Cuda(0))
}

/// Returns the number of CUDA devices. Nothing is loaded if the system has no driver.
pub(crate) fn count_cuda() -> u32 {
    if !has_driver() || load_cuda().is_err() {
        return 0;
    }
    u32::try_from(tch::Cuda::device_count()).unwrap_or(0)
}

/// True if the system has a driver of GPUs, as far as it tells.
fn has_driver() -> bool {
    let paths = ["/dev/nvidia0", "/proc/driver/nvidia/version"];
    paths.iter().any(|path| Path::new(path).exists()) || Nvml::init().is_ok()
}

/// Returns the path of the loaded libtorch, if the system reports it.
pub(crate) fn libtorch() -> String {
    let mapped = durable::read_to_string(Path::new("/proc/self/maps")).unwrap_or_default();
    let line = mapped
        .lines()
        .find(|line| line.ends_with("/libtorch_cpu.so"));
    line.and_then(|line| Some(line[line.find('/')?..].to_owned()))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// Returns the version of the loaded libtorch: `2.11.0+cpu`. A Python package has it in `version.py`, an archive of
/// libtorch in `build-version`.
pub(crate) fn libtorch_version() -> Option<String> {
    let library = libtorch();
    let folder = Path::new(&library).parent()?.parent()?;
    if let Ok(version) = durable::read_to_string(&folder.join("build-version")) {
        return Some(version.trim().to_owned());
    }
    let module = durable::read_to_string(&folder.join("version.py")).ok()?;
    let lines = module.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix("__version__ = '"));
    Some(values.next()?.trim_end_matches('\'').to_owned())
}

/// Loads libtorch's CUDA library, once.
fn load_cuda() -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED.get_or_init(load_cuda_now).clone()
}

#[expect(
    unsafe_code,
    reason = "opening a library runs its initializers, which register the CUDA backend"
)]
fn load_cuda_now() -> Result<(), String> {
    // SAFETY: the library is part of the libtorch that is already loaded, which expects this.
    let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) }
        .map_err(|error| format!("this libtorch has no CUDA: {error}"))?;
    // The backend that it registered is used until the process ends.
    std::mem::forget(library);
    Ok(())
}
