//! Ids, which are hashes of content: what makes two runs the same run.
//!
//! | component | in the [`RunId`]? |
//! | --- | --- |
//! | every field of the [`Recipe`], absent optional ones left out | yes |
//! | the bytes of the data set's files | yes, as the [`Fingerprint`] |
//! | the version of these types, whenever their meaning changes | yes, [`SCHEMA`] |
//! | device kind, CPU threads (they change the last digits) | yes, [`Numerics`] |
//! | the bytes of trained weights | yes, as [`Weights`](crate::Weights) in the recipe |
//! | where files lie, sweep, method and axis names, GPU index, number of slots | no |
//! | how often checkpoints are written, which metrics are reported | no |

use std::{collections::BTreeMap, fmt, ops::Range, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Dataset, Glyphs, Recipe, StoredImages};

/// Version of everything that is hashed; raised when old results are no longer valid.
pub const SCHEMA: u32 = 3;

/// Everything that a [`RunId`] is the hash of; stored beside each run so that two can be compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Identity {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// What was asked for.
    pub recipe: Recipe,
    /// The content of the data.
    #[schemars(with = "String")]
    pub data: Fingerprint,
    /// The kind of arithmetic.
    pub numerics: Numerics,
}

impl Identity {
    /// Returns the id of the run.
    pub fn run(&self) -> RunId {
        RunId(short_hash(self))
    }

    /// Returns the same with another seed.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Identity {
        let recipe = Recipe {
            seed,
            ..self.recipe.clone()
        };
        Identity {
            recipe,
            ..self.clone()
        }
    }

    /// Returns the ids of the runs that differ from this one in the seed alone, much faster than one by
    /// one: everything but the seed is serialized once.
    pub fn runs(&self, seeds: &[u64]) -> Vec<RunId> {
        let mut identity = entries(self);
        let mut recipe = entries(&self.recipe);
        let mut runs = Vec::with_capacity(seeds.len());
        for seed in seeds {
            recipe.insert("seed".to_owned(), seed.to_string());
            identity.insert("recipe".to_owned(), object(&recipe));
            runs.push(RunId(hashed(object(&identity).as_bytes())));
        }
        runs
    }
}

/// The kind of arithmetic a run was computed with: a CPU result never stands in for a GPU's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Numerics {
    /// On the CPU. The number of threads changes the order of summation.
    Cpu {
        /// Threads within an operation.
        threads: u32,
    },
    /// On a CUDA device.
    Cuda,
}

/// The id of a run: 16 hexadecimal digits of the BLAKE3 hash of its [`Identity`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u64);

/// The id of a data set prepared for training: a hash of the data set, its content and the format of
/// its stored images.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataId(u64);

/// The id of several networks measured as one: a hash of their runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnsembleId(u64);

/// The id of a study: a hash of what its trials share, without the ranges of its searched values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StudyId(u64);

/// The id of jobs that take the same memory and run at the same speed: a hash of what these depend on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindId(u64);

impl KindId {
    /// Returns the id of the kind that this text describes.
    pub fn of(description: &str) -> KindId {
        KindId(short_hash(description))
    }
}

impl StudyId {
    /// Returns the id of the study with this description.
    pub fn of(description: &str) -> StudyId {
        StudyId(short_hash(&(SCHEMA, "study", description)))
    }
}

impl RunId {
    /// Returns the id of the run whose [`Identity`] has this canonical JSON.
    pub fn of_canonical_json(identity: &[u8]) -> RunId {
        RunId(hashed(identity))
    }

    /// Returns a placeholder for a run that a study has not selected yet.
    pub fn undecided(study: StudyId, seed: u64, fold: usize) -> RunId {
        RunId(short_hash(&("undecided", study, seed, fold)))
    }
}

impl EnsembleId {
    /// Returns the id of these runs as an ensemble, in this order.
    pub fn of(runs: &[RunId]) -> EnsembleId {
        EnsembleId(short_hash(&(SCHEMA, "concatenated", runs)))
    }
}

impl DataId {
    /// Returns the id of `dataset` with the content `fingerprint`, stored in the format `images`.
    pub fn of(dataset: &Dataset, images: &StoredImages, fingerprint: &Fingerprint) -> DataId {
        DataId(short_hash(&(SCHEMA, dataset, images, fingerprint)))
    }
}

/// The BLAKE3 hash of a data set's content, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Wraps a finished hash.
    pub fn new(hash: blake3::Hash) -> Fingerprint {
        Fingerprint(hash.to_hex().to_string())
    }

    /// Returns the fingerprint of a synthetic data set, which its parameters and the version of the
    /// drawing determine.
    pub fn of_parameters(dataset: &Dataset) -> Fingerprint {
        Fingerprint::new(blake3::hash(
            canonical_json(&(dataset, Glyphs::DRAWING)).as_bytes(),
        ))
    }

    /// Returns a placeholder for missing data. No run with it can be executed.
    pub fn missing() -> Fingerprint {
        Fingerprint("missing".to_owned())
    }

    /// True if the data is missing.
    pub fn is_missing(&self) -> bool {
        *self == Fingerprint::missing()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the canonical JSON text of a value: keys sorted, no white space, shortest numbers.
///
/// # Panics
/// Never for the types of this crate, whose keys are all text.
pub fn canonical_json<T: Serialize + ?Sized>(value: &T) -> String {
    let mut text = Vec::with_capacity(1024);
    serde_json::to_writer(&mut text, value).expect("plain data is JSON");
    let text = String::from_utf8(text).expect("JSON is UTF-8");
    let mut sorting = Sorting {
        text: &text,
        at: 0,
        sorted: String::with_capacity(text.len()),
    };
    sorting.value();
    sorting.sorted
}

/// The fields of a struct: the canonical text of each by its name.
fn entries<T: Serialize>(value: &T) -> BTreeMap<String, String> {
    let text = serde_json::to_string(value).expect("plain data is JSON");
    let mut sorting = Sorting {
        text: &text,
        at: 0,
        sorted: String::with_capacity(text.len()),
    };
    sorting.entries()
}

/// The canonical text of an object with these fields.
fn object(entries: &BTreeMap<String, String>) -> String {
    let mut text = String::from("{");
    for (name, value) in entries {
        if text.len() > 1 {
            text.push(',');
        }
        text.push('"');
        text.push_str(name);
        text.push_str("\":");
        text.push_str(value);
    }
    text.push('}');
    text
}

/// Copies a JSON text without white space and sorts the keys of its objects. A tree of values does the
/// same, but would take most of the time of planning a hundred thousand runs.
struct Sorting<'t> {
    text: &'t str,
    at: usize,
    sorted: String,
}

impl<'t> Sorting<'t> {
    fn value(&mut self) {
        match self.next() {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => {
                let text = self.quoted();
                self.sorted.push_str(text);
            }
            _ => {
                let rest = &self.text[self.at..];
                let scalar = rest.find([',', ']', '}']).map_or(rest, |end| &rest[..end]);
                self.at += scalar.len();
                self.sorted.push_str(scalar);
            }
        }
    }

    fn object(&mut self) {
        let start = self.sorted.len();
        let mut entries: Vec<(&str, Range<usize>)> = Vec::new();
        self.at += 1;
        while self.next() != b'}' {
            let entry = self.sorted.len();
            self.at += usize::from(self.next() == b',');
            let key = self.quoted();
            self.at += 1;
            self.sorted.push_str(key);
            self.sorted.push(':');
            self.value();
            entries.push((key, entry..self.sorted.len()));
        }
        self.at += 1;
        entries.sort_by_key(|(key, _)| key.trim_matches('"'));
        let entries: Vec<&str> = entries
            .iter()
            .map(|(_, entry)| &self.sorted[entry.clone()])
            .collect();
        let sorted = entries.join(",");
        self.sorted.truncate(start);
        self.sorted.push('{');
        self.sorted.push_str(&sorted);
        self.sorted.push('}');
    }

    /// The fields of an object, by name.
    fn entries(&mut self) -> BTreeMap<String, String> {
        let mut entries = BTreeMap::new();
        self.at += 1;
        while self.next() != b'}' {
            self.at += usize::from(self.next() == b',');
            let name = self.quoted().trim_matches('"').to_owned();
            self.at += 1;
            let start = self.sorted.len();
            self.value();
            entries.insert(name, self.sorted.split_off(start));
        }
        entries
    }

    fn array(&mut self) {
        self.sorted.push('[');
        self.at += 1;
        while self.next() != b']' {
            if self.next() == b',' {
                self.sorted.push(',');
                self.at += 1;
            }
            self.value();
        }
        self.at += 1;
        self.sorted.push(']');
    }

    /// A string with its quotes.
    fn quoted(&mut self) -> &'t str {
        let start = self.at;
        self.at += 1;
        while self.next() != b'"' {
            self.at += if self.next() == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        &self.text[start..self.at]
    }

    fn next(&self) -> u8 {
        self.text.as_bytes()[self.at]
    }
}

fn short_hash<T: Serialize + ?Sized>(value: &T) -> u64 {
    hashed(canonical_json(value).as_bytes())
}

fn hashed(text: &[u8]) -> u64 {
    let bytes = *blake3::hash(text)
        .as_bytes()
        .first_chunk()
        .expect("a hash has 32 bytes");
    u64::from_be_bytes(bytes)
}

/// The error for a text that is no id: not 16 hexadecimal digits.
#[derive(Debug)]
pub struct ParseIdError(String);

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not 16 hexadecimal digits", self.0)
    }
}

impl std::error::Error for ParseIdError {}

macro_rules! hexadecimal {
    ($id:ident) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $id {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let wrong = || ParseIdError(text.to_owned());
                let digits = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                if !digits {
                    return Err(wrong());
                }
                u64::from_str_radix(text, 16).map($id).map_err(|_| wrong())
            }
        }

        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

hexadecimal!(RunId);
hexadecimal!(DataId);
hexadecimal!(EnsembleId);
hexadecimal!(StudyId);
hexadecimal!(KindId);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backbone, Contrastive, Loss, MPerClass, Model, Optimizer, Sampler, Sgd, Training};

    fn identity() -> Identity {
        let dataset = Dataset::Glyphs(Glyphs {
            classes: 10,
            test_classes: 5,
            per_class: 4,
            seed: 0,
        });
        Identity {
            schema: SCHEMA,
            data: Fingerprint::of_parameters(&dataset),
            recipe: Recipe {
                dataset,
                images: StoredImages {
                    size: crate::ImageSize::Square(28),
                    color: crate::Color::Gray,
                    bounding_boxes: false,
                    background: None,
                },
                transform: crate::Transform::default(),
                fold: None,
                model: Model::new(Backbone::Conv4, Some(64)),
                training: Some(Training::new(
                    Loss::Contrastive(Contrastive::default()),
                    Sampler::MPerClass(MPerClass {
                        batch: 16,
                        per_class: 4,
                    }),
                    Optimizer::Sgd(Sgd::default()),
                    10,
                )),
                seed: 0,
            },
            numerics: Numerics::Cpu { threads: 1 },
        }
    }

    #[test]
    fn the_canonical_text_sorts_keys_and_keeps_numbers_short() {
        let value = serde_json::json!({ "b": [1, 0.1, [], 1e-7], "a": { "d": null, "c": "x\"},\\", "": {} }, "é": "a:b" });
        assert_eq!(
            canonical_json(&value),
            r#"{"a":{"":{},"c":"x\"},\\","d":null},"b":[1,0.1,[],1e-7],"é":"a:b"}"#
        );
        assert_eq!(canonical_json("x"), "\"x\"");
    }

    #[test]
    fn the_id_of_a_run_never_changes_silently() {
        // If this fails, results that users already have are no longer found: raise SCHEMA knowingly.
        assert_eq!(identity().run().to_string(), "b3827d73f4a88934");
    }

    #[test]
    fn every_component_changes_the_id() {
        let changes: [fn(&mut Identity); 7] = [
            |i| i.schema += 1,
            |i| i.recipe.seed += 1,
            |i| i.recipe.images.size = crate::ImageSize::ShortSide(28),
            |i| i.recipe.transform.test.center_crop = Some(20),
            |i| i.recipe.training = None,
            |i| i.data = Fingerprint::missing(),
            |i| i.numerics = Numerics::Cpu { threads: 2 },
        ];
        let mut names = vec![identity().run()];
        for change in changes {
            let mut changed = identity();
            change(&mut changed);
            names.push(changed.run());
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 8);
    }

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        let text = serde_json::to_string(&identity()).unwrap();
        assert_eq!(serde_json::from_str::<Identity>(&text).unwrap(), identity());
        let id = identity().run();
        assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
        assert!("0123".parse::<RunId>().is_err());
    }

    #[test]
    fn runs_that_differ_in_the_seed_have_the_ids_that_they_have_one_by_one() {
        let mut identity = identity();
        // A seed that is also a number elsewhere in the recipe, and one that is a prefix of others.
        let seeds = [0, 1, 10, 16, 28, 101, u64::MAX];
        let together = identity.runs(&seeds);
        let one_by_one = seeds.map(|seed| {
            identity.recipe.seed = seed;
            identity.run()
        });
        assert_eq!(together, one_by_one);
    }
}
