//! The optimizers of everything that is trained: trunk, head, and the parameters of each loss.

use std::ops::Range;

use dml::{
    model::{Group, Network},
    objective::Objective,
    optim::{FlatOptimizer, Stretch, clip},
    state::{State, StateError},
};
use schema::{Clip, Decayed, Optimizer, Training};
use tch::Tensor;

use crate::Failed;

/// The optimizers of one training.
pub(crate) struct Optimizers {
    groups: Vec<GroupOptimizer>,
    /// One for each loss that has parameters.
    losses: Vec<FlatOptimizer>,
    clip: Option<Clip>,
}

/// The optimizer of one group of the network's parameters.
struct GroupOptimizer {
    group: Group,
    /// Range of the group in the network's flat tensor.
    range: Range<i64>,
    optimizer: FlatOptimizer,
}

/// One step of all optimizers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OptimizerStep {
    /// Factor of the learning rates.
    pub(crate) rate: f64,
    /// True if the trunk keeps its parameters.
    pub(crate) trunk_frozen: bool,
}

/// Gradients of everything that is trained.
pub(crate) struct Gradients {
    network: Tensor,
    losses: Vec<Tensor>,
}

impl Gradients {
    /// Returns the gradients of the network and of each loss that has parameters.
    pub(crate) fn new((network, losses): (Tensor, Vec<Tensor>)) -> Gradients {
        Gradients { network, losses }
    }

    /// Returns the mean, or nothing if there are no parts.
    pub(crate) fn mean(parts: Vec<Gradients>) -> Option<Gradients> {
        let count = parts.len() as f64;
        let sum = parts.into_iter().reduce(Gradients::plus)?;
        if count == 1.0 {
            return Some(sum);
        }
        Some(Gradients {
            network: sum.network / count,
            losses: sum.losses.into_iter().map(|sum| sum / count).collect(),
        })
    }

    fn plus(self, other: Gradients) -> Gradients {
        let losses = self.losses.into_iter().zip(other.losses);
        Gradients {
            network: self.network + other.network,
            losses: losses.map(|(one, other)| one + other).collect(),
        }
    }
}

impl Optimizers {
    /// Returns the optimizers of a network and of the losses of an objective.
    ///
    /// # Errors
    /// If the network has no trainable parameters.
    pub(crate) fn new(
        training: &Training,
        network: &mut Network,
        objective: &mut Objective,
    ) -> Result<Optimizers, Failed> {
        let groups = network.groups();
        if groups.is_empty() {
            return Err(Failed::recipe(
                "this model has no weights, there is nothing to train",
            ));
        }
        let groups = groups.into_iter().map(|(group, range)| {
            let stretches = stretches(training, network, &range);
            let weights = part(network.flat_parameters(), &range);
            let settings = of_group(training, group);
            GroupOptimizer {
                group,
                optimizer: FlatOptimizer::in_stretches(settings, &weights, stretches),
                range,
            }
        });
        let groups = groups.collect();
        let of_losses = training
            .loss_optimizer
            .as_ref()
            .unwrap_or(&training.optimizer);
        let losses = objective.flat_parameters().into_iter();
        Ok(Optimizers {
            groups,
            losses: losses
                .map(|parameters| FlatOptimizer::new(of_losses, parameters))
                .collect(),
            clip: training.clip,
        })
    }

    /// Updates all parameters.
    pub(crate) fn step(
        &mut self,
        network: &mut Network,
        objective: &mut Objective,
        gradients: &Gradients,
        step: OptimizerStep,
    ) {
        let weights = network.flat_parameters();
        let gradient = clipped(&gradients.network, self.clip);
        for of_group in &mut self.groups {
            if step.trunk_frozen && of_group.group == Group::Trunk {
                continue;
            }
            let range = &of_group.range;
            let mut weights = part(weights, range);
            let gradient = part(&gradient, range);
            of_group.optimizer.step(&mut weights, &gradient, step.rate);
        }
        let parameters = objective.flat_parameters().into_iter();
        let losses = self.losses.iter_mut().zip(parameters);
        for ((optimizer, parameters), gradient) in losses.zip(&gradients.losses) {
            optimizer.step(parameters, &clipped(gradient, self.clip), step.rate);
        }
    }

    /// Returns the states of all optimizers, those of the network's groups first.
    pub(crate) fn states(&self) -> Vec<State> {
        let groups = self.groups.iter().map(|of_group| &of_group.optimizer);
        groups
            .chain(&self.losses)
            .map(FlatOptimizer::state)
            .collect()
    }

    /// Continues from [`states`](Self::states).
    pub(crate) fn restore(&mut self, states: &[State]) -> Result<(), StateError> {
        let groups = self
            .groups
            .iter_mut()
            .map(|of_group| &mut of_group.optimizer);
        for (index, optimizer) in groups.chain(&mut self.losses).enumerate() {
            optimizer.restore(states.get(index).map_or(&[], Vec::as_slice))?;
        }
        Ok(())
    }
}

fn of_group(training: &Training, group: Group) -> &Optimizer {
    match group {
        Group::Trunk => &training.optimizer,
        Group::Head => training
            .head_optimizer
            .as_ref()
            .unwrap_or(&training.optimizer),
    }
}

/// Returns the tensors of a range of the network's flat tensor, with the factors that the training has for each.
fn stretches(training: &Training, network: &Network, range: &Range<i64>) -> Vec<Stretch> {
    let mut first = 0;
    let mut stretches = Vec::new();
    for segment in network.segments() {
        if range.contains(&first) {
            stretches.push(Stretch {
                length: segment.length,
                rate: rate(training, network.last_layer() - segment.layer),
                decay: match training.weight_decay_on {
                    Decayed::Matrices if !segment.decays => 0.0,
                    Decayed::Matrices | Decayed::All => 1.0,
                },
            });
        }
        first += segment.length;
    }
    stretches
}

/// Returns the factor of the learning rate of the layer that has this number of layers behind it.
fn rate(training: &Training, behind: u32) -> f64 {
    let decay = training.layer_decay.unwrap_or(1.0);
    decay.powf(behind.into())
}

/// Returns a view of a range of a flat tensor.
fn part(flat: &Tensor, range: &Range<i64>) -> Tensor {
    flat.narrow(0, range.start, range.end - range.start)
}

fn clipped(gradient: &Tensor, bound: Option<Clip>) -> Tensor {
    match bound {
        Some(bound) => clip(gradient, bound),
        None => gradient.shallow_clone(),
    }
}

#[cfg(test)]
mod tests {
    use dml::{model::NetworkConfig, tch::Device};
    use schema::{Backbone, Contrastive, Loss, RandomSampler, Sampler, Sgd};

    use super::*;

    /// The change of each tensor by a step along a gradient of ones, with its name.
    fn changes(change: impl Fn(&mut Training)) -> Vec<(String, f64)> {
        let optimizer = Optimizer::Sgd(Sgd {
            lr: 1.0,
            weight_decay: 1.0,
            ..Sgd::default()
        });
        let loss = Loss::Contrastive(Contrastive::default());
        let sampler = Sampler::Random(RandomSampler { batch: 4 });
        let mut training = Training::new(loss, sampler, optimizer, 1);
        change(&mut training);
        let config = NetworkConfig::new(Backbone::Conv4, 1, 16, Some(3));
        let mut network = Network::new(config, 1, Device::Cpu).unwrap();
        let _ = network.flat_parameters().fill_(1.0);
        let mut objective = Objective::sum(Vec::new());
        let mut optimizers = Optimizers::new(&training, &mut network, &mut objective).unwrap();
        let ones = network.flat_parameters().ones_like();
        let gradients = Gradients::new((ones, Vec::new()));
        let step = OptimizerStep {
            rate: 1.0,
            trunk_frozen: false,
        };
        optimizers.step(&mut network, &mut objective, &gradients, step);
        let tensors = network.parameters();
        let change = |(name, tensor): (&str, &Tensor)| {
            (
                name.to_owned(),
                1.0 - tensor.flatten(0, -1).double_value(&[-1]),
            )
        };
        tensors.map(change).collect()
    }

    #[test]
    fn the_rate_of_a_layer_is_a_fraction_of_that_of_the_layer_behind_it() {
        let changes = changes(|training| training.layer_decay = Some(0.5));
        for (name, change) in changes {
            let behind = match name.strip_prefix("block") {
                Some(rest) => 5 - rest[..1].parse::<i32>().unwrap(),
                None => 0,
            };
            assert_eq!(change, 2.0 * 0.5f64.powi(behind), "{name}");
        }
    }

    #[test]
    fn weight_decay_can_leave_out_norms_and_biases() {
        let changes = changes(|training| training.weight_decay_on = Decayed::Matrices);
        for (name, change) in changes {
            let is_matrix = name.ends_with("conv.weight") || name == "embedding.weight";
            let expected = if is_matrix { 2.0 } else { 1.0 };
            assert_eq!(change, expected, "{name}");
        }
    }
}
