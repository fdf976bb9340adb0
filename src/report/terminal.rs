//! The table for a terminal: aligned columns, the best in bold or, without color, with a star. In a
//! narrow one, further columns follow below the first, and settings have the last part of their key.

use std::{collections::BTreeSet, ops::Range};

use crate::{
    Table,
    legend::{BOLD, STAR},
    markdown::{superscript, values},
    model::{Block, Cell, Line, Pivot},
    significance::Significance,
    text::one_line,
};

/// A wider table with groups side by side is shown with its groups below each other.
const WIDEST: usize = 120;

/// The text of a cell, and how the cell compares with the best of its column.
#[derive(Clone, Debug, Default)]
struct Text {
    words: String,
    significance: Option<Significance>,
}

type TextRow = Vec<Text>;

impl Table {
    /// Returns the table with aligned columns. `color` allows ANSI escapes, for bold only.
    pub fn terminal(&self, color: bool) -> String {
        self.of_width(color, usize::MAX)
    }

    /// Returns the table with lines of at most `width` characters. Names that leave no room for a value are cut in the
    /// middle. Only a very narrow width is exceeded.
    pub fn of_width(&self, color: bool, width: usize) -> String {
        let mut text = format!("{}\n", bold(&one_line(&self.caption.sweep), color));
        for block in &self.blocks {
            if !block.heading.is_empty() {
                text.push_str(&format!("\n{}\n", bold(&one_line(&block.heading), color)));
            }
            text.push_str(&self.terminal_block(block, color, width));
        }
        for pivot in &self.pivots {
            let heading = bold(&one_line(&pivot.heading(&self.names)), color);
            let table = lay_out(&rows_of(pivot), 1 + pivot.others.len(), color, width);
            text.push_str(&format!("\n{heading}\n\n{table}"));
        }
        let marks = if color { BOLD } else { STAR };
        text.push_str(&format!("\n{}\n", self.legend(&marks)));
        let footnotes: Vec<String> = (1..)
            .zip(&self.footnotes)
            .map(|(number, note)| format!("{number}. {note}"))
            .collect();
        text.push_str(&list("Footnotes", &footnotes));
        if let Some(missing) = &self.to_come {
            text.push_str(&format!("\n{}\n", one_line(missing)));
        }
        for (heading, items) in self.lists() {
            text.push_str(&list(heading, &items));
        }
        text.push_str(&format!(
            "\nMade with: {}\n",
            one_line(&self.caption.command)
        ));
        text
    }

    fn terminal_block(&self, block: &Block, color: bool, width: usize) -> String {
        let mut rows = self.rows(block);
        if total(&widths(&rows)) > width {
            self.shorten_axes(&mut rows);
        }
        if total(&widths(&rows)) <= width.min(WIDEST) || block.groups.len() < 2 {
            return format!("\n{}", lay_out(&rows, 1 + self.axes.len(), color, width));
        }
        let mut text = String::new();
        for (position, group) in block.groups.iter().enumerate() {
            let heading = bold(&one_line(&group.heading), color);
            let mut rows = self.rows(&only(block, position));
            if total(&widths(&rows)) > width {
                self.shorten_axes(&mut rows);
            }
            let table = lay_out(&rows, 1 + self.axes.len(), color, width);
            text.push_str(&format!("\n{heading}\n\n{table}"));
        }
        text
    }

    /// Leaves the last part of the key of each setting, if no two have the same.
    fn shorten_axes(&self, rows: &mut [TextRow]) {
        let last = |axis: &String| axis.rsplit('.').next().unwrap_or(axis).to_owned();
        let short: Vec<String> = self.axes.iter().map(last).collect();
        if short.iter().collect::<BTreeSet<_>>().len() < short.len() {
            return;
        }
        // The headings are above the first rule.
        for row in rows.iter_mut().take_while(|row| !row.is_empty()) {
            for (cell, short) in row.iter_mut().skip(1).zip(&short) {
                if !cell.words.is_empty() {
                    cell.words = one_line(short);
                }
            }
        }
    }

    /// All rows, those with headings first: two if columns have groups. An empty row is a rule.
    fn rows(&self, block: &Block) -> Vec<TextRow> {
        let headings = self.headings(block);
        let columns = headings.len();
        let mut rows = Vec::new();
        if headings.iter().any(|heading| !heading.group.is_empty()) {
            rows.push(
                headings
                    .iter()
                    .map(|heading| plain(&heading.group))
                    .collect(),
            );
        }
        rows.push(
            headings
                .iter()
                .map(|heading| plain(&heading.name))
                .collect(),
        );
        rows.push(Vec::new());
        if !block.published.is_empty() {
            rows.push(separator("Published, not run here:", columns));
            rows.extend(block.published.iter().map(|line| cells(line, block)));
            rows.push(separator("Run here:", columns));
        }
        rows.extend(block.rows().map(|line| cells(line, block)));
        rows
    }
}

/// All rows of a pivot table, that with the headings first. An empty row is a rule.
fn rows_of(pivot: &Pivot) -> Vec<TextRow> {
    let columns = pivot.columns();
    let headings = columns.iter().map(|column| plain(column)).collect();
    let mut rows = vec![headings, Vec::new()];
    for line in &pivot.lines {
        let mut row: TextRow = line.names().map(|name| plain(name)).collect();
        for cell in &line.cells {
            let shown = cell.as_ref().map(|cell| value(cell, None));
            row.push(shown.unwrap_or_default());
        }
        rows.push(row);
    }
    rows
}

/// Returns aligned lines. The first `names` columns are text, and an empty row becomes a rule. Columns that do not fit
/// follow below.
fn lay_out(rows: &[TextRow], names: usize, color: bool, width: usize) -> String {
    let rows = &with_room_for_values(rows, names, width);
    let widths = widths(rows);
    let parts: Vec<String> = parts(&widths, names, width)
        .into_iter()
        .map(|columns| {
            let of_part = |row: &TextRow| match row.as_slice() {
                [] => TextRow::new(),
                row => [&row[..names], &row[columns.clone()]].concat(),
            };
            let rows: Vec<TextRow> = rows.iter().map(of_part).collect();
            let widths = [&widths[..names], &widths[columns.clone()]].concat();
            lines(&rows, &widths, names, color)
        })
        .collect();
    parts.join("\n")
}

/// Cuts the longest names, unless the widest value fits beside them.
fn with_room_for_values(rows: &[TextRow], names: usize, width: usize) -> Vec<TextRow> {
    const SHORTEST: usize = 12;
    let widths = widths(rows);
    let value = widths[names..].iter().max().copied().unwrap_or(0);
    let excess = (total(&widths[..names]) + value + 2).saturating_sub(width.saturating_add(1));
    let mut rows = rows.to_vec();
    let longest = (0..names).max_by_key(|column| widths[*column]);
    if let Some(column) = longest.filter(|_| excess > 0) {
        let length = widths[column].saturating_sub(excess).max(SHORTEST);
        for row in rows.iter_mut().filter(|row| !is_separator(row)) {
            if let Some(text) = row.get_mut(column) {
                text.words = cut_in_the_middle(&text.words, length);
            }
        }
    }
    rows
}

/// `Triplet with a lon…eighty columns`: beginnings and ends tell names apart.
fn cut_in_the_middle(words: &str, length: usize) -> String {
    let all: Vec<char> = words.chars().collect();
    if all.len() <= length {
        return words.to_owned();
    }
    let end = (length - 1) / 2;
    let beginning = length - 1 - end;
    let part = |characters: &[char]| -> String { characters.iter().collect() };
    format!(
        "{}…{}",
        part(&all[..beginning]),
        part(&all[all.len() - end..])
    )
}

/// True if a row has nothing but words in its first cell, which may run over the other columns.
fn is_separator(row: &[Text]) -> bool {
    row.iter().skip(1).all(|text| text.words.is_empty())
}

/// Aligned lines of columns of these widths; an empty row becomes a rule.
fn lines(rows: &[TextRow], widths: &[usize], names: usize, color: bool) -> String {
    let rule: TextRow = widths
        .iter()
        .map(|width| plain(&"─".repeat(*width)))
        .collect();
    let mut text = String::new();
    for row in rows {
        let row = if row.is_empty() { &rule } else { row };
        text.push_str(&aligned(row, widths, names, color));
    }
    text
}

/// Returns the width of a line with columns of these widths.
fn total(widths: &[usize]) -> usize {
    widths.iter().map(|width| width + 2).sum()
}

/// Divides the columns behind the names into parts that fit a width with them, each of at least one
/// column.
fn parts(widths: &[usize], names: usize, width: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut first = names;
    let mut used = total(&widths[..names]);
    for column in names..widths.len() {
        let more = widths[column] + 2;
        // After the mark of the last column there is no space.
        if used + more > width.saturating_add(1) && column > first {
            parts.push(first..column);
            (first, used) = (column, total(&widths[..names]));
        }
        used += more;
    }
    parts.push(first..widths.len());
    parts
}

/// A row with nothing but words in its first cell.
fn separator(words: &str, columns: usize) -> TextRow {
    let mut row = vec![Text::default(); columns];
    row[0].words = words.to_owned();
    row
}

/// The block with one of its groups.
fn only(block: &Block, position: usize) -> Block {
    let mut alone = block.clone();
    alone.groups = vec![block.groups[position].clone()];
    alone.groups[0].heading.clear();
    for line in alone.lines.iter_mut().chain(&mut alone.published) {
        keep(line, position);
        line.heads.iter_mut().for_each(|head| keep(head, position));
    }
    alone.lines.retain(|line| line.parts[0].is_some());
    alone.published.retain(|line| line.parts[0].is_some());
    alone
}

/// Leaves one part of a line.
fn keep(line: &mut Line, position: usize) {
    line.parts = vec![line.parts[position].take()];
}

fn cells(line: &Line, block: &Block) -> TextRow {
    let mut name = plain(line.name());
    if line.head.is_some() {
        name.words.insert_str(0, "  ");
    }
    let mut cells = vec![name];
    cells.extend(line.settings.iter().map(|setting| plain(setting)));
    cells.extend(values(line, block, value));
    cells.push(plain(&line.runs()));
    cells
}

fn value(cell: &Cell, footnote: Option<usize>) -> Text {
    Text {
        words: format!(
            "{}{}{}{}",
            cell.text(),
            cell.tie_mark(),
            cell.share(),
            superscript(footnote)
        ),
        significance: cell.significance,
    }
}

fn plain(words: &str) -> Text {
    Text {
        words: one_line(words),
        significance: None,
    }
}

/// The width of each column in characters.
fn widths(rows: &[TextRow]) -> Vec<usize> {
    let columns = rows.first().map_or(0, Vec::len);
    let mut widths = vec![0; columns];
    for row in rows {
        if is_separator(row) {
            continue;
        }
        for (width, text) in widths.iter_mut().zip(row) {
            *width = text.words.chars().count().max(*width);
        }
    }
    widths
}

/// One row: the first `names` columns are aligned to the left, the others to the right, with space
/// for a mark.
fn aligned(row: &[Text], widths: &[usize], names: usize, color: bool) -> String {
    let mut line = String::new();
    for (column, (text, width)) in row.iter().zip(widths).enumerate() {
        let space = " ".repeat(width.saturating_sub(text.words.chars().count()));
        let is_best = text.significance == Some(Significance::Best);
        let shown = bold(&text.words, color && is_best);
        if column < names {
            line.push_str(&format!("{shown}{space}  "));
        } else {
            line.push_str(&format!("{space}{shown}{} ", text.mark(color)));
        }
    }
    format!("{}\n", line.trim_end())
}

impl Text {
    fn mark(&self, color: bool) -> char {
        match self.significance {
            Some(Significance::Best) if !color => '*',
            Some(Significance::Equal) => '=',
            Some(Significance::NotDistinguishable) => '≈',
            Some(Significance::Best | Significance::Worse | Significance::TooFew) | None => ' ',
        }
    }
}

fn bold(text: &str, color: bool) -> String {
    if color {
        format!("\u{1b}[1m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

fn list(heading: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{heading}:\n");
    for item in items {
        text.push_str(&format!("  {}\n", one_line(item)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_do_not_fit_follow_below() {
        let widths = [10, 6, 6, 6];
        let ends = |width: usize| -> Vec<usize> {
            let parts = parts(&widths, 1, width);
            parts.iter().map(|columns| columns.end).collect()
        };
        assert_eq!(ends(usize::MAX), [4]);
        assert_eq!(ends(35), [4]);
        assert_eq!(ends(34), [3, 4]);
        assert_eq!(ends(5), [2, 3, 4]);
    }

    #[test]
    fn a_long_name_is_cut_where_no_value_would_fit() {
        let rows = [
            ["method", "MAP@R"],
            ["a name of more than thirty letters", "50.00"],
        ];
        let rows: Vec<TextRow> = rows.iter().map(|row| row.map(plain).to_vec()).collect();
        assert_eq!(
            lay_out(&rows, 1, false, 30),
            "method                  MAP@R\na name of m…ty letters  50.00\n"
        );
        assert!(lay_out(&rows, 1, false, 60).contains("more than"));
    }
}
