//! Reductions: how the terms of a loss become one number.
//!
//! A loss returns [`Terms`], one non-negative number for each pair, triplet, anchor or class; a
//! [`Reduction`] turns them into one number. Parts, such as those of positive and of negative pairs,
//! are reduced separately and then added.

pub use schema::Reduction;
use tch::{Device, Kind, Tensor};

use crate::tuples::occurrences;

/// The terms of a loss, before they are reduced.
#[derive(Debug, Default)]
pub struct Terms {
    /// Parts that are reduced separately and then added.
    pub parts: Vec<Part>,
    /// Scalars that are added without reduction, such as a penalty on proxies. A batch with nothing
    /// else counts as empty.
    pub added: Vec<Tensor>,
}

/// Terms of one kind.
#[derive(Debug)]
pub struct Part {
    /// The terms, `[t]` or `[n, m]`: non-negative, up to rounding.
    values: Tensor,
    /// What the terms are multiplied by, of the same shape. They count as terms as they are without it.
    weights: Option<Tensor>,
    anchors: Anchors,
}

/// The anchors of terms.
#[derive(Debug)]
enum Anchors {
    /// `[t]`: the image of the batch that each term belongs to.
    Listed(Tensor),
    /// `[n, m]`: row i belongs to image i of the batch. Marks the elements that are terms; the others
    /// are 0.
    Rows(Tensor),
    /// The same for rows of any images.
    RowsOf { marked: Tensor, anchors: Tensor },
    /// Terms belong to no image, but for instance to a class.
    None,
}

impl Part {
    /// Returns terms of pairs or triplets, `[t]` each, with their anchors.
    pub fn of_tuples(values: Tensor, anchors: &Tensor) -> Part {
        Part {
            values,
            weights: None,
            anchors: Anchors::Listed(anchors.shallow_clone()),
        }
    }

    /// Returns terms of the pairs that a mask marks, `[n, m]` both. For many pairs of each image this
    /// is less work than a list.
    pub fn of_marked(values: &Tensor, marked: Tensor) -> Part {
        Part {
            values: values.where_scalarother(&marked, 0.0),
            weights: None,
            anchors: Anchors::Rows(marked),
        }
    }

    /// Returns terms of the triplets that a mask marks, `[p, m]` both; `anchors` `[p]` has the image of each row.
    pub fn of_marked_rows(values: &Tensor, marked: Tensor, anchors: &Tensor) -> Part {
        Part {
            values: values.where_scalarother(&marked, 0.0),
            weights: None,
            anchors: Anchors::RowsOf {
                marked,
                anchors: anchors.shallow_clone(),
            },
        }
    }

    /// Returns the terms that a mask marks, one at most for each image or class: `[n]` both.
    pub fn of_some(values: &Tensor, marked: &Tensor) -> Part {
        match values.device() {
            Device::Cpu => {
                let places = marked.nonzero().squeeze_dim(1);
                Part::of_tuples(values.index(&[Some(&places)]), &places)
            }
            _ => Part::of_marked(&values.unsqueeze(1), marked.unsqueeze(1)),
        }
    }

    /// Returns one term for each image of the batch, in its order: `[n]`.
    pub fn of_anchors(values: Tensor) -> Part {
        let anchors = Tensor::arange(values.size()[0], (Kind::Int64, values.device()));
        Part {
            values,
            weights: None,
            anchors: Anchors::Listed(anchors),
        }
    }

    /// Returns terms that belong to no image: `[t]`.
    pub fn of_others(values: Tensor) -> Part {
        Part {
            values,
            weights: None,
            anchors: Anchors::None,
        }
    }

    /// Returns the same terms, each multiplied by a weight.
    pub(crate) fn weighted(self, weights: Option<Tensor>) -> Part {
        Part { weights, ..self }
    }
}

impl Terms {
    /// Returns terms in parts that are reduced separately.
    pub fn of(parts: impl IntoIterator<Item = Part>) -> Terms {
        Terms {
            parts: parts.into_iter().collect(),
            added: Vec::new(),
        }
    }

    /// Replaces all terms by a scalar, which is 0 or NaN, unless a scalar is true.
    pub(crate) fn keep_if(&mut self, is_true: &Tensor, otherwise: &Tensor) {
        for part in &mut self.parts {
            part.values = part.values.where_self(is_true, otherwise);
        }
    }

    /// Returns whether a term is not 0, as NaN is not: a scalar. Nothing if there are no parts.
    pub fn contribute(&self) -> Option<Tensor> {
        let contributing = self.parts.iter().map(|part| part.values.detach().any());
        contributing.reduce(|one, other| one.logical_or(&other))
    }

    /// Returns one number, for a batch of `images` images. A part without terms is 0.
    ///
    /// If a term is NaN, so is the result; PML's `AvgNonZeroReducer` would drop the term.
    pub fn reduce(&self, reduction: Reduction, images: i64) -> Tensor {
        let reduced = self.parts.iter().map(|part| part.reduce(reduction, images));
        let mut all = reduced.chain(self.added.iter().map(Tensor::shallow_clone));
        let first = all.next().unwrap_or_else(|| Tensor::from(0.0));
        all.fold(first, |sum, part| sum + part)
    }
}

impl Part {
    fn reduce(&self, reduction: Reduction, images: i64) -> Tensor {
        let values = &self.values;
        let sum = || self.terms().sum(None::<Kind>);
        match reduction {
            Reduction::Mean => sum() / self.count().clamp_min(1),
            Reduction::AvgNonZero => sum() / values.count_nonzero(None).clamp_min(1),
            Reduction::Threshold { low, high } => {
                let outside = values.le(low).logical_or(&values.ge(high));
                let outside = match &self.anchors {
                    Anchors::Rows(marked) | Anchors::RowsOf { marked, .. } => {
                        outside.logical_or(&marked.logical_not())
                    }
                    Anchors::Listed(_) | Anchors::None => outside,
                };
                let kept = values.numel() as i64 - outside.sum(Kind::Int64);
                self.terms().masked_fill(&outside, 0.0).sum(None::<Kind>) / kept.clamp_min(1)
            }
            Reduction::Sum => sum(),
            Reduction::PerImage => sum() / (images.max(1) as f64),
            Reduction::PerAnchor => self.mean_of_anchors(images),
        }
    }

    /// Returns the terms times their weights.
    fn terms(&self) -> Tensor {
        match &self.weights {
            Some(weights) => &self.values * weights,
            None => self.values.shallow_clone(),
        }
    }

    /// Returns the number of terms.
    fn count(&self) -> Tensor {
        match &self.anchors {
            Anchors::Rows(marked) | Anchors::RowsOf { marked, .. } => marked.sum(Kind::Int64),
            Anchors::Listed(_) | Anchors::None => Tensor::from(self.values.numel() as i64),
        }
    }

    /// Returns the mean over anchors. Terms that belong to no image count one by one.
    fn mean_of_anchors(&self, images: i64) -> Tensor {
        let of_rows = |all: &Tensor, kind| all.sum_dim_intlist([1i64].as_slice(), false, kind);
        let terms = self.terms();
        let (sums, counts) = match &self.anchors {
            Anchors::Listed(anchors) => {
                let none = Tensor::zeros([images], (self.values.kind(), self.values.device()));
                (
                    none.index_add(0, anchors, &terms),
                    occurrences(anchors, images),
                )
            }
            Anchors::Rows(marked) => (of_rows(&terms, None), of_rows(marked, Some(Kind::Int64))),
            Anchors::RowsOf { marked, anchors } => {
                let sums = of_rows(&terms, None);
                let counts = of_rows(marked, Some(Kind::Int64));
                let of_images = |of_rows: &Tensor| {
                    let none = Tensor::zeros([images], (of_rows.kind(), of_rows.device()));
                    none.index_add(0, anchors, of_rows)
                };
                (of_images(&sums), of_images(&counts))
            }
            Anchors::None => return self.reduce(Reduction::Mean, images),
        };
        let with_terms = counts.gt(0).sum(Kind::Int64).clamp_min(1);
        (sums / counts.clamp_min(1)).sum(None::<Kind>) / with_terms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contribute(terms: &Terms) -> bool {
        terms.contribute().unwrap().int64_value(&[]) != 0
    }

    fn terms() -> Terms {
        let anchors = Tensor::from_slice(&[0i64, 0, 2, 2]);
        Terms::of([
            Part::of_tuples(Tensor::from_slice(&[0.0, 1.0, 0.0, 2.0]), &anchors),
            Part::of_others(Tensor::from_slice(&[4.0, 0.0])),
        ])
    }

    #[test]
    fn each_reduction_is_what_it_says_part_by_part() {
        for (reduction, expected) in [
            (Reduction::Mean, 3.0 / 4.0 + 4.0 / 2.0),
            (Reduction::AvgNonZero, 3.0 / 2.0 + 4.0),
            (
                Reduction::Threshold {
                    low: 0.5,
                    high: 3.0,
                },
                3.0 / 2.0,
            ),
            (Reduction::Sum, 7.0),
            (Reduction::PerImage, 3.0 / 3.0 + 4.0 / 3.0),
            (Reduction::PerAnchor, (0.5 + 1.0) / 2.0 + 2.0),
        ] {
            assert_eq!(
                terms().reduce(reduction, 3).double_value(&[]),
                expected,
                "{reduction:?}"
            );
        }
    }

    #[test]
    fn a_matrix_is_reduced_like_the_list_of_what_is_marked() {
        let values = Tensor::from_slice(&[3.0, 0.0, 1.0, 0.5, 7.0, 2.0]).view([3, 2]);
        let marked = Tensor::from_slice(&[true, true, false, false, false, true]).view([3, 2]);
        let anchors = Tensor::from_slice(&[0i64, 0, 2]);
        let listed = || Part::of_tuples(Tensor::from_slice(&[3.0, 0.0, 2.0]), &anchors);
        let threshold = Reduction::Threshold {
            low: -1.0,
            high: 2.5,
        };
        use Reduction::{AvgNonZero, Mean, PerAnchor, PerImage, Sum};
        for reduction in [Mean, AvgNonZero, Sum, PerImage, PerAnchor, threshold] {
            let matrix = Part::of_marked(&values, marked.shallow_clone());
            let found = Terms::of([matrix]).reduce(reduction, 3);
            assert_eq!(
                found,
                Terms::of([listed()]).reduce(reduction, 3),
                "{reduction:?}"
            );
        }
    }

    #[test]
    fn marked_triplets_are_reduced_like_the_list_of_them() {
        let values = Tensor::from_slice(&[3.0, 0.0, 1.0, 0.5, 7.0, 2.0]).view([3, 2]);
        let marked = Tensor::from_slice(&[true, true, false, false, false, true]).view([3, 2]);
        let rows = Tensor::from_slice(&[1i64, 0, 1]);
        let anchors = Tensor::from_slice(&[1i64, 1, 1]);
        for reduction in Reduction::every() {
            let list = Part::of_tuples(Tensor::from_slice(&[3.0, 0.0, 2.0]), &anchors);
            let matrix = Part::of_marked_rows(&values, marked.shallow_clone(), &rows);
            let [found, expected] =
                [matrix, list].map(|part| Terms::of([part]).reduce(reduction, 2));
            assert_eq!(found, expected, "{reduction:?}");
        }
    }

    #[test]
    fn a_part_without_terms_is_zero() {
        let none = || Part::of_others(Tensor::from_slice(&[0.0f64; 0]));
        for reduction in [
            Reduction::Mean,
            Reduction::AvgNonZero,
            Reduction::Sum,
            Reduction::PerImage,
            Reduction::PerAnchor,
        ] {
            assert_eq!(
                Terms::of([none()]).reduce(reduction, 2).double_value(&[]),
                0.0
            );
        }
    }

    #[test]
    fn what_is_added_is_not_reduced_and_does_not_make_a_batch_count() {
        let mut terms = Terms::of([Part::of_others(Tensor::from_slice(&[0.0, 0.0]))]);
        terms.added.push(Tensor::from(5.0));
        assert!(!contribute(&terms));
        assert_eq!(terms.reduce(Reduction::Mean, 2).double_value(&[]), 5.0);
    }

    #[test]
    fn a_term_that_is_not_a_number_is_not_dropped() {
        let terms = Terms::of([Part::of_others(Tensor::from_slice(&[0.0, f64::NAN, 1.0]))]);
        assert!(contribute(&terms));
        assert!(
            terms
                .reduce(Reduction::AvgNonZero, 1)
                .double_value(&[])
                .is_nan()
        );
    }
}
