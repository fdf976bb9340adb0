//! Trained weights for the trunk of a network, checked name by name.
//!
//! Weights must be exactly the tensors of the network: with its names, its shapes, in single precision and with finite
//! numbers. Every difference is an error that lists names, because a network with some of its weights is bad without a
//! sign of it. Two kinds of extra tensors are expected and ignored: the layers of a classifier, and the batch counters
//! of PyTorch's batch norms. [`read`] finds the tensors in a file of another program, [`recognized`] the backbone.

pub(super) mod naming;
#[cfg(test)]
mod programs_tests;
mod published;

use std::{collections::BTreeSet, fmt};

use schema::Backbone;
use tch::{Kind, Tensor};

use super::{
    input,
    layers::{Adapter, ParamBuilder},
    trunk::{BuildTrunk, TrunkInput},
};
use crate::{
    parameters::{ParamSpec, is_finite},
    state::State,
};

pub use published::{Published, PublishedError, read, recognized};

/// Number of names that a message lists.
const LISTED: usize = 8;

/// The differences between a file of weights and the network that it is loaded into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightsMismatch {
    /// Tensors that the network has and the file does not.
    pub missing: Vec<String>,
    /// Tensors that the file has and the network does not.
    pub surplus: Vec<String>,
    /// Tensors of another shape: name, shape in the file, shape in the network.
    pub shapes: Vec<(String, Vec<i64>, Vec<i64>)>,
    /// Tensors that are not in single precision.
    pub precisions: Vec<String>,
    /// Tensors with NaN or infinite numbers, and variances below zero.
    pub impossible: Vec<String>,
}

impl fmt::Display for WeightsMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = |(name, found, expected): &(String, Vec<i64>, Vec<i64>)| {
            format!("`{name}` {found:?} instead of {expected:?}")
        };
        let quoted = |names: &[String]| {
            names
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
        };
        let parts = [
            ("missing: ", quoted(&self.missing)),
            ("not in this backbone: ", quoted(&self.surplus)),
            (
                "of another shape: ",
                self.shapes.iter().map(shape).collect(),
            ),
            ("not in single precision: ", quoted(&self.precisions)),
            (
                "with NaN, infinity or a negative variance: ",
                quoted(&self.impossible),
            ),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| what.to_owned() + &listed(&names))
            .collect();
        write!(f, "the weights do not fit; {}", parts.join("; "))
    }
}

impl std::error::Error for WeightsMismatch {}

fn listed(names: &[String]) -> String {
    let shown = names[..names.len().min(LISTED)].join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Result of a check of weights that fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Number of tensors that the backbone takes.
    pub used: usize,
    /// Ignored tensors: those of a classifier, and batch counters.
    pub ignored: Vec<String>,
}

/// Checks that weights fit a backbone. `others` are the names of further tensors that came with them.
///
/// # Errors
/// They do not fit; the error lists the tensors.
///
/// # Panics
/// If the backbone is TorchScript, whose file is its weights.
pub fn check(
    backbone: &Backbone,
    weights: &State,
    others: &[String],
) -> Result<Fit, WeightsMismatch> {
    fill(&mut blank(backbone), backbone, weights, others)
}

/// Returns the tensors of a backbone without weights.
fn blank(backbone: &Backbone) -> ParamBuilder {
    let mut builder = ParamBuilder::default();
    let input = TrunkInput {
        channels: input::channels(backbone.part().input().as_ref(), 3),
        image_size: backbone.part().native_image().into(),
        module: None,
    };
    let _ = backbone.trunk(&mut builder, input);
    builder
}

/// Sets the initial values of a builder, which contains a trunk and nothing else, to these weights.
pub(super) fn fill(
    builder: &mut ParamBuilder,
    backbone: &Backbone,
    weights: &State,
    others: &[String],
) -> Result<Fit, WeightsMismatch> {
    let adapters = builder.adapters.iter().map(Adapter::parameters);
    let adapters: BTreeSet<usize> = adapters.flat_map(|[a, b, _]| [a, b]).collect();
    let of_backbone = (0..).zip(&mut builder.parameters);
    let of_backbone = of_backbone.filter(|(index, _)| !adapters.contains(index));
    let mut slots: Vec<&mut ParamSpec> = of_backbone
        .map(|(_, slot)| slot)
        .chain(&mut builder.statistics)
        .collect();
    let mut mismatch = WeightsMismatch::default();
    let mut used = vec![false; slots.len()];
    let mut surplus = others.to_vec();
    for (name, tensor) in weights {
        let Some(index) = slots.iter().position(|slot| slot.name() == name) else {
            surplus.push(name.clone());
            continue;
        };
        used[index] = true;
        let slot = &mut slots[index];
        let tensor = backbone.adapted(name, tensor, slot.shape());
        if mismatch.accepts(name, &tensor, slot.shape()) {
            slot.give(&tensor);
        }
    }
    let absent = slots
        .iter()
        .zip(&used)
        .filter(|(_, used)| !**used)
        .map(|(slot, _)| slot.name().to_owned());
    mismatch.missing = absent.collect();
    surplus.sort();
    let (ignored, surplus) = surplus
        .into_iter()
        .partition(|name| is_ignored(backbone, name));
    mismatch.surplus = surplus;
    match mismatch == WeightsMismatch::default() {
        true => Ok(Fit {
            used: slots.len(),
            ignored,
        }),
        false => Err(mismatch),
    }
}

fn is_ignored(backbone: &Backbone, name: &str) -> bool {
    let mut classifiers = backbone.part().classifiers().iter();
    name.ends_with("num_batches_tracked") || classifiers.any(|prefix| name.starts_with(prefix))
}

impl WeightsMismatch {
    /// True if a tensor can be used; otherwise it is listed.
    fn accepts(&mut self, name: &str, tensor: &Tensor, shape: &[i64]) -> bool {
        let list = if tensor.size() != shape {
            let found = tensor.size();
            self.shapes.push((name.to_owned(), found, shape.to_vec()));
            return false;
        } else if tensor.kind() != Kind::Float {
            &mut self.precisions
        } else if !is_finite(tensor) || name.ends_with("running_var") && has_negative(tensor) {
            &mut self.impossible
        } else {
            return true;
        };
        list.push(name.to_owned());
        false
    }
}

fn has_negative(tensor: &Tensor) -> bool {
    tensor.lt(0.0).any().int64_value(&[]) != 0
}
