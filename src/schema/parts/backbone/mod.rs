//! Backbones: images in, features out. One file each.
//!
//! A file holds all that is known about a backbone apart from its layers: the images that it takes,
//! the width of its features, and the names in its published weights. Its layers are in `dml`.

mod bn_inception;
mod clip;
mod clip_b16;
mod clip_b32;
mod clip_l14;
mod conv4;
mod convnext;
mod convnext_b;
mod convnext_t;
mod dinov2;
mod dinov2_b14;
mod dinov2_g14;
mod dinov2_l14;
mod dinov2_s14;
mod dinov3;
mod dinov3_b16;
mod dinov3_s16;
mod efficientnet_lite0;
mod googlenet;
mod image_input;
mod mobilenet_v2;
mod pixels;
mod resnet;
mod resnet101;
mod resnet18;
mod resnet34;
mod resnet50;
mod siglip_b16;
mod squeezenet;
mod swin;
mod swin_b;
mod swin_t;
mod torchscript;
mod vit;
mod vit_b16;
mod vit_s16;
mod weights;

use super::part::parts;
use crate::Footprint;

pub use clip::{ClipActivation, ClipInput};
pub use dinov2::Registers;
pub use image_input::{ColorOrder, ImageInput};
pub use resnet::StrideOn;
pub use vit::{VitFeatures, VitInput};
pub use weights::Weights;

parts! {
    ($)
    /// A backbone with its settings.
    pub enum Backbone, for_each_backbone {
        BnInception(bn_inception::BnInception),
        Resnet18(resnet18::Resnet18),
        Resnet34(resnet34::Resnet34),
        Resnet50(resnet50::Resnet50),
        Resnet101(resnet101::Resnet101),
        Googlenet(googlenet::Googlenet),
        EfficientnetLite0(efficientnet_lite0::EfficientnetLite0),
        Squeezenet(squeezenet::Squeezenet),
        MobilenetV2(mobilenet_v2::MobilenetV2),
        VitS16(vit_s16::VitS16),
        VitB16(vit_b16::VitB16),
        Dinov2S14(dinov2_s14::Dinov2S14),
        Dinov2B14(dinov2_b14::Dinov2B14),
        Dinov2L14(dinov2_l14::Dinov2L14),
        Dinov2G14(dinov2_g14::Dinov2G14),
        Dinov3S16(dinov3_s16::Dinov3S16),
        Dinov3B16(dinov3_b16::Dinov3B16),
        ClipB32(clip_b32::ClipB32),
        ClipB16(clip_b16::ClipB16),
        ClipL14(clip_l14::ClipL14),
        SiglipB16(siglip_b16::SiglipB16),
        ConvnextT(convnext_t::ConvnextT),
        ConvnextB(convnext_b::ConvnextB),
        SwinT(swin_t::SwinT),
        SwinB(swin_b::SwinB),
        Torchscript(torchscript::Torchscript),
    }
    without_settings {
        conv4::Conv4,
        pixels::Pixels,
    }
}

/// Returns the lines that build a model of torchvision and replace its last part.
fn in_torchvision(call: &str, replaced: &[&str]) -> Vec<String> {
    let mut lines = vec![
        "import torchvision".to_owned(),
        format!("trunk = torchvision.models.{call}"),
    ];
    lines.extend(replaced.iter().map(|line| format!("trunk.{line}")));
    lines
}

/// A layer before the last one whose map a head can pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// The beginning of the names of its tensors.
    pub name: &'static str,
    /// Channels of its map.
    pub channels: u32,
    /// The side of an image over that of the map, but for rounding.
    pub stride: u32,
}

impl Tap {
    pub(crate) const fn new(name: &'static str, channels: u32, stride: u32) -> Tap {
        Tap {
            name,
            channels,
            stride,
        }
    }
}

/// Facts about a backbone. The defaults are those of most convolutional networks for ImageNet.
pub trait BackbonePart {
    /// Returns the width of the features. Nothing: it depends on the images or on the file.
    fn features(&self) -> Option<u32>;

    /// Returns the input of the first layer. Nothing: the channels of the images, from 0 to 1.
    fn input(&self) -> Option<ImageInput> {
        Some(ImageInput::IMAGENET)
    }

    /// Returns the side, in pixels, of the smallest image that passes through all layers.
    fn least_image(&self) -> u32 {
        32
    }

    /// Returns the side, in pixels, of the images that published weights were trained on.
    fn native_image(&self) -> u32 {
        224
    }

    /// Returns why images with this side do not pass through all layers, if they do not: the end of
    /// a sentence that begins with the backbone's key.
    fn obstacle(&self, _side: u32) -> Option<String> {
        None
    }

    /// Returns the memory that it takes.
    fn footprint(&self) -> Footprint;

    /// Returns the beginnings of the names of all layers, from the image on. Empty: there are none,
    /// or only the file knows them.
    fn layers(&self) -> &'static [&'static str];

    /// Returns the layers whose maps a head can pool, apart from the last one.
    fn taps(&self) -> &'static [Tap] {
        &[]
    }

    /// Returns the layer with this name, if a head can pool its map.
    fn tap(&self, name: &str) -> Option<&'static Tap> {
        self.taps().iter().find(|tap| tap.name == name)
    }

    /// Returns the side of the map of a tap, given the side of the image in pixels.
    fn side_at(&self, tap: &Tap, image: u32) -> u32 {
        image.div_ceil(tap.stride)
    }

    /// Returns the beginnings of the names of tensors in published weights that are no part of the
    /// backbone.
    fn classifiers(&self) -> &'static [&'static str] {
        &[]
    }

    /// True if the features are a map that has to be pooled, or may be one.
    fn gives_a_map(&self) -> bool {
        true
    }

    /// True if it is made of residual blocks: images can skip them, they can be computed again for their gradient, and
    /// their linear layers can have low-rank adapters.
    fn is_made_of_blocks(&self) -> bool {
        false
    }

    /// True if the layers are faster with the channels of a pixel side by side: on the CPU, see
    /// `benches/README.md`; on a GPU, tensor cores read maps this way.
    fn prefers_channels_last(&self) -> bool {
        true
    }

    /// Returns the lines of Python that build the same network under the name `trunk`, with the same names of tensors, from
    /// images with this side to features. Nothing: no library has it.
    fn in_python(&self, _side: u32) -> Option<Vec<String>> {
        None
    }

    /// Returns the address of the weights that most papers use, to be converted, if there is one.
    fn usual_weights(&self) -> Option<&'static str> {
        None
    }

    /// Returns this backbone with each value of the settings that the tensors of weights show. Empty: there are no such
    /// settings.
    fn forms(&self) -> Vec<Backbone> {
        Vec::new()
    }

    /// Returns the settings that do not have to agree with the weights.
    fn free_settings(&self) -> &'static [&'static str] {
        &[]
    }

    /// Returns the field of the trained weights, if the backbone can have any.
    fn weights_mut(&mut self) -> Option<&mut Option<Weights>> {
        None
    }

    /// Returns the trained weights, if there are any.
    fn weights(&self) -> Option<&Weights> {
        None
    }
}

/// The methods of a [`BackbonePart`] with a field `weights`.
macro_rules! has_weights {
    () => {
        fn weights_mut(&mut self) -> Option<&mut Option<$crate::Weights>> {
            Some(&mut self.weights)
        }

        fn weights(&self) -> Option<&$crate::Weights> {
            self.weights.as_ref()
        }
    };
}

use has_weights;

macro_rules! facts {
    ($($unit:ident),*; $($variant:ident),*) => {
        impl Backbone {
            /// Returns the facts about this backbone.
            pub fn part(&self) -> &dyn BackbonePart {
                match self {
                    $(Backbone::$unit => &$unit,)*
                    $(Backbone::$variant(part) => part,)*
                }
            }

            /// Returns the field of the trained weights, if the backbone can have any.
            fn weights_mut(&mut self) -> Option<&mut Option<Weights>> {
                match self {
                    $(Backbone::$unit => None,)*
                    $(Backbone::$variant(part) => part.weights_mut(),)*
                }
            }
        }
    };
}

for_each_backbone!(facts);

impl Backbone {
    /// Returns the backbones that can start from trained weights, with default settings and without
    /// weights.
    pub fn pretrainable() -> impl Iterator<Item = Backbone> {
        Backbone::every()
            .into_iter()
            .filter(|backbone| backbone.clone().weights_mut().is_some())
    }

    /// Returns the trained weights, if there are any.
    pub fn weights(&self) -> Option<&Weights> {
        self.part().weights()
    }

    /// Returns this backbone with other trained weights. Does nothing to one that cannot have any.
    #[must_use]
    pub fn with_weights(mut self, weights: Weights) -> Backbone {
        if let Some(field) = self.weights_mut() {
            *field = Some(weights);
        }
        self
    }

    /// Returns this backbone in all forms in which its tensors differ.
    pub fn forms(&self) -> Vec<Backbone> {
        match &self.part().forms()[..] {
            [] => vec![self.clone()],
            forms => forms.to_vec(),
        }
    }

    /// True if it has a layer of this name, as far as [`BackbonePart::layers`] shows: the names
    /// within one of these are known to the network alone.
    pub fn has_layer(&self, name: &str) -> bool {
        if matches!(self, Backbone::Torchscript(_)) {
            return !name.is_empty();
        }
        let mut layers = self.part().layers().iter();
        layers.any(|layer| begins_with(name, layer) || begins_with(layer, name))
    }
}

/// True if the name of a layer is `start` or goes on with `.` or `_`.
pub fn begins_with(name: &str, start: &str) -> bool {
    name.strip_prefix(start)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_can_be_given_to_every_pretrainable_backbone() {
        for backbone in Backbone::pretrainable() {
            assert_eq!(backbone.weights(), None);
            let named = backbone.with_weights(Weights::named("a"));
            assert_eq!(named.weights(), Some(&Weights::named("a")));
        }
    }

    #[test]
    fn every_backbone_takes_the_images_that_it_was_trained_on() {
        for backbone in Backbone::every() {
            let part = backbone.part();
            assert!(part.native_image() >= part.least_image());
            assert_eq!(part.obstacle(part.native_image()), None);
        }
    }
}
