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

    /// Like [`forward`](Self::forward), but stores the maps of layers that the taps name. Only trunks with
    /// [`taps`](schema::BackbonePart::taps) do.
    fn forward_tapped(
        &self,
        context: &ForwardContext,
        images: &Tensor,
        _taps: &mut Taps,
    ) -> Tensor {
        self.forward(context, images)
    }

    /// Rebinds the trunk to these views of all its parameters, if it holds tensors of its own. Returns the tensors that
    /// replace the views; none if the trunk holds no tensors.
    fn adopt(&mut self, _views: &[Tensor]) -> Vec<Tensor> {
        Vec::new()
    }
}

/// Maps of layers before the last one.
#[derive(Debug)]
pub(super) struct Taps<'a> {
    names: &'a [String],
    maps: Vec<Option<Tensor>>,
}

impl Taps<'_> {
    /// Returns taps at the layers with these names.
    pub(super) fn at(names: &[String]) -> Taps<'_> {
        Taps {
            names,
            maps: names.iter().map(|_| None).collect(),
        }
    }

    /// Stores the map of a layer, if there is a tap.
    pub(super) fn see(&mut self, layer: &str, map: &Tensor) {
        if let Some(place) = self.names.iter().position(|name| name == layer) {
            self.maps[place] = Some(map.shallow_clone());
        }
    }

    /// Returns the maps in the order of the names.
    pub(super) fn maps(self) -> Vec<Tensor> {
        self.maps.into_iter().flatten().collect()
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
