//! Omniglot: 1,623 characters of 50 alphabets, each drawn by 20 people.
//! Lake, Salakhutdinov & Tenenbaum, "Human-level concept learning through probabilistic program induction", 2015.
//!
//! Its authors give two archives, whose folders are the two class-disjoint halves:
//! `images_background/<alphabet>/<character>/<drawing>.png` with 964 characters to train on, and
//! `images_evaluation/…` with 659 to test on. [`import`] takes the archives, or folders already unpacked, and
//! leaves both halves in one folder. It is strict: exactly 20 drawings of each character, all of them
//! readable, or nothing.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use durable::{create_folder, sync_parent};
use rayon::prelude::*;

use super::{
    DataError, Progress,
    archive::{Archive, is_clutter},
    listing::{Class, Image, Listing, Part, Role},
    raster::Raster,
};

/// One of the two class-disjoint halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Half {
    /// Its folder.
    pub folder: &'static str,
    /// How many characters there are in it.
    pub characters: usize,
}

/// The half to train on, then the half to test on.
pub const HALVES: [Half; 2] = [
    Half {
        folder: "images_background",
        characters: 964,
    },
    Half {
        folder: "images_evaluation",
        characters: 659,
    },
];

/// Drawings of each character.
pub const DRAWINGS: usize = 20;

/// Pixels a side of a drawing.
const SIDE: u32 = 105;

/// A drawing is about 300 bytes; whatever is larger than this is something else.
const LARGEST: u64 = 64 * 1024;

const INCOMPLETE: &str = ".incomplete";

/// A character: a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Character {
    /// Alphabet and character, as in `Korean/character05`.
    pub(super) name: String,
    /// The files of its drawings, in order of their names.
    pub(super) drawings: Vec<PathBuf>,
}

/// Unpacks and verifies what a user downloaded, and returns how many drawings there are.
///
/// Each of `from` is `images_background.zip` or `images_evaluation.zip`, a folder that holds them, a folder
/// that holds `images_background` or `images_evaluation`, or such a folder itself. The halves appear in `into`
/// only when they are complete. A half that is already there and whole is kept, so that a second import does
/// nothing and needs nothing in `from`.
pub fn import(from: &[PathBuf], into: &Path, progress: Progress) -> Result<u64, DataError> {
    import_halves(&HALVES, from, into, progress)
}

fn import_halves(
    halves: &[Half],
    from: &[PathBuf],
    into: &Path,
    progress: Progress,
) -> Result<u64, DataError> {
    let count = Count::of(halves, progress);
    let lacking = lacking(halves, into, &count);
    let mut found = places(halves, from)?;
    let place_of = |(half, damage): (Half, Option<DataError>)| match found.remove(half.folder) {
        Some(place) => Ok((half, place)),
        None => Err(damage.unwrap_or_else(|| not_given(half, into))),
    };
    let todo = lacking
        .into_iter()
        .map(place_of)
        .collect::<Result<Vec<_>, _>>()?;
    let staging = Staging::create(into, !todo.is_empty())?;
    for (half, place) in &todo {
        unpack(*half, place, &staging.folder, &count)?;
    }
    for (half, _) in &todo {
        staging.publish(half, into)?;
    }
    Ok(count.total)
}

/// The halves that are not yet whole in `into`, with what is wrong with them if they are there at all.
fn lacking(halves: &[Half], into: &Path, count: &Count) -> Vec<(Half, Option<DataError>)> {
    let state_of = |half: &Half| {
        let folder = into.join(half.folder);
        if !folder.exists() {
            return Some((*half, None));
        }
        verify(*half, &folder, count)
            .err()
            .map(|damage| (*half, Some(damage)))
    };
    halves.iter().filter_map(state_of).collect()
}

fn not_given(half: Half, into: &Path) -> DataError {
    DataError::missing(
        &into.join(half.folder),
        format!(
            "the half of Omniglot with {} characters; give `{}.zip` as well",
            half.characters, half.folder
        ),
    )
}

/// Counts drawings that are known to be good.
struct Count<'a> {
    done: AtomicU64,
    total: u64,
    progress: Progress<'a>,
}

impl<'a> Count<'a> {
    fn of(halves: &[Half], progress: Progress<'a>) -> Count<'a> {
        let total = halves
            .iter()
            .map(|half| half.characters * DRAWINGS)
            .sum::<usize>() as u64;
        Count {
            done: AtomicU64::new(0),
            total,
            progress,
        }
    }

    fn one_more(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        (self.progress)(done.min(self.total), self.total);
    }
}

/// Where a half was found.
#[derive(Debug)]
enum Place {
    Archive(PathBuf),
    Folder(PathBuf),
}

/// The places of the halves, by folder.
fn places(halves: &[Half], from: &[PathBuf]) -> Result<BTreeMap<&'static str, Place>, DataError> {
    let mut found = BTreeMap::new();
    for path in from {
        let here = if path.is_dir() {
            in_folder(halves, path)
        } else {
            in_archive(halves, path)?
        };
        if here.is_empty() {
            return Err(DataError::unreadable(path, nothing_here(halves, path)?));
        }
        found.extend(here);
    }
    Ok(found)
}

fn in_folder(halves: &[Half], path: &Path) -> Vec<(&'static str, Place)> {
    let place_of = |half: &Half| {
        let (inside, archive) = (
            path.join(half.folder),
            path.join(half.folder).with_extension("zip"),
        );
        let itself = path
            .canonicalize()
            .is_ok_and(|path| path.ends_with(half.folder));
        match () {
            () if inside.is_dir() => Some(Place::Folder(inside)),
            () if archive.is_file() => Some(Place::Archive(archive)),
            () if itself => Some(Place::Folder(path.into())),
            () => None,
        }
    };
    halves
        .iter()
        .filter_map(|half| Some((half.folder, place_of(half)?)))
        .collect()
}

fn in_archive(halves: &[Half], path: &Path) -> Result<Vec<(&'static str, Place)>, DataError> {
    let entries = Archive::open(path)?.entries()?;
    let holds = |half: &&Half| {
        entries
            .iter()
            .any(|entry| entry.parts.len() > 1 && entry.parts[0] == half.folder)
    };
    Ok(halves
        .iter()
        .filter(holds)
        .map(|half| (half.folder, Place::Archive(path.into())))
        .collect())
}

fn nothing_here(halves: &[Half], path: &Path) -> Result<String, DataError> {
    let wanted: Vec<String> = halves
        .iter()
        .map(|half| format!("`{}`", half.folder))
        .collect();
    let mut message = format!("it holds no folder {}", wanted.join(" or "));
    if path.is_file()
        && let Some(entry) = Archive::open(path)?.entries()?.first()
    {
        message += &format!(", but `{}`", entry.parts[0]);
    }
    Ok(message)
}

/// Writes one half into the folder `staging`, all of it verified.
fn unpack(half: Half, place: &Place, staging: &Path, count: &Count) -> Result<(), DataError> {
    let drawings = match place {
        Place::Archive(path) => from_archive(half, path)?,
        Place::Folder(path) => from_folder(half, path)?,
    };
    for character in drawings.chunk_by(|one, next| one.character == next.character) {
        create_folder(&staging.join(half.folder).join(&character[0].character))?;
    }
    first_error(&drawings, |drawing| {
        decoded(&drawing.origin, &drawing.content)?;
        let path = staging
            .join(half.folder)
            .join(&drawing.character)
            .join(&drawing.file);
        fs::write(&path, &drawing.content).map_err(DataError::disk("write", &path))?;
        count.one_more();
        Ok(())
    })
}

/// A drawing on its way, with its content or with where to find it.
struct Drawing<T> {
    /// Alphabet and character.
    character: String,
    file: String,
    /// What an error calls it.
    origin: PathBuf,
    content: T,
}

impl<T> Drawing<T> {
    fn with<U>(self, content: U) -> Drawing<U> {
        Drawing {
            character: self.character,
            file: self.file,
            origin: self.origin,
            content,
        }
    }
}

fn from_archive(half: Half, path: &Path) -> Result<Vec<Drawing<Vec<u8>>>, DataError> {
    let mut archive = Archive::open(path)?;
    let mut drawings = Vec::new();
    for entry in archive.entries()? {
        let [folder, alphabet, character, file] = entry.parts.as_slice() else {
            continue;
        };
        if folder == half.folder && is_drawing(file) {
            let (character, file) = (format!("{alphabet}/{character}"), file.clone());
            drawings.push(Drawing {
                character,
                file,
                origin: path.join(entry.parts.join("/")),
                content: entry,
            });
        }
    }
    check_counts(half, path, &mut drawings)?;
    drawings
        .into_iter()
        .map(|drawing| {
            let content = archive.read(&drawing.content, LARGEST)?;
            Ok(drawing.with(content))
        })
        .collect()
}

fn from_folder(half: Half, path: &Path) -> Result<Vec<Drawing<Vec<u8>>>, DataError> {
    let drawings = listed(half, path)?;
    drawings
        .into_iter()
        .map(|drawing| {
            let content = content_of(&drawing.content)?;
            Ok(drawing.with(content))
        })
        .collect()
}

/// The drawings in a folder, in the order of characters and files, all counted.
fn listed(half: Half, folder: &Path) -> Result<Vec<Drawing<PathBuf>>, DataError> {
    let mut drawings = Vec::new();
    for (alphabet, path) in inside(folder)?
        .into_iter()
        .filter(|(_, path)| path.is_dir())
    {
        for (character, path) in inside(&path)?.into_iter().filter(|(_, path)| path.is_dir()) {
            let character = format!("{alphabet}/{character}");
            drawings.extend(
                inside(&path)?
                    .into_iter()
                    .filter(|(file, _)| is_drawing(file))
                    .map(|(file, path)| Drawing {
                        character: character.clone(),
                        file,
                        origin: path.clone(),
                        content: path,
                    }),
            );
        }
    }
    check_counts(half, folder, &mut drawings)?;
    Ok(drawings)
}

/// The names and paths in a folder.
fn inside(folder: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            DataError::missing(folder, "a folder of Omniglot; import the data set first")
        }
        _ => DataError::unreadable(folder, error),
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| DataError::unreadable(&entry.path(), "its name is not valid UTF-8"))?;
        if !is_clutter(&name) {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

fn is_drawing(file: &str) -> bool {
    file.ends_with(".png")
}

/// Puts drawings in order and sees that none is missing and none is there twice.
fn check_counts<T>(half: Half, place: &Path, drawings: &mut [Drawing<T>]) -> Result<(), DataError> {
    drawings
        .sort_by(|one, other| (&one.character, &one.file).cmp(&(&other.character, &other.file)));
    let wrong = |why| DataError::unreadable(place, why);
    if let Some(pair) = drawings
        .windows(2)
        .find(|pair| pair[0].origin == pair[1].origin)
    {
        return Err(wrong(format!(
            "`{}` is in it twice",
            pair[0].origin.display()
        )));
    }
    let mut characters = 0;
    for character in drawings.chunk_by(|one, next| one.character == next.character) {
        characters += 1;
        if character.len() != DRAWINGS {
            let (name, found) = (&character[0].character, character.len());
            return Err(wrong(format!(
                "there are {found} drawings of `{name}`, not {DRAWINGS}"
            )));
        }
    }
    if characters != half.characters {
        return Err(wrong(format!(
            "there are {characters} characters in `{}`, not {}",
            half.folder, half.characters
        )));
    }
    Ok(())
}

fn verify(half: Half, folder: &Path, count: &Count) -> Result<(), DataError> {
    first_error(&listed(half, folder)?, |drawing| {
        decode(&drawing.content)?;
        count.one_more();
        Ok(())
    })
}

/// Works on all in parallel; of several errors, the first in order is returned.
fn first_error<T: Sync>(
    items: &[T],
    work: impl Fn(&T) -> Result<(), DataError> + Sync,
) -> Result<(), DataError> {
    items
        .par_iter()
        .find_map_first(|item| work(item).err())
        .map_or(Ok(()), Err)
}

/// Returns the characters of one half below `root`, in the order of their names.
pub(super) fn characters(root: &Path, half: Half) -> Result<Vec<Character>, DataError> {
    let drawings = listed(half, &root.join(half.folder))?;
    let characters = drawings
        .chunk_by(|one, next| one.character == next.character)
        .map(|drawings| Character {
            name: drawings[0].character.clone(),
            drawings: drawings
                .iter()
                .map(|drawing| drawing.content.clone())
                .collect(),
        });
    Ok(characters.collect())
}

/// All drawings below `root`, with the alphabets as super-classes.
///
/// # Errors
/// If there are not exactly as many as there should be.
pub fn listing(root: &Path) -> Result<Listing, DataError> {
    let [training, test] = HALVES.map(|half| characters(root, half).map(part));
    Ok(Listing {
        training: training?,
        test: test?,
    })
}

fn part(characters: Vec<Character>) -> Part {
    let mut part = Part::default();
    for (class, character) in (0..).zip(characters) {
        let (alphabet, name) = character
            .name
            .split_once('/')
            .unwrap_or(("", &character.name));
        part.classes.push(Class {
            name: name.to_owned(),
            category: Some(alphabet.to_owned()),
        });
        let drawings = character.drawings.into_iter();
        part.images.extend(drawings.map(|path| Image {
            path,
            class,
            role: Role::Both,
            bounding_box: None,
        }));
    }
    part
}

/// Returns a drawing with its ink 255 on 0, the other way round than in the file.
pub(super) fn decode(path: &Path) -> Result<Raster, DataError> {
    decoded(path, &content_of(path)?)
}

fn content_of(path: &Path) -> Result<Vec<u8>, DataError> {
    fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DataError::missing(path, "a drawing of Omniglot"),
        _ => DataError::unreadable(path, error),
    })
}

fn decoded(origin: &Path, content: &[u8]) -> Result<Raster, DataError> {
    let image =
        image::load_from_memory_with_format(content, image::ImageFormat::Png).map_err(|error| {
            DataError::unreadable(origin, format!("it is not a readable image: {error}"))
        })?;
    let (width, height) = (image.width(), image.height());
    if (width, height) != (SIDE, SIDE) {
        return Err(DataError::unreadable(
            origin,
            format!("it has {width} x {height} pixels, not {SIDE} x {SIDE}"),
        ));
    }
    let pixels = image
        .into_luma8()
        .into_raw()
        .into_iter()
        .map(|light| 255 - light)
        .collect();
    Ok(Raster {
        width: width as usize,
        height: height as usize,
        channels: 1,
        pixels,
    })
}

/// A folder for what is not complete yet: inside of the data set's own, and so on the same disk whatever is
/// mounted or linked where. It goes when it is dropped.
struct Staging {
    folder: PathBuf,
}

impl Staging {
    fn create(into: &Path, needed: bool) -> Result<Staging, DataError> {
        let folder = into.join(INCOMPLETE);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(DataError::disk("remove", &folder))?;
        }
        if needed {
            create_folder(&folder)?;
        }
        Ok(Staging { folder })
    }

    /// Gives a half its place. A damaged one that was there goes.
    fn publish(&self, half: &Half, into: &Path) -> Result<(), DataError> {
        let place = into.join(half.folder);
        if place.exists() {
            let damaged = self.folder.join(format!("{}.damaged", half.folder));
            fs::rename(&place, damaged).map_err(DataError::disk("replace", &place))?;
        }
        fs::rename(self.folder.join(half.folder), &place)
            .map_err(DataError::disk("create", &place))?;
        Ok(sync_parent(&place)?)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next import.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use image::{GrayImage, ImageFormat, Luma};
    use tempfile::TempDir;
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    const SMALL: [Half; 2] = [
        Half {
            folder: "images_background",
            characters: 2,
        },
        Half {
            folder: "images_evaluation",
            characters: 1,
        },
    ];

    /// A drawing whose right third is ink.
    fn drawing() -> Vec<u8> {
        let mut content = io::Cursor::new(Vec::new());
        let image = GrayImage::from_fn(SIDE, SIDE, |x, _| Luma([if x < 70 { 255 } else { 0 }]));
        image.write_to(&mut content, ImageFormat::Png).unwrap();
        content.into_inner()
    }

    /// The paths of all drawings of a half.
    fn names(half: Half) -> Vec<String> {
        let of = |character| {
            let folder = format!(
                "{}/Alphabet_{character}/character{character:02}",
                half.folder
            );
            (1..=DRAWINGS).map(move |number| format!("{folder}/{number:04}.png"))
        };
        (0..half.characters).flat_map(of).collect()
    }

    /// Lays out the halves as if they were unpacked.
    pub(in crate::data) fn unpacked(root: &Path, halves: &[Half]) {
        for name in halves.iter().flat_map(|half| names(*half)) {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, drawing()).unwrap();
        }
    }

    fn zipped(path: &Path, names: &[String]) -> PathBuf {
        let mut zip = ZipWriter::new(fs::File::create(path).unwrap());
        for name in names {
            zip.start_file(name.as_str(), SimpleFileOptions::default())
                .unwrap();
            zip.write_all(&drawing()).unwrap();
        }
        zip.finish().unwrap();
        path.into()
    }

    /// Both archives, and a place to import them to.
    struct Download {
        folder: TempDir,
        background: PathBuf,
        evaluation: PathBuf,
        into: PathBuf,
    }

    impl Download {
        fn new() -> Download {
            let folder = tempfile::tempdir().unwrap();
            let archive = |half: Half| {
                zipped(
                    &folder.path().join(half.folder).with_extension("zip"),
                    &names(half),
                )
            };
            let (background, evaluation) = (archive(SMALL[0]), archive(SMALL[1]));
            let into = folder.path().join("data/omniglot");
            Download {
                folder,
                background,
                evaluation,
                into,
            }
        }

        fn import(&self, from: &[&Path]) -> Result<u64, DataError> {
            let from: Vec<PathBuf> = from.iter().map(|&path| path.into()).collect();
            import_halves(&SMALL, &from, &self.into, &|_, _| ())
        }

        /// What the import of a changed background archive says; nothing may have been left behind.
        fn refusal(&self, change: impl FnOnce(&mut Vec<String>)) -> String {
            let mut names = names(SMALL[0]);
            change(&mut names);
            zipped(&self.background, &names);
            self.refused()
        }

        fn refused(&self) -> String {
            let error = self
                .import(&[&self.background, &self.evaluation])
                .unwrap_err();
            assert!(matches!(error, DataError::Unreadable { .. }), "{error}");
            assert!(!self.into.join("images_background").exists());
            assert!(!self.into.join(INCOMPLETE).exists());
            error.to_string()
        }
    }

    #[test]
    fn archives_and_folders_give_the_same() {
        let (archives, folders) = (Download::new(), Download::new());
        assert_eq!(
            archives
                .import(&[&archives.background, &archives.evaluation])
                .unwrap(),
            60
        );
        let root = folders.folder.path().join("unpacked");
        unpacked(&root, &SMALL);
        assert_eq!(folders.import(&[&root]).unwrap(), 60);
        for half in SMALL {
            let names = |root: &Path| -> Vec<String> {
                characters(root, half)
                    .unwrap()
                    .into_iter()
                    .map(|character| character.name)
                    .collect()
            };
            assert_eq!(names(&archives.into), names(&folders.into));
        }
    }

    #[test]
    fn halves_may_come_from_anywhere() {
        let download = Download::new();
        // A folder with both archives.
        assert_eq!(download.import(&[download.folder.path()]).unwrap(), 60);
        // A half's own folder, and an archive.
        let (other, source) = (Download::new(), Download::new());
        unpacked(source.folder.path(), &SMALL[..1]);
        let half = source.folder.path().join("images_background");
        assert_eq!(other.import(&[&half, &other.evaluation]).unwrap(), 60);
    }

    #[test]
    fn one_half_now_and_one_later() {
        let download = Download::new();
        unpacked(&download.into, &SMALL[..1]);
        let error = download.import(&[&download.background]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("give `images_evaluation.zip` as well"),
            "{error}"
        );
        assert_eq!(download.import(&[&download.evaluation]).unwrap(), 60);
    }

    #[test]
    fn a_second_import_does_nothing_and_needs_nothing() {
        let download = Download::new();
        download
            .import(&[&download.background, &download.evaluation])
            .unwrap();
        let place = download.into.join("images_background");
        let modified = || fs::metadata(&place).unwrap().modified().unwrap();
        let before = modified();
        assert_eq!(download.import(&[]).unwrap(), 60);
        assert_eq!(download.import(&[&download.background]).unwrap(), 60);
        assert_eq!(modified(), before);
    }

    #[test]
    fn a_damaged_half_is_replaced() {
        let download = Download::new();
        download
            .import(&[&download.background, &download.evaluation])
            .unwrap();
        let victim = download.into.join(&names(SMALL[0])[5]);
        fs::write(&victim, "nothing").unwrap();
        let error = download.import(&[]).unwrap_err();
        assert!(
            error.to_string().contains(&victim.display().to_string()),
            "{error}"
        );
        assert_eq!(download.import(&[&download.background]).unwrap(), 60);
        assert_eq!(fs::read(&victim).unwrap(), drawing());
    }

    #[test]
    fn what_an_interrupted_import_left_is_removed() {
        let download = Download::new();
        let left = download.into.join(INCOMPLETE);
        unpacked(&left, &SMALL[..1]);
        download
            .import(&[&download.background, &download.evaluation])
            .unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn what_macos_adds_is_skipped() {
        let download = Download::new();
        let mut names = names(SMALL[0]);
        names.push("__MACOSX/images_background/Alphabet_0/character00/._0001.png".into());
        names.push("images_background/Alphabet_0/character00/._0001.png".into());
        names.push("images_background/.DS_Store".into());
        zipped(&download.background, &names);
        assert_eq!(
            download
                .import(&[&download.background, &download.evaluation])
                .unwrap(),
            60
        );
        assert!(
            !download
                .into
                .join("images_background/Alphabet_0/character00/._0001.png")
                .exists()
        );
    }

    #[test]
    fn a_wrong_number_of_anything_is_refused() {
        let download = Download::new();
        let fewer = download.refusal(|names| drop(names.pop()));
        assert!(
            fewer.contains("there are 19 drawings of `Alphabet_1/character01`, not 20"),
            "{fewer}"
        );
        let lacking = download.refusal(|names| names.truncate(20));
        assert!(
            lacking.contains("there are 1 characters in `images_background`, not 2"),
            "{lacking}"
        );
    }

    #[test]
    fn a_wrong_archive_is_refused_by_what_is_in_it() {
        let download = Download::new();
        let strokes = download.refusal(|names| {
            *names = vec!["strokes_background/Korean/character01/0001_01.txt".into()]
        });
        assert!(strokes.contains(
            "no folder `images_background` or `images_evaluation`, but `strokes_background`"
        ));
    }

    #[test]
    fn an_entry_that_leads_elsewhere_is_refused() {
        for evil in [
            "../evil.png",
            "images_background/../../evil.png",
            "/evil.png",
            "images_background\\..\\evil.png",
        ] {
            let download = Download::new();
            let message = download.refusal(|names| names.push(evil.into()));
            assert!(message.contains("outside of the folder"), "{message}");
            assert!(!download.folder.path().join("evil.png").exists());
        }
    }

    #[test]
    fn an_archive_that_is_none_or_not_whole_is_refused() {
        let download = Download::new();
        let whole = fs::read(&download.background).unwrap();
        fs::write(&download.background, &whole[..whole.len() / 2]).unwrap();
        let truncated = download.refused();
        assert!(
            truncated.contains("damaged or incomplete zip archive"),
            "{truncated}"
        );
        fs::write(&download.background, "<html>404</html>").unwrap();
        let page = download.refused();
        assert!(page.ends_with("it is not a zip archive"), "{page}");
    }

    #[test]
    fn an_archive_with_damaged_content_is_refused() {
        let download = Download::new();
        let mut content = fs::read(&download.background).unwrap();
        // Well inside the compressed bytes of the first drawing.
        content[150..170].fill(0);
        fs::write(&download.background, content).unwrap();
        let message = download.refused();
        assert!(
            message.contains("Alphabet_0/character00/0001.png"),
            "{message}"
        );
    }

    #[test]
    fn an_unreadable_drawing_is_named() {
        let download = Download::new();
        let root = download.folder.path().join("unpacked");
        unpacked(&root, &SMALL);
        let victim = root.join(&names(SMALL[1])[3]);
        for (content, why) in [
            (b"nothing".to_vec(), "not a readable image"),
            (drawing()[..60].to_vec(), "not a readable"),
        ] {
            fs::write(&victim, content).unwrap();
            let message = download.import(&[&root]).unwrap_err().to_string();
            assert!(
                message.contains(&victim.display().to_string()) && message.contains(why),
                "{message}"
            );
        }
    }

    #[test]
    fn what_is_not_there_is_missing() {
        let download = Download::new();
        let error = download
            .import(&[Path::new("/nowhere/images_background.zip")])
            .unwrap_err();
        assert!(matches!(error, DataError::Missing { .. }), "{error}");
        let error = download.import(&[]).unwrap_err();
        assert!(matches!(error, DataError::Missing { .. }), "{error}");
        assert!(matches!(
            characters(&download.into, SMALL[0]),
            Err(DataError::Missing { .. })
        ));
    }

    #[test]
    fn the_real_archives_import_and_prepare() {
        use crate::data::{Cache, Colour, ImageSize, Preparation, Source, StoredImages};
        let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/omniglot");
        if !shared.is_dir() {
            eprintln!("skipped: {} is not here", shared.display());
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (root, into) = (
            folder.path().join("omniglot"),
            folder.path().join("prepared"),
        );
        assert_eq!(import(&[shared], &root, &|_, _| ()).unwrap(), 32_460);
        let (source, size) = (Source::Omniglot { root }, ImageSize::Square(28));
        let stored = StoredImages {
            size,
            colour: Colour::Grey,
            bounding_boxes: false,
        };
        let summary = Preparation::new(&source, stored, Cache::Auto, &into)
            .unwrap()
            .run(&|_, _| ())
            .unwrap();
        assert_eq!(
            (summary.training_classes, summary.training_images),
            (964, 19_280)
        );
        assert_eq!((summary.test_classes, summary.test_images), (659, 13_180));
    }
}
