//! Draws images of some classes, one row per class: `sweep data show`.

use dml::data::{
    Color, decode,
    listing::{Image, Part, Role},
};
use font8x8::UnicodeFonts;
use image::{Rgb, RgbImage, imageops};
use schema::{Event, Half, SheetDrawn, SheetWork};

use crate::{Emit, Failed, files, inspect, prepare::with_progress};

/// Pixels a side of the square that an image is fitted into.
const SIDE: u32 = 96;
/// Pixels of a frame, and between images.
const FRAME: u32 = 2;
const GAP: u32 = 6;
/// Pixels a side of a letter, and letters on a line of a name.
const LETTER: u32 = 8;
const LETTERS: usize = 24;

const WHITE: Rgb<u8> = Rgb([255, 255, 255]);
const BLACK: Rgb<u8> = Rgb([0, 0, 0]);
const RED: Rgb<u8> = Rgb([214, 39, 40]);
const BLUE: Rgb<u8> = Rgb([0, 90, 200]);

/// Draws the sheet. Queries have blue frames if there is a gallery. An image that cannot be decoded is a red
/// cross.
///
/// # Errors
/// If the data set is not there, or the picture cannot be written.
pub(crate) fn sheet(work: &SheetWork, emit: Emit) -> Result<SheetDrawn, Failed> {
    emit(Event::Started { from: 0 });
    let listing = inspect::listing(&work.dataset, &work.source)?;
    let part = match work.half {
        Half::Train => &listing.training,
        Half::Test => &listing.test,
    };
    let rows = rows(part, work.classes as usize, work.per_class as usize);
    let mut corrupt = Vec::new();
    let mut images = 0;
    let picture = with_progress(emit, |progress| {
        let total = rows.iter().map(|(_, row)| row.len() as u64).sum();
        draw(&rows, &mut |image| {
            images += 1;
            progress(images, total);
            cell(image).unwrap_or_else(|error| {
                corrupt.push(error.to_string());
                crossed()
            })
        })
    });
    files::write_png(&picture, &work.into)?;
    Ok(SheetDrawn {
        classes: rows.len() as u32,
        images: images as u32,
        corrupt,
    })
}

/// Returns the chosen classes, each with its name and the chosen images of it.
fn rows(part: &Part, classes: usize, per_class: usize) -> Vec<(String, Vec<&Image>)> {
    let mut of_classes: Vec<Vec<&Image>> = vec![Vec::new(); part.classes.len()];
    part.images
        .iter()
        .for_each(|image| of_classes[image.class as usize].push(image));
    let row = |class: usize| {
        let images = &of_classes[class];
        (
            part.classes[class].full_name(),
            spread(images.len(), per_class)
                .map(|image| images[image])
                .collect(),
        )
    };
    spread(part.classes.len(), classes).map(row).collect()
}

/// Returns `wanted` of `total` indices, evenly spread; all if there are fewer.
fn spread(total: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let count = total.min(wanted);
    (0..count).map(move |index| index * total / count)
}

fn draw(rows: &[(String, Vec<&Image>)], cell: &mut impl FnMut(&Image) -> RgbImage) -> RgbImage {
    let step = SIDE + 2 * FRAME + GAP;
    let left = 2 * GAP + LETTERS as u32 * LETTER;
    let columns = rows
        .iter()
        .map(|(_, images)| images.len() as u32)
        .max()
        .unwrap_or(0);
    let mut sheet =
        RgbImage::from_pixel(left + columns * step, GAP + rows.len() as u32 * step, WHITE);
    for (row, (name, images)) in (0..).zip(rows) {
        let top = GAP + row * step;
        write(&mut sheet, name, GAP, top + FRAME);
        for (column, image) in (0..).zip(images) {
            let x = left + column * step;
            imageops::replace(&mut sheet, &cell(image), x.into(), top.into());
        }
    }
    sheet
}

/// Returns an image in a frame, as large as fits.
fn cell(image: &Image) -> Result<RgbImage, dml::data::DataError> {
    let decoded = decode(&image.path, Color::Rgb, None)?;
    let (width, height) = (decoded.width as u32, decoded.height as u32);
    let pixels =
        RgbImage::from_raw(width, height, decoded.pixels).expect("three bytes for each pixel");
    let longer = width.max(height).max(1);
    let fitted = |side: u32| (side * SIDE / longer).max(1);
    let filter = if longer < SIDE {
        imageops::FilterType::Nearest
    } else {
        imageops::FilterType::Triangle
    };
    let small = imageops::resize(&pixels, fitted(width), fitted(height), filter);
    let mut cell = framed(if image.role == Role::Query {
        BLUE
    } else {
        WHITE
    });
    let middle = |side: u32| i64::from(FRAME + (SIDE - side) / 2);
    imageops::replace(
        &mut cell,
        &small,
        middle(small.width()),
        middle(small.height()),
    );
    Ok(cell)
}

fn framed(color: Rgb<u8>) -> RgbImage {
    let mut cell = RgbImage::from_pixel(SIDE + 2 * FRAME, SIDE + 2 * FRAME, color);
    imageops::replace(
        &mut cell,
        &RgbImage::from_pixel(SIDE, SIDE, WHITE),
        i64::from(FRAME),
        i64::from(FRAME),
    );
    cell
}

/// Returns the cell of an image that cannot be decoded.
fn crossed() -> RgbImage {
    let mut cell = framed(RED);
    for y in FRAME..SIDE + FRAME {
        for x in [y, y + 1] {
            cell.put_pixel(x, y, RED);
            cell.put_pixel(x, SIDE + 2 * FRAME - 1 - y, RED);
        }
    }
    cell
}

/// Writes a name, as many lines of it as fit beside an image.
fn write(sheet: &mut RgbImage, name: &str, left: u32, top: u32) {
    for (line, letters) in (0..SIDE / (LETTER + 2)).zip(lines(name)) {
        for (column, letter) in (0..).zip(letters) {
            letter_at(
                sheet,
                letter,
                left + column * LETTER,
                top + line * (LETTER + 2),
            );
        }
    }
}

/// A name in lines, which end after its words where these are not too long.
fn lines(name: &str) -> Vec<Vec<char>> {
    let (mut lines, mut rest) = (Vec::new(), name.chars().collect::<Vec<char>>());
    while rest.len() > LETTERS {
        let last = rest[LETTERS / 2..LETTERS]
            .iter()
            .rposition(|letter| " -_/.".contains(*letter));
        let next = rest.split_off(last.map_or(LETTERS, |last| LETTERS / 2 + last + 1));
        lines.push(std::mem::replace(&mut rest, next));
    }
    lines.push(rest);
    lines
}

fn letter_at(sheet: &mut RgbImage, letter: char, left: u32, top: u32) {
    let known = font8x8::BASIC_FONTS
        .get(letter)
        .or_else(|| font8x8::LATIN_FONTS.get(letter));
    let rows = known
        .or_else(|| font8x8::GREEK_FONTS.get(letter))
        .or_else(|| font8x8::BASIC_FONTS.get('?'));
    for (y, row) in (0..).zip(rows.unwrap_or_default()) {
        (0..LETTER)
            .filter(|x| row >> x & 1 == 1)
            .for_each(|x| sheet.put_pixel(left + x, top + y, BLACK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_spread_over_all_there_is() {
        assert_eq!(spread(100, 4).collect::<Vec<_>>(), [0, 25, 50, 75]);
        assert_eq!(spread(3, 10).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(0, 10).count(), 0);
    }

    #[test]
    fn a_name_is_broken_after_a_word() {
        let broken = |name: &str| {
            lines(name)
                .iter()
                .map(|line| line.iter().collect())
                .collect::<Vec<String>>()
        };
        assert_eq!(
            broken("characters_0151/character0168"),
            ["characters_0151/", "character0168"]
        );
        assert_eq!(broken("short"), ["short"]);
        assert_eq!(broken(&"x".repeat(30)), ["x".repeat(24), "x".repeat(6)]);
    }

    #[test]
    fn a_name_of_any_length_stays_in_its_area() {
        let mut sheet = RgbImage::from_pixel(300, 200, WHITE);
        write(&mut sheet, &"Ä 鳥 long".repeat(100), GAP, 10);
        let ink = |x: u32, y: u32| *sheet.get_pixel(x, y) == BLACK;
        let inside = |x: u32, y: u32| (GAP..GAP + 192).contains(&x) && (10..10 + SIDE).contains(&y);
        let pixels = || (0..300).flat_map(|x| (0..200).map(move |y| (x, y)));
        assert!(pixels().all(|(x, y)| !ink(x, y) || inside(x, y)));
        assert!(pixels().filter(|&(x, y)| ink(x, y)).count() > 500);
    }
}
