//! What a backbone wants to see: the order of its colours, their range, mean and deviation.
//!
//! Images come as bytes, red before green before blue, or grey; what becomes of them is the backbone's own affair,
//! because weights that were trained on one input are silently bad on any other.

use tch::{Kind, Tensor};

/// What a backbone makes of an image before its first layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// Which channels, in which order.
    pub colours: Colours,
    /// What the byte 255 becomes, before the mean is subtracted: 1 or 255.
    pub white: f64,
    /// Subtracted from each channel, in the order of `colours`.
    pub mean: [f64; 3],
    /// Then divided by, for each channel.
    pub deviation: [f64; 3],
    /// Pixels a side of the images that published weights were trained on.
    pub native: i64,
    /// Pixels a side of the smallest image that leaves something for the last layer.
    pub least: i64,
}

/// Channels of an image and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// Those that the images have.
    AsGiven,
    /// Red, green, blue; a grey image counts as three equal channels.
    Rgb,
    /// Blue, green, red; a grey image counts as three equal channels.
    Bgr,
}

impl Input {
    /// The channels as they are, from 0 to 1.
    pub(super) const fn plain(least: i64) -> Input {
        let (mean, deviation) = ([0.0; 3], [1.0; 3]);
        Input {
            colours: Colours::AsGiven,
            white: 1.0,
            mean,
            deviation,
            native: least,
            least,
        }
    }

    /// The mean and deviation of ImageNet, as torchvision has them; trained at 224 pixels.
    pub(super) const fn imagenet(least: i64) -> Input {
        let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        Input {
            colours: Colours::Rgb,
            white: 1.0,
            mean,
            deviation,
            native: 224,
            least,
        }
    }

    /// Channels that the first layer sees, for images of so many.
    pub(super) fn channels(&self, of_images: i64) -> i64 {
        match self.colours {
            Colours::AsGiven => of_images,
            Colours::Rgb | Colours::Bgr => 3,
        }
    }

    /// Returns what the first layer sees of images `[n, c, s, s]` of bytes, in the same layout.
    pub fn normalise(&self, images: &Tensor) -> Tensor {
        let bytes = match self.colours {
            Colours::AsGiven => return images.to_kind(Kind::Float) / 255.0,
            Colours::Rgb => images.shallow_clone(),
            Colours::Bgr => images.flip([1]),
        };
        let of_channels = |number: &dyn Fn(usize) -> f64| {
            let numbers = [0, 1, 2].map(|channel| number(channel) as f32);
            Tensor::from_slice(&numbers).to_device(images.device())
        };
        let scale = of_channels(&|channel| self.white / 255.0 / self.deviation[channel]);
        let shift = of_channels(&|channel| -self.mean[channel] / self.deviation[channel]);
        let [count, channels, height, width] = bytes.size()[..] else {
            unreachable!("images have four dimensions")
        };
        let by_pixel = bytes.permute([0, 2, 3, 1]);
        if channels == 3 && by_pixel.is_contiguous() {
            // A row at a time: loops over the three numbers of a pixel would be slow.
            let rows = by_pixel
                .view([count * height, width * 3])
                .to_kind(Kind::Float);
            let seen = shift.repeat([width]).addcmul(&rows, &scale.repeat([width]));
            return seen.view([count, height, width, 3]).permute([0, 3, 1, 2]);
        }
        let of_channels = |numbers: &Tensor| numbers.view([1, 3, 1, 1]);
        of_channels(&shift).addcmul(&bytes.to_kind(Kind::Float), &of_channels(&scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;

    fn pixel(bytes: &[u8]) -> Tensor {
        Tensor::from_slice(bytes).view([1, -1, 1, 1])
    }

    fn seen(input: Input, bytes: &[u8]) -> Vec<f64> {
        Vec::<f64>::try_from(
            input
                .normalise(&pixel(bytes))
                .flatten(0, -1)
                .to_kind(Kind::Double),
        )
        .unwrap()
    }

    #[test]
    fn each_backbone_sees_colours_in_its_own_order_and_range() {
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert_close(
                &Tensor::from_slice(&found),
                &Tensor::from_slice(expected),
                1e-6,
                "pixel",
            );
        };
        close(seen(Input::plain(1), &[0, 51, 255]), &[0.0, 0.2, 1.0]);
        close(
            seen(Input::imagenet(1), &[255, 0, 51]),
            &[0.515 / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225],
        );
        let caffe = Input {
            colours: Colours::Bgr,
            white: 255.0,
            mean: [104.0, 117.0, 128.0],
            ..Input::plain(1)
        };
        close(
            seen(caffe, &[10, 20, 30]),
            &[30.0 - 104.0, 20.0 - 117.0, 10.0 - 128.0],
        );
    }

    #[test]
    fn a_grey_image_counts_as_three_equal_channels() {
        let grey = seen(Input::imagenet(1), &[100]);
        assert_eq!(grey, seen(Input::imagenet(1), &[100, 100, 100]));
    }
}
