//! Batches of any images: a plain shuffle of the data.
//!
//! Each pass over the data takes the images in a random order, without replacement, and cuts that order into batches;
//! what is left at the end of a pass is not used in it.

use super::{Sampler, SamplerError};
use crate::random::{Draws, Purpose};

/// Draws images without replacement.
#[derive(Clone, Debug)]
pub struct Random {
    images: usize,
    batch: usize,
    seed: u64,
}

impl Random {
    /// Returns a sampler of so many `images`, for batches of `batch` images.
    ///
    /// # Errors
    /// If the batch has no images, or more than there are.
    pub fn new(images: usize, batch: usize, seed: u64) -> Result<Random, SamplerError> {
        if batch == 0 || batch > images {
            return Err(SamplerError::TooFewImages { batch, images });
        }
        Ok(Random {
            images,
            batch,
            seed,
        })
    }
}

impl Sampler for Random {
    fn batch(&self, step: u64) -> Vec<i64> {
        let batches = (self.images / self.batch) as u64;
        let (pass, place) = (step / batches, (step % batches) as usize);
        let mut images: Vec<i64> = (0..self.images as i64).collect();
        let end = (place + 1) * self.batch;
        let shuffled = Draws::new(self.seed, Purpose::Batch, pass, 0).choose(&mut images, end);
        shuffled[end - self.batch..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{are_near, is_pure};
    use super::*;

    #[test]
    fn a_pass_takes_no_image_twice_and_leaves_out_less_than_a_batch() {
        let sampler = Random::new(22, 5, 3).unwrap();
        let pass = |number: u64| {
            let mut images: Vec<i64> = (0..4)
                .flat_map(|place| sampler.batch(4 * number + place))
                .collect();
            images.sort_unstable();
            images
        };
        for number in 0..20 {
            let images = pass(number);
            assert_eq!(images.len(), 20);
            assert!(
                images.windows(2).all(|pair| pair[0] < pair[1]),
                "{images:?}"
            );
        }
        assert_ne!(sampler.batch(0), sampler.batch(4));
    }

    #[test]
    fn every_image_is_equally_likely() {
        let sampler = Random::new(22, 5, 1).unwrap();
        let mut counts = vec![0.0; 22];
        (0..8000)
            .flat_map(|step| sampler.batch(step))
            .for_each(|image| counts[image as usize] += 1.0);
        are_near(&counts, |_| 40_000.0 / 22.0);
        is_pure(&|seed| Box::new(Random::new(50, 7, seed).unwrap()));
    }

    #[test]
    fn impossible_batches_are_refused() {
        assert_eq!(
            Random::new(4, 5, 0).unwrap_err(),
            SamplerError::TooFewImages {
                batch: 5,
                images: 4
            }
        );
        assert!(Random::new(4, 0, 0).is_err());
    }
}
