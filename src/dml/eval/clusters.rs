//! How well clusters of the embeddings agree with the classes.
//!
//! Lloyd's k-means, initialized by k-means++, finds as many clusters as there are classes.
//!
//! - NMI: mutual information divided by the arithmetic mean of both entropies (scikit-learn since
//!   0.22).
//! - AMI: Vinh, Epps & Bailey, JMLR 2010, equation 24a.
//! - F1: over pairs of images that share a cluster and pairs that share a class (Song et al., "Deep
//!   Metric Learning via Lifted Structured Feature Embedding", CVPR 2016).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    embeddings::Embeddings, error::EvalError, neighbors::nearest_by_distance,
    resources::EvalResources, seeds::seeds, task::LabeledEmbeddings,
};

/// Largest number of rounds of k-means, as in pytorch-metric-learning.
const ROUNDS: usize = 20;

/// How well a clustering agrees with the classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Normalized mutual information.
    pub nmi: f64,
    /// Adjusted mutual information.
    pub ami: f64,
    /// Harmonic mean of precision and recall of pairs.
    pub f1: f64,
}

/// Clusters embeddings into as many clusters as they have classes and returns the cluster of each.
/// A cluster that loses all its images keeps its center.
///
/// # Errors
/// If it is stopped.
pub fn cluster(
    images: &LabeledEmbeddings,
    seed: u64,
    resources: EvalResources,
) -> Result<Vec<i64>, EvalError> {
    let classes = images.labels().iter().collect::<BTreeSet<_>>().len();
    k_means(images.rows(), classes, seed, resources)
}

/// Returns the cluster of each of these rows, of this number of clusters. A cluster that loses all its images keeps its
/// center.
///
/// # Errors
/// If it is stopped.
pub(crate) fn k_means(
    rows: &Embeddings,
    clusters: usize,
    seed: u64,
    resources: EvalResources,
) -> Result<Vec<i64>, EvalError> {
    let mut centers = seeds(rows, clusters, seed, resources)?;
    let mut assigned = Vec::new();
    for _ in 0..ROUNDS {
        let nearest = nearest_by_distance(rows, &centers, resources)?;
        let now: Vec<i64> = (0..rows.len())
            .map(|row| i64::from(nearest.of(row)[0]))
            .collect();
        if now == assigned {
            break;
        }
        assigned = now;
        centers = means(rows, &assigned, &centers);
    }
    Ok(assigned)
}

/// Returns the mean of the rows of each cluster; the previous center of an empty one.
fn means(rows: &Embeddings, assigned: &[i64], centers: &Embeddings) -> Embeddings {
    let width = rows.width();
    let mut sums = vec![0.0; centers.values().len()];
    let mut counts = vec![0.0; centers.len()];
    for (row, &cluster) in assigned.iter().enumerate() {
        let cluster = cluster as usize;
        counts[cluster] += 1.0;
        let sum = &mut sums[cluster * width..][..width];
        for (sum, value) in sum.iter_mut().zip(rows.row(row)) {
            *sum += f64::from(*value);
        }
    }
    let mut means = centers.values().to_vec();
    for (index, sum) in sums.iter().enumerate() {
        let count = counts[index / width];
        if count > 0.0 {
            means[index] = (sum / count) as f32;
        }
    }
    Embeddings::new(means, width).expect("means of finite rows are finite")
}

impl Agreement {
    /// Compares the classes of images with their clusters.
    ///
    /// # Panics
    /// If the lengths differ or there are no images.
    pub fn of(classes: &[i64], clusters: &[i64]) -> Agreement {
        assert_eq!(
            classes.len(),
            clusters.len(),
            "each image has a class and a cluster"
        );
        assert!(!classes.is_empty(), "there are images");
        let table = ContingencyTable::new(classes, clusters);
        let f1 = table.f1();
        if table.classes.len() == 1 && table.clusters.len() == 1 {
            return Agreement {
                nmi: 1.0,
                ami: 1.0,
                f1,
            };
        }
        let information = table.information();
        let mean_entropy = table
            .entropy(&table.classes)
            .midpoint(table.entropy(&table.clusters));
        Agreement {
            nmi: normalized(information, mean_entropy),
            ami: adjusted(information, mean_entropy, table.expected_information()),
            f1,
        }
    }
}

fn normalized(information: f64, mean_entropy: f64) -> f64 {
    if information <= f64::EPSILON {
        0.0
    } else {
        information / mean_entropy
    }
}

fn adjusted(information: f64, mean_entropy: f64, expected: f64) -> f64 {
    let largest = mean_entropy - expected;
    // As scikit-learn: away from zero, whose sign is kept.
    let largest = if largest < 0.0 {
        largest.min(-f64::EPSILON)
    } else {
        largest.max(f64::EPSILON)
    };
    (information - expected) / largest
}

/// Number of images by class, by cluster and by both.
struct ContingencyTable {
    images: f64,
    classes: BTreeMap<i64, u64>,
    clusters: BTreeMap<i64, u64>,
    both: BTreeMap<(i64, i64), u64>,
}

impl ContingencyTable {
    fn new(classes: &[i64], clusters: &[i64]) -> ContingencyTable {
        let mut table = ContingencyTable {
            images: classes.len() as f64,
            classes: BTreeMap::new(),
            clusters: BTreeMap::new(),
            both: BTreeMap::new(),
        };
        for (&class, &cluster) in classes.iter().zip(clusters) {
            *table.classes.entry(class).or_default() += 1;
            *table.clusters.entry(cluster).or_default() += 1;
            *table.both.entry((class, cluster)).or_default() += 1;
        }
        table
    }

    /// Returns the mutual information of classes and clusters.
    fn information(&self) -> f64 {
        let mut sum = 0.0;
        for ((class, cluster), &count) in &self.both {
            let alone = self.classes[class] as f64 * self.clusters[cluster] as f64;
            let count = count as f64;
            sum += count / self.images * (count * self.images / alone).ln();
        }
        sum.max(0.0)
    }

    fn entropy(&self, groups: &BTreeMap<i64, u64>) -> f64 {
        let mut sum = 0.0;
        for &size in groups.values() {
            let share = size as f64 / self.images;
            sum += share * share.ln();
        }
        -sum
    }

    /// Returns the mean information of random clusterings with classes and clusters of these sizes.
    fn expected_information(&self) -> f64 {
        let log_factorials = log_factorials(self.images as usize);
        let cluster_sizes = by_size(&self.clusters);
        let mut sum = 0.0;
        for (class, classes) in by_size(&self.classes) {
            for &(cluster, clusters) in &cluster_sizes {
                sum += classes * clusters * self.expected_of_pair(class, cluster, &log_factorials);
            }
        }
        sum
    }

    /// Returns the expected information from a class of `a` images and a cluster of `b`.
    fn expected_of_pair(&self, a: usize, b: usize, log_factorials: &[f64]) -> f64 {
        let images = self.images as usize;
        let smallest = (a + b).saturating_sub(images).max(1);
        let mut sum = 0.0;
        for both in smallest..=a.min(b) {
            let alone = a as f64 * b as f64;
            let information = both as f64 / self.images * (self.images * both as f64 / alone).ln();
            let above = log_factorials[a]
                + log_factorials[b]
                + log_factorials[images - a]
                + log_factorials[images - b];
            let below = log_factorials[images]
                + log_factorials[both]
                + log_factorials[a - both]
                + log_factorials[b - both]
                + log_factorials[images + both - a - b];
            sum += information * (above - below).exp();
        }
        sum
    }

    /// Returns F1 over pairs of images; 1 if no two images share a class or a cluster.
    fn f1(&self) -> f64 {
        let shared = pairs(self.both.values());
        let total = pairs(self.classes.values()) + pairs(self.clusters.values());
        if total == 0.0 {
            1.0
        } else {
            2.0 * shared / total
        }
    }
}

/// Returns the number of pairs within groups of these sizes.
fn pairs<'a>(sizes: impl Iterator<Item = &'a u64>) -> f64 {
    sizes.map(|size| (size * (size - 1) / 2) as f64).sum()
}

/// Returns the sizes of the groups with the number of groups of each size.
fn by_size(groups: &BTreeMap<i64, u64>) -> Vec<(usize, f64)> {
    let mut sizes = BTreeMap::<usize, f64>::new();
    for &size in groups.values() {
        *sizes.entry(size as usize).or_default() += 1.0;
    }
    sizes.into_iter().collect()
}

/// Returns ln 0!, ln 1!, .. ln `last`!, by Kahan summation.
fn log_factorials(last: usize) -> Vec<f64> {
    let mut sum = 0.0f64;
    let mut lost = 0.0f64;
    let mut logarithms = vec![0.0];
    for number in 1..=last {
        let term = (number as f64).ln() - lost;
        let next = sum + term;
        lost = (next - sum) - term;
        sum = next;
        logarithms.push(sum);
    }
    logarithms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        eval::Comparison,
        random::{Draws, Purpose},
        testing::{golden, integers},
    };

    #[test]
    fn agreement_is_that_of_the_reference() {
        let golden = golden(include_str!("testdata/agreement.json"));
        for case in golden["cases"].as_array().unwrap() {
            let found = Agreement::of(&integers(&case["classes"]), &integers(&case["clusters"]));
            for (value, name) in [(found.nmi, "nmi"), (found.ami, "ami"), (found.f1, "f1")] {
                let expected = case[name].as_f64().unwrap();
                assert!(
                    (value - expected).abs() < 1e-9,
                    "{} {name}: {value}, not {expected}",
                    case["name"]
                );
            }
        }
    }

    #[test]
    fn well_separated_clusters_are_found_with_any_number_of_threads() {
        let mut draws = Draws::new(3, Purpose::Weights, 0, 0);
        let labels: Vec<i64> = (0..300).map(|image| image % 6).collect();
        let value = |image: usize, column: usize| if image % 6 == column { 1.0 } else { 0.0 };
        let places = (0..300).flat_map(|image| (0..6).map(move |column| (image, column)));
        let values = places
            .map(|(image, column)| (value(image, column) + 0.01 * draws.normal()) as f32)
            .collect();
        let images = LabeledEmbeddings::new(
            Embeddings::new(values, 6).unwrap(),
            labels,
            Comparison::Cosine,
        )
        .unwrap();
        let clusters = cluster(&images, 0, EvalResources::default()).unwrap();
        let agreement = Agreement::of(images.labels(), &clusters);
        assert!(
            agreement.nmi > 0.999 && agreement.ami > 0.999 && agreement.f1 > 0.999,
            "{agreement:?}"
        );
        let one = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        assert_eq!(
            one.install(|| cluster(
                &images,
                0,
                EvalResources {
                    budget: 0,
                    ..EvalResources::default()
                }
            )),
            Ok(clusters)
        );
    }

    #[test]
    fn equal_embeddings_make_one_cluster() {
        let images = LabeledEmbeddings::new(
            Embeddings::new(vec![1.0; 40], 4).unwrap(),
            (0..10).map(|i| i / 5).collect(),
            Comparison::Cosine,
        )
        .unwrap();
        let agreement = Agreement::of(
            images.labels(),
            &cluster(&images, 1, EvalResources::default()).unwrap(),
        );
        assert_eq!((agreement.nmi, agreement.ami), (0.0, 0.0));
    }
}
