//! Changes of color, pixel by pixel as Pillow's `ImageEnhance` and torchvision's hue on Pillow images.

use super::raster::luma;

/// A change of color.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Adjustment {
    /// A factor: 0 is black, 1 changes nothing.
    Brightness(f32),
    /// A factor: 0 is the mean gray of the image, 1 changes nothing.
    Contrast(f32),
    /// A factor: 0 is gray, 1 changes nothing. Gray images stay as they are.
    Saturation(f32),
    /// A shift, from -0.5 to 0.5 of the circle. Gray images stay as they are.
    Hue(f32),
}

impl Adjustment {
    /// Changes an image with this number of channels.
    pub(super) fn apply(self, pixels: &mut [u8], channels: usize) {
        match (self, channels) {
            (Adjustment::Brightness(factor), _) => pixels
                .iter_mut()
                .for_each(|value| *value = blend(0, *value, factor)),
            (Adjustment::Contrast(factor), _) => {
                let mean = mean_gray(pixels, channels);
                pixels
                    .iter_mut()
                    .for_each(|value| *value = blend(mean, *value, factor));
            }
            (Adjustment::Saturation(_) | Adjustment::Hue(_), 1) => {}
            (Adjustment::Saturation(factor), _) => {
                for pixel in pixels.as_chunks_mut::<3>().0 {
                    let gray = luma(pixel[0], pixel[1], pixel[2]);
                    *pixel = pixel.map(|value| blend(gray, value, factor));
                }
            }
            (Adjustment::Hue(shift), _) => {
                // Hue is a byte; 256 is the whole circle.
                let shift = (shift * 255.0) as i32 as u8;
                pixels
                    .as_chunks_mut::<3>()
                    .0
                    .iter_mut()
                    .for_each(|pixel| *pixel = shifted(*pixel, shift));
            }
        }
    }
}

/// Interpolates linearly from `ground` at factor 0 to `value` at factor 1, and extrapolates beyond.
pub(super) fn blend(ground: u8, value: u8, factor: f32) -> u8 {
    let (ground, value) = (f32::from(ground), f32::from(value));
    // The conversion to a byte saturates at 0 and 255 and truncates.
    (ground + factor * (value - ground)) as u8
}

fn mean_gray(pixels: &[u8], channels: usize) -> u8 {
    let sum: u64 = match channels {
        1 => pixels.iter().map(|&value| u64::from(value)).sum(),
        _ => pixels
            .as_chunks::<3>()
            .0
            .iter()
            .map(|&[r, g, b]| u64::from(luma(r, g, b)))
            .sum(),
    };
    (sum as f64 / (pixels.len() / channels) as f64 + 0.5) as u8
}

fn shifted([red, green, blue]: [u8; 3], shift: u8) -> [u8; 3] {
    let (largest, smallest) = (red.max(green).max(blue), red.min(green).min(blue));
    if largest == smallest {
        return [red, green, blue];
    }
    let range = f32::from(largest - smallest);
    let saturation = (range / f32::from(largest) * 255.0) as u8;
    let [r, g, b] = [red, green, blue].map(|value| f32::from(largest - value) / range);
    let sixths = match largest {
        largest if largest == red => b - g,
        largest if largest == green => 2.0 + r - b,
        _ => 4.0 + g - r,
    };
    let hue = ((f64::from(sixths) / 6.0 + 1.0) % 1.0 * 255.0) as u8;
    from_hsv(hue.wrapping_add(shift), saturation, largest)
}

fn from_hsv(hue: u8, saturation: u8, value: u8) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let (sixths, strength, light) = (
        f32::from(hue) * 6.0 / 255.0,
        f32::from(saturation) / 255.0,
        f32::from(value),
    );
    let (sector, rest) = (sixths.floor(), sixths - sixths.floor());
    let scaled = |factor: f32| (light * factor).round() as u8;
    let low = scaled(1.0 - strength);
    let falling = scaled(1.0 - strength * rest);
    let rising = scaled(1.0 - strength * (1.0 - rest));
    match sector as u8 % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}
