//! Batches of a few super-classes, so that negatives are alike.
//!
//! A batch takes equal parts of `super_classes` distinct super-classes, uniformly chosen; of each as many distinct
//! classes as its part has room for, `per_class` distinct images each, or as many drawn with replacement of a class
//! that has fewer. Super-classes with fewer classes are never chosen.
//! Reference: pytorch-metric-learning (PML) `HierarchicalSampler`. Differs: PML goes through all combinations of
//! super-classes, some batches for each, shuffles each batch, and fills it with fewer classes where a super-class is
//! too small.

use std::collections::BTreeMap;

use super::{Classes, Sampler, SamplerError, draw_of_class};
use crate::random::{Draws, Purpose};

/// Forms batches of a few super-classes.
#[derive(Clone, Debug)]
pub struct Hierarchical {
    /// The images of the classes of each super-class.
    super_classes: Vec<Vec<Vec<i64>>>,
    super_classes_in_batch: usize,
    /// Classes of each super-class in a batch.
    classes: usize,
    per_class: usize,
    seed: u64,
}

/// What a batch is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Images in a batch.
    pub batch: usize,
    /// Super-classes in a batch.
    pub super_classes: usize,
    /// Images of each class.
    pub per_class: usize,
}

impl Hierarchical {
    /// Returns a sampler of images with these `labels` and these labels of super-classes.
    ///
    /// # Errors
    /// If there is no such batch.
    pub fn new(
        labels: &[i64],
        above: &[i64],
        parts: Parts,
        seed: u64,
    ) -> Result<Hierarchical, SamplerError> {
        let Parts {
            batch,
            super_classes: needed,
            per_class,
        } = parts;
        if batch == 0 || needed == 0 || !batch.is_multiple_of(needed) {
            return Err(SamplerError::UnevenSuperClasses {
                batch,
                super_classes: needed,
            });
        }
        let part = batch / needed;
        if per_class == 0 || !part.is_multiple_of(per_class) {
            return Err(SamplerError::NotAMultiple {
                batch: part,
                per_class,
            });
        }
        let classes = part / per_class;
        let mut super_classes = BTreeMap::<i64, Vec<Vec<i64>>>::new();
        for images in Classes::new(labels).0.into_values() {
            super_classes
                .entry(above[images[0] as usize])
                .or_default()
                .push(images);
        }
        let mut super_classes: Vec<_> = super_classes.into_values().collect();
        super_classes.retain(|of| of.len() >= classes);
        if super_classes.len() < needed {
            let found = super_classes.len();
            return Err(SamplerError::TooFewSuperClasses {
                needed,
                classes,
                found,
            });
        }
        Ok(Hierarchical {
            super_classes,
            super_classes_in_batch: needed,
            classes,
            per_class,
            seed,
        })
    }
}

impl Sampler for Hierarchical {
    /// The images of a class follow each other, and so do the classes of a super-class.
    fn batch(&self, step: u64) -> Vec<i64> {
        let mut draws = Draws::new(self.seed, Purpose::Batch, step, 0);
        let mut super_classes: Vec<&Vec<Vec<i64>>> = self.super_classes.iter().collect();
        let mut batch = Vec::new();
        for of in draws.choose(&mut super_classes, self.super_classes_in_batch) {
            let mut classes: Vec<&Vec<i64>> = of.iter().collect();
            for images in draws.choose(&mut classes, self.classes) {
                batch.extend(draw_of_class(images, self.per_class, &mut draws));
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::{are_near, is_pure};
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

    fn sampler(parts: Parts, seed: u64) -> Result<Hierarchical, SamplerError> {
        let (labels, above) = labels();
        Hierarchical::new(&labels, &above, parts, seed)
    }

    const PARTS: Parts = Parts {
        batch: 24,
        super_classes: 2,
        per_class: 4,
    };

    #[test]
    fn a_batch_holds_equal_parts_of_distinct_super_classes() {
        let (labels, above) = labels();
        let sampler = sampler(PARTS, 3).unwrap();
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
            Parts {
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
        is_pure(&|seed| Box::new(sampler(PARTS, seed).unwrap()));
    }

    #[test]
    fn impossible_batches_are_refused() {
        let refused = |batch, super_classes, per_class| {
            sampler(
                Parts {
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
