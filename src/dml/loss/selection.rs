//! Some of the pairs of a batch and its references, as a mask or as a list.

use tch::Tensor;

use super::LossInput;
use crate::{links::Side, reduce::Part, tuples::at};

/// Pairs, in the form in which their terms are computed the fastest.
pub(super) enum Selection {
    /// `[n, m]`: marks the pairs.
    Marked(Tensor),
    /// `[t]` each: the images of the batch, and the references.
    Listed { anchors: Tensor, others: Tensor },
}

impl Selection {
    /// Returns the elements of a matrix `[n, m]` that belong to these pairs, or all of them.
    fn of(&self, matrix: &Tensor) -> Tensor {
        match self {
            Selection::Marked(_) => matrix.shallow_clone(),
            Selection::Listed { anchors, others } => at(matrix, anchors, others),
        }
    }

    fn part(&self, values: Tensor) -> Part {
        match self {
            Selection::Marked(marked) => Part::of_marked(&values, marked.shallow_clone()),
            Selection::Listed { anchors, .. } => Part::of_tuples(values, anchors),
        }
    }
}

impl LossInput<'_> {
    /// Returns the chosen positive and the chosen negative pairs.
    pub(super) fn selections(&self) -> [Selection; 2] {
        if let Some((positives, negatives)) = self.masks_on_gpu() {
            return [positives, negatives].map(Selection::Marked);
        }
        let Some(tuples) = self.chosen else {
            // Nearly all pairs are negative, so these stay a matrix.
            let (anchors, others) = self.positive_pairs();
            let (_, negatives) = self.references.masks(self.labels);
            let positives = Selection::Listed { anchors, others };
            return [positives, Selection::Marked(negatives)];
        };
        let pairs = tuples.pairs();
        let positives = Selection::Listed {
            anchors: pairs.anchor_pos,
            others: pairs.positive,
        };
        let negatives = Selection::Listed {
            anchors: pairs.anchor_neg,
            others: pairs.negative,
        };
        [positives, negatives]
    }

    /// Returns `term` of the `violation` of some pairs, weighed by the heads before this one.
    pub(super) fn part(
        &self,
        pairs: &Selection,
        side: Side,
        violation: impl Fn(&Tensor) -> Tensor,
        term: impl Fn(&Tensor) -> Tensor,
    ) -> Part {
        let terms = term(&violation(&pairs.of(&self.distances())));
        let weights = self.boosting.map(|boosting| {
            boosting.weights(side, |distances| violation(&pairs.of(distances)), &term)
        });
        pairs.part(terms).weighted(weights)
    }
}
