//! The file that asks a trainer process for work, and the process's answer to `--describe`.

use serde::{Deserialize, Serialize};

use crate::{Numerics, Work};

/// Version of the protocol between orchestrator and trainer: an [`Attempt`] in one direction,
/// [`Event`](crate::Event)s in the other.
pub const PROTOCOL: u32 = 1;

/// One start of a job: a JSON file whose path is the trainer's only argument.
///
/// The trainer writes [`Event`](crate::Event)s to standard output, one JSON object per line, and
/// logs to standard error. Its standard input stays open while the orchestrator lives. At end of
/// file the trainer kills its whole process group; at a line `stop`, and at the signals that batch
/// systems send, it writes a checkpoint and exits.
///
/// A trainer that [`serves`](Description::serves) can also be started before there is an attempt, and makes one
/// after another: each at a line `attempt PATH`. It reports [`Ready`](crate::Event::Ready) once it has finished one
/// and nothing of it is left, and exits after anything else.
///
/// | exit code | meaning |
/// | --- | --- |
/// | 0 | finished; the last event is [`Finished`](crate::Event::Finished) |
/// | 1 | failed; the last event is [`Failed`](crate::Event::Failed) |
/// | 2 | the attempt file cannot be used |
/// | 3 | stopped as requested; the run's folder contains a checkpoint |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// See [`PROTOCOL`].
    pub protocol: u32,
    /// The number of this attempt at its job, from 1.
    pub number: u32,
    /// The device to compute on.
    pub device: Device,
    /// CPU threads to use.
    pub threads: u32,
    /// The work to do.
    pub work: Work,
}

/// The device of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The CPU.
    Cpu,
    /// The first visible CUDA device; the orchestrator selects it with `CUDA_VISIBLE_DEVICES`.
    Cuda,
}

impl Numerics {
    /// Returns what such a run computes on.
    pub fn device(self) -> Device {
        match self {
            Numerics::Cpu { .. } => Device::Cpu,
            Numerics::Cuda => Device::Cuda,
        }
    }
}

impl Device {
    /// Returns its name, as in an attempt.
    pub fn name(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Cuda => "cuda",
        }
    }

    /// Returns the device with this name.
    pub fn named(name: &str) -> Option<Device> {
        [Device::Cpu, Device::Cuda]
            .into_iter()
            .find(|device| device.name() == name)
    }
}

/// The JSON object that `sweep-trainer --describe` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// See [`PROTOCOL`].
    pub protocol: u32,
    /// Name and version of the trainer.
    pub trainer: String,
    /// The libtorch library that was loaded.
    pub libtorch: String,
    /// The number of visible CUDA devices.
    pub cuda_devices: u32,
    /// True if a process makes one attempt after another, with the same results as a process for each. It is then started
    /// as `PROGRAM --serve DEVICE RESULTS`: the device of all attempts, and the results folder, by which the process is
    /// known if it outlives its orchestrator.
    #[serde(default, skip_serializing_if = "crate::is_false")]
    pub serves: bool,
}
