//! The input of a backbone: order of the channels, range, mean and deviation.
//!
//! Images are bytes, red before green before blue, or gray. Each backbone normalizes them itself, because weights that
//! were trained on one input are silently bad on any other.

use schema::{ColorOrder, ImageInput};
use tch::{Device, Kind, Tensor};

/// Returns the channels that the first layer sees, for images of `channels` channels.
pub(super) fn channels(input: Option<&ImageInput>, channels: i64) -> i64 {
    match input {
        None => channels,
        Some(_) => 3,
    }
}

/// The normalization of images, with its constants on a device.
#[derive(Debug)]
pub struct Normalization(Option<Constants>);

#[derive(Debug)]
struct Constants {
    colors: ColorOrder,
    /// `[3]`: the factor and the summand of each channel.
    scale: Tensor,
    shift: Tensor,
}

impl Normalization {
    /// Returns the normalization of an input. Without an input, the channels of images are seen from 0 to 1.
    pub fn new(input: Option<&ImageInput>, device: Device) -> Normalization {
        let channels = [0, 1, 2];
        let constants = input.map(|input| Constants {
            colors: input.colors,
            scale: in_single_precision(
                channels.map(|channel| input.white / 255.0 / input.deviation[channel]),
                device,
            ),
            shift: in_single_precision(
                channels.map(|channel| -input.mean[channel] / input.deviation[channel]),
                device,
            ),
        });
        Normalization(constants)
    }

    /// Returns the input of the first layer for images `[n, c, s, s]` of bytes, in the same layout.
    pub fn of(&self, images: &Tensor) -> Tensor {
        match &self.0 {
            None => images.to_kind(Kind::Float) / 255.0,
            Some(constants) => constants.normalized(images),
        }
    }
}

impl Constants {
    fn normalized(&self, images: &Tensor) -> Tensor {
        let bytes = match self.colors {
            ColorOrder::Rgb => images.shallow_clone(),
            ColorOrder::Bgr => images.flip([1]),
        };
        let [count, channels, height, width] = bytes.size()[..] else {
            unreachable!("images have four dimensions")
        };
        let by_pixel = bytes.permute([0, 2, 3, 1]);
        if channels == 3 && by_pixel.is_contiguous() && bytes.device() == Device::Cpu {
            // A row at a time: loops over the three channels of a pixel would be slow.
            let rows = by_pixel
                .view([count * height, width * 3])
                .to_kind(Kind::Float);
            let [scale, shift] = [&self.scale, &self.shift].map(|of| of.repeat([width]));
            let normalized = shift.addcmul(&rows, &scale);
            return normalized
                .view([count, height, width, 3])
                .permute([0, 3, 1, 2]);
        }
        let [scale, shift] = [&self.scale, &self.shift].map(|of| of.view([1, 3, 1, 1]));
        shift.addcmul(&bytes.to_kind(Kind::Float), &scale)
    }
}

/// Returns one value for each channel.
fn in_single_precision(channels: [f64; 3], device: Device) -> Tensor {
    Tensor::from_slice(&channels.map(|value| value as f32)).to_device(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;

    fn pixel(bytes: &[u8]) -> Tensor {
        Tensor::from_slice(bytes).view([1, -1, 1, 1])
    }

    fn seen(input: Option<&ImageInput>, bytes: &[u8]) -> Vec<f64> {
        Vec::<f64>::try_from(
            Normalization::new(input, Device::Cpu)
                .of(&pixel(bytes))
                .flatten(0, -1)
                .to_kind(Kind::Double),
        )
        .unwrap()
    }

    #[test]
    fn channels_have_the_order_and_the_range_of_the_input() {
        let close = |found: Vec<f64>, expected: &[f64]| {
            assert_close(
                &Tensor::from_slice(&found),
                &Tensor::from_slice(expected),
                1e-6,
                "pixel",
            );
        };
        close(seen(None, &[0, 51, 255]), &[0.0, 0.2, 1.0]);
        close(
            seen(Some(&ImageInput::IMAGENET), &[255, 0, 51]),
            &[0.515 / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225],
        );
        let caffe = ImageInput {
            colors: ColorOrder::Bgr,
            white: 255.0,
            mean: [104.0, 117.0, 128.0],
            deviation: [1.0; 3],
        };
        close(
            seen(Some(&caffe), &[10, 20, 30]),
            &[30.0 - 104.0, 20.0 - 117.0, 10.0 - 128.0],
        );
    }

    #[test]
    fn a_gray_image_counts_as_three_equal_channels() {
        let gray = seen(Some(&ImageInput::IMAGENET), &[100]);
        assert_eq!(gray, seen(Some(&ImageInput::IMAGENET), &[100, 100, 100]));
    }
}
