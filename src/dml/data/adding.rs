//! Adds what a user downloaded, archives or folders, to a data set's own folder.
//!
//! That folder then holds `files`, with everything that was unpacked, copied or linked, and
//! `listing.csv`, the table of images. Later steps read this table only and do not depend on layouts.
//! Both appear only after all files are listed and their counts checked.

use std::{
    fmt::Write,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use durable::{create_folder, sync_parent};
use schema::{Counts, Dataset, Registration};

use super::{
    DataError, Progress,
    archive::unpack,
    listing::Listing,
    readers::{self, Found},
    table,
};

const FILES: &str = "files";
const INCOMPLETE: &str = ".incomplete";

/// A data set to add.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The data set.
    pub dataset: Dataset,
    /// Archives (`.zip`, `.tar`, `.tar.gz`, `.tgz`), folders, and single files such as annotations.
    pub from: &'a [PathBuf],
    /// The data set's own folder. If it is among `from`, its files stay where they are.
    pub into: &'a Path,
    /// The treatment of folders.
    pub folders: Folders,
    /// True if counts may differ from the published ones.
    pub other_counts: bool,
}

/// The treatment of folders that are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folders {
    /// They are left in place and linked to.
    Link,
    /// They are copied.
    Copy,
}

/// A data set that was added.
#[derive(Debug)]
pub struct Added {
    /// The layout of its files.
    pub layout: &'static str,
    /// Its images.
    pub listing: Listing,
    /// Counts that differ from the published ones, one line each.
    pub differences: Vec<String>,
}

/// Adds a data set. `progress` receives bytes.
///
/// # Errors
/// If the files are not those of the data set, their counts differ from the published ones, or they do
/// not fit on the disk. Nothing new is left behind.
pub fn add(request: &Request, progress: Progress) -> Result<Added, DataError> {
    let is_new = !request.into.exists();
    create_folder(request.into)?;
    let added = add_to_folder(request, progress);
    if is_new && added.is_err() {
        // A folder that is not empty stays.
        let _ = fs::remove_dir(request.into);
    }
    added
}

fn add_to_folder(request: &Request, progress: Progress) -> Result<Added, DataError> {
    let into = request
        .into
        .canonicalize()
        .map_err(DataError::disk("open", request.into))?;
    let is_into = |path: &PathBuf| path.canonicalize().is_ok_and(|path| path == into);
    if request.from.iter().any(is_into) {
        let found = readers::find(&request.dataset, &into)?;
        return register(request, found, &into, |_| Ok(()));
    }
    let staging = Staging::create(into.join(INCOMPLETE))?;
    let files = staging.0.join(FILES);
    gather(request, &files, progress)?;
    let found = readers::find(&request.dataset, &files)?;
    register(request, found, &staging.0, |into| {
        let target = into.join(FILES);
        if target.exists() {
            fs::rename(&target, staging.0.join("replaced"))
                .map_err(DataError::disk("replace", &target))?;
        }
        fs::rename(&files, &target).map_err(DataError::disk("create", &target))
    })
}

/// Checks the counts, calls `publish`, which moves the files into the data set's own folder, and writes
/// the table. Paths below `root` are relative in it.
fn register(
    request: &Request,
    found: Found,
    root: &Path,
    publish: impl FnOnce(&Path) -> Result<(), DataError>,
) -> Result<Added, DataError> {
    let differences = differences(request.dataset.facts().counts, found.listing.counts());
    if !differences.is_empty() && !request.other_counts {
        return Err(DataError::OtherCounts {
            path: found.root.clone(),
            why: other_counts(&found, &differences),
        });
    }
    publish(request.into)?;
    let path = request.into.join(Registration::LISTING);
    table::write(&found.listing, root, &path)?;
    sync_parent(&path)?;
    Ok(Added {
        layout: found.layout,
        listing: table::read(&path)?,
        differences,
    })
}

/// Returns a line for each count that differs from the published one.
fn differences(published: Option<Counts>, found: Counts) -> Vec<String> {
    let Some(expected) = published else {
        return Vec::new();
    };
    let pairs = expected.quantities().into_iter().zip(found.quantities());
    let differ = pairs.filter(|(expected, found)| expected != found);
    differ
        .map(|((name, expected), (_, found))| {
            format!("{name:<16} expected {expected:>7}   found {found:>7}")
        })
        .collect()
}

fn other_counts(found: &Found, differences: &[String]) -> String {
    let mut message = format!("read as {}, it is not what was published", found.layout);
    for line in differences {
        let _ = write!(message, "\n  {line}");
    }
    message + "\nresults on it compare with no published ones"
}

/// Puts everything given into the folder `files`.
fn gather(request: &Request, files: &Path, progress: Progress) -> Result<(), DataError> {
    create_folder(files)?;
    let mut total = 0;
    for path in request.from {
        if !path.exists() {
            return Err(DataError::missing(path, "a file or folder to add"));
        }
        total += file_bytes(path);
    }
    let mut done = 0;
    for path in request.from {
        if is_archive(path) {
            unpack(path, files, &|bytes, _| progress(done + bytes, total))?;
        } else {
            take(path, &files.join(name_of(path)?), request.folders)?;
        }
        done += file_bytes(path);
        progress(done, total);
    }
    Ok(())
}

/// Returns the size of a file, and 0 for a folder.
fn file_bytes(path: &Path) -> u64 {
    let metadata = fs::metadata(path).ok();
    metadata
        .filter(fs::Metadata::is_file)
        .map_or(0, |metadata| metadata.len())
}

fn is_archive(path: &Path) -> bool {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    path.is_file()
        && [".zip", ".tar", ".tar.gz", ".tgz"]
            .iter()
            .any(|ending| name.ends_with(ending))
}

/// Returns the name of a file or folder, also if it was given as `.` or `..`.
fn name_of(path: &Path) -> Result<std::ffi::OsString, DataError> {
    let named = match path.file_name() {
        Some(name) => Some(name.to_owned()),
        None => path
            .canonicalize()
            .ok()
            .and_then(|path| path.file_name().map(ToOwned::to_owned)),
    };
    named.ok_or_else(|| {
        DataError::unreadable(path, "it has no name of its own; give a folder in it")
    })
}

/// Links or copies one folder or file to `target`.
fn take(path: &Path, target: &Path, folders: Folders) -> Result<(), DataError> {
    if target.exists() {
        return Err(DataError::unreadable(
            path,
            "something else of this name was given before",
        ));
    }
    match folders {
        Folders::Link if path.is_dir() => {
            let original = path
                .canonicalize()
                .map_err(|error| DataError::unreadable(path, error))?;
            symlink(original, target).map_err(DataError::disk("create", target))
        }
        Folders::Link | Folders::Copy => copy(path, target),
    }
}

fn copy(path: &Path, target: &Path) -> Result<(), DataError> {
    if !path.is_dir() {
        return fs::copy(path, target)
            .map(|_| ())
            .map_err(DataError::disk("write", target));
    }
    create_folder(target)?;
    for entry in fs::read_dir(path).map_err(|error| DataError::unreadable(path, error))? {
        let entry = entry.map_err(|error| DataError::unreadable(path, error))?;
        copy(&entry.path(), &target.join(entry.file_name()))?;
    }
    Ok(())
}

/// A folder for incomplete files, inside of the data set's own and so on the same disk. Removed when
/// dropped.
struct Staging(PathBuf);

impl Staging {
    fn create(folder: PathBuf) -> Result<Staging, DataError> {
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(DataError::disk("remove", &folder))?;
        }
        create_folder(&folder)?;
        Ok(Staging(folder))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Leftovers are removed by the next attempt. Links are removed, never their targets.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use zip::{ZipWriter, write::SimpleFileOptions};

    use std::io;

    use super::*;
    use crate::data::listing::Role;

    const TABLE: &str =
        "path,label,class_name,split\nimages/a/1.jpg,0,A,train\nimages/b/1.jpg,1,B,test\n";
    const FILES: [(&str, &str); 3] = [
        ("own/manifest.csv", TABLE),
        ("own/images/a/1.jpg", "one"),
        ("own/images/b/1.jpg", "two"),
    ];

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in FILES {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn zip(path: &Path) {
        let mut zip = ZipWriter::new(fs::File::create(path).unwrap());
        for (name, content) in FILES.iter().chain(&[("__MACOSX/own/._1.jpg", "junk")]) {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            io::Write::write_all(&mut zip, content.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
    }

    fn tar(path: &Path, gzip: bool, entries: &[(&str, &str)]) {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            tar.append(&header, content.as_bytes()).unwrap();
        }
        let bytes = tar.into_inner().unwrap();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        io::Write::write_all(&mut encoder, &bytes).unwrap();
        fs::write(
            path,
            if gzip {
                encoder.finish().unwrap()
            } else {
                bytes
            },
        )
        .unwrap();
    }

    fn request<'a>(from: &'a [PathBuf], into: &'a Path) -> Request<'a> {
        Request {
            dataset: Dataset::Own(schema::Own {
                name: "birds".to_owned(),
            }),
            from,
            into,
            folders: Folders::Link,
            other_counts: false,
        }
    }

    fn added(from: &Path, into: &Path) -> Result<Added, DataError> {
        add(&request(&[from.into()], into), &|_, _| ())
    }

    #[test]
    fn archives_of_every_kind_and_folders_give_the_same_table() {
        let (source, root) = (folder(), tempfile::tempdir().unwrap());
        let archives =
            ["own.zip", "own.tar", "own.tar.gz", "own.TGZ"].map(|name| root.path().join(name));
        zip(&archives[0]);
        tar(&archives[1], false, &FILES);
        tar(&archives[2], true, &FILES);
        tar(&archives[3], true, &FILES);
        let unpacked = [source.path().join("own")];
        let tables = archives
            .iter()
            .chain(&unpacked)
            .enumerate()
            .map(|(index, from)| {
                let into = root.path().join(index.to_string());
                let added = added(from, &into).unwrap();
                assert_eq!(added.listing.counts().training_images, 1);
                assert!(!into.join(INCOMPLETE).exists());
                assert_eq!(
                    fs::read_to_string(into.join("files/own/images/b/1.jpg")).unwrap(),
                    "two"
                );
                fs::read_to_string(into.join(Registration::LISTING)).unwrap()
            });
        let tables: Vec<String> = tables.collect();
        assert!(
            tables[0].contains("files/own/images/a/1.jpg,0,A,train"),
            "{}",
            tables[0]
        );
        assert!(tables.iter().all(|table| *table == tables[0]));
    }

    #[test]
    fn folders_are_linked_to_or_copied_and_never_changed() {
        let (source, root) = (folder(), tempfile::tempdir().unwrap());
        let (own, into) = (source.path().join("own"), root.path().join("data"));
        added(&own, &into).unwrap();
        assert!(into.join("files/own").is_symlink());
        let from = [own.clone()];
        add(
            &Request {
                folders: Folders::Copy,
                ..request(&from, &into)
            },
            &|_, _| (),
        )
        .unwrap();
        assert!(!into.join("files/own").is_symlink());
        added(&own, &into).unwrap();
        assert!(own.join("images/a/1.jpg").is_file());
    }

    #[test]
    fn files_in_the_data_sets_own_folder_are_left_in_place() {
        let root = folder();
        let own = root.path().join("own");
        for _ in 0..2 {
            assert_eq!(added(&own, &own).unwrap().layout, "`manifest.csv`");
        }
        assert!(!own.join("files").exists());
        let table = fs::read_to_string(own.join(Registration::LISTING)).unwrap();
        assert!(table.contains("\nimages/a/1.jpg,0,A,train,"), "{table}");
        assert_eq!(
            table::read(&own.join(Registration::LISTING))
                .unwrap()
                .test
                .images[0]
                .role,
            Role::Both
        );
    }

    #[test]
    fn other_counts_than_the_published_ones_are_shown_and_refused_unless_allowed() {
        let (source, root) = (folder(), tempfile::tempdir().unwrap());
        let (from, into) = ([source.path().join("own")], root.path().join("cub200"));
        let cub = Request {
            dataset: Dataset::Cub200,
            ..request(&from, &into)
        };
        let error = add(&cub, &|_, _| ()).unwrap_err().to_string();
        assert!(
            error.contains("\n  training images  expected    5864   found       1\n"),
            "{error}"
        );
        assert!(!into.join(Registration::LISTING).exists() && !into.join("files").exists());
        let added = add(
            &Request {
                other_counts: true,
                ..cub
            },
            &|_, _| (),
        )
        .unwrap();
        assert_eq!(added.differences.len(), 6);
    }

    #[test]
    fn a_bad_archive_leaves_nothing_behind() {
        let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let refused = |name: &str, what: &str| {
            let error = added(&root.path().join(name), into.path())
                .unwrap_err()
                .to_string();
            assert!(error.contains(what), "{error}");
            assert_eq!(fs::read_dir(into.path()).unwrap().count(), 0);
        };
        tar(&root.path().join("escape.tar"), false, &[("../x.jpg", "")]);
        refused("escape.tar", "outside of the folder");
        tar(
            &root.path().join("twice.tgz"),
            true,
            &[("x.jpg", ""), ("x.jpg", "")],
        );
        refused("twice.tgz", "cannot write");
        zip(&root.path().join("whole.zip"));
        let bytes = fs::read(root.path().join("whole.zip")).unwrap();
        fs::write(root.path().join("cut.zip"), &bytes[..bytes.len() / 2]).unwrap();
        refused("cut.zip", "download it again");
        tar(&root.path().join("whole.tgz"), true, &FILES);
        let bytes = fs::read(root.path().join("whole.tgz")).unwrap();
        fs::write(root.path().join("cut.tgz"), &bytes[..bytes.len() / 2]).unwrap();
        refused("cut.tgz", "download it again");
        refused("absent.zip", "is missing");
    }
}
