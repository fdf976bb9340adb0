//! The device, the memory and the time that an evaluation may use.

use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, Tensor};

use super::error::EvalError;

/// The device, the memory and the time that an evaluation may use. They change no result.
#[derive(Clone, Copy, Debug)]
pub struct EvalResources<'a> {
    /// Device that computes the approximate products. A device that multiplies `f32` with fewer
    /// digits (TF32 is enabled) is not used: the CPU computes instead.
    pub device: Device,
    /// Bytes of main memory to use beside the embeddings and the result, approximately.
    pub budget: usize,
    /// Bytes to use on a device other than the CPU, approximately.
    pub device_budget: usize,
    /// Ends the evaluation early, with [`EvalError::Stopped`].
    pub stop: StopFlag<'a>,
}

/// A flag that another thread sets to end an evaluation. None is never set.
#[derive(Clone, Copy, Debug, Default)]
pub struct StopFlag<'a>(pub Option<&'a AtomicBool>);

impl StopFlag<'_> {
    /// # Errors
    /// If the flag is set.
    pub(super) fn check(self) -> Result<(), EvalError> {
        match self.0 {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(EvalError::Stopped),
            _ => Ok(()),
        }
    }
}

impl<'a> EvalResources<'a> {
    /// Returns this device with 256 MiB of main memory and 1 GiB on the device, which is enough
    /// for full speed.
    pub fn on(device: Device) -> EvalResources<'a> {
        EvalResources {
            device,
            budget: 256 << 20,
            device_budget: 1 << 30,
            stop: StopFlag(None),
        }
    }

    /// True if libtorch computes the approximate products.
    pub(super) fn use_libtorch(self) -> bool {
        self.device != Device::Cpu && is_precise(self.device)
    }
}

impl Default for EvalResources<'_> {
    /// Returns the CPU with 256 MiB.
    fn default() -> Self {
        EvalResources::on(Device::Cpu)
    }
}

/// True if the device multiplies all 24 bits of an `f32`.
fn is_precise(device: Device) -> bool {
    // 4/3 needs all 24 bits: neither TF32 (11 bits) nor two bfloat16 parts (16 bits) reproduce it.
    let thirds = Tensor::full([256, 256], 4.0 / 3.0, (Kind::Float, device));
    let identity = Tensor::eye(256, (Kind::Float, device));
    thirds.matmul(&identity).equal(&thirds)
}
