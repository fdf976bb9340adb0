//! From the bytes of a file to an image, as Pillow's `Image.open(..).convert("RGB")` has it.
//!
//! JPEG and PNG are known by their first bytes, whatever the file is called. An orientation in EXIF is ignored and
//! transparency is dropped, as torchvision does by default. Of 16 bits the upper 8 are kept. A file that ends too
//! early is an error, never a half-gray image.

use std::{
    fs,
    io::{self, Cursor, Read},
    path::Path,
};

use image::{DynamicImage, ImageFormat, ImageReader};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use schema::Color;

use super::{DataError, Raster};

/// The most pixels a side that are decoded.
const LARGEST: usize = 1 << 16;

/// Bytes of a file that are read to find its sides; all are read if these are not enough.
const HEAD: u64 = 64 * 1024;

/// Reads and decodes a file.
///
/// # Errors
/// If there is no such file, or it is no whole JPEG or PNG. The message names the file.
pub fn decode(path: &Path, color: Color) -> Result<Raster, DataError> {
    let content = fs::read(path).map_err(|error| unread(path, error))?;
    decoded(&content, color).map_err(|why| DataError::unreadable(path, why))
}

/// Reads and decodes a file with the channels that it has. Also returns its format.
///
/// # Errors
/// As for [`decode`].
pub(super) fn decode_as_it_is(path: &Path) -> Result<(&'static str, Raster), DataError> {
    let content = fs::read(path).map_err(|error| unread(path, error))?;
    as_it_is(&content).map_err(|why| DataError::unreadable(path, why))
}

/// Returns the width and height of a file's image, without decoding it.
///
/// # Errors
/// As for [`decode`], as far as the first bytes tell.
pub(super) fn sides(path: &Path) -> Result<(usize, usize), DataError> {
    let read = |limit| -> Result<Vec<u8>, DataError> {
        let mut head = Vec::new();
        let file = fs::File::open(path).map_err(|error| unread(path, error))?;
        file.take(limit)
            .read_to_end(&mut head)
            .map_err(|error| unread(path, error))?;
        Ok(head)
    };
    match sides_of(&read(HEAD)?) {
        Ok(sides) => Ok(sides),
        Err(_) => sides_of(&read(u64::MAX)?).map_err(|why| DataError::unreadable(path, why)),
    }
}

fn unread(path: &Path, error: io::Error) -> DataError {
    match error.kind() {
        io::ErrorKind::NotFound => DataError::missing(path, "an image"),
        io::ErrorKind::IsADirectory => DataError::unreadable(path, "it is a folder, not an image"),
        _ => DataError::unreadable(path, error),
    }
}

fn sides_of(content: &[u8]) -> Result<(usize, usize), String> {
    let image = ImageReader::with_format(Cursor::new(content), format(content)?);
    let (width, height) = image
        .into_dimensions()
        .map_err(|error| unreadable(&error))?;
    Ok((width as usize, height as usize))
}

fn format(content: &[u8]) -> Result<ImageFormat, String> {
    match image::guess_format(content) {
        _ if content.is_empty() => Err("it is empty".to_owned()),
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => Ok(format),
        _ => Err("it is neither a JPEG nor a PNG".to_owned()),
    }
}

fn decoded(content: &[u8], color: Color) -> Result<Raster, String> {
    Ok(as_it_is(content)?.1.in_color(color))
}

fn as_it_is(content: &[u8]) -> Result<(&'static str, Raster), String> {
    match format(content)? {
        ImageFormat::Jpeg => Ok(("JPEG", jpeg(content)?)),
        _ => Ok(("PNG", png(content)?)),
    }
}

fn unreadable(error: &impl ToString) -> String {
    format!("it is not a readable image: {}", error.to_string())
}

fn jpeg(content: &[u8]) -> Result<Raster, String> {
    let options = || {
        DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(LARGEST)
            .set_max_height(LARGEST)
    };
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(content), options());
    decoder
        .decode_headers()
        .map_err(|error| unreadable(&error))?;
    let gray = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let (output, channels) = if gray {
        (ColorSpace::Luma, 1)
    } else {
        (ColorSpace::RGB, 3)
    };
    decoder.set_options(options().jpeg_set_out_colorspace(output));
    let pixels = decoder.decode().map_err(|error| unreadable(&error))?;
    let (width, height) = decoder.dimensions().ok_or("it says nothing of its size")?;
    Ok(Raster {
        width,
        height,
        channels,
        pixels,
    })
}

fn png(content: &[u8]) -> Result<Raster, String> {
    let image = image::load_from_memory_with_format(content, ImageFormat::Png)
        .map_err(|error| unreadable(&error))?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (channels, pixels) = match image {
        DynamicImage::ImageLuma8(gray) => (1, gray.into_raw()),
        DynamicImage::ImageRgb8(color) => (3, color.into_raw()),
        DynamicImage::ImageLumaA8(gray) => (1, without_alpha(gray.as_raw(), 2)),
        DynamicImage::ImageRgba8(color) => (3, without_alpha(color.as_raw(), 4)),
        DynamicImage::ImageLuma16(gray) => (1, upper_bytes(gray.as_raw(), 1, 1)),
        DynamicImage::ImageRgb16(color) => (3, upper_bytes(color.as_raw(), 3, 3)),
        DynamicImage::ImageLumaA16(gray) => (1, upper_bytes(gray.as_raw(), 2, 1)),
        DynamicImage::ImageRgba16(color) => (3, upper_bytes(color.as_raw(), 4, 3)),
        other => {
            return Err(format!(
                "its pixels are of an unknown kind ({:?})",
                other.color()
            ));
        }
    };
    Ok(Raster {
        width,
        height,
        channels,
        pixels,
    })
}

fn without_alpha(pixels: &[u8], channels: usize) -> Vec<u8> {
    pixels
        .chunks_exact(channels)
        .flat_map(|pixel| &pixel[..channels - 1])
        .copied()
        .collect()
}

/// Returns the first `kept` channels in 8 bits.
fn upper_bytes(pixels: &[u16], channels: usize, kept: usize) -> Vec<u8> {
    pixels
        .chunks_exact(channels)
        .flat_map(|pixel| &pixel[..kept])
        .map(|value| (value >> 8) as u8)
        .collect()
}
