//! Antialiased resizing of grey images.
//!
//! A pixel of the result is a mean of the source, weighted by a triangle about its middle that reaches to the
//! middles of its neighbours (of the source's pixels, when the image grows): the "bilinear" filter of imaging
//! libraries that antialias. Only additions, subtractions, multiplications and divisions of `f64` are used, so
//! results are the same bit for bit on every platform.

/// A grey image, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grey {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<u8>,
}

impl Grey {
    /// The image, stretched to a square of `size` pixels a side.
    pub(super) fn resized(&self, size: usize) -> Vec<u8> {
        let (columns, rows) = (windows(self.width, size), windows(self.height, size));
        let narrowed: Vec<f64> = self
            .pixels
            .chunks_exact(self.width)
            .flat_map(|row| columns.iter().map(|column| column.mean(|x| f64::from(row[x]))))
            .collect();
        rows.iter()
            .flat_map(|row| (0..size).map(|x| row.mean(|y| narrowed[y * size + x])))
            .map(|value| (value + 0.5) as u8)
            .collect()
    }
}

/// Which pixels of the source go into a pixel of the result, and with what weight.
struct Window {
    first: usize,
    weights: Vec<f64>,
}

impl Window {
    fn mean(&self, value: impl Fn(usize) -> f64) -> f64 {
        self.weights.iter().enumerate().map(|(place, weight)| weight * value(self.first + place)).sum()
    }
}

fn windows(from: usize, to: usize) -> Vec<Window> {
    (0..to).map(|pixel| window(pixel, from, to)).collect()
}

fn window(pixel: usize, from: usize, to: usize) -> Window {
    let scale = from as f64 / to as f64;
    let (middle, reach) = ((pixel as f64 + 0.5) * scale, scale.max(1.0));
    // Converting to an unsigned number cuts at 0.
    let first = (middle - reach) as usize;
    let last = ((middle + reach) as usize).min(from - 1);
    let triangle = |source: usize| (1.0 - (source as f64 + 0.5 - middle).abs() / reach).max(0.0);
    let total: f64 = (first..=last).map(triangle).sum();
    Window { first, weights: (first..=last).map(|source| triangle(source) / total).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, pixels: &[u8]) -> Grey {
        Grey { width, height: pixels.len() / width, pixels: pixels.to_vec() }
    }

    #[test]
    fn halving_weighs_four_pixels_as_one_three_three_one() {
        // At the left border the outer pixel is cut off: (3 · 0 + 3 · 70 + 1 · 140) / 7.
        assert_eq!(grey(4, &[0, 70, 140, 210].repeat(4)).resized(2)[..2], [50, 160]);
        assert_eq!(grey(8, &[0, 0, 80, 160, 0, 80, 0, 0].repeat(8)).resized(4)[1], 90);
    }

    #[test]
    fn an_even_image_stays_even_whatever_its_size() {
        for (from, to) in [(105, 28), (105, 84), (3, 2), (2, 5), (1, 3)] {
            assert_eq!(grey(from, &vec![201; from * from]).resized(to), vec![201; to * to], "{from} to {to}");
        }
    }

    #[test]
    fn the_same_size_changes_nothing_and_a_larger_one_interpolates() {
        let image = grey(2, &[0, 100, 0, 100]);
        assert_eq!(image.resized(2), [0, 100, 0, 100]);
        assert_eq!(image.resized(4)[..4], [0, 25, 75, 100]);
    }
}
