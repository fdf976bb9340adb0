//! From the bytes of a file to an image, as Pillow's `Image.open(..).convert("RGB")` has it.
//!
//! The format is known by the first bytes, whatever the file is called. Of several frames or pages the first is read.
//! An orientation in EXIF is ignored, as torchvision does by default; so is transparency, unless there is a
//! [`Background`]. Of 16 bits the upper 8 are kept.
//!
//! A file that ends too early is an error, also if its end is filled with zeros, and nearly always if it is closed with
//! an end marker. A progressive JPEG that was cut and then closed looks complete: as in Pillow, its details are missing.
//!
//! The size of an image is checked before memory is allocated for it.

use std::{
    borrow::Cow,
    fs,
    io::{self, Cursor, Read},
    panic::catch_unwind,
    path::Path,
};

use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, metadata::Orientation,
};
use zune_jpeg::{
    JpegDecoder,
    errors::DecodeErrors,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use schema::{Background, Color};

use super::{DataError, Raster};
use crate::foreign::Foreign;

/// The formats that are decoded, with their names in messages.
const FORMATS: [(ImageFormat, &str); 6] = [
    (ImageFormat::Jpeg, "JPEG"),
    (ImageFormat::Png, "PNG"),
    (ImageFormat::WebP, "WebP"),
    (ImageFormat::Bmp, "BMP"),
    (ImageFormat::Gif, "GIF"),
    (ImageFormat::Tiff, "TIFF"),
];

/// The most pixels of an image, as in Pillow.
const MOST_PIXELS: u64 = 178_956_970;

/// The most bytes of an image in memory: four channels of 16 bits.
const MOST_BYTES: u64 = 8 * MOST_PIXELS;

/// The most bytes of a file.
const MOST_FILE_BYTES: u64 = 1 << 30;

/// The most pixels for each byte of a JPEG: a block of 64 pixels takes at least a bit.
const PIXELS_OF_A_JPEG_BYTE: u64 = 64 * 8;

/// What is wrong with a file that was cut.
const ENDS_EARLY: &str = "it ends too early: the file was cut, or its download was interrupted";

/// Markers of a JPEG.
const START_OF_SCAN: [u8; 2] = [0xff, 0xda];
const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];

/// Bytes of a file that are read to find its sides; all are read if these are not enough.
const HEAD: u64 = 64 * 1024;

/// A decoded file with the channels that it has.
pub(super) struct Decoded {
    /// The name of its format.
    pub(super) format: &'static str,
    /// Its pixels, without transparency.
    pub(super) image: Raster,
    /// The opacity of each pixel, if some are transparent.
    opacity: Option<Vec<u8>>,
}

impl Decoded {
    /// Returns true if some pixels are transparent.
    pub(super) fn is_transparent(&self) -> bool {
        self.opacity.is_some()
    }

    /// Returns the image in front of a background, blended as Pillow does. Without a background, transparency is
    /// ignored.
    fn in_front_of(mut self, background: Option<Background>) -> Raster {
        if let (Some(background), Some(opacity)) = (background, self.opacity) {
            let pixels = self.image.pixels.chunks_exact_mut(self.image.channels);
            for (pixel, opacity) in pixels.zip(opacity) {
                for value in pixel {
                    *value = blend(*value, background.level(), opacity);
                }
            }
        }
        self.image
    }
}

/// Returns the mean of two values, the first one weighted with `opacity` of 255.
fn blend(value: u8, background: u8, opacity: u8) -> u8 {
    let opacity = u32::from(opacity);
    let sum = u32::from(value) * opacity + u32::from(background) * (255 - opacity) + 128;
    ((sum + (sum >> 8)) >> 8) as u8
}

/// Reads and decodes a file.
///
/// # Errors
/// If there is no such file, or it is no complete image of a known format. The message names the file.
pub fn decode(
    path: &Path,
    color: Color,
    background: Option<Background>,
) -> Result<Raster, DataError> {
    Ok(decode_and_hash(path, color, background)?.0)
}

/// Reads and decodes a file. Also returns the hash of its content.
///
/// # Errors
/// As for [`decode`].
pub(super) fn decode_and_hash(
    path: &Path,
    color: Color,
    background: Option<Background>,
) -> Result<(Raster, blake3::Hash), DataError> {
    let content = content(path, MOST_FILE_BYTES)?;
    let image = decode_content(path, &content)?;
    let image = image.in_front_of(background).in_color(color);
    Ok((image, blake3::hash(&content)))
}

/// Reads and decodes a file with the channels that it has.
///
/// # Errors
/// As for [`decode`].
pub(super) fn decode_as_it_is(path: &Path) -> Result<Decoded, DataError> {
    decode_content(path, &content(path, MOST_FILE_BYTES)?)
}

fn decode_content(path: &Path, content: &[u8]) -> Result<Decoded, DataError> {
    // Decoders of damaged files have been known to panic.
    catch_unwind(|| decoded(content))
        .unwrap_or_else(|_| Err("it is damaged: its decoder failed".to_owned()))
        .map_err(|why| DataError::unreadable(path, why))
}

/// True if an image has EXIF data, and they say that it is to be turned or mirrored when shown.
pub(super) fn is_turned(path: &Path) -> bool {
    let orientation = content(path, MOST_FILE_BYTES).map(|content| orientation(&content));
    matches!(orientation, Ok(Some(orientation)) if orientation != Orientation::NoTransforms)
}

fn orientation(content: &[u8]) -> Option<Orientation> {
    let (format, _) = format(content).ok()?;
    let mut decoder = reader(content, format).into_decoder().ok()?;
    decoder.orientation().ok()
}

/// Returns the width and height of a file's image, without decoding it.
///
/// # Errors
/// As for [`decode`], as far as the first bytes tell.
pub(super) fn sides(path: &Path) -> Result<(usize, usize), DataError> {
    match sides_of(&content(path, HEAD)?) {
        Ok(sides) => Ok(sides),
        Err(_) => sides_of(&content(path, MOST_FILE_BYTES)?)
            .map_err(|why| DataError::unreadable(path, why)),
    }
}

/// Returns the first bytes of a file, at most `limit`.
fn content(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let metadata = fs::metadata(path).map_err(|error| unread(path, error))?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() {
            "a folder"
        } else {
            "a device"
        };
        return Err(DataError::unreadable(
            path,
            format!("it is {what}, not an image"),
        ));
    }
    if metadata.len() > MOST_FILE_BYTES {
        let why = format!(
            "it has {} bytes, the limit is {MOST_FILE_BYTES}",
            metadata.len()
        );
        return Err(DataError::unreadable(path, why));
    }
    let mut content = Vec::new();
    durable::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut content))
        .map_err(|error| unread(path, error))?;
    Ok(content)
}

fn unread(path: &Path, error: io::Error) -> DataError {
    match error.kind() {
        io::ErrorKind::NotFound => DataError::missing(path, "an image"),
        _ => DataError::unreadable(path, error),
    }
}

fn sides_of(content: &[u8]) -> Result<(usize, usize), String> {
    let (format, _) = format(content)?;
    let (width, height) = reader(content, format)
        .into_dimensions()
        .map_err(|error| unreadable_image(&error))?;
    bounded(width, height)
}

/// True if images of this format are decoded.
pub(super) fn is_decoded(format: ImageFormat) -> bool {
    FORMATS.iter().any(|(decoded, _)| *decoded == format)
}

/// True if a file that begins like this is decoded.
pub(super) fn is_decodable(head: &[u8]) -> bool {
    format(head).is_ok()
}

fn format(content: &[u8]) -> Result<(ImageFormat, &'static str), String> {
    let guessed = image::guess_format(content).ok();
    FORMATS
        .into_iter()
        .find(|(format, _)| Some(*format) == guessed)
        .ok_or_else(|| not_an_image(content))
}

/// Returns what a file of an unknown format is, as far as its first bytes tell.
fn not_an_image(content: &[u8]) -> String {
    let convert = "which is not read; convert it to PNG or JPEG";
    if content.is_empty() {
        return "it is empty".to_owned();
    }
    if let Ok(other) = image::guess_format(content) {
        return format!("it is of the type {}, {convert}", other.to_mime_type());
    }
    if content.get(4..8) == Some(b"ftyp") {
        return format!("it is a HEIF image or a video, {convert}");
    }
    if let Some(foreign) = Foreign::of(content) {
        return foreign.clause("convert it to PNG or JPEG");
    }
    let names = FORMATS.map(|(_, name)| name).join(", ");
    format!("it is not an image that is read ({names})")
}

/// Returns the sides of an image whose size is acceptable.
fn bounded(width: u32, height: u32) -> Result<(usize, usize), String> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err("it has no pixels".to_owned());
    }
    if pixels > MOST_PIXELS {
        return Err(format!(
            "it has {width} x {height} pixels; the limit is {MOST_PIXELS} pixels"
        ));
    }
    Ok((width as usize, height as usize))
}

fn decoded(content: &[u8]) -> Result<Decoded, String> {
    let (format, name) = format(content)?;
    let (image, opacity) = match format {
        ImageFormat::Jpeg => (jpeg(content)?, None),
        _ => with_opacity(pixels(content, format)?)?,
    };
    Ok(Decoded {
        format: name,
        image,
        opacity,
    })
}

fn unreadable(error: &impl ToString) -> String {
    let error = error.to_string();
    let words: Vec<&str> = error.split_whitespace().collect();
    format!("it is not a readable image: {}", words.join(" "))
}

fn unreadable_jpeg(error: &DecodeErrors) -> String {
    match error {
        DecodeErrors::IoErrors(_) | DecodeErrors::ExhaustedData => ENDS_EARLY.to_owned(),
        other => unreadable(other),
    }
}

fn unreadable_image(error: &ImageError) -> String {
    match error {
        ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            ENDS_EARLY.to_owned()
        }
        other => unreadable(other),
    }
}

fn jpeg(content: &[u8]) -> Result<Raster, String> {
    let options = || {
        DecoderOptions::default()
            .set_strict_mode(true)
            .set_max_width(usize::from(u16::MAX))
            .set_max_height(usize::from(u16::MAX))
    };
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(content), options());
    decoder
        .decode_headers()
        .map_err(|error| unreadable_jpeg(&error))?;
    let info = decoder.info().ok_or("it says nothing of its size")?;
    let (width, height) = bounded(info.width.into(), info.height.into())?;
    if (width * height) as u64 > PIXELS_OF_A_JPEG_BYTE * content.len() as u64 {
        return Err(format!("it ends too early for {width} x {height} pixels"));
    }
    if ends_in_zeros(content) {
        return Err("it ends too early: the rest is filled with zeros".to_owned());
    }
    let gray = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let (output, channels) = if gray {
        (ColorSpace::Luma, 1)
    } else {
        (ColorSpace::RGB, 3)
    };
    let open = without_end(content);
    let options = options().jpeg_set_out_colorspace(output);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&*open), options);
    let pixels = decoder.decode().map_err(|error| unreadable_jpeg(&error))?;
    Ok(Raster {
        width,
        height,
        channels,
        pixels,
    })
}

/// Returns a JPEG with some other bytes in the place of its end marker, if all of its pixels are in one scan.
///
/// If the scan is too short, a decoder fills it up at an end marker, but fails at the end of the file. Of a complete scan
/// it reads a few bytes more than it needs.
fn without_end(content: &[u8]) -> Cow<'_, [u8]> {
    const READ_AHEAD: [u8; 16] = [0xfe; 16];
    match end_of_only_scan(content) {
        Some(end) => Cow::Owned([&content[..end], &READ_AHEAD].concat()),
        None => Cow::Borrowed(content),
    }
}

/// Returns the place of the end marker of a JPEG that is not progressive and has all channels in one scan.
fn end_of_only_scan(content: &[u8]) -> Option<usize> {
    const BASELINE: u8 = 0xc0;
    const EXTENDED: u8 = 0xc1;
    let mut channels = None;
    let mut place = 2;
    loop {
        let [0xff, marker, high, low] = *content.get(place..)?.first_chunk::<4>()? else {
            return None;
        };
        let end = place + 2 + usize::from(u16::from_be_bytes([high, low]));
        let segment = content.get(place + 4..end)?;
        match marker {
            BASELINE | EXTENDED => channels = segment.get(5),
            _ if marker == START_OF_SCAN[1] && segment.first() == channels => {
                let mut scan = content[end..].windows(2);
                return Some(end + scan.position(|bytes| bytes == END_OF_IMAGE)?);
            }
            _ if marker == START_OF_SCAN[1] => return None,
            _ => {}
        }
        place = end;
    }
}

/// Returns true if a JPEG ends in zeros and there is no end marker after its last scan.
fn ends_in_zeros(content: &[u8]) -> bool {
    let last = |marker: [u8; 2]| content.windows(2).rposition(|bytes| bytes == marker);
    content.ends_with(&[0, 0]) && last(END_OF_IMAGE) < last(START_OF_SCAN)
}

fn reader(content: &[u8], format: ImageFormat) -> ImageReader<Cursor<&[u8]>> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(content), format);
    reader.limits(limits);
    reader
}

fn pixels(content: &[u8], format: ImageFormat) -> Result<DynamicImage, String> {
    let decoder = reader(content, format)
        .into_decoder()
        .map_err(|error| unreadable_image(&error))?;
    let (width, height) = decoder.dimensions();
    bounded(width, height)?;
    DynamicImage::from_decoder(decoder).map_err(|error| unreadable_image(&error))
}

/// Separates the opacity from the other channels.
fn with_opacity(image: DynamicImage) -> Result<(Raster, Option<Vec<u8>>), String> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let color = image.color();
    let all = usize::from(color.channel_count());
    let values = match usize::from(color.bytes_per_pixel()) / all {
        1 => image.into_bytes(),
        2 => upper_bytes(image.as_bytes()),
        _ => {
            return Err(
                "its pixels are floating-point numbers; save it with 8 bits a channel".into(),
            );
        }
    };
    let opacity = color.has_alpha().then(|| last_of_each(&values, all));
    let channels = all - usize::from(color.has_alpha());
    let image = Raster {
        width,
        height,
        channels,
        pixels: first_of_each(values, all, channels),
    };
    Ok((
        image,
        opacity.filter(|opacity| opacity.iter().any(|&value| value < u8::MAX)),
    ))
}

/// Returns the upper bytes of 16-bit values.
fn upper_bytes(values: &[u8]) -> Vec<u8> {
    let pairs = values.as_chunks::<2>().0.iter();
    pairs
        .map(|pair| (u16::from_ne_bytes(*pair) >> 8) as u8)
        .collect()
}

fn last_of_each(values: &[u8], channels: usize) -> Vec<u8> {
    values
        .iter()
        .skip(channels - 1)
        .step_by(channels)
        .copied()
        .collect()
}

fn first_of_each(values: Vec<u8>, channels: usize, kept: usize) -> Vec<u8> {
    if kept == channels {
        return values;
    }
    let pixels = values.chunks_exact(channels);
    pixels.flat_map(|pixel| &pixel[..kept]).copied().collect()
}
