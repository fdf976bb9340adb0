//! Where the classes of the training set lie, as a pass over its images found it.
//!
//! A survey keeps the mean embedding and the mean squared length of each class, `C (d + 1)` numbers. All mean squared
//! distances follow from them, `E|x - y|^2 = E|x|^2 + E|y|^2 - 2 E x . E y`, so that no matrix of classes is kept: one
//! row of it is computed at a time, and of each row only the nearest classes and one step of the tree of classes stay.
//!
//! Losses get a survey by [`LossInput::survey`](crate::loss::LossInput), samplers by
//! [`BatchSampler::surveyed`](crate::sampler::BatchSampler::surveyed).

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::{
    download::numbers,
    spanning_tree::SpanningTree,
    state::{State, StateError, copy, overwrite},
};

/// What a pass over the training images found.
#[derive(Debug)]
pub struct ClassSurvey {
    means: ClassMeans,
    tree: SpanningTree,
    /// For each class the others, the nearest first.
    nearest: Arc<[Vec<usize>]>,
}

impl ClassSurvey {
    /// Returns the survey of `embeddings` `[n, d]` with `labels` `[n]`. Labels are 0 to C - 1, and each class has an image.
    /// The survey keeps the `near` nearest others of each class.
    pub fn new(embeddings: &Tensor, labels: &[i64], classes: usize, near: usize) -> ClassSurvey {
        ClassSurvey::of(ClassMeans::new(embeddings, labels, classes), near)
    }

    fn of(means: ClassMeans, near: usize) -> ClassSurvey {
        let mut nearest = vec![Vec::new(); means.classes()];
        let tree = SpanningTree::new(means.classes(), |class| {
            let row = means.distances_from(class);
            nearest[class] = nearest_in(&row, class, near);
            row
        });
        ClassSurvey {
            means,
            tree,
            nearest: nearest.into(),
        }
    }

    /// Returns the nearest other classes of each class, the nearest first; of equals the first is nearer.
    pub fn nearest(&self) -> &Arc<[Vec<usize>]> {
        &self.nearest
    }

    /// Returns the mean squared distance between two different images of a class; 0 if it has only one.
    pub fn spread(&self, class: usize) -> f64 {
        self.means.within[class]
    }

    /// Returns the mean of the spreads of the classes with several images; 0 if there are none.
    pub fn mean_spread(&self) -> f64 {
        let several = self.means.sizes.iter().zip(&self.means.within);
        let spreads: Vec<f64> = several
            .filter(|(size, _)| **size > 1.0)
            .map(|(_, spread)| *spread)
            .collect();
        spreads.iter().sum::<f64>() / spreads.len().max(1) as f64
    }

    /// Returns for each two of these classes the height at which the tree joins them: the largest step on the way from
    /// one to the other, by way of any class of the training set. 0 for a class and itself.
    pub fn heights(&self, classes: &[usize]) -> Vec<Vec<f64>> {
        self.tree.heights(classes)
    }

    /// Returns what [`restored`](Self::restored) needs.
    pub fn state(&self) -> State {
        self.means.state()
    }

    /// Returns the survey with this state, of `classes` classes of embeddings of width `width`. See [`new`](Self::new) for
    /// `near`.
    ///
    /// # Errors
    /// If the state is not that of such a survey.
    pub fn restored(
        state: &State,
        classes: usize,
        width: i64,
        near: usize,
    ) -> Result<ClassSurvey, StateError> {
        Ok(ClassSurvey::of(
            ClassMeans::restored(state, classes, width)?,
            near,
        ))
    }
}

/// Returns the `count` classes with the smallest distances, without `class`.
fn nearest_in(distances: &[f64], class: usize, count: usize) -> Vec<usize> {
    let mut others: Vec<usize> = (0..distances.len())
        .filter(|&other| other != class)
        .collect();
    let nearer = |one: &usize, other: &usize| {
        distances[*one]
            .total_cmp(&distances[*other])
            .then(one.cmp(other))
    };
    if count < others.len() {
        others.select_nth_unstable_by(count, nearer);
        others.truncate(count);
    }
    others.sort_unstable_by(nearer);
    others
}

/// Sums over the images of each class, from which all mean squared distances follow.
#[derive(Debug)]
struct ClassMeans {
    /// `[C]`: images of each class.
    sizes: Vec<f64>,
    /// `[C, d]`, in double precision on the host.
    means: Tensor,
    /// `[C]`: mean squared length of the embeddings.
    lengths: Vec<f64>,
    /// `[C]`: mean squared distance of two images of the class, 0 if there is only one.
    within: Vec<f64>,
}

impl ClassMeans {
    fn new(embeddings: &Tensor, labels: &[i64], classes: usize) -> ClassMeans {
        let embeddings = embeddings.to_device(Device::Cpu).to_kind(Kind::Double);
        let labels = Tensor::from_slice(labels);
        let count = classes as i64;
        let options = (Kind::Double, Device::Cpu);
        let sizes = labels.bincount(None::<Tensor>, count).to_kind(Kind::Double);
        let sums = Tensor::zeros([count, embeddings.size()[1]], options);
        let means = sums.index_add(0, &labels, &embeddings) / sizes.unsqueeze(1);
        let squares = embeddings
            .square()
            .sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
        let lengths = Tensor::zeros([count], options).index_add(0, &labels, &squares) / &sizes;
        ClassMeans::of(&sizes, means, &lengths)
    }

    fn of(sizes: &Tensor, means: Tensor, lengths: &Tensor) -> ClassMeans {
        // Of different images only: an image is no distance from itself.
        let others = sizes / (sizes - 1.0).clamp_min(1.0);
        let own = means
            .square()
            .sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
        let within = ((lengths - own) * 2.0 * others).clamp_min(0.0);
        ClassMeans {
            sizes: numbers(sizes),
            lengths: numbers(lengths),
            within: numbers(&within),
            means,
        }
    }

    fn classes(&self) -> usize {
        self.sizes.len()
    }

    /// Returns the mean squared distance of the images of each class from those of one class: `[C]`.
    fn distances_from(&self, class: usize) -> Vec<f64> {
        let products = numbers(&self.means.mv(&self.means.get(class as i64)));
        let lengths = self.lengths.iter().zip(products);
        lengths
            .map(|(length, product)| length + self.lengths[class] - 2.0 * product)
            .collect()
    }

    fn state(&self) -> State {
        vec![
            copy("sizes", &Tensor::from_slice(&self.sizes)),
            copy("means", &self.means),
            copy("lengths", &Tensor::from_slice(&self.lengths)),
        ]
    }

    fn restored(state: &State, classes: usize, width: i64) -> Result<ClassMeans, StateError> {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (Kind::Double, Device::Cpu));
        let classes = classes as i64;
        let mut sizes = zeros(&[classes]);
        let mut means = zeros(&[classes, width]);
        let mut lengths = zeros(&[classes]);
        let targets = &mut [
            ("sizes", &mut sizes),
            ("means", &mut means),
            ("lengths", &mut lengths),
        ];
        overwrite(targets, state)?;
        Ok(ClassMeans::of(&sizes, means, &lengths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{noise, rows};

    /// 40 embeddings of 7 classes; the last class has one image.
    fn survey(near: usize) -> (ClassSurvey, Vec<Vec<f64>>, Vec<i64>) {
        let embeddings = noise(5, 40, 6);
        let labels: Vec<i64> = (0..40)
            .map(|image| if image == 39 { 6 } else { image % 6 })
            .collect();
        let survey = ClassSurvey::new(&embeddings, &labels, 7, near);
        (survey, rows(&embeddings), labels)
    }

    /// Mean squared distances of all pairs of different images, as a loop.
    fn between(rows: &[Vec<f64>], labels: &[i64]) -> Vec<Vec<f64>> {
        let mut sums = vec![vec![(0.0, 0.0); 7]; 7];
        for (one, a) in rows.iter().enumerate() {
            for (other, b) in rows.iter().enumerate().filter(|(other, _)| *other != one) {
                let squared: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
                let (sum, count) = &mut sums[labels[one] as usize][labels[other] as usize];
                *sum += squared;
                *count += 1.0;
            }
        }
        let mean = |(sum, count): &(f64, f64)| sum / f64::max(*count, 1.0);
        sums.iter()
            .map(|row| row.iter().map(mean).collect())
            .collect()
    }

    fn is_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    #[test]
    fn distances_and_spreads_are_the_means_over_all_pairs_of_images() {
        let (survey, rows, labels) = survey(3);
        let expected = between(&rows, &labels);
        for (class, expected) in expected.iter().enumerate() {
            let found = survey.means.distances_from(class);
            for other in (0..7).filter(|&other| other != class) {
                is_near(found[other], expected[other]);
            }
            is_near(survey.spread(class), expected[class]);
        }
        let mean = (0..6).map(|class| expected[class][class]).sum::<f64>() / 6.0;
        is_near(survey.mean_spread(), mean);
    }

    #[test]
    fn the_nearest_classes_come_first() {
        let (survey, rows, labels) = survey(4);
        let expected = between(&rows, &labels);
        for (class, nearest) in survey.nearest().iter().enumerate() {
            let mut others: Vec<usize> = (0..7).filter(|&other| other != class).collect();
            others.sort_by(|a, b| expected[class][*a].total_cmp(&expected[class][*b]));
            assert_eq!(nearest, &others[..4]);
        }
    }

    #[test]
    fn a_height_is_the_largest_step_of_the_best_way_even_by_classes_that_are_not_asked_for() {
        let (survey, rows, labels) = survey(1);
        let mut expected = between(&rows, &labels);
        for by in 0..7 {
            for one in 0..7 {
                for other in 0..7 {
                    let around = expected[one][by].max(expected[by][other]);
                    expected[one][other] = expected[one][other].min(around);
                }
            }
        }
        let all = survey.heights(&[0, 1, 2, 3, 4, 5, 6]);
        let some = survey.heights(&[5, 1, 3]);
        for (place, one) in [5usize, 1, 3].into_iter().enumerate() {
            for (other_place, other) in [5usize, 1, 3].into_iter().enumerate() {
                let height = if one == other {
                    0.0
                } else {
                    expected[one][other]
                };
                is_near(all[one][other], height);
                is_near(some[place][other_place], height);
            }
        }
    }

    #[test]
    fn heights_never_fall_when_classes_are_left_out() {
        let (whole, rows, labels) = survey(1);
        let kept: Vec<usize> = (0..40).filter(|&image| labels[image] % 2 == 0).collect();
        let flat: Vec<f64> = kept.iter().flat_map(|&image| rows[image].clone()).collect();
        let embeddings = Tensor::from_slice(&flat).view([kept.len() as i64, 6]);
        let of_kept: Vec<i64> = kept.iter().map(|&image| labels[image] / 2).collect();
        let part = ClassSurvey::new(&embeddings, &of_kept, 4, 1).heights(&[0, 1, 2, 3]);
        let whole = whole.heights(&[0, 2, 4, 6]);
        let mut higher = 0;
        for (part, whole) in part.iter().flatten().zip(whole.iter().flatten()) {
            assert!(part >= &(whole - 1e-12));
            higher += usize::from(*part > whole + 1e-12);
        }
        assert!(higher > 0);
    }

    #[test]
    fn a_survey_is_restored_to_the_same_bits() {
        let (survey, ..) = survey(2);
        let restored = ClassSurvey::restored(&survey.state(), 7, 6, 2).unwrap();
        assert_eq!(restored.nearest(), survey.nearest());
        let all = [0, 1, 2, 3, 4, 5, 6];
        assert_eq!(restored.heights(&all), survey.heights(&all));
        assert_eq!(restored.mean_spread(), survey.mean_spread());
        assert!(ClassSurvey::restored(&survey.state(), 8, 6, 2).is_err());
    }

    #[test]
    fn a_survey_of_one_class_has_no_neighbours() {
        let survey = ClassSurvey::new(&noise(1, 3, 2), &[0, 0, 0], 1, 5);
        assert_eq!(survey.nearest()[..], [Vec::<usize>::new()]);
        assert_eq!(survey.heights(&[0]), [[0.0]]);
    }
}
