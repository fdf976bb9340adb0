//! Computes metrics from embeddings.

use std::collections::BTreeMap;

use dml::eval::{
    Agreement, Comparison, Embeddings, EvalError, EvalResources, LabeledEmbeddings, OperatingPoint,
    RankDepth, Retrieval, RetrievalTask, TieOrder, cluster, hierarchy, retrieve, verification,
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
    /// The values of metrics of pairs and of levels.
    beside: Scores,
    /// The narrowest super-class of each class.
    categories: BTreeMap<i64, Option<u32>>,
}

/// Joins embeddings, compared by cosine similarity, with the classes of their images.
///
/// # Errors
/// The embeddings are not finite.
pub(crate) fn labelled(embeddings: Tensor, labels: Vec<i64>) -> Result<LabeledEmbeddings, Failed> {
    let rows = Embeddings::from_tensor(&embeddings);
    rows.and_then(|rows| LabeledEmbeddings::new(rows, labels, Comparison::Cosine))
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
    let mut scored = Scored {
        retrieval,
        scores: Scores::new(),
        agreement,
        beside: beside(search, metrics, resources)?,
        categories: search.queries().category_of_classes(),
    };
    scored.scores = scored.under(metrics, TieOrder::ByIndex);
    Ok(scored)
}

/// Returns the values of the metrics of pairs and of levels.
fn beside(
    search: RetrievalTask,
    metrics: &[Metric],
    resources: EvalResources,
) -> Result<Scores, EvalError> {
    let mut scores = of_pairs(search, metrics, resources)?;
    let of_levels: Vec<Metric> = metrics
        .iter()
        .copied()
        .filter(|metric| metric.is_of_levels())
        .collect();
    if of_levels.is_empty() {
        return Ok(scores);
    }
    let found = hierarchy(search, resources)?;
    for metric in of_levels {
        let value = match metric {
            Metric::Ndcg => found.ndcg,
            _ => found.h_ap,
        };
        scores.insert(metric, value);
    }
    Ok(scores)
}

/// Returns the values of the metrics of pairs.
fn of_pairs(
    search: RetrievalTask,
    metrics: &[Metric],
    resources: EvalResources,
) -> Result<Scores, EvalError> {
    let points = metrics
        .iter()
        .filter_map(|&metric| Some((metric, point(metric)?)));
    let (measured, points): (Vec<Metric>, Vec<OperatingPoint>) = points.unzip();
    if points.is_empty() {
        return Ok(Scores::new());
    }
    let values = verification(search, &points, resources)?;
    let value = |(metric, value): (Metric, f64)| match metric {
        Metric::EqualErrorAccuracy => (metric, 1.0 - value),
        _ => (metric, value),
    };
    Ok(measured.into_iter().zip(values).map(value).collect())
}

/// Returns the threshold at which a metric of pairs is measured.
fn point(metric: Metric) -> Option<OperatingPoint> {
    match metric {
        Metric::TarAtFar(exponent) => {
            let pairs = 10_u64.pow(exponent.into());
            Some(OperatingPoint::OneFalseAcceptIn(pairs))
        }
        Metric::EqualErrorAccuracy => Some(OperatingPoint::EqualErrors),
        Metric::RecallAt(_) | Metric::PrecisionAt1 | Metric::RPrecision | Metric::MapAtR => None,
        Metric::Map | Metric::Mrr | Metric::Nmi | Metric::Ami | Metric::F1 => None,
        Metric::MacroPrecisionAt1 | Metric::MacroMapAtR => None,
        Metric::HierarchicalAp | Metric::Ndcg => None,
        Metric::CategoryPrecisionAt1 | Metric::CategoryMapAtR => None,
    }
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
        let count = searches.len() as f64;
        let mut searches = searches.into_iter();
        let mut joined = searches.next()?;
        for search in searches {
            joined.retrieval.queries.extend(search.retrieval.queries);
            joined.retrieval.without_positive += search.retrieval.without_positive;
            for (metric, value) in search.beside {
                *joined.beside.entry(metric).or_default() += value;
            }
        }
        joined.beside.values_mut().for_each(|value| *value /= count);
        joined.scores = joined.under(metrics, TieOrder::ByIndex);
        Some(joined)
    }

    /// Returns the lowest and the highest values over all orders of equally similar images, of the
    /// metrics for which they differ.
    pub(crate) fn bounds(&self) -> (Scores, Scores) {
        if !self.retrieval.has_ties() {
            return (Scores::new(), Scores::new());
        }
        let metrics: Vec<Metric> = self.scores.keys().copied().collect();
        let mut lowest = self.under(&metrics, TieOrder::Pessimistic);
        let mut highest = self.under(&metrics, TieOrder::Optimistic);
        lowest.retain(|metric, low| highest.get(metric) != Some(low));
        highest.retain(|metric, _| lowest.contains_key(metric));
        (lowest, highest)
    }

    /// Returns the values under an order of equally similar images.
    fn under(&self, metrics: &[Metric], order: TieOrder) -> Scores {
        let (means, agreement) = (self.retrieval.means(order), self.agreement);
        let category = |class: i64| self.categories.get(&class).copied().flatten();
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
                Metric::TarAtFar(_) | Metric::EqualErrorAccuracy => {
                    self.beside.get(&metric).copied()
                }
                Metric::HierarchicalAp | Metric::Ndcg => self.beside.get(&metric).copied(),
                Metric::CategoryPrecisionAt1 => Some(means.group_precision_at_1(category)),
                Metric::CategoryMapAtR => Some(means.group_map_at_r(category)),
            };
            scores.extend(value.map(|value| (metric, value)));
        }
        scores
    }
}

/// Returns the ranks that the metrics need.
fn depth(metrics: &[Metric]) -> RankDepth {
    let of_metric = |metric: &Metric| match metric {
        Metric::RecallAt(_) | Metric::PrecisionAt1 | Metric::Mrr => RankDepth::First,
        Metric::MacroPrecisionAt1 => RankDepth::First,
        Metric::Nmi | Metric::Ami | Metric::F1 => RankDepth::First,
        Metric::TarAtFar(_) | Metric::EqualErrorAccuracy => RankDepth::First,
        Metric::HierarchicalAp | Metric::Ndcg => RankDepth::First,
        Metric::CategoryPrecisionAt1 => RankDepth::First,
        Metric::CategoryMapAtR => RankDepth::Nearest,
        Metric::RPrecision | Metric::MapAtR | Metric::MacroMapAtR => RankDepth::Nearest,
        Metric::Map => RankDepth::All,
    };
    // The scores kept for each query need at least this depth.
    metrics
        .iter()
        .map(of_metric)
        .fold(RankDepth::Nearest, RankDepth::max)
}

pub(crate) fn unmeasurable(error: &EvalError) -> Failed {
    match error {
        EvalError::NoQueries | EvalError::OneClass | EvalError::Widths { .. } => {
            Failed::data(error.to_string())
        }
        EvalError::NotFinite { .. }
        | EvalError::Labels { .. }
        | EvalError::Cameras { .. }
        | EvalError::Categories { .. }
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
