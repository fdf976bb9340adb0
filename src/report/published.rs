//! Rows quoted from publications, shown apart from those that were run here.
//!
//! They are read from CSV text, a line for each method on one data set:
//!
//! ```text
//! dataset,folds,method,source,recall@1,recall@2
//! cub200,,HDC,"the publication",53.6,65.7
//! ```
//!
//! `dataset` is the name in a sweep file; `folds` is empty, `separated` or `concatenated`; all further
//! columns are names of metrics. Values are percentages exactly as they were printed, `26.53 ± 0.29`
//! with an interval, and empty if none was printed. Lines that begin with `#` are comments.

use std::collections::BTreeMap;

use schema::{Dataset, Metric};

use crate::{
    Together,
    gather::Names,
    key::DatasetIndex,
    model::{Block, Cell, Group, Line, Part, Value},
};

/// The rows that come with the program: the two tables of the Deep_Metric repository.
pub const BUILT_IN: &str = include_str!("published/deep_metric.csv");

/// One method on one data set, as published.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The data set.
    pub dataset: Dataset,
    /// How folds are combined, if there are folds.
    pub together: Option<Together>,
    /// The name of the method.
    pub method: String,
    /// The publication.
    pub source: String,
    /// The printed values, in percent.
    pub scores: BTreeMap<Metric, String>,
}

/// Why published rows cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct PublishedError {
    line: u64,
    reason: String,
}

/// The columns before the metrics.
const FIXED: [&str; 4] = ["dataset", "folds", "method", "source"];

impl Published {
    /// Reads rows. `datasets` returns the data sets of a name, none for a name that the table does not
    /// show; a row holds for each of them.
    ///
    /// # Errors
    /// With the line, if a row is malformed.
    pub fn read(
        text: &str,
        datasets: impl Fn(&str) -> Vec<Dataset>,
    ) -> Result<Vec<Published>, PublishedError> {
        let mut reader = ::csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .trim(::csv::Trim::All)
            .from_reader(text.as_bytes());
        let metrics = metrics(&mut reader)?;
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| {
                let line = error.position().map_or(0, ::csv::Position::line);
                at(line, error.to_string())
            })?;
            let line = record.position().map_or(0, ::csv::Position::line);
            let row = QuotedResult::read(&record, &metrics).map_err(|reason| at(line, reason))?;
            let datasets = datasets(row.dataset).into_iter();
            rows.extend(datasets.map(|dataset| row.on(dataset)));
        }
        Ok(rows)
    }
}

/// The metrics of the columns.
fn metrics(reader: &mut ::csv::Reader<&[u8]>) -> Result<Vec<Metric>, PublishedError> {
    let headings = reader
        .headers()
        .map_err(|error| at(1, error.to_string()))?
        .clone();
    let line = headings.position().map_or(1, ::csv::Position::line);
    if !headings.iter().take(FIXED.len()).eq(FIXED) {
        let columns = FIXED.join(",");
        let reason = format!("expected the columns {columns} and then metrics");
        return Err(at(line, reason));
    }
    let mut metrics = Vec::new();
    for name in headings.iter().skip(FIXED.len()) {
        let metric = name.parse::<Metric>();
        metrics.push(metric.map_err(|error| at(line, error.to_string()))?);
    }
    Ok(metrics)
}

/// One line of the text.
struct QuotedResult<'r> {
    dataset: &'r str,
    together: Option<Together>,
    method: &'r str,
    source: &'r str,
    scores: BTreeMap<Metric, String>,
}

impl QuotedResult<'_> {
    fn read<'r>(
        record: &'r ::csv::StringRecord,
        metrics: &[Metric],
    ) -> Result<QuotedResult<'r>, String> {
        let field = |column: usize| record.get(column).unwrap_or_default();
        let quoted = QuotedResult {
            dataset: field(0),
            together: together(field(1))?,
            method: field(2),
            source: field(3),
            scores: scores(record, metrics)?,
        };
        if quoted.method.is_empty() || quoted.source.is_empty() {
            return Err("a published row needs a method and a source".to_owned());
        }
        Ok(quoted)
    }

    fn on(&self, dataset: Dataset) -> Published {
        Published {
            dataset,
            together: self.together,
            method: self.method.to_owned(),
            source: self.source.to_owned(),
            scores: self.scores.clone(),
        }
    }
}

fn together(folds: &str) -> Result<Option<Together>, String> {
    match folds {
        "" => Ok(None),
        "separated" => Ok(Some(Together::Separated)),
        "concatenated" => Ok(Some(Together::Concatenated)),
        other => Err(format!(
            "`{other}` in `folds`, expected nothing, `separated` or `concatenated`"
        )),
    }
}

fn scores(
    record: &::csv::StringRecord,
    metrics: &[Metric],
) -> Result<BTreeMap<Metric, String>, String> {
    let mut scores = BTreeMap::new();
    for (metric, text) in metrics.iter().zip(record.iter().skip(FIXED.len())) {
        if text.is_empty() {
            continue;
        }
        if value(text).is_none_or(|value| !(0.0..=100.0).contains(&value)) {
            return Err(format!(
                "`{text}` for {metric}, expected a percentage, `53.6` or `53.6 ± 0.3`"
            ));
        }
        scores.insert(*metric, text.to_owned());
    }
    Ok(scores)
}

fn at(line: u64, reason: String) -> PublishedError {
    PublishedError { line, reason }
}

/// The percentage without its interval.
pub(crate) fn value(text: &str) -> Option<f64> {
    text.split('±').next()?.trim().parse().ok()
}

/// Half the width of the interval, if it has one.
pub(crate) fn half_width(text: &str) -> Option<f64> {
    text.split_once('±')?.1.trim().parse().ok()
}

/// Published rows, each with its place in the table.
pub(crate) struct Quotes<'a>(Vec<Quote<'a>>);

struct Quote<'a> {
    row: &'a Published,
    dataset: DatasetIndex,
    line: LineKey<'a>,
}

/// What one line shows: a method, and which one of its publications if several print the same
/// method on the same data set.
#[derive(Clone, Copy, PartialEq, Eq)]
struct LineKey<'a> {
    method: &'a str,
    publication: usize,
}

impl<'a> Quotes<'a> {
    /// The rows on data sets that were run.
    pub(crate) fn of(rows: &'a [Published], names: &Names) -> Quotes<'a> {
        let mut quotes: Vec<Quote<'a>> = Vec::new();
        for row in rows {
            let Some(dataset) = names.dataset(&row.dataset) else {
                continue;
            };
            let same = quotes.iter().filter(|quote| {
                let other = quote.row;
                (quote.dataset, other.together, &other.method)
                    == (dataset, row.together, &row.method)
            });
            let line = LineKey {
                method: &row.method,
                publication: same.count(),
            };
            quotes.push(Quote { row, dataset, line });
        }
        Quotes(quotes)
    }

    /// The lines of a block: those with anything to show in it, by first appearance.
    pub(crate) fn lines(&self, block: &Block, axes: usize) -> Vec<Line> {
        let mut keys: Vec<LineKey<'_>> = Vec::new();
        for quote in &self.0 {
            if !keys.contains(&quote.line) {
                keys.push(quote.line);
            }
        }
        let mut lines = Vec::new();
        for key in keys {
            let parts: Vec<Option<Part>> = block
                .groups
                .iter()
                .map(|group| self.part(key, group))
                .collect();
            if parts.iter().any(Option::is_some) {
                lines.push(Line {
                    method: key.method.to_owned(),
                    settings: vec![String::new(); axes],
                    head: None,
                    parts,
                    heads: Vec::new(),
                });
            }
        }
        lines
    }

    fn part(&self, key: LineKey<'_>, group: &Group) -> Option<Part> {
        let mut quotes = self.0.iter().filter(|quote| quote.line == key);
        quotes.find(|quote| quote.belongs_to(group))?.part(group)
    }

    /// The publications of the rows that are shown, one line each.
    pub(crate) fn sources(&self, blocks: &[Block]) -> Vec<String> {
        let mut sources: Vec<(&str, Vec<&str>)> = Vec::new();
        for quote in self.0.iter().filter(|quote| quote.is_shown(blocks)) {
            let method = quote.row.method.as_str();
            let source = quote.row.source.as_str();
            match sources.iter_mut().find(|(known, _)| *known == source) {
                Some((_, methods)) if methods.contains(&method) => {}
                Some((_, methods)) => methods.push(method),
                None => sources.push((source, vec![method])),
            }
        }
        sources
            .into_iter()
            .map(|(source, methods)| format!("{}: {source}", methods.join(", ")))
            .collect()
    }
}

impl Quote<'_> {
    /// True if the group shows this data set and folds; a single model counts as separated.
    fn belongs_to(&self, group: &Group) -> bool {
        let together = self.row.together;
        let is_single = together.is_none() && group.shows.together == Some(Together::Separated);
        let fits = together == group.shows.together || is_single;
        fits && group.shows.dataset == Some(self.dataset)
    }

    fn is_shown(&self, blocks: &[Block]) -> bool {
        let mut groups = blocks.iter().flat_map(|block| &block.groups);
        groups.any(|group| self.belongs_to(group) && self.part(group).is_some())
    }

    /// The printed values of the metrics of a group; none if there are none.
    fn part(&self, group: &Group) -> Option<Part> {
        let scores = &self.row.scores;
        if !group
            .metrics
            .iter()
            .any(|metric| scores.contains_key(metric))
        {
            return None;
        }
        let mut cells = Vec::with_capacity(group.metrics.len());
        for metric in &group.metrics {
            let value = match scores.get(metric) {
                Some(text) => Value::Published(text.clone()),
                None => Value::Missing,
            };
            cells.push(Cell {
                value,
                runs: 0,
                of: 0,
                significance: None,
                ties: None,
            });
        }
        Some(Part {
            finished: 0,
            missing: 0,
            of: 0,
            sources: Vec::new(),
            cells,
            footnote: None,
            results: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use schema::Own;

    use super::*;

    fn read(text: &str) -> Result<Vec<Published>, PublishedError> {
        Published::read(text, |name| {
            vec![Dataset::Own(Own {
                name: name.to_owned(),
            })]
        })
    }

    #[test]
    fn a_row_is_what_was_printed() {
        let rows =
            read("# quoted\ndataset,folds,method,source,recall@1,map@r\ncub200,separated,MS,paper,,\"20.1 ± 0.1\"\n")
                .unwrap();
        assert_eq!(
            (rows.len(), rows[0].dataset.name(), rows[0].together),
            (1, "cub200", Some(Together::Separated))
        );
        assert_eq!(
            rows[0].scores,
            BTreeMap::from([(Metric::MapAtR, "20.1 ± 0.1".to_owned())])
        );
        assert_eq!(
            (
                value("20.1 ± 0.1"),
                half_width("20.1 ± 0.1"),
                half_width("20.1")
            ),
            (Some(20.1), Some(0.1), None)
        );
    }

    #[test]
    fn a_mistake_is_reported_with_its_line() {
        let head = "dataset,folds,method,source,recall@1";
        let cases = [
            (
                "dataset,method,recall@1\n".to_owned(),
                "line 1: expected the columns dataset,folds,method,source",
            ),
            (
                format!("{head},recall\n"),
                "line 1: unknown metric `recall`",
            ),
            (
                format!("{head}\ncub200,both,MS,paper,1\n"),
                "line 2: `both` in `folds`",
            ),
            (
                format!("{head}\ncub200,,MS,paper,1\ncub200,,MS,,1\n"),
                "line 3: a published row needs",
            ),
            (
                format!("{head}\ncub200,,MS,paper,0.5x\n"),
                "line 2: `0.5x` for recall@1, expected a percentage",
            ),
            (
                format!("{head}\ncub200,,MS,paper,153\n"),
                "line 2: `153` for recall@1",
            ),
        ];
        for (text, expected) in cases {
            let message = read(&text).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn built_in_rows_are_valid_and_name_their_source() {
        let rows = read(BUILT_IN).unwrap();
        assert_eq!(rows.len(), 7 + 7 + 6 + 3);
        assert!(rows.iter().all(|row| row.source.contains("Deep_Metric")));
        let margin = rows
            .iter()
            .find(|row| row.method == "Margin" && row.dataset.name() == "sop")
            .unwrap();
        assert_eq!(margin.scores[&Metric::RecallAt(1000)], "98.0");
    }
}
