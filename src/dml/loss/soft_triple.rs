//! SoftTriple. Qian et al., ICCV 2019, Eq. 6 and 10.
//!
//! Terms: one per image, the cross entropy of `la (S - delta)` with its class, with `delta` only at its class; reduced
//! to the mean. `S` of a class is the sum of the similarities to its centres, of length one, weighted with their
//! softmax of sharpness `1 / gamma`. A miner gives weights to images.
//! Added: `regulariser` times half the mean distance between two centres of one class. The half is that of the
//! authors' program.
//! Reference: pytorch-metric-learning (PML) `SoftTripleLoss` with `SparseCentersRegularizer`, which it leaves out unless
//! told. Differs: centres that coincide do not repel each other, where PML's slope is next to infinite; one centre
//! per class is regularised with 0, which PML refuses.

use tch::{Kind, Tensor};

use super::{
    Batch, Compares, Loss, Start,
    classes::{cross_entropy, own_class},
};
use crate::{
    distance::{Distance, normalise},
    parameters::{Initial, Parameters, Slot},
    reduce::{Reduction, Terms},
};

/// What is chosen about SoftTriple.
#[derive(Clone, Copy, Debug)]
pub struct SoftTripleSettings {
    /// Centres of each class.
    pub centres: i64,
    /// The scale before the softmax over classes (lambda in the paper).
    pub la: f64,
    /// The temperature of the softmax over the centres of a class.
    pub gamma: f64,
    /// The margin by which the similarity to the own class is reduced.
    pub delta: f64,
    /// Weight of the penalty on centres of one class that lie apart (tau in the paper).
    pub regulariser: f64,
}

/// SoftTriple.
#[derive(Debug)]
pub struct SoftTriple {
    settings: SoftTripleSettings,
    centres: Parameters,
}

impl SoftTriple {
    /// With centres drawn from a uniform distribution.
    pub fn new(settings: SoftTripleSettings, start: &Start) -> SoftTriple {
        let count = start.classes * settings.centres;
        // The authors' bound is that of a matrix of numbers by centres, whose inputs PyTorch takes the centres for.
        let centres = Slot::new("centres", &[count, start.width], Initial::FanIn(count));
        SoftTriple {
            settings,
            centres: Parameters::of_loss(vec![centres], start),
        }
    }

    /// Returns half the mean distance between two `centres` `[classes, k, d]` of one class, times its weight.
    fn penalty(&self, centres: &Tensor) -> Option<Tensor> {
        let (classes, k) = (centres.size()[0], centres.size()[1]);
        if self.settings.regulariser == 0.0 || k < 2 {
            return None;
        }
        let squared: Tensor = 2.0 - centres.bmm(&centres.transpose(1, 2)) * 2.0;
        let pairs = Tensor::ones([k, k], (Kind::Bool, centres.device())).triu(1);
        // At a distance of 0 the slope of the root is infinite.
        let none = squared.le(0.0).logical_or(&pairs.logical_not());
        let sum = squared
            .masked_fill(&none, 1.0)
            .sqrt()
            .masked_fill(&none, 0.0)
            .sum(None::<Kind>);
        Some(sum * (self.settings.regulariser / (classes * k * (k - 1)) as f64))
    }
}

impl Loss for SoftTriple {
    fn distance(&self) -> Distance {
        Distance::Cosine
    }

    fn reduction(&self) -> Reduction {
        Reduction::Mean
    }

    fn terms(&self, batch: &Batch) -> Terms {
        let SoftTripleSettings {
            centres: k,
            la,
            gamma,
            delta,
            ..
        } = self.settings;
        let centres = normalise(self.centres.get("centres"));
        let similarities = batch
            .distance
            .closeness(&batch.distance.matrix(batch.embeddings, &centres));
        let similarities = similarities.view([batch.images(), -1, k]);
        let softmax = (&similarities / gamma).softmax(2, None::<Kind>);
        let of_classes =
            (softmax * similarities).sum_dim_intlist([2i64].as_slice(), false, None::<Kind>);
        let own = own_class(batch, of_classes.size()[1]).to_kind(of_classes.kind());
        let mut terms = cross_entropy(&((of_classes - own * delta) * la), batch, &batch.weights());
        terms.added = self
            .penalty(&centres.view([-1, k, centres.size()[1]]))
            .into_iter()
            .collect();
        terms
    }

    fn compares(&self) -> Compares {
        Compares::Parameters
    }

    fn parameters(&self) -> Option<&Parameters> {
        Some(&self.centres)
    }

    fn parameters_mut(&mut self) -> Option<&mut Parameters> {
        Some(&mut self.centres)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        classes::tests::{
            START, cosines, in_double, is_stable, mean_cross_entropy, only_parameter,
        },
        tests::{agrees_with, of_all_pairs},
    };
    use super::*;
    use crate::testing::rows;

    const SETTINGS: SoftTripleSettings = SoftTripleSettings {
        centres: 3,
        la: 20.0,
        gamma: 0.1,
        delta: 0.01,
        regulariser: 0.2,
    };

    #[test]
    fn it_is_the_sum_over_images_and_pairs_of_centres_written_as_a_loop() {
        let loss = in_double(SoftTriple::new(SETTINGS, &START));
        let (cosines, labels) = cosines(&loss);
        let logit = |own: bool, cosines: &[f64]| {
            let sum: f64 = cosines.iter().map(|cosine| (cosine / 0.1).exp()).sum();
            let weighted: f64 = cosines
                .iter()
                .map(|cosine| (cosine / 0.1).exp() / sum * cosine)
                .sum();
            20.0 * (weighted - if own { 0.01 } else { 0.0 })
        };
        let row = |(row, &label): (&Vec<f64>, &usize)| {
            row.chunks(3)
                .enumerate()
                .map(|(class, cosines)| logit(class == label, cosines))
                .collect()
        };
        let logits: Vec<Vec<f64>> = cosines.iter().zip(&labels).map(row).collect();
        let centres = rows(&normalise(&only_parameter(&loss)).detach());
        let distance = |a: usize, b: usize| {
            centres[a]
                .iter()
                .zip(&centres[b])
                .map(|(x, y)| (x - y) * (x - y))
                .sum::<f64>()
                .sqrt()
        };
        let pairs = (0..4).flat_map(|class| {
            [(0, 1), (0, 2), (1, 2)].map(|(a, b)| distance(3 * class + a, 3 * class + b))
        });
        let penalty = 0.2 * pairs.sum::<f64>() / 12.0 / 2.0;
        assert!(
            (of_all_pairs(&loss) - mean_cross_entropy(&logits, &labels) - penalty).abs() < 1e-12
        );
    }

    #[test]
    fn values_and_gradients_are_those_of_the_reference() {
        agrees_with(include_str!("testdata/soft_triple.json"), |settings| {
            let number = |name: &str| settings[name].as_f64().unwrap();
            let (centres, regulariser) =
                (settings["centres"].as_i64().unwrap(), number("regulariser"));
            let (la, gamma, delta) = (number("la"), number("gamma"), number("delta"));
            let settings = SoftTripleSettings {
                centres,
                la,
                gamma,
                delta,
                regulariser,
            };
            Box::new(SoftTriple::new(
                settings,
                &Start {
                    classes: 5,
                    width: 4,
                    ..START
                },
            ))
        });
    }

    #[test]
    fn great_scales_and_low_temperatures_do_not_overflow() {
        is_stable(&SoftTriple::new(SETTINGS, &START));
        is_stable(&SoftTriple::new(
            SoftTripleSettings {
                la: 6e4,
                gamma: 1e-5,
                ..SETTINGS
            },
            &START,
        ));
    }

    #[test]
    fn centres_that_coincide_have_a_finite_gradient() {
        let mut loss = SoftTriple::new(SETTINGS, &START);
        let centres = loss
            .centres
            .flat()
            .narrow(0, 0, 3)
            .repeat([12])
            .view([12, 3]);
        loss.centres
            .set_all(Kind::Float, |_| centres.shallow_clone());
        is_stable(&loss);
    }

    #[test]
    fn a_single_centre_is_not_regularised() {
        let value = |regulariser| {
            of_all_pairs(&in_double(SoftTriple::new(
                SoftTripleSettings {
                    centres: 1,
                    regulariser,
                    ..SETTINGS
                },
                &START,
            )))
        };
        assert_eq!(value(0.0), value(5.0));
    }
}
