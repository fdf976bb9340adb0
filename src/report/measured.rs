//! The gathered lines with everything that was measured on them: what tables, claims and statistics
//! are computed from.

use std::collections::BTreeMap;

use polars::prelude::PolarsResult;
use schema::{Dataset, Metric};

use crate::{
    Row,
    by_class::{CellsByClass, ClassScores},
    gather::{Names, RowRuns, gather},
    grouping::{Compare, Grouping},
    key::{CellIndex, Panel, RowKey},
    records::Records,
    summary::{CONFIDENCE, Over, Summary},
};

/// Lines, their records, and the summary of each cell.
pub(crate) struct MeasuredRows<'a> {
    pub(crate) names: Names,
    pub(crate) lines: Vec<RowRuns<'a>>,
    pub(crate) records: Records,
    pub(crate) summaries: BTreeMap<CellIndex, Summary>,
    pub(crate) by_class: CellsByClass<'a>,
    pub(crate) grouping: Grouping,
}

impl<'a> MeasuredRows<'a> {
    pub(crate) fn of(
        rows: &'a [Row],
        metrics_of: &dyn Fn(&Dataset) -> Vec<Metric>,
        by_class: Option<&'a ClassScores>,
        compare: &Compare,
    ) -> PolarsResult<MeasuredRows<'a>> {
        let (names, lines) = gather(rows, metrics_of);
        let records = Records::of(&lines)?;
        let by_class = by_class.map(|scores| CellsByClass::of(scores, &lines));
        let by_class = by_class.unwrap_or_default();
        let mut summaries = records.summaries().clone();
        for (cell, summary) in &mut summaries {
            if let Some(estimate) = by_class.mean(*cell) {
                summary.half_width = Some(estimate.half_width(CONFIDENCE));
                summary.over = Over::SeedsAndClasses;
            }
        }
        Ok(MeasuredRows {
            grouping: Grouping::of(compare, &names),
            names,
            lines,
            records,
            summaries,
            by_class,
        })
    }

    pub(crate) fn mean(&self, cell: CellIndex) -> Option<f64> {
        self.summaries.get(&cell).map(|summary| summary.mean)
    }

    pub(crate) fn line(&self, cell: CellIndex) -> &RowRuns<'a> {
        &self.lines[cell.line]
    }

    pub(crate) fn metric(&self, cell: CellIndex) -> Metric {
        self.lines[cell.line].metrics[cell.metric]
    }

    /// What is printed for the row of a line.
    pub(crate) fn name(&self, line: usize) -> String {
        self.names.row(&self.lines[line].key)
    }

    /// What the cells have in common that a cell is compared with.
    pub(crate) fn group(&self, cell: CellIndex) -> (Panel, RowKey) {
        let runs = self.line(cell);
        (runs.panel, self.grouping.group(&runs.key))
    }

    /// The cells that are compared with each other: one metric of one group in one panel.
    pub(crate) fn columns(&self) -> Vec<Vec<CellIndex>> {
        let mut columns: BTreeMap<_, Vec<CellIndex>> = BTreeMap::new();
        for (line, runs) in self.lines.iter().enumerate() {
            for metric in 0..runs.metrics.len() {
                let group = self.group(CellIndex { line, metric });
                let column = columns.entry((group, metric)).or_default();
                column.push(CellIndex { line, metric });
            }
        }
        columns.into_values().collect()
    }

    /// The first cell with the highest mean.
    pub(crate) fn best(&self, cells: &[CellIndex]) -> Option<CellIndex> {
        let mut best: Option<(CellIndex, f64)> = None;
        for &cell in cells {
            if let Some(mean) = self.mean(cell)
                && best.is_none_or(|(_, highest)| mean > highest)
            {
                best = Some((cell, mean));
            }
        }
        best.map(|(cell, _)| cell)
    }
}
