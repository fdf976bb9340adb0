//! Batches cut from passes over all classes. Musgrave, Belongie & Lim, "A Metric Learning Reality Check", ECCV 2020.
//!
//! A pass takes the classes in random order, and `per_class` distinct images of each, or as many drawn with replacement
//! of a class that has fewer. The passes follow each other, and
//! batches are cut from them without regard for their ends: a batch across one can hold a class twice, even
//! an image twice, and one whose size is no multiple of `per_class` holds parts of classes.
//! Reference: pytorch-metric-learning `MPerClassSampler` without a `batch_size`.

use std::ops::Range;

use schema::Straddling;

use super::{LabeledImages, Sample, SamplerError, draw_of_class};
use crate::random::{Draws, Purpose};

impl Sample for Straddling {
    fn check_images(&self, images: &LabeledImages) -> Result<(), SamplerError> {
        if self.batch == 0 || self.per_class == 0 {
            return Err(SamplerError::NotAMultiple {
                batch: self.batch as usize,
                per_class: self.per_class as usize,
            });
        }
        if images.classes.is_empty() {
            return Err(SamplerError::TooFewClasses {
                needed: 1,
                classes: 0,
            });
        }
        Ok(())
    }

    fn sample(&self, images: &LabeledImages, seed: u64, step: u64) -> Vec<i64> {
        let length = images.classes.len() as u64 * u64::from(self.per_class);
        let batch = u64::from(self.batch);
        let end = (step + 1) * batch;
        let mut position = step * batch;
        let mut sampled = Vec::with_capacity(self.batch as usize);
        while position < end {
            let pass = position / length;
            let start = pass * length;
            let to = end.min(start + length);
            let range = (position - start) as usize..(to - start) as usize;
            sampled.extend(part_of_pass(
                self,
                images,
                Pass { seed, number: pass },
                range,
            ));
            position = to;
        }
        sampled
    }
}

/// One pass over all classes.
#[derive(Clone, Copy)]
struct Pass {
    seed: u64,
    number: u64,
}

/// Returns the images at these positions of a pass.
fn part_of_pass(
    settings: &Straddling,
    images: &LabeledImages,
    pass: Pass,
    range: Range<usize>,
) -> Vec<i64> {
    let draws = |index| Draws::new(pass.seed, Purpose::Batch, pass.number, index);
    let per_class = settings.per_class as usize;
    let first = range.start / per_class;
    let last = range.end.div_ceil(per_class);
    let mut order: Vec<usize> = (0..images.classes.len()).collect();
    let order = draws(0).choose(&mut order, last);
    let mut part = Vec::new();
    for (index, &class) in order.iter().enumerate().skip(first) {
        let class = &images.classes[class].images;
        part.extend(draw_of_class(
            class,
            per_class,
            &mut draws(index as u64 + 1),
        ));
    }
    part.truncate(range.end - first * per_class);
    part.split_off(range.start - first * per_class)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::{is_pure, labels, sampler};
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
        for batch in [4u32, 5, 21, 50] {
            let distinct = sampler(
                Straddling {
                    batch,
                    per_class: 3,
                },
                &labels,
                5,
            )
            .unwrap();
            let stream: Vec<i64> = (0..(21 * 5 / u64::from(batch) + 1))
                .flat_map(|step| distinct.batch(step))
                .collect();
            let small = sampler(
                Straddling {
                    batch,
                    per_class: 4,
                },
                &labels,
                5,
            )
            .unwrap();
            let repeating: Vec<i64> = (0..(28 * 5 / u64::from(batch) + 1))
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
        let sampler = sampler(
            Straddling {
                batch: 32,
                per_class: 4,
            },
            &labels,
            2,
        )
        .unwrap();
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
        is_pure(|seed| {
            sampler(
                Straddling {
                    batch: 8,
                    per_class: 3,
                },
                &labels(),
                seed,
            )
            .unwrap()
        });
    }

    #[test]
    fn impossible_batches_are_refused() {
        let refused =
            |batch, per_class| sampler(Straddling { batch, per_class }, &labels(), 0).unwrap_err();
        assert_eq!(
            refused(0, 3),
            SamplerError::NotAMultiple {
                batch: 0,
                per_class: 3
            }
        );
    }
}
