//! The network that turns an image into an embedding.

use std::{fmt, io};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A backbone, a pooling of its last map and, unless `embedding` is absent, a head on its features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The trunk.
    pub backbone: Backbone,
    /// The last map to one vector. Absent: the mean; a backbone without a map pools nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Whether features get mean 0 and variance 1, each vector for itself, before the head.
    #[serde(default, skip_serializing_if = "is_false")]
    pub layer_norm: bool,
    /// Width of the embedding. Absent: the features are the embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<u32>,
    /// What is between features and embedding. Absent: a linear layer with PyTorch's initial numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// Whether embeddings are divided by their length.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub normalise: bool,
    /// What is constant in batch norms.
    #[serde(default, skip_serializing_if = "BatchNorm::is_train")]
    pub batch_norm: BatchNorm,
    /// Layers of the trunk that are not trained, by the beginnings of their names up to a `.` or `_`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// In which numbers the trunk computes.
    #[serde(default, skip_serializing_if = "Precision::is_single")]
    pub precision: Precision,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_true(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Model {
    /// A backbone and perhaps a linear layer, everything else as it is when nothing is said.
    pub fn new(backbone: Backbone, embedding: Option<u32>) -> Model {
        Model {
            backbone,
            pooling: None,
            layer_norm: false,
            embedding,
            head: None,
            normalise: true,
            batch_norm: BatchNorm::Train,
            freeze: Vec::new(),
            precision: Precision::F32,
        }
    }
}

/// In which numbers the trunk of a network computes. Its weights, what an optimiser makes of them, and everything
/// behind the trunk, embeddings and losses, are single precision always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Maps, and copies of the weights, in bfloat16: 8 binary digits.
    Bf16,
}

impl Precision {
    fn is_single(&self) -> bool {
        *self == Precision::F32
    }
}

/// A trunk: images in, one feature vector each out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backbone {
    /// Four blocks of 3x3 convolution with 64 channels, batch norm, ReLU and 2x2 max pooling. For 28x28 or 64x64
    /// images.
    Conv4,
    /// No network: the pixels themselves. A baseline that nothing can train.
    Pixels,
    /// BN-Inception, as the Reality Check and most papers before it use it: 1024 features.
    BnInception(BnInception),
    /// ResNet-18: 512 features.
    Resnet18(Pretrained),
    /// ResNet-50: 2048 features.
    Resnet50(Bottleneck),
    /// ResNet-101: 2048 features.
    Resnet101(Bottleneck),
    /// GoogLeNet as torchvision has it: 1024 features.
    Googlenet(Pretrained),
    /// EfficientNet-lite0: 1280 features.
    EfficientnetLite0(Pretrained),
    /// SqueezeNet 1.1: 512 features.
    Squeezenet(Pretrained),
    /// MobileNetV2: 1280 features.
    MobilenetV2(Pretrained),
    /// Vision transformer, small, with patches of 16 pixels: 384 features.
    VitS16(Vit),
    /// Vision transformer, base, with patches of 16 pixels: 768 features.
    VitB16(Vit),
    /// Any module of TorchScript that makes features or a map of images.
    Torchscript(Torchscript),
}

/// A trunk with nothing to choose but its weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pretrained {
    /// Trained weights. Absent: it starts from random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
}

/// BN-Inception.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BnInception {
    /// Trained weights. Absent: it starts from random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// Whether average poolings count the padding at the border, as Caffe does and its weights want.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub count_padding: bool,
}

/// A ResNet of bottlenecks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bottleneck {
    /// Trained weights. Absent: it starts from random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// Which convolution of a bottleneck halves the map.
    #[serde(default, skip_serializing_if = "StrideOn::is_default")]
    pub stride_on: StrideOn,
}

/// Which convolution of a bottleneck halves the map: weights fit either, and are right in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StrideOn {
    /// The 3x3 one, as in torchvision.
    #[default]
    #[serde(rename = "3x3")]
    Conv3x3,
    /// The first 1x1 one, as in the paper and in Caffe.
    #[serde(rename = "1x1")]
    Conv1x1,
}

impl StrideOn {
    fn is_default(&self) -> bool {
        *self == StrideOn::default()
    }
}

/// A vision transformer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vit {
    /// Trained weights. Absent: it starts from random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// What its weights were trained on.
    #[serde(default, skip_serializing_if = "VitInput::is_default")]
    pub input: VitInput,
}

/// What a vision transformer sees.
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
    fn is_default(&self) -> bool {
        *self == VitInput::default()
    }
}

/// A module of TorchScript, and what it wants to see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Torchscript {
    /// The file of the module, with its weights. There must be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// The images that it was trained on.
    #[serde(default, skip_serializing_if = "Seen::is_default")]
    pub input: Seen,
}

/// What becomes of the bytes of an image: `(byte * white / 255 - mean) / deviation`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Seen {
    /// The order of the channels, to which the numbers below belong; grey images become three equal channels.
    pub colours: ColourOrder,
    /// What white becomes before the mean is subtracted: 1 or 255, as a rule.
    pub white: f64,
    /// Subtracted from each channel.
    pub mean: [f64; 3],
    /// Then divided by.
    pub deviation: [f64; 3],
}

/// An order of channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColourOrder {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
}

impl Default for Seen {
    /// Those of torchvision's weights.
    fn default() -> Seen {
        let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        Seen {
            colours: ColourOrder::Rgb,
            white: 1.0,
            mean,
            deviation,
        }
    }
}

impl Seen {
    fn is_default(&self) -> bool {
        *self == Seen::default()
    }
}

impl Backbone {
    /// Where most papers' weights come from, to be converted. Absent where there is no single such place.
    pub fn usual_weights(&self) -> Option<&'static str> {
        match self {
            Backbone::BnInception(_) => {
                Some("http://data.lip6.fr/cadene/pretrainedmodels/bn_inception-52deb4733.pth")
            }
            _ => None,
        }
    }

    /// Its name in a sweep file.
    pub fn name(&self) -> &'static str {
        match self {
            Backbone::Conv4 => "conv4",
            Backbone::Pixels => "pixels",
            Backbone::BnInception(_) => "bn_inception",
            Backbone::Resnet18(_) => "resnet18",
            Backbone::Resnet50(_) => "resnet50",
            Backbone::Resnet101(_) => "resnet101",
            Backbone::Googlenet(_) => "googlenet",
            Backbone::EfficientnetLite0(_) => "efficientnet_lite0",
            Backbone::Squeezenet(_) => "squeezenet",
            Backbone::MobilenetV2(_) => "mobilenet_v2",
            Backbone::VitS16(_) => "vit_s16",
            Backbone::VitB16(_) => "vit_b16",
            Backbone::Torchscript(_) => "torchscript",
        }
    }

    /// Those that can start from trained weights, here without, everything else as it is when nothing is said.
    pub fn pretrainable() -> impl Iterator<Item = Backbone> {
        let all = [
            Backbone::BnInception(BnInception {
                weights: None,
                count_padding: true,
            }),
            Backbone::Resnet18(Pretrained::default()),
            Backbone::Resnet50(Bottleneck::default()),
            Backbone::Resnet101(Bottleneck::default()),
            Backbone::Googlenet(Pretrained::default()),
            Backbone::EfficientnetLite0(Pretrained::default()),
            Backbone::Squeezenet(Pretrained::default()),
            Backbone::MobilenetV2(Pretrained::default()),
            Backbone::VitS16(Vit::default()),
            Backbone::VitB16(Vit::default()),
            Backbone::Torchscript(Torchscript::default()),
        ];
        all.into_iter()
    }

    /// Its trained weights, if it has any.
    pub fn weights(&self) -> Option<&Weights> {
        match self {
            Backbone::Conv4 | Backbone::Pixels => None,
            Backbone::BnInception(BnInception { weights, .. })
            | Backbone::Resnet50(Bottleneck { weights, .. })
            | Backbone::Resnet101(Bottleneck { weights, .. })
            | Backbone::Resnet18(Pretrained { weights })
            | Backbone::Googlenet(Pretrained { weights })
            | Backbone::EfficientnetLite0(Pretrained { weights })
            | Backbone::Squeezenet(Pretrained { weights })
            | Backbone::MobilenetV2(Pretrained { weights })
            | Backbone::VitS16(Vit { weights, .. })
            | Backbone::VitB16(Vit { weights, .. })
            | Backbone::Torchscript(Torchscript { weights, .. }) => weights.as_ref(),
        }
    }

    /// The same with other words for its weights. Does nothing to one without.
    #[must_use]
    pub fn with_weights(mut self, other: Weights) -> Backbone {
        match &mut self {
            Backbone::Conv4 | Backbone::Pixels => {}
            Backbone::BnInception(BnInception { weights, .. })
            | Backbone::Resnet50(Bottleneck { weights, .. })
            | Backbone::Resnet101(Bottleneck { weights, .. })
            | Backbone::Resnet18(Pretrained { weights })
            | Backbone::Googlenet(Pretrained { weights })
            | Backbone::EfficientnetLite0(Pretrained { weights })
            | Backbone::Squeezenet(Pretrained { weights })
            | Backbone::MobilenetV2(Pretrained { weights })
            | Backbone::VitS16(Vit { weights, .. })
            | Backbone::VitB16(Vit { weights, .. })
            | Backbone::Torchscript(Torchscript { weights, .. }) => *weights = Some(other),
        }
        self
    }

    /// Pixels a side of the smallest image of which its layers leave something.
    pub fn least_image(&self) -> u32 {
        match self {
            Backbone::Pixels | Backbone::Torchscript(_) => 1,
            Backbone::Conv4 | Backbone::VitS16(_) | Backbone::VitB16(_) => 16,
            Backbone::BnInception(_)
            | Backbone::Resnet18(_)
            | Backbone::Resnet50(_)
            | Backbone::Resnet101(_)
            | Backbone::Googlenet(_)
            | Backbone::EfficientnetLite0(_)
            | Backbone::Squeezenet(_)
            | Backbone::MobilenetV2(_) => 32,
        }
    }

    /// Whether images of so many pixels a side pass through all its layers, if they are as large as
    /// [`least_image`](Self::least_image).
    pub fn fits(&self, side: u32) -> bool {
        match self {
            // Poolings and strided convolutions halve an odd map in two ways, and their outputs are joined.
            Backbone::BnInception(_) => (side.div_ceil(2) / 4).is_multiple_of(4),
            Backbone::VitS16(_) | Backbone::VitB16(_) => side.is_multiple_of(16),
            _ => true,
        }
    }

    /// What the names of its layers begin with, from the image on; nothing where its file alone says that.
    pub fn layers(&self) -> &'static [&'static str] {
        match self {
            Backbone::Pixels | Backbone::Torchscript(_) => &[],
            Backbone::Conv4 => &["block1", "block2", "block3", "block4"],
            Backbone::BnInception(_) => &[
                "conv1_7x7_s2",
                "conv2_3x3_reduce",
                "conv2_3x3",
                "inception_3a",
                "inception_3b",
                "inception_3c",
                "inception_4a",
                "inception_4b",
                "inception_4c",
                "inception_4d",
                "inception_4e",
                "inception_5a",
                "inception_5b",
            ],
            Backbone::Resnet18(_) | Backbone::Resnet50(_) | Backbone::Resnet101(_) => {
                &["conv1", "bn1", "layer1", "layer2", "layer3", "layer4"]
            }
            Backbone::Googlenet(_) => &[
                "conv1",
                "conv2",
                "conv3",
                "inception3a",
                "inception3b",
                "inception4a",
                "inception4b",
                "inception4c",
                "inception4d",
                "inception4e",
                "inception5a",
                "inception5b",
            ],
            Backbone::EfficientnetLite0(_) => {
                &["_conv_stem", "_bn0", "_blocks", "_conv_head", "_bn1"]
            }
            Backbone::Squeezenet(_) | Backbone::MobilenetV2(_) => &["features"],
            Backbone::VitS16(_) | Backbone::VitB16(_) => {
                &["cls_token", "pos_embed", "patch_embed", "blocks", "norm"]
            }
        }
    }

    /// Whether it has a layer of this name, as far as [`layers`](Self::layers) tells: what is within one of these is
    /// known to the network alone.
    pub fn has_layer(&self, name: &str) -> bool {
        let begins = |long: &str, short: &str| {
            long.strip_prefix(short)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '_']))
        };
        let known = self
            .layers()
            .iter()
            .any(|layer| begins(name, layer) || begins(layer, name));
        known || (matches!(self, Backbone::Torchscript(_)) && !name.is_empty())
    }

    /// Whether its features are a map that has to be pooled, or may be one.
    pub fn gives_a_map(&self) -> bool {
        !matches!(
            self,
            Backbone::Pixels | Backbone::VitS16(_) | Backbone::VitB16(_)
        )
    }
}

/// Trained weights: in a sweep file the name that they were added under, in a recipe the SHA-256 of their file, so
/// that a run is named after what it starts from and not after what somebody called it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Weights(String);

impl Weights {
    /// Those with this name.
    pub fn named(name: impl Into<String>) -> Weights {
        Weights(name.into())
    }

    /// Those whose file this is.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of_file(mut file: impl io::Read) -> io::Result<Weights> {
        let mut hasher = Sha256::new();
        io::copy(&mut file, &mut hasher)?;
        Ok(Weights(
            hasher
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        ))
    }

    /// Stands for weights that are not there. No run with them can ever be executed.
    pub fn missing() -> Weights {
        Weights("missing".to_owned())
    }

    /// Whether they are not there.
    pub fn is_missing(&self) -> bool {
        *self == Weights::missing()
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the last map of a backbone becomes one vector.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean over all places.
    Avg,
    /// The largest of all places.
    Max,
    /// The sum of both.
    AvgMax,
    /// The generalised mean.
    Gem(Gem),
}

/// The generalised mean `mean(x^p)^(1/p)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gem {
    /// The power: 1 is the mean, infinity the maximum.
    #[serde(default = "three")]
    pub p: f64,
    /// Whether the power is trained.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trainable: bool,
}

fn three() -> f64 {
    3.0
}

/// What is between features and embedding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// A linear layer.
    Linear(LinearHead),
    /// Hidden layers with ReLU, then a linear layer.
    Mlp(Mlp),
}

/// A linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinearHead {
    /// How its weights are drawn.
    pub initial: LinearInitial,
}

/// How the weights of a linear layer are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinearInitial {
    /// Normal with variance 2 / inputs, biases zero.
    KaimingFanIn,
    /// Normal with variance 2 / outputs, biases zero.
    KaimingFanOut,
}

/// Hidden layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Their widths.
    pub hidden: Vec<u32>,
}

/// What is constant in batch norms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchNorm {
    /// Nothing: in training they use the statistics of the batch, and gather them.
    #[default]
    Train,
    /// The statistics: the running ones are used in training too. Scale and shift are trained.
    FrozenStatistics,
    /// Everything.
    Frozen,
}

impl BatchNorm {
    /// What it is where nothing is trained.
    pub fn untrained(backbone: &Backbone) -> BatchNorm {
        // A module of TorchScript can be nothing else.
        if matches!(backbone, Backbone::Torchscript(_)) {
            BatchNorm::FrozenStatistics
        } else {
            BatchNorm::Train
        }
    }

    fn is_train(&self) -> bool {
        *self == BatchNorm::Train
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_when_nothing_is_said_is_no_part_of_a_recipe() {
        let text = serde_json::to_string(&Model::new(Backbone::Conv4, Some(64))).unwrap();
        assert_eq!(text, r#"{"backbone":"conv4","embedding":64}"#);
        let long = r#"{"backbone":{"resnet50":{"stride_on":"3x3"}},"normalise":true,"batch_norm":"train","freeze":[]}"#;
        let model: Model = serde_json::from_str(long).unwrap();
        assert_eq!(
            serde_json::to_string(&model).unwrap(),
            r#"{"backbone":{"resnet50":{}}}"#
        );
    }

    #[test]
    fn every_backbone_is_found_by_its_name_in_a_sweep_file() {
        for backbone in Backbone::pretrainable() {
            let read: Backbone =
                serde_json::from_str(&format!("{{\"{}\": {{}}}}", backbone.name())).unwrap();
            assert_eq!(backbone, read);
            let named = backbone.with_weights(Weights::named("a"));
            assert_eq!(named.weights(), Some(&Weights::named("a")));
        }
    }

    #[test]
    fn weights_are_known_by_the_sha_256_of_their_file() {
        let hash = Weights::of_file(b"abc".as_slice()).unwrap();
        assert_eq!(
            hash.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
