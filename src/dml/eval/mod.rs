//! How well embeddings retrieve images of their class: exact, bounded in memory, usable alone.
//!
//! [`retrieve`] measures; [`Retrieval`] holds a value for each query and gives the means. [`nearest`] lists
//! neighbours. [`cluster`] and [`Agreement`] compare clusters with classes. [`ensemble`] joins what several networks
//! make of the same images.
//!
//! Every metric is exact for one definite similarity (see [`Comparison::similarity`]) and one order of equal ones,
//! that of the index: with a collapsed network, whose embeddings are all equal, no metric can come out well by
//! favouring the right answer. How fast that is without giving anything up is told in `product` and `ranks`.
//!
//! Embeddings are compared on the CPU wherever they were computed. The sums of a GPU come in an order that its library
//! chooses and that changes with the shape of the matrices, so that equal images would not always be equally similar;
//! here a GPU's results and the CPU's differ only where the embeddings do. The 60,000 test images of Stanford Online
//! Products take about ten seconds of two cores (`benches/README.md`).
//!
//! ```
//! use dml::eval::{Comparison, Depth, Labelled, Rows, Search, BUDGET, retrieve};
//!
//! let rows = Rows::new(vec![1.0, 0.0, 0.9, 0.1, 0.0, 1.0, 0.1, 0.8], 2)?;
//! let images = Labelled::new(rows, vec![7, 7, 9, 9], Comparison::Cosine)?;
//! let found = retrieve(Search::Within(&images), Depth::All, BUDGET)?;
//! assert_eq!((found.recall(1), found.map_at_r(), found.queries.len()), (1.0, 1.0, 4));
//! # Ok::<(), dml::eval::EvalError>(())
//! ```

mod clusters;
pub mod ensemble;
mod kernel;
mod labels;
mod neighbours;
mod product;
mod ranks;
mod retrieval;
mod rows;
mod seeds;

pub use clusters::{Agreement, cluster};
pub use neighbours::{Neighbours, nearest};
pub use ranks::Depth;
pub use retrieval::{Labelled, Order, Query, Retrieval, Scores, Search, retrieve};
pub use rows::{Comparison, Rows};

/// Bytes that [`retrieve`] and [`nearest`] may hold beside the embeddings: 256 MiB, enough to be fast.
pub const BUDGET: usize = 256 << 20;

/// Embeddings that cannot be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// An embedding is not made of finite numbers.
    #[error("the embedding of image {image} is not finite")]
    NotFinite {
        /// The first such image, counted from 0.
        image: usize,
    },
    /// Embeddings and labels do not belong together.
    #[error("there are {embeddings} embeddings but {labels} labels")]
    Labels {
        /// How many embeddings.
        embeddings: usize,
        /// How many labels.
        labels: usize,
    },
    /// Two sets of embeddings cannot be compared.
    #[error("the queries have {queries} numbers each but the references {references}")]
    Widths {
        /// Of each query.
        queries: usize,
        /// Of each reference.
        references: usize,
    },
    /// No query has an image to find.
    #[error("no image has another of its class among those that are searched, so there is nothing to retrieve")]
    NoQueries,
}
