//! Where patches are: learned embeddings, and rotations.

use std::f64::consts::PI;

use tch::{Device, Kind, Tensor};

use super::HEAD_WIDTH;

/// Returns the side of a square of this many patches.
fn side_of(count: i64) -> Option<i64> {
    Some((count as f64).sqrt().round() as i64).filter(|side| side * side == count)
}

/// Returns position embeddings `[1, side^2, d]`, or `[1, 1 + side^2, d]` with that of the class token, resampled to
/// `count` positions. Returns them unchanged if they have that many, or if either number is no square.
pub(in crate::model) fn resampled(positions: &Tensor, count: i64) -> Tensor {
    let [1, had, width] = positions.size()[..] else {
        return positions.shallow_clone();
    };
    // Without the class token there are as many as patches, which are a square.
    let first = i64::from(side_of(count).is_none());
    let (Some(from), Some(to)) = (side_of(had - first), side_of(count - first)) else {
        return positions.shallow_clone();
    };
    if from == to {
        return positions.shallow_clone();
    }
    let class = positions.narrow(1, 0, first);
    let grid = positions
        .narrow(1, first, had - first)
        .to_kind(Kind::Float)
        .view([1, from, from, width])
        .permute([0, 3, 1, 2]);
    let grid = grid.internal_upsample_bicubic2d_aa([to, to], false, None, None);
    Tensor::cat(
        &[
            class,
            grid.permute([0, 2, 3, 1]).reshape([1, to * to, width]),
        ],
        1,
    )
}

/// Rotary positions of DINOv3. The two halves of a head are the real and the imaginary parts of numbers that are turned by
/// angles: half of them by the place of the row, half by that of the column, each at another speed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation {
    /// Patches of an image's side.
    pub(super) side: i64,
}

/// The longest period, in half sides of an image.
const LONGEST: f64 = 100.0;

impl Rotation {
    /// Returns the rotations at all patches.
    pub(super) fn at_patches(self, device: Device) -> Turned {
        let (side, speeds) = (self.side, HEAD_WIDTH / 4);
        let count = |count: i64| Tensor::arange(count, (Kind::Float, device));
        let places = (count(side) + 0.5) * (2.0 / side as f64) - 1.0;
        let periods = (count(speeds) * (LONGEST.ln() / speeds as f64)).exp();
        let along = (places * (2.0 * PI)).unsqueeze(1) / periods;
        let of_rows = along.unsqueeze(1).expand([side, side, speeds], false);
        let of_columns = along.unsqueeze(0).expand([side, side, speeds], false);
        let angles = Tensor::cat(&[of_rows, of_columns], 2).view([side * side, 2 * speeds]);
        let angles = angles.repeat([1, 2]);
        Turned {
            cosines: angles.cos(),
            sines: angles.sin(),
        }
    }
}

/// The rotations at patches: cosines and sines `[patches, d]` of their angles.
pub(super) struct Turned {
    cosines: Tensor,
    sines: Tensor,
}

impl Turned {
    /// Returns the same rotations, which are never changed.
    pub(super) fn share(&self) -> Turned {
        Turned {
            cosines: self.cosines.shallow_clone(),
            sines: self.sines.shallow_clone(),
        }
    }

    /// Returns queries or keys `[n, h, t, d]` whose last tokens, those of patches, are turned.
    pub(super) fn of(&self, heads: &Tensor) -> Tensor {
        let patches = self.cosines.size()[0];
        let first = heads.size()[2] - patches;
        let plain = heads.narrow(2, first, patches);
        let halves = plain.chunk(2, -1);
        let quarter_turned = Tensor::cat(&[halves[1].neg(), halves[0].shallow_clone()], -1);
        let turned = &plain * &self.cosines + quarter_turned * &self.sines;
        Tensor::cat(
            &[heads.narrow(2, 0, first), turned.to_kind(heads.kind())],
            2,
        )
    }
}
