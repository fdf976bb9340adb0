//! A decoded image in memory.

use serde::{Deserialize, Serialize};

/// Whether an image has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// One channel.
    Grey,
    /// Red, green, blue.
    Rgb,
}

impl Colour {
    /// How many channels that are.
    pub fn channels(self) -> usize {
        match self {
            Colour::Grey => 1,
            Colour::Rgb => 3,
        }
    }
}

/// An image: rows from top to bottom, pixels from left to right, the channels of a pixel side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raster {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Channels of a pixel.
    pub channels: usize,
    /// `height * width * channels` bytes.
    pub pixels: Vec<u8>,
}

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Pixels left of it.
    pub left: usize,
    /// Rows above it.
    pub top: usize,
    /// Its width.
    pub width: usize,
    /// Its height.
    pub height: usize,
}

impl Raster {
    /// The whole image.
    pub fn region(&self) -> Region {
        Region {
            left: 0,
            top: 0,
            width: self.width,
            height: self.height,
        }
    }

    /// A part of the image, as an image.
    ///
    /// # Panics
    /// If it reaches over the image's border.
    pub fn crop(&self, region: Region) -> Raster {
        let (from, to) = (self.width * self.channels, region.width * self.channels);
        let mut pixels = Vec::with_capacity(region.height * to);
        for y in region.top..region.top + region.height {
            pixels.extend_from_slice(&self.pixels[y * from + region.left * self.channels..][..to]);
        }
        Raster {
            width: region.width,
            height: region.height,
            channels: self.channels,
            pixels,
        }
    }

    /// The same image with or without colours; grey is the luma of ITU-R 601-2, in whole numbers as Pillow has it.
    pub fn in_colour(self, colour: Colour) -> Raster {
        let pixels = match (self.channels, colour) {
            (1, Colour::Rgb) => self.pixels.iter().flat_map(|&light| [light; 3]).collect(),
            (3, Colour::Grey) => self
                .pixels
                .as_chunks()
                .0
                .iter()
                .map(|&[r, g, b]| luma(r, g, b))
                .collect(),
            _ => self.pixels,
        };
        Raster {
            channels: colour.channels(),
            pixels,
            ..self
        }
    }
}

/// How light a colour is.
pub(super) fn luma(red: u8, green: u8, blue: u8) -> u8 {
    ((u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000) >> 16)
        as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_and_back_changes_nothing_that_had_no_colour() {
        let grey = Raster {
            width: 2,
            height: 1,
            channels: 1,
            pixels: vec![3, 250],
        };
        let colour = grey.clone().in_colour(Colour::Rgb);
        assert_eq!(colour.pixels, [3, 3, 3, 250, 250, 250]);
        assert_eq!(colour.in_colour(Colour::Grey), grey);
    }

    #[test]
    fn a_crop_is_the_rectangle_that_was_asked_for() {
        let image = Raster {
            width: 3,
            height: 3,
            channels: 1,
            pixels: (0..9).collect(),
        };
        let crop = image.crop(Region {
            left: 1,
            top: 1,
            width: 2,
            height: 2,
        });
        assert_eq!(
            (crop.width, crop.height, crop.pixels),
            (2, 2, vec![4, 5, 7, 8])
        );
    }
}
