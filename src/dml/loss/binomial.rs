//! Binomial deviance loss. Yi et al., arXiv 1407.4979.
//!
//! Terms: `log(1 + exp(-alpha (s - base)))` for each positive pair and `log(1 + exp(alpha cost (s - base)))` for each
//! negative pair. The two parts are reduced separately, each to the mean of its terms.
//! Reference: the formula; no program was compared. Differs: all constants are settings.

use schema::Binomial;
use tch::Tensor;

use super::{Loss, LossInput, rows};
use crate::{distance::DistanceExt, reduce::Terms};

impl Loss for Binomial {
    fn terms(&self, batch: &LossInput) -> Terms {
        let violation = |distances: &Tensor, sharpness: f64| {
            batch.distance.excess_over(distances, self.base) * sharpness
        };
        batch.terms_of_violations(
            |distances| violation(distances, self.alpha),
            |distances| violation(distances, -self.alpha * self.cost),
            rows::softplus,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{is_empty_for, of_all_pairs, sides};
    use super::*;

    #[test]
    fn it_is_the_sum_over_pairs_written_as_a_loop() {
        let loss = Binomial {
            alpha: 3.0,
            base: 0.4,
            cost: 5.0,
        };
        let sides = sides(loss.distance());
        let mean = |terms: Vec<f64>| terms.iter().sum::<f64>() / terms.len() as f64;
        let pull = sides
            .iter()
            .flat_map(|(positives, _)| positives)
            .map(|s| (-3.0 * (s - 0.4)).exp().ln_1p())
            .collect();
        let push = sides
            .iter()
            .flat_map(|(_, negatives)| negatives)
            .map(|s| (15.0 * (s - 0.4)).exp().ln_1p())
            .collect();
        assert!((of_all_pairs(&loss) - mean(pull) - mean(push)).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(
            &Binomial {
                alpha: 2.0,
                base: 0.5,
                cost: 25.0,
            },
            &[0],
        );
    }
}
