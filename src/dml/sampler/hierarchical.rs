//! Batches of a few super-classes, so that negatives are alike.
//!
//! A batch takes equal parts of `super_classes` distinct super-classes, uniformly chosen; of each as many distinct
//! classes as its part has room for, `per_class` distinct images each, or as many drawn with replacement of a class
//! that has fewer. Super-classes with fewer classes are never chosen.
//! Reference: pytorch-metric-learning (PML) `HierarchicalSampler`. Differs: PML goes through all combinations of
//! super-classes, some batches for each, shuffles each batch, and fills it with fewer classes where a super-class is
//! too small.

use schema::Hierarchical;

use super::{Class, LabeledImages, Sample, SamplerError, draw_of_class};
use crate::random::{Draws, Purpose};

impl Sample for Hierarchical {
    fn check_images(&self, images: &LabeledImages) -> Result<(), SamplerError> {
        let Some(super_classes) = &images.super_classes else {
            return Err(SamplerError::NoSuperClasses);
        };
        let batch = self.batch as usize;
        let needed = self.super_classes as usize;
        if batch == 0 || needed == 0 || !batch.is_multiple_of(needed) {
            return Err(SamplerError::UnevenSuperClasses {
                batch,
                super_classes: needed,
            });
        }
        let part = batch / needed;
        let per_class = self.per_class as usize;
        if per_class == 0 || !part.is_multiple_of(per_class) {
            return Err(SamplerError::NotAMultiple {
                batch: part,
                per_class,
            });
        }
        let classes = classes_per_super_class(self);
        let found = large_enough(super_classes, classes).len();
        if found < needed {
            return Err(SamplerError::TooFewSuperClasses {
                needed,
                classes,
                found,
            });
        }
        Ok(())
    }

    /// The images of a class follow each other, and so do the classes of a super-class.
    fn sample(&self, images: &LabeledImages, seed: u64, step: u64) -> Vec<i64> {
        let mut draws = Draws::new(seed, Purpose::Batch, step, 0);
        let classes = classes_per_super_class(self);
        let super_classes = images.super_classes.as_deref().unwrap_or_default();
        let mut super_classes = large_enough(super_classes, classes);
        let mut batch = Vec::new();
        for super_class in draws.choose(&mut super_classes, self.super_classes as usize) {
            let mut all: Vec<&Class> = super_class.iter().collect();
            for class in draws.choose(&mut all, classes) {
                batch.extend(draw_of_class(
                    &class.images,
                    self.per_class as usize,
                    &mut draws,
                ));
            }
        }
        batch
    }
}

/// Returns the number of classes that a batch takes of each super-class.
fn classes_per_super_class(settings: &Hierarchical) -> usize {
    (settings.batch / settings.super_classes / settings.per_class) as usize
}

fn large_enough(super_classes: &[Vec<Class>], classes: usize) -> Vec<&Vec<Class>> {
    super_classes
        .iter()
        .filter(|super_class| super_class.len() >= classes)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use schema::Sampler;

    use super::super::{
        BatchSampler,
        tests::{are_near, is_pure},
    };
    use super::*;

    /// 4 super-classes of 2, 3, 4 and 5 classes of 6 images.
    fn labels() -> (Vec<i64>, Vec<i64>) {
        let above: Vec<i64> = (0..14)
            .map(|class| [2, 5, 9, 14].iter().filter(|&&end| end <= class).count() as i64)
            .collect();
        let labels: Vec<i64> = (0..84).map(|image| image % 14).collect();
        let above = labels.iter().map(|&label| above[label as usize]).collect();
        (labels, above)
    }

    fn sampler(settings: Hierarchical, seed: u64) -> Result<BatchSampler, SamplerError> {
        let (labels, above) = labels();
        let images = LabeledImages::new(&labels, Some(&above));
        BatchSampler::new(&Sampler::Hierarchical(settings), images, seed)
    }

    const SETTINGS: Hierarchical = Hierarchical {
        batch: 24,
        super_classes: 2,
        per_class: 4,
    };

    #[test]
    fn a_batch_holds_equal_parts_of_distinct_super_classes() {
        let (labels, above) = labels();
        let sampler = sampler(SETTINGS, 3).unwrap();
        let mut counts = vec![0.0; 3];
        for batch in (0..3000).map(|step| sampler.batch(step)) {
            assert_eq!(batch.iter().collect::<BTreeSet<_>>().len(), 24);
            for half in batch.chunks(12) {
                let above: BTreeSet<i64> =
                    half.iter().map(|&image| above[image as usize]).collect();
                let classes: BTreeSet<i64> =
                    half.iter().map(|&image| labels[image as usize]).collect();
                assert_eq!((above.len(), classes.len()), (1, 3));
                // The first super-class is too small for three classes.
                counts[*above.first().unwrap() as usize - 1] += 1.0;
            }
            assert_ne!(above[batch[0] as usize], above[batch[12] as usize]);
        }
        are_near(&counts, |_| 2000.0);
    }

    #[test]
    fn classes_that_are_too_small_have_their_images_repeated() {
        let sampler = sampler(
            Hierarchical {
                batch: 28,
                super_classes: 2,
                per_class: 7,
            },
            3,
        )
        .unwrap();
        for class in sampler.batch(0).chunks(7) {
            assert!(
                (1..=6).contains(&class.iter().collect::<BTreeSet<_>>().len()),
                "{class:?}"
            );
        }
    }

    #[test]
    fn a_batch_depends_on_seed_and_step_alone() {
        is_pure(|seed| sampler(SETTINGS, seed).unwrap());
    }

    #[test]
    fn impossible_batches_are_refused() {
        let refused = |batch, super_classes, per_class| {
            sampler(
                Hierarchical {
                    batch,
                    super_classes,
                    per_class,
                },
                0,
            )
            .unwrap_err()
        };
        assert_eq!(
            refused(24, 5, 4),
            SamplerError::UnevenSuperClasses {
                batch: 24,
                super_classes: 5
            }
        );
        assert_eq!(
            refused(24, 2, 5),
            SamplerError::NotAMultiple {
                batch: 12,
                per_class: 5
            }
        );
        let too_few = |needed, classes, found| SamplerError::TooFewSuperClasses {
            needed,
            classes,
            found,
        };
        assert_eq!(refused(40, 2, 4), too_few(2, 5, 1));
    }
}
