//! Images that cannot be decoded, left out by request.

use schema::BrokenImage;
use std::path::Path;

use super::{
    DataError, Inspection, Progress,
    listing::{Image, Listing, Part},
};

/// Decodes all images and leaves out those that are broken. A class without another image is left out, too.
/// Also returns what was left out, with paths below `root` relative to it. `progress` receives images.
pub(super) fn without_broken(
    listing: Listing,
    root: &Path,
    progress: Progress,
) -> (Listing, Vec<BrokenImage>) {
    let corrupt = Inspection::of(&listing, progress).corrupt;
    let mut is_broken = vec![false; listing.training.images.len() + listing.test.images.len()];
    for (index, _) in &corrupt {
        is_broken[*index] = true;
    }
    let (of_training, of_test) = is_broken.split_at(listing.training.images.len());
    let whole = Listing {
        training: without(&listing.training, of_training),
        test: without(&listing.test, of_test),
    };
    let broken = corrupt
        .into_iter()
        .map(|(index, error)| broken_image(image(&listing, index), error, root));
    (whole, broken.collect())
}

fn image(listing: &Listing, index: usize) -> &Image {
    match index.checked_sub(listing.training.images.len()) {
        None => &listing.training.images[index],
        Some(index) => &listing.test.images[index],
    }
}

fn broken_image(image: &Image, error: DataError, root: &Path) -> BrokenImage {
    let path = image.path.strip_prefix(root).unwrap_or(&image.path);
    BrokenImage {
        path: path.display().to_string(),
        why: error.why(),
    }
}

/// Returns the images that are not broken, and the classes that they have.
fn without(part: &Part, is_broken: &[bool]) -> Part {
    let mut whole = Part::default();
    let mut last = None;
    for (image, _) in part
        .images
        .iter()
        .zip(is_broken)
        .filter(|(_, broken)| !**broken)
    {
        if last != Some(image.class) {
            whole
                .classes
                .push(part.classes[image.class as usize].clone());
            last = Some(image.class);
        }
        whole.images.push(Image {
            class: whole.classes.len() as u32 - 1,
            ..image.clone()
        });
    }
    whole
}
