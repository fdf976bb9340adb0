//! Why embeddings cannot be evaluated.

/// Embeddings that cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// An embedding contains NaN or an infinity.
    #[error("the embedding of image {image} is not finite")]
    NotFinite {
        /// Index of the first such image.
        image: usize,
    },
    /// The number of labels differs from the number of embeddings.
    #[error("there are {embeddings} embeddings but {labels} labels")]
    Labels {
        /// Number of embeddings.
        embeddings: usize,
        /// Number of labels.
        labels: usize,
    },
    /// The number of cameras differs from the number of embeddings.
    #[error("there are {embeddings} embeddings but {cameras} cameras")]
    Cameras {
        /// Number of embeddings.
        embeddings: usize,
        /// Number of cameras.
        cameras: usize,
    },
    /// The number of categories differs from the number of embeddings.
    #[error("there are {embeddings} embeddings but {categories} categories")]
    Categories {
        /// Number of embeddings.
        embeddings: usize,
        /// Number of categories.
        categories: usize,
    },
    /// Queries and references have different widths.
    #[error("the queries have {queries} values each but the references have {references}")]
    Widths {
        /// Width of a query.
        queries: usize,
        /// Width of a reference.
        references: usize,
    },
    /// No query has a reference of its class.
    #[error("no query has another image of its class in the gallery: there is nothing to retrieve")]
    NoQueries,
    /// No pair of images is of different classes.
    #[error("all images are of one class: no pair can be accepted falsely")]
    OneClass,
    /// The flag in [`EvalResources`](super::EvalResources) was set.
    #[error("the evaluation was stopped")]
    Stopped,
}
