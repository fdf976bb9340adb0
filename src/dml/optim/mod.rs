//! Optimisers on flat tensors.
//!
//! All parameters of a network lie in one flat tensor, and so does their gradient. A [`Rule`] is then a handful of
//! operations whatever the network, and an [`Optimizer`]'s state is a few tensors.
//! The rules are PyTorch's, in the same order of operations.

mod adam;
mod adam_w;
mod clip;
mod plateau;
mod rms_prop;
mod schedule;
mod sgd;

use tch::{Device, Tensor, no_grad};

use crate::state::{State, StateError, copy, overwrite};

pub use adam::Adam;
pub use adam_w::AdamW;
pub use clip::Clip;
pub use plateau::{Plateau, PlateauState};
pub use rms_prop::RmsProp;
pub use schedule::{Schedule, WarmUp};
pub use sgd::Sgd;

/// How parameters follow their gradient.
pub trait Rule: Send {
    /// Names of the tensors, of the parameters' shape and zero at first, that it keeps between steps.
    fn kept(&self) -> &'static [&'static str];

    /// Changes `parameters` `[p]`, given the `gradient` `[p]`, what it kept, and when this is: each number by itself.
    fn update(&self, parameters: &mut Tensor, gradient: &Tensor, kept: &mut [Tensor], at: Moment);
}

/// When a rule is used.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The number of this step, from 1.
    pub step: i64,
    /// What the learning rate is multiplied by, see [`Schedule`].
    pub rate: f64,
}

/// On the CPU, so many numbers are changed at a time: all that a rule needs of them stays in a cache, and there are
/// enough for several threads.
const PART: i64 = 1 << 16;

/// A rule with what it keeps between steps.
pub struct Optimizer {
    rule: Box<dyn Rule>,
    kept: Vec<Tensor>,
    steps: Tensor,
}

impl Optimizer {
    /// Returns an optimiser of `parameters` `[p]` that has done no step yet.
    pub fn new(rule: impl Rule + 'static, parameters: &Tensor) -> Optimizer {
        let kept = rule
            .kept()
            .iter()
            .map(|_| parameters.detach().zeros_like())
            .collect();
        Optimizer {
            rule: Box::new(rule),
            kept,
            steps: Tensor::from_slice(&[0i64]),
        }
    }

    /// Changes `parameters` `[p]` in place, given their `gradient` `[p]`, with the learning rate times `rate`.
    pub fn step(&mut self, parameters: &mut Tensor, gradient: &Tensor, rate: f64) {
        self.steps += 1;
        let at = Moment {
            step: self.steps(),
            rate,
        };
        let part = |of: &Tensor, first: i64, length: i64| of.narrow(0, first, length);
        let (total, most) = (
            parameters.numel() as i64,
            if parameters.device() == Device::Cpu {
                PART
            } else {
                i64::MAX
            },
        );
        for first in (0..total).step_by(most as usize) {
            let length = most.min(total - first);
            let mut kept: Vec<Tensor> = self
                .kept
                .iter()
                .map(|kept| part(kept, first, length))
                .collect();
            let (mut parameters, gradient) = (
                part(parameters, first, length),
                part(gradient, first, length),
            );
            no_grad(|| self.rule.update(&mut parameters, &gradient, &mut kept, at));
        }
    }

    /// How many steps have been done.
    pub fn steps(&self) -> i64 {
        self.steps.int64_value(&[0])
    }

    /// Returns a copy of what it keeps, and of the number of steps.
    pub fn state(&self) -> State {
        let kept = self
            .rule
            .kept()
            .iter()
            .zip(&self.kept)
            .map(|(name, kept)| copy(name, kept));
        kept.chain([copy("steps", &self.steps)]).collect()
    }

    /// Continues from a copy made by [`state`](Self::state).
    pub fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), StateError> {
        let names = self.rule.kept().iter().copied().chain(["steps"]);
        let tensors = self.kept.iter_mut().chain([&mut self.steps]);
        overwrite(&mut names.zip(tensors).collect::<Vec<_>>(), state)
    }
}

/// Adds an L2 penalty to the gradient, as PyTorch's `weight_decay` does.
fn decayed(gradient: &Tensor, parameters: &Tensor, weight_decay: f64) -> Tensor {
    if weight_decay == 0.0 {
        gradient.shallow_clone()
    } else {
        gradient + parameters * weight_decay
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tch::Kind;

    use super::*;
    use crate::testing::{assert_close, golden, noise, tensor};

    fn named_rule(case: &Value, parameters: &Tensor) -> Optimizer {
        let betas = || [0, 1].map(|index| case["settings"]["betas"][index].as_f64().unwrap());
        let setting = |name: &str| case["settings"][name].as_f64().unwrap();
        let (lr, weight_decay) = (setting("lr"), setting("weight_decay"));
        let flag = |name: &str| case["settings"][name].as_bool().unwrap_or(false);
        match case["rule"].as_str().unwrap() {
            "adam" => {
                let (betas, epsilon, amsgrad) = (betas(), setting("eps"), flag("amsgrad"));
                Optimizer::new(
                    Adam {
                        lr,
                        betas,
                        epsilon,
                        amsgrad,
                        weight_decay,
                    },
                    parameters,
                )
            }
            "adam_w" => {
                let (betas, epsilon, amsgrad) = (betas(), setting("eps"), flag("amsgrad"));
                Optimizer::new(
                    AdamW {
                        lr,
                        betas,
                        epsilon,
                        amsgrad,
                        weight_decay,
                    },
                    parameters,
                )
            }
            "rms_prop" => {
                let (alpha, epsilon, momentum) =
                    (setting("alpha"), setting("eps"), setting("momentum"));
                let centered = flag("centered");
                Optimizer::new(
                    RmsProp {
                        lr,
                        alpha,
                        epsilon,
                        momentum,
                        centered,
                        weight_decay,
                    },
                    parameters,
                )
            }
            "sgd" => {
                let dampening = case["settings"]["dampening"].as_f64().unwrap_or(0.0);
                let (momentum, nesterov) = (setting("momentum"), flag("nesterov"));
                Optimizer::new(
                    Sgd {
                        lr,
                        momentum,
                        dampening,
                        nesterov,
                        weight_decay,
                    },
                    parameters,
                )
            }
            other => panic!("golden rule {other}"),
        }
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
            let mut optimizer = named_rule(case, &parameters);
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

    /// Interrupts `make()` after three of six steps.
    pub(super) fn continues_bit_for_bit(make: impl Fn(&Tensor) -> Optimizer) {
        let gradient = |step| noise(step, 1, 6).view([6]).to_kind(Kind::Float);
        let mut parameters = gradient(100);
        let mut optimizer = make(&parameters);
        (0..3).for_each(|step| optimizer.step(&mut parameters, &gradient(step), 0.5));
        let (mut copy, state) = (parameters.copy(), optimizer.state());
        (3..6).for_each(|step| optimizer.step(&mut parameters, &gradient(step), 0.5));
        let mut other = make(&copy);
        other.restore(&state).unwrap();
        (3..6).for_each(|step| other.step(&mut copy, &gradient(step), 0.5));
        assert!(copy == parameters);
        assert_eq!(other.steps(), 6);
    }

    const SGD: Sgd = Sgd {
        lr: 0.1,
        momentum: 0.9,
        dampening: 0.0,
        nesterov: false,
        weight_decay: 0.1,
    };

    #[test]
    fn a_scaled_rate_is_another_learning_rate() {
        let end = |lr: f64, rate: f64| {
            let mut parameters = noise(1, 1, 6).view([6]);
            let mut optimizer = Optimizer::new(Sgd { lr, ..SGD }, &parameters);
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
        let sgd = Optimizer::new(SGD, &parameters);
        let adam = Adam {
            lr: 0.1,
            betas: [0.9, 0.99],
            epsilon: 1e-8,
            amsgrad: false,
            weight_decay: 0.0,
        };
        let error = Optimizer::new(adam, &parameters)
            .restore(&sgd.state())
            .unwrap_err();
        assert_eq!(error.to_string(), "the state has no tensor `first_moment`");
    }

    #[test]
    fn a_network_without_parameters_can_be_optimised() {
        let mut parameters = Tensor::from_slice(&[0f32; 0]);
        let mut optimizer = Optimizer::new(SGD, &parameters);
        let gradient = parameters.zeros_like();
        optimizer.step(&mut parameters, &gradient, 1.0);
        assert_eq!(parameters.numel(), 0);
    }
}
