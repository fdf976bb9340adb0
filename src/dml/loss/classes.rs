//! Losses that compare images with parameters of classes instead of other images.
//!
//! Depending on the paper, these parameters are called proxies, centers or weights. Here they are
//! rows, one or more for each class, scaled to length one before they are compared unless a loss says otherwise, as
//! embeddings are. Their initial values are distributed as in pytorch-metric-learning (PML), but drawn from
//! [`crate::random`]. Labels are 0 to C - 1.
//!
//! [`ClassLoss`] holds the rows. Most of these losses are a cross entropy and implement [`Logits`];
//! the others implement [`ClassTerms`].

use schema::{LossFacts, LossPart};
use tch::{Device, Kind, Tensor};

use super::{
    Loss, LossInput,
    rows::{log_sum_exp, softplus},
};
use crate::{
    distance::normalize,
    parameters::{Init, ParamSpec, Parameters},
    random::{Draws, Purpose},
    reduce::{Part, Terms},
    tuples::at,
};

/// What the parameters of a loss are initialized from.
#[derive(Clone, Copy, Debug)]
pub struct ClassInit {
    /// Number of classes.
    pub classes: i64,
    /// Dimension of the embeddings.
    pub width: i64,
    /// Seed of the initial values.
    pub seed: u64,
    /// Index of the loss in an objective: two losses of one kind have different initial values.
    pub part: u64,
    /// Where the parameters are stored.
    pub device: Device,
}

impl ClassInit {
    /// Returns the trained parameters of a loss with their initial values.
    pub(super) fn parameters(&self, tensors: Vec<ParamSpec>) -> Parameters {
        let draws = |index| Draws::new(self.seed, Purpose::Proxies, index, self.part);
        Parameters::drawn((0..).zip(tensors).collect(), self.device, draws).trainable()
    }
}

/// The rows that a loss compares images with.
pub trait ClassRows: LossPart + Send {
    /// Returns the name of the rows.
    fn name(&self) -> &'static str {
        "weights"
    }

    /// Returns the number of rows of each class; they are next to each other.
    fn rows_per_class(&self) -> i64 {
        1
    }

    /// Returns the rows as they are compared.
    fn compared(&self, rows: &Tensor) -> Tensor {
        normalize(rows)
    }

    /// Returns the distribution of the initial values.
    fn initial(&self, _classes: i64) -> Init {
        Init::Normal(1.0)
    }
}

/// A loss of rows of classes.
pub trait ClassTerms: ClassRows {
    /// Returns the terms of a batch, given the rows `[classes * rows per class, d]` as they are compared.
    fn terms(&self, batch: &LossInput, rows: &Tensor) -> Terms;
}

/// A loss that is the cross entropy of logits, with a term for each image.
pub trait Logits: ClassRows {
    /// Returns the logits `[n, classes]`, given the rows `[classes * rows per class, d]` as they
    /// are compared.
    fn logits(&self, batch: &LossInput, rows: &Tensor) -> Tensor;

    /// Returns the weight of each image: `[n]`. See [`LossInput::weights`].
    fn weights(&self, batch: &LossInput) -> Tensor {
        batch.weights()
    }

    /// Returns a scalar that is added to the loss, given the rows.
    fn penalty(&self, _rows: &Tensor) -> Option<Tensor> {
        None
    }
}

impl<S: Logits> ClassTerms for S {
    fn terms(&self, batch: &LossInput, rows: &Tensor) -> Terms {
        let values = cross_entropy(batch, &self.logits(batch, rows));
        Terms {
            parts: vec![Part::of_anchors(values * self.weights(batch))],
            added: self.penalty(rows).into_iter().collect(),
        }
    }
}

/// Returns `-log softmax` of the logits `[n, classes]` at the class of each image: `[n]`. Unlike PyTorch's, it is exact
/// also where it is nearly 0.
fn cross_entropy(batch: &LossInput, logits: &Tensor) -> Tensor {
    let images = Tensor::arange(batch.images(), (Kind::Int64, batch.labels.device()));
    let others = own_class(batch, logits.size()[1]).logical_not();
    softplus(&(log_sum_exp(logits, &others) - at(logits, &images, batch.labels)))
}

/// A loss with its rows.
#[derive(Debug)]
pub struct ClassLoss<S> {
    settings: S,
    rows: Parameters,
}

impl<S: ClassTerms> ClassLoss<S> {
    /// Returns a loss with its initial rows.
    pub fn new(settings: S, init: &ClassInit) -> ClassLoss<S> {
        let count = init.classes * settings.rows_per_class();
        let initial = settings.initial(init.classes);
        let rows = ParamSpec::new(settings.name(), &[count, init.width], initial);
        ClassLoss {
            rows: init.parameters(vec![rows]),
            settings,
        }
    }
}

impl<S: ClassTerms> LossPart for ClassLoss<S> {
    fn facts(&self) -> LossFacts {
        self.settings.facts()
    }
}

impl<S: ClassTerms> Loss for ClassLoss<S> {
    fn terms(&self, batch: &LossInput) -> Terms {
        let rows = self.settings.compared(self.rows.get(self.settings.name()));
        self.settings.terms(batch, &rows)
    }

    fn parameters(&self) -> Option<&Parameters> {
        Some(&self.rows)
    }

    fn parameters_mut(&mut self) -> Option<&mut Parameters> {
        Some(&mut self.rows)
    }
}

/// Returns a mask `[n, classes]` of the class of each image.
pub(super) fn own_class(batch: &LossInput, classes: i64) -> Tensor {
    let all = Tensor::arange(classes, (Kind::Int64, batch.labels.device()));
    batch.labels.unsqueeze(1).eq_tensor(&all.unsqueeze(0))
}

#[cfg(test)]
pub(super) mod tests {
    use schema::{
        ArcFace, CosFace, Distance, NormalizedSoftmax, ProxyAnchor, ProxyNca, ProxyNcaPp,
        ReferenceKind, SoftTriple,
    };

    use super::super::{BuildLoss, LossValue, build, tests::batch};
    use super::*;
    use crate::{
        parameters::Parameters,
        testing::{assert_close, gradient, is_finite, rows},
        tuples::{Pairs, References, Tuples},
    };

    /// For the batch of [`batch`]: four classes, width three.
    pub(in super::super) const START: ClassInit = ClassInit {
        classes: 4,
        width: 3,
        seed: 7,
        part: 0,
        device: Device::Cpu,
    };

    /// Returns a loss of [`START`] in double precision.
    pub(in super::super) fn in_double(settings: &impl BuildLoss) -> Box<dyn Loss> {
        in_double_from(settings, &START)
    }

    /// Returns a loss in double precision.
    pub(in super::super) fn in_double_from(
        settings: &impl BuildLoss,
        init: &ClassInit,
    ) -> Box<dyn Loss> {
        in_double_of(settings.build(init))
    }

    fn in_double_of(mut loss: Box<dyn Loss>) -> Box<dyn Loss> {
        if let Some(parameters) = loss.parameters_mut() {
            parameters.convert_to_double();
        }
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
    pub(in super::super) fn is_stable(settings: &impl BuildLoss) {
        loss_is_stable(&*settings.build(&START));
    }

    /// Asserts the same of a loss of [`START`].
    pub(in super::super) fn loss_is_stable(loss: &dyn Loss) {
        let proxies = only_parameter(loss).detach();
        let raw =
            Tensor::cat(&[&proxies, &-&proxies, &proxies.zeros_like()], 0).set_requires_grad(true);
        for label in 0..START.classes {
            let labels = Tensor::full([raw.size()[0]], label, (Kind::Int64, Device::Cpu));
            let found = cost(loss, &normalize(&raw), &labels);
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

    /// The loss of [`batch`] on what a miner chose, and its gradient with respect to the embeddings.
    fn of_chosen(loss: &dyn Loss, chosen: Option<&Tuples>) -> (LossValue, Tensor) {
        let (embeddings, _, labels) = batch(loss.distance());
        let (embeddings, labels) = (
            embeddings.set_requires_grad(true),
            Tensor::from_slice(&labels),
        );
        let references = References::batch(&embeddings, &labels);
        let found = LossInput {
            chosen,
            ..LossInput::with(&embeddings, &labels, &references, loss)
        }
        .cost(loss, loss.reduction());
        let gradient = gradient(&found.value, &embeddings);
        (found, gradient)
    }

    /// All pairs of the images that a mask keeps.
    fn pairs_of(kept: &[bool; 12]) -> Tuples {
        let (embeddings, _, labels) = batch(Distance::Cosine);
        let labels = Tensor::from_slice(&labels);
        let kept = Tensor::from_slice(kept);
        let kept = kept.unsqueeze(1).logical_and(&kept.unsqueeze(0));
        let (positives, negatives) = References::batch(&embeddings, &labels).masks(&labels);
        Tuples::Pairs(Pairs::marked(
            &positives.logical_and(&kept),
            &negatives.logical_and(&kept),
        ))
    }

    fn is_of_classes(loss: &dyn LossPart) -> bool {
        loss.facts().references == ReferenceKind::Classes
    }

    #[test]
    fn a_miner_means_the_same_for_every_loss_of_classes() {
        let every = schema::Loss::every().into_iter();
        let losses = every.filter(|loss| loss.part().is_some_and(is_of_classes));
        for settings in losses {
            let name = settings.key();
            let loss = in_double_of(build(&settings, &START).unwrap());
            let (all, slopes) = of_chosen(&*loss, None);
            let (equally, _) = of_chosen(&*loss, Some(&pairs_of(&[true; 12])));
            assert_close(&equally.value, &all.value, 1e-12, name);

            let (nothing, none) = of_chosen(&*loss, Some(&pairs_of(&[false; 12])));
            assert!(nothing.is_empty(), "{name}");
            assert_eq!(none.abs().max().double_value(&[]), 0.0, "{name}");

            let mut but_first = [true; 12];
            but_first[0] = false;
            let (_, left_out) = of_chosen(&*loss, Some(&pairs_of(&but_first)));
            let first = |slopes: &Tensor| slopes.get(0).norm().double_value(&[]);
            assert!(first(&left_out) < 0.5 * first(&slopes), "{name}");
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
        let init = &ClassInit {
            classes: 200,
            width: 50,
            ..START
        };
        let soft_triple = SoftTriple {
            centers: 2,
            ..SoftTriple::default()
        };
        let losses = [
            (ProxyNca::default().build(init), 1.0),
            (ProxyNcaPp::default().build(init), 0.125),
            (ProxyAnchor::default().build(init), 0.1),
            (NormalizedSoftmax::default().build(init), 1.0),
            (CosFace::default().build(init), 1.0),
            (ArcFace::default().build(init), 1.0),
            (soft_triple.build(init), 0.05 / f64::sqrt(3.0)),
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
            let loss = ProxyNca::default().build(&ClassInit { part, ..START });
            only_parameter(&*loss).double_value(&[0, 0]) as f32
        };
        assert_eq!([first(0), first(1)], [0.7032254, -1.9173433]);
    }

    fn cost(loss: &dyn Loss, embeddings: &Tensor, labels: &Tensor) -> LossValue {
        let references = &References::batch(embeddings, labels);
        LossInput::with(embeddings, labels, references, loss).cost(loss, loss.reduction())
    }
}
