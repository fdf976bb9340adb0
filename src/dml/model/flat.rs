//! Many tensors in one: named views of a flat tensor.

use tch::{Device, Kind, Tensor};

use crate::random::{Draws, Purpose};

/// A tensor to be: name, shape and initial numbers.
#[derive(Debug)]
pub(super) struct Slot {
    name: String,
    shape: Vec<i64>,
    initial: Initial,
}

/// Initial numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Initial {
    /// All the same.
    Constant(f32),
    /// Uniform between plus and minus one over the square root of the number of inputs. That is what PyTorch's
    /// linear and convolution layers use for weights (`kaiming_uniform_` with `a = sqrt(5)`) and biases.
    FanIn(i64),
}

/// Named views of a flat tensor.
#[derive(Debug)]
pub(super) struct Flat {
    flat: Tensor,
    names: Vec<String>,
    views: Vec<Tensor>,
}

impl Slot {
    pub(super) fn new(name: impl Into<String>, shape: &[i64], initial: Initial) -> Slot {
        Slot { name: name.into(), shape: shape.to_vec(), initial }
    }

    fn len(&self) -> i64 {
        self.shape.iter().product()
    }

    /// The initial numbers of the slot at `index`.
    fn numbers(&self, seed: u64, index: u64) -> Vec<f32> {
        let mut draws = Draws::new(seed, Purpose::Weights, index, 0);
        let mut number = || match self.initial {
            Initial::Constant(number) => number,
            Initial::FanIn(inputs) => {
                let bound = 1.0 / (inputs as f64).sqrt();
                draws.between(-bound, bound) as f32
            }
        };
        (0..self.len()).map(|_| number()).collect()
    }
}

impl Flat {
    pub(super) fn new(slots: Vec<Slot>, seed: u64, device: Device) -> Flat {
        let numbers: Vec<f32> = (0..).zip(&slots).flat_map(|(index, slot)| slot.numbers(seed, index)).collect();
        let flat = Tensor::from_slice(&numbers).to_device(device);
        let ends = slots.iter().scan(0, |end, slot| {
            *end += slot.len();
            Some(*end)
        });
        let views =
            slots.iter().zip(ends).map(|(slot, end)| flat.narrow(0, end - slot.len(), slot.len()).view(&*slot.shape));
        Flat { views: views.collect(), names: slots.into_iter().map(|slot| slot.name).collect(), flat }
    }

    /// Makes the views the leaves of gradients. The flat tensor itself stays outside all graphs.
    pub(super) fn trainable(self) -> Flat {
        let views = self.views.iter().map(|view| view.detach().set_requires_grad(true)).collect();
        Flat { views, ..self }
    }

    pub(super) fn flat(&self) -> &Tensor {
        &self.flat
    }

    pub(super) fn flat_mut(&mut self) -> &mut Tensor {
        &mut self.flat
    }

    pub(super) fn named(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.names.iter().map(String::as_str).zip(&self.views)
    }

    /// # Panics
    /// If there is no view of that name.
    pub(super) fn get(&self, name: &str) -> &Tensor {
        let index = self.names.iter().position(|candidate| candidate == name);
        &self.views[index.unwrap_or_else(|| panic!("the network has no tensor `{name}`"))]
    }

    pub(super) fn gradient(&self, loss: &Tensor) -> Tensor {
        if self.views.is_empty() {
            return Tensor::zeros([0], (Kind::Float, self.flat.device()));
        }
        let gradients = Tensor::run_backward(&[loss], &self.views, false, false);
        Tensor::cat(&gradients.iter().map(|gradient| gradient.reshape([-1])).collect::<Vec<_>>(), 0)
    }
}
