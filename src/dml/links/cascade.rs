//! Cascades of heads. Yuan, Yang & Zhang, "Hard-Aware Deeply Cascaded Embedding", ICCV 2017.
//!
//! Each head keeps a share of the pairs, the hardest by its own distances: of all positive pairs the farthest and of all
//! negative pairs the closest, `floor(share * number of all)` of each. It chooses from the pairs of the head before, as the
//! paper describes, or from all of them, as PkuRainBow/HDC.caffe does.
//! Differs from that program: pairs are chosen by distance, which is the order of their losses; positive pairs at distance
//! 0 count. Not known: whether the paper's shares are of all pairs, as here, or of those of the head before.

use tch::{Kind, Tensor};

use crate::{
    distance::{Distance, DistanceExt},
    miner::extremes,
    tuples::{Pairs, References, Tuples},
};

/// The pairs of a head, as masks `[n, m]`.
pub(super) struct Chosen {
    positives: Tensor,
    negatives: Tensor,
}

impl Chosen {
    pub(super) fn all(references: &References, labels: &Tensor) -> Chosen {
        let (positives, negatives) = references.masks(labels);
        Chosen {
            positives,
            negatives,
        }
    }

    /// Returns the hardest share of these pairs that is among the candidates.
    pub(super) fn hardest(
        &self,
        share: f64,
        candidates: Option<&Chosen>,
        distance: Distance,
        distances: &Tensor,
    ) -> Chosen {
        let candidates = candidates.unwrap_or(self);
        let distances = distances.detach();
        let of = |all: &Tensor, candidates: &Tensor, farthest: bool| {
            let count = (share * all.sum(Kind::Double).double_value(&[])).floor() as i64;
            let (rows, columns) = extremes(|_| count, &distances, candidates, farthest);
            marked(candidates, &rows, &columns)
        };
        let is_similarity = distance.is_inverted();
        Chosen {
            positives: of(&self.positives, &candidates.positives, !is_similarity),
            negatives: of(&self.negatives, &candidates.negatives, is_similarity),
        }
    }

    pub(super) fn tuples(&self) -> Tuples {
        Tuples::Pairs(Pairs::marked(&self.positives, &self.negatives))
    }
}

/// Returns a mask like another one, of the elements at these rows and columns.
fn marked(like: &Tensor, rows: &Tensor, columns: &Tensor) -> Tensor {
    let yes = rows.ones_like().to_kind(Kind::Bool);
    like.zeros_like()
        .index_put(&[Some(rows), Some(columns)], &yes, false)
}
