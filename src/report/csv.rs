//! The table as CSV, in the same layout, for further computation.

use std::collections::BTreeSet;

use schema::Metric;

use crate::{
    ReportError, Source, Table,
    key::{Panel, Slice},
    model::{Block, Cell, Group, Line, Part, Pivot, PivotLine},
    text::field,
};

/// The heading of the column that tells heads from the whole.
pub(crate) const HEAD: &str = "head";

/// All columns of a table as CSV.
pub(crate) struct CsvColumns {
    pub(crate) names: NameColumns,
    pub(crate) groups: Vec<Columns>,
}

/// Which columns come before those of the first group, beside the method and the axes.
#[derive(Clone, Copy)]
pub(crate) struct NameColumns {
    datasets: bool,
    folds: bool,
    heads: bool,
    published: bool,
}

/// The columns of the same group in all blocks.
pub(crate) struct Columns {
    slice: Slice,
    heading: String,
    metrics: Vec<Metric>,
    /// The metrics whose values ties leave open in some row.
    tied: BTreeSet<Metric>,
}

impl Table {
    /// Returns the table as CSV: fractions in full precision, empty where nothing was measured.
    ///
    /// `n` of `of` runs finished; `<metric>_ci95` is half the width of the confidence interval,
    /// `<metric>_standing` is `best`, `equal`, `not_distinguishable`, `worse` or `too_few`. Where images are
    /// exactly equally similar, `<metric>_lowest` and `<metric>_highest` are the values between which
    /// another order of these would lead. `runs` are the ids of the finished runs; ensembles are named by their
    /// folders. Where networks have several heads, the column `head` names each that was measured alone. The heading of a group comes before those of its columns. Published rows come first, with `published` in the
    /// column `run`.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn csv(&self) -> Result<String, ReportError> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        let columns = self.csv_columns();
        writer.write_record(self.csv_headings(&columns))?;
        for block in &self.blocks {
            for line in &block.published {
                writer.write_record(self.fields(block, line, "published", &columns))?;
            }
            for line in block.rows() {
                writer.write_record(self.fields(block, line, "here", &columns))?;
            }
        }
        text(writer)
    }

    /// Its columns, which all lines share.
    pub(crate) fn csv_columns(&self) -> CsvColumns {
        let has_dataset = |block: &Block| block.slice.dataset.is_some();
        let has_folds = |block: &Block| block.slice.together.is_some();
        CsvColumns {
            names: NameColumns {
                datasets: self.blocks.iter().any(has_dataset),
                folds: self.blocks.iter().any(has_folds),
                heads: self.has_heads(),
                published: self.blocks.iter().any(|block| !block.published.is_empty()),
            },
            groups: self.groups(),
        }
    }

    /// The groups of all blocks, by first appearance, each with all metrics that any block measures.
    fn groups(&self) -> Vec<Columns> {
        let mut groups: Vec<Columns> = Vec::new();
        for group in self.blocks.iter().flat_map(|block| &block.groups) {
            match groups.iter_mut().find(|known| known.slice == group.slice) {
                Some(known) => known.add(&group.metrics),
                None => groups.push(Columns {
                    slice: group.slice,
                    heading: field(&group.heading),
                    metrics: group.metrics.clone(),
                    tied: BTreeSet::new(),
                }),
            }
        }
        for columns in &mut groups {
            columns.tied = self.tied(columns);
        }
        groups
    }

    fn tied(&self, columns: &Columns) -> BTreeSet<Metric> {
        let mut tied = columns.metrics.clone();
        tied.retain(|metric| {
            let mut lines = self.blocks.iter().flat_map(|block| {
                let cells = block.lines.iter().map(move |line| (block, line));
                cells.filter_map(|(block, line)| columns.cell(block, line, *metric))
            });
            lines.any(|cell| cell.ties.is_some())
        });
        tied.into_iter().collect()
    }

    /// The number of columns before those of the first group.
    pub(crate) fn names_in_csv(&self, names: NameColumns) -> usize {
        let optional = [names.datasets, names.folds, names.heads, names.published];
        let optional = optional.into_iter().filter(|has| *has).count();
        optional + 1 + self.axes.len()
    }

    /// True if a network has several heads, each with a row of its own.
    pub(crate) fn has_heads(&self) -> bool {
        let mut lines = self.blocks.iter().flat_map(|block| &block.lines);
        lines.any(|line| !line.heads.is_empty())
    }

    pub(crate) fn csv_headings(&self, columns: &CsvColumns) -> Vec<String> {
        let names = columns.names;
        let mut headings = Vec::new();
        if names.datasets {
            headings.push("dataset".to_owned());
        }
        if names.folds {
            headings.push("folds".to_owned());
        }
        headings.push("method".to_owned());
        if names.heads {
            headings.push(HEAD.to_owned());
        }
        headings.extend(self.axes.iter().map(|axis| field(axis)));
        if names.published {
            headings.push("run".to_owned());
        }
        for group in &columns.groups {
            headings.extend(group.headings());
        }
        headings
    }

    pub(crate) fn fields(
        &self,
        block: &Block,
        line: &Line,
        run: &str,
        columns: &CsvColumns,
    ) -> Vec<String> {
        let names = columns.names;
        let mut fields = Vec::new();
        if names.datasets {
            let dataset = block.slice.dataset;
            fields.push(dataset.map_or_else(String::new, |key| field(self.names.title(key))));
        }
        if names.folds {
            let together = block.slice.together;
            fields.push(together.map_or_else(String::new, |together| together.to_string()));
        }
        fields.push(field(&line.method));
        if names.heads {
            fields.push(head_field(line));
        }
        fields.extend(line.settings.iter().map(|setting| field(setting)));
        if names.published {
            fields.push(run.to_owned());
        }
        for group in &columns.groups {
            fields.extend(group.values(block, line));
        }
        fields
    }
}

impl Table {
    /// Returns the pivot tables as CSV, with a column for each value of the axis, named as the value, and one for half the
    /// width of its confidence interval. None if the sweep asks for no pivot.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub(crate) fn pivot_csv(&self) -> Result<Option<String>, ReportError> {
        let Some(first) = self.pivots.first() else {
            return Ok(None);
        };
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        let mut headings = ["dataset", "folds", "metric"].map(str::to_owned).to_vec();
        headings.push("method".to_owned());
        headings.extend(first.others.iter().map(|axis| field(axis)));
        for value in &first.values {
            headings.extend([field(value), format!("{}_ci95", field(value))]);
        }
        writer.write_record(headings)?;
        for pivot in &self.pivots {
            for line in &pivot.lines {
                writer.write_record(self.pivot_fields(pivot, line))?;
            }
        }
        text(writer).map(Some)
    }

    fn pivot_fields(&self, pivot: &Pivot, line: &PivotLine) -> Vec<String> {
        let Panel { dataset, together } = pivot.panel;
        let mut fields = vec![
            field(self.names.title(dataset)),
            together.map_or_else(String::new, |together| together.to_string()),
            pivot.metric.to_string(),
        ];
        fields.extend(line.names().map(|name| field(name)));
        for cell in &line.cells {
            let (value, half_width) = cell.as_ref().map(Cell::numbers).unwrap_or_default();
            fields.extend([optional(value), optional(half_width)]);
        }
        fields
    }
}

impl Columns {
    /// Adds metrics; their order stays if there is nothing to add.
    fn add(&mut self, metrics: &[Metric]) {
        let all: BTreeSet<Metric> = self.metrics.iter().chain(metrics).copied().collect();
        if all.len() > self.metrics.len() {
            self.metrics = all.into_iter().collect();
        }
    }

    fn headings(&self) -> Vec<String> {
        let mut names = vec!["n".to_owned(), "of".to_owned()];
        for metric in &self.metrics {
            names.push(metric.to_string());
            names.push(format!("{metric}_ci95"));
            names.push(format!("{metric}_standing"));
            if self.tied.contains(metric) {
                names.push(format!("{metric}_lowest"));
                names.push(format!("{metric}_highest"));
            }
        }
        names.push("runs".to_owned());
        names.iter().map(|name| self.heading_of(name)).collect()
    }

    /// The heading of one of its columns.
    pub(crate) fn heading_of(&self, column: &str) -> String {
        match self.heading.as_str() {
            "" => column.to_owned(),
            heading => format!("{heading} {column}"),
        }
    }

    /// True if they show this group.
    pub(crate) fn show(&self, group: &Group) -> bool {
        group.slice == self.slice
    }

    /// The part of a line in these columns.
    pub(crate) fn part<'l>(&self, block: &Block, line: &'l Line) -> Option<&'l Part> {
        let position = block.groups.iter().position(|group| self.show(group))?;
        line.parts.get(position)?.as_ref()
    }

    fn cell<'l>(&self, block: &Block, line: &'l Line, metric: Metric) -> Option<&'l Cell> {
        let group = block.groups.iter().find(|group| self.show(group))?;
        let position = group.metrics.iter().position(|other| *other == metric)?;
        self.part(block, line)?.cells.get(position)
    }

    /// The values of a line in these columns.
    fn values(&self, block: &Block, line: &Line) -> Vec<String> {
        let part = self.part(block, line);
        let mut fields = match part {
            Some(part) if part.of > 0 => vec![part.finished.to_string(), part.of.to_string()],
            Some(_) | None => vec![String::new(); 2],
        };
        for metric in &self.metrics {
            let cell = self.cell(block, line, *metric);
            fields.extend(cell.map(values).unwrap_or_default());
            if self.tied.contains(metric) {
                let bounds = cell.and_then(|cell| cell.ties);
                fields.push(optional(bounds.map(|bounds| bounds.low)));
                fields.push(optional(bounds.map(|bounds| bounds.high)));
            }
        }
        let sources = part.map_or(&[][..], |part| &part.sources);
        let runs: Vec<String> = sources.iter().map(Source::to_string).collect();
        fields.push(runs.join(" "));
        fields
    }
}

/// Which head of its network a line is about; empty if it is about the whole.
pub(crate) fn head_field(line: &Line) -> String {
    field(line.head.as_deref().unwrap_or_default())
}

fn values(cell: &Cell) -> [String; 3] {
    let (value, half_width) = cell.numbers();
    [
        optional(value),
        optional(half_width),
        cell.standing().to_owned(),
    ]
}

/// The value in full precision; empty if there is none.
pub(crate) fn optional(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// The text that was written.
pub(crate) fn text(writer: ::csv::Writer<Vec<u8>>) -> Result<String, ReportError> {
    let bytes = writer
        .into_inner()
        .map_err(|error| ::csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
