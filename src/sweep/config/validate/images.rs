//! Whether images can be stored and transformed as the file says.

use schema::{
    AugmentationPolicy, Color, ColorJitter, Files, ImageSize, RandomErasing, RandomResizedCrop,
    TrainTransform,
};

use super::{Checked, SweepFile, fault, require};

/// Pixels a side that make sense.
const SIDES: std::ops::RangeInclusive<u32> = 8..=1024;

pub(super) fn check(file: &SweepFile) -> Checked {
    let (data, transform) = (&file.data, &file.transform);
    if data.image_size.is_some() && data.resize.is_some() {
        return fault(
            "data.resize",
            "images are resized either to squares (`image_size`) or by their shorter side",
        );
    }
    boxes_and_background(file)?;
    side(data.images().size.short_side(), stored_key(file))?;
    if let Some(crop) = transform.test.center_crop {
        cut(crop, "transform.test.center_crop", file)?;
    }
    match &transform.train {
        Some(train) => training(train, file)?,
        None if transform.test.center_crop.is_none() => {
            shape(stored_key(file), "transform.test", file)?
        }
        None => {}
    }
    if transform.test.center_crop.is_none() {
        shape(stored_key(file), "transform.test", file)?;
    }
    Ok(())
}

/// Boxes and transparency must exist for their keys to have a meaning.
fn boxes_and_background(file: &SweepFile) -> Checked {
    let data = &file.data;
    let is_drawn = data.dataset.files() == Files::Drawn;
    for (key, is_set) in [
        ("data.bounding_boxes", data.bounding_boxes),
        ("data.background", data.background.is_some()),
    ] {
        let message = "the program draws these images: they have neither boxes nor transparency";
        require(!(is_drawn && is_set), key, message)?;
    }
    require(
        !data.lacks_boxes,
        "data.bounding_boxes",
        format!(
            "none of the images of `{}` has a bounding box: remove this line",
            data.dataset.name()
        ),
    )
}

/// Pixels a side of the images that reach the network, to measure on and to train on, each with the key that says so.
pub(super) fn sides(file: &SweepFile) -> [(&'static str, u32); 2] {
    let (transform, images) = (&file.transform, file.data.images());
    let test = transform
        .test
        .center_crop
        .map_or(stored_key(file), |_| "transform.test.center_crop");
    let train = transform.train.as_ref().map_or(test, |_| "transform.train");
    [
        (test, transform.test_side(&images)),
        (train, transform.train_side(&images)),
    ]
}

fn stored_key(file: &SweepFile) -> &'static str {
    if file.data.resize.is_some() {
        "data.resize"
    } else {
        "data.image_size"
    }
}

fn side(pixels: u32, key: &str) -> Checked {
    require(
        SIDES.contains(&pixels),
        key,
        format!("{pixels} pixels, expected 8 to 1024"),
    )
}

/// Images in a batch are squares of one size.
fn shape(key: &str, transform: &str, file: &SweepFile) -> Checked {
    match file.data.images().size {
        ImageSize::Square(_) => Ok(()),
        ImageSize::ShortSide(side) => fault(
            key,
            format!(
                "images keep their shape, but in a batch all are squares: cut one out, `[{transform}] center_crop = {side}`"
            ),
        ),
    }
}

fn cut(crop: u32, key: &str, file: &SweepFile) -> Checked {
    side(crop, key)?;
    let stored = file.data.images().size.short_side();
    require(
        crop <= stored,
        key,
        format!("{crop} pixels cannot be cut out of images of {stored}"),
    )
}

fn training(train: &TrainTransform, file: &SweepFile) -> Checked {
    let key = |name: &str| format!("transform.train.{name}");
    match (
        &train.random_resized_crop,
        train.random_crop,
        train.center_crop,
    ) {
        (Some(crop), None, None) => resized_crop(crop, &key("random_resized_crop"))?,
        (None, Some(crop), None) => cut(crop, &key("random_crop"), file)?,
        (None, None, Some(crop)) => cut(crop, &key("center_crop"), file)?,
        (None, None, None) => shape("transform.train", "transform.train", file)?,
        _ => fault(
            "transform.train",
            "an image is cropped once: one of random_resized_crop, random_crop, center_crop",
        )?,
    }
    probability(train.flip, &key("flip"))?;
    if let Some(augmentation) = &train.policy {
        policy(augmentation, &key("policy"))?;
    }
    if let Some(jitter) = &train.color_jitter {
        color_jitter(jitter, &key("color_jitter"), file)?;
    }
    train.random_erasing.as_ref().map_or(Ok(()), |erasing| {
        random_erasing(erasing, &key("random_erasing"))
    })
}

fn resized_crop(crop: &RandomResizedCrop, key: &str) -> Checked {
    side(crop.size, &format!("{key}.size"))?;
    scale(crop.scale, &format!("{key}.scale"))?;
    ratio(crop.ratio, &format!("{key}.ratio"))
}

fn policy(policy: &AugmentationPolicy, key: &str) -> Checked {
    let bins = |bins: u32, key: String| {
        let message = "expected 2 to 1000 magnitudes";
        require((2..=1000).contains(&bins), &key, message)
    };
    match policy {
        AugmentationPolicy::RandAugment(settings) => {
            bins(settings.bins, format!("{key}.rand_augment.bins"))?;
            require(
                settings.magnitude < settings.bins,
                &format!("{key}.rand_augment.magnitude"),
                format!("expected 0 to {}, one less than `bins`", settings.bins - 1),
            )?;
            require(
                (1..=20).contains(&settings.operations),
                &format!("{key}.rand_augment.operations"),
                "expected 1 to 20 operations",
            )
        }
        AugmentationPolicy::TrivialAugment(settings) => {
            bins(settings.bins, format!("{key}.trivial_augment.bins"))
        }
        AugmentationPolicy::AutoAugment(_) => Ok(()),
    }
}

fn random_erasing(erasing: &RandomErasing, key: &str) -> Checked {
    probability(erasing.probability, &format!("{key}.probability"))?;
    scale(erasing.scale, &format!("{key}.scale"))?;
    ratio(erasing.ratio, &format!("{key}.ratio"))
}

fn color_jitter(jitter: &ColorJitter, key: &str, file: &SweepFile) -> Checked {
    let factors = [
        ("brightness", jitter.brightness),
        ("contrast", jitter.contrast),
        ("saturation", jitter.saturation),
    ];
    for (name, value) in factors {
        let message = "expected a number of at least 0";
        require(
            value.is_finite() && value >= 0.0,
            &format!("{key}.{name}"),
            message,
        )?;
    }
    require(
        (0.0..=0.5).contains(&jitter.hue),
        &format!("{key}.hue"),
        "expected a number from 0 to 0.5",
    )?;
    let is_gray = file.data.images().color == Color::Gray;
    require(
        !is_gray || (jitter.saturation == 0.0 && jitter.hue == 0.0),
        key,
        "gray images have neither saturation nor hue; `data.color = \"rgb\"` gives them three channels",
    )
}

fn probability(value: f64, key: &str) -> Checked {
    require(
        (0.0..=1.0).contains(&value),
        key,
        "expected a probability from 0 to 1",
    )
}

fn scale([low, high]: [f64; 2], key: &str) -> Checked {
    require(
        0.0 < low && low <= high && high <= 1.0,
        key,
        "expected two fractions of the area, the smaller one first",
    )
}

fn ratio([low, high]: [f64; 2], key: &str) -> Checked {
    require(
        0.0 < low && low <= high && high.is_finite(),
        key,
        "expected two ratios above 0, the smaller one first",
    )
}
