//! Adds what a user downloaded, archives or folders, to a data set's own folder.
//!
//! That folder then holds `files`, with everything that was unpacked, copied or linked, `listing.csv`, the table of
//! images, and `dataset.json`, the registration: what was found, and which table it is of. Later steps read these
//! and do not depend on layouts.
//!
//! All three are made in a [`WholeFolder`] and appear in one step, after all files are listed and their counts checked.
//! Files that are in the data set's own folder already stay where they are: the registration is written, then the
//! table. A table without its registration is refused by all later steps, so that a kill in between is noticed.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fmt::Write,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use durable::{WholeFolder, create_folder, sync_parent};
use schema::{BrokenImage, Counts, Dataset, Registration};

use super::{
    DataError, Progress,
    archive::{Content, is_clutter, unpack},
    broken::without_broken,
    class_list,
    given::{Given, joined},
    left_aside,
    listing::{Listing, Role},
    readers::{self, Found},
    table,
};

const FILES: &str = "files";

/// The table before it gets its name.
const NEW_LISTING: &str = "listing.csv.new";

/// A data set to add.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The data set.
    pub dataset: Dataset,
    /// The published data set in whose layouts its files are. Absent: its own.
    pub like: Option<Dataset>,
    /// Archives, folders, and single files such as annotations.
    pub from: &'a [PathBuf],
    /// The data set's own folder. If it is among `from`, its files stay where they are.
    pub into: &'a Path,
    /// The treatment of folders.
    pub folders: Folders,
    /// True if counts may differ from the published ones.
    pub other_counts: bool,
    /// True to decode all images and to leave out those that are broken.
    pub skip_broken: bool,
    /// The fraction of the classes to test on, the last in their order. Absent: as the files or the data set say.
    pub test_fraction: Option<f64>,
    /// A list of the classes to train on and to test on. Absent: likewise.
    pub split: Option<&'a Path>,
}

/// The treatment of folders that are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folders {
    /// They are left in place and linked to.
    Link,
    /// They are copied.
    Copy,
}

/// Adds a data set, in the place of an earlier one of its name, and returns what was found. `progress` receives
/// bytes, or images if these are decoded.
///
/// # Errors
/// If the files are not those of the data set, their counts differ from the published ones, or they do
/// not fit on the disk. Nothing new is left behind, and an earlier data set is unchanged.
pub fn add(request: &Request, progress: Progress) -> Result<Registration, DataError> {
    for path in request.from {
        check_given(path, request.into)?;
    }
    match request.from {
        [path] if is_same(path, request.into) => add_in_place(request, progress),
        all => match all.iter().find(|path| is_same(path, request.into)) {
            None => add_anew(request, progress),
            Some(own) => Err(DataError::unreadable(
                own,
                "it is the data set's own folder, whose files stay in place; give it alone",
            )),
        },
    }
}

/// Tells what is in a data set's own folder, or in folders that are linked to from there, and is not listed.
///
/// # Errors
/// If a folder cannot be read.
pub fn left_aside(own: &Path, listing: &Listing) -> Result<Vec<String>, DataError> {
    left_aside::left_aside(own, listing, false)
}

fn add_anew(request: &Request, progress: Progress) -> Result<Registration, DataError> {
    check_replaceable(request.into)?;
    let new = WholeFolder::begin(request.into)?;
    let files = new.path().join(FILES);
    let found = gather(request, &files, progress)
        .and_then(|given| register(request, new.path(), &files, &given, progress))
        .map_err(|error| error.with_names(|path| in_own_folder(path, &new, request.into)))?;
    new.publish()?;
    Ok(found)
}

/// Returns where a file will be, instead of where it is for now.
fn in_own_folder(path: &Path, new: &WholeFolder, own: &Path) -> PathBuf {
    match path.strip_prefix(new.path()) {
        Ok(below) => joined(own, below),
        Err(_) => path.to_owned(),
    }
}

fn add_in_place(request: &Request, progress: Progress) -> Result<Registration, DataError> {
    let own = request
        .into
        .canonicalize()
        .map_err(DataError::disk("open", request.into))?;
    register(request, &own, &own, &Given::default(), progress)
}

/// Lists the images below `files`, and writes the registration and the table into `root`. Paths below `root` are
/// relative in the table.
fn register(
    request: &Request,
    root: &Path,
    files: &Path,
    given: &Given,
    progress: Progress,
) -> Result<Registration, DataError> {
    let name = |path: &Path| given.name(path);
    let layouts = request.like.as_ref().unwrap_or(&request.dataset);
    let found = readers::find_named(layouts, files, &name)?;
    let published = request.dataset.facts().counts;
    let unexpected = differences(published, found.listing.counts());
    if !unexpected.is_empty() && !request.other_counts {
        return Err(DataError::OtherCounts {
            path: name(&found.root),
            why: other_counts(&found, &unexpected),
        });
    }
    let left_aside = left_aside::left_aside(files, &found.listing, found.by_folders)
        .map_err(|error| error.with_names(name))?;
    let (layout, listing) = divided(request, found, given)?;
    let (listing, broken) = whole_images(request, listing, files, given, progress)?;
    let written = root.join(NEW_LISTING);
    table::write(&listing, root, &written)?;
    let registration = Registration {
        left_aside,
        broken,
        listing: Some(hash_of(&written)?),
        ..registration(&layout, &listing, differences(published, listing.counts()))
    };
    write_registration(&registration, &root.join(Registration::FILE))?;
    let listing = root.join(Registration::LISTING);
    fs::rename(&written, &listing).map_err(DataError::disk("write", &listing))?;
    sync_parent(&listing)?;
    Ok(registration)
}

/// Divides the classes as it is asked for. Also returns what the layout is called.
fn divided(request: &Request, found: Found, given: &Given) -> Result<(String, Listing), DataError> {
    let layout = found.layout;
    let images = &found.listing.test.images;
    let has_gallery = images.iter().any(|image| image.role != Role::Both);
    let (listing, words) = match (request.split, request.test_fraction) {
        (Some(list), _) => {
            let classes = found.listing.class_count();
            let divided = class_list::divided(found.listing, list)?;
            let words = by_list(list, divided.class_count(), classes);
            (divided, words)
        }
        (None, Some(fraction)) => (found.listing.tested_on(fraction), by_fraction(fraction)),
        (None, None) => return Ok((layout.to_owned(), found.listing)),
    };
    let refused = |why: &str| Err(DataError::unreadable(&given.name(&found.root), why));
    if has_gallery {
        return refused(
            "queries and gallery are divided already: other classes to test on would mix them",
        );
    }
    if let Err(error) = listing.check() {
        return refused(&error.to_string());
    }
    Ok((format!("{layout}; {words}"), listing))
}

fn by_fraction(fraction: f64) -> String {
    format!(
        "the last {:.0} % of the classes are tested on",
        100.0 * fraction
    )
}

/// Describes the division by a list that names `listed` of all `classes`.
fn by_list(list: &Path, listed: usize, classes: usize) -> String {
    let name = list.file_name().unwrap_or_default();
    let words = format!("divided by the list `{}`", name.display());
    match classes - listed {
        0 => words,
        others => format!("{words}, which leaves out {others} of {classes} classes"),
    }
}

/// Leaves out broken images, if that is asked for. Also returns what was left out.
fn whole_images(
    request: &Request,
    listing: Listing,
    files: &Path,
    given: &Given,
    progress: Progress,
) -> Result<(Listing, Option<Vec<BrokenImage>>), DataError> {
    if !request.skip_broken {
        return Ok((listing, None));
    }
    let (whole, broken) = without_broken(listing, files, progress);
    match whole.check() {
        Ok(()) => Ok((whole, Some(broken))),
        Err(error) => {
            let why = format!("without its {} broken images, {error}", broken.len());
            Err(DataError::unreadable(&given.name(files), why))
        }
    }
}

fn registration(layout: &str, listing: &Listing, differences: Vec<String>) -> Registration {
    let counts = listing.counts();
    let training = &listing.training;
    Registration {
        layout: layout.to_owned(),
        training_classes: training.classes.len() as u32,
        training_images: counts.training_images,
        smallest_training_class: training.sizes().into_iter().min().unwrap_or(0),
        super_classes: training
            .classes
            .iter()
            .all(|class| class.category.is_some()),
        test_classes: listing.test.classes.len() as u32,
        test_images: counts.test_images,
        queries: counts.queries,
        references: counts.references,
        test_classes_without_positive: listing.test.classes_without_positive().len() as u32,
        queries_with_positive: Some(listing.test.queries_with_positive()),
        cameras: listing.test.camera_count(),
        differences,
        left_aside: Vec::new(),
        broken: None,
        listing: None,
    }
}

fn write_registration(registration: &Registration, path: &Path) -> Result<(), DataError> {
    let text = serde_json::to_vec_pretty(registration)
        .map_err(|error| DataError::disk("write", path)(error.into()))?;
    Ok(durable::write(path, &text)?)
}

/// Returns the hash by which a registration knows its table.
fn hash_of(table: &Path) -> Result<String, DataError> {
    let bytes = durable::read(table).map_err(|error| DataError::unreadable(table, error))?;
    Ok(Registration::hash(&bytes))
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

fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Checks that something given is a file or a folder, and not a part of the folder that is replaced.
fn check_given(path: &Path, into: &Path) -> Result<(), DataError> {
    let metadata =
        fs::metadata(path).map_err(|_| DataError::missing(path, "a file or folder to add"))?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(DataError::unreadable(
            path,
            "it is a pipe or a device, not a file or folder",
        ));
    }
    let (Ok(given), Ok(own)) = (path.canonicalize(), into.canonicalize()) else {
        return Ok(());
    };
    if given != own && given.starts_with(&own) {
        let why = format!(
            "it is in the data set's own folder, which would be replaced; move it elsewhere, or give `{}` itself",
            into.display()
        );
        return Err(DataError::unreadable(path, why));
    }
    Ok(())
}

/// Checks that nothing but what was added before would be replaced.
fn check_replaceable(into: &Path) -> Result<(), DataError> {
    if into.is_file() {
        return Err(DataError::unreadable(
            into,
            "a file is in the place of the data set's own folder",
        ));
    }
    let Ok(entries) = fs::read_dir(into) else {
        return Ok(());
    };
    let names: BTreeSet<OsString> = entries.flatten().map(|entry| entry.file_name()).collect();
    match names.iter().find(|name| !is_ours(&name.to_string_lossy())) {
        None => Ok(()),
        Some(other) => {
            let why = format!(
                "it holds `{}`, which was not added but would be removed; move it elsewhere, or give `{}` itself",
                other.display(),
                into.display()
            );
            Err(DataError::unreadable(into, why))
        }
    }
}

/// True if a file or folder of this name in a data set's own folder was made by adding it.
fn is_ours(name: &str) -> bool {
    let made = [
        FILES,
        Registration::LISTING,
        Registration::FILE,
        NEW_LISTING,
    ];
    // Temporary files of killed processes, and the unfinished folder of earlier versions.
    made.contains(&name) || name.ends_with(".incomplete")
}

/// Puts everything given into the folder `files`: first archives, so that nothing is unpacked through a link.
fn gather(request: &Request, files: &Path, progress: Progress) -> Result<Given, DataError> {
    create_folder(files)?;
    let mut contents = Vec::with_capacity(request.from.len());
    for path in request.from {
        contents.push(if path.is_dir() {
            Content::Other
        } else {
            Content::of(path)?
        });
    }
    let given: Vec<(&PathBuf, Content)> = request.from.iter().zip(contents).collect();
    let (taken, archives): (Vec<_>, Vec<_>) = given
        .into_iter()
        .partition(|(_, content)| *content == Content::Other);
    let total: u64 = request.from.iter().map(|path| file_bytes(path)).sum();
    let progress = |done| {
        if !request.skip_broken {
            progress(done, total)
        }
    };
    let mut found = Given::put_into(files);
    let mut done = 0;
    for (path, content) in archives {
        unpack(path, content, files, &|bytes, _| progress(done + bytes))?;
        found.unpack(path);
        done += file_bytes(path);
    }
    for (path, _) in taken {
        let name = name_of(path)?;
        take(path, &files.join(&name), request.folders)?;
        found.take(name, path);
        done += file_bytes(path);
        progress(done);
    }
    progress(total);
    Ok(found)
}

/// Returns the size of a file, and 0 for a folder.
fn file_bytes(path: &Path) -> u64 {
    let metadata = fs::metadata(path).ok();
    metadata
        .filter(fs::Metadata::is_file)
        .map_or(0, |metadata| metadata.len())
}

/// Returns the name of a file or folder, also if it was given as `.` or `..`.
fn name_of(path: &Path) -> Result<OsString, DataError> {
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
            "something else of this name was given, too, or is in an archive; rename it",
        ));
    }
    match folders {
        Folders::Link if path.is_dir() => {
            let original = path
                .canonicalize()
                .map_err(|error| DataError::unreadable(path, error))?;
            symlink(original, target).map_err(DataError::disk("create", target))
        }
        Folders::Link | Folders::Copy => copy(path, target, &mut Vec::new()),
    }
}

/// Copies a file or a folder without hidden files. Links are followed, but not back to one of the folders `above`;
/// one that leads nowhere is copied itself, and refused if it is listed.
fn copy(path: &Path, target: &Path, above: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let unreadable = |error: std::io::Error| DataError::unreadable(path, error);
    if path.is_symlink() && !path.exists() {
        let original = fs::read_link(path).map_err(unreadable)?;
        return symlink(original, target).map_err(DataError::disk("create", target));
    }
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_file() {
        let copied = fs::copy(path, target);
        return copied.map(|_| ()).map_err(DataError::disk("write", target));
    }
    if !metadata.is_dir() {
        return Err(DataError::unreadable(
            path,
            "it is a pipe or a device and cannot be copied; remove it, or add the folder without `--copy`",
        ));
    }
    let original = path.canonicalize().map_err(unreadable)?;
    if above.contains(&original) {
        return Ok(());
    }
    above.push(original);
    create_folder(target)?;
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if !is_clutter(&name.to_string_lossy()) {
            copy(&path.join(&name), &target.join(&name), above)?;
        }
    }
    above.pop();
    Ok(())
}
