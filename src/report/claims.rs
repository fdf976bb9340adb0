//! What a table lets one claim: whether the best of a column is distinguishable from the runner-up, and if not, how many
//! more seeds would settle it.

use std::collections::BTreeMap;

use schema::Metric;

use crate::{
    gather::Runs,
    standing::{Candidate, FEWEST, Standing, best, differences},
    stats::paired,
    summary::Summary,
    table::{At, candidate},
};

/// One sentence for each data set and way to take folds together, by its most telling metric.
pub(crate) fn claims(
    lines: &[Runs<'_>],
    summaries: &BTreeMap<At, Summary>,
    standings: &BTreeMap<At, Standing>,
    axes: &[String],
) -> Vec<String> {
    let mut claims = Vec::new();
    let mut first = 0;
    for of_block in lines.chunk_by(|a, b| (a.dataset, a.together) == (b.dataset, b.together)) {
        let cells = primary(&of_block[0].metrics)
            .map(|metric| (first..first + of_block.len()).map(move |line| (line, metric)));
        let cells: Vec<At> = cells.into_iter().flatten().collect();
        claims.extend(claim(lines, &cells, summaries, standings, axes));
        first += of_block.len();
    }
    claims
}

/// The metric that comparisons are judged by: MAP@R if it is there, for it tells most.
pub(crate) fn primary(metrics: &[Metric]) -> Option<usize> {
    metrics
        .iter()
        .position(|metric| *metric == Metric::MapAtR)
        .or((!metrics.is_empty()).then_some(0))
}

fn claim(
    lines: &[Runs<'_>],
    cells: &[At],
    summaries: &BTreeMap<At, Summary>,
    standings: &BTreeMap<At, Standing>,
    axes: &[String],
) -> Option<String> {
    let candidates: Vec<Candidate<'_>> = cells
        .iter()
        .map(|&cell| candidate(lines, summaries, cell))
        .collect();
    let first = best(&candidates)?;
    let is_open = |place: &usize| {
        standings
            .get(&cells[*place])
            .is_none_or(|standing| *standing != Standing::Worse)
    };
    let trained =
        |place: &usize| !candidates[*place].is_baseline && candidates[*place].summary.is_some();
    let others = (0..cells.len())
        .filter(|place| *place != first)
        .filter(is_open)
        .filter(trained);
    let mean = |place: usize| {
        candidates[place]
            .summary
            .map_or(f64::NAN, |summary| summary.mean)
    };
    let second = others.reduce(|a, b| if mean(b) > mean(a) { b } else { a })?;
    let (line, metric) = cells[first];
    let metric = lines[line].metrics[metric].heading();
    let [best, other] = [first, second].map(|place| lines[cells[place].0].name(axes));
    let differences = differences(candidates[first].results, candidates[second].results);
    let more = paired(&differences, &vec![0.0; differences.len()]).and_then(|paired| paired.more);
    Some(format!(
        "{}: {}",
        lines[line].block(),
        sentence(differences.len(), more, [&best, &other], &metric)
    ))
}

fn sentence(seeds: usize, more: Option<usize>, [best, other]: [&str; 2], metric: &str) -> String {
    if seeds < FEWEST {
        let have = match seeds {
            0 => "without a seed in common".to_owned(),
            1 => "with one seed".to_owned(),
            _ => format!("with {seeds} seeds"),
        };
        let settle = more.map(|more| {
            format!(
                ", and about {} would settle {best} against {other} by {metric}",
                more.max(FEWEST - seeds)
            )
        });
        return format!(
            "nothing can be claimed {have}. A test needs at least {} more{}.",
            FEWEST - seeds,
            settle.unwrap_or_default()
        );
    }
    let settle = match more {
        Some(0) => "a few more seeds would settle it".to_owned(),
        Some(more) => format!("about {more} more would settle it (power 80 %)"),
        None => "no number of seeds would settle it".to_owned(),
    };
    format!("{other} is not distinguishable from {best} by {metric} with {seeds} seeds; {settle}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_says_what_would_settle_it() {
        let say = |seeds, more| sentence(seeds, more, ["A", "B"], "MAP@R");
        assert_eq!(
            say(1, None),
            "nothing can be claimed with one seed. A test needs at least 2 more."
        );
        assert_eq!(
            say(2, Some(4)),
            "nothing can be claimed with 2 seeds. A test needs at least 1 more, and about 4 would settle A against B by MAP@R."
        );
        assert_eq!(
            say(5, Some(12)),
            "B is not distinguishable from A by MAP@R with 5 seeds; about 12 more would settle it (power 80 %)."
        );
    }

    #[test]
    fn map_at_r_tells_most() {
        assert_eq!(primary(&[Metric::RecallAt(1), Metric::MapAtR]), Some(1));
        assert_eq!(
            (primary(&[Metric::RecallAt(1)]), primary(&[])),
            (Some(0), None)
        );
    }
}
