//! What a result was computed by: the programs and the machine of an attempt, its end and what it took.
//!
//! It is kept with the attempt, not in the result, so that a result that is computed again on the same machine has the
//! same bytes.

use serde::{Deserialize, Serialize};

/// The programs and the machine of one attempt, and what it took. A trainer need not tell all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computation {
    /// The version of `sweep`, with the commit that it was built from.
    pub sweep: String,
    /// The name and version of the trainer, with the commit that it was built from.
    pub trainer: String,
    /// The trainer's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// The number of parameters of the network, without those of losses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// When the attempt ended: date and time (UTC) of ISO 8601, so that texts sort like times.
    pub ended: String,
    /// The time from start to end in milliseconds.
    pub milliseconds: u64,
}

/// The machine that a trainer works on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The model of the CPU.
    pub processor: String,
    /// The GPU, if the attempt uses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuModel>,
    /// The version of libtorch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libtorch: Option<String>,
    /// The largest resident memory of the process in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

impl Host {
    /// Returns the model of the device that computed: the GPU, or else the CPU.
    pub fn device(&self) -> &str {
        match &self.gpu {
            Some(gpu) => &gpu.model,
            None => &self.processor,
        }
    }
}

/// A GPU and its driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuModel {
    /// The model.
    pub model: String,
    /// The version of its driver.
    pub driver: String,
    /// The bytes of its memory that the process occupied at its end, which is the most that it ever occupied: libtorch
    /// returns none before. `None` if the driver does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}
