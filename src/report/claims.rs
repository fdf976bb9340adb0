//! What a table lets one claim: which rows the best of a column is better than, whether it is
//! distinguishable from the runner-up, and if not, how many more seeds would settle it; and which
//! trained rows are below one without training.

use std::collections::BTreeMap;

use polars::prelude::PolarsResult;

use crate::{
    key::{CellIndex, Panel, RowKey},
    measured::MeasuredRows,
    significance::{FEWEST, LEVEL, Significance, Verdicts},
    stats::{Interval, more_seeds, paired},
};

/// Sentences for each data set and way to combine folds, by its primary metric.
pub(crate) fn claims(
    measured: &MeasuredRows<'_>,
    verdicts: &Verdicts,
) -> PolarsResult<Vec<String>> {
    let mut claims = Vec::new();
    for (panel, cells) in primary_cells(measured) {
        let mut of_panel = below_baselines(measured, &cells);
        if let Some(best) = measured.best(&cells) {
            of_panel.extend(better(measured, best, &cells, verdicts)?);
            of_panel.extend(open(measured, best, &cells, verdicts)?);
        }
        let panel = measured.names.panel(panel);
        claims.extend(of_panel.iter().map(|claim| format!("{panel}: {claim}")));
    }
    Ok(claims)
}

/// The cells of each panel by its primary metric.
fn primary_cells(measured: &MeasuredRows<'_>) -> BTreeMap<Panel, Vec<CellIndex>> {
    let mut panels: BTreeMap<Panel, Vec<CellIndex>> = BTreeMap::new();
    for (line, runs) in measured.lines.iter().enumerate() {
        if let Some(metric) = runs.primary() {
            let cells = panels.entry(runs.panel).or_default();
            cells.push(CellIndex { line, metric });
        }
    }
    panels
}

/// A sentence on each trained row that has a lower mean than a row without training.
fn below_baselines(measured: &MeasuredRows<'_>, cells: &[CellIndex]) -> Vec<String> {
    let (baselines, trained): (Vec<CellIndex>, Vec<CellIndex>) = cells
        .iter()
        .partition(|cell| measured.line(**cell).is_baseline);
    let mut sentences = Vec::new();
    for cell in trained {
        let mut comparable = baselines.clone();
        let key = &measured.line(cell).key;
        comparable.retain(|other| are_compatible(key, &measured.line(*other).key));
        if let Some(best) = measured.best(&comparable)
            && let (Some(mean), Some(untrained)) = (measured.mean(cell), measured.mean(best))
            && mean < untrained
        {
            sentences.push(format!(
                "{} is below {}, which is not trained: {} {:.2} against {:.2}.",
                measured.name(cell.line),
                measured.name(best.line),
                measured.metric(cell).heading(),
                100.0 * mean,
                100.0 * untrained
            ));
        }
    }
    sentences
}

/// True if two rows have the same value of every axis that applies to both.
pub(crate) fn are_compatible(one: &RowKey, other: &RowKey) -> bool {
    let mut values = one.values.iter().zip(&other.values);
    values.all(|(a, b)| a.is_none() || b.is_none() || a == b)
}

/// More rows than this are counted rather than named.
const NAMED: usize = 6;

/// The trained rows than which the best is significantly better, with the differences.
fn better(
    measured: &MeasuredRows<'_>,
    best: CellIndex,
    cells: &[CellIndex],
    verdicts: &Verdicts,
) -> PolarsResult<Option<String>> {
    let mut worse = cells.to_vec();
    worse.retain(|cell| {
        verdicts.of(*cell) == Some(Significance::Worse) && !measured.line(*cell).is_baseline
    });
    let pairs: Vec<(CellIndex, CellIndex)> = worse.iter().map(|cell| (best, *cell)).collect();
    let mut named = Vec::new();
    for (cell, differences) in worse.iter().zip(measured.records.differences(&pairs)?) {
        if let Some(paired) = paired(&differences, &vec![0.0; differences.len()]) {
            let name = measured.name(cell.line);
            named.push(format!("{name} by {}", points(&paired.difference)));
        }
    }
    if named.is_empty() {
        return Ok(None);
    }
    if named.len() > NAMED {
        let more = named.len() - NAMED;
        named.truncate(NAMED);
        named.push(format!("{more} more rows"));
    }
    Ok(Some(format!(
        "{} has a higher {} than {} (points with 95 % intervals; significant at 5 % after Holm).",
        measured.name(best.line),
        measured.metric(best).heading(),
        named.join(", ")
    )))
}

/// `3.96 (1.90 to 6.02)`.
fn points(interval: &Interval) -> String {
    let [mean, low, high] =
        [interval.mean, interval.low, interval.high].map(|value| format!("{:.2}", 100.0 * value));
    format!("{mean} ({low} to {high})")
}

/// Whether the best row is distinguishable from the first trained one that is not worse.
fn open(
    measured: &MeasuredRows<'_>,
    best: CellIndex,
    cells: &[CellIndex],
    verdicts: &Verdicts,
) -> PolarsResult<Option<String>> {
    let mut others = cells.to_vec();
    others.retain(|cell| {
        let is_open = verdicts.of(*cell) != Some(Significance::Worse);
        *cell != best && is_open && !measured.line(*cell).is_baseline
    });
    let Some(second) = measured.best(&others) else {
        return Ok(None);
    };
    let differences = measured.records.differences(&[(best, second)])?.concat();
    let paired = paired(&differences, &vec![0.0; differences.len()]);
    let factor = verdicts.factor(second);
    Ok(Some(sentence(&TopTwo {
        seeds: differences.len(),
        more: paired.and_then(|paired| more_seeds(&paired, factor, LEVEL)),
        best: &measured.name(best.line),
        other: &measured.name(second.line),
        metric: &measured.metric(best).heading(),
    })))
}

/// A difference that takes more seeds than this is of no practical use.
const PRACTICALLY_EQUAL: usize = 1000;

/// The best row and its runner-up.
struct TopTwo<'a> {
    /// Seeds that both have.
    seeds: usize,
    /// About as many more would show a difference of this size.
    more: Option<usize>,
    best: &'a str,
    other: &'a str,
    metric: &'a str,
}

fn sentence(comparison: &TopTwo<'_>) -> String {
    let TopTwo {
        seeds,
        more,
        best,
        other,
        metric,
    } = comparison;
    if *seeds < FEWEST {
        return too_few(comparison);
    }
    let settle = match more {
        Some(more) if *more > PRACTICALLY_EQUAL => {
            format!(
                "they are practically equal: more than {PRACTICALLY_EQUAL} further seeds would be needed to tell"
            )
        }
        Some(more) => format!("about {more} more would settle it (power 80 %)"),
        None => "no number of seeds would settle it".to_owned(),
    };
    format!("{other} is not distinguishable from {best} by {metric} with {seeds} seeds; {settle}.")
}

fn too_few(comparison: &TopTwo<'_>) -> String {
    let TopTwo {
        seeds,
        more,
        best,
        other,
        metric,
    } = comparison;
    let have = match seeds {
        0 => "without a seed in common".to_owned(),
        1 => "with one seed".to_owned(),
        _ => format!("with {seeds} seeds"),
    };
    let needed = FEWEST - seeds;
    let settle = match more {
        Some(more) => {
            let more = more.max(&needed);
            format!(", and about {more} would settle {best} against {other} by {metric}")
        }
        None => String::new(),
    };
    format!("nothing can be claimed {have}. A test needs at least {needed} more{settle}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_says_what_would_settle_it() {
        let say = |seeds, more| {
            sentence(&TopTwo {
                seeds,
                more,
                best: "A",
                other: "B",
                metric: "MAP@R",
            })
        };
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
}
