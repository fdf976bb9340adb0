//! Structured clustering loss by facility location. Song et al., CVPR 2017.
//!
//! One term: `max(0, max over medoids S of (F(S) + gamma (1 - NMI(S))) - F(classes))`. `F(S)` is minus the sum of the
//! distances of all images from their nearest medoid, with one medoid for each class, and `NMI(S)` compares the
//! clusters so made with the classes; `F(classes)` has the best medoid of each class. The maximum is sought greedily,
//! one medoid after the other, and then by `refinements` rounds in which each cluster takes the best medoid among its
//! members, by one of two rules; of equals the first is taken. The search has no gradient; its result has.
//! Reference: `cluster_loss` of TensorFlow 1, by its description. Differs: the rule `objective`, the default, never makes
//! the objective smaller; that of the program is `pam`. A memory and a miner add nothing.

use schema::{Clustering, Refinement};
use tch::{Kind, Tensor};

use super::{Loss, LossInput};
use crate::{
    distance::DistanceExt,
    download::rows,
    reduce::{Part, Terms},
    tuples::at,
    tuples::host_labels::numbered,
    upload,
};

/// A search for medoids.
struct MedoidSearch<'a> {
    /// `[n][n]`: distance of the second image from the first.
    distances: Vec<Vec<f64>>,
    /// `[n]`: 0 to C - 1.
    classes: &'a [usize],
    count: usize,
    gamma: f64,
    /// `[n + 1]`: `log(n / i)` at index i.
    surprise: Vec<f64>,
    /// `[C * C]`: counters of [`entropy`](Self::entropy), all 0 between two calls. Clearing a few of them is faster
    /// than a new vector for each of the many candidates.
    counters: Vec<usize>,
}

/// The nearest medoid of an image.
#[derive(Clone, Copy)]
struct Nearest {
    /// Index of the medoid, which is the cluster of the image.
    cluster: usize,
    /// Minus infinity for the medoid itself.
    distance: f64,
}

impl Nearest {
    /// Returns the distance, 0 for the medoid itself.
    fn cost(self) -> f64 {
        if self.distance == f64::NEG_INFINITY {
            0.0
        } else {
            self.distance
        }
    }
}

impl Loss for Clustering {
    fn terms(&self, batch: &LossInput) -> Terms {
        let own = batch.distance.matrix(batch.embeddings, batch.embeddings);
        let nearest = if batch.distance.is_inverted() {
            1.0
        } else {
            0.0
        };
        // Rounding would give an image a distance from itself.
        let itself = Tensor::eye(batch.images(), (Kind::Bool, own.device()));
        let distances = batch
            .distance
            .excess_over(&own, nearest)
            .masked_fill(&itself, 0.0);
        let labels = batch.references.host_labels(batch.labels);
        let (values, classes) = numbered(&labels.batch);
        let classes: Vec<usize> = classes.into_iter().map(|class| class as usize).collect();
        let mut search = MedoidSearch::new(rows(&distances), &classes, values.len(), self.gamma);
        let medoids = search.medoids(self.refinements, self.refinement);
        let clusters = search.clusters(&medoids);
        let cost = self.gamma * search.unlikeness(&clusters);
        let found = sum_at(&distances, &search.nearest(&medoids));
        let right = sum_at(&distances, &search.nearest_of_classes());
        Terms::of([Part::of_others((right - found + cost).relu().reshape([1]))])
    }
}

/// Returns the sum of the distances of all images from their nearest medoid.
fn sum_at(distances: &Tensor, others: &[usize]) -> Tensor {
    let others: Vec<i64> = others.iter().map(|&other| other as i64).collect();
    let columns = upload::integers(&others, distances.device());
    let rows = Tensor::arange(others.len() as i64, (Kind::Int64, distances.device()));
    at(distances, &rows, &columns).sum(None::<Kind>)
}

impl<'a> MedoidSearch<'a> {
    fn new(
        distances: Vec<Vec<f64>>,
        classes: &'a [usize],
        count: usize,
        gamma: f64,
    ) -> MedoidSearch<'a> {
        let surprise = (0..=classes.len())
            .map(|size| (classes.len() as f64 / size as f64).ln())
            .collect();
        MedoidSearch {
            distances,
            classes,
            count,
            gamma,
            surprise,
            counters: vec![0; count * count],
        }
    }

    /// Returns the medoids with the largest objective that the greedy search finds.
    fn medoids(&mut self, refinements: u32, refinement: Refinement) -> Vec<usize> {
        let mut medoids = Vec::new();
        for _ in 0..self.count {
            self.add_best(&mut medoids);
        }
        for _ in 0..refinements {
            match refinement {
                Refinement::Objective => self.move_upward(&mut medoids),
                Refinement::Pam => self.move_within(&mut medoids),
            }
        }
        medoids
    }

    /// Moves each medoid to the member of its cluster that makes the objective largest.
    fn move_upward(&mut self, medoids: &mut [usize]) {
        for cluster in 0..medoids.len() {
            self.move_best(medoids, cluster);
        }
    }

    /// Moves each medoid to the best member of the cluster that it had before the round.
    fn move_within(&mut self, medoids: &mut [usize]) {
        let clusters = self.clusters(medoids);
        for cluster in 0..medoids.len() {
            let members = indices_of(cluster, &clusters);
            let others = self.nearest_among(medoids, Some(cluster));
            let candidates = members.iter().copied();
            let best = self.best_medoid(cluster, &others, candidates, Some(&members));
            if let Some(best) = best {
                medoids[cluster] = best;
            }
        }
    }

    /// Adds the medoid that makes the objective largest.
    fn add_best(&mut self, medoids: &mut Vec<usize>) {
        let cluster = medoids.len();
        let others = self.nearest_among(medoids, None);
        let candidates = (0..self.classes.len()).filter(|image| !medoids.contains(image));
        let best = self.best_medoid(cluster, &others, candidates, None);
        medoids.extend(best);
    }

    /// Replaces a medoid by the member of its cluster that makes the objective largest, if it is larger than before.
    fn move_best(&mut self, medoids: &mut [usize], cluster: usize) {
        let clusters = self.clusters(medoids);
        let others = self.nearest_among(medoids, Some(cluster));
        let candidates = std::iter::once(medoids[cluster]).chain(indices_of(cluster, &clusters));
        if let Some(best) = self.best_medoid(cluster, &others, candidates, None) {
            medoids[cluster] = best;
        }
    }

    /// Returns the candidate that makes the objective largest as the medoid of `cluster`, the first one on a tie.
    /// `others` `[n]` has the nearest one of the other medoids. With `members`, only their distances count, from the
    /// candidate.
    fn best_medoid(
        &mut self,
        cluster: usize,
        others: &[Option<Nearest>],
        candidates: impl Iterator<Item = usize>,
        members: Option<&[usize]>,
    ) -> Option<usize> {
        let mut clusters = vec![0; others.len()];
        let scored = candidates.map(|medoid| {
            let of_all = self.assign(medoid, cluster, others, &mut clusters);
            let away = members.map_or(of_all, |members| self.away(members, medoid));
            (self.gamma * self.unlikeness(&clusters) - away, medoid)
        });
        first_largest(scored)
    }

    /// Returns the sum of the distances of images from one of them.
    fn away(&self, images: &[usize], medoid: usize) -> f64 {
        let distances = images.iter().map(|&image| self.distances[image][medoid]);
        distances.sum()
    }

    /// Writes the cluster of each image if `medoid` joins the other medoids as the one of `cluster`. Returns the sum
    /// of the distances from the medoids.
    fn assign(
        &self,
        medoid: usize,
        cluster: usize,
        others: &[Option<Nearest>],
        clusters: &mut [usize],
    ) -> f64 {
        let mut away = 0.0;
        for (image, other) in others.iter().enumerate() {
            let joining = self.candidate(image, medoid, cluster);
            let nearest = other.map_or(joining, |other| nearer(other, joining));
            clusters[image] = nearest.cluster;
            away += nearest.cost();
        }
        away
    }

    /// Returns for each image the nearest medoid, leaving out the one of cluster `without`.
    fn nearest_among(&self, medoids: &[usize], without: Option<usize>) -> Vec<Option<Nearest>> {
        let nearest_of = |image: usize| {
            let medoids = medoids.iter().enumerate();
            medoids
                .filter(|(cluster, _)| Some(*cluster) != without)
                .map(|(cluster, &medoid)| self.candidate(image, medoid, cluster))
                .reduce(nearer)
        };
        (0..self.classes.len()).map(nearest_of).collect()
    }

    /// Returns a medoid as the nearest one of an image. A medoid is nearer to itself than a duplicate of it.
    fn candidate(&self, image: usize, medoid: usize, cluster: usize) -> Nearest {
        let distance = if image == medoid {
            f64::NEG_INFINITY
        } else {
            self.distances[image][medoid]
        };
        Nearest { cluster, distance }
    }

    /// Returns for each image the index of its nearest medoid. A medoid is its own.
    fn clusters(&self, medoids: &[usize]) -> Vec<usize> {
        let nearest = self.nearest_among(medoids, None);
        let clusters = nearest.iter().map(|nearest| nearest.map(|to| to.cluster));
        clusters.map(Option::unwrap_or_default).collect()
    }

    fn nearest(&self, medoids: &[usize]) -> Vec<usize> {
        self.clusters(medoids)
            .into_iter()
            .map(|cluster| medoids[cluster])
            .collect()
    }

    /// Returns the medoid of the class of each image.
    fn nearest_of_classes(&self) -> Vec<usize> {
        let medoids: Vec<usize> = (0..self.count)
            .map(|class| self.medoid_of(&indices_of(class, self.classes)))
            .collect();
        self.classes.iter().map(|&class| medoids[class]).collect()
    }

    /// Returns the image with the smallest sum of distances of the others from it. Images are not empty.
    fn medoid_of(&self, images: &[usize]) -> usize {
        let scored = images
            .iter()
            .map(|&image| (-self.away(images, image), image));
        first_largest(scored).unwrap_or_default()
    }

    /// Returns 1 - NMI of clusters and classes, normalized by the geometric mean of their entropies; 0 if
    /// there is one cluster and one class.
    fn unlikeness(&mut self, clusters: &[usize]) -> f64 {
        let (classes, count) = (self.classes, self.count);
        let cells = clusters.iter().zip(classes);
        let both = self.entropy(cells.map(|(&cluster, &class)| cluster * count + class));
        let clusters = self.entropy(clusters.iter().copied());
        let classes = self.entropy(classes.iter().copied());
        match (clusters > 0.0, classes > 0.0) {
            (true, true) => 1.0 - (clusters + classes - both) / (clusters * classes).sqrt(),
            (false, false) => 0.0,
            _ => 1.0,
        }
    }

    /// Returns the entropy of labels, one per image, each below the number of counters.
    fn entropy(&mut self, labels: impl Iterator<Item = usize> + Clone) -> f64 {
        for label in labels.clone() {
            self.counters[label] += 1;
        }
        let surprises = labels
            .clone()
            .map(|label| self.surprise[self.counters[label]]);
        let entropy = surprises.sum::<f64>() / self.classes.len() as f64;
        for label in labels {
            self.counters[label] = 0;
        }
        entropy
    }
}

/// Returns the indices of the labels that are `label`.
fn indices_of(label: usize, labels: &[usize]) -> Vec<usize> {
    (0..labels.len())
        .filter(|&index| labels[index] == label)
        .collect()
}

/// Returns the nearer one of two medoids, on a tie the one of the earlier cluster.
fn nearer(one: Nearest, other: Nearest) -> Nearest {
    let (earlier, later) = if one.cluster < other.cluster {
        (one, other)
    } else {
        (other, one)
    };
    if later.distance < earlier.distance {
        later
    } else {
        earlier
    }
}

/// Returns the image with the largest value, the first one on a tie.
fn first_largest(scored: impl Iterator<Item = (f64, usize)>) -> Option<usize> {
    scored
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, image)| image)
}

#[cfg(test)]
mod tests {
    use super::super::tests::is_empty_for;
    use super::*;

    #[test]
    fn clusters_are_like_classes_whatever_their_names() {
        let search = |classes| MedoidSearch::new(Vec::new(), classes, 2, 1.0);
        assert!(search(&[0, 0, 1, 1]).unlikeness(&[1, 1, 0, 0]).abs() < 1e-12);
        assert!((search(&[0, 0, 1, 1]).unlikeness(&[0, 1, 0, 1]) - 1.0).abs() < 1e-12);
        assert_eq!(search(&[0, 0, 1, 1]).unlikeness(&[0, 0, 0, 0]), 1.0);
        assert_eq!(search(&[0, 0, 0, 0]).unlikeness(&[0, 0, 0, 0]), 0.0);
    }

    #[test]
    fn a_batch_of_one_or_of_one_class_is_empty() {
        for refinement in [Refinement::Objective, Refinement::Pam] {
            let loss = Clustering {
                refinement,
                ..Clustering::default()
            };
            for labels in [[0].as_slice(), &[0, 1, 2], &[4, 4, 4]] {
                is_empty_for(&loss, labels);
            }
        }
    }
}
