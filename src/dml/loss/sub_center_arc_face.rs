//! Sub-center ArcFace. Deng et al., ECCV 2020, Eq. 4.
//!
//! Terms: those of [`ArcFace`](super::arc_face), where the cosine of a class is the largest cosine with
//! one of its `sub_centers` centers, of length one. A class with noisy labels can give them a center of
//! their own. A miner gives weights to images.
//! Reference: pytorch-metric-learning `SubCenterArcFaceLoss`. Differs: as [`ArcFace`](super::arc_face);
//! outliers and dominant centers are not reported.

use schema::SubCenterArcFace;
use tch::Tensor;

use super::{
    BuildLoss, ClassInit, Loss, LossInput,
    arc_face::with_angular_margin,
    classes::{ClassLoss, ClassRows, Logits},
};

impl ClassRows for SubCenterArcFace {
    fn rows_per_class(&self) -> i64 {
        self.sub_centers.into()
    }
}

impl Logits for SubCenterArcFace {
    fn logits(&self, batch: &LossInput, weights: &Tensor) -> Tensor {
        let cosines = batch.closeness_to(weights);
        let cosines = cosines.view([batch.images(), -1, self.rows_per_class()]);
        let (largest, _) = cosines.max_dim(2, false);
        with_angular_margin(&largest, self.margin.to_radians(), batch) * self.scale
    }
}

impl BuildLoss for SubCenterArcFace {
    fn build(&self, init: &ClassInit) -> Box<dyn Loss> {
        Box::new(ClassLoss::new(self.clone(), init))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        classes::tests::{cosines, in_double, is_stable, mean_cross_entropy},
        tests::of_all_pairs,
    };
    use super::*;

    #[test]
    fn it_is_the_sum_over_images_written_as_a_loop() {
        let loss = in_double(&SubCenterArcFace {
            margin: 20.0,
            scale: 10.0,
            sub_centers: 2,
        });
        let (cosines, labels) = cosines(&*loss);
        let margin = f64::to_radians(20.0);
        let mut logits = Vec::new();
        for (row, &label) in cosines.iter().zip(&labels) {
            let mut of_classes: Vec<f64> = row.chunks(2).map(|two| two[0].max(two[1])).collect();
            of_classes[label] = (of_classes[label].acos() + margin).cos();
            logits.push(of_classes.iter().map(|cosine| cosine * 10.0).collect());
        }
        assert!((of_all_pairs(&*loss) - mean_cross_entropy(&logits, &labels)).abs() < 1e-12);
    }

    #[test]
    fn angles_of_0_and_180_degrees_and_great_scales_give_finite_gradients() {
        is_stable(&SubCenterArcFace::default());
        is_stable(&SubCenterArcFace {
            scale: 6e4,
            ..SubCenterArcFace::default()
        });
    }
}
