//! What the best row of each data set retrieves: queries with their nearest images, and a map of test images.
//!
//! It reads what an evaluation left in the folder of a run, and the prepared images. Whatever is not there is not
//! shown: embeddings of a copied results folder, images that are decoded on demand, images of several sizes, and
//! data sets that separate queries from a gallery.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use report::{BestRun, Retrieval, RetrievedQuery, Table, stats::on_principal_axes};
use safetensors::{Dtype, SafeTensors};
use schema::{Color, ImageSize, PrepareWork, PreparedIndex, RunId};
use serde::Deserialize;

use crate::{
    ledger::{Ledger, read_json},
    plan::Plan,
};

/// Queries of each kind.
const QUERIES: usize = 3;
/// Images for each query.
const NEAREST: usize = 8;
/// Larger images are scaled down to this many pixels a side.
const SIDE: u32 = 64;
/// Classes on the map, and images of each.
const CLASSES: usize = 6;
const OF_CLASS: usize = 40;

/// What the best row of each data set of a table retrieves.
pub(super) fn retrievals(table: &Table, plan: &Plan, ledger: &Ledger) -> Vec<Retrieval> {
    let mut retrievals = Vec::new();
    for best in table.best_runs() {
        if let Some(test) = TestSet::open(best.run, plan, ledger) {
            retrievals.extend(test.retrieval(best).ok());
        }
    }
    retrievals
}

/// One line of `queries.csv`.
#[derive(Deserialize)]
struct Query {
    label: u32,
    #[serde(rename = "ap@r")]
    ap_at_r: Option<f64>,
}

/// The test images of a run with their embeddings.
struct TestSet {
    queries: Vec<Query>,
    /// With length 1, by image.
    embeddings: Vec<Vec<f32>>,
    /// By image, negative where unknown; empty if the data set names none.
    cameras: Vec<i64>,
    images: ImageFile,
}

/// The decoded images of a data set.
struct ImageFile {
    file: File,
    side: u32,
    color: Color,
    /// The number of images before those of the test classes.
    skipped: u64,
}

impl TestSet {
    /// None if anything is not there, or is written by another trainer in a form of its own.
    fn open(run: RunId, plan: &Plan, ledger: &Ledger) -> Option<TestSet> {
        let folder = ledger.data(plan.runs.get(&run)?.data);
        let index: PreparedIndex = read_json(&folder.join(PrepareWork::INDEX)).ok()??;
        let files = ledger.run(run);
        let queries = queries(&files.queries())?;
        let (embeddings, cameras) = embeddings(&files.embeddings())?;
        if queries.len() != embeddings.len() {
            return None;
        }
        let images = ImageFile::open(&folder, &index, queries.len())?;
        Some(TestSet {
            queries,
            embeddings,
            cameras,
            images,
        })
    }

    fn retrieval(mut self, best: BestRun) -> io::Result<Retrieval> {
        let mut retrieved = Vec::new();
        for (rank, image) in self.chosen() {
            let nearest = self.nearest(image);
            retrieved.push(self.shown(rank, image, &nearest)?);
        }
        Ok(Retrieval {
            title: best.title,
            queries: retrieved,
            map: self.map(),
        })
    }

    /// The best, the median and the worst queries by average precision, in this order.
    fn chosen(&self) -> Vec<(&'static str, usize)> {
        let precisions = self.queries.iter().enumerate();
        let mut ranked: Vec<(f64, usize)> = precisions
            .filter_map(|(image, query)| Some((query.ap_at_r?, image)))
            .collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        if ranked.len() < 3 * QUERIES {
            return ranked
                .into_iter()
                .map(|(_, image)| ("query", image))
                .collect();
        }
        let starts = [
            ("best", 0),
            ("median", (ranked.len() - QUERIES) / 2),
            ("worst", ranked.len() - QUERIES),
        ];
        let of = |(rank, start): (&'static str, usize)| {
            let ranked = &ranked[start..start + QUERIES];
            ranked
                .iter()
                .map(move |(_, image)| (rank, *image))
                .collect::<Vec<_>>()
        };
        starts.into_iter().flat_map(of).collect()
    }

    /// The images most similar to one, without itself and those of its class from its camera.
    fn nearest(&self, query: usize) -> Vec<usize> {
        let similarity = |image: &usize| -> f64 {
            let pairs = self.embeddings[query].iter().zip(&self.embeddings[*image]);
            pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let others = (0..self.embeddings.len())
            .filter(|image| *image != query && !self.is_of_its_camera(query, *image));
        let mut others: Vec<(f64, usize)> =
            others.map(|image| (similarity(&image), image)).collect();
        others.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        others
            .into_iter()
            .take(NEAREST)
            .map(|(_, image)| image)
            .collect()
    }

    /// True if an image is of the query's class and from its camera.
    fn is_of_its_camera(&self, query: usize, image: usize) -> bool {
        let [of_query, of_image] = [query, image].map(|image| self.cameras.get(image));
        let is_known = of_query.is_some_and(|camera| *camera >= 0);
        is_known && of_query == of_image && self.queries[query].label == self.queries[image].label
    }

    fn shown(
        &mut self,
        rank: &'static str,
        query: usize,
        nearest: &[usize],
    ) -> io::Result<RetrievedQuery> {
        let label = self.queries[query].label;
        let mut images = Vec::new();
        for &image in nearest {
            let is_right = self.queries[image].label == label;
            images.push((self.images.uri(image)?, is_right));
        }
        Ok(RetrievedQuery {
            rank,
            image: self.images.uri(query)?,
            nearest: images,
        })
    }

    /// Images of the first classes on the principal components of their embeddings.
    fn map(&self) -> Vec<((f64, f64), usize)> {
        let mut labels: Vec<u32> = self.queries.iter().map(|query| query.label).collect();
        labels.sort_unstable();
        labels.dedup();
        let (mut points, mut classes) = (Vec::new(), Vec::new());
        for (class, label) in labels.into_iter().take(CLASSES).enumerate() {
            let images = self.queries.iter().zip(&self.embeddings);
            let images = images.filter(|(query, _)| query.label == label);
            for (_, embedding) in images.take(OF_CLASS) {
                points.push(embedding.iter().copied().map(f64::from).collect());
                classes.push(class);
            }
        }
        on_principal_axes(&points)
            .into_iter()
            .zip(classes)
            .collect()
    }
}

/// All queries, if every test image is one.
fn queries(path: &Path) -> Option<Vec<Query>> {
    let text = durable::read(path).ok()?;
    let mut reader = csv::Reader::from_reader(&*text);
    reader.deserialize().collect::<Result<_, _>>().ok()
}

/// The embeddings of a file, each with length 1, and the cameras of the images.
fn embeddings(path: &Path) -> Option<(Vec<Vec<f32>>, Vec<i64>)> {
    let bytes = durable::read(path).ok()?;
    let tensors = SafeTensors::deserialize(&bytes).ok()?;
    let tensor = tensors.tensor("embeddings").ok()?;
    let &[_, dimensions] = tensor.shape() else {
        return None;
    };
    if tensor.dtype() != Dtype::F32 || dimensions == 0 {
        return None;
    }
    let values = tensor.data().chunks_exact(4).map(|bytes| {
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        f32::from_le_bytes(bytes)
    });
    let values: Vec<f32> = values.collect();
    let rows = values.chunks_exact(dimensions).map(normalized).collect();
    Some((rows, cameras(&tensors)))
}

fn cameras(tensors: &SafeTensors) -> Vec<i64> {
    let Ok(tensor) = tensors.tensor("cameras") else {
        return Vec::new();
    };
    let (numbers, _) = tensor.data().as_chunks();
    numbers
        .iter()
        .map(|bytes| i64::from_le_bytes(*bytes))
        .collect()
}

fn normalized(embedding: &[f32]) -> Vec<f32> {
    let length = embedding
        .iter()
        .map(|value| value * value)
        .sum::<f32>()
        .sqrt();
    let length = if length > 0.0 { length } else { 1.0 };
    embedding.iter().map(|value| value / length).collect()
}

impl ImageFile {
    /// None if images are not kept, or are not all squares of one size.
    fn open(folder: &Path, index: &PreparedIndex, test_images: usize) -> Option<ImageFile> {
        let ImageSize::Square(side) = index.stored.size else {
            return None;
        };
        let color = index.stored.color;
        let size = u64::from(side * side * color.channels());
        let file = durable::open(&folder.join(PrepareWork::IMAGES)).ok()?;
        let images = file.metadata().ok()?.len() / size;
        Some(ImageFile {
            file,
            side,
            color,
            skipped: images.checked_sub(test_images as u64)?,
        })
    }

    /// A test image as a data URI.
    fn uri(&mut self, image: usize) -> io::Result<String> {
        let size = (self.side * self.side * self.color.channels()) as usize;
        let mut pixels = vec![0; size];
        let first = (self.skipped + image as u64) * size as u64;
        self.file.seek(SeekFrom::Start(first))?;
        self.file.read_exact(&mut pixels)?;
        let picture = match self.color {
            Color::Gray => {
                GrayImage::from_raw(self.side, self.side, pixels).map(DynamicImage::from)
            }
            Color::Rgb => RgbImage::from_raw(self.side, self.side, pixels).map(DynamicImage::from),
        };
        let picture = picture.ok_or(io::ErrorKind::InvalidData)?;
        let (picture, format, kind) = match self.side > SIDE {
            true => (picture.thumbnail(SIDE, SIDE), ImageFormat::Jpeg, "jpeg"),
            false => (picture, ImageFormat::Png, "png"),
        };
        let mut bytes = Cursor::new(Vec::new());
        picture
            .write_to(&mut bytes, format)
            .map_err(io::Error::other)?;
        Ok(format!(
            "data:image/{kind};base64,{}",
            STANDARD.encode(bytes.into_inner())
        ))
    }
}
