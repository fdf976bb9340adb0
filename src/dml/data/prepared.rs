//! Prepared data sets: decoded and resized images, as trainings read them.
//!
//! The folder holds `images.u8`, the images one after another, first those to train on, in the order of
//! classes and names, and `index.json`, which describes them. The index is written last: a folder
//! without one is not prepared. It is sealed and has the hash of the images, and opening compares both. If the images do not fit on the disk, they are decoded whenever they are
//! needed, and instead of `images.u8` there is a file `root` with the path of the folder to which the
//! paths in the index are relative. Either way all processes on a machine share one copy in its page
//! cache.

use std::{
    collections::BTreeMap,
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

use schema::{
    Cache, Dataset, Fingerprint, Glyphs, ImageSize, PrepareWork, PreparedIndex, StoredImages,
    bytes_in_words,
};

use super::{
    DataError, ImageStore, Progress, Raster, Source,
    fingerprint::{self, Hashes},
    glyphs::{self, Glyph},
    listing::{Class, Listing, Part, Role},
    stored::{Decoding, Origin, Sides, room},
};

/// Version of the folder's layout and of the pixels: raised whenever either changes.
pub const PREPARED: u32 = 3;

const IMAGES: &str = PrepareWork::IMAGES;
const INDEX: &str = PrepareWork::INDEX;

/// Bytes of decoded images in memory at a time; as many again are being written.
const PORTION: usize = 64 << 20;

/// A cache takes at most nine tenths of the free space on its disk.
const ROOM: (u64, u64) = (9, 10);

/// The size of a prepared data set.
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
    /// The title of the data set, for people who read the file.
    source: String,
    /// Absent in folders that an earlier version prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dataset: Option<Dataset>,
    stored: StoredImages,
    /// The hash of the files that were read. Absent if it was not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Fingerprint>,
    counts: Summary,
    blake3: String,
    /// The size of `images.u8`, if images are kept. Absent in folders that an earlier version prepared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    training: Half,
    test: Half,
    /// Width and height of each image, if they are not all squares of one size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sides: Option<Vec<[usize; 2]>>,
    /// The files to decode, if there is no cache; those below the root are relative to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<Vec<Origin>>,
}

/// The classes of one half, and the class of each image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Half {
    classes: Vec<String>,
    /// The super-class of each class. Empty: there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    categories: Vec<Option<String>>,
    /// The wider super-classes of each class, the narrowest first. Empty: there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wider: Vec<Vec<String>>,
    labels: Vec<u32>,
    /// The role of each image in retrieval. Empty: all are queries and references.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<Role>,
    /// The camera of each image, from 0. Empty: no image has one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cameras: Vec<Option<u32>>,
    /// The file of each image, relative to the data set's own folder if it is below it. Empty: they are drawn, or
    /// an earlier version prepared them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    names: Vec<PathBuf>,
}

impl Half {
    fn of_glyphs(classes: Range<u32>, per_class: u32) -> Half {
        let count = classes.len() as u32;
        Half {
            classes: classes.map(|class| format!("glyph{class:06}")).collect(),
            labels: (0..count)
                .flat_map(|class| (0..per_class).map(move |_| class))
                .collect(),
            ..Half::default()
        }
    }

    fn of(part: &Part, root: &Path) -> Half {
        let categories: Vec<_> = part
            .classes
            .iter()
            .map(|class| class.category.clone())
            .collect();
        let roles: Vec<_> = part.images.iter().map(|image| image.role).collect();
        let names = part.images.iter().map(|image| below(&image.path, root));
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
            wider: wider(part),
            cameras: part.cameras(),
            names: names.collect(),
        }
    }
}

/// Returns the wider super-classes of each class; nothing if there are none.
fn wider(part: &Part) -> Vec<Vec<String>> {
    let classes = part.classes.iter();
    match classes.clone().all(|class| class.wider.is_empty()) {
        true => Vec::new(),
        false => classes.map(|class| class.wider.clone()).collect(),
    }
}

/// Returns the path relative to `root`, if it is below it.
fn below(path: &Path, root: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}

const NO_BOXES: &str = "none of its images has a bounding box; leave out `bounding_boxes = true`";

/// Images that a message names.
const NAMED: usize = 5;

/// Returns the message about images whose boxes lie outside of them, and of how many boxes they are.
fn boxes_outside(images: &[Origin], boxes: usize) -> String {
    let named = images.iter().take(NAMED);
    let named: Vec<String> = named
        .map(|image| format!("`{}`", image.path.display()))
        .collect();
    let more = match images.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{} of {boxes} bounding boxes lie outside of their images: {}{more}; correct them and add the data set again, \
         or leave out `bounding_boxes = true`",
        images.len(),
        named.join(", ")
    )
}

/// A data set about to be prepared: its size is known, no image is decoded.
///
/// Glyphs are drawn in the requested size. Images that are dark on light are inverted before they are
/// resized, if the data set's facts say so.
pub struct Preparation<'a> {
    contents: Contents<'a>,
    target: Target<'a>,
    sides: Sides,
    cached: bool,
    expected: Option<Fingerprint>,
}

/// What is prepared, and where.
struct Target<'a> {
    dataset: Dataset,
    /// The data set's own folder.
    root: &'a Path,
    stored: StoredImages,
    into: &'a Path,
    /// Free bytes on its disk.
    room: u64,
}

impl Preparation<'_> {
    /// Examines a data set that is to be prepared in the folder `into`.
    ///
    /// # Errors
    /// If files are missing or no images, or a cache is required for which the disk has no room.
    pub fn new<'a>(
        source: &'a Source,
        stored: StoredImages,
        cache: Cache,
        into: &'a Path,
    ) -> Result<Preparation<'a>, DataError> {
        create_folder(into)?;
        let target = Target {
            dataset: source.dataset(),
            root: source.root(),
            stored,
            into,
            room: room(into)?,
        };
        Preparation::of(Contents::of(source), target, cache)
    }

    fn of<'a>(
        contents: Contents<'a>,
        target: Target<'a>,
        cache: Cache,
    ) -> Result<Preparation<'a>, DataError> {
        if target.stored.bounding_boxes {
            contents.check_boxes(target.root)?;
        }
        let sides = contents.sides(&target.stored)?;
        let mut preparation = Preparation {
            contents,
            target,
            sides,
            cached: true,
            expected: None,
        };
        let room = preparation.target.room;
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
                bytes_in_words(room)
            );
            let error = io::Error::other(why);
            return Err(DataError::disk("prepare", preparation.target.into)(error));
        }
        Ok(preparation)
    }

    /// Requires that the files that are read are those of a fingerprint.
    #[must_use]
    pub fn expecting(mut self, fingerprint: Fingerprint) -> Self {
        self.expected = Some(fingerprint);
        self
    }

    /// Returns a sentence for the user: the size of the images, and whether they are kept.
    pub fn estimate(&self) -> String {
        let kept = if self.cached {
            "kept on disk"
        } else {
            "not kept, but decoded whenever they are needed"
        };
        format!(
            "{}: {}, {kept}; the disk has room for {}",
            self.target.dataset.title(),
            self.size(),
            bytes_in_words(self.target.room)
        )
    }

    /// Returns the bytes of all images, decoded and resized.
    pub fn bytes(&self) -> u64 {
        self.sides.pixels() * u64::from(self.target.stored.color.channels())
    }

    fn size(&self) -> String {
        format!(
            "{} images of {} in all",
            self.sides.count(),
            bytes_in_words(self.bytes())
        )
    }

    /// Decodes and resizes all images, and returns their counts.
    ///
    /// # Errors
    /// If an image cannot be decoded, the files are not those of the expected fingerprint, or the disk does not take
    /// the result.
    pub fn run(self, progress: Progress) -> Result<Summary, DataError> {
        let written = match &self.contents.images {
            Images::Files(files) if !self.cached => self.write_references(files, progress)?,
            Images::Files(_) | Images::Drawn(_) => self.write_cache(progress)?,
        };
        let counts = self.contents.counts();
        let index = Index {
            version: PREPARED,
            source: self.target.dataset.title().to_owned(),
            dataset: Some(self.target.dataset),
            stored: self.target.stored,
            fingerprint: self.expected,
            counts,
            blake3: written.blake3,
            bytes: written.bytes,
            training: self.contents.training,
            test: self.contents.test,
            sides: self.sides.each(),
            files: written.files,
        };
        write_index(&self.target.into.join(INDEX), &index)?;
        Ok(counts)
    }

    /// Leaves the images in their files and writes where these are.
    fn write_references(&self, files: &[Origin], progress: Progress) -> Result<Written, DataError> {
        let root = self.target.root;
        let hashes = hashes_of_files(files)?;
        self.check_fingerprint(&by_path(files, &hashes))?;
        remove_if_there(&self.target.into.join(INDEX))?;
        remove_if_there(&self.target.into.join(IMAGES))?;
        write_root(root, self.target.into)?;
        progress(self.sides.count() as u64, self.sides.count() as u64);
        let bytes: Vec<[u8; 32]> = hashes.iter().map(|hash| *hash.as_bytes()).collect();
        let origins = files.iter().zip(&hashes).map(|(file, hash)| Origin {
            blake3: Some(hash.to_hex().to_string()),
            ..file.below(root)
        });
        Ok(Written {
            blake3: blake3::hash(bytes.as_flattened()).to_hex().to_string(),
            bytes: None,
            files: Some(origins.collect()),
        })
    }

    /// Writes the decoded images.
    fn write_cache(&self, progress: Progress) -> Result<Written, DataError> {
        let mut file = WholeFile::create(&self.target.into.join(IMAGES))?;
        let mut writer = CacheWriter::new(&mut file);
        self.write_images(&mut writer, progress)?;
        let CacheWriter { hasher, hashes, .. } = writer;
        if let Images::Files(files) = &self.contents.images {
            self.check_fingerprint(&by_path(files, &hashes))?;
        }
        // The index of other images must be gone before these get their name.
        remove_if_there(&self.target.into.join(INDEX))?;
        file.publish()?;
        Ok(Written {
            blake3: hasher.finalize().to_hex().to_string(),
            bytes: Some(self.bytes()),
            files: None,
        })
    }

    fn check_fingerprint(&self, hashes: &Hashes) -> Result<(), DataError> {
        match &self.expected {
            Some(expected) => {
                fingerprint::check(&self.target.dataset, self.target.root, hashes, expected)
            }
            None => Ok(()),
        }
    }

    /// Writes all images, decoded in parallel. While one portion is decoded, the one before is written.
    fn write_images(&self, writer: &mut CacheWriter, progress: Progress) -> Result<(), DataError> {
        let decoding = self.target.decoding();
        let total = self.sides.count() as u64;
        let done = AtomicU64::new(0);
        let decode = |image| {
            let decoded = self.contents.image(image, &decoding);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            decoded
        };
        let mut decoded = Vec::new();
        for portion in self.portions() {
            let before = std::mem::take(&mut decoded);
            let (written, images) = rayon::join(
                || writer.write(before),
                || portion.into_par_iter().map(decode).collect(),
            );
            written?;
            decoded = images;
        }
        writer.write(decoded)
    }

    /// Returns the indices of all images in ranges that fit into memory.
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

impl Target<'_> {
    fn decoding(&self) -> Decoding {
        Decoding {
            stored: self.stored,
            inverted: self.dataset.facts().inverted,
        }
    }
}

/// What was written beside the index.
struct Written {
    /// The hash of all images, or of their files.
    blake3: String,
    /// The size of the cache, if there is one.
    bytes: Option<u64>,
    /// The files, if there is no cache.
    files: Option<Vec<Origin>>,
}

/// A decoded image, and the hash of its file if it has one.
type HashedImage = (Raster, Option<blake3::Hash>);

/// Writes decoded images one after another.
struct CacheWriter<'f> {
    file: &'f mut WholeFile,
    /// Of the written images.
    hasher: blake3::Hasher,
    /// The hashes of the files that the images were decoded from.
    hashes: Vec<blake3::Hash>,
}

impl CacheWriter<'_> {
    fn new(file: &mut WholeFile) -> CacheWriter<'_> {
        CacheWriter {
            file,
            hasher: blake3::Hasher::new(),
            hashes: Vec::new(),
        }
    }

    fn write(&mut self, images: Vec<Result<HashedImage, DataError>>) -> Result<(), DataError> {
        for image in images {
            let (image, hash) = image?;
            self.hasher.update(&image.pixels);
            self.hashes.extend(hash);
            self.file.append(&image.pixels)?;
        }
        Ok(())
    }
}

fn by_path(files: &[Origin], hashes: &[blake3::Hash]) -> Hashes {
    let paths = files.iter().map(|file| file.path.clone());
    paths.zip(hashes.iter().copied()).collect()
}

fn hashes_of_files(files: &[Origin]) -> Result<Vec<blake3::Hash>, DataError> {
    let hash_of = |origin: &Origin| {
        let content = durable::read(&origin.path)
            .map_err(|error| DataError::unreadable(&origin.path, error))?;
        Ok(blake3::hash(&content))
    };
    files.par_iter().map(hash_of).collect()
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
    let text = schema::sealed(PreparedIndex::SUBJECT, index)
        .map_err(|error| DataError::disk("write", path)(error.into()))?;
    Ok(durable::write(path, text.as_bytes())?)
}

/// The contents of a source, before any image is decoded.
struct Contents<'a> {
    training: Half,
    test: Half,
    images: Images<'a>,
}

enum Images<'a> {
    Drawn(&'a Glyphs),
    Files(Vec<Origin>),
}

impl Contents<'_> {
    fn of(source: &Source) -> Contents<'_> {
        match source {
            Source::Glyphs(glyphs) => Contents::of_glyphs(glyphs),
            Source::Files { listing, root, .. } => Contents::of_files(listing, root),
        }
    }

    fn of_glyphs(glyphs: &Glyphs) -> Contents<'_> {
        let training = glyphs.classes;
        let all = glyphs.classes + glyphs.test_classes;
        Contents {
            training: Half::of_glyphs(0..training, glyphs.per_class),
            test: Half::of_glyphs(training..all, glyphs.per_class),
            images: Images::Drawn(glyphs),
        }
    }

    fn of_files(listing: &Listing, root: &Path) -> Contents<'static> {
        let all = listing.training.images.iter().chain(&listing.test.images);
        let origins = all
            .map(|image| Origin {
                path: image.path.clone(),
                bounding_box: image.bounding_box,
                blake3: None,
            })
            .collect();
        Contents {
            training: Half::of(&listing.training, root),
            test: Half::of(&listing.test, root),
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

    /// Checks that images can be cut to their boxes: there are some, and none lies outside of its image.
    fn check_boxes(&self, root: &Path) -> Result<(), DataError> {
        let Images::Files(files) = &self.images else {
            return Err(DataError::unreadable(root, NO_BOXES));
        };
        let boxes = files.iter().filter(|file| file.bounding_box.is_some());
        let boxes = boxes.count();
        if boxes == 0 {
            return Err(DataError::unreadable(root, NO_BOXES));
        }
        let outside = |file: &Origin| Ok(file.is_outside_box()?.then(|| file.below(root)));
        let outside: Vec<Option<Origin>> = files
            .par_iter()
            .map(outside)
            .collect::<Result<_, DataError>>()?;
        let outside: Vec<Origin> = outside.into_iter().flatten().collect();
        if outside.is_empty() {
            return Ok(());
        }
        Err(DataError::unreadable(root, boxes_outside(&outside, boxes)))
    }

    /// Returns the sides of the images as they are stored. Drawings are always squares.
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
                side: size.short_side() as usize,
                count: self.count(),
            }),
        }
    }

    /// Returns an image as it is stored.
    fn image(&self, image: usize, decoding: &Decoding) -> Result<HashedImage, DataError> {
        let glyphs = match &self.images {
            Images::Files(files) => {
                let (image, hash) = files[image].stored(decoding)?;
                return Ok((image, Some(hash)));
            }
            Images::Drawn(glyphs) => glyphs,
        };
        let side = decoding.stored.size.short_side();
        let glyph = Glyph {
            class: image as u32 / glyphs.per_class,
            image: image as u32 % glyphs.per_class,
        };
        let drawing = Raster {
            width: side as usize,
            height: side as usize,
            channels: 1,
            pixels: glyphs::draw(glyphs, glyph, side),
        };
        Ok((drawing.in_color(decoding.stored.color), None))
    }
}

/// A prepared data set, open.
#[derive(Debug)]
pub struct PreparedData {
    /// All images: those to train on, then those to test on.
    pub images: Arc<ImageStore>,
    /// The data set. Absent if an earlier version prepared it.
    pub dataset: Option<Dataset>,
    /// The names of the classes to train on, in the order of their labels.
    pub training_classes: Vec<String>,
    /// The names of the classes to test on, in the order of their labels.
    pub test_classes: Vec<String>,
    /// The super-class of each class to train on; empty if the data set names none.
    pub training_categories: Vec<Option<String>>,
    /// The super-class of each class to test on; empty if the data set names none.
    pub test_categories: Vec<Option<String>>,
    /// The wider super-classes of each class to train on, the narrowest first; empty if there are none.
    pub training_wider: Vec<Vec<String>>,
    /// The wider super-classes of each class to test on, likewise.
    pub test_wider: Vec<Vec<String>>,
    /// The class of each image to train on, from 0.
    pub training_labels: Vec<i64>,
    /// The class of each image to test on, from 0.
    pub test_labels: Vec<i64>,
    /// The role of each image to test on in retrieval.
    pub test_roles: Vec<Role>,
    /// The camera of each image to train on, from 0; empty if no image has one.
    pub training_cameras: Vec<Option<u32>>,
    /// The camera of each image to test on, numbered apart from those of the others; empty if no image has one.
    pub test_cameras: Vec<Option<u32>>,
    /// The file of each image to test on, relative to the data set's own folder if it is below it. Empty if there
    /// are none, or an earlier version prepared them.
    pub test_names: Vec<PathBuf>,
    /// The BLAKE3 hash of all images; of their files, if there is no cache.
    pub blake3: String,
}

impl PreparedData {
    /// Opens what [`Preparation::run`] wrote, and compares it with its hashes.
    ///
    /// # Errors
    /// If nothing is prepared there, or it is damaged.
    pub fn open(into: &Path) -> Result<PreparedData, DataError> {
        let index = read_index(&into.join(INDEX))?;
        let decoding = index.decoding();
        let training_labels = index.training.labels();
        let test_labels = index.test.labels();
        let sides = match index.sides {
            Some(sides) => Sides::Each(sides),
            None => Sides::Square {
                side: index.stored.size.short_side() as usize,
                count: training_labels.len() + test_labels.len(),
            },
        };
        let images = match index.files {
            Some(files) => ImageStore::streamed(located(files, into)?, decoding, sides),
            None => ImageStore::cached(&into.join(IMAGES), decoding, sides, &index.blake3)?,
        };
        let mut test_roles = index.test.roles;
        test_roles.resize(test_labels.len(), Role::Both);
        Ok(PreparedData {
            images: Arc::new(images),
            dataset: index.dataset,
            training_labels,
            test_labels,
            test_roles,
            training_classes: index.training.classes,
            test_classes: index.test.classes,
            training_categories: index.training.categories,
            test_categories: index.test.categories,
            training_wider: index.training.wider,
            test_wider: index.test.wider,
            training_cameras: index.training.cameras,
            test_cameras: index.test.cameras,
            test_names: index.test.names,
            blake3: index.blake3,
        })
    }

    /// Returns true if these are the images of a data set, stored in this way. Folders of earlier versions do
    /// not name their data set, and are known by their location alone.
    pub fn is_of(&self, dataset: &Dataset, stored: &StoredImages) -> bool {
        let is_dataset = self.dataset.as_ref().is_none_or(|known| known == dataset);
        is_dataset && self.images.stored() == stored
    }

    /// Returns the indices of the images to train on among all.
    pub fn training(&self) -> Range<usize> {
        0..self.training_labels.len()
    }

    /// Returns the indices of the images to test on among all.
    pub fn test(&self) -> Range<usize> {
        self.training_labels.len()..self.training_labels.len() + self.test_labels.len()
    }

    /// Returns for each level of super-classes, the narrowest first, that of each image to train on, by number.
    pub fn training_levels(&self) -> Vec<Vec<Option<u32>>> {
        let (categories, wider) = (&self.training_categories, &self.training_wider);
        levels(&self.training_labels, categories, wider)
    }

    /// Returns for each level of super-classes, the narrowest first, that of each image to test on, by number.
    pub fn test_levels(&self) -> Vec<Vec<Option<u32>>> {
        levels(&self.test_labels, &self.test_categories, &self.test_wider)
    }

    /// Returns the number of classes and images.
    pub fn counts(&self) -> Summary {
        Summary {
            training_classes: self.training_classes.len() as u64,
            training_images: self.training_labels.len() as u64,
            test_classes: self.test_classes.len() as u64,
            test_images: self.test_labels.len() as u64,
        }
    }
}

/// Returns the levels of super-classes of images with these classes. Two of one name are the same if the wider ones in
/// which they lie are: there are a bird and a plant called *Prunella*.
fn levels(
    labels: &[i64],
    categories: &[Option<String>],
    wider: &[Vec<String>],
) -> Vec<Vec<Option<u32>>> {
    let wider_than = |class: usize| wider.get(class).into_iter().flatten();
    let all = |class: usize| categories[class].iter().chain(wider_than(class));
    let lineages: Vec<Vec<&String>> = (0..categories.len())
        .map(|class| all(class).collect())
        .collect();
    let levels = lineages.iter().map(Vec::len).max().unwrap_or(0);
    (0..levels)
        .map(|level| of_images(labels, &lineages, level))
        .collect()
}

/// Returns the number of the super-class of each image at a level, from those of the classes.
fn of_images(labels: &[i64], lineages: &[Vec<&String>], level: usize) -> Vec<Option<u32>> {
    let mut numbers = BTreeMap::new();
    let mut of_classes = Vec::with_capacity(lineages.len());
    for lineage in lineages {
        let next = numbers.len() as u32;
        let from_here = lineage.get(level..).filter(|rest| !rest.is_empty());
        of_classes.push(from_here.map(|rest| *numbers.entry(rest).or_insert(next)));
    }
    labels
        .iter()
        .map(|label| of_classes[*label as usize])
        .collect()
}

/// Returns the files with their present paths.
fn located(files: Vec<Origin>, into: &Path) -> Result<Vec<Origin>, DataError> {
    let path = into.join(PrepareWork::ROOT);
    let root = durable::read_to_string(&path).map_err(|error| match error.kind() {
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
    Ok(durable::write(
        &into.join(PrepareWork::ROOT),
        text.as_bytes(),
    )?)
}

fn read_index(path: &Path) -> Result<Index, DataError> {
    let text = durable::read(path).map_err(|error| match error.kind() {
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
    let index: Index = schema::unsealed(PreparedIndex::SUBJECT, &text)
        .map_err(|error| DataError::damaged(path, &error.to_string()))?;
    check(&index).map_err(|why| DataError::damaged(path, why))?;
    Ok(index)
}

fn check(index: &Index) -> Result<(), &'static str> {
    let counts = index.counts;
    let count = index.training.labels.len() + index.test.labels.len();
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

impl Index {
    fn decoding(&self) -> Decoding {
        let dataset = self.dataset.as_ref();
        Decoding {
            stored: self.stored,
            inverted: dataset.is_some_and(|dataset| dataset.facts().inverted),
        }
    }
}

impl Half {
    fn labels(&self) -> Vec<i64> {
        self.labels.iter().map(|&label| i64::from(label)).collect()
    }

    fn fits(&self, classes: u64, images: u64) -> bool {
        self.labels
            .iter()
            .all(|&label| (label as usize) < self.classes.len())
            && (self.classes.len() as u64, self.labels.len() as u64) == (classes, images)
            && [0, self.classes.len()].contains(&self.categories.len())
            && [0, self.labels.len()].contains(&self.roles.len())
            && [0, self.labels.len()].contains(&self.names.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Background, Color, Region, decode};

    const GLYPHS: Glyphs = Glyphs {
        classes: 3,
        test_classes: 2,
        per_class: 4,
        seed: 5,
    };

    fn gray(side: u32) -> StoredImages {
        StoredImages {
            size: ImageSize::Square(side),
            color: Color::Gray,
            bounding_boxes: false,
            background: None,
        }
    }

    fn prepare(source: &Source, stored: StoredImages, folder: &Path) -> Result<Summary, DataError> {
        Preparation::new(source, stored, Cache::Auto, folder)?.run(&|_, _| ())
    }

    fn prepared(folder: &Path) -> Summary {
        prepare(&Source::Glyphs(GLYPHS), gray(12), folder).unwrap()
    }

    fn whole(data: &PreparedData, image: usize) -> Vec<u8> {
        let region = Region::whole(data.images.sides(image));
        data.images.part(image, region).unwrap().pixels
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
        let fourth = glyphs::draw(&GLYPHS, Glyph { class: 3, image: 1 }, 12);
        assert_eq!(whole(&data, 13), fourth);
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
            fourth[24..60]
        );
        let all = Vec::<u8>::try_from(squares.reshape([-1])).unwrap();
        assert_eq!(data.blake3, blake3::hash(&all).to_string());
    }

    #[test]
    fn progress_comes_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let last = std::sync::Mutex::new((0, 0));
        let source = Source::Glyphs(GLYPHS);
        let preparation = Preparation::new(&source, gray(8), Cache::Auto, folder.path()).unwrap();
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

    /// Opens a prepared folder whose index was changed, and sealed again or not.
    fn with_index(change: impl FnOnce(&mut serde_json::Value), is_sealed: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        prepared(folder.path());
        let path = folder.path().join(INDEX);
        let mut index: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        if is_sealed {
            index.as_object_mut().unwrap().remove("seal");
        }
        change(&mut index);
        let text = match is_sealed {
            true => schema::sealed(PreparedIndex::SUBJECT, &index).unwrap(),
            false => index.to_string(),
        };
        fs::write(&path, text).unwrap();
        PreparedData::open(folder.path()).unwrap_err().to_string()
    }

    #[test]
    fn damage_of_the_index_is_noticed_on_opening() {
        let unsealed = |change: fn(&mut serde_json::Value)| with_index(change, false);
        assert!(
            unsealed(|index| index["version"] = 1.into()).contains("written by another version")
        );
        for message in [
            unsealed(|index| index["stored"]["size"]["square"] = 14.into()),
            unsealed(|index| index["training"]["labels"][3] = 1.into()),
            unsealed(|index| index["test"]["classes"][0] = "other".into()),
            unsealed(|index| index["blake3"] = "12".into()),
        ] {
            assert!(message.contains("checksum does not match"), "{message}");
        }
    }

    #[test]
    fn an_index_that_contradicts_itself_is_refused() {
        let sealed = |change: fn(&mut serde_json::Value)| with_index(change, true);
        assert!(
            sealed(|index| index["stored"]["size"]["square"] = 14.into())
                .contains("2880 bytes, not 3920")
        );
        let labels = "labels and classes do not fit";
        assert!(sealed(|index| index["training"]["labels"][4] = 9.into()).contains(labels));
        assert!(sealed(|index| index["test"]["labels"] = [0].as_slice().into()).contains(labels));
        assert!(sealed(|index| *index = "none".into()).contains("it is damaged"));
    }

    #[test]
    fn one_changed_bit_of_the_images_is_noticed_on_opening() {
        let folder = tempfile::tempdir().unwrap();
        prepared(folder.path());
        let path = folder.path().join(IMAGES);
        let whole = fs::read(&path).unwrap();
        for place in [0, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(&path, damaged).unwrap();
            let error = PreparedData::open(folder.path()).unwrap_err().to_string();
            assert!(error.contains("images.u8"), "{error}");
            assert!(error.contains("checksum does not match"), "{error}");
        }
    }

    #[test]
    fn files_that_are_not_those_of_the_fingerprint_are_refused_whether_kept_or_streamed() {
        let root = tempfile::tempdir().unwrap();
        let source = files(root.path());
        let table = "path,label,class_name,split\nleft.png,0,left,train\nright.png,1,right,test\n";
        fs::write(root.path().join("listing.csv"), table).unwrap();
        let hashed = |name: &str, description: &str| schema::HashedFile {
            name: description.to_owned(),
            hash: blake3::hash(&fs::read(root.path().join(name)).unwrap()),
        };
        let listed = vec![
            hashed("left.png", "0\0left\0train"),
            hashed("right.png", "1\0right\0test"),
        ];
        let fingerprint = Fingerprint::of_files(schema::Files::Listed, listed);
        let prepare = |cache| {
            let into = tempfile::tempdir().unwrap();
            let stored = stored(ImageSize::Square(9), Color::Rgb, false);
            let preparation = Preparation::new(&source, stored, cache, into.path())?;
            let summary = preparation.expecting(fingerprint.clone()).run(&|_, _| ());
            assert_eq!(into.path().join(INDEX).is_file(), summary.is_ok());
            summary
        };
        for cache in [Cache::Always, Cache::Never] {
            prepare(cache).unwrap();
        }
        let right = image::RgbImage::from_pixel(14, 31, image::Rgb([1, 2, 3]));
        right.save(root.path().join("right.png")).unwrap();
        for cache in [Cache::Always, Cache::Never] {
            let error = prepare(cache).unwrap_err().to_string();
            assert!(error.contains("changed after they were hashed"), "{error}");
            assert!(error.contains("`right.png`"), "{error}");
        }
    }

    #[test]
    fn a_streamed_image_that_changes_is_refused_though_it_has_the_same_sides() {
        let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = files(root.path());
        let stored = stored(ImageSize::Square(9), Color::Rgb, false);
        Preparation::new(&source, stored, Cache::Never, into.path())
            .unwrap()
            .run(&|_, _| ())
            .unwrap();
        let data = PreparedData::open(into.path()).unwrap();
        let other = image::RgbImage::from_pixel(14, 31, image::Rgb([1, 2, 3]));
        other.save(root.path().join("right.png")).unwrap();
        let region = Region::whole([9, 9]);
        assert!(data.images.part(0, region).is_ok());
        let error = data.images.part(1, region).unwrap_err().to_string();
        assert!(error.contains("right.png"), "{error}");
        assert!(error.contains("changed since it was prepared"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_the_fault_of_the_disk() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error =
            prepare(&Source::Glyphs(GLYPHS), gray(8), &file.path().join("data")).unwrap_err();
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
        prepare(&Source::Glyphs(none), gray(8), folder.path()).unwrap();
        let data = PreparedData::open(folder.path()).unwrap();
        assert_eq!(data.images.squares().unwrap().unwrap().size(), [0, 1, 8, 8]);
    }

    fn birds() -> Dataset {
        Dataset::Own(schema::Own {
            name: "birds".into(),
        })
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
                    wider: Vec::new(),
                }],
                images: vec![Image {
                    path,
                    class: 0,
                    role,
                    bounding_box,
                    camera: None,
                }],
            }
        };
        let training = part("left", (20, 10), Some([0, 0, 10, 10]), Role::Both);
        let test = part("right", (14, 31), Some([10, 0, 14, 20]), Role::Query);
        Source::Files {
            dataset: birds(),
            root: root.to_owned(),
            listing: Listing { training, test },
        }
    }

    fn stored(size: ImageSize, color: Color, bounding_boxes: bool) -> StoredImages {
        StoredImages {
            size,
            color,
            bounding_boxes,
            background: None,
        }
    }

    #[test]
    fn images_keep_their_shape_when_only_the_short_side_is_given() {
        let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = files(root.path());
        prepare(
            &source,
            stored(ImageSize::ShortSide(8), Color::Rgb, false),
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
        let expected = decode(&root.path().join("right.png"), Color::Rgb, None)
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
            stored(ImageSize::Square(4), Color::Rgb, true),
            into.path(),
        )
        .unwrap();
        let data = PreparedData::open(into.path()).unwrap();
        let blue = |image| {
            whole(&data, image)
                .as_chunks::<3>()
                .0
                .iter()
                .map(|pixel| pixel[2])
                .collect::<Vec<_>>()
        };
        assert_eq!((blue(0), blue(1)), (vec![0; 16], vec![200; 16]));
        assert_eq!(data.images.squares().unwrap().unwrap().size(), [2, 3, 4, 4]);
        assert_eq!(data.test_roles, [Role::Query]);
        assert_eq!(data.test_names, [Path::new("right.png")]);
        assert_eq!(data.training_categories, [Some("things".to_owned())]);
        assert_eq!(data.test_levels(), [[Some(0)]]);
    }

    fn with_boxes(source: Source, boxes: [Option<[u32; 4]>; 2]) -> Source {
        let Source::Files {
            dataset,
            root,
            mut listing,
        } = source
        else {
            return source;
        };
        listing.training.images[0].bounding_box = boxes[0];
        listing.test.images[0].bounding_box = boxes[1];
        Source::Files {
            dataset,
            root,
            listing,
        }
    }

    #[test]
    fn boxes_that_cannot_be_cut_out_are_refused_before_anything_is_decoded() {
        let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let refused = |boxes, cut: bool, size| {
            let source = with_boxes(files(root.path()), boxes);
            let stored = stored(size, Color::Rgb, cut);
            Preparation::new(&source, stored, Cache::Never, into.path())
                .err()
                .map(|error| error.to_string())
        };
        let far = Some([900, 0, 950, 9]);
        for size in [ImageSize::Square(8), ImageSize::ShortSide(8)] {
            let message = refused([None, None], true, size).unwrap();
            assert!(
                message.contains("none of its images has a bounding box"),
                "{message}"
            );
            let message = refused([Some([0, 0, 2, 2]), far], true, size).unwrap();
            let expected = "1 of 2 bounding boxes lie outside of their images: `right.png`";
            assert!(message.contains(expected), "{message}");
            assert_eq!(refused([None, far], false, size), None);
            assert_eq!(refused([None, Some([0, 0, 2, 950])], true, size), None);
        }
    }

    #[test]
    fn an_image_that_would_become_too_long_is_refused() {
        let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = files(root.path());
        image::GrayImage::new(1, 60_000)
            .save(root.path().join("right.png"))
            .unwrap();
        let refused = |size| {
            let stored = stored(size, Color::Gray, false);
            Preparation::new(&source, stored, Cache::Auto, into.path())
                .err()
                .map(|error| error.to_string())
        };
        let message = refused(ImageSize::ShortSide(256)).unwrap();
        assert!(
            message.contains("right.png`: of 1 x 60000 pixels it would become 256 x 15360000"),
            "{message}"
        );
        assert_eq!(refused(ImageSize::ShortSide(8)), None);
        assert_eq!(refused(ImageSize::Square(256)), None);
    }

    #[test]
    fn transparent_pixels_are_stored_as_the_background() {
        let root = tempfile::tempdir().unwrap();
        let source = files(root.path());
        for name in ["left.png", "right.png"] {
            image::RgbaImage::from_pixel(9, 9, image::Rgba([10, 20, 30, 0]))
                .save(root.path().join(name))
                .unwrap();
        }
        let stored = |background| StoredImages {
            background,
            ..stored(ImageSize::Square(4), Color::Rgb, false)
        };
        let cases = [
            (None, [10, 20, 30]),
            (Some(Background::White), [255; 3]),
            (Some(Background::Black), [0; 3]),
        ];
        for (background, pixel) in cases {
            for cache in [Cache::Always, Cache::Never] {
                let into = tempfile::tempdir().unwrap();
                Preparation::new(&source, stored(background), cache, into.path())
                    .unwrap()
                    .run(&|_, _| ())
                    .unwrap();
                let data = PreparedData::open(into.path()).unwrap();
                assert_eq!(whole(&data, 1)[..3], pixel, "{background:?} {cache:?}");
            }
        }
    }

    #[test]
    fn images_without_a_cache_have_the_same_pixels() {
        let (root, kept, streamed) = (
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        let source = files(root.path());
        let stored = stored(ImageSize::ShortSide(9), Color::Gray, true);
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
        for image in 0..2 {
            assert_eq!(whole(&kept, image), whole(&streamed, image));
            let part = Region {
                left: 1,
                top: 3,
                width: 5,
                height: 4,
            };
            assert_eq!(
                kept.images.part(image, part).unwrap(),
                streamed.images.part(image, part).unwrap()
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
        let stored = stored(ImageSize::Square(9), Color::Rgb, true);
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
        fs::write(
            into.path().join(PrepareWork::ROOT),
            after.path().to_str().unwrap(),
        )
        .unwrap();
        assert_eq!(pixels().unwrap(), expected);
        fs::remove_file(into.path().join(PrepareWork::ROOT)).unwrap();
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
            let target = Target {
                dataset: birds(),
                root: root.path(),
                stored: stored(ImageSize::Square(100), Color::Rgb, false),
                into: into.path(),
                room,
            };
            Preparation::of(Contents::of(&source), target, cache)
        };
        assert_eq!(
            of(Cache::Auto, 60_000).unwrap().estimate(),
            "birds: 2 images of 60.0 kB in all, not kept, but decoded whenever they are needed; the disk has room for 60.0 kB"
        );
        assert!(of(Cache::Auto, 70_000).unwrap().cached);
        let error = of(Cache::Always, 60_000).err().unwrap().to_string();
        assert!(error.contains("do not fit on its disk"), "{error}");
    }

    #[test]
    fn drawings_that_are_dark_on_light_are_inverted_whether_kept_or_streamed() {
        use crate::data::listing::Image;
        let root = tempfile::tempdir().unwrap();
        let drawing = |name: &str, black: u32| {
            let path = root.path().join(name);
            let pixel = |x: u32, _| image::Luma([if x < black { 0 } else { 255 }]);
            image::GrayImage::from_fn(105, 105, pixel)
                .save(&path)
                .unwrap();
            Part {
                classes: vec![Class {
                    name: format!("Korean/{name}"),
                    category: Some("Korean".into()),
                    wider: Vec::new(),
                }],
                images: vec![Image {
                    path,
                    class: 0,
                    role: Role::Both,
                    bounding_box: None,
                    camera: None,
                }],
            }
        };
        let source = Source::Files {
            dataset: Dataset::Omniglot,
            root: root.path().to_owned(),
            listing: Listing {
                training: drawing("1.png", 35),
                test: drawing("2.png", 70),
            },
        };
        for cache in [Cache::Always, Cache::Never] {
            let into = tempfile::tempdir().unwrap();
            Preparation::new(&source, gray(28), cache, into.path())
                .unwrap()
                .run(&|_, _| ())
                .unwrap();
            let data = PreparedData::open(into.path()).unwrap();
            assert_eq!(data.training_classes, ["Korean/1.png"]);
            let row = &whole(&data, 1)[..28];
            assert_eq!((row[0], row[17], row[20], row[27]), (255, 255, 0, 0));
        }
    }

    #[test]
    fn images_of_wider_super_classes_share_their_numbers() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let categories = ["tit", "crow", "tit"].map(|name| Some(name.to_owned()));
        let wider: [Vec<String>; 3] = [
            names(&["bird", "animal"]),
            names(&["bird", "animal"]),
            names(&["toy"]),
        ];
        assert_eq!(
            levels(&[0, 0, 1, 2], &categories, &wider),
            [
                [Some(0), Some(0), Some(1), Some(2)],
                [Some(0), Some(0), Some(0), Some(1)],
                [Some(0), Some(0), Some(0), None]
            ]
        );
        assert_eq!(levels(&[0, 1], &categories, &[]), [[Some(0), Some(1)]]);
        assert!(levels(&[0, 1], &[], &[]).is_empty());
    }

    #[test]
    fn a_folder_that_an_earlier_version_prepared_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        prepared(folder.path());
        let path = folder.path().join(INDEX);
        let mut index: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(
            PreparedData::open(folder.path()).unwrap().dataset,
            Some(Dataset::Glyphs(GLYPHS))
        );
        for key in ["dataset", "bytes", "seal"] {
            index.as_object_mut().unwrap().remove(key);
        }
        index["stored"]["bounding_boxes"] = false.into();
        fs::write(&path, index.to_string()).unwrap();
        assert_eq!(PreparedData::open(folder.path()).unwrap().dataset, None);
    }
}
