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
    /// `[t]`. None is negative, but for rounding.
    pub values: Tensor,
    /// `[t]`: the image of the batch that each belongs to. Absent: no image, but say a class.
    pub anchors: Option<Tensor>,
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
        Part { values, anchors: Some(anchors.shallow_clone()) }
    }

    /// One term for each image of the batch, in its order: `[n]`.
    pub fn of_anchors(values: Tensor) -> Part {
        let anchors = Tensor::arange(values.size()[0], (Kind::Int64, values.device()));
        Part { values, anchors: Some(anchors) }
    }

    /// Terms of something else: `[t]`.
    pub fn of_others(values: Tensor) -> Part {
        Part { values, anchors: None }
    }
}

impl Terms {
    /// Terms in parts that are reduced apart.
    pub fn of(parts: impl IntoIterator<Item = Part>) -> Terms {
        Terms { parts: parts.into_iter().collect(), added: Vec::new() }
    }

    /// Whether no term differs from zero. A term that is not a number does.
    pub fn are_zero(&self) -> bool {
        !self.parts.iter().any(|part| part.values.ne(0.0).any().int64_value(&[]) != 0)
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
            Reduction::Mean => sum() / (values.numel().max(1) as f64),
            Reduction::AvgNonZero => sum() / values.ne(0.0).sum(Kind::Int64).clamp_min(1),
            Reduction::Threshold { low, high } => {
                let outside = values.le(low).logical_or(&values.ge(high));
                let kept = values.numel() as i64 - outside.sum(Kind::Int64);
                values.masked_fill(&outside, 0.0).sum(None::<Kind>) / kept.clamp_min(1)
            }
            Reduction::Sum => sum(),
            Reduction::PerImage => sum() / (images.max(1) as f64),
            Reduction::PerAnchor => self.mean_of_anchors(images),
        }
    }

    /// Terms that belong to no image each stand for themselves.
    fn mean_of_anchors(&self, images: i64) -> Tensor {
        let Some(anchors) = &self.anchors else { return self.reduce(Reduction::Mean, images) };
        let sums = Tensor::zeros([images], (self.values.kind(), self.values.device()));
        let sums = sums.index_add(0, anchors, &self.values);
        let counts = anchors.bincount(None::<Tensor>, images);
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
            (Reduction::Threshold { low: 0.5, high: 3.0 }, 3.0 / 2.0),
            (Reduction::Sum, 7.0),
            (Reduction::PerImage, 3.0 / 3.0 + 4.0 / 3.0),
            (Reduction::PerAnchor, (0.5 + 1.0) / 2.0 + 2.0),
        ] {
            assert_eq!(terms().reduce(reduction, 3).double_value(&[]), expected, "{reduction:?}");
        }
    }

    #[test]
    fn a_part_without_terms_is_zero() {
        let none = || Part::of_others(Tensor::from_slice(&[0.0f64; 0]));
        for reduction in
            [Reduction::Mean, Reduction::AvgNonZero, Reduction::Sum, Reduction::PerImage, Reduction::PerAnchor]
        {
            assert_eq!(Terms::of([none()]).reduce(reduction, 2).double_value(&[]), 0.0);
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
        assert!(terms.reduce(Reduction::AvgNonZero, 1).double_value(&[]).is_nan());
    }
}
