//! Cross-batch memory: a ring of the latest embeddings and their labels. Wang et al., CVPR 2020, section 3.3.
//!
//! First in, first out, and a batch that reaches the end of the ring continues at its start, as in
//! pytorch-metric-learning (PML) `CrossBatchMemory`. The authors' program (research-xbm) instead overwrites the
//! last slots and begins again at the first, so that its order is not quite first in, first out.
//! No gradient flows into the memory.

use tch::{Device, Kind, Tensor, no_grad};

use crate::state::{State, StateError, copy, overwrite};

/// A ring of embeddings and labels.
#[derive(Debug)]
pub struct Xbm {
    /// `[size, width]`.
    embeddings: Tensor,
    /// `[size]`.
    labels: Tensor,
    /// The slot that is written next.
    next: i64,
    /// How many slots have been written.
    filled: i64,
}

impl Xbm {
    /// Returns an empty memory of `size` embeddings of `width` numbers each.
    ///
    /// # Panics
    /// If `size` is not positive.
    pub fn new(size: i64, width: i64, device: Device) -> Xbm {
        Xbm::of_kind(Kind::Float, size, width, device)
    }

    pub(crate) fn of_kind(kind: Kind, size: i64, width: i64, device: Device) -> Xbm {
        assert!(size > 0, "a memory holds at least one embedding");
        Xbm {
            embeddings: Tensor::zeros([size, width], (kind, device)),
            labels: Tensor::zeros([size], (Kind::Int64, device)),
            next: 0,
            filled: 0,
        }
    }

    /// Adds a batch, `embeddings` `[n, width]` and `labels` `[n]`, in place of the oldest.
    /// Returns the slot of each `[n]`; of a batch larger than the memory only the last fit, the others get -1.
    pub fn enqueue(&mut self, embeddings: &Tensor, labels: &Tensor) -> Tensor {
        let (batch, size) = (labels.size()[0], self.size());
        let lost = (batch - size).max(0);
        let kept = batch - lost;
        let place = Tensor::arange(kept, (Kind::Int64, self.labels.device()));
        let slots = (place + self.next).remainder(size);
        no_grad(|| {
            let embeddings = embeddings.detach().to_kind(self.embeddings.kind());
            let _ = self.embeddings.index_copy_(0, &slots, &embeddings.narrow(0, lost, kept));
            let _ = self.labels.index_copy_(0, &slots, &labels.narrow(0, lost, kept));
        });
        self.next = (self.next + kept) % size;
        self.filled = (self.filled + kept).min(size);
        Tensor::cat(&[Tensor::full([lost], -1, (Kind::Int64, slots.device())), slots], 0)
    }

    /// Returns the embeddings `[filled, width]` and labels `[filled]` that are there, in the order of their
    /// slots. They share the memory's storage: the next [`enqueue`](Self::enqueue) changes them.
    pub fn filled(&self) -> (Tensor, Tensor) {
        (self.embeddings.narrow(0, 0, self.filled), self.labels.narrow(0, 0, self.filled))
    }

    /// Returns a copy of everything it holds.
    pub fn state(&self) -> State {
        let position = Tensor::from_slice(&[self.next, self.filled]);
        vec![copy("embeddings", &self.embeddings), copy("labels", &self.labels), copy("position", &position)]
    }

    /// Continues from a copy made by [`state`](Self::state) of a memory of the same size.
    pub fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), StateError> {
        let mut position = Tensor::from_slice(&[self.next, self.filled]);
        overwrite(
            &mut [("embeddings", &mut self.embeddings), ("labels", &mut self.labels), ("position", &mut position)],
            state,
        )?;
        (self.next, self.filled) = (position.int64_value(&[0]), position.int64_value(&[1]));
        Ok(())
    }

    fn size(&self) -> i64 {
        self.labels.size()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds images whose embedding and label are their own number.
    fn add(memory: &mut Xbm, images: std::ops::Range<i64>) -> Vec<i64> {
        let labels = Tensor::arange_start(images.start, images.end, (Kind::Int64, Device::Cpu));
        let slots = memory.enqueue(&labels.unsqueeze(1).to_kind(Kind::Float), &labels);
        Vec::try_from(slots).unwrap()
    }

    fn held(memory: &Xbm) -> Vec<i64> {
        let (embeddings, labels) = memory.filled();
        assert!(embeddings.squeeze_dim(1) == labels.to_kind(Kind::Float));
        Vec::try_from(labels).unwrap()
    }

    #[test]
    fn the_oldest_go_first_and_a_batch_wraps_around_the_end() {
        let mut memory = Xbm::new(5, 1, Device::Cpu);
        assert!(held(&memory).is_empty());
        assert_eq!(add(&mut memory, 0..3), [0, 1, 2]);
        assert_eq!(held(&memory), [0, 1, 2]);
        assert_eq!(add(&mut memory, 3..6), [3, 4, 0]);
        assert_eq!(held(&memory), [5, 1, 2, 3, 4]);
        assert_eq!(add(&mut memory, 6..10), [1, 2, 3, 4]);
        assert_eq!(held(&memory), [5, 6, 7, 8, 9]);
    }

    #[test]
    fn of_a_batch_larger_than_the_memory_the_last_remain() {
        let mut memory = Xbm::new(3, 1, Device::Cpu);
        add(&mut memory, 0..1);
        assert_eq!(add(&mut memory, 1..6), [-1, -1, 1, 2, 0]);
        assert_eq!(held(&memory), [5, 3, 4]);
    }

    #[test]
    fn a_restored_memory_goes_on_as_the_original() {
        let mut memory = Xbm::new(5, 1, Device::Cpu);
        add(&mut memory, 0..4);
        let state = memory.state();
        let mut other = Xbm::new(5, 1, Device::Cpu);
        other.restore(&state).unwrap();
        assert_eq!(add(&mut memory, 4..7), add(&mut other, 4..7));
        assert_eq!(held(&memory), held(&other));
        assert_eq!(i64::try_from(&state[1].1.get(0)).unwrap(), 0, "the state is a copy");
    }

    #[test]
    fn a_state_of_another_size_is_refused_and_changes_nothing() {
        let mut memory = Xbm::new(5, 1, Device::Cpu);
        add(&mut memory, 0..2);
        let error = memory.restore(&Xbm::new(4, 1, Device::Cpu).state()).unwrap_err();
        assert_eq!(error.to_string(), "tensor `embeddings` has the shape [4, 1] instead of [5, 1]");
        let error = memory.restore(&[]).unwrap_err();
        assert_eq!(error.to_string(), "the state has no tensor `embeddings`");
        assert_eq!(held(&memory), [0, 1]);
    }
}
