//! Optimizers on flat tensors.
//!
//! All parameters of a network are views of one flat tensor, and their gradients are another. An [`UpdateRule`] is
//! therefore a handful of operations whatever the network, and the state of a [`FlatOptimizer`] is a few tensors. The
//! settings of each rule are [`schema`]'s; the updates are PyTorch's, in the same order of operations.

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
}

/// Parameters updated at a time on the CPU: few enough that all buffers of a part stay in the cache, and enough for
/// several threads.
const CPU_PART: i64 = 1 << 16;

/// An update rule with its buffers.
pub struct FlatOptimizer {
    rule: Box<dyn UpdateRule>,
    buffers: Vec<Tensor>,
    steps: Tensor,
}

impl FlatOptimizer {
    /// Returns an optimizer of `parameters` `[p]` at step 0.
    pub fn new(settings: &Optimizer, parameters: &Tensor) -> FlatOptimizer {
        let rule = update_rule(settings);
        let buffers = rule
            .buffers()
            .iter()
            .map(|_| parameters.detach().zeros_like())
            .collect();
        FlatOptimizer {
            rule,
            buffers,
            steps: Tensor::from_slice(&[0i64]),
        }
    }

    /// Updates `parameters` `[p]` in place, given their `gradient` `[p]`, with the learning rate times `rate`.
    pub fn step(&mut self, parameters: &mut Tensor, gradient: &Tensor, rate: f64) {
        self.steps += 1;
        let at = StepInfo {
            number: self.steps(),
            rate,
        };
        let total = parameters.numel() as i64;
        let part = match parameters.device() {
            Device::Cpu => CPU_PART,
            _ => i64::MAX,
        };
        for first in (0..total).step_by(part as usize) {
            let length = part.min(total - first);
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
