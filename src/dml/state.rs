//! Checkpoint contents: tensors with names.
//!
//! Networks, optimizers and memories return their state as a [`State`] of copies on the host, which later
//! training does not change, and continue from one. The file format is the caller's choice.

use tch::{Device, Tensor, no_grad};

/// Named tensors.
pub type State = Vec<(String, Tensor)>;

/// A state that does not fit the object that it should restore.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A tensor is missing.
    #[error("the state has no tensor `{name}`")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor has another shape.
    #[error("tensor `{name}` has the shape {found:?} instead of {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// The shape in the state.
        found: Vec<i64>,
        /// The shape of the target.
        expected: Vec<i64>,
    },
}

/// Returns a copy on the host that shares nothing with `tensor`.
pub(crate) fn copy(name: &str, tensor: &Tensor) -> (String, Tensor) {
    let tensor = tensor.detach();
    let copy = match tensor.device() {
        Device::Cpu => tensor.copy(),
        _ => tensor.to_device(Device::Cpu),
    };
    (name.to_owned(), copy)
}

/// Overwrites each of `targets` with the tensor of its name, across devices if necessary. On an error,
/// none of them is overwritten.
pub(crate) fn overwrite(
    targets: &mut [(&str, &mut Tensor)],
    state: &[(String, Tensor)],
) -> Result<(), StateError> {
    let found = targets
        .iter()
        .map(|(name, target)| find(state, name, target))
        .collect::<Result<Vec<_>, _>>()?;
    no_grad(|| {
        targets
            .iter_mut()
            .zip(found)
            .for_each(|((_, target), source)| target.copy_(source))
    });
    Ok(())
}

fn find<'a>(
    state: &'a [(String, Tensor)],
    name: &str,
    like: &Tensor,
) -> Result<&'a Tensor, StateError> {
    let Some((_, found)) = state.iter().find(|(candidate, _)| candidate == name) else {
        return Err(StateError::Missing {
            name: name.to_owned(),
        });
    };
    if found.size() != like.size() {
        return Err(StateError::Shape {
            name: name.to_owned(),
            found: found.size(),
            expected: like.size(),
        });
    }
    Ok(found)
}
