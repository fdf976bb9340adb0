//! Tar archives, compressed or not.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufReader, Cursor, Read},
};

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use tar::{Archive, Entry};

use super::{
    super::DataError,
    Progress, Target,
    content::{Compression, beginning, is_tar},
    damaged_archive, open,
};

/// The most memory that a compressed archive may ask for, in KiB. `xz -9` needs 64 MiB.
const MOST_MEMORY: u32 = 1 << 20;

/// Unpacks a tar archive of this many bytes.
pub(super) fn unpack(
    target: &mut Target,
    compression: Compression,
    total: u64,
    progress: Progress,
) -> Result<(), DataError> {
    let read = Cell::new(0);
    let counted = Counted {
        file: open(target.archive)?,
        read: &read,
    };
    let mut content = decompressed(compression, BufReader::new(counted));
    let path = target.archive;
    let head = beginning(&mut content).map_err(|error| damaged_archive(path, &error))?;
    if !is_tar(&head) {
        return Err(DataError::unreadable(
            path,
            "it is compressed but holds no tar archive; decompress it and give what is in it",
        ));
    }
    let mut archive = Archive::new(Cursor::new(head).chain(content));
    let entries = archive
        .entries()
        .map_err(|error| damaged_archive(path, &error))?;
    for entry in entries {
        let mut entry = entry.map_err(|error| damaged_archive(path, &error))?;
        unpack_entry(target, &mut entry)?;
        progress(read.get(), total);
    }
    Ok(())
}

fn decompressed<'a>(compression: Compression, bytes: impl Read + 'a) -> Box<dyn Read + 'a> {
    match compression {
        Compression::None => Box::new(bytes),
        Compression::Gzip => Box::new(MultiGzDecoder::new(bytes)),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(bytes)),
        Compression::Xz => Box::new(XzReader::new_mem_limit(bytes, true, MOST_MEMORY)),
    }
}

fn unpack_entry<R: Read>(target: &mut Target, entry: &mut Entry<R>) -> Result<(), DataError> {
    let raw = entry.path_bytes().into_owned();
    let name = String::from_utf8_lossy(&raw).into_owned();
    let kind = entry.header().entry_type();
    if kind.is_symlink() || kind.is_hard_link() {
        return Err(target.refused(&name, "it is a link"));
    }
    if kind.is_character_special() || kind.is_block_special() || kind.is_fifo() {
        return Err(target.refused(&name, "it is a pipe or a device"));
    }
    if !kind.is_file() && !kind.is_contiguous() && !kind.is_gnu_sparse() {
        return target.parts(&name).map(|_| ());
    }
    if std::str::from_utf8(&raw).is_err() {
        return Err(target.refused(
            &name,
            "its name is not in UTF-8; unpack the archive, rename it and give the folder",
        ));
    }
    target.write(&name, entry)
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
