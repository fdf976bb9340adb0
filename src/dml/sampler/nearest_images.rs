//! Batches of images that are taken for each other: neighbors in the whole training set, as smart mining searches them.
//! Harwood et al., ICCV 2017.
//!
//! A batch takes distinct random images, the anchors. Each is followed by another image of its class, itself if it is alone
//! there, and by `neighbors` distinct images of other classes, chosen at random of the `among` that were nearest to it in
//! the latest survey. Before the first survey, they are any images of other classes. An image may be in a batch for several
//! anchors.
//! Reference: the abstract of the paper. Not here: its controller, which adapts how hard the neighbors are; its rule is not
//! known.

use schema::NearestImages;

use super::{Class, LabeledImages, Sample, SamplerError};
use crate::random::{Draws, Purpose};

impl Sample for NearestImages {
    fn check_images(&self, images: &LabeledImages) -> Result<(), SamplerError> {
        let batch = self.batch as usize;
        let (count, largest) = (images.count, images.largest_class());
        let neighbors = self.neighbors as usize;
        if batch == 0 || batch > count || count - largest < neighbors {
            let needed = batch.max(largest + neighbors);
            return Err(SamplerError::TooFewImages {
                batch: needed,
                images: count,
            });
        }
        Ok(())
    }

    fn impostors_needed(&self) -> usize {
        self.among as usize
    }

    /// Anchor, image of its class and neighbors follow each other.
    fn sample(&self, images: &LabeledImages, seed: u64, step: u64) -> Vec<i64> {
        let groups = (self.batch / self.group()) as usize;
        let classes = images.class_of_images();
        let mut all: Vec<i64> = (0..images.count as i64).collect();
        let anchors = Draws::new(seed, Purpose::Batch, step, 0).choose(&mut all, groups);
        let mut batch = Vec::new();
        for (number, &anchor) in (1..).zip(anchors) {
            let mut draws = Draws::new(seed, Purpose::Batch, step, number);
            let class = &images.classes[classes[anchor as usize]];
            let mut candidates = match &images.impostors {
                Some(impostors) => impostors.of(anchor).to_vec(),
                None => outside(class, images),
            };
            batch.extend([anchor, of_same_class(anchor, class, &mut draws)]);
            batch.extend(draws.choose(&mut candidates, self.neighbors as usize));
        }
        batch
    }
}

/// Draws another image of the class of an anchor, or the anchor if there is none.
fn of_same_class(anchor: i64, class: &Class, draws: &mut Draws) -> i64 {
    let others: Vec<i64> = class
        .images
        .iter()
        .copied()
        .filter(|&image| image != anchor)
        .collect();
    match others.len() {
        0 => anchor,
        count => others[draws.below(count)],
    }
}

/// Returns the images of all other classes.
fn outside(class: &Class, images: &LabeledImages) -> Vec<i64> {
    let others = images
        .classes
        .iter()
        .filter(|other| other.label != class.label);
    others
        .flat_map(|other| other.images.iter().copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use tch::Tensor;

    use super::super::{
        BatchSampler,
        tests::{are_near, is_pure, labels, sampler},
    };
    use super::*;
    use crate::{eval::EvalResources, impostors::Impostors};

    const SETTINGS: NearestImages = NearestImages {
        batch: 12,
        neighbors: 2,
        among: 3,
    };

    /// Images lie on a line, in their order.
    fn impostors() -> Impostors {
        let count = labels().len() as i64;
        let line = Tensor::arange(count, (tch::Kind::Float, tch::Device::Cpu)).view([count, 1]);
        let resources = EvalResources::default();
        Impostors::new(&line, &labels(), SETTINGS.impostors_needed(), resources).unwrap()
    }

    fn surveyed(seed: u64) -> BatchSampler {
        let sampler = sampler(SETTINGS, &labels(), seed).unwrap();
        sampler.with_impostors(Arc::new(impostors()))
    }

    /// Asserts what holds for the groups of every batch, and returns them.
    fn groups(sampler: &BatchSampler, step: u64) -> Vec<Vec<i64>> {
        let label = |image: i64| labels()[image as usize];
        let batch = sampler.batch(step);
        let groups: Vec<Vec<i64>> = batch.chunks(4).map(<[i64]>::to_vec).collect();
        let anchors: BTreeSet<i64> = groups.iter().map(|group| group[0]).collect();
        assert_eq!((groups.len(), anchors.len()), (3, 3));
        for group in &groups {
            assert_ne!(group[0], group[1]);
            assert_ne!(group[2], group[3]);
            assert_eq!(label(group[0]), label(group[1]));
            assert!(
                group[2..]
                    .iter()
                    .all(|&image| label(image) != label(group[0]))
            );
        }
        groups
    }

    #[test]
    fn an_anchor_is_followed_by_an_image_of_its_class_and_by_near_images_of_others() {
        let sampler = surveyed(5);
        let near = impostors();
        let mut places = [0.0; 3];
        for group in (0..1000).flat_map(|step| groups(&sampler, step)) {
            let of_anchor = near.of(group[0]);
            for image in &group[2..] {
                places[of_anchor.iter().position(|other| other == image).unwrap()] += 1.0;
            }
        }
        are_near(&places, |_| 2000.0);
    }

    #[test]
    fn before_a_survey_images_of_other_classes_are_random() {
        let sampler = sampler(SETTINGS, &labels(), 5).unwrap();
        let near = impostors();
        let groups = (0..200).flat_map(|step| groups(&sampler, step));
        let is_near = |group: &Vec<i64>| near.of(group[0]).contains(&group[2]);
        assert!(groups.filter(is_near).count() < 100);
    }

    #[test]
    fn an_image_alone_in_its_class_is_its_own_positive() {
        let labels: Vec<i64> = (0..12).collect();
        let batch = sampler(SETTINGS, &labels, 5).unwrap().batch(0);
        assert!(batch.chunks(4).all(|group| group[0] == group[1]));
    }

    #[test]
    fn a_batch_depends_on_seed_step_and_survey_alone() {
        is_pure(surveyed);
    }

    #[test]
    fn impossible_batches_are_refused() {
        let refused = |batch, labels: &[i64]| {
            let settings = NearestImages { batch, ..SETTINGS };
            sampler(settings, labels, 0).unwrap_err()
        };
        let few = |batch, images| SamplerError::TooFewImages { batch, images };
        assert_eq!(refused(48, &labels()), few(48, labels().len()));
        let mut lopsided = vec![0; 12];
        lopsided[0] = 1;
        assert_eq!(refused(12, &lopsided), few(13, 12));
    }
}
