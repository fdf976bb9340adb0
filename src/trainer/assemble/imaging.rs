//! How images are stored and transformed.

use dml::data;
use schema::{Cache, Colour, ImageSize, StoredImages, TrainTransform, Transform};

/// How images are stored.
pub(crate) fn stored(images: &StoredImages) -> data::StoredImages {
    data::StoredImages {
        size: match images.size {
            ImageSize::Square(side) => data::ImageSize::Square(side),
            ImageSize::ShortSide(side) => data::ImageSize::ShortSide(side),
        },
        colour: match images.colour {
            Colour::Grey => data::Colour::Grey,
            Colour::Rgb => data::Colour::Rgb,
        },
        bounding_boxes: images.bounding_boxes,
    }
}

/// Whether decoded images are kept.
pub(crate) fn cache(cache: Cache) -> data::Cache {
    match cache {
        Cache::Auto => data::Cache::Auto,
        Cache::Always => data::Cache::Always,
        Cache::Never => data::Cache::Never,
    }
}

/// What is done to images that are trained on, and to those that are measured on.
pub(crate) fn transforms(transform: &Transform) -> (data::Transform, data::Transform) {
    let test = data::Transform::plain(center(transform.test.center_crop));
    (
        transform
            .train
            .as_ref()
            .map_or_else(|| test.clone(), training),
        test,
    )
}

fn center(crop: Option<u32>) -> data::Crop {
    crop.map_or(data::Crop::Whole, |size| data::Crop::Center(size as usize))
}

fn training(train: &TrainTransform) -> data::Transform {
    let crop = match (&train.random_resized_crop, train.random_crop) {
        (Some(crop), _) => data::Crop::RandomResized {
            size: crop.size as usize,
            scale: crop.scale,
            ratio: crop.ratio,
        },
        (None, Some(size)) => data::Crop::Random(size as usize),
        (None, None) => center(train.center_crop),
    };
    let jitter = train
        .colour_jitter
        .as_ref()
        .map(|jitter| data::ColourJitter {
            brightness: jitter.brightness,
            contrast: jitter.contrast,
            saturation: jitter.saturation,
            hue: jitter.hue,
        });
    let erasing = train
        .random_erasing
        .as_ref()
        .map(|erasing| data::RandomErasing {
            probability: erasing.probability,
            scale: erasing.scale,
            ratio: erasing.ratio,
            colour: erasing.colour,
        });
    data::Transform {
        crop,
        flip: train.flip,
        jitter,
        erasing,
    }
}
