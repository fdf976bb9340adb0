//! Tables of one metric over one axis: a row for each method under the values of the other axes, a column
//! for each value of the axis.

use std::collections::BTreeMap;

use crate::{
    gather::Names,
    grouping::Grouping,
    key::{Panel, RowKey},
    layout::Placed,
    model::{Cell, Pivot, PivotLine},
};

/// A pivot table for each panel that has values of the axis, by its primary metric.
pub(crate) fn pivots(names: &Names, lines: &[Placed<'_>], axis: &str) -> Vec<Pivot> {
    let Some(axis) = names.axis(axis) else {
        return Vec::new();
    };
    let mut panels: BTreeMap<Panel, Vec<&Placed<'_>>> = BTreeMap::new();
    for line in lines {
        if line.runs.key.values[axis].is_some() {
            panels.entry(line.runs.panel).or_default().push(line);
        }
    }
    let pivots = panels.into_iter();
    pivots
        .filter_map(|(panel, lines)| pivot(names, panel, &lines, axis))
        .collect()
}

/// Sorts the rows by the highest mean of each, those without a value last.
pub(crate) fn by_score(pivot: &mut Pivot) {
    let highest = |line: &PivotLine| {
        let means = line
            .cells
            .iter()
            .flatten()
            .filter_map(|cell| cell.numbers().0);
        means.fold(f64::NEG_INFINITY, f64::max)
    };
    pivot
        .lines
        .sort_by(|a, b| highest(b).total_cmp(&highest(a)));
}

fn pivot(names: &Names, panel: Panel, lines: &[&Placed<'_>], axis: usize) -> Option<Pivot> {
    let first = lines.first()?.runs;
    let metric = first.primary()?;
    let values = names.values(axis);
    let mut rows: BTreeMap<RowKey, Vec<Option<Cell>>> = BTreeMap::new();
    for line in lines {
        let group = Grouping::Axis(axis).group(&line.runs.key);
        let cells = rows
            .entry(group)
            .or_insert_with(|| vec![None; values.len()]);
        if let Some(value) = line.runs.key.values[axis] {
            cells[value] = line.part.cells.get(metric).cloned();
        }
    }
    let mut others = names.axes();
    let axis_name = others.remove(axis);
    let lines = rows.into_iter().map(|(key, cells)| PivotLine {
        method: names.method(&key).to_owned(),
        settings: without(names.settings(&key), axis),
        cells,
    });
    Some(Pivot {
        panel,
        metric: first.metrics[metric],
        axis: axis_name,
        others,
        values: values.to_vec(),
        lines: lines.collect(),
    })
}

fn without(mut settings: Vec<String>, axis: usize) -> Vec<String> {
    settings.remove(axis);
    settings
}
