//! Copies from the host to a device that the host does not wait for.
//!
//! A copy from ordinary memory makes the host wait until a GPU has done all of its work. From pinned memory, the GPU
//! fetches the numbers when it gets there, and the host goes on. Each copy still costs a launch, so tensors that are
//! needed together travel in one [`Parcel`].

use tch::{Device, Kind, Tensor};

/// A part of a parcel begins at a multiple of this number of bytes, as elements of every type do.
const ALIGNMENT: i64 = 16;

/// Tensors on their way to a device.
#[derive(Debug)]
pub struct Parcel<const N: usize> {
    device: Device,
    content: Content<N>,
}

#[derive(Debug)]
enum Content<const N: usize> {
    /// For the CPU there is nothing to copy.
    Apart([Tensor; N]),
    /// All bytes in pinned memory, and where each tensor lies.
    Together { bytes: Tensor, parts: [Part; N] },
}

/// The place of a tensor among the bytes of a parcel.
#[derive(Debug)]
struct Part {
    first: i64,
    length: i64,
    kind: Kind,
    size: Vec<i64>,
}

impl<const N: usize> Parcel<N> {
    /// Packs tensors of the host, in the memory from which the device fetches them.
    pub fn packed(tensors: [Tensor; N], device: Device) -> Parcel<N> {
        let content = match device {
            Device::Cpu => Content::Apart(tensors),
            _ => together(&tensors, device),
        };
        Parcel { device, content }
    }

    /// Sends the parcel. Returns the tensors on the device, in their order.
    pub fn sent(self) -> [Tensor; N] {
        match self.content {
            Content::Apart(tensors) => tensors,
            Content::Together { bytes, parts } => {
                let bytes = sent(&bytes, self.device);
                parts.map(|part| part.of(&bytes))
            }
        }
    }
}

fn together<const N: usize>(tensors: &[Tensor; N], device: Device) -> Content<N> {
    let (mut all, mut first) = (Vec::new(), 0);
    let parts = tensors.each_ref().map(|tensor| {
        let bytes = tensor.contiguous().view(-1).view_dtype(Kind::Uint8);
        let length = bytes.size()[0];
        let gap = (ALIGNMENT - length % ALIGNMENT) % ALIGNMENT;
        let part = Part {
            first,
            length,
            kind: tensor.kind(),
            size: tensor.size(),
        };
        all.extend([bytes, Tensor::zeros([gap], (Kind::Uint8, Device::Cpu))]);
        first += length + gap;
        part
    });
    let bytes = Tensor::cat(&all, 0).pin_memory(device);
    Content::Together { bytes, parts }
}

fn sent(pinned: &Tensor, device: Device) -> Tensor {
    let (without_waiting, as_a_copy) = (true, false);
    pinned.to_device_(device, pinned.kind(), without_waiting, as_a_copy)
}

impl Part {
    fn of(&self, bytes: &Tensor) -> Tensor {
        let own = bytes.narrow(0, self.first, self.length);
        own.view_dtype(self.kind).view(self.size.as_slice())
    }
}

/// Returns a tensor of the host on the device.
pub fn uploaded(tensor: &Tensor, device: Device) -> Tensor {
    match device {
        Device::Cpu => tensor.shallow_clone(),
        _ => sent(&tensor.pin_memory(device), device),
    }
}

/// Returns integers `[n]` on the device.
pub fn integers(values: &[i64], device: Device) -> Tensor {
    uploaded(&Tensor::from_slice(values), device)
}
