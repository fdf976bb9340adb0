//! Rows quoted from publications, shown above ours and visibly apart: nothing of them was run here.
//!
//! They come from CSV text, a line for each method on one data set:
//!
//! ```text
//! dataset,folds,method,source,recall@1,recall@2
//! cub200,,HDC,"where the numbers stand",53.6,65.7
//! ```
//!
//! `dataset` is the name in a sweep file; `folds` is empty, `separated` or `concatenated`; all further columns are names
//! of metrics. Values are percentages exactly as they were printed, `26.53 ± 0.29` with an interval, and empty where none
//! was. Lines that begin with `#` are left out.

use std::collections::BTreeMap;

use schema::Metric;

use crate::{
    Together,
    table::{Block, Cell, Group, Line, Part, Value},
};

/// What comes with the program: the two tables of the Deep_Metric repository.
pub const BUILT_IN: &str = include_str!("published/deep_metric.csv");

/// One method on one data set, as someone published it.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// The data set's title.
    pub dataset: String,
    /// How folds are taken together, if there are some.
    pub together: Option<Together>,
    /// The method's name.
    pub method: String,
    /// Where it stands.
    pub source: String,
    /// What was printed, in percent.
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
    /// Reads rows; `title` gives the title of a data set by its name, none for one that is not in the table.
    ///
    /// # Errors
    /// With the line, if something is not what it should be.
    pub fn read(
        text: &str,
        title: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<Published>, PublishedError> {
        let mut reader = ::csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .trim(::csv::Trim::All)
            .from_reader(text.as_bytes());
        let headings = reader
            .headers()
            .map_err(|error| at(1, error.to_string()))?
            .clone();
        let heading_line = headings.position().map_or(1, ::csv::Position::line);
        if !headings.iter().take(FIXED.len()).eq(FIXED) {
            return Err(at(
                heading_line,
                format!("expected the columns {} and then metrics", FIXED.join(",")),
            ));
        }
        let metrics: Vec<Metric> = headings
            .iter()
            .skip(FIXED.len())
            .map(|name| {
                name.parse()
                    .map_err(|error: schema::ParseMetricError| at(heading_line, error.to_string()))
            })
            .collect::<Result<_, _>>()?;
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| {
                at(
                    error.position().map_or(0, ::csv::Position::line),
                    error.to_string(),
                )
            })?;
            let line = record.position().map_or(0, ::csv::Position::line);
            rows.extend(row(&record, &metrics, &title).map_err(|reason| at(line, reason))?);
        }
        Ok(rows)
    }
}

fn row(
    record: &::csv::StringRecord,
    metrics: &[Metric],
    title: &impl Fn(&str) -> Option<String>,
) -> Result<Option<Published>, String> {
    let field = |place: usize| record.get(place).unwrap_or_default().to_owned();
    let together = match record.get(1).unwrap_or_default() {
        "" => None,
        "separated" => Some(Together::Separated),
        "concatenated" => Some(Together::Concatenated),
        other => {
            return Err(format!(
                "`{other}` in `folds`, expected nothing, `separated` or `concatenated`"
            ));
        }
    };
    let [method, source] = [field(2), field(3)];
    if method.is_empty() || source.is_empty() {
        return Err("a published row needs a method and a source".to_owned());
    }
    let mut scores = BTreeMap::new();
    for (metric, text) in metrics
        .iter()
        .zip(record.iter().skip(FIXED.len()))
        .filter(|(_, text)| !text.is_empty())
    {
        if value(text).is_none_or(|value| !(0.0..=100.0).contains(&value)) {
            return Err(format!(
                "`{text}` for {metric}, expected a percentage, `53.6` or `53.6 ± 0.3`"
            ));
        }
        scores.insert(*metric, text.to_owned());
    }
    Ok(title(&field(0)).map(|dataset| Published {
        dataset,
        together,
        method,
        source,
        scores,
    }))
}

fn at(line: u64, reason: String) -> PublishedError {
    PublishedError { line, reason }
}

/// The percentage without its interval.
pub(crate) fn value(text: &str) -> Option<f64> {
    text.split('±').next()?.trim().parse().ok()
}

/// Half the width of its interval, if it has one.
pub(crate) fn half_width(text: &str) -> Option<f64> {
    text.split_once('±')?.1.trim().parse().ok()
}

/// The published rows of a block: those with anything to show in it, by first appearance.
pub(crate) fn lines(rows: &[Published], block: &Block, axes: usize) -> Vec<Line> {
    let mut methods: Vec<&str> = Vec::new();
    for row in rows {
        if !methods.contains(&row.method.as_str()) {
            methods.push(&row.method);
        }
    }
    let line = |method: &str| Line {
        method: method.to_owned(),
        settings: vec![String::new(); axes],
        parts: block
            .groups
            .iter()
            .map(|group| part(rows, method, group))
            .collect(),
    };
    let lines = methods.into_iter().map(line);
    lines
        .filter(|line| line.parts.iter().any(Option::is_some))
        .collect()
}

fn part(rows: &[Published], method: &str, group: &Group) -> Option<Part> {
    let row = rows
        .iter()
        .find(|row| row.method == method && row.belongs_to(group))?;
    let cell = |metric: &Metric| {
        let value = row
            .scores
            .get(metric)
            .map_or(Value::Missing, |text| Value::Published(text.clone()));
        Cell {
            value,
            runs: 0,
            of: 0,
            standing: None,
        }
    };
    let cells: Vec<Cell> = group.metrics.iter().map(cell).collect();
    let is_empty = cells.iter().all(|cell| cell.value == Value::Missing);
    (!is_empty).then_some(Part {
        finished: 0,
        of: 0,
        cells,
        footnote: None,
    })
}

impl Published {
    /// A single model is what a separated one is.
    fn belongs_to(&self, group: &Group) -> bool {
        let folds = self.together == group.together
            || (self.together.is_none() && group.together == Some(Together::Separated));
        folds && group.dataset.as_ref() == Some(&self.dataset)
    }
}

/// Where the rows that are shown stand, one line for each source.
pub(crate) fn sources(rows: &[Published], blocks: &[Block]) -> Vec<String> {
    let mut sources: Vec<(&str, Vec<&str>)> = Vec::new();
    let shown = |row: &&Published| {
        let groups = blocks.iter().flat_map(|block| &block.groups);
        groups
            .into_iter()
            .any(|group| part(std::slice::from_ref(row), &row.method, group).is_some())
    };
    for row in rows.iter().filter(shown) {
        match sources.iter_mut().find(|(source, _)| *source == row.source) {
            Some((_, methods)) if methods.contains(&row.method.as_str()) => {}
            Some((_, methods)) => methods.push(&row.method),
            None => sources.push((&row.source, vec![&row.method])),
        }
    }
    sources
        .into_iter()
        .map(|(source, methods)| format!("{}: {source}", methods.join(", ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Published>, PublishedError> {
        Published::read(text, |name| Some(name.to_uppercase()))
    }

    #[test]
    fn a_row_is_what_was_printed() {
        let rows =
            read("# quoted\ndataset,folds,method,source,recall@1,map@r\ncub200,separated,MS,paper,,\"20.1 ± 0.1\"\n")
                .unwrap();
        assert_eq!(
            (rows.len(), rows[0].dataset.as_str(), rows[0].together),
            (1, "CUB200", Some(Together::Separated))
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
    fn a_mistake_is_told_with_its_line() {
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
    fn what_comes_with_the_program_can_be_read_and_names_its_source() {
        let rows = read(BUILT_IN).unwrap();
        assert_eq!(rows.len(), 7 + 7 + 6 + 3);
        assert!(rows.iter().all(|row| row.source.contains("Deep_Metric")));
        let margin = rows
            .iter()
            .find(|row| row.method == "Margin" && row.dataset == "SOP")
            .unwrap();
        assert_eq!(margin.scores[&Metric::RecallAt(1000)], "98.0");
    }
}
