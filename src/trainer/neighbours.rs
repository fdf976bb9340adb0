//! Draws a test image and those nearest to it: in green frames those of its class, in red ones the others.

use dml::{
    data::{Colour, PreparedData, Region, listing::Role},
    eval::{Comparison, EvalResources, LabeledEmbeddings, RetrievalTask, nearest},
};
use image::{Rgb, RgbImage, imageops};
use schema::{Drawn, Event, NeighboursWork};

use crate::{Emit, End, Failed, Stop, evaluate, files, score, split};

/// Pixels a side that an image is enlarged to, at least.
const SIDE: u32 = 96;
/// Pixels of a frame, and between frames.
const FRAME: u32 = 4;
const GAP: u32 = 8;
/// Neighbours in a line.
const IN_LINE: u32 = 10;

const WHITE: Rgb<u8> = Rgb([255, 255, 255]);
const GREY: Rgb<u8> = Rgb([90, 90, 90]);
const GREEN: Rgb<u8> = Rgb([0, 158, 60]);
const RED: Rgb<u8> = Rgb([214, 39, 40]);

/// Draws the picture that the work asks for.
///
/// # Errors
/// If there is no such image, the network cannot be used or the picture not be written.
pub(crate) fn neighbours(
    work: &NeighboursWork,
    device: tch::Device,
    stop: &Stop,
    emit: Emit,
) -> Result<End<Drawn>, Failed> {
    emit(Event::Started { from: 0 });
    let data = split::open(&work.recipe, &work.data)?;
    let images = split::test(&data);
    let query = work.query as usize;
    match data.test_roles.get(query) {
        None => {
            let last = images.labels.len().saturating_sub(1);
            return Err(Failed::data(format!(
                "there is no test image {query}; they are counted from 0 to {last}"
            )));
        }
        Some(role) if !role.is_query() => {
            return Err(Failed::data(no_query(query, &data.test_roles)));
        }
        Some(_) => {}
    }
    let Some(embeddings) = evaluate::embedded(&work.recipe, &data, &work.run, device, stop, emit)?
    else {
        return Ok(End::Stopped);
    };
    let embedded = score::labelled(embeddings, images.labels.clone(), Comparison::Cosine)?;
    let found = of_one(
        query,
        &embedded,
        &data.test_roles,
        work.count as usize,
        EvalResources::on(device),
    )?;
    let is_right = |&image: &usize| images.labels[image] == images.labels[query];
    let picture = draw(&data, &images.places, query, &found, is_right)?;
    files::write_png(&picture, &work.into)?;
    let correct = found.iter().filter(|image| is_right(image)).count() as u32;
    Ok(End::Finished(Drawn {
        correct,
        count: found.len() as u32,
    }))
}

fn no_query(image: usize, roles: &[Role]) -> String {
    let next = roles
        .iter()
        .enumerate()
        .position(|(other, role)| other > image && role.is_query());
    let next = next.or_else(|| roles.iter().position(|role| role.is_query()));
    let hint = next
        .map(|next| format!("; image {next} is a query"))
        .unwrap_or_default();
    format!("test image {image} is in the gallery only, nothing is searched for with it{hint}")
}

/// The nearest to one image of those that can be found, which it is not itself.
fn of_one(
    query: usize,
    images: &LabeledEmbeddings,
    roles: &[Role],
    count: usize,
    resources: EvalResources,
) -> Result<Vec<usize>, Failed> {
    let searched: Vec<usize> = (0..roles.len())
        .filter(|&image| roles[image].is_reference())
        .collect();
    let itself = [searched
        .binary_search(&query)
        .ok()
        .map(|place| place as u32)];
    let (one, gallery) = (images.select(&[query]), images.select(&searched));
    let search = RetrievalTask::Overlapping {
        queries: &one,
        gallery: &gallery,
        itself: &itself,
    };
    let found = nearest(search, count, resources).map_err(|error| score::unmeasurable(&error))?;
    Ok(found
        .of(0)
        .iter()
        .map(|&place| searched[place as usize])
        .collect())
}

fn draw(
    data: &PreparedData,
    places: &[i64],
    query: usize,
    found: &[usize],
    is_right: impl Fn(&usize) -> bool,
) -> Result<RgbImage, Failed> {
    let side = data.images.stored().size.short_side() as u32;
    let factor = SIDE.div_ceil(side);
    let cell = side * factor + 2 * FRAME + GAP;
    let lines = (found.len() as u32).div_ceil(IN_LINE).max(1);
    let columns = (found.len() as u32).min(IN_LINE) + 1;
    // The query has a column of its own, with a wider gap beside it.
    let mut picture = RgbImage::from_pixel(GAP + columns * cell + GAP, GAP + lines * cell, WHITE);
    place(
        &mut picture,
        &framed(data, places[query], factor, GREY)?,
        GAP,
        GAP,
    );
    for (number, image) in (0u32..).zip(found) {
        let colour = if is_right(image) { GREEN } else { RED };
        let (x, y) = (
            2 * GAP + (1 + number % IN_LINE) * cell,
            GAP + number / IN_LINE * cell,
        );
        place(
            &mut picture,
            &framed(data, places[*image], factor, colour)?,
            x,
            y,
        );
    }
    Ok(picture)
}

fn place(picture: &mut RgbImage, part: &RgbImage, x: u32, y: u32) {
    imageops::replace(picture, part, i64::from(x), i64::from(y));
}

/// The square in the middle of a stored image, enlarged.
fn framed(
    data: &PreparedData,
    place: i64,
    factor: u32,
    colour: Rgb<u8>,
) -> Result<RgbImage, Failed> {
    let (place, side) = (place as usize, data.images.stored().size.short_side());
    let [width, height] = data.images.sides(place);
    let middle = Region {
        left: (width - side) / 2,
        top: (height - side) / 2,
        width: side,
        height: side,
    };
    let square = data.images.part(place, middle)?;
    let (side, pixels) = (side as u32, square.in_colour(Colour::Rgb).pixels);
    let image = RgbImage::from_raw(side, side, pixels).expect("three bytes for each pixel");
    let enlarged = imageops::resize(
        &image,
        side * factor,
        side * factor,
        imageops::FilterType::Nearest,
    );
    let mut framed = RgbImage::from_pixel(
        enlarged.width() + 2 * FRAME,
        enlarged.height() + 2 * FRAME,
        colour,
    );
    imageops::replace(&mut framed, &enlarged, i64::from(FRAME), i64::from(FRAME));
    Ok(framed)
}
