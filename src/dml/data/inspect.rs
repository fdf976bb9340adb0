//! What the images of a data set are really like: each is decoded once, as it is, and nothing is kept of it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicU64, Ordering},
};

use rayon::prelude::*;

use super::{
    Colour, DataError, Progress, Raster,
    decode::decode_as_it_is,
    listing::{Image, Listing},
};

/// What the images of a data set are like. Images are known by their place: those to train on come first, then those
/// to test on, each half in its order.
#[derive(Debug, Default)]
pub struct Inspection {
    /// How many whole images there are of each format.
    pub formats: BTreeMap<&'static str, u64>,
    /// How many of them have one channel.
    pub grey: u64,
    /// Their widths in pixels; nothing if no image is whole.
    pub widths: Option<Spread>,
    /// Their heights in pixels.
    pub heights: Option<Spread>,
    /// Boxes that reach out of their image, in order of place.
    pub outside: Vec<usize>,
    /// Images that cannot be decoded, in order of place.
    pub corrupt: Vec<(usize, DataError)>,
    /// Images of exactly the same pixels, whatever their files: groups in order of place.
    pub duplicates: Vec<Vec<usize>>,
}

/// The least, the middle and the greatest of some numbers; of an even number of them, the lower of both in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The least.
    pub least: u64,
    /// The middle.
    pub median: u64,
    /// The greatest.
    pub greatest: u64,
}

impl Spread {
    /// That of some numbers; nothing if there are none.
    pub fn of(numbers: impl IntoIterator<Item = u64>) -> Option<Spread> {
        let mut numbers: Vec<u64> = numbers.into_iter().collect();
        numbers.sort_unstable();
        let median = *numbers.get(numbers.len().saturating_sub(1) / 2)?;
        Some(Spread {
            least: *numbers.first()?,
            median,
            greatest: *numbers.last()?,
        })
    }
}

/// What is remembered of an image.
struct Seen {
    format: &'static str,
    width: usize,
    height: usize,
    grey: bool,
    pixels: [u8; 32],
    box_fits: bool,
}

impl Inspection {
    /// Decodes all images, in parallel. `progress` is told of images.
    pub fn of(listing: &Listing, progress: Progress) -> Inspection {
        let images: Vec<&Image> = listing
            .halves()
            .into_iter()
            .flat_map(|(_, part)| &part.images)
            .collect();
        let (done, total) = (AtomicU64::new(0), images.len() as u64);
        let look = |image: &&Image| {
            let seen = Seen::of(image);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            seen
        };
        let mut inspection = Inspection::default();
        let mut whole = Vec::new();
        for (place, seen) in images
            .par_iter()
            .map(look)
            .collect::<Vec<_>>()
            .into_iter()
            .enumerate()
        {
            match seen {
                Ok(seen) => whole.push((place, seen)),
                Err(error) => inspection.corrupt.push((place, error)),
            }
        }
        inspection.widths = Spread::of(whole.iter().map(|(_, seen)| seen.width as u64));
        inspection.heights = Spread::of(whole.iter().map(|(_, seen)| seen.height as u64));
        inspection.duplicates = duplicates(&whole);
        for (place, seen) in whole {
            *inspection.formats.entry(seen.format).or_default() += 1;
            inspection.grey += u64::from(seen.grey);
            inspection.outside.extend((!seen.box_fits).then_some(place));
        }
        inspection
    }
}

impl Seen {
    fn of(image: &Image) -> Result<Seen, DataError> {
        let (format, raster) = decode_as_it_is(&image.path)?;
        let Raster {
            width,
            height,
            channels,
            ..
        } = raster;
        let box_fits = image.bounding_box.is_none_or(|[_, _, right, bottom]| {
            right as usize <= width && bottom as usize <= height
        });
        Ok(Seen {
            format,
            width,
            height,
            grey: channels == 1,
            pixels: hash(raster),
            box_fits,
        })
    }
}

/// The same for an image without colours, whether it is stored with one channel or with three.
fn hash(image: Raster) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(image.width as u64).to_le_bytes());
    hasher.update(&image.in_colour(Colour::Rgb).pixels);
    *hasher.finalize().as_bytes()
}

fn duplicates(whole: &[(usize, Seen)]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known = HashMap::new();
    for (place, seen) in whole {
        match known.get(&seen.pixels) {
            Some(&group) => groups[group as usize].push(*place),
            None => {
                known.insert(seen.pixels, groups.len() as u32);
                groups.push(vec![*place]);
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
        };
        Part {
            classes: vec![Class {
                name: "c".into(),
                category: None,
            }],
            images: files.iter().map(image).collect(),
        }
    }

    #[test]
    fn every_image_is_looked_at_and_what_is_wrong_with_it_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let grey = GrayImage::from_fn(10, 12, |x, y| Luma([(x * y) as u8]));
        grey.save(root.join("grey.png")).unwrap();
        RgbImage::from_fn(10, 12, |x, y| image::Rgb([(x * y) as u8; 3]))
            .save(root.join("same.png"))
            .unwrap();
        // Pixels one after the other are the same, but not their rows.
        GrayImage::from_raw(12, 10, grey.into_raw())
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
                    "grey.png",
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
        assert_eq!(found.grey, 2);
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
        assert_eq!(found.outside, [2, 6, 7]);
        assert_eq!(found.duplicates, [vec![0, 5], vec![2, 6]]);
        let said: Vec<String> = found
            .corrupt
            .iter()
            .map(|(place, error)| format!("{place} {error}"))
            .collect();
        let expected = ["3 ", "4 ", "8 ", "9 ", "10 "].into_iter().zip([
            "it is not a readable image",
            "it is empty",
            "it is neither a JPEG nor a PNG",
            "it is a folder, not an image",
            "is missing",
        ]);
        assert_eq!(said.len(), 5);
        for (said, (place, why)) in said.iter().zip(expected) {
            assert!(said.starts_with(place) && said.contains(why), "{said}");
        }
    }

    #[test]
    fn the_middle_is_that_of_the_numbers_in_order() {
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
