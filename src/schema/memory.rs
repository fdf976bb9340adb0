//! Memories, as a recipe names them: embeddings of earlier batches that the loss sees as well.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Card;

/// A memory with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// See [`Xbm`].
    Xbm(Xbm),
}

/// Cross-batch memory (Wang et al., CVPR 2020): the latest embeddings, without gradient.
///
/// Unless told otherwise, each step enqueues its batch first, then adds `weight` times the loss of the batch against
/// the memory to the loss within the batch, and an image never meets its own copy.
///
/// A recipe spells out what it does not leave at its default. `preset = "reference"` (the authors' program) or
/// `"pml"` (pytorch-metric-learning) in a sweep file stands for such settings, and those given beside it come first:
///
/// | | default | `reference` | `pml` |
/// | --- | --- | --- | --- |
/// | `batch_loss` | true | true | false |
/// | `self_exclusion` | index | similarity | index |
/// | `wrap` | modulo | tail | modulo |
///
/// How terms are summed is the loss's business: the authors' program divides their sum by the images in the batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "XbmTable")]
pub struct Xbm {
    /// How many embeddings it holds.
    #[serde(flatten)]
    pub size: MemorySize,
    /// The first step that uses it. Before, it stays empty.
    pub start_step: u64,
    /// Weight of the loss against the memory.
    pub weight: f64,
    /// Whether a batch enters before it is compared with the memory, or after.
    #[serde(skip_serializing_if = "is_default_true")]
    pub include_batch: bool,
    /// What keeps an image from meeting its own copy.
    #[serde(skip_serializing_if = "is_default")]
    pub self_exclusion: SelfExclusion,
    /// Whether the loss within the batch counts as well, once there is something in memory.
    #[serde(skip_serializing_if = "is_default_true")]
    pub batch_loss: bool,
    /// What happens to a batch that does not fit before the end.
    #[serde(skip_serializing_if = "is_default")]
    pub wrap: MemoryWrap,
    /// What it holds when it is first used.
    #[serde(skip_serializing_if = "is_default")]
    pub init: MemoryInit,
    /// What a slot belongs to.
    #[serde(skip_serializing_if = "is_default")]
    pub key: MemoryKey,
}

/// How many embeddings a memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemorySize {
    /// So many.
    Size(u32),
    /// This share of the images that a run trains on, rounded down.
    Ratio(f64),
}

impl MemorySize {
    /// How many that are of so many `images`.
    pub fn of(self, images: u64) -> u64 {
        match self {
            MemorySize::Size(size) => u64::from(size),
            MemorySize::Ratio(ratio) => (ratio * images as f64).floor() as u64,
        }
    }
}

/// What keeps an image from meeting its own copy in a memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelfExclusion {
    /// The place of the copy is known.
    #[default]
    Index,
    /// Positives with a cosine similarity of 1 - 1e-5 or more are dropped, duplicates as well.
    Similarity,
    /// Nothing.
    None,
}

/// What happens to a batch that does not fit before the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryWrap {
    /// It continues in the first slots.
    #[default]
    Modulo,
    /// It overwrites the last slots, and the next batch begins at the first.
    Tail,
}

/// What a memory holds when it is first used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryInit {
    /// Nothing.
    #[default]
    Empty,
    /// As many random training images as fit, embedded by the network of that step as for evaluation.
    ForwardPass,
}

/// What a slot of a memory belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKey {
    /// To nothing: the oldest goes first.
    #[default]
    Fifo,
    /// To one image, so that none is there twice.
    Unique,
}

impl Xbm {
    /// A memory of this size with all else at its default.
    pub fn new(size: MemorySize) -> Xbm {
        Xbm {
            size,
            start_step: 0,
            weight: 1.0,
            include_batch: true,
            self_exclusion: SelfExclusion::default(),
            batch_loss: true,
            wrap: MemoryWrap::default(),
            init: MemoryInit::default(),
            key: MemoryKey::default(),
        }
    }

    fn preset(self, preset: Preset) -> Xbm {
        match preset {
            Preset::Reference => Xbm {
                self_exclusion: SelfExclusion::Similarity,
                wrap: MemoryWrap::Tail,
                ..self
            },
            Preset::Pml => Xbm {
                batch_loss: false,
                ..self
            },
        }
    }
}

/// Settings of other programs, as a sweep file names them.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Preset {
    Reference,
    Pml,
}

/// [`Xbm`] as it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct XbmTable {
    /// Settings of another program; what is said beside it counts more.
    preset: Option<Preset>,
    /// How many embeddings it holds.
    size: Option<u32>,
    /// How many it holds, as a part of the images that a run trains on; instead of `size`.
    ratio: Option<f64>,
    /// The first step that uses it. Before, it stays empty.
    start_step: Option<u64>,
    /// Weight of the loss against the memory.
    weight: Option<f64>,
    /// Whether a batch enters before it is compared with the memory, or after.
    include_batch: Option<bool>,
    /// What keeps an image from meeting its own copy.
    self_exclusion: Option<SelfExclusion>,
    /// Whether the loss within the batch counts as well, once there is something in memory.
    batch_loss: Option<bool>,
    /// What happens to a batch that does not fit before the end.
    wrap: Option<MemoryWrap>,
    /// What it holds when it is first used.
    init: Option<MemoryInit>,
    /// What a slot belongs to.
    key: Option<MemoryKey>,
}

impl TryFrom<XbmTable> for Xbm {
    type Error = &'static str;

    fn try_from(table: XbmTable) -> Result<Xbm, Self::Error> {
        let size = match (table.size, table.ratio) {
            (Some(size), None) => MemorySize::Size(size),
            (None, Some(ratio)) => MemorySize::Ratio(ratio),
            (Some(_), Some(_)) => {
                return Err("a memory has either a `size` or a `ratio`, not both");
            }
            (None, None) => {
                return Err(
                    "missing field `size` (or `ratio`, of the images that a run trains on)",
                );
            }
        };
        let plain = Xbm::new(size);
        let usual = match table.preset {
            Some(preset) => plain.preset(preset),
            None => plain,
        };
        Ok(Xbm {
            size,
            start_step: table.start_step.unwrap_or(usual.start_step),
            weight: table.weight.unwrap_or(usual.weight),
            include_batch: table.include_batch.unwrap_or(usual.include_batch),
            self_exclusion: table.self_exclusion.unwrap_or(usual.self_exclusion),
            batch_loss: table.batch_loss.unwrap_or(usual.batch_loss),
            wrap: table.wrap.unwrap_or(usual.wrap),
            init: table.init.unwrap_or(usual.init),
            key: table.key.unwrap_or(usual.key),
        })
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_default_true(value: &bool) -> bool {
    *value
}

impl Memory {
    /// Every memory, of 1024 embeddings.
    pub fn every() -> Vec<Memory> {
        vec![Memory::Xbm(Xbm::new(MemorySize::Size(1024)))]
    }

    /// What there is to know about each, in the order of [`Memory::every`].
    pub const CARDS: &[Card] = &[Card::new("xbm", "the latest embeddings; also ratio in the place of size, include_batch, batch_loss, self_exclusion (index, \
         similarity, none), wrap (modulo, tail), init (empty, forward_pass), key (fifo, unique), preset (reference, pml)").from("Wang et al., CVPR 2020")];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical_json;

    fn read(text: &str) -> Result<Memory, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_plain_memory_is_written_as_ever() {
        let memory = read(r#"{"xbm":{"size":64}}"#).unwrap();
        assert_eq!(memory, Memory::Xbm(Xbm::new(MemorySize::Size(64))));
        assert_eq!(
            canonical_json(&memory),
            r#"{"xbm":{"size":64,"start_step":0,"weight":1.0}}"#
        );
    }

    #[test]
    fn a_preset_is_spelt_out_in_the_recipe_and_gives_way_to_what_stands_beside_it() {
        let written = |text| canonical_json(&read(text).unwrap());
        assert_eq!(
            written(r#"{"xbm":{"size":64,"preset":"reference"}}"#),
            r#"{"xbm":{"self_exclusion":"similarity","size":64,"start_step":0,"weight":1.0,"wrap":"tail"}}"#
        );
        assert_eq!(
            written(r#"{"xbm":{"ratio":0.5,"preset":"pml","weight":2}}"#),
            r#"{"xbm":{"batch_loss":false,"ratio":0.5,"start_step":0,"weight":2.0}}"#
        );
        assert_eq!(
            written(
                r#"{"xbm":{"size":64,"preset":"reference","wrap":"modulo","self_exclusion":"index"}}"#
            ),
            written(r#"{"xbm":{"size":64}}"#)
        );
    }

    #[test]
    fn every_setting_is_read_as_it_is_written() {
        let text = concat!(
            r#"{"xbm":{"batch_loss":false,"include_batch":false,"init":"forward_pass","key":"unique","#,
            r#""ratio":0.25,"self_exclusion":"none","start_step":3,"weight":0.5,"wrap":"tail"}}"#
        );
        assert_eq!(canonical_json(&read(text).unwrap()), text);
    }

    #[test]
    fn a_size_is_needed_and_one_is_enough() {
        let error = |text| read(text).unwrap_err().to_string();
        assert!(error(r#"{"xbm":{"size":1,"ratio":0.5}}"#).contains("not both"));
        assert!(error(r#"{"xbm":{}}"#).contains("missing field `size`"));
        assert!(error(r#"{"xbm":{"size":1,"wight":1}}"#).contains("unknown field `wight`"));
    }

    #[test]
    fn a_ratio_is_rounded_down() {
        assert_eq!(MemorySize::Ratio(0.5).of(7), 3);
        assert_eq!(MemorySize::Ratio(1.0).of(7), 7);
        assert_eq!(MemorySize::Size(9).of(7), 9);
    }
}
