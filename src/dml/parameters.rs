//! Many tensors in one: named views of a flat tensor.
//!
//! Networks keep their weights so, and losses their proxies: an optimiser step is then a handful of operations
//! whatever there is to train, and a checkpoint is a few tensors.

use rayon::prelude::*;
use tch::{Device, Tensor};

use crate::{
    loss::Start,
    random::{Draws, Purpose},
};

/// A tensor to be: name, shape and initial numbers.
#[derive(Debug)]
pub struct Slot {
    name: String,
    shape: Vec<i64>,
    initial: Initial,
}

/// Initial numbers.
#[derive(Clone, Debug)]
pub enum Initial {
    /// All the same.
    Constant(f32),
    /// Uniform between plus and minus one over the square root of the number of inputs. That is what PyTorch's
    /// linear and convolution layers use for weights (`kaiming_uniform_` with `a = sqrt(5)`) and biases.
    FanIn(i64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Uniform between plus and minus this.
    Uniform(f64),
    /// These, for instance from a file.
    Given(Vec<f32>),
}

/// Named views of a flat tensor.
#[derive(Debug)]
pub struct Parameters {
    flat: Tensor,
    names: Vec<String>,
    views: Vec<Tensor>,
}

impl Slot {
    pub(crate) fn new(name: impl Into<String>, shape: &[i64], initial: Initial) -> Slot {
        Slot { name: name.into(), shape: shape.to_vec(), initial }
    }

    pub(crate) fn len(&self) -> i64 {
        self.shape.iter().product()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// Makes the numbers of a tensor of the same shape its initial ones.
    pub(crate) fn give(&mut self, tensor: &Tensor) {
        let mut numbers = vec![0f32; tensor.numel()];
        tensor.to_device(Device::Cpu).contiguous().copy_data(&mut numbers, tensor.numel());
        self.initial = Initial::Given(numbers);
    }

    /// Writes its initial numbers.
    fn write(&self, mut draws: Draws, numbers: &mut [f32]) {
        let mut fill = |number: &mut dyn FnMut() -> f32| numbers.iter_mut().for_each(|place| *place = number());
        match self.initial {
            Initial::Constant(number) => fill(&mut || number),
            Initial::FanIn(inputs) => {
                let bound = 1.0 / (inputs as f64).sqrt();
                fill(&mut || draws.between(-bound, bound) as f32);
            }
            Initial::Normal(deviation) => fill(&mut || (deviation * draws.normal()) as f32),
            Initial::Uniform(bound) => fill(&mut || draws.between(-bound, bound) as f32),
            Initial::Given(ref given) => numbers.copy_from_slice(given),
        }
    }
}

impl Parameters {
    /// Those of a network. What is drawn for a tensor depends on the number beside it.
    pub(crate) fn new(slots: Vec<(u64, Slot)>, seed: u64, device: Device) -> Parameters {
        Parameters::drawn(slots, device, |number| Draws::new(seed, Purpose::Weights, number, 0))
    }

    /// Those of a loss, which are trained.
    pub(crate) fn of_loss(slots: Vec<Slot>, start: &Start) -> Parameters {
        let draws = |index| Draws::new(start.seed, Purpose::Proxies, index, start.part);
        Parameters::drawn((0..).zip(slots).collect(), start.device, draws).trainable()
    }

    /// Each slot starts with what is drawn for its number, the slots side by side on all cores.
    fn drawn(slots: Vec<(u64, Slot)>, device: Device, draws: impl Fn(u64) -> Draws + Sync) -> Parameters {
        let total: i64 = slots.iter().map(|(_, slot)| slot.len()).sum();
        let mut numbers = vec![0f32; total as usize];
        let (mut rest, mut parts) = (numbers.as_mut_slice(), Vec::with_capacity(slots.len()));
        for (number, slot) in &slots {
            let (part, behind) = rest.split_at_mut(slot.len() as usize);
            parts.push((*number, slot, part));
            rest = behind;
        }
        parts.into_par_iter().for_each(|(number, slot, part)| slot.write(draws(number), part));
        let flat = Tensor::from_slice(&numbers).to_device(device);
        let ends = slots.iter().scan(0, |end, (_, slot)| {
            *end += slot.len();
            Some(*end)
        });
        let view =
            |((_, slot), end): (&(u64, Slot), i64)| flat.narrow(0, end - slot.len(), slot.len()).view(&*slot.shape);
        let views = slots.iter().zip(ends).map(view).collect();
        Parameters { views, names: slots.into_iter().map(|(_, slot)| slot.name).collect(), flat }
    }

    /// Makes the views the leaves of gradients. The flat tensor itself stays outside all graphs.
    pub(crate) fn trainable(self) -> Parameters {
        let views = self.views.iter().map(|view| view.detach().set_requires_grad(true)).collect();
        Parameters { views, ..self }
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

    /// Returns the views with their names.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.names.iter().map(String::as_str).zip(&self.views)
    }

    /// Replaces all numbers, in this precision.
    #[cfg(test)]
    pub(crate) fn set_all(&mut self, kind: tch::Kind, numbers: impl Fn(&str) -> Tensor) {
        let tensors: Vec<Tensor> = self.names.iter().map(|name| numbers(name).to_kind(kind)).collect();
        let sizes: Vec<Vec<i64>> = self.views.iter().map(Tensor::size).collect();
        self.flat = Tensor::cat(&tensors.iter().map(|tensor| tensor.reshape([-1])).collect::<Vec<_>>(), 0);
        let mut end = 0;
        for (view, size) in self.views.iter_mut().zip(sizes) {
            let length = size.iter().product();
            *view = self.flat.narrow(0, end, length).view(&*size).detach().set_requires_grad(true);
            end += length;
        }
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

/// Returns the gradient of a scalar `loss` with respect to each of the flat tensors of `all`, in one pass through the
/// graph, which is freed. The gradient of what the loss does not depend on is zero.
pub(crate) fn gradients(all: &[&Parameters], loss: &Tensor) -> Vec<Tensor> {
    joined(all, &mut gradients_of_views(&[], all, loss).into_iter())
}

/// The same, and first of all the gradient with respect to `leaf`, which the loss depends on.
pub(crate) fn gradients_at(leaf: &Tensor, all: &[&Parameters], loss: &Tensor) -> (Tensor, Vec<Tensor>) {
    let mut gradients = gradients_of_views(&[leaf], all, loss).into_iter();
    let at_leaf = gradients.next().filter(Tensor::defined).unwrap_or_else(|| leaf.zeros_like());
    (at_leaf, joined(all, &mut gradients))
}

fn gradients_of_views(leaves: &[&Tensor], all: &[&Parameters], loss: &Tensor) -> Vec<Tensor> {
    let views = all.iter().flat_map(|parameters| &parameters.views);
    let inputs: Vec<&Tensor> = leaves.iter().copied().chain(views).collect();
    if inputs.is_empty() { Vec::new() } else { Tensor::run_backward(&[loss], &inputs, false, false) }
}

fn joined(all: &[&Parameters], gradients: &mut impl Iterator<Item = Tensor>) -> Vec<Tensor> {
    let mut of_view = |view: &Tensor| match gradients.next() {
        Some(gradient) if gradient.defined() => gradient.reshape([-1]),
        _ => view.zeros_like().reshape([-1]),
    };
    let mut flat = |parameters: &Parameters| match parameters.views.as_slice() {
        [] => parameters.flat.zeros_like(),
        views => Tensor::cat(&views.iter().map(&mut of_view).collect::<Vec<_>>(), 0),
    };
    all.iter().map(|parameters| flat(parameters)).collect()
}
