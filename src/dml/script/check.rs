//! The checks of a loss or a miner of the user: what the tests of built-in ones demand.
//!
//! A probe is a small batch of four classes; most checks compute it again in another form that must not matter. Checks
//! are in double precision. A part of the program is the same function as the module if it agrees on two probes.

mod losses;
mod miners;

use std::time::Instant;

use schema::{ScriptCheck, ScriptProperty};
use tch::{Kind, Tensor};

pub use losses::check_loss;
pub use miners::check_miner;

use super::ScriptError;
use crate::{
    distance::normalize,
    random::{Draws, Purpose},
    tuples::References,
};

/// Width of the embeddings of a probe.
const WIDTH: i64 = 8;
/// Images and classes of a probe.
const IMAGES: i64 = 12;
const CLASSES: i64 = 4;

/// A batch that a module is checked with.
#[derive(Debug)]
struct Probe {
    /// `[n, d]`, before normalization.
    raw: Tensor,
    labels: Vec<i64>,
}

impl Probe {
    /// Returns a batch of [`IMAGES`] images.
    fn new(seed: u64) -> Probe {
        Probe::of(&[0, 1, 2, 3, 0, 1, 2, 0, 1, 0, 2, 3], seed)
    }

    fn of(labels: &[i64], seed: u64) -> Probe {
        Probe::wide(labels, WIDTH, seed)
    }

    fn wide(labels: &[i64], width: i64, seed: u64) -> Probe {
        let mut draws = Draws::new(seed, Purpose::Probe, 0, 0);
        let count = labels.len() as i64 * width;
        let numbers: Vec<f64> = (0..count).map(|_| draws.normal()).collect();
        Probe {
            raw: Tensor::from_slice(&numbers).view([labels.len() as i64, width]),
            labels: labels.to_vec(),
        }
    }

    /// Returns the same images in another order: image i is the one at place [`moved`] of i.
    fn reordered(&self) -> Probe {
        let from: Vec<i64> = (0..IMAGES).map(moved).collect();
        Probe {
            raw: self.raw.index_select(0, &Tensor::from_slice(&from)),
            labels: from
                .iter()
                .map(|&image| self.labels[image as usize])
                .collect(),
        }
    }

    /// Returns the same images with other numbers of the classes.
    fn renamed(&self) -> Probe {
        Probe {
            raw: self.raw.copy(),
            labels: self
                .labels
                .iter()
                .map(|label| (label + 1) % CLASSES)
                .collect(),
        }
    }

    /// Returns the batch as its own reference.
    fn references(&self, embeddings: &Tensor) -> References {
        References::batch(embeddings, &self.labels())
    }

    /// Returns a memory that holds the batch in reverse order, and nothing else.
    fn memory(&self, embeddings: &Tensor) -> References {
        let last = self.labels.len() as i64 - 1;
        let own: Vec<i64> = (0..=last).map(|image| last - image).collect();
        References::memory(
            embeddings.flip([0]),
            self.labels().flip([0]),
            Tensor::from_slice(&own),
        )
    }

    fn labels(&self) -> Tensor {
        Tensor::from_slice(&self.labels)
    }

    fn embeddings(&self) -> Tensor {
        normalize(&self.raw)
    }
}

/// Returns the place in the batch of an image of the reordered one. No two neighbors stay neighbors.
fn moved(image: i64) -> i64 {
    (5 * image + 3) % IMAGES
}

/// Batches from which a loss or a miner learns nothing, in words.
fn small_batches() -> [(&'static str, Probe); 4] {
    [
        ("one image", Probe::of(&[0], 3)),
        ("images of one class", Probe::of(&[2, 2, 2], 3)),
        ("classes of one image", Probe::of(&[0, 1, 2], 3)),
        ("equal images", equal_images()),
    ]
}

fn equal_images() -> Probe {
    let labels = [0, 0, 1, 1];
    let one = Probe::of(&[0], 3);
    Probe {
        raw: one.raw.expand([4, WIDTH], false).copy(),
        labels: labels.to_vec(),
    }
}

/// Returns the result of a check; the fault is a clause.
fn check(property: ScriptProperty, found: Result<(), String>) -> ScriptCheck {
    ScriptCheck {
        property,
        fault: found.err(),
    }
}

fn clause(error: ScriptError) -> String {
    error.0
}

/// Returns the median time of some calls in milliseconds, after one that is not counted.
fn milliseconds(mut call: impl FnMut()) -> f64 {
    const CALLS: usize = 15;
    call();
    let mut times: Vec<f64> = (0..CALLS)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[CALLS / 2]
}

/// Returns a batch of 128 images of 32 classes, in the precision of a training.
fn timed_batch() -> (Tensor, Tensor) {
    let labels: Vec<i64> = (0..128).map(|image| image % 32).collect();
    let probe = Probe::wide(&labels, 128, 4);
    (probe.embeddings().to_kind(Kind::Float), probe.labels())
}
