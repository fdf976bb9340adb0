//! A decoded image in memory.

use schema::Color;

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

/// A rectangle of pixels.
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
    /// Returns the region of the whole image.
    pub fn region(&self) -> Region {
        Region::whole([self.width, self.height])
    }

    /// Returns a region of the image as an image.
    ///
    /// # Panics
    /// If the region is not inside the image.
    pub fn crop(&self, region: Region) -> Raster {
        let row = self.width * self.channels;
        let start = region.left * self.channels;
        let length = region.width * self.channels;
        let mut pixels = Vec::with_capacity(region.height * length);
        for y in region.top..region.top + region.height {
            pixels.extend_from_slice(&self.pixels[y * row + start..][..length]);
        }
        Raster {
            width: region.width,
            height: region.height,
            channels: self.channels,
            pixels,
        }
    }

    /// Returns the image with these channels. Gray is the luma of ITU-R 601-2 in integers, as in Pillow.
    pub fn in_color(self, color: Color) -> Raster {
        let pixels = match (self.channels, color) {
            (1, Color::Rgb) => self.pixels.iter().flat_map(|&light| [light; 3]).collect(),
            (3, Color::Gray) => self
                .pixels
                .as_chunks()
                .0
                .iter()
                .map(|&[r, g, b]| luma(r, g, b))
                .collect(),
            _ => self.pixels,
        };
        Raster {
            channels: color.channels() as usize,
            pixels,
            ..self
        }
    }

    /// Returns the negative of the image.
    pub(super) fn inverted(mut self) -> Raster {
        for value in &mut self.pixels {
            *value = 255 - *value;
        }
        self
    }
}

impl Region {
    /// Returns the region of an image with these sides.
    pub fn whole([width, height]: [usize; 2]) -> Region {
        Region {
            left: 0,
            top: 0,
            width,
            height,
        }
    }
}

/// Returns the luma of a color.
pub(super) fn luma(red: u8, green: u8, blue: u8) -> u8 {
    ((u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000) >> 16)
        as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gray_and_back_changes_nothing_that_had_no_color() {
        let gray = Raster {
            width: 2,
            height: 1,
            channels: 1,
            pixels: vec![3, 250],
        };
        let color = gray.clone().in_color(Color::Rgb);
        assert_eq!(color.pixels, [3, 3, 3, 250, 250, 250]);
        assert_eq!(color.in_color(Color::Gray), gray);
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
