//! Copies from the host to a device that the host does not wait for.
//!
//! A copy from ordinary memory makes the host wait until a GPU has done all of its work. From pinned memory, the GPU
//! fetches the numbers when it gets there, and the host goes on. Each copy still costs a launch, so tensors that are
//! needed together travel in one [`Parcel`].

use tch::{Device, Kind, Tensor};

use crate::libtorch::pinned_bytes;

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
            _ => together(&tensors),
        };
        Parcel { device, content }
    }

    /// Sends the parcel. Returns the tensors on the device, in their order.
    pub fn sent(self) -> [Tensor; N] {
        match self.content {
            Content::Apart(tensors) => tensors,
            Content::Together { bytes, parts } => {
                let (without_waiting, as_a_copy) = (true, false);
                let bytes = bytes.to_device_(self.device, Kind::Uint8, without_waiting, as_a_copy);
                parts.map(|part| part.of(&bytes))
            }
        }
    }
}

fn together<const N: usize>(tensors: &[Tensor; N]) -> Content<N> {
    let mut total = 0;
    let parts = tensors.each_ref().map(|tensor| {
        let part = Part {
            first: total,
            length: (tensor.numel() * tensor.kind().elt_size_in_bytes()) as i64,
            kind: tensor.kind(),
            size: tensor.size(),
        };
        total += (part.length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        part
    });
    // Without pinned memory, the host waits.
    let bytes =
        pinned_bytes(total).unwrap_or_else(|| Tensor::empty([total], (Kind::Uint8, Device::Cpu)));
    for (part, tensor) in parts.iter().zip(tensors) {
        part.of(&bytes).copy_(tensor);
    }
    Content::Together { bytes, parts }
}

impl Part {
    fn of(&self, bytes: &Tensor) -> Tensor {
        let own = bytes.narrow(0, self.first, self.length);
        own.view_dtype(self.kind).view(self.size.as_slice())
    }
}

/// Returns a tensor of the host on the device.
pub fn uploaded(tensor: &Tensor, device: Device) -> Tensor {
    let [sent] = Parcel::packed([tensor.shallow_clone()], device).sent();
    sent
}

/// Returns integers `[n]` on the device.
pub fn integers(values: &[i64], device: Device) -> Tensor {
    uploaded(&Tensor::from_slice(values), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_of_any_kind_lie_side_by_side_in_a_parcel() {
        let tensors = [
            Tensor::from_slice(&[1u8, 2, 3]),
            Tensor::from_slice(&[0i64; 0]),
            Tensor::from_slice(&[1.5f32, -2.5, 0.0, 8.0]).view([2, 2]),
            Tensor::from_slice(&[i64::MIN, 7]),
        ];
        let Content::Together { bytes, parts } = together(&tensors) else {
            panic!("they are together")
        };
        for (part, tensor) in parts.iter().zip(&tensors) {
            assert_eq!(part.of(&bytes), *tensor);
        }
    }
}
