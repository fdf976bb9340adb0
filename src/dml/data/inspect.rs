//! Inspection of a data set: every image is decoded once, unchanged, and not kept.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicU64, Ordering},
};

use rayon::prelude::*;

use schema::Color;

use super::{
    DataError, Progress, Raster, Region,
    decode::{decode_as_it_is, is_turned},
    listing::{Image, Listing},
    stored::inside_box,
};

/// Properties of the images of a data set. Indices count the images to train on first, then those to test
/// on.
#[derive(Debug, Default)]
pub struct Inspection {
    /// The number of readable images of each format.
    pub formats: BTreeMap<&'static str, u64>,
    /// The number of them with one channel.
    pub gray: u64,
    /// Their widths in pixels. Absent if no image is readable.
    pub widths: Option<Spread>,
    /// Their heights in pixels.
    pub heights: Option<Spread>,
    /// The number of them with transparent pixels.
    pub transparent: u64,
    /// The number of them whose EXIF data say that they are to be turned or mirrored when shown.
    pub turned: u64,
    /// Images with a box that reaches out of them, by index.
    pub reaching_out: Vec<usize>,
    /// Images with a box that is outside of them, by index.
    pub outside: Vec<usize>,
    /// Images that cannot be decoded, by index.
    pub corrupt: Vec<(usize, DataError)>,
    /// Groups of images with exactly the same pixels, by index.
    pub duplicates: Vec<Vec<usize>>,
}

/// The minimum, the lower median and the maximum of some values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The minimum.
    pub least: u64,
    /// The lower median.
    pub median: u64,
    /// The maximum.
    pub greatest: u64,
}

impl Spread {
    /// Returns the spread of some values, if there are any.
    pub fn of(values: impl IntoIterator<Item = u64>) -> Option<Spread> {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        let median = *values.get(values.len().saturating_sub(1) / 2)?;
        Some(Spread {
            least: *values.first()?,
            median,
            greatest: *values.last()?,
        })
    }
}

/// Properties of one image.
struct ImageProperties {
    format: &'static str,
    width: usize,
    height: usize,
    gray: bool,
    transparent: bool,
    turned: bool,
    pixels: [u8; 32],
    bounding_box: BoxFit,
}

/// The place of a bounding box in its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BoxFit {
    Inside,
    ReachesOut,
    Outside,
}

impl BoxFit {
    fn of(bounding_box: [u32; 4], whole: Region) -> BoxFit {
        let [_, _, right, bottom] = bounding_box.map(|side| side as usize);
        match inside_box(bounding_box, whole) {
            None => BoxFit::Outside,
            Some(_) if right <= whole.width && bottom <= whole.height => BoxFit::Inside,
            Some(_) => BoxFit::ReachesOut,
        }
    }
}

impl Inspection {
    /// Decodes all images, in parallel. `progress` receives images.
    pub fn of(listing: &Listing, progress: Progress) -> Inspection {
        let images: Vec<&Image> = listing
            .halves()
            .into_iter()
            .flat_map(|(_, part)| &part.images)
            .collect();
        let total = images.len() as u64;
        let done = AtomicU64::new(0);
        let look = |image: &&Image| {
            let seen = ImageProperties::of(image);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            seen
        };
        let all: Vec<Result<ImageProperties, DataError>> = images.par_iter().map(look).collect();
        let mut inspection = Inspection::default();
        let mut whole = Vec::new();
        for (index, seen) in all.into_iter().enumerate() {
            match seen {
                Ok(seen) => whole.push((index, seen)),
                Err(error) => inspection.corrupt.push((index, error)),
            }
        }
        inspection.widths = Spread::of(whole.iter().map(|(_, seen)| seen.width as u64));
        inspection.heights = Spread::of(whole.iter().map(|(_, seen)| seen.height as u64));
        inspection.duplicates = duplicates(&whole);
        for (index, seen) in whole {
            *inspection.formats.entry(seen.format).or_default() += 1;
            inspection.gray += u64::from(seen.gray);
            inspection.transparent += u64::from(seen.transparent);
            inspection.turned += u64::from(seen.turned);
            match seen.bounding_box {
                BoxFit::Inside => {}
                BoxFit::ReachesOut => inspection.reaching_out.push(index),
                BoxFit::Outside => inspection.outside.push(index),
            }
        }
        inspection
    }
}

impl ImageProperties {
    fn of(image: &Image) -> Result<ImageProperties, DataError> {
        let decoded = decode_as_it_is(&image.path)?;
        let raster = &decoded.image;
        let bounding_box = image.bounding_box;
        Ok(ImageProperties {
            format: decoded.format,
            width: raster.width,
            height: raster.height,
            gray: raster.channels == 1,
            transparent: decoded.is_transparent(),
            turned: is_turned(&image.path),
            bounding_box: bounding_box.map_or(BoxFit::Inside, |bounding_box| {
                BoxFit::of(bounding_box, raster.region())
            }),
            pixels: hash(decoded.image),
        })
    }
}

/// Returns a hash that is the same for a gray image with one channel and with three.
fn hash(image: Raster) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(image.width as u64).to_le_bytes());
    hasher.update(&image.in_color(Color::Rgb).pixels);
    *hasher.finalize().as_bytes()
}

fn duplicates(whole: &[(usize, ImageProperties)]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known = HashMap::new();
    for (index, seen) in whole {
        match known.get(&seen.pixels) {
            Some(&group) => groups[group as usize].push(*index),
            None => {
                known.insert(seen.pixels, groups.len() as u32);
                groups.push(vec![*index]);
            }
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::Mutex};

    use image::{GrayImage, ImageFormat, Luma, RgbImage};

    use super::*;
    use crate::data::listing::{Class, Part, Role};

    fn part(root: &Path, files: &[&str]) -> Part {
        let image = |name: &&str| Image {
            path: root.join(name),
            class: 0,
            role: Role::Both,
            bounding_box: Some([0, 0, 9, 9]),
            camera: None,
        };
        Part {
            classes: vec![Class {
                name: "c".into(),
                category: None,
                wider: Vec::new(),
            }],
            images: files.iter().map(image).collect(),
        }
    }

    #[test]
    fn every_image_is_inspected_and_its_fault_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let gray = GrayImage::from_fn(10, 12, |x, y| Luma([(x * y) as u8]));
        gray.save(root.join("gray.png")).unwrap();
        RgbImage::from_fn(10, 12, |x, y| image::Rgb([(x * y) as u8; 3]))
            .save(root.join("same.png"))
            .unwrap();
        // Pixels one after the other are the same, but not their rows.
        GrayImage::from_raw(12, 10, gray.into_raw())
            .unwrap()
            .save(root.join("turned.png"))
            .unwrap();
        let photograph = RgbImage::from_fn(40, 8, |x, y| image::Rgb([x as u8, y as u8, 99]));
        photograph.save(root.join("whole.jpg")).unwrap();
        photograph
            .save_with_format(root.join("wrongly_named.jpg"), ImageFormat::Png)
            .unwrap();
        let bytes = fs::read(root.join("whole.jpg")).unwrap();
        fs::write(root.join("copy.jpg"), &bytes).unwrap();
        fs::write(root.join("cut.jpg"), &bytes[..bytes.len() / 2]).unwrap();
        fs::write(root.join("empty.jpg"), "").unwrap();
        fs::write(root.join("text.jpg"), "<html>not found</html>").unwrap();
        fs::create_dir(root.join("folder.jpg")).unwrap();
        let listing = Listing {
            training: part(
                root,
                &[
                    "gray.png",
                    "turned.png",
                    "whole.jpg",
                    "cut.jpg",
                    "empty.jpg",
                ],
            ),
            test: part(
                root,
                &[
                    "same.png",
                    "copy.jpg",
                    "wrongly_named.jpg",
                    "text.jpg",
                    "folder.jpg",
                    "absent.jpg",
                ],
            ),
        };
        let last = Mutex::new((0, 0));
        let found = Inspection::of(&listing, &|done, total| {
            let mut last = last.lock().unwrap();
            *last = (*last).max((done, total));
        });
        assert_eq!(last.into_inner().unwrap(), (11, 11));
        assert_eq!(found.formats, BTreeMap::from([("JPEG", 2), ("PNG", 4)]));
        assert_eq!(found.gray, 2);
        assert_eq!(
            found.widths,
            Some(Spread {
                least: 10,
                median: 12,
                greatest: 40
            })
        );
        assert_eq!(
            found.heights,
            Some(Spread {
                least: 8,
                median: 8,
                greatest: 12
            })
        );
        assert_eq!(found.reaching_out, [2, 6, 7]);
        assert!(found.outside.is_empty());
        assert_eq!(found.duplicates, [vec![0, 5], vec![2, 6]]);
        let messages: Vec<String> = found
            .corrupt
            .iter()
            .map(|(index, error)| format!("{index} {error}"))
            .collect();
        let expected = ["3 ", "4 ", "8 ", "9 ", "10 "].into_iter().zip([
            "it ends too early",
            "it is empty",
            "it is a web page in the place of the file",
            "it is a folder, not an image",
            "is missing",
        ]);
        assert_eq!(messages.len(), 5);
        for (message, (index, why)) in messages.iter().zip(expected) {
            assert!(
                message.starts_with(index) && message.contains(why),
                "{message}"
            );
        }
    }

    /// Returns a JPEG whose EXIF data say that it is to be turned by 90 degrees.
    fn turned_jpeg() -> Vec<u8> {
        let mut plain = Vec::new();
        let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut plain);
        encoder.encode_image(&image::RgbImage::new(10, 12)).unwrap();
        let orientation =
            b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let length = (orientation.len() as u16 + 2).to_be_bytes();
        [
            &plain[..2],
            &[0xff, 0xe1],
            &length,
            orientation,
            &plain[2..],
        ]
        .concat()
    }

    #[test]
    fn transparent_and_turned_images_and_boxes_that_do_not_fit_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let opaque = image::RgbaImage::from_pixel(10, 12, image::Rgba([1, 2, 3, 255]));
        opaque.save(root.join("opaque.png")).unwrap();
        let mut clear = opaque.clone();
        clear.put_pixel(3, 4, image::Rgba([1, 2, 3, 254]));
        clear.save(root.join("clear.png")).unwrap();
        image::RgbImage::new(10, 12)
            .save(root.join("plain.bmp"))
            .unwrap();
        fs::write(root.join("turned.jpg"), turned_jpeg()).unwrap();
        let boxes = [[0, 0, 10, 12], [9, 11, 11, 13], [10, 0, 20, 12]];
        let mut training = part(
            root,
            &["opaque.png", "clear.png", "plain.bmp", "turned.jpg"],
        );
        for (image, bounding_box) in training.images.iter_mut().zip(boxes) {
            image.bounding_box = Some(bounding_box);
        }
        let listing = Listing {
            training,
            test: Part::default(),
        };
        let found = Inspection::of(&listing, &|_, _| ());
        assert_eq!((found.transparent, found.turned), (1, 1));
        assert_eq!((found.reaching_out, found.outside), (vec![1], vec![2]));
        assert_eq!(
            found.formats,
            BTreeMap::from([("BMP", 1), ("JPEG", 1), ("PNG", 2)])
        );
    }

    #[test]
    fn the_median_is_that_of_the_sorted_values() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(
            Spread::of([5, 1, 9, 2]),
            Some(Spread {
                least: 1,
                median: 2,
                greatest: 9
            })
        );
        assert_eq!(
            Spread::of([7]),
            Some(Spread {
                least: 7,
                median: 7,
                greatest: 7
            })
        );
    }
}
