//! How well embeddings retrieve images of their class: exact, in bounded memory, usable alone.
//!
//! [`retrieve`] ranks and scores, [`hierarchy`] does so where categories count, [`verification`] compares pairs.
//! [`nearest`] lists neighbors, [`on_hyperboloid`] prepares retrieval by hyperbolic distance, [`cluster`] and
//! [`Agreement`] compare clusters with classes, [`ensemble`] joins the embeddings of several networks.
//!
//! Every metric is exact for one definite [`similarity`] of rows of `f32` and one order of equally
//! similar images, that of their index. For cosine similarity these are the rows divided by their
//! lengths: similarities that differ by less than about 1e-7 before are ordered by this rounding. A
//! collapsed network, whose embeddings are all equal, cannot score well by
//! favoring the right answer. `product` and `targets` explain how that is fast.
//!
//! [`EvalResources`] choose the device (CPU or GPU) and bound the memory. They change no result,
//! not even its last bit (see `device`). The 60,000 test images of Stanford Online Products take
//! about two seconds on two cores (`benches/README.md`).
//!
//! ```
//! use dml::eval::{
//!     Comparison, Embeddings, EvalResources, LabeledEmbeddings, RankDepth, RetrievalTask, TieOrder,
//!     retrieve,
//! };
//!
//! let rows = Embeddings::new(vec![1.0, 0.0, 0.9, 0.1, 0.0, 1.0, 0.1, 0.8], 2)?;
//! let images = LabeledEmbeddings::new(rows, vec![7, 7, 9, 9], Comparison::Cosine)?;
//! let task = RetrievalTask::Within(&images);
//! let found = retrieve(task, RankDepth::All, EvalResources::default())?;
//! let means = found.means(TieOrder::ByIndex);
//! assert_eq!((means.recall(1), means.map_at_r(), found.queries.len()), (1.0, 1.0, 4));
//! # Ok::<(), dml::eval::EvalError>(())
//! ```

mod clusters;
mod device;
mod embeddings;
pub mod ensemble;
mod error;
mod frame;
mod hierarchy;
mod hyperbolic;
mod kernel;
mod labels;
mod neighbors;
mod product;
mod ranks;
mod resources;
mod retrieval;
mod seeds;
mod targets;
mod task;
mod top_k;
mod verification;

pub(crate) use clusters::k_means;
pub use clusters::{Agreement, cluster};
pub use embeddings::{Embeddings, similarity};
pub use error::EvalError;
pub use hierarchy::{HierarchyScores, hierarchy};
pub use hyperbolic::{LARGEST_REACH, on_hyperboloid};
pub use labels::equal_rows;
pub use neighbors::{Neighbors, nearest};
pub use resources::{EvalResources, StopFlag};
pub use retrieval::{
    MeanScores, QueryResult, QueryScores, Retrieval, TieOrder, mean_cosine, retrieve,
};
pub use schema::Comparison;
pub use targets::RankDepth;
pub use task::{LabeledEmbeddings, RetrievalTask};
pub use verification::{OperatingPoint, verification};
