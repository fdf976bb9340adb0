//! Batches of images drawn with replacement, each class as likely as any other.
//!
//! For each position of the batch a class is drawn, and then an image of it; neither is ever used up.
//! Reference: the `BalancedSampler` of Proxy Anchor's program.

use schema::ClassBalanced;

use super::{LabeledImages, Sample, SamplerError};
use crate::random::{Draws, Purpose};

impl Sample for ClassBalanced {
    fn check_images(&self, images: &LabeledImages) -> Result<(), SamplerError> {
        if self.batch == 0 || images.count == 0 {
            return Err(SamplerError::TooFewImages {
                batch: self.batch as usize,
                images: images.count,
            });
        }
        Ok(())
    }

    fn sample(&self, images: &LabeledImages, seed: u64, step: u64) -> Vec<i64> {
        let mut draws = Draws::new(seed, Purpose::Batch, step, 0);
        let mut batch = Vec::new();
        for _ in 0..self.batch {
            let class = &images.classes[draws.below(images.classes.len())].images;
            batch.push(class[draws.below(class.len())]);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{are_near, is_pure, labels, sampler};
    use super::*;

    #[test]
    fn every_class_and_every_image_of_it_is_equally_likely() {
        let labels = labels();
        let sampler = sampler(ClassBalanced { batch: 10 }, &labels, 1).unwrap();
        let mut counts = vec![0.0; labels.len()];
        (0..6000)
            .flat_map(|step| sampler.batch(step))
            .for_each(|image| counts[image as usize] += 1.0);
        let size = |image: usize| {
            labels
                .iter()
                .filter(|&&label| label == labels[image])
                .count() as f64
        };
        are_near(&counts, |image| 60_000.0 / 7.0 / size(image));
    }

    #[test]
    fn a_batch_depends_on_seed_and_step_alone() {
        is_pure(|seed| sampler(ClassBalanced { batch: 12 }, &labels(), seed).unwrap());
    }

    #[test]
    fn without_images_there_are_no_batches() {
        assert_eq!(
            sampler(ClassBalanced { batch: 0 }, &labels(), 0).unwrap_err(),
            SamplerError::TooFewImages {
                batch: 0,
                images: 42
            }
        );
        assert!(sampler(ClassBalanced { batch: 2 }, &[], 0).is_err());
    }
}
