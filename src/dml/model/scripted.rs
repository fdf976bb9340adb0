//! The trunk of a TorchScript backbone: a module whose parameters are views of the network's.
//!
//! In bfloat16, libtorch casts the inputs of the operations in it, because the module holds no casts of its own: PyTorch's
//! autocast. Parameters and their gradients stay in single precision.

use schema::Torchscript;
use tch::{CModule, Device, Kind, Tensor, no_grad};

use super::{
    layers::{ForwardContext, ParamBuilder},
    torchscript::TorchScript,
    trunk::{BuildTrunk, Trunk, TrunkInput},
};
use crate::{libtorch, parameters::Init};

/// A loaded module and the file that it can be loaded from again.
#[derive(Debug)]
struct Scripted {
    file: TorchScript,
    module: CModule,
}

impl Trunk for Scripted {
    fn adopt(&mut self, views: &[Tensor]) -> Vec<Tensor> {
        let device = views.first().map_or(Device::Cpu, Tensor::device);
        let (module, parameters) = self.file.load(device);
        self.module = module;
        let bound = parameters
            .into_iter()
            .zip(views)
            .map(|((_, mut own), view)| {
                let trained = view.requires_grad();
                no_grad(|| own.set_data(&view.detach()));
                own.set_requires_grad(trained)
            });
        bound.collect()
    }

    fn forward(&self, context: &ForwardContext, images: &Tensor) -> Tensor {
        let forward = || self.module.forward_ts(&[images]);
        let features = match context.dtype {
            Kind::BFloat16 => libtorch::in_bfloat16(images.device(), forward),
            _ => forward(),
        };
        features.unwrap_or_else(|error| panic!("the TorchScript module failed: {error}"))
    }
}

impl BuildTrunk for Torchscript {
    fn trunk(&self, builder: &mut ParamBuilder, input: TrunkInput) -> Box<dyn Trunk> {
        let module = input.module.expect("a network of TorchScript has a module");
        let (loaded, parameters) = module.load(Device::Cpu);
        for (name, tensor) in parameters {
            let index = builder.parameter(name, &tensor.size(), Init::Constant(0.0));
            builder.give(index, &tensor);
        }
        Box::new(Scripted {
            file: module.clone(),
            module: loaded,
        })
    }
}
