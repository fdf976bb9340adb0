//! Batches of any images: a plain shuffle of the data.
//!
//! Each pass over the data takes the images in a random order, without replacement, and cuts that order into batches;
//! an incomplete batch at the end of a pass is dropped.

use schema::RandomSampler;

use super::{LabeledImages, Sample, SamplerError};
use crate::random::{Draws, Purpose};

impl Sample for RandomSampler {
    fn check_images(&self, images: &LabeledImages) -> Result<(), SamplerError> {
        let batch = self.batch as usize;
        if batch == 0 || batch > images.count {
            return Err(SamplerError::TooFewImages {
                batch,
                images: images.count,
            });
        }
        Ok(())
    }

    fn sample(&self, images: &LabeledImages, seed: u64, step: u64) -> Vec<i64> {
        let batch = self.batch as usize;
        let batches = (images.count / batch) as u64;
        let pass = step / batches;
        let end = ((step % batches) as usize + 1) * batch;
        let mut order: Vec<i64> = (0..images.count as i64).collect();
        let shuffled = Draws::new(seed, Purpose::Batch, pass, 0).choose(&mut order, end);
        shuffled[end - batch..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        BatchSampler,
        tests::{self, are_near, is_pure},
    };
    use super::*;

    fn sampler(images: i64, batch: u32, seed: u64) -> Result<BatchSampler, SamplerError> {
        let labels: Vec<i64> = (0..images).collect();
        tests::sampler(RandomSampler { batch }, &labels, seed)
    }

    #[test]
    fn a_pass_takes_no_image_twice_and_leaves_out_less_than_a_batch() {
        let sampler = sampler(22, 5, 3).unwrap();
        let pass = |number: u64| {
            let mut images: Vec<i64> = (0..4)
                .flat_map(|index| sampler.batch(4 * number + index))
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
        let sampler = sampler(22, 5, 1).unwrap();
        let mut counts = vec![0.0; 22];
        (0..8000)
            .flat_map(|step| sampler.batch(step))
            .for_each(|image| counts[image as usize] += 1.0);
        are_near(&counts, |_| 40_000.0 / 22.0);
        is_pure(|seed| self::sampler(50, 7, seed).unwrap());
    }

    #[test]
    fn impossible_batches_are_refused() {
        assert_eq!(
            sampler(4, 5, 0).unwrap_err(),
            SamplerError::TooFewImages {
                batch: 5,
                images: 4
            }
        );
        assert!(sampler(4, 0, 0).is_err());
    }
}
