//! Algebra of matrices of pairs `[n, m]` with a mask of the elements that are kept.
//!
//! Values and gradients stay finite: elements that are not kept have no influence and no gradient.

use tch::{Device, Kind, Tensor};

use crate::{
    tuples::host_labels::PositivePairs,
    tuples::{at, coordinates},
};

/// Maximum number of elements that [`in_chunks`] processes at a time.
const CHUNK: i64 = 1 << 22;

/// Returns the number of kept elements of each row: `[n]`, integers of 32 bits, which the CPU sums faster than longer ones.
pub(super) fn count(kept: &Tensor) -> Tensor {
    kept.sum_dim_intlist([1i64].as_slice(), false, Kind::Int)
}

/// Returns how often each pair is listed, in the shape of `like` `[n, m]`.
pub(super) fn counts(like: &Tensor, anchors: &Tensor, others: &Tensor) -> Tensor {
    let once = Tensor::ones(anchors.size(), (like.kind(), like.device()));
    like.detach()
        .zeros_like()
        .index_put(&[Some(anchors), Some(others)], &once, true)
}

/// Returns a mask of the rows with kept elements in both masks: `[n]`.
pub(super) fn have_both(positives: &Tensor, negatives: &Tensor) -> Tensor {
    with_any(positives).logical_and(&with_any(negatives))
}

/// Returns a mask of the rows with at least one kept element: `[n]`. The CPU looks through bytes ten times as fast as
/// through booleans.
pub(super) fn with_any(kept: &Tensor) -> Tensor {
    let bytes = kept.view_dtype(Kind::Uint8);
    bytes.any_dim(1, false).view_dtype(Kind::Bool)
}

/// Returns the sum of the kept elements of each row: `[n]`.
pub(super) fn sum(values: &Tensor, kept: &Tensor) -> Tensor {
    values
        .where_scalarother(kept, 0.0)
        .sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)
}

/// Returns the mean of the kept elements of each row, 0 where there is none: `[n]`.
pub(super) fn mean(values: &Tensor, kept: &Tensor) -> Tensor {
    sum(values, kept) / count(kept).clamp_min(1)
}

/// Returns `log sum exp` of the kept elements of each row, minus infinity where there is none: `[n]`.
pub(super) fn log_sum_exp(exponents: &Tensor, kept: &Tensor) -> Tensor {
    exponents
        .where_scalarother(kept, f64::NEG_INFINITY)
        .logsumexp([1], false)
}

/// Returns `-log(sum over some / sum over some and others)` of the exponentials of each row: `[n]`. Rows without some
/// are finite and mean nothing.
///
/// It is computed as `log(1 + others / some)`. The difference of two logarithms would round a small cost to 0.
pub(super) fn cost_of_share(exponents: &Tensor, some: &Tensor, others: &Tensor) -> Tensor {
    let (packed, filled) = packed(exponents, some);
    let own = or_zero(&log_sum_exp(&packed, &filled));
    softplus(&(log_sum_exp(exponents, others) - own))
}

/// Returns the mean over some elements of each row of `-log(share of the element among some and others)`, as for
/// [`cost_of_share`]: `[n]`, 0 for rows without some.
///
/// With t the largest element of a row, it is `log(1 + sum of e^(x - t) over all x but t)` plus the mean of `t - x`.
/// No part of this is a small difference of large numbers.
pub(super) fn mean_cost_of_shares(exponents: &Tensor, some: &Tensor, others: &Tensor) -> Tensor {
    let all = some.logical_or(others);
    let place = exponents
        .masked_fill(&all.logical_not(), f64::NEG_INFINITY)
        .argmax(1, true);
    let is_largest = all.zeros_like().scatter_value(1, &place, 1);
    let largest = sum(exponents, &is_largest).unsqueeze(1);
    let but_largest = |kept: &Tensor| kept.logical_and(&is_largest.logical_not());
    let below = exponents - &largest;
    let spread = softplus(&log_sum_exp(&below, &but_largest(&all)));
    let gaps = sum(&below.neg(), &but_largest(some)) / count(some).clamp_min(1);
    let lacks = count(some).eq(0);
    (spread + gaps).masked_fill(&lacks, 0.0)
}

/// Returns `log(1 + sum exp)` of the kept elements of each row, 0 where there is none: `[n]`.
pub(super) fn log_one_plus_sum_exp(exponents: &Tensor, kept: &Tensor) -> Tensor {
    softplus(&log_sum_exp(exponents, kept))
}

/// Returns the kept elements of each row side by side, `[n, k]` where k is the largest number of kept
/// elements of a row, and a mask of the columns that are filled. With few kept elements this saves work. On a GPU, where
/// the host would have to wait for k, they stay where they are.
pub(super) fn packed(values: &Tensor, kept: &Tensor) -> (Tensor, Tensor) {
    if values.device() != Device::Cpu {
        return (values.shallow_clone(), kept.shallow_clone());
    }
    let (rows, columns) = coordinates(kept);
    let (counts, whole) = (count(kept), (Kind::Int64, values.device()));
    let firsts = counts.cumsum(0, Kind::Int64) - &counts;
    let packed_columns = Tensor::arange(rows.size()[0], whole) - firsts.index_select(0, &rows);
    let most = if rows.numel() == 0 {
        0
    } else {
        counts.max().int64_value(&[])
    };
    let filled = Tensor::arange(most, whole)
        .unsqueeze(0)
        .less_tensor(&counts.unsqueeze(1));
    let empty = Tensor::zeros([values.size()[0], most], (values.kind(), values.device()));
    (
        empty.index_put(
            &[Some(&rows), Some(&packed_columns)],
            &at(values, &rows, &columns),
            false,
        ),
        filled,
    )
}

/// Returns `values` with 0 instead of minus infinity, the logarithm of an empty sum.
pub(super) fn or_zero(values: &Tensor) -> Tensor {
    values.masked_fill(&values.eq(f64::NEG_INFINITY), 0.0)
}

/// Returns `log(1 + exp x)`, accurate for any x: PyTorch's `softplus` is linear from 20 on, which is exact in single
/// precision only.
pub(super) fn softplus(x: &Tensor) -> Tensor {
    if x.kind() == Kind::Double {
        x.neg().log_sigmoid().neg()
    } else {
        x.softplus()
    }
}

/// Returns a histogram of the kept elements of each row: `[n, bins + 1]`. A value between two integers counts
/// for both, the more for the closer one; values are taken to be within 0 and `bins`.
pub(super) fn soft_histogram(values: &Tensor, kept: &Tensor, bins: i64) -> Tensor {
    let values = values.clamp(0.0, bins as f64);
    let below = values
        .detach()
        .floor()
        .clamp_max((bins - 1) as f64)
        .nan_to_num(0.0, 0.0, 0.0);
    let weight = kept.to_kind(values.kind());
    let above = (&values - &below) * &weight;
    let (rows, columns) = (
        Tensor::arange(values.size()[0], (Kind::Int64, values.device())),
        below.to_kind(Kind::Int64),
    );
    let rows = rows.unsqueeze(1).expand_as(&columns);
    // Unlike a scatter, adding with indices is deterministic on a GPU.
    let empty = Tensor::zeros(
        [values.size()[0], bins + 1],
        (values.kind(), values.device()),
    );
    let next = &columns + 1;
    empty
        .index_put(&[Some(&rows), Some(&columns)], &(&weight - &above), true)
        .index_put(&[Some(&rows), Some(&next)], &above, true)
}

/// Returns cumulative sums along rows: `[n, k]`. A matrix product, because PyTorch's scan is not
/// deterministic on a GPU.
pub(super) fn running_sums(values: &Tensor) -> Tensor {
    let size = values.size()[1];
    values.matmul(&Tensor::ones([size, size], (values.kind(), values.device())).triu(0))
}

/// Returns `terms(rows, first)` `[n]` of all rows of `values` `[n, m]`, where `terms` maps some rows, from `first` on,
/// to one number each and may take `cost` times the room of a row. Only some rows at a time are worked on, and only
/// their derivatives are kept, so that memory does not grow with the number of rows.
pub(super) fn in_chunks(
    values: &Tensor,
    cost: i64,
    terms: impl Fn(&Tensor, i64) -> Tensor,
) -> Tensor {
    let (n, m) = (values.size()[0], values.size()[1]);
    let length = (CHUNK / (cost * m).max(1)).clamp(1, n.max(1));
    if length >= n || !values.requires_grad() {
        return terms(values, 0);
    }
    let starts = (0..n).step_by(length as usize);
    let chunks = starts.map(|first| {
        linear(
            &values.narrow(0, first, length.min(n - first)),
            first,
            &terms,
        )
    });
    Tensor::cat(&chunks.collect::<Vec<_>>(), 0)
}

/// The smooth ranks of positives, of some rows.
pub(super) struct Ranks {
    /// `[p]`: the row of each positive.
    pub(super) anchors: Tensor,
    /// Number of rows.
    pub(super) images: i64,
    /// `[p]`: its rank among the positives of the row, 1 for the closest.
    pub(super) among_positives: Tensor,
    /// `[p]`: its rank among positives and negatives.
    pub(super) among_all: Tensor,
}

/// Returns `terms` `[n]` of the smooth ranks of positives: one plus the sum of the sigmoids of what others are closer.
/// The closeness of all pairs is `[n, m]`, and so are the masks; `pairs` are those that `positives` marks.
pub(super) fn of_ranks(
    closeness: &Tensor,
    pairs: &PositivePairs,
    [positives, negatives]: [&Tensor; 2],
    terms: impl Fn(Ranks) -> Tensor,
) -> Tensor {
    in_chunks(closeness, pairs.most().max(1), |rows, first| {
        let images = rows.size()[0];
        let masks = [positives, negatives].map(|mask| mask.narrow(0, first, images));
        terms(ranks(rows, pairs.of_anchors(first, images), masks))
    })
}

fn ranks(
    closeness: &Tensor,
    (anchors, others): (Tensor, Tensor),
    [positives, negatives]: [Tensor; 2],
) -> Ranks {
    let closeness_of_pairs = at(closeness, &anchors, &others).unsqueeze(1);
    let ahead = (closeness.index(&[Some(&anchors)]) - closeness_of_pairs).sigmoid();
    let of = |mask: &Tensor| sum(&ahead, &mask.index_select(0, &anchors));
    // A positive is compared with itself, too, which counts half a rank.
    let among_positives = of(&positives) + 0.5;
    let among_all = &among_positives + of(&negatives);
    Ranks {
        anchors,
        images: closeness.size()[0],
        among_positives,
        among_all,
    }
}

/// Returns the sum of the values of each anchor: `[images]` from `[t]`.
pub(super) fn sum_of_each(values: &Tensor, anchors: &Tensor, images: i64) -> Tensor {
    Tensor::zeros([images], (values.kind(), values.device())).index_put(
        &[Some(anchors)],
        values,
        true,
    )
}

/// Returns the terms of these rows as a linear function of them, with the value and the derivative of `terms` there.
fn linear(rows: &Tensor, first: i64, terms: impl Fn(&Tensor, i64) -> Tensor) -> Tensor {
    let leaf = rows.detach().set_requires_grad(true);
    let value = terms(&leaf, first);
    let slope = Tensor::run_backward(&[value.sum(None::<Kind>)], &[&leaf], false, false).remove(0);
    let change = (rows - rows.detach()) * slope;
    value.detach() + change.sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, gradient, is_finite, noise};

    #[test]
    fn rows_without_kept_elements_have_no_sum_and_no_gradient() {
        let values = noise(1, 2, 3).set_requires_grad(true);
        let kept = Tensor::from_slice(&[true, false, true, false, false, false]).view([2, 3]);
        let logarithms = log_sum_exp(&values, &kept);
        assert_eq!(logarithms.double_value(&[1]), f64::NEG_INFINITY);
        let all = or_zero(&logarithms)
            + sum(&values, &kept)
            + mean(&values, &kept)
            + softplus(&logarithms);
        assert_eq!(all.double_value(&[1]), 0.0);
        let gradient = gradient(&all.sum(None::<Kind>), &values);
        assert!(is_finite(&gradient));
        assert_eq!(gradient.get(1).abs().max().double_value(&[]), 0.0);
    }

    /// Rows of costs: as far as rounding allows, and in single precision.
    fn costs(exponents: &[f32], cost: fn(&Tensor, &Tensor, &Tensor) -> Tensor) -> [[f64; 4]; 2] {
        let some = Tensor::from_slice(&[true, false, false]).view([1, 3]);
        let others = Tensor::from_slice(&[false, true, true]).view([1, 3]);
        [Kind::Double, Kind::Float].map(|kind| {
            let leaf = Tensor::from_slice(exponents)
                .view([1, 3])
                .to_kind(kind)
                .set_requires_grad(true);
            let value = cost(&leaf, &some, &others).sum(None::<Kind>);
            let gradient = gradient(&value, &leaf);
            let slope = |place| gradient.double_value(&[0, place]);
            [value.double_value(&[]), slope(0), slope(1), slope(2)]
        })
    }

    #[test]
    fn small_costs_and_their_gradients_are_as_exact_in_single_precision_as_large_ones() {
        let every = [
            [20.0, -3.0, -2.0],
            [2.5, 2.25, -30.0],
            [-15.0, 20.0, 4.0],
            [60.0, 30.0, 20.0],
            [1e-3, 0.0, -1e-3],
        ];
        for (exponents, cost) in every
            .iter()
            .flat_map(|row| [cost_of_share, mean_cost_of_shares].map(|cost| (row, cost)))
        {
            let [exact, single] = costs(exponents, cost);
            let direct = f64::ln_1p(
                (1..3)
                    .map(|x| f64::from(exponents[x] - exponents[0]).exp())
                    .sum(),
            );
            assert!(
                (exact[0] / direct - 1.0).abs() < 1e-12,
                "{exponents:?}: {exact:?}, {direct}"
            );
            for (one, two) in exact.iter().zip(single) {
                assert!(
                    (one - two).abs() <= 2e-5 * one.abs(),
                    "{exponents:?}: {exact:?}, {single:?}"
                );
            }
        }
    }

    #[test]
    fn a_row_without_some_has_no_cost_of_shares_and_no_gradient() {
        let leaf = noise(1, 2, 3).set_requires_grad(true);
        let none = leaf.zeros_like().to_kind(Kind::Bool);
        let all = none.logical_not();
        for others in [&none, &all] {
            let cost = mean_cost_of_shares(&leaf, &none, others);
            assert_eq!(cost.abs().max().double_value(&[]), 0.0);
            let slope = gradient(&cost.sum(None::<Kind>), &leaf);
            assert_eq!(slope.abs().max().double_value(&[]), 0.0);
            let lost = cost_of_share(&leaf, &none, others).masked_fill(&all.any_dim(1, false), 0.0);
            let slope = gradient(&lost.sum(None::<Kind>), &leaf);
            assert!(is_finite(&slope));
        }
    }

    #[test]
    fn packed_rows_hold_what_was_kept_in_its_order() {
        let values = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
            .view([2, 3])
            .set_requires_grad(true);
        let kept = Tensor::from_slice(&[true, false, true, false, true, false]).view([2, 3]);
        let (found, filled) = packed(&values, &kept);
        assert_eq!(
            found,
            Tensor::from_slice(&[1.0, 3.0, 5.0, 0.0]).view([2, 2])
        );
        assert_eq!(
            filled,
            Tensor::from_slice(&[true, true, true, false]).view([2, 2])
        );
        assert_eq!(
            gradient(&found.sum(None::<Kind>), &values),
            kept.to_kind(Kind::Double)
        );
        assert_eq!(packed(&values, &kept.zeros_like()).0.size(), [2, 0]);
    }

    #[test]
    fn a_histogram_shares_each_value_between_two_bins() {
        let values = Tensor::from_slice(&[0.0, 1.25, 3.0, 9.0]).view([1, 4]);
        let kept = Tensor::from_slice(&[true, true, true, false]).view([1, 4]);
        let expected = Tensor::from_slice(&[1.0, 0.75, 0.25, 1.0]).view([1, 4]);
        assert_close(
            &soft_histogram(&values, &kept, 3),
            &expected,
            1e-15,
            "histogram",
        );
    }

    #[test]
    fn running_sums_are_sums_of_all_before() {
        let found = running_sums(&Tensor::from_slice(&[1.0, 2.0, 4.0]).view([1, 3]));
        assert_close(
            &found,
            &Tensor::from_slice(&[1.0, 3.0, 7.0]).view([1, 3]),
            0.0,
            "sums",
        );
    }

    #[test]
    fn chunks_change_neither_value_nor_gradient() {
        let values = noise(1, 5, 4).set_requires_grad(true);
        let terms = |rows: &Tensor, first: i64| {
            let scale = Tensor::arange_start(
                first,
                first + rows.size()[0],
                (Kind::Double, tch::Device::Cpu),
            );
            rows.tanh()
                .square()
                .sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)
                * scale
        };
        let whole = terms(&values, 0);
        let chunked = in_chunks(&values, CHUNK / 8, terms);
        assert_close(&chunked, &whole, 1e-15, "value");
        let expected = gradient(&whole.square().sum(None::<Kind>), &values);
        assert_close(
            &gradient(&chunked.square().sum(None::<Kind>), &values),
            &expected,
            1e-14,
            "gradient",
        );
    }
}
