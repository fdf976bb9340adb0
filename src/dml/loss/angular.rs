//! Angular loss. Wang et al., ICCV 2017.
//!
//! Terms: one per positive pair, `log(1 + sum exp(4 t (a + p)·n - 2 (1 + t) a·p))` with `t = tan²(alpha)`. The sum is
//! over all references of another class, which a miner does not restrict; reduced to the mean. The largest matrix is
//! one of positive pairs by references.
//! Reference: pytorch-metric-learning (PML) `AngularLoss`. Differs: embeddings are taken as they are, and inner
//! products are used whatever the distance. PML normalizes anchors and positives but not negatives, which is the
//! formula of the paper only for embeddings of length one.

use schema::Angular;
use tch::Kind;

use super::{Loss, LossInput, rows};
use crate::reduce::{Part, Terms};

impl Loss for Angular {
    fn terms(&self, batch: &LossInput) -> Terms {
        let (of, others) = batch.positive_pairs();
        let (_, negatives) = batch.references.masks(batch.labels);
        let references = &batch.references.embeddings;
        let anchors = batch.embeddings.index(&[Some(&of)]);
        let positives = references.index(&[Some(&others)]);
        let squared_tangent = self.alpha.to_radians().tan().powi(2);
        let products =
            (&anchors * &positives).sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
        let to_all = ((anchors + positives) * (4.0 * squared_tangent)).matmul(&references.tr());
        let push = rows::log_sum_exp(&to_all, &negatives.index_select(0, &of));
        let values = rows::softplus(&(push - products * (2.0 * (1.0 + squared_tangent))));
        Terms::of([Part::of_tuples(values, &of)])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, is_empty_for, of_all_pairs};
    use super::*;
    use crate::distance::Distance;

    #[test]
    fn it_is_the_sum_over_pairs_written_as_a_loop() {
        let (_, products, labels) = batch(Distance::Cosine);
        let squared_tangent = 35f64.to_radians().tan().powi(2);
        let pairs = (0..12).flat_map(|a| (0..12).map(move |p| (a, p)));
        let terms: Vec<f64> = pairs
            .filter(|&(a, p)| a != p && labels[a] == labels[p])
            .map(|(a, p)| {
                let negatives = (0..12).filter(|&n| labels[n] != labels[a]);
                let sum = negatives
                    .map(|n| (4.0 * squared_tangent * (products[a][n] + products[p][n])).exp())
                    .sum::<f64>();
                (sum * (-2.0 * (1.0 + squared_tangent) * products[a][p]).exp()).ln_1p()
            })
            .collect();
        let found = of_all_pairs(&Angular { alpha: 35.0 });
        assert!((found - terms.iter().sum::<f64>() / terms.len() as f64).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        is_empty_for(&Angular { alpha: 40.0 }, &[0]);
        is_empty_for(&Angular { alpha: 40.0 }, &[0, 0, 0]);
        is_empty_for(&Angular { alpha: 40.0 }, &[0, 1, 2]);
    }
}
