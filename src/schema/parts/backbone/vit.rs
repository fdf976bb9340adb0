//! What all vision transformers have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Backbone, BackbonePart, ImageInput, Weights};
use crate::{Footprint, parts::range::Setting};

/// What differs between the facts about vision transformers.
pub(super) trait VitPart {
    /// Pixels of a patch's side.
    const PATCH: u32;
    /// The width of a token.
    const WIDTH: u32;
    /// The memory that it takes.
    const FOOTPRINT: Footprint;

    /// Returns the name that timm has for it, and the options that differ from that name's.
    fn in_timm(&self) -> (&'static str, &'static str);

    /// Returns the input of the first layer.
    fn seen(&self) -> ImageInput {
        ImageInput::IMAGENET
    }

    /// Returns the beginnings of the names of all layers.
    fn named(&self) -> &'static [&'static str] {
        LAYERS
    }

    /// Returns the network with each value of the settings that the tensors of weights show.
    fn shown(&self) -> Vec<Backbone> {
        Vec::new()
    }

    /// Returns the tokens that are the features, if that is a setting.
    fn tokens(&self) -> Option<VitFeatures>;

    fn given(&self) -> &Option<Weights>;

    fn given_mut(&mut self) -> &mut Option<Weights>;
}

impl<T: VitPart> BackbonePart for T {
    fn features(&self) -> Option<u32> {
        let tokens = self.tokens().unwrap_or_default();
        Some(T::WIDTH * tokens.count())
    }

    fn input(&self) -> Option<ImageInput> {
        Some(self.seen())
    }

    fn least_image(&self) -> u32 {
        T::PATCH
    }

    fn obstacle(&self, side: u32) -> Option<String> {
        let patch = T::PATCH;
        (!side.is_multiple_of(patch)).then(|| {
            format!("cuts the image into patches of {patch} pixels: expected a multiple of {patch}")
        })
    }

    fn footprint(&self) -> Footprint {
        T::FOOTPRINT
    }

    fn layers(&self) -> &'static [&'static str] {
        self.named()
    }

    fn classifiers(&self) -> &'static [&'static str] {
        &["head.", "mask_token"]
    }

    fn gives_a_map(&self) -> bool {
        false
    }

    fn is_made_of_blocks(&self) -> bool {
        true
    }

    fn prefers_channels_last(&self) -> bool {
        false
    }

    fn in_python(&self, side: u32) -> Option<Vec<String>> {
        let (name, options) = self.in_timm();
        let mut lines = vec![
            "import timm".to_owned(),
            format!(
                "trunk = timm.create_model(\"{name}\", num_classes=0, img_size={side}{options})"
            ),
        ];
        let tokens = self.tokens().unwrap_or_default();
        lines.extend(tokens.in_python().iter().map(|&line| line.to_owned()));
        Some(lines)
    }

    fn forms(&self) -> Vec<Backbone> {
        self.shown()
    }

    fn free_settings(&self) -> &'static [&'static str] {
        &["features"]
    }

    fn weights_mut(&mut self) -> Option<&mut Option<Weights>> {
        Some(self.given_mut())
    }

    fn weights(&self) -> Option<&Weights> {
        self.given().as_ref()
    }
}

/// The methods of a [`VitPart`] with fields `weights` and `features`.
macro_rules! vit_fields {
    () => {
        fn tokens(&self) -> Option<$crate::VitFeatures> {
            Some(self.features)
        }

        $crate::parts::backbone::vit::weights_field!();
    };
}

/// The methods of a [`VitPart`] with a field `weights`.
macro_rules! weights_field {
    () => {
        fn given(&self) -> &Option<$crate::Weights> {
            &self.weights
        }

        fn given_mut(&mut self) -> &mut Option<$crate::Weights> {
            &mut self.weights
        }
    };
}

pub(super) use {vit_fields, weights_field};

/// Layers of a vision transformer that can be frozen, by the beginning of their names.
pub(super) const LAYERS: &[&str] = &["cls_token", "pos_embed", "patch_embed", "blocks", "norm"];

/// The input of a vision transformer, which differs between published weights of one architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VitInput {
    /// ImageNet's mean and deviation: DINO, DeiT.
    #[default]
    Imagenet,
    /// Pixels from -1 to 1: timm's "augreg".
    Symmetric,
}

impl VitInput {
    pub(super) fn is_default(&self) -> bool {
        *self == VitInput::default()
    }

    pub(super) fn image_input(self) -> ImageInput {
        match self {
            VitInput::Imagenet => ImageInput::IMAGENET,
            VitInput::Symmetric => ImageInput::SYMMETRIC,
        }
    }
}

impl Setting for VitInput {}

/// The tokens that are the features, behind the last layer norm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VitFeatures {
    /// The class token.
    #[default]
    Class,
    /// The mean of the patches.
    Mean,
    /// The class token, then the mean of the patches: twice the width.
    ClassAndMean,
}

impl VitFeatures {
    pub(super) fn is_default(&self) -> bool {
        *self == VitFeatures::default()
    }

    /// Returns how many times the width of a token the features have.
    fn count(self) -> u32 {
        match self {
            VitFeatures::Class | VitFeatures::Mean => 1,
            VitFeatures::ClassAndMean => 2,
        }
    }

    /// Returns the lines of Python that make a model of timm return these tokens instead of the class token.
    fn in_python(self) -> &'static [&'static str] {
        match self {
            VitFeatures::Class => &[],
            VitFeatures::Mean => &[
                "all_tokens = trunk.forward_features",
                "trunk.forward = lambda images: all_tokens(images)[:, trunk.num_prefix_tokens:].mean(1)",
            ],
            VitFeatures::ClassAndMean => &[
                "all_tokens = trunk.forward_features",
                "mean = lambda tokens: tokens[:, trunk.num_prefix_tokens:].mean(1)",
                "both = lambda tokens: torch.cat([tokens[:, 0], mean(tokens)], 1)",
                "trunk.forward = lambda images: both(all_tokens(images))",
            ],
        }
    }
}

impl Setting for VitFeatures {}
