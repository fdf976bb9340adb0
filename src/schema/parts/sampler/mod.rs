//! Samplers: which images form a batch. One file each.

mod anchor_neighbor;
mod class_balanced;
mod fixed_pairs;
mod hierarchical;
mod m_per_class;
mod nearest_images;
mod random;
mod straddling;

use super::part::{OutOfRange, parts, require};

parts! {
    ($)
    /// A sampler with its settings.
    pub enum Sampler, for_each_sampler {
        MPerClass(m_per_class::MPerClass),
        Straddling(straddling::Straddling),
        Random(random::RandomSampler),
        ClassBalanced(class_balanced::ClassBalanced),
        FixedPairs(fixed_pairs::FixedPairs),
        Hierarchical(hierarchical::Hierarchical),
        AnchorNeighbor(anchor_neighbor::AnchorNeighbor),
        NearestImages(nearest_images::NearestImages),
    }
}

/// Facts about a sampler.
trait SamplerPart {
    /// Returns the number of images in a batch.
    fn batch(&self) -> u32;

    /// True if batches depend on surveys of the training images.
    fn needs_survey(&self) -> bool {
        false
    }

    /// True if surveys must take all training images.
    fn needs_all_images(&self) -> bool {
        false
    }
}

/// Images in a batch of the example of a sampler.
const EXAMPLE_BATCH: u32 = 32;

/// Checks that images of a class are drawn.
fn check_per_class(per_class: u32) -> Result<(), OutOfRange> {
    require(
        per_class >= 1,
        "per_class",
        "expected at least 1 image of a class",
    )
}

/// Returns the nearest larger batch of whole classes, more than one.
fn multiple_above(batch: u32, per_class: u32) -> u64 {
    let (batch, per_class) = (u64::from(batch), u64::from(per_class));
    batch.next_multiple_of(per_class).max(2 * per_class)
}

/// Checks that a batch consists of whole classes, and of more than one.
fn check_classes(batch: u32, per_class: u32) -> Result<(), OutOfRange> {
    require(
        batch > 0 && batch.is_multiple_of(per_class),
        "batch",
        format!(
            "{batch} is not a multiple of per_class = {per_class}: write {}",
            multiple_above(batch, per_class)
        ),
    )?;
    check_negatives(batch, per_class)
}

/// Checks that a batch holds more than one class.
fn check_negatives(batch: u32, per_class: u32) -> Result<(), OutOfRange> {
    require(
        batch > per_class,
        "batch",
        "a batch has negative pairs only with more than one class",
    )
}

/// Checks that a batch of images that are drawn one by one can hold a pair.
fn check_pair(batch: u32) -> Result<(), OutOfRange> {
    require(
        batch >= 2,
        "batch",
        "a batch has pairs only with at least 2 images",
    )
}

macro_rules! facts {
    ($($variant:ident),*) => {
        impl Sampler {
            /// Returns the number of images in a batch.
            pub fn batch(&self) -> u32 {
                match self {
                    $(Sampler::$variant(sampler) => sampler.batch(),)*
                }
            }

            /// True if batches depend on surveys of the training images.
            pub fn needs_survey(&self) -> bool {
                match self {
                    $(Sampler::$variant(sampler) => sampler.needs_survey(),)*
                }
            }

            /// True if surveys must take all training images.
            pub fn needs_all_images(&self) -> bool {
                match self {
                    $(Sampler::$variant(sampler) => sampler.needs_all_images(),)*
                }
            }
        }
    };
}

for_each_sampler!(facts);
