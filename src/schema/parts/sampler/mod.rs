//! Samplers: which images form a batch. One file each.

mod class_balanced;
mod fixed_pairs;
mod hierarchical;
mod m_per_class;
mod random;
mod straddling;

use super::part::parts;

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
    }
}

/// Facts about a sampler.
trait SamplerPart {
    /// Returns the number of images in a batch.
    fn batch(&self) -> u32;
}

/// Images in a batch of the example of a sampler.
const EXAMPLE_BATCH: u32 = 32;

macro_rules! batch {
    ($($variant:ident),*) => {
        impl Sampler {
            /// Returns the number of images in a batch.
            pub fn batch(&self) -> u32 {
                match self {
                    $(Sampler::$variant(sampler) => sampler.batch(),)*
                }
            }
        }
    };
}

for_each_sampler!(batch);
