//! Pairs and triplets of embeddings, as tensors of indices.
//!
//! Anchors are always images of the batch. Positives and negatives come from [`References`]: the batch
//! itself or a memory. No image is compared with itself or with its own copy in a memory; that copy is
//! identified by its index, not by a similarity near one, which would drop duplicates as well.
//!
//! Conversions keep multiplicity, as in pytorch-metric-learning (PML): triplets `(a, p, n)` and `(a, p, m)`
//! make the positive pair `(a, p)` count twice. A choice can also be a mask. A list is less work where little is chosen,
//! but a GPU makes the host wait to learn how long it is; the size of a mask is known before. Differs from PML: triplets are joined from pairs of the same
//! anchor, in the same order, but without its mask of n x m x m elements, which no memory of
//! thousands allows.

pub mod host_labels;

use std::{cell::OnceCell, rc::Rc};

use tch::{Device, Kind, Tensor};

use self::host_labels::{HostLabels, PositivePairs};

/// The images that a batch is compared with.
#[derive(Debug)]
pub struct References {
    /// `[m, d]`.
    pub embeddings: Tensor,
    /// `[m]`, integers.
    pub labels: Tensor,
    /// `[n]`: for each image of the batch the row of `embeddings` that is its own copy; -1 without one.
    pub own: Tensor,
    /// `[n, m]`: marks further pairs with equal labels that are not positives.
    pub dropped: Option<Tensor>,
    /// True if row i is image i of the batch, and there are no others.
    pub is_batch: bool,
    host_labels: OnceCell<Rc<HostLabels>>,
    positive_pairs: OnceCell<Rc<PositivePairs>>,
}

impl References {
    /// Returns the batch as its own reference: `embeddings` `[n, d]`, `labels` `[n]`.
    pub fn batch(embeddings: &Tensor, labels: &Tensor) -> References {
        let own = Tensor::arange(labels.size()[0], (Kind::Int64, labels.device()));
        References {
            is_batch: true,
            ..References::memory(embeddings.shallow_clone(), labels.shallow_clone(), own)
        }
    }

    /// Returns other references: `embeddings` `[m, d]`, `labels` `[m]`, and for each image of the batch its `own` copy
    /// among them `[n]`, -1 without one.
    pub fn memory(embeddings: Tensor, labels: Tensor, own: Tensor) -> References {
        References {
            embeddings,
            labels,
            own,
            dropped: None,
            is_batch: false,
            host_labels: OnceCell::new(),
            positive_pairs: OnceCell::new(),
        }
    }

    /// Returns the same with labels that the host knows, so that it need not ask a GPU for them.
    pub fn known(self, labels: HostLabels) -> References {
        References {
            host_labels: OnceCell::from(Rc::new(labels)),
            ..self
        }
    }

    /// Returns the labels on the host. If they are not known there, it waits for a GPU.
    pub fn host_labels(&self, labels: &Tensor) -> &HostLabels {
        self.host_labels
            .get_or_init(|| Rc::new(HostLabels::read(labels, self)))
    }

    /// Returns the positive pairs of a batch with these `labels` `[n]`, in the order of the mask that
    /// [`masks`](Self::masks) returns.
    pub fn positive_pairs(&self, labels: &Tensor) -> &PositivePairs {
        self.positive_pairs
            .get_or_init(|| Rc::new(PositivePairs::of(self, labels, false)))
    }

    pub(crate) fn shallow_clone(&self) -> References {
        References {
            embeddings: self.embeddings.shallow_clone(),
            labels: self.labels.shallow_clone(),
            own: self.own.shallow_clone(),
            dropped: self.dropped.as_ref().map(Tensor::shallow_clone),
            is_batch: self.is_batch,
            host_labels: self.host_labels.clone(),
            positive_pairs: self.positive_pairs.clone(),
        }
    }

    /// Returns two masks `[n, m]` for a batch with these `labels` `[n]`: of its positives, and of its negatives.
    pub fn masks(&self, labels: &Tensor) -> (Tensor, Tensor) {
        let mut same = labels.unsqueeze(1).eq_tensor(&self.labels.unsqueeze(0));
        if self.is_batch && self.dropped.is_none() {
            let negatives = same.logical_not();
            return (same.fill_diagonal_(0, false), negatives);
        }
        let columns = Tensor::arange(self.labels.size()[0], (Kind::Int64, labels.device()));
        let other = self.own.unsqueeze(1).ne_tensor(&columns.unsqueeze(0));
        let positives = same.logical_and(&other);
        let negatives = same.logical_not();
        match &self.dropped {
            Some(dropped) => (positives.logical_and(&dropped.logical_not()), negatives),
            None => (positives, negatives),
        }
    }
}

/// Positive and negative pairs. All tensors hold integers (i64); anchors index the batch, the others
/// the references.
#[derive(Debug)]
pub struct Pairs {
    /// `[p]`: the anchor of each positive pair.
    pub anchor_pos: Tensor,
    /// `[p]`: an image of its class.
    pub positive: Tensor,
    /// `[q]`: the anchor of each negative pair.
    pub anchor_neg: Tensor,
    /// `[q]`: an image of another class.
    pub negative: Tensor,
}

/// Triplets, `[t]` each. The anchor indexes the batch, the others the references.
#[derive(Debug)]
pub struct Triplets {
    /// The anchor.
    pub anchor: Tensor,
    /// An image of its class.
    pub positive: Tensor,
    /// An image of another class.
    pub negative: Tensor,
}

/// Pairs as masks `[n, m]`.
#[derive(Debug)]
pub struct MarkedPairs {
    /// Marks the positive pairs.
    pub positives: Tensor,
    /// Marks the negative pairs.
    pub negatives: Tensor,
}

/// Triplets as a mask: positive pairs `[p]`, each with its negatives.
#[derive(Debug)]
pub struct MarkedTriplets {
    /// `[p]`: the anchor.
    pub anchor: Tensor,
    /// `[p]`: an image of its class.
    pub positive: Tensor,
    /// `[p, m]`: marks the images of other classes.
    pub negatives: Tensor,
}

/// Pairs or triplets.
#[derive(Debug)]
pub enum Tuples {
    /// Pairs.
    Pairs(Pairs),
    /// Triplets.
    Triplets(Triplets),
    /// Pairs, each at most once.
    MarkedPairs(MarkedPairs),
    /// Triplets, each at most once.
    MarkedTriplets(MarkedTriplets),
}

impl Tuples {
    /// True if there is no pair, and so no triplet. For masks on a GPU, the host waits for the answer.
    pub fn is_empty(&self) -> bool {
        match self {
            Tuples::Pairs(pairs) => pairs.anchor_pos.numel() + pairs.anchor_neg.numel() == 0,
            Tuples::Triplets(triplets) => triplets.anchor.numel() == 0,
            Tuples::MarkedPairs(_) | Tuples::MarkedTriplets(_) => {
                self.mark_any().is_some_and(|any| is_false(&any))
            }
        }
    }

    /// Returns whether masks mark anything: a scalar. Nothing for lists.
    pub(crate) fn mark_any(&self) -> Option<Tensor> {
        match self {
            Tuples::Pairs(_) | Tuples::Triplets(_) => None,
            Tuples::MarkedPairs(marked) => {
                Some(marked.positives.any().logical_or(&marked.negatives.any()))
            }
            Tuples::MarkedTriplets(marked) => Some(marked.negatives.any()),
        }
    }

    /// Returns these as pairs.
    pub fn pairs(&self) -> Pairs {
        match self {
            Tuples::Pairs(pairs) => pairs.shallow_clone(),
            Tuples::Triplets(triplets) => triplets.pairs(),
            Tuples::MarkedPairs(marked) => marked.listed(),
            Tuples::MarkedTriplets(marked) => marked.listed().pairs(),
        }
    }

    /// Returns these as triplets, of a batch of `images` images.
    pub fn triplets(&self, images: i64) -> Triplets {
        match self {
            Tuples::Pairs(pairs) => pairs.triplets(images),
            Tuples::Triplets(triplets) => triplets.shallow_clone(),
            Tuples::MarkedPairs(marked) => marked.listed().triplets(images),
            Tuples::MarkedTriplets(marked) => marked.listed(),
        }
    }
}

impl MarkedPairs {
    /// Returns the pairs as lists, row by row.
    fn listed(&self) -> Pairs {
        Pairs::marked(&self.positives, &self.negatives)
    }
}

impl MarkedTriplets {
    /// Returns the triplets as lists, in the order of the positive pairs and, for each, of the negatives.
    fn listed(&self) -> Triplets {
        let (pair, negative) = coordinates(&self.negatives);
        Triplets {
            anchor: self.anchor.index_select(0, &pair),
            positive: self.positive.index_select(0, &pair),
            negative,
        }
    }

    pub(crate) fn shallow_clone(&self) -> MarkedTriplets {
        MarkedTriplets {
            anchor: self.anchor.shallow_clone(),
            positive: self.positive.shallow_clone(),
            negatives: self.negatives.shallow_clone(),
        }
    }
}

/// Reads a scalar.
fn is_false(value: &Tensor) -> bool {
    value.int64_value(&[]) == 0
}

impl Pairs {
    /// Returns the pairs that two masks `[n, m]` mark, row by row.
    pub fn marked(positives: &Tensor, negatives: &Tensor) -> Pairs {
        let (anchor_pos, positive) = coordinates(positives);
        let (anchor_neg, negative) = coordinates(negatives);
        Pairs {
            anchor_pos,
            positive,
            anchor_neg,
            negative,
        }
    }

    /// Returns every triplet of a positive and a negative pair with the same anchor, in the order of the
    /// positive pairs and, for each, of the negative pairs, in a batch of `images` images.
    pub fn triplets(&self, images: i64) -> Triplets {
        // Negative pairs in the order of their anchors; those of one anchor begin at its `start`.
        let negatives = self
            .negative
            .index_select(0, &self.anchor_neg.argsort_stable(true, 0, false));
        let counts = occurrences(&self.anchor_neg, images);
        let starts = counts.cumsum(0, Kind::Int64) - &counts;
        // Each positive pair is repeated for each negative of its anchor. The triplets of one pair are
        // consecutive: the index of a triplet minus that of the first one counts the negatives.
        let repeats = counts.index_select(0, &self.anchor_pos);
        let firsts = repeats.cumsum(0, Kind::Int64) - &repeats;
        let shifts = starts.index_select(0, &self.anchor_pos) - firsts;
        let pair = Tensor::repeat_interleave(&repeats, None);
        let index = Tensor::arange(pair.size()[0], (Kind::Int64, pair.device()))
            + shifts.index_select(0, &pair);
        Triplets {
            anchor: self.anchor_pos.index_select(0, &pair),
            positive: self.positive.index_select(0, &pair),
            negative: negatives.index_select(0, &index),
        }
    }

    fn shallow_clone(&self) -> Pairs {
        Pairs {
            anchor_pos: self.anchor_pos.shallow_clone(),
            positive: self.positive.shallow_clone(),
            anchor_neg: self.anchor_neg.shallow_clone(),
            negative: self.negative.shallow_clone(),
        }
    }
}

impl Triplets {
    /// Returns a positive and a negative pair for each triplet.
    pub fn pairs(&self) -> Pairs {
        Pairs {
            anchor_pos: self.anchor.shallow_clone(),
            positive: self.positive.shallow_clone(),
            anchor_neg: self.anchor.shallow_clone(),
            negative: self.negative.shallow_clone(),
        }
    }

    fn shallow_clone(&self) -> Triplets {
        Triplets {
            anchor: self.anchor.shallow_clone(),
            positive: self.positive.shallow_clone(),
            negative: self.negative.shallow_clone(),
        }
    }
}

/// Returns all pairs of a batch with these `labels` `[n]` and its references, row by row.
pub fn all_pairs(labels: &Tensor, references: &References) -> Pairs {
    let positive = references.positive_pairs(labels);
    let (anchor_neg, negative) = coordinates(&references.masks(labels).1);
    Pairs {
        anchor_pos: positive.anchors.shallow_clone(),
        positive: positive.positives.shallow_clone(),
        anchor_neg,
        negative,
    }
}

/// Returns the elements of `matrix` `[n, m]` at these rows and columns, `[t]` each.
///
/// Backward through this is deterministic on a GPU too, which `index_select` of the flattened matrix is not.
pub(crate) fn at(matrix: &Tensor, rows: &Tensor, columns: &Tensor) -> Tensor {
    matrix.index(&[Some(rows), Some(columns)])
}

/// Returns how often each of the first `count` integers occurs among these `[t]`: `[count]`. Unlike `bincount`, it does not
/// make the host wait for the largest one.
pub(crate) fn occurrences(indices: &Tensor, count: i64) -> Tensor {
    let none = Tensor::zeros([count], (Kind::Int64, indices.device()));
    none.index_add(0, indices, &indices.ones_like())
}

/// Returns the rows and the columns of the elements that `mask` `[n, m]` marks, row by row.
pub(crate) fn coordinates(mask: &Tensor) -> (Tensor, Tensor) {
    if mask.device() == Device::Cpu {
        return scanned(mask);
    }
    let indices = mask.nonzero();
    (indices.select(1, 0), indices.select(1, 1))
}

/// The number of elements that [`scanned`] tests at once for a marked one.
const AT_ONCE: usize = 64;

/// Does the same on the CPU, for few elements several times as fast as `nonzero`.
fn scanned(mask: &Tensor) -> (Tensor, Tensor) {
    let mut marks = vec![0u8; mask.numel()];
    let bytes = mask.view_dtype(Kind::Uint8).contiguous();
    bytes.copy_data(&mut marks, mask.numel());
    let (mut rows, mut columns) = (Vec::new(), Vec::new());
    let width = mask.size()[1].max(1) as usize;
    for (row, marks) in (0_i64..).zip(marks.chunks(width)) {
        for (first, some) in (0_i64..).step_by(AT_ONCE).zip(marks.chunks(AT_ONCE)) {
            if some.iter().fold(0, |all, mark| all | mark) == 0 {
                continue;
            }
            for (column, _) in (first..).zip(some).filter(|(_, mark)| **mark != 0) {
                rows.push(row);
                columns.push(column);
            }
        }
    }
    (Tensor::from_slice(&rows), Tensor::from_slice(&columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(values: &[i64]) -> Tensor {
        Tensor::from_slice(values)
    }

    fn list(values: &Tensor) -> Vec<i64> {
        Vec::try_from(values).unwrap()
    }

    fn columns(triplets: &Triplets) -> [Vec<i64>; 3] {
        [&triplets.anchor, &triplets.positive, &triplets.negative].map(list)
    }

    /// A batch with these labels, with itself as the reference.
    fn pairs_of(labels: &[i64]) -> Pairs {
        let labels = indices(labels);
        all_pairs(&labels, &References::batch(&labels.unsqueeze(1), &labels))
    }

    #[test]
    fn the_coordinates_of_a_mask_are_those_that_libtorch_finds() {
        let numbers = Tensor::arange(3 * 150, (Kind::Int64, Device::Cpu)).view([3, 150]);
        for every in [1, 2, 97, 1000] {
            let mask = (&numbers + 60).remainder(every).eq(0);
            for mask in [mask.shallow_clone(), mask.tr()] {
                let expected = mask.nonzero();
                let (rows, columns) = coordinates(&mask);
                assert_eq!(rows, expected.select(1, 0), "{every}");
                assert_eq!(columns, expected.select(1, 1), "{every}");
            }
        }
    }

    #[test]
    fn all_pairs_of_a_batch_leave_out_each_image_itself() {
        let pairs = pairs_of(&[7, 7, 3]);
        assert_eq!(list(&pairs.anchor_pos), [0, 1]);
        assert_eq!(list(&pairs.positive), [1, 0]);
        assert_eq!(list(&pairs.anchor_neg), [0, 1, 2, 2]);
        assert_eq!(list(&pairs.negative), [2, 2, 0, 1]);
    }

    #[test]
    fn all_pairs_with_a_memory_leave_out_own_copies_wherever_they_are() {
        let labels = indices(&[7, 3]);
        let reference_labels = indices(&[3, 7, 7, 3]);
        let own = indices(&[2, -1]);
        let embeddings = reference_labels.unsqueeze(1);
        let references = References::memory(embeddings, reference_labels, own);
        let pairs = all_pairs(&labels, &references);
        assert_eq!(
            [list(&pairs.anchor_pos), list(&pairs.positive)],
            [[0, 1, 1], [1, 0, 3]]
        );
        assert_eq!(
            [list(&pairs.anchor_neg), list(&pairs.negative)],
            [[0, 0, 1, 1], [0, 3, 1, 2]]
        );
    }

    #[test]
    fn triplets_of_all_pairs_are_those_of_three_loops() {
        let labels = [0, 1, 0, 2, 1, 0, 3, 1];
        let mut expected = [vec![], vec![], vec![]];
        for a in 0..8 {
            for p in (0..8).filter(|&p| p != a && labels[p] == labels[a]) {
                for n in (0..8).filter(|&n| labels[n] != labels[a]) {
                    expected[0].push(a as i64);
                    expected[1].push(p as i64);
                    expected[2].push(n as i64);
                }
            }
        }
        assert_eq!(columns(&pairs_of(&labels).triplets(8)), expected);
    }

    #[test]
    fn conversions_keep_order_and_multiplicity() {
        let pairs = Pairs {
            anchor_pos: indices(&[2, 0, 2]),
            positive: indices(&[5, 6, 5]),
            anchor_neg: indices(&[2, 1, 0, 2]),
            negative: indices(&[9, 8, 7, 3]),
        };
        let triplets = pairs.triplets(3);
        assert_eq!(
            columns(&triplets),
            [
                vec![2, 2, 0, 2, 2],
                vec![5, 5, 6, 5, 5],
                vec![9, 3, 7, 9, 3]
            ]
        );
        let pairs = triplets.pairs();
        assert_eq!(list(&pairs.anchor_pos), list(&pairs.anchor_neg));
        assert_eq!(list(&pairs.positive), [5, 5, 6, 5, 5]);
        assert_eq!(list(&pairs.negative), [9, 3, 7, 9, 3]);
    }

    #[test]
    fn without_positives_or_without_negatives_there_are_no_triplets() {
        for labels in [[1, 1, 1].as_slice(), &[1, 2, 3], &[1], &[]] {
            assert_eq!(
                columns(&pairs_of(labels).triplets(3)),
                [vec![], vec![], vec![]] as [Vec<i64>; 3]
            );
        }
    }
}
