//! Hierarchical triplet loss. Ge et al., ECCV 2018.
//!
//! Terms: one per triplet, `max(0, d(a,p) - d(a,n) + margin(a,n)) / 2`, reduced to the mean. The margin is
//! `margin + level(a,n) - spread(a)`: `spread` is the mean squared distance within the anchor's class, and `level` the
//! threshold at which a tree of classes joins both classes. Thresholds go in `levels` steps from the mean spread to 4,
//! the largest squared distance; two classes are joined once the mean squared distance between them is not above it,
//! directly or by way of other classes. No gradient flows through margins. With `tree = "survey"` the tree is that of all
//! training images at the latest survey, as in the paper; before the first survey the margin is `first_margin`. With
//! `tree = "batch"` it is that of the references, batch or memory, at each step: without the other classes no two
//! classes are joined earlier, so that margins are larger.
//! Reference: the formula; no program was compared. Differs: whether the paper's distances are squared, and whether its
//! merged classes are compared by their nearest members, is read from the range of its thresholds. Its choice of
//! similar classes for a batch is the sampler `anchor_neighbor`.

use schema::{HierarchicalTriplet, TreeOf};
use tch::{Kind, Tensor};

use super::{Loss, LossInput};
use crate::{
    distance::DistanceExt,
    download::numbers,
    reduce::{Part, Terms},
    spanning_tree::SpanningTree,
    survey::ClassSurvey,
    tuples::host_labels::numbered,
    tuples::{MarkedTriplets, Triplets, at},
    upload::{Parcel, integers},
};

/// The classes of the references, 0 to C - 1, in a tree.
struct ClassTree {
    /// `[m]`: the class of each reference.
    of_references: Vec<i64>,
    /// `[C][C]`: heights at which two classes are joined.
    heights: Vec<Vec<f64>>,
    /// `[C]`: mean squared distance within each class.
    spreads: Vec<f64>,
    /// The mean spread of classes of two and more.
    mean_spread: f64,
}

/// The margins of triplets.
enum Margins {
    /// One for all.
    Same(f64),
    OfClasses {
        /// `[C, C]`: the margin for an anchor of one class and a negative of another.
        table: Tensor,
        /// `[m]`: the class of each reference.
        of_references: Tensor,
    },
}

impl Loss for HierarchicalTriplet {
    fn terms(&self, batch: &LossInput) -> Terms {
        if let Some(triplets) = batch.marked_triplets_on_gpu() {
            return terms_of_marked(self, batch, triplets);
        }
        let distances = batch.distances();
        let triplets = batch.triplets();
        if triplets.anchor.numel() == 0 {
            return Terms::default();
        }
        let margins = Margins::new(self, batch).of(&triplets);
        let positive = at(&distances, &triplets.anchor, &triplets.positive);
        let negative = at(&distances, &triplets.anchor, &triplets.negative);
        let violation = batch.distance.excess(&positive, &negative) + margins;
        Terms::of([Part::of_tuples(violation.relu() / 2.0, &triplets.anchor)])
    }
}

/// Returns the same terms as of a list of these triplets.
fn terms_of_marked(
    settings: &HierarchicalTriplet,
    batch: &LossInput,
    triplets: MarkedTriplets,
) -> Terms {
    if triplets.anchor.numel() == 0 {
        return Terms::default();
    }
    let distances = batch.distances();
    let margins = Margins::new(settings, batch).of_marked(&triplets);
    let positive = at(&distances, &triplets.anchor, &triplets.positive).unsqueeze(1);
    let all = distances.index(&[Some(&triplets.anchor)]);
    let violation = batch.distance.excess(&positive, &all) + margins;
    let values = violation.relu() / 2.0;
    let part = Part::of_marked_rows(&values, triplets.negatives, &triplets.anchor);
    Terms::of([part])
}

impl Margins {
    fn new(settings: &HierarchicalTriplet, batch: &LossInput) -> Margins {
        let labels = &batch.references.host_labels(batch.labels).references;
        let classes = match (settings.tree, batch.survey) {
            (TreeOf::Batch, _) => ClassTree::of(&batch.references.embeddings, labels),
            (TreeOf::Survey, Some(survey)) => ClassTree::surveyed(survey, labels),
            (TreeOf::Survey, None) => return Margins::Same(settings.first_margin),
        };
        let table = margins_of_classes(settings, &classes).to_kind(batch.embeddings.kind());
        let of_references = Tensor::from_slice(&classes.of_references);
        let parcel = Parcel::packed([table, of_references], batch.embeddings.device());
        let [table, of_references] = parcel.sent();
        Margins::OfClasses {
            table,
            of_references,
        }
    }

    /// Returns the margin of each triplet, `[t]`, or one for all.
    fn of(&self, triplets: &Triplets) -> Tensor {
        match self {
            Margins::Same(margin) => Tensor::from(*margin),
            Margins::OfClasses {
                table,
                of_references,
            } => {
                let own = of_references.index(&[Some(&triplets.positive)]);
                let other = of_references.index(&[Some(&triplets.negative)]);
                at(table, &own, &other)
            }
        }
    }

    /// Returns the margin of each positive pair and each reference, `[p, m]`, or one for all.
    fn of_marked(&self, triplets: &MarkedTriplets) -> Tensor {
        match self {
            Margins::Same(margin) => Tensor::from(*margin),
            Margins::OfClasses {
                table,
                of_references,
            } => {
                let own = of_references.index(&[Some(&triplets.positive)]);
                table.index_select(0, &own).index_select(1, of_references)
            }
        }
    }
}

/// Returns the margin for an anchor of one class and a negative of another: `[C, C]`.
fn margins_of_classes(settings: &HierarchicalTriplet, classes: &ClassTree) -> Tensor {
    let levels = f64::from(settings.levels);
    let mut margins = Vec::new();
    for (row, spread) in classes.heights.iter().zip(&classes.spreads) {
        for &height in row {
            margins.push(settings.margin + level(height, classes.mean_spread, levels) - spread);
        }
    }
    let count = classes.spreads.len() as i64;
    Tensor::from_slice(&margins).view([count, count])
}

/// Returns the lowest of the `levels` thresholds between `spread` and 4 that is not below `height`.
fn level(height: f64, spread: f64, levels: f64) -> f64 {
    let step = (4.0 - spread) / levels;
    if step <= 0.0 {
        return spread;
    }
    let count = ((height - spread) / step).ceil();
    spread + step * count.clamp(0.0, levels)
}

impl ClassTree {
    /// Mean squared distances follow from sums over classes: no matrix of references is needed.
    fn of(embeddings: &Tensor, labels: &[i64]) -> ClassTree {
        let (values, of_references) = numbered(labels);
        let count = values.len();
        let classes = integers(&of_references, embeddings.device());
        let members = classes.one_hot(count as i64).to_kind(Kind::Double);
        let embeddings = embeddings.detach().to_kind(Kind::Double);
        let sizes = members
            .sum_dim_intlist([0i64].as_slice(), false, None::<Kind>)
            .unsqueeze(1);
        let means = members.tr().matmul(&embeddings) / &sizes;
        let lengths = embeddings
            .square()
            .sum_dim_intlist([1i64].as_slice(), true, None::<Kind>);
        let lengths = members.tr().matmul(&lengths) / &sizes;
        let between = &lengths + lengths.tr() - means.matmul(&means.tr()) * 2.0;
        // Within a class images are not compared with themselves.
        let within = between.diagonal(0, 0, 1) * sizes.squeeze_dim(1)
            / (sizes.squeeze_dim(1) - 1.0).clamp_min(1.0);
        let within = within.clamp_min(0.0);
        let distances = between.diagonal_scatter(&within, 0, 0, 1);
        let several = sizes.squeeze_dim(1).gt(1.0);
        let spread = (&within * &several).sum(None::<Kind>) / several.sum(Kind::Int64).clamp_min(1);
        // The spread comes last, so that one download brings all.
        let mut numbers = numbers(&Tensor::cat(&[distances.flatten(0, 1), spread.view(1)], 0));
        let mean_spread = numbers.pop().unwrap_or_default();
        let distances: Vec<Vec<f64>> = numbers.chunks(count).map(<[f64]>::to_vec).collect();
        ClassTree {
            of_references,
            heights: joined(&distances),
            spreads: (0..count).map(|class| distances[class][class]).collect(),
            mean_spread,
        }
    }

    /// Returns the classes of these labels, as the survey found them.
    fn surveyed(survey: &ClassSurvey, labels: &[i64]) -> ClassTree {
        let (values, of_references) = numbered(labels);
        let classes: Vec<usize> = values.into_iter().map(|class| class as usize).collect();
        ClassTree {
            of_references,
            heights: survey.heights(&classes),
            spreads: classes.iter().map(|&class| survey.spread(class)).collect(),
            mean_spread: survey.mean_spread(),
        }
    }
}

/// Returns the height at which each two classes are joined.
fn joined(distances: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let from = |class: usize| distances.iter().map(|row| row[class]).collect();
    let all: Vec<usize> = (0..distances.len()).collect();
    SpanningTree::new(all.len(), from).heights(&all)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{INIT, batch, is_empty_for, of_all_pairs, settings};
    use super::*;
    use crate::{
        distance::normalize,
        loss,
        testing::{assert_close, golden, gradient, integers, tensor},
        tuples::References,
    };

    #[test]
    fn classes_are_joined_by_way_of_others() {
        let distances = [
            [0.0, 1.0, 5.0, 9.0],
            [1.0, 0.0, 2.0, 8.0],
            [5.0, 2.0, 0.0, 7.0],
            [9.0, 8.0, 7.0, 0.0],
        ];
        let heights = joined(&distances.map(|row| row.to_vec()));
        let expected = [
            [0.0, 1.0, 2.0, 7.0],
            [1.0, 0.0, 2.0, 7.0],
            [2.0, 2.0, 0.0, 7.0],
            [7.0, 7.0, 7.0, 0.0],
        ];
        assert_eq!(heights, expected);
    }

    #[test]
    fn it_is_the_sum_over_triplets_written_as_a_loop() {
        let loss = HierarchicalTriplet::default();
        let (_, distances, labels) = batch(loss.distance());
        let mean = |one: i64, other: i64| {
            let pairs = (0..12).flat_map(|a| (0..12).map(move |b| (a, b)));
            let pairs = pairs.filter(|&(a, b)| a != b && labels[a] == one && labels[b] == other);
            let terms: Vec<f64> = pairs.map(|(a, b)| distances[a][b]).collect();
            terms.iter().sum::<f64>() / terms.len() as f64
        };
        let between = (0..4)
            .map(|one| (0..4).map(|other| mean(one, other)).collect())
            .collect::<Vec<Vec<f64>>>();
        let mut height = between.clone();
        for by in 0..4 {
            for (one, other) in (0..4).flat_map(|one| (0..4).map(move |other| (one, other))) {
                height[one][other] = height[one][other].min(height[one][by].max(height[by][other]));
            }
        }
        let spread = (0..4).map(|class| between[class][class]).sum::<f64>() / 4.0;
        let level = |one: usize, other: usize| {
            let levels = (0..=16).map(|step| spread + (4.0 - spread) / 16.0 * f64::from(step));
            levels
                .into_iter()
                .find(|&level| level >= height[one][other])
                .unwrap()
        };
        let (mut sum, mut count) = (0.0, 0);
        for (a, p) in (0..12)
            .flat_map(|a| (0..12).map(move |p| (a, p)))
            .filter(|&(a, p)| a != p && labels[a] == labels[p])
        {
            for n in (0..12).filter(|&n| labels[a] != labels[n]) {
                let (one, other) = (labels[a] as usize, labels[n] as usize);
                let margin = 0.1 + level(one, other) - between[one][one];
                sum += (distances[a][p] - distances[a][n] + margin).max(0.0) / 2.0;
                count += 1;
            }
        }
        assert!((of_all_pairs(&loss) - sum / f64::from(count)).abs() < 1e-12);
    }

    /// Returns the loss of the embeddings of a golden file, normalized.
    fn surveyed(
        case: &serde_json::Value,
        raw: &Tensor,
        labels: &Tensor,
        survey: Option<&ClassSurvey>,
    ) -> Tensor {
        let loss =
            loss::build(&settings("hierarchical_triplet", &case["settings"]), &INIT).unwrap();
        let embeddings = normalize(raw);
        let references = References::batch(&embeddings, labels);
        let batch = LossInput {
            survey,
            ..LossInput::with(&embeddings, labels, &references, &*loss)
        };
        batch.cost(&*loss, loss.reduction()).value
    }

    #[test]
    fn the_tree_of_a_survey_gives_the_values_and_gradients_of_the_reference() {
        let golden = golden(include_str!("testdata/hierarchical_triplet_survey.json"));
        let training = normalize(&tensor(&golden["training"]));
        let survey = ClassSurvey::new(&training, &integers(&golden["training_labels"]), 9, 0);
        let labels = Tensor::from_slice(&integers(&golden["labels"]));
        for case in golden["cases"].as_array().unwrap() {
            let what = case["settings"].to_string();
            let raw = tensor(&golden["embeddings"]).set_requires_grad(true);
            let found = surveyed(case, &raw, &labels, Some(&survey));
            assert_close(&found, &tensor(&case["value"]), 1e-10, &what);
            assert_close(
                &gradient(&found, &raw),
                &tensor(&case["gradient"]),
                1e-10,
                &what,
            );
        }
    }

    #[test]
    fn before_the_first_survey_it_is_half_a_triplet_loss() {
        let golden = golden(include_str!("testdata/hierarchical_triplet_survey.json"));
        let raw = tensor(&golden["embeddings"]);
        let labels = Tensor::from_slice(&integers(&golden["labels"]));
        let found = surveyed(&golden["cases"][0], &raw, &labels, None);
        let triplet = schema::Triplet {
            margin: 0.2,
            ..schema::Triplet::default()
        };
        let embeddings = normalize(&raw);
        let references = References::batch(&embeddings, &labels);
        let batch = LossInput {
            distance: schema::Distance::SquaredEuclidean,
            ..LossInput::with(&embeddings, &labels, &references, &triplet)
        };
        let expected = batch.cost(&triplet, schema::Reduction::Mean).value / 2.0;
        assert_close(&found, &expected, 1e-12, "first margin");
    }

    #[test]
    fn a_batch_without_the_pairs_it_needs_is_empty() {
        for labels in [[0].as_slice(), &[0, 0, 0], &[0, 1, 2]] {
            is_empty_for(&HierarchicalTriplet::default(), labels);
        }
    }
}
