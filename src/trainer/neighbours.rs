//! Draws an image and its nearest neighbors among the test images, in green frames if they are of its class and in red
//! ones if not. The class of a photo that belongs to no data set is not known: all frames are gray.

use std::path::{Path, PathBuf};

use dml::{
    data::{Color, ImageStore, PreparedData, Region, listing::Role},
    eval::{EvalResources, LabeledEmbeddings, RetrievalTask, nearest},
};
use image::{Rgb, RgbImage, imageops};
use schema::{Drawn, DrawnImage, Event, NeighboursWork, TestImage};
use tch::no_grad;

use crate::{
    Emit, End, Failed, Stop,
    batches::BatchSource,
    evaluate::{self, Keep},
    files,
    photos::Photos,
    score,
    split::{self, Images},
};

/// Pixels a side that an image is enlarged to, at least.
const SIDE: u32 = 96;
/// Pixels of a frame, and between frames.
const FRAME: u32 = 4;
const GAP: u32 = 8;
/// Neighbours in a line.
const IN_LINE: u32 = 10;

const WHITE: Rgb<u8> = Rgb([255, 255, 255]);
const GRAY: Rgb<u8> = Rgb([90, 90, 90]);
const GREEN: Rgb<u8> = Rgb([0, 158, 60]);
const RED: Rgb<u8> = Rgb([214, 39, 40]);

/// Draws the picture.
///
/// # Errors
/// If there is no such image, the network cannot be used or the picture cannot be written.
pub(crate) fn neighbours(
    work: &NeighboursWork,
    device: tch::Device,
    stop: &Stop,
    emit: Emit,
) -> Result<End<Drawn>, Failed> {
    emit(Event::Started { from: 0 });
    let data = split::open(&work.recipe, &work.data)?;
    let images = split::test(&data);
    let test_image = match &work.query {
        TestImage::Photo { .. } => None,
        TestImage::Index(_) | TestImage::File(_) => Some(checked_query(work, &data)?),
    };
    let (recipe, run, keep) = (&work.recipe, &work.run, Keep::Nothing);
    let Some(embeddings) = evaluate::embedded(recipe, &data, run, keep, device, stop, emit)? else {
        return Ok(End::Stopped);
    };
    let gallery = score::labelled(embeddings, images.labels.clone())?;
    let query = match (&work.query, test_image) {
        (TestImage::Photo { photo }, _) => of_photo(work, photo, device, emit)?,
        (_, test_image) => of_test_image(test_image.unwrap_or(0), &gallery, &data, &images)?,
    };
    let count = work.count as usize;
    let found = of_one(&query, &gallery, &data, count, EvalResources::on(device))?;
    let drawing = Drawing {
        data: &data,
        images: &images,
        query: &query,
        found: &found,
    };
    files::write_png(&drawing.draw()?, &work.into)?;
    let correct = found
        .iter()
        .filter(|&&image| drawing.is_right(image) == Some(true));
    Ok(End::Finished(Drawn {
        correct: correct.count() as u32,
        count: found.len() as u32,
        images: test_image
            .into_iter()
            .chain(found.iter().copied())
            .map(|image| drawn_image(image, &data))
            .collect(),
    }))
}

/// The image whose neighbors are drawn.
struct Query {
    embedding: LabeledEmbeddings,
    /// Its index, if it is a test image.
    test_image: Option<usize>,
    /// Its class, if that is known.
    class: Option<i64>,
    square: RgbImage,
}

fn of_test_image(
    image: usize,
    embedded: &LabeledEmbeddings,
    data: &PreparedData,
    images: &Images,
) -> Result<Query, Failed> {
    Ok(Query {
        embedding: embedded.select(&[image]),
        test_image: Some(image),
        class: Some(images.labels[image]),
        square: square(&data.images, images.indices[image] as usize)?,
    })
}

/// Embeds a photo that belongs to no data set.
fn of_photo(
    work: &NeighboursWork,
    photo: &Path,
    device: tch::Device,
    emit: Emit,
) -> Result<Query, Failed> {
    let photos = Photos::open(&work.recipe, photo, false, emit)?;
    if photos.paths.len() != 1 {
        return Err(Failed::data(format!(
            "`{}` is not one photo",
            photo.display()
        )));
    }
    let network = evaluate::trained_network(&work.recipe, &work.run, device)?;
    let indices = split::test(&photos.data).indices;
    let batches = BatchSource::new(&work.recipe, &photos.data, device)?;
    let embedding =
        no_grad(|| Ok::<_, Failed>(network.forward(&batches.images(&indices)?, false)))?;
    Ok(Query {
        embedding: score::labelled(embedding, vec![0])?,
        test_image: None,
        class: None,
        square: square(&photos.data.images, 0)?,
    })
}

/// Returns the index of the test image that is asked for.
fn checked_query(work: &NeighboursWork, data: &PreparedData) -> Result<usize, Failed> {
    let query = index(&work.query, data)?;
    match data.test.roles.get(query) {
        None => {
            let last = data.test.labels.len().saturating_sub(1);
            Err(Failed::data(format!(
                "there is no test image {query}; they are counted from 0 to {last}"
            )))
        }
        Some(role) if !role.is_query() => Err(Failed::data(no_query(query, &data.test.roles))),
        Some(_) => Ok(query),
    }
}

fn drawn_image(image: usize, data: &PreparedData) -> DrawnImage {
    let path = data.test.names.get(image);
    DrawnImage {
        index: image as u64,
        class: data.test.classes[data.test.labels[image] as usize].clone(),
        path: path.map(|path| path.display().to_string()),
    }
}

/// Returns the index of a test image.
fn index(image: &TestImage, data: &PreparedData) -> Result<usize, Failed> {
    match image {
        TestImage::Index(index) => Ok(*index as usize),
        TestImage::File(file) => index_of_file(file, &data.test.names).map_err(Failed::data),
        TestImage::Photo { .. } => Err(Failed::internal("a photo is no test image")),
    }
}

/// Returns the index of the only name that ends in these folders and this file.
fn index_of_file(file: &Path, names: &[PathBuf]) -> Result<usize, String> {
    let ending = names.iter().enumerate();
    let ending: Vec<(usize, &PathBuf)> = ending.filter(|(_, name)| name.ends_with(file)).collect();
    let file = file.display();
    match ending.as_slice() {
        [(index, _)] => Ok(*index),
        [] if names.is_empty() => {
            Err("the images of this data set have no files to name; give the index of one".into())
        }
        [] => Err(format!("there is no test image `{file}`")),
        [(_, one), (_, other), ..] => Err(format!(
            "{} test images are called `{file}`, such as `{}` and `{}`; give more of the path",
            ending.len(),
            one.display(),
            other.display()
        )),
    }
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
    format!("test image {image} is a gallery image and no query{hint}")
}

/// Returns the references nearest to a query, except itself and those of its class from its camera.
fn of_one(
    query: &Query,
    images: &LabeledEmbeddings,
    data: &PreparedData,
    count: usize,
    resources: EvalResources,
) -> Result<Vec<usize>, Failed> {
    let searched: Vec<usize> = (0..data.test.roles.len())
        .filter(|&image| data.test.roles[image].is_reference())
        .filter(|&image| !is_of_its_camera(query, image, data))
        .collect();
    let place = query
        .test_image
        .and_then(|image| searched.binary_search(&image).ok());
    let itself = [place.map(|index| index as u32)];
    let gallery = images.select(&searched);
    let search = RetrievalTask::Overlapping {
        queries: &query.embedding,
        gallery: &gallery,
        itself: &itself,
    };
    let found = nearest(search, count, resources).map_err(|error| score::unmeasurable(&error))?;
    Ok(found
        .of(0)
        .iter()
        .map(|&index| searched[index as usize])
        .collect())
}

/// True if a test image is of the query's class and from its camera.
fn is_of_its_camera(query: &Query, image: usize, data: &PreparedData) -> bool {
    let camera = |image: usize| data.test.cameras.get(image).copied().flatten();
    let of_query = query.test_image.and_then(camera);
    of_query.is_some() && of_query == camera(image) && query.class == Some(data.test.labels[image])
}

/// What is drawn.
struct Drawing<'a> {
    data: &'a PreparedData,
    /// The test images among all images of the data set.
    images: &'a Images,
    query: &'a Query,
    /// Its neighbors, test images, nearest first.
    found: &'a [usize],
}

impl Drawing<'_> {
    /// True if a neighbor is of the query's class; nothing if that is not known.
    fn is_right(&self, image: usize) -> Option<bool> {
        self.query
            .class
            .map(|class| self.images.labels[image] == class)
    }

    fn side(&self) -> u32 {
        self.data.images.stored().size.short_side()
    }

    /// The factor by which images are enlarged.
    fn factor(&self) -> u32 {
        SIDE.div_ceil(self.side())
    }

    fn draw(&self) -> Result<RgbImage, Failed> {
        let cell = self.side() * self.factor() + 2 * FRAME + GAP;
        let count = self.found.len() as u32;
        let lines = count.div_ceil(IN_LINE).max(1);
        let columns = count.min(IN_LINE) + 1;
        // The query has a column of its own, with a wider gap beside it.
        let width = GAP + columns * cell + GAP;
        let height = GAP + lines * cell;
        let mut picture = RgbImage::from_pixel(width, height, WHITE);
        let query = self.framed(&self.query.square, GRAY);
        imageops::replace(&mut picture, &query, GAP.into(), GAP.into());
        for (number, &image) in (0u32..).zip(self.found) {
            let color = match self.is_right(image) {
                Some(true) => GREEN,
                Some(false) => RED,
                None => GRAY,
            };
            let x = 2 * GAP + (1 + number % IN_LINE) * cell;
            let y = GAP + number / IN_LINE * cell;
            let square = square(&self.data.images, self.images.indices[image] as usize)?;
            imageops::replace(
                &mut picture,
                &self.framed(&square, color),
                x.into(),
                y.into(),
            );
        }
        Ok(picture)
    }

    /// Returns a square, enlarged and in a frame.
    fn framed(&self, square: &RgbImage, color: Rgb<u8>) -> RgbImage {
        let side = self.side() * self.factor();
        let enlarged = imageops::resize(square, side, side, imageops::FilterType::Nearest);
        let outer = side + 2 * FRAME;
        let mut framed = RgbImage::from_pixel(outer, outer, color);
        imageops::replace(&mut framed, &enlarged, FRAME.into(), FRAME.into());
        framed
    }
}

/// Returns the square in the middle of an image.
fn square(images: &ImageStore, index: usize) -> Result<RgbImage, Failed> {
    let side = images.stored().size.short_side() as usize;
    let [width, height] = images.sides(index);
    let middle = Region {
        left: (width - side) / 2,
        top: (height - side) / 2,
        width: side,
        height: side,
    };
    let pixels = images.part(index, middle)?.in_color(Color::Rgb).pixels;
    let side = side as u32;
    Ok(RgbImage::from_raw(side, side, pixels).expect("three bytes for each pixel"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_the_end_of_its_path() {
        let names = ["files/a/1.jpg", "files/a/11.jpg", "files/b/1.jpg"].map(PathBuf::from);
        let found = |file: &str| index_of_file(Path::new(file), &names);
        assert_eq!((found("b/1.jpg"), found("11.jpg")), (Ok(2), Ok(1)));
        let error = found("1.jpg").unwrap_err();
        assert!(
            error.contains("2 test images are called `1.jpg`"),
            "{error}"
        );
        assert!(
            found("2.jpg")
                .unwrap_err()
                .contains("no test image `2.jpg`")
        );
        let unknown = index_of_file(Path::new("1.jpg"), &[]).unwrap_err();
        assert!(unknown.contains("give the index of one"), "{unknown}");
    }
}
