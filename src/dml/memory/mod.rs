//! Memories: embeddings of earlier batches, to compare a batch with more than itself.

mod rules;
mod xbm;

pub use rules::{Rules, SelfExclusion};
pub use xbm::{Arrivals, Condition, Key, Wrap, Xbm};
