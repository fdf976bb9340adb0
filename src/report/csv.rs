//! The table as CSV, in the same layout, for further computation.

use std::collections::BTreeSet;

use schema::Metric;

use crate::{
    ReportError, Table, published,
    standing::Standing,
    table::{Block, Cell, Group, Line, Value},
};

/// The columns of one group: those of the same group in all blocks.
struct Columns {
    heading: String,
    metrics: Vec<Metric>,
}

impl Table {
    /// The table as CSV: fractions in full precision, empty where nothing was measured. `n` runs finished of
    /// `of`; `<metric>_ci95` is half the width of the confidence interval, `<metric>_standing` tells `best`,
    /// `not_distinguishable`, `worse` and `too_few`. Columns of a group have its name before theirs. Published rows come
    /// first, with `published` in the column `run`.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn csv(&self) -> Result<String, ReportError> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        let groups = self.groups();
        writer.write_record(self.csv_headings(&groups))?;
        for block in &self.blocks {
            for (lines, run) in [(&block.published, "published"), (&block.lines, "here")] {
                for line in lines {
                    writer.write_record(self.fields(block, line, run, &groups))?;
                }
            }
        }
        let bytes = writer
            .into_inner()
            .map_err(|error| ::csv::Error::from(error.into_error()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The groups of all blocks, by first appearance, with all that any block measures in them. Their own order of
    /// metrics stays, unless they differ.
    fn groups(&self) -> Vec<Columns> {
        let mut groups: Vec<Columns> = Vec::new();
        for group in self.blocks.iter().flat_map(|block| &block.groups) {
            let Some(known) = groups
                .iter_mut()
                .find(|known| known.heading == group.heading)
            else {
                groups.push(Columns {
                    heading: group.heading.clone(),
                    metrics: group.metrics.clone(),
                });
                continue;
            };
            let all: BTreeSet<Metric> = known
                .metrics
                .iter()
                .chain(&group.metrics)
                .copied()
                .collect();
            if all.len() > known.metrics.len() {
                known.metrics = all.into_iter().collect();
            }
        }
        groups
    }

    fn has(&self, what: impl Fn(&Block) -> bool) -> bool {
        self.blocks.iter().any(what)
    }

    fn csv_headings(&self, groups: &[Columns]) -> Vec<String> {
        let mut headings = Vec::new();
        headings.extend(
            self.has(|block| block.dataset.is_some())
                .then(|| "dataset".to_owned()),
        );
        headings.extend(
            self.has(|block| block.together.is_some())
                .then(|| "folds".to_owned()),
        );
        headings.push("method".to_owned());
        headings.extend(self.axes.iter().cloned());
        headings.extend(
            self.has(|block| !block.published.is_empty())
                .then(|| "run".to_owned()),
        );
        for group in groups {
            let prefix = if group.heading.is_empty() {
                String::new()
            } else {
                format!("{} ", group.heading)
            };
            let mut push = |name: String| headings.push(format!("{prefix}{name}"));
            push("n".to_owned());
            push("of".to_owned());
            for metric in &group.metrics {
                push(metric.to_string());
                push(format!("{metric}_ci95"));
                push(format!("{metric}_standing"));
            }
        }
        headings
    }

    fn fields(&self, block: &Block, line: &Line, run: &str, groups: &[Columns]) -> Vec<String> {
        let mut fields = Vec::new();
        let dataset = || block.dataset.clone().unwrap_or_default();
        let together = || {
            block
                .together
                .map(|together| together.to_string())
                .unwrap_or_default()
        };
        fields.extend(self.has(|block| block.dataset.is_some()).then(dataset));
        fields.extend(self.has(|block| block.together.is_some()).then(together));
        fields.push(line.method.clone());
        fields.extend(line.settings.iter().cloned());
        fields.extend(
            self.has(|block| !block.published.is_empty())
                .then(|| run.to_owned()),
        );
        for columns in groups {
            let place = block
                .groups
                .iter()
                .position(|group| group.heading == columns.heading);
            fields.extend(numbers(
                line,
                place.map(|place| (place, &block.groups[place])),
                columns,
            ));
        }
        fields
    }
}

/// The numbers of a line in one group.
fn numbers(line: &Line, group: Option<(usize, &Group)>, columns: &Columns) -> Vec<String> {
    let part = group.and_then(|(place, group)| Some((line.parts[place].as_ref()?, group)));
    let mut fields = match part {
        Some((part, _)) if part.of > 0 => vec![part.finished.to_string(), part.of.to_string()],
        Some(_) | None => vec![String::new(); 2],
    };
    for metric in &columns.metrics {
        let cell = part.and_then(|(part, group)| {
            let place = group
                .metrics
                .iter()
                .position(|of_group| of_group == metric)?;
            part.cells.get(place)
        });
        fields.extend(cell.map(values).unwrap_or_default());
    }
    fields
}

fn values(cell: &Cell) -> [String; 3] {
    let text = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let (value, half_width) = match &cell.value {
        Value::Measured(summary) => (Some(summary.mean), summary.half_width),
        Value::Published(quoted) => (
            fraction(published::value(quoted)),
            fraction(published::half_width(quoted)),
        ),
        Value::Broken(_) | Value::Failed | Value::Missing => (None, None),
    };
    let standing = match cell.standing {
        Some(Standing::Best) => "best",
        Some(Standing::NotDistinguishable) => "not_distinguishable",
        Some(Standing::Worse) => "worse",
        Some(Standing::TooFew) => "too_few",
        None => "",
    };
    [text(value), text(half_width), standing.to_owned()]
}

/// A percentage with the digits that it was printed with, as a fraction: 53.6 is 0.536.
fn fraction(percent: Option<f64>) -> Option<f64> {
    percent.map(|percent| (percent * 1e6).round() / 1e8)
}
