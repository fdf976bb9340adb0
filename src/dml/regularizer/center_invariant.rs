//! Differences of length, which should be none. Wu et al., ICCV Workshops 2017, there of class centers.
//!
//! Terms: one per embedding, `(|x|² - mean |x|²)² / 4`. Reference: pytorch-metric-learning
//! `CenterInvariantRegularizer`.

use tch::{Kind, Tensor};

use super::Regularizer;

/// Differences of length.
#[derive(Clone, Debug)]
pub struct CenterInvariant;

impl Regularizer for CenterInvariant {
    fn terms(&self, embeddings: &Tensor) -> Tensor {
        let lengths = embeddings
            .square()
            .sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
        let mean = lengths.sum(None::<Kind>) / (lengths.numel().max(1) as f64);
        (lengths - mean).square() / 4.0
    }
}
