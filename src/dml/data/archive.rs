//! Reading archives that come from elsewhere.
//!
//! An entry that would land outside of the folder it is unpacked into is an error here, and links are not
//! followed because none are made.

use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, BufReader, ErrorKind, Read, Write},
    path::{Component, Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use zip::{ZipArchive, result::ZipError};

use super::{DataError, Progress};

/// An open zip archive.
pub(super) struct Archive {
    path: PathBuf,
    zip: ZipArchive<BufReader<File>>,
}

/// A file in an archive.
pub(super) struct Entry {
    /// The parts of its path.
    pub(super) parts: Vec<String>,
    /// Its index in the archive.
    pub(super) index: usize,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Archive, DataError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => DataError::missing(path, "there is no such file"),
            _ => DataError::unreadable(path, error),
        })?;
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|error| DataError::unreadable(path, not_a_whole_archive(path, &error)))?;
        Ok(Archive {
            path: path.into(),
            zip,
        })
    }

    /// Returns the files in it, without folders and without what macOS adds.
    pub(super) fn entries(&self) -> Result<Vec<Entry>, DataError> {
        let mut entries = Vec::with_capacity(self.zip.len());
        for (index, name) in self.zip.file_names().enumerate() {
            let name = name.map_err(|error| DataError::unreadable(&self.path, error))?;
            let Some(parts) = parts_of(&name) else {
                return Err(self.broken(
                    &name,
                    "it would land outside of the folder it is unpacked into",
                ));
            };
            if !name.ends_with('/') && !parts.iter().any(|part| is_clutter(part)) {
                entries.push(Entry { parts, index });
            }
        }
        Ok(entries)
    }

    fn copy(&mut self, entry: &Entry, target: &Path) -> Result<(), Unwritten> {
        let mut file = self
            .zip
            .by_index(entry.index)
            .map_err(|error| Unwritten::Archive(io::Error::other(error)))?;
        write_entry(&mut file, target)
    }

    fn damaged(&self, entry: &Entry, why: &str) -> DataError {
        self.broken(
            &entry.parts.join("/"),
            &format!("{why}; download the archive again"),
        )
    }

    fn broken(&self, entry: &str, why: &str) -> DataError {
        DataError::unreadable(
            &self.path,
            format!("its entry `{entry}` is not acceptable: {why}"),
        )
    }
}

/// Returns true if a file or folder of this name is hidden or added by macOS.
pub(super) fn is_clutter(name: &str) -> bool {
    name == "__MACOSX" || name.starts_with('.')
}

fn parts_of(name: &str) -> Option<Vec<String>> {
    if name.contains(['\\', '\0', ':']) {
        return None;
    }
    Path::new(name)
        .components()
        .map(|component| match component {
            Component::Normal(part) => part.to_str().map(str::to_owned),
            _ => None,
        })
        .collect()
}

fn not_a_whole_archive(path: &Path, error: &ZipError) -> String {
    let mut magic = [0; 2];
    match File::open(path).and_then(|mut file| file.read_exact(&mut magic)) {
        Ok(()) if magic == *b"PK" => {
            format!("it is a damaged or incomplete zip archive ({error}); download it again")
        }
        _ => "it is not a zip archive".into(),
    }
}

/// Unpacks a whole archive into a folder. `progress` receives the archive's bytes.
///
/// # Errors
/// If it is damaged, would write outside of the folder or has a file twice, or the disk does not take it.
pub(super) fn unpack(path: &Path, into: &Path, progress: Progress) -> Result<(), DataError> {
    let name = path.to_string_lossy().to_lowercase();
    if name.ends_with(".zip") {
        unpack_zip(path, into, progress)
    } else {
        unpack_tar(path, into, progress)
    }
}

fn unpack_zip(path: &Path, into: &Path, progress: Progress) -> Result<(), DataError> {
    let mut archive = Archive::open(path)?;
    let entries = archive.entries()?;
    let (mut done, total) = (0, entries.len() as u64);
    let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
    for entry in entries {
        let target = into.join(entry.parts.join("/"));
        let written = archive.copy(&entry, &target);
        written
            .map_err(|error| error.into_data_error(&target, |why| archive.damaged(&entry, &why)))?;
        done += 1;
        progress(bytes / total.max(1) * done, bytes);
    }
    Ok(())
}

fn unpack_tar(path: &Path, into: &Path, progress: Progress) -> Result<(), DataError> {
    let file = File::open(path).map_err(|error| DataError::unreadable(path, error))?;
    let total = file.metadata().map_or(0, |metadata| metadata.len());
    let read = Cell::new(0);
    let counted = Counted { file, read: &read };
    let mut magic = [0; 2];
    let gzip = File::open(path)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok()
        && magic == [0x1f, 0x8b];
    let bytes: Box<dyn Read + '_> = if gzip {
        Box::new(MultiGzDecoder::new(BufReader::new(counted)))
    } else {
        Box::new(BufReader::new(counted))
    };
    let damaged = |error: io::Error| {
        DataError::unreadable(
            path,
            format!("it is a damaged or incomplete archive ({error}); download it again"),
        )
    };
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let broken = |why: &str| {
            DataError::unreadable(path, format!("its entry `{name}` is not acceptable: {why}"))
        };
        let parts = parts_of(&name)
            .ok_or_else(|| broken("it would land outside of the folder it is unpacked into"))?;
        let kind = entry.header().entry_type();
        if kind.is_symlink() || kind.is_hard_link() {
            return Err(broken("it is a link"));
        }
        if kind.is_file() && !parts.iter().any(|part| is_clutter(part)) {
            let target = into.join(parts.join("/"));
            let cut = |why: String| broken(&format!("{why}; download it again"));
            write_entry(&mut entry, &target)
                .map_err(|error| error.into_data_error(&target, cut))?;
        }
        progress(read.get(), total);
    }
    Ok(())
}

/// A file that counts the bytes read.
struct Counted<'a> {
    file: File,
    read: &'a Cell<u64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.read.set(self.read.get() + count as u64);
        Ok(count)
    }
}

/// Which side of a copy went wrong.
enum Unwritten {
    Archive(io::Error),
    Disk(io::Error),
}

impl Unwritten {
    fn into_data_error(self, target: &Path, broken: impl FnOnce(String) -> DataError) -> DataError {
        match self {
            Unwritten::Archive(error) => broken(error.to_string()),
            Unwritten::Disk(error) => DataError::disk("write", target)(error),
        }
    }
}

fn write_entry(from: &mut dyn Read, target: &Path) -> Result<(), Unwritten> {
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(Unwritten::Disk)?;
    }
    let mut file = File::create_new(target).map_err(Unwritten::Disk)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer).map_err(Unwritten::Archive)? {
            0 => return Ok(()),
            count => file.write_all(&buffer[..count]).map_err(Unwritten::Disk)?,
        }
    }
}
