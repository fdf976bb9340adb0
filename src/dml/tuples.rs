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

use tch::{Kind, Tensor};

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
}

impl References {
    /// Returns the batch as its own reference: `embeddings` `[n, d]`, `labels` `[n]`.
    pub fn batch(embeddings: &Tensor, labels: &Tensor) -> References {
        let own = Tensor::arange(labels.size()[0], (Kind::Int64, labels.device()));
        References {
            embeddings: embeddings.shallow_clone(),
            labels: labels.shallow_clone(),
            own,
            dropped: None,
            is_batch: true,
        }
    }

    pub(crate) fn shallow_clone(&self) -> References {
        References {
            embeddings: self.embeddings.shallow_clone(),
            labels: self.labels.shallow_clone(),
            own: self.own.shallow_clone(),
            dropped: self.dropped.as_ref().map(Tensor::shallow_clone),
            is_batch: self.is_batch,
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
            Tuples::MarkedPairs(marked) => {
                is_false(&marked.positives.any().logical_or(&marked.negatives.any()))
            }
            Tuples::MarkedTriplets(marked) => is_false(&marked.negatives.any()),
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

    /// Returns these as triplets.
    pub fn triplets(&self) -> Triplets {
        match self {
            Tuples::Pairs(pairs) => pairs.triplets(),
            Tuples::Triplets(triplets) => triplets.shallow_clone(),
            Tuples::MarkedPairs(marked) => marked.listed().triplets(),
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
    /// Returns all triplets of two masks `[n, m]`, of positives and of negatives.
    pub fn of(positives: &Tensor, negatives: &Tensor) -> MarkedTriplets {
        let (anchor, positive) = coordinates(positives);
        MarkedTriplets {
            negatives: negatives.index_select(0, &anchor),
            anchor,
            positive,
        }
    }

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
    /// positive pairs and, for each, of the negative pairs.
    pub fn triplets(&self) -> Triplets {
        let Some(anchors) = self.anchors() else {
            return Triplets {
                anchor: self.anchor_pos.narrow(0, 0, 0),
                positive: self.positive.narrow(0, 0, 0),
                negative: self.negative.narrow(0, 0, 0),
            };
        };
        // Negative pairs in the order of their anchors; those of one anchor begin at its `start`.
        let negatives = self
            .negative
            .index_select(0, &self.anchor_neg.argsort_stable(true, 0, false));
        let counts = self.anchor_neg.bincount(None::<Tensor>, anchors);
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

    /// Returns one more than the greatest anchor; `None` if there are no positive or no negative pairs.
    fn anchors(&self) -> Option<i64> {
        if self.anchor_pos.numel() == 0 || self.anchor_neg.numel() == 0 {
            return None;
        }
        Some(
            1 + self
                .anchor_pos
                .max()
                .int64_value(&[])
                .max(self.anchor_neg.max().int64_value(&[])),
        )
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
    let (positives, negatives) = references.masks(labels);
    Pairs::marked(&positives, &negatives)
}

/// Returns the elements of `matrix` `[n, m]` at these rows and columns, `[t]` each.
///
/// Backward through this is deterministic on a GPU too, which `index_select` of the flattened matrix is not.
pub(crate) fn at(matrix: &Tensor, rows: &Tensor, columns: &Tensor) -> Tensor {
    matrix.index(&[Some(rows), Some(columns)])
}

/// Returns the rows and the columns of the elements that `mask` `[n, m]` marks, row by row.
pub(crate) fn coordinates(mask: &Tensor) -> (Tensor, Tensor) {
    let indices = mask.nonzero();
    (indices.select(1, 0), indices.select(1, 1))
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
        let references = References {
            embeddings,
            labels: reference_labels,
            own,
            dropped: None,
            is_batch: false,
        };
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
        assert_eq!(columns(&pairs_of(&labels).triplets()), expected);
    }

    #[test]
    fn conversions_keep_order_and_multiplicity() {
        let pairs = Pairs {
            anchor_pos: indices(&[2, 0, 2]),
            positive: indices(&[5, 6, 5]),
            anchor_neg: indices(&[2, 1, 0, 2]),
            negative: indices(&[9, 8, 7, 3]),
        };
        let triplets = pairs.triplets();
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
                columns(&pairs_of(labels).triplets()),
                [vec![], vec![], vec![]] as [Vec<i64>; 3]
            );
        }
    }
}
