//! Optimizers on flat tensors.
//!
//! All parameters of a network are views of one flat tensor, and their gradients are another. An [`UpdateRule`] is
//! therefore a handful of operations whatever the network, and the state of a [`FlatOptimizer`] is a few tensors. The
//! settings of each rule are [`schema`]'s; the updates are PyTorch's, in the same order of operations.
//!
//! Where layers differ in learning rate, or only matrices decay, the flat tensor is updated [`Stretch`] by stretch, each with
//! factors of its own: what PyTorch calls parameter groups.

mod adam;
mod adam_w;
mod clip;
mod plateau;
mod rms_prop;
mod schedule;
mod sgd;

use schema::Optimizer;
use tch::{Device, Tensor, no_grad};

use crate::state::{State, StateError, copy, overwrite};

pub use clip::clip;
pub use schedule::{LrSchedule, PlateauState, TrainingLength};

/// Changes parameters according to their gradient, element by element.
pub trait UpdateRule: Send {
    /// Returns the names of the buffers that the rule keeps between steps. Each has the shape of the parameters and
    /// starts at zero.
    fn buffers(&self) -> &'static [&'static str];

    /// Updates `parameters` `[p]` in place, given their `gradient` `[p]` and the buffers `[p]`.
    fn update(
        &self,
        parameters: &mut Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
        at: StepInfo,
    );
}

/// The step of an update.
#[derive(Clone, Copy, Debug)]
pub struct StepInfo {
    /// Number of the step, from 1.
    pub number: i64,
    /// Factor of the learning rate, see [`LrSchedule`].
    pub rate: f64,
    /// Factor of the weight decay.
    pub decay: f64,
}

/// A stretch of a flat tensor that is updated with factors of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// How many numbers it has.
    pub length: i64,
    /// Factor of the learning rate.
    pub rate: f64,
    /// Factor of the weight decay.
    pub decay: f64,
}

impl Stretch {
    /// Returns the same stretches as few as possible: neighbors with the same factors are one.
    fn joined(stretches: impl IntoIterator<Item = Stretch>) -> Vec<Stretch> {
        let mut joined: Vec<Stretch> = Vec::new();
        for next in stretches {
            match joined.last_mut() {
                Some(last) if (last.rate, last.decay) == (next.rate, next.decay) => {
                    last.length += next.length;
                }
                _ => joined.push(next),
            }
        }
        joined
    }
}

/// Parameters updated at a time on the CPU: few enough that all buffers of a part stay in the cache, and enough for
/// several threads.
const CPU_PART: i64 = 1 << 16;

/// An update rule with its buffers.
pub struct FlatOptimizer {
    rule: Box<dyn UpdateRule>,
    /// What is updated at a time, and its place.
    parts: Vec<(i64, Stretch)>,
    buffers: Vec<Tensor>,
    steps: Tensor,
}

impl FlatOptimizer {
    /// Returns an optimizer of `parameters` `[p]` at step 0.
    pub fn new(settings: &Optimizer, parameters: &Tensor) -> FlatOptimizer {
        let whole = Stretch {
            length: parameters.numel() as i64,
            rate: 1.0,
            decay: 1.0,
        };
        FlatOptimizer::in_stretches(settings, parameters, [whole])
    }

    /// Returns an optimizer of `parameters` `[p]`, which these stretches cover from the beginning to the end, at step 0.
    ///
    /// # Panics
    /// If they have another length.
    pub fn in_stretches(
        settings: &Optimizer,
        parameters: &Tensor,
        stretches: impl IntoIterator<Item = Stretch>,
    ) -> FlatOptimizer {
        let stretches = Stretch::joined(stretches);
        let covered: i64 = stretches.iter().map(|stretch| stretch.length).sum();
        assert_eq!(covered, parameters.numel() as i64);
        let largest = match parameters.device() {
            Device::Cpu => CPU_PART,
            _ => i64::MAX,
        };
        let rule = update_rule(settings);
        let buffers = rule
            .buffers()
            .iter()
            .map(|_| parameters.detach().zeros_like())
            .collect();
        FlatOptimizer {
            rule,
            parts: parts(&stretches, largest),
            buffers,
            steps: Tensor::from_slice(&[0i64]),
        }
    }

    /// Updates `parameters` `[p]` in place, given their `gradient` `[p]`, with the learning rate times `rate`.
    pub fn step(&mut self, parameters: &mut Tensor, gradient: &Tensor, rate: f64) {
        self.steps += 1;
        let number = self.steps();
        for &(first, part) in &self.parts {
            let length = part.length;
            let at = StepInfo {
                number,
                rate: rate * part.rate,
                decay: part.decay,
            };
            let mut buffers: Vec<Tensor> = self
                .buffers
                .iter()
                .map(|buffer| buffer.narrow(0, first, length))
                .collect();
            let mut parameters = parameters.narrow(0, first, length);
            let gradient = gradient.narrow(0, first, length);
            no_grad(|| {
                self.rule
                    .update(&mut parameters, &gradient, &mut buffers, at)
            });
        }
    }

    /// Returns the number of steps so far.
    pub fn steps(&self) -> i64 {
        self.steps.int64_value(&[0])
    }

    /// Returns a copy of the buffers and of the number of steps.
    pub fn state(&self) -> State {
        let names = self.rule.buffers().iter();
        let buffers = names
            .zip(&self.buffers)
            .map(|(name, buffer)| copy(name, buffer));
        buffers.chain([copy("steps", &self.steps)]).collect()
    }

    /// Continues from a copy made by [`state`](Self::state).
    ///
    /// # Errors
    /// If the state is that of another rule or of other parameters.
    pub fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), StateError> {
        let names = self.rule.buffers().iter().copied().chain(["steps"]);
        let tensors = self.buffers.iter_mut().chain([&mut self.steps]);
        overwrite(&mut names.zip(tensors).collect::<Vec<_>>(), state)
    }
}

/// Returns the stretches in parts of at most this length, with the place of each.
fn parts(stretches: &[Stretch], largest: i64) -> Vec<(i64, Stretch)> {
    let mut parts = Vec::new();
    let mut first = 0;
    for stretch in stretches {
        let end = first + stretch.length;
        while first < end {
            let length = largest.min(end - first);
            parts.push((first, Stretch { length, ..*stretch }));
            first += length;
        }
    }
    parts
}

fn update_rule(settings: &Optimizer) -> Box<dyn UpdateRule> {
    match settings {
        Optimizer::Adam(adam) => Box::new(adam.clone()),
        Optimizer::AdamW(adam_w) => Box::new(adam_w.clone()),
        Optimizer::RmsProp(rms_prop) => Box::new(rms_prop.clone()),
        Optimizer::Sgd(sgd) => Box::new(sgd.clone()),
    }
}

/// Returns the gradient with the L2 penalty added, as PyTorch's `weight_decay` does.
fn with_weight_decay(gradient: &Tensor, parameters: &Tensor, weight_decay: f64) -> Tensor {
    if weight_decay == 0.0 {
        return gradient.shallow_clone();
    }
    gradient + parameters * weight_decay
}

#[cfg(test)]
mod tests {
    use schema::{Adam, Sgd};
    use serde_json::{Value, json};
    use tch::Kind;

    use super::*;
    use crate::testing::{assert_close, golden, noise, tensor};

    /// The settings of a golden case, which has PyTorch's names.
    fn settings(case: &Value) -> Optimizer {
        let mut settings = case["settings"].clone();
        if let Some(epsilon) = settings.as_object_mut().unwrap().remove("eps") {
            settings["epsilon"] = epsilon;
        }
        serde_json::from_value(json!({ case["rule"].as_str().unwrap(): settings })).unwrap()
    }

    /// Compares twenty steps of the rule `name` with those of PyTorch.
    pub(super) fn agrees_with_golden_values(name: &str) {
        let files = [
            include_str!("testdata/steps.json"),
            include_str!("testdata/further_steps.json"),
            include_str!("testdata/option_steps.json"),
        ];
        let files = files.map(golden);
        let of_file = |file| cases_of(file, name).map(move |case| (file, case));
        let cases: Vec<(&Value, &Value)> = files.iter().flat_map(of_file).collect();
        assert!(cases.len() >= 2);
        for (golden, case) in cases {
            let mut parameters = tensor(&golden["start"]);
            let mut optimizer = FlatOptimizer::new(&settings(case), &parameters);
            let gradients = golden["gradients"].as_array().unwrap();
            for (gradient, expected) in gradients.iter().zip(case["path"].as_array().unwrap()) {
                optimizer.step(&mut parameters, &tensor(gradient), 1.0);
                assert_close(
                    &parameters,
                    &tensor(expected),
                    1e-14,
                    &format!("{name} {}", case["settings"]),
                );
            }
            assert_eq!(optimizer.steps(), 20);
        }
    }

    fn cases_of<'a>(file: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
        file["cases"]
            .as_array()
            .unwrap()
            .iter()
            .filter(move |case| case["rule"] == name)
    }

    /// Interrupts an optimizer after three of six steps.
    pub(super) fn continues_bit_for_bit(settings: &Optimizer) {
        let gradient = |step| noise(step, 1, 6).view([6]).to_kind(Kind::Float);
        let mut parameters = gradient(100);
        let mut optimizer = FlatOptimizer::new(settings, &parameters);
        (0..3).for_each(|step| optimizer.step(&mut parameters, &gradient(step), 0.5));
        let (mut copy, state) = (parameters.copy(), optimizer.state());
        (3..6).for_each(|step| optimizer.step(&mut parameters, &gradient(step), 0.5));
        let mut other = FlatOptimizer::new(settings, &copy);
        other.restore(&state).unwrap();
        (3..6).for_each(|step| other.step(&mut copy, &gradient(step), 0.5));
        assert!(copy == parameters);
        assert_eq!(other.steps(), 6);
    }

    fn sgd(lr: f64) -> Optimizer {
        Optimizer::Sgd(Sgd {
            lr,
            momentum: 0.9,
            weight_decay: 0.1,
            ..Sgd::default()
        })
    }

    /// The groups of the reference are stretches here, two of them with the same factors.
    #[test]
    fn stretches_are_updated_as_the_parameter_groups_of_the_reference() {
        let golden = golden(include_str!("testdata/group_steps.json"));
        let stretches = golden["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| Stretch {
                length: group["length"].as_i64().unwrap(),
                rate: group["rate"].as_f64().unwrap(),
                decay: group["decay"].as_f64().unwrap(),
            });
        let stretches: Vec<Stretch> = stretches.collect();
        assert_eq!(
            Stretch::joined(stretches.clone()).len() + 1,
            stretches.len()
        );
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let mut parameters = tensor(&golden["start"]);
            let mut optimizer =
                FlatOptimizer::in_stretches(&settings(case), &parameters, stretches.clone());
            for gradient in golden["gradients"].as_array().unwrap() {
                optimizer.step(&mut parameters, &tensor(gradient), 1.0);
            }
            let name = case["rule"].to_string();
            assert_close(&parameters, &tensor(&case["end"]), 1e-14, &name);
        }
    }

    #[test]
    fn stretches_are_cut_where_they_are_too_long() {
        let stretch = |length, rate| Stretch {
            length,
            rate,
            decay: 1.0,
        };
        let found = parts(&[stretch(5, 1.0), stretch(2, 0.5)], 3);
        let expected = [
            (0, stretch(3, 1.0)),
            (3, stretch(2, 1.0)),
            (5, stretch(2, 0.5)),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_scaled_rate_is_another_learning_rate() {
        let end = |lr: f64, rate: f64| {
            let mut parameters = noise(1, 1, 6).view([6]);
            let mut optimizer = FlatOptimizer::new(&sgd(lr), &parameters);
            (2..5).for_each(|step| {
                optimizer.step(&mut parameters, &noise(step, 1, 6).view([6]), rate)
            });
            parameters
        };
        assert!(end(0.5, 0.25) == end(0.125, 1.0));
    }

    #[test]
    fn a_state_of_another_rule_is_refused() {
        let parameters = noise(1, 1, 6).view([6]);
        let sgd = FlatOptimizer::new(&sgd(0.1), &parameters);
        let adam = Optimizer::Adam(Adam::default());
        let error = FlatOptimizer::new(&adam, &parameters)
            .restore(&sgd.state())
            .unwrap_err();
        assert_eq!(error.to_string(), "the state has no tensor `first_moment`");
    }

    #[test]
    fn a_network_without_parameters_can_be_optimised() {
        let mut parameters = Tensor::from_slice(&[0f32; 0]);
        let mut optimizer = FlatOptimizer::new(&sgd(0.1), &parameters);
        let gradient = parameters.zeros_like();
        optimizer.step(&mut parameters, &gradient, 1.0);
        assert_eq!(parameters.numel(), 0);
    }
}
