//! Prepares a data set: decodes its images, or notes where they are.

use std::{
    fs, io,
    ops::Range,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use durable::{WholeFile, create_folder};
use rayon::prelude::*;
use schema::{Cache, Dataset, Fingerprint, PrepareWork, StoredImages, bytes_in_words};

use super::{
    IMAGES, INDEX, PREPARED, Summary,
    contents::{Contents, HashedImage, Images},
    index::Index,
};
use crate::data::{
    DataError, Progress, Source,
    fingerprint::{self, Hashes},
    stored::{Decoding, Origin, Sides, room},
};

/// Bytes of decoded images in memory at a time; as many again are being written.
const PORTION: usize = 64 << 20;

/// A cache takes at most nine tenths of the free space on its disk.
const ROOM: (u64, u64) = (9, 10);

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
        index.write(&self.target.into.join(INDEX))?;
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

fn write_root(root: &Path, into: &Path) -> Result<(), DataError> {
    let text = root
        .to_str()
        .ok_or_else(|| DataError::unreadable(root, "its path is not valid UTF-8"))?;
    Ok(durable::write(
        &into.join(PrepareWork::ROOT),
        text.as_bytes(),
    )?)
}

#[cfg(test)]
mod tests {
    use schema::{Color, ImageSize};

    use super::{
        super::tests::{birds, files, stored},
        *,
    };

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
}
