//! Pixels as Pillow and torchvision have them, and what is refused.

use std::{fs, path::Path};

use serde_json::Value;

use super::*;

fn golden() -> Value {
    serde_json::from_str(include_str!("testdata/pixels.json")).unwrap()
}

fn cases(name: &str) -> Vec<Value> {
    golden()[name].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<usize> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_u64().unwrap() as usize)
        .collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    numbers(value)
        .into_iter()
        .map(|number| number as u8)
        .collect()
}

fn pattern(width: usize, height: usize, channels: usize) -> Raster {
    let value =
        |x: usize, y: usize, c: usize| (3 * x + 5 * y + 40 * c + (x * y * (c + 3)) % 64) as u8;
    let rows = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let pixels = rows
        .flat_map(|(x, y)| (0..channels).map(move |c| value(x, y, c)))
        .collect();
    Raster {
        width,
        height,
        channels,
        pixels,
    }
}

/// The mean and the largest difference.
fn difference(one: &[u8], other: &[u8]) -> (f64, u8) {
    assert_eq!(one.len(), other.len());
    let differences: Vec<u8> = one.iter().zip(other).map(|(a, b)| a.abs_diff(*b)).collect();
    let sum: f64 = differences
        .iter()
        .map(|&difference| f64::from(difference))
        .sum();
    (
        sum / one.len() as f64,
        differences.into_iter().max().unwrap(),
    )
}

fn decoded_as(content: &[u8], color: Color) -> Result<Raster, String> {
    let file = tempfile::NamedTempFile::with_suffix(".jpg").unwrap();
    fs::write(file.path(), content).unwrap();
    decode(file.path(), color).map_err(|error| {
        let message = error.to_string();
        assert!(
            message.contains(&file.path().display().to_string()),
            "the file is not named: {message}"
        );
        message
    })
}

fn file(name: &str) -> Vec<u8> {
    bytes(
        &cases("decoded")
            .iter()
            .find(|case| case["name"] == name)
            .unwrap()["file"],
    )
}

#[test]
fn resizing_gives_the_pixels_of_pillow() {
    for case in cases("resizes") {
        let (from, to, part) = (
            numbers(&case["from"]),
            numbers(&case["to"]),
            numbers(&case["box"]),
        );
        let region = Region {
            left: part[0],
            top: part[1],
            width: part[2] - part[0],
            height: part[3] - part[1],
        };
        let resized = pattern(from[0], from[1], from[2]).resized_part(
            region,
            [to[0], to[1]],
            Region {
                left: 0,
                top: 0,
                width: to[0],
                height: to[1],
            },
        );
        assert_eq!(resized.pixels, bytes(&case["pixels"]), "{from:?} to {to:?}");
    }
}

#[test]
fn changes_of_color_give_the_pixels_of_torchvision() {
    for case in cases("adjustments") {
        let factor = case["factor"].as_f64().unwrap() as f32;
        let change = match case["name"].as_str().unwrap() {
            "brightness" => Adjustment::Brightness(factor),
            "contrast" => Adjustment::Contrast(factor),
            "saturation" => Adjustment::Saturation(factor),
            _ => Adjustment::Hue(factor),
        };
        let mut pixels = pattern(12, 9, 3).pixels;
        change.apply(&mut pixels, 3);
        assert_eq!(pixels, bytes(&case["pixels"]), "{change:?}");
    }
}

#[test]
fn decoding_is_as_close_to_pillow_as_two_jpeg_decoders_are() {
    for case in cases("decoded") {
        let name = case["name"].as_str().unwrap();
        for (color, key) in [(Color::Rgb, "rgb"), (Color::Gray, "grey")] {
            let image = decoded_as(&bytes(&case["file"]), color).unwrap();
            let (mean, largest) = difference(&image.pixels, &bytes(&case[key]));
            eprintln!("{name} {key}: mean {mean:.3} largest {largest}");
            let (mean_allowed, allowed) = if name.starts_with("jpeg") {
                (0.5, 4)
            } else {
                (0.0, 0)
            };
            assert!(
                mean <= mean_allowed && largest <= allowed,
                "{name} {key}: mean {mean} largest {largest}"
            );
        }
    }
}

#[test]
fn sixteen_bits_become_the_upper_eight() {
    let file = tempfile::NamedTempFile::with_suffix(".png").unwrap();
    let pixel = |x: u32, y: u32| image::Luma([(x * 0x1234 + y * 0x10ff) as u16]);
    image::ImageBuffer::from_fn(5, 4, pixel)
        .save(file.path())
        .unwrap();
    let image = decode(file.path(), Color::Gray).unwrap();
    assert_eq!(image.pixels[6], ((0x1234 + 0x10ff) >> 8) as u8);
}

#[test]
fn a_png_named_jpg_is_read_as_what_it_is() {
    assert_eq!(
        decoded_as(&file("png"), Color::Rgb).unwrap().pixels,
        pattern(9, 7, 3).pixels
    );
}

#[test]
fn an_orientation_in_exif_is_ignored() {
    let image = decoded_as(&file("jpeg turned by exif"), Color::Rgb).unwrap();
    assert_eq!((image.width, image.height), (44, 36));
}

#[test]
fn a_file_that_ends_too_early_is_refused() {
    for name in [
        "jpeg 4:2:0",
        "jpeg 4:4:4",
        "jpeg progressive",
        "jpeg grey",
        "jpeg cmyk",
        "png",
        "png palette",
    ] {
        let whole = file(name);
        for length in [
            whole.len() * 9 / 10,
            whole.len() / 2,
            whole.len() / 10,
            12,
            3,
        ] {
            let error = decoded_as(&whole[..length], Color::Rgb);
            assert!(error.is_err(), "{name}: {length} of {} bytes", whole.len());
        }
    }
}

#[test]
fn what_is_no_image_is_refused() {
    assert!(
        decoded_as(b"", Color::Rgb)
            .unwrap_err()
            .contains("it is empty")
    );
    assert!(
        decoded_as(b"GIF89a, or not", Color::Rgb)
            .unwrap_err()
            .contains("neither a JPEG nor a PNG")
    );
    let folder = tempfile::tempdir().unwrap();
    let error = decode(folder.path(), Color::Rgb).unwrap_err().to_string();
    assert!(error.contains("it is a folder"), "{error}");
    let error = decode(Path::new("/nowhere/at all.jpg"), Color::Rgb).unwrap_err();
    assert!(matches!(error, DataError::Missing { .. }), "{error}");
}
