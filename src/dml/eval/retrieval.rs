//! Retrieval metrics. Musgrave, Belongie & Lim, "A Metric Learning Reality Check", ECCV 2020, section 3.2.
//!
//! Every image is a query against all others, or against those of a gallery. With R the number of these that are of
//! its class, and P(k) the share of its class among the k nearest:
//!
//! - Recall@K: whether there is one of its class among the K nearest;
//! - Precision@1: P(1), the same as Recall@1;
//! - R-Precision: P(R);
//! - MAP@R: the sum of P(k) over those of the R nearest that are of its class, divided by R;
//! - mAP: the same over all instead of the R nearest;
//! - MRR: one divided by the rank of the nearest image of its class.
//!
//! All are means over queries, in double precision. An image without another of its class has nothing to retrieve: it
//! is no query, though it stays a possible wrong answer.
//! Reference: pytorch-metric-learning `AccuracyCalculator` with all references as `k`.

use std::{collections::BTreeMap, ops::Range};

use rayon::prelude::*;

use super::{
    EvalError, Resources,
    labels::{Classes, twins},
    on_device,
    ranks::{Comparing, Depth, Rank, ranks},
    rows::{Comparison, Rows, dot},
};

/// Embeddings with the labels of their images.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    rows: Rows,
    labels: Vec<i64>,
    comparison: Comparison,
}

impl Labelled {
    /// Embeddings and the label of each, to be compared so.
    ///
    /// # Errors
    /// If there are not as many labels.
    pub fn new(
        rows: Rows,
        labels: Vec<i64>,
        comparison: Comparison,
    ) -> Result<Labelled, EvalError> {
        if rows.len() != labels.len() {
            return Err(EvalError::Labels {
                embeddings: rows.len(),
                labels: labels.len(),
            });
        }
        Ok(Labelled {
            rows: comparison.prepare(rows),
            labels,
            comparison,
        })
    }

    /// The embeddings as they are compared: for [`Comparison::Cosine`], normalised.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The label of each.
    pub fn labels(&self) -> &[i64] {
        &self.labels
    }

    /// Some of them, by their index.
    #[must_use]
    pub fn part(&self, images: &[usize]) -> Labelled {
        let labels = images.iter().map(|&image| self.labels[image]).collect();
        Labelled {
            rows: self.rows.part(images),
            labels,
            comparison: self.comparison,
        }
    }

    /// How they are compared.
    pub fn comparison(&self) -> Comparison {
        self.comparison
    }
}

/// Which images are searched for those of a query's class.
#[derive(Clone, Copy, Debug)]
pub enum Search<'a> {
    /// Each image of a set searches all the others; itself is excluded by its index.
    Within(&'a Labelled),
    /// Each of some queries searches all images of a gallery.
    Between {
        /// The queries.
        queries: &'a Labelled,
        /// The gallery, compared in the same way.
        gallery: &'a Labelled,
    },
    /// The same, but some queries are in the gallery as well: these do not find themselves.
    Overlapping {
        /// The queries.
        queries: &'a Labelled,
        /// The gallery, compared in the same way.
        gallery: &'a Labelled,
        /// Where each query is in the gallery, if it is there.
        itself: &'a [Option<u32>],
    },
}

impl<'a> Search<'a> {
    /// What is searched for, and what is searched.
    pub fn sides(self) -> (&'a Labelled, &'a Labelled) {
        match self {
            Search::Within(images) => (images, images),
            Search::Between { queries, gallery }
            | Search::Overlapping {
                queries, gallery, ..
            } => (queries, gallery),
        }
    }

    pub(super) fn itself(self) -> Itself<'a> {
        match self {
            Search::Within(_) => Itself::AtItsIndex,
            Search::Between { .. } => Itself::Nowhere,
            Search::Overlapping { itself, .. } => Itself::At(itself),
        }
    }
}

/// Where among the references a query is itself, and so no answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Itself<'a> {
    /// Queries and references are one set.
    AtItsIndex,
    /// They share no image.
    Nowhere,
    /// They share some.
    At(&'a [Option<u32>]),
}

impl Itself<'_> {
    pub(super) fn of(self, query: usize) -> Option<usize> {
        match self {
            Itself::AtItsIndex => Some(query),
            Itself::Nowhere => None,
            Itself::At(places) => places[query].map(|place| place as usize),
        }
    }

    /// How many references a query cannot find, at most.
    pub(super) fn most(self) -> usize {
        usize::from(match self {
            Itself::AtItsIndex => true,
            Itself::Nowhere => false,
            Itself::At(places) => places.iter().any(Option::is_some),
        })
    }
}

/// How well one query was answered under one order of its answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// The rank, from 1, of the nearest image of its class.
    pub first: u32,
    /// R-Precision; nothing at [`Depth::First`].
    pub r_precision: Option<f64>,
    /// Average precision at R; nothing at [`Depth::First`].
    pub ap_at_r: Option<f64>,
    /// Average precision; nothing but at [`Depth::All`].
    pub ap: Option<f64>,
}

/// How well one query was answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Query {
    /// Its index.
    pub image: u32,
    /// Its label.
    pub label: i64,
    /// If equally similar images are in the order of their index.
    pub scores: Scores,
    /// If those of its class come before others that are exactly as similar.
    pub optimistic: Scores,
    /// If they come after them.
    pub pessimistic: Scores,
}

/// How well all queries were answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieval {
    /// Each query that has something to find, in order of its index.
    pub queries: Vec<Query>,
    /// How many images have nothing to find, and so are no queries.
    pub lone: usize,
    /// How many of the searched images exactly equal an earlier one.
    pub duplicates: usize,
    /// The mean cosine of the angles between two searched images: near 1, the embeddings have collapsed to a point.
    pub mean_cosine: f64,
}

/// Answers all queries as deeply as is wanted.
///
/// # Errors
/// If there is nothing to retrieve, or queries and gallery are not of one width.
///
/// # Panics
/// If queries and gallery are not to be compared in the same way, or it is not said of each query whether it is in both.
pub fn retrieve(
    search: Search,
    depth: Depth,
    resources: Resources,
) -> Result<Retrieval, EvalError> {
    retrieve_by(search, depth, resources, resources.by_libtorch())
}

/// As [`retrieve`], by libtorch even on the CPU if this is wanted.
fn retrieve_by(
    search: Search,
    depth: Depth,
    resources: Resources,
    by_libtorch: bool,
) -> Result<Retrieval, EvalError> {
    let (queries, gallery) = search.sides();
    assert_eq!(
        queries.comparison, gallery.comparison,
        "queries and gallery are compared in one way"
    );
    if let Itself::At(places) = search.itself() {
        assert_eq!(places.len(), queries.labels.len(), "a place for each query");
    }
    if queries.rows.width() != gallery.rows.width() {
        return Err(EvalError::Widths {
            queries: queries.rows.width(),
            references: gallery.rows.width(),
        });
    }
    let classes = Classes::new(&queries.labels, &gallery.labels);
    let twins = twins(&gallery.rows);
    let comparing = Comparing {
        queries: &queries.rows,
        references: &gallery.rows,
        comparison: queries.comparison,
        itself: search.itself(),
        classes: &classes,
        twins: &twins,
    };
    let mut answered = Vec::new();
    if (0..queries.rows.len()).all(|query| comparing.right_answers(query) == 0) {
        return Err(EvalError::NoQueries);
    }
    let hear = |query: usize, ranks: &[Rank]| {
        let right_answers = comparing.right_answers(query);
        if right_answers > 0 {
            answered.push(Query::of(
                query,
                queries.labels[query],
                ranks,
                right_answers,
                depth,
            ));
        }
    };
    if by_libtorch {
        on_device::ranks(&comparing, depth, resources, hear);
    } else {
        ranks(&comparing, depth, resources.budget, hear);
    }
    Ok(Retrieval {
        lone: queries.rows.len() - answered.len(),
        queries: answered,
        duplicates: (0u32..)
            .zip(&twins)
            .filter(|(image, twin)| image != *twin)
            .count(),
        mean_cosine: mean_cosine(&gallery.rows),
    })
}

impl Query {
    fn of(image: usize, label: i64, ranks: &[Rank], right_answers: usize, depth: Depth) -> Query {
        let scores =
            |order: fn(&Rank) -> u32| Scores::of(ranks.iter().map(order), right_answers, depth);
        Query {
            image: image as u32,
            label,
            scores: scores(|rank| rank.by_index),
            optimistic: scores(|rank| rank.optimistic),
            pessimistic: scores(|rank| rank.pessimistic),
        }
    }
}

impl Scores {
    /// From the ranks of the images of the class, nearest first; those beyond R may be missing unless all are wanted.
    fn of(ranks: impl Iterator<Item = u32> + Clone, right_answers: usize, depth: Depth) -> Scores {
        let all = right_answers as f64;
        let (mut found, mut nearest, mut everywhere) = (0u32, 0.0, 0.0);
        for (count, rank) in (1u32..).zip(ranks.clone()) {
            let precision = f64::from(count) / f64::from(rank);
            everywhere += precision;
            if rank as usize <= right_answers {
                found = count;
                nearest += precision;
            }
        }
        Scores {
            first: ranks.clone().next().unwrap_or(u32::MAX),
            r_precision: (depth >= Depth::Nearest).then_some(f64::from(found) / all),
            ap_at_r: (depth >= Depth::Nearest).then_some(nearest / all),
            ap: (depth == Depth::All).then_some(everywhere / all),
        }
    }

    /// Whether an image of the class is among the `k` nearest: 1 or 0.
    pub fn recall(&self, k: usize) -> f64 {
        f64::from(u8::from(self.first as usize <= k))
    }
}

/// An order of the answers of a query.
pub type Order = fn(&Query) -> &Scores;

impl Retrieval {
    /// The mean over queries of a value of each.
    pub fn mean(&self, value: impl Fn(&Query) -> f64) -> f64 {
        self.queries.iter().map(value).sum::<f64>() / self.queries.len() as f64
    }

    /// The mean over the queries of each label.
    pub fn by_label(&self, value: impl Fn(&Query) -> f64) -> BTreeMap<i64, f64> {
        let mut sums = BTreeMap::<i64, (f64, f64)>::new();
        for query in &self.queries {
            let (sum, count) = sums.entry(query.label).or_default();
            *sum += value(query);
            *count += 1.0;
        }
        sums.into_iter()
            .map(|(label, (sum, count))| (label, sum / count))
            .collect()
    }

    /// Recall@`k`.
    pub fn recall(&self, k: usize) -> f64 {
        self.mean(|query| query.scores.recall(k))
    }

    /// Precision@1.
    pub fn precision_at_1(&self) -> f64 {
        self.recall(1)
    }

    /// R-Precision.
    pub fn r_precision(&self) -> f64 {
        self.mean(|query| query.scores.r_precision.unwrap_or(f64::NAN))
    }

    /// MAP@R.
    pub fn map_at_r(&self) -> f64 {
        self.mean(|query| query.scores.ap_at_r.unwrap_or(f64::NAN))
    }

    /// Mean average precision over all ranks.
    pub fn map(&self) -> f64 {
        self.mean(|query| query.scores.ap.unwrap_or(f64::NAN))
    }

    /// Mean reciprocal rank.
    pub fn mrr(&self) -> f64 {
        self.mean(|query| 1.0 / f64::from(query.scores.first))
    }

    /// Whether some value would be another if equally similar images were in another order.
    pub fn has_ties(&self) -> bool {
        self.queries
            .iter()
            .any(|query| query.optimistic != query.pessimistic)
    }
}

/// Rows whose directions are summed by one thread. What is summed in which order is the same for any number of threads.
const PORTION: usize = 1024;

fn mean_cosine(rows: &Rows) -> f64 {
    let portions: Vec<(Vec<f64>, f64)> = (0..rows.len().div_ceil(PORTION))
        .into_par_iter()
        .map(|portion| {
            sum_of_directions(
                rows,
                portion * PORTION..rows.len().min((portion + 1) * PORTION),
            )
        })
        .collect();
    let (mut sum, mut directions) = (vec![0.0; rows.width()], 0.0);
    for (of_portion, count) in portions {
        sum.iter_mut()
            .zip(of_portion)
            .for_each(|(sum, value)| *sum += value);
        directions += count;
    }
    if directions < 2.0 {
        return 1.0;
    }
    (sum.iter().map(|sum| sum * sum).sum::<f64>() - directions) / (directions * (directions - 1.0))
}

/// The sum of these rows, each of length one, and how many have a direction.
fn sum_of_directions(rows: &Rows, range: Range<usize>) -> (Vec<f64>, f64) {
    let (mut sum, mut directions) = (vec![0.0; rows.width()], 0.0);
    for row in range.map(|row| rows.row(row)) {
        let length = dot(row, row).sqrt();
        if length > 0.0 {
            sum.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += f64::from(*value) / length);
            directions += 1.0;
        }
    }
    (sum, directions)
}

#[cfg(test)]
mod tests;
