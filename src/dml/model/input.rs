//! The input of a backbone: order of the channels, range, mean and deviation.
//!
//! Images are bytes, red before green before blue, or gray. Each backbone normalizes them itself, because weights that
//! were trained on one input are silently bad on any other.

use schema::{ColorOrder, ImageInput};
use tch::{Kind, Tensor};

/// Returns the channels that the first layer sees, for images of `channels` channels.
pub(super) fn channels(input: Option<&ImageInput>, channels: i64) -> i64 {
    match input {
        None => channels,
        Some(_) => 3,
    }
}

/// Returns the input of the first layer for images `[n, c, s, s]` of bytes, in the same layout. Without an input, these
/// are the channels of the images from 0 to 1.
pub fn normalized(input: Option<&ImageInput>, images: &Tensor) -> Tensor {
    let Some(input) = input else {
        return images.to_kind(Kind::Float) / 255.0;
    };
    let bytes = match input.colors {
        ColorOrder::Rgb => images.shallow_clone(),
        ColorOrder::Bgr => images.flip([1]),
    };
    let channels = [0, 1, 2];
    let scale = channels.map(|channel| input.white / 255.0 / input.deviation[channel]);
    let shift = channels.map(|channel| -input.mean[channel] / input.deviation[channel]);
    let scale = in_single_precision(scale, &bytes);
    let shift = in_single_precision(shift, &bytes);
    let [count, channels, height, width] = bytes.size()[..] else {
        unreachable!("images have four dimensions")
    };
    let by_pixel = bytes.permute([0, 2, 3, 1]);
    if channels == 3 && by_pixel.is_contiguous() {
        // A row at a time: loops over the three channels of a pixel would be slow.
        let rows = by_pixel
            .view([count * height, width * 3])
            .to_kind(Kind::Float);
        let normalized = shift.repeat([width]).addcmul(&rows, &scale.repeat([width]));
        return normalized
            .view([count, height, width, 3])
            .permute([0, 3, 1, 2]);
    }
    let by_channel = [1, 3, 1, 1];
    let scale = scale.view(by_channel);
    shift
        .view(by_channel)
        .addcmul(&bytes.to_kind(Kind::Float), &scale)
}

/// Returns one value for each channel, on the device of `images`.
fn in_single_precision(channels: [f64; 3], images: &Tensor) -> Tensor {
    Tensor::from_slice(&channels.map(|value| value as f32)).to_device(images.device())
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
            normalized(input, &pixel(bytes))
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
