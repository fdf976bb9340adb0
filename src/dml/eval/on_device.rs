//! Comparisons on a device of libtorch, such as a GPU. They give the same results as those on the CPU, to the last bit.
//!
//! The sums of a GPU come in an order that its library chooses and that changes with the shape of the matrices. So here
//! too nothing is decided by approximate products alone: a product of two matrices gives a lower bound of each
//! product, a smaller one the distance to an upper bound, and where a question lies between both, the exact similarity
//! answers it on the CPU (`ranks` tells what is asked). Queries are taken some at a time, and so are references if
//! they are too many to lie on the device at once.
//!
//! The bounds hold for any order of the sums, with fused operations or without, but not for numbers with fewer digits
//! than single precision has, as those of TF32. libtorch multiplies such numbers only if it is told to, also by a
//! variable of the environment; [`is_precise`] looks, and where it does, embeddings are compared on the CPU.

use std::ops::Range;

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::{
    Resources,
    frame::{Extent, Frame},
    neighbours::nearest_first,
    ranks::{Comparing, Depth, Rank, Targets, bands},
    retrieval::Itself,
    rows::{Comparison, Rows},
};
use crate::processor::Processor;

/// Bytes on the device of a product and all that is made of it, if every one leaves a question open.
const PRODUCT_BYTES: usize = 48;

/// Bytes on the device of what is known of a target.
const TARGET_BYTES: usize = 40;

/// Queries that are compared at a time at least, if there are as many.
const FEWEST_QUERIES: usize = 64;

/// References, likewise.
const FEWEST_REFERENCES: usize = 128;

/// Open questions that a thread answers at a time.
const PORTION: usize = 1 << 12;

/// Columns beside the numbers of a row, from which the bounds follow.
const EXTRA: usize = 3;

/// Whether this device multiplies all digits of numbers of single precision.
pub(super) fn is_precise(device: Device) -> bool {
    // Two numbers of eight digits, or one of eleven, are not enough for a third.
    let thirds = Tensor::full([256, 256], 4.0 / 3.0, (Kind::Float, device));
    thirds
        .matmul(&Tensor::eye(256, (Kind::Float, device)))
        .equal(&thirds)
}

/// As `ranks`, on a device.
pub(super) fn ranks(
    of: &Comparing,
    depth: Depth,
    resources: Resources,
    mut hear: impl FnMut(usize, &[Rank]),
) {
    let products = Products::new(of.queries, of.references, of.comparison, resources);
    let classes = of.classes;
    for band in bands(of, depth, resources.budget / 2) {
        let targets = Targets::new(
            of,
            depth,
            band.clone(),
            |query, similarity| products.threshold(query, similarity),
            products.frame.processor,
        );
        let counting = Counting {
            of,
            products: &products,
            targets: &targets,
            depth,
        };
        for references in products.blocks() {
            let right = products.right(
                references.clone(),
                classes.of_references[references].iter().copied(),
            );
            let mut rest = band.clone();
            while !rest.is_empty() {
                let queries =
                    products.chunk(rest.clone(), right.len(), |query| targets.alive(query));
                rest.start = queries.end;
                counting.count(queries, &right);
            }
        }
        let mut found = Vec::new();
        for query in band {
            targets.ranks(query, &mut found);
            hear(query, &found);
        }
    }
}

/// The `count` nearest references of each query, nearest first, of which each has so many.
pub(super) fn nearest(
    (queries, references): (&Rows, &Rows),
    comparison: Comparison,
    itself: Itself,
    count: usize,
    resources: Resources,
) -> Vec<u32> {
    let products = Products::new(queries, references, comparison, resources);
    let band = (resources.budget / 2 / (2 * size_of::<(f64, u32)>() * count)).max(FEWEST_QUERIES);
    let mut images = Vec::with_capacity(queries.len() * count);
    for start in (0..queries.len()).step_by(band) {
        let band = start..queries.len().min(start + band);
        let mut searching = Searching {
            products: &products,
            itself,
            count,
            start,
            found: vec![Vec::new(); band.len()],
        };
        for references in products.blocks() {
            let right = products.right(references.clone(), references.map(|image| image as u32));
            let mut rest = band.clone();
            while !rest.is_empty() {
                let queries = products.chunk(rest.clone(), right.len(), |_| count);
                rest.start = queries.end;
                searching.see(queries, &right);
            }
        }
        images.extend(
            searching
                .found
                .into_iter()
                .flatten()
                .map(|(_, image)| image),
        );
    }
    images
}

/// One of the two sets that are compared.
struct Side<'a> {
    rows: &'a Rows,
    extents: Vec<Extent>,
}

/// Bounds of the products of queries with references, all relative to a centre as [`Frame`] tells.
///
/// The error of a sum of n products in any order is below n units in the last place of the sum of their magnitudes
/// (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1). With a query of length A and a reference of
/// length B these magnitudes are no more than AB, and |o| more where o is taken off the product, so the error is below
/// E = kAB + k|o| for a k of that size, twice as large in case that a device does not round to the nearest. This is a sum
/// of products itself: three more columns of both matrices, -kA, -k and -1 of a query and B, |o| and o of a reference,
/// make of a product its lower bound; the first two alone make half of what is between this and the upper one.
struct Products<'a> {
    queries: Side<'a>,
    references: Side<'a>,
    frame: Frame,
    /// The k above.
    unit: f64,
    resources: Resources,
}

/// Some queries or references on the device.
struct Part {
    range: Range<usize>,
    /// `[len, width]`: their numbers, the columns for the bounds, and as many zeros as make rows of whole 16 bytes.
    rows: Tensor,
    /// `[len]`: products of those with one label are minus infinity.
    labels: Tensor,
}

impl Part {
    fn len(&self) -> usize {
        self.range.len()
    }
}

impl<'a> Products<'a> {
    fn new(
        queries: &'a Rows,
        references: &'a Rows,
        comparison: Comparison,
        resources: Resources,
    ) -> Products<'a> {
        let frame = Frame::new(queries, references, comparison, Processor::best());
        let side = |rows: &'a Rows| {
            let extents = (0..rows.len())
                .into_par_iter()
                .map(|row| frame.extent(rows.row(row)));
            Side {
                rows,
                extents: extents.collect(),
            }
        };
        let (queries, references) = (side(queries), side(references));
        // A few more, for the columns of the bounds and as rows are rounded when the centre is taken off.
        let unit = 1.01 * (queries.rows.width() + 16) as f64 * f64::from(f32::EPSILON);
        Products {
            queries,
            references,
            frame,
            unit,
            resources,
        }
    }

    /// References, as many at a time as may lie on the device.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let (len, bytes) = (self.references.rows.len(), self.resources.device_budget);
        let block =
            (bytes / 4 / self.row_bytes()).min(bytes / 2 / (FEWEST_QUERIES * PRODUCT_BYTES));
        let block = block.max(FEWEST_REFERENCES);
        (0..len)
            .step_by(block)
            .map(move |start| start..len.min(start + block))
    }

    /// The first of these queries, as many as are compared at a time with so many references.
    fn chunk(
        &self,
        queries: Range<usize>,
        references: usize,
        targets: impl Fn(usize) -> usize,
    ) -> Range<usize> {
        let bytes = self.resources.device_budget / 4 * 3;
        let mut most = 0;
        let fits = |&query: &usize| {
            most = most.max(targets(query) + 1);
            let each = references * PRODUCT_BYTES + most * TARGET_BYTES + self.row_bytes();
            let count = query - queries.start + 1;
            count <= FEWEST_QUERIES || count * each <= bytes
        };
        let count = queries.clone().take_while(fits).count();
        queries.start..queries.start + count
    }

    fn columns(&self) -> usize {
        (self.queries.rows.width() + EXTRA).next_multiple_of(4)
    }

    fn row_bytes(&self) -> usize {
        size_of::<f32>() * self.columns() + size_of::<i32>()
    }

    fn left(&self, queries: Range<usize>, labels: impl Iterator<Item = i32>) -> Part {
        let extra = |of: &Extent| [-self.unit * of.length, -self.unit, -1.0];
        self.part(&self.queries, queries, labels, extra)
    }

    fn right(&self, references: Range<usize>, labels: impl Iterator<Item = u32>) -> Part {
        let extra = |of: &Extent| [of.length, of.offset.abs(), of.offset];
        self.part(
            &self.references,
            references,
            labels.map(|label| label as i32),
            extra,
        )
    }

    fn part(
        &self,
        side: &Side,
        range: Range<usize>,
        labels: impl Iterator<Item = i32>,
        extra: impl Fn(&Extent) -> [f64; EXTRA] + Sync,
    ) -> Part {
        let (columns, frame) = (self.columns(), &self.frame);
        let mut values = vec![0f32; range.len() * columns];
        values
            .par_chunks_exact_mut(columns)
            .zip(range.clone())
            .for_each(|(to, row)| {
                let numbers = side
                    .rows
                    .row(row)
                    .iter()
                    .zip(&frame.centre)
                    .map(|(value, centre)| value * frame.scale - centre);
                let extra = extra(&side.extents[row])
                    .into_iter()
                    .map(|value| value as f32);
                to.iter_mut()
                    .zip(numbers.chain(extra))
                    .for_each(|(to, value)| *to = value);
            });
        let rows = self.tensor(&values, &[range.len(), columns]);
        let labels = self.tensor(&labels.collect::<Vec<i32>>(), &[range.len()]);
        Part {
            range,
            rows,
            labels,
        }
    }

    fn tensor<T: tch::kind::Element>(&self, values: &[T], shape: &[usize]) -> Tensor {
        let shape: Vec<i64> = shape.iter().map(|&side| side as i64).collect();
        Tensor::from_slice(values)
            .view(&shape[..])
            .to_device(self.resources.device)
    }

    /// Lower bounds of the products of these, `[left, right]`.
    fn lower(left: &Part, right: &Part) -> Tensor {
        let mut lower = left.rows.matmul(&right.rows.tr());
        let excluded = left
            .labels
            .unsqueeze(1)
            .eq_tensor(&right.labels.unsqueeze(0));
        lower.masked_fill_(&excluded, f64::NEG_INFINITY)
    }

    /// Upper bounds in the place of lower ones.
    fn upper(&self, mut lower: Tensor, left: &Part, right: &Part) -> Tensor {
        let error = |part: &Part| part.rows.narrow(1, self.queries.rows.width() as i64, 2);
        lower.addmm_(&(error(left) * -2.0), &error(right).tr())
    }

    /// Turns a similarity to a query into the number to compare products with.
    fn threshold(&self, query: usize, similarity: f64) -> f64 {
        self.frame
            .threshold(&self.queries.extents[query], similarity)
    }

    /// Between which values a product leaves open whether it is above this threshold.
    fn bounds(&self, threshold: f32) -> (f32, f32) {
        // Exact similarities and shifts are rounded too, but to double precision; and what is too small for a number of
        // single precision is lost.
        let slack = 2.0 * self.frame.rounding() + 1e-30;
        let (low, high) = (
            f64::from(threshold.next_down()) - slack,
            f64::from(threshold.next_up()) + slack,
        );
        ((low as f32).next_down(), (high as f32).next_up())
    }

    fn similarity(&self, query: usize, reference: usize) -> f64 {
        let (query, reference) = (
            self.queries.rows.row(query),
            self.references.rows.row(reference),
        );
        self.frame.similarity(query, reference)
    }

    /// Goes through the places of a matrix `[queries, references]` of what is true in it, as query and reference, with so
    /// many bytes in main memory at a time.
    fn open(
        &self,
        places: &Tensor,
        left: &Part,
        right: &Part,
        mut see: impl FnMut(&[(usize, usize)]),
    ) {
        let (first, columns) = ((left.range.start, right.range.start), right.len());
        let piece = (self.resources.budget / 4 / size_of::<(i64, usize, usize)>()).max(PORTION);
        for places in places.split(piece as i64, 0) {
            let places = Vec::<i64>::try_from(&places).expect("places are whole numbers");
            let pair = |place: &i64| {
                (
                    first.0 + *place as usize / columns,
                    first.1 + *place as usize % columns,
                )
            };
            see(&places.par_iter().map(pair).collect::<Vec<_>>());
        }
    }
}

struct Counting<'a> {
    of: &'a Comparing<'a>,
    products: &'a Products<'a>,
    targets: &'a Targets,
    depth: Depth,
}

impl Counting<'_> {
    /// Counts these references for the targets of these queries.
    fn count(&self, queries: Range<usize>, right: &Part) {
        let Some(most @ 1..) = queries.clone().map(|query| self.targets.alive(query)).max() else {
            return;
        };
        let classes = self.of.classes.of_queries[queries.clone()]
            .iter()
            .map(|&class| class as i32);
        let left = self.products.left(queries.clone(), classes);
        let (low, high) = self.thresholds(queries.clone(), most);
        let lower = Products::lower(&left, right);
        // How many targets a product is certainly above, of those in the order of `thresholds`.
        let above = lower.searchsorted(&high, false, false, "left", None::<&Tensor>);
        let one = Tensor::ones([1, 1], (Kind::Int, above.device()));
        let mut counts = Tensor::zeros(
            [queries.len() as i64, most as i64 + 1],
            (Kind::Int, above.device()),
        );
        let _ = counts.scatter_add_(1, &above, &one.expand_as(&above));
        let next = match self.depth {
            Depth::Nearest => above.maximum(&self.hopeless(&counts, queries.clone(), right)),
            Depth::First | Depth::All => above.shallow_clone(),
        };
        let open = low
            .gather(1, &next, false)
            .le_tensor(&self.products.upper(lower, &left, right));
        drop(next);
        let places = open.view(-1).nonzero().view(-1);
        // Those that are open are counted once it is known where.
        let counted = places.divide_scalar_mode(right.len() as i64, "floor") * (most as i64 + 1)
            + above.take(&places);
        let _ = counts
            .view(-1)
            .scatter_add_(0, &counted, &one.view(-1).neg().expand_as(&counted));
        drop((above, open, counted));
        self.take(&counts, queries.clone(), most);
        self.products
            .open(&places, &left, right, |open| self.settle(open));
        queries
            .into_par_iter()
            .for_each(|query| self.targets.prune(query, self.targets.alive(query)));
    }

    /// Between which values a product leaves open whether it is above a target: those of each query in ascending order,
    /// infinity after them. The lower ones have a column more.
    fn thresholds(&self, queries: Range<usize>, most: usize) -> (Tensor, Tensor) {
        let shape = [queries.len(), most + 1];
        let (mut low, mut high) = (
            vec![f32::INFINITY; shape[0] * shape[1]],
            vec![f32::INFINITY; shape[0] * most],
        );
        let rows = low
            .par_chunks_exact_mut(shape[1])
            .zip(high.par_chunks_exact_mut(most));
        rows.zip(queries).for_each(|((low, high), query)| {
            let ascending = self.targets.thresholds(query).iter().rev();
            for ((&threshold, low), high) in ascending.zip(low).zip(high) {
                (*low, *high) = self.products.bounds(threshold);
            }
        });
        (
            self.products.tensor(&low, &shape),
            self.products.tensor(&high, &[shape[0], most]),
        )
    }

    /// How many of the targets of each query cannot be among as many nearest as there are targets, `[queries, 1]`: in the
    /// order of `thresholds` they are the first ones. The nearest is never one of them.
    fn hopeless(&self, counts: &Tensor, queries: Range<usize>, right: &Part) -> Tensor {
        let alive = |query| self.targets.alive(query) as i32;
        let column = |values: Vec<i32>| self.products.tensor(&values, &[queries.len(), 1]);
        let last = column(
            queries
                .clone()
                .map(|query| alive(query).max(1) - 1)
                .collect(),
        );
        let enough = queries
            .clone()
            .map(|query| self.of.right_answers(query) as i32 - alive(query) + 1);
        let targets = counts.size()[1] - 1;
        // Before the target with `place` others behind it are those above and the targets nearer than it.
        let above = right.len() as i64 - counts.cumsum(1, Kind::Int).narrow(1, 0, targets);
        let places = Tensor::arange(targets, (Kind::Int, counts.device()));
        let hopeless = (above - places).ge_tensor(&column(enough.collect()));
        hopeless
            .sum_dim_intlist([1i64].as_slice(), true, Kind::Int64)
            .minimum(&last)
    }

    /// Takes over what was counted on the device.
    fn take(&self, counts: &Tensor, queries: Range<usize>, most: usize) {
        let counts = Vec::<i32>::try_from(counts.view(-1)).expect("counts are whole numbers");
        for (query, counts) in queries.zip(counts.chunks_exact(most + 1)) {
            let alive = self.targets.alive(query);
            for (above, &count) in counts[..=alive].iter().enumerate().skip(1) {
                self.targets.count(query, alive - above, count as u32);
            }
        }
    }

    /// Counts references that are too close to a target to tell.
    fn settle(&self, open: &[(usize, usize)]) {
        open.par_chunks(PORTION).for_each(|open| {
            let mut last = None;
            for &(query, image) in open {
                let of = (query, self.of.twins[image]);
                let similarity = match last {
                    Some((before, similarity)) if before == of => similarity,
                    _ => self.products.similarity(query, image),
                };
                last = Some((of, similarity));
                self.targets.settle(query, image, similarity);
            }
        });
    }
}

struct Searching<'a> {
    products: &'a Products<'a>,
    itself: Itself<'a>,
    count: usize,
    /// The first of the queries.
    start: usize,
    /// The nearest references of each that were seen, nearest first.
    found: Vec<Vec<(f64, u32)>>,
}

impl Searching<'_> {
    /// Takes those of these references that are among the nearest.
    fn see(&mut self, queries: Range<usize>, right: &Part) {
        let itself = queries
            .clone()
            .map(|query| self.itself.of(query).map_or(-1, |image| image as i32));
        let left = self.products.left(queries.clone(), itself);
        let lower = Products::lower(&left, right);
        let floor = self.floor(&lower, queries.clone());
        let open = self.products.upper(lower, &left, right).ge_tensor(&floor);
        let places = open.view(-1).nonzero().view(-1);
        drop(open);
        let (products, count, start, found) =
            (self.products, self.count, self.start, &mut self.found);
        products.open(&places, &left, right, |open| {
            let exact = |&(query, image): &(usize, usize)| {
                (query, products.similarity(query, image), image as u32)
            };
            for (query, similarity, image) in open.par_iter().map(exact).collect::<Vec<_>>() {
                found[query - start].push((similarity, image));
            }
            let found = &mut found[queries.start - start..queries.end - start];
            found
                .par_iter_mut()
                .for_each(|found| nearest_first(found, count));
        });
    }

    /// What the product with a reference must be able to reach if that is among the nearest, `[queries, 1]`.
    fn floor(&self, lower: &Tensor, queries: Range<usize>) -> Tensor {
        let known = |query: usize| match self.found[query - self.start].get(self.count - 1) {
            Some((similarity, _)) => {
                self.products
                    .bounds(self.products.threshold(query, *similarity) as f32)
                    .0
            }
            // Above what is no answer.
            None => f32::MIN,
        };
        let known = self.products.tensor(
            &queries.clone().map(known).collect::<Vec<f32>>(),
            &[queries.len(), 1],
        );
        if lower.size()[1] < self.count as i64 {
            return known;
        }
        let (largest, _) = lower.topk(self.count as i64, 1, true, false);
        largest.amin([1i64].as_slice(), true).maximum(&known)
    }
}
