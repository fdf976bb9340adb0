//! The transforms of a whole batch in tensor operations, for any device.
//!
//! Cropping, resizing and flipping are two multiplications by matrices of weights, the columns first and rounded to
//! bytes, as in [`resize`](super::resize). Sums are in floating point: a pixel can differ from the CPU's by one level.

use tch::{Device, Kind, Tensor};

use super::{Plan, colours::Adjustment, transform::paint};

/// Carries out the plans on images of bytes `[n, height, width, channels]`, and returns bytes
/// `[n, channels, side, side]` on the same device.
///
/// # Panics
/// If there are not as many plans as images, or they lead to squares of different sides.
pub fn on_device(images: &Tensor, plans: &[Plan]) -> Tensor {
    let (device, size) = (images.device(), images.size());
    let Some(side) = plans.first().map(|plan| plan.side) else {
        return Tensor::zeros([0, size[3], 0, 0], (Kind::Uint8, device));
    };
    let (part, flipped): (Vec<_>, Vec<_>) =
        plans.iter().map(|plan| (plan.region, plan.flip)).unzip();
    let columns = weights(
        &part
            .iter()
            .map(|part| [part.left, part.width])
            .collect::<Vec<_>>(),
        size[2],
        side,
        device,
    );
    let rows = weights(
        &part
            .iter()
            .map(|part| [part.top, part.height])
            .collect::<Vec<_>>(),
        size[1],
        side,
        device,
    );
    let mirrored = Tensor::from_slice(&flipped)
        .to_device(device)
        .view([-1, 1, 1]);
    let columns = columns.flip([1]).where_self(&mirrored, &columns);
    let pixels = images.permute([0, 3, 1, 2]).to_kind(Kind::Float);
    let narrowed = rounded(&pixels.matmul(&columns.transpose(1, 2).unsqueeze(1)));
    let mut resized = rounded(&rows.unsqueeze(1).matmul(&narrowed));
    adjust(&mut resized, plans);
    erase(&mut resized, plans);
    resized.to_kind(Kind::Uint8)
}

/// To the nearest whole number, halves upwards.
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

/// Changes colours. Each image has its own order, so of each turn every kind is done to those whose turn it is.
fn adjust(images: &mut Tensor, plans: &[Plan]) {
    let turns = plans
        .iter()
        .map(|plan| plan.adjustments.len())
        .max()
        .unwrap_or(0);
    for turn in 0..turns {
        for kind in [brightness, contrast, saturation, hue] {
            let due = |(number, plan): (usize, &Plan)| {
                Some((number as i64, kind(*plan.adjustments.get(turn)?)?))
            };
            let (numbers, factors): (Vec<i64>, Vec<f32>) =
                plans.iter().enumerate().filter_map(due).unzip();
            let Some(first) = numbers.first() else {
                continue;
            };
            let change = plans[*first as usize].adjustments[turn];
            let numbers = Tensor::from_slice(&numbers).to_device(images.device());
            let factors = Tensor::from_slice(&factors)
                .to_device(images.device())
                .view([-1, 1, 1, 1]);
            let changed = changed(&images.index_select(0, &numbers), change, &factors);
            let _ = images.index_copy_(0, &numbers, &changed);
        }
    }
}

fn brightness(change: Adjustment) -> Option<f32> {
    if let Adjustment::Brightness(factor) = change {
        Some(factor)
    } else {
        None
    }
}

fn contrast(change: Adjustment) -> Option<f32> {
    if let Adjustment::Contrast(factor) = change {
        Some(factor)
    } else {
        None
    }
}

fn saturation(change: Adjustment) -> Option<f32> {
    if let Adjustment::Saturation(factor) = change {
        Some(factor)
    } else {
        None
    }
}

fn hue(change: Adjustment) -> Option<f32> {
    if let Adjustment::Hue(shift) = change {
        Some(shift)
    } else {
        None
    }
}

/// Images after a change of one kind, with a factor for each.
fn changed(images: &Tensor, kind: Adjustment, factors: &Tensor) -> Tensor {
    match kind {
        Adjustment::Brightness(_) => blend(&images.zeros_like(), images, factors),
        Adjustment::Contrast(_) => {
            let mean = luma(images).mean_dim([1i64, 2, 3].as_slice(), true, Kind::Float);
            blend(&rounded(&mean), images, factors)
        }
        _ if images.size()[1] == 1 => images.shallow_clone(),
        Adjustment::Saturation(_) => blend(&luma(images), images, factors),
        Adjustment::Hue(_) => shifted(images, &(factors * 255.0).trunc()),
    }
}

fn blend(ground: &Tensor, images: &Tensor, factors: &Tensor) -> Tensor {
    (ground + factors * (images - ground))
        .clamp(0.0, 255.0)
        .floor()
}

/// How light pixels are, `[n, 1, side, side]`.
fn luma(images: &Tensor) -> Tensor {
    if images.size()[1] == 1 {
        return images.shallow_clone();
    }
    let channel = |number| images.narrow(1, number, 1);
    ((channel(0) * 19_595.0 + channel(1) * 38_470.0 + channel(2) * 7_471.0 + 32_768.0) / 65_536.0)
        .floor()
}

/// Hues moved by so many 255ths of the circle.
fn shifted(images: &Tensor, shift: &Tensor) -> Tensor {
    let (red, green, blue) = (
        images.narrow(1, 0, 1),
        images.narrow(1, 1, 1),
        images.narrow(1, 2, 1),
    );
    let (largest, smallest) = (
        images.amax([1i64].as_slice(), true),
        images.amin([1i64].as_slice(), true),
    );
    let range = (&largest - smallest).clamp_min(1.0);
    let below = |channel: &Tensor| (&largest - channel) / &range;
    let (r, g, b) = (below(&red), below(&green), below(&blue));
    let sixths = (&b - &g).where_self(
        &largest.eq_tensor(&red),
        &(&r - &b + 2.0).where_self(&largest.eq_tensor(&green), &(&g - &r + 4.0)),
    );
    let hue = ((sixths / 6.0 + 1.0).fmod(1.0) * 255.0).floor() + shift;
    let strength = (&range / largest.clamp_min(1.0) * 255.0).floor() / 255.0;
    let grey = images
        .amax([1i64].as_slice(), true)
        .eq_tensor(&images.amin([1i64].as_slice(), true));
    // A hue is a byte, and goes round.
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
    images.where_self(&grey, &turned)
}

fn erase(images: &mut Tensor, plans: &[Plan]) {
    let channels = images.size()[1];
    for (number, plan) in (0..).zip(plans) {
        let Some((region, colour)) = plan.erased else {
            continue;
        };
        let part = images
            .get(number)
            .narrow(1, region.top as i64, region.height as i64);
        let mut part = part.narrow(2, region.left as i64, region.width as i64);
        let paint = paint(colour, channels as usize).map(f32::from);
        let colour = Tensor::from_slice(&paint[..channels as usize]).to_device(images.device());
        part.copy_(&colour.view([-1, 1, 1]).expand_as(&part));
    }
}
