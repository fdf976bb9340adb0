//! SoftTriple. Qian et al., ICCV 2019, Eq. 6 and 10.
//!
//! Terms: one per image, the cross entropy of `la (S - delta)` with its class, with `delta` only at its class; reduced
//! to the mean. `S` of a class is the sum of the similarities to its centers, of length one, weighted with their
//! softmax of sharpness `1 / gamma`. A miner gives weights to images.
//! Added: `regularizer` times half the mean distance between two centers of one class. The half is that of the
//! authors' program.
//! Reference: pytorch-metric-learning (PML) `SoftTripleLoss` with `SparseCentersRegularizer`, which is off by
//! default there. Differs: centers that coincide do not repel each other, where PML's slope is nearly infinite; one center per
//! class has a penalty of 0, which PML refuses.

use schema::SoftTriple;
use tch::{Kind, Tensor};

use super::{
    BuildLoss, ClassInit, Loss, LossInput,
    classes::{ClassLoss, ClassRows, Logits, own_class},
};
use crate::parameters::Init;

impl ClassRows for SoftTriple {
    fn name(&self) -> &'static str {
        "centers"
    }

    fn rows_per_class(&self) -> i64 {
        self.centers.into()
    }

    /// The bound of the authors' program, whose matrix of dimensions by centers PyTorch initializes
    /// as if the centers were inputs.
    fn initial(&self, classes: i64) -> Init {
        Init::FanIn(classes * self.rows_per_class())
    }
}

impl Logits for SoftTriple {
    fn logits(&self, batch: &LossInput, centers: &Tensor) -> Tensor {
        let similarities = batch.closeness_to(centers);
        let similarities = similarities.view([batch.images(), -1, self.rows_per_class()]);
        let softmax = (&similarities / self.gamma).softmax(2, None::<Kind>);
        let of_classes =
            (softmax * similarities).sum_dim_intlist([2i64].as_slice(), false, None::<Kind>);
        let own = own_class(batch, of_classes.size()[1]).to_kind(of_classes.kind());
        (of_classes - own * self.delta) * self.la
    }

    /// Half the mean distance between two centers of one class, times its weight.
    fn penalty(&self, centers: &Tensor) -> Option<Tensor> {
        let k = self.rows_per_class();
        if self.regularizer == 0.0 || k < 2 {
            return None;
        }
        let centers = centers.view([-1, k, centers.size()[1]]);
        let squared: Tensor = 2.0 - centers.bmm(&centers.transpose(1, 2)) * 2.0;
        let pairs = Tensor::ones([k, k], (Kind::Bool, centers.device())).triu(1);
        // At a distance of 0 the slope of the root is infinite.
        let none = squared.le(0.0).logical_or(&pairs.logical_not());
        let sum = squared
            .masked_fill(&none, 1.0)
            .sqrt()
            .masked_fill(&none, 0.0)
            .sum(None::<Kind>);
        let count = centers.size()[0] * k * (k - 1);
        Some(sum * (self.regularizer / count as f64))
    }
}

impl BuildLoss for SoftTriple {
    fn build(&self, init: &ClassInit) -> Box<dyn Loss> {
        Box::new(ClassLoss::new(self.clone(), init))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        classes::tests::{
            START, cosines, in_double, is_stable, loss_is_stable, mean_cross_entropy,
            only_parameter,
        },
        tests::of_all_pairs,
    };
    use super::*;
    use crate::{distance::normalize, testing::rows};

    fn three_centers() -> SoftTriple {
        SoftTriple {
            centers: 3,
            ..SoftTriple::default()
        }
    }

    #[test]
    fn it_is_the_sum_over_images_and_pairs_of_centers_written_as_a_loop() {
        let loss = in_double(&three_centers());
        let (cosines, labels) = cosines(&*loss);
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
        let centers = rows(&normalize(&only_parameter(&*loss)).detach());
        let distance = |a: usize, b: usize| {
            centers[a]
                .iter()
                .zip(&centers[b])
                .map(|(x, y)| (x - y) * (x - y))
                .sum::<f64>()
                .sqrt()
        };
        let pairs = (0..4).flat_map(|class| {
            [(0, 1), (0, 2), (1, 2)].map(|(a, b)| distance(3 * class + a, 3 * class + b))
        });
        let penalty = 0.2 * pairs.sum::<f64>() / 12.0 / 2.0;
        assert!(
            (of_all_pairs(&*loss) - mean_cross_entropy(&logits, &labels) - penalty).abs() < 1e-12
        );
    }

    #[test]
    fn great_scales_and_low_temperatures_do_not_overflow() {
        is_stable(&three_centers());
        is_stable(&SoftTriple {
            la: 6e4,
            gamma: 1e-5,
            ..three_centers()
        });
    }

    #[test]
    fn centers_that_coincide_have_a_finite_gradient() {
        let mut loss = three_centers().build(&START);
        let parameters = loss.parameters_mut().unwrap();
        let centers = parameters.flat().narrow(0, 0, 3).repeat([12]).view([12, 3]);
        parameters.set_all(Kind::Float, |_| centers.shallow_clone());
        loss_is_stable(&*loss);
    }

    #[test]
    fn a_single_center_is_not_regularized() {
        let value = |regularizer| {
            of_all_pairs(&*in_double(&SoftTriple {
                centers: 1,
                regularizer,
                ..three_centers()
            }))
        };
        assert_eq!(value(0.0), value(5.0));
    }
}
