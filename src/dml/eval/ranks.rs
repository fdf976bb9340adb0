//! At which rank each query finds each image of its class.
//!
//! All metrics of retrieval follow from these ranks, and a rank needs no sorted list of neighbours: it is one more
//! than the number of images that are nearer. So the exact similarities of a query to the images of its class, its
//! *targets*, are computed first, which are few. Then all approximate products are computed, tile by tile, and
//! counted: how many are certainly above a target's similarity? Where one is too close to tell, the exact similarity
//! is computed and decides. What is counted is exact whatever the order of the work.
//!
//! Of a set compared with itself, a tile serves its rows as queries and, transposed, its columns. A target that can no
//! longer be among as many nearest as there are targets is given up, unless its rank is wanted all the same.
//!
//! Of equally similar images the one with the smaller index is nearer. How many others are exactly as similar is
//! counted too, so that the best and the worst rank under another order of the same images are known.

use std::{
    ops::Range,
    ptr,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use rayon::prelude::*;

use super::{
    frame::Frame,
    labels::Classes,
    product::{Side, TILE, Tile, Which, tiles},
    retrieval::Itself,
    rows::{Comparison, Rows},
};
use crate::processor::Processor;

/// Which ranks are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// That of the nearest image of the class: enough for Recall@K, Precision@1 and the reciprocal rank.
    First,
    /// Those up to R, the number of images of the class: enough for R-Precision and MAP@R too.
    Nearest,
    /// All: enough for everything.
    All,
}

/// The rank, from 1, of one target of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    /// If equally similar images are in the order of their index.
    pub(super) by_index: u32,
    /// If those of the query's class come first.
    pub(super) optimistic: u32,
    /// If they come last.
    pub(super) pessimistic: u32,
}

/// What is compared with what.
pub(super) struct Comparing<'a> {
    pub(super) queries: &'a Rows,
    pub(super) references: &'a Rows,
    pub(super) comparison: Comparison,
    /// Which reference is no answer to a query, because it is the query itself.
    pub(super) itself: Itself<'a>,
    pub(super) classes: &'a Classes,
    /// For each reference the first one that equals it.
    pub(super) twins: &'a [u32],
}

/// Bytes of what is known of a target.
const TARGET_BYTES: usize = 28;

/// Up to so many thresholds are all compared with a number to find its place among them.
const FEW: usize = 256;

/// What it costs to begin comparing numbers, in comparisons.
const CALL: usize = 48;

/// Finds the ranks of each query's targets, nearest first and as deep as is wanted, and gives them to `hear`, query
/// after query. Beside what it was given it holds about as many bytes as `budget` says.
pub(super) fn ranks(of: &Comparing, depth: Depth, budget: usize, hear: impl FnMut(usize, &[Rank])) {
    ranks_by(of, depth, budget, Processor::best(), hear);
}

/// As [`ranks`], as a processor of this kind does it.
pub(super) fn ranks_by(
    of: &Comparing,
    depth: Depth,
    budget: usize,
    processor: Processor,
    mut hear: impl FnMut(usize, &[Rank]),
) {
    let frame = Frame::new(of.queries, of.references, of.comparison, processor);
    let queries = Side::new(of.queries, &frame);
    let others = (!ptr::eq(of.queries, of.references)).then(|| Side::new(of.references, &frame));
    let references = others.as_ref().unwrap_or(&queries);
    let bands = bands(of, depth, budget / 2);
    let which = if matches!(of.itself, Itself::AtItsIndex) && bands.len() == 1 {
        Which::Upper
    } else {
        Which::All
    };
    for band in bands {
        let numbers = band.start / TILE..band.end.div_ceil(TILE);
        let targets = Targets::new(
            of,
            depth,
            band,
            |query, similarity| queries.threshold(query, similarity),
            processor,
        );
        let counting = Counting {
            of,
            left: &queries,
            right: references,
            targets: &targets,
            processor,
        };
        tiles((&queries, references), numbers, which, budget / 2, |tile| {
            counting.see(tile, which)
        });
        let mut found = Vec::new();
        for query in targets.queries.clone() {
            targets.ranks(query, &mut found);
            hear(query, &found);
        }
    }
}

/// Cuts the queries into ranges of whole tiles whose targets take no more than these bytes, if that is possible.
pub(super) fn bands(of: &Comparing, depth: Depth, bytes: usize) -> Vec<Range<usize>> {
    let queries = of.queries.len();
    let (mut bands, mut start, mut held) = (Vec::new(), 0, 0);
    for tile in (0..queries).step_by(TILE) {
        let end = queries.min(tile + TILE);
        let targets: usize = (tile..end)
            .map(|query| depth.wanted(of.right_answers(query)))
            .sum();
        if held > 0 && held + targets * TARGET_BYTES > bytes {
            bands.push(start..tile);
            (start, held) = (tile, 0);
        }
        held += targets * TARGET_BYTES;
    }
    bands.push(start..queries);
    bands
}

impl Depth {
    fn wanted(self, right_answers: usize) -> usize {
        match self {
            Depth::First => right_answers.min(1),
            Depth::Nearest | Depth::All => right_answers,
        }
    }
}

impl Comparing<'_> {
    /// How many images there are for a query to find.
    pub(super) fn right_answers(&self, query: usize) -> usize {
        self.classes.members(self.classes.of_queries[query]).len()
            - usize::from(self.itself.of(query).is_some())
    }

    fn similarity(&self, query: usize, reference: usize, processor: Processor) -> f64 {
        processor.similarity(
            self.comparison,
            self.queries.row(query),
            self.references.row(reference),
        )
    }

    /// Those of each query. Queries of a class are next to each other in time, as their targets are in a cache then.
    fn targets_of_all(
        &self,
        depth: Depth,
        queries: Range<usize>,
        processor: Processor,
    ) -> Vec<Vec<(f64, u32)>> {
        let mut by_class: Vec<usize> = queries.clone().collect();
        by_class.sort_by_key(|&query| self.classes.of_queries[query]);
        let found: Vec<Vec<(f64, u32)>> = by_class
            .par_iter()
            .map(|&query| self.targets(query, depth, processor))
            .collect();
        let mut ordered = vec![Vec::new(); queries.len()];
        by_class
            .iter()
            .zip(found)
            .for_each(|(&query, targets)| ordered[query - queries.start] = targets);
        ordered
    }

    /// The most similar images of a query's class, in order.
    fn targets(&self, query: usize, depth: Depth, processor: Processor) -> Vec<(f64, u32)> {
        let members = self
            .classes
            .members(self.classes.of_queries[query])
            .iter()
            .copied();
        let itself = self.itself.of(query);
        let others = members.filter(|&image| Some(image as usize) != itself);
        let mut targets: Vec<(f64, u32)> = others
            .map(|image| (self.similarity(query, image as usize, processor), image))
            .collect();
        targets.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        targets.truncate(depth.wanted(targets.len()));
        targets
    }
}

/// The targets of a range of queries, and what was counted so far.
pub(super) struct Targets {
    queries: Range<usize>,
    /// Where those of each query begin, and where the last ones end.
    starts: Vec<usize>,
    similarity: Vec<f64>,
    /// The same as a number to compare products with.
    threshold: Vec<f32>,
    image: Vec<u32>,
    /// How many images are more similar than this target but not than the one before.
    nearer: Vec<AtomicU32>,
    /// How many are exactly as similar and have a smaller index.
    equal_before: Vec<AtomicU32>,
    /// How many are exactly as similar and have a larger index.
    equal_after: Vec<AtomicU32>,
    /// How many targets of each query are not given up.
    alive: Vec<AtomicU32>,
    depth: Depth,
}

impl Targets {
    /// `threshold` says with which number products with a query are compared in the place of a similarity to it.
    pub(super) fn new(
        of: &Comparing,
        depth: Depth,
        queries: Range<usize>,
        threshold: impl Fn(usize, f64) -> f64,
        processor: Processor,
    ) -> Targets {
        let found = of.targets_of_all(depth, queries.clone(), processor);
        let mut starts = vec![0];
        starts.extend(found.iter().scan(0, |end, targets| {
            *end += targets.len();
            Some(*end)
        }));
        let all = starts[found.len()];
        let zeros = || (0..all).map(|_| AtomicU32::new(0)).collect();
        let (nearer, equal_before, equal_after) = (zeros(), zeros(), zeros());
        let alive = found
            .iter()
            .map(|targets| AtomicU32::new(targets.len() as u32))
            .collect();
        let (mut similarities, mut images) = (Vec::with_capacity(all), Vec::with_capacity(all));
        let mut thresholds = Vec::with_capacity(all);
        for (query, targets) in queries.clone().zip(found) {
            for (similarity, image) in targets {
                similarities.push(similarity);
                thresholds.push(threshold(query, similarity) as f32);
                images.push(image);
            }
        }
        Targets {
            queries,
            starts,
            similarity: similarities,
            threshold: thresholds,
            image: images,
            nearer,
            equal_before,
            equal_after,
            alive,
            depth,
        }
    }

    fn places(&self, query: usize) -> Range<usize> {
        let query = query - self.queries.start;
        self.starts[query]..self.starts[query + 1]
    }

    pub(super) fn alive(&self, query: usize) -> usize {
        self.alive[query - self.queries.start].load(Relaxed) as usize
    }

    /// The thresholds of the targets that were not given up, the nearest first.
    pub(super) fn thresholds(&self, query: usize) -> &[f32] {
        &self.threshold[self.places(query)][..self.alive(query)]
    }

    /// Counts so many images that are more similar than this target but not than the one before.
    pub(super) fn count(&self, query: usize, target: usize, images: u32) {
        self.nearer[self.places(query)][target].fetch_add(images, Relaxed);
    }

    /// Counts an image by its exact similarity.
    pub(super) fn settle(&self, query: usize, image: usize, similarity: f64) {
        let places = self.places(query);
        let targets = &self.similarity[places.clone()];
        let not_nearer = targets.partition_point(|target| *target > similarity);
        let farther =
            not_nearer + targets[not_nearer..].partition_point(|target| *target == similarity);
        for place in places.start + not_nearer..places.start + farther {
            let equal = if image < self.image[place] as usize {
                &self.equal_before
            } else {
                &self.equal_after
            };
            equal[place].fetch_add(1, Relaxed);
        }
        if farther < targets.len() {
            self.nearer[places.start + farther].fetch_add(1, Relaxed);
        }
    }

    /// Gives up the targets that cannot be among as many nearest as there are targets. The first is never given up.
    pub(super) fn prune(&self, query: usize, alive: usize) {
        if self.depth != Depth::Nearest || alive < 2 {
            return;
        }
        let places = self.places(query);
        let mut nearer = 0;
        for place in 0..alive {
            nearer += self.nearer[places.start + place].load(Relaxed);
            if place > 0 && nearer as usize + place >= places.len() {
                self.alive[query - self.queries.start].fetch_min(place as u32, Relaxed);
                return;
            }
        }
    }

    /// The ranks of the targets that were not given up.
    pub(super) fn ranks(&self, query: usize, found: &mut Vec<Rank>) {
        found.clear();
        let mut nearer = 0;
        for (before, place) in (1..).zip(self.places(query)).take(self.alive(query)) {
            nearer += self.nearer[place].load(Relaxed);
            let (smaller, larger) = (
                self.equal_before[place].load(Relaxed),
                self.equal_after[place].load(Relaxed),
            );
            let optimistic = nearer + before;
            let (by_index, pessimistic) = (optimistic + smaller, optimistic + smaller + larger);
            found.push(Rank {
                by_index,
                optimistic,
                pessimistic,
            });
        }
    }
}

/// Some of a query's products, and what they are products with.
struct Products<'a> {
    query: usize,
    first: usize,
    values: &'a [f32],
    margin: f32,
}

struct Counting<'a> {
    of: &'a Comparing<'a>,
    left: &'a Side<'a>,
    right: &'a Side<'a>,
    targets: &'a Targets,
    processor: Processor,
}

/// Exact similarities to the rows or columns of a tile, not a number where they are not known.
struct Exact([f64; TILE]);

impl Counting<'_> {
    fn see(&self, tile: Tile, which: Which) {
        let rows = Tile::rows(tile.left, self.of.queries.len());
        let columns = Tile::rows(tile.right, self.of.references.len());
        let classes = self.of.classes;
        for (row, values) in rows.clone().zip(tile.values.chunks_exact_mut(TILE)) {
            let values = &mut values[..columns.len()];
            self.processor.mask(
                values,
                &classes.of_references[columns.clone()],
                classes.of_queries[row],
            );
        }
        if which == Which::Upper && tile.left != tile.right {
            self.processor.transpose(tile.values, TILE, tile.spare);
            let margin = |query| self.left.margin(query, self.right, tile.left);
            self.count_rows(columns.clone(), rows.clone(), tile.spare, margin);
        }
        let margin = |query| self.left.margin(query, self.right, tile.right);
        self.count_rows(rows, columns, tile.values, margin);
    }

    fn count_rows(
        &self,
        queries: Range<usize>,
        references: Range<usize>,
        values: &mut [f32],
        margin: impl Fn(usize) -> f32,
    ) {
        for (query, values) in queries.zip(values.chunks_exact_mut(TILE)) {
            let values = &mut values[..references.len()];
            self.processor
                .subtract(values, &self.right.offsets[references.clone()]);
            self.count(&Products {
                query,
                first: references.start,
                values,
                margin: margin(query),
            });
        }
    }

    /// Counts these products for the targets of their query.
    fn count(&self, products: &Products) {
        let alive = self.targets.alive(products.query);
        if alive == 0 {
            return;
        }
        let thresholds = &self.targets.threshold[self.targets.places(products.query)][..alive];
        // One more, because a place is written before it is known whether it counts.
        let mut found = [0; TILE + 1];
        let count = self.processor.find(
            products.values,
            thresholds[alive - 1] - products.margin,
            f32::MAX,
            &mut found,
        );
        if count == 0 {
            return;
        }
        if alive > FEW || count * (alive + CALL) <= alive * (TILE + CALL) {
            self.count_each(products, thresholds, &found[..count]);
        } else {
            self.count_at_once(products, thresholds);
        }
        self.targets.prune(products.query, alive);
    }

    /// Looks for the place of each of these products among the targets.
    fn count_each(&self, products: &Products, thresholds: &[f32], found: &[u32]) {
        let start = self.targets.places(products.query).start;
        let mut exact = None;
        for &near in found {
            let (open, mut above) =
                self.place(thresholds, products.values[near as usize], products.margin);
            for target in (open..above).rev() {
                if self.is_nearer(products, near as usize, start + target, &mut exact) {
                    above = target;
                }
            }
            if above < thresholds.len() {
                self.targets.nearer[start + above].fetch_add(1, Relaxed);
            }
        }
    }

    /// How many thresholds are certainly above a value, and how many possibly.
    fn place(&self, thresholds: &[f32], value: f32, margin: f32) -> (usize, usize) {
        let (low, high) = (value - margin, value + margin);
        if thresholds.len() <= FEW {
            let (certain, possible) = self.processor.count(thresholds, low, high);
            return (certain as usize, possible as usize);
        }
        let certain = thresholds.partition_point(|threshold| *threshold > high);
        // They are few, as a rule.
        (
            certain,
            certain
                + thresholds[certain..]
                    .iter()
                    .take_while(|threshold| **threshold >= low)
                    .count(),
        )
    }

    /// As [`count_each`](Self::count_each), for all products, target by target.
    fn count_at_once(&self, products: &Products, thresholds: &[f32]) {
        let start = self.targets.places(products.query).start;
        let (mut exact, mut counted) = (None, 0);
        for (place, threshold) in (start..).zip(thresholds) {
            let (low, high) = (threshold - products.margin, threshold + products.margin);
            let (above, possible) = self.processor.count(products.values, low, high);
            let open = if possible > above {
                self.resolve(products, place, low, high, &mut exact)
            } else {
                0
            };
            let nearer = above + open;
            if nearer > counted {
                self.targets.nearer[place].fetch_add(nearer - counted, Relaxed);
                counted = nearer;
            }
        }
    }

    /// How many of the products that are too close to tell are above after all.
    fn resolve(
        &self,
        products: &Products,
        place: usize,
        low: f32,
        high: f32,
        exact: &mut Option<Exact>,
    ) -> u32 {
        let mut found = [0; TILE + 1];
        let count = self.processor.find(products.values, low, high, &mut found);
        let mut nearer = 0;
        for &near in &found[..count] {
            nearer += u32::from(self.is_nearer(products, near as usize, place, exact));
        }
        nearer
    }

    /// Whether an image is more similar than a target; if exactly as similar, that is counted.
    fn is_nearer(
        &self,
        products: &Products,
        near: usize,
        place: usize,
        exact: &mut Option<Exact>,
    ) -> bool {
        let image = products.first + near;
        let (similarity, target) = (self.targets.similarity[place], self.targets.image[place]);
        let of_image = if self.of.twins[image] == self.of.twins[target as usize] {
            similarity
        } else {
            self.exact(products, near, exact)
        };
        if of_image == similarity {
            let equal = if image < target as usize {
                &self.targets.equal_before
            } else {
                &self.targets.equal_after
            };
            equal[place].fetch_add(1, Relaxed);
        }
        of_image > similarity
    }

    fn exact(&self, products: &Products, near: usize, exact: &mut Option<Exact>) -> f64 {
        let known = &mut exact.get_or_insert(Exact([f64::NAN; TILE])).0[near];
        if known.is_nan() {
            *known = self
                .of
                .similarity(products.query, products.first + near, self.processor);
        }
        *known
    }
}
