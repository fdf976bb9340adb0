//! The tensors of a network: trained parameters, constant ones and running statistics, each kind in one flat tensor.

use std::collections::BTreeSet;

use schema::{BatchNorm, Model, begins_with};
use tch::{Device, Tensor};

use super::{
    ModelError,
    layers::{Adapter, ParamBuilder},
    trunk::Trunk,
};
use crate::{
    parameters::{ParamSpec, Parameters},
    state::{State, StateError, copy, overwrite},
};

/// All parameters and running statistics of a network.
#[derive(Debug)]
pub(super) struct Tensors {
    pub(super) trained: Parameters,
    pub(super) constants: Parameters,
    pub(super) statistics: Parameters,
    /// All parameters in the order of the builder.
    pub(super) placed: Vec<Tensor>,
    /// True for each parameter, in the same order, that is constant.
    pub(super) frozen: Vec<bool>,
}

impl Tensors {
    /// Draws the tensors of a builder for `seed`. `frozen` is about its first parameters; all others are trained.
    pub(super) fn drawn(
        parameters: Vec<ParamSpec>,
        statistics: Vec<ParamSpec>,
        mut frozen: Vec<bool>,
        seed: u64,
        device: Device,
    ) -> Tensors {
        frozen.resize(parameters.len(), false);
        let is_frozen = |(place, _): &(u64, ParamSpec)| frozen[*place as usize];
        let (constants, trained) = (0..).zip(parameters).partition(is_frozen);
        let trained = Parameters::new(trained, seed, device).trainable();
        let constants = Parameters::new(constants, seed, device);
        Tensors {
            placed: placed(&frozen, &trained, &constants),
            trained,
            constants,
            statistics: Parameters::new((0..).zip(statistics).collect(), seed, device),
            frozen,
        }
    }

    /// Binds a trunk that holds tensors of its own to these. Its parameters are the first.
    pub(super) fn bind(&mut self, trunk: &mut dyn Trunk) {
        let own = trunk.adopt(&self.placed);
        let (mut trained, mut constants) = (0, 0);
        for (tensor, &frozen) in own.into_iter().zip(&self.frozen) {
            let (part, place) = match frozen {
                true => (&mut self.constants, &mut constants),
                false => (&mut self.trained, &mut trained),
            };
            part.replace(*place, tensor);
            *place += 1;
        }
        self.placed = placed(&self.frozen, &self.trained, &self.constants);
    }

    /// Returns the number of all parameters.
    pub(super) fn parameter_count(&self) -> usize {
        self.trained.flat().numel() + self.constants.flat().numel()
    }

    /// Returns a copy: `parameters`, `statistics` and, if something is frozen, `constants`, all flat.
    pub(super) fn state(&self) -> State {
        let mut parts = vec![
            copy("parameters", self.trained.flat()),
            copy("statistics", self.statistics.flat()),
        ];
        if self.constants.flat().numel() > 0 {
            parts.push(copy("constants", self.constants.flat()));
        }
        parts
    }

    /// Takes the values of such a copy.
    ///
    /// # Errors
    /// The copy is of other tensors.
    pub(super) fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), StateError> {
        let mut targets = vec![
            ("parameters", self.trained.flat_mut()),
            ("statistics", self.statistics.flat_mut()),
        ];
        if self.constants.flat().numel() > 0 {
            targets.push(("constants", self.constants.flat_mut()));
        }
        overwrite(&mut targets, state)
    }
}

/// Returns all parameters in the order of the builder.
fn placed(frozen: &[bool], parameters: &Parameters, constants: &Parameters) -> Vec<Tensor> {
    let (mut parameters, mut constants) = (parameters.views().iter(), constants.views().iter());
    let next = |&frozen: &bool| {
        if frozen {
            constants.next()
        } else {
            parameters.next()
        }
    };
    frozen
        .iter()
        .filter_map(next)
        .map(Tensor::shallow_clone)
        .collect()
}

/// Returns the number of values of these parameters that are trained.
pub(super) fn trained_length(parameters: &[ParamSpec], frozen: &[bool]) -> i64 {
    let all = parameters.iter().zip(frozen);
    let trained = all.filter(|(_, frozen)| !**frozen);
    trained.map(|(spec, _)| spec.len()).sum()
}

/// Returns which parameters of a trunk are frozen.
///
/// # Errors
/// A name in `freeze` is that of no layer.
pub(super) fn frozen(builder: &ParamBuilder, model: &Model) -> Result<Vec<bool>, ModelError> {
    let mut frozen = vec![model.lora.is_some(); builder.parameters.len()];
    for [a, b, _] in builder.adapters.iter().map(Adapter::parameters) {
        (frozen[a], frozen[b]) = (false, false);
    }
    if model.batch_norm == BatchNorm::Frozen {
        for &index in &builder.norms {
            frozen[index] = true;
        }
    }
    for name in &model.freeze {
        let mut is_known = false;
        for (slot, frozen) in builder.parameters.iter().zip(&mut frozen) {
            if begins_with(slot.name(), name) {
                *frozen = true;
                is_known = true;
            }
        }
        if !is_known {
            return Err(no_such_layer(builder, name));
        }
    }
    Ok(frozen)
}

fn no_such_layer(builder: &ParamBuilder, name: &str) -> ModelError {
    let layers = builder
        .parameters
        .iter()
        .map(|slot| first_part(slot.name()));
    let known: BTreeSet<String> = layers.map(str::to_owned).collect();
    ModelError::NoSuchLayer {
        name: name.to_owned(),
        known: known.into_iter().collect(),
    }
}

fn first_part(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}
