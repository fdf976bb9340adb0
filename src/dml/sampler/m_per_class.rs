//! Batches of a fixed number of images from each of some classes.
//!
//! Every batch holds exactly `batch / per_class` distinct classes, uniformly chosen, and `per_class` distinct
//! images of each, or as many drawn with replacement of a class that has fewer.
//! Reference: pytorch-metric-learning `MPerClassSampler` with a `batch_size`.

use schema::MPerClass;

use super::{Class, LabeledImages, Sample, SamplerError, draw_of_class};
use crate::random::{Draws, Purpose};

impl Sample for MPerClass {
    fn check_images(&self, images: &LabeledImages) -> Result<(), SamplerError> {
        let batch = self.batch as usize;
        let per_class = self.per_class as usize;
        if batch == 0 || per_class == 0 || !batch.is_multiple_of(per_class) {
            return Err(SamplerError::NotAMultiple { batch, per_class });
        }
        let needed = batch / per_class;
        let classes = images.classes.len();
        if classes < needed {
            return Err(SamplerError::TooFewClasses { needed, classes });
        }
        Ok(())
    }

    /// The images of a class follow each other.
    fn sample(&self, images: &LabeledImages, seed: u64, step: u64) -> Vec<i64> {
        let mut classes: Vec<&Class> = images.classes.iter().collect();
        let count = (self.batch / self.per_class) as usize;
        let chosen = Draws::new(seed, Purpose::Batch, step, 0).choose(&mut classes, count);
        let mut batch = Vec::new();
        for (number, class) in (1..).zip(chosen) {
            let mut draws = Draws::new(seed, Purpose::Batch, step, number);
            batch.extend(draw_of_class(
                &class.images,
                self.per_class as usize,
                &mut draws,
            ));
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::{are_near, is_pure, labels, sampler};
    use super::*;

    #[test]
    fn every_batch_holds_the_right_number_of_distinct_classes_and_distinct_images() {
        let labels = labels();
        let sampler = sampler(
            MPerClass {
                batch: 12,
                per_class: 3,
            },
            &labels,
            5,
        )
        .unwrap();
        for step in 0..200 {
            let batch = sampler.batch(step);
            assert_eq!(batch.iter().collect::<BTreeSet<_>>().len(), 12);
            let classes: Vec<i64> = batch.iter().map(|&image| labels[image as usize]).collect();
            assert_eq!(classes.iter().collect::<BTreeSet<_>>().len(), 4);
            assert!(
                classes
                    .chunks(3)
                    .all(|class| class.iter().all(|&label| label == class[0]))
            );
        }
    }

    #[test]
    fn a_class_that_is_too_small_has_its_images_repeated_and_no_other() {
        let labels = labels();
        let batches = sampler(
            MPerClass {
                batch: 10,
                per_class: 5,
            },
            &labels,
            5,
        )
        .unwrap();
        let mut repeated = 0;
        for class in (0..200).flat_map(|step| {
            batches
                .batch(step)
                .chunks(5)
                .map(<[i64]>::to_vec)
                .collect::<Vec<_>>()
        }) {
            let label = labels[class[0] as usize];
            let (size, distinct) = (3 + label / 10, class.iter().collect::<BTreeSet<_>>().len());
            assert!(class.iter().all(|&image| labels[image as usize] == label));
            assert!(
                if size >= 5 {
                    distinct == 5
                } else {
                    distinct < 5
                },
                "{class:?}"
            );
            repeated += usize::from(size < 5);
        }
        assert!(repeated > 50);
        let alone = sampler(
            MPerClass {
                batch: 4,
                per_class: 2,
            },
            &[0, 1, 1],
            5,
        )
        .unwrap();
        assert!(
            (0..20).map(|step| alone.batch(step)).all(|batch| batch
                .iter()
                .filter(|&&image| image == 0)
                .count()
                == 2)
        );
    }

    #[test]
    fn a_batch_depends_on_seed_and_step_alone() {
        is_pure(|seed| {
            sampler(
                MPerClass {
                    batch: 12,
                    per_class: 3,
                },
                &labels(),
                seed,
            )
            .unwrap()
        });
    }

    #[test]
    fn every_class_and_every_image_of_it_is_equally_likely() {
        let labels = labels();
        let sampler = sampler(
            MPerClass {
                batch: 6,
                per_class: 3,
            },
            &labels,
            1,
        )
        .unwrap();
        let mut counts = vec![0.0; labels.len()];
        let steps = 20_000;
        (0..steps)
            .flat_map(|step| sampler.batch(step))
            .for_each(|image| counts[image as usize] += 1.0);
        let size = |image: usize| {
            labels
                .iter()
                .filter(|&&label| label == labels[image])
                .count() as f64
        };
        are_near(&counts, |image| {
            steps as f64 * (2.0 / 7.0) * (3.0 / size(image))
        });
    }

    #[test]
    fn impossible_batches_are_refused() {
        let refused =
            |batch, per_class| sampler(MPerClass { batch, per_class }, &labels(), 0).unwrap_err();
        assert_eq!(
            refused(10, 3),
            SamplerError::NotAMultiple {
                batch: 10,
                per_class: 3
            }
        );
        assert_eq!(
            refused(0, 3),
            SamplerError::NotAMultiple {
                batch: 0,
                per_class: 3
            }
        );
        assert_eq!(
            refused(3, 0),
            SamplerError::NotAMultiple {
                batch: 3,
                per_class: 0
            }
        );
        assert_eq!(
            refused(24, 3),
            SamplerError::TooFewClasses {
                needed: 8,
                classes: 7
            }
        );
    }
}
