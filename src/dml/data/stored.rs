//! How images are stored, and the pixels of stored images: from the cache, or made again from the files.
//!
//! The cache is one file of bytes, image after image, which all processes of a machine share through the page cache.
//! Both ways give the same pixels.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{
    Colour, DataError, Raster, Region,
    decode::{decode, sides},
};

/// How the images of a data set are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredImages {
    /// Their size.
    pub size: ImageSize,
    /// Whether they have colours.
    pub colour: Colour,
    /// Whether each is cut to its bounding box first, if it has one.
    pub bounding_boxes: bool,
}

/// The size of stored images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSize {
    /// Stretched to squares of so many pixels a side.
    Square(u32),
    /// So many pixels on the shorter side, in the shape that each image has.
    ShortSide(u32),
}

impl ImageSize {
    /// The pixels on the shorter side.
    pub fn short_side(self) -> usize {
        match self {
            ImageSize::Square(side) | ImageSize::ShortSide(side) => side as usize,
        }
    }

    /// The sides in which an image of these sides is stored.
    pub(super) fn of(self, width: usize, height: usize) -> [usize; 2] {
        let longer = |side: usize, long: usize, short: usize| side * long / short;
        match self {
            ImageSize::Square(side) => [side as usize; 2],
            ImageSize::ShortSide(side) if width <= height => {
                [side as usize, longer(side as usize, height, width)]
            }
            ImageSize::ShortSide(side) => [longer(side as usize, width, height), side as usize],
        }
    }
}

/// A file whose image is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Origin {
    pub(super) path: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bounding_box: Option<[u32; 4]>,
}

impl Origin {
    /// The same with a path relative to `root`, if it lies there.
    pub(super) fn below(&self, root: &Path) -> Origin {
        let path = self.path.strip_prefix(root).unwrap_or(&self.path);
        Origin {
            path: path.to_owned(),
            bounding_box: self.bounding_box,
        }
    }

    /// The sides in which it is stored, from the first bytes of the file.
    pub(super) fn stored_sides(&self, stored: &StoredImages) -> Result<[usize; 2], DataError> {
        let (width, height) = sides(&self.path)?;
        let part = self.part(
            stored,
            Region {
                left: 0,
                top: 0,
                width,
                height,
            },
        )?;
        Ok(stored.size.of(part.width, part.height))
    }

    /// The image as it is stored.
    pub(super) fn stored(&self, stored: &StoredImages) -> Result<Raster, DataError> {
        let image = decode(&self.path, stored.colour)?;
        let part = self.part(stored, image.region())?;
        let [width, height] = stored.size.of(part.width, part.height);
        Ok(image.resized_part(
            part,
            [width, height],
            Region {
                left: 0,
                top: 0,
                width,
                height,
            },
        ))
    }

    /// What is wanted of the image as it is stored, if it still has these sides.
    fn wanted(
        &self,
        stored: &StoredImages,
        sides: [usize; 2],
        wanted: Region,
    ) -> Result<Raster, DataError> {
        let image = decode(&self.path, stored.colour)?;
        let part = self.part(stored, image.region())?;
        if stored.size.of(part.width, part.height) != sides {
            return Err(DataError::unreadable(
                &self.path,
                "it has changed since it was prepared",
            ));
        }
        Ok(image.resized_part(part, sides, wanted))
    }

    fn part(&self, stored: &StoredImages, whole: Region) -> Result<Region, DataError> {
        let Some(outline) = self.bounding_box.filter(|_| stored.bounding_boxes) else {
            return Ok(whole);
        };
        let [left, top, right, bottom] = outline.map(|side| side as usize);
        // Some lists have boxes that reach out by a pixel.
        let (right, bottom) = (right.min(whole.width), bottom.min(whole.height));
        if left >= right || top >= bottom {
            return Err(DataError::unreadable(
                &self.path,
                format!("the box {outline:?} lies outside of the image"),
            ));
        }
        Ok(Region {
            left,
            top,
            width: right - left,
            height: bottom - top,
        })
    }
}

/// The pixels of a prepared data set. Threads may share it.
#[derive(Debug)]
pub struct ImageStore {
    stored: StoredImages,
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

    pub(super) fn of(&self, place: usize) -> [usize; 2] {
        match self {
            Sides::Square { side, .. } => [*side; 2],
            Sides::Each(sides) => sides[place],
        }
    }

    pub(super) fn pixels(&self) -> u64 {
        (0..self.count())
            .map(|place| {
                self.of(place)
                    .map(|side| side as u64)
                    .iter()
                    .product::<u64>()
            })
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
    /// Opens the cache. No image is read yet.
    pub(super) fn cached(
        path: &Path,
        stored: StoredImages,
        sides: Sides,
    ) -> Result<ImageStore, DataError> {
        let file = File::open(path)
            .map_err(|_| DataError::missing(path, "the images of a prepared data set"))?;
        let found = file
            .metadata()
            .map_err(|error| DataError::unreadable(path, error))?
            .len();
        let mut first_bytes = vec![0];
        let mut end = 0;
        for place in 0..sides.count() {
            let [width, height] = sides.of(place);
            end += (width * height * stored.colour.channels()) as u64;
            first_bytes.push(end);
        }
        if found != end {
            return Err(DataError::damaged(
                path,
                &format!("it has {found} bytes, not {end}"),
            ));
        }
        Ok(ImageStore {
            stored,
            sides,
            from: From::Cache {
                file,
                path: path.into(),
                first_bytes,
            },
        })
    }

    /// Takes the images from files, each time anew.
    pub(super) fn streamed(files: Vec<Origin>, stored: StoredImages, sides: Sides) -> ImageStore {
        ImageStore {
            stored,
            sides,
            from: From::Files(files),
        }
    }

    /// How the images are stored.
    pub fn stored(&self) -> &StoredImages {
        &self.stored
    }

    /// How many images there are.
    pub fn count(&self) -> usize {
        self.sides.count()
    }

    /// The width and height of an image.
    pub fn sides(&self, place: usize) -> [usize; 2] {
        self.sides.of(place)
    }

    /// A part of an image; no more of it is read or made than that takes.
    ///
    /// # Errors
    /// If the cache or the file cannot be read any more.
    ///
    /// # Panics
    /// If the part reaches over the image's border.
    pub fn part(&self, place: usize, part: Region) -> Result<Raster, DataError> {
        let (sides, channels) = (self.sides(place), self.stored.colour.channels());
        match &self.from {
            From::Cache {
                file,
                path,
                first_bytes,
            } => {
                let row = sides[0] * channels;
                let mut pixels = vec![0; row * part.height];
                let first = first_bytes[place] + (row * part.top) as u64;
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
            From::Files(files) => files[place].wanted(&self.stored, sides, part),
        }
    }

    /// All images, `[n, channels, side, side]` of bytes on the CPU, if they are squares in the cache. They lie in
    /// a mapped file and are read from disk when they are first used.
    ///
    /// # Errors
    /// If the file cannot be mapped.
    pub fn squares(&self) -> Result<Option<Tensor>, DataError> {
        let (Sides::Square { side, count }, From::Cache { path, .. }) = (&self.sides, &self.from)
        else {
            return Ok(None);
        };
        let (side, count, channels) = (
            *side as i64,
            *count as i64,
            self.stored.colour.channels() as i64,
        );
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

/// The bytes that the disk of a folder has room for.
pub(super) fn room(folder: &Path) -> Result<u64, DataError> {
    let folder = fs::canonicalize(folder).map_err(DataError::disk("open", folder))?;
    let disk = rustix::fs::statvfs(&folder)
        .map_err(|error| DataError::disk("examine", &folder)(error.into()))?;
    Ok(disk.f_bavail * disk.f_frsize)
}
