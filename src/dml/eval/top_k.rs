//! Finds on the CPU the nearest references of each query.
//!
//! A query keeps as candidates the references whose approximate products may be among its nearest:
//! hardly more than it needs. Their exact similarities determine the order.

use std::{ops::Range, sync::Mutex};

use rayon::prelude::*;

use super::{
    embeddings::{SimilarImage, keep_nearest},
    error::EvalError,
    frame::RowFrame,
    product::{QuantizedRows, TILE, Tile, TileSelection, TiledProduct},
    resources::{EvalResources, StopFlag},
    task::NeighborProblem,
};
use crate::processor::Processor;

/// Returns the `count` nearest references of each query, nearest first. Holds about as many bytes
/// beside its arguments and the result as its resources allow.
///
/// # Errors
/// If it is stopped.
pub(super) fn nearest(
    problem: &NeighborProblem,
    resources: EvalResources,
) -> Result<Vec<u32>, EvalError> {
    let EvalResources { budget, stop, .. } = resources;
    let NeighborProblem {
        queries,
        references,
        count,
        ..
    } = *problem;
    let frame = RowFrame::new(queries, references, problem.comparison, Processor::best());
    let left = QuantizedRows::new(queries, &frame);
    let right = QuantizedRows::new(references, &frame);
    let top_k = TopK {
        problem,
        left: &left,
        right: &right,
        frame: &frame,
        max_candidates: 4 * count + 64,
        enough_to_drop: 2 * count + 32,
    };
    let tile_bytes = top_k.max_candidates * size_of::<Candidate>() * TILE;
    let band = (budget / 2 / tile_bytes).max(1);
    let tiles = queries.len().div_ceil(TILE);
    let mut images = Vec::with_capacity(queries.len() * count);
    for start in (0..tiles).step_by(band) {
        let band = start..tiles.min(start + band);
        images.extend(top_k.nearest_of(band, budget / 2, stop)?);
    }
    Ok(images)
}

/// A reference that may be among the nearest, with bounds of its threshold.
#[derive(Clone, Copy)]
struct Candidate {
    low: f32,
    high: f32,
    image: u32,
}

/// The candidates of a query. References below the floor are none.
struct QueryCandidates {
    list: Vec<Candidate>,
    floor: f32,
}

impl QueryCandidates {
    fn none() -> QueryCandidates {
        QueryCandidates {
            list: Vec::new(),
            floor: f32::NEG_INFINITY,
        }
    }
}

struct TopK<'a> {
    problem: &'a NeighborProblem<'a>,
    left: &'a QuantizedRows<'a>,
    right: &'a QuantizedRows<'a>,
    frame: &'a RowFrame,
    /// Candidates of a query to hold at most.
    max_candidates: usize,
    /// Candidates from which it pays to drop the hopeless ones.
    enough_to_drop: usize,
}

impl TopK<'_> {
    /// Returns the nearest references of the queries of these tiles.
    fn nearest_of(
        &self,
        band: Range<usize>,
        budget: usize,
        stop: StopFlag,
    ) -> Result<Vec<u32>, EvalError> {
        let found: Vec<Mutex<Vec<QueryCandidates>>> =
            band.clone().map(|_| Mutex::default()).collect();
        let product = TiledProduct {
            left: self.left,
            right: self.right,
            left_tiles: band.clone(),
            selection: TileSelection::All,
            budget,
            stop,
        };
        product.for_each(|tile| {
            // A left tile is computed by one thread at a time: the lock is never contended.
            if let Ok(mut found) = found[tile.left - band.start].lock() {
                self.collect(tile, &mut found);
            }
        })?;
        let images = band
            .into_par_iter()
            .zip(found)
            .flat_map_iter(|(tile, found)| {
                let found = found
                    .into_inner()
                    .unwrap_or_else(|poisoned| poisoned.into_inner());
                (tile * TILE..).zip(found).flat_map(|(query, mut found)| {
                    self.settle(query, &mut found);
                    found.list.into_iter().map(|candidate| candidate.image)
                })
            });
        Ok(images.collect())
    }

    /// Adds the candidates of a tile.
    fn collect(&self, tile: Tile, found: &mut Vec<QueryCandidates>) {
        let rows = Tile::rows(tile.left, self.left.len());
        let columns = Tile::rows(tile.right, self.right.len());
        found.resize_with(rows.len(), QueryCandidates::none);
        for ((query, values), found) in rows.zip(tile.values.chunks_exact_mut(TILE)).zip(found) {
            let values = &mut values[..columns.len()];
            let offsets = &self.right.offsets[columns.clone()];
            self.frame.processor.subtract(values, offsets);
            let radius = (self.left.radius(query, self.right, tile.right) as f32).next_up();
            if (self.frame.processor.largest(values) + radius).next_up() < found.floor {
                continue;
            }
            self.add(query, columns.clone(), values, radius, found);
            if found.list.len() > self.enough_to_drop {
                self.drop_hopeless(found);
            }
            if found.list.len() > self.max_candidates - TILE.min(self.enough_to_drop) {
                self.settle(query, found);
            }
        }
    }

    fn add(
        &self,
        query: usize,
        references: Range<usize>,
        values: &[f32],
        radius: f32,
        found: &mut QueryCandidates,
    ) {
        let itself = self.problem.self_match.of(query);
        for (image, &value) in references.zip(values) {
            let candidate = Candidate {
                low: (value - radius).next_down(),
                high: (value + radius).next_up(),
                image: image as u32,
            };
            if candidate.high >= found.floor && Some(image) != itself {
                found.list.push(candidate);
            }
        }
    }

    /// Drops the candidates that cannot be among the nearest.
    fn drop_hopeless(&self, found: &mut QueryCandidates) {
        let last = self.problem.count - 1;
        found
            .list
            .select_nth_unstable_by(last, |a, b| b.low.total_cmp(&a.low));
        let floor = found.list[last].low;
        found.list.retain(|candidate| candidate.high >= floor);
        found.floor = floor;
    }

    /// Keeps the nearest of the candidates, in order, by their exact similarity.
    fn settle(&self, query: usize, found: &mut QueryCandidates) {
        let row = self.problem.queries.row(query);
        let mut exact = Vec::with_capacity(found.list.len());
        for &Candidate { image, .. } in &found.list {
            let reference = self.problem.references.row(image as usize);
            let similarity = self.frame.similarity(row, reference);
            exact.push(SimilarImage { similarity, image });
        }
        keep_nearest(&mut exact, self.problem.count);
        found.list.clear();
        for image in exact {
            found.list.push(self.certain(query, image));
        }
        if let Some(last) = found.list.get(self.problem.count - 1) {
            found.floor = last.low;
        }
    }

    /// Returns a candidate whose exact similarity is known.
    fn certain(&self, query: usize, exact: SimilarImage) -> Candidate {
        let threshold = self.left.framed.threshold(query, exact.similarity);
        let slack = self.left.slack();
        Candidate {
            low: ((threshold - slack) as f32).next_down(),
            high: ((threshold + slack) as f32).next_up(),
            image: exact.image,
        }
    }
}
