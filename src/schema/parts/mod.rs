//! Parts: the choices that a sweep file can name.
//!
//! All facts about one part are in one file: its settings with their defaults and ranges, what it
//! computes, where it comes from, and what it can be combined with. [`part`] holds the trait that
//! every part implements and the macros that declare one part and one kind of parts; [`range`]
//! holds the ranges of settings. How a part computes is in the crate `dml`.

pub(crate) mod part;
pub(crate) mod range;

mod backbone;
mod dataset;
mod distance;
mod link;
mod loss;
mod memory;
mod miner;
mod optimizer;
mod reduction;
mod regularizer;
mod sampler;
mod schedule;
mod script;

pub use backbone::*;
pub use dataset::*;
pub use distance::{Distance, Hyperbolic};
pub use link::*;
pub use loss::*;
pub use memory::*;
pub use miner::*;
pub use optimizer::*;
pub use part::{Card, OutOfRange, Part};
pub use range::{Range, Setting};
pub use reduction::Reduction;
pub use regularizer::Regularizer;
pub use sampler::*;
pub use schedule::*;
pub use script::{Script, ScriptFile};
