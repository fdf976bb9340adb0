//! Retrieval metrics (Musgrave, Belongie & Lim, "A Metric Learning Reality Check", ECCV 2020,
//! section 3.2).
//!
//! Every image is a query against all others, or against those of a gallery. Let R be the number of
//! these that are of its class, and P(k) the fraction of its class among the k nearest.
//!
//! - Recall@K: 1 if one of its class is among the K nearest, else 0. Precision@1 is Recall@1.
//! - R-Precision: P(R).
//! - MAP@R: the sum of P(k) over those of the R nearest that are of its class, divided by R.
//! - mAP: the same over all images instead of the R nearest.
//! - MRR: the reciprocal rank of the nearest image of its class.
//!
//! All are means over queries, in `f64`; a macro mean is over classes, of the means over the queries of each. An image
//! without another of its class is no query, but remains a possible wrong answer. If cameras are known, the images of a
//! query's class from its own camera are neither right nor wrong, and R does not count them.
//! Reference: pytorch-metric-learning `AccuracyCalculator` with all references as `k`.

use std::{collections::BTreeMap, ops::Range};

use rayon::prelude::*;
use schema::Comparison;

use super::{
    device,
    embeddings::{Embeddings, dot},
    error::EvalError,
    labels::{ClassIndex, first_equal},
    ranks::ranks,
    resources::EvalResources,
    targets::{RankDepth, RankProblem, TargetRank},
    task::{RetrievalTask, SelfMatch},
};
use crate::processor::Processor;

/// The scores of one query under one order of equally similar images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueryScores {
    /// The rank, from 1, of the nearest image of the class.
    pub first: u32,
    /// R-Precision; none with [`RankDepth::First`].
    pub r_precision: Option<f64>,
    /// Average precision at R; none with [`RankDepth::First`].
    pub ap_at_r: Option<f64>,
    /// Average precision; only with [`RankDepth::All`].
    pub ap: Option<f64>,
}

/// The scores of one query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueryResult {
    /// Index of the query.
    pub image: u32,
    /// Its label.
    pub label: i64,
    /// Equally similar images are in order of their index.
    pub scores: QueryScores,
    /// Images of the query's class precede others that are exactly as similar.
    pub optimistic: QueryScores,
    /// They follow them.
    pub pessimistic: QueryScores,
}

/// The scores of all queries.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieval {
    /// The queries with at least one image to find, in order of their index.
    pub queries: Vec<QueryResult>,
    /// Number of images without another of their class: they are no queries.
    pub without_positive: usize,
    /// Number of searched images that exactly equal an earlier one.
    pub duplicates: usize,
    /// Mean cosine between two searched images. Near 1, the embeddings have collapsed to a point.
    pub mean_cosine: f64,
}

/// The order of exactly equally similar images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TieOrder {
    /// By their index.
    ByIndex,
    /// Those of the query's class first.
    Optimistic,
    /// Those of the query's class last.
    Pessimistic,
}

/// The means over all queries under one order of equally similar images.
///
/// A metric that the [`RankDepth`] does not cover is NaN.
#[derive(Clone, Copy, Debug)]
pub struct MeanScores<'a> {
    queries: &'a [QueryResult],
    order: TieOrder,
}

/// Ranks the images of each query's class to the given depth and scores the queries.
///
/// # Errors
/// If there is nothing to retrieve, queries and gallery differ in width, or it is stopped.
///
/// # Panics
/// If queries and gallery are compared in different ways, or
/// [`Overlapping`](RetrievalTask::Overlapping) lists another number of queries.
pub fn retrieve(
    task: RetrievalTask,
    depth: RankDepth,
    resources: EvalResources,
) -> Result<Retrieval, EvalError> {
    retrieve_with(task, depth, resources, resources.use_libtorch())
}

/// Like [`retrieve`], with libtorch even on the CPU if `libtorch` is true.
fn retrieve_with(
    task: RetrievalTask,
    depth: RankDepth,
    resources: EvalResources,
    libtorch: bool,
) -> Result<Retrieval, EvalError> {
    check(task)?;
    let (queries, gallery) = (task.queries(), task.gallery());
    let classes = ClassIndex::new(queries.labels(), gallery.labels());
    let first_equal = first_equal(gallery.rows());
    let problem = RankProblem {
        queries: queries.rows(),
        references: gallery.rows(),
        self_match: task.self_match(),
        cameras: task.cameras(),
        classes: &classes,
        first_equal: &first_equal,
        depth,
    };
    let images = queries.labels().len();
    if (0..images).all(|query| problem.positives(query) == 0) {
        return Err(EvalError::NoQueries);
    }
    let mut results = Vec::new();
    let emit = |query: usize, ranks: &[TargetRank]| {
        let positives = problem.positives(query);
        if positives > 0 {
            let label = queries.labels()[query];
            results.push(QueryResult::new(query, label, ranks, positives, depth));
        }
    };
    rank_with(&problem, queries.comparison(), resources, libtorch, emit)?;
    Ok(Retrieval {
        without_positive: images - results.len(),
        queries: results,
        duplicates: (0u32..)
            .zip(&first_equal)
            .filter(|(image, first)| image != *first)
            .count(),
        mean_cosine: mean_cosine(gallery.rows()),
    })
}

/// Ranks the targets of all queries, see [`RankProblem::rank`].
///
/// # Errors
/// If it is stopped.
pub(super) fn rank_targets(
    problem: &RankProblem,
    comparison: Comparison,
    resources: EvalResources,
    emit: impl FnMut(usize, &[TargetRank]),
) -> Result<(), EvalError> {
    rank_with(
        problem,
        comparison,
        resources,
        resources.use_libtorch(),
        emit,
    )
}

fn rank_with(
    problem: &RankProblem,
    comparison: Comparison,
    resources: EvalResources,
    libtorch: bool,
    emit: impl FnMut(usize, &[TargetRank]),
) -> Result<(), EvalError> {
    match libtorch {
        true => device::ranks(problem, comparison, resources, emit),
        false => ranks(problem, comparison, resources, Processor::best(), emit),
    }
}

fn check(task: RetrievalTask) -> Result<(), EvalError> {
    assert_eq!(
        task.queries().comparison(),
        task.gallery().comparison(),
        "queries and gallery are compared in one way"
    );
    if let SelfMatch::Listed(indices) = task.self_match() {
        let queries = task.queries().labels().len();
        assert_eq!(indices.len(), queries, "one entry for each query");
    }
    task.check_widths()
}

impl QueryResult {
    fn new(
        image: usize,
        label: i64,
        ranks: &[TargetRank],
        positives: usize,
        depth: RankDepth,
    ) -> QueryResult {
        let scores = |rank: fn(&TargetRank) -> u32| {
            QueryScores::new(ranks.iter().map(rank), positives, depth)
        };
        QueryResult {
            image: image as u32,
            label,
            scores: scores(|rank| rank.by_index),
            optimistic: scores(|rank| rank.optimistic),
            pessimistic: scores(|rank| rank.pessimistic),
        }
    }

    /// Returns the scores under an order of equally similar images.
    fn under(&self, order: TieOrder) -> &QueryScores {
        match order {
            TieOrder::ByIndex => &self.scores,
            TieOrder::Optimistic => &self.optimistic,
            TieOrder::Pessimistic => &self.pessimistic,
        }
    }
}

impl QueryScores {
    /// Computes the scores from the ranks of the images of the class, nearest first. Ranks beyond R
    /// may be missing unless `depth` is [`RankDepth::All`].
    fn new(
        ranks: impl Iterator<Item = u32> + Clone,
        positives: usize,
        depth: RankDepth,
    ) -> QueryScores {
        let first = ranks.clone().next().unwrap_or(u32::MAX);
        let mut found = 0u32;
        let mut sum_at_r = 0.0;
        let mut sum = 0.0;
        for (count, rank) in (1u32..).zip(ranks) {
            let precision = f64::from(count) / f64::from(rank);
            sum += precision;
            if rank as usize <= positives {
                found = count;
                sum_at_r += precision;
            }
        }
        let all = positives as f64;
        QueryScores {
            first,
            r_precision: (depth >= RankDepth::Nearest).then_some(f64::from(found) / all),
            ap_at_r: (depth >= RankDepth::Nearest).then_some(sum_at_r / all),
            ap: (depth == RankDepth::All).then_some(sum / all),
        }
    }

    /// Returns 1 if an image of the class is among the `k` nearest, else 0.
    pub fn recall(&self, k: usize) -> f64 {
        f64::from(u8::from(self.first as usize <= k))
    }
}

impl Retrieval {
    /// Returns the means over all queries under an order of equally similar images.
    pub fn means(&self, order: TieOrder) -> MeanScores<'_> {
        MeanScores {
            queries: &self.queries,
            order,
        }
    }

    /// True if a score depends on the order of equally similar images.
    pub fn has_ties(&self) -> bool {
        self.queries
            .iter()
            .any(|query| query.optimistic != query.pessimistic)
    }
}

impl MeanScores<'_> {
    /// Returns Recall@`k`; with `k` = 1, Precision@1.
    pub fn recall(self, k: usize) -> f64 {
        self.mean(|scores| scores.recall(k))
    }

    /// Returns R-Precision.
    pub fn r_precision(self) -> f64 {
        self.mean(|scores| scores.r_precision.unwrap_or(f64::NAN))
    }

    /// Returns MAP@R.
    pub fn map_at_r(self) -> f64 {
        self.mean(|scores| scores.ap_at_r.unwrap_or(f64::NAN))
    }

    /// Returns the mean average precision over all ranks.
    pub fn map(self) -> f64 {
        self.mean(|scores| scores.ap.unwrap_or(f64::NAN))
    }

    /// Returns the mean reciprocal rank.
    pub fn mrr(self) -> f64 {
        self.mean(|scores| 1.0 / f64::from(scores.first))
    }

    /// Returns the mean over classes of Precision@1.
    pub fn macro_precision_at_1(self) -> f64 {
        self.mean_of_classes(|scores| scores.recall(1))
    }

    /// Returns the mean over classes of MAP@R.
    pub fn macro_map_at_r(self) -> f64 {
        self.mean_of_classes(|scores| scores.ap_at_r.unwrap_or(f64::NAN))
    }

    /// Returns the mean over groups of classes of Precision@1. `group` returns that of a class.
    pub fn group_precision_at_1<G: Ord>(self, group: impl Fn(i64) -> G) -> f64 {
        self.mean_of_groups(group, |scores| scores.recall(1))
    }

    /// Returns the mean over groups of classes of MAP@R. `group` returns that of a class.
    pub fn group_map_at_r<G: Ord>(self, group: impl Fn(i64) -> G) -> f64 {
        self.mean_of_groups(group, |scores| scores.ap_at_r.unwrap_or(f64::NAN))
    }

    /// Returns the mean over classes of the means over their queries.
    fn mean_of_classes(self, value: impl Fn(&QueryScores) -> f64) -> f64 {
        self.mean_of_groups(|class| class, value)
    }

    /// Returns the mean over groups of classes of the means over their queries.
    fn mean_of_groups<G: Ord>(
        self,
        group: impl Fn(i64) -> G,
        value: impl Fn(&QueryScores) -> f64,
    ) -> f64 {
        let mut groups: BTreeMap<G, (f64, f64)> = BTreeMap::new();
        for query in self.queries {
            let (sum, count) = groups.entry(group(query.label)).or_default();
            *sum += value(query.under(self.order));
            *count += 1.0;
        }
        let means = groups.values().map(|(sum, count)| sum / count);
        means.sum::<f64>() / groups.len() as f64
    }

    fn mean(self, value: impl Fn(&QueryScores) -> f64) -> f64 {
        let values = self
            .queries
            .iter()
            .map(|query| value(query.under(self.order)));
        values.sum::<f64>() / self.queries.len() as f64
    }
}

/// Rows whose directions one thread sums. The order of the sum does not depend on the number of
/// threads.
const CHUNK: usize = 1024;

/// Returns the mean cosine between two rows; 1 if fewer than two have a direction.
pub fn mean_cosine(rows: &Embeddings) -> f64 {
    let chunks: Vec<DirectionSum> = (0..rows.len().div_ceil(CHUNK))
        .into_par_iter()
        .map(|chunk| DirectionSum::over(rows, chunk * CHUNK..rows.len().min((chunk + 1) * CHUNK)))
        .collect();
    let mut sum = vec![0.0; rows.width()];
    let mut count = 0.0;
    for chunk in chunks {
        for (sum, value) in sum.iter_mut().zip(chunk.sum) {
            *sum += value;
        }
        count += chunk.count;
    }
    if count < 2.0 {
        return 1.0;
    }
    let square = sum.iter().map(|sum| sum * sum).sum::<f64>();
    (square - count) / (count * (count - 1.0))
}

/// The sum of rows normalized to length 1, and the number of those that are not zero.
struct DirectionSum {
    sum: Vec<f64>,
    count: f64,
}

impl DirectionSum {
    fn over(rows: &Embeddings, range: Range<usize>) -> DirectionSum {
        let mut sum = vec![0.0; rows.width()];
        let mut count = 0.0;
        for row in range.map(|row| rows.row(row)) {
            let length = dot(row, row).sqrt();
            if length > 0.0 {
                for (sum, value) in sum.iter_mut().zip(row) {
                    *sum += f64::from(*value) / length;
                }
                count += 1.0;
            }
        }
        DirectionSum { sum, count }
    }
}

#[cfg(test)]
mod tests;
