//! How well embeddings retrieve images of their class.
//!
//! [`nearest`] finds the nearest images of each query, [`retrieval`](fn@retrieval) turns their order into numbers.

mod neighbours;
mod retrieval;

pub use neighbours::{EvalError, Neighbours, nearest};
pub use retrieval::{Retrieval, retrieval};
