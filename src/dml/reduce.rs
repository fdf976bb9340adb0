//! How the terms of a loss become one number.
//!
//! A loss gives [`Terms`], one non-negative number for each pair, triplet, anchor or class; a [`Reduction`] makes
//! one number of them. Parts, such as those of positive and of negative pairs, are reduced apart and then added.

use tch::{Kind, Tensor};

/// The terms of a loss, before they are reduced.
#[derive(Debug, Default)]
pub struct Terms {
    /// Parts that are reduced separately and then added.
    pub parts: Vec<Part>,
    /// What is added as it is: scalars, such as a penalty on proxies. They do not make a batch count.
    pub added: Vec<Tensor>,
}

/// Terms of one kind.
#[derive(Debug)]
pub struct Part {
    /// The terms, `[t]` or `[n, m]`. None is negative, but for rounding.
    values: Tensor,
    belong: Belong,
}

/// What terms belong to.
#[derive(Debug)]
enum Belong {
    /// Each of `[t]` to this image of the batch.
    To(Tensor),
    /// Each row of `[n, m]` to an image of the batch, in its order. Only marked elements are terms; the others are 0.
    InRows(Tensor),
    /// To no image, but say a class.
    ToNone,
}

/// How terms become one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reduction {
    /// The mean of all terms. PML `MeanReducer`.
    Mean,
    /// The mean of those that are not zero. PML `AvgNonZeroReducer`.
    AvgNonZero,
    /// The mean of those between two bounds, both excluded. PML `ThresholdReducer`.
    Threshold {
        /// Terms must be larger than this.
        low: f64,
        /// And smaller than this.
        high: f64,
    },
    /// Their sum. PML `SumReducer`.
    Sum,
    /// The sum of all terms over the number of images in the batch, whether they have terms or not: what the
    /// programs of Deep_Metric, MS and XBM do.
    PerImage,
    /// The mean of each anchor's terms, and of those the mean over the anchors that have any.
    PerAnchor,
}

impl Part {
    /// Terms of pairs or triplets, `[t]` each, with their anchors.
    pub fn of_tuples(values: Tensor, anchors: &Tensor) -> Part {
        Part {
            values,
            belong: Belong::To(anchors.shallow_clone()),
        }
    }

    /// Terms of those pairs of a matrix that a mask marks, `[n, m]` both. For many pairs of each image that is less
    /// work than a list.
    pub fn of_marked(values: &Tensor, marked: Tensor) -> Part {
        Part {
            values: values.masked_fill(&marked.logical_not(), 0.0),
            belong: Belong::InRows(marked),
        }
    }

    /// One term for each image of the batch, in its order: `[n]`.
    pub fn of_anchors(values: Tensor) -> Part {
        let anchors = Tensor::arange(values.size()[0], (Kind::Int64, values.device()));
        Part {
            values,
            belong: Belong::To(anchors),
        }
    }

    /// Terms of something else: `[t]`.
    pub fn of_others(values: Tensor) -> Part {
        Part {
            values,
            belong: Belong::ToNone,
        }
    }
}

impl Terms {
    /// Terms in parts that are reduced apart.
    pub fn of(parts: impl IntoIterator<Item = Part>) -> Terms {
        Terms {
            parts: parts.into_iter().collect(),
            added: Vec::new(),
        }
    }

    /// Whether no term differs from zero. A term that is not a number does.
    pub fn are_zero(&self) -> bool {
        self.parts.iter().all(|part| {
            part.values.numel() == 0 || part.values.abs().amax([0; 0], false) == Tensor::from(0.0)
        })
    }

    /// Returns one number, for a batch of so many `images`. A part without terms is 0.
    ///
    /// A term that is not a number makes the result none: PML's `AvgNonZeroReducer` would drop it silently.
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
        let sum = || values.sum(None::<Kind>);
        match reduction {
            Reduction::Mean => sum() / self.count().clamp_min(1),
            Reduction::AvgNonZero => sum() / values.count_nonzero(None).clamp_min(1),
            Reduction::Threshold { low, high } => {
                let outside = values.le(low).logical_or(&values.ge(high));
                let outside = match &self.belong {
                    Belong::InRows(marked) => outside.logical_or(&marked.logical_not()),
                    Belong::To(_) | Belong::ToNone => outside,
                };
                let kept = values.numel() as i64 - outside.sum(Kind::Int64);
                values.masked_fill(&outside, 0.0).sum(None::<Kind>) / kept.clamp_min(1)
            }
            Reduction::Sum => sum(),
            Reduction::PerImage => sum() / (images.max(1) as f64),
            Reduction::PerAnchor => self.mean_of_anchors(images),
        }
    }

    /// How many terms there are.
    fn count(&self) -> Tensor {
        match &self.belong {
            Belong::InRows(marked) => marked.sum(Kind::Int64),
            Belong::To(_) | Belong::ToNone => Tensor::from(self.values.numel() as i64),
        }
    }

    /// Terms that belong to no image each stand for themselves.
    fn mean_of_anchors(&self, images: i64) -> Tensor {
        let of_rows = |all: &Tensor, kind| all.sum_dim_intlist([1i64].as_slice(), false, kind);
        let (sums, counts) = match &self.belong {
            Belong::To(anchors) => {
                let none = Tensor::zeros([images], (self.values.kind(), self.values.device()));
                (
                    none.index_add(0, anchors, &self.values),
                    anchors.bincount(None::<Tensor>, images),
                )
            }
            Belong::InRows(marked) => (
                of_rows(&self.values, None),
                of_rows(marked, Some(Kind::Int64)),
            ),
            Belong::ToNone => return self.reduce(Reduction::Mean, images),
        };
        let with_terms = counts.gt(0).sum(Kind::Int64).clamp_min(1);
        (sums / counts.clamp_min(1)).sum(None::<Kind>) / with_terms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(terms.are_zero());
        assert_eq!(terms.reduce(Reduction::Mean, 2).double_value(&[]), 5.0);
    }

    #[test]
    fn a_term_that_is_not_a_number_is_not_dropped() {
        let terms = Terms::of([Part::of_others(Tensor::from_slice(&[0.0, f64::NAN, 1.0]))]);
        assert!(!terms.are_zero());
        assert!(
            terms
                .reduce(Reduction::AvgNonZero, 1)
                .double_value(&[])
                .is_nan()
        );
    }
}
