//! Memories: embeddings of earlier batches, to compare a batch with more than itself.

mod xbm;

pub use xbm::Xbm;
