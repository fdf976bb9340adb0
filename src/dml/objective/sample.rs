//! An objective on fixed batches, so that objectives can be compared however their losses are written.
//!
//! Classes come in pairs that are close to each other, and each image has a distance of its own from the center of its
//! class: thresholds of all sizes have pairs on both sides. If there is a memory, it holds the batch and a part of the
//! one before. Everything is in double precision.

use schema::ObjectiveSample;
use tch::{Device, Kind, Tensor};

use super::Objective;
use crate::{
    distance::normalize,
    loss::ClassInit,
    memory::MemoryBatch,
    parameters::{Parameters, gradients_at, is_finite},
    random::{Draws, Purpose},
};

/// Width of the embeddings.
pub const WIDTH: i64 = 16;
/// Number of embeddings in a memory.
pub const MEMORY: i64 = 48;

const CLASSES: i64 = 8;
const IMAGES: i64 = 32;
const BATCHES: u64 = 2;
/// Number of slopes of a gradient.
const DIRECTIONS: u64 = 4;

/// Returns what the parameters of losses are initialized from.
pub fn init(seed: u64) -> ClassInit {
    ClassInit {
        classes: CLASSES,
        width: WIDTH,
        seed,
        part: 0,
        device: Device::Cpu,
    }
}

impl Objective {
    /// Returns value and gradient on the fixed batches, the latter with respect to embeddings of any length, and to the
    /// parameters of losses. The losses are made from [`init`]. Returns nothing if there is no gradient, or it is not
    /// finite.
    pub fn sample(self, is_normalized: bool) -> Option<ObjectiveSample> {
        let mut objective = self.in_double_precision();
        let labels: Vec<i64> = (0..IMAGES).map(|image| image % CLASSES).collect();
        let labels = Tensor::from_slice(&labels);
        let mut sample = ObjectiveSample::default();
        for step in 0..BATCHES {
            let raw = raw_batch(step).set_requires_grad(true);
            let embeddings = match is_normalized {
                true => normalize(&raw),
                false => raw.shallow_clone(),
            };
            let first = step as i64 * IMAGES;
            let images: Vec<i64> = (first..first + IMAGES).collect();
            let batch = MemoryBatch {
                embeddings: &embeddings,
                labels: &labels,
                host_labels: None,
                images: Some(&images),
                step,
            };
            let value = objective.step_of(&batch).value;
            if !value.requires_grad() {
                return None;
            }
            let own: Vec<&Parameters> = objective.parameters().map(|(_, own)| own).collect();
            let (of_batch, of_losses) = gradients_at(&raw, &own, &value);
            sample.values.push(value.double_value(&[]));
            for (number, gradient) in (0..).zip([&of_batch].into_iter().chain(&of_losses)) {
                if !is_finite(gradient) {
                    return None;
                }
                sample.slopes.extend(slopes(number, gradient));
            }
        }
        let is_flat = sample.slopes.iter().all(|slope| *slope == 0.0);
        let is_finite = sample.values.iter().all(|value| value.is_finite());
        (is_finite && !is_flat).then_some(sample)
    }

    fn in_double_precision(mut self) -> Objective {
        for (_, parameters) in self.parameters_mut() {
            parameters.convert_to_double();
        }
        Objective {
            memory: self.memory.map(|memory| memory.in_double_precision()),
            ..self
        }
    }
}

/// Returns embeddings `[n, d]` before they are normalized.
fn raw_batch(step: u64) -> Tensor {
    let mut draws = Draws::new(0, Purpose::Comparison, step, 0);
    let mut normal = |rows: i64| {
        let numbers: Vec<f64> = (0..rows * WIDTH).map(|_| draws.normal()).collect();
        Tensor::from_slice(&numbers).view([rows, WIDTH])
    };
    let pairs = normal(CLASSES / 2).repeat([2, 1]);
    let centers = pairs + normal(CLASSES) * 0.5;
    let spreads = Tensor::linspace(0.1, 1.6, IMAGES, (Kind::Double, Device::Cpu)).unsqueeze(1);
    centers.repeat([IMAGES / CLASSES, 1]) + normal(IMAGES) * spreads
}

/// Returns the inner products of a gradient with directions of its own.
fn slopes(number: u64, gradient: &Tensor) -> Vec<f64> {
    let of_direction = |direction| {
        let mut draws = Draws::new(number, Purpose::Comparison, direction, 1);
        let numbers: Vec<f64> = (0..gradient.numel()).map(|_| draws.normal()).collect();
        gradient
            .reshape([-1])
            .dot(&Tensor::from_slice(&numbers))
            .double_value(&[])
    };
    (0..DIRECTIONS).map(of_direction).collect()
}

#[cfg(test)]
mod tests {
    use schema::{
        ArcFace, Contrastive, CosFace, Distance, Loss, MultiSimilarity, NormalizedSoftmax,
        ThresholdConsistentMargin, Triplet, WeightedLoss, Xbm,
    };

    use super::*;
    use crate::{
        memory::CrossBatchMemory, objective::ConfiguredLoss, script::Scripts, testing::script,
    };

    fn objective(loss: &WeightedLoss, scripts: &Scripts) -> Objective {
        Objective::of(ConfiguredLoss::new(loss, scripts, &init(3)).unwrap())
    }

    fn sampled(loss: impl Into<Loss>) -> ObjectiveSample {
        let loss = WeightedLoss::of(loss.into());
        objective(&loss, &Scripts::default()).sample(true).unwrap()
    }

    fn on_cosine(pos_margin: f64, neg_margin: f64) -> WeightedLoss {
        let power = 1.0;
        let loss = Contrastive {
            pos_margin,
            neg_margin,
            power,
        };
        WeightedLoss {
            distance: Some(Distance::Cosine),
            ..WeightedLoss::of(loss.into())
        }
    }

    #[test]
    fn threshold_consistent_margin_is_contrastive_on_cosines_with_and_without_a_memory() {
        let (module, scripts) = script("threshold_consistent_margin");
        let own = WeightedLoss::of(Loss::Torchscript(module));
        for with_memory in [false, true] {
            let sample = |loss: &WeightedLoss| {
                let memory = CrossBatchMemory::new(Xbm::default(), MEMORY, WIDTH, Device::Cpu);
                let objective = Objective {
                    memory: with_memory.then_some(memory),
                    ..objective(loss, &scripts)
                };
                objective.sample(true).unwrap()
            };
            let own = sample(&own);
            let built_in = WeightedLoss::of(ThresholdConsistentMargin::default().into());
            assert!(own.agrees(&sample(&built_in)), "{own:?}");
            assert!(own.agrees(&sample(&on_cosine(0.9, 0.5))), "{own:?}");
            for other in [on_cosine(0.9, 0.501), on_cosine(0.899, 0.5)] {
                assert!(!own.agrees(&sample(&other)), "{other:?}");
            }
        }
    }

    #[test]
    fn losses_with_parameters_are_compared_with_the_same_parameters() {
        let softmax = sampled(NormalizedSoftmax { temperature: 0.1 });
        let scale = 10.0;
        let margin = 0.0;
        assert!(softmax.agrees(&sampled(CosFace { margin, scale })));
        assert!(softmax.agrees(&sampled(ArcFace { margin, scale })));
        let margin = 0.01;
        assert!(!softmax.agrees(&sampled(CosFace { margin, scale })));
    }

    #[test]
    fn every_two_losses_at_their_defaults_are_different_functions() {
        let every = Loss::every().into_iter();
        let samples: Vec<(&str, ObjectiveSample)> = every
            .filter(|loss| !loss.needs_survey())
            .map(|loss| (loss.key(), sampled(loss)))
            .collect();
        for (number, (one, of_one)) in samples.iter().enumerate() {
            for (other, of_other) in &samples[..number] {
                assert!(!of_one.agrees(of_other), "{one} is {other}");
            }
        }
    }

    #[test]
    fn what_has_no_gradient_is_not_compared() {
        // Every negative is farther than that.
        let idle = on_cosine(-1.0, 1.0);
        assert!(objective(&idle, &Scripts::default()).sample(true).is_none());
    }

    #[test]
    fn a_small_change_of_a_margin_is_seen() {
        let margin = |margin| {
            sampled(Triplet {
                margin,
                ..Triplet::default()
            })
        };
        assert!(!margin(0.1).agrees(&margin(0.1001)));
        let base = |base| {
            sampled(MultiSimilarity {
                base,
                ..MultiSimilarity::default()
            })
        };
        assert!(!base(0.5).agrees(&base(0.5001)));
    }
}
