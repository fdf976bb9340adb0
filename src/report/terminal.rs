//! The table for a terminal: aligned columns, the best in bold or, without colour, with a star.

use crate::{Table, table::Block};

/// The text of a cell, and whether it is the best of its column.
type Text = (String, bool);

impl Table {
    /// The table with aligned columns. With `colour` it uses ANSI escapes for bold and nothing else.
    pub fn terminal(&self, colour: bool) -> String {
        let mut text = format!("{}\n", bold(&self.caption.sweep, colour));
        for block in &self.blocks {
            text.push_str(&format!("\n{}\n\n{}", bold(&block.heading(), colour), self.terminal_block(block, colour)));
        }
        text.push_str(&format!("\n{}\n", self.legend(if colour { "Bold" } else { "*" })));
        text.push_str(&list("Not finished", &self.notes));
        text.push_str(&list("Facts", &self.caption.lines));
        text.push_str(&format!("\nMade with: {}\n", self.caption.command));
        text
    }

    fn terminal_block(&self, block: &Block, colour: bool) -> String {
        let mut rows: Vec<Vec<Text>> = vec![self.headings(block).into_iter().map(plain).collect()];
        for line in &block.lines {
            let names =
                [&line.method].into_iter().chain(&line.settings).map(|name| plain(name.replace(['\n', '\r'], " ")));
            let numbers = line.cells.iter().map(|cell| (cell.text(), cell.best));
            rows.push(names.chain(numbers).chain([plain(line.runs())]).collect());
        }
        let widths = widths(&rows);
        rows.insert(1, widths.iter().map(|&width| plain("─".repeat(width))).collect());
        let names = 1 + self.axes.len();
        rows.iter().map(|row| aligned(row, &widths, names, colour)).collect()
    }
}

fn plain(text: String) -> Text {
    (text, false)
}

fn widths(rows: &[Vec<Text>]) -> Vec<usize> {
    let columns = rows.first().map_or(0, Vec::len);
    (0..columns).map(|column| rows.iter().map(|row| row[column].0.chars().count()).max().unwrap_or(0)).collect()
}

/// One row: the first `names` columns begin, the others end, at the same place. A column of numbers leaves
/// room for a star.
fn aligned(row: &[Text], widths: &[usize], names: usize, colour: bool) -> String {
    let mut line = String::new();
    for (column, ((text, best), width)) in row.iter().zip(widths).enumerate() {
        let space = " ".repeat(width - text.chars().count());
        let shown = bold(text, colour && *best);
        let star = if *best && !colour { '*' } else { ' ' };
        let cell = if column < names { format!("{shown}{space} ") } else { format!("{space}{shown}{star}") };
        line.push_str(&cell);
        line.push(' ');
    }
    format!("{}\n", line.trim_end())
}

fn bold(text: &str, colour: bool) -> String {
    if colour { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
}

fn list(heading: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items.iter().map(|item| format!("  {}\n", item.replace(['\n', '\r'], " "))).collect();
    format!("\n{heading}:\n{items}")
}
