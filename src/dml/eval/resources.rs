//! The device and the memory that an evaluation may use.

use tch::{Device, Kind, Tensor};

/// The device and the memory that an evaluation may use. They change no result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvalResources {
    /// Device that computes the approximate products. A device that multiplies `f32` with fewer
    /// digits (TF32 is enabled) is not used: the CPU computes instead.
    pub device: Device,
    /// Bytes of main memory to use beside the embeddings and the result, approximately.
    pub budget: usize,
    /// Bytes to use on a device other than the CPU, approximately.
    pub device_budget: usize,
}

impl EvalResources {
    /// Returns this device with 256 MiB of main memory and 1 GiB on the device, which is enough
    /// for full speed.
    pub fn on(device: Device) -> EvalResources {
        EvalResources {
            device,
            budget: 256 << 20,
            device_budget: 1 << 30,
        }
    }

    /// True if libtorch computes the approximate products.
    pub(super) fn use_libtorch(self) -> bool {
        self.device != Device::Cpu && is_precise(self.device)
    }
}

impl Default for EvalResources {
    /// Returns the CPU with 256 MiB.
    fn default() -> EvalResources {
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
