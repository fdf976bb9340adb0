//! Cross-batch memory: the latest embeddings and their labels. Wang et al., CVPR 2020, section 3.3.
//!
//! First in, first out. A batch that does not fit before the end either continues at the start ([`MemoryWrap::Modulo`], as pytorch-metric-learning's `CrossBatchMemory`), or overwrites the last slots, and the next one
//! begins at the first ([`MemoryWrap::Tail`], as the authors' program, research-xbm): the order is then not quite first in,
//! first out, and if batches fit exactly, the newest one is overwritten first. That program takes a full memory for an
//! unfinished one while its last slot holds class 0; here it is full. With [`MemoryKey::Unique`] an image that is
//! already there keeps its slot and is renewed in it, so that no image is there twice.
//! No gradient flows into the memory. It knows the image and the step of each slot.
//!
//! Within the batch an image is kept from itself by its index, whatever the setting; research-xbm goes by similarity
//! there as well, which differs for duplicates only. The loss within the batch is always added if the memory holds
//! nothing, and for losses that have no term against it.

use std::{borrow::Cow, collections::BTreeMap};

use schema::{MemoryKey, MemoryWrap, SelfExclusion, Xbm};
use tch::{Device, Kind, Tensor, no_grad};

use crate::{
    download::integers,
    state::{State, StateError, copy, overwrite},
    tuples::References,
    tuples::host_labels::HostLabels,
    upload::{self, Parcel},
};

/// A positive with at least this cosine similarity counts as the image itself, as in research-xbm.
const SAME: f64 = 1.0 - 1e-5;

/// A memory of embeddings and labels.
#[derive(Debug)]
pub struct CrossBatchMemory {
    /// How the memory is used. Its size and its first step are the caller's business.
    pub settings: Xbm,
    /// `[size, width]`.
    embeddings: Tensor,
    /// `[size]`.
    labels: Tensor,
    /// The same on the host.
    host_labels: Vec<i64>,
    /// The image in each slot; -1 if it is unknown.
    images: Vec<i64>,
    /// The step at which each slot was written.
    steps: Vec<i64>,
    /// The slot that is written next.
    next: i64,
    /// Number of slots that have been written.
    filled: i64,
    /// The slot of each image, if slots belong to images.
    slots: BTreeMap<i64, i64>,
}

/// A batch that enters a memory.
#[derive(Clone, Copy, Debug)]
pub struct MemoryBatch<'a> {
    /// `[n, width]`.
    pub embeddings: &'a Tensor,
    /// `[n]`, integers.
    pub labels: &'a Tensor,
    /// The same on the host, if they are known there. Otherwise the host waits for a GPU wherever it needs them.
    pub host_labels: Option<&'a [i64]>,
    /// The index of each image, if it is known. Only then can a memory distinguish images.
    pub images: Option<&'a [i64]>,
    /// The current step, from 0.
    pub step: u64,
}

impl MemoryBatch<'_> {
    /// Returns the labels on the host, which waits for a GPU if it does not know them.
    fn labels_on_host(&self) -> Cow<'_, [i64]> {
        match self.host_labels {
            Some(known) => Cow::Borrowed(known),
            None => Cow::Owned(integers(self.labels)),
        }
    }

    /// Returns the batch as its own reference.
    pub(crate) fn as_references(&self) -> References {
        let references = References::batch(self.embeddings, self.labels);
        match self.host_labels {
            Some(known) => references.known(HostLabels::of_batch(known)),
            None => references,
        }
    }
}

/// What a memory holds.
struct Content {
    /// `[filled, width]`.
    embeddings: Tensor,
    /// `[filled]`.
    labels: Tensor,
    /// The same on the host.
    host_labels: Vec<i64>,
}

/// Where the images of a batch are in a memory.
#[derive(Debug)]
pub struct Slots {
    /// `[n]`: the slot of each image; -1 for those that are not there.
    pub numbers: Tensor,
    /// The same on the host.
    host: Vec<i64>,
    /// True if image i is in slot i.
    pub in_order: bool,
}

impl Slots {
    /// The slots of a batch that is not there.
    fn unknown(batch: &MemoryBatch) -> Slots {
        Slots {
            numbers: batch.labels.full_like(-1),
            host: vec![-1; batch.labels.numel()],
            in_order: false,
        }
    }
}

/// Statistics of a memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryStatistics {
    /// Fraction of the slots that have been written.
    pub fill: f64,
    /// Mean number of steps since a slot was written; 0 if there is none.
    pub age: f64,
    /// Mean Euclidean distance between the embeddings of the current batch and the latest ones that the memory holds of
    /// the same images. Nothing if it holds none of them.
    pub drift: Option<f64>,
}

impl CrossBatchMemory {
    /// Returns an empty memory of `size` embeddings of `width` dimensions.
    ///
    /// # Panics
    /// If `size` is not positive.
    pub fn new(settings: Xbm, size: i64, width: i64, device: Device) -> CrossBatchMemory {
        assert!(size > 0, "a memory holds at least one embedding");
        CrossBatchMemory {
            settings,
            embeddings: Tensor::zeros([size, width], (Kind::Float, device)),
            labels: Tensor::zeros([size], (Kind::Int64, device)),
            host_labels: vec![0; size as usize],
            images: vec![-1; size as usize],
            steps: vec![0; size as usize],
            next: 0,
            filled: 0,
            slots: BTreeMap::new(),
        }
    }

    /// Returns the same memory, still empty, in double precision.
    pub(crate) fn in_double_precision(self) -> CrossBatchMemory {
        CrossBatchMemory {
            embeddings: self.embeddings.to_kind(Kind::Double),
            ..self
        }
    }

    /// Returns the references of a batch and puts the batch into the memory, before or after. Returns nothing if there
    /// is nothing to compare with.
    pub fn recall(&mut self, batch: &MemoryBatch) -> Option<References> {
        if self.settings.include_batch {
            let slots = self.enqueue(batch);
            return Some(self.references(batch, self.content(), &slots));
        }
        // A batch that enters afterwards must not change what the gradient is computed from.
        let content = self.content();
        let content = Content {
            embeddings: content.embeddings.copy(),
            labels: content.labels.copy(),
            ..content
        };
        let _ = self.enqueue(batch);
        if content.host_labels.is_empty() {
            return None;
        }
        Some(self.references(batch, content, &Slots::unknown(batch)))
    }

    fn content(&self) -> Content {
        let (embeddings, labels) = self.filled();
        Content {
            embeddings,
            labels,
            host_labels: self.host_labels[..self.filled as usize].to_vec(),
        }
    }

    fn references(&self, batch: &MemoryBatch, content: Content, slots: &Slots) -> References {
        let Content {
            embeddings,
            labels,
            host_labels,
        } = content;
        let unknown = Slots::unknown(batch);
        let slots = match self.settings.self_exclusion {
            SelfExclusion::Index => slots,
            SelfExclusion::Similarity | SelfExclusion::None => &unknown,
        };
        let dropped = match self.settings.self_exclusion {
            SelfExclusion::Similarity => Some(no_grad(|| {
                batch.embeddings.matmul(&embeddings.tr()).ge(SAME)
            })),
            SelfExclusion::Index | SelfExclusion::None => None,
        };
        let known = HostLabels {
            batch: batch.labels_on_host().into_owned(),
            references: host_labels,
            own: slots.host.clone(),
        };
        let is_batch = slots.in_order && labels.size() == batch.labels.size();
        let own = slots.numbers.shallow_clone();
        let mut references = References::memory(embeddings, labels, own).known(known);
        (references.is_batch, references.dropped) = (is_batch, dropped);
        references
    }

    /// Adds a batch in place of the oldest. Returns the slot of each image, -1 for those that are not there: of a batch
    /// larger than the memory only the last fit.
    pub fn enqueue(&mut self, batch: &MemoryBatch) -> Slots {
        let slots = match (self.settings.key, batch.images) {
            (MemoryKey::Unique, Some(images)) => self.slots_of(images),
            (MemoryKey::Fifo, images) => self.next_slots(batch.labels.size()[0], images),
            (MemoryKey::Unique, None) => self.next_slots(batch.labels.size()[0], None),
        };
        Slots {
            numbers: self.write(&slots, batch),
            in_order: slots.iter().copied().eq(0..slots.len() as i64),
            host: slots,
        }
    }

    /// The slots of the next images, whichever these are.
    fn next_slots(&mut self, batch: i64, images: Option<&[i64]>) -> Vec<i64> {
        let (size, lost) = (self.size(), (batch - self.size()).max(0));
        let kept = batch - lost;
        let first = match self.settings.wrap {
            MemoryWrap::Tail if self.next + kept > size => size - kept,
            MemoryWrap::Tail | MemoryWrap::Modulo => self.next,
        };
        let end = first + kept;
        self.filled = self.filled.max(end.min(size));
        self.next = match self.settings.wrap {
            MemoryWrap::Modulo => end % size,
            MemoryWrap::Tail if first < self.next => 0,
            MemoryWrap::Tail => end,
        };
        let slots: Vec<i64> = (0..batch)
            .map(|row| {
                if row < lost {
                    -1
                } else {
                    (first + row - lost) % size
                }
            })
            .collect();
        for (row, &slot) in slots.iter().enumerate().filter(|(_, slot)| **slot >= 0) {
            self.images[slot as usize] = images.map_or(-1, |images| images[row]);
        }
        slots
    }

    /// The slots of these images: their own, or the next ones for those that have none.
    fn slots_of(&mut self, images: &[i64]) -> Vec<i64> {
        for &image in images {
            if self.slots.contains_key(&image) {
                continue;
            }
            let slot = self.next;
            self.next = (slot + 1) % self.size();
            self.filled = self.filled.max(slot + 1);
            let former = std::mem::replace(&mut self.images[slot as usize], image);
            self.slots.remove(&former);
            self.slots.insert(image, slot);
        }
        // A later image may have taken the slot of an earlier one.
        images
            .iter()
            .map(|image| self.slots.get(image).copied().unwrap_or(-1))
            .collect()
    }

    /// Of several images in one slot the last remains. Returns `all` slots on the device.
    fn write(&mut self, all: &[i64], batch: &MemoryBatch) -> Tensor {
        let rows_of: BTreeMap<i64, i64> = all
            .iter()
            .copied()
            .zip(0..)
            .filter(|(slot, _)| *slot >= 0)
            .collect();
        let (slots, rows): (Vec<i64>, Vec<i64>) = rows_of.into_iter().unzip();
        let labels = batch.labels_on_host();
        for (&slot, &row) in slots.iter().zip(&rows) {
            self.steps[slot as usize] = batch.step as i64;
            self.host_labels[slot as usize] = labels[row as usize];
        }
        let lists = [&slots, &rows, all].map(Tensor::from_slice);
        let [slots, rows, all] = Parcel::packed(lists, self.labels.device()).sent();
        no_grad(|| {
            let embeddings = batch.embeddings.detach().to_kind(self.embeddings.kind());
            let embeddings = embeddings.index_select(0, &rows);
            let _ = self.embeddings.index_copy_(0, &slots, &embeddings);
            let labels = batch.labels.index_select(0, &rows);
            let _ = self.labels.index_copy_(0, &slots, &labels);
        });
        all
    }

    /// Returns the embeddings `[filled, width]` and labels `[filled]` that are there, in the order of their
    /// slots. They share the memory's storage: the next [`enqueue`](Self::enqueue) changes them.
    pub fn filled(&self) -> (Tensor, Tensor) {
        (
            self.embeddings.narrow(0, 0, self.filled),
            self.labels.narrow(0, 0, self.filled),
        )
    }

    /// Returns the number of slots.
    pub fn size(&self) -> i64 {
        self.labels.size()[0]
    }

    /// Returns the statistics of the memory before this batch enters it.
    pub fn statistics(&self, batch: &MemoryBatch) -> MemoryStatistics {
        let filled = &self.steps[..self.filled as usize];
        let ages = filled.iter().map(|&step| (batch.step as i64 - step) as f64);
        MemoryStatistics {
            fill: self.filled as f64 / self.size() as f64,
            age: ages.sum::<f64>() / filled.len().max(1) as f64,
            drift: batch
                .images
                .and_then(|images| self.drift(batch.embeddings, images)),
        }
    }

    fn drift(&self, embeddings: &Tensor, images: &[i64]) -> Option<f64> {
        let wanted: BTreeMap<i64, i64> = images
            .iter()
            .copied()
            .zip(0..)
            .filter(|(image, _)| *image >= 0)
            .collect();
        let mut latest = BTreeMap::<i64, i64>::new();
        for slot in 0..self.filled {
            let Some(&row) = wanted.get(&self.images[slot as usize]) else {
                continue;
            };
            let known = latest.entry(row).or_insert(slot);
            if self.steps[*known as usize] < self.steps[slot as usize] {
                *known = slot;
            }
        }
        if latest.is_empty() {
            return None;
        }
        let (rows, slots): (Vec<i64>, Vec<i64>) = latest.into_iter().unzip();
        let on_device = |indices: &[i64]| upload::integers(indices, self.labels.device());
        let now = embeddings
            .detach()
            .to_kind(self.embeddings.kind())
            .index_select(0, &on_device(&rows));
        let moved: Tensor = now - self.embeddings.index_select(0, &on_device(&slots));
        Some(
            moved
                .norm_scalaropt_dim(2.0, [1], false)
                .mean(Kind::Double)
                .double_value(&[]),
        )
    }

    /// Returns a copy of all content.
    pub fn state(&self) -> State {
        let whole = |name: &str, numbers: &[i64]| (name.to_owned(), Tensor::from_slice(numbers));
        vec![
            copy("embeddings", &self.embeddings),
            copy("labels", &self.labels),
            whole("images", &self.images),
            whole("steps", &self.steps),
            whole("position", &[self.next, self.filled]),
        ]
    }

    /// Continues from a copy made by [`state`](Self::state) of a memory of the same size and settings.
    pub fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), StateError> {
        let whole = |count: i64| Tensor::zeros([count], (Kind::Int64, Device::Cpu));
        let (mut images, mut steps, mut position) =
            (whole(self.size()), whole(self.size()), whole(2));
        overwrite(
            &mut [
                ("embeddings", &mut self.embeddings),
                ("labels", &mut self.labels),
                ("images", &mut images),
                ("steps", &mut steps),
                ("position", &mut position),
            ],
            state,
        )?;
        (self.images, self.steps) = (integers(&images), integers(&steps));
        self.host_labels = integers(&self.labels);
        (self.next, self.filled) = (position.int64_value(&[0]), position.int64_value(&[1]));
        self.slots = match self.settings.key {
            MemoryKey::Fifo => BTreeMap::new(),
            MemoryKey::Unique => self
                .images
                .iter()
                .copied()
                .zip(0..)
                .filter(|(image, _)| *image >= 0)
                .collect(),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds images whose embedding, label and number are all the same.
    fn add_images(memory: &mut CrossBatchMemory, images: &[i64], step: u64) -> Vec<i64> {
        let labels = Tensor::from_slice(images);
        let embeddings = labels.unsqueeze(1).to_kind(Kind::Float);
        let arrivals = MemoryBatch {
            embeddings: &embeddings,
            labels: &labels,
            host_labels: None,
            images: Some(images),
            step,
        };
        Vec::try_from(memory.enqueue(&arrivals).numbers).unwrap()
    }

    fn add(memory: &mut CrossBatchMemory, images: std::ops::Range<i64>) -> Vec<i64> {
        add_images(memory, &images.collect::<Vec<_>>(), 0)
    }

    fn held(memory: &CrossBatchMemory) -> Vec<i64> {
        let (embeddings, labels) = memory.filled();
        assert!(embeddings.squeeze_dim(1) == labels.to_kind(Kind::Float));
        assert_eq!(
            Vec::<i64>::try_from(&labels).unwrap(),
            memory.images[..memory.filled as usize]
        );
        Vec::try_from(labels).unwrap()
    }

    fn memory(size: i64, wrap: MemoryWrap, key: MemoryKey) -> CrossBatchMemory {
        let settings = Xbm {
            wrap,
            key,
            ..Xbm::default()
        };
        CrossBatchMemory::new(settings, size, 1, Device::Cpu)
    }

    fn memory_of(size: i64) -> CrossBatchMemory {
        CrossBatchMemory::new(Xbm::default(), size, 1, Device::Cpu)
    }

    #[test]
    fn the_oldest_go_first_and_a_batch_wraps_around_the_end() {
        let mut memory = memory_of(5);
        assert!(held(&memory).is_empty());
        assert_eq!(add(&mut memory, 0..3), [0, 1, 2]);
        assert_eq!(held(&memory), [0, 1, 2]);
        assert_eq!(add(&mut memory, 3..6), [3, 4, 0]);
        assert_eq!(held(&memory), [5, 1, 2, 3, 4]);
        assert_eq!(add(&mut memory, 6..10), [1, 2, 3, 4]);
        assert_eq!(held(&memory), [5, 6, 7, 8, 9]);
    }

    #[test]
    fn ten_slots_and_batches_of_four_end_as_in_either_reference() {
        let mut modulo = memory(10, MemoryWrap::Modulo, MemoryKey::Fifo);
        let places =
            [0, 4, 8, 12, 16].map(|first| (add(&mut modulo, first..first + 4), modulo.next));
        let expected = [
            [0, 1, 2, 3],
            [4, 5, 6, 7],
            [8, 9, 0, 1],
            [2, 3, 4, 5],
            [6, 7, 8, 9],
        ]
        .map(Vec::from);
        assert_eq!(
            places,
            std::array::from_fn(|i| (expected[i].clone(), [4, 8, 2, 6, 0][i]))
        );
        let mut tail = memory(10, MemoryWrap::Tail, MemoryKey::Fifo);
        let places = [0, 4, 8, 12, 16].map(|first| (add(&mut tail, first..first + 4), tail.next));
        let expected = [
            [0, 1, 2, 3],
            [4, 5, 6, 7],
            [6, 7, 8, 9],
            [0, 1, 2, 3],
            [4, 5, 6, 7],
        ]
        .map(Vec::from);
        assert_eq!(
            places,
            std::array::from_fn(|i| (expected[i].clone(), [4, 8, 0, 4, 8][i]))
        );
        assert_eq!(held(&tail), [12, 13, 14, 15, 16, 17, 18, 19, 10, 11]);
    }

    #[test]
    fn a_tail_that_fits_exactly_is_overwritten_by_the_next_batch() {
        let mut memory = memory(4, MemoryWrap::Tail, MemoryKey::Fifo);
        assert_eq!(add(&mut memory, 0..2), [0, 1]);
        assert_eq!(add(&mut memory, 2..4), [2, 3]);
        assert_eq!(add(&mut memory, 4..6), [2, 3]);
        assert_eq!(held(&memory), [0, 1, 4, 5]);
        assert_eq!(add(&mut memory, 6..8), [0, 1]);
    }

    #[test]
    fn of_a_batch_larger_than_the_memory_the_last_remain() {
        let mut modulo = memory(3, MemoryWrap::Modulo, MemoryKey::Fifo);
        add(&mut modulo, 0..1);
        assert_eq!(add(&mut modulo, 1..6), [-1, -1, 1, 2, 0]);
        assert_eq!(held(&modulo), [5, 3, 4]);
        let mut tail = memory(3, MemoryWrap::Tail, MemoryKey::Fifo);
        assert_eq!(add(&mut tail, 0..5), [-1, -1, 0, 1, 2]);
        let mut keyed = memory(3, MemoryWrap::Modulo, MemoryKey::Unique);
        assert_eq!(add(&mut keyed, 0..5), [-1, -1, 2, 0, 1]);
        assert_eq!(held(&keyed), [3, 4, 2]);
    }

    #[test]
    fn an_image_that_is_there_is_renewed_in_its_slot() {
        let mut memory = memory(4, MemoryWrap::Modulo, MemoryKey::Unique);
        assert_eq!(add_images(&mut memory, &[7, 8], 0), [0, 1]);
        assert_eq!(add_images(&mut memory, &[9, 7], 1), [2, 0]);
        assert_eq!(memory.steps, [1, 0, 1, 0]);
        // Twice in one batch it is there once, and the second one remains.
        let labels = Tensor::from_slice(&[8i64, 8]);
        let embeddings = Tensor::from_slice(&[1.0f32, 2.0]).unsqueeze(1);
        let arrivals = MemoryBatch {
            embeddings: &embeddings,
            labels: &labels,
            host_labels: None,
            images: Some(&[8, 8]),
            step: 2,
        };
        assert_eq!(
            Vec::<i64>::try_from(memory.enqueue(&arrivals).numbers).unwrap(),
            [1, 1]
        );
        assert_eq!(memory.filled().0.double_value(&[1, 0]), 2.0);
        // Of a full memory the slots go round; image 7 is there at the start of the batch and lost at its end.
        assert_eq!(add_images(&mut memory, &[7, 5, 6], 3), [-1, 3, 0]);
        assert_eq!(memory.images, [6, 8, 9, 5]);
        assert_eq!(
            memory.slots,
            BTreeMap::from([(5, 3), (6, 0), (8, 1), (9, 2)])
        );
    }

    #[test]
    fn a_memory_as_large_as_the_data_holds_every_image_once() {
        let mut memory = memory(30, MemoryWrap::Modulo, MemoryKey::Unique);
        let mut draws = crate::random::Draws::new(1, crate::random::Purpose::Batch, 0, 0);
        for step in 0..50 {
            let images = draws.choose(&mut (0..30).collect::<Vec<i64>>(), 7).to_vec();
            let slots = add_images(&mut memory, &images, step);
            assert!(
                slots
                    .iter()
                    .zip(&images)
                    .all(|(&slot, &image)| memory.images[slot as usize] == image)
            );
        }
        let mut images = held(&memory);
        images.sort_unstable();
        assert_eq!(images, (0..30).collect::<Vec<_>>());
    }

    #[test]
    fn a_memory_tells_how_full_how_old_and_how_far_off_it_is() {
        let mut memory = memory_of(8);
        let condition = |memory: &CrossBatchMemory, embeddings: &[f32], images: &[i64], step| {
            let embeddings = Tensor::from_slice(embeddings).unsqueeze(1);
            let labels = Tensor::from_slice(images);
            memory.statistics(&MemoryBatch {
                embeddings: &embeddings,
                labels: &labels,
                host_labels: None,
                images: Some(images),
                step,
            })
        };
        let empty = condition(&memory, &[1.0], &[1], 5);
        assert_eq!(
            empty,
            MemoryStatistics {
                fill: 0.0,
                age: 0.0,
                drift: None
            }
        );
        add_images(&mut memory, &[1, 2], 5);
        add_images(&mut memory, &[2, 3], 8);
        // Image 2 moved from 2 to 2.5, image 3 from 3 to 4; image 9 is not there.
        let found = condition(&memory, &[2.5, 4.0, 0.0], &[2, 3, 9], 10);
        assert_eq!(
            found,
            MemoryStatistics {
                fill: 0.5,
                age: 3.5,
                drift: Some(0.75)
            }
        );
        assert_eq!(condition(&memory, &[2.5], &[9], 10).drift, None);
    }

    #[test]
    fn a_restored_memory_goes_on_as_the_original() {
        for (wrap, key) in [
            (MemoryWrap::Modulo, MemoryKey::Fifo),
            (MemoryWrap::Tail, MemoryKey::Fifo),
            (MemoryWrap::Modulo, MemoryKey::Unique),
        ] {
            let mut one = memory(5, wrap, key);
            add_images(&mut one, &[0, 1, 2, 3], 1);
            let state = one.state();
            let mut other = memory(5, wrap, key);
            other.restore(&state).unwrap();
            assert_eq!(
                add_images(&mut one, &[1, 4, 5], 2),
                add_images(&mut other, &[1, 4, 5], 2)
            );
            assert_eq!(held(&one), held(&other));
            assert_eq!(
                (&one.steps, &one.slots, one.next),
                (&other.steps, &other.slots, other.next)
            );
            assert_eq!(state[1].1.int64_value(&[0]), 0, "the state is a copy");
        }
    }

    #[test]
    fn a_state_of_another_size_is_refused_and_changes_nothing() {
        let mut memory = memory_of(5);
        add(&mut memory, 0..2);
        let error = memory.restore(&memory_of(4).state()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "tensor `embeddings` has the shape [4, 1] instead of [5, 1]"
        );
        let error = memory.restore(&[]).unwrap_err();
        assert_eq!(error.to_string(), "the state has no tensor `embeddings`");
        assert_eq!(held(&memory), [0, 1]);
    }
}
