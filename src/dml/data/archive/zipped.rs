//! Zip archives, also those made on Windows: `\` between folders is read as `/`.

use std::{
    fs::File,
    io::{self, BufReader},
};

use zip::{ZipArchive, read::ZipFile, result::ZipError};

use super::{super::DataError, Progress, Target, damaged_archive, open};

/// Unpacks a zip archive of this many bytes.
pub(super) fn unpack(target: &mut Target, bytes: u64, progress: Progress) -> Result<(), DataError> {
    let file = BufReader::new(open(target.archive)?);
    let mut zip = ZipArchive::new(file).map_err(|error| damaged_archive(target.archive, &error))?;
    let names = names(&zip, target)?;
    for (index, name) in names.iter().enumerate() {
        let mut entry = zip
            .by_index(index)
            .map_err(|error| unreadable(target, name, error))?;
        unpack_entry(target, name, &mut entry)?;
        progress(bytes / names.len() as u64 * (index as u64 + 1), bytes);
    }
    Ok(())
}

fn unpack_entry(
    target: &mut Target,
    name: &str,
    entry: &mut ZipFile<BufReader<File>>,
) -> Result<(), DataError> {
    if entry.is_symlink() {
        return Err(target.refused(name, "it is a link"));
    }
    if name.ends_with('/') {
        return target.parts(name).map(|_| ());
    }
    target.write(name, entry)
}

fn unreadable(target: &Target, name: &str, error: ZipError) -> DataError {
    match error {
        ZipError::UnsupportedArchive(what) => target.refused(
            name,
            &format!("{what}; unpack the archive with another program and give the folder"),
        ),
        other => target.damaged(name, &io::Error::other(other)),
    }
}

/// Returns the names of all entries, with `/` between folders.
fn names(zip: &ZipArchive<BufReader<File>>, target: &Target) -> Result<Vec<String>, DataError> {
    let name = |raw: &[u8]| {
        match std::str::from_utf8(raw) {
        Ok(name) => Ok(name.replace('\\', "/")),
        // The code page of the computer that made it is not in the archive, and a guess names classes wrongly.
        Err(_) => Err(target.refused(
            &String::from_utf8_lossy(raw),
            "its name is in the code page of another computer, not in UTF-8; unpack the archive with \
             that code page (`unzip -O CP932` for Japanese, `-O CP437` for Western names) and give the folder",
        )),
    }
    };
    zip.file_names_raw().map(name).collect()
}
