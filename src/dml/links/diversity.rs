//! Diversity of heads. Opitz, Waltner, Possegger & Bischof, "Deep Metric Learning with BIER: Boosting Independent
//! Embeddings Robustly", 2018 (A-BIER).
//!
//! With `f_k = W_k h` of the last layer of head k, without its bias and its normalization, the penalty is
//! `weight (R + norm P)`. No gradient reaches `h`: the trunk does not learn from it.
//! - `activation`: R is the sum over heads i < j of the mean, over images and numbers a, b, of `(f_i[a] f_j[b])^2`; P the
//!   sum over heads of the mean over rows of `(|row of W_k|^2 - 1)^2`.
//! - `adversarial`: R is the sum over i < j of `-mean (f_i g_ij(f_j))^2`, where a hidden layer with ReLU makes `g_ij`, and
//!   gradients of R into `f_i` and `f_j` are reversed: the predictors g raise it, the heads lower it. P is the sum over heads
//!   of the mean over columns of `(|column of W_k|^2 - 1)^2`, the same over both layers of each predictor, and
//!   `max(0, |b|^2 - 1)` of their biases.
//!
//! Reference: mop/bier (the authors' program). Differs: the predictors start with PyTorch's initialization.

use schema::Diversity;
use tch::{Device, Kind, Tensor};

use crate::{
    parameters::{Init, ParamSpec, Parameters},
    random::{Draws, Purpose},
};

/// What a penalty sees of a head.
#[derive(Debug)]
pub struct HeadOutput {
    /// `[n, d]`: the last layer's output without its bias, and without a gradient to its input.
    pub projected: Tensor,
    /// `[d, f]`: its weights.
    pub weights: Tensor,
}

/// A penalty on heads that agree.
#[derive(Debug)]
pub struct DiversityLoss {
    settings: Diversity,
    /// Those of the predictors; none without them.
    predictors: Option<Parameters>,
}

impl DiversityLoss {
    /// Returns the penalty for heads of these widths, in order.
    pub fn new(settings: &Diversity, widths: &[i64], seed: u64, device: Device) -> DiversityLoss {
        let predictors = match settings {
            Diversity::Activation(_) => None,
            Diversity::Adversarial(adversarial) => {
                let specs = pairs(widths.len()).flat_map(|(to, from)| {
                    predictor(
                        to,
                        from,
                        [widths[from], adversarial.hidden.into(), widths[to]],
                    )
                });
                let draws = |tensor| Draws::new(seed, Purpose::Predictors, tensor, 0);
                let specs = (0..).zip(specs).collect();
                Some(Parameters::drawn(specs, device, draws).trainable())
            }
        };
        DiversityLoss {
            settings: settings.clone(),
            predictors,
        }
    }

    /// Returns the parameters of the predictors, if there are any.
    pub fn parameters(&self) -> Option<&Parameters> {
        self.predictors.as_ref()
    }

    /// Returns the parameters of the predictors, to change them.
    pub fn parameters_mut(&mut self) -> Option<&mut Parameters> {
        self.predictors.as_mut()
    }

    /// Returns the penalty on these heads: a scalar.
    pub fn cost(&self, heads: &[HeadOutput]) -> Tensor {
        let weights = || heads.iter().map(|head| &head.weights);
        match (&self.settings, &self.predictors) {
            (Diversity::Activation(settings), _) => {
                let growth = sum(weights().map(|weights| departure(weights, Axis::Rows)));
                (agreement(heads) + growth * settings.norm) * settings.weight
            }
            (Diversity::Adversarial(settings), predictors) => {
                let layers: Vec<&Tensor> = predictors.iter().flat_map(Parameters::views).collect();
                let (matrices, biases): (Vec<&Tensor>, Vec<&Tensor>) =
                    layers.iter().partition(|tensor| tensor.dim() == 2);
                let columns = weights().chain(matrices);
                let growth = sum(columns.map(|weights| departure(weights, Axis::Columns)))
                    + sum(biases.into_iter().map(excess));
                (predictability(heads, &layers) + growth * settings.norm) * settings.weight
            }
        }
    }
}

/// Returns all pairs of heads, the first before the second.
fn pairs(heads: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..heads).flat_map(move |one| (one + 1..heads).map(move |other| (one, other)))
}

/// Returns the two layers that predict a head from a later one; `widths` are those of input, hidden layer and output.
fn predictor(to: usize, from: usize, widths: [i64; 3]) -> [ParamSpec; 4] {
    let [inputs, hidden, outputs] = widths;
    let spec = |part: &str, shape: &[i64], inputs| {
        ParamSpec::new(
            format!("predictor{to}_{from}.{part}"),
            shape,
            Init::FanIn(inputs),
        )
    };
    [
        spec("hidden.weight", &[hidden, inputs], inputs),
        spec("hidden.bias", &[hidden], inputs),
        spec("output.weight", &[outputs, hidden], hidden),
        spec("output.bias", &[outputs], hidden),
    ]
}

/// Returns how large numbers of two heads are for the same images.
fn agreement(heads: &[HeadOutput]) -> Tensor {
    let energy = |head: &HeadOutput| {
        let squares = head.projected.square();
        squares.mean_dim([1i64].as_slice(), false, None::<Kind>)
    };
    let energies: Vec<Tensor> = heads.iter().map(energy).collect();
    let of = |(one, other): (usize, usize)| (&energies[one] * &energies[other]).mean(None::<Kind>);
    sum(pairs(heads.len()).map(of))
}

/// Returns the negative of how well the predictors with these layers do.
fn predictability(heads: &[HeadOutput], layers: &[&Tensor]) -> Tensor {
    let reversed: Vec<Tensor> = heads.iter().map(|head| reversed(&head.projected)).collect();
    let of = |((to, from), layers): ((usize, usize), &[&Tensor])| {
        let hidden = reversed[from].linear(layers[0], Some(layers[1])).relu();
        let predicted = hidden.linear(layers[2], Some(layers[3]));
        -(&reversed[to] * predicted).square().mean(None::<Kind>)
    };
    sum(pairs(heads.len()).zip(layers.chunks_exact(4)).map(of))
}

/// Returns a tensor of the same values, whose gradient is the negative of theirs.
fn reversed(tensor: &Tensor) -> Tensor {
    tensor.detach() * 2.0 - tensor
}

/// What of a matrix is to have length one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Rows,
    Columns,
}

/// Returns the mean squared departure of the squared lengths of rows or columns from one.
fn departure(weights: &Tensor, axis: Axis) -> Tensor {
    let summed: i64 = match axis {
        Axis::Rows => 1,
        Axis::Columns => 0,
    };
    let squares = weights.square();
    let lengths = squares.sum_dim_intlist([summed].as_slice(), false, None::<Kind>);
    (lengths - 1.0).square().mean(None::<Kind>)
}

/// Returns by how much the squared length of a bias exceeds one.
fn excess(bias: &Tensor) -> Tensor {
    (bias.square().sum(None::<Kind>) - 1.0).relu()
}

fn sum(terms: impl Iterator<Item = Tensor>) -> Tensor {
    terms
        .reduce(|sum, term| sum + term)
        .unwrap_or_else(|| Tensor::from(0.0))
}
