//! The heads of a network with several, each measured alone.

use dml::{blocks::Block, data::listing::Role, eval::Comparison};
use schema::{Metric, Model, Scores};
use tch::{Device, Tensor};

use crate::{Failed, Stop, retrieval_set::RetrievalSet, score};

/// Test images whose joined embeddings are there.
#[derive(Clone, Copy)]
pub(crate) struct Joined<'a> {
    /// `[n, width]`.
    pub(crate) embeddings: &'a Tensor,
    /// The class of each image.
    pub(crate) labels: &'a [i64],
    /// The role of each image.
    pub(crate) roles: &'a [Role],
}

/// Returns the scores of each head of a model by its block of the embeddings; none for a single head. Metrics of clusters
/// are left out. `None` if a stop was requested.
///
/// # Errors
/// There is nothing to retrieve.
pub(crate) fn scores(
    model: &Model,
    images: Joined,
    metrics: &[Metric],
    device: Device,
    stop: &Stop,
) -> Result<Option<Vec<Scores>>, Failed> {
    let of_ranks: Vec<Metric> = metrics
        .iter()
        .copied()
        .filter(|metric| !metric.is_of_clusters())
        .collect();
    let mut all = Vec::new();
    for block in Block::all(model) {
        let embeddings = block.of(images.embeddings);
        let labeled = score::labelled(embeddings, images.labels.to_vec(), Comparison::Cosine)?;
        let set = RetrievalSet::new(labeled, images.roles);
        let Some(scored) = score::score(set.task(), &of_ranks, device, stop)? else {
            return Ok(None);
        };
        all.push(scored.scores);
    }
    Ok(Some(all))
}
