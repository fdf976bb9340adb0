//! Deep metric learning on libtorch: training and evaluation of embeddings.
//!
//! The parts are orthogonal. A [`loss`] maps distances of pairs or triplets to terms, a [`miner`]
//! selects the pairs or triplets, a [`memory`] adds embeddings of earlier batches, and an
//! [`objective`] combines the three. A [`sampler`] forms batches, a [`model`] computes embeddings,
//! [`optim`] updates its parameters, [`data`] loads images and labels, [`eval`] measures retrieval.
//!
//! The crate knows neither sweeps nor processes and can be used alone.

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
