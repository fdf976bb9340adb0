//! Networks for use elsewhere: their tensors under the names of the architecture, and themselves as TorchScript.

use std::{collections::BTreeMap, path::Path};

use schema::Backbone;
use tch::{CModule, Device, Kind, TchError, Tensor, no_grad};

use super::{Adapters, ForwardContext, Network};
use crate::state::State;

impl Network {
    /// Returns copies of all parameters and running statistics. Those of the trunk have the names of PyTorch's libraries,
    /// so that they load there; the others are `pool.p`, `hidden0.weight` and so on, and `embedding.weight`; those of several heads begin
    /// with `heads.0.` and so on. What adapters add is in the weights that they are added to.
    pub fn named_tensors(&self) -> State {
        let parts = [
            &self.tensors.trained,
            &self.tensors.constants,
            &self.tensors.statistics,
        ];
        let tensors = parts.into_iter().flat_map(|part| part.named());
        let mut tensors: BTreeMap<&str, Tensor> = tensors
            .map(|(name, tensor)| {
                let plain = tensor.detach().to_device(Device::Cpu);
                (name, plain.contiguous().copy())
            })
            .collect();
        for adapter in &self.adapters {
            let [a, b, weight] = adapter.names();
            let own = [a, b].map(|name| tensors.remove(&*name));
            if let ([Some(a), Some(b)], Some(weight)) = (own, tensors.get_mut(&*weight)) {
                *weight = adapter.merged(weight, &a, &b);
            }
        }
        tensors
            .into_iter()
            .map(|(name, tensor)| (name.to_owned(), tensor))
            .collect()
    }

    /// Returns all parameters in the order of the builder, in the layout that other programs read, each for itself. What
    /// adapters add is in the weights.
    fn plain_parameters(&self) -> Vec<Tensor> {
        let plain = |tensor: &Tensor| tensor.detach().contiguous().copy();
        let mut parameters: Vec<Tensor> = self.tensors.placed.iter().map(plain).collect();
        for adapter in &self.adapters {
            let [a, b, weight] = adapter.parameters();
            parameters[weight] =
                adapter.merged(&parameters[weight], &parameters[a], &parameters[b]);
        }
        parameters
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
        // A trace holds its constants as they are. A view would bring the whole tensor into the file.
        let parameters = self.plain_parameters();
        let context = ForwardContext {
            parameters: &parameters,
            adapters: Adapters::Ignored,
            mixes_precisions: false,
            ..self.context(false)
        };
        let mut forward = |inputs: &[Tensor]| {
            let seen = self.normalization.of(&inputs[0]);
            let maps = self.maps(&context, &seen);
            vec![self.embeddings(&context, None, &maps).embeddings]
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

    /// Attention and layers with adapters that add something, and the network without.
    fn adapted() -> Network {
        let mut config = NetworkConfig::new(Backbone::VitS16(VitS16::default()), 3, 32, Some(6));
        config.model.lora = Some(schema::Lora {
            rank: 2,
            alpha: 6.0,
        });
        let mut network = Network::new(config, 3, Device::Cpu).unwrap();
        let parameters = network.flat_parameters();
        let noise = noise(7, 1, parameters.numel() as i64).view_as(parameters);
        *parameters += noise.to_kind(Kind::Float) * 0.1;
        network
    }

    #[test]
    fn adapters_are_merged_in_evaluation_and_in_exports() {
        let network = adapted();
        let images = images(3, 32);
        let expected = no_grad(|| network.forward(&images, true));
        let merged = no_grad(|| network.forward(&images, false));
        assert_close(&merged, &expected, 1e-5, "in evaluation");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.pt");
        network.save_torchscript(&path).unwrap();
        let module = CModule::load(&path).unwrap();
        let found = no_grad(|| module.forward_ts(&[&images])).unwrap();
        assert_close(&found, &merged, 5e-6, "as TorchScript");
        let tensors = network.named_tensors();
        assert!(tensors.iter().all(|(name, _)| !name.contains("lora")));
        let (head, trunk): (State, State) = tensors
            .into_iter()
            .partition(|(name, _)| name.starts_with("embedding"));
        let mut config = network.config.clone();
        (config.model.lora, config.model.embedding) = (None, None);
        config.model.normalize = false;
        let plain = Network::pretrained(config, &trunk, 9, Device::Cpu).unwrap();
        let features = no_grad(|| plain.forward(&images, false));
        let of_head = |name: &str| head.iter().find(|(of, _)| of == name).map(|(_, of)| of);
        let embeddings = features.linear(
            of_head("embedding.weight").unwrap(),
            of_head("embedding.bias"),
        );
        let embeddings = crate::distance::normalize(&embeddings);
        assert_close(&embeddings, &merged, 5e-6, "as tensors");
    }

    #[test]
    fn adapters_begin_as_nothing_and_are_all_that_is_trained_beside_the_head() {
        let mut config = NetworkConfig::new(Backbone::VitS16(VitS16::default()), 3, 32, Some(6));
        let features = |config: &NetworkConfig| {
            let config = NetworkConfig {
                model: schema::Model {
                    embedding: None,
                    ..config.model.clone()
                },
                ..config.clone()
            };
            let plain = Network::new(config, 3, Device::Cpu).unwrap();
            no_grad(|| plain.forward(&images(2, 32), true))
        };
        config.model.lora = Some(schema::Lora::default());
        let network = Network::new(config.clone(), 3, Device::Cpu).unwrap();
        for (name, _) in network.parameters() {
            let is_trained = name.contains(".lora_") || name.starts_with("embedding");
            assert!(is_trained, "{name}");
        }
        // Four layers in each of twelve blocks, and the layer of the head.
        assert_eq!(network.parameters().count(), 12 * 4 * 2 + 2);
        let sizes = [384 + 3 * 384, 2 * 384, 5 * 384, 5 * 384].map(|sides| 8 * sides);
        let head = 385 * 6;
        let trained: i64 = network.segments().iter().map(|of| of.length).sum();
        assert_eq!(trained, 12 * sizes.iter().sum::<i64>() + head);
        let with = features(&config);
        assert!(with.isfinite().all().int64_value(&[]) != 0);
        let loaded = {
            let (_, weights): (State, State) = network
                .named_tensors()
                .into_iter()
                .partition(|(name, _)| name.starts_with("embedding"));
            config.model.lora = None;
            config.model.embedding = None;
            Network::pretrained(config, &weights, 3, Device::Cpu).unwrap()
        };
        let without = no_grad(|| loaded.forward(&images(2, 32), true));
        assert_close(&without, &with, 1e-6, "features");
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
