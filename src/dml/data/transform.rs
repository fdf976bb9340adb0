//! What is done to a stored image before a network sees it: crop and resize, flip, changes of colour, erasing.
//!
//! All that chance decides about an image is a [`Plan`], a pure function of seed, step and place in the batch. The
//! algorithms are torchvision's on Pillow images (`RandomResizedCrop`, `CenterCrop`, `RandomHorizontalFlip`,
//! `ColorJitter`, `RandomErasing`), and so are the pixels. A plan is carried out here on the CPU, or by
//! [`on_device`](super::on_device()) for a whole batch at once.

use super::{Raster, Region, StoredImages, colours::Adjustment, resize::resize};
use crate::random::{Draws, Purpose};

/// What is done to images, in this order.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Which part is taken.
    pub crop: Crop,
    /// How probable it is that left and right are exchanged.
    pub flip: f64,
    /// Random changes of colour.
    pub jitter: Option<ColourJitter>,
    /// Paints over a random rectangle.
    pub erasing: Option<RandomErasing>,
}

/// Which part of an image is taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Crop {
    /// All of it, which must be a square.
    Whole,
    /// The square of so many pixels a side in the middle.
    Center(usize),
    /// A square of so many pixels a side anywhere.
    Random(usize),
    /// Any part within bounds, resized to a square.
    RandomResized {
        /// Pixels a side of the result.
        size: usize,
        /// The part's area, as a fraction of the image's.
        scale: [f64; 2],
        /// Its width divided by its height.
        ratio: [f64; 2],
    },
}

/// Bounds of random changes of colour: factors from `1 - x` to `1 + x`, a shift of hue from `-x` to `x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColourJitter {
    /// Of the factor on brightness.
    pub brightness: f64,
    /// Of the factor on contrast.
    pub contrast: f64,
    /// Of the factor on saturation.
    pub saturation: f64,
    /// Of the shift of hue; 1 is the whole circle.
    pub hue: f64,
}

/// Paints over a random rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomErasing {
    /// How probable it is.
    pub probability: f64,
    /// The rectangle's area, as a fraction of the image's.
    pub scale: [f64; 2],
    /// Its height divided by its width.
    pub ratio: [f64; 2],
    /// Its colour, red, green and blue.
    pub colour: [u8; 3],
}

/// What is done to one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The part that is taken.
    pub region: Region,
    /// Pixels a side of the result.
    pub side: usize,
    /// Whether left and right are exchanged.
    pub flip: bool,
    /// Changes of colour, in order.
    pub adjustments: Vec<Adjustment>,
    /// What is painted over, in which colour.
    pub erased: Option<(Region, [u8; 3])>,
}

/// Attempts at a random rectangle before something simpler is done, as in torchvision.
const ATTEMPTS: usize = 10;

impl Transform {
    /// The square in the middle, or the whole image, and nothing left to chance.
    pub fn plain(crop: Crop) -> Transform {
        Transform {
            crop,
            flip: 0.0,
            jitter: None,
            erasing: None,
        }
    }

    /// Whether stored squares stay as they are.
    pub fn is_nothing(&self) -> bool {
        *self == Transform::plain(Crop::Whole)
    }

    /// Pixels a side of the result.
    pub fn side(&self, stored: &StoredImages) -> usize {
        match self.crop {
            Crop::Whole => stored.size.short_side(),
            Crop::Center(size) | Crop::Random(size) | Crop::RandomResized { size, .. } => size,
        }
    }

    /// What is done to the image of these sides at this place in the batch of `step`.
    pub fn plan(&self, [width, height]: [usize; 2], seed: u64, step: u64, place: u64) -> Plan {
        let mut draws = Draws::new(seed, Purpose::Transform, step, place);
        let (region, side) = self.crop.part(width, height, &mut draws);
        let flip = self.flip > 0.0 && draws.uniform() < self.flip;
        let adjustments = self
            .jitter
            .map_or_else(Vec::new, |jitter| jitter.adjustments(&mut draws));
        let erased = self
            .erasing
            .and_then(|erasing| erasing.rectangle(side, &mut draws));
        Plan {
            region,
            side,
            flip,
            adjustments,
            erased,
        }
    }
}

impl Crop {
    /// The part that is taken of an image, and the sides of the result.
    fn part(&self, width: usize, height: usize, draws: &mut Draws) -> (Region, usize) {
        match *self {
            Crop::Whole => (
                Region {
                    left: 0,
                    top: 0,
                    width,
                    height,
                },
                width,
            ),
            Crop::Center(size) => {
                let middle = |side: usize| ((side - size) as f64 / 2.0).round_ties_even() as usize;
                (
                    Region {
                        left: middle(width),
                        top: middle(height),
                        width: size,
                        height: size,
                    },
                    size,
                )
            }
            Crop::Random(size) => {
                let (top, left) = (
                    draws.below(height - size + 1),
                    draws.below(width - size + 1),
                );
                (
                    Region {
                        left,
                        top,
                        width: size,
                        height: size,
                    },
                    size,
                )
            }
            Crop::RandomResized { size, scale, ratio } => {
                (random_part(width, height, scale, ratio, draws), size)
            }
        }
    }
}

fn random_part(
    width: usize,
    height: usize,
    scale: [f64; 2],
    ratio: [f64; 2],
    draws: &mut Draws,
) -> Region {
    for _ in 0..ATTEMPTS {
        let (w, h) = rectangle((width * height) as f64, scale, ratio, draws);
        if 0 < w && w <= width && 0 < h && h <= height {
            let (top, left) = (draws.below(height - h + 1), draws.below(width - w + 1));
            return Region {
                left,
                top,
                width: w,
                height: h,
            };
        }
    }
    middle_part(width, height, ratio)
}

/// As much of the middle as has one of the allowed ratios.
fn middle_part(width: usize, height: usize, [narrowest, widest]: [f64; 2]) -> Region {
    let ratio = width as f64 / height as f64;
    let (w, h) = match () {
        () if ratio < narrowest => (width, (width as f64 / narrowest).round_ties_even() as usize),
        () if ratio > widest => ((height as f64 * widest).round_ties_even() as usize, height),
        () => (width, height),
    };
    Region {
        left: (width - w) / 2,
        top: (height - h) / 2,
        width: w,
        height: h,
    }
}

/// Width and height of a random rectangle; its ratio is uniform in its logarithm.
fn rectangle(
    area: f64,
    [smallest, largest]: [f64; 2],
    ratio: [f64; 2],
    draws: &mut Draws,
) -> (usize, usize) {
    let area = area * draws.between(smallest, largest);
    let [low, high] = ratio.map(f64::ln);
    let ratio = draws.between(low, high).exp();
    let rounded = |side: f64| side.sqrt().round_ties_even() as usize;
    (rounded(area * ratio), rounded(area / ratio))
}

impl ColourJitter {
    fn adjustments(self, draws: &mut Draws) -> Vec<Adjustment> {
        let mut order = [0, 1, 2, 3];
        draws.choose(&mut order, 4);
        let mut factor = |bound: f64| draws.between((1.0 - bound).max(0.0), 1.0 + bound) as f32;
        let (brightness, contrast, saturation) = (
            factor(self.brightness),
            factor(self.contrast),
            factor(self.saturation),
        );
        let hue = draws.between(-self.hue, self.hue);
        let all = [
            (self.brightness, Adjustment::Brightness(brightness)),
            (self.contrast, Adjustment::Contrast(contrast)),
            (self.saturation, Adjustment::Saturation(saturation)),
            (self.hue, Adjustment::Hue(hue as f32)),
        ];
        order
            .into_iter()
            .map(|number| all[number])
            .filter(|(bound, _)| *bound > 0.0)
            .map(|(_, change)| change)
            .collect()
    }
}

impl RandomErasing {
    fn rectangle(&self, side: usize, draws: &mut Draws) -> Option<(Region, [u8; 3])> {
        if draws.uniform() >= self.probability {
            return None;
        }
        for _ in 0..ATTEMPTS {
            let (height, width) = rectangle((side * side) as f64, self.scale, self.ratio, draws);
            if height < side && width < side {
                let (top, left) = (
                    draws.below(side - height + 1),
                    draws.below(side - width + 1),
                );
                return Some((
                    Region {
                        left,
                        top,
                        width,
                        height,
                    },
                    self.colour,
                ));
            }
        }
        None
    }
}

impl Plan {
    /// Carries the plan out on its part of the stored image, into `side * side * channels` bytes.
    pub(super) fn apply(&self, part: &Raster, out: &mut [u8]) {
        let (side, channels) = (self.side, part.channels);
        resize(
            part,
            part.region(),
            [side, side],
            Region {
                left: 0,
                top: 0,
                width: side,
                height: side,
            },
            out,
        );
        if self.flip {
            flip(out, side, channels);
        }
        self.adjustments
            .iter()
            .for_each(|change| change.apply(out, channels));
        if let Some((region, colour)) = self.erased {
            erase(out, side, channels, region, colour);
        }
    }
}

fn flip(pixels: &mut [u8], side: usize, channels: usize) {
    for row in pixels.chunks_exact_mut(side * channels) {
        match channels {
            1 => row.reverse(),
            _ => row.as_chunks_mut::<3>().0.reverse(),
        }
    }
}

fn erase(pixels: &mut [u8], side: usize, channels: usize, region: Region, colour: [u8; 3]) {
    for row in pixels
        .chunks_exact_mut(side * channels)
        .skip(region.top)
        .take(region.height)
    {
        for pixel in row
            .chunks_exact_mut(channels)
            .skip(region.left)
            .take(region.width)
        {
            pixel.copy_from_slice(&paint(colour, channels)[..channels]);
        }
    }
}

/// A colour, or how light it is.
pub(super) fn paint([red, green, blue]: [u8; 3], channels: usize) -> [u8; 3] {
    if channels == 1 {
        [super::raster::luma(red, green, blue); 3]
    } else {
        [red, green, blue]
    }
}
