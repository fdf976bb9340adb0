//! Retrieval metrics. Musgrave, Belongie & Lim, "A Metric Learning Reality Check", ECCV 2020, section 3.2.
//!
//! Every image is a query against all others. With R the number of others of its class, and P(k) the share of its
//! class among the k nearest:
//!
//! - Recall@K: whether there is one of its class among the K nearest;
//! - Precision@1: P(1), the same as Recall@1;
//! - R-Precision: P(R);
//! - MAP@R: the sum of P(k) over those of the R nearest that are of its class, divided by R.
//!
//! All are means over queries. An image that is alone in its class has nothing to retrieve: it is
//! no query, though it stays a possible wrong answer.
//! Reference: pytorch-metric-learning `AccuracyCalculator` with `k="max_bin_count"`.

use std::collections::HashMap;

use tch::Tensor;

use super::neighbours::{EvalError, nearest};

/// Retrieval metrics, each between 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieval {
    /// Recall@K, in the order in which the K were given.
    pub recall: Vec<f64>,
    /// Precision@1.
    pub precision_at_1: f64,
    /// R-Precision.
    pub r_precision: f64,
    /// MAP@R.
    pub map_at_r: f64,
    /// How many queries these are the means of.
    pub queries: usize,
    /// How many images are alone in their class, and so are no queries.
    pub lone: usize,
}

/// Returns the metrics of `embeddings` `[n, d]` with these `labels`, compared by their cosine.
pub fn retrieval(embeddings: &Tensor, labels: &[i64], recall_at: &[usize]) -> Result<Retrieval, EvalError> {
    let images = embeddings.size()[0] as usize;
    if images != labels.len() {
        return Err(EvalError::Labels { embeddings: images, labels: labels.len() });
    }
    let others = others_of_class(labels);
    let deepest = recall_at.iter().chain(&others).copied().max().unwrap_or(0);
    let neighbours = nearest(embeddings, deepest)?;
    let mut sum = Sum { recall: vec![0.0; recall_at.len()], ..Sum::default() };
    for (query, &others) in others.iter().enumerate().filter(|(_, others)| **others > 0) {
        let right = |&image: &u32| labels[image as usize] == labels[query];
        sum.add(&neighbours.of(query).iter().map(right).collect::<Vec<_>>(), others, recall_at);
    }
    sum.mean(images)
}

/// How many other images each image's class has.
fn others_of_class(labels: &[i64]) -> Vec<usize> {
    let mut sizes = HashMap::<i64, usize>::new();
    labels.iter().for_each(|label| *sizes.entry(*label).or_default() += 1);
    labels.iter().map(|label| sizes[label] - 1).collect()
}

#[derive(Default)]
struct Sum {
    recall: Vec<f64>,
    precision_at_1: f64,
    r_precision: f64,
    map_at_r: f64,
    queries: usize,
}

impl Sum {
    /// Adds a query: whether each of its neighbours, nearest first, is right, and how many right ones exist.
    fn add(&mut self, right: &[bool], others: usize, recall_at: &[usize]) {
        for (sum, &k) in self.recall.iter_mut().zip(recall_at) {
            *sum += f64::from(right.iter().take(k).any(|&right| right));
        }
        let (mut found, mut precisions) = (0.0, 0.0);
        for (rank, _) in (1u32..).zip(right.iter().take(others)).filter(|(_, right)| **right) {
            found += 1.0;
            precisions += found / f64::from(rank);
        }
        self.precision_at_1 += f64::from(right.first() == Some(&true));
        self.r_precision += found / others as f64;
        self.map_at_r += precisions / others as f64;
        self.queries += 1;
    }

    fn mean(self, images: usize) -> Result<Retrieval, EvalError> {
        if self.queries == 0 {
            return Err(EvalError::NoQueries);
        }
        let mean = |sum: f64| sum / self.queries as f64;
        Ok(Retrieval {
            recall: self.recall.iter().copied().map(mean).collect(),
            precision_at_1: mean(self.precision_at_1),
            r_precision: mean(self.r_precision),
            map_at_r: mean(self.map_at_r),
            queries: self.queries,
            lone: images - self.queries,
        })
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::testing::{golden, labels, noise, tensor, whole};

    /// The metrics of one query with ten right answers among its neighbours, at these ranks from 1.
    fn of_ten(ranks: &[usize]) -> Retrieval {
        let right: Vec<bool> = (1..=30).map(|rank| ranks.contains(&rank)).collect();
        let mut sum = Sum { recall: vec![0.0; 3], ..Sum::default() };
        sum.add(&right, 10, &[1, 2, 20]);
        sum.mean(1).unwrap()
    }

    #[test]
    fn the_worked_examples_of_the_paper_come_out() {
        let cases: [(&[usize], f64, f64); 5] = [
            (&[1], 0.1, 0.1),
            (&[1, 10], 0.2, 0.12),
            (&[1, 2], 0.2, 0.2),
            (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 1.0, 1.0),
            (&[11, 12, 13, 14, 15, 16, 17, 18, 19, 20], 0.0, 0.0),
        ];
        for (ranks, r_precision, map_at_r) in cases {
            let found = of_ten(ranks);
            assert!((found.r_precision - r_precision).abs() < 1e-15, "{ranks:?}");
            assert!((found.map_at_r - map_at_r).abs() < 1e-15, "{ranks:?}");
            assert_eq!(found.precision_at_1, f64::from(ranks[0] == 1));
        }
    }

    #[test]
    fn recall_counts_the_first_right_answer_within_k() {
        assert_eq!(of_ten(&[1, 5]).recall, [1.0, 1.0, 1.0]);
        assert_eq!(of_ten(&[2]).recall, [0.0, 1.0, 1.0]);
        assert_eq!(of_ten(&[20]).recall, [0.0, 0.0, 1.0]);
        assert_eq!(of_ten(&[21]).recall, [0.0, 0.0, 0.0]);
    }

    #[test]
    fn metrics_are_those_of_the_reference() {
        let golden = golden(include_str!("testdata/retrieval.json"));
        let recall_at: Vec<usize> = serde_json::from_value(golden["recall_at"].clone()).unwrap();
        let labels = whole(&golden["labels"]);
        let found = retrieval(&tensor(&golden["embeddings"]), &labels, &recall_at).unwrap();
        let agree = |found: f64, name: &str| assert!((found - golden[name].as_f64().unwrap()).abs() < 1e-12, "{name}");
        agree(found.precision_at_1, "precision_at_1");
        agree(found.r_precision, "r_precision");
        agree(found.map_at_r, "mean_average_precision_at_r");
        let recall = Tensor::from_slice(&found.recall);
        crate::testing::assert_close(&recall, &tensor(&golden["recall"]), 1e-12, "recall");
        assert_eq!(found.queries as i64, golden["queries"].as_i64().unwrap());
        assert_eq!(found.lone, labels.len() - found.queries);
        assert_eq!(found.lone, 2);
    }

    #[test]
    fn a_collapsed_embedding_scores_as_badly_as_it_should() {
        // Ten classes of four, in order of class: by index, the nearest of every image are images 0 to 3.
        let labels: Vec<i64> = (0..40).map(|image| image / 4).collect();
        let collapsed = Tensor::ones([40, 8], (Kind::Float, Device::Cpu));
        let found = retrieval(&collapsed, &labels, &[1, 10]).unwrap();
        assert!((found.precision_at_1 - 0.1).abs() < 1e-12, "{found:?}");
        assert!(found.map_at_r < 0.15, "{found:?}");
        assert_eq!(retrieval(&collapsed.zeros_like(), &labels, &[1, 10]).unwrap(), found);
        // Rounding may differ from column to column, but not in favour of the right ones.
        let collapsed = noise(1, 1, 64).repeat([40, 1]);
        assert!(retrieval(&collapsed, &labels, &[1]).unwrap().map_at_r < 0.2);
    }

    #[test]
    fn perfect_embeddings_score_one_hundred_percent() {
        let labels = labels(&serde_json::json!([0, 1, 2, 0, 1, 2, 0, 1]));
        let embeddings = labels.one_hot(3).to_kind(Kind::Float);
        let found = retrieval(&embeddings, &Vec::<i64>::try_from(&labels).unwrap(), &[1]).unwrap();
        let expected =
            Retrieval { recall: vec![1.0], precision_at_1: 1.0, r_precision: 1.0, map_at_r: 1.0, queries: 8, lone: 0 };
        assert_eq!(found, expected);
    }

    #[test]
    fn an_image_alone_in_its_class_is_no_query_but_a_wrong_answer() {
        let embeddings = Tensor::from_slice2(&[[1.0f32, 0.0], [0.9, 0.5], [0.95, 0.2]]);
        let found = retrieval(&embeddings, &[4, 4, 9], &[1, 2]).unwrap();
        assert_eq!((found.queries, found.lone), (2, 1));
        assert_eq!(found.recall, [0.0, 1.0]);
    }

    #[test]
    fn what_cannot_be_measured_is_an_error() {
        let error = |labels: &[i64]| retrieval(&noise(1, 3, 2), labels, &[1]).unwrap_err();
        assert_eq!(error(&[0, 1]), EvalError::Labels { embeddings: 3, labels: 2 });
        assert_eq!(error(&[0, 1, 2]), EvalError::NoQueries);
    }
}
