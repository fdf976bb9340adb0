//! Everything that is trained, each part with its optimiser: trunk, head, and the parameters of each loss.

use std::ops::Range;

use dml::{
    model::{Group, Network},
    objective::Objective,
    optim::{Clip, Optimizer},
    state::{State, StateError},
};
use tch::Tensor;

/// Optimisers of all that is trained.
pub(crate) struct Optimizers {
    /// Of the network, for the numbers in each range of its flat tensor.
    pub(crate) groups: Vec<(Group, Range<i64>, Optimizer)>,
    /// One for each loss that has parameters of its own.
    pub(crate) losses: Vec<Optimizer>,
    /// A bound on gradients.
    pub(crate) clip: Option<Clip>,
}

/// What a step follows.
pub(crate) struct Gradients {
    network: Tensor,
    losses: Vec<Tensor>,
}

impl Gradients {
    /// Those of the network, and those of each loss with parameters.
    pub(crate) fn new((network, losses): (Tensor, Vec<Tensor>)) -> Gradients {
        Gradients { network, losses }
    }

    /// The mean of some, of which there is at least one.
    pub(crate) fn mean(parts: Vec<Gradients>) -> Option<Gradients> {
        let count = parts.len() as f64;
        let sum = parts.into_iter().reduce(|sum, part| Gradients {
            network: sum.network + part.network,
            losses: sum
                .losses
                .into_iter()
                .zip(part.losses)
                .map(|(sum, part)| sum + part)
                .collect(),
        })?;
        if count == 1.0 {
            return Some(sum);
        }
        Some(Gradients {
            network: sum.network / count,
            losses: sum.losses.into_iter().map(|sum| sum / count).collect(),
        })
    }
}

impl Optimizers {
    /// Changes all that is trained, with learning rates times `rate`; the trunk only if it is not held.
    pub(crate) fn step(
        &mut self,
        network: &mut Network,
        objective: &mut Objective,
        gradients: &Gradients,
        rate: f64,
        trunk_is_held: bool,
    ) {
        let clip = self.clip;
        let clipped = |gradient: &Tensor| {
            clip.map_or_else(|| gradient.shallow_clone(), |clip| clip.apply(gradient))
        };
        let (weights, gradient) = (network.flat_parameters(), clipped(&gradients.network));
        for (group, range, optimizer) in &mut self.groups {
            if !(trunk_is_held && *group == Group::Trunk) {
                let part = |flat: &Tensor| flat.narrow(0, range.start, range.end - range.start);
                optimizer.step(&mut part(weights), &part(&gradient), rate);
            }
        }
        let parameters = objective
            .flat_parameters()
            .into_iter()
            .zip(&gradients.losses);
        self.losses
            .iter_mut()
            .zip(parameters)
            .for_each(|(optimizer, (own, gradient))| {
                optimizer.step(own, &clipped(gradient), rate);
            });
    }

    /// The states of all, those of the network's groups first.
    pub(crate) fn states(&self) -> Vec<State> {
        let groups = self.groups.iter().map(|(_, _, optimizer)| optimizer);
        groups.chain(&self.losses).map(Optimizer::state).collect()
    }

    /// Continues from [`states`](Self::states).
    pub(crate) fn restore(&mut self, states: &[State]) -> Result<(), StateError> {
        let groups = self.groups.iter_mut().map(|(_, _, optimizer)| optimizer);
        for (place, optimizer) in groups.chain(&mut self.losses).enumerate() {
            optimizer.restore(states.get(place).map_or(&[], Vec::as_slice))?;
        }
        Ok(())
    }
}
