//! Images: how they are stored once for all runs, and how they are transformed in every batch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AugmentationPolicy, settings::settings};

/// How the images of a data set are stored: decoded and resized once for all runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoredImages {
    /// Their size.
    pub size: ImageSize,
    /// Whether they have colors.
    #[serde(rename(serialize = "colour", deserialize = "color"), alias = "colour")]
    pub color: Color,
    /// Whether each is first cut to its bounding box, if the data set has boxes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub bounding_boxes: bool,
    /// What is behind transparent pixels. Absent: transparency is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<Background>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The size of stored images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageSize {
    /// Stretched to squares with this many pixels a side.
    Square(u32),
    /// Scaled to this many pixels on the shorter side; each image keeps its shape.
    ShortSide(u32),
}

impl ImageSize {
    /// Returns the pixels on the shorter side.
    pub fn short_side(self) -> u32 {
        match self {
            ImageSize::Square(side) | ImageSize::ShortSide(side) => side,
        }
    }
}

/// Whether images have colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Color {
    /// One channel.
    #[serde(rename(serialize = "grey", deserialize = "gray"), alias = "grey")]
    Gray,
    /// Red, green and blue.
    Rgb,
}

impl Color {
    /// Returns the number of channels.
    pub fn channels(self) -> u32 {
        match self {
            Color::Gray => 1,
            Color::Rgb => 3,
        }
    }
}

/// What is behind the transparent pixels of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Background {
    /// White.
    White,
    /// Black.
    Black,
}

impl Background {
    /// Returns the value of all its channels.
    pub fn level(self) -> u8 {
        match self {
            Background::White => u8::MAX,
            Background::Black => 0,
        }
    }
}

/// Whether decoded images are kept on disk. It is not part of a run's id: the pixels are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cache {
    /// They are kept if the disk has room for them, and otherwise decoded whenever they are needed.
    #[default]
    Auto,
    /// They are kept; it is an error if the disk has no room.
    Always,
    /// They are decoded whenever they are needed. Images that the program draws are kept.
    Never,
}

impl Transform {
    /// Returns true if images are left as they are stored.
    pub fn is_none(&self) -> bool {
        *self == Transform::default()
    }

    /// Returns the transform of images that are measured.
    pub fn of_test(&self) -> TrainTransform {
        TrainTransform {
            center_crop: self.test.center_crop,
            ..TrainTransform::default()
        }
    }

    /// Returns the transform of images that are trained on.
    pub fn of_training(&self) -> TrainTransform {
        self.train.clone().unwrap_or_else(|| self.of_test())
    }

    /// Returns the pixels a side of the images that are measured.
    pub fn test_side(&self, stored: &StoredImages) -> u32 {
        self.of_test().side(stored)
    }

    /// Returns the pixels a side of the images that are trained on.
    pub fn train_side(&self, stored: &StoredImages) -> u32 {
        self.of_training().side(stored)
    }
}

impl TrainTransform {
    /// Returns true if stored squares stay as they are.
    pub fn is_identity(&self) -> bool {
        *self == TrainTransform::default()
    }

    /// Returns the pixels a side of the result.
    pub fn side(&self, stored: &StoredImages) -> u32 {
        let resized = self.random_resized_crop.as_ref().map(|crop| crop.size);
        resized
            .or(self.random_crop)
            .or(self.center_crop)
            .unwrap_or(stored.size.short_side())
    }
}

settings! {
    /// Changes of stored images in a batch.
    Transform {
        /// To train on. Absent: the same as to measure on.
        #[serde(skip_serializing_if = "Option::is_none")]
        train: Option<TrainTransform> = None,
        /// To measure on.
        test: TestTransform = TestTransform::default(),
    }

    /// Changes of an image that is trained on: at most one of the crops, then the others in this order. Every draw
    /// is a function of seed, step and index in the batch.
    TrainTransform {
        /// A random region, resized.
        #[serde(skip_serializing_if = "Option::is_none")]
        random_resized_crop: Option<RandomResizedCrop> = None,
        /// A random square with this many pixels a side.
        #[serde(skip_serializing_if = "Option::is_none")]
        random_crop: Option<u32> = None,
        /// The central square with this many pixels a side.
        #[serde(skip_serializing_if = "Option::is_none")]
        center_crop: Option<u32> = None,
        /// The probability of a horizontal flip.
        flip: f64 = 0.0,
        /// Operations that are drawn from a fixed list. Always done on the CPU.
        #[serde(skip_serializing_if = "Option::is_none")]
        policy: Option<AugmentationPolicy> = None,
        /// Random changes of color.
        #[serde(
            rename(serialize = "colour_jitter", deserialize = "color_jitter"),
            alias = "colour_jitter",
            skip_serializing_if = "Option::is_none"
        )]
        color_jitter: Option<ColorJitter> = None,
        /// Paints over a random rectangle.
        #[serde(skip_serializing_if = "Option::is_none")]
        random_erasing: Option<RandomErasing> = None,
    }

    /// Changes of an image that is measured.
    TestTransform {
        /// The central square with this many pixels a side. Absent: the whole image.
        #[serde(skip_serializing_if = "Option::is_none")]
        center_crop: Option<u32> = None,
    }

    /// A random region of the image, resized to a square: torchvision's `RandomResizedCrop`.
    RandomResizedCrop {
        /// Pixels a side of the result.
        size: u32 = 224,
        /// Bounds of the region's area, as a fraction of the image's.
        scale: [f64; 2] = [0.08, 1.0],
        /// Bounds of its width divided by its height.
        ratio: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0],
    }

    /// Random changes of color, in random order: torchvision's `ColorJitter`.
    ColorJitter {
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
        /// The probability.
        probability: f64 = 0.5,
        /// Bounds of the rectangle's area, as a fraction of the image's.
        scale: [f64; 2] = [0.02, 0.33],
        /// Bounds of its height divided by its width.
        ratio: [f64; 2] = [0.3, 3.3],
        /// The paint; on gray images its luma.
        #[serde(rename(serialize = "colour", deserialize = "color"), alias = "colour")]
        color: [u8; 3] = [124, 116, 104],
    }
}
