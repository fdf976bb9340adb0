//! Margin loss. Wu et al., "Sampling Matters in Deep Embedding Learning", ICCV 2017, Eq. 4.
//!
//! Terms: two per triplet, `max(0, d(a,p) - beta + margin)` and `max(0, beta - d(a,n) + margin)`, reduced together
//! to the mean of the non-zero ones. The boundary `beta` is fixed, learnt, or learnt for each class of anchors.
//! Added for a learnt one: `nu beta`; for one per class `nu` times the sum of `beta` over the triplets divided by the
//! number of non-zero terms.
//! Reference: pytorch-metric-learning `MarginLoss`. Differs: none.

use tch::{Kind, Tensor};

use super::{Batch, Loss, Start};
use crate::{
    distance::Distance,
    parameters::{Initial, Parameters, Slot},
    reduce::{Part, Reduction, Terms},
    tuples::at,
};

/// Whether the boundary between positive and negative pairs is learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boundary {
    /// It stays what it is.
    Fixed,
    /// One, for all classes.
    Learnt,
    /// One for each class of anchors.
    PerClass,
}

/// What is chosen about a margin loss.
#[derive(Clone, Copy, Debug)]
pub struct MarginSettings {
    /// How far from the boundary pairs have to be.
    pub margin: f64,
    /// The boundary, or what it starts with.
    pub beta: f64,
    /// Whether it is learnt.
    pub boundary: Boundary,
    /// Weight of the penalty on a learnt boundary.
    pub nu: f64,
}

/// Margin loss.
#[derive(Debug)]
pub struct Margin {
    settings: MarginSettings,
    parameters: Option<Parameters>,
}

impl Margin {
    /// Of the start, only the classes matter, and where it is.
    pub fn new(settings: MarginSettings, start: &Start) -> Margin {
        let slot = |count| Slot::new("beta", &[count], Initial::Constant(settings.beta as f32));
        let parameters = match settings.boundary {
            Boundary::Fixed => None,
            Boundary::Learnt => Some(Parameters::of_loss(vec![slot(1)], start)),
            Boundary::PerClass => Some(Parameters::of_loss(vec![slot(start.classes)], start)),
        };
        Margin {
            settings,
            parameters,
        }
    }

    /// The boundary of each anchor: `[t]`, or `[1]` if all have the same.
    fn boundaries(&self, batch: &Batch, anchors: &Tensor) -> Tensor {
        let Some(parameters) = &self.parameters else {
            return Tensor::full(
                [1],
                self.settings.beta,
                (batch.embeddings.kind(), batch.embeddings.device()),
            );
        };
        let beta = parameters.get("beta");
        match self.settings.boundary {
            Boundary::Fixed | Boundary::Learnt => beta.shallow_clone(),
            Boundary::PerClass => beta.index(&[Some(batch.labels.index_select(0, anchors))]),
        }
    }

    /// What is added for these boundaries, given the terms.
    fn penalty(&self, boundaries: &Tensor, terms: &Tensor) -> Option<Tensor> {
        if self.parameters.is_none() || self.settings.nu == 0.0 || terms.numel() == 0 {
            return None;
        }
        let sum = boundaries.sum(None::<Kind>) * self.settings.nu;
        match self.settings.boundary {
            Boundary::Fixed | Boundary::Learnt => Some(sum),
            Boundary::PerClass => {
                let (count, none) = (terms.gt(0.0).sum(Kind::Int64), terms.le(0.0).all());
                Some((sum / count.clamp_min(1)).masked_fill(&none, 0.0))
            }
        }
    }
}

impl Loss for Margin {
    fn distance(&self) -> Distance {
        Distance::Euclidean
    }

    fn reduction(&self) -> Reduction {
        Reduction::AvgNonZero
    }

    fn terms(&self, batch: &Batch) -> Terms {
        let (distances, triplets) = (batch.distances(), batch.triplets());
        let positive = at(&distances, &triplets.anchor, &triplets.positive);
        let negative = at(&distances, &triplets.anchor, &triplets.negative);
        let boundaries = self.boundaries(batch, &triplets.anchor);
        let too_far = (batch.distance.excess(&positive, &boundaries) + self.settings.margin).relu();
        let too_close =
            (batch.distance.excess(&boundaries, &negative) + self.settings.margin).relu();
        let values = Tensor::cat(&[too_far, too_close], 0);
        let added = self.penalty(&boundaries, &values).into_iter().collect();
        let anchors = Tensor::cat(&[&triplets.anchor, &triplets.anchor], 0);
        Terms {
            parts: vec![Part::of_tuples(values, &anchors)],
            added,
        }
    }

    fn parameters(&self) -> Option<&Parameters> {
        self.parameters.as_ref()
    }

    fn parameters_mut(&mut self) -> Option<&mut Parameters> {
        self.parameters.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{
        classes::tests::{START, in_double},
        tests::{agrees_with, batch, is_empty_for, of_all_pairs},
    };
    use super::*;

    const SETTINGS: MarginSettings = MarginSettings {
        margin: 0.2,
        beta: 1.2,
        boundary: Boundary::Fixed,
        nu: 0.0,
    };

    fn named(settings: &Value) -> Box<dyn Loss> {
        let number = |name: &str| settings[name].as_f64().unwrap();
        let boundary = match settings["boundary"].as_str().unwrap() {
            "fixed" => Boundary::Fixed,
            "learnt" => Boundary::Learnt,
            _ => Boundary::PerClass,
        };
        let settings = MarginSettings {
            margin: number("margin"),
            beta: number("beta"),
            boundary,
            nu: number("nu"),
        };
        Box::new(Margin::new(
            settings,
            &Start {
                classes: 5,
                ..START
            },
        ))
    }

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
        let loss = Margin::new(
            MarginSettings {
                nu: 0.5,
                ..SETTINGS
            },
            &START,
        );
        assert!((of_all_pairs(&loss) - written_as_a_loop(1.2).0).abs() < 1e-12);
        // Exact in single precision, in which parameters start.
        let settings = MarginSettings {
            beta: 0.75,
            nu: 0.5,
            ..SETTINGS
        };
        let (terms, per_term) = written_as_a_loop(0.75);
        let learnt = in_double(Margin::new(
            MarginSettings {
                boundary: Boundary::Learnt,
                ..settings
            },
            &START,
        ));
        assert!((of_all_pairs(&learnt) - terms - 0.5 * 0.75).abs() < 1e-12);
        let per_class = in_double(Margin::new(
            MarginSettings {
                boundary: Boundary::PerClass,
                ..settings
            },
            &START,
        ));
        assert!((of_all_pairs(&per_class) - terms - 0.5 * 0.75 * per_term).abs() < 1e-12);
    }

    #[test]
    fn values_and_gradients_are_those_of_the_reference() {
        agrees_with(include_str!("testdata/margin.json"), named);
    }

    #[test]
    fn a_batch_without_triplets_is_empty() {
        for boundary in [Boundary::Fixed, Boundary::Learnt, Boundary::PerClass] {
            let loss = in_double(Margin::new(
                MarginSettings {
                    boundary,
                    nu: 1.0,
                    ..SETTINGS
                },
                &START,
            ));
            is_empty_for(&loss, &[0, 0, 0]);
            is_empty_for(&loss, &[0]);
        }
    }

    #[test]
    fn without_a_term_only_one_boundary_for_all_is_still_penalised() {
        let settings = MarginSettings {
            margin: -9.0,
            beta: 0.5,
            nu: 1.0,
            ..SETTINGS
        };
        for (boundary, expected) in [(Boundary::Learnt, 0.5), (Boundary::PerClass, 0.0)] {
            let loss = in_double(Margin::new(
                MarginSettings {
                    boundary,
                    ..settings
                },
                &START,
            ));
            assert_eq!(of_all_pairs(&loss), expected);
        }
    }
}
