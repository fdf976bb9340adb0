//! Gradients of large batches in small memory.
//!
//! The graph of the network takes the memory, not the embeddings. A batch goes through the network twice, in chunks:
//! first without a graph, which gives all embeddings, their loss and its gradient with respect to them; then with a
//! graph, where each chunk passes its part of that gradient on to the weights. Gao, Zhang,
//! Han & Callan, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021.
//!
//! If no image depends on the others of its batch, as with frozen batch norm, the result is the gradient of the whole
//! batch, up to the rounding of sums. A batch norm in training normalizes each chunk by itself, in both passes alike.
//! Running statistics take in a batch once, in the second pass.

use tch::{Kind, Tensor, no_grad};

use crate::{
    links::HeadOutput,
    model::{Forward, Network},
    objective::Objective,
};

/// The embeddings of a batch, from which gradients flow back into the network.
pub struct Embedded {
    embeddings: Tensor,
    /// See [`Forward::features`].
    features: Vec<Tensor>,
    /// The chunks of images for the second pass.
    chunks: Option<Vec<Tensor>>,
}

impl Embedded {
    /// Embeds images for training, at most `chunk` with a graph at a time; without one, all.
    pub fn new(network: &Network, images: &Tensor, chunk: Option<i64>) -> Embedded {
        match chunk.filter(|&chunk| chunk < images.size()[0]) {
            None => {
                let forward = network.forward_heads(images, true);
                Embedded {
                    embeddings: forward.embeddings,
                    features: forward.features,
                    chunks: None,
                }
            }
            Some(chunk) => {
                let chunks = images.split(chunk, 0);
                let first = || {
                    numbered(&chunks)
                        .map(|(first, chunk)| network.forward_part(chunk, first))
                        .collect::<Vec<_>>()
                };
                let parts = network.keeping_statistics(|| no_grad(first));
                let whole = Forward::joined(&parts);
                Embedded {
                    embeddings: whole.embeddings.set_requires_grad(true),
                    features: whole.features,
                    chunks: Some(chunks),
                }
            }
        }
    }

    /// Returns the embeddings `[n, d]`.
    pub fn embeddings(&self) -> &Tensor {
        &self.embeddings
    }

    /// Returns what a penalty on the heads of a network with several sees.
    pub fn heads(&self, network: &Network) -> Vec<HeadOutput> {
        network.head_outputs(&self.features)
    }

    /// Returns the gradients of a scalar `loss` of these embeddings, as [`Objective::gradients`] does.
    pub fn gradients(
        self,
        network: &Network,
        objective: &Objective,
        loss: &Tensor,
    ) -> (Tensor, Vec<Tensor>) {
        let Some(chunks) = self.chunks else {
            return objective.gradients(network, loss);
        };
        let (of_embeddings, of_heads, of_losses) =
            objective.gradients_at(&self.embeddings, network, loss);
        let size = chunks[0].size()[0];
        let parts = numbered(&chunks).zip(of_embeddings.split(size, 0)).map(
            |((first, images), gradient)| {
                let embeddings = network.forward_part(images, first).embeddings;
                network.gradient(&(embeddings * gradient).sum(None::<Kind>))
            },
        );
        let of_network = parts.chain(of_heads).reduce(|sum, part| sum + part);
        (
            of_network.unwrap_or_else(|| network.trainable().flat().zeros_like()),
            of_losses,
        )
    }
}

/// Returns the chunks of a batch, each with the place of its first image.
fn numbered(chunks: &[Tensor]) -> impl Iterator<Item = (i64, &Tensor)> {
    chunks.iter().scan(0, |next, chunk| {
        let first = *next;
        *next += chunk.size()[0];
        Some((first, chunk))
    })
}

#[cfg(test)]
mod tests {
    use schema::{Backbone, ProxyAnchor, Triplet, Xbm};
    use tch::Device;

    use super::*;
    use crate::{
        links::DiversityLoss,
        loss::{BuildLoss, ClassInit},
        memory::CrossBatchMemory,
        model::NetworkConfig,
        objective::ConfiguredLoss,
        testing::{assert_close, noise},
    };

    fn images() -> (Tensor, Tensor) {
        let images = ((noise(1, 10, 256) + 1.0) * 127.5)
            .to_kind(Kind::Uint8)
            .view([10, 1, 16, 16]);
        (
            images,
            Tensor::from_slice(&[0i64, 0, 1, 1, 2, 2, 3, 3, 0, 1]),
        )
    }

    fn network(backbone: Backbone) -> Network {
        Network::new(NetworkConfig::new(backbone, 1, 16, Some(3)), 1, Device::Cpu).unwrap()
    }

    fn objective() -> Objective {
        let init = ClassInit {
            classes: 4,
            width: 3,
            seed: 1,
            part: 0,
            device: Device::Cpu,
        };
        let triplets = ConfiguredLoss::of(Box::new(Triplet {
            margin: 0.2,
            swap: false,
            smooth: false,
        }));
        let losses = vec![
            ConfiguredLoss::of(ProxyAnchor::default().build(&init)),
            triplets,
        ];
        Objective {
            memory: Some(CrossBatchMemory::new(Xbm::default(), 10, 3, Device::Cpu)),
            ..Objective::sum(losses)
        }
    }

    fn pass(network: &Network, chunk: Option<i64>) -> (Tensor, Tensor, Vec<Tensor>) {
        let ((images, labels), mut objective) = (images(), objective());
        let embedded = Embedded::new(network, &images, chunk);
        let loss = objective.step(embedded.embeddings(), &labels, 0).value;
        let (of_network, of_losses) = embedded.gradients(network, &objective, &loss);
        (loss.detach(), of_network, of_losses)
    }

    #[test]
    fn without_batch_norm_chunks_give_the_gradient_of_the_whole_batch() {
        // The pixels and a linear layer: no image depends on another.
        let network = network(Backbone::Pixels);
        let (loss, of_network, of_losses) = pass(&network, None);
        assert!(of_network.abs().max().double_value(&[]) > 0.0);
        for chunk in [1, 3, 5, 9, 10, 99] {
            let (chunked_loss, chunked, chunked_losses) = pass(&network, Some(chunk));
            assert_close(&chunked_loss, &loss, 1e-6, "loss");
            assert_close(&chunked, &of_network, 1e-5, "gradient of the network");
            assert_close(
                &chunked_losses[0],
                &of_losses[0],
                1e-5,
                "gradient of the proxies",
            );
        }
    }

    #[test]
    fn running_statistics_take_in_a_batch_once() {
        let statistics = |network: &Network| network.state().remove(1).1;
        let (chunked, plain) = (network(Backbone::Conv4), network(Backbone::Conv4));
        let _ = pass(&chunked, Some(5));
        images()
            .0
            .split(5, 0)
            .iter()
            .for_each(|chunk| drop(no_grad(|| plain.forward(chunk, true))));
        assert!(statistics(&chunked) == statistics(&plain));
    }

    #[test]
    fn both_passes_see_the_same_embeddings_with_batch_norm_too() {
        // The gradient of the loss along itself is what the loss changes by.
        let mut network = network(Backbone::Conv4);
        let (before, gradient, _) = pass(&network, Some(5));
        let step = 1e-3 / gradient.square().sum(Kind::Double).sqrt().double_value(&[]);
        *network.flat_parameters() -= &gradient * step;
        let (after, ..) = pass(&network, Some(5));
        let expected = gradient.square().sum(Kind::Double).double_value(&[]) * step;
        let change = (before - after).double_value(&[]);
        assert!(
            (change / expected - 1.0).abs() < 0.1,
            "{change} instead of {expected}"
        );
    }

    #[test]
    fn heads_with_dropout_and_a_penalty_have_the_gradient_of_the_whole_batch_too() {
        let mut config = NetworkConfig::new(Backbone::Pixels, 1, 16, Some(5));
        config.model.heads = [2, 3].map(schema::EmbeddingHead::of_width).to_vec();
        config.model.heads[1].dropout = 0.4;
        let network = Network::new(config, 1, Device::Cpu).unwrap();
        let settings = schema::Adversarial {
            weight: 0.5,
            hidden: 4,
            norm: 0.1,
        };
        let pass = |chunk: Option<i64>| {
            let (images, labels) = images();
            let losses = network.blocks().into_iter().map(|block| ConfiguredLoss {
                block: Some(block),
                ..ConfiguredLoss::of(Box::new(Triplet::default()))
            });
            let mut objective = Objective::sum(losses.collect());
            let penalty = DiversityLoss::new(&settings.clone().into(), &[2, 3], 1, Device::Cpu);
            objective.links.diversity = Some(penalty);
            let embedded = Embedded::new(&network, &images, chunk);
            let loss = objective.step(embedded.embeddings(), &labels, 0).value;
            let loss = loss + objective.penalty(|| embedded.heads(&network)).unwrap();
            let (of_network, of_losses) = embedded.gradients(&network, &objective, &loss);
            (loss.detach(), of_network, of_losses)
        };
        let (loss, of_network, of_links) = pass(None);
        for chunk in [3, 5] {
            let (chunked_loss, chunked, chunked_links) = pass(Some(chunk));
            assert_close(&chunked_loss, &loss, 1e-5, "loss");
            assert_close(&chunked, &of_network, 1e-4, "gradient of the network");
            assert_close(
                &chunked_links[0],
                &of_links[0],
                1e-4,
                "gradient of the predictors",
            );
        }
    }
}
