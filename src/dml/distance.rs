//! Distances and similarities between embeddings.
//!
//! A distance grows and a similarity shrinks as embeddings move apart. Losses and miners work with
//! both: they are written with [`DistanceExt::excess`] and [`DistanceExt::excess_over`], which are
//! positive if the first argument is *farther* than the second. This is the convention of
//! pytorch-metric-learning (PML), whose `margin` is `excess` here.
//!
//! Differs from PML: embeddings are taken as they are. A network normalizes them once, with
//! [`normalize`]; PML does so within each loss and each miner.

pub use schema::Distance;
use schema::Hyperbolic;
use tch::{Kind, Tensor};

/// What a distance computes.
pub trait DistanceExt: Copy {
    /// Returns all comparisons of `queries` `[n, d]` with `references` `[m, d]`: a matrix `[n, m]`.
    fn matrix(self, queries: &Tensor, references: &Tensor) -> Tensor;

    /// True if larger means closer, as for a similarity.
    fn is_inverted(self) -> bool;

    /// Returns by how much each element of `far` is farther than that of `near`; negative where it is closer.
    fn excess(self, far: &Tensor, near: &Tensor) -> Tensor;

    /// Returns a mask of where an element of `far` is farther than that of `near`.
    fn is_farther(self, far: &Tensor, near: &Tensor) -> Tensor;

    /// Returns by how much each element of `far` is farther than `threshold`; negative where it is closer.
    fn excess_over(self, far: &Tensor, threshold: f64) -> Tensor;

    /// Returns `matrix`, negated if it holds distances, so that larger means closer.
    fn closeness(self, matrix: &Tensor) -> Tensor;

    /// Returns a value that is farther than all others, in the direction of this distance.
    fn farthest(self) -> f64;

    /// Returns, for each row, the farthest of the values that `keep` marks; -[`farthest`](Self::farthest)
    /// where it marks none. All shapes are `[n, m]`, the result is `[n, 1]`.
    fn farthest_of(self, values: &Tensor, keep: &Tensor) -> Tensor;

    /// Returns, for each row, the closest of the values that `keep` marks; [`farthest`](Self::farthest)
    /// where it marks none. All shapes are `[n, m]`, the result is `[n, 1]`.
    fn closest_of(self, values: &Tensor, keep: &Tensor) -> Tensor;
}

impl DistanceExt for Distance {
    fn matrix(self, queries: &Tensor, references: &Tensor) -> Tensor {
        match self {
            Distance::Euclidean => euclidean(queries, references),
            Distance::Cosine | Distance::DotProduct => queries.matmul(&references.tr()),
            Distance::Lp(p) => Tensor::cdist(queries, references, p, None),
            Distance::SquaredEuclidean => squared_euclidean(queries, references).relu_(),
            Distance::SignalToNoise => signal_to_noise(queries, references),
            Distance::Hyperbolic(ball) => hyperbolic(ball, queries, references),
        }
    }

    fn is_inverted(self) -> bool {
        match self {
            Distance::Euclidean
            | Distance::SquaredEuclidean
            | Distance::SignalToNoise
            | Distance::Lp(_)
            | Distance::Hyperbolic(_) => false,
            Distance::Cosine | Distance::DotProduct => true,
        }
    }

    fn excess(self, far: &Tensor, near: &Tensor) -> Tensor {
        if self.is_inverted() {
            near - far
        } else {
            far - near
        }
    }

    fn is_farther(self, far: &Tensor, near: &Tensor) -> Tensor {
        if self.is_inverted() {
            far.less_tensor(near)
        } else {
            far.greater_tensor(near)
        }
    }

    fn excess_over(self, far: &Tensor, threshold: f64) -> Tensor {
        if self.is_inverted() {
            threshold - far
        } else {
            far - threshold
        }
    }

    fn closeness(self, matrix: &Tensor) -> Tensor {
        if self.is_inverted() {
            matrix.shallow_clone()
        } else {
            -matrix
        }
    }

    fn farthest(self) -> f64 {
        if self.is_inverted() {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        }
    }

    fn farthest_of(self, values: &Tensor, keep: &Tensor) -> Tensor {
        let kept = values.where_scalarother(keep, -self.farthest());
        if self.is_inverted() {
            kept.amin([1], true)
        } else {
            kept.amax([1], true)
        }
    }

    fn closest_of(self, values: &Tensor, keep: &Tensor) -> Tensor {
        let kept = values.where_scalarother(keep, self.farthest());
        if self.is_inverted() {
            kept.amax([1], true)
        } else {
            kept.amin([1], true)
        }
    }
}

/// Scales each row of `embeddings` `[n, d]` to length one, with the meaning of PyTorch's `F.normalize`:
/// rows shorter than 1e-12 are divided by that instead, so that a zero row stays zero with a finite gradient.
pub fn normalize(embeddings: &Tensor) -> Tensor {
    embeddings / lengths(embeddings).clamp_min(1e-12)
}

/// Returns the length of each row of `embeddings` `[n, d]`: `[n, 1]`.
pub(crate) fn lengths(embeddings: &Tensor) -> Tensor {
    embeddings.norm_scalaropt_dim(2.0, [1], true)
}

/// The square root of the squared distance. Rounding can make that negative for equal embeddings, and the slope of the
/// root at 0 is infinite: there the distance is 0 and so is its gradient.
fn euclidean(queries: &Tensor, references: &Tensor) -> Tensor {
    let squared = squared_euclidean(queries, references);
    let least = if squared.kind() == Kind::Double {
        1e-300
    } else {
        1e-36
    };
    squared
        .threshold(least, least)
        .sqrt()
        .threshold(f64::sqrt(least) * 1.001, 0.0)
}

/// Largest number of queries and of references for which coordinates are subtracted, as in PyTorch's `cdist`.
const SUBTRACTED: i64 = 25;

/// The sum of the squared differences for few embeddings, otherwise |x|² + |y|² - 2xy. The latter is faster, less exact
/// for embeddings close to each other, and rounding can make it negative.
fn squared_euclidean(queries: &Tensor, references: &Tensor) -> Tensor {
    if queries.size()[0].max(references.size()[0]) <= SUBTRACTED {
        return squared_length_of(&(queries.unsqueeze(1) - references.unsqueeze(0)));
    }
    let mut distances = (queries * -2.0).matmul(&references.tr());
    distances += squared_length(queries);
    distances += squared_length(references).tr();
    distances
}

fn squared_length(x: &Tensor) -> Tensor {
    squared_length_of(x).unsqueeze(1)
}

/// Returns the squared lengths of the vectors along the last dimension.
fn squared_length_of(vectors: &Tensor) -> Tensor {
    vectors
        .square()
        .sum_dim_intlist([-1i64].as_slice(), false, None::<Kind>)
}

/// With their means removed, embeddings have squared lengths in place of variances: no `[n, m, d]` is needed.
fn signal_to_noise(queries: &Tensor, references: &Tensor) -> Tensor {
    let queries = centered(queries);
    let references = centered(references);
    squared_euclidean(&queries, &references).relu_() / squared_length(&queries).clamp_min(1e-12)
}

fn centered(x: &Tensor) -> Tensor {
    x - x.mean_dim([1i64].as_slice(), true, None::<Kind>)
}

/// The distance of two points X and Y of the Poincare ball with curvature -c, `2 / sqrt(c) artanh(sqrt(c) |-X + Y|)` with
/// Möbius addition (Ermolov et al., CVPR 2022), as
/// `2 / sqrt(c) arsinh(sqrt(c) |X - Y| cosh(sqrt(c) |x|) cosh(sqrt(c) |y|))`. The two are equal where X is the image
/// `tanh(sqrt(c) |x|) x / (sqrt(c) |x|)` of x, and the latter loses no digits, neither near the rim nor between neighbors.
fn hyperbolic(ball: Hyperbolic, queries: &Tensor, references: &Tensor) -> Tensor {
    let root = ball.curvature.sqrt();
    let mapped = |x: &Tensor| {
        let lengths = lengths(x).clamp_min(1e-12);
        let angle = lengths.clamp_max(ball.clip) * root;
        (x * (angle.tanh() / lengths), angle.cosh())
    };
    let (queries, stretch) = mapped(queries);
    let (references, other_stretch) = mapped(references);
    let between = euclidean(&queries, &references) * stretch * other_stretch.tr();
    between.asinh() * (2.0 / root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, golden, gradient, is_finite, noise, rows, tensor};

    const BALL: Hyperbolic = Hyperbolic {
        curvature: 0.1,
        clip: 2.3,
    };

    const ALL: [Distance; 9] = [
        Distance::Euclidean,
        Distance::SquaredEuclidean,
        Distance::Cosine,
        Distance::DotProduct,
        Distance::SignalToNoise,
        Distance::Lp(1.0),
        Distance::Lp(3.0),
        Distance::Lp(f64::INFINITY),
        Distance::Hyperbolic(BALL),
    ];

    fn named(name: &str) -> Distance {
        match name {
            "euclidean" => Distance::Euclidean,
            "squared_euclidean" => Distance::SquaredEuclidean,
            "cosine" => Distance::Cosine,
            "dot_product" => Distance::DotProduct,
            "signal_to_noise" => Distance::SignalToNoise,
            "l1" => Distance::Lp(1.0),
            "l3" => Distance::Lp(3.0),
            other => panic!("golden distance {other}"),
        }
    }

    #[test]
    fn values_and_gradients_are_those_of_the_reference() {
        let golden = golden(include_str!("testdata/distances.json"));
        for (case, (kind, tolerance)) in golden["cases"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|case| [(Kind::Double, 1e-10), (Kind::Float, 1e-5)].map(|of| (case, of)))
        {
            let name = case["distance"].as_str().unwrap();
            let leaf = |name: &str| tensor(&golden[name]).to_kind(kind).set_requires_grad(true);
            let (queries, references) = (leaf("queries"), leaf("references"));
            // PML normalizes within its cosine.
            let matrix = match named(name) {
                Distance::Cosine => {
                    Distance::Cosine.matrix(&normalize(&queries), &normalize(&references))
                }
                distance => distance.matrix(&queries, &references),
            };
            let what = format!("{name} {kind:?}");
            assert_close(&matrix, &tensor(&case["matrix"]), tolerance, &what);
            let sum = (matrix * tensor(&golden["weights"]).to_kind(kind)).sum(None::<Kind>);
            let gradients = Tensor::run_backward(&[sum], &[&queries, &references], false, false);
            assert_close(
                &gradients[0],
                &tensor(&case["queries_gradient"]),
                tolerance,
                &what,
            );
            assert_close(
                &gradients[1],
                &tensor(&case["references_gradient"]),
                tolerance,
                &what,
            );
            assert_eq!(
                named(name).is_inverted(),
                case["is_inverted"].as_bool().unwrap(),
                "{name}"
            );
        }
    }

    #[test]
    fn the_gradient_is_finite_where_embeddings_are_equal_or_zero_whatever_the_distance() {
        let zero = || Tensor::zeros([2, 4], (Kind::Double, tch::Device::Cpu));
        let equal = Tensor::cat(
            &[noise(3, 1, 4).repeat([3, 1]), zero(), zero().ones_like()],
            0,
        );
        for (distance, kind) in ALL
            .into_iter()
            .flat_map(|distance| [Kind::Float, Kind::Double].map(|of| (distance, of)))
        {
            let x = equal.to_kind(kind).detach().set_requires_grad(true);
            let matrix = distance.matrix(&x, &x);
            let gradient = gradient(&matrix.sum(None::<Kind>), &x);
            assert!(
                is_finite(&matrix) && is_finite(&gradient),
                "{distance:?} {matrix} {gradient}"
            );
        }
    }

    #[test]
    fn closeness_falls_with_every_distance() {
        let (x, others) = (noise(1, 1, 4), noise(2, 6, 4));
        for distance in ALL {
            let matrix = distance.matrix(&x, &others);
            let closest = distance.closest_of(&matrix, &matrix.ones_like().to_kind(Kind::Bool));
            assert_eq!(
                distance.closeness(&closest),
                distance.closeness(&matrix).amax([1], true)
            );
        }
    }

    #[test]
    fn distances_are_those_of_a_loop() {
        let (x, y) = (noise(1, 4, 3), noise(2, 5, 3));
        let (euclidean, cosine) = (
            rows(&Distance::Euclidean.matrix(&x, &y)),
            rows(&Distance::Cosine.matrix(&x, &y)),
        );
        let (x, y) = (rows(&x), rows(&y));
        for (i, j) in (0..4).flat_map(|i| (0..5).map(move |j| (i, j))) {
            let sum = |f: fn(f64, f64) -> f64| {
                x[i].iter().zip(&y[j]).map(|(&x, &y)| f(x, y)).sum::<f64>()
            };
            assert!((euclidean[i][j] - sum(|x, y| (x - y) * (x - y)).sqrt()).abs() < 1e-14);
            assert!((cosine[i][j] - sum(|x, y| x * y)).abs() < 1e-14);
        }
    }

    /// The steps of Hyp-ViT for a pair: cut, exponential map, Möbius addition, distance.
    fn hyperbolic_of_pair(ball: Hyperbolic, x: &[f64], y: &[f64]) -> f64 {
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let c = ball.curvature;
        let mapped = |x: &[f64]| {
            let cut = (ball.clip / dot(x, x).sqrt()).min(1.0);
            let x: Vec<f64> = x.iter().map(|x| x * cut).collect();
            let length = c.sqrt() * dot(&x, &x).sqrt();
            let factor = length.tanh() / length;
            x.iter().map(|x| x * factor).collect::<Vec<f64>>()
        };
        let (x, y) = (
            mapped(x).iter().map(|x| -x).collect::<Vec<f64>>(),
            mapped(y),
        );
        let (xy, xx, yy) = (dot(&x, &y), dot(&x, &x), dot(&y, &y));
        let sum = x.iter().zip(&y).map(|(x, y)| {
            ((1.0 + 2.0 * c * xy + c * yy) * x + (1.0 - c * xx) * y)
                / (1.0 + 2.0 * c * xy + c * c * xx * yy)
        });
        let sum: Vec<f64> = sum.collect();
        2.0 / c.sqrt() * (c.sqrt() * dot(&sum, &sum).sqrt()).atanh()
    }

    #[test]
    fn the_hyperbolic_distance_is_that_of_a_loop_and_its_slope_that_of_quotients() {
        for (curvature, clip) in [(0.1, 2.3), (1.0, 0.7), (0.01, 1e3)] {
            let ball = Hyperbolic { curvature, clip };
            let (x, y) = (noise(1, 4, 3) * 2.0, noise(2, 5, 3) * 2.0);
            let leaf = x.set_requires_grad(true);
            let found = Distance::Hyperbolic(ball).matrix(&leaf, &y);
            let slope = rows(&gradient(&found.sum(None::<Kind>), &leaf));
            let (found, x, y) = (rows(&found.detach()), rows(&leaf.detach()), rows(&y));
            for (i, x) in x.iter().enumerate() {
                for (j, y) in y.iter().enumerate() {
                    let expected = hyperbolic_of_pair(ball, x, y);
                    assert!((found[i][j] - expected).abs() < 1e-12 * (1.0 + expected));
                }
                for coordinate in 0..3 {
                    let sum = |step: f64| {
                        let mut moved = x.clone();
                        moved[coordinate] += step;
                        y.iter()
                            .map(|y| hyperbolic_of_pair(ball, &moved, y))
                            .sum::<f64>()
                    };
                    let quotient = (sum(1e-6) - sum(-1e-6)) / 2e-6;
                    assert!((slope[i][coordinate] - quotient).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn hyperbolic_space_of_little_curvature_is_euclidean_at_twice_the_length() {
        let ball = Hyperbolic {
            curvature: 1e-10,
            clip: 100.0,
        };
        let (x, y) = (noise(1, 4, 3), noise(2, 5, 3));
        let found = Distance::Hyperbolic(ball).matrix(&x, &y);
        let expected = Distance::Euclidean.matrix(&x, &y) * 2.0;
        assert_close(&found, &expected, 1e-8, "distance");
    }

    #[test]
    fn signal_to_noise_is_a_ratio_of_variances_of_a_loop() {
        let (x, y) = (noise(1, 4, 3), noise(2, 5, 3));
        let found = rows(&Distance::SignalToNoise.matrix(&x, &y));
        let squared = rows(&Distance::SquaredEuclidean.matrix(&x, &y));
        let (x, y) = (rows(&x), rows(&y));
        let spread = |x: &[f64]| {
            x.iter()
                .map(|&a| (a - x.iter().sum::<f64>() / 3.0).powi(2))
                .sum::<f64>()
        };
        for (i, j) in (0..4).flat_map(|i| (0..5).map(move |j| (i, j))) {
            let difference: Vec<f64> = x[i].iter().zip(&y[j]).map(|(x, y)| x - y).collect();
            assert!((found[i][j] - spread(&difference) / spread(&x[i])).abs() < 1e-13);
            assert!((squared[i][j] - difference.iter().map(|x| x * x).sum::<f64>()).abs() < 1e-14);
        }
    }

    #[test]
    fn excess_is_positive_for_what_is_farther_whichever_way_the_distance_points() {
        let x = Tensor::from_slice2(&[[1.0, 0.0]]);
        let others = normalize(&Tensor::from_slice2(&[[1.0, 0.1], [0.0, 1.0]]));
        for distance in ALL {
            let matrix = distance.matrix(&x, &others);
            let (near, far) = (matrix.get(0).get(0), matrix.get(0).get(1));
            assert!(distance.excess(&far, &near).double_value(&[]) > 0.0);
            assert_eq!(
                [(&far, &near), (&near, &far)]
                    .map(|(a, b)| distance.is_farther(a, b).int64_value(&[])),
                [1, 0]
            );
            assert!(
                distance
                    .excess_over(&far, near.double_value(&[]))
                    .double_value(&[])
                    > 0.0
            );
            let all = matrix.ones_like().to_kind(Kind::Bool);
            assert!(distance.farthest_of(&matrix, &all).squeeze() == far);
            assert!(distance.closest_of(&matrix, &all).squeeze() == near);
            let none = all.logical_not();
            assert_eq!(
                distance.closest_of(&matrix, &none).double_value(&[0, 0]),
                distance.farthest()
            );
            assert_eq!(
                distance.farthest_of(&matrix, &none).double_value(&[0, 0]),
                -distance.farthest()
            );
        }
    }

    #[test]
    fn equal_embeddings_have_no_distance_and_no_gradient() {
        for kind in [Kind::Float, Kind::Double] {
            let x = normalize(&noise(3, 1, 16).to_kind(kind))
                .expand([30, 16], false)
                .contiguous();
            let x = x.set_requires_grad(true);
            let matrix = Distance::Euclidean.matrix(&x, &x);
            assert!(matrix.abs().max().double_value(&[]) < 2e-3);
            let gradient = gradient(&matrix.sum(None::<Kind>), &x);
            assert!(is_finite(&gradient), "{gradient}");
        }
        let zero = Tensor::zeros([2, 3], (Kind::Double, tch::Device::Cpu)).set_requires_grad(true);
        let matrix = Distance::Euclidean.matrix(&zero, &zero);
        assert_eq!(
            gradient(&matrix.sum(None::<Kind>), &zero)
                .abs()
                .max()
                .double_value(&[]),
            0.0
        );
    }

    #[test]
    fn the_euclidean_gradient_is_that_of_the_difference() {
        let (x, y) = (noise(4, 3, 4).set_requires_grad(true), noise(5, 6, 4));
        let direct = (x.unsqueeze(1) - y.unsqueeze(0)).square().sum_dim_intlist(
            [2i64].as_slice(),
            false,
            None::<Kind>,
        );
        let weights = noise(6, 3, 6);
        let expected = gradient(&(direct.sqrt() * &weights).sum(None::<Kind>), &x);
        let found = gradient(
            &(Distance::Euclidean.matrix(&x, &y) * weights).sum(None::<Kind>),
            &x,
        );
        assert_close(&found, &expected, 1e-12, "gradient");
    }

    #[test]
    fn distances_of_near_duplicates_in_a_small_batch_are_exact_in_single_precision() {
        for (rows, gap) in [(4, 1e-5), (25, 1e-4)] {
            let x = normalize(&noise(7, rows, 64)).to_kind(Kind::Float);
            let y = (&x + noise(8, rows, 64).to_kind(Kind::Float) * gap).detach();
            for distance in [
                Distance::Euclidean,
                Distance::SquaredEuclidean,
                Distance::SignalToNoise,
            ] {
                let of = |kind: Kind| {
                    let leaf = x.to_kind(kind).set_requires_grad(true);
                    let near = distance.matrix(&leaf, &y.to_kind(kind)).diagonal(0, 0, 1);
                    let slope = gradient(&near.sum(None::<Kind>), &leaf);
                    [near.detach(), slope].map(|found| found.to_kind(Kind::Double))
                };
                for (single, exact) in of(Kind::Float).iter().zip(of(Kind::Double)) {
                    let error = (single - &exact).abs().max() / exact.abs().max();
                    assert!(
                        error.double_value(&[]) < 2e-3,
                        "{distance:?}, {rows} rows {gap} apart: {error}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_zero_row_stays_zero_and_has_a_finite_gradient() {
        let x = Tensor::from_slice2(&[[0.0f32, 0.0], [3.0, 4.0]]).set_requires_grad(true);
        let normalized = normalize(&x);
        assert_eq!(rows(&normalized)[0], [0.0, 0.0]);
        assert_close(
            &normalized.get(1),
            &Tensor::from_slice(&[0.6, 0.8]),
            1e-6,
            "length one",
        );
        assert!(is_finite(&gradient(&normalized.sum(None::<Kind>), &x)));
    }
}
