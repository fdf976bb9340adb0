//! The formats of a report, as data: what a sweep file and `--format` name, and which file each becomes.

use serde::{Deserialize, Serialize};

use crate::{ReportError, Table};

/// A format of the tables.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// GitHub-flavored Markdown.
    Markdown,
    /// CSV in the layout of the table. It is always written: a later report is compared with it, so that no
    /// result is lost.
    Csv,
    /// CSV with a line for each cell.
    Tidy,
    /// JSON, with the runs behind each cell.
    Json,
    /// Aligned columns.
    Text,
    /// LaTeX with booktabs, and a file of macros for the numbers in prose.
    Latex,
    /// One page with all tables, figures and settings, which opens without a network.
    Html,
    /// Learning curves as TensorBoard reads them.
    Tensorboard,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 8] = [
        Format::Markdown,
        Format::Csv,
        Format::Tidy,
        Format::Json,
        Format::Text,
        Format::Latex,
        Format::Html,
        Format::Tensorboard,
    ];

    /// The name of the format in sweep files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Markdown => "markdown",
            Format::Csv => "csv",
            Format::Tidy => "tidy",
            Format::Json => "json",
            Format::Text => "text",
            Format::Latex => "latex",
            Format::Html => "html",
            Format::Tensorboard => "tensorboard",
        }
    }
}

impl Format {
    /// True if its files are tables, which follow from the results alone.
    pub fn has_tables(self) -> bool {
        match self {
            Format::Markdown
            | Format::Csv
            | Format::Tidy
            | Format::Json
            | Format::Text
            | Format::Latex => true,
            Format::Html | Format::Tensorboard => false,
        }
    }
}

impl Table {
    /// Returns the files of the table in a format, with the names that follow from that of the table. There
    /// are none in HTML, as [`page`](fn@crate::page) has all tables, and in formats of learning curves.
    ///
    /// # Errors
    /// If a text cannot be written.
    pub fn files(&self, name: &str, format: Format) -> Result<Vec<(String, String)>, ReportError> {
        let files = match format {
            Format::Markdown => vec![(format!("{name}.md"), self.markdown())],
            Format::Csv => {
                let pivots = self.pivot_csv()?;
                let pivots = pivots.map(|text| (format!("{name}-pivot.csv"), text));
                [(format!("{name}.csv"), self.csv()?)]
                    .into_iter()
                    .chain(pivots)
                    .collect()
            }
            Format::Tidy => vec![(format!("{name}-tidy.csv"), self.tidy()?)],
            Format::Json => vec![(format!("{name}.json"), self.json()?)],
            Format::Text => vec![(format!("{name}.txt"), self.terminal(false))],
            Format::Latex => vec![
                (format!("{name}.tex"), self.latex()),
                (format!("{name}-numbers.tex"), self.macros()),
            ],
            Format::Html | Format::Tensorboard => Vec::new(),
        };
        Ok(files)
    }
}
