//! Deep metric learning on libtorch: training and evaluation of embeddings.
//!
//! The parts are orthogonal. A [`loss`] maps distances of pairs or triplets to terms, a [`miner`]
//! selects the pairs or triplets, a [`memory`] adds embeddings of earlier batches, and an
//! [`objective`] combines the three. The heads of a network have [`blocks`] of an embedding, and [`links`] between them. A
//! [`sampler`] forms batches, a [`model`] computes embeddings,
//! [`optim`] updates its parameters, [`data`] loads images and labels, [`eval`] measures retrieval.
//!
//! The crate knows neither sweeps nor processes and can be used alone. Settings are types of
//! [`schema`] and arrays are tensors of [`tch`]; both crates are exported here.
//!
//! ```
//! use dml::{
//!     objective::{ConfiguredLoss, Objective},
//!     schema::Triplet,
//!     tch::Tensor,
//! };
//!
//! let embeddings = Tensor::from_slice2(&[[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]);
//! let labels = Tensor::from_slice(&[0i64, 0, 1]);
//!
//! let loss = ConfiguredLoss::of(Box::new(Triplet::default()));
//! let value = Objective::of(loss).step(&embeddings, &labels, 0);
//! assert!(value.value.double_value(&[]) > 0.0);
//! ```

#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod blocks;
pub mod data;
pub mod distance;
pub mod division;
mod download;
pub mod eval;
pub mod foreign;
pub mod gradient_cache;
pub mod impostors;
pub mod libtorch;
pub mod links;
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
pub mod script;
mod spanning_tree;
pub mod state;
pub mod survey;
pub mod tensor_file;
pub mod tuples;
pub mod upload;

pub use {schema, tch};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod training_tests;
