//! Batches of one pair of each of some classes, as the N-pair loss wants them. Sohn, NeurIPS 2016.
//!
//! The same as [`MPerClass`] with two images of each class: of `batch / 2` distinct classes an anchor and, right after
//! it, its positive. These are two images: a class with one is refused.

use super::{Classes, MPerClass, Sampler, SamplerError};

/// Forms batches of pairs.
#[derive(Clone, Debug)]
pub struct FixedPairs(MPerClass);

impl FixedPairs {
    /// Returns a sampler of images with these `labels`, for batches of `batch` images.
    ///
    /// # Errors
    /// If there is no such batch, or a class has a single image.
    pub fn new(labels: &[i64], batch: usize, seed: u64) -> Result<FixedPairs, SamplerError> {
        let pairs = MPerClass::new(labels, batch, 2, seed)?;
        Classes::new(labels).hold_at_least(2)?;
        Ok(FixedPairs(pairs))
    }
}

impl Sampler for FixedPairs {
    fn batch(&self, step: u64) -> Vec<i64> {
        self.0.batch(step)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::{is_pure, labels};
    use super::*;

    #[test]
    fn a_batch_is_one_pair_of_each_class() {
        let labels = labels();
        let sampler = FixedPairs::new(&labels, 14, 5).unwrap();
        for batch in (0..50).map(|step| sampler.batch(step)) {
            let pairs: Vec<_> = batch.chunks(2).collect();
            let label = |image: i64| labels[image as usize];
            assert!(
                pairs
                    .iter()
                    .all(|pair| pair[0] != pair[1] && label(pair[0]) == label(pair[1]))
            );
            assert_eq!(
                pairs
                    .iter()
                    .map(|pair| label(pair[0]))
                    .collect::<BTreeSet<_>>()
                    .len(),
                7
            );
        }
        is_pure(&|seed| Box::new(FixedPairs::new(&labels, 6, seed).unwrap()));
    }

    #[test]
    fn impossible_batches_are_refused() {
        let refused = |labels: &[i64], batch| FixedPairs::new(labels, batch, 0).unwrap_err();
        assert_eq!(
            refused(&labels(), 5),
            SamplerError::NotAMultiple {
                batch: 5,
                per_class: 2
            }
        );
        assert_eq!(
            refused(&labels(), 16),
            SamplerError::TooFewClasses {
                needed: 8,
                classes: 7
            }
        );
        assert_eq!(
            refused(&[0, 0, 1], 4),
            SamplerError::SmallClass {
                class: 1,
                images: 1,
                per_class: 2
            }
        );
    }
}
