//! Samplers: which images form a batch.
//!
//! A batch is a pure function of seed and step, so nothing has to be saved to continue a training.
//!
//! Samplers that take so many images of a class draw with replacement from a class that has fewer, as
//! pytorch-metric-learning does: half of the classes of Stanford Online Products have no more than five images. Two
//! copies of an image are a positive pair; a random crop makes them two views of it, and without one their distance is
//! zero, which costs a loss nothing and moves nothing. A memory keeps the last copy.

mod class_balanced;
mod fixed_pairs;
mod hierarchical;
mod m_per_class;
mod random;
mod straddling;

use std::collections::BTreeMap;

use crate::random::Draws;

pub use class_balanced::ClassBalanced;
pub use fixed_pairs::FixedPairs;
pub use hierarchical::{Hierarchical, Parts};
pub use m_per_class::MPerClass;
pub use random::Random;
pub use straddling::Straddling;

/// Forms batches.
pub trait Sampler: Send + Sync {
    /// Returns the images of the batch at `step`, as indices into the labels.
    fn batch(&self, step: u64) -> Vec<i64>;
}

/// Batches that cannot be formed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SamplerError {
    /// The batch is not made of whole classes.
    #[error("a batch of {batch} images is not a positive multiple of {per_class} images per class")]
    NotAMultiple {
        /// Images in a batch.
        batch: usize,
        /// Images of each class.
        per_class: usize,
    },
    /// There are too few classes.
    #[error("a batch needs {needed} classes, but there are only {classes}")]
    TooFewClasses {
        /// How many a batch needs.
        needed: usize,
        /// How many there are.
        classes: usize,
    },
    /// A class is too small.
    #[error("class {class} has only {images} images, but a batch needs {per_class} of each class")]
    SmallClass {
        /// Its label.
        class: i64,
        /// How many images it has.
        images: usize,
        /// How many it needs.
        per_class: usize,
    },
    /// There are too few images.
    #[error("a batch of {batch} images cannot be taken from {images}")]
    TooFewImages {
        /// Images in a batch.
        batch: usize,
        /// How many there are.
        images: usize,
    },
    /// The batch is not made of whole super-classes.
    #[error(
        "a batch of {batch} images is not a positive multiple of {super_classes} super-classes"
    )]
    UnevenSuperClasses {
        /// Images in a batch.
        batch: usize,
        /// Super-classes in a batch.
        super_classes: usize,
    },
    /// There are too few super-classes that are large enough.
    #[error(
        "a batch needs {needed} super-classes of at least {classes} classes, but there are only {found}"
    )]
    TooFewSuperClasses {
        /// How many a batch needs.
        needed: usize,
        /// Classes that a batch takes of each.
        classes: usize,
        /// How many there are.
        found: usize,
    },
}

/// The images of each class.
#[derive(Clone, Debug)]
struct Classes(BTreeMap<i64, Vec<i64>>);

impl Classes {
    fn new(labels: &[i64]) -> Classes {
        let mut classes = BTreeMap::<i64, Vec<i64>>::new();
        for (image, &label) in (0i64..).zip(labels) {
            classes.entry(label).or_default().push(image);
        }
        Classes(classes)
    }

    /// Sees that no image needs to be repeated.
    fn hold_at_least(&self, per_class: usize) -> Result<(), SamplerError> {
        match self.0.iter().find(|(_, images)| images.len() < per_class) {
            Some((&class, images)) => Err(SamplerError::SmallClass {
                class,
                images: images.len(),
                per_class,
            }),
            None => Ok(()),
        }
    }
}

/// Draws so many images of a class: distinct ones, or with replacement if it has fewer.
fn draw_of_class(images: &[i64], count: usize, draws: &mut Draws) -> Vec<i64> {
    if images.len() < count {
        return (0..count)
            .map(|_| images[draws.below(images.len())])
            .collect();
    }
    draws.choose(&mut images.to_vec(), count).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    #[test]
    fn only_a_class_that_is_too_small_is_drawn_from_with_replacement() {
        let mut draws = Draws::new(1, Purpose::Batch, 0, 0);
        let mut counts = BTreeMap::<Vec<i64>, f64>::new();
        for _ in 0..8000 {
            *counts
                .entry(draw_of_class(&[4, 7], 3, &mut draws))
                .or_default() += 1.0;
            let mut whole = draw_of_class(&[1, 2, 3], 3, &mut draws);
            whole.sort_unstable();
            assert_eq!(whole, [1, 2, 3]);
        }
        assert_eq!(counts.len(), 8);
        are_near(&counts.into_values().collect::<Vec<_>>(), |_| 1000.0);
    }

    /// 7 classes of 3 to 9 images, interleaved.
    pub(super) fn labels() -> Vec<i64> {
        (0..9)
            .flat_map(|round| {
                (0..7)
                    .filter(move |class| round < 3 + class)
                    .map(|class| class * 10)
            })
            .collect()
    }

    /// Asserts that a batch depends on seed and step alone.
    pub(super) fn is_pure(sampler: &dyn Fn(u64) -> Box<dyn super::Sampler>) {
        let before = sampler(5);
        (0..10).for_each(|step| drop(before.batch(step)));
        assert_eq!(before.batch(17), sampler(5).batch(17));
        assert_ne!(sampler(5).batch(17), sampler(5).batch(18));
        assert_ne!(sampler(5).batch(17), sampler(6).batch(17));
    }

    /// Asserts that each of these counts is near what is expected.
    pub(super) fn are_near(counts: &[f64], expected: impl Fn(usize) -> f64) {
        for (place, count) in counts.iter().enumerate() {
            let expected = expected(place);
            assert!(
                (count - expected).abs() < 5.0 * expected.sqrt(),
                "{place}: {count} instead of {expected}"
            );
        }
    }
}
