//! How well clusters of the embeddings agree with the classes.
//!
//! Lloyd's k-means, which begins with k-means++, finds as many clusters as there are classes. Mutual information is
//! normalised by the arithmetic mean of both entropies, as scikit-learn does since 0.22. AMI: Vinh, Epps & Bailey, JMLR 2010, equation 24a. F1: of the pairs of images that share a cluster and
//! those that share a class, as in Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding", 2016.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Comparison, Labelled, Resources, Rows, neighbours::among, retrieval::Itself, seeds::seeds,
};

/// Rounds of k-means at most; pytorch-metric-learning's do as many.
const ROUNDS: usize = 20;

/// How well a clustering agrees with the classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Normalised mutual information, by the arithmetic mean of the entropies.
    pub nmi: f64,
    /// Adjusted mutual information, likewise.
    pub ami: f64,
    /// The harmonic mean of precision and recall of pairs.
    pub f1: f64,
}

/// Clusters embeddings as they are compared into as many clusters as they have classes; the number of each one's.
/// A cluster that loses all its images keeps its centre.
pub fn cluster(images: &Labelled, seed: u64, resources: Resources) -> Vec<i64> {
    let classes = images.labels().iter().collect::<BTreeSet<_>>().len();
    k_means(images.rows(), classes, seed, resources)
}

fn k_means(rows: &Rows, clusters: usize, seed: u64, resources: Resources) -> Vec<i64> {
    let mut centres = seeds(rows, clusters, seed, resources);
    let mut assigned = Vec::new();
    for _ in 0..ROUNDS {
        let nearest = among(
            (rows, &centres),
            Comparison::Euclidean,
            Itself::Nowhere,
            1,
            resources,
        );
        let now: Vec<i64> = (0..rows.len())
            .map(|row| i64::from(nearest.of(row)[0]))
            .collect();
        if now == assigned {
            break;
        }
        assigned = now;
        centres = means(rows, &assigned, &centres);
    }
    assigned
}

fn means(rows: &Rows, assigned: &[i64], centres: &Rows) -> Rows {
    let width = rows.width();
    let (mut sums, mut counts) = (vec![0.0; centres.values().len()], vec![0.0; centres.len()]);
    for (row, &cluster) in assigned.iter().enumerate() {
        let cluster = cluster as usize;
        counts[cluster] += 1.0;
        let sum = &mut sums[cluster * width..][..width];
        sum.iter_mut()
            .zip(rows.row(row))
            .for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let value = |(place, sum): (usize, &f64)| match counts[place / width] {
        0.0 => centres.values()[place],
        count => (sum / count) as f32,
    };
    Rows::new(sums.iter().enumerate().map(value).collect(), width)
        .expect("means of finite rows are finite")
}

impl Agreement {
    /// Compares the classes of some images with their clusters.
    ///
    /// # Panics
    /// If there are not as many of both, or none.
    pub fn of(classes: &[i64], clusters: &[i64]) -> Agreement {
        assert_eq!(
            classes.len(),
            clusters.len(),
            "each image has a class and a cluster"
        );
        assert!(!classes.is_empty(), "there are images");
        let table = Table::new(classes, clusters);
        let (information, [of_classes, of_clusters]) = (table.information(), table.entropies());
        let mean = of_classes.midpoint(of_clusters);
        if table.classes.len() == 1 && table.clusters.len() == 1 {
            return Agreement {
                nmi: 1.0,
                ami: 1.0,
                f1: table.f1(),
            };
        }
        let expected = table.expected_information();
        let (gain, most) = (information - expected, mean - expected);
        let most = if most < 0.0 {
            most.min(-f64::EPSILON)
        } else {
            most.max(f64::EPSILON)
        };
        let nmi = if information <= f64::EPSILON {
            0.0
        } else {
            information / mean
        };
        Agreement {
            nmi,
            ami: gain / most,
            f1: table.f1(),
        }
    }
}

/// How many images each class and each cluster has, and both together.
struct Table {
    images: f64,
    classes: BTreeMap<i64, u64>,
    clusters: BTreeMap<i64, u64>,
    both: BTreeMap<(i64, i64), u64>,
}

impl Table {
    fn new(classes: &[i64], clusters: &[i64]) -> Table {
        let mut table = Table {
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

    fn information(&self) -> f64 {
        let term = |((class, cluster), &count): (&(i64, i64), &u64)| {
            let alone = self.classes[class] as f64 * self.clusters[cluster] as f64;
            count as f64 / self.images * (count as f64 * self.images / alone).ln()
        };
        self.both.iter().map(term).sum::<f64>().max(0.0)
    }

    fn entropies(&self) -> [f64; 2] {
        [&self.classes, &self.clusters].map(|sizes| {
            let share = |size: &u64| *size as f64 / self.images;
            -sizes
                .values()
                .map(|size| share(size) * share(size).ln())
                .sum::<f64>()
        })
    }

    /// The mean information of clusterings at random with clusters and classes of these sizes.
    fn expected_information(&self) -> f64 {
        let factorials = log_factorials(self.images as usize);
        let images = self.images as usize;
        let of_pair = |a: usize, b: usize| {
            let smallest = (a + b).saturating_sub(images).max(1);
            let term = |both: usize| {
                let information = both as f64 / self.images
                    * (self.images * both as f64 / (a as f64 * b as f64)).ln();
                let above =
                    factorials[a] + factorials[b] + factorials[images - a] + factorials[images - b];
                let below = factorials[images]
                    + factorials[both]
                    + factorials[a - both]
                    + factorials[b - both]
                    + factorials[images + both - a - b];
                information * (above - below).exp()
            };
            (smallest..=a.min(b)).map(term).sum::<f64>()
        };
        let (classes, clusters) = (by_size(&self.classes), by_size(&self.clusters));
        let pairs = classes
            .iter()
            .flat_map(|class| clusters.iter().map(move |cluster| (class, cluster)));
        pairs
            .map(|((a, many), (b, times))| many * times * of_pair(*a, *b))
            .sum()
    }

    fn f1(&self) -> f64 {
        let pairs = |count: &u64| (count * (count - 1) / 2) as f64;
        let (shared, of_classes) = (
            self.both.values().map(pairs).sum::<f64>(),
            self.classes.values().map(pairs).sum::<f64>(),
        );
        let total = of_classes + self.clusters.values().map(pairs).sum::<f64>();
        if total == 0.0 {
            1.0
        } else {
            2.0 * shared / total
        }
    }
}

/// How many groups there are of each size.
fn by_size(groups: &BTreeMap<i64, u64>) -> Vec<(usize, f64)> {
    let mut sizes = BTreeMap::<usize, f64>::new();
    groups
        .values()
        .for_each(|&size| *sizes.entry(size as usize).or_default() += 1.0);
    sizes.into_iter().collect()
}

/// The logarithms of 0!, 1!, .. `last`!, summed with what rounding loses (Kahan).
fn log_factorials(last: usize) -> Vec<f64> {
    let (mut sum, mut lost) = (0.0f64, 0.0f64);
    let mut logarithms = vec![0.0];
    logarithms.extend((1..=last).map(|number| {
        let term = (number as f64).ln() - lost;
        let next = sum + term;
        lost = (next - sum) - term;
        sum = next;
        sum
    }));
    logarithms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        random::{Draws, Purpose},
        testing::{golden, whole},
    };

    #[test]
    fn agreement_is_that_of_the_reference() {
        let golden = golden(include_str!("testdata/agreement.json"));
        for case in golden["cases"].as_array().unwrap() {
            let found = Agreement::of(&whole(&case["classes"]), &whole(&case["clusters"]));
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
    fn clusters_that_lie_apart_are_found_whatever_the_number_of_threads() {
        let mut draws = Draws::new(3, Purpose::Weights, 0, 0);
        let labels: Vec<i64> = (0..300).map(|image| image % 6).collect();
        let value = |image: usize, column: usize| if image % 6 == column { 1.0 } else { 0.0 };
        let places = (0..300).flat_map(|image| (0..6).map(move |column| (image, column)));
        let values = places
            .map(|(image, column)| (value(image, column) + 0.01 * draws.normal()) as f32)
            .collect();
        let images =
            Labelled::new(Rows::new(values, 6).unwrap(), labels, Comparison::Cosine).unwrap();
        let clusters = cluster(&images, 0, Resources::default());
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
                Resources {
                    budget: 0,
                    ..Resources::default()
                }
            )),
            clusters
        );
    }

    #[test]
    fn equal_embeddings_make_one_cluster() {
        let images = Labelled::new(
            Rows::new(vec![1.0; 40], 4).unwrap(),
            (0..10).map(|i| i / 5).collect(),
            Comparison::Cosine,
        )
        .unwrap();
        let agreement = Agreement::of(images.labels(), &cluster(&images, 1, Resources::default()));
        assert_eq!((agreement.nmi, agreement.ami), (0.0, 0.0));
    }
}
