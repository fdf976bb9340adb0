//! Deep metric learning on libtorch: what trains an embedding and what measures it.
//!
//! The parts are orthogonal. A [`loss`] turns distances of pairs or triplets into terms; a [`miner`] chooses
//! which it sees; a [`memory`] adds earlier embeddings; an [`objective`] puts these together. A [`sampler`] forms
//! the batches; a [`model`] makes the embeddings; an [`optim`]iser changes it; [`data`] brings images and labels;
//! [`eval`] measures retrieval.
//! Nothing here knows of sweeps, files of settings or processes: the crate can be used alone.

#![warn(missing_docs)]

pub mod data;
pub mod distance;
pub mod eval;
pub mod gradient_cache;
pub mod loss;
pub mod memory;
pub mod miner;
pub mod model;
pub mod objective;
pub mod optim;
pub mod parameters;
mod processor;
pub mod random;
pub mod reduce;
pub mod regularizer;
pub mod sampler;
pub mod state;
pub mod tuples;

#[cfg(test)]
mod testing;
