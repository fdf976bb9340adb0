//! Networks for use elsewhere: their tensors under the names of the architecture, and themselves as TorchScript.

use std::path::Path;

use schema::Backbone;
use tch::{CModule, Device, Kind, TchError, Tensor, no_grad};

use super::{ForwardContext, Network};
use crate::state::State;

impl Network {
    /// Returns copies of all parameters and running statistics. Those of the trunk have the names of PyTorch's libraries,
    /// so that they load there; the others are `pool.p`, `hidden0.weight` and so on, and `embedding.weight`; those of several heads begin
    /// with `heads.0.` and so on.
    pub fn named_tensors(&self) -> State {
        let parts = [&self.parameters, &self.constants, &self.statistics];
        let tensors = parts.into_iter().flat_map(|part| part.named());
        tensors
            .map(|(name, tensor)| {
                let plain = tensor.detach().to_device(Device::Cpu);
                (name.to_owned(), plain.contiguous().copy())
            })
            .collect()
    }

    /// True if the network can be exported. The buffers of a TorchScript module are not accessible.
    pub fn is_exportable(&self) -> bool {
        !matches!(self.config.model.backbone, Backbone::Torchscript(_))
    }

    /// Writes the network as a TorchScript module that maps images `[n, channels, size, size]` of bytes, in whatever
    /// number, to embeddings `[n, width]`. The network is on the CPU.
    ///
    /// # Errors
    /// libtorch cannot trace it, or the file cannot be written.
    pub fn save_torchscript(&self, path: &Path) -> Result<(), TchError> {
        let (channels, side) = (self.config.channels, self.config.image_size);
        let shape = [2, channels, side, side];
        let example = Tensor::zeros(shape, (Kind::Uint8, Device::Cpu));
        // A trace holds its constants as they are: without gradients, in the layout that other programs read, and each
        // for itself, because a view would bring the whole tensor into the file.
        let plain = |tensor: &Tensor| tensor.detach().contiguous().copy();
        let parameters: Vec<Tensor> = self.placed.iter().map(plain).collect();
        let context = ForwardContext {
            parameters: &parameters,
            ..self.context(false)
        };
        let mut forward = |inputs: &[Tensor]| {
            let seen = self.normalization.of(&inputs[0]);
            let maps = self.maps(&context, &seen);
            vec![self.embeddings(&context, &maps).embeddings]
        };
        let module = no_grad(|| {
            CModule::create_by_tracing("Embedder", "forward", &[example], &mut forward)
        })?;
        module.save(path)
    }
}

#[cfg(test)]
mod tests {
    use schema::{Resnet18, VitS16};

    use super::*;
    use crate::{
        model::NetworkConfig,
        testing::{assert_close, noise},
    };

    fn images(count: i64, side: i64) -> Tensor {
        let pixels = noise(5, count * 3, side * side).abs() * 255.0;
        pixels
            .clamp(0.0, 255.0)
            .to_kind(Kind::Uint8)
            .view([count, 3, side, side])
    }

    /// A network whose running statistics are those of some images.
    fn network(backbone: Backbone, side: i64) -> Network {
        let config = NetworkConfig::new(backbone, 3, side, Some(6));
        let network = Network::new(config, 3, Device::Cpu).unwrap();
        let _ = no_grad(|| network.forward(&images(4, side), true));
        network
    }

    #[test]
    fn a_module_embeds_any_number_of_images_as_the_network_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.pt");
        for (backbone, side) in [
            (Backbone::Conv4, 32),
            (Backbone::Resnet18(Resnet18::default()), 64),
            (Backbone::VitS16(VitS16::default()), 32),
        ] {
            let network = network(backbone, side);
            network.save_torchscript(&path).unwrap();
            let module = CModule::load(&path).unwrap();
            for count in [1, 2, 5] {
                let images = images(count, side);
                let found = no_grad(|| module.forward_ts(&[&images])).unwrap();
                let expected = no_grad(|| network.forward(&images, false));
                assert_close(&found, &expected, 5e-6, "embeddings");
            }
        }
    }

    #[test]
    fn exported_tensors_load_as_published_weights_do() {
        let network = network(Backbone::Resnet18(Resnet18::default()), 64);
        let tensors = network.named_tensors();
        let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["conv1.weight", "layer4.1.bn2.running_var", "embedding.bias"] {
            assert!(names.contains(&name), "{name} {names:?}");
        }
        let (trunk, head): (State, State) = tensors
            .into_iter()
            .partition(|(name, _)| !name.starts_with("embedding"));
        assert_eq!(head.len(), 2);
        let again = Network::pretrained(network.config.clone(), &trunk, 9, Device::Cpu).unwrap();
        let of_trunk = |network: &Network| {
            let tensors = network.named_tensors();
            let mut tensors = tensors.into_iter();
            tensors
                .find(|(name, _)| name == "layer4.1.bn2.running_var")
                .unwrap()
                .1
        };
        assert_close(
            &of_trunk(&again),
            &of_trunk(&network),
            0.0,
            "running variance",
        );
    }
}
