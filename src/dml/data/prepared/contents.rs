//! What a source contains, before any image is decoded.

use std::path::Path;

use rayon::prelude::*;
use schema::{Glyphs, ImageSize, StoredImages};

use super::{Summary, half::Half};
use crate::data::{
    DataError, Raster, Source,
    glyphs::{self, Glyph},
    listing::Listing,
    stored::{Decoding, Origin, Sides},
};

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

/// A decoded image, and the hash of its file if it has one.
pub(super) type HashedImage = (Raster, Option<blake3::Hash>);

/// The contents of a source, before any image is decoded.
pub(super) struct Contents<'a> {
    pub(super) training: Half,
    pub(super) test: Half,
    pub(super) images: Images<'a>,
}

/// Where images come from.
pub(super) enum Images<'a> {
    Drawn(&'a Glyphs),
    Files(Vec<Origin>),
}

impl Contents<'_> {
    /// Returns what a source contains.
    pub(super) fn of(source: &Source) -> Contents<'_> {
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

    /// Returns the number of classes and images.
    pub(super) fn counts(&self) -> Summary {
        Summary {
            training_classes: self.training.classes.len() as u64,
            training_images: self.training.labels.len() as u64,
            test_classes: self.test.classes.len() as u64,
            test_images: self.test.labels.len() as u64,
        }
    }

    /// Checks that images can be cut to their boxes: there are some, and none lies outside of its image.
    pub(super) fn check_boxes(&self, root: &Path) -> Result<(), DataError> {
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
    pub(super) fn sides(&self, stored: &StoredImages) -> Result<Sides, DataError> {
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
    pub(super) fn image(
        &self,
        image: usize,
        decoding: &Decoding,
    ) -> Result<HashedImage, DataError> {
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
