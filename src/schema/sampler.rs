//! Samplers, as a recipe names them: which images form a batch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Card;

/// A sampler with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// See [`MPerClass`].
    MPerClass(MPerClass),
    /// See [`Straddling`].
    Straddling(Straddling),
    /// See [`RandomSampler`].
    Random(RandomSampler),
    /// See [`ClassBalanced`].
    ClassBalanced(ClassBalanced),
    /// See [`FixedPairs`].
    FixedPairs(FixedPairs),
    /// See [`Hierarchical`].
    Hierarchical(Hierarchical),
}

impl Sampler {
    /// Images in a batch.
    pub fn batch(&self) -> u32 {
        match self {
            Sampler::MPerClass(MPerClass { batch, .. })
            | Sampler::Straddling(Straddling { batch, .. })
            | Sampler::Random(RandomSampler { batch })
            | Sampler::ClassBalanced(ClassBalanced { batch })
            | Sampler::FixedPairs(FixedPairs { batch })
            | Sampler::Hierarchical(Hierarchical { batch, .. }) => *batch,
        }
    }
}

/// Every batch holds exactly `batch / per_class` distinct classes, `per_class` distinct images of each; of a class that
/// has fewer they are drawn with replacement, as in the other samplers with a `per_class`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MPerClass {
    /// Images in a batch, a multiple of `per_class`.
    pub batch: u32,
    /// Images of each of its classes.
    #[serde(default = "four")]
    pub per_class: u32,
}

/// Batches are cut from passes over all classes in random order, `per_class` images of each (Musgrave et al., ECCV
/// 2020). One that lies across the end of a pass can hold a class twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Straddling {
    /// Images in a batch.
    pub batch: u32,
    /// Images of each class in a pass.
    #[serde(default = "four")]
    pub per_class: u32,
}

/// Batches are cut from passes over all images in random order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomSampler {
    /// Images in a batch.
    pub batch: u32,
}

/// For each image of a batch a class is drawn, then an image of it, both with replacement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassBalanced {
    /// Images in a batch.
    pub batch: u32,
}

/// Every batch holds one pair of each of `batch / 2` distinct classes (Sohn, NeurIPS 2016).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixedPairs {
    /// Images in a batch, a multiple of 2.
    pub batch: u32,
}

/// Every batch holds classes of a few super-classes only, for data that have them: Omniglot's alphabets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hierarchical {
    /// Images in a batch, a multiple of `super_classes * per_class`.
    pub batch: u32,
    /// How many super-classes.
    #[serde(default = "two")]
    pub super_classes: u32,
    /// Images of each class.
    #[serde(default = "four")]
    pub per_class: u32,
}

fn two() -> u32 {
    2
}

fn four() -> u32 {
    4
}

impl Sampler {
    /// Every sampler, with batches of 32.
    pub fn every() -> Vec<Sampler> {
        let batch = 32;
        vec![
            Sampler::MPerClass(MPerClass {
                batch,
                per_class: four(),
            }),
            Sampler::Straddling(Straddling {
                batch,
                per_class: four(),
            }),
            Sampler::Random(RandomSampler { batch }),
            Sampler::ClassBalanced(ClassBalanced { batch }),
            Sampler::FixedPairs(FixedPairs { batch }),
            Sampler::Hierarchical(Hierarchical {
                batch,
                super_classes: two(),
                per_class: four(),
            }),
        ]
    }

    /// What there is to know about each, in the order of [`Sampler::every`].
    pub const CARDS: &[Card] = &[
        Card::new("m_per_class", "batch / per_class distinct classes, per_class images of each, repeated only if it has fewer").from("pytorch-metric-learning, MPerClassSampler with a batch size"),
        Card::new("straddling", "passes over all classes in random order, per_class images of each; batches straddle passes").from("the Reality Check's program"),
        Card::new("random", "passes over all images in random order"),
        Card::new("class_balanced", "a random class, then a random image of it, both with replacement"),
        Card::new("fixed_pairs", "two images of each of batch / 2 distinct classes").from("Sohn, NIPS 2016"),
        Card::new("hierarchical", "super_classes first, then classes within them, then per_class images; Omniglot's alphabets").from("the samplers of ROADMAP and of HTL"),
    ];
}
