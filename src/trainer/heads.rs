//! The heads of a network with several, each measured alone.

use dml::{blocks::Block, eval::Embeddings};
use schema::{Metric, Recipe, Scores};
use tch::{Device, Tensor};

use crate::{Failed, Stop, retrieval_set::TestImages, score};

/// Returns the scores of each head of a network by its block of the joined embeddings `[n, width]`; none for a single head.
/// Metrics of clusters are left out. `None` if a stop was requested.
///
/// # Errors
/// There is nothing to retrieve.
pub(crate) fn scores(
    recipe: &Recipe,
    embeddings: &Tensor,
    images: &TestImages,
    metrics: &[Metric],
    device: Device,
    stop: &Stop,
) -> Result<Option<Vec<Scores>>, Failed> {
    let (model, metrics) = (&recipe.model, score::of_ranks(metrics));
    let mut all = Vec::new();
    for block in Block::all(model) {
        let rows = Embeddings::from_tensor(&block.of(embeddings));
        let set = images.set(
            rows.map_err(|error| score::unmeasurable(&error))?,
            &recipe.dataset,
        )?;
        let Some(scored) = set.score(&metrics, device, stop)? else {
            return Ok(None);
        };
        all.push(scored.scores);
    }
    Ok(Some(all))
}
