//! What an earlier table of the same sweep shows and a new one lacks, because results are not found: a
//! table is never replaced by one that knows less.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Table,
    csv::{Columns, CsvColumns},
    model::{Block, Line, Part, Value},
    text::field,
};

/// The rows of an earlier table: the values of the columns by what comes before them.
struct Earlier(BTreeMap<Vec<String>, BTreeMap<String, String>>);

impl Table {
    /// Returns the results of an earlier table, as CSV, that are not found any more, in words.
    ///
    /// A run that failed or diverged is an outcome, and so is no loss; nor is a row or a column that
    /// the sweep no longer has.
    pub fn lost(&self, earlier: &str) -> Vec<String> {
        let columns = self.csv_columns();
        let headings = self.csv_headings(&columns);
        let names = &headings[..self.names_in_csv(columns.names)];
        let rows = Earlier::read(earlier, names);
        let lost = rows.map_or_else(Vec::new, |rows| self.lost_in_rows(&rows, &columns));
        match lost.is_empty() {
            true => self.lost_in_all(earlier).into_iter().collect(),
            false => lost,
        }
    }

    /// True if an earlier table, as CSV, has rows and none of a method of this one: that of another sweep.
    pub fn is_of_another_sweep(&self, earlier: &str) -> bool {
        let methods = methods(earlier);
        let mut lines = self.blocks.iter().flat_map(|block| &block.lines);
        !methods.is_empty() && !lines.any(|line| methods.contains(&field(&line.method)))
    }

    fn lost_in_rows(&self, earlier: &Earlier, columns: &CsvColumns) -> Vec<String> {
        let count = self.names_in_csv(columns.names);
        let mut lost = Vec::new();
        for block in &self.blocks {
            for line in &block.lines {
                let mut names = self.fields(block, line, "here", columns);
                names.truncate(count);
                if let Some(values) = earlier.0.get(&names) {
                    let gone = columns
                        .groups
                        .iter()
                        .filter_map(|group| gone(group, block, line, values));
                    let place = place(&names);
                    lost.extend(gone.map(|what| format!("{place}: {what}")));
                }
            }
        }
        lost
    }

    /// Compares the numbers of finished runs in all. Under other headings, rows and columns cannot be told from each
    /// other; but a table in which results are missing has no fewer of them than an earlier one.
    fn lost_in_all(&self, earlier: &str) -> Option<String> {
        let lines = self.blocks.iter().flat_map(|block| &block.lines);
        let mut parts = lines.flat_map(|line| line.parts.iter().flatten());
        let is_missing = parts.any(|part| part.missing > 0);
        let own = self.csv().ok()?;
        if !is_missing || headings(earlier) == headings(&own) {
            return None;
        }
        let (before, now) = (finished(earlier), finished(&own));
        (now < before).then(|| {
            format!("{before} results there under other headings, {now} of the sweep as it is now")
        })
    }
}

/// The headings of a table as CSV; none if it is not one.
fn headings(text: &str) -> Option<::csv::StringRecord> {
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    reader.headers().ok().cloned()
}

/// The methods in a table as CSV.
fn methods(text: &str) -> BTreeSet<String> {
    let headings = headings(text).unwrap_or_default();
    let Some(column) = headings.iter().position(|heading| heading == "method") else {
        return BTreeSet::new();
    };
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let rows = reader.records().flatten();
    rows.filter_map(|row| row.get(column).map(str::to_owned))
        .collect()
}

/// Returns the number of finished runs in a table as CSV: the sum of its columns `n` that a column `of` follows.
fn finished(text: &str) -> usize {
    let headings = headings(text).unwrap_or_default();
    let headings: Vec<&str> = headings.iter().collect();
    let is_number = |pair: &[&str]| match (pair[0].strip_suffix('n'), pair[1].strip_suffix("of")) {
        (Some(before), Some(group)) => {
            before == group && (group.is_empty() || group.ends_with(' '))
        }
        _ => false,
    };
    let numbers = headings.windows(2).map(is_number);
    let columns: Vec<usize> = (0..)
        .zip(numbers)
        .filter(|(_, is)| *is)
        .map(|(at, _)| at)
        .collect();
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let counts = reader.records().flatten().map(|row| {
        let numbers = columns
            .iter()
            .filter_map(|&column| row.get(column)?.parse::<usize>().ok());
        numbers.sum::<usize>()
    });
    counts.sum()
}

/// What a line lacks in some columns.
fn gone(
    columns: &Columns,
    block: &Block,
    line: &Line,
    earlier: &BTreeMap<String, String>,
) -> Option<String> {
    let part = columns.part(block, line)?;
    let before = |column: &str| earlier.get(&columns.heading_of(column)).map(String::as_str);
    let finished: usize = before("n")?.parse().ok()?;
    if part.missing > 0 && part.finished < finished {
        let results = if finished == 1 { "result" } else { "results" };
        return Some(format!("{finished} {results} there, {} now", part.finished));
    }
    let metrics = missing(columns, block, part);
    let known = |metric: &String| before(metric).is_some_and(|value| !value.is_empty());
    let metrics: Vec<String> = metrics.into_iter().filter(known).collect();
    (!metrics.is_empty()).then(|| format!("{} there, not now", metrics.join(", ")))
}

/// The metrics without an outcome.
fn missing(columns: &Columns, block: &Block, part: &Part) -> Vec<String> {
    let group = block.groups.iter().find(|group| columns.show(group));
    let metrics = group.into_iter().flat_map(|group| &group.metrics);
    let cells = metrics.zip(&part.cells);
    cells
        .filter(|(_, cell)| cell.value == Value::Missing)
        .map(|(metric, _)| metric.to_string())
        .collect()
}

/// `Omniglot, Triplet, 64`.
fn place(names: &[String]) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    names.retain(|name| *name != "here");
    names.join(", ")
}

impl Earlier {
    /// Reads a table whose first columns have these headings; none if they are others.
    fn read(text: &str, names: &[String]) -> Option<Earlier> {
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let headings = reader.headers().ok()?.clone();
        if !headings.iter().take(names.len()).eq(names) {
            return None;
        }
        let mut rows = BTreeMap::new();
        for record in reader.records() {
            let record = record.ok()?;
            let key = record.iter().take(names.len()).map(str::to_owned);
            let values = headings.iter().zip(&record).skip(names.len());
            let values = values.map(|(heading, value)| (heading.to_owned(), value.to_owned()));
            rows.insert(key.collect(), values.collect());
        }
        Some(Earlier(rows))
    }
}

#[cfg(test)]
mod tests;
