//! Many tensors in one: named views of a flat tensor.
//!
//! Networks keep their weights in this form, and losses their proxies: an optimizer step is a handful
//! of operations whatever the network, and a checkpoint is a few tensors. The weights of
//! convolutions are stored in the memory format in which they are used, which may be channels last,
//! so that no step has to reorder them.

use std::collections::BTreeMap;

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::random::{Draws, Purpose};

/// The name, the shape and the initialization of a tensor.
#[derive(Debug)]
pub struct ParamSpec {
    name: String,
    shape: Vec<i64>,
    initial: Init,
    /// True if a tensor of four dimensions is stored channels last.
    channels_last: bool,
    /// Number of its layer.
    layer: u32,
    /// True if it is one of those that weight decay usually shrinks.
    decays: bool,
}

/// One tensor in a flat tensor, as an optimizer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// How many numbers it has.
    pub length: i64,
    /// Number of its layer, from the image on.
    pub layer: u32,
    /// True for matrices and kernels; false for norms, biases, tokens and the positions of tokens.
    pub decays: bool,
}

/// Initialization of a tensor.
#[derive(Clone, Debug)]
pub enum Init {
    /// The same value everywhere.
    Constant(f32),
    /// Uniform in ±1 / sqrt(inputs), as PyTorch's linear and convolution layers draw weights
    /// (`kaiming_uniform_` with `a = sqrt(5)`) and biases.
    FanIn(i64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Uniform between minus and plus this bound.
    Uniform(f64),
    /// These values, for instance from a file.
    Given(Vec<f32>),
}

/// Named views of a flat tensor.
#[derive(Debug)]
pub struct Parameters {
    flat: Tensor,
    names: Vec<String>,
    segments: Vec<Segment>,
    views: Vec<Tensor>,
}

impl ParamSpec {
    pub(crate) fn new(name: impl Into<String>, shape: &[i64], initial: Init) -> ParamSpec {
        ParamSpec {
            name: name.into(),
            shape: shape.to_vec(),
            initial,
            channels_last: false,
            layer: 0,
            decays: shape.len() > 1,
        }
    }

    /// Sets the number of the layer.
    pub(crate) fn in_layer(self, layer: u32) -> ParamSpec {
        ParamSpec { layer, ..self }
    }

    /// Exempts a tensor of several dimensions from weight decay that leaves out norms and biases.
    pub(crate) fn without_decay(self) -> ParamSpec {
        ParamSpec {
            decays: false,
            ..self
        }
    }

    /// Sets the memory format of a tensor of four dimensions. Channels last is set only if the shape
    /// distinguishes the two formats; otherwise libtorch would take ambiguous strides for a choice.
    pub(crate) fn channels_last(self, channels_last: bool) -> ParamSpec {
        let matters = matches!(self.shape[..], [_, channels, height, width] if channels > 1 && height * width > 1);
        ParamSpec {
            channels_last: channels_last && matters,
            ..self
        }
    }

    pub(crate) fn len(&self) -> i64 {
        self.shape.iter().product()
    }

    pub(crate) fn segment(&self) -> Segment {
        Segment {
            length: self.len(),
            layer: self.layer,
            decays: self.decays,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// Sets the initial values to those of a tensor of the same shape.
    pub(crate) fn give(&mut self, tensor: &Tensor) {
        let mut numbers = vec![0f32; tensor.numel()];
        tensor
            .to_device(Device::Cpu)
            .contiguous()
            .copy_data(&mut numbers, tensor.numel());
        self.initial = Init::Given(numbers);
    }

    /// Returns these values in the shape of the tensor.
    fn view(&self, numbers: &Tensor) -> Tensor {
        match (self.channels_last, self.shape.as_slice()) {
            (true, &[outputs, channels, height, width]) => numbers
                .view([outputs, height, width, channels])
                .permute([0, 3, 1, 2]),
            (_, shape) => numbers.view(shape),
        }
    }

    /// Writes the initial values, which do not depend on the memory format.
    fn write(&self, draws: Draws, numbers: &mut [f32]) {
        self.draw(draws, numbers);
        if let (true, &[_, channels, height, width]) = (self.channels_last, self.shape.as_slice()) {
            let (channels, pixels) = (channels as usize, (height * width) as usize);
            let mut reordered = vec![0.0; channels * pixels];
            for kernel in numbers.chunks_exact_mut(channels * pixels) {
                for (place, number) in reordered.iter_mut().enumerate() {
                    *number = kernel[place % channels * pixels + place / channels];
                }
                kernel.copy_from_slice(&reordered);
            }
        }
    }

    fn draw(&self, mut draws: Draws, numbers: &mut [f32]) {
        let mut fill = |number: &mut dyn FnMut() -> f32| {
            numbers.iter_mut().for_each(|place| *place = number())
        };
        match self.initial {
            Init::Constant(number) => fill(&mut || number),
            Init::FanIn(inputs) => {
                let bound = 1.0 / (inputs as f64).sqrt();
                fill(&mut || draws.between(-bound, bound) as f32);
            }
            Init::Normal(deviation) => fill(&mut || (deviation * draws.normal()) as f32),
            Init::Uniform(bound) => fill(&mut || draws.between(-bound, bound) as f32),
            Init::Given(ref given) => numbers.copy_from_slice(given),
        }
    }
}

impl Parameters {
    /// Returns the parameters of a network. The draws of a tensor depend on the number beside it.
    pub(crate) fn new(slots: Vec<(u64, ParamSpec)>, seed: u64, device: Device) -> Parameters {
        Parameters::drawn(slots, device, |number| {
            Draws::new(seed, Purpose::Weights, number, 0)
        })
    }

    /// Returns tensors with initial values drawn by the number of each tensor, on all cores.
    pub(crate) fn drawn(
        slots: Vec<(u64, ParamSpec)>,
        device: Device,
        draws: impl Fn(u64) -> Draws + Sync,
    ) -> Parameters {
        let total: i64 = slots.iter().map(|(_, slot)| slot.len()).sum();
        let mut numbers = vec![0f32; total as usize];
        let (mut rest, mut parts) = (numbers.as_mut_slice(), Vec::with_capacity(slots.len()));
        for (number, slot) in &slots {
            let (part, behind) = rest.split_at_mut(slot.len() as usize);
            parts.push((*number, slot, part));
            rest = behind;
        }
        parts
            .into_par_iter()
            .for_each(|(number, slot, part)| slot.write(draws(number), part));
        let flat = Tensor::from_slice(&numbers).to_device(device);
        let ends = slots.iter().scan(0, |end, (_, slot)| {
            *end += slot.len();
            Some(*end)
        });
        let view = |((_, slot), end): (&(u64, ParamSpec), i64)| {
            slot.view(&flat.narrow(0, end - slot.len(), slot.len()))
        };
        let views = slots.iter().zip(ends).map(view).collect();
        Parameters {
            views,
            segments: slots.iter().map(|(_, slot)| slot.segment()).collect(),
            names: slots.into_iter().map(|(_, slot)| slot.name).collect(),
            flat,
        }
    }

    /// Makes the views leaves of the graph. The flat tensor itself stays outside all graphs.
    pub(crate) fn trainable(self) -> Parameters {
        let views = self
            .views
            .iter()
            .map(|view| view.detach().set_requires_grad(true))
            .collect();
        Parameters { views, ..self }
    }

    /// Replaces a view by a tensor that shares its storage.
    pub(crate) fn replace(&mut self, place: usize, tensor: Tensor) {
        self.views[place] = tensor;
    }

    pub(crate) fn flat(&self) -> &Tensor {
        &self.flat
    }

    pub(crate) fn flat_mut(&mut self) -> &mut Tensor {
        &mut self.flat
    }

    pub(crate) fn views(&self) -> &[Tensor] {
        &self.views
    }

    /// Returns the tensors in their order in the flat one.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the views with their names.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.names.iter().map(String::as_str).zip(&self.views)
    }

    /// Replaces all values, in this dtype.
    pub(crate) fn set_all(&mut self, kind: Kind, mut numbers: impl FnMut(&str) -> Tensor) {
        let tensors: Vec<Tensor> = self
            .names
            .iter()
            .map(|name| numbers(name).to_kind(kind))
            .collect();
        let sizes: Vec<Vec<i64>> = self.views.iter().map(Tensor::size).collect();
        self.flat = Tensor::cat(
            &tensors
                .iter()
                .map(|tensor| tensor.reshape([-1]))
                .collect::<Vec<_>>(),
            0,
        );
        let mut end = 0;
        for (view, size) in self.views.iter_mut().zip(sizes) {
            let length = size.iter().product();
            *view = self
                .flat
                .narrow(0, end, length)
                .view(&*size)
                .detach()
                .set_requires_grad(true);
            end += length;
        }
    }

    /// Converts all values to double precision.
    pub(crate) fn convert_to_double(&mut self) {
        let values: BTreeMap<String, Tensor> = self
            .named()
            .map(|(name, tensor)| (name.to_owned(), tensor.detach().to_kind(Kind::Double)))
            .collect();
        self.set_all(Kind::Double, |name| values[name].shallow_clone());
    }

    /// # Panics
    /// If there is no view of that name.
    pub(crate) fn get(&self, name: &str) -> &Tensor {
        let index = self.names.iter().position(|candidate| candidate == name);
        &self.views[index.unwrap_or_else(|| panic!("there is no tensor `{name}`"))]
    }

    pub(crate) fn gradient(&self, loss: &Tensor) -> Tensor {
        gradients(&[self], loss).remove(0)
    }
}

/// Returns the gradients of a scalar `loss` with respect to the flat tensors of `all`, in one pass
/// through the graph, which is freed. Gradients are zero where the loss does not depend on a tensor.
pub(crate) fn gradients(all: &[&Parameters], loss: &Tensor) -> Vec<Tensor> {
    joined(all, &mut gradients_of_views(&[], all, loss).into_iter())
}

/// Like `gradients`, with the gradient with respect to `leaf`, which the loss depends on, first.
pub(crate) fn gradients_at(
    leaf: &Tensor,
    all: &[&Parameters],
    loss: &Tensor,
) -> (Tensor, Vec<Tensor>) {
    let mut gradients = gradients_of_views(&[leaf], all, loss).into_iter();
    let at_leaf = gradients
        .next()
        .filter(Tensor::defined)
        .unwrap_or_else(|| leaf.zeros_like());
    (at_leaf, joined(all, &mut gradients))
}

fn gradients_of_views(leaves: &[&Tensor], all: &[&Parameters], loss: &Tensor) -> Vec<Tensor> {
    let views = all.iter().flat_map(|parameters| &parameters.views);
    let inputs: Vec<&Tensor> = leaves.iter().copied().chain(views).collect();
    if inputs.is_empty() {
        Vec::new()
    } else {
        Tensor::run_backward(&[loss], &inputs, false, false)
    }
}

fn joined(all: &[&Parameters], gradients: &mut impl Iterator<Item = Tensor>) -> Vec<Tensor> {
    let mut of_view = |view: &Tensor| match gradients.next() {
        Some(gradient) if gradient.defined() && view.is_contiguous() => gradient.reshape([-1]),
        Some(gradient) if gradient.defined() => gradient.permute([0, 2, 3, 1]).reshape([-1]),
        _ => Tensor::zeros([view.numel() as i64], (view.kind(), view.device())),
    };
    let mut flat = |parameters: &Parameters| match parameters.views.as_slice() {
        [] => parameters.flat.zeros_like(),
        views => Tensor::cat(&views.iter().map(&mut of_view).collect::<Vec<_>>(), 0),
    };
    all.iter().map(|parameters| flat(parameters)).collect()
}

/// True if no number is NaN or infinite.
pub(crate) fn is_finite(tensor: &Tensor) -> bool {
    tensor.isfinite().all().int64_value(&[]) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernels(channels_last: bool) -> Parameters {
        let slots = [
            ("a", [3, 2, 3, 3]),
            ("b", [4, 5, 1, 1]),
            ("c", [6, 1, 3, 3]),
        ];
        let slot = |(name, shape): (_, [i64; 4])| {
            ParamSpec::new(name, &shape, Init::FanIn(3)).channels_last(channels_last)
        };
        Parameters::new((0..).zip(slots.map(slot)).collect(), 1, Device::Cpu).trainable()
    }

    #[test]
    fn how_numbers_lie_changes_neither_them_nor_their_gradient() {
        let [plain, last] = [kernels(false), kernels(true)];
        assert!(plain.flat() != last.flat() && !last.views()[0].is_contiguous());
        for ((name, one), (_, other)) in plain.named().zip(last.named()) {
            assert!(one == other, "{name}");
        }
        for mut parameters in [plain, last] {
            // The gradient of half the sum of squares is what there is.
            let halves = parameters
                .views()
                .iter()
                .map(|view| view.square().sum(Kind::Float) / 2.0);
            let gradient = parameters.gradient(&halves.reduce(|sum, half| sum + half).unwrap());
            assert!(&gradient == parameters.flat());
            *parameters.flat_mut() -= gradient;
            assert!(
                parameters
                    .views()
                    .iter()
                    .all(|view| view.abs().max().double_value(&[]) == 0.0)
            );
        }
    }
}
