//! Retrieval where some wrong images are less wrong than others: those that share a category with the query.
//!
//! The *level* of an image for a query is 0 if they share nothing. Of L levels, it is L for an image of the query's class,
//! L - 1 for one of its category, L - 2 for one of the next wider category, and so on. Images of positive levels are
//! relevant. Let rel(l) = l / n(l), where n(l) is the number of images of level l.
//!
//! - H-AP: the sum over relevant images k of H(k) / rank(k), divided by the sum of their rel; H(k) is the sum of the smaller
//!   of rel(j) and rel(k) over the images j up to k (Ramzi, Audebert, Thome, Rambour & Bitot, "Hierarchical Average
//!   Precision Training for Pertinent Image Retrieval", ECCV 2022, with α = 1). With classes alone it is AP. The best order
//!   has 1 where rel grows with the level.
//! - NDCG: the sum of (2^level - 1) / log2(1 + rank), divided by that of the best order (Järvelin & Kekäläinen, 2002).
//!
//! Both are means over the queries with a relevant image. Equally similar images are in order of their index. What a query does
//! not search is neither relevant nor ranked: itself, and images of its class from its camera.
//!
//! What is counted in n(l) follows the definition: the images that are ranked. So does a later program of the authors, SupRank;
//! in the program of the paper, HAPPIER, n(L) counts the query, too, which lowers the weight of its class: where classes are
//! small, its H-AP is up to a point different.

use super::{
    error::EvalError,
    labels::{ClassIndex, first_equal},
    resources::EvalResources,
    retrieval::rank_targets,
    targets::{RankDepth, RankProblem, TargetRank},
    task::{LabeledEmbeddings, RetrievalTask},
};

/// The means over queries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HierarchyScores {
    /// Hierarchical average precision.
    pub h_ap: f64,
    /// Normalized discounted cumulative gain.
    pub ndcg: f64,
}

/// Ranks the images that share a category with each query and scores the queries.
///
/// # Errors
/// If no image shares a category with another, queries and gallery differ in width, or it is stopped.
///
/// # Panics
/// If queries and gallery have different numbers of levels.
pub fn hierarchy(
    task: RetrievalTask,
    resources: EvalResources,
) -> Result<HierarchyScores, EvalError> {
    task.check_widths()?;
    let (queries, gallery) = (task.queries(), task.gallery());
    let levels = Levels::new(queries, gallery);
    let problem = RankProblem {
        queries: queries.rows(),
        references: gallery.rows(),
        self_match: task.self_match(),
        // An image of the query's class from its camera is a target, too, to be left out of the ranks of others.
        cameras: None,
        classes: &ClassIndex::new(&widest(queries), &widest(gallery)),
        first_equal: &first_equal(gallery.rows()),
        depth: RankDepth::All,
    };
    let mut sum = Sum::default();
    rank_targets(&problem, queries.comparison(), resources, |query, ranks| {
        sum.add(&levels.ranked(task, query, ranks), levels.count);
    })?;
    sum.mean().ok_or(EvalError::NoQueries)
}

/// Returns the widest category of each image, or its class if it has none, by numbers that are equal for equal ones.
fn widest(images: &LabeledEmbeddings) -> Vec<i64> {
    let labels = images.labels().iter().enumerate();
    let known = images.categories().iter().rev();
    let of_image = |image: usize| known.clone().find_map(|level| level[image]);
    // Categories get odd numbers and classes even ones.
    labels
        .map(|(image, label)| {
            of_image(image).map_or(2 * label, |category| 2 * i64::from(category) + 1)
        })
        .collect()
}

/// The levels of images for queries.
struct Levels<'a> {
    queries: &'a LabeledEmbeddings,
    gallery: &'a LabeledEmbeddings,
    /// The level of an image of the query's class.
    count: usize,
}

/// A relevant image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Relevant {
    rank: u32,
    level: usize,
}

impl<'a> Levels<'a> {
    fn new(queries: &'a LabeledEmbeddings, gallery: &'a LabeledEmbeddings) -> Levels<'a> {
        let count = queries.categories().len();
        assert_eq!(count, gallery.categories().len(), "one hierarchy");
        Levels {
            queries,
            gallery,
            count: count + 1,
        }
    }

    fn of(&self, query: usize, image: usize) -> usize {
        if self.queries.labels()[query] == self.gallery.labels()[image] {
            return self.count;
        }
        let levels = self
            .queries
            .categories()
            .iter()
            .zip(self.gallery.categories());
        let shared = |(of_queries, of_gallery): (&Vec<Option<u32>>, &Vec<Option<u32>>)| {
            of_queries[query].is_some() && of_queries[query] == of_gallery[image]
        };
        let narrowest = levels.into_iter().position(shared);
        narrowest.map_or(0, |place| self.count - 1 - place)
    }

    /// Returns the relevant images of a query, nearest first.
    fn ranked(&self, task: RetrievalTask, query: usize, ranks: &[TargetRank]) -> Vec<Relevant> {
        let mut relevant = Vec::with_capacity(ranks.len());
        let mut left_out = 0;
        for target in ranks {
            let image = target.image as usize;
            let level = self.of(query, image);
            let is_left_out = level == self.count
                && task
                    .cameras()
                    .is_some_and(|cameras| cameras.are_one(query, image));
            if is_left_out {
                left_out += 1;
            } else if level > 0 {
                let rank = target.by_index - left_out;
                relevant.push(Relevant { rank, level });
            }
        }
        relevant
    }
}

/// Sums over queries.
#[derive(Default)]
struct Sum {
    h_ap: f64,
    ndcg: f64,
    queries: f64,
}

impl Sum {
    /// Adds a query, if anything is relevant.
    fn add(&mut self, relevant: &[Relevant], levels: usize) {
        if !relevant.is_empty() {
            self.h_ap += h_ap(relevant, levels);
            self.ndcg += ndcg(relevant);
            self.queries += 1.0;
        }
    }

    fn mean(&self) -> Option<HierarchyScores> {
        (self.queries > 0.0).then(|| HierarchyScores {
            h_ap: self.h_ap / self.queries,
            ndcg: self.ndcg / self.queries,
        })
    }
}

fn h_ap(relevant: &[Relevant], levels: usize) -> f64 {
    let mut sizes = vec![0.0; levels + 1];
    relevant.iter().for_each(|image| sizes[image.level] += 1.0);
    let relevance = |level: usize| level as f64 / sizes[level];
    let mut found = vec![0.0; levels + 1];
    let (mut sum, mut all) = (0.0, 0.0);
    for image in relevant {
        found[image.level] += 1.0;
        let own = relevance(image.level);
        let up_to_here = (1..=levels).filter(|&level| found[level] > 0.0);
        let rank: f64 = up_to_here
            .map(|level| found[level] * relevance(level).min(own))
            .sum();
        sum += rank / f64::from(image.rank);
        all += own;
    }
    sum / all
}

fn ndcg(relevant: &[Relevant]) -> f64 {
    let gain = |rank: f64, level: usize| ((level as f64).exp2() - 1.0) / (1.0 + rank).log2();
    let found = relevant
        .iter()
        .map(|image| gain(image.rank.into(), image.level));
    let mut levels: Vec<usize> = relevant.iter().map(|image| image.level).collect();
    levels.sort_unstable_by(|a, b| b.cmp(a));
    let best = (1..)
        .zip(levels)
        .map(|(rank, level)| gain(f64::from(rank), level));
    found.sum::<f64>() / best.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        eval::{Comparison, Embeddings, RankDepth, TieOrder, retrieve},
        testing::{golden, integers, noise, tensor},
    };
    use serde_json::Value;

    fn numbers(values: &Value) -> Vec<Option<u32>> {
        let values = values.as_array().into_iter().flatten();
        values
            .map(|value| value.as_u64().map(|value| value as u32))
            .collect()
    }

    #[test]
    fn scores_are_those_of_the_definition_in_numpy() {
        let golden = golden(include_str!("testdata/hierarchy.json"));
        for case in golden["cases"].as_array().unwrap() {
            let rows = Embeddings::from_tensor(&tensor(&case["embeddings"])).unwrap();
            let labels = integers(&case["labels"]);
            let images = LabeledEmbeddings::new(rows, labels, Comparison::Cosine).unwrap();
            let levels = case["categories"].as_array().unwrap().iter().map(numbers);
            let images = images.with_categories(levels.collect()).unwrap();
            let images = images.with_cameras(numbers(&case["cameras"])).unwrap();
            let found =
                hierarchy(RetrievalTask::Within(&images), EvalResources::default()).unwrap();
            let agree = |value: f64, name: &str| {
                let expected = case[name].as_f64().unwrap();
                let what = &case["name"];
                assert!(
                    (value - expected).abs() < 1e-9,
                    "{what}: {name} {value}, not {expected}"
                );
            };
            agree(found.h_ap, "h_ap");
            agree(found.ndcg, "ndcg");
        }
    }

    #[test]
    fn with_classes_alone_h_ap_is_ap() {
        let labels: Vec<i64> = (0..200).map(|image| image % 23).collect();
        let rows = || Embeddings::from_tensor(&noise(1, 200, 5)).unwrap();
        let images = LabeledEmbeddings::new(rows(), labels.clone(), Comparison::Cosine).unwrap();
        let task = RetrievalTask::Within(&images);
        let found = hierarchy(task, EvalResources::default()).unwrap();
        let expected = retrieve(task, RankDepth::All, EvalResources::default()).unwrap();
        assert!((found.h_ap - expected.means(TieOrder::ByIndex).map()).abs() < 1e-12);
        // Categories that no image has change nothing.
        let named = LabeledEmbeddings::new(rows(), labels, Comparison::Cosine).unwrap();
        let named = named.with_categories(vec![vec![None; 200]]).unwrap();
        let again = hierarchy(RetrievalTask::Within(&named), EvalResources::default()).unwrap();
        assert!((again.h_ap - found.h_ap).abs() < 1e-12);
    }

    #[test]
    fn the_best_order_has_a_score_of_one() {
        let order = [3, 3, 2, 2, 1, 1, 1].into_iter();
        let ranked: Vec<Relevant> = (1..)
            .zip(order)
            .map(|(rank, level)| Relevant { rank, level })
            .collect();
        assert!((h_ap(&ranked, 3) - 1.0).abs() < 1e-12);
        assert!((ndcg(&ranked) - 1.0).abs() < 1e-12);
        let mut worse = ranked;
        worse[6].rank = 9;
        assert!(h_ap(&worse, 3) < 1.0 && ndcg(&worse) < 1.0);
    }
}
