//! Finds the tensors of a network in a file in which they have longer or other names.
//!
//! Training scripts wrap networks (`module.`, `backbone.`), keep several of them (`teacher.`, `student.`) and put their
//! tensors into containers (`state_dict`). [`TensorFile`] makes one name of all that, so that whatever stands before
//! the names of the network is a prefix. Neither the wrapper nor the program has to be known: they are the prefix and
//! the [`Naming`] in which most tensors of the network are there. Two prefixes that fit equally well are two networks;
//! of some pairs, the papers measure one.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    path::Path,
};

use schema::Backbone;
use tch::{Kind, Tensor};

use super::{
    blank,
    naming::{Naming, Origin},
};
use crate::{
    model::trunk::BuildTrunk,
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
    /// The names of tensors under the prefix that are known to be no part of the network.
    pub aside: Vec<String>,
    /// What stands before these names in the file.
    pub prefix: String,
    /// The prefixes of other networks in the file that fit as well.
    pub rivals: Vec<String>,
    /// True if the file holds these tensors as they are read: under their names, in single precision, as safetensors.
    pub is_verbatim: bool,
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
    let wanted = Wanted::of(backbone);
    let Chosen {
        naming,
        prefix,
        rivals,
    } = choose(file.entries(), &wanted, prefix)?;
    let entries = file.entries().to_vec();
    let found = under(&entries, &prefix);
    let mut used = HashSet::new();
    let mut tensors = State::new();
    let mut is_verbatim = prefix.is_empty() && file.is_safetensors();
    for (name, shape) in &wanted.shapes {
        let origin = naming.origin(name);
        let Some((entries, made)) = pieces(&origin, &found) else {
            continue;
        };
        used.extend(origin.names.iter().cloned());
        let tensor = match count(&made) / MOST_TIMES <= count(shape) {
            true => {
                let read = entries.iter().map(|entry| file.tensor(entry));
                in_form(&origin.made(&read.collect::<Result<Vec<_>, _>>()?), shape)
            }
            false => outline(&made, entries[0].kind()),
        };
        is_verbatim &= origin.names[..] == [&**name]
            && tensor.kind() == entries[0].kind()
            && tensor.size() == entries[0].shape();
        tensors.push((name.clone(), tensor));
    }
    let (mut others, mut aside) = (Vec::new(), Vec::new());
    for (name, entry) in found {
        let list = match () {
            () if used.contains(name) => continue,
            () if naming.is_beside(name) => &mut aside,
            () if is_unneeded(naming, name, entry, &mut file)? => &mut aside,
            () => &mut others,
        };
        list.push(name.to_owned());
    }
    Ok(Published {
        tensors,
        others,
        aside,
        prefix,
        rivals,
        is_verbatim,
    })
}

/// Returns the entries that make up an origin, and the shape of the result. Nothing: they are not all
/// there, or do not go together.
fn pieces(origin: &Origin, found: &BTreeMap<&str, &Entry>) -> Option<(Vec<Entry>, Vec<i64>)> {
    let names = origin.names.iter();
    let entries: Vec<Entry> = names
        .map(|name| found.get(&**name).map(|entry| (*entry).clone()))
        .collect::<Option<_>>()?;
    let shapes: Vec<&[i64]> = entries.iter().map(Entry::shape).collect();
    let made = origin.shape(&shapes)?;
    Some((entries, made))
}

/// True if the network does without a tensor, in view of its numbers.
fn is_unneeded(
    naming: &Naming,
    name: &str,
    entry: &Entry,
    file: &mut TensorFile,
) -> Result<bool, TensorFileError> {
    match naming.unneeded(name) {
        Some(when) => Ok(when.holds(&file.tensor(entry)?)),
        None => Ok(false),
    }
}

/// Returns a tensor of this shape and type, without its numbers.
fn outline(shape: &[i64], kind: Kind) -> Tensor {
    Tensor::zeros([1], (kind, tch::Device::Cpu)).expand(shape, false)
}

/// Returns the tensor in single precision, and with as many dimensions as the network's where only dimensions of one
/// are more or fewer: a vector of a norm is saved as `[1, n]`, positions as `[n, d]`, a layer scale as `[d, 1, 1]`.
fn in_form(tensor: &Tensor, shape: &[i64]) -> Tensor {
    let plain = match tensor.is_floating_point() {
        true => tensor.to_kind(Kind::Float),
        false => tensor.shallow_clone(),
    };
    let found = plain.size();
    if longer(&found) == longer(shape) {
        return plain.reshape(shape);
    }
    match shape.len() == found.len() + 1 && shape[0] == 1 {
        true => plain.unsqueeze(0),
        false => plain,
    }
}

/// Returns the dimensions that are not one.
fn longer(shape: &[i64]) -> Vec<i64> {
    let sizes = shape.iter().copied();
    sizes.filter(|size| *size != 1).collect()
}

/// The tensors that are searched for: those of a backbone.
struct Wanted {
    backbone: Backbone,
    /// Their shapes, by name.
    shapes: BTreeMap<String, Vec<i64>>,
}

impl Wanted {
    fn of(backbone: &Backbone) -> Wanted {
        let builder = blank(backbone);
        let slots = builder.parameters.iter().chain(&builder.statistics);
        let shapes = slots.map(|slot| (slot.name().to_owned(), slot.shape().to_vec()));
        Wanted {
            shapes: shapes.collect(),
            backbone: backbone.clone(),
        }
    }

    /// True if a tensor of the found shape can be the one of this name.
    fn takes(&self, name: &str, found: &[i64]) -> bool {
        let shape = &self.shapes[name];
        let has_rows = || found.last() == shape.last() && count(found) > 0;
        count(found) == count(shape) || self.backbone.resamples(name) && has_rows()
    }

    /// Returns how many of the tensors are there, and how many of them have fitting shapes.
    fn score(&self, naming: &Naming, found: &BTreeMap<&str, &Entry>) -> Score {
        let mut score = Score::default();
        for name in self.shapes.keys() {
            if let Some((_, made)) = pieces(&naming.origin(name), found) {
                score.found += 1;
                score.fitting += usize::from(self.takes(name, &made));
            }
        }
        score
    }

    fn is_complete(&self, score: Score) -> bool {
        score.fitting == self.shapes.len()
    }
}

/// Returns the entries whose names begin with the prefix, by the rest of their names.
fn under<'a>(entries: &'a [Entry], prefix: &str) -> BTreeMap<&'a str, &'a Entry> {
    let rest = |entry: &'a Entry| Some((entry.name.strip_prefix(prefix)?, entry));
    entries.iter().filter_map(rest).collect()
}

/// The network that is taken from a file.
struct Chosen {
    naming: &'static Naming,
    prefix: String,
    /// The prefixes of others that fit as well.
    rivals: Vec<String>,
}

/// How well tensors fit a network; the better, the greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    /// Number of tensors that can be the network's.
    fitting: usize,
    /// Number of tensors that have names of the network.
    found: usize,
}

/// The tensors under a prefix that have names of the network in one naming.
#[derive(Default)]
struct Candidate<'a> {
    entries: BTreeMap<&'a str, &'a Entry>,
    score: Score,
}

impl Candidate<'_> {
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
    wanted: &Wanted,
    prefix: Option<&str>,
) -> Result<Chosen, PublishedError> {
    let namings = wanted.backbone.namings().iter();
    let mut namings = namings.map(|naming| (naming, candidates(entries, wanted, naming)));
    let mut best = (&Naming::OWN, BTreeMap::new());
    let mut most = None;
    for (naming, mut candidates) in &mut namings {
        if let Some(prefix) = prefix {
            candidates.retain(|found, _| is_meant(found, prefix));
        }
        let score = candidates.values().map(|candidate| candidate.score).max();
        if score > most {
            candidates.retain(|_, candidate| Some(candidate.score) == score);
            (best, most) = ((naming, candidates), score);
        }
    }
    let (naming, candidates) = best;
    if let (Some(wanted), None) = (prefix, most) {
        return Err(PublishedError::NoSuchPrefix {
            wanted: wanted.to_owned(),
            known: first_words(entries),
        });
    }
    let distinct = without_copies(&candidates);
    // Parts of other networks may have some of the names; only whole networks are alternatives.
    if most.is_none_or(|score| score.found < wanted.shapes.len()) {
        return Ok(Chosen {
            naming,
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
        naming,
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

/// Returns what stands before names of the network in one naming, with the tensors that have these names.
fn candidates<'a>(
    entries: &'a [Entry],
    wanted: &Wanted,
    naming: &Naming,
) -> BTreeMap<&'a str, Candidate<'a>> {
    let names = wanted.shapes.keys();
    let names: HashSet<String> = names.flat_map(|name| naming.origin(name).names).collect();
    let mut candidates = BTreeMap::<&str, Candidate>::new();
    for entry in entries {
        let dots = entry.name.match_indices('.').map(|(place, _)| place + 1);
        for start in std::iter::once(0).chain(dots) {
            let (prefix, name) = entry.name.split_at(start);
            if names.contains(name) {
                let candidate = candidates.entry(prefix).or_default();
                candidate.entries.insert(name, entry);
            }
        }
    }
    let lengths = candidates.values().map(|candidate| candidate.entries.len());
    // Scores take time, and less than half of what another one has is not the best.
    let most = lengths.max().unwrap_or(0);
    candidates.retain(|_, candidate| 2 * candidate.entries.len() >= most);
    for candidate in candidates.values_mut() {
        candidate.score = wanted.score(naming, &candidate.entries);
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

/// Returns the backbones whose tensors are all in a file, out of these: several if it holds equally many of each.
///
/// # Errors
/// The file cannot be read.
pub fn recognized(
    path: &Path,
    among: impl IntoIterator<Item = Backbone>,
) -> Result<Vec<Backbone>, TensorFileError> {
    let file = TensorFile::open(path)?;
    let native = |backbone: &Backbone| !matches!(backbone, Backbone::Torchscript(_));
    let complete = among.into_iter().filter(native).filter_map(|backbone| {
        let wanted = Wanted::of(&backbone);
        let found = is_in(file.entries(), &wanted);
        found.then_some((wanted.shapes.len(), backbone))
    });
    let complete: Vec<(usize, Backbone)> = complete.collect();
    // The tensors of a smaller network may be in a larger one.
    let most = complete.iter().map(|(count, _)| *count).max();
    let largest = complete
        .into_iter()
        .filter(|(count, _)| Some(*count) == most);
    Ok(largest.map(|(_, backbone)| backbone).collect())
}

/// True if all tensors of a backbone are in a file.
fn is_in(entries: &[Entry], wanted: &Wanted) -> bool {
    let mut namings = wanted.backbone.namings().iter();
    namings.any(|naming| {
        let mut candidates = candidates(entries, wanted, naming).into_values();
        candidates.any(|candidate| wanted.is_complete(candidate.score))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resnet18() -> Backbone {
        Backbone::pretrainable()
            .find(|backbone| backbone.key() == "resnet18")
            .unwrap()
    }

    fn shapes(backbone: &Backbone) -> BTreeMap<String, Vec<i64>> {
        Wanted::of(backbone).shapes
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
    fn the_backbone_is_recognized_by_the_names_and_shapes_of_its_tensors() {
        let (_folder, path) = written(&filled("module.", 1.0));
        let of_file = recognized(&path, Backbone::pretrainable()).unwrap();
        assert_eq!(of_file, [resnet18()]);
        let others = Backbone::pretrainable().filter(|other| *other != resnet18());
        assert_eq!(recognized(&path, others).unwrap(), []);
    }

    #[test]
    fn the_tensors_of_a_smaller_network_are_not_taken_out_of_a_larger_one() {
        let larger = Backbone::pretrainable().find(|one| one.key() == "resnet34");
        let larger = larger.unwrap();
        let tensors: State = shapes(&larger)
            .into_iter()
            .map(|(name, shape)| (name, outline(&shape, Kind::Float).contiguous()))
            .collect();
        let (_folder, path) = written(&tensors);
        assert_eq!(
            recognized(&path, Backbone::pretrainable()).unwrap(),
            [larger]
        );
    }
}
