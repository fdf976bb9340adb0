//! What losses share that compare images with parameters of classes instead of other images.
//!
//! Such parameters are called proxies, centres or weights, depending on the paper; here they are rows, one or more
//! for each class, and a loss scales them to length one before it compares, as it expects of the embeddings. Their
//! initial numbers are distributed as in pytorch-metric-learning (PML), but drawn from [`crate::random`].
//! Labels are 0 to C - 1.

use tch::{Device, Kind, Tensor};

use super::Batch;
use crate::reduce::{Part, Terms};

/// What the parameters of a loss start with.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// How many classes there are.
    pub classes: i64,
    /// How many numbers an embedding has.
    pub width: i64,
    /// Seed of the initial numbers.
    pub seed: u64,
    /// Which loss of an objective it is: two of the same kind start with different numbers.
    pub part: u64,
    /// Where they are.
    pub device: Device,
}

/// Returns a term for each image: the cross entropy of its row of `logits` `[n, classes]` with its label, times
/// its weight in `weights` `[n]`.
pub(super) fn cross_entropy(logits: &Tensor, batch: &Batch, weights: &Tensor) -> Terms {
    let values = logits.cross_entropy_loss(
        batch.labels,
        None::<Tensor>,
        tch::Reduction::None,
        -100,
        0.0,
    );
    Terms::of([Part::of_anchors(values * weights)])
}

/// Returns a mask `[n, classes]` of the class of each image.
pub(super) fn own_class(batch: &Batch, classes: i64) -> Tensor {
    let all = Tensor::arange(classes, (Kind::Int64, batch.labels.device()));
    batch.labels.unsqueeze(1).eq_tensor(&all.unsqueeze(0))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{
        ArcFace, CosFace, Loss, LossValue, NormalisedSoftmax, ProxyAnchor, ProxyNca, ProxyNcaPp,
        SoftTriple, SoftTripleSettings, tests::batch,
    };
    use super::*;
    use crate::{
        distance::{Distance, normalise},
        parameters::Parameters,
        testing::{is_finite, rows},
        tuples::References,
    };

    /// For the batch of [`batch`]: four classes, width three.
    pub(in super::super) const START: Start = Start {
        classes: 4,
        width: 3,
        seed: 7,
        part: 0,
        device: Device::Cpu,
    };

    /// The same loss in double precision.
    pub(in super::super) fn in_double<L: Loss>(mut loss: L) -> L {
        let Some(parameters) = loss.parameters_mut() else {
            return loss;
        };
        let copies: Vec<(String, Tensor)> = parameters
            .named()
            .map(|(name, tensor)| (name.to_owned(), tensor.detach().copy()))
            .collect();
        parameters.set_all(Kind::Double, |name| {
            copies
                .iter()
                .find(|(copy, _)| copy == name)
                .unwrap()
                .1
                .shallow_clone()
        });
        loss
    }

    /// The only parameter of a loss.
    pub(in super::super) fn only_parameter(loss: &dyn Loss) -> Tensor {
        loss.parameters()
            .and_then(|parameters| parameters.named().next())
            .unwrap()
            .1
            .shallow_clone()
    }

    /// The cosines of the embeddings of [`batch`] with the rows of a loss's parameter, and the labels.
    pub(in super::super) fn cosines(loss: &dyn Loss) -> (Vec<Vec<f64>>, Vec<usize>) {
        let (embeddings, _, labels) = batch(Distance::Cosine);
        let (embeddings, proxies) = (rows(&embeddings), rows(&only_parameter(loss).detach()));
        let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let cosine = |x: &[f64], y: &[f64]| product(x, y) / (product(x, x) * product(y, y)).sqrt();
        let of = |x: &Vec<f64>| proxies.iter().map(|y| cosine(x, y)).collect();
        (
            embeddings.iter().map(of).collect(),
            labels.into_iter().map(|label| label as usize).collect(),
        )
    }

    /// The mean over images of -log softmax at the label, as a loop.
    pub(in super::super) fn mean_cross_entropy(logits: &[Vec<f64>], labels: &[usize]) -> f64 {
        let term = |(row, &label): (&Vec<f64>, &usize)| {
            row.iter().map(|x| (x - row[label]).exp()).sum::<f64>().ln()
        };
        logits.iter().zip(labels).map(term).sum::<f64>() / labels.len() as f64
    }

    /// Asserts that, in single precision, value and gradients are finite numbers for embeddings that coincide with
    /// the rows of the parameter, are opposite to them, or zero.
    pub(in super::super) fn is_stable(loss: &dyn Loss) {
        let proxies = only_parameter(loss).detach();
        let raw =
            Tensor::cat(&[&proxies, &-&proxies, &proxies.zeros_like()], 0).set_requires_grad(true);
        for label in 0..START.classes {
            let labels = Tensor::full([raw.size()[0]], label, (Kind::Int64, Device::Cpu));
            let found = cost(loss, &normalise(&raw), &labels);
            let named = loss
                .parameters()
                .into_iter()
                .flat_map(Parameters::named)
                .map(|(_, tensor)| tensor);
            let inputs: Vec<&Tensor> = named.chain([&raw]).collect();
            let gradients = Tensor::run_backward(&[&found.value], &inputs, false, false);
            assert!(
                is_finite(&found.value) && gradients.iter().all(is_finite),
                "{} {gradients:?}",
                found.value
            );
        }
    }

    /// The root of the mean square of many initial numbers, and their greatest size.
    fn spread(loss: &dyn Loss) -> (f64, f64) {
        let numbers = only_parameter(loss).detach().to_kind(Kind::Double);
        (
            numbers.square().mean(None::<Kind>).sqrt().double_value(&[]),
            numbers.abs().max().double_value(&[]),
        )
    }

    #[test]
    fn initial_numbers_are_distributed_as_the_references_distribute_them() {
        let start = &Start {
            classes: 200,
            width: 50,
            ..START
        };
        let settings = SoftTripleSettings {
            centres: 2,
            la: 20.0,
            gamma: 0.1,
            delta: 0.01,
            regulariser: 0.2,
        };
        let losses: [(Box<dyn Loss>, f64); 7] = [
            (Box::new(ProxyNca::new(1.0, start)), 1.0),
            (Box::new(ProxyNcaPp::new(1.0, start)), 0.125),
            (Box::new(ProxyAnchor::new(0.1, 32.0, start)), 0.1),
            (Box::new(NormalisedSoftmax::new(0.05, start)), 1.0),
            (Box::new(CosFace::new(0.35, 64.0, start)), 1.0),
            (Box::new(ArcFace::new(28.6, 64.0, start)), 1.0),
            (
                Box::new(SoftTriple::new(settings, start)),
                0.05 / f64::sqrt(3.0),
            ),
        ];
        for (loss, deviation) in losses {
            let (found, greatest) = spread(&*loss);
            assert!(
                (found / deviation - 1.0).abs() < 0.03,
                "{found} instead of {deviation}"
            );
            // Normal numbers go beyond three deviations, uniform ones end at the root of three.
            assert!((greatest > 3.0 * deviation) == (deviation != 0.05 / f64::sqrt(3.0)));
        }
    }

    #[test]
    fn the_first_initial_numbers_never_change() {
        // If this fails, runs with the same name no longer have the same result.
        let first = |part| {
            only_parameter(&ProxyNca::new(1.0, &Start { part, ..START })).double_value(&[0, 0])
                as f32
        };
        assert_eq!([first(0), first(1)], [0.7032254, -1.9173433]);
    }

    fn cost(loss: &dyn Loss, embeddings: &Tensor, labels: &Tensor) -> LossValue {
        let references = &References::batch(embeddings, labels);
        Batch {
            embeddings,
            labels,
            references,
            chosen: None,
            distance: loss.distance(),
        }
        .cost(loss, loss.reduction())
    }
}
