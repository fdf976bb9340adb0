//! The pixels of stored images: read from the cache, or decoded again from the files.
//!
//! The cache is one file of bytes, image after image, which all processes of a machine share through the page cache.
//! Both ways give the same pixels.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use schema::{ImageSize, StoredImages};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{
    DataError, Raster, Region,
    decode::{decode_and_hash, sides},
};

/// The most pixels of a stored image. Long and narrow images grow when they are scaled by their shorter side.
const MOST_PIXELS: usize = 1 << 26;

/// Returns the sides, width and height, in which an image of these sides is stored.
fn stored_sides(size: ImageSize, [width, height]: [usize; 2]) -> Result<[usize; 2], String> {
    let short = size.short_side() as usize;
    let sides = match size {
        ImageSize::Square(_) => [short; 2],
        ImageSize::ShortSide(_) if width <= height => [short, short * height / width],
        ImageSize::ShortSide(_) => [short * width / height, short],
    };
    if sides[0] * sides[1] <= MOST_PIXELS {
        return Ok(sides);
    }
    Err(format!(
        "of {width} x {height} pixels it would become {} x {}, the limit is {MOST_PIXELS} pixels; cut it, or store \
         squares (`image_size`)",
        sides[0], sides[1]
    ))
}

/// Returns the part of an image that is inside of its box, if there is any.
pub(super) fn inside_box(bounding_box: [u32; 4], whole: Region) -> Option<Region> {
    let [left, top, right, bottom] = bounding_box.map(|side| side as usize);
    // Some lists have boxes that reach out by a pixel.
    let (right, bottom) = (right.min(whole.width), bottom.min(whole.height));
    (left < right && top < bottom).then(|| Region {
        left,
        top,
        width: right - left,
        height: bottom - top,
    })
}

/// The file of a stored image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Origin {
    pub(super) path: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bounding_box: Option<[u32; 4]>,
    /// The BLAKE3 hash of its content. Absent if an earlier version prepared it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blake3: Option<String>,
}

impl Origin {
    /// Returns the same with a path relative to `root`, if the file is below it.
    pub(super) fn below(&self, root: &Path) -> Origin {
        let path = self.path.strip_prefix(root).unwrap_or(&self.path);
        Origin {
            path: path.to_owned(),
            ..self.clone()
        }
    }

    /// Returns the sides in which it is stored, from the first bytes of the file.
    pub(super) fn stored_sides(&self, stored: &StoredImages) -> Result<[usize; 2], DataError> {
        let part = self.part(stored, self.whole()?)?;
        self.sides_of(part, stored)
    }

    /// Returns true if the image has a box that is outside of it.
    pub(super) fn is_outside_box(&self) -> Result<bool, DataError> {
        let Some(bounding_box) = self.bounding_box else {
            return Ok(false);
        };
        Ok(inside_box(bounding_box, self.whole()?).is_none())
    }

    /// Returns the region of the whole image, from the first bytes of the file.
    fn whole(&self) -> Result<Region, DataError> {
        let (width, height) = sides(&self.path)?;
        Ok(Region::whole([width, height]))
    }

    /// Returns the sides in which a part of the image is stored.
    fn sides_of(&self, part: Region, stored: &StoredImages) -> Result<[usize; 2], DataError> {
        stored_sides(stored.size, [part.width, part.height])
            .map_err(|why| DataError::unreadable(&self.path, why))
    }

    /// Returns the image as it is stored, and the hash of its file.
    pub(super) fn stored(&self, how: &Decoding) -> Result<(Raster, blake3::Hash), DataError> {
        let (image, hash) = self.decoded(how)?;
        let part = self.part(&how.stored, image.region())?;
        let sides = self.sides_of(part, &how.stored)?;
        let stored = image.resized_part(part, sides, Region::whole(sides));
        Ok((stored, hash))
    }

    fn decoded(&self, how: &Decoding) -> Result<(Raster, blake3::Hash), DataError> {
        let (image, hash) = decode_and_hash(&self.path, how.stored.color, how.stored.background)?;
        let image = if how.inverted {
            image.inverted()
        } else {
            image
        };
        Ok((image, hash))
    }

    /// True if the file has another content than when it was prepared.
    fn has_changed(&self, hash: blake3::Hash) -> bool {
        let known = self.blake3.as_deref();
        known.is_some_and(|known| known != hash.to_hex().as_str())
    }

    /// Returns a region of the image as it is stored, if its file is still the same.
    fn wanted(
        &self,
        how: &Decoding,
        sides: [usize; 2],
        wanted: Region,
    ) -> Result<Raster, DataError> {
        let (image, hash) = self.decoded(how)?;
        let part = self.part(&how.stored, image.region())?;
        let has_other_sides = self.sides_of(part, &how.stored)? != sides;
        if has_other_sides || self.has_changed(hash) {
            return Err(DataError::unreadable(
                &self.path,
                "it has changed since it was prepared",
            ));
        }
        Ok(image.resized_part(part, sides, wanted))
    }

    fn part(&self, stored: &StoredImages, whole: Region) -> Result<Region, DataError> {
        let Some(bounding_box) = self.bounding_box.filter(|_| stored.bounding_boxes) else {
            return Ok(whole);
        };
        inside_box(bounding_box, whole).ok_or_else(|| {
            let why = format!("its bounding box {bounding_box:?} lies outside of the image");
            DataError::unreadable(&self.path, why)
        })
    }
}

/// How the files of a data set are decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoding {
    /// How images are stored.
    pub(super) stored: StoredImages,
    /// True if images are inverted; see [`DatasetFacts::inverted`](schema::DatasetFacts).
    pub(super) inverted: bool,
}

/// The pixels of a prepared data set. Threads may share it.
#[derive(Debug)]
pub struct ImageStore {
    decoding: Decoding,
    sides: Sides,
    from: From,
}

/// The sides of each image.
#[derive(Debug)]
pub(super) enum Sides {
    /// All have the same.
    Square { side: usize, count: usize },
    /// Width and height of each.
    Each(Vec<[usize; 2]>),
}

impl Sides {
    pub(super) fn count(&self) -> usize {
        match self {
            Sides::Square { count, .. } => *count,
            Sides::Each(sides) => sides.len(),
        }
    }

    pub(super) fn of(&self, image: usize) -> [usize; 2] {
        match self {
            Sides::Square { side, .. } => [*side; 2],
            Sides::Each(sides) => sides[image],
        }
    }

    /// Returns the sides of each image, if they are not all squares of one size.
    pub(super) fn each(self) -> Option<Vec<[usize; 2]>> {
        match self {
            Sides::Square { .. } => None,
            Sides::Each(sides) => Some(sides),
        }
    }

    pub(super) fn pixels(&self) -> u64 {
        let sides = (0..self.count()).map(|image| self.of(image));
        sides
            .map(|[width, height]| width as u64 * height as u64)
            .sum()
    }
}

#[derive(Debug)]
enum From {
    Cache {
        file: File,
        path: PathBuf,
        first_bytes: Vec<u64>,
    },
    Files(Vec<Origin>),
}

impl ImageStore {
    /// Opens the cache, and compares all of it with its BLAKE3 hash.
    pub(super) fn cached(
        path: &Path,
        decoding: Decoding,
        sides: Sides,
        blake3: &str,
    ) -> Result<ImageStore, DataError> {
        let channels = decoding.stored.color.channels() as usize;
        let file = durable::open(path)
            .map_err(|_| DataError::missing(path, "the images of a prepared data set"))?;
        let found = file
            .metadata()
            .map_err(|error| DataError::unreadable(path, error))?
            .len();
        let mut first_bytes = vec![0];
        let mut end = 0;
        for image in 0..sides.count() {
            let [width, height] = sides.of(image);
            end += (width * height * channels) as u64;
            first_bytes.push(end);
        }
        if found != end {
            return Err(DataError::damaged(
                path,
                &format!("it has {found} bytes, not {end}"),
            ));
        }
        if hash_of(path)? != blake3 {
            return Err(DataError::damaged(path, "its checksum does not match"));
        }
        Ok(ImageStore {
            decoding,
            sides,
            from: From::Cache {
                file,
                path: path.into(),
                first_bytes,
            },
        })
    }

    /// Decodes the images from their files each time they are used.
    pub(super) fn streamed(files: Vec<Origin>, decoding: Decoding, sides: Sides) -> ImageStore {
        ImageStore {
            decoding,
            sides,
            from: From::Files(files),
        }
    }

    /// Returns how the images are stored.
    pub fn stored(&self) -> &StoredImages {
        &self.decoding.stored
    }

    fn channels(&self) -> usize {
        self.stored().color.channels() as usize
    }

    /// Returns the number of images.
    pub fn count(&self) -> usize {
        self.sides.count()
    }

    /// Returns the width and height of an image.
    pub fn sides(&self, image: usize) -> [usize; 2] {
        self.sides.of(image)
    }

    /// Returns a region of an image. No more of it is read or resized than that takes.
    ///
    /// # Errors
    /// If the cache or the file can no longer be read.
    ///
    /// # Panics
    /// If the region is not inside the image.
    pub fn part(&self, image: usize, part: Region) -> Result<Raster, DataError> {
        let sides = self.sides(image);
        let channels = self.channels();
        match &self.from {
            From::Cache {
                file,
                path,
                first_bytes,
            } => {
                let row = sides[0] * channels;
                let mut pixels = vec![0; row * part.height];
                let first = first_bytes[image] + (row * part.top) as u64;
                file.read_exact_at(&mut pixels, first)
                    .map_err(|error| DataError::unreadable(path, error))?;
                let rows = Raster {
                    width: sides[0],
                    height: part.height,
                    channels,
                    pixels,
                };
                Ok(if part.width == sides[0] {
                    rows
                } else {
                    rows.crop(Region { top: 0, ..part })
                })
            }
            From::Files(files) => files[image].wanted(&self.decoding, sides, part),
        }
    }

    /// Returns all images, `[n, channels, side, side]` of bytes on the CPU, if they are squares in the cache.
    /// The tensor is a mapped file and is read from disk when it is first used.
    ///
    /// # Errors
    /// If the file cannot be mapped.
    pub fn squares(&self) -> Result<Option<Tensor>, DataError> {
        let (Sides::Square { side, count }, From::Cache { path, .. }) = (&self.sides, &self.from)
        else {
            return Ok(None);
        };
        let side = *side as i64;
        let count = *count as i64;
        let channels = self.channels() as i64;
        let bytes = count * side * side * channels;
        if bytes == 0 {
            return Ok(Some(Tensor::zeros(
                [count, channels, side, side],
                (Kind::Uint8, Device::Cpu),
            )));
        }
        let name = path
            .to_str()
            .ok_or_else(|| DataError::unreadable(path, "its path is not valid UTF-8"))?;
        let images = Tensor::f_from_file(name, false, bytes, (Kind::Uint8, Device::Cpu))
            .and_then(|images| images.f_view([count, side, side, channels]))
            .map_err(|error| DataError::unreadable(path, error))?;
        Ok(Some(images.permute([0, 3, 1, 2])))
    }
}

/// Returns the BLAKE3 hash of a file in hexadecimal, computed by the threads of the process.
fn hash_of(path: &Path) -> Result<String, DataError> {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update_mmap_rayon(path)
        .map_err(|error| DataError::unreadable(path, error))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Returns the free bytes on the disk of a folder.
pub(super) fn room(folder: &Path) -> Result<u64, DataError> {
    let folder = fs::canonicalize(folder).map_err(DataError::disk("open", folder))?;
    let disk = rustix::fs::statvfs(&folder)
        .map_err(|error| DataError::disk("examine", &folder)(error.into()))?;
    Ok(disk.f_bavail * disk.f_frsize)
}
