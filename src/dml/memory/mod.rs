//! Memories: embeddings of earlier batches, with which the images of a batch are compared.

mod xbm;

pub use xbm::{CrossBatchMemory, MemoryBatch, MemoryStatistics};
