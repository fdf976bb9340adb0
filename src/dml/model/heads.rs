//! Several heads of a network, on its last map or on maps before it.

use tch::{Kind, Tensor};

use super::{
    config::NetworkConfig,
    dropout::{BatchPart, Dropout},
    entry::Entry,
    head::HeadLayers,
    layers::{ForwardContext, ParamBuilder},
};
use crate::{blocks::Block, distance::normalize, links::HeadOutput};

/// The heads of a network with several; none otherwise.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// The layers whose maps they pool, each once.
    taps: Vec<String>,
    branches: Vec<Branch>,
}

/// One head.
#[derive(Debug)]
struct Branch {
    /// Number of the tap; absent: the last map.
    tap: Option<usize>,
    entry: Entry,
    layers: HeadLayers,
    /// Of the inputs of its last layer.
    dropout: Dropout,
    block: Block,
}

/// What a network makes of images.
#[derive(Debug)]
pub struct Forward {
    /// `[n, width]`.
    pub embeddings: Tensor,
    /// For each head of several: the input of its last layer before dropout, `[n, f]`, outside the graph.
    pub features: Vec<Tensor>,
}

impl Forward {
    /// Returns what a network makes of all images of these.
    pub(crate) fn joined(parts: &[Forward]) -> Forward {
        let all = |of: &dyn Fn(&Forward) -> Tensor| {
            Tensor::cat(&parts.iter().map(of).collect::<Vec<_>>(), 0)
        };
        let heads = parts.first().map_or(0, |part| part.features.len());
        Forward {
            embeddings: all(&|part| part.embeddings.shallow_clone()),
            features: (0..heads)
                .map(|head| all(&|part| part.features[head].shallow_clone()))
                .collect(),
        }
    }
}

/// The maps of a trunk that heads pool.
#[derive(Debug)]
pub(super) struct Maps {
    /// The last map `[n, f, h, w]`, or features `[n, f]`.
    pub(super) last: Tensor,
    /// Those of [`Heads::taps`].
    pub(super) taps: Vec<Tensor>,
}

impl Heads {
    /// Returns the heads of a network.
    pub(super) fn new(builder: &mut ParamBuilder, config: &NetworkConfig) -> Heads {
        let model = &config.model;
        let mut taps: Vec<String> = Vec::new();
        let mut branches = Vec::new();
        for (head, block) in model.heads.iter().zip(Block::all(model)) {
            let prefix = format!("heads.{}.", block.head);
            let tap = head.tap.as_ref().map(|tap| place(&mut taps, tap));
            let layers = head.layers.as_ref().or(model.head.as_ref());
            let inputs = Entry::width(head, config);
            branches.push(Branch {
                tap,
                entry: Entry::of_head(builder, &prefix, head, config),
                layers: HeadLayers::new(builder, &prefix, layers, inputs, block.width),
                dropout: Dropout {
                    rate: head.dropout,
                    head: block.head as u64,
                },
                block,
            });
        }
        Heads { taps, branches }
    }

    pub(super) fn are_none(&self) -> bool {
        self.branches.is_empty()
    }

    /// Returns the layers whose maps the heads pool.
    pub(super) fn taps(&self) -> &[String] {
        &self.taps
    }

    /// Returns the joined embeddings of some maps; `part` says which of a batch they are in training, and `prepared` makes
    /// the inputs of a head of a map.
    pub(super) fn forward(
        &self,
        context: &ForwardContext,
        part: Option<&BatchPart>,
        maps: &Maps,
        prepared: impl Fn(&Tensor, &Entry) -> Tensor,
    ) -> Forward {
        let mut blocks = Vec::new();
        let mut features = Vec::new();
        for branch in &self.branches {
            let map = branch.tap.map_or(&maps.last, |tap| &maps.taps[tap]);
            let hidden = branch.layers.hidden(context, &prepared(map, &branch.entry));
            let kept = part.map(|part| branch.dropout.of(&hidden, part));
            let outputs = branch
                .layers
                .last(context, kept.as_ref().unwrap_or(&hidden));
            blocks.push(normalize(&outputs) * branch.block.factor);
            features.push(hidden.detach());
        }
        Forward {
            embeddings: Tensor::cat(&blocks, 1),
            features,
        }
    }

    /// Returns what a penalty on heads sees, given the features of [`forward`](Self::forward).
    pub(super) fn outputs(&self, context: &ForwardContext, features: &[Tensor]) -> Vec<HeadOutput> {
        let of = |(branch, features): (&Branch, &Tensor)| {
            let weights = branch.layers.last_weights(context);
            HeadOutput {
                projected: features
                    .to_kind(Kind::Float)
                    .linear(&weights, None::<Tensor>),
                weights,
            }
        };
        self.branches.iter().zip(features).map(of).collect()
    }
}

/// Returns the place of a name in a list, adding it if it is not there.
fn place(names: &mut Vec<String>, name: &str) -> usize {
    names
        .iter()
        .position(|known| known == name)
        .unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        })
}

#[cfg(test)]
mod tests {
    use schema::{Auxiliary, Backbone, EmbeddingHead, Join};
    use tch::{Device, no_grad};

    use super::super::{ModelError, Network, NetworkConfig};
    use super::*;
    use crate::testing::{assert_close, noise};

    /// A network with heads of these widths at these layers.
    fn config(backbone: Backbone, side: i64, heads: &[(u32, Option<&str>)]) -> NetworkConfig {
        let total = heads.iter().map(|(width, _)| width).sum();
        let mut config = NetworkConfig::new(backbone, 3, side, Some(total));
        let head = |&(width, tap): &(u32, Option<&str>)| EmbeddingHead {
            tap: tap.map(str::to_owned),
            ..EmbeddingHead::of_width(width)
        };
        config.model.heads = heads.iter().map(head).collect();
        config
    }

    fn conv4(heads: &[(u32, Option<&str>)]) -> NetworkConfig {
        config(Backbone::Conv4, 16, heads)
    }

    fn network(config: NetworkConfig) -> Network {
        Network::new(config, 1, Device::Cpu).unwrap()
    }

    fn images(side: i64) -> Tensor {
        let pixels = (noise(1, 5, 3 * side * side) + 1.0) * 127.5;
        pixels.to_kind(Kind::Uint8).view([5, 3, side, side])
    }

    fn embeddings(network: &Network, side: i64) -> Tensor {
        no_grad(|| network.forward(&images(side), false))
    }

    #[test]
    fn one_head_is_the_network_without_heads_to_the_bit() {
        let plain = NetworkConfig::new(Backbone::Conv4, 3, 16, Some(6));
        let one = network(conv4(&[(6, None)]));
        assert!(embeddings(&one, 16) == embeddings(&network(plain), 16));
    }

    #[test]
    fn joined_embeddings_and_blocks_have_length_one() {
        let mut config = conv4(&[(2, None), (3, Some("block2")), (4, None)]);
        for join in [Join::Equal, Join::Width, Join::Factors(vec![1.0, 5.0, 2.0])] {
            config.model.join = join;
            let network = network(config.clone());
            let joined = embeddings(&network, 16);
            let one = Tensor::ones([5], (Kind::Float, Device::Cpu));
            let length = |of: &Tensor| of.norm_scalaropt_dim(2.0, [1], false);
            assert_close(&length(&joined), &one, 1e-6, "joined");
            for block in network.blocks() {
                assert_close(&length(&block.of(&joined)), &one, 1e-6, "block");
            }
        }
    }

    #[test]
    fn every_tap_of_every_backbone_is_a_map_of_its_channels() {
        let tapped = ["conv4", "googlenet", "bn_inception", "resnet18", "resnet50"];
        let backbones = Backbone::every().into_iter();
        for backbone in backbones.filter(|one| tapped.contains(&one.key())) {
            let (side, taps) = (backbone.part().least_image().into(), backbone.part().taps());
            assert!(!taps.is_empty());
            let heads: Vec<_> = taps.iter().map(|tap| (2, Some(tap.name))).collect();
            let network = network(config(backbone, side, &heads));
            let found = embeddings(&network, side);
            assert_eq!(found.size(), [5, 2 * taps.len() as i64]);
        }
    }

    #[test]
    fn the_map_of_every_tap_has_the_side_that_its_backbone_says() {
        for backbone in Backbone::every() {
            let part = backbone.part();
            let (side, taps) = (part.least_image().into(), part.taps());
            let heads: Vec<_> = taps.iter().map(|tap| (2, Some(tap.name))).collect();
            if heads.is_empty() {
                continue;
            }
            let network = network(config(backbone.clone(), side, &heads));
            let passes = |image: &i64| part.obstacle(*image as u32).is_none();
            for image in [side, 33, 47, 64, 78, 101, 128].into_iter().filter(passes) {
                let images = network.seen(&images(image).narrow(0, 0, 1));
                let maps = no_grad(|| network.maps(&network.context(false), &images)).taps;
                for (tap, map) in taps.iter().zip(maps) {
                    let side = part.side_at(tap, image as u32).into();
                    let expected = [1, tap.channels.into(), side, side];
                    assert_eq!(map.size(), expected, "{} at {image}", tap.name);
                }
            }
        }
    }

    /// Returns a network of two heads, the first with auxiliary layers.
    fn with_auxiliary(tap: Option<&str>) -> NetworkConfig {
        let mut config = conv4(&[(2, tap), (3, None)]);
        config.model.heads[0].auxiliary = Some(Auxiliary { channels: 6 });
        config
    }

    #[test]
    fn auxiliary_layers_have_a_convolution_and_an_input_for_each_window_and_channel() {
        let network = network(with_auxiliary(Some("block1")));
        let shape = |wanted: &str| {
            let mut parameters = network.parameters();
            parameters
                .find(|(name, _)| *name == wanted)
                .unwrap()
                .1
                .size()
        };
        assert_eq!(shape("heads.0.auxiliary.weight"), [6, 64, 1, 1]);
        assert_eq!(shape("heads.0.auxiliary.bias"), [6]);
        assert_eq!(shape("heads.0.embedding.weight"), [2, 6 * 2 * 2]);
        assert_eq!(shape("heads.1.embedding.weight"), [3, 64]);
    }

    #[test]
    fn a_head_at_a_tap_depends_on_no_later_layer() {
        let mut network = network(conv4(&[(2, Some("block2")), (3, None)]));
        let before = embeddings(&network, 16);
        let mut state = network.state();
        let named = network
            .parameters()
            .map(|(name, part)| match name.starts_with("block4") {
                true => part.zeros_like().reshape([-1]),
                false => part.detach().reshape([-1]),
            });
        state[0].1 = Tensor::cat(&named.collect::<Vec<_>>(), 0);
        network.restore(&state).unwrap();
        let after = embeddings(&network, 16);
        let [first, last] = network.blocks()[..] else {
            panic!("two heads")
        };
        assert!(first.of(&before) == first.of(&after));
        assert!(last.of(&before) != last.of(&after));
    }

    #[test]
    fn the_output_of_a_head_is_its_block_without_bias_and_length() {
        let network = network(conv4(&[(2, None), (3, None)]));
        let forward = network.forward_heads(&images(16), false);
        let outputs = network.head_outputs(&forward.features);
        for (block, output) in network.blocks().iter().zip(&outputs) {
            let name = format!("heads.{}.embedding.bias", block.head);
            let bias = network.parameters().find(|(known, _)| *known == name);
            let whole = normalize(&(&output.projected + bias.unwrap().1));
            assert_close(&whole, &block.of(&forward.embeddings), 1e-5, &name);
        }
    }

    #[test]
    fn dropout_of_a_head_changes_its_block_in_training_alone() {
        let mut config = conv4(&[(2, None), (3, None)]);
        config.model.batch_norm = schema::BatchNorm::FrozenStatistics;
        let plain = network(config.clone());
        config.model.heads[1].dropout = 0.5;
        let dropping = network(config);
        assert!(embeddings(&dropping, 16) == embeddings(&plain, 16));
        let trained = |network: &Network| no_grad(|| network.forward_heads(&images(16), true));
        let (found, expected) = (trained(&dropping), trained(&plain));
        let [first, second] = dropping.blocks()[..] else {
            panic!("two heads")
        };
        assert!(first.of(&found.embeddings) == first.of(&expected.embeddings));
        assert!(second.of(&found.embeddings) != second.of(&expected.embeddings));
        // Penalties on heads see all inputs.
        assert!(found.features[1] == expected.features[1]);
    }

    #[test]
    fn a_part_of_a_batch_loses_the_inputs_that_the_whole_batch_loses() {
        let mut config = conv4(&[(2, None), (3, None)]);
        config.model.batch_norm = schema::BatchNorm::FrozenStatistics;
        config.model.heads[0].dropout = 0.5;
        let network = network(config);
        let whole = no_grad(|| network.forward(&images(16), true));
        let rest = images(16).narrow(0, 2, 3);
        let part = no_grad(|| network.forward_part(&rest, 2));
        assert_close(&part.embeddings, &whole.narrow(0, 2, 3), 1e-5, "part");
    }

    #[test]
    fn an_exported_module_joins_the_heads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network.pt");
        let pooled = conv4(&[(2, Some("block3")), (3, None)]);
        for config in [pooled, with_auxiliary(Some("block1"))] {
            let network = network(config);
            network.save_torchscript(&path).unwrap();
            let module = tch::CModule::load(&path).unwrap();
            let found = no_grad(|| module.forward_ts(&[images(16)])).unwrap();
            assert_close(&found, &embeddings(&network, 16), 1e-6, "embeddings");
        }
    }

    #[test]
    fn heads_that_make_up_no_embedding_are_refused() {
        let refused = |config| Network::new(config, 1, Device::Cpu).unwrap_err();
        let mut config = conv4(&[(2, None), (3, None)]);
        config.model.embedding = Some(6);
        let expected = ModelError::Heads {
            found: 5,
            expected: 6,
        };
        assert_eq!(refused(config), expected);
        let name = "block9".to_owned();
        assert_eq!(
            refused(conv4(&[(2, None), (3, Some("block9"))])),
            ModelError::NoSuchTap { name }
        );
        let mut config = conv4(&[(2, None), (3, None)]);
        config.model.heads[1].dropout = 1.0;
        let found = "1".to_owned();
        assert_eq!(refused(config), ModelError::Dropout { found });
        for tap in [Some("block2"), None] {
            assert_eq!(refused(with_auxiliary(tap)), ModelError::NoWindow);
        }
    }
}
