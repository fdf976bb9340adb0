//! The heads of a network, each measured alone: rows below that of the whole, which is what is compared with others.

use polars::prelude::PolarsResult;
use schema::Metric;

use crate::{
    Row, RunState,
    frame::{self, Record},
    gather::RowRuns,
    model::{Cell, Part, RunResult, Value},
    records::of_metric,
};

/// What one head is called, and its cells in one group of columns.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HeadPart {
    pub(crate) name: String,
    pub(crate) part: Part,
}

/// The parts of a line's heads; none for a network with one head, or before anything is measured. `whole` is the part of
/// the joined embedding.
pub(crate) fn parts(runs: &RowRuns<'_>, whole: &Part) -> PolarsResult<Vec<HeadPart>> {
    let heads = names(runs).iter().enumerate();
    let parts = heads.map(|(head, name)| {
        Ok(HeadPart {
            name: name.clone(),
            part: part(head, runs, whole)?,
        })
    });
    parts.collect()
}

/// The names of the heads, if a run has measured them.
fn names<'a>(runs: &RowRuns<'a>) -> &'a [String] {
    let measured = runs.runs.iter().find(|row| has_heads(row));
    measured.map_or(&[], |row| &row.heads)
}

fn has_heads(row: &Row) -> bool {
    match &row.state {
        RunState::Finished(evaluated) => !evaluated.heads.is_empty(),
        RunState::Broken { .. } | RunState::Failed { .. } | RunState::Missing => false,
    }
}

fn part(head: usize, runs: &RowRuns<'_>, whole: &Part) -> PolarsResult<Part> {
    let metrics = runs.metrics.iter();
    let records: Vec<Vec<Record>> = metrics
        .map(|&metric| of_metric(runs, |row| row.measured_of_head(head, metric)))
        .collect();
    let records: Vec<&[Record]> = records.iter().map(Vec::as_slice).collect();
    let summaries = frame::summaries(&records)?;
    let cells = runs.metrics.iter().zip(summaries);
    let cells = cells.map(|(&metric, summary)| Cell {
        value: summary.map_or(Value::Missing, Value::Measured),
        runs: measured(head, runs, metric),
        of: runs.runs.len(),
        significance: None,
        ties: None,
    });
    Ok(Part {
        cells: cells.collect(),
        footnote: None,
        results: runs
            .runs
            .iter()
            .map(|row| result(head, row, runs))
            .collect(),
        ..whole.clone()
    })
}

/// The number of runs that measured a metric of a head.
fn measured(head: usize, runs: &RowRuns<'_>, metric: Metric) -> usize {
    let values = runs.runs.iter();
    values
        .filter(|row| row.measured_of_head(head, metric).is_some())
        .count()
}

/// What a run contributes to the row of a head.
fn result(head: usize, row: &Row, runs: &RowRuns<'_>) -> RunResult {
    let metrics = runs.metrics.iter();
    let values = metrics.map(|metric| row.measured_of_head(head, *metric));
    RunResult::new(row, values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{finished, measured as scores, row, table_of};

    /// A network with two heads and a method with one. The second head has the highest value of all.
    fn rows() -> Vec<Row> {
        let mut rows = Vec::new();
        for seed in 0..3 {
            rows.push(row("Glyphs", "Whole", seed, finished(0.8, 0.5)));
            let mut of_heads = row("Glyphs", "Two", seed, finished(0.6, 0.4));
            of_heads.heads = vec!["head 1, 3-d".to_owned(), "head 2, 5-d on block3".to_owned()];
            if let RunState::Finished(evaluated) = &mut of_heads.state {
                evaluated.heads = [0.25, 0.9 + 0.01 * seed as f64]
                    .map(|recall| [(Metric::RecallAt(1), recall)].into())
                    .to_vec();
            }
            rows.push(of_heads);
        }
        rows.push(row(
            "Omniglot",
            "Whole",
            0,
            scores([(Metric::RecallAt(1), 0.3)]),
        ));
        rows
    }

    #[test]
    fn heads_are_rows_below_their_network_that_are_compared_with_nothing() {
        let table = table_of(&rows());
        let terminal = table.terminal(false);
        assert!(terminal.contains("\n  head 2, 5-d on block3"), "{terminal}");
        let markdown = table.markdown();
        assert!(
            markdown.contains("| &nbsp;&nbsp;head 2, 5-d on block3 | 91.00 ± 2.48 | – | 3 |"),
            "{markdown}"
        );
        assert!(
            markdown.contains("| Whole | **80.00 ± 0.00** |"),
            "{markdown}"
        );
        let tex = table.latex();
        assert!(tex.contains("\\quad head 1, 3-d & 25.00"), "{tex}");
    }

    #[test]
    fn files_for_programs_name_the_head_in_a_column_of_its_own() {
        let table = table_of(&rows());
        let csv = table.csv().unwrap();
        assert!(
            csv.starts_with("dataset,method,head,n,of,recall@1"),
            "{csv}"
        );
        assert!(
            csv.contains("Glyphs,Two,\"head 1, 3-d\",3,3,0.25,"),
            "{csv}"
        );
        let tidy = table.tidy().unwrap();
        assert!(
            tidy.starts_with("dataset,folds,method,head,metric"),
            "{tidy}"
        );
        assert!(table.json().unwrap().contains("\"head\": \"head 1, 3-d\""));
        assert!(table.macros().contains("two-head-1-3-d"));
    }

    #[test]
    fn a_table_without_heads_has_no_column_for_them() {
        let rows = [row("Glyphs", "Whole", 0, finished(0.8, 0.5))];
        assert!(!table_of(&rows).csv().unwrap().contains("head"));
        assert!(!table_of(&rows).markdown().contains("head of"));
    }
}
