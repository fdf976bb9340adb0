//! What the images of a data set become: first once for all runs, then in every batch anew.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::settings;

/// How the images of a data set are stored, decoded and resized once for all runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoredImages {
    /// Their size.
    pub size: ImageSize,
    /// Whether they have colours.
    pub colour: Colour,
    /// Whether each is cut to its bounding box first, if the data set has such boxes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub bounding_boxes: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The size of stored images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageSize {
    /// Stretched to squares of so many pixels a side.
    Square(u32),
    /// So many pixels on the shorter side, in the shape that each image has.
    ShortSide(u32),
}

impl ImageSize {
    /// The pixels on the shorter side.
    pub fn short_side(self) -> u32 {
        match self {
            ImageSize::Square(side) | ImageSize::ShortSide(side) => side,
        }
    }
}

/// Whether images have colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// One channel.
    Grey,
    /// Red, green and blue.
    Rgb,
}

impl Colour {
    /// How many channels that are.
    pub fn channels(self) -> u32 {
        match self {
            Colour::Grey => 1,
            Colour::Rgb => 3,
        }
    }
}

/// Whether decoded images are kept on disk. No part of a result's identity: the pixels are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cache {
    /// If the disk has room for them; otherwise they are decoded whenever they are needed.
    #[default]
    Auto,
    /// Or the sweep is refused.
    Always,
    /// They are decoded whenever they are needed.
    Never,
}

impl Transform {
    /// Whether images are left as they are stored.
    pub fn is_none(&self) -> bool {
        *self == Transform::default()
    }

    /// Pixels a side of the images that are measured on.
    pub fn test_side(&self, stored: &StoredImages) -> u32 {
        self.test.center_crop.unwrap_or(stored.size.short_side())
    }

    /// Pixels a side of the images that are trained on.
    pub fn train_side(&self, stored: &StoredImages) -> u32 {
        let Some(train) = &self.train else {
            return self.test_side(stored);
        };
        let resized = train.random_resized_crop.as_ref().map(|crop| crop.size);
        resized
            .or(train.random_crop)
            .or(train.center_crop)
            .unwrap_or(stored.size.short_side())
    }
}

settings! {
    /// What is done to stored images in a batch.
    Transform {
        /// To train on. Absent: the same as to measure on.
        #[serde(skip_serializing_if = "Option::is_none")]
        train: Option<TrainTransform> = None,
        /// To measure on.
        test: TestTransform = TestTransform::default(),
    }

    /// What is done to an image that is trained on: one of the crops, then the rest in this order. Every draw is a
    /// function of seed, step and place in the batch.
    TrainTransform {
        /// A random part, resized.
        #[serde(skip_serializing_if = "Option::is_none")]
        random_resized_crop: Option<RandomResizedCrop> = None,
        /// A random square of so many pixels a side.
        #[serde(skip_serializing_if = "Option::is_none")]
        random_crop: Option<u32> = None,
        /// The square of so many pixels a side in the middle.
        #[serde(skip_serializing_if = "Option::is_none")]
        center_crop: Option<u32> = None,
        /// How probable it is that left and right are exchanged.
        flip: f64 = 0.0,
        /// Random changes of colour.
        #[serde(skip_serializing_if = "Option::is_none")]
        colour_jitter: Option<ColourJitter> = None,
        /// Paints over a random rectangle.
        #[serde(skip_serializing_if = "Option::is_none")]
        random_erasing: Option<RandomErasing> = None,
    }

    /// What is done to an image that is measured on.
    TestTransform {
        /// The square of so many pixels a side in the middle. Absent: the whole image.
        #[serde(skip_serializing_if = "Option::is_none")]
        center_crop: Option<u32> = None,
    }

    /// A random part of the image, resized to a square: torchvision's `RandomResizedCrop`.
    RandomResizedCrop {
        /// Pixels a side of the result.
        size: u32 = 224,
        /// The part's area, as a fraction of the image's.
        scale: [f64; 2] = [0.08, 1.0],
        /// Its width divided by its height.
        ratio: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0],
    }

    /// Random changes of colour, in random order: torchvision's `ColorJitter`.
    ColourJitter {
        /// The factor is drawn from 1 minus this to 1 plus this.
        brightness: f64 = 0.0,
        /// The same for contrast.
        contrast: f64 = 0.0,
        /// The same for saturation.
        saturation: f64 = 0.0,
        /// The shift of hues is drawn from minus this to plus this; 0.5 is half the circle.
        hue: f64 = 0.0,
    }

    /// Paints over a random rectangle: torchvision's `RandomErasing`, on bytes.
    RandomErasing {
        /// How probable it is.
        probability: f64 = 0.5,
        /// The rectangle's area, as a fraction of the image's.
        scale: [f64; 2] = [0.02, 0.33],
        /// Its height divided by its width.
        ratio: [f64; 2] = [0.3, 3.3],
        /// The colour it is painted in; for grey images, as light as that.
        colour: [u8; 3] = [124, 116, 104],
    }
}
