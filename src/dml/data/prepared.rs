//! A data set that is decoded and resized: what trainings read.
//!
//! The folder holds `images.u8`, the images one after another, those to train on first, in the order of
//! classes and names; and `index.json`, which says what they are. The index is written last: a folder
//! without one is not prepared. Of a data set too large for the disk there are the index and a file `root`, the path of
//! the folder in which the index knows the images, and these are decoded whenever they are needed. Both ways all
//! processes on a machine share one copy in its page cache.

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use durable::{WholeFile, create_folder};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Colour, DataError, Glyphs, ImageSize, ImageStore, Progress, Raster, Source, StoredImages,
    listing::{Class, Listing, Part, Role},
    omniglot,
    stored::{Origin, Sides, room},
};

/// Version of the folder's layout and of how images come about: raised whenever either changes.
pub const PREPARED: u32 = 3;

const IMAGES: &str = "images.u8";
const INDEX: &str = "index.json";

/// The file beside the index of images that are not kept: the path of the folder in which it knows them.
pub const ROOT: &str = "root";

/// Bytes of images that are in memory at a time while a data set is being prepared, and as many that are written.
const PORTION: usize = 64 << 20;

/// Of the room on a disk, a cache takes nine tenths at most.
const ROOM: (u64, u64) = (9, 10);

/// Whether decoded images are kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// If there is room for them.
    Auto,
    /// Or it is an error.
    Always,
    /// Only those that do not come from files of their own: what the program draws, and Omniglot.
    Never,
}

/// What there is in a prepared data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Classes to train on.
    pub training_classes: u64,
    /// Their images.
    pub training_images: u64,
    /// Classes to test on.
    pub test_classes: u64,
    /// Their images.
    pub test_images: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    version: u32,
    source: String,
    stored: StoredImages,
    counts: Summary,
    blake3: String,
    training: Half,
    test: Half,
    /// Width and height of each image, if they are not all squares of one size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sides: Option<Vec<[usize; 2]>>,
    /// The files to decode, if there is no cache; those below the root are relative to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<Vec<Origin>>,
}

/// The classes of one half and, image by image, which of them it shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Half {
    classes: Vec<String>,
    /// What kind of thing each class is. Empty: nobody knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    categories: Vec<Option<String>>,
    labels: Vec<u32>,
    /// The part of each image in retrieval. Empty: all are queries and references.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<Role>,
}

impl Half {
    fn push(&mut self, class: String, images: usize) {
        self.labels
            .extend(std::iter::repeat_n(self.classes.len() as u32, images));
        self.classes.push(class);
    }

    fn of(part: &Part) -> Half {
        let categories: Vec<_> = part
            .classes
            .iter()
            .map(|class| class.category.clone())
            .collect();
        let roles: Vec<_> = part.images.iter().map(|image| image.role).collect();
        Half {
            classes: part.classes.iter().map(Class::full_name).collect(),
            categories: if categories.iter().all(Option::is_none) {
                Vec::new()
            } else {
                categories
            },
            labels: part.images.iter().map(|image| image.class).collect(),
            roles: if roles.iter().all(|role| *role == Role::Both) {
                Vec::new()
            } else {
                roles
            },
        }
    }
}

/// A data set about to be prepared: its size is known, no image is decoded.
///
/// Omniglot's drawings, black on white and of 105 pixels a side, are inverted, ink high; glyphs are drawn in the size
/// asked for.
pub struct Preparation<'a> {
    contents: Contents<'a>,
    title: &'a str,
    root: &'a Path,
    stored: StoredImages,
    sides: Sides,
    into: &'a Path,
    room: u64,
    cached: bool,
}

impl Preparation<'_> {
    /// Looks at a data set that is to be prepared in the folder `into`.
    ///
    /// # Errors
    /// If files are missing or no images, or a cache is demanded for which the disk has no room.
    pub fn new<'a>(
        source: &'a Source,
        stored: StoredImages,
        cache: Cache,
        into: &'a Path,
    ) -> Result<Preparation<'a>, DataError> {
        create_folder(into)?;
        let named = (source.title(), source.root());
        Preparation::of(
            Contents::of(source)?,
            named,
            stored,
            into,
            cache,
            room(into)?,
        )
    }

    fn of<'a>(
        contents: Contents<'a>,
        (title, root): (&'a str, &'a Path),
        stored: StoredImages,
        into: &'a Path,
        cache: Cache,
        room: u64,
    ) -> Result<Preparation<'a>, DataError> {
        let sides = contents.sides(&stored)?;
        let mut preparation = Preparation {
            contents,
            title,
            root,
            stored,
            sides,
            into,
            room,
            cached: true,
        };
        let fits = preparation.bytes() <= room / ROOM.1 * ROOM.0;
        let streams = matches!(preparation.contents.images, Images::Files(_));
        preparation.cached = match cache {
            Cache::Never => !streams,
            Cache::Auto => fits || !streams,
            Cache::Always => true,
        };
        if preparation.cached && !fits {
            let why = format!(
                "{} do not fit on its disk, which has room for {}",
                preparation.size(),
                megabytes(room)
            );
            return Err(DataError::disk("prepare", into)(io::Error::other(why)));
        }
        Ok(preparation)
    }

    /// What will happen, for a person: how much there is, and whether it is kept.
    pub fn estimate(&self) -> String {
        let kept = if self.cached {
            "kept on disk"
        } else {
            "not kept, but decoded whenever they are needed"
        };
        format!(
            "{}: {}, {kept}; the disk has room for {}",
            self.title,
            self.size(),
            megabytes(self.room)
        )
    }

    /// How many bytes all images have, decoded and resized.
    pub fn bytes(&self) -> u64 {
        self.sides.pixels() * self.stored.colour.channels() as u64
    }

    fn size(&self) -> String {
        format!(
            "{} images of {} in all",
            self.sides.count(),
            megabytes(self.bytes())
        )
    }

    /// Decodes and resizes everything, and returns what there is.
    ///
    /// # Errors
    /// If an image cannot be decoded or the disk does not take the result.
    pub fn run(self, progress: Progress) -> Result<Summary, DataError> {
        let index = self.into.join(INDEX);
        let (blake3, files) = match &self.contents.images {
            Images::Files(files) if !self.cached => {
                remove_if_there(&index)?;
                remove_if_there(&self.into.join(IMAGES))?;
                write_root(self.root, self.into)?;
                progress(self.sides.count() as u64, self.sides.count() as u64);
                (
                    hash_of_files(files)?,
                    Some(files.iter().map(|file| file.below(self.root)).collect()),
                )
            }
            _ => {
                let mut file = WholeFile::create(&self.into.join(IMAGES))?;
                let blake3 = self.write_images(&mut file, progress)?;
                // From here on there is no index that could speak of other images than those beside it.
                remove_if_there(&index)?;
                file.publish()?;
                (blake3, None)
            }
        };
        let counts = self.contents.counts();
        let sides = match self.sides {
            Sides::Square { .. } => None,
            Sides::Each(sides) => Some(sides),
        };
        let Contents { training, test, .. } = self.contents;
        let (version, source, stored) = (PREPARED, self.title.to_owned(), self.stored);
        write_index(
            &index,
            &Index {
                version,
                source,
                stored,
                counts,
                blake3,
                training,
                test,
                sides,
                files,
            },
        )?;
        Ok(counts)
    }

    /// Writes all images, decoded in parallel, and returns the hash of the file. While one portion is decoded, the
    /// one before is written.
    fn write_images(&self, file: &mut WholeFile, progress: Progress) -> Result<String, DataError> {
        let (mut hasher, mut decoded, total) =
            (blake3::Hasher::new(), Vec::new(), self.sides.count());
        let done = AtomicU64::new(0);
        let decode = |place| {
            let image = self.contents.image(place, &self.stored);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total as u64);
            image
        };
        let mut write = |images: Vec<Result<Raster, DataError>>| -> Result<(), DataError> {
            for image in images {
                let pixels = image?.pixels;
                hasher.update(&pixels);
                file.append(&pixels)?;
            }
            Ok(())
        };
        for portion in self.portions() {
            let before = std::mem::take(&mut decoded);
            let (written, images) = rayon::join(
                || write(before),
                || portion.into_par_iter().map(decode).collect(),
            );
            written?;
            decoded = images;
        }
        write(decoded)?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// All places, in parts that fit into memory.
    fn portions(&self) -> Vec<Range<usize>> {
        let count = self.sides.count();
        let size = (self.bytes() as usize).div_ceil(count.max(1)).max(1);
        let step = (PORTION / size).max(1);
        (0..count)
            .step_by(step)
            .map(|start| start..count.min(start + step))
            .collect()
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Stands for the pixels that nobody has decoded yet: a hash of the files.
fn hash_of_files(files: &[Origin]) -> Result<String, DataError> {
    let hash_of = |origin: &Origin| {
        let content =
            fs::read(&origin.path).map_err(|error| DataError::unreadable(&origin.path, error))?;
        Ok(*blake3::hash(&content).as_bytes())
    };
    let hashes: Vec<[u8; 32]> = files
        .par_iter()
        .map(hash_of)
        .collect::<Result<_, DataError>>()?;
    Ok(blake3::hash(hashes.as_flattened()).to_hex().to_string())
}

fn remove_if_there(path: &Path) -> Result<(), DataError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DataError::disk("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn write_index(path: &Path, index: &Index) -> Result<(), DataError> {
    let text =
        serde_json::to_vec(index).map_err(|error| DataError::disk("write", path)(error.into()))?;
    Ok(durable::write(path, &text)?)
}

/// What a source consists of, before any image is decoded.
struct Contents<'a> {
    training: Half,
    test: Half,
    images: Images<'a>,
}

enum Images<'a> {
    Drawn(&'a Glyphs),
    Omniglot(Vec<PathBuf>),
    Files(Vec<Origin>),
}

impl Contents<'_> {
    fn of(source: &Source) -> Result<Contents<'_>, DataError> {
        match source {
            Source::Glyphs(glyphs) => Ok(Contents::of_glyphs(glyphs)),
            Source::Omniglot { root } => Contents::of_omniglot(root, &omniglot::HALVES),
            Source::Files { listing, .. } => Ok(Contents::of_files(listing)),
        }
    }

    fn of_glyphs(glyphs: &Glyphs) -> Contents<'_> {
        let half = |classes: Range<u32>| {
            let mut half = Half::default();
            classes
                .for_each(|class| half.push(format!("glyph{class:06}"), glyphs.per_class as usize));
            half
        };
        let (training, all) = (glyphs.classes, glyphs.classes + glyphs.test_classes);
        Contents {
            training: half(0..training),
            test: half(training..all),
            images: Images::Drawn(glyphs),
        }
    }

    fn of_omniglot(
        root: &Path,
        halves: &[omniglot::Half; 2],
    ) -> Result<Contents<'static>, DataError> {
        let mut paths = Vec::new();
        let mut half = |which| -> Result<Half, DataError> {
            let mut half = Half::default();
            for character in omniglot::characters(root, which)? {
                half.push(character.name, character.drawings.len());
                paths.extend(character.drawings);
            }
            Ok(half)
        };
        let (training, test) = (half(halves[0])?, half(halves[1])?);
        Ok(Contents {
            training,
            test,
            images: Images::Omniglot(paths),
        })
    }

    fn of_files(listing: &Listing) -> Contents<'static> {
        let all = listing.training.images.iter().chain(&listing.test.images);
        let origins = all
            .map(|image| Origin {
                path: image.path.clone(),
                bounding_box: image.bounding_box,
            })
            .collect();
        Contents {
            training: Half::of(&listing.training),
            test: Half::of(&listing.test),
            images: Images::Files(origins),
        }
    }

    fn count(&self) -> usize {
        self.training.labels.len() + self.test.labels.len()
    }

    fn counts(&self) -> Summary {
        Summary {
            training_classes: self.training.classes.len() as u64,
            training_images: self.training.labels.len() as u64,
            test_classes: self.test.classes.len() as u64,
            test_images: self.test.labels.len() as u64,
        }
    }

    /// The sides of the images as they will be stored. Drawings are squares anyway.
    fn sides(&self, stored: &StoredImages) -> Result<Sides, DataError> {
        match (&self.images, stored.size) {
            (Images::Files(files), ImageSize::ShortSide(_)) => {
                let sides: Result<_, _> = files
                    .par_iter()
                    .map(|file| file.stored_sides(stored))
                    .collect();
                sides.map(Sides::Each)
            }
            (_, size) => Ok(Sides::Square {
                side: size.short_side(),
                count: self.count(),
            }),
        }
    }

    /// An image as it is stored.
    fn image(&self, place: usize, stored: &StoredImages) -> Result<Raster, DataError> {
        let side = stored.size.short_side();
        let drawing = match &self.images {
            Images::Files(files) => return files[place].stored(stored),
            Images::Omniglot(paths) => omniglot::decode(&paths[place])?.resized(side, side),
            Images::Drawn(glyphs) => {
                let (place, per_class) = (place as u32, glyphs.per_class);
                let pixels = glyphs.draw(place / per_class, place % per_class, side as u32);
                Raster {
                    width: side,
                    height: side,
                    channels: Colour::Grey.channels(),
                    pixels,
                }
            }
        };
        Ok(drawing.in_colour(stored.colour))
    }
}

/// A prepared data set, open.
#[derive(Debug)]
pub struct PreparedData {
    /// All images: those to train on, then those to test on.
    pub images: Arc<ImageStore>,
    /// The name of the data set.
    pub source: String,
    /// The names of the classes to train on, in the order of their labels.
    pub training_classes: Vec<String>,
    /// The names of the classes to test on, in the order of their labels.
    pub test_classes: Vec<String>,
    /// The super-class of each class to train on; empty if the data set names none.
    pub training_categories: Vec<Option<String>>,
    /// The super-class of each class to test on; empty if the data set names none.
    pub test_categories: Vec<Option<String>>,
    /// The class of each image to train on, from 0.
    pub training_labels: Vec<i64>,
    /// The class of each image to test on, from 0.
    pub test_labels: Vec<i64>,
    /// The part of each image to test on in retrieval.
    pub test_roles: Vec<Role>,
    /// The BLAKE3 hash of all images; of their files, if there is no cache.
    pub blake3: String,
}

impl PreparedData {
    /// Opens what [`Preparation::run`] wrote. The images themselves are not read yet.
    ///
    /// # Errors
    /// If nothing is prepared there, or it is damaged.
    pub fn open(into: &Path) -> Result<PreparedData, DataError> {
        let index = read_index(&into.join(INDEX))?;
        let count = index.training.labels.len() + index.test.labels.len();
        let sides = match index.sides {
            Some(sides) => Sides::Each(sides),
            None => Sides::Square {
                side: index.stored.size.short_side(),
                count,
            },
        };
        let images = match index.files {
            Some(files) => ImageStore::streamed(placed(files, into)?, index.stored, sides),
            None => ImageStore::cached(&into.join(IMAGES), index.stored, sides)?,
        };
        let labels = |half: &Half| half.labels.iter().map(|&label| i64::from(label)).collect();
        let (training_labels, test_labels): (_, Vec<i64>) =
            (labels(&index.training), labels(&index.test));
        let mut test_roles = index.test.roles;
        test_roles.resize(test_labels.len(), Role::Both);
        Ok(PreparedData {
            images: Arc::new(images),
            source: index.source,
            training_labels,
            test_labels,
            test_roles,
            training_classes: index.training.classes,
            test_classes: index.test.classes,
            training_categories: index.training.categories,
            test_categories: index.test.categories,
            blake3: index.blake3,
        })
    }

    /// Where the images to train on are among all.
    pub fn training(&self) -> Range<usize> {
        0..self.training_labels.len()
    }

    /// Where the images to test on are among all.
    pub fn test(&self) -> Range<usize> {
        self.training_labels.len()..self.training_labels.len() + self.test_labels.len()
    }

    /// What there is.
    pub fn counts(&self) -> Summary {
        Summary {
            training_classes: self.training_classes.len() as u64,
            training_images: self.training_labels.len() as u64,
            test_classes: self.test_classes.len() as u64,
            test_images: self.test_labels.len() as u64,
        }
    }
}

/// Files where they lie now.
fn placed(files: Vec<Origin>, into: &Path) -> Result<Vec<Origin>, DataError> {
    let path = into.join(ROOT);
    let root = fs::read_to_string(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            DataError::missing(&path, "the path of the folder with the images")
        }
        _ => DataError::unreadable(&path, error),
    })?;
    Ok(files
        .into_iter()
        .map(|file| Origin {
            path: Path::new(&root).join(&file.path),
            ..file
        })
        .collect())
}

fn write_root(root: &Path, into: &Path) -> Result<(), DataError> {
    let text = root
        .to_str()
        .ok_or_else(|| DataError::unreadable(root, "its path is not valid UTF-8"))?;
    Ok(durable::write(&into.join(ROOT), text.as_bytes())?)
}

fn read_index(path: &Path) -> Result<Index, DataError> {
    let text = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            DataError::missing(path, "the index of a prepared data set; prepare it first")
        }
        _ => DataError::unreadable(path, error),
    })?;
    let version = serde_json::from_slice::<serde_json::Value>(&text)
        .ok()
        .and_then(|index| index["version"].as_u64());
    if version.is_some_and(|version| version != u64::from(PREPARED)) {
        return Err(DataError::unreadable(
            path,
            "it was written by another version; remove its folder",
        ));
    }
    let index: Index = serde_json::from_slice(&text)
        .map_err(|error| DataError::damaged(path, &error.to_string()))?;
    check(&index).map_err(|why| DataError::damaged(path, why))?;
    Ok(index)
}

fn check(index: &Index) -> Result<(), &'static str> {
    let (counts, count) = (
        index.counts,
        index.training.labels.len() + index.test.labels.len(),
    );
    if !index
        .training
        .fits(counts.training_classes, counts.training_images)
        || !index.test.fits(counts.test_classes, counts.test_images)
    {
        return Err("labels and classes do not fit its counts");
    }
    let pixels = |sides: &Vec<[usize; 2]>| {
        sides.len() == count && sides.iter().flatten().all(|side| *side > 0)
    };
    if index.stored.size.short_side() == 0 || !index.sides.as_ref().is_none_or(pixels) {
        return Err("its images have no pixels");
    }
    if index
        .files
        .as_ref()
        .is_some_and(|files| files.len() != count)
    {
        return Err("there are not as many files as labels");
    }
    Ok(())
}

impl Half {
    fn fits(&self, classes: u64, images: u64) -> bool {
        self.labels
            .iter()
            .all(|&label| (label as usize) < self.classes.len())
            && (self.classes.len() as u64, self.labels.len() as u64) == (classes, images)
            && [0, self.classes.len()].contains(&self.categories.len())
            && [0, self.labels.len()].contains(&self.roles.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Region, decode};

    const GLYPHS: Glyphs = Glyphs {
        classes: 3,
        test_classes: 2,
        per_class: 4,
        seed: 5,
    };

    fn grey(side: u32) -> StoredImages {
        StoredImages {
            size: ImageSize::Square(side),
            colour: Colour::Grey,
            bounding_boxes: false,
        }
    }

    fn prepare(source: &Source, stored: StoredImages, folder: &Path) -> Result<Summary, DataError> {
        Preparation::new(source, stored, Cache::Auto, folder)?.run(&|_, _| ())
    }

    fn prepared(folder: &Path) -> Summary {
        prepare(&Source::Glyphs(GLYPHS), grey(12), folder).unwrap()
    }

    fn whole(data: &PreparedData, place: usize) -> Vec<u8> {
        let [width, height] = data.images.sides(place);
        data.images
            .part(
                place,
                Region {
                    left: 0,
                    top: 0,
                    width,
                    height,
                },
            )
            .unwrap()
            .pixels
    }

    #[test]
    fn what_was_prepared_is_what_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let summary = prepared(folder.path());
        let data = PreparedData::open(folder.path()).unwrap();

        assert_eq!(data.counts(), summary);
        assert_eq!((summary.training_images, summary.test_images), (12, 8));
        assert_eq!((data.training(), data.test()), (0..12, 12..20));
        assert_eq!(data.training_labels, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        assert_eq!(data.test_labels, [0, 0, 0, 0, 1, 1, 1, 1]);
        let squares = data.images.squares().unwrap().unwrap();
        assert_eq!(squares.size(), [20, 1, 12, 12]);
        // The second image of the first class to test on, which is drawn as the fourth of all.
        assert_eq!(whole(&data, 13), GLYPHS.draw(3, 1, 12));
        assert_eq!(
            data.images
                .part(
                    13,
                    Region {
                        left: 0,
                        top: 2,
                        width: 12,
                        height: 3
                    }
                )
                .unwrap()
                .pixels,
            GLYPHS.draw(3, 1, 12)[24..60]
        );
        let all = Vec::<u8>::try_from(squares.reshape([-1])).unwrap();
        assert_eq!(data.blake3, blake3::hash(&all).to_string());
    }

    #[test]
    fn progress_comes_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let last = std::sync::Mutex::new((0, 0));
        let source = Source::Glyphs(GLYPHS);
        let preparation = Preparation::new(&source, grey(8), Cache::Auto, folder.path()).unwrap();
        let note = |done, total| {
            let mut last = last.lock().unwrap();
            *last = (*last).max((done, total));
        };
        preparation.run(&note).unwrap();
        assert_eq!(last.into_inner().unwrap(), (20, 20));
    }

    #[test]
    fn a_folder_without_an_index_is_not_prepared() {
        let folder = tempfile::tempdir().unwrap();
        prepared(folder.path());
        fs::remove_file(folder.path().join(INDEX)).unwrap();
        assert!(matches!(
            PreparedData::open(folder.path()),
            Err(DataError::Missing { .. })
        ));
    }

    #[test]
    fn preparing_again_mends_whatever_was_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(IMAGES), "half").unwrap();
        fs::write(folder.path().join("images.u8.incomplete"), "half").unwrap();
        prepared(folder.path());
        prepared(folder.path());
        assert!(PreparedData::open(folder.path()).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn damage_is_noticed_on_opening() {
        let index_with = |from: &str, to: &str| {
            let folder = tempfile::tempdir().unwrap();
            prepared(folder.path());
            let path = folder.path().join(INDEX);
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(&path, text.replacen(from, to, 1)).unwrap();
            PreparedData::open(folder.path()).unwrap_err().to_string()
        };
        assert!(
            index_with("\"version\":3", "\"version\":1").contains("written by another version")
        );
        assert!(index_with("\"square\":12", "\"square\":14").contains("2880 bytes, not 3920"));
        assert!(index_with("[0,0,0,0,1", "[0,0,0,0,9").contains("labels and classes do not fit"));
        assert!(
            index_with("\"labels\":[0,", "\"labels\":[").contains("labels and classes do not fit")
        );
        assert!(index_with("}", "").contains("it is damaged"));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_the_fault_of_the_disk() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error =
            prepare(&Source::Glyphs(GLYPHS), grey(8), &file.path().join("data")).unwrap_err();
        assert!(matches!(error, DataError::Disk { .. }), "{error}");
    }

    #[test]
    fn a_data_set_without_images_is_possible() {
        let folder = tempfile::tempdir().unwrap();
        let none = Glyphs {
            classes: 0,
            test_classes: 0,
            ..GLYPHS
        };
        prepare(&Source::Glyphs(none), grey(8), folder.path()).unwrap();
        let data = PreparedData::open(folder.path()).unwrap();
        assert_eq!(data.images.squares().unwrap().unwrap().size(), [0, 1, 8, 8]);
    }

    /// Two photographs of other shapes, one to train on and one to test on, the same file with two boxes.
    fn files(root: &Path) -> Source {
        use crate::data::listing::Image;
        let part = |name: &str, (width, height), bounding_box, role| {
            let path = root.join(format!("{name}.png"));
            let pixel = |x: u32, y: u32| {
                image::Rgb([(x * 9) as u8, (y * 13) as u8, if x < 10 { 0 } else { 200 }])
            };
            image::RgbImage::from_fn(width, height, pixel)
                .save(&path)
                .unwrap();
            Part {
                classes: vec![Class {
                    name: name.into(),
                    category: Some("things".into()),
                }],
                images: vec![Image {
                    path,
                    class: 0,
                    role,
                    bounding_box,
                }],
            }
        };
        let training = part("left", (20, 10), Some([0, 0, 10, 10]), Role::Both);
        let test = part("right", (14, 31), Some([10, 0, 14, 20]), Role::Query);
        Source::Files {
            title: "Halves".into(),
            root: root.to_owned(),
            listing: Listing { training, test },
        }
    }

    fn stored(size: ImageSize, colour: Colour, bounding_boxes: bool) -> StoredImages {
        StoredImages {
            size,
            colour,
            bounding_boxes,
        }
    }

    #[test]
    fn images_keep_their_shape_when_only_the_short_side_is_given() {
        let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = files(root.path());
        prepare(
            &source,
            stored(ImageSize::ShortSide(8), Colour::Rgb, false),
            into.path(),
        )
        .unwrap();
        let data = PreparedData::open(into.path()).unwrap();
        // Of 14 x 31, the longer side becomes 8 * 31 / 14 = 17.7.
        assert_eq!(
            [data.images.sides(0), data.images.sides(1)],
            [[16, 8], [8, 17]]
        );
        assert!(data.images.squares().unwrap().is_none());
        let expected = decode(&root.path().join("right.png"), Colour::Rgb)
            .unwrap()
            .resized(8, 17);
        assert_eq!(whole(&data, 1), expected.pixels);
    }

    #[test]
    fn boxes_are_cut_out_when_that_is_wanted() {
        let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = files(root.path());
        prepare(
            &source,
            stored(ImageSize::Square(4), Colour::Rgb, true),
            into.path(),
        )
        .unwrap();
        let data = PreparedData::open(into.path()).unwrap();
        let blue = |place| {
            whole(&data, place)
                .as_chunks::<3>()
                .0
                .iter()
                .map(|pixel| pixel[2])
                .collect::<Vec<_>>()
        };
        assert_eq!((blue(0), blue(1)), (vec![0; 16], vec![200; 16]));
        assert_eq!(data.images.squares().unwrap().unwrap().size(), [2, 3, 4, 4]);
        assert_eq!(data.test_roles, [Role::Query]);
        assert_eq!(data.training_categories, [Some("things".to_owned())]);
    }

    #[test]
    fn images_without_a_cache_have_the_same_pixels() {
        let (root, kept, streamed) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        let source = files(root.path());
        let stored = stored(ImageSize::ShortSide(9), Colour::Grey, true);
        let open = |cache, folder: &Path| {
            Preparation::new(&source, stored, cache, folder)
                .unwrap()
                .run(&|_, _| ())
                .unwrap();
            PreparedData::open(folder).unwrap()
        };
        let (kept, streamed) = (
            open(Cache::Always, kept.path()),
            open(Cache::Never, streamed.path()),
        );
        for place in 0..2 {
            assert_eq!(whole(&kept, place), whole(&streamed, place));
            let part = Region {
                left: 1,
                top: 3,
                width: 5,
                height: 4,
            };
            assert_eq!(
                kept.images.part(place, part).unwrap(),
                streamed.images.part(place, part).unwrap()
            );
        }
    }

    #[test]
    fn images_that_are_not_kept_may_move() {
        let (before, after, into) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        let stored = stored(ImageSize::Square(9), Colour::Rgb, true);
        Preparation::new(&files(before.path()), stored, Cache::Never, into.path())
            .unwrap()
            .run(&|_, _| ())
            .unwrap();
        let pixels = || {
            let data = PreparedData::open(into.path()).unwrap();
            let region = Region {
                left: 0,
                top: 0,
                width: 9,
                height: 9,
            };
            data.images.part(0, region).map(|image| image.pixels)
        };
        let expected = pixels().unwrap();
        for name in ["left.png", "right.png"] {
            fs::rename(before.path().join(name), after.path().join(name)).unwrap();
        }
        assert!(pixels().is_err());
        fs::write(into.path().join(ROOT), after.path().to_str().unwrap()).unwrap();
        assert_eq!(pixels().unwrap(), expected);
        fs::remove_file(into.path().join(ROOT)).unwrap();
        assert!(matches!(
            PreparedData::open(into.path()),
            Err(DataError::Missing { .. })
        ));
    }

    #[test]
    fn a_full_disk_refuses_the_cache_or_does_without_it() {
        let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = files(root.path());
        let of = |cache, room| {
            let stored = stored(ImageSize::Square(100), Colour::Rgb, false);
            Preparation::of(
                Contents::of(&source).unwrap(),
                ("Halves", root.path()),
                stored,
                into.path(),
                cache,
                room,
            )
        };
        assert_eq!(
            of(Cache::Auto, 60_000).unwrap().estimate(),
            "Halves: 2 images of 0.1 MB in all, not kept, but decoded whenever they are needed; the disk has room for 0.1 MB"
        );
        assert!(of(Cache::Auto, 70_000).unwrap().cached);
        let error = of(Cache::Always, 60_000).err().unwrap().to_string();
        assert!(error.contains("do not fit on its disk"), "{error}");
    }

    #[test]
    fn drawings_are_ordered_by_class_and_inverted() {
        use crate::data::omniglot::{Half, tests::unpacked};
        let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let halves = [
            Half {
                folder: "images_background",
                characters: 2,
            },
            Half {
                folder: "images_evaluation",
                characters: 1,
            },
        ];
        unpacked(root.path(), &halves);
        let contents = Contents::of_omniglot(root.path(), &halves).unwrap();
        let room = u64::MAX;
        let preparation = Preparation::of(
            contents,
            ("Omniglot", root.path()),
            grey(28),
            into.path(),
            Cache::Auto,
            room,
        )
        .unwrap();
        preparation.run(&|_, _| ()).unwrap();
        let data = PreparedData::open(into.path()).unwrap();

        assert_eq!(
            data.training_classes,
            ["Alphabet_0/character00", "Alphabet_1/character01"]
        );
        assert_eq!(data.test_classes, ["Alphabet_0/character00"]);
        assert_eq!(
            (data.training_labels.len(), data.test_labels.len()),
            (40, 20)
        );
        // The helper draws white on the left and ink on the right.
        let row = data
            .images
            .part(
                39,
                Region {
                    left: 0,
                    top: 14,
                    width: 28,
                    height: 1,
                },
            )
            .unwrap()
            .pixels;
        assert_eq!((row[0], row[27]), (0, 255));
    }
}
