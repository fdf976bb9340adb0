//! Samplers: which images form a batch.
//!
//! A batch is a pure function of seed and step, so a training needs no state of its sampler to continue. The settings
//! of each sampler are [`schema`]'s.
//!
//! Samplers with a number of images per class draw with replacement from a class that has fewer, as
//! pytorch-metric-learning does: half of the classes of Stanford Online Products have at most five images. Two
//! copies of an image are a positive pair. A random crop makes them two views of it; without one they are equal, and
//! count all the same: as a pair in the mean of a loss and for a miner, and each as a negative of other images. A memory
//! keeps the last copy.

mod anchor_neighbor;
mod class_balanced;
mod fixed_pairs;
mod hierarchical;
mod m_per_class;
mod nearest_images;
mod random;
mod straddling;

use std::{collections::BTreeMap, sync::Arc};

use schema::{Sampler, for_each_sampler};

use crate::{division::Division, impostors::Impostors, random::Draws};

/// Forms batches.
#[derive(Clone, Debug)]
pub struct BatchSampler {
    settings: Sampler,
    images: LabeledImages,
    seed: u64,
    /// The parts that batches are of, in turn; none: of all images.
    parts: Vec<Option<Part>>,
}

/// Some of the images. Absent where they allow no batches.
#[derive(Clone, Debug)]
struct Part {
    images: LabeledImages,
    /// Their indices among all images.
    indices: Vec<i64>,
}

impl BatchSampler {
    /// Returns a sampler of these images.
    ///
    /// # Errors
    /// If the images or the settings do not allow such batches.
    pub fn new(
        settings: &Sampler,
        images: LabeledImages,
        seed: u64,
    ) -> Result<BatchSampler, SamplerError> {
        settings.check_images(&images)?;
        Ok(BatchSampler {
            settings: settings.clone(),
            images,
            seed,
            parts: Vec::new(),
        })
    }

    /// Returns how many nearest classes of each class batches need from a survey; 0 if they need none.
    pub fn nearest_needed(&self) -> usize {
        self.settings.nearest_needed()
    }

    /// Returns this sampler with the nearest classes of each class, the nearest first: see
    /// [`ClassSurvey::nearest`](crate::survey::ClassSurvey::nearest).
    #[must_use]
    pub fn surveyed(&self, nearest: Arc<[Vec<usize>]>) -> BatchSampler {
        let mut sampler = self.clone();
        sampler.images.nearest = Some(nearest);
        sampler
    }

    /// Returns how many impostors of each image batches need from a survey; 0 if they need none.
    pub fn impostors_needed(&self) -> usize {
        self.settings.impostors_needed()
    }

    /// Returns this sampler with the impostors of each image.
    #[must_use]
    pub fn with_impostors(&self, impostors: Arc<Impostors>) -> BatchSampler {
        let mut sampler = self.clone();
        sampler.images.impostors = Some(impostors);
        sampler
    }

    /// Returns this sampler with batches of the images of one head each, in turn. Images alone of their class there are left
    /// out. Where the images of a head allow no batches, they are of all images.
    #[must_use]
    pub fn divided(&self, division: &Division) -> BatchSampler {
        let part = |head: usize| self.part(head as i64, division.of_images());
        BatchSampler {
            parts: (0..division.heads()).map(part).collect(),
            ..self.clone()
        }
    }

    /// Returns the images of one head, if they allow batches.
    fn part(&self, head: i64, of_images: &[i64]) -> Option<Part> {
        let (mut labels, mut indices) = (Vec::new(), Vec::new());
        for class in &self.images.classes {
            let images = class.images.iter().copied();
            let own: Vec<i64> = images
                .filter(|&image| of_images[image as usize] == head)
                .collect();
            if own.len() > 1 {
                labels.resize(labels.len() + own.len(), class.label);
                indices.extend(own);
            }
        }
        let images = LabeledImages::new(&labels, None);
        let is_possible = self.settings.check_images(&images).is_ok();
        is_possible.then_some(Part { images, indices })
    }

    /// Returns the images of the batch at `step`, as indices into the labels.
    pub fn batch(&self, step: u64) -> Vec<i64> {
        let turn = step.checked_rem(self.parts.len() as u64);
        let part = turn.and_then(|turn| self.parts[turn as usize].as_ref());
        let Some(part) = part else {
            return self.settings.sample(&self.images, self.seed, step);
        };
        let chosen = self.settings.sample(&part.images, self.seed, step);
        chosen
            .iter()
            .map(|&place| part.indices[place as usize])
            .collect()
    }
}

/// The images that a sampler chooses among.
#[derive(Clone, Debug)]
pub struct LabeledImages {
    count: usize,
    classes: Vec<Class>,
    super_classes: Option<Vec<Vec<Class>>>,
    /// For each class others, the nearest first, once they are surveyed. Classes are numbered by their place in the
    /// order of labels.
    nearest: Option<Arc<[Vec<usize>]>>,
    /// Those of each image, once they are surveyed.
    impostors: Option<Arc<Impostors>>,
}

/// One class of images.
#[derive(Clone, Debug)]
struct Class {
    label: i64,
    /// Indices of its images.
    images: Vec<i64>,
}

impl LabeledImages {
    /// Returns images with these labels and, if there are any, these labels of super-classes.
    pub fn new(labels: &[i64], super_labels: Option<&[i64]>) -> LabeledImages {
        let mut classes = BTreeMap::<i64, Vec<i64>>::new();
        for (image, &label) in (0i64..).zip(labels) {
            classes.entry(label).or_default().push(image);
        }
        let classes: Vec<Class> = classes
            .into_iter()
            .map(|(label, images)| Class { label, images })
            .collect();
        LabeledImages {
            count: labels.len(),
            super_classes: super_labels.map(|labels| grouped(&classes, labels)),
            nearest: None,
            impostors: None,
            classes,
        }
    }

    /// Returns for each image the place of its class.
    fn class_of_images(&self) -> Vec<usize> {
        let mut places = vec![0; self.count];
        for (place, class) in self.classes.iter().enumerate() {
            for &image in &class.images {
                places[image as usize] = place;
            }
        }
        places
    }

    /// Returns the number of images of the largest class.
    fn largest_class(&self) -> usize {
        let sizes = self.classes.iter().map(|class| class.images.len());
        sizes.max().unwrap_or(0)
    }
}

/// Returns the classes of each super-class.
fn grouped(classes: &[Class], super_labels: &[i64]) -> Vec<Vec<Class>> {
    let mut super_classes = BTreeMap::<i64, Vec<Class>>::new();
    for class in classes {
        let label = super_labels[class.images[0] as usize];
        super_classes.entry(label).or_default().push(class.clone());
    }
    super_classes.into_values().collect()
}

/// A sampler's choice of images.
trait Sample {
    /// Checks that the images allow such batches.
    fn check_images(&self, images: &LabeledImages) -> Result<(), SamplerError>;

    /// See [`BatchSampler::nearest_needed`].
    fn nearest_needed(&self) -> usize {
        0
    }

    /// See [`BatchSampler::impostors_needed`].
    fn impostors_needed(&self) -> usize {
        0
    }

    /// Returns the images of the batch at `step`, as indices into the labels.
    fn sample(&self, images: &LabeledImages, seed: u64, step: u64) -> Vec<i64>;
}

macro_rules! dispatch {
    ($($variant:ident),*) => {
        impl Sample for Sampler {
            fn check_images(&self, images: &LabeledImages) -> Result<(), SamplerError> {
                match self {
                    $(Sampler::$variant(sampler) => sampler.check_images(images),)*
                }
            }

            fn nearest_needed(&self) -> usize {
                match self {
                    $(Sampler::$variant(sampler) => sampler.nearest_needed(),)*
                }
            }

            fn impostors_needed(&self) -> usize {
                match self {
                    $(Sampler::$variant(sampler) => sampler.impostors_needed(),)*
                }
            }

            fn sample(&self, images: &LabeledImages, seed: u64, step: u64) -> Vec<i64> {
                match self {
                    $(Sampler::$variant(sampler) => sampler.sample(images, seed, step),)*
                }
            }
        }
    };
}

for_each_sampler!(dispatch);

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
    /// There are no super-classes.
    #[error("the classes of this data have no super-classes")]
    NoSuperClasses,
}

/// Draws images of a class: distinct ones, or with replacement if it has fewer than `count`.
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

    #[test]
    fn batches_of_a_division_are_of_the_images_of_one_head_in_turn() {
        let labels: Vec<i64> = (0..60).map(|image| image % 6).collect();
        // Head 2 has two images, too few for a batch.
        let heads: Vec<i64> = (0..60)
            .map(|image| if image < 2 { 2 } else { image / 12 % 2 })
            .collect();
        let division = Division::of(3, heads.clone());
        let settings = schema::MPerClass {
            batch: 8,
            per_class: 2,
        };
        let whole = sampler(settings, &labels, 1).unwrap();
        let divided = whole.divided(&division);
        for step in 0..12 {
            let batch = divided.batch(step);
            match step % 3 {
                2 => assert_eq!(batch, whole.batch(step)),
                turn => assert!(
                    batch
                        .iter()
                        .all(|&image| heads[image as usize] == turn as i64)
                ),
            }
        }
        is_pure(|seed| {
            sampler(schema::RandomSampler { batch: 8 }, &labels, seed)
                .unwrap()
                .divided(&division)
        });
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

    /// Returns a sampler of images with these labels and without super-classes.
    pub(super) fn sampler(
        settings: impl Into<Sampler>,
        labels: &[i64],
        seed: u64,
    ) -> Result<BatchSampler, SamplerError> {
        BatchSampler::new(&settings.into(), LabeledImages::new(labels, None), seed)
    }

    /// Asserts that a batch depends on seed and step alone.
    pub(super) fn is_pure(sampler: impl Fn(u64) -> BatchSampler) {
        let before = sampler(5);
        (0..10).for_each(|step| drop(before.batch(step)));
        assert_eq!(before.batch(17), sampler(5).batch(17));
        assert_ne!(sampler(5).batch(17), sampler(5).batch(18));
        assert_ne!(sampler(5).batch(17), sampler(6).batch(17));
    }

    /// Asserts that each of these counts is near what is expected.
    pub(super) fn are_near(counts: &[f64], expected: impl Fn(usize) -> f64) {
        for (index, count) in counts.iter().enumerate() {
            let expected = expected(index);
            assert!(
                (count - expected).abs() < 5.0 * expected.sqrt(),
                "{index}: {count} instead of {expected}"
            );
        }
    }
}
