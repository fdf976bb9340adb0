//! A data set that is decoded, grey and resized: what trainings read.
//!
//! The folder holds `images.u8`, the images one after another, those to train on first, in the order of
//! classes and names; and `index.json`, which says what they are. The index is written last: a folder
//! without one is not prepared. The images are mapped into memory, so that all processes on a machine share
//! one copy of them.

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{
    DataError, Glyphs, Progress, Source,
    listing::{self, Class, Listing, Part},
    omniglot,
    resize::Grey,
    write::{WholeFile, create_folder},
};

/// Version of the folder's layout and of how images come about: raised whenever either changes.
pub const PREPARED: u32 = 1;

const IMAGES: &str = "images.u8";
const INDEX: &str = "index.json";

/// Images that are in memory at a time while a data set is being prepared.
const PORTION: usize = 4096;

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
    image_size: u32,
    channels: u32,
    counts: Summary,
    blake3: String,
    training: Half,
    test: Half,
}

/// The classes of one half and, image by image, which of them it shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Half {
    classes: Vec<String>,
    labels: Vec<u32>,
}

impl Half {
    fn push(&mut self, class: String, images: usize) {
        self.labels.extend(std::iter::repeat_n(self.classes.len() as u32, images));
        self.classes.push(class);
    }
}

/// Decodes and resizes a data set into the folder `into`, and returns what there is.
///
/// Omniglot's drawings, black on white and of 105 pixels a side, are inverted, ink high, and shrunk by an
/// antialiasing triangle filter; glyphs are drawn in the size asked for.
pub fn prepare(source: &Source, image_size: u32, into: &Path, progress: Progress) -> Result<Summary, DataError> {
    write(Contents::of(source)?, source.title(), image_size, into, progress)
}

fn write(
    contents: Contents,
    title: &str,
    image_size: u32,
    into: &Path,
    progress: Progress,
) -> Result<Summary, DataError> {
    create_folder(into)?;
    let images = into.join(IMAGES);
    let mut file = WholeFile::create(&images)?;
    let blake3 = contents.write_images(image_size, &mut file, progress)?;
    // From here on there is no index that could speak of other images than those beside it.
    remove_if_there(&into.join(INDEX))?;
    file.finish()?;
    let counts = contents.counts();
    let Contents { training, test, .. } = contents;
    let (version, source) = (PREPARED, title.to_owned());
    write_index(into, &Index { version, source, image_size, channels: 1, counts, blake3, training, test })?;
    Ok(counts)
}

fn remove_if_there(path: &Path) -> Result<(), DataError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DataError::disk("remove", path)(error)),
        _ => Ok(()),
    }
}

fn write_index(into: &Path, index: &Index) -> Result<(), DataError> {
    let path = into.join(INDEX);
    let text = serde_json::to_vec(index).map_err(|error| DataError::disk("write", &path)(error.into()))?;
    let mut file = WholeFile::create(&path)?;
    file.write(&text)?;
    file.finish()
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
    Files(&'a Listing),
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
            classes.for_each(|class| half.push(format!("glyph{class:06}"), glyphs.per_class as usize));
            half
        };
        let (training, all) = (glyphs.classes, glyphs.classes + glyphs.test_classes);
        Contents { training: half(0..training), test: half(training..all), images: Images::Drawn(glyphs) }
    }

    fn of_omniglot(root: &Path, halves: &[omniglot::Half; 2]) -> Result<Contents<'static>, DataError> {
        let mut paths = Vec::new();
        let mut half = |which| {
            let mut half = Half::default();
            for character in omniglot::characters(root, which)? {
                half.push(character.name, character.drawings.len());
                paths.extend(character.drawings);
            }
            Ok(half)
        };
        let (training, test) = (half(halves[0])?, half(halves[1])?);
        Ok(Contents { training, test, images: Images::Omniglot(paths) })
    }

    fn of_files(listing: &Listing) -> Contents<'_> {
        let half = |part: &Part| Half {
            classes: part.classes.iter().map(Class::full_name).collect(),
            labels: part.images.iter().map(|image| image.class).collect(),
        };
        Contents { training: half(&listing.training), test: half(&listing.test), images: Images::Files(listing) }
    }

    fn counts(&self) -> Summary {
        Summary {
            training_classes: self.training.classes.len() as u64,
            training_images: self.training.labels.len() as u64,
            test_classes: self.test.classes.len() as u64,
            test_images: self.test.labels.len() as u64,
        }
    }

    /// Writes all images, decoded in parallel, and returns the hash of the file.
    fn write_images(&self, image_size: u32, file: &mut WholeFile, progress: Progress) -> Result<String, DataError> {
        let total = self.training.labels.len() + self.test.labels.len();
        let mut hasher = blake3::Hasher::new();
        for start in (0..total).step_by(PORTION) {
            let portion = start..total.min(start + PORTION);
            let done = portion.end;
            let images: Vec<_> = portion.into_par_iter().map(|place| self.image(place, image_size)).collect();
            for image in images {
                let image = image?;
                hasher.update(&image);
                file.write(&image)?;
            }
            progress(done as u64, total as u64);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    fn image(&self, place: usize, size: u32) -> Result<Vec<u8>, DataError> {
        match &self.images {
            Images::Drawn(glyphs) => {
                let (place, per_class) = (place as u32, glyphs.per_class);
                Ok(glyphs.draw(place / per_class, place % per_class, size))
            }
            Images::Omniglot(paths) => Ok(omniglot::decode(&paths[place])?.resized(size as usize)),
            Images::Files(listing) => {
                let training = &listing.training.images;
                let image = training.get(place).unwrap_or_else(|| &listing.test.images[place - training.len()]);
                Ok(decode(image)?.resized(size as usize))
            }
        }
    }
}

/// Returns the part of an image that its box encloses, grey.
fn decode(file: &listing::Image) -> Result<Grey, DataError> {
    let unreadable = |why: String| DataError::unreadable(&file.path, why);
    let bytes = fs::read(&file.path).map_err(|error| unreadable(error.to_string()))?;
    let image = image::load_from_memory(&bytes).map_err(|error| unreadable(error.to_string()))?;
    let grey = match file.bounding_box {
        None => image.into_luma8(),
        Some([left, top, right, bottom]) if right <= image.width() && bottom <= image.height() => {
            image.crop_imm(left, top, right - left, bottom - top).into_luma8()
        }
        Some(outside) => return Err(unreadable(format!("the box {outside:?} reaches out of the image"))),
    };
    let (width, height) = (grey.width() as usize, grey.height() as usize);
    Ok(Grey { width, height, pixels: grey.into_raw() })
}

/// A prepared data set, open.
#[derive(Debug)]
pub struct PreparedData {
    /// All images, `[n, channels, image_size, image_size]` of bytes on the CPU: those to train on, then those
    /// to test on. They lie in a mapped file and are read from disk when they are first used.
    pub images: Tensor,
    /// Pixels a side.
    pub image_size: u32,
    /// Colour channels.
    pub channels: u32,
    /// The name of the data set.
    pub source: String,
    /// The names of the classes to train on, in the order of their labels.
    pub training_classes: Vec<String>,
    /// The names of the classes to test on, in the order of their labels.
    pub test_classes: Vec<String>,
    /// The class of each image to train on, from 0.
    pub training_labels: Vec<i64>,
    /// The class of each image to test on, from 0.
    pub test_labels: Vec<i64>,
    /// The BLAKE3 hash of all images.
    pub blake3: String,
}

impl PreparedData {
    /// Opens what [`prepare`] wrote. The images themselves are not read yet.
    pub fn open(into: &Path) -> Result<PreparedData, DataError> {
        let index = read_index(&into.join(INDEX))?;
        let images = map_images(&into.join(IMAGES), &index)?;
        let labels = |half: &Half| half.labels.iter().map(|&label| i64::from(label)).collect();
        Ok(PreparedData {
            images,
            image_size: index.image_size,
            channels: index.channels,
            source: index.source,
            training_labels: labels(&index.training),
            test_labels: labels(&index.test),
            training_classes: index.training.classes,
            test_classes: index.test.classes,
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

    /// Returns the images at these places, as bytes on the CPU.
    pub fn batch(&self, places: &[i64]) -> Tensor {
        self.images.index_select(0, &Tensor::from_slice(places))
    }
}

fn read_index(path: &Path) -> Result<Index, DataError> {
    let text = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DataError::missing(path, "the index of a prepared data set; prepare it first"),
        _ => DataError::unreadable(path, error),
    })?;
    let version = serde_json::from_slice::<serde_json::Value>(&text).ok().and_then(|index| index["version"].as_u64());
    if version.is_some_and(|version| version != u64::from(PREPARED)) {
        return Err(DataError::unreadable(path, "it was written by another version; remove its folder"));
    }
    let index: Index = serde_json::from_slice(&text).map_err(|error| damaged(path, &error.to_string()))?;
    check(&index).map_err(|why| damaged(path, why))?;
    Ok(index)
}

fn check(index: &Index) -> Result<(), &'static str> {
    let fits = |half: &Half, classes, images| {
        half.labels.iter().all(|&label| (label as usize) < half.classes.len())
            && (half.classes.len() as u64, half.labels.len() as u64) == (classes, images)
    };
    let counts = index.counts;
    if !fits(&index.training, counts.training_classes, counts.training_images)
        || !fits(&index.test, counts.test_classes, counts.test_images)
    {
        return Err("labels and classes do not fit its counts");
    }
    if index.image_size == 0 || index.channels == 0 {
        return Err("its images have no pixels");
    }
    Ok(())
}

fn damaged(path: &Path, why: &str) -> DataError {
    DataError::unreadable(path, format!("it is damaged ({why}); remove its folder"))
}

fn map_images(path: &Path, index: &Index) -> Result<Tensor, DataError> {
    let (size, channels) = (i64::from(index.image_size), i64::from(index.channels));
    let count = (index.training.labels.len() + index.test.labels.len()) as i64;
    let bytes = count * channels * size * size;
    let found = fs::metadata(path).map_err(|_| DataError::missing(path, "the images of a prepared data set"))?.len();
    if found != bytes as u64 {
        return Err(damaged(path, &format!("it has {found} bytes, not {bytes}")));
    }
    let shape = [count, channels, size, size];
    if bytes == 0 {
        return Ok(Tensor::zeros(shape, (Kind::Uint8, Device::Cpu)));
    }
    let name = path.to_str().ok_or_else(|| DataError::unreadable(path, "its path is not valid UTF-8"))?;
    Tensor::f_from_file(name, false, bytes, (Kind::Uint8, Device::Cpu))
        .and_then(|images| images.f_view(shape))
        .map_err(|error| DataError::unreadable(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLYPHS: Glyphs = Glyphs { classes: 3, test_classes: 2, per_class: 4, seed: 5 };

    fn prepared(folder: &Path) -> Summary {
        prepare(&Source::Glyphs(GLYPHS), 12, folder, &|_, _| ()).unwrap()
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
        assert_eq!(data.images.size(), [20, 1, 12, 12]);
        // The second image of the first class to test on, which is drawn as the fourth of all.
        let image = Vec::<u8>::try_from(data.batch(&[13]).view([-1])).unwrap();
        assert_eq!(image, GLYPHS.draw(3, 1, 12));
        let all = Vec::<u8>::try_from(data.images.view([-1])).unwrap();
        assert_eq!(data.blake3, blake3::hash(&all).to_string());
    }

    #[test]
    fn progress_comes_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let last = std::sync::Mutex::new((0, 0));
        prepare(&Source::Glyphs(GLYPHS), 8, folder.path(), &|done, total| *last.lock().unwrap() = (done, total))
            .unwrap();
        assert_eq!(last.into_inner().unwrap(), (20, 20));
    }

    #[test]
    fn a_folder_without_an_index_is_not_prepared() {
        let folder = tempfile::tempdir().unwrap();
        prepared(folder.path());
        fs::remove_file(folder.path().join(INDEX)).unwrap();
        assert!(matches!(PreparedData::open(folder.path()), Err(DataError::Missing { .. })));
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
        assert!(index_with("\"version\":1", "\"version\":2").contains("written by another version"));
        assert!(index_with("\"image_size\":12", "\"image_size\":14").contains("2880 bytes, not 3920"));
        assert!(index_with("[0,0,0,0,1", "[0,0,0,0,9").contains("labels and classes do not fit"));
        assert!(index_with("\"labels\":[0,", "\"labels\":[").contains("labels and classes do not fit"));
        assert!(index_with("}", "").contains("it is damaged"));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_the_fault_of_the_disk() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = prepare(&Source::Glyphs(GLYPHS), 8, &file.path().join("data"), &|_, _| ()).unwrap_err();
        assert!(matches!(error, DataError::Disk { .. }), "{error}");
    }

    #[test]
    fn a_data_set_without_images_is_possible() {
        let folder = tempfile::tempdir().unwrap();
        let none = Glyphs { classes: 0, test_classes: 0, ..GLYPHS };
        prepare(&Source::Glyphs(none), 8, folder.path(), &|_, _| ()).unwrap();
        assert_eq!(PreparedData::open(folder.path()).unwrap().images.size(), [0, 1, 8, 8]);
    }

    #[test]
    fn listed_files_are_cut_out_by_their_boxes() {
        use listing::{Image, Role};
        let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = root.path().join("half.png");
        image::GrayImage::from_fn(20, 10, |x, _| image::Luma([if x < 10 { 0 } else { 200 }])).save(&path).unwrap();
        let part = |name: &str, bounding_box| Part {
            classes: vec![Class { name: name.into(), category: None }],
            images: vec![Image { path: path.clone(), class: 0, role: Role::Both, bounding_box }],
        };
        let listing =
            Listing { training: part("left", Some([0, 0, 10, 10])), test: part("right", Some([10, 0, 20, 10])) };
        let source = Source::Files { title: "Halves".into(), listing };
        prepare(&source, 4, into.path(), &|_, _| ()).unwrap();
        let data = PreparedData::open(into.path()).unwrap();
        assert_eq!(Vec::<u8>::try_from(data.images.view([-1])).unwrap(), [[0; 16], [200; 16]].concat());
    }

    #[test]
    fn drawings_are_ordered_by_class_and_inverted() {
        use crate::data::omniglot::{Half, tests::unpacked};
        let (root, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let halves =
            [Half { folder: "images_background", characters: 2 }, Half { folder: "images_evaluation", characters: 1 }];
        unpacked(root.path(), &halves);
        let contents = Contents::of_omniglot(root.path(), &halves).unwrap();
        write(contents, "Omniglot", 28, into.path(), &|_, _| ()).unwrap();
        let data = PreparedData::open(into.path()).unwrap();

        assert_eq!(data.training_classes, ["Alphabet_0/character00", "Alphabet_1/character01"]);
        assert_eq!(data.test_classes, ["Alphabet_0/character00"]);
        assert_eq!((data.training_labels.len(), data.test_labels.len()), (40, 20));
        // The helper draws white on the left and ink on the right.
        let row = Vec::<u8>::try_from(data.images.get(39).get(0).get(14)).unwrap();
        assert_eq!((row[0], row[27]), (0, 255));
    }
}
