//! Batches of a fixed number of images from each of some classes.
//!
//! Every batch holds exactly `batch / per_class` distinct classes, uniformly chosen, and `per_class` distinct
//! images of each. It is a pure function of seed and step: nothing has to be saved to continue a training.
//! Reference: pytorch-metric-learning (PML) `MPerClassSampler` with a `batch_size`. Differs: PML repeats images of
//! a class that has fewer than `per_class`; here that is refused.

use std::collections::BTreeMap;

use crate::random::{Draws, Purpose};

/// Forms batches of `per_class` images of each of some classes.
#[derive(Clone, Debug)]
pub struct MPerClass {
    /// The images of each class.
    classes: Vec<Vec<i64>>,
    /// Classes in a batch.
    classes_in_batch: usize,
    per_class: usize,
    seed: u64,
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
}

impl MPerClass {
    /// Returns a sampler of images with these `labels`, for batches of `batch` images.
    pub fn new(labels: &[i64], batch: usize, per_class: usize, seed: u64) -> Result<MPerClass, SamplerError> {
        if batch == 0 || per_class == 0 || !batch.is_multiple_of(per_class) {
            return Err(SamplerError::NotAMultiple { batch, per_class });
        }
        let mut classes = BTreeMap::<i64, Vec<i64>>::new();
        for (image, &label) in (0i64..).zip(labels) {
            classes.entry(label).or_default().push(image);
        }
        let needed = batch / per_class;
        if classes.len() < needed {
            return Err(SamplerError::TooFewClasses { needed, classes: classes.len() });
        }
        if let Some((&class, images)) = classes.iter().find(|(_, images)| images.len() < per_class) {
            return Err(SamplerError::SmallClass { class, images: images.len(), per_class });
        }
        Ok(MPerClass { classes: classes.into_values().collect(), classes_in_batch: needed, per_class, seed })
    }

    /// Returns the images of the batch at `step`, as indices into the labels; those of a class follow each other.
    pub fn batch(&self, step: u64) -> Vec<i64> {
        let mut classes: Vec<&Vec<i64>> = self.classes.iter().collect();
        let chosen = Draws::new(self.seed, Purpose::Batch, step, 0).choose(&mut classes, self.classes_in_batch);
        (1..).zip(chosen).flat_map(|(place, images)| self.images(step, place, images)).collect()
    }

    fn images(&self, step: u64, place: u64, images: &[i64]) -> Vec<i64> {
        Draws::new(self.seed, Purpose::Batch, step, place).choose(&mut images.to_vec(), self.per_class).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// 7 classes of 3 to 9 images, interleaved.
    fn labels() -> Vec<i64> {
        (0..9).flat_map(|round| (0..7).filter(move |class| round < 3 + class).map(|class| class * 10)).collect()
    }

    #[test]
    fn every_batch_holds_the_right_number_of_distinct_classes_and_distinct_images() {
        let labels = labels();
        let sampler = MPerClass::new(&labels, 12, 3, 5).unwrap();
        for step in 0..200 {
            let batch = sampler.batch(step);
            assert_eq!(batch.iter().collect::<BTreeSet<_>>().len(), 12);
            let classes: Vec<i64> = batch.iter().map(|&image| labels[image as usize]).collect();
            assert_eq!(classes.iter().collect::<BTreeSet<_>>().len(), 4);
            assert!(classes.chunks(3).all(|class| class.iter().all(|&label| label == class[0])));
        }
    }

    #[test]
    fn a_batch_depends_on_seed_and_step_alone() {
        let sampler = |seed| MPerClass::new(&labels(), 12, 3, seed).unwrap();
        let before = sampler(5);
        (0..10).for_each(|step| drop(before.batch(step)));
        assert_eq!(before.batch(17), sampler(5).batch(17));
        assert_ne!(sampler(5).batch(17), sampler(5).batch(18));
        assert_ne!(sampler(5).batch(17), sampler(6).batch(17));
    }

    #[test]
    fn every_class_and_every_image_of_it_is_equally_likely() {
        let labels = labels();
        let sampler = MPerClass::new(&labels, 6, 3, 1).unwrap();
        let mut counts = vec![0.0; labels.len()];
        let steps = 20_000;
        (0..steps).flat_map(|step| sampler.batch(step)).for_each(|image| counts[image as usize] += 1.0);
        for (image, count) in counts.iter().enumerate() {
            let size = labels.iter().filter(|&&label| label == labels[image]).count() as f64;
            let expected = steps as f64 * (2.0 / 7.0) * (3.0 / size);
            assert!((count - expected).abs() < 5.0 * expected.sqrt(), "image {image}: {count} instead of {expected}");
        }
    }

    #[test]
    fn impossible_batches_are_refused() {
        let refused = |batch, per_class| MPerClass::new(&labels(), batch, per_class, 0).unwrap_err();
        assert_eq!(refused(10, 3), SamplerError::NotAMultiple { batch: 10, per_class: 3 });
        assert_eq!(refused(0, 3), SamplerError::NotAMultiple { batch: 0, per_class: 3 });
        assert_eq!(refused(3, 0), SamplerError::NotAMultiple { batch: 3, per_class: 0 });
        assert_eq!(refused(24, 3), SamplerError::TooFewClasses { needed: 8, classes: 7 });
        assert_eq!(refused(12, 4), SamplerError::SmallClass { class: 0, images: 3, per_class: 4 });
    }
}
