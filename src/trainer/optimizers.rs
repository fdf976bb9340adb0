//! The optimizers of everything that is trained: trunk, head, and the parameters of each loss.

use std::ops::Range;

use dml::{
    model::{Group, Network},
    objective::Objective,
    optim::{FlatOptimizer, clip},
    state::{State, StateError},
};
use schema::{Clip, Optimizer, Training};
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
        let weights = network.flat_parameters();
        let groups = groups.into_iter().map(|(group, range)| GroupOptimizer {
            group,
            optimizer: FlatOptimizer::new(of_group(training, group), &part(weights, &range)),
            range,
        });
        let of_losses = training
            .loss_optimizer
            .as_ref()
            .unwrap_or(&training.optimizer);
        let losses = objective.flat_parameters().into_iter();
        Ok(Optimizers {
            groups: groups.collect(),
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
