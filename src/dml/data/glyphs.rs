//! Synthetic characters that the program draws itself.
//!
//! A class is a random program of two to four strokes, each a Bézier curve that often starts on an
//! earlier one. An image is one execution of the program: every control point is jittered, the whole
//! is rotated, sheared, stretched and moved, and the pen has a width of its own. Raw pixels therefore
//! rarely identify the class of an unseen character, while a small convolutional network learns to.
//!
//! The only operations are additions, multiplications, divisions and square roots of `f64`, which
//! IEEE 754 defines exactly. An image is the same bit for bit on every platform; a test pins some.

use std::array;

use schema::Glyphs;

use crate::random::{Draws, Purpose};

/// Straight pieces that a stroke is drawn as.
const PIECES: usize = 14;

/// One image of a class of glyphs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glyph {
    /// The class, counted from 0; those to test on follow those to train on.
    pub(super) class: u32,
    /// The number of the image in its class.
    pub(super) image: u32,
}

/// Draws one image: `size` × `size` pixels, row by row, ink 255 on 0.
pub(super) fn draw(glyphs: &Glyphs, glyph: Glyph, size: u32) -> Vec<u8> {
    let Glyph { class, image } = glyph;
    let mut hand = Draws::new(glyphs.seed, Purpose::Execution, class.into(), image.into());
    let mut strokes = character(glyphs.seed, class);
    for stroke in &mut strokes {
        *stroke = stroke.jittered(&mut hand);
    }
    let deformation = Affine::drawn(&mut hand);
    let pen = hand.between(PEN.0, PEN.1);
    let lines: Vec<Polyline> = strokes
        .iter()
        .map(|stroke| stroke.line(&deformation))
        .collect();
    rasterized(&lines, pen, size as usize)
}

/// Half the width of a line, in units of the image's side.
const PEN: (f64, f64) = (0.02, 0.038);
/// How far a hand misses a control point of a stroke, in units of the character's side.
const JITTER: f64 = 0.09;
/// The character's side before it is deformed, in units of the image's.
const EXTENT: f64 = 0.6;

#[derive(Clone, Copy, Debug, PartialEq)]
struct StrokePoint {
    x: f64,
    y: f64,
}

impl StrokePoint {
    fn drawn(draws: &mut Draws) -> StrokePoint {
        StrokePoint {
            x: draws.uniform(),
            y: draws.uniform(),
        }
    }

    fn jittered(self, draws: &mut Draws, by: f64) -> StrokePoint {
        StrokePoint {
            x: self.x + draws.between(-by, by),
            y: self.y + draws.between(-by, by),
        }
    }

    fn towards(self, other: StrokePoint, part: f64) -> StrokePoint {
        StrokePoint {
            x: self.x + (other.x - self.x) * part,
            y: self.y + (other.y - self.y) * part,
        }
    }

    fn squared_distance(self, other: StrokePoint) -> f64 {
        let (x, y) = (self.x - other.x, self.y - other.y);
        x * x + y * y
    }
}

/// A cubic Bézier curve.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stroke([StrokePoint; 4]);

/// A stroke in straight pieces.
type Polyline = [StrokePoint; PIECES + 1];

impl Stroke {
    /// The point at `part` of the way, by de Casteljau's construction.
    fn at(&self, part: f64) -> StrokePoint {
        let [a, b, c, d] = self.0;
        let (ab, bc, cd) = (a.towards(b, part), b.towards(c, part), c.towards(d, part));
        ab.towards(bc, part).towards(bc.towards(cd, part), part)
    }

    fn line(&self, deformation: &Affine) -> Polyline {
        array::from_fn(|piece| deformation.of(self.at(piece as f64 / PIECES as f64)))
    }

    fn jittered(&self, hand: &mut Draws) -> Stroke {
        Stroke(self.0.map(|point| point.jittered(hand, JITTER)))
    }
}

/// The strokes of a class, in the unit square.
fn character(seed: u64, class: u32) -> Vec<Stroke> {
    let mut draws = Draws::new(seed, Purpose::Strokes, class.into(), 0);
    loop {
        let strokes = strokes(&mut draws);
        let frame = Frame::around(&strokes);
        if frame.narrower() > 0.4 * frame.wider() {
            return strokes
                .into_iter()
                .map(|stroke| Stroke(stroke.0.map(|point| frame.fill(point))))
                .collect();
        }
    }
}

fn strokes(draws: &mut Draws) -> Vec<Stroke> {
    let count = 2 + draws.below(3);
    let mut strokes = Vec::with_capacity(count);
    for _ in 0..count {
        let start = beginning(&strokes, draws);
        strokes.push(stroke(start, draws));
    }
    strokes
}

/// Where the next stroke begins: on an earlier one, more often than not.
fn beginning(strokes: &[Stroke], draws: &mut Draws) -> StrokePoint {
    if strokes.is_empty() || draws.below(10) < 3 {
        return StrokePoint::drawn(draws);
    }
    let earlier = strokes[draws.below(strokes.len())];
    earlier.at(draws.below(5) as f64 / 4.0)
}

/// A stroke from `start` to somewhere else: straight, bent or freely curved.
fn stroke(start: StrokePoint, draws: &mut Draws) -> Stroke {
    let end = far_from(start, draws);
    match draws.below(6) {
        0 | 1 => {
            let thirds = [start.towards(end, 1.0 / 3.0), start.towards(end, 2.0 / 3.0)];
            Stroke([start, thirds[0], thirds[1], end])
        }
        2..5 => {
            let bend = StrokePoint::drawn(draws).jittered(draws, 0.3);
            Stroke([
                start,
                start.towards(bend, 0.75),
                end.towards(bend, 0.75),
                end,
            ])
        }
        _ => Stroke([
            start,
            StrokePoint::drawn(draws).jittered(draws, 0.3),
            StrokePoint::drawn(draws).jittered(draws, 0.3),
            end,
        ]),
    }
}

fn far_from(start: StrokePoint, draws: &mut Draws) -> StrokePoint {
    loop {
        let end = StrokePoint::drawn(draws);
        if end.squared_distance(start) > 0.16 {
            return end;
        }
    }
}

/// The smallest upright rectangle around some strokes.
struct Frame {
    low: StrokePoint,
    high: StrokePoint,
}

impl Frame {
    fn around(strokes: &[Stroke]) -> Frame {
        let (mut low, mut high) = (
            StrokePoint {
                x: f64::MAX,
                y: f64::MAX,
            },
            StrokePoint {
                x: f64::MIN,
                y: f64::MIN,
            },
        );
        for point in strokes
            .iter()
            .flat_map(|stroke| stroke.line(&Affine::IDENTITY))
        {
            low = StrokePoint {
                x: low.x.min(point.x),
                y: low.y.min(point.y),
            };
            high = StrokePoint {
                x: high.x.max(point.x),
                y: high.y.max(point.y),
            };
        }
        Frame { low, high }
    }

    fn narrower(&self) -> f64 {
        (self.high.x - self.low.x).min(self.high.y - self.low.y)
    }

    fn wider(&self) -> f64 {
        (self.high.x - self.low.x).max(self.high.y - self.low.y)
    }

    /// Where a point goes when the frame is stretched evenly until it fills the unit square one way.
    fn fill(&self, point: StrokePoint) -> StrokePoint {
        let (middle, side) = (self.low.towards(self.high, 0.5), self.wider());
        StrokePoint {
            x: 0.5 + (point.x - middle.x) / side,
            y: 0.5 + (point.y - middle.y) / side,
        }
    }
}

/// How a whole image is deformed about its middle.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Affine {
    xx: f64,
    xy: f64,
    yx: f64,
    yy: f64,
    middle: StrokePoint,
}

impl Affine {
    const IDENTITY: Affine = Affine {
        xx: 1.0,
        xy: 0.0,
        yx: 0.0,
        yy: 1.0,
        middle: StrokePoint { x: 0.5, y: 0.5 },
    };

    fn drawn(hand: &mut Draws) -> Affine {
        // The tangent of half an angle of 17 degrees at most.
        let half = hand.between(-0.15, 0.15);
        let length = 1.0 + half * half;
        let (cosine, sine) = ((1.0 - half * half) / length, 2.0 * half / length);
        let shear = hand.between(-0.3, 0.3);
        let (wide, high) = (
            EXTENT * hand.between(0.7, 1.2),
            EXTENT * hand.between(0.7, 1.2),
        );
        Affine {
            xx: cosine * wide,
            xy: (cosine * shear - sine) * high,
            yx: sine * wide,
            yy: (sine * shear + cosine) * high,
            middle: Affine::IDENTITY.middle.jittered(hand, 0.09),
        }
    }

    fn of(&self, point: StrokePoint) -> StrokePoint {
        let (x, y) = (point.x - 0.5, point.y - 0.5);
        StrokePoint {
            x: self.middle.x + self.xx * x + self.xy * y,
            y: self.middle.y + self.yx * x + self.yy * y,
        }
    }
}

/// Ink where a pixel's middle is within `pen` of a line, fading over one pixel.
fn rasterized(lines: &[Polyline], pen: f64, size: usize) -> Vec<u8> {
    let side = size as f64;
    let mut nearest = vec![f64::MAX; size * size];
    for piece in lines.iter().flat_map(|line| line.windows(2)) {
        let (from, to) = (scaled(piece[0], side), scaled(piece[1], side));
        let reach = pen * side + 1.0;
        for y in pixels_between(from.y.min(to.y) - reach, from.y.max(to.y) + reach, size) {
            for x in pixels_between(from.x.min(to.x) - reach, from.x.max(to.x) + reach, size) {
                let middle = StrokePoint {
                    x: x as f64 + 0.5,
                    y: y as f64 + 0.5,
                };
                let pixel = &mut nearest[y * size + x];
                *pixel = pixel.min(squared_distance_to(middle, from, to));
            }
        }
    }
    nearest
        .iter()
        .map(|squared| ((pen * side - squared.sqrt() + 0.5).clamp(0.0, 1.0) * 255.0 + 0.5) as u8)
        .collect()
}

fn scaled(point: StrokePoint, by: f64) -> StrokePoint {
    StrokePoint {
        x: point.x * by,
        y: point.y * by,
    }
}

fn pixels_between(low: f64, high: f64, size: usize) -> std::ops::Range<usize> {
    // Converting to an unsigned number cuts at 0.
    (low as usize)..(high as usize + 1).min(size)
}

fn squared_distance_to(point: StrokePoint, from: StrokePoint, to: StrokePoint) -> f64 {
    let along = (point.x - from.x) * (to.x - from.x) + (point.y - from.y) * (to.y - from.y);
    let length = from.squared_distance(to);
    let part = if length > 0.0 {
        (along / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    point.squared_distance(from.towards(to, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLYPHS: Glyphs = Glyphs {
        classes: 20,
        test_classes: 10,
        per_class: 3,
        seed: 0,
    };

    fn drawn(glyphs: &Glyphs, class: u32, image: u32, size: u32) -> Vec<u8> {
        draw(glyphs, Glyph { class, image }, size)
    }

    fn alphabet(glyphs: &Glyphs, size: u32) -> Vec<u8> {
        let classes = 0..glyphs.classes + glyphs.test_classes;
        classes
            .flat_map(|class| {
                (0..glyphs.per_class).flat_map(move |image| drawn(glyphs, class, image, size))
            })
            .collect()
    }

    #[test]
    fn an_alphabet_is_the_same_bit_for_bit_everywhere() {
        assert_eq!(Glyphs::DRAWING, 1, "a new drawing needs new hashes here");
        let hash = |size| blake3::hash(&alphabet(&GLYPHS, size)).to_hex().to_string();
        assert_eq!(
            [hash(28), hash(64)],
            [
                "1f451c24b61f45e97e08da9370d4f5437cc5b14f84e1e1cc3c6e4bb1ec1b123b",
                "1f54e80a1355941ffad218050e27f2ffce3e5a440214964b8c52f1e3a55cdf39"
            ]
        );
    }

    #[test]
    fn classes_images_and_seeds_differ() {
        let image = drawn(&GLYPHS, 0, 0, 28);
        assert_ne!(image, drawn(&GLYPHS, 1, 0, 28));
        assert_ne!(image, drawn(&GLYPHS, 0, 1, 28));
        assert_ne!(image, drawn(&Glyphs { seed: 1, ..GLYPHS }, 0, 0, 28));
    }

    #[test]
    fn an_image_depends_on_its_class_and_number_alone() {
        let more = Glyphs {
            classes: 5000,
            test_classes: 1,
            per_class: 50,
            seed: GLYPHS.seed,
        };
        assert_eq!(drawn(&GLYPHS, 7, 2, 28), drawn(&more, 7, 2, 28));
    }

    #[test]
    fn every_image_has_some_ink_and_more_paper() {
        for image in alphabet(&GLYPHS, 28).chunks_exact(28 * 28) {
            let ink = image.iter().map(|&pixel| f64::from(pixel)).sum::<f64>() / 255.0 / 784.0;
            assert!((0.02..0.4).contains(&ink), "{ink}");
            assert!(image.contains(&255));
        }
    }

    #[test]
    fn a_larger_drawing_shows_the_same() {
        use crate::data::Raster;
        for class in 0..GLYPHS.classes {
            let (small, large) = (drawn(&GLYPHS, class, 0, 28), drawn(&GLYPHS, class, 0, 112));
            let shrunk = Raster {
                width: 112,
                height: 112,
                channels: 1,
                pixels: large,
            }
            .resized(28, 28)
            .pixels;
            let difference: u32 = small
                .iter()
                .zip(&shrunk)
                .map(|(a, b)| u32::from(a.abs_diff(*b)))
                .sum();
            assert!(difference < 20 * 784, "class {class}: {}", difference / 784);
        }
    }
}
