//! Cross-batch memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    OutOfRange, Part,
    parts::{
        part::{check_setting, require},
        range::above,
    },
};

/// Cross-batch memory (Wang et al., CVPR 2020): the latest embeddings, without gradient.
///
/// By default, each step enqueues its batch first, then adds `weight` times the loss of the batch against
/// the memory to the loss within the batch, and an image never meets its own copy.
///
/// A recipe contains the settings that differ from the defaults. In a sweep file, `preset = "reference"` (the authors'
/// program) or `"pml"` (pytorch-metric-learning) stands for such settings; those given beside it take precedence:
///
/// | | default | `reference` | `pml` |
/// | --- | --- | --- | --- |
/// | `batch_loss` | true | true | false |
/// | `self_exclusion` | index | similarity | index |
/// | `wrap` | modulo | tail | modulo |
///
/// The reduction is that of the loss: the authors' program divides their sum by the images in the batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "XbmTable")]
pub struct Xbm {
    /// Number of embeddings.
    #[serde(flatten)]
    pub size: MemorySize,
    /// The first step that uses it. Before, it stays empty.
    pub start_step: u64,
    /// Weight of the loss against the memory.
    pub weight: f64,
    /// True if a batch enters before it is compared with the memory, false if after.
    #[serde(skip_serializing_if = "is_default_true")]
    pub include_batch: bool,
    /// How an image is kept from its own copy.
    #[serde(skip_serializing_if = "is_default")]
    pub self_exclusion: SelfExclusion,
    /// True if the loss within the batch is added once the memory holds something.
    #[serde(skip_serializing_if = "is_default_true")]
    pub batch_loss: bool,
    /// Where a batch goes that does not fit before the end.
    #[serde(skip_serializing_if = "is_default")]
    pub wrap: MemoryWrap,
    /// Content at the first use.
    #[serde(skip_serializing_if = "is_default")]
    pub init: MemoryInit,
    /// What owns a slot.
    #[serde(skip_serializing_if = "is_default")]
    pub key: MemoryKey,
}

/// Number of embeddings in a memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemorySize {
    /// This number.
    Size(u32),
    /// This fraction of the training images of a run, rounded down.
    Ratio(f64),
}

impl MemorySize {
    /// Returns the number of embeddings for a run on `images` training images.
    pub fn of(self, images: u64) -> u64 {
        match self {
            MemorySize::Size(size) => u64::from(size),
            MemorySize::Ratio(ratio) => (ratio * images as f64).floor() as u64,
        }
    }
}

/// How an image is kept from its own copy in a memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelfExclusion {
    /// By the index of the copy.
    #[default]
    Index,
    /// Positives with a cosine similarity of 1 - 1e-5 or more are dropped, duplicates as well.
    Similarity,
    /// Not at all: the copy is a positive.
    None,
}

/// Where a batch goes that does not fit before the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryWrap {
    /// It continues in the first slots.
    #[default]
    Modulo,
    /// It overwrites the last slots, and the next batch begins at the first.
    Tail,
}

/// Content of a memory at its first use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryInit {
    /// Nothing.
    #[default]
    Empty,
    /// As many random training images as fit, embedded by the network of that step as for evaluation.
    ForwardPass,
}

/// What owns a slot of a memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKey {
    /// Nothing: the oldest embedding is overwritten first.
    #[default]
    Fifo,
    /// One image, so that no image is there twice.
    Unique,
}

impl Xbm {
    /// Returns a memory of this size with default settings.
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

/// Settings of other programs.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Preset {
    Reference,
    Pml,
}

/// [`Xbm`] in a sweep file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct XbmTable {
    /// Settings of another program; keys beside it take precedence.
    preset: Option<Preset>,
    /// Number of embeddings.
    size: Option<u32>,
    /// Instead of `size`: the fraction of the training images of a run.
    ratio: Option<f64>,
    /// The first step that uses it. Before, it stays empty.
    start_step: Option<u64>,
    /// Weight of the loss against the memory.
    weight: Option<f64>,
    /// True if a batch enters before it is compared with the memory, false if after.
    include_batch: Option<bool>,
    /// How an image is kept from its own copy.
    self_exclusion: Option<SelfExclusion>,
    /// True if the loss within the batch is added once the memory holds something.
    batch_loss: Option<bool>,
    /// Where a batch goes that does not fit before the end.
    wrap: Option<MemoryWrap>,
    /// Content at the first use.
    init: Option<MemoryInit>,
    /// What owns a slot.
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

/// A memory of 1024 embeddings, an example.
impl Default for Xbm {
    fn default() -> Self {
        Xbm::new(MemorySize::Size(1024))
    }
}

impl Part for Xbm {
    const FORMULA: &'static str = "the latest embeddings; also ratio in the place of size, include_batch, batch_loss, \
        self_exclusion (index, similarity, none), wrap (modulo, tail), init (empty, forward_pass), key (fifo, unique), \
        preset (reference, pml)";
    const SOURCE: &'static str = "Wang et al., CVPR 2020";
    const ALSO: &'static [&'static str] = &["CrossBatchMemory"];

    fn check(&self) -> Result<(), OutOfRange> {
        if let MemorySize::Ratio(ratio) = self.size {
            check_setting("ratio", &ratio, &[above(0.0).at_most(1.0)])?;
        }
        check_setting("weight", &self.weight, &[above(0.0)])?;
        require(
            (self.wrap, self.key) != (MemoryWrap::Tail, MemoryKey::Unique),
            "wrap",
            "where every image has a slot of its own, no batch wraps: leave `wrap` out",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, canonical_json};

    fn read(text: &str) -> Result<Memory, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn a_default_memory_is_written_as_ever() {
        let memory = read(r#"{"xbm":{"size":64}}"#).unwrap();
        assert_eq!(memory, Memory::Xbm(Xbm::new(MemorySize::Size(64))));
        assert_eq!(
            canonical_json(&memory),
            r#"{"xbm":{"size":64,"start_step":0,"weight":1.0}}"#
        );
    }

    #[test]
    fn a_preset_is_expanded_in_the_recipe_and_yields_to_keys_beside_it() {
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
    fn settings_out_of_range_are_refused() {
        let at_fault = |text| read(text).unwrap().check().unwrap_err().setting;
        assert_eq!(at_fault(r#"{"xbm":{"ratio":0.0}}"#), "ratio");
        assert_eq!(at_fault(r#"{"xbm":{"ratio":1.5}}"#), "ratio");
        assert_eq!(at_fault(r#"{"xbm":{"size":64,"weight":0}}"#), "weight");
        let wrapped = r#"{"xbm":{"size":64,"wrap":"tail","key":"unique"}}"#;
        assert_eq!(at_fault(wrapped), "wrap");
    }

    #[test]
    fn a_ratio_is_rounded_down() {
        assert_eq!(MemorySize::Ratio(0.5).of(7), 3);
        assert_eq!(MemorySize::Ratio(1.0).of(7), 7);
        assert_eq!(MemorySize::Size(9).of(7), 9);
    }
}
