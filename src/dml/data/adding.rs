//! Takes what a user has, archives or folders, into a data set's own folder.
//!
//! That folder then holds `files`, with what was unpacked, copied or linked to, and `listing.csv`, the one table
//! that says what there is: everything later reads this table and knows nothing of layouts. Both appear only when
//! all of it was read, counted and found in order.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use durable::{create_folder, sync_parent};

use super::{
    DataError, Progress,
    archive::unpack,
    listing::{Counts, Listing},
    readers::{Found, Reader, manifest},
};

/// The table of a data set's images, in its own folder.
pub const LISTING: &str = "listing.csv";

const FILES: &str = "files";
const INCOMPLETE: &str = ".incomplete";

/// What is to be taken in.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What it should be.
    pub reader: Reader,
    /// Archives (`.zip`, `.tar`, `.tar.gz`, `.tgz`), folders, and single files such as annotations.
    pub from: &'a [PathBuf],
    /// The data set's own folder. If it is among `from`, its files stay where they are.
    pub into: &'a Path,
    /// What becomes of folders.
    pub folders: Folders,
    /// Whether other counts than the published ones are accepted.
    pub other_counts: bool,
}

/// What becomes of folders that are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folders {
    /// They stay where they are and are linked to.
    Link,
    /// They are copied.
    Copy,
}

/// A data set that was taken in.
#[derive(Debug)]
pub struct Added {
    /// The shape it had.
    pub layout: &'static str,
    /// What there is.
    pub listing: Listing,
    /// How its counts differ from the published ones, one line each. Empty where they do not, or there are none.
    pub differences: Vec<String>,
}

/// Takes a data set in. `progress` is told of bytes.
///
/// # Errors
/// What is given is not what it should be, has other counts than the published ones, or does not fit on the disk.
pub fn add(request: &Request, progress: Progress) -> Result<Added, DataError> {
    create_folder(request.into)?;
    let into = request
        .into
        .canonicalize()
        .map_err(DataError::disk("open", request.into))?;
    let in_place = request
        .from
        .iter()
        .any(|path| path.canonicalize().is_ok_and(|path| path == into));
    if in_place {
        return register(request, request.reader.find(&into)?, &into, |_| Ok(()));
    }
    let staging = Staging::create(into.join(INCOMPLETE))?;
    let files = staging.0.join(FILES);
    gather(request, &files, progress)?;
    let found = request.reader.find(&files)?;
    register(request, found, &staging.0, |into| {
        let place = into.join(FILES);
        if place.exists() {
            fs::rename(&place, staging.0.join("replaced"))
                .map_err(DataError::disk("replace", &place))?;
        }
        fs::rename(&files, &place).map_err(DataError::disk("create", &place))
    })
}

/// Writes the table once the counts are accepted and `publish` has put the files in their place.
/// Paths below `root` are relative in it.
fn register(
    request: &Request,
    found: Found,
    root: &Path,
    publish: impl FnOnce(&Path) -> Result<(), DataError>,
) -> Result<Added, DataError> {
    let differences = differences(request.reader.published(), found.listing.counts());
    if !differences.is_empty() && !request.other_counts {
        return Err(DataError::unreadable(
            &found.root,
            other_counts(&found, &differences),
        ));
    }
    publish(request.into)?;
    let path = request.into.join(LISTING);
    manifest::write(&found.listing, root, &path)?;
    sync_parent(&path)?;
    Ok(Added {
        layout: found.layout,
        listing: manifest::read(&path)?,
        differences,
    })
}

/// How much of each there is and how much there should be, where these differ.
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
        let metadata =
            fs::metadata(path).map_err(|_| DataError::missing(path, "a file or folder to add"))?;
        total += if metadata.is_file() {
            metadata.len()
        } else {
            0
        };
    }
    let mut done = 0;
    for path in request.from {
        if is_archive(path) {
            unpack(path, files, &|bytes, _| progress(done + bytes, total))?;
        } else {
            take(path, &files.join(name_of(path)?), request.folders)?;
        }
        done += fs::metadata(path).map_or(0, |metadata| {
            if metadata.is_file() {
                metadata.len()
            } else {
                0
            }
        });
        progress(done, total);
    }
    Ok(())
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

/// The name that a file or folder itself has, also if it was given as `.` or through `..`.
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

/// Takes one folder or file in.
fn take(path: &Path, place: &Path, folders: Folders) -> Result<(), DataError> {
    if place.exists() {
        return Err(DataError::unreadable(
            path,
            "something else of this name was given before",
        ));
    }
    match folders {
        Folders::Link if path.is_dir() => {
            let target = path
                .canonicalize()
                .map_err(|error| DataError::unreadable(path, error))?;
            link(&target, place).map_err(DataError::disk("create", place))
        }
        _ => copy(path, place),
    }
}

#[cfg(unix)]
fn link(target: &Path, place: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, place)
}

#[cfg(windows)]
fn link(target: &Path, place: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(target, place)
}

fn copy(path: &Path, place: &Path) -> Result<(), DataError> {
    if !path.is_dir() {
        return fs::copy(path, place)
            .map(|_| ())
            .map_err(DataError::disk("write", place));
    }
    create_folder(place)?;
    for entry in fs::read_dir(path).map_err(|error| DataError::unreadable(path, error))? {
        let entry = entry.map_err(|error| DataError::unreadable(path, error))?;
        copy(&entry.path(), &place.join(entry.file_name()))?;
    }
    Ok(())
}

/// A folder for what is not complete yet: inside of the data set's own, and so on the same disk. It goes when
/// it is dropped.
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
        // What cannot be removed now is removed by the next attempt. Links are removed, never what they lead to.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use zip::{ZipWriter, write::SimpleFileOptions};

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
            reader: Reader::Own,
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
            .map(|(place, from)| {
                let into = root.path().join(place.to_string());
                let added = added(from, &into).unwrap();
                assert_eq!(added.listing.counts().training_images, 1);
                assert!(!into.join(INCOMPLETE).exists());
                assert_eq!(
                    fs::read_to_string(into.join("files/own/images/b/1.jpg")).unwrap(),
                    "two"
                );
                fs::read_to_string(into.join(LISTING)).unwrap()
            });
        let tables: Vec<String> = tables.collect();
        assert!(
            tables[0].contains("files/own/images/a/1.jpg,0,A,train"),
            "{}",
            tables[0]
        );
        assert!(tables.iter().all(|table| *table == tables[0]));
    }

    #[cfg(unix)]
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
    fn what_already_lies_in_its_place_stays_there() {
        let root = folder();
        let own = root.path().join("own");
        for _ in 0..2 {
            assert_eq!(added(&own, &own).unwrap().layout, "`manifest.csv`");
        }
        assert!(!own.join("files").exists());
        let table = fs::read_to_string(own.join(LISTING)).unwrap();
        assert!(table.contains("\nimages/a/1.jpg,0,A,train,"), "{table}");
        assert_eq!(
            manifest::read(&own.join(LISTING)).unwrap().test.images[0].role,
            Role::Both
        );
    }

    #[test]
    fn other_counts_than_the_published_ones_are_shown_and_refused_unless_allowed() {
        let (source, root) = (folder(), tempfile::tempdir().unwrap());
        let (from, into) = ([source.path().join("own")], root.path().join("cub200"));
        let cub = Request {
            reader: Reader::Cub200,
            ..request(&from, &into)
        };
        let error = add(&cub, &|_, _| ()).unwrap_err().to_string();
        assert!(
            error.contains("\n  training images  expected    5864   found       1\n"),
            "{error}"
        );
        assert!(!into.join(LISTING).exists() && !into.join("files").exists());
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
