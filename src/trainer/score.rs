//! From embeddings to the values of the metrics that are wanted.

use dml::eval::{
    Agreement, Comparison, Depth, EvalError, Labelled, Order, Resources, Retrieval, Rows, Search,
    cluster, retrieve,
};
use schema::{Metric, Scores};
use tch::{Device, Tensor};

use crate::Failed;

/// Seed of the clusters that classes are compared with.
const SEED: u64 = 0;

/// What was measured.
pub(crate) struct Scored {
    pub(crate) retrieval: Retrieval,
    pub(crate) scores: Scores,
    agreement: Option<Agreement>,
}

/// Embeddings and their labels, ready to be compared.
///
/// # Errors
/// If they are not finite.
pub(crate) fn labelled(
    embeddings: Tensor,
    labels: Vec<i64>,
    comparison: Comparison,
) -> Result<Labelled, Failed> {
    let rows = Rows::from_tensor(&embeddings);
    rows.and_then(|rows| Labelled::new(rows, labels, comparison))
        .map_err(|error| unmeasurable(&error))
}

/// Measures these metrics, and uses a device for it.
///
/// # Errors
/// If there is nothing to retrieve.
pub(crate) fn score(search: Search, metrics: &[Metric], device: Device) -> Result<Scored, Failed> {
    let resources = Resources::on(device);
    let retrieval =
        retrieve(search, depth(metrics), resources).map_err(|error| unmeasurable(&error))?;
    let (queries, _) = search.sides();
    let of_clusters = metrics.iter().any(|metric| metric.is_of_clusters());
    let agreement =
        of_clusters.then(|| Agreement::of(queries.labels(), &cluster(queries, SEED, resources)));
    let scores = scores(&retrieval, agreement, metrics, |query| &query.scores);
    Ok(Scored {
        retrieval,
        scores,
        agreement,
    })
}

impl Scored {
    /// The values under another order of images that are exactly equally similar.
    pub(crate) fn under(&self, order: Order) -> Scores {
        let metrics: Vec<Metric> = self.scores.keys().copied().collect();
        scores(&self.retrieval, self.agreement, &metrics, order)
    }
}

/// The ranks that these metrics need.
fn depth(metrics: &[Metric]) -> Depth {
    let of_metric = |metric: &Metric| match metric {
        Metric::RecallAt(_) | Metric::PrecisionAt1 | Metric::Mrr => Depth::First,
        Metric::Nmi | Metric::Ami | Metric::F1 => Depth::First,
        Metric::RPrecision | Metric::MapAtR => Depth::Nearest,
        Metric::Map => Depth::All,
    };
    // The scores that are kept of each query need no more than this in any case.
    metrics
        .iter()
        .map(of_metric)
        .fold(Depth::Nearest, Depth::max)
}

fn scores(
    retrieval: &Retrieval,
    agreement: Option<Agreement>,
    metrics: &[Metric],
    order: Order,
) -> Scores {
    let mean = |value: &dyn Fn(&dml::eval::Scores) -> Option<f64>| {
        Some(retrieval.mean(|query| value(order(query)).unwrap_or(f64::NAN)))
    };
    let value = |metric: Metric| match metric {
        Metric::RecallAt(k) => mean(&|scores| Some(scores.recall(k as usize))),
        Metric::PrecisionAt1 => mean(&|scores| Some(scores.recall(1))),
        Metric::RPrecision => mean(&|scores| scores.r_precision),
        Metric::MapAtR => mean(&|scores| scores.ap_at_r),
        Metric::Map => mean(&|scores| scores.ap),
        Metric::Mrr => mean(&|scores| Some(1.0 / f64::from(scores.first))),
        Metric::Nmi => agreement.map(|agreement| agreement.nmi),
        Metric::Ami => agreement.map(|agreement| agreement.ami),
        Metric::F1 => agreement.map(|agreement| agreement.f1),
    };
    metrics
        .iter()
        .filter_map(|&metric| Some((metric, value(metric)?)))
        .collect()
}

pub(crate) fn unmeasurable(error: &EvalError) -> Failed {
    match error {
        EvalError::NoQueries | EvalError::Widths { .. } => Failed::data(error.to_string()),
        EvalError::NotFinite { .. } | EvalError::Labels { .. } => {
            Failed::internal(error.to_string())
        }
    }
}
