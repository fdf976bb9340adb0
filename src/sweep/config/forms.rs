//! Values that can be written in more than one form: `seeds = 3` or a list, `gpus = "all"` or a list,
//! `checkpoint_seconds = "auto"` or a number, `"70 %"`.

use std::{borrow::Cow, fmt, str::FromStr};

use schema::Cut;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema as schema_of};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::json;

/// Which GPUs to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gpus {
    /// All that are visible.
    All,
    /// These, by index.
    These(Vec<u32>),
}

/// How often a run writes a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CheckpointSeconds {
    /// As often as takes little of the time.
    Auto,
    /// Each time that this number of seconds has passed.
    Every(f64),
}

impl CheckpointSeconds {
    /// Returns the number, if there is one.
    pub fn number(self) -> Option<f64> {
        match self {
            CheckpointSeconds::Auto => None,
            CheckpointSeconds::Every(seconds) => Some(seconds),
        }
    }
}

/// How many runs share a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunsPerGpu {
    /// So many.
    Number(u32),
    /// As many as its memory has room for and make it faster.
    Auto,
}

/// A part of a whole, written as `"70 %"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u8);

/// A number of bytes, written as `"24 GB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Returns the number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ByteSize, String> {
        let wrong = || format!("`{text}`, expected a size such as 24GB");
        let (number, unit) = match text.strip_suffix("GB") {
            Some(number) => (number, 1e9),
            None => (text.strip_suffix("MB").ok_or_else(wrong)?, 1e6),
        };
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        match number.is_finite() && number > 0.0 {
            true => Ok(ByteSize((number * unit) as u64)),
            false => Err(wrong()),
        }
    }
}

impl RunsPerGpu {
    fn number(number: i64) -> Result<RunsPerGpu, String> {
        match u32::try_from(number) {
            Ok(number @ 1..=64) => Ok(RunsPerGpu::Number(number)),
            _ => Err(format!("{number} runs, expected 1 to 64")),
        }
    }
}

/// As on the command line: `3` or `auto`.
impl FromStr for RunsPerGpu {
    type Err = String;

    fn from_str(text: &str) -> Result<RunsPerGpu, String> {
        match (text, text.parse()) {
            ("auto", _) => Ok(RunsPerGpu::Auto),
            (_, Ok(number)) => RunsPerGpu::number(number),
            (_, Err(_)) => Err(format!("`{text}`, expected a number of runs or `auto`")),
        }
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Percent, String> {
        let number = text.strip_suffix('%').map(str::trim_end);
        match number.and_then(|number| number.parse().ok()) {
            Some(percent @ 0..=100) => Ok(Percent(percent)),
            _ => Err(format!(
                "`{text}`, expected a part from 0 % to 100 %, such as \"70 %\""
            )),
        }
    }
}

impl Percent {
    /// Returns the part, between 0 and 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

/// `seeds = 3` for 0, 1 and 2, or a list.
#[derive(Clone, Debug)]
pub struct Seeds(pub Vec<u64>);

impl Default for Seeds {
    fn default() -> Self {
        Seeds(vec![0])
    }
}

/// `folds = 4`, `folds.reality_check = 4` or `folds.last = 5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folds {
    /// How many.
    pub of: u32,
    /// Where they begin and end.
    pub cut: Cut,
}

impl<'de> Deserialize<'de> for Folds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FoldsVisitor)
    }
}

struct FoldsVisitor;

impl<'de> Visitor<'de> for FoldsVisitor {
    type Value = Folds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of folds, `{ reality_check = 4 }` or `{ last = 5 }`")
    }

    fn visit_i64<E: Error>(self, count: i64) -> Result<Folds, E> {
        let of = u32::try_from(count)
            .map_err(|_| E::custom(format!("{count} folds, expected at least 2")))?;
        Ok(Folds { of, cut: Cut::Even })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Folds, A::Error> {
        match map.next_entry::<Cut, u32>()? {
            Some((cut, of)) if map.next_key::<Cut>()?.is_none() => Ok(Folds { of, cut }),
            _ => Err(A::Error::custom(
                "expected one kind of folds, such as `{ reality_check = 4 }`",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Seeds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SeedsVisitor)
    }
}

struct SeedsVisitor;

impl<'de> Visitor<'de> for SeedsVisitor {
    type Value = Seeds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number of seeds or a list of seeds")
    }

    fn visit_i64<E: Error>(self, count: i64) -> Result<Seeds, E> {
        match u64::try_from(count) {
            Ok(count @ 1..=100_000) => Ok(Seeds((0..count).collect())),
            _ => Err(E::custom(format!("{count} seeds, expected 1 to 100000"))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Seeds, A::Error> {
        let mut seeds = Vec::new();
        while let Some(seed) = sequence.next_element()? {
            seeds.push(seed);
        }
        Ok(Seeds(seeds))
    }
}

impl<'de> Deserialize<'de> for CheckpointSeconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckpointSecondsVisitor)
    }
}

impl Serialize for CheckpointSeconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            CheckpointSeconds::Auto => serializer.serialize_str("auto"),
            CheckpointSeconds::Every(seconds) => serializer.serialize_f64(*seconds),
        }
    }
}

struct CheckpointSecondsVisitor;

impl Visitor<'_> for CheckpointSecondsVisitor {
    type Value = CheckpointSeconds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"auto\" or a number of seconds")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<CheckpointSeconds, E> {
        match text {
            "auto" => Ok(CheckpointSeconds::Auto),
            _ => Err(E::custom(format!(
                "`{text}`, expected \"auto\" or a number of seconds"
            ))),
        }
    }

    fn visit_f64<E: Error>(self, seconds: f64) -> Result<CheckpointSeconds, E> {
        Ok(CheckpointSeconds::Every(seconds))
    }

    fn visit_i64<E: Error>(self, seconds: i64) -> Result<CheckpointSeconds, E> {
        Ok(CheckpointSeconds::Every(seconds as f64))
    }
}

impl<'de> Deserialize<'de> for Gpus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GpusVisitor)
    }
}

impl Serialize for Gpus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Gpus::All => serializer.serialize_str("all"),
            Gpus::These(indices) => indices.serialize(serializer),
        }
    }
}

struct GpusVisitor;

impl<'de> Visitor<'de> for GpusVisitor {
    type Value = Gpus;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"all\" or a list of GPU indices")
    }

    fn visit_i64<E: Error>(self, count: i64) -> Result<Gpus, E> {
        let indices: Vec<String> = (0..count.clamp(1, 8))
            .map(|index| index.to_string())
            .collect();
        Err(E::custom(format!(
            "expected \"all\" or a list of GPU indices, such as [{}]",
            indices.join(", ")
        )))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Gpus, E> {
        match text {
            "all" => Ok(Gpus::All),
            _ => Err(E::custom(format!(
                "`{text}`, expected \"all\" or a list of GPU indices"
            ))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Gpus, A::Error> {
        let mut gpus = Vec::new();
        while let Some(index) = sequence.next_element()? {
            gpus.push(index);
        }
        Ok(Gpus::These(gpus))
    }
}

impl<'de> Deserialize<'de> for RunsPerGpu {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RunsPerGpuVisitor)
    }
}

impl Serialize for RunsPerGpu {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            RunsPerGpu::Number(number) => serializer.serialize_u32(*number),
            RunsPerGpu::Auto => serializer.serialize_str("auto"),
        }
    }
}

struct RunsPerGpuVisitor;

impl Visitor<'_> for RunsPerGpuVisitor {
    type Value = RunsPerGpu;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of runs or \"auto\"")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<RunsPerGpu, E> {
        RunsPerGpu::number(number).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RunsPerGpu, E> {
        match text {
            "auto" => Ok(RunsPerGpu::Auto),
            _ => Err(E::custom(format!(
                "`{text}`, expected a number of runs or \"auto\""
            ))),
        }
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{} %", self.0))
    }
}

impl JsonSchema for RunsPerGpu {
    fn schema_name() -> Cow<'static, str> {
        "RunsPerGpu".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        schema_of!({ "anyOf": [
            { "const": "auto" },
            { "type": "integer", "minimum": 1, "maximum": 64 },
        ] })
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{} MB", self.0 as f64 / 1e6))
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        schema_of!({ "type": "string", "pattern": "^[0-9.]+ *[GM]B$" })
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        schema_of!({ "type": "string", "pattern": "^[0-9]{1,3} *%$" })
    }
}

impl JsonSchema for Seeds {
    fn schema_name() -> Cow<'static, str> {
        "Seeds".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        schema_of!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": 100_000 },
            { "type": "array", "items": { "type": "integer", "minimum": 0 }, "minItems": 1, "uniqueItems": true },
        ] })
    }
}

impl JsonSchema for Folds {
    fn schema_name() -> Cow<'static, str> {
        "Folds".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let mut forms = vec![json!({ "type": "integer", "minimum": 2 })];
        forms.extend(Cut::ALL.map(|cut| {
            let name = json!(cut);
            json!({
                "type": "object",
                "properties": { name.as_str().unwrap_or_default(): { "type": "integer", "minimum": 2 } },
                "required": [name],
                "additionalProperties": false,
            })
        }));
        schema_of!({ "anyOf": forms })
    }
}

impl JsonSchema for CheckpointSeconds {
    fn schema_name() -> Cow<'static, str> {
        "CheckpointSeconds".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        schema_of!({ "anyOf": [{ "const": "auto" }, { "type": "number", "minimum": 0 }] })
    }
}

impl JsonSchema for Gpus {
    fn schema_name() -> Cow<'static, str> {
        "Gpus".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        schema_of!({ "anyOf": [
            { "const": "all" },
            { "type": "array", "items": { "type": "integer", "minimum": 0 } },
        ] })
    }
}
