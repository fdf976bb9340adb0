//! Files of named tensors, as other programs write them: safetensors, the formats of PyTorch, and the index of several
//! such files.
//!
//! [`TensorFile::open`] reads names, shapes and types, and [`TensorFile::tensor`] the values of one tensor. A name is
//! the path of a tensor in its file, with dots: `state_dict.module.conv1.weight`. Nothing in a file is executed, and
//! no more memory is taken than the file is long: its own claims about sizes are compared with its length.

pub(crate) mod pickle;
mod pytorch;
mod recognized;
mod safetensors_file;
mod sharded;

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use tch::{Kind, Tensor};
use zip::ZipArchive;

pub use self::sharded::index_of;

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Safetensors,
    /// A zip archive without a program: PyTorch since 1.6.
    Zip,
    /// A zip archive with a program: TorchScript.
    TorchScript,
    /// A sequence of pickles: PyTorch before 1.6.
    Pickle,
    /// The index of several files.
    Index,
}

/// An open file of named tensors.
pub struct TensorFile {
    entries: Vec<Entry>,
    bytes: Source,
    size: u64,
    format: Format,
}

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path of the tensor in the file, with dots.
    pub name: String,
    layout: Layout,
}

/// The place of a tensor's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layout {
    kind: Kind,
    shape: Vec<i64>,
    strides: Vec<i64>,
    /// The first number, counted in numbers.
    offset: i64,
    storage: Storage,
}

/// Numbers that one or several tensors share.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Storage {
    place: Place,
    /// Length in bytes.
    length: u64,
}

/// Where a storage begins.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// This many bytes from the start of the file.
    At(u64),
    /// In the zip entry with this name.
    Zipped(String),
    /// In one of several files.
    InShard(usize, Box<Place>),
}

enum Source {
    Plain(File),
    Zip(Box<ZipArchive<BufReader<File>>>),
    Shards(Vec<TensorFile>),
}

/// A file that cannot be read as named tensors.
#[derive(Debug, thiserror::Error)]
pub enum TensorFileError {
    /// The system reports an error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file has another format.
    #[error("{0}")]
    OtherFormat(String),
    /// It ends too early, or its parts contradict each other.
    #[error("{0}; it is damaged or was not downloaded whole")]
    Damaged(String),
    /// A whole Python object was saved instead of tensors.
    #[error("it holds a whole Python object of class `{class}`{}, not named tensors; save `model.state_dict()` instead", at(.path))]
    Object {
        /// Its class.
        class: String,
        /// Its path in the file; empty if the file holds nothing else.
        path: String,
    },
    /// One of the files that an index names cannot be read.
    #[error("cannot read `{}`, which it names: {error}", path.display())]
    Shard {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Box<TensorFileError>,
    },
    /// Nothing in it is a tensor with a name.
    #[error("it holds no named tensors")]
    NoTensors,
    /// A type that networks do not have.
    #[error("its tensor `{name}` has the type `{kind}`, which is not read")]
    Kind {
        /// Name of the tensor.
        name: String,
        /// The type, as the file names it.
        kind: String,
    },
}

fn at(path: &str) -> String {
    match path {
        "" => String::new(),
        path => format!(" as `{path}`"),
    }
}

fn damaged(why: impl Into<String>) -> TensorFileError {
    TensorFileError::Damaged(why.into())
}

impl TensorFile {
    /// Reads the names, shapes and types of the tensors in a file. The format is recognized by the content.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or has another format.
    pub fn open(path: &Path) -> Result<TensorFile, TensorFileError> {
        let mut file = durable::open(path)?;
        let size = file.metadata()?.len();
        let format = recognized::format(path, &mut file)?;
        file.rewind()?;
        match format {
            Format::Safetensors => safetensors_file::open(file, size),
            Format::Zip | Format::TorchScript => pytorch::open_zip(file, size),
            Format::Pickle => pytorch::open_pickle(file, size),
            Format::Index => sharded::open(path, file),
        }
    }

    /// Returns the tensors, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// True if the file is in the format safetensors.
    pub fn is_safetensors(&self) -> bool {
        self.format == Format::Safetensors
    }

    /// True if the file is a TorchScript module, whose tensors have the names of its attributes.
    pub fn is_torchscript(&self) -> bool {
        self.format == Format::TorchScript
    }

    /// Reads the values of a tensor of this file.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn tensor(&mut self, entry: &Entry) -> Result<Tensor, TensorFileError> {
        let layout = &entry.layout;
        let bytes = self.bytes.read(&layout.storage, self.size)?;
        let count = bytes.len() / layout.kind.elt_size_in_bytes();
        let whole = &bytes[..count * layout.kind.elt_size_in_bytes()];
        let numbers = Tensor::from_data_size(whole, &[count as i64], layout.kind);
        Ok(numbers
            .as_strided(&layout.shape, &layout.strides, layout.offset)
            .contiguous())
    }
}

impl Entry {
    /// Returns the entry, if its tensor lies within its storage.
    fn new(name: String, layout: Layout) -> Result<Entry, TensorFileError> {
        if layout.is_within_storage() {
            Ok(Entry { name, layout })
        } else {
            Err(damaged(format!(
                "the numbers of its tensor `{name}` are incomplete"
            )))
        }
    }

    /// Returns the shape.
    pub fn shape(&self) -> &[i64] {
        &self.layout.shape
    }

    /// Returns the type of the numbers.
    pub fn kind(&self) -> Kind {
        self.layout.kind
    }

    /// True if both have the same numbers, whatever they are.
    pub fn is_same_tensor(&self, other: &Entry) -> bool {
        self.layout == other.layout
    }
}

impl Layout {
    /// True if all numbers are in the storage, and the tensor has no more numbers than the storage: a small file cannot
    /// stand for a large tensor.
    fn is_within_storage(&self) -> bool {
        self.extent().is_some_and(|(count, end)| {
            let available = self.storage.length / self.kind.elt_size_in_bytes() as u64;
            count <= available && (count == 0 || end <= available)
        })
    }

    /// Returns the number of numbers and the end of the last one. Nothing: they overflow or are negative.
    fn extent(&self) -> Option<(u64, u64)> {
        let unsigned = |value: i64| u64::try_from(value).ok();
        let (mut count, mut last) = (1u64, unsigned(self.offset)?);
        if self.shape.len() != self.strides.len() {
            return None;
        }
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            let size = unsigned(size)?;
            count = count.checked_mul(size)?;
            let reach = size.saturating_sub(1).checked_mul(unsigned(stride)?)?;
            last = last.checked_add(reach)?;
        }
        Some((count, last.checked_add(1)?))
    }
}

/// Returns the strides of a tensor whose numbers lie in order. Nothing: its size overflows.
fn strides_in_order(shape: &[i64]) -> Option<Vec<i64>> {
    let mut strides = vec![1i64; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].checked_mul(shape[axis].max(1))?;
    }
    Some(strides)
}

impl Source {
    fn read(&mut self, storage: &Storage, file_size: u64) -> Result<Vec<u8>, TensorFileError> {
        if storage.length > file_size {
            return Err(damaged("a tensor in it is larger than the file"));
        }
        let mut bytes = Vec::new();
        match (self, &storage.place) {
            (Source::Plain(file), Place::At(start)) => {
                file.seek(SeekFrom::Start(*start))?;
                file.take(storage.length).read_to_end(&mut bytes)?;
            }
            (Source::Zip(zip), Place::Zipped(name)) => {
                let entry = zip.by_name(name).map_err(|_| incomplete())?;
                // At its end, the entry compares its checksum.
                entry
                    .take(storage.length.saturating_add(1))
                    .read_to_end(&mut bytes)
                    .map_err(|_| incomplete())?;
            }
            (Source::Shards(files), Place::InShard(number, place)) => {
                let file = files.get_mut(*number).ok_or_else(incomplete)?;
                let within = Storage {
                    place: (**place).clone(),
                    length: storage.length,
                };
                return file.bytes.read(&within, file.size);
            }
            (Source::Plain(_) | Source::Zip(_) | Source::Shards(_), _) => {}
        }
        if bytes.len() as u64 != storage.length {
            return Err(incomplete());
        }
        Ok(bytes)
    }
}

fn incomplete() -> TensorFileError {
    damaged("the numbers of its tensors are incomplete")
}

#[cfg(test)]
mod tests;
