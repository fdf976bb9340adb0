//! What backbones are built of: layers that know where their numbers lie, but hold none.
//!
//! A [`ParamBuilder`] gathers the names, shapes and initial numbers of all tensors of a network while its layers are made;
//! each layer keeps the places of its own. The numbers then lie wherever the network puts them, and a [`ForwardContext`] brings
//! them back to the layers for one forward pass.
//!
//! A convolution and the batch norm behind it are one layer, [`ConvNorm`]. Wherever the norm uses its running
//! statistics it is a fixed scale and shift for each channel, and is folded into the convolution, in training too:
//! `norm(w * x + b) = (s w) * x + (s b + t)` with `s = scale / sqrt(variance + epsilon)` and `t = shift - s mean`. The
//! gradients of `w`, `b`, `scale` and `shift` are the same, and a pass over the map is saved in each direction.

use tch::{Kind, Tensor};

use crate::parameters::{Init, ParamSpec};

/// The tensors of a network to be.
#[derive(Debug, Default)]
pub(super) struct ParamBuilder {
    pub(super) parameters: Vec<ParamSpec>,
    pub(super) statistics: Vec<ParamSpec>,
    pub(super) convolutions: Convolutions,
    /// Whether the weights of convolutions lie with their channels side by side.
    pub(super) channels_last: bool,
    /// Which of the parameters are scales and shifts of batch norms.
    pub(super) norms: Vec<usize>,
}

/// How the weights of convolutions are drawn.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Convolutions {
    /// PyTorch's default.
    #[default]
    FanIn,
    /// Normal with the variance `2 / (outputs * kernel^2 / groups)` (He et al., ICCV 2015, for the backward pass).
    FanOut,
    /// Uniform with the variance `2 / (inputs * kernel^2)` (the same, for the forward pass); biases are zero.
    HeUniform,
    /// Normal with this standard deviation.
    Normal(f64),
}

/// The place of a tensor that can be trained.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter(usize);

/// The place of a running statistic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statistic(usize);

impl ParamBuilder {
    pub(super) fn parameter(
        &mut self,
        name: impl Into<String>,
        shape: &[i64],
        initial: Init,
    ) -> Parameter {
        self.parameters.push(ParamSpec::new(name, shape, initial));
        Parameter(self.parameters.len() - 1)
    }

    /// Makes the numbers of a tensor the initial ones.
    pub(super) fn give(&mut self, place: Parameter, tensor: &Tensor) {
        self.parameters[place.0].give(tensor);
    }

    fn kernels(&mut self, name: String, shape: &[i64], initial: Init) -> Parameter {
        self.parameters
            .push(ParamSpec::new(name, shape, initial).channels_last(self.channels_last));
        Parameter(self.parameters.len() - 1)
    }

    fn statistic(&mut self, name: String, shape: &[i64], initial: Init) -> Statistic {
        self.statistics.push(ParamSpec::new(name, shape, initial));
        Statistic(self.statistics.len() - 1)
    }
}

/// The numbers of a network during one forward pass.
#[derive(Clone, Copy)]
pub(super) struct ForwardContext<'a> {
    /// In the order of the plan.
    pub(super) parameters: &'a [Tensor],
    /// In the order of the plan.
    pub(super) statistics: &'a [Tensor],
    /// Which parameters are constants.
    pub(super) frozen: &'a [bool],
    /// Whether batch norms use the statistics of the batch, and add them to their running ones.
    pub(super) batch_statistics: bool,
    /// Of which kind maps are.
    pub(super) dtype: Kind,
}

impl ForwardContext<'_> {
    /// As it takes part in the pass.
    pub(super) fn parameter(&self, place: Parameter) -> Tensor {
        self.master(place).to_kind(self.dtype)
    }

    /// As it is trained.
    fn master(&self, place: Parameter) -> &Tensor {
        &self.parameters[place.0]
    }

    fn statistic(&self, place: Statistic) -> &Tensor {
        &self.statistics[place.0]
    }
}

/// The shape of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    inputs: i64,
    outputs: i64,
    kernel: i64,
    stride: i64,
    padding: Padding,
    groups: i64,
    biased: bool,
}

/// What a convolution sees beyond the border of a map: zeros.
#[derive(Clone, Copy, Debug)]
enum Padding {
    /// So many on each side.
    Each(i64),
    /// As many as make the output `ceil(size / stride)`, the odd one at the end: TensorFlow's `SAME`.
    Same,
}

impl Shape {
    /// A square kernel, odd, that keeps the size of the map; no bias.
    pub(super) fn new(inputs: i64, outputs: i64, kernel: i64) -> Shape {
        let padding = Padding::Each((kernel - 1) / 2);
        Shape {
            inputs,
            outputs,
            kernel,
            stride: 1,
            padding,
            groups: 1,
            biased: false,
        }
    }

    /// One kernel for each channel.
    pub(super) fn depthwise(channels: i64, kernel: i64) -> Shape {
        Shape {
            groups: channels,
            ..Shape::new(channels, channels, kernel)
        }
    }

    pub(super) fn stride(self, stride: i64) -> Shape {
        Shape { stride, ..self }
    }

    /// Pads by so many zeros on each side.
    pub(super) fn padding(self, padding: i64) -> Shape {
        Shape {
            padding: Padding::Each(padding),
            ..self
        }
    }

    /// Pads as TensorFlow does.
    pub(super) fn same(self) -> Shape {
        Shape {
            padding: Padding::Same,
            ..self
        }
    }

    pub(super) fn biased(self) -> Shape {
        Shape {
            biased: true,
            ..self
        }
    }

    fn fan_in(&self) -> i64 {
        self.inputs / self.groups * self.kernel * self.kernel
    }

    fn initial(&self, convolutions: Convolutions) -> Init {
        let fan_out = self.outputs / self.groups * self.kernel * self.kernel;
        match convolutions {
            Convolutions::FanIn => Init::FanIn(self.fan_in()),
            Convolutions::FanOut => Init::Normal((2.0 / fan_out as f64).sqrt()),
            Convolutions::HeUniform => Init::Uniform((6.0 / self.fan_in() as f64).sqrt()),
            Convolutions::Normal(deviation) => Init::Normal(deviation),
        }
    }
}

/// A convolution: `NAME.weight` and perhaps `NAME.bias`.
#[derive(Debug)]
pub(super) struct Conv {
    shape: Shape,
    weight: Parameter,
    bias: Option<Parameter>,
}

impl Conv {
    pub(super) fn new(builder: &mut ParamBuilder, name: &str, shape: Shape) -> Conv {
        let sizes = [
            shape.outputs,
            shape.inputs / shape.groups,
            shape.kernel,
            shape.kernel,
        ];
        let weight = builder.kernels(
            format!("{name}.weight"),
            &sizes,
            shape.initial(builder.convolutions),
        );
        let bias = |builder: &mut ParamBuilder| {
            builder.parameter(
                format!("{name}.bias"),
                &[shape.outputs],
                Init::FanIn(shape.fan_in()),
            )
        };
        Conv {
            shape,
            weight,
            bias: shape.biased.then(|| bias(builder)),
        }
    }

    pub(super) fn forward(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        self.with(
            map,
            &context.parameter(self.weight),
            self.bias.map(|bias| context.parameter(bias)).as_ref(),
        )
    }

    fn with(&self, map: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
        let Shape {
            kernel,
            stride,
            padding,
            groups,
            ..
        } = self.shape;
        let map = &map.to_kind(weight.kind());
        // Weights with channels side by side would make such a map of any other.
        let weight = if map.is_contiguous() {
            weight.contiguous()
        } else {
            weight.shallow_clone()
        };
        let convolve =
            |map: &Tensor, padding: i64| map.conv2d(&weight, bias, stride, padding, 1, groups);
        match padding {
            Padding::Each(padding) => convolve(map, padding),
            Padding::Same => {
                let missing = |size: i64| {
                    (((size + stride - 1) / stride - 1) * stride + kernel - size).max(0)
                };
                let (height, width) = (missing(map.size()[2]), missing(map.size()[3]));
                if height == width && height % 2 == 0 {
                    return convolve(map, height / 2);
                }
                let sides = [
                    width / 2,
                    width - width / 2,
                    height / 2,
                    height - height / 2,
                ];
                convolve(&map.constant_pad_nd(sides), 0)
            }
        }
    }
}

/// A batch norm: `NAME.weight`, `NAME.bias`, `NAME.running_mean`, `NAME.running_var`.
#[derive(Debug)]
pub(super) struct Norm {
    scale: Parameter,
    shift: Parameter,
    mean: Statistic,
    variance: Statistic,
    settings: NormSettings,
}

/// What codebases differ in.
#[derive(Clone, Copy, Debug)]
pub(super) struct NormSettings {
    /// Added to the variance.
    pub(super) epsilon: f64,
    /// The weight of a batch in the running statistics.
    pub(super) momentum: f64,
}

/// PyTorch's defaults.
pub(super) const NORM: NormSettings = NormSettings {
    epsilon: 1e-5,
    momentum: 0.1,
};

impl Norm {
    fn new(builder: &mut ParamBuilder, name: &str, channels: i64, settings: NormSettings) -> Norm {
        let part = |part: &str| format!("{name}.{part}");
        builder
            .norms
            .extend([builder.parameters.len(), builder.parameters.len() + 1]);
        Norm {
            scale: builder.parameter(part("weight"), &[channels], Init::Constant(1.0)),
            shift: builder.parameter(part("bias"), &[channels], Init::Constant(0.0)),
            mean: builder.statistic(part("running_mean"), &[channels], Init::Constant(0.0)),
            variance: builder.statistic(part("running_var"), &[channels], Init::Constant(1.0)),
            settings,
        }
    }

    /// A norm that is frozen no longer follows the batch.
    fn follows_batch(&self, context: &ForwardContext) -> bool {
        context.batch_statistics && !context.frozen[self.scale.0]
    }

    fn by_batch(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        map.batch_norm(
            Some(context.master(self.scale)),
            Some(context.master(self.shift)),
            Some(context.statistic(self.mean)),
            Some(context.statistic(self.variance)),
            true,
            self.settings.momentum,
            self.settings.epsilon,
            true,
        )
    }

    /// What the norm with running statistics multiplies by and then adds, for each channel.
    fn scale_and_shift(&self, context: &ForwardContext) -> (Tensor, Tensor) {
        let deviation = (context.statistic(self.variance) + self.settings.epsilon).sqrt();
        let scale = context.master(self.scale) / deviation;
        let shift = context.master(self.shift) - context.statistic(self.mean) * &scale;
        (scale, shift)
    }
}

/// A convolution with a batch norm behind it, folded into one where the norm uses its running statistics.
#[derive(Debug)]
pub(super) struct ConvNorm {
    conv: Conv,
    norm: Norm,
}

impl ConvNorm {
    pub(super) fn new(
        builder: &mut ParamBuilder,
        conv: &str,
        norm: &str,
        shape: Shape,
    ) -> ConvNorm {
        ConvNorm::with(builder, conv, norm, shape, NORM)
    }

    pub(super) fn with(
        builder: &mut ParamBuilder,
        conv: &str,
        norm: &str,
        shape: Shape,
        settings: NormSettings,
    ) -> ConvNorm {
        ConvNorm {
            conv: Conv::new(builder, conv, shape),
            norm: Norm::new(builder, norm, shape.outputs, settings),
        }
    }

    pub(super) fn forward(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        if self.norm.follows_batch(context) {
            return self
                .norm
                .by_batch(context, &self.conv.forward(context, map));
        }
        let (scale, shift) = self.norm.scale_and_shift(context);
        let weight = context.master(self.conv.weight) * scale.view([-1, 1, 1, 1]);
        let bias = match self.conv.bias {
            Some(bias) => shift + context.master(bias) * scale,
            None => shift,
        };
        self.conv.with(
            map,
            &weight.to_kind(context.dtype),
            Some(&bias.to_kind(context.dtype)),
        )
    }

    /// The same, with ReLU behind it.
    pub(super) fn relu(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        self.forward(context, map).relu_()
    }

    /// The same, with ReLU6 behind it.
    pub(super) fn relu6(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        self.forward(context, map).relu6_()
    }
}

/// A linear layer with bias: `NAME.weight` and `NAME.bias`.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Parameter,
    bias: Parameter,
}

impl Linear {
    /// With PyTorch's default initial numbers.
    pub(super) fn new(builder: &mut ParamBuilder, name: &str, inputs: i64, outputs: i64) -> Linear {
        Linear::with(
            builder,
            name,
            inputs,
            outputs,
            [Init::FanIn(inputs), Init::FanIn(inputs)],
        )
    }

    /// With these initial weights and biases.
    pub(super) fn with(
        builder: &mut ParamBuilder,
        name: &str,
        inputs: i64,
        outputs: i64,
        initial: [Init; 2],
    ) -> Linear {
        let [of_weight, of_bias] = initial;
        Linear {
            weight: builder.parameter(format!("{name}.weight"), &[outputs, inputs], of_weight),
            bias: builder.parameter(format!("{name}.bias"), &[outputs], of_bias),
        }
    }

    pub(super) fn forward(&self, context: &ForwardContext, features: &Tensor) -> Tensor {
        features.to_kind(context.dtype).linear(
            &context.parameter(self.weight),
            Some(&context.parameter(self.bias)),
        )
    }
}

/// A layer norm over the last dimension: `NAME.weight` and `NAME.bias`.
#[derive(Debug)]
pub(super) struct LayerNorm {
    scale: Parameter,
    shift: Parameter,
    width: i64,
    epsilon: f64,
}

impl LayerNorm {
    pub(super) fn new(
        builder: &mut ParamBuilder,
        name: &str,
        width: i64,
        epsilon: f64,
    ) -> LayerNorm {
        LayerNorm {
            scale: builder.parameter(format!("{name}.weight"), &[width], Init::Constant(1.0)),
            shift: builder.parameter(format!("{name}.bias"), &[width], Init::Constant(0.0)),
            width,
            epsilon,
        }
    }

    pub(super) fn forward(&self, context: &ForwardContext, features: &Tensor) -> Tensor {
        let (scale, shift) = (context.master(self.scale), context.master(self.shift));
        let normed = features.to_kind(Kind::Float).layer_norm(
            self.width,
            Some(scale),
            Some(shift),
            self.epsilon,
            true,
        );
        normed.to_kind(context.dtype)
    }
}

/// The same map with the channels of a pixel side by side in memory, the layout in which libtorch convolves fastest on
/// the CPU. Layers keep the layout that they get.
pub(super) fn channels_last(map: &Tensor) -> Tensor {
    map.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// The largest of each 3x3 window, every second one.
pub(super) fn max_pool_3x3(map: &Tensor, padding: i64, ceil: bool) -> Tensor {
    map.max_pool2d(3, 2, padding, 1, ceil)
}

/// Joins maps along their channels.
pub(super) fn join(maps: &[Tensor]) -> Tensor {
    Tensor::cat(maps, 1)
}
