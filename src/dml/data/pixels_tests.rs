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
    decode(file.path(), color, None).map_err(|error| {
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

/// The mean and the largest difference that are allowed. Only lossy decoders may round in another way, and CMYK
/// truncates where Pillow rounds.
fn tolerance(name: &str) -> (f64, u8) {
    match name {
        _ if name.starts_with("jpeg") => (0.5, 4),
        "webp" | "webp alpha" => (0.5, 4),
        "tiff cmyk" => (1.0, 1),
        _ => (0.0, 0),
    }
}

#[test]
fn decoding_is_as_close_to_pillow_as_two_decoders_are() {
    for case in cases("decoded") {
        let name = case["name"].as_str().unwrap();
        for (color, key) in [(Color::Rgb, "rgb"), (Color::Gray, "grey")] {
            let image = decoded_as(&bytes(&case["file"]), color).unwrap();
            let (mean, largest) = difference(&image.pixels, &bytes(&case[key]));
            eprintln!("{name} {key}: mean {mean:.3} largest {largest}");
            let (mean_allowed, allowed) = tolerance(name);
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
    let image = decode(file.path(), Color::Gray, None).unwrap();
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
    // The first image of several is complete in more than half of the file.
    let of_several = ["webp animated", "gif animated", "tiff of two pages"];
    for case in cases("decoded") {
        let name = case["name"].as_str().unwrap();
        if of_several.contains(&name) {
            continue;
        }
        let whole = bytes(&case["file"]);
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
            .contains("it is not a readable image")
    );
    let folder = tempfile::tempdir().unwrap();
    let error = decode(folder.path(), Color::Rgb, None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("it is a folder"), "{error}");
    let error = decode(Path::new("/nowhere/at all.jpg"), Color::Rgb, None).unwrap_err();
    assert!(matches!(error, DataError::Missing { .. }), "{error}");
}

#[test]
fn transparent_pixels_show_the_background_as_in_pillow() {
    for case in cases("backgrounds") {
        let background: Background = serde_json::from_value(case["background"].clone()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes(&case["file"])).unwrap();
        let image = decode(file.path(), Color::Rgb, Some(background)).unwrap();
        assert_eq!(image.pixels, bytes(&case["rgb"]), "{}", case["name"]);
    }
}

#[test]
fn a_file_of_another_kind_is_named() {
    let says = |content: &[u8], what: &str| {
        let message = decoded_as(content, Color::Rgb).unwrap_err();
        assert!(message.contains(what), "{message}");
    };
    says(b"\n <!DOCTYPE html><html></html>", "it is a web page");
    says(b"version https://git-lfs.github.com/spec/v1", "Git LFS");
    says(b"\0\0\0\x1cftypheic\0\0\0\0", "HEIF");
    says(b"\0\0\0\x1cftypavif\0\0\0\0", "image/avif");
    says(b"P6 2 2 255 ", "image/x-portable-anymap");
    says(b"path,label\n", "JPEG, PNG, WebP, BMP, GIF, TIFF");
}

/// A file with only a header that announces many pixels.
fn announced(kind: &str, width: u32, height: u32) -> Vec<u8> {
    let [w, h] = [width, height].map(|side| side as u16);
    match kind {
        "JPEG" => {
            let mut bytes = file("jpeg 4:2:0");
            let frame = bytes
                .windows(2)
                .position(|two| two == [0xff, 0xc0])
                .unwrap();
            bytes[frame + 5..frame + 7].copy_from_slice(&h.to_be_bytes());
            bytes[frame + 7..frame + 9].copy_from_slice(&w.to_be_bytes());
            bytes
        }
        "GIF" => {
            let mut bytes = file("gif");
            bytes[6..8].copy_from_slice(&w.to_le_bytes());
            bytes[8..10].copy_from_slice(&h.to_le_bytes());
            bytes
        }
        _ => {
            let mut bytes = file("bmp");
            bytes[18..22].copy_from_slice(&width.to_le_bytes());
            bytes[22..26].copy_from_slice(&height.to_le_bytes());
            bytes
        }
    }
}

#[test]
fn an_image_of_too_many_pixels_is_refused_before_it_is_decoded() {
    for kind in ["JPEG", "GIF", "BMP"] {
        let message = decoded_as(&announced(kind, 60_000, 60_000), Color::Rgb).unwrap_err();
        assert!(
            message.contains("it has 60000 x 60000 pixels"),
            "{kind}: {message}"
        );
    }
    let message = decoded_as(&announced("JPEG", 13_000, 13_000), Color::Rgb).unwrap_err();
    assert!(message.contains("it ends too early"), "{message}");
}

#[test]
fn a_jpeg_that_was_cut_and_closed_is_refused() {
    let names = [
        "4:2:0",
        "4:4:4",
        "4:2:2",
        "grey",
        "cmyk",
        "turned by exif",
        "restarts",
    ];
    for name in names {
        let whole = file(&format!("jpeg {name}"));
        for length in [whole.len() * 9 / 10, whole.len() - 60] {
            let closed = [&whole[..length], &[0xff, 0xd9]].concat();
            let error = decoded_as(&closed, Color::Rgb);
            assert!(error.is_err(), "{name}: {length} of {} bytes", whole.len());
        }
        let with_more = [&whole[..], &whole[..]].concat();
        assert_eq!(
            decoded_as(&with_more, Color::Rgb),
            decoded_as(&whole, Color::Rgb)
        );
    }
}

#[test]
fn a_jpeg_filled_with_zeros_is_refused_and_zeros_after_its_end_are_not() {
    let whole = file("jpeg 4:2:0");
    let padded = |length: usize| [&whole[..length], &[0; 4096]].concat();
    let message = decoded_as(&padded(whole.len() * 9 / 10), Color::Rgb).unwrap_err();
    assert!(message.contains("filled with zeros"), "{message}");
    let complete = decoded_as(&padded(whole.len()), Color::Rgb);
    assert_eq!(complete, decoded_as(&whole, Color::Rgb));
}

/// Bytes are changed one after the other, all over the file.
#[test]
fn no_damaged_file_is_more_than_an_error() {
    for case in cases("decoded") {
        let whole = bytes(&case["file"]);
        for place in (0..whole.len()).step_by(whole.len() / 60 + 1) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0xff;
            if let Ok(image) = decoded_as(&damaged, Color::Rgb) {
                assert_eq!(image.pixels.len(), image.width * image.height * 3);
            }
        }
    }
}

#[test]
fn what_is_no_regular_file_is_never_read() {
    let error = decode(Path::new("/dev/zero"), Color::Rgb, None).unwrap_err();
    assert!(error.to_string().contains("it is a device"), "{error}");
}
