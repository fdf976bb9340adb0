//! Batches cut from passes over all classes. Musgrave, Belongie & Lim, "A Metric Learning Reality Check", ECCV 2020.
//!
//! A pass takes the classes in random order, and `per_class` distinct images of each, or as many drawn with replacement
//! of a class that has fewer. The passes follow each other, and
//! batches are cut from them without regard for their ends: a batch that lies across one can hold a class twice, even
//! an image twice, and one whose size is no multiple of `per_class` holds parts of classes.
//! Reference: pytorch-metric-learning `MPerClassSampler` without a `batch_size`.

use super::{Classes, Sampler, SamplerError, draw_of_class};
use crate::random::{Draws, Purpose};

/// Forms batches of `per_class` images of one class after another.
#[derive(Clone, Debug)]
pub struct Straddling {
    classes: Vec<Vec<i64>>,
    batch: usize,
    per_class: usize,
    seed: u64,
}

impl Straddling {
    /// Returns a sampler of images with these `labels`, for batches of `batch` images.
    ///
    /// # Errors
    /// If there is no such batch.
    pub fn new(
        labels: &[i64],
        batch: usize,
        per_class: usize,
        seed: u64,
    ) -> Result<Straddling, SamplerError> {
        if batch == 0 || per_class == 0 {
            return Err(SamplerError::NotAMultiple { batch, per_class });
        }
        let classes = Classes::new(labels);
        if classes.0.is_empty() {
            return Err(SamplerError::TooFewClasses {
                needed: 1,
                classes: 0,
            });
        }
        Ok(Straddling {
            classes: classes.0.into_values().collect(),
            batch,
            per_class,
            seed,
        })
    }

    /// Those images of a pass that lie at places `from` to `to` of it.
    fn part(&self, pass: u64, from: usize, to: usize) -> Vec<i64> {
        let mut order: Vec<usize> = (0..self.classes.len()).collect();
        let last = to.div_ceil(self.per_class);
        let order = Draws::new(self.seed, Purpose::Batch, pass, 0).choose(&mut order, last);
        let first = from / self.per_class;
        let images =
            (first..last).flat_map(|place| self.images(pass, place as u64 + 1, order[place]));
        images
            .skip(from - first * self.per_class)
            .take(to - from)
            .collect()
    }

    fn images(&self, pass: u64, place: u64, class: usize) -> Vec<i64> {
        let mut draws = Draws::new(self.seed, Purpose::Batch, pass, place);
        draw_of_class(&self.classes[class], self.per_class, &mut draws)
    }
}

impl Sampler for Straddling {
    fn batch(&self, step: u64) -> Vec<i64> {
        let pass_length = (self.classes.len() * self.per_class) as u64;
        let (mut place, end) = (step * self.batch as u64, (step + 1) * self.batch as u64);
        let mut images = Vec::with_capacity(self.batch);
        while place < end {
            let pass = place / pass_length;
            let to = end.min((pass + 1) * pass_length);
            let start = pass * pass_length;
            images.extend(self.part(pass, (place - start) as usize, (to - start) as usize));
            place = to;
        }
        images
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::{is_pure, labels};
    use super::*;

    fn classes_of(labels: &[i64], images: &[i64]) -> BTreeMap<i64, usize> {
        let mut counts = BTreeMap::new();
        images
            .iter()
            .for_each(|&image| *counts.entry(labels[image as usize]).or_default() += 1);
        counts
    }

    #[test]
    fn passes_hold_every_class_once_wherever_they_are_cut() {
        let labels = labels();
        for batch in [4, 5, 21, 50] {
            let sampler = Straddling::new(&labels, batch, 3, 5).unwrap();
            let stream: Vec<i64> = (0..(21 * 5 / batch as u64 + 1))
                .flat_map(|step| sampler.batch(step))
                .collect();
            let small = Straddling::new(&labels, batch, 4, 5).unwrap();
            let repeating: Vec<i64> = (0..(28 * 5 / batch as u64 + 1))
                .flat_map(|step| small.batch(step))
                .collect();
            for pass in repeating.chunks_exact(28) {
                // The class of three images has one of them twice or more, the others none.
                let images = pass.iter().collect::<std::collections::BTreeSet<_>>().len();
                assert!(classes_of(&labels, pass).values().all(|&count| count == 4));
                assert!((25..28).contains(&images), "{pass:?}");
            }
            for pass in stream.chunks_exact(21) {
                assert!(
                    classes_of(&labels, pass).values().all(|&count| count == 3),
                    "{batch}: {pass:?}"
                );
                let mut images = pass.to_vec();
                images.sort_unstable();
                assert!(images.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }

    #[test]
    fn seventy_five_classes_in_batches_of_32_straddle_as_they_should() {
        // 75 classes with 4 images: 300 are 9 batches and 12 images, so that of 75 batches 7 lie across the
        // end of a pass, and only these can hold a class twice.
        let labels: Vec<i64> = (0..750).map(|image| image / 10).collect();
        let sampler = Straddling::new(&labels, 32, 4, 2).unwrap();
        let mut twice = 0;
        for step in 0..7500 {
            let counts = classes_of(&labels, &sampler.batch(step));
            let across = (step * 32) / 300 != (step * 32 + 31) / 300;
            assert!(across || (counts.len() == 8 && counts.values().all(|&count| count == 4)));
            twice += usize::from(counts.values().any(|&count| count == 8));
        }
        // k classes on one side of an end and 8 - k on the other share one unless they all differ.
        let differ = |k: u32| {
            (0..k)
                .map(|i| f64::from(75 - (8 - k) - i) / f64::from(75 - i))
                .product::<f64>()
        };
        let expected: f64 = (1..8).map(|k| 100.0 * (1.0 - differ(k))).sum();
        assert!(
            (twice as f64 - expected).abs() < 4.0 * expected.sqrt(),
            "{twice} instead of {expected}"
        );
    }

    #[test]
    fn a_batch_depends_on_seed_and_step_alone() {
        is_pure(&|seed| Box::new(Straddling::new(&labels(), 8, 3, seed).unwrap()));
    }

    #[test]
    fn impossible_batches_are_refused() {
        let refused =
            |batch, per_class| Straddling::new(&labels(), batch, per_class, 0).unwrap_err();
        assert_eq!(
            refused(0, 3),
            SamplerError::NotAMultiple {
                batch: 0,
                per_class: 3
            }
        );
    }
}
