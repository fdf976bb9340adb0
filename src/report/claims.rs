//! What a table lets one claim: whether the best row of a column is distinguishable from the
//! runner-up, and if not, how many more seeds would settle it.

use std::collections::BTreeMap;

use polars::prelude::PolarsResult;

use crate::{
    key::{CellIndex, Panel},
    measured::MeasuredRows,
    significance::{FEWEST, Significance},
    stats::paired,
};

/// One sentence for each data set and way to combine folds, by its primary metric.
pub(crate) fn claims(
    measured: &MeasuredRows<'_>,
    significance: &BTreeMap<CellIndex, Significance>,
) -> PolarsResult<Vec<String>> {
    let mut claims = Vec::new();
    for (panel, cells) in primary_cells(measured) {
        if let Some(claim) = claim(measured, &cells, significance)? {
            claims.push(format!("{}: {claim}", measured.names.panel(panel)));
        }
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

fn claim(
    measured: &MeasuredRows<'_>,
    cells: &[CellIndex],
    significance: &BTreeMap<CellIndex, Significance>,
) -> PolarsResult<Option<String>> {
    let Some(best) = measured.best(cells) else {
        return Ok(None);
    };
    let mut others = cells.to_vec();
    others.retain(|cell| {
        let is_open = significance.get(cell) != Some(&Significance::Worse);
        *cell != best && is_open && !measured.line(*cell).is_baseline
    });
    let Some(second) = measured.best(&others) else {
        return Ok(None);
    };
    let differences = measured.records.differences(&[(best, second)])?.concat();
    let paired = paired(&differences, &vec![0.0; differences.len()]);
    Ok(Some(sentence(&TopTwo {
        seeds: differences.len(),
        more: paired.and_then(|paired| paired.more),
        best: &measured.name(best.line),
        other: &measured.name(second.line),
        metric: &measured.metric(best).heading(),
    })))
}

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
        Some(0) => "a few more seeds would settle it".to_owned(),
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
