//! Batches of one pair of each of some classes, for the N-pair loss. Sohn, NeurIPS 2016.
//!
//! The same as [`MPerClass`] with two images of each class: of `batch / 2` distinct classes an anchor and, right after
//! it, its positive. These are two images: a class with one is refused.

use schema::{FixedPairs, MPerClass};

use super::{LabeledImages, Sample, SamplerError};

impl Sample for FixedPairs {
    fn check_images(&self, images: &LabeledImages) -> Result<(), SamplerError> {
        pairs(self).check_images(images)?;
        let small = images.classes.iter().find(|class| class.images.len() < 2);
        match small {
            Some(class) => Err(SamplerError::SmallClass {
                class: class.label,
                images: class.images.len(),
                per_class: 2,
            }),
            None => Ok(()),
        }
    }

    fn sample(&self, images: &LabeledImages, seed: u64, step: u64) -> Vec<i64> {
        pairs(self).sample(images, seed, step)
    }
}

fn pairs(settings: &FixedPairs) -> MPerClass {
    MPerClass {
        batch: settings.batch,
        per_class: 2,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::{is_pure, labels, sampler};
    use super::*;

    #[test]
    fn a_batch_is_one_pair_of_each_class() {
        let labels = labels();
        let sampler = sampler(FixedPairs { batch: 14 }, &labels, 5).unwrap();
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
        is_pure(|seed| {
            super::super::tests::sampler(FixedPairs { batch: 6 }, &labels, seed).unwrap()
        });
    }

    #[test]
    fn impossible_batches_are_refused() {
        let refused = |labels: &[i64], batch| sampler(FixedPairs { batch }, labels, 0).unwrap_err();
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
