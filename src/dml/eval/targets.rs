//! The targets of each query, and the number of references nearer than each.
//!
//! The *targets* of a query are the references of its class, except itself and those from its camera. All retrieval metrics follow from
//! their ranks, and a rank is one more than the number of nearer references, so no sorted list of
//! neighbors is needed. The exact similarities of the targets are computed first; they are few.
//! Then [`ranks`](super::ranks) on the CPU, or [`device`](super::device) on a GPU, compares all
//! other references with them and counts here.
//!
//! Of equally similar references the one with the smaller index is nearer. References that are
//! exactly as similar as a target are counted too: they determine its best and its worst rank under
//! another order of the same images.

use std::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use rayon::prelude::*;

use super::{
    embeddings::{Embeddings, SimilarImage, keep_nearest},
    error::EvalError,
    frame::{FramedRows, RowFrame},
    labels::ClassIndex,
    resources::StopFlag,
    task::{Cameras, SelfMatch},
};

/// Which ranks are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RankDepth {
    /// The rank of the nearest image of the class: enough for Recall@K and the reciprocal rank.
    First,
    /// The ranks up to R, the number of images of the class: enough for R-Precision and MAP@R too.
    Nearest,
    /// All ranks: enough for mAP too.
    All,
}

impl RankDepth {
    /// Returns how many of a query's targets are ranked.
    fn targets(self, positives: usize) -> usize {
        match self {
            RankDepth::First => positives.min(1),
            RankDepth::Nearest | RankDepth::All => positives,
        }
    }
}

/// The rank, from 1, of one target of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TargetRank {
    pub(super) image: u32,
    /// Equally similar images are in order of their index.
    pub(super) by_index: u32,
    /// Equally similar images of the query's class come first.
    pub(super) optimistic: u32,
    /// They come last.
    pub(super) pessimistic: u32,
}

/// Queries, references and their classes.
pub(super) struct RankProblem<'a> {
    pub(super) queries: &'a Embeddings,
    pub(super) references: &'a Embeddings,
    pub(super) self_match: SelfMatch<'a>,
    pub(super) cameras: Option<Cameras<'a>>,
    pub(super) classes: &'a ClassIndex,
    /// For each reference the first one that equals it.
    pub(super) first_equal: &'a [u32],
    pub(super) depth: RankDepth,
}

/// Bytes held for a target.
const TARGET_BYTES: usize = 28;

impl RankProblem<'_> {
    /// Returns R: the number of references of the query's class, without the query itself and those from its camera.
    pub(super) fn positives(&self, query: usize) -> usize {
        let members = self.classes.members(self.classes.of_queries[query]);
        if self.cameras.is_none() {
            return members.len() - usize::from(self.self_match.of(query).is_some());
        }
        let is_target = |image: &&u32| self.is_target(query, **image as usize);
        members.iter().filter(is_target).count()
    }

    /// True if a reference of the query's class is to be found.
    fn is_target(&self, query: usize, image: usize) -> bool {
        let from_its_camera = |cameras: Cameras| cameras.are_one(query, image);
        self.self_match.of(query) != Some(image) && !self.cameras.is_some_and(from_its_camera)
    }

    /// Splits the queries into ranges of whole blocks of `block` queries, so that the targets of a
    /// range take at most `bytes`. A range has at least one block.
    pub(super) fn bands(&self, block: usize, bytes: usize) -> Vec<Range<usize>> {
        let queries = self.queries.len();
        let mut bands = Vec::new();
        let mut start = 0;
        let mut held = 0;
        for first in (0..queries).step_by(block) {
            let end = queries.min(first + block);
            let targets: usize = (first..end)
                .map(|query| self.depth.targets(self.positives(query)))
                .sum();
            if held > 0 && held + targets * TARGET_BYTES > bytes {
                bands.push(start..first);
                start = first;
                held = 0;
            }
            held += targets * TARGET_BYTES;
        }
        bands.push(start..queries);
        bands
    }

    /// Ranks the targets of all queries, band by band. `count` counts all references for the
    /// targets of a band; `emit` receives the ranks of each query, nearest first.
    ///
    /// # Errors
    /// If it is stopped.
    pub(super) fn rank(
        &self,
        bands: Vec<Range<usize>>,
        queries: &FramedRows,
        stop: StopFlag,
        count: impl Fn(&Targets) -> Result<(), EvalError>,
        mut emit: impl FnMut(usize, &[TargetRank]),
    ) -> Result<(), EvalError> {
        let mut ranks = Vec::new();
        for band in bands {
            let targets = Targets::new(self, band, queries, stop)?;
            count(&targets)?;
            for query in targets.queries() {
                targets.ranks(query, &mut ranks);
                emit(query, &ranks);
            }
        }
        Ok(())
    }

    /// Returns the targets of each query of a range. Queries of a class are processed one after
    /// another because their targets are then in the cache.
    fn targets_of_all(
        &self,
        queries: Range<usize>,
        frame: &RowFrame,
        stop: StopFlag,
    ) -> Result<Vec<Vec<SimilarImage>>, EvalError> {
        let mut by_class: Vec<usize> = queries.clone().collect();
        by_class.sort_by_key(|&query| self.classes.of_queries[query]);
        let found: Vec<Vec<SimilarImage>> = by_class
            .par_iter()
            .map(|&query| {
                stop.check()?;
                Ok(self.targets(query, frame))
            })
            .collect::<Result<_, EvalError>>()?;
        let mut ordered = vec![Vec::new(); queries.len()];
        for (&query, targets) in by_class.iter().zip(found) {
            ordered[query - queries.start] = targets;
        }
        Ok(ordered)
    }

    /// Returns the targets of a query, nearest first.
    fn targets(&self, query: usize, frame: &RowFrame) -> Vec<SimilarImage> {
        let members = self.classes.members(self.classes.of_queries[query]);
        let mut targets = Vec::with_capacity(members.len());
        for &image in members {
            if self.is_target(query, image as usize) {
                let reference = self.references.row(image as usize);
                let similarity = frame.similarity(self.queries.row(query), reference);
                targets.push(SimilarImage { similarity, image });
            }
        }
        let count = self.depth.targets(targets.len());
        keep_nearest(&mut targets, count);
        targets
    }
}

/// The targets of a range of queries, and the counts so far.
pub(super) struct Targets {
    queries: Range<usize>,
    /// Start of each query's targets, and the end of the last.
    starts: Vec<usize>,
    pub(super) similarity: Vec<f64>,
    /// The same as a threshold for products.
    pub(super) threshold: Vec<f32>,
    pub(super) image: Vec<u32>,
    /// References more similar than this target but not than the one before.
    nearer: Vec<AtomicU32>,
    /// References exactly as similar, with a smaller index.
    equal_before: Vec<AtomicU32>,
    /// References exactly as similar, with a larger index.
    equal_after: Vec<AtomicU32>,
    /// Targets of each query that are not pruned.
    alive: Vec<AtomicU32>,
    depth: RankDepth,
}

impl Targets {
    fn new(
        problem: &RankProblem,
        queries: Range<usize>,
        framed: &FramedRows,
        stop: StopFlag,
    ) -> Result<Targets, EvalError> {
        let found = problem.targets_of_all(queries.clone(), framed.frame, stop)?;
        let all = found.iter().map(Vec::len).sum();
        let mut targets = Targets {
            starts: vec![0],
            similarity: Vec::with_capacity(all),
            threshold: Vec::with_capacity(all),
            image: Vec::with_capacity(all),
            nearer: zeros(all),
            equal_before: zeros(all),
            equal_after: zeros(all),
            alive: Vec::with_capacity(queries.len()),
            depth: problem.depth,
            queries: queries.clone(),
        };
        for (query, of_query) in queries.zip(found) {
            for SimilarImage { similarity, image } in &of_query {
                let threshold = framed.threshold(query, *similarity);
                targets.similarity.push(*similarity);
                targets.threshold.push(threshold as f32);
                targets.image.push(*image);
            }
            targets.starts.push(targets.image.len());
            targets.alive.push(AtomicU32::new(of_query.len() as u32));
        }
        Ok(targets)
    }

    pub(super) fn queries(&self) -> Range<usize> {
        self.queries.clone()
    }

    /// Returns the indices of a query's targets, nearest first.
    pub(super) fn of(&self, query: usize) -> Range<usize> {
        let query = query - self.queries.start;
        self.starts[query]..self.starts[query + 1]
    }

    /// Returns the number of a query's targets that are not pruned.
    pub(super) fn alive(&self, query: usize) -> usize {
        self.alive[query - self.queries.start].load(Relaxed) as usize
    }

    /// Returns the thresholds of the targets that are not pruned, nearest first.
    pub(super) fn thresholds(&self, query: usize) -> &[f32] {
        &self.threshold[self.of(query)][..self.alive(query)]
    }

    /// Counts references that are more similar than this target but not than the one before.
    pub(super) fn count_nearer(&self, target: usize, references: u32) {
        self.nearer[target].fetch_add(references, Relaxed);
    }

    /// Counts a reference that is exactly as similar as this target.
    pub(super) fn count_equal(&self, target: usize, reference: usize) {
        let equal = if reference < self.image[target] as usize {
            &self.equal_before
        } else {
            &self.equal_after
        };
        equal[target].fetch_add(1, Relaxed);
    }

    /// Counts a reference by its exact similarity.
    pub(super) fn count_exact(&self, query: usize, reference: usize, similarity: f64) {
        let range = self.of(query);
        let targets = &self.similarity[range.clone()];
        let first_equal = targets.partition_point(|target| *target > similarity);
        let equal = targets[first_equal..].partition_point(|target| *target == similarity);
        let first_farther = first_equal + equal;
        for target in range.start + first_equal..range.start + first_farther {
            self.count_equal(target, reference);
        }
        if first_farther < targets.len() {
            self.count_nearer(range.start + first_farther, 1);
        }
    }

    /// Prunes the targets that can no longer reach rank R, unless all ranks are computed. The first
    /// target is never pruned.
    pub(super) fn prune(&self, query: usize, alive: usize) {
        if self.depth != RankDepth::Nearest || alive < 2 {
            return;
        }
        let range = self.of(query);
        let mut nearer = 0;
        for position in 0..alive {
            nearer += self.nearer[range.start + position].load(Relaxed);
            if position > 0 && nearer as usize + position >= range.len() {
                self.alive[query - self.queries.start].fetch_min(position as u32, Relaxed);
                return;
            }
        }
    }

    /// Writes the ranks of the targets that are not pruned into `ranks`.
    fn ranks(&self, query: usize, ranks: &mut Vec<TargetRank>) {
        ranks.clear();
        let mut nearer = 0;
        for (position, target) in (1..).zip(self.of(query)).take(self.alive(query)) {
            nearer += self.nearer[target].load(Relaxed);
            let optimistic = nearer + position;
            let by_index = optimistic + self.equal_before[target].load(Relaxed);
            let pessimistic = by_index + self.equal_after[target].load(Relaxed);
            ranks.push(TargetRank {
                image: self.image[target],
                by_index,
                optimistic,
                pessimistic,
            });
        }
    }
}

fn zeros(len: usize) -> Vec<AtomicU32> {
    (0..len).map(|_| AtomicU32::new(0)).collect()
}
