//! Which training images are trained on, and with which labels.
//!
//! Classes and images are ranked, and the first are taken, so a smaller choice lies in a larger one. Every rank and every
//! wrong label is drawn by itself from the seed and the number of the class or image, whatever else is chosen.

use std::collections::{BTreeMap, BTreeSet};

use schema::TrainingImages;

use crate::random::{Draws, Purpose};

/// An image by its index in the data set, and its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassedImage {
    /// Its index among the images of the data set.
    pub index: i64,
    /// Its class, numbered as in the data set.
    pub class: i64,
}

/// Returns those of the images that are trained on, in their order and with the labels that are trained on. There are
/// fewer classes than asked for if there are no more.
pub fn chosen(
    mut images: Vec<ClassedImage>,
    wanted: &TrainingImages,
    seed: u64,
) -> Vec<ClassedImage> {
    if let Some(count) = wanted.classes {
        let classes = classes_of(&images);
        let first = first_by_rank(classes, count, seed, Purpose::ClassRank);
        images.retain(|image| first.contains(&image.class));
    }
    if let Some(count) = wanted.images_per_class {
        let first = first_of_each_class(&images, count, seed);
        images.retain(|image| first.contains(&image.index));
    }
    if wanted.label_noise > 0.0 {
        add_noise(&mut images, wanted.label_noise, seed);
    }
    images
}

fn classes_of(images: &[ClassedImage]) -> BTreeSet<i64> {
    images.iter().map(|image| image.class).collect()
}

fn first_of_each_class(images: &[ClassedImage], count: u32, seed: u64) -> BTreeSet<i64> {
    let mut of_class: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for image in images {
        of_class.entry(image.class).or_default().push(image.index);
    }
    of_class
        .into_values()
        .flat_map(|images| first_by_rank(images, count, seed, Purpose::ImageRank))
        .collect()
}

/// Returns the `count` items of the lowest ranks.
fn first_by_rank(
    items: impl IntoIterator<Item = i64>,
    count: u32,
    seed: u64,
    purpose: Purpose,
) -> BTreeSet<i64> {
    let rank = |item: i64| Draws::new(seed, purpose, item as u64, 0).uniform();
    let mut ranked: Vec<(f64, i64)> = items.into_iter().map(|item| (rank(item), item)).collect();
    ranked.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    ranked.truncate(count as usize);
    ranked.into_iter().map(|(_, item)| item).collect()
}

/// Gives each image, with this probability, the label of another of the classes.
fn add_noise(images: &mut [ClassedImage], probability: f64, seed: u64) {
    let classes: Vec<i64> = classes_of(images).into_iter().collect();
    let Some(others @ 1..) = classes.len().checked_sub(1) else {
        return;
    };
    for image in images {
        let mut draws = Draws::new(seed, Purpose::LabelNoise, image.index as u64, 0);
        if draws.uniform() < probability {
            let own = classes.partition_point(|&class| class < image.class);
            let other = draws.below(others);
            image.class = classes[if other < own { other } else { other + 1 }];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 classes of 25 images.
    fn images() -> Vec<ClassedImage> {
        (0..1000)
            .map(|index| ClassedImage {
                index,
                class: index / 25,
            })
            .collect()
    }

    fn with(change: impl FnOnce(&mut TrainingImages), seed: u64) -> Vec<ClassedImage> {
        let mut wanted = TrainingImages::default();
        change(&mut wanted);
        chosen(images(), &wanted, seed)
    }

    fn is_within(part: &[ClassedImage], whole: &[ClassedImage]) -> bool {
        part.iter().all(|image| whole.contains(image))
    }

    #[test]
    fn fewer_classes_lie_in_more_and_keep_all_their_images() {
        let of = |count, seed| with(|wanted| wanted.classes = Some(count), seed);
        let (ten, twenty) = (of(10, 1), of(20, 1));
        assert_eq!((ten.len(), classes_of(&ten).len()), (250, 10));
        assert_eq!(classes_of(&twenty).len(), 20);
        assert!(is_within(&ten, &twenty) && is_within(&twenty, &images()));
        assert_ne!(ten, of(10, 2));
        assert_eq!(of(99, 1), images());
    }

    #[test]
    fn fewer_images_of_a_class_lie_in_more() {
        let of = |count| with(|wanted| wanted.images_per_class = Some(count), 3);
        let (three, nine) = (of(3), of(9));
        assert_eq!((three.len(), nine.len()), (120, 360));
        assert_eq!(classes_of(&three).len(), 40);
        assert!(is_within(&three, &nine));
        assert_eq!(of(25), images());
    }

    #[test]
    fn images_of_few_classes_are_those_that_these_classes_have_among_all() {
        let all = with(|wanted| wanted.images_per_class = Some(3), 3);
        let few = with(
            |wanted| {
                wanted.images_per_class = Some(3);
                wanted.classes = Some(5);
            },
            3,
        );
        assert_eq!(few.len(), 15);
        assert!(is_within(&few, &all));
    }

    #[test]
    fn noise_is_symmetric_and_less_of_it_lies_in_more() {
        let wrong = |probability| {
            let labeled = with(|wanted| wanted.label_noise = probability, 4);
            assert_eq!(labeled.len(), 1000);
            let mut wrong = labeled;
            wrong.retain(|image| image.class != image.index / 25);
            wrong
        };
        let (few, many) = (wrong(0.1), wrong(0.5));
        assert!((70..130).contains(&few.len()), "{}", few.len());
        assert!((450..550).contains(&many.len()), "{}", many.len());
        assert!(is_within(&few, &many));
        // Of 500 wrong labels, each of 40 classes has 12.5 in the mean.
        let of_first = many.iter().filter(|image| image.class < 20).count();
        assert!((200..300).contains(&of_first), "{of_first}");
        assert_eq!(classes_of(&many).len(), 40);
    }

    #[test]
    fn a_single_class_has_no_wrong_labels() {
        let one = with(
            |wanted| {
                wanted.classes = Some(1);
                wanted.label_noise = 0.9;
            },
            1,
        );
        assert_eq!(classes_of(&one).len(), 1);
        assert!(is_within(&one, &images()));
    }
}
