//! What torch-sys leaves out of libtorch: `libtorch.cpp`.

#![expect(unsafe_code, reason = "functions of C")]

use std::ffi::c_int;

use tch::{Device, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn dml_pinned_bytes(count: i64) -> *mut C_tensor;
    fn dml_allow_tf32(allowed: bool);
    fn dml_release_gpu_memory() -> bool;
    fn dml_release_main_memory();
    fn dml_free_bytes(gpu: c_int) -> i64;
}

/// Returns this number of bytes in memory that a GPU copies from and to by itself; nothing if there is none.
pub(crate) fn pinned_bytes(count: i64) -> Option<Tensor> {
    // SAFETY: the function returns a new tensor or null.
    unsafe {
        let tensor = dml_pinned_bytes(count);
        (!tensor.is_null()).then(|| Tensor::from_ptr(tensor))
    }
}

/// Returns the bytes of memory that a device has free; nothing if it is the CPU or does not tell.
pub fn free_bytes(device: Device) -> Option<u64> {
    let Device::Cuda(gpu) = device else {
        return None;
    };
    // SAFETY: the function takes a number and returns one.
    let free = unsafe { dml_free_bytes(c_int::try_from(gpu).ok()?) };
    u64::try_from(free).ok()
}

/// Sets whether convolutions on a GPU may round their factors to TF32, which has 11 bits of precision. libtorch allows it
/// unless this is called.
pub fn allow_tf32(allowed: bool) {
    // SAFETY: the function sets a flag of the process.
    unsafe { dml_allow_tf32(allowed) }
}

/// Gives the memory that no tensor uses any more back: that of a GPU to its driver, main memory to the system. libtorch and
/// the C library keep it otherwise, for later tensors of this process. Returns false if the memory of the GPU cannot be
/// given back.
pub fn release_memory(device: Device) -> bool {
    // SAFETY: the functions free what is not in use.
    unsafe {
        dml_release_main_memory();
        !device.is_cuda() || dml_release_gpu_memory()
    }
}
