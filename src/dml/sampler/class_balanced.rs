//! Batches of images drawn with replacement, each class as likely as any other.
//!
//! For each place of the batch a class is drawn, and then an image of it; neither is ever used up.
//! Reference: the `BalancedSampler` of Proxy Anchor's program.

use super::{Classes, Sampler, SamplerError};
use crate::random::{Draws, Purpose};

/// Draws classes and images with replacement.
#[derive(Clone, Debug)]
pub struct ClassBalanced {
    classes: Vec<Vec<i64>>,
    batch: usize,
    seed: u64,
}

impl ClassBalanced {
    /// Returns a sampler of images with these `labels`, for batches of `batch` images.
    ///
    /// # Errors
    /// If there are no images, or the batch has none.
    pub fn new(labels: &[i64], batch: usize, seed: u64) -> Result<ClassBalanced, SamplerError> {
        if batch == 0 || labels.is_empty() {
            return Err(SamplerError::TooFewImages {
                batch,
                images: labels.len(),
            });
        }
        Ok(ClassBalanced {
            classes: Classes::new(labels).0.into_values().collect(),
            batch,
            seed,
        })
    }
}

impl Sampler for ClassBalanced {
    fn batch(&self, step: u64) -> Vec<i64> {
        let mut draws = Draws::new(self.seed, Purpose::Batch, step, 0);
        let mut image = || {
            let class = &self.classes[draws.below(self.classes.len())];
            class[draws.below(class.len())]
        };
        (0..self.batch).map(|_| image()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{are_near, is_pure, labels};
    use super::*;

    #[test]
    fn every_class_and_every_image_of_it_is_equally_likely() {
        let labels = labels();
        let sampler = ClassBalanced::new(&labels, 10, 1).unwrap();
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
        is_pure(&|seed| Box::new(ClassBalanced::new(&labels(), 12, seed).unwrap()));
    }

    #[test]
    fn without_images_there_are_no_batches() {
        assert_eq!(
            ClassBalanced::new(&labels(), 0, 0).unwrap_err(),
            SamplerError::TooFewImages {
                batch: 0,
                images: 42
            }
        );
        assert!(ClassBalanced::new(&[], 2, 0).is_err());
    }
}
