//! The splits of ooDML: a pickle of a dictionary with one entry for each split, `FILE:SPLIT` for short.
//!
//! Milbich, Roth, Sinha, Schmidt, Ghassemi & Ommer, "Characterizing Generalization under Out-Of-Distribution Shifts in Deep
//! Metric Learning", NeurIPS 2021, publish `cub200_splits.pkl`, `cars196_splits.pkl` and `online_products_splits.pkl`. An
//! entry is a dictionary in turn, with the names of classes in the lists `train` and `test`. Its distance of distributions,
//! parts of `train` and episodes are passed over. A name is a text, or the same as a scalar of NumPy.
//!
//! Nothing in such a file is executed.

use std::{
    collections::BTreeMap,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use schema::Half;

use super::DataError;
use crate::tensor_file::pickle::{Id, Object, Pickle};

/// A split of the classes.
#[derive(Debug, PartialEq)]
pub(super) struct ClassSplit {
    pub(super) file: PathBuf,
    /// Its key in the file.
    pub(super) key: String,
    /// The name of each class, with its half.
    pub(super) classes: Vec<(String, Half)>,
}

/// The first byte of a pickle, from protocol 2 on.
const PICKLE: u8 = 0x80;

/// Reads the split that `FILE:SPLIT` means, or nothing if that is no pickle.
///
/// # Errors
/// If the file cannot be read, has no splits, or not this one.
pub(super) fn read(list: &Path) -> Result<Option<ClassSplit>, DataError> {
    let (file, chosen) = located(list);
    if !is_pickle(&file)? {
        return Ok(None);
    }
    let wrong = |why: String| DataError::unreadable(&file, why);
    let pickle = durable::open(&file)
        .map_err(|error| wrong(error.to_string()))
        .and_then(|open| {
            Pickle::read(&mut BufReader::new(open))
                .map_err(|error| wrong(format!("its pickle cannot be read: {error}")))
        })?;
    let splits = splits(&pickle);
    if splits.is_empty() {
        let why = "it is a pickle without splits, which are dictionaries with the lists `train` and `test` of the names of \
                   classes";
        return Err(wrong(why.to_owned()));
    }
    let found = chosen.as_ref().and_then(|key| splits.get_key_value(key));
    let Some((key, classes)) = found else {
        return Err(wrong(choices(&file, chosen.as_deref(), &splits)));
    };
    Ok(Some(ClassSplit {
        file: file.clone(),
        key: key.clone(),
        classes: classes.clone(),
    }))
}

/// Divides `FILE:SPLIT` into the file and the key of a split in it.
fn located(list: &Path) -> (PathBuf, Option<String>) {
    let parts = list.to_str().and_then(|text| text.rsplit_once(':'));
    match parts {
        Some((file, key)) if !list.exists() && Path::new(file).is_file() => {
            (file.into(), Some(key.to_owned()))
        }
        _ => (list.to_owned(), None),
    }
}

fn is_pickle(file: &Path) -> Result<bool, DataError> {
    if !file.is_file() {
        return Ok(false);
    }
    let mut first = Vec::new();
    durable::open(file)
        .and_then(|open| open.take(1).read_to_end(&mut first))
        .map_err(|error| DataError::unreadable(file, error))?;
    Ok(first == [PICKLE])
}

/// Says which splits there are, and how to choose one.
fn choices(
    file: &Path,
    chosen: Option<&str>,
    splits: &BTreeMap<String, Vec<(String, Half)>>,
) -> String {
    let keys: Vec<&str> = splits.keys().map(String::as_str).collect();
    let absent = chosen.map_or(String::new(), |key| format!("it has no split `{key}`; "));
    let name = file.file_name().unwrap_or_default().display();
    format!(
        "{absent}its splits are {}: choose one, as in `--split {name}:{}`",
        keys.join(", "),
        keys[0]
    )
}

/// Returns the splits in a pickle by their keys.
fn splits(pickle: &Pickle) -> BTreeMap<String, Vec<(String, Half)>> {
    let items = pickle.items(pickle.top).unwrap_or_default();
    let split = |&(key, value): &(Id, Id)| Some((key_of(pickle, key)?, halves(pickle, value)?));
    items.iter().filter_map(split).collect()
}

fn key_of(pickle: &Pickle, key: Id) -> Option<String> {
    match pickle.object(key) {
        Object::Integer(number) => Some(number.to_string()),
        Object::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// Returns the classes of a split, if this is one.
fn halves(pickle: &Pickle, split: Id) -> Option<Vec<(String, Half)>> {
    let items = pickle.items(split)?;
    let list = |half: &str| {
        let named = |(key, _): &&(Id, Id)| pickle.text(*key) == Some(half);
        items
            .iter()
            .find(named)
            .and_then(|(_, list)| pickle.elements(*list))
    };
    let mut classes = Vec::new();
    for (half, list) in [(Half::Train, list("train")?), (Half::Test, list("test")?)] {
        for name in list {
            classes.push((name_of(pickle, *name)?, half));
        }
    }
    Some(classes)
}

/// Returns the name of a class: a text, a number, or a scalar of NumPy that holds a text.
fn name_of(pickle: &Pickle, name: Id) -> Option<String> {
    let Object::Call(..) = pickle.object(name) else {
        return key_of(pickle, name);
    };
    let (function, arguments) = pickle.call(name)?;
    let [kind, bytes] = arguments else {
        return None;
    };
    let is_scalar = [
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
    ];
    match pickle.object(*bytes) {
        Object::Bytes(bytes) if is_scalar.contains(&function) && is_text(pickle, *kind) => {
            utf_32(bytes)
        }
        _ => None,
    }
}

/// True if a type of NumPy is `<U..`: code points of four bytes, the lowest first.
fn is_text(pickle: &Pickle, kind: Id) -> bool {
    let named = || {
        let (function, arguments) = pickle.call(kind)?;
        let name = pickle.text(*arguments.first()?)?;
        let order = pickle.text(*pickle.elements(pickle.state(kind)?)?.get(1)?)?;
        Some(function == "numpy.dtype" && name.starts_with('U') && order == "<")
    };
    named().unwrap_or(false)
}

/// Decodes code points of four bytes, the lowest first. Zeros at the end fill the room of a longer text.
fn utf_32(bytes: &[u8]) -> Option<String> {
    let (points, rest) = bytes.as_chunks::<4>();
    let text: Option<String> = points
        .iter()
        .map(|point| char::from_u32(u32::from_le_bytes(*point)))
        .collect();
    text.filter(|_| rest.is_empty())
        .map(|text| text.trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The instruction that pushes a text.
    fn text(text: &str) -> Vec<u8> {
        let length = (text.len() as u32).to_le_bytes();
        [b"X", &length[..], text.as_bytes()].concat()
    }

    /// The instructions that push `numpy.str_(text)`, as NumPy 1 pickles it with protocol 3.
    fn scalar(word: &str) -> Vec<u8> {
        let points: Vec<u8> = word
            .chars()
            .flat_map(|c| (c as u32).to_le_bytes())
            .collect();
        let kind = text(&format!("U{}", word.chars().count()));
        let state = [
            b"(K\x03",
            &text("<")[..],
            b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x08tb",
        ];
        [
            b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n",
            &kind[..],
            b"\x89\x88\x87R",
            &state.concat(),
            b"C",
            &[points.len() as u8],
            &points,
            b"\x86R",
        ]
        .concat()
    }

    /// The instructions that push a split, with a part that is passed over.
    fn split(train: &[Vec<u8>], test: &[Vec<u8>]) -> Vec<u8> {
        let list = |names: &[Vec<u8>]| [b"](", &names.concat()[..], b"e"].concat();
        [
            b"}(",
            &text("train")[..],
            &list(train),
            &text("test"),
            &list(test),
            &text("test_episodes"),
            b"}u",
        ]
        .concat()
    }

    /// Two splits under the keys 1 and 2, with names as texts and as scalars of NumPy.
    fn two_splits() -> Vec<u8> {
        let names = ["Ram C-V", "Saab é"].map(scalar);
        let (one, two) = (
            split(&names[..1], &names[1..]),
            split(&[text("a")], &[text("b")]),
        );
        [b"\x80\x03}(K\x01", &one[..], b"K\x02", &two, b"u."].concat()
    }

    fn read_as(program: &[u8], name: &str) -> Result<Option<ClassSplit>, String> {
        let folder = crate::testing::folder(&[]);
        std::fs::write(folder.path().join("splits.pkl"), program).unwrap();
        read(&folder.path().join(name)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_split_is_chosen_by_its_key() {
        for (key, names) in [("1", ["Ram C-V", "Saab é"]), ("2", ["a", "b"])] {
            let split = read_as(&two_splits(), &format!("splits.pkl:{key}"))
                .unwrap()
                .unwrap();
            let [train, test] = names.map(str::to_owned);
            assert_eq!(split.classes, [(train, Half::Train), (test, Half::Test)]);
            assert_eq!(split.key, key);
        }
    }

    #[test]
    fn without_a_key_or_with_a_wrong_one_the_splits_are_listed() {
        let says = |name: &str, what: &str| {
            let message = read_as(&two_splits(), name).unwrap_err();
            assert!(message.ends_with(what), "{message}");
        };
        let choose = "its splits are 1, 2: choose one, as in `--split splits.pkl:1`";
        says("splits.pkl", choose);
        says("splits.pkl:9", &format!("it has no split `9`; {choose}"));
    }

    #[test]
    fn a_text_is_no_pickle_and_a_pickle_without_splits_is_refused() {
        assert_eq!(read_as(b"a,train\nb,test\n", "splits.pkl"), Ok(None));
        assert_eq!(read_as(b"", "absent.csv"), Ok(None));
        // os.system("true"), a list, and a dictionary of numbers.
        for program in [
            &b"\x80\x02cos\nsystem\nU\x04true\x85R."[..],
            b"\x80\x02].",
            b"\x80\x02}K\x01K\x02s.",
        ] {
            let message = read_as(program, "splits.pkl:1").unwrap_err();
            assert!(
                message.contains("it is a pickle without splits"),
                "{message}"
            );
        }
        let message = read_as(&two_splits()[..40], "splits.pkl:1").unwrap_err();
        assert!(message.contains("its pickle cannot be read"), "{message}");
    }
}
