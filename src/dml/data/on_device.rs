//! The transforms of a whole batch in tensor operations, for any device.
//!
//! Cropping, resizing and flipping are two multiplications by matrices of weights, the columns first and rounded to
//! bytes, as in [`resize`](super::resize). Sums are in floating point: a pixel can differ from the CPU's by one level.
//!
//! All numbers that images differ in are one table, which travels to the device with the images.

use tch::{Kind, Tensor};

use super::{AugmentParams, colors::Adjustment, transform::paint};

/// Columns of the table: the region, with 1 for a flip,
const LEFT: i64 = 0;
const WIDTH: i64 = 1;
const TOP: i64 = 2;
const HEIGHT: i64 = 3;
const FLIP: i64 = 4;
/// the region that is painted over, without its ends, and the color,
const FROM_LEFT: i64 = 5;
const TO_RIGHT: i64 = 6;
const FROM_TOP: i64 = 7;
const TO_BOTTOM: i64 = 8;
const PAINT: i64 = 9;
/// and for each turn of changes of color: the shares of the mean gray and of the gray of a pixel in what is blended
/// with the image, the factor of the image, and the shift of the hue.
const TURNS: i64 = 12;
const MEAN: i64 = 0;
const GRAY: i64 = 1;
const FACTOR: i64 = 2;
const SHIFT: i64 = 3;
const PER_TURN: i64 = 4;

/// What is done to a batch. Numbers that differ from image to image are on the device.
#[derive(Debug)]
pub(super) struct Plan {
    side: i64,
    /// Each image has its own order of changes of color. In a turn, some are due for one kind and some for another.
    turns: Vec<Turn>,
    erases: bool,
}

/// A turn of changes of color.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    /// True if an image is blended with something.
    blends: bool,
    /// True if an image is blended with gray.
    grays: bool,
    /// The number of images whose hue is shifted.
    shifts: i64,
}

/// The numbers of an image in one turn, as in the table. An image that nothing is due for keeps its pixels.
fn numbers_of(change: Option<Adjustment>, channels: usize) -> [f32; PER_TURN as usize] {
    match (change, channels) {
        (Some(Adjustment::Brightness(factor)), _) => [0.0, 0.0, factor, 0.0],
        (Some(Adjustment::Contrast(factor)), _) => [1.0, 0.0, factor, 0.0],
        (None, _) | (Some(Adjustment::Saturation(_) | Adjustment::Hue(_)), 1) => {
            [0.0, 0.0, 1.0, 0.0]
        }
        (Some(Adjustment::Saturation(factor)), _) => [0.0, 1.0, factor, 0.0],
        (Some(Adjustment::Hue(shift)), _) => [0.0, 0.0, 1.0, (shift * 255.0).trunc()],
    }
}

/// True if a change shifts the hue of an image with `channels` channels.
fn is_shift(change: Option<Adjustment>, channels: usize) -> bool {
    match change {
        Some(Adjustment::Hue(_)) => channels > 1,
        Some(Adjustment::Brightness(_) | Adjustment::Contrast(_) | Adjustment::Saturation(_))
        | None => false,
    }
}

impl Plan {
    /// Returns the plan for images with `channels` channels; the table of its numbers `[n, columns]`; and the indices of the
    /// images whose hue is shifted, turn by turn.
    pub(super) fn of(params: &[AugmentParams], channels: usize) -> (Plan, Tensor, Tensor) {
        let turns = params.iter().map(|params| params.adjustments.len()).max();
        let mut turns = vec![Turn::default(); turns.unwrap_or(0)];
        let (mut table, mut shifted) = (Vec::new(), Vec::new());
        for params in params {
            table.extend(numbers_of_regions(params, channels));
            for place in 0..turns.len() {
                table.extend(numbers_of(params.adjustments.get(place).copied(), channels));
            }
        }
        for (place, turn) in turns.iter_mut().enumerate() {
            for (index, params) in (0_i64..).zip(params) {
                let change = params.adjustments.get(place).copied();
                if is_shift(change, channels) {
                    shifted.push(index);
                    turn.shifts += 1;
                } else if change.is_some() {
                    let [mean, gray, ..] = numbers_of(change, channels);
                    turn.blends = true;
                    turn.grays |= mean + gray > 0.0;
                }
            }
        }
        let plan = Plan {
            side: params.first().map_or(0, |params| params.side as i64),
            erases: params.iter().any(|params| params.erased.is_some()),
            turns,
        };
        let columns = TURNS + PER_TURN * plan.turns.len() as i64;
        let table = Tensor::from_slice(&table).view([-1, columns]);
        (plan, table, Tensor::from_slice(&shifted))
    }

    /// Applies the plan to images of bytes `[n, height, width, channels]`, and returns bytes
    /// `[n, channels, side, side]` on the same device.
    pub(super) fn apply(&self, images: &Tensor, table: &Tensor, shifted: &Tensor) -> Tensor {
        let [count, height, width, channels] = images.size()[..] else {
            unreachable!("images have four dimensions")
        };
        if count == 0 {
            return Tensor::zeros([0, channels, 0, 0], (Kind::Uint8, images.device()));
        }
        let column = |number: i64| table.narrow(1, number, 1).unsqueeze(2);
        let columns = weights(&column(LEFT), &column(WIDTH), width, self.side);
        let rows = weights(&column(TOP), &column(HEIGHT), height, self.side);
        let columns = columns
            .flip([1])
            .where_self(&column(FLIP).gt(0.0), &columns);
        let pixels = images.permute([0, 3, 1, 2]).to_kind(Kind::Float);
        let narrowed = rounded(&pixels.matmul(&columns.transpose(1, 2).unsqueeze(1)));
        let resized = rounded(&rows.unsqueeze(1).matmul(&narrowed));
        let adjusted = self.adjusted(resized, table, shifted);
        self.erased(adjusted, table).to_kind(Kind::Uint8)
    }

    /// Changes colors.
    fn adjusted(&self, mut images: Tensor, table: &Tensor, shifted: &Tensor) -> Tensor {
        let mut first = 0;
        for (place, turn) in (0..).zip(&self.turns) {
            let own = |number: i64| {
                let column = table.narrow(1, TURNS + PER_TURN * place + number, 1);
                column.view([-1, 1, 1, 1])
            };
            if turn.blends {
                images = blend(&turn.ground(&images, own), &images, &own(FACTOR));
            }
            if turn.shifts > 0 {
                let indices = shifted.narrow(0, first, turn.shifts);
                let shift = own(SHIFT).index_select(0, &indices);
                let changed = self::shifted(&images.index_select(0, &indices), &shift);
                let _ = images.index_copy_(0, &indices, &changed);
            }
            first += turn.shifts;
        }
        images
    }

    /// Paints over a region of some images.
    fn erased(&self, images: Tensor, table: &Tensor) -> Tensor {
        if !self.erases {
            return images;
        }
        let number = |column: i64| table.narrow(1, column, 1).view([-1, 1, 1, 1]);
        let place = Tensor::arange(self.side, (Kind::Float, images.device()));
        let within = |place: &Tensor, from: i64, to: i64| {
            let begun = place.ge_tensor(&number(from));
            begun.logical_and(&place.less_tensor(&number(to)))
        };
        let columns = within(&place.view([1, 1, 1, -1]), FROM_LEFT, TO_RIGHT);
        let rows = within(&place.view([1, 1, -1, 1]), FROM_TOP, TO_BOTTOM);
        let channels = images.size()[1];
        let paint = table.narrow(1, PAINT, channels).view([-1, channels, 1, 1]);
        paint.where_self(&rows.logical_and(&columns), &images)
    }
}

impl Turn {
    /// Returns what images are blended with: black, their mean gray, or the gray of each pixel. `own` returns a column
    /// of this turn.
    fn ground(self, images: &Tensor, own: impl Fn(i64) -> Tensor) -> Tensor {
        if !self.grays {
            return Tensor::zeros([1], (Kind::Float, images.device()));
        }
        let gray = luma(images);
        let mean = rounded(&gray.mean_dim([1i64, 2, 3].as_slice(), true, Kind::Float));
        gray * own(GRAY) + mean * own(MEAN)
    }
}

/// Returns the numbers of an image that are not about changes of color.
fn numbers_of_regions(params: &AugmentParams, channels: usize) -> [f32; TURNS as usize] {
    let region = params.region;
    let (erased, color) = match params.erased {
        Some((erased, color)) => (
            [
                erased.left,
                erased.left + erased.width,
                erased.top,
                erased.top + erased.height,
            ],
            paint(color, channels),
        ),
        None => ([0; 4], [0; 3]),
    };
    let [left, right, top, bottom] = erased.map(|side| side as f32);
    let [red, green, blue] = color.map(f32::from);
    [
        region.left as f32,
        region.width as f32,
        region.top as f32,
        region.height as f32,
        f32::from(u8::from(params.flip)),
        left,
        right,
        top,
        bottom,
        red,
        green,
        blue,
    ]
}

/// Returns the nearest integers, halves rounded up.
fn rounded(values: &Tensor) -> Tensor {
    (values + 0.5).floor().clamp(0.0, 255.0)
}

/// Returns the weights `[n, to, from]` of the pixels of a line in the pixels of the result. The part of the line that
/// begins at `first` and has this `length`, `[n, 1, 1]` each, is resized; see [`resize`](super::resize).
fn weights(first: &Tensor, length: &Tensor, from: i64, to: i64) -> Tensor {
    let whole = (Kind::Float, first.device());
    let scale = length / to as f64;
    let reach = scale.clamp_min(1.0);
    let middle = (Tensor::arange(to, whole).view([1, -1, 1]) + 0.5) * &scale;
    let place = Tensor::arange(from, whole).view([1, 1, -1]) - first;
    let triangle = (1.0f64 - ((&place + 0.5 - middle) / reach).abs()).clamp_min(0.0);
    let inside = place.ge(0.0).logical_and(&place.lt_tensor(length));
    let weights = triangle * inside;
    let total = weights.sum_dim_intlist(-1i64, true, Kind::Float);
    weights / total
}

fn blend(ground: &Tensor, images: &Tensor, factors: &Tensor) -> Tensor {
    (ground + factors * (images - ground))
        .clamp(0.0, 255.0)
        .floor()
}

/// Returns the luma of pixels, `[n, 1, side, side]`.
fn luma(images: &Tensor) -> Tensor {
    if images.size()[1] == 1 {
        return images.shallow_clone();
    }
    let channel = |number| images.narrow(1, number, 1);
    ((channel(0) * 19_595.0 + channel(1) * 38_470.0 + channel(2) * 7_471.0 + 32_768.0) / 65_536.0)
        .floor()
}

/// Shifts hues by 255ths of the circle.
fn shifted(images: &Tensor, shift: &Tensor) -> Tensor {
    let [red, green, blue] = [0, 1, 2].map(|channel| images.narrow(1, channel, 1));
    let largest = images.amax([1i64].as_slice(), true);
    let smallest = images.amin([1i64].as_slice(), true);
    let range = (&largest - smallest).clamp_min(1.0);
    let below = |channel: &Tensor| (&largest - channel) / &range;
    let [r, g, b] = [&red, &green, &blue].map(below);
    let sixths = (&b - &g).where_self(
        &largest.eq_tensor(&red),
        &(&r - &b + 2.0).where_self(&largest.eq_tensor(&green), &(&g - &r + 4.0)),
    );
    let hue = ((sixths / 6.0 + 1.0).fmod(1.0) * 255.0).floor() + shift;
    let strength = (&range / largest.clamp_min(1.0) * 255.0).floor() / 255.0;
    let gray = images
        .amax([1i64].as_slice(), true)
        .eq_tensor(&images.amin([1i64].as_slice(), true));
    // A hue is a byte and wraps around.
    let sixths = hue.remainder(256.0) * (6.0 / 255.0);
    let sector = sixths.floor();
    let rest = &sixths - &sector;
    let scaled = |factor: Tensor| rounded(&(&largest * factor));
    let low = scaled(1.0f64 - &strength);
    let falling = scaled(1.0f64 - &strength * &rest);
    let rising = scaled(1.0f64 - &strength * (1.0f64 - &rest));
    let sector = sector.remainder(6.0).to_kind(Kind::Int64);
    let choose = |of: [&Tensor; 6]| Tensor::cat(&of, 1).gather(1, &sector, false);
    let turned = Tensor::cat(
        &[
            choose([&largest, &falling, &low, &low, &rising, &largest]),
            choose([&rising, &largest, &largest, &falling, &low, &low]),
            choose([&low, &low, &rising, &largest, &largest, &falling]),
        ],
        1,
    );
    images.where_self(&gray, &turned)
}
