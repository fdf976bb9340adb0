//! Batches of classes that are alike: anchor-neighbor sampling of the hierarchical triplet loss. Ge et al., ECCV 2018.
//!
//! A batch takes random classes, the anchors, each with the `neighbors` classes nearest to it that are not in the batch
//! yet, and `per_class` distinct images of each class, or as many drawn with replacement of a class that has fewer. An
//! anchor that is in the batch already, as a neighbor of another, is passed over. Nearest are the classes with the
//! smallest mean squared distance in the latest survey; before the first, all classes are random.
//! Reference: the description; no program was compared.

use schema::AnchorNeighbor;

use super::{LabeledImages, Sample, SamplerError, draw_of_class};
use crate::random::{Draws, Purpose};

impl Sample for AnchorNeighbor {
    fn check_images(&self, images: &LabeledImages) -> Result<(), SamplerError> {
        let batch = self.batch as usize;
        let per_class = self.per_class as usize;
        if batch == 0 || per_class == 0 || !batch.is_multiple_of(per_class) {
            return Err(SamplerError::NotAMultiple { batch, per_class });
        }
        let needed = self.classes() as usize;
        let classes = images.classes.len();
        if classes < needed {
            return Err(SamplerError::TooFewClasses { needed, classes });
        }
        Ok(())
    }

    /// All classes of a batch but one may be in it already when the last anchor takes its neighbors.
    fn nearest_needed(&self) -> usize {
        self.classes() as usize - 1
    }

    /// The images of a class follow each other, and so do the classes of an anchor.
    fn sample(&self, images: &LabeledImages, seed: u64, step: u64) -> Vec<i64> {
        let count = self.classes() as usize;
        let mut all: Vec<usize> = (0..images.classes.len()).collect();
        let anchors = Draws::new(seed, Purpose::Batch, step, 0).choose(&mut all, count);
        let classes = match &images.nearest {
            Some(nearest) => with_neighbors(anchors, nearest, self.neighbors as usize, count),
            None => anchors.to_vec(),
        };
        let mut batch = Vec::new();
        for (number, class) in (1..).zip(classes) {
            let mut draws = Draws::new(seed, Purpose::Batch, step, number);
            batch.extend(draw_of_class(
                &images.classes[class].images,
                self.per_class as usize,
                &mut draws,
            ));
        }
        batch
    }
}

/// Returns `count` classes: anchors, each followed by its neighbors.
fn with_neighbors(
    anchors: &[usize],
    nearest: &[Vec<usize>],
    neighbors: usize,
    count: usize,
) -> Vec<usize> {
    let mut chosen = Vec::new();
    for &anchor in anchors {
        if chosen.len() < count && !chosen.contains(&anchor) {
            chosen.push(anchor);
            chosen.extend(joining(&nearest[anchor], neighbors, &chosen));
        }
    }
    chosen
}

/// Returns the nearest classes that are not chosen yet.
fn joining(nearest: &[usize], neighbors: usize, chosen: &[usize]) -> Vec<usize> {
    let free = nearest.iter().filter(|class| !chosen.contains(class));
    free.take(neighbors).copied().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{
        BatchSampler,
        tests::{is_pure, labels, sampler},
    };
    use super::*;

    const SETTINGS: AnchorNeighbor = AnchorNeighbor {
        batch: 12,
        neighbors: 1,
        per_class: 3,
    };

    /// The neighbors of class c of 7 are c + 1, c + 2, ..
    fn surveyed(seed: u64) -> BatchSampler {
        let nearest = (0..7)
            .map(|class| (1..7).map(|step| (class + step) % 7).collect())
            .collect();
        sampler(SETTINGS, &labels(), seed)
            .unwrap()
            .surveyed(nearest)
    }

    /// Returns the places of the classes of a batch.
    fn classes(batch: &[i64]) -> Vec<usize> {
        let of = |image: i64| labels()[image as usize] as usize / 10;
        let classes: Vec<usize> = batch.chunks(3).map(|images| of(images[0])).collect();
        assert!(
            batch
                .chunks(3)
                .zip(&classes)
                .all(|(images, class)| images.iter().all(|&image| of(image) == *class))
        );
        classes
    }

    #[test]
    fn an_anchor_is_followed_by_its_nearest_classes_that_are_free() {
        let sampler = surveyed(5);
        let mut pushed_on = 0;
        for step in 0..200 {
            let classes = classes(&sampler.batch(step));
            assert_eq!(classes.iter().collect::<BTreeSet<_>>().len(), 4);
            assert_eq!(classes[1], (classes[0] + 1) % 7);
            let free = (1..7)
                .map(|step| (classes[2] + step) % 7)
                .find(|class| !classes[..2].contains(class));
            assert_eq!(Some(classes[3]), free);
            pushed_on += usize::from(classes[3] != (classes[2] + 1) % 7);
        }
        assert!(pushed_on > 10);
    }

    #[test]
    fn before_a_survey_all_classes_are_random() {
        let sampler = sampler(SETTINGS, &labels(), 5).unwrap();
        let follow = (0..200).filter(|&step| {
            let classes = classes(&sampler.batch(step));
            assert_eq!(classes.iter().collect::<BTreeSet<_>>().len(), 4);
            classes[1] == (classes[0] + 1) % 7
        });
        assert!(follow.count() < 100);
    }

    #[test]
    fn a_batch_depends_on_seed_step_and_survey_alone() {
        is_pure(surveyed);
    }

    #[test]
    fn impossible_batches_are_refused() {
        let refused = |batch, per_class| {
            let settings = AnchorNeighbor {
                batch,
                neighbors: 1,
                per_class,
            };
            sampler(settings, &labels(), 0).unwrap_err()
        };
        assert_eq!(
            refused(10, 3),
            SamplerError::NotAMultiple {
                batch: 10,
                per_class: 3
            }
        );
        assert_eq!(
            refused(16, 2),
            SamplerError::TooFewClasses {
                needed: 8,
                classes: 7
            }
        );
    }
}
