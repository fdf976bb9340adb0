//! Margin loss. Wu et al., "Sampling Matters in Deep Embedding Learning", ICCV 2017, Eq. 4.
//!
//! Terms: two per triplet, `max(0, d(a,p) - beta + margin)` and `max(0, beta - d(a,n) + margin)`, reduced together
//! to the mean of the non-zero ones. The boundary `beta` is fixed, learned, or learned for each class of anchors.
//! Added for a learned one: `nu beta`; for one per class `nu` times the sum of `beta` over the triplets divided by the
//! number of non-zero terms.
//! Reference: pytorch-metric-learning `MarginLoss`. Differs: none.

use schema::{Boundary, LossFacts, LossPart, Margin};
use tch::{Kind, Tensor};

use super::{BuildLoss, ClassInit, Loss, LossInput};
use crate::{
    distance::DistanceExt,
    parameters::{Init, ParamSpec, Parameters},
    reduce::{Part, Terms},
    tuples::{MarkedTriplets, at},
};

/// A margin loss with its boundaries.
#[derive(Debug)]
pub struct MarginLoss {
    settings: Margin,
    /// Absent: the boundary is fixed.
    boundaries: Option<Parameters>,
}

impl MarginLoss {
    /// Returns a margin loss with its initial boundaries.
    pub fn new(settings: &Margin, init: &ClassInit) -> MarginLoss {
        let initial = Init::Constant(settings.beta as f32);
        let slot = |count| ParamSpec::new("beta", &[count], initial.clone());
        let boundaries = match settings.boundary {
            Boundary::Fixed => None,
            Boundary::Learned => Some(init.parameters(vec![slot(1)])),
            Boundary::PerClass => Some(init.parameters(vec![slot(init.classes)])),
        };
        MarginLoss {
            settings: settings.clone(),
            boundaries,
        }
    }

    /// Returns the boundary of each anchor, `[t]`, or `[1]` if all have the same.
    fn boundaries_of(&self, batch: &LossInput, anchors: &Tensor) -> Tensor {
        let Some(parameters) = &self.boundaries else {
            let options = (batch.embeddings.kind(), batch.embeddings.device());
            return Tensor::full([1], self.settings.beta, options);
        };
        let beta = parameters.get("beta");
        match self.settings.boundary {
            Boundary::Fixed | Boundary::Learned => beta.shallow_clone(),
            Boundary::PerClass => beta.index(&[Some(batch.labels.index_select(0, anchors))]),
        }
    }

    /// Returns the same terms as of a list of these triplets.
    fn terms_of_marked(&self, batch: &LossInput, triplets: MarkedTriplets) -> Terms {
        let MarkedTriplets {
            anchor,
            positive,
            negatives,
        } = triplets;
        let distances = batch.distances();
        let boundaries = self.boundaries_of(batch, &anchor);
        let each = boundaries.unsqueeze(1);
        let positive = at(&distances, &anchor, &positive).unsqueeze(1);
        let all = distances.index(&[Some(&anchor)]);
        let too_far = batch.distance.excess(&positive, &each) + self.settings.margin;
        let too_close = batch.distance.excess(&each, &all) + self.settings.margin;
        let values = Tensor::cat(&[too_far.relu().expand_as(&all), too_close.relu()], 1);
        let marked = Tensor::cat(&[&negatives, &negatives], 1);
        let values = values.masked_fill(&marked.logical_not(), 0.0);
        let added = self.penalty(&boundaries, &values).into_iter().collect();
        Terms {
            parts: vec![Part::of_marked_rows(&values, marked, &anchor)],
            added,
        }
    }

    /// Returns the penalty on these boundaries, given the terms.
    fn penalty(&self, boundaries: &Tensor, terms: &Tensor) -> Option<Tensor> {
        if self.boundaries.is_none() || self.settings.nu == 0.0 || terms.numel() == 0 {
            return None;
        }
        let sum = boundaries.sum(None::<Kind>) * self.settings.nu;
        match self.settings.boundary {
            Boundary::Fixed | Boundary::Learned => Some(sum),
            Boundary::PerClass => {
                let count = terms.gt(0.0).sum(Kind::Int64);
                let none = terms.le(0.0).all();
                Some((sum / count.clamp_min(1)).masked_fill(&none, 0.0))
            }
        }
    }
}

impl LossPart for MarginLoss {
    fn facts(&self) -> LossFacts {
        self.settings.facts()
    }
}

impl Loss for MarginLoss {
    fn terms(&self, batch: &LossInput) -> Terms {
        if let Some(triplets) = batch.marked_triplets_on_gpu() {
            return self.terms_of_marked(batch, triplets);
        }
        let distances = batch.distances();
        let triplets = batch.triplets();
        let positive = at(&distances, &triplets.anchor, &triplets.positive);
        let negative = at(&distances, &triplets.anchor, &triplets.negative);
        let boundaries = self.boundaries_of(batch, &triplets.anchor);
        let too_far = batch.distance.excess(&positive, &boundaries) + self.settings.margin;
        let too_close = batch.distance.excess(&boundaries, &negative) + self.settings.margin;
        let values = Tensor::cat(&[too_far.relu(), too_close.relu()], 0);
        let added = self.penalty(&boundaries, &values).into_iter().collect();
        let anchors = Tensor::cat(&[&triplets.anchor, &triplets.anchor], 0);
        Terms {
            parts: vec![Part::of_tuples(values, &anchors)],
            added,
        }
    }

    fn parameters(&self) -> Option<&Parameters> {
        self.boundaries.as_ref()
    }

    fn parameters_mut(&mut self) -> Option<&mut Parameters> {
        self.boundaries.as_mut()
    }
}

impl BuildLoss for Margin {
    fn build(&self, init: &ClassInit) -> Box<dyn Loss> {
        Box::new(MarginLoss::new(self, init))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        classes::tests::in_double,
        tests::{batch, is_empty_for, of_all_pairs},
    };
    use super::*;
    use crate::distance::Distance;

    /// The mean of non-zero terms, and how many triplets there are for each non-zero term.
    fn written_as_a_loop(beta: f64) -> (f64, f64) {
        let (_, distances, labels) = batch(Distance::Euclidean);
        let (mut sum, mut count, mut triplets) = (0.0, 0.0, 0.0);
        let same = |a: usize, b: usize| labels[a] == labels[b];
        for (a, p) in (0..12)
            .flat_map(|a| (0..12).map(move |p| (a, p)))
            .filter(|&(a, p)| a != p && same(a, p))
        {
            for n in (0..12).filter(|&n| !same(a, n)) {
                triplets += 1.0;
                for term in [distances[a][p] - beta + 0.2, beta - distances[a][n] + 0.2] {
                    sum += term.max(0.0);
                    count += f64::from(term > 0.0);
                }
            }
        }
        (sum / count, triplets / count)
    }

    #[test]
    fn it_is_the_sum_over_triplets_written_as_a_loop() {
        let fixed = Margin {
            nu: 0.5,
            ..Margin::default()
        };
        let (terms, _) = written_as_a_loop(1.2);
        assert!((of_all_pairs(&*in_double(&fixed)) - terms).abs() < 1e-12);
        // Exact in single precision, in which parameters start.
        let learned = Margin {
            beta: 0.75,
            nu: 0.5,
            boundary: Boundary::Learned,
            ..Margin::default()
        };
        let (terms, per_term) = written_as_a_loop(0.75);
        let found = of_all_pairs(&*in_double(&learned));
        assert!((found - terms - 0.5 * 0.75).abs() < 1e-12);
        let per_class = Margin {
            boundary: Boundary::PerClass,
            ..learned
        };
        let found = of_all_pairs(&*in_double(&per_class));
        assert!((found - terms - 0.5 * 0.75 * per_term).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_triplets_is_empty() {
        for boundary in [Boundary::Fixed, Boundary::Learned, Boundary::PerClass] {
            let loss = in_double(&Margin {
                boundary,
                nu: 1.0,
                ..Margin::default()
            });
            is_empty_for(&*loss, &[0, 0, 0]);
            is_empty_for(&*loss, &[0]);
        }
    }

    #[test]
    fn without_a_term_only_one_boundary_for_all_is_still_penalized() {
        for (boundary, expected) in [(Boundary::Learned, 0.5), (Boundary::PerClass, 0.0)] {
            let loss = in_double(&Margin {
                margin: -9.0,
                beta: 0.5,
                nu: 1.0,
                boundary,
            });
            assert_eq!(of_all_pairs(&*loss), expected);
        }
    }
}
