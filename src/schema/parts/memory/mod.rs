//! Memories: embeddings of earlier batches that the loss compares with. One file each.

mod xbm;

pub use xbm::{MemoryInit, MemoryKey, MemorySize, MemoryWrap, SelfExclusion};

use super::part::parts;

parts! {
    ($)
    /// A memory with its settings.
    pub enum Memory, for_each_memory {
        Xbm(xbm::Xbm),
    }
}
