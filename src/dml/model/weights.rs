//! Trained weights for the trunk of a network, checked name by name.
//!
//! A file of weights must contain exactly the tensors of the network: with its names, its shapes and
//! in single precision. Every difference is an error that lists names, because a network with some
//! of its weights is bad without a sign of it. Two kinds of extra tensors are expected and ignored:
//! the layers of a classifier, and the batch counters of PyTorch's batch norms.

use std::fmt;

use schema::Backbone;
use tch::Kind;

use super::{
    input,
    layers::ParamBuilder,
    trunk::{BuildTrunk, TrunkInput},
};
use crate::{parameters::ParamSpec, state::State};

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

/// Checks that weights fit a backbone.
///
/// # Errors
/// They do not fit; the error lists the tensors.
///
/// # Panics
/// If the backbone is TorchScript, whose file is its weights.
pub fn check(backbone: &Backbone, weights: &State) -> Result<Fit, WeightsMismatch> {
    let mut builder = ParamBuilder::default();
    let input = TrunkInput {
        channels: input::channels(backbone.part().input().as_ref(), 3),
        image_size: backbone.part().native_image().into(),
        module: None,
    };
    let _ = backbone.trunk(&mut builder, input);
    fill(&mut builder, backbone, weights)
}

/// Sets the initial values of a builder, which contains a trunk and nothing else, to these weights.
pub(super) fn fill(
    builder: &mut ParamBuilder,
    backbone: &Backbone,
    weights: &State,
) -> Result<Fit, WeightsMismatch> {
    let is_ignored = |name: &str| {
        name.ends_with("num_batches_tracked")
            || backbone
                .part()
                .classifiers()
                .iter()
                .any(|prefix| name.starts_with(prefix))
    };
    let mut slots: Vec<&mut ParamSpec> = builder
        .parameters
        .iter_mut()
        .chain(&mut builder.statistics)
        .collect();
    let (mut mismatch, mut ignored, mut used) = (
        WeightsMismatch::default(),
        Vec::new(),
        vec![false; slots.len()],
    );
    for (name, tensor) in weights {
        let Some(index) = slots.iter().position(|slot| slot.name() == name) else {
            let list = if is_ignored(name) {
                &mut ignored
            } else {
                &mut mismatch.surplus
            };
            list.push(name.clone());
            continue;
        };
        used[index] = true;
        let slot = &mut slots[index];
        let tensor = backbone.adapted(name, tensor, slot.shape());
        if tensor.size() != slot.shape() {
            mismatch
                .shapes
                .push((name.clone(), tensor.size(), slot.shape().to_vec()));
        } else if tensor.kind() != Kind::Float {
            mismatch.precisions.push(name.clone());
        } else {
            slot.give(&tensor);
        }
    }
    let absent = slots
        .iter()
        .zip(&used)
        .filter(|(_, used)| !**used)
        .map(|(slot, _)| slot.name().to_owned());
    mismatch.missing = absent.collect();
    ignored.sort();
    mismatch.surplus.sort();
    match mismatch == WeightsMismatch::default() {
        true => Ok(Fit {
            used: slots.len(),
            ignored,
        }),
        false => Err(mismatch),
    }
}
