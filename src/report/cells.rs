//! Cells one by one: the mean of each, and the runs that it is the mean of.

use schema::{Dataset, Metric};

use crate::{ClassScores, Compare, ReportError, Row, key::CellIndex, measured::MeasuredRows};

/// A cell, and the runs behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct CellRuns<'a> {
    /// The data set, how folds are combined, and the method with its axis values.
    pub title: String,
    /// The mean over the seeds, as a fraction; `None` if no run measured it.
    pub mean: Option<f64>,
    /// Half the width of its 95 % interval, as the table has it; `None` for fewer than two seeds.
    pub half_width: Option<f64>,
    /// All runs, by fold and seed, also those without a value.
    pub rows: Vec<&'a Row>,
}

/// Returns the cells of a method for a metric: one for each data set, combination of axis values and way to combine folds.
///
/// # Errors
/// If the aggregation fails, which no content of the rows should cause.
pub fn cells<'a>(
    rows: &'a [Row],
    metrics: &dyn Fn(&Dataset) -> Vec<Metric>,
    by_class: Option<&'a ClassScores>,
    method: &str,
    metric: Metric,
) -> Result<Vec<CellRuns<'a>>, ReportError> {
    let measured = MeasuredRows::of(rows, metrics, by_class, &Compare::Rows)?;
    let mut cells = Vec::new();
    for (line, runs) in measured.lines.iter().enumerate() {
        let position = runs.metrics.iter().position(|other| *other == metric);
        let Some(position) = position.filter(|_| measured.names.is_method(&runs.key, method))
        else {
            continue;
        };
        let index = CellIndex {
            line,
            metric: position,
        };
        let summary = measured.summaries.get(&index);
        cells.push(CellRuns {
            title: format!(
                "{}, {}",
                measured.names.panel(runs.panel),
                measured.name(line)
            ),
            mean: summary.map(|summary| summary.mean),
            half_width: summary.and_then(|summary| summary.half_width),
            rows: runs.runs.clone(),
        });
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{METRICS, example};

    #[test]
    fn a_cell_has_the_mean_and_all_runs_of_a_method() {
        let rows = example();
        let found = cells(
            &rows,
            &|_| METRICS.to_vec(),
            None,
            "Triplet",
            Metric::RecallAt(1),
        )
        .unwrap();
        let glyphs = &found[0];
        assert_eq!(glyphs.title, "Glyphs (synthetic), Triplet");
        assert!(glyphs.mean.is_some_and(|mean| (mean - 0.85).abs() < 1e-12));
        let seeds: Vec<u64> = glyphs.rows.iter().map(|row| row.seed).collect();
        assert_eq!(seeds, [0, 1, 2, 3]);
    }

    #[test]
    fn nothing_is_found_for_another_method_or_metric() {
        let rows = example();
        for (method, metric) in [("Quadruplet", Metric::MapAtR), ("Triplet", Metric::Nmi)] {
            assert!(
                cells(&rows, &|_| METRICS.to_vec(), None, method, metric)
                    .unwrap()
                    .is_empty()
            );
        }
    }
}
