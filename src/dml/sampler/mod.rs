//! Samplers: which images form a batch.

mod m_per_class;

pub use m_per_class::{MPerClass, SamplerError};
