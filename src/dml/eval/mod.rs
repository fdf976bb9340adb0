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
//! [`Resources`] say where embeddings are compared, on the CPU or on a GPU, and how much memory that may take. They
//! change no result, not in the last bit: `on_device` tells why. The 60,000 test images of Stanford Online Products
//! take about two seconds of two cores (`benches/README.md`).
//!
//! ```
//! use dml::eval::{Comparison, Depth, Labelled, Resources, Rows, Search, retrieve};
//!
//! let rows = Rows::new(vec![1.0, 0.0, 0.9, 0.1, 0.0, 1.0, 0.1, 0.8], 2)?;
//! let images = Labelled::new(rows, vec![7, 7, 9, 9], Comparison::Cosine)?;
//! let found = retrieve(Search::Within(&images), Depth::All, Resources::default())?;
//! assert_eq!((found.recall(1), found.map_at_r(), found.queries.len()), (1.0, 1.0, 4));
//! # Ok::<(), dml::eval::EvalError>(())
//! ```

mod clusters;
pub mod ensemble;
mod frame;
mod kernel;
mod labels;
mod neighbours;
mod on_device;
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
use tch::Device;

/// What a comparison of embeddings may take. It changes no result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resources {
    /// Where approximate products are computed. On another device than the CPU by libtorch, unless that multiplies
    /// numbers of fewer digits than single precision there, because TF32 was switched on: then on the CPU too.
    pub device: Device,
    /// Bytes that may be held in main memory beside the embeddings and what is asked for, about.
    pub budget: usize,
    /// Bytes that may be held on a device other than the CPU, about.
    pub device_budget: usize,
}

impl Resources {
    /// This device, 256 MiB of main memory and 1 GiB on the device: enough to be fast.
    pub fn on(device: Device) -> Resources {
        Resources {
            device,
            budget: 256 << 20,
            device_budget: 1 << 30,
        }
    }

    /// Whether libtorch computes approximate products.
    fn by_libtorch(self) -> bool {
        self.device != Device::Cpu && on_device::is_precise(self.device)
    }
}

impl Default for Resources {
    /// The CPU.
    fn default() -> Resources {
        Resources::on(Device::Cpu)
    }
}

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
    #[error(
        "no image has another of its class among those that are searched, so there is nothing to retrieve"
    )]
    NoQueries,
}
