//! Finds the tensors of a network in a file in which they have longer names.
//!
//! Training scripts wrap networks (`module.`, `backbone.`), keep several of them (`teacher.`, `student.`) and put their
//! tensors into containers (`state_dict`). [`TensorFile`] makes one name of all that, so that whatever stands before
//! the names of the network is a prefix. No wrapper has to be known: the prefix is the one under which most tensors of
//! the network are. Two prefixes that fit equally well are two networks; of some pairs, the papers measure one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use schema::Backbone;
use tch::{Kind, Tensor};

use super::blank;
use crate::{
    state::State,
    tensor_file::{Entry, TensorFile, TensorFileError},
};

/// Networks that one training has at the same time: the one that is measured, and the other one.
///
/// DINO and iBOT measure the teacher, MoCo the encoder of queries, MoCo v3 the encoder that is not its moving average.
/// timm (`load_state_dict`, `use_ema`) takes the moving average of a supervised training.
const MEASURED: &[(&str, &str)] = &[
    ("teacher", "student"),
    ("encoder_q", "encoder_k"),
    ("base_encoder", "momentum_encoder"),
    ("state_dict_ema", "state_dict"),
    ("model_ema", "model"),
    ("ema", "model"),
];

/// The tensors of a network, found in a file.
#[derive(Debug)]
pub struct Published {
    /// The tensors, by the names that the network has for them.
    pub tensors: State,
    /// The names of further tensors under the same prefix.
    pub others: Vec<String>,
    /// What stands before these names in the file.
    pub prefix: String,
    /// The prefixes of other networks in the file that fit as well.
    pub rivals: Vec<String>,
    /// True if the file holds these tensors as they are read: under their names, in single precision, as safetensors.
    pub is_verbatim: bool,
    /// The keys of other backbones whose tensors are all in the file.
    pub looks_like: Vec<&'static str>,
}

/// Tensors that cannot be read or found.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// No tensor of the network is under the prefix that was asked for.
    #[error("no tensors of this backbone are under `{wanted}`; the names in the file begin with {}", quoted(.known))]
    NoSuchPrefix {
        /// The prefix that was asked for.
        wanted: String,
        /// First words of the names in the file.
        known: Vec<String>,
    },
    /// Several networks fit.
    #[error("it holds several networks that fit, under {}; choose one with `--prefix`", quoted(.prefixes))]
    Ambiguous {
        /// Their prefixes.
        prefixes: Vec<String>,
    },
}

/// How many times as large as the network's a tensor may be whose numbers are read, such as positions that will be
/// resampled.
const MOST_TIMES: i64 = 64;

/// Number of prefixes that a message lists.
const LISTED: usize = 8;

fn quoted(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).map(|name| format!("`{name}`"));
    shown.collect::<Vec<_>>().join(", ")
}

/// Reads the tensors of a backbone from a file, under `prefix` or, without it, under the one that fits best.
///
/// # Errors
/// The file cannot be read, or the prefix is unknown or unclear.
pub fn read(
    path: &Path,
    backbone: &Backbone,
    prefix: Option<&str>,
) -> Result<Published, PublishedError> {
    let mut file = TensorFile::open(path)?;
    let shapes = shapes(backbone);
    let Chosen { prefix, rivals } = choose(file.entries(), &shapes, prefix)?;
    let found = under(file.entries(), &prefix);
    let (mut tensors, mut others, mut is_verbatim) = (
        State::new(),
        Vec::new(),
        prefix.is_empty() && file.is_safetensors(),
    );
    for (name, entry) in found {
        let Some(shape) = shapes.get(&name) else {
            others.push(name);
            continue;
        };
        let tensor = match count(entry.shape()) / MOST_TIMES <= count(shape) {
            true => in_form(&file.tensor(&entry)?, shape),
            false => outline(&entry),
        };
        is_verbatim &= tensor.kind() == entry.kind() && tensor.size() == entry.shape();
        tensors.push((name, tensor));
    }
    Ok(Published {
        tensors,
        others,
        prefix,
        rivals,
        is_verbatim,
        looks_like: looks_like(file.entries(), backbone),
    })
}

/// Returns a tensor of the shape and type of an entry, without its numbers.
fn outline(entry: &Entry) -> Tensor {
    Tensor::zeros([1], (entry.kind(), tch::Device::Cpu)).expand(entry.shape(), false)
}

/// Returns the tensor in single precision, and a vector of a norm that was saved as `[1, n]` as `[n]`.
fn in_form(tensor: &Tensor, shape: &[i64]) -> Tensor {
    let plain = match tensor.is_floating_point() {
        true => tensor.to_kind(Kind::Float),
        false => tensor.shallow_clone(),
    };
    match (&plain.size()[..], shape) {
        (&[1, found], &[expected]) if found == expected => plain.squeeze_dim(0),
        _ => plain,
    }
}

/// The shapes of the tensors of a network, by name.
type Shapes = HashMap<String, Vec<i64>>;

fn shapes(backbone: &Backbone) -> Shapes {
    let builder = blank(backbone);
    let slots = builder.parameters.iter().chain(&builder.statistics);
    slots
        .map(|slot| (slot.name().to_owned(), slot.shape().to_vec()))
        .collect()
}

/// Returns the entries whose names begin with the prefix, with the rest of their names.
fn under(entries: &[Entry], prefix: &str) -> Vec<(String, Entry)> {
    let rest = |entry: &Entry| Some((entry.name.strip_prefix(prefix)?.to_owned(), entry.clone()));
    entries.iter().filter_map(rest).collect()
}

/// The prefix of a network in a file, and those of others that fit as well.
struct Chosen {
    prefix: String,
    rivals: Vec<String>,
}

/// The tensors under a prefix that have names of the network.
#[derive(Default)]
struct Candidate<'a> {
    entries: BTreeMap<&'a str, &'a Entry>,
    /// Number of those that have as many numbers as the network's.
    fitting: usize,
}

impl Candidate<'_> {
    fn score(&self) -> (usize, usize) {
        (self.fitting, self.entries.len())
    }

    fn has_the_tensors_of(&self, other: &Candidate) -> bool {
        let pairs = self.entries.iter().zip(&other.entries);
        self.entries.len() == other.entries.len()
            && pairs
                .into_iter()
                .all(|((name, one), (of, two))| name == of && one.is_same_tensor(two))
    }
}

fn choose(
    entries: &[Entry],
    shapes: &Shapes,
    wanted: Option<&str>,
) -> Result<Chosen, PublishedError> {
    let mut candidates = candidates(entries, shapes);
    if let Some(wanted) = wanted {
        candidates.retain(|prefix, _| is_meant(prefix, wanted));
        if candidates.is_empty() {
            return Err(PublishedError::NoSuchPrefix {
                wanted: wanted.to_owned(),
                known: first_words(entries),
            });
        }
    }
    let best = candidates.values().map(Candidate::score).max();
    candidates.retain(|_, candidate| Some(candidate.score()) == best);
    let distinct = without_copies(&candidates);
    // Parts of other networks may have some of the names; only whole networks are alternatives.
    if best.is_none_or(|(_, found)| found < shapes.len()) {
        return Ok(Chosen {
            prefix: distinct.first().copied().unwrap_or_default().to_owned(),
            rivals: Vec::new(),
        });
    }
    let names = |prefixes: &[&str]| prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
    let Some(prefix) = measured(&distinct) else {
        return Err(PublishedError::Ambiguous {
            prefixes: names(&distinct),
        });
    };
    let rivals: Vec<&str> = distinct
        .into_iter()
        .filter(|other| *other != prefix)
        .collect();
    Ok(Chosen {
        prefix: prefix.to_owned(),
        rivals: names(&rivals),
    })
}

/// Returns the only prefix, or the one of the network that papers measure rather than any of the others.
fn measured<'a>(prefixes: &[&'a str]) -> Option<&'a str> {
    let beats = |one: &str, two: &str| one == two || is_measured(one, two);
    let mut candidates = prefixes.iter().copied();
    candidates.find(|one| prefixes.iter().all(|two| beats(one, two)))
}

/// Returns what stands before names of the network, with the tensors that have these names.
fn candidates<'a>(entries: &'a [Entry], shapes: &Shapes) -> BTreeMap<&'a str, Candidate<'a>> {
    let mut candidates = BTreeMap::<&str, Candidate>::new();
    for entry in entries {
        let dots = entry.name.match_indices('.').map(|(place, _)| place + 1);
        for start in std::iter::once(0).chain(dots) {
            let (prefix, name) = entry.name.split_at(start);
            let Some(shape) = shapes.get(name) else {
                continue;
            };
            let candidate = candidates.entry(prefix).or_default();
            candidate.entries.insert(name, entry);
            candidate.fitting += usize::from(count(entry.shape()) == count(shape));
        }
    }
    candidates
}

fn count(shape: &[i64]) -> i64 {
    shape.iter().product()
}

/// Returns the prefixes in the order of their length, without those of the same tensors as an earlier one.
fn without_copies<'a>(candidates: &BTreeMap<&'a str, Candidate<'a>>) -> Vec<&'a str> {
    let mut ordered: Vec<_> = candidates.iter().collect();
    ordered.sort_by_key(|(prefix, _)| prefix.len());
    let mut distinct: Vec<(&str, &Candidate)> = Vec::new();
    for (prefix, candidate) in ordered {
        let is_copy = distinct
            .iter()
            .any(|(_, earlier)| earlier.has_the_tensors_of(candidate));
        if !is_copy {
            distinct.push((prefix, candidate));
        }
    }
    distinct.into_iter().map(|(prefix, _)| prefix).collect()
}

fn words(prefix: &str) -> Vec<&str> {
    prefix.split('.').filter(|word| !word.is_empty()).collect()
}

/// True if the words that were asked for stand in the prefix, one after the other.
fn is_meant(prefix: &str, wanted: &str) -> bool {
    let (prefix, wanted) = (words(prefix), words(wanted));
    wanted.is_empty() && prefix.is_empty()
        || !wanted.is_empty() && prefix.windows(wanted.len()).any(|some| some == wanted)
}

/// True if papers measure the network under `one` rather than that under `two`.
fn is_measured(one: &str, two: &str) -> bool {
    let (one, two) = (words(one), words(two));
    let differ = one.iter().zip(&two).find(|(a, b)| a != b);
    differ.is_some_and(|(a, b)| MEASURED.contains(&(a, b)))
}

fn first_words(entries: &[Entry]) -> Vec<String> {
    let first = |entry: &Entry| entry.name.split('.').next().unwrap_or_default().to_owned();
    let words: BTreeSet<String> = entries.iter().map(first).collect();
    words.into_iter().collect()
}

/// Returns the keys of other backbones whose tensors are all in a file.
fn looks_like(entries: &[Entry], than: &Backbone) -> Vec<&'static str> {
    let others = Backbone::pretrainable()
        .filter(|other| other.key() != than.key() && !matches!(other, Backbone::Torchscript(_)));
    let fits = |other: &Backbone| {
        let shapes = shapes(other);
        let mut candidates = candidates(entries, &shapes).into_values();
        candidates.any(|candidate| candidate.fitting == shapes.len())
    };
    others.filter(fits).map(|other| other.key()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resnet18() -> Backbone {
        Backbone::pretrainable()
            .find(|backbone| backbone.key() == "resnet18")
            .unwrap()
    }

    /// Tensors of ResNet-18, filled with a number, under a prefix.
    fn filled(prefix: &str, number: f64) -> State {
        let tensor = |(name, shape): (String, Vec<i64>)| {
            let tensor = Tensor::full(&shape, number, (Kind::Float, tch::Device::Cpu));
            (prefix.to_owned() + &name, tensor)
        };
        shapes(&resnet18()).into_iter().map(tensor).collect()
    }

    fn written(tensors: &State) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        Tensor::write_safetensors(tensors, &path).unwrap();
        (folder, path)
    }

    /// The number in the tensors that are read.
    fn number(read: &Published) -> f64 {
        assert_eq!(read.tensors.len(), shapes(&resnet18()).len());
        read.tensors[0].1.max().double_value(&[])
    }

    #[test]
    fn any_wrapper_is_found() {
        for prefix in ["", "module.", "_orig_mod.", "state_dict.model.0.trunk."] {
            let (_folder, path) = written(&filled(prefix, 1.0));
            let read = read(&path, &resnet18(), None).unwrap();
            assert_eq!(read.prefix, prefix);
            assert_eq!(read.is_verbatim, prefix.is_empty());
            assert_eq!(number(&read), 1.0);
            assert!(read.others.is_empty() && read.rivals.is_empty());
        }
    }

    #[test]
    fn of_two_networks_the_measured_one_is_taken_or_the_one_asked_for() {
        for (measured, other) in MEASURED {
            let prefix = |word: &str| format!("{word}.module.");
            let mut both = filled(&prefix(measured), 1.0);
            both.extend(filled(&prefix(other), 2.0));
            let (_folder, path) = written(&both);
            let found = read(&path, &resnet18(), None).unwrap();
            assert_eq!(
                (number(&found), &found.rivals[..]),
                (1.0, &[prefix(other)][..])
            );
            let asked = read(&path, &resnet18(), Some(other)).unwrap();
            assert_eq!(number(&asked), 2.0);
        }
    }

    #[test]
    fn two_networks_of_which_none_is_measured_are_not_chosen_between() {
        let mut both = filled("left.", 1.0);
        both.extend(filled("right.", 2.0));
        let (_folder, path) = written(&both);
        let unclear = read(&path, &resnet18(), None).unwrap_err().to_string();
        assert!(
            unclear.contains("under `left.`, `right.`; choose one"),
            "{unclear}"
        );
        assert_eq!(
            number(&read(&path, &resnet18(), Some("right.")).unwrap()),
            2.0
        );
        let unknown = read(&path, &resnet18(), Some("middle"))
            .unwrap_err()
            .to_string();
        assert!(unknown.contains("begin with `left`, `right`"), "{unknown}");
    }

    #[test]
    fn parts_of_another_network_with_some_of_the_names_are_no_choice() {
        let block = |prefix: &str| {
            let part = filled(prefix, 1.0).into_iter();
            part.filter(|(name, _)| name.ends_with("bn1.weight"))
                .collect::<State>()
        };
        let mut blocks = block("dense.0.");
        blocks.extend(block("dense.1."));
        let (_folder, path) = written(&blocks);
        let read = read(&path, &resnet18(), None).unwrap();
        assert!(read.tensors.len() < shapes(&resnet18()).len());
        assert!(read.rivals.is_empty());
    }

    #[test]
    fn half_precision_and_norms_of_one_row_are_read_in_the_form_of_the_network() {
        let mut tensors = filled("", 0.5);
        for (_, tensor) in &mut tensors {
            let shape = tensor.size();
            let row = if shape.len() == 1 {
                vec![1, shape[0]]
            } else {
                shape
            };
            *tensor = tensor.to_kind(Kind::Half).view(&row[..]);
        }
        let (_folder, path) = written(&tensors);
        let read = read(&path, &resnet18(), None).unwrap();
        assert!(!read.is_verbatim);
        let shapes = shapes(&resnet18());
        assert!(read.tensors.iter().all(|(name, tensor)| {
            tensor.kind() == Kind::Float && tensor.size() == shapes[name]
        }));
    }

    #[test]
    fn the_numbers_of_tensors_that_are_far_too_large_are_not_read() {
        let mut tensors = filled("", 1.0);
        let is_meant = |(name, _): &&mut (String, Tensor)| name == "bn1.weight";
        let (_, tensor) = tensors.iter_mut().find(is_meant).unwrap();
        let size = 2 * MOST_TIMES * tensor.numel() as i64;
        *tensor = Tensor::zeros([size], (Kind::Int8, tch::Device::Cpu));
        let (_folder, path) = written(&tensors);
        let read = read(&path, &resnet18(), None).unwrap();
        let mut read = read.tensors.iter();
        let (_, found) = read.find(|(name, _)| name == "bn1.weight").unwrap();
        assert_eq!((found.size(), found.stride()), (vec![size], vec![0]));
    }

    #[test]
    fn a_file_of_another_backbone_is_recognized() {
        let squeezenet = Backbone::pretrainable()
            .find(|backbone| backbone.key() == "squeezenet")
            .unwrap();
        let (_folder, path) = written(&filled("module.", 1.0));
        assert_eq!(
            read(&path, &squeezenet, None).unwrap().looks_like,
            ["resnet18"]
        );
    }
}
