//! The length of embeddings.
//!
//! Terms: one per embedding, the p-norm to the power of `power`. Reference: pytorch-metric-learning `LpRegularizer`.

use tch::Tensor;

use super::Regularizer;

/// The length of embeddings.
#[derive(Clone, Debug)]
pub struct LpNorm {
    /// Which norm: 2 for the Euclidean one.
    pub p: f64,
    /// The power of each norm.
    pub power: f64,
}

impl Regularizer for LpNorm {
    fn terms(&self, embeddings: &Tensor) -> Tensor {
        let norms = embeddings.norm_scalaropt_dim(self.p, [1], false);
        if self.power == 1.0 {
            return norms;
        }
        // The slope of a power below 1 is infinite at 0.
        let zero = norms.eq(0.0);
        norms
            .masked_fill(&zero, 1.0)
            .pow_tensor_scalar(self.power)
            .masked_fill(&zero, 0.0)
    }
}
