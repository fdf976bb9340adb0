//! The mean over the dimensions of an embedding, which should be zero. Yuan et al., CVPR 2019.
//!
//! Terms: one per embedding, the absolute value of the sum of its numbers. Reference: pytorch-metric-learning
//! `ZeroMeanRegularizer`.

use tch::{Kind, Tensor};

use super::Regularizer;

/// The mean over the dimensions of an embedding.
#[derive(Clone, Debug)]
pub struct ZeroMean;

impl Regularizer for ZeroMean {
    fn terms(&self, embeddings: &Tensor) -> Tensor {
        embeddings
            .sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)
            .abs()
    }
}
