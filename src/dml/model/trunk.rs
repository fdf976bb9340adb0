//! What all trunks have in common: they are built from settings and turn images into features.

use std::fmt;

use tch::Tensor;

use super::{
    layers::{ForwardContext, ParamBuilder},
    torchscript::TorchScript,
    weights::naming::Naming,
};

/// The layers of a backbone.
pub(super) trait Trunk: fmt::Debug + Send {
    /// Returns the last map `[n, f, h, w]`, or features `[n, f]`, of images `[n, c, s, s]` in the form of the
    /// backbone's [`ImageInput`](schema::ImageInput).
    fn forward(&self, context: &ForwardContext, images: &Tensor) -> Tensor;

    /// Rebinds the trunk to these views of all its parameters, if it holds tensors of its own. Returns the tensors that
    /// replace the views; none if the trunk holds no tensors.
    fn adopt(&mut self, _views: &[Tensor]) -> Vec<Tensor> {
        Vec::new()
    }
}

/// The images that a trunk is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrunkInput<'a> {
    /// Channels that the first layer sees.
    pub(super) channels: i64,
    /// Side of an image in pixels.
    pub(super) image_size: i64,
    /// The module of a TorchScript backbone.
    pub(super) module: Option<&'a TorchScript>,
}

/// Makes the layers of a backbone.
pub(super) trait BuildTrunk {
    /// Returns the layers, whose parameters are added to `builder`.
    fn trunk(&self, builder: &mut ParamBuilder, input: TrunkInput) -> Box<dyn Trunk>;

    /// Returns a published tensor in the given shape, if it can be adapted to it, or unchanged.
    fn adapted(&self, _name: &str, tensor: &Tensor, _shape: &[i64]) -> Tensor {
        tensor.shallow_clone()
    }

    /// True if a published tensor of this name may have more or fewer rows, which [`adapted`](Self::adapted) resamples.
    fn resamples(&self, _name: &str) -> bool {
        false
    }

    /// Returns the names that its tensors have in published files, those of the network itself first.
    fn namings(&self) -> &'static [Naming] {
        &[Naming::OWN]
    }
}
