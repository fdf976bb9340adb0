//! Finds on a device the nearest references of each query.

use std::ops::Range;

use rayon::prelude::*;
use tch::Tensor;

use super::{DeviceBlock, DeviceProducts, MIN_QUERIES, OpenPair};
use crate::{
    eval::{
        embeddings::{SimilarImage, keep_nearest},
        error::EvalError,
        frame::{FramedRows, RowFrame},
        resources::EvalResources,
        task::NeighborProblem,
    },
    processor::Processor,
};

/// Returns the `count` nearest references of each query, nearest first.
///
/// # Errors
/// If it is stopped.
pub(in crate::eval) fn nearest(
    problem: &NeighborProblem,
    resources: EvalResources,
) -> Result<Vec<u32>, EvalError> {
    let NeighborProblem {
        queries,
        references,
        count,
        ..
    } = *problem;
    let frame = RowFrame::new(queries, references, problem.comparison, Processor::best());
    let products = DeviceProducts::new(
        FramedRows::new(queries, &frame),
        FramedRows::new(references, &frame),
        resources,
    );
    let query_bytes = 2 * size_of::<SimilarImage>() * count;
    let band = (resources.budget / 2 / query_bytes).max(MIN_QUERIES);
    let mut images = Vec::with_capacity(queries.len() * count);
    for start in (0..queries.len()).step_by(band) {
        let band = start..queries.len().min(start + band);
        let mut top_k = DeviceTopK {
            problem,
            products: &products,
            start,
            found: vec![Vec::new(); band.len()],
        };
        top_k.search(band)?;
        images.extend(top_k.found.into_iter().flatten().map(|found| found.image));
    }
    Ok(images)
}

struct DeviceTopK<'a> {
    problem: &'a NeighborProblem<'a>,
    products: &'a DeviceProducts<'a>,
    /// First query.
    start: usize,
    /// The nearest references of each query so far, nearest first.
    found: Vec<Vec<SimilarImage>>,
}

impl DeviceTopK<'_> {
    fn search(&mut self, queries: Range<usize>) -> Result<(), EvalError> {
        let products = self.products;
        let count = self.problem.count;
        for references in products.reference_blocks() {
            let marks = references.clone().map(|image| image as i32).collect();
            let block = products.reference_block(references, marks);
            products.for_each_query_block(
                queries.clone(),
                block.len(),
                |_| count,
                |queries| self.add(queries, &block),
            )?;
        }
        Ok(())
    }

    /// Adds those of a block of references that are among the nearest.
    fn add(&mut self, queries: Range<usize>, references: &DeviceBlock) {
        let itself = queries
            .clone()
            .map(|query| self.problem.self_match.of(query));
        let marks = itself
            .map(|image| image.map_or(-1, |image| image as i32))
            .collect();
        let block = self.products.query_block(queries.clone(), marks);
        let lower = DeviceProducts::lower_bounds(&block, references);
        let floor = self.floor(&lower, queries.clone());
        let upper = self.products.upper_bounds(lower, &block, references);
        let open = upper.ge_tensor(&floor);
        let indices = open.view(-1).nonzero().view(-1);
        drop((upper, open));
        let products = self.products;
        products.for_each_open(&indices, &block, references, |open| {
            self.settle(queries.clone(), open);
        });
    }

    /// Adds references by their exact similarity and keeps the nearest.
    fn settle(&mut self, queries: Range<usize>, open: &[OpenPair]) {
        let products = self.products;
        let exact: Vec<f64> = open
            .par_iter()
            .map(|pair| products.similarity(pair.query, pair.reference))
            .collect();
        for (pair, similarity) in open.iter().zip(exact) {
            self.found[pair.query - self.start].push(SimilarImage {
                similarity,
                image: pair.reference as u32,
            });
        }
        let count = self.problem.count;
        self.found[queries.start - self.start..queries.end - self.start]
            .par_iter_mut()
            .for_each(|found| keep_nearest(found, count));
    }

    /// Returns what the upper bound of a product must reach for the reference to be among the
    /// nearest, `[queries, 1]`.
    fn floor(&self, lower: &Tensor, queries: Range<usize>) -> Tensor {
        let known: Vec<f32> = queries.map(|query| self.known_floor(query)).collect();
        let known = self.products.tensor(&known, &[known.len(), 1]);
        let count = self.problem.count as i64;
        if lower.size()[1] < count {
            return known;
        }
        let (largest, _) = lower.topk(count, 1, true, false);
        largest.amin([1i64].as_slice(), true).maximum(&known)
    }

    /// Returns the floor that follows from the references found before.
    fn known_floor(&self, query: usize) -> f32 {
        match self.found[query - self.start].get(self.problem.count - 1) {
            Some(last) => {
                let queries = &self.products.queries;
                let threshold = queries.threshold(query, last.similarity);
                self.products.bounds(threshold as f32).low
            }
            // Above negative infinity, the product with an excluded reference.
            None => f32::MIN,
        }
    }
}
