//! Layers of backbones: they store indices of parameters, not the parameters.
//!
//! While layers are built, a [`ParamBuilder`] collects the names, shapes and initial values of all
//! tensors of a network, and each layer keeps the indices of its own. The network decides where the
//! values are stored, and passes them to the layers in a [`ForwardContext`] for one forward pass.
//!
//! A convolution and its batch norm are one layer, [`ConvNorm`]. A norm that uses its running
//! statistics is a fixed scale and shift per channel. On the CPU it is folded into the convolution, in
//! training too: `norm(w * x + b) = (s w) * x + (s b + t)` with `s = scale / sqrt(variance + epsilon)`
//! and `t = shift - s mean`. The gradients of `w`, `b`, `scale` and `shift` are the same, and each
//! direction saves a pass over the map. On a GPU, the many small operations of folding take longer than
//! that pass.

use std::{array, sync::Arc};

use schema::Lora;
use tch::{Kind, Tensor};

use super::depth::StochasticDepth;
use crate::parameters::{Init, ParamSpec};

/// Specifications of the tensors of a network under construction.
#[derive(Debug, Default)]
pub(super) struct ParamBuilder {
    pub(super) parameters: Vec<ParamSpec>,
    pub(super) statistics: Vec<ParamSpec>,
    pub(super) convolutions: Convolutions,
    /// True if the weights of convolutions are stored channels last.
    pub(super) channels_last: bool,
    /// Indices of the scales and shifts of batch norms among the parameters.
    pub(super) norms: Vec<usize>,
    /// The settings of adapters. Absent: no layer gets one.
    pub(super) lora: Option<Lora>,
    /// The adapters so far.
    pub(super) adapters: Vec<Adapter>,
    /// Number of the layer that is built, from the image on.
    pub(super) layer: u32,
    /// True once what follows the last layer of the trunk is built.
    pub(super) is_behind_trunk: bool,
}

/// Initialization of the weights of convolutions.
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

/// Index of a trainable tensor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter(usize);

/// Index of a running statistic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statistic(usize);

impl ParamBuilder {
    pub(super) fn parameter(
        &mut self,
        name: impl Into<String>,
        shape: &[i64],
        initial: Init,
    ) -> Parameter {
        self.add(ParamSpec::new(name, shape, initial))
    }

    /// Adds a token, or what is added to tokens or to the attention between them: no matrix, though it has several
    /// dimensions.
    pub(super) fn token(
        &mut self,
        name: impl Into<String>,
        shape: &[i64],
        initial: Init,
    ) -> Parameter {
        self.add(ParamSpec::new(name, shape, initial).without_decay())
    }

    /// Begins the next layer: what layer-wise decay of learning rates tells apart.
    pub(super) fn begin_layer(&mut self) {
        self.layer += 1;
    }

    /// Begins the layer behind the trunk, unless the trunk has done so for a norm or a pooling of its own. Its convolutions
    /// have PyTorch's initialization.
    pub(super) fn begin_head(&mut self) {
        self.convolutions = Convolutions::default();
        if !self.is_behind_trunk {
            self.begin_layer();
        }
        self.is_behind_trunk = true;
    }

    /// Returns the number of the last layer that has parameters.
    pub(super) fn last_layer(&self) -> u32 {
        let layers = self.parameters.iter().map(|spec| spec.segment().layer);
        layers.max().unwrap_or_default()
    }

    fn add(&mut self, spec: ParamSpec) -> Parameter {
        self.parameters.push(spec.in_layer(self.layer));
        Parameter(self.parameters.len() - 1)
    }

    /// Sets the initial values of a parameter to those of a tensor.
    pub(super) fn give(&mut self, place: Parameter, tensor: &Tensor) {
        self.parameters[place.0].give(tensor);
    }

    fn kernels(&mut self, name: String, shape: &[i64], initial: Init) -> Parameter {
        let last = self.channels_last;
        self.add(ParamSpec::new(name, shape, initial).channels_last(last))
    }

    fn statistic(&mut self, name: String, shape: &[i64], initial: Init) -> Statistic {
        self.statistics.push(ParamSpec::new(name, shape, initial));
        Statistic(self.statistics.len() - 1)
    }
}

/// The parameters and statistics of a network during one forward pass.
#[derive(Clone, Copy)]
pub(super) struct ForwardContext<'a> {
    /// Parameters in the order of the builder.
    pub(super) parameters: &'a [Tensor],
    /// Running statistics in the order of the builder.
    pub(super) statistics: &'a [Tensor],
    /// True for each parameter that is frozen.
    pub(super) frozen: &'a [bool],
    /// True if batch norms use the statistics of the batch and update their running ones.
    pub(super) batch_statistics: bool,
    /// True if norms with running statistics are folded into their convolutions.
    pub(super) folds_norms: bool,
    /// True if layer norms take maps in half precision as they are, with scales in single precision: on the CPU, where both
    /// forms compute in single precision. Not in modules for use elsewhere.
    pub(super) mixes_precisions: bool,
    /// True if attention to few tokens keeps its weights: in training on the CPU, where the fused kernel takes longer for the
    /// gradient in half precision.
    pub(super) keeps_attention: bool,
    /// The dtype of maps.
    pub(super) dtype: Kind,
    /// Where what adapters add is added.
    pub(super) adapters: Adapters,
    /// Which images skip which branches. Absent: none do.
    pub(super) stochastic_depth: Option<StochasticDepth>,
    /// Keeps the tensors for blocks that are computed again for their gradient. Absent: their inner values are kept.
    pub(super) lasting: Option<&'a Arc<LastingContext>>,
}

impl<'a> ForwardContext<'a> {
    /// Returns the same pass in single precision.
    pub(super) fn in_single_precision(&self) -> ForwardContext<'a> {
        ForwardContext {
            dtype: Kind::Float,
            ..*self
        }
    }

    /// Returns a parameter in the dtype of the pass.
    pub(super) fn parameter(&self, place: Parameter) -> Tensor {
        self.master(place).to_kind(self.dtype)
    }

    /// Returns a parameter in the dtype in which it is trained.
    fn master(&self, place: Parameter) -> &Tensor {
        &self.parameters[place.0]
    }

    fn statistic(&self, place: Statistic) -> &Tensor {
        &self.statistics[place.0]
    }
}

/// A context that lasts until the gradient is computed.
#[derive(Debug)]
pub(super) struct LastingContext {
    parameters: Vec<Tensor>,
    statistics: Vec<Tensor>,
    frozen: Vec<bool>,
    batch_statistics: bool,
    folds_norms: bool,
    mixes_precisions: bool,
    keeps_attention: bool,
    dtype: Kind,
    adapters: Adapters,
    stochastic_depth: Option<StochasticDepth>,
}

impl LastingContext {
    /// Returns a context with the same tensors.
    #[expect(
        clippy::arc_with_non_send_sync,
        reason = "the thread that computes gradients on a GPU may drop it"
    )]
    pub(super) fn of(context: &ForwardContext) -> Arc<LastingContext> {
        let shared = |tensors: &[Tensor]| tensors.iter().map(Tensor::shallow_clone).collect();
        Arc::new(LastingContext {
            parameters: shared(context.parameters),
            statistics: shared(context.statistics),
            frozen: context.frozen.to_vec(),
            batch_statistics: context.batch_statistics,
            folds_norms: context.folds_norms,
            mixes_precisions: context.mixes_precisions,
            keeps_attention: context.keeps_attention,
            dtype: context.dtype,
            adapters: context.adapters,
            stochastic_depth: context.stochastic_depth,
        })
    }

    pub(super) fn context(&self) -> ForwardContext<'_> {
        ForwardContext {
            parameters: &self.parameters,
            statistics: &self.statistics,
            frozen: &self.frozen,
            batch_statistics: self.batch_statistics,
            folds_norms: self.folds_norms,
            mixes_precisions: self.mixes_precisions,
            keeps_attention: self.keeps_attention,
            dtype: self.dtype,
            adapters: self.adapters,
            stochastic_depth: self.stochastic_depth,
            lasting: None,
        }
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

/// Zero padding of a convolution.
#[derive(Clone, Copy, Debug)]
enum Padding {
    /// This number of zeros on each side.
    Each(i64),
    /// TensorFlow's `SAME`: the output has `ceil(size / stride)` pixels; an odd zero is at the end.
    Same,
}

impl Shape {
    /// Returns a convolution with a square, odd kernel that keeps the size of the map, without bias.
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

    /// Returns the depthwise convolution: one kernel per channel.
    pub(super) fn depthwise(channels: i64, kernel: i64) -> Shape {
        Shape {
            groups: channels,
            ..Shape::new(channels, channels, kernel)
        }
    }

    pub(super) fn stride(self, stride: i64) -> Shape {
        Shape { stride, ..self }
    }

    /// Returns the convolution with this number of zeros on each side.
    pub(super) fn padding(self, padding: i64) -> Shape {
        Shape {
            padding: Padding::Each(padding),
            ..self
        }
    }

    /// Returns the convolution with TensorFlow's padding.
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

/// A convolution: `NAME.weight` and optionally `NAME.bias`.
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
        // With channels-last weights, libtorch would return a channels-last map.
        let weight = if map.is_contiguous() {
            weight.contiguous()
        } else {
            weight.shallow_clone()
        };
        // One number for each side: ONNX knows no shorthand, and takes it from the module that is traced.
        let convolve = |map: &Tensor, padding: i64| {
            map.conv2d(&weight, bias, [stride; 2], [padding; 2], [1; 2], groups)
        };
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

/// Settings of batch norms in which codebases differ.
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

    /// True if the norm uses batch statistics; a frozen norm does not.
    fn follows_batch(&self, context: &ForwardContext) -> bool {
        context.batch_statistics && !context.frozen[self.scale.0]
    }

    /// Normalizes a map with the statistics of the batch, or with the running ones.
    fn apply(&self, context: &ForwardContext, map: &Tensor, by_batch: bool) -> Tensor {
        map.batch_norm(
            Some(context.master(self.scale)),
            Some(context.master(self.shift)),
            Some(context.statistic(self.mean)),
            Some(context.statistic(self.variance)),
            by_batch,
            self.settings.momentum,
            self.settings.epsilon,
            true,
        )
    }

    /// Returns the scale and the shift per channel of the norm with running statistics.
    fn scale_and_shift(&self, context: &ForwardContext) -> (Tensor, Tensor) {
        let deviation = (context.statistic(self.variance) + self.settings.epsilon).sqrt();
        let scale = context.master(self.scale) / deviation;
        let shift = context.master(self.shift) - context.statistic(self.mean) * &scale;
        (scale, shift)
    }
}

/// A convolution followed by a batch norm, folded into one if the norm uses its running statistics.
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
        let by_batch = self.norm.follows_batch(context);
        if by_batch || !context.folds_norms {
            let map = self.conv.forward(context, map);
            return self.norm.apply(context, &map, by_batch);
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

    /// Like `forward`, followed by ReLU.
    pub(super) fn relu(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        self.forward(context, map).relu_()
    }

    /// Like `forward`, followed by ReLU6.
    pub(super) fn relu6(&self, context: &ForwardContext, map: &Tensor) -> Tensor {
        self.forward(context, map).relu6_()
    }
}

/// A low-rank adapter of a linear layer: `NAME.lora_a` and `NAME.lora_b`.
#[derive(Clone, Debug)]
pub(super) struct Adapter {
    name: String,
    /// `[rank, inputs]`.
    a: Parameter,
    /// `[outputs, rank]`.
    b: Parameter,
    /// What it is added to.
    weight: Parameter,
    scale: f64,
}

impl Adapter {
    /// The names of its parameters, and of the weights that they are added to.
    pub(super) fn names(&self) -> [String; 3] {
        ["lora_a", "lora_b", "weight"].map(|part| format!("{}.{part}", self.name))
    }

    /// The indices of its parameters, and of these weights.
    pub(super) fn parameters(&self) -> [usize; 3] {
        [self.a, self.b, self.weight].map(|place| place.0)
    }

    /// Returns weights with what the adapter adds to them, given its parameters.
    pub(super) fn merged(&self, weight: &Tensor, a: &Tensor, b: &Tensor) -> Tensor {
        weight + b.matmul(a) * self.scale
    }
}

/// Where what adapters add is added during one forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adapters {
    /// To what the layer gives: in training, where the product of the matrices would be as large as the weights.
    Apart,
    /// To its weights: in evaluation.
    Merged,
    /// Nowhere: the weights of this pass are merged already.
    Ignored,
}

/// A linear layer: `NAME.weight` and usually `NAME.bias`.
#[derive(Debug)]
pub(super) struct Linear {
    weight: Parameter,
    bias: Option<Parameter>,
    adapter: Option<Adapter>,
}

impl Linear {
    /// Returns a linear layer with PyTorch's default initialization.
    pub(super) fn new(builder: &mut ParamBuilder, name: &str, inputs: i64, outputs: i64) -> Linear {
        Linear::with(
            builder,
            name,
            inputs,
            outputs,
            [Init::FanIn(inputs), Init::FanIn(inputs)],
        )
    }

    /// Returns a linear layer with these initializations of weights and biases.
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
            bias: Some(builder.parameter(format!("{name}.bias"), &[outputs], of_bias)),
            adapter: None,
        }
    }

    /// Returns a linear layer with the initial parameters of transformers.
    pub(super) fn normal(
        builder: &mut ParamBuilder,
        name: &str,
        inputs: i64,
        outputs: i64,
    ) -> Linear {
        let initial = [Init::Normal(0.02), Init::Constant(0.0)];
        Linear::with(builder, name, inputs, outputs, initial)
    }

    /// Returns a linear layer of a block: like [`normal`](Self::normal), with an adapter if the network has any.
    pub(super) fn of_block(
        builder: &mut ParamBuilder,
        name: &str,
        inputs: i64,
        outputs: i64,
    ) -> Linear {
        Linear::normal(builder, name, inputs, outputs).adapted(builder, name)
    }

    /// Returns a linear layer without bias.
    pub(super) fn unbiased(
        builder: &mut ParamBuilder,
        name: &str,
        inputs: i64,
        outputs: i64,
        initial: Init,
    ) -> Linear {
        Linear {
            weight: builder.parameter(format!("{name}.weight"), &[outputs, inputs], initial),
            bias: None,
            adapter: None,
        }
    }

    /// Returns the layer with an adapter, if the network has any.
    pub(super) fn adapted(self, builder: &mut ParamBuilder, name: &str) -> Linear {
        let Some(Lora { rank, alpha }) = builder.lora else {
            return self;
        };
        let [outputs, inputs] = builder.parameters[self.weight.0].shape() else {
            panic!("the weights of a linear layer are a matrix");
        };
        let (outputs, inputs, rank) = (*outputs, *inputs, i64::from(rank));
        let adapter = Adapter {
            name: name.to_owned(),
            a: builder.parameter(
                format!("{name}.lora_a"),
                &[rank, inputs],
                Init::FanIn(inputs),
            ),
            b: builder.parameter(
                format!("{name}.lora_b"),
                &[outputs, rank],
                Init::Constant(0.0),
            ),
            weight: self.weight,
            scale: alpha / rank as f64,
        };
        builder.adapters.push(adapter.clone());
        Linear {
            adapter: Some(adapter),
            ..self
        }
    }

    /// Returns the weights `[outputs, inputs]`.
    pub(super) fn weight(&self, context: &ForwardContext) -> Tensor {
        context.parameter(self.weight)
    }

    pub(super) fn forward(&self, context: &ForwardContext, features: &Tensor) -> Tensor {
        let features = features.to_kind(context.dtype);
        let bias = self.bias.map(|bias| context.parameter(bias));
        let with = |weight: &Tensor| features.linear(weight, bias.as_ref());
        let plain = || with(&context.parameter(self.weight));
        let Some(adapter) = &self.adapter else {
            return plain();
        };
        match context.adapters {
            Adapters::Ignored => plain(),
            Adapters::Merged => {
                let [weight, a, b] =
                    [self.weight, adapter.a, adapter.b].map(|place| context.master(place));
                with(&adapter.merged(weight, a, b).to_kind(context.dtype))
            }
            Adapters::Apart => {
                let [a, b] = [adapter.a, adapter.b].map(|place| context.parameter(place));
                let reduced = features.linear(&a, None::<&Tensor>);
                plain() + reduced.linear(&b, None::<&Tensor>) * adapter.scale
            }
        }
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
        let features = match context.mixes_precisions && features.kind() == context.dtype {
            true => features.shallow_clone(),
            false => features.to_kind(Kind::Float),
        };
        let normed = features.layer_norm(self.width, Some(scale), Some(shift), self.epsilon, true);
        normed.to_kind(context.dtype)
    }
}

/// Returns the `N` parts `[..]` of a tensor `[N, ..]`, whose gradients are joined in one operation.
pub(super) fn parts<const N: usize>(joined: &Tensor) -> [Tensor; N] {
    let parts = joined.unbind(0);
    array::from_fn(|part| parts[part].shallow_clone())
}

/// Returns a map in channels-last memory format, in which libtorch convolves fastest on the CPU.
/// Layers keep the memory format of their input.
pub(super) fn channels_last(map: &Tensor) -> Tensor {
    map.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Returns the maximum of each 3x3 window, with stride 2.
pub(super) fn max_pool_3x3(map: &Tensor, padding: i64, ceil: bool) -> Tensor {
    max_pool(map, 3, 2, padding, ceil)
}

/// Returns the maximum of each square window. `ceil` lets a last window reach over the edge.
pub(super) fn max_pool(map: &Tensor, side: i64, stride: i64, padding: i64, ceil: bool) -> Tensor {
    map.max_pool2d([side; 2], [stride; 2], [padding; 2], [1; 2], ceil)
}

/// Concatenates maps along their channels.
pub(super) fn join(maps: &[Tensor]) -> Tensor {
    Tensor::cat(maps, 1)
}
