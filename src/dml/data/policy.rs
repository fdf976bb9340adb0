//! Augmentation policies: which operations are drawn for an image, and how strong they are.
//!
//! Operations, magnitudes and probabilities are torchvision's; see [`AugmentationPolicy`] for the papers.

use schema::{AugmentationPolicy, Interpolation};

use super::{colors::Adjustment, operations::Operation};
use crate::random::Draws;

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Invert,
}

use Kind::{
    AutoContrast, Brightness, Color, Contrast, Equalize, Identity, Invert, Posterize, Rotate,
    Sharpness, ShearX, ShearY, Solarize, TranslateX, TranslateY,
};

impl Kind {
    /// True if the magnitude has a random sign.
    fn is_signed(self) -> bool {
        match self {
            ShearX | ShearY | TranslateX | TranslateY | Rotate | Brightness | Color | Contrast
            | Sharpness => true,
            Identity | Posterize | Solarize | AutoContrast | Equalize | Invert => false,
        }
    }
}

/// The kinds that RandAugment and TrivialAugment draw from.
const KINDS: [Kind; 14] = [
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
];

/// The strongest operations, and the number of magnitudes from no change to them.
#[derive(Clone, Copy, Debug)]
struct Strengths {
    bins: u32,
    /// The tangent of the angle of a shear.
    shear: f32,
    /// Pixels.
    translate: f32,
    /// Degrees.
    rotate: f32,
    /// The distance of a factor from 1.
    factor: f32,
    /// Bits that are dropped.
    posterize: f32,
}

impl Strengths {
    /// Those of AutoAugment and RandAugment, for images of this side.
    fn usual(bins: u32, side: usize) -> Strengths {
        Strengths {
            bins,
            shear: 0.3,
            translate: (150.0 / 331.0 * side as f64) as f32,
            rotate: 30.0,
            factor: 0.9,
            posterize: 4.0,
        }
    }

    /// Those of TrivialAugment.
    fn wide(bins: u32) -> Strengths {
        Strengths {
            bins,
            shear: 0.99,
            translate: 32.0,
            rotate: 135.0,
            factor: 0.99,
            posterize: 6.0,
        }
    }

    /// Returns the magnitude number `bin` of a kind.
    fn magnitude(&self, kind: Kind, bin: u32) -> f32 {
        let up_to = |strongest| self.evenly(0.0, strongest, bin);
        match kind {
            ShearX | ShearY => up_to(self.shear),
            TranslateX | TranslateY => up_to(self.translate),
            Rotate => up_to(self.rotate),
            Brightness | Color | Contrast | Sharpness => up_to(self.factor),
            Posterize => {
                let bins_per_bit = (self.bins - 1) as f32 / self.posterize;
                8.0 - (bin as f32 / bins_per_bit).round_ties_even()
            }
            Solarize => self.evenly(255.0, 0.0, bin),
            Identity | AutoContrast | Equalize | Invert => 0.0,
        }
    }

    /// Returns the number `bin` of those evenly from `first` to `last`, rounded as by `torch.linspace`: 32 pixels in
    /// 31 magnitudes have 15.999999 in the middle, which moves an image by 15.
    fn evenly(&self, first: f32, last: f32, bin: u32) -> f32 {
        let step = (last - first) / (self.bins - 1) as f32;
        if bin < self.bins / 2 {
            step.mul_add(bin as f32, first)
        } else {
            (-step).mul_add((self.bins - 1 - bin) as f32, last)
        }
    }
}

/// What is drawn for an image of a given side.
struct Drawing {
    strengths: Strengths,
    side: usize,
    interpolation: Interpolation,
}

impl Drawing {
    fn operation(&self, kind: Kind, magnitude: f32) -> Option<Operation> {
        let (exact, factor) = (f64::from(magnitude), 1.0 + magnitude);
        let between = self.interpolation;
        Some(match kind {
            Identity => return None,
            ShearX => Operation::shear_x(exact, between),
            ShearY => Operation::shear_y(exact, between),
            TranslateX => Operation::translate(exact, 0.0, between),
            TranslateY => Operation::translate(0.0, exact, between),
            Rotate => Operation::rotate(exact, self.side, between),
            Brightness => Operation::Adjust(Adjustment::Brightness(factor)),
            Color => Operation::Adjust(Adjustment::Saturation(factor)),
            Contrast => Operation::Adjust(Adjustment::Contrast(factor)),
            Sharpness => Operation::Sharpness(factor),
            Posterize => Operation::Posterize(magnitude as u32),
            Solarize => Operation::Solarize(magnitude),
            AutoContrast => Operation::AutoContrast,
            Equalize => Operation::Equalize,
            Invert => Operation::Invert,
        })
    }

    /// Returns the operation with a random sign, if the kind has one.
    fn signed(&self, kind: Kind, bin: u32, draws: &mut Draws) -> Option<Operation> {
        let magnitude = self.strengths.magnitude(kind, bin);
        let is_negative = kind.is_signed() && draws.below(2) == 1;
        self.operation(kind, if is_negative { -magnitude } else { magnitude })
    }
}

/// Draws the operations for an image of this side, in order.
pub(super) fn drawn(policy: &AugmentationPolicy, side: usize, draws: &mut Draws) -> Vec<Operation> {
    match policy {
        AugmentationPolicy::RandAugment(settings) => {
            let drawing = Drawing {
                strengths: Strengths::usual(settings.bins, side),
                side,
                interpolation: settings.interpolation,
            };
            let one =
                |_| drawing.signed(KINDS[draws.below(KINDS.len())], settings.magnitude, draws);
            (0..settings.operations).filter_map(one).collect()
        }
        AugmentationPolicy::TrivialAugment(settings) => {
            let drawing = Drawing {
                strengths: Strengths::wide(settings.bins),
                side,
                interpolation: settings.interpolation,
            };
            let kind = KINDS[draws.below(KINDS.len())];
            let bin = draws.below(settings.bins as usize) as u32;
            drawing.signed(kind, bin, draws).into_iter().collect()
        }
        AugmentationPolicy::AutoAugment(settings) => {
            let drawing = Drawing {
                strengths: Strengths::usual(AUTO_AUGMENT_BINS, side),
                side,
                interpolation: settings.interpolation,
            };
            let pair = LEARNED[draws.below(LEARNED.len())];
            let one = |(kind, probability, bin)| {
                let operation = drawing.signed(kind, bin, draws);
                operation.filter(|_| draws.uniform() < probability)
            };
            pair.into_iter().filter_map(one).collect()
        }
    }
}

/// The number of magnitudes in AutoAugment.
const AUTO_AUGMENT_BINS: u32 = 10;

/// The policy that AutoAugment learned on ImageNet: pairs of operations, each with its probability and the number of
/// its magnitude, which is 0 where an operation has none.
const LEARNED: [[(Kind, f64, u32); 2]; 25] = [
    [(Posterize, 0.4, 8), (Rotate, 0.6, 9)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
    [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],
    [(Posterize, 0.6, 7), (Posterize, 0.6, 6)],
    [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],
    [(Equalize, 0.4, 0), (Rotate, 0.8, 8)],
    [(Solarize, 0.6, 3), (Equalize, 0.6, 0)],
    [(Posterize, 0.8, 5), (Equalize, 1.0, 0)],
    [(Rotate, 0.2, 3), (Solarize, 0.6, 8)],
    [(Equalize, 0.6, 0), (Posterize, 0.4, 6)],
    [(Rotate, 0.8, 8), (Color, 0.4, 0)],
    [(Rotate, 0.4, 9), (Equalize, 0.6, 0)],
    [(Equalize, 0.0, 0), (Equalize, 0.8, 0)],
    [(Invert, 0.6, 0), (Equalize, 1.0, 0)],
    [(Color, 0.6, 4), (Contrast, 1.0, 8)],
    [(Rotate, 0.8, 8), (Color, 1.0, 2)],
    [(Color, 0.8, 8), (Solarize, 0.8, 7)],
    [(Sharpness, 0.4, 7), (Invert, 0.6, 0)],
    [(ShearX, 0.6, 5), (Equalize, 1.0, 0)],
    [(Color, 0.4, 0), (Equalize, 0.6, 0)],
    [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
    [(Invert, 0.6, 0), (Equalize, 1.0, 0)],
    [(Color, 0.6, 4), (Contrast, 1.0, 8)],
    [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],
];

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
