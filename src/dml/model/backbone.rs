//! The backbones by name, and what each is to the network around it.

use std::fmt;

use tch::Tensor;

use super::{
    bn_inception::{self, BnInception, BorderAverage},
    conv4::{self, Conv4},
    efficientnet_lite0::{self, EfficientNetLite0},
    googlenet::{self, GoogLeNet},
    input::Input,
    layers::{Pass, Plan},
    mobilenet::{self, MobileNetV2},
    resnet::{self, Depth, ResNet, StrideOn},
    squeezenet::{self, SqueezeNet},
    torchscript::TorchScript,
    vit::{self, Vit, VitInput, VitSize},
};

/// Turns images into features.
#[derive(Clone, Debug, PartialEq)]
pub enum Backbone {
    /// Four blocks of convolution, batch norm, ReLU and pooling: 64 features.
    Conv4,
    /// The pixels themselves.
    Pixels,
    /// BN-Inception: 1024 features.
    BnInception(BorderAverage),
    /// ResNet: 512 features for depth 18, 2048 for the others.
    ResNet(Depth, StrideOn),
    /// GoogLeNet: 1024 features.
    GoogLeNet,
    /// EfficientNet-lite0: 1280 features.
    EfficientNetLite0,
    /// SqueezeNet 1.1: 512 features.
    SqueezeNet,
    /// MobileNetV2: 1280 features.
    MobileNetV2,
    /// Vision transformer with patches of 16 pixels: 384 or 768 features.
    Vit(VitSize, VitInput),
    /// Any module that TorchScript can say.
    TorchScript(TorchScript),
}

/// The layers of a backbone.
pub(super) trait Trunk: fmt::Debug + Send {
    /// Returns the last map `[n, f, h, w]`, or features `[n, f]`, of images `[n, c, s, s]` as the backbone's
    /// [`Input`] makes them.
    fn forward(&self, pass: &Pass, images: &Tensor) -> Tensor;

    /// Returns tensors of its own that from now on share the numbers of these views, of all its parameters, and are to
    /// be used in their place; none if it has none.
    fn adopt(&mut self, _views: &[Tensor]) -> Vec<Tensor> {
        Vec::new()
    }
}

/// The pixels themselves, one after the other.
#[derive(Debug)]
struct Pixels;

impl Trunk for Pixels {
    fn forward(&self, _: &Pass, images: &Tensor) -> Tensor {
        images.flatten(1, -1)
    }
}

impl Backbone {
    /// What it wants to see.
    pub fn input(&self) -> Input {
        match self {
            Backbone::Conv4 => conv4::INPUT,
            Backbone::Pixels => Input::plain(1),
            Backbone::BnInception(_) => bn_inception::INPUT,
            Backbone::ResNet(..) => resnet::INPUT,
            Backbone::GoogLeNet => googlenet::INPUT,
            Backbone::EfficientNetLite0 => efficientnet_lite0::INPUT,
            Backbone::SqueezeNet => squeezenet::INPUT,
            Backbone::MobileNetV2 => mobilenet::INPUT,
            Backbone::Vit(_, input) => input.input(),
            Backbone::TorchScript(script) => script.input,
        }
    }

    /// Makes its layers, for images of so many channels, as its first layer sees them, and pixels a side.
    pub(super) fn trunk(&self, plan: &mut Plan, channels: i64, image_size: i64) -> Box<dyn Trunk> {
        match *self {
            Backbone::Conv4 => Box::new(Conv4::new(plan, channels)),
            Backbone::Pixels => Box::new(Pixels),
            Backbone::BnInception(border) => Box::new(BnInception::new(plan, border)),
            Backbone::ResNet(depth, stride_on) => Box::new(ResNet::new(plan, depth, stride_on)),
            Backbone::GoogLeNet => Box::new(GoogLeNet::new(plan)),
            Backbone::EfficientNetLite0 => Box::new(EfficientNetLite0::new(plan)),
            Backbone::SqueezeNet => Box::new(SqueezeNet::new(plan)),
            Backbone::MobileNetV2 => Box::new(MobileNetV2::new(plan)),
            Backbone::Vit(size, _) => Box::new(Vit::new(plan, size, image_size)),
            Backbone::TorchScript(ref script) => Box::new(script.trunk(plan)),
        }
    }

    /// How many features it gives, of images of so many channels and pixels a side.
    pub(super) fn features(&self, channels: i64, image_size: i64) -> i64 {
        match self {
            Backbone::Conv4 => conv4::FEATURES,
            Backbone::Pixels => channels * image_size * image_size,
            Backbone::BnInception(_) => bn_inception::FEATURES,
            Backbone::ResNet(depth, _) => depth.features(),
            Backbone::GoogLeNet => googlenet::FEATURES,
            Backbone::EfficientNetLite0 => efficientnet_lite0::FEATURES,
            Backbone::SqueezeNet => squeezenet::FEATURES,
            Backbone::MobileNetV2 => mobilenet::FEATURES,
            Backbone::Vit(size, _) => size.features(),
            Backbone::TorchScript(script) => script.features,
        }
    }

    /// Whether its features are a map that has to be pooled.
    pub fn gives_a_map(&self) -> bool {
        match self {
            Backbone::Pixels | Backbone::Vit(..) => false,
            Backbone::TorchScript(script) => script.gives_a_map,
            Backbone::Conv4
            | Backbone::BnInception(_)
            | Backbone::ResNet(..)
            | Backbone::GoogLeNet
            | Backbone::EfficientNetLite0
            | Backbone::SqueezeNet
            | Backbone::MobileNetV2 => true,
        }
    }

    /// Whether its maps are faster on the CPU with the channels of a pixel side by side (`benches/README.md`).
    pub(super) fn likes_channels_last(&self) -> bool {
        match self {
            Backbone::Conv4 | Backbone::Pixels | Backbone::Vit(..) | Backbone::TorchScript(_) => {
                false
            }
            Backbone::BnInception(_)
            | Backbone::ResNet(..)
            | Backbone::GoogLeNet
            | Backbone::EfficientNetLite0
            | Backbone::SqueezeNet
            | Backbone::MobileNetV2 => true,
        }
    }

    /// What the names of its published classifier's tensors begin with: those that are no part of the trunk.
    pub(super) fn classifiers(&self) -> &'static [&'static str] {
        match self {
            Backbone::Conv4 | Backbone::Pixels | Backbone::TorchScript(_) => &[],
            Backbone::BnInception(_) => &["last_linear."],
            Backbone::ResNet(..) => &["fc."],
            Backbone::GoogLeNet => &["fc.", "aux1.", "aux2."],
            Backbone::EfficientNetLite0 => &["_fc."],
            Backbone::SqueezeNet | Backbone::MobileNetV2 => &["classifier."],
            Backbone::Vit(..) => &["head."],
        }
    }

    /// Published weights for one of its tensors, made for the shape that it has here.
    pub(super) fn adapted(&self, name: &str, tensor: &Tensor, shape: &[i64]) -> Tensor {
        match (self, name, shape) {
            (Backbone::Vit(..), "pos_embed", &[_, count, _]) => vit::resampled(tensor, count),
            _ => tensor.shallow_clone(),
        }
    }

    /// What keeps images of so many pixels a side from passing through all its layers, if anything does.
    pub fn obstacle(&self, image_size: i64) -> Option<&'static str> {
        match self {
            Backbone::BnInception(_) if !bn_inception::fits(image_size) => Some(
                "a map of an odd size would be halved in two ways; a multiple of 32 always works",
            ),
            Backbone::Vit(..) if !vit::fits(image_size) => {
                Some("its patches have 16 pixels; a multiple of 16 works")
            }
            _ => None,
        }
    }
}
