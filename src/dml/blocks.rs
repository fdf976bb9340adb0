//! Blocks: the parts of a joined embedding, one for each head.
//!
//! A network with several heads returns one embedding: the blocks of all heads side by side, each of length one times a
//! factor. Memories, files and evaluations see nothing but that. A loss of one head undoes the factor of its block.

use schema::Model;
use tch::Tensor;

use crate::tuples::References;

/// Where a head's block lies in a joined embedding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    /// The number of the head, from 0.
    pub head: usize,
    /// The first of its dimensions.
    pub start: i64,
    /// Their number.
    pub width: i64,
    /// What the block is multiplied by.
    pub factor: f64,
}

impl Block {
    /// Returns the blocks of all heads of a model with several; none otherwise.
    pub fn all(model: &Model) -> Vec<Block> {
        let mut start = 0;
        let heads = model.heads.iter().zip(model.factors()).enumerate();
        let block = |(head, (layers, factor)): (usize, (&schema::EmbeddingHead, f64))| {
            let block = Block {
                head,
                start,
                width: layers.width.into(),
                factor,
            };
            start += block.width;
            block
        };
        heads.map(block).collect()
    }

    /// Returns the embeddings `[n, width]` of the head, of joined ones `[n, d]`.
    pub fn of(&self, joined: &Tensor) -> Tensor {
        joined.narrow(1, self.start, self.width) / self.factor
    }

    /// Returns the same references with the embeddings of the head.
    pub(crate) fn references(&self, joined: &References) -> References {
        let mut references = joined.shallow_clone();
        references.embeddings = self.of(&joined.embeddings);
        references
    }
}
