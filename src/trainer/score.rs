//! Computes metrics from embeddings.

use dml::eval::{
    Agreement, Comparison, Embeddings, EvalError, EvalResources, LabeledEmbeddings, RankDepth,
    Retrieval, RetrievalTask, TieOrder, cluster, retrieve,
};
use schema::{Metric, Scores};
use tch::{Device, Tensor};

use crate::{Failed, Stop};

/// The seed of the clustering for NMI, AMI and F1.
const SEED: u64 = 0;

/// A retrieval with its metrics.
pub(crate) struct Scored {
    pub(crate) retrieval: Retrieval,
    pub(crate) scores: Scores,
    agreement: Option<Agreement>,
}

/// Joins embeddings, compared by cosine similarity, with the classes and the cameras of their images.
///
/// # Errors
/// The embeddings are not finite.
pub(crate) fn labelled(
    embeddings: Tensor,
    labels: Vec<i64>,
    cameras: Vec<Option<u32>>,
) -> Result<LabeledEmbeddings, Failed> {
    let rows = Embeddings::from_tensor(&embeddings);
    rows.and_then(|rows| {
        LabeledEmbeddings::new(rows, labels, Comparison::Cosine)?.with_cameras(cameras)
    })
    .map_err(|error| unmeasurable(&error))
}

/// Computes metrics of a retrieval task on a device. `None` if a stop was requested.
///
/// # Errors
/// There is nothing to retrieve.
pub(crate) fn score(
    search: RetrievalTask,
    metrics: &[Metric],
    device: Device,
    stop: &Stop,
) -> Result<Option<Scored>, Failed> {
    let resources = EvalResources {
        stop: stop.flag(),
        ..EvalResources::on(device)
    };
    match computed(search, metrics, resources) {
        Ok(scored) => Ok(Some(scored)),
        Err(EvalError::Stopped) => Ok(None),
        Err(error) => Err(unmeasurable(&error)),
    }
}

fn computed(
    search: RetrievalTask,
    metrics: &[Metric],
    resources: EvalResources,
) -> Result<Scored, EvalError> {
    let retrieval = retrieve(search, depth(metrics), resources)?;
    let agreement = match metrics.iter().any(|metric| metric.is_of_clusters()) {
        true => Some(agreement(search.queries(), resources)?),
        false => None,
    };
    let scores = scores(&retrieval, agreement, metrics, TieOrder::ByIndex);
    Ok(Scored {
        retrieval,
        scores,
        agreement,
    })
}

fn agreement(images: &LabeledEmbeddings, resources: EvalResources) -> Result<Agreement, EvalError> {
    let clusters = cluster(images, SEED, resources)?;
    Ok(Agreement::of(images.labels(), &clusters))
}

/// Returns the metrics that need no clusters.
pub(crate) fn of_ranks(metrics: &[Metric]) -> Vec<Metric> {
    let metrics = metrics.iter().copied();
    metrics.filter(|metric| !metric.is_of_clusters()).collect()
}

impl Scored {
    /// Joins searches with as many queries each: the values are the means over all. Clusters are those of the first.
    /// None if there is no search.
    pub(crate) fn joined(searches: Vec<Scored>, metrics: &[Metric]) -> Option<Scored> {
        let mut searches = searches.into_iter();
        let mut joined = searches.next()?;
        for search in searches {
            joined.retrieval.queries.extend(search.retrieval.queries);
            joined.retrieval.without_positive += search.retrieval.without_positive;
        }
        let (retrieval, agreement) = (&joined.retrieval, joined.agreement);
        joined.scores = scores(retrieval, agreement, metrics, TieOrder::ByIndex);
        Some(joined)
    }

    /// Returns the lowest and the highest values over all orders of equally similar images, of the
    /// metrics for which they differ.
    pub(crate) fn bounds(&self) -> (Scores, Scores) {
        if !self.retrieval.has_ties() {
            return (Scores::new(), Scores::new());
        }
        let mut lowest = self.under(TieOrder::Pessimistic);
        let mut highest = self.under(TieOrder::Optimistic);
        lowest.retain(|metric, low| highest.get(metric) != Some(low));
        highest.retain(|metric, _| lowest.contains_key(metric));
        (lowest, highest)
    }

    /// Returns the values under another order of equally similar images.
    fn under(&self, order: TieOrder) -> Scores {
        let metrics: Vec<Metric> = self.scores.keys().copied().collect();
        scores(&self.retrieval, self.agreement, &metrics, order)
    }
}

/// Returns the ranks that the metrics need.
fn depth(metrics: &[Metric]) -> RankDepth {
    let of_metric = |metric: &Metric| match metric {
        Metric::RecallAt(_) | Metric::PrecisionAt1 | Metric::Mrr => RankDepth::First,
        Metric::MacroPrecisionAt1 => RankDepth::First,
        Metric::Nmi | Metric::Ami | Metric::F1 => RankDepth::First,
        Metric::RPrecision | Metric::MapAtR | Metric::MacroMapAtR => RankDepth::Nearest,
        Metric::Map => RankDepth::All,
    };
    // The scores kept for each query need at least this depth.
    metrics
        .iter()
        .map(of_metric)
        .fold(RankDepth::Nearest, RankDepth::max)
}

fn scores(
    retrieval: &Retrieval,
    agreement: Option<Agreement>,
    metrics: &[Metric],
    order: TieOrder,
) -> Scores {
    let means = retrieval.means(order);
    let mut scores = Scores::new();
    for &metric in metrics {
        let value = match metric {
            Metric::RecallAt(k) => Some(means.recall(k as usize)),
            Metric::PrecisionAt1 => Some(means.recall(1)),
            Metric::RPrecision => Some(means.r_precision()),
            Metric::MapAtR => Some(means.map_at_r()),
            Metric::Map => Some(means.map()),
            Metric::Mrr => Some(means.mrr()),
            Metric::Nmi => agreement.map(|agreement| agreement.nmi),
            Metric::Ami => agreement.map(|agreement| agreement.ami),
            Metric::F1 => agreement.map(|agreement| agreement.f1),
            Metric::MacroPrecisionAt1 => Some(means.macro_precision_at_1()),
            Metric::MacroMapAtR => Some(means.macro_map_at_r()),
        };
        scores.extend(value.map(|value| (metric, value)));
    }
    scores
}

pub(crate) fn unmeasurable(error: &EvalError) -> Failed {
    match error {
        EvalError::NoQueries | EvalError::Widths { .. } => Failed::data(error.to_string()),
        EvalError::NotFinite { .. }
        | EvalError::Labels { .. }
        | EvalError::Cameras { .. }
        | EvalError::Stopped => Failed::internal(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(task: RetrievalTask, metrics: &[Metric]) -> Scored {
        let found = score(task, metrics, Device::Cpu, &Stop::new());
        found.unwrap().unwrap()
    }

    #[test]
    fn bounds_are_of_the_metrics_that_ties_touch() {
        // The first three are equal, and the third is of another class; the last two stand alone.
        let rows = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
        let rows = Embeddings::new(rows.to_vec(), 2).unwrap();
        let images = LabeledEmbeddings::new(rows, vec![0, 0, 1, 2, 2], Comparison::Cosine).unwrap();
        let metrics = [Metric::RecallAt(1), Metric::RecallAt(2)];
        let scored = scored(RetrievalTask::Within(&images), &metrics);
        let of_one = |value| Scores::from([(Metric::RecallAt(1), value)]);
        assert_eq!(scored.bounds(), (of_one(0.5), of_one(1.0)));
    }

    #[test]
    fn without_ties_there_are_no_bounds() {
        let rows = Embeddings::new(vec![1.0, 0.0, 0.9, 0.1, 0.0, 1.0, 0.2, 0.8], 2).unwrap();
        let images = LabeledEmbeddings::new(rows, vec![0, 0, 1, 1], Comparison::Cosine).unwrap();
        let task = RetrievalTask::Within(&images);
        let scored = scored(task, &[Metric::MapAtR]);
        assert_eq!(scored.bounds(), (Scores::new(), Scores::new()));
    }
}
