//! The formats of `torch.save`: a pickle that describes tensors, and their numbers.
//!
//! Since PyTorch 1.6 a file is a zip archive with the pickle as `data.pkl` and one entry for each storage. Before, it
//! was a sequence: a magic number, the version, facts about the system, the pickle, the keys of the storages, and the
//! storages, each with its length. In both, a tensor is a call of `torch._utils._rebuild_tensor_v2` with a storage that
//! is described as an object outside of the pickle.
//!
//! Tensors are searched in dictionaries within dictionaries, and in the attributes of TorchScript's modules, whose archive
//! has the same form. Anything else that a checkpoint may hold, such as
//! the arguments of the training, is passed over.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufReader, Read, Seek},
};

use tch::Kind;
use zip::ZipArchive;

use super::{
    Entry, Format, Layout, Place, Source, Storage, TensorFile, TensorFileError, damaged,
    pickle::{Id, Object, Pickle, PickleError},
};

/// The magic number of the older format, as a pickle of protocol 2.
pub(super) const OLDER_MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// The entry that only archives of TorchScript have: the constants of the program.
const PROGRAM: &str = "constants.pkl";

/// The beginning of the names of classes that a TorchScript module defines. Its objects are what they contain.
const OWN_CLASSES: &str = "__torch__.";

/// The class of an object whose class cannot be told.
const UNKNOWN: &str = "unknown";

/// Maximum number of dictionaries within each other.
const DEEPEST: usize = 16;

/// Maximum number of tensors in a file.
const MOST_TENSORS: usize = 200_000;

/// Maximum number of elements of dictionaries, each counted as often as it can be reached.
const MOST_VISITS: usize = 4 << 20;

/// Maximum length of a key of a dictionary.
const LONGEST_KEY: usize = 256;

/// Opens a zip archive of `torch.save`.
pub(super) fn open_zip(file: File, size: u64) -> Result<TensorFile, TensorFileError> {
    let mut zip = ZipArchive::new(BufReader::new(file))
        .map_err(|_| damaged("it begins as a zip archive and does not end as one"))?;
    let folder = folder(&zip)?;
    if text(&mut zip, &format!("{folder}byteorder")).is_some_and(|order| order != "little") {
        return Err(TensorFileError::OtherFormat(BIG_ENDIAN.to_owned()));
    }
    let pickle = match zip.by_name(&format!("{folder}data.pkl")) {
        Ok(entry) => Pickle::read(&mut BufReader::new(entry)).map_err(why)?,
        Err(_) => return Err(damaged("its list of tensors cannot be read")),
    };
    let place = |key: &str| Some(Place::Zipped(format!("{folder}data/{key}")));
    let entries = entries(&pickle, &place)?;
    let has_program = zip.by_name(&format!("{folder}{PROGRAM}")).is_ok();
    let format = match has_program {
        true => Format::TorchScript,
        false => Format::Zip,
    };
    Ok(TensorFile {
        entries,
        bytes: Source::Zip(Box::new(zip)),
        size,
        format,
    })
}

const BIG_ENDIAN: &str = "it was written by a machine with another order of bytes";

/// Returns the beginning of the names of all entries that belong to the pickle.
fn folder<R: Read + Seek>(zip: &ZipArchive<R>) -> Result<String, TensorFileError> {
    let names: Vec<String> = zip
        .file_names()
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .collect();
    let named = |end: &str| names.iter().find_map(|name| name.strip_suffix(end));
    if let Some(folder) = named("data.pkl") {
        return Ok(folder.to_owned());
    }
    Err(TensorFileError::OtherFormat(
        match named(".npy").is_some() {
            true => "it is an archive of NumPy (.npz); save its arrays as safetensors",
            false => "it is a zip archive without tensors of PyTorch; unpack it first",
        }
        .to_owned(),
    ))
}

/// Returns the content of a small entry, if there is one.
fn text<R: Read + Seek>(zip: &mut ZipArchive<R>, name: &str) -> Option<String> {
    let mut text = String::new();
    let entry = zip.by_name(name).ok()?;
    entry.take(64).read_to_string(&mut text).ok()?;
    Some(text.trim().to_owned())
}

/// Opens a file of the older format.
pub(super) fn open_pickle(file: File, size: u64) -> Result<TensorFile, TensorFileError> {
    let mut input = BufReader::new(file);
    let mut next = || Pickle::read(&mut input).map_err(why);
    let (_magic, _version, system, pickle, keys) = (next()?, next()?, next()?, next()?, next()?);
    if is_big_endian(&system) {
        return Err(TensorFileError::OtherFormat(BIG_ENDIAN.to_owned()));
    }
    let places = places(&pickle, &keys, input.stream_position()?)?;
    let entries = entries(&pickle, &|key| places.get(key).cloned())?;
    Ok(TensorFile {
        entries,
        bytes: Source::Plain(input.into_inner()),
        size,
        format: Format::Pickle,
    })
}

fn is_big_endian(system: &Pickle) -> bool {
    let mut items = system.items(system.top).unwrap_or_default().iter();
    items.any(|&(key, value)| {
        system.text(key) == Some("little_endian") && system.integer(value) == Some(0)
    })
}

/// Returns where each storage begins: they follow each other from `start` on, each behind its length in eight bytes.
fn places(
    pickle: &Pickle,
    keys: &Pickle,
    mut start: u64,
) -> Result<HashMap<String, Place>, TensorFileError> {
    let externals = pickle.objects().iter().filter_map(|object| match object {
        Object::External(description) => described(pickle, *description),
        _ => None,
    });
    let lengths: HashMap<&str, u64> = externals
        .map(|external| (external.key, external.length))
        .collect();
    let keys = keys
        .elements(keys.top)
        .and_then(|ids| {
            ids.iter()
                .map(|id| keys.text(*id))
                .collect::<Option<Vec<_>>>()
        })
        .ok_or_else(|| damaged("the list of its numbers cannot be read"))?;
    let mut places = HashMap::new();
    for key in keys {
        let length = lengths.get(key).copied().unwrap_or(0);
        places.insert(key.to_owned(), Place::At(start.saturating_add(8)));
        start = start.saturating_add(8).saturating_add(length);
    }
    Ok(places)
}

fn why(error: PickleError) -> TensorFileError {
    match error {
        PickleError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            damaged("it ends too early")
        }
        PickleError::Io(error) => TensorFileError::Io(error),
        other => damaged(format!("its pickle cannot be read: {other}")),
    }
}

/// A storage as a pickle describes it.
struct External<'a> {
    /// The class of the storage, which tells the type of its numbers.
    class: &'a str,
    key: &'a str,
    /// Length in bytes.
    length: u64,
}

/// Reads the description `("storage", class, key, device, count, ..)`.
fn described(pickle: &Pickle, description: Id) -> Option<External<'_>> {
    let [word, class, key, _, count, ..] = pickle.elements(description)? else {
        return None;
    };
    let class = pickle.global(*class)?;
    let size = kind(class).map_or(1, |kind| kind.elt_size_in_bytes() as u64);
    let count = u64::try_from(pickle.integer(*count)?).ok()?;
    (pickle.text(*word)? == "storage").then_some(External {
        class,
        key: pickle.text(*key)?,
        length: count.checked_mul(size)?,
    })
}

/// Returns the type of numbers that a class of storages, or a `torch.dtype`, stands for.
fn kind(class: &str) -> Option<Kind> {
    Some(match class.strip_prefix("torch.")? {
        "FloatStorage" | "cuda.FloatStorage" | "float32" => Kind::Float,
        "DoubleStorage" | "cuda.DoubleStorage" | "float64" => Kind::Double,
        "HalfStorage" | "cuda.HalfStorage" | "float16" => Kind::Half,
        "BFloat16Storage" | "cuda.BFloat16Storage" | "bfloat16" => Kind::BFloat16,
        "LongStorage" | "cuda.LongStorage" | "int64" => Kind::Int64,
        "IntStorage" | "cuda.IntStorage" | "int32" => Kind::Int,
        "ShortStorage" | "cuda.ShortStorage" | "int16" => Kind::Int16,
        "CharStorage" | "cuda.CharStorage" | "int8" => Kind::Int8,
        "ByteStorage" | "cuda.ByteStorage" | "uint8" => Kind::Uint8,
        "BoolStorage" | "cuda.BoolStorage" | "bool" => Kind::Bool,
        _ => return None,
    })
}

/// Finds the tensors of a pickle.
fn entries(
    pickle: &Pickle,
    place: &dyn Fn(&str) -> Option<Place>,
) -> Result<Vec<Entry>, TensorFileError> {
    let mut search = Search {
        pickle,
        place,
        entries: Vec::new(),
        passed_over: None,
        visits: 0,
    };
    search.visit(pickle.top, "", 0)?;
    if search.entries.is_empty() {
        return Err(search.passed_over.unwrap_or(TensorFileError::NoTensors));
    }
    Ok(search.entries)
}

struct Search<'a> {
    pickle: &'a Pickle,
    place: &'a dyn Fn(&str) -> Option<Place>,
    entries: Vec<Entry>,
    /// Why the first object that is neither a tensor nor a dictionary was passed over.
    passed_over: Option<TensorFileError>,
    visits: usize,
}

impl<'a> Search<'a> {
    fn visit(&mut self, id: Id, path: &str, depth: usize) -> Result<(), TensorFileError> {
        self.visits += 1;
        if self.visits > MOST_VISITS || self.entries.len() > MOST_TENSORS {
            return Err(damaged("it has more tensors than any network"));
        }
        match self.pickle.object(id) {
            Object::Dictionary(items) if depth < DEEPEST => {
                for (key, value) in items {
                    if let Some(path) = self.path(path, *key) {
                        self.visit(*value, &path, depth + 1)?;
                    }
                }
                Ok(())
            }
            Object::Call(..) => match self.attributes(id) {
                Some(attributes) if depth < DEEPEST => self.visit(attributes, path, depth + 1),
                _ => self.visit_call(id, path),
            },
            _ => Ok(()),
        }
    }

    /// Returns the attributes of an object of a class that TorchScript defines, as a dictionary.
    fn attributes(&self, id: Id) -> Option<Id> {
        let state = self.pickle.state(id)?;
        self.class(id).starts_with(OWN_CLASSES).then_some(state)
    }

    /// Returns the path of an element of the dictionary at `path`. Nothing: its key is no name.
    fn path(&self, path: &str, key: Id) -> Option<String> {
        let key = match self.pickle.object(key) {
            Object::Text(text) if text.len() <= LONGEST_KEY => text.clone(),
            Object::Integer(number) => number.to_string(),
            _ => return None,
        };
        Some(match path {
            "" => key,
            path => format!("{path}.{key}"),
        })
    }

    fn visit_call(&mut self, id: Id, path: &str) -> Result<(), TensorFileError> {
        let found = match self.rebuilt(id) {
            Some(_) if path.is_empty() => Err(TensorFileError::NoTensors),
            Some(arguments) => self.tensor(arguments, path),
            None => Err(TensorFileError::Object {
                class: self.class(id),
                path: path.to_owned(),
            }),
        };
        match found {
            Ok(entry) => self.entries.push(entry),
            Err(TensorFileError::Damaged(why)) => return Err(damaged(why)),
            Err(other) => self.passed_over = self.passed_over.take().or(Some(other)),
        }
        Ok(())
    }

    /// Returns the class of an object that was made by a call. The older format describes classes of modules as
    /// `("module", class, file, source)`, outside of the pickle.
    fn class(&self, id: Id) -> String {
        let Object::Call(class, _) = self.pickle.object(id) else {
            return UNKNOWN.to_owned();
        };
        let described = match self.pickle.object(*class) {
            Object::External(description) => self.pickle.elements(*description),
            _ => None,
        };
        let class = match described {
            Some([_, class, ..]) => class,
            _ => class,
        };
        self.pickle.global(*class).unwrap_or(UNKNOWN).to_owned()
    }

    /// Returns the arguments of the call that makes a tensor, within those that make a parameter or a subclass of it.
    fn rebuilt(&self, id: Id) -> Option<&'a [Id]> {
        let pickle = self.pickle;
        let (mut function, mut arguments) = pickle.call(id)?;
        for _ in 0..DEEPEST {
            match function {
                "torch._utils._rebuild_tensor"
                | "torch._utils._rebuild_tensor_v2"
                | "torch._utils._rebuild_tensor_v3" => return Some(arguments),
                "torch._utils._rebuild_parameter"
                | "torch._utils._rebuild_parameter_with_state" => {
                    (function, arguments) = pickle.call(*arguments.first()?)?;
                }
                "torch._tensor._rebuild_from_type_v2" => {
                    function = pickle.global(*arguments.first()?)?;
                    arguments = pickle.elements(*arguments.get(2)?)?;
                }
                _ => return None,
            }
        }
        None
    }

    /// Returns the tensor that is made with these arguments: storage, offset, shape, strides and, for a storage of
    /// bytes, as the seventh the type.
    fn tensor(&self, arguments: &[Id], path: &str) -> Result<Entry, TensorFileError> {
        let unclear = || {
            damaged(format!(
                "its tensor `{path}` is not described as PyTorch does"
            ))
        };
        let [storage, offset, shape, strides, ..] = arguments else {
            return Err(unclear());
        };
        let Object::External(description) = self.pickle.object(*storage) else {
            return Err(unclear());
        };
        let external = described(self.pickle, *description).ok_or_else(unclear)?;
        let dtype = arguments.get(6).and_then(|id| self.pickle.global(*id));
        let class = dtype.unwrap_or(external.class);
        let kind = kind(class).ok_or_else(|| TensorFileError::Kind {
            name: path.to_owned(),
            kind: class.to_owned(),
        })?;
        let layout = Layout {
            kind,
            shape: self.integers(*shape).ok_or_else(unclear)?,
            strides: self.integers(*strides).ok_or_else(unclear)?,
            offset: self.pickle.integer(*offset).ok_or_else(unclear)?,
            storage: Storage {
                place: (self.place)(external.key).ok_or_else(unclear)?,
                length: external.length,
            },
        };
        Entry::new(path.to_owned(), layout)
    }

    fn integers(&self, id: Id) -> Option<Vec<i64>> {
        let elements = self.pickle.elements(id)?.iter();
        elements.map(|id| self.pickle.integer(*id)).collect()
    }
}
