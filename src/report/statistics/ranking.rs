//! The ranks of trained methods over several data sets.

use schema::Metric;

use super::Ranking;
use crate::{
    claims::primary,
    gather::Runs,
    standing::LEVEL,
    stats::{friedman, nemenyi_difference},
    table::At,
};

/// The fewest data sets over which methods are ranked.
const FEWEST: usize = 3;

/// One ranking for each way to take folds together, if there are three data sets on which the same three methods or more
/// were measured.
pub(super) fn of(
    lines: &[Runs<'_>],
    axes: &[String],
    mean: &dyn Fn(At) -> Option<f64>,
) -> Vec<Ranking> {
    let mut ways: Vec<_> = lines.iter().map(|runs| runs.together).collect();
    ways.sort_unstable();
    ways.dedup();
    let ranking = |together| {
        let of_way = || {
            lines
                .iter()
                .enumerate()
                .filter(move |(_, runs)| runs.together == together && !runs.is_baseline)
        };
        let mut datasets: Vec<(&str, Metric)> = Vec::new();
        for (_, runs) in of_way() {
            let metric = runs.metrics[primary(&runs.metrics)?];
            if datasets.iter().all(|(known, _)| *known != runs.dataset) {
                datasets.push((runs.dataset, metric));
            }
        }
        let score = |dataset: &str, name: &str| {
            let (line, runs) =
                of_way().find(|(_, runs)| runs.dataset == dataset && runs.name(axes) == name)?;
            mean((line, primary(&runs.metrics)?))
        };
        let mut names: Vec<String> = Vec::new();
        for (_, runs) in of_way() {
            let name = runs.name(axes);
            let everywhere = datasets
                .iter()
                .all(|(dataset, _)| score(dataset, &name).is_some());
            if everywhere && !names.contains(&name) {
                names.push(name);
            }
        }
        if datasets.len() < FEWEST {
            return None;
        }
        let scores: Vec<Vec<f64>> = datasets
            .iter()
            .map(|(dataset, _)| {
                names
                    .iter()
                    .filter_map(|name| score(dataset, name))
                    .collect()
            })
            .collect();
        let test = friedman(&scores)?;
        let mut methods: Vec<(String, f64)> = names.into_iter().zip(test.mean_ranks).collect();
        methods.sort_by(|a, b| a.1.total_cmp(&b.1));
        Some(Ranking {
            together,
            metrics: datasets.iter().map(|(_, metric)| *metric).collect(),
            datasets: datasets
                .iter()
                .map(|(dataset, _)| (*dataset).to_owned())
                .collect(),
            chi_squared: test.chi_squared,
            p: test.p,
            critical: nemenyi_difference(methods.len(), datasets.len(), LEVEL),
            methods,
        })
    };
    ways.into_iter().filter_map(ranking).collect()
}
