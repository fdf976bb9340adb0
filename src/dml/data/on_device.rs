//! The transforms of a whole batch in tensor operations, for any device.
//!
//! Cropping, resizing and flipping are two multiplications by matrices of weights, the columns first and rounded to
//! bytes, as in [`resize`](super::resize). Sums are in floating point: a pixel can differ from the CPU's by one level.

use tch::{Device, Kind, Tensor};

use super::{AugmentParams, colors::Adjustment, transform::paint};

/// Applies the parameters to images of bytes `[n, height, width, channels]`, and returns bytes
/// `[n, channels, side, side]` on the same device.
///
/// # Panics
/// If the numbers of images and parameters differ, or the resulting sides do.
pub fn on_device(images: &Tensor, params: &[AugmentParams]) -> Tensor {
    let device = images.device();
    let size = images.size();
    let Some(side) = params.first().map(|params| params.side) else {
        return Tensor::zeros([0, size[3], 0, 0], (Kind::Uint8, device));
    };
    let regions = || params.iter().map(|params| params.region);
    let columns: Vec<_> = regions()
        .map(|region| [region.left, region.width])
        .collect();
    let rows: Vec<_> = regions()
        .map(|region| [region.top, region.height])
        .collect();
    let flipped: Vec<bool> = params.iter().map(|params| params.flip).collect();
    let columns = weights(&columns, size[2], side, device);
    let rows = weights(&rows, size[1], side, device);
    let mirrored = Tensor::from_slice(&flipped)
        .to_device(device)
        .view([-1, 1, 1]);
    let columns = columns.flip([1]).where_self(&mirrored, &columns);
    let pixels = images.permute([0, 3, 1, 2]).to_kind(Kind::Float);
    let narrowed = rounded(&pixels.matmul(&columns.transpose(1, 2).unsqueeze(1)));
    let mut resized = rounded(&rows.unsqueeze(1).matmul(&narrowed));
    adjust(&mut resized, params);
    erase(&mut resized, params);
    resized.to_kind(Kind::Uint8)
}

/// Returns the nearest integers, halves rounded up.
fn rounded(values: &Tensor) -> Tensor {
    (values + 0.5).floor().clamp(0.0, 255.0)
}

/// The weights `[n, to, from]` with which pixels of a line go into those of the result, of which the part
/// `[first, length]` is resized; see [`resize`](super::resize).
fn weights(parts: &[[usize; 2]], from: i64, to: usize, device: Device) -> Tensor {
    let column = |which: usize| {
        let values: Vec<f32> = parts.iter().map(|part| part[which] as f32).collect();
        Tensor::from_slice(&values)
            .to_device(device)
            .view([-1, 1, 1])
    };
    let (first, length) = (column(0), column(1));
    let scale = &length / to as f64;
    let reach = scale.clamp_min(1.0);
    let middle = (Tensor::arange(to as i64, (Kind::Float, device)).view([1, -1, 1]) + 0.5) * &scale;
    let place = Tensor::arange(from, (Kind::Float, device)).view([1, 1, -1]) - first;
    let triangle = (1.0f64 - ((&place + 0.5 - middle) / reach).abs()).clamp_min(0.0);
    let inside = place.ge(0.0).logical_and(&place.lt_tensor(&length));
    let weights = triangle * inside;
    let total = weights.sum_dim_intlist(-1i64, true, Kind::Float);
    weights / total
}

/// Changes colors. Each image has its own order, so that in each turn every kind of change is applied to
/// the images that are due for it.
fn adjust(images: &mut Tensor, params: &[AugmentParams]) {
    let turns = params.iter().map(|params| params.adjustments.len()).max();
    for turn in 0..turns.unwrap_or(0) {
        for kind in [brightness, contrast, saturation, hue] {
            adjust_kind(images, params, turn, kind);
        }
    }
}

/// Applies one kind of change to the images for which it is the change of this turn.
fn adjust_kind(
    images: &mut Tensor,
    params: &[AugmentParams],
    turn: usize,
    kind: fn(Adjustment) -> Option<f32>,
) {
    let mut indices = Vec::new();
    let mut factors = Vec::new();
    let mut example = None;
    for (index, params) in (0_i64..).zip(params) {
        let change = params.adjustments.get(turn).copied();
        if let Some(factor) = change.and_then(kind) {
            indices.push(index);
            factors.push(factor);
            example = change;
        }
    }
    let Some(change) = example else { return };
    let indices = Tensor::from_slice(&indices).to_device(images.device());
    let factors = Tensor::from_slice(&factors).to_device(images.device());
    let factors = factors.view([-1, 1, 1, 1]);
    let changed = changed(&images.index_select(0, &indices), change, &factors);
    let _ = images.index_copy_(0, &indices, &changed);
}

fn brightness(change: Adjustment) -> Option<f32> {
    match change {
        Adjustment::Brightness(factor) => Some(factor),
        Adjustment::Contrast(_) | Adjustment::Saturation(_) | Adjustment::Hue(_) => None,
    }
}

fn contrast(change: Adjustment) -> Option<f32> {
    match change {
        Adjustment::Contrast(factor) => Some(factor),
        Adjustment::Brightness(_) | Adjustment::Saturation(_) | Adjustment::Hue(_) => None,
    }
}

fn saturation(change: Adjustment) -> Option<f32> {
    match change {
        Adjustment::Saturation(factor) => Some(factor),
        Adjustment::Brightness(_) | Adjustment::Contrast(_) | Adjustment::Hue(_) => None,
    }
}

fn hue(change: Adjustment) -> Option<f32> {
    match change {
        Adjustment::Hue(shift) => Some(shift),
        Adjustment::Brightness(_) | Adjustment::Contrast(_) | Adjustment::Saturation(_) => None,
    }
}

/// Returns the images after a change of one kind, with a factor for each.
fn changed(images: &Tensor, kind: Adjustment, factors: &Tensor) -> Tensor {
    match kind {
        Adjustment::Brightness(_) => blend(&images.zeros_like(), images, factors),
        Adjustment::Contrast(_) => {
            let mean = luma(images).mean_dim([1i64, 2, 3].as_slice(), true, Kind::Float);
            blend(&rounded(&mean), images, factors)
        }
        Adjustment::Saturation(_) | Adjustment::Hue(_) if images.size()[1] == 1 => {
            images.shallow_clone()
        }
        Adjustment::Saturation(_) => blend(&luma(images), images, factors),
        Adjustment::Hue(_) => shifted(images, &(factors * 255.0).trunc()),
    }
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

fn erase(images: &mut Tensor, params: &[AugmentParams]) {
    let channels = images.size()[1];
    for (index, params) in (0..).zip(params) {
        let Some((region, color)) = params.erased else {
            continue;
        };
        let part = images
            .get(index)
            .narrow(1, region.top as i64, region.height as i64);
        let mut part = part.narrow(2, region.left as i64, region.width as i64);
        let paint = paint(color, channels as usize).map(f32::from);
        let color = Tensor::from_slice(&paint[..channels as usize]).to_device(images.device());
        part.copy_(&color.view([-1, 1, 1]).expand_as(&part));
    }
}
