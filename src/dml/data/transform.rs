//! Transforms of stored images: crop and resize, flip, operations of a policy, changes of color, erasing.
//!
//! The random draws for an image are its [`AugmentParams`], a pure function of seed, step and index
//! in the batch. The algorithms and pixels are torchvision's on Pillow images (`RandomResizedCrop`,
//! `CenterCrop`, `RandomHorizontalFlip`, `ColorJitter`, `RandomErasing`). The parameters are applied
//! here on the CPU, or, where there is no [`policy`], by [`on_device`](super::on_device) to a whole batch at once.

use schema::{ColorJitter, RandomErasing, TrainTransform};

use super::{Operation, Raster, Region, colors::Adjustment, policy, resize::resize};
use crate::random::{Draws, Purpose};

/// The outcome of all random draws for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct AugmentParams {
    /// The region that is taken.
    pub region: Region,
    /// Pixels a side of the result.
    pub side: usize,
    /// True if left and right are exchanged.
    pub flip: bool,
    /// Operations of a policy, in order.
    pub operations: Vec<Operation>,
    /// Changes of color, in order.
    pub adjustments: Vec<Adjustment>,
    /// The region that is painted over, and its color.
    pub erased: Option<(Region, [u8; 3])>,
}

/// Attempts at a random rectangle before something simpler is done, as in torchvision.
const ATTEMPTS: usize = 10;

/// The key of an image's random draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawKey {
    /// The seed of the training.
    pub seed: u64,
    /// The number of the batch.
    pub step: u64,
    /// The index of the image in the batch.
    pub index: u64,
}

impl DrawKey {
    fn draws(self, purpose: Purpose) -> Draws {
        Draws::new(self.seed, purpose, self.step, self.index)
    }
}

impl AugmentParams {
    /// Draws the parameters for an image of these sides, width and height.
    ///
    /// # Panics
    /// If a crop is larger than the image.
    pub fn drawn(transform: &TrainTransform, sides: [usize; 2], key: DrawKey) -> AugmentParams {
        let mut draws = key.draws(Purpose::Transform);
        let (region, side) = cropped(transform, sides, &mut draws);
        let flip = transform.flip > 0.0 && draws.uniform() < transform.flip;
        let operations = match &transform.policy {
            Some(policy) => policy::drawn(policy, side, &mut key.draws(Purpose::Augmentation)),
            None => Vec::new(),
        };
        let adjustments = match &transform.color_jitter {
            Some(jitter) => adjustments(jitter, &mut draws),
            None => Vec::new(),
        };
        let erased = match &transform.random_erasing {
            Some(erasing) => erased(erasing, side, &mut draws),
            None => None,
        };
        AugmentParams {
            region,
            side,
            flip,
            operations,
            adjustments,
            erased,
        }
    }

    /// Applies the parameters to their region of the stored image, into `side * side * channels` bytes.
    pub(super) fn apply(&self, part: &Raster, out: &mut [u8]) {
        let sides = [self.side; 2];
        resize(part, part.region(), sides, Region::whole(sides), out);
        if self.flip {
            flip(out, self.side, part.channels);
        }
        for operation in &self.operations {
            operation.apply(out, self.side, part.channels);
        }
        for change in &self.adjustments {
            change.apply(out, part.channels);
        }
        if let Some((region, color)) = self.erased {
            erase(
                out,
                self.side,
                &paint(color, part.channels)[..part.channels],
                region,
            );
        }
    }
}

/// Returns the region that is taken of an image, and the pixels a side of the result.
fn cropped(
    transform: &TrainTransform,
    [width, height]: [usize; 2],
    draws: &mut Draws,
) -> (Region, usize) {
    if let Some(crop) = &transform.random_resized_crop {
        let region = random_region([width, height], crop.scale, crop.ratio, draws);
        return (region, crop.size as usize);
    }
    let square = |left, top, size| Region {
        left,
        top,
        width: size,
        height: size,
    };
    if let Some(size) = transform.random_crop {
        let size = size as usize;
        let top = draws.below(height - size + 1);
        let left = draws.below(width - size + 1);
        return (square(left, top, size), size);
    }
    if let Some(size) = transform.center_crop {
        let size = size as usize;
        return (
            square(centered(width, size), centered(height, size), size),
            size,
        );
    }
    (Region::whole([width, height]), width)
}

/// Returns the first of the `size` pixels in the middle of a side.
fn centered(side: usize, size: usize) -> usize {
    ((side - size) as f64 / 2.0).round_ties_even() as usize
}

fn random_region(
    [width, height]: [usize; 2],
    scale: [f64; 2],
    ratio: [f64; 2],
    draws: &mut Draws,
) -> Region {
    for _ in 0..ATTEMPTS {
        let (w, h) = rectangle((width * height) as f64, scale, ratio, draws);
        if 0 < w && w <= width && 0 < h && h <= height {
            let top = draws.below(height - h + 1);
            let left = draws.below(width - w + 1);
            return Region {
                left,
                top,
                width: w,
                height: h,
            };
        }
    }
    middle_region(width, height, ratio)
}

/// Returns the largest centered region with an allowed ratio.
fn middle_region(width: usize, height: usize, [narrowest, widest]: [f64; 2]) -> Region {
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

/// Draws the changes of color and their order.
fn adjustments(jitter: &ColorJitter, draws: &mut Draws) -> Vec<Adjustment> {
    let mut order = [0, 1, 2, 3];
    draws.choose(&mut order, 4);
    let brightness = factor(jitter.brightness, draws);
    let contrast = factor(jitter.contrast, draws);
    let saturation = factor(jitter.saturation, draws);
    let hue = draws.between(-jitter.hue, jitter.hue) as f32;
    let all = [
        (jitter.brightness, Adjustment::Brightness(brightness)),
        (jitter.contrast, Adjustment::Contrast(contrast)),
        (jitter.saturation, Adjustment::Saturation(saturation)),
        (jitter.hue, Adjustment::Hue(hue)),
    ];
    let drawn = order.into_iter().map(|kind: usize| all[kind]);
    drawn
        .filter(|(bound, _)| *bound > 0.0)
        .map(|(_, change)| change)
        .collect()
}

/// Draws a factor from `1 - bound`, at least 0, to `1 + bound`.
fn factor(bound: f64, draws: &mut Draws) -> f32 {
    draws.between((1.0 - bound).max(0.0), 1.0 + bound) as f32
}

/// Draws the rectangle to paint over, if there is one.
fn erased(erasing: &RandomErasing, side: usize, draws: &mut Draws) -> Option<(Region, [u8; 3])> {
    if draws.uniform() >= erasing.probability {
        return None;
    }
    for _ in 0..ATTEMPTS {
        let area = (side * side) as f64;
        let (height, width) = rectangle(area, erasing.scale, erasing.ratio, draws);
        if height < side && width < side {
            let top = draws.below(side - height + 1);
            let left = draws.below(side - width + 1);
            let region = Region {
                left,
                top,
                width,
                height,
            };
            return Some((region, erasing.color));
        }
    }
    None
}

fn flip(pixels: &mut [u8], side: usize, channels: usize) {
    for row in pixels.chunks_exact_mut(side * channels) {
        match channels {
            1 => row.reverse(),
            _ => row.as_chunks_mut::<3>().0.reverse(),
        }
    }
}

fn erase(pixels: &mut [u8], side: usize, paint: &[u8], region: Region) {
    let rows = pixels.chunks_exact_mut(side * paint.len());
    for row in rows.skip(region.top).take(region.height) {
        let pixels = row.chunks_exact_mut(paint.len());
        for pixel in pixels.skip(region.left).take(region.width) {
            pixel.copy_from_slice(paint);
        }
    }
}

/// Returns the color, or its luma for gray images.
pub(super) fn paint([red, green, blue]: [u8; 3], channels: usize) -> [u8; 3] {
    if channels == 1 {
        [super::raster::luma(red, green, blue); 3]
    } else {
        [red, green, blue]
    }
}
