//! What torch-sys leaves out of libtorch: `libtorch.cpp`.

#![expect(unsafe_code, reason = "functions of C")]

use std::{
    ffi::{c_int, c_void},
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

use tch::{Device, Tensor};
use torch_sys::C_tensor;

unsafe extern "C" {
    fn dml_pinned_bytes(count: i64) -> *mut C_tensor;
    fn dml_allow_tf32(allowed: bool);
    fn dml_release_gpu_memory() -> bool;
    fn dml_release_main_memory();
    fn dml_free_bytes(gpu: c_int) -> i64;
    fn dml_computed_again(
        output: *mut C_tensor,
        input: *const C_tensor,
        parameters: *const *const C_tensor,
        count: i64,
        compute: extern "C" fn(*const c_void, *mut C_tensor) -> *mut C_tensor,
        discard: extern "C" fn(*mut c_void),
        closure: *mut c_void,
    );
    fn dml_begin_autocast(cuda: bool) -> *mut c_void;
    fn dml_end_autocast(autocast: *mut c_void);
    #[cfg(test)]
    fn dml_count_bytes() -> *mut c_void;
    #[cfg(test)]
    fn dml_most_bytes(count: *mut c_void) -> i64;
}

/// What maps one tensor to another, in the graph of autograd.
type Compute = Box<dyn Fn(&Tensor) -> Tensor>;

/// Returns what `compute` makes of an input, without the graph that leads there. For the gradients with respect to the
/// input and to `parameters`, which have to be all the others that it depends on, it computes the same again. It is called
/// on the thread that computes gradients, while the thread that asks for them waits.
pub(crate) fn recomputed(
    input: &Tensor,
    parameters: &[Tensor],
    compute: impl Fn(&Tensor) -> Tensor + 'static,
) -> Tensor {
    // With its graph, if one is asked for: without it, libtorch may choose kernels that round differently.
    let mut output = compute(input).detach();
    let parameters: Vec<*const C_tensor> = parameters.iter().map(Tensor::as_ptr).collect();
    let closure: Box<Compute> = Box::new(Box::new(compute));
    // SAFETY: the tensors outlive the call, which holds on to what it needs; the closure is discarded once.
    unsafe {
        dml_computed_again(
            output.as_mut_ptr(),
            input.as_ptr(),
            parameters.as_ptr(),
            parameters.len() as i64,
            compute_again,
            discard,
            Box::into_raw(closure).cast(),
        );
    }
    output
}

/// Returns a new tensor, or null after a panic.
extern "C" fn compute_again(closure: *const c_void, input: *mut C_tensor) -> *mut C_tensor {
    let again = AssertUnwindSafe(|| {
        // SAFETY: the closure is that of `recomputed`; the input stays that of the caller.
        let (compute, input) = unsafe {
            let input = ManuallyDrop::new(Tensor::from_ptr(input));
            (&*closure.cast::<Compute>(), input)
        };
        compute(&input)
    });
    match catch_unwind(again) {
        Ok(output) => ManuallyDrop::new(output).as_mut_ptr(),
        Err(_) => ptr::null_mut(),
    }
}

extern "C" fn discard(closure: *mut c_void) {
    // SAFETY: the closure is that of `recomputed`, and nothing uses it any more.
    drop(unsafe { Box::from_raw(closure.cast::<Compute>()) });
}

/// Does some work in which libtorch rounds the inputs of convolutions and of products of matrices to bfloat16, and computes
/// the rest in the precision that it needs, as `torch.autocast` does.
pub(crate) fn in_bfloat16<T>(device: Device, work: impl FnOnce() -> T) -> T {
    let _autocast = Autocast::begin(device);
    work()
}

/// Autocast to bfloat16 in this thread, until it is dropped.
struct Autocast(*mut c_void);

impl Autocast {
    fn begin(device: Device) -> Autocast {
        // SAFETY: the function returns a new object, which `drop` gives back.
        Autocast(unsafe { dml_begin_autocast(device.is_cuda()) })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: the object is that of `begin`, and nothing uses it any more.
        unsafe { dml_end_autocast(self.0) }
    }
}

/// Does some work, and returns by how many bytes the main memory of tensors grew at most. Counts what this thread allocates.
#[cfg(test)]
pub(crate) fn most_bytes<T>(work: impl FnOnce() -> T) -> (T, u64) {
    // SAFETY: what the first function returns is given to the second one, once.
    unsafe {
        let count = dml_count_bytes();
        let result = work();
        let most = dml_most_bytes(count);
        (result, most.unsigned_abs())
    }
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

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    #[test]
    fn bfloat16_ends_also_where_the_work_panics() {
        let product = || {
            let factor = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
            factor.matmul(&factor).kind()
        };
        let kind = in_bfloat16(Device::Cpu, product);
        assert_eq!(kind, Kind::BFloat16);
        let panicked = catch_unwind(|| in_bfloat16(Device::Cpu, || panic!("made to")));
        assert!(panicked.is_err());
        assert_eq!(product(), Kind::Float);
    }
}
