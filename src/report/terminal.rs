//! The table for a terminal: aligned columns, the best in bold or, without colour, with a star.

use crate::{
    Table,
    markdown::numbers,
    standing::Standing,
    table::{Block, Cell, Line},
};

/// A table with groups side by side that is wider than so many characters is shown with one below the other.
const WIDEST: usize = 120;

/// What a cell says, and how it stands to the best of its column.
#[derive(Clone, Debug, Default)]
struct Text {
    words: String,
    standing: Option<Standing>,
}

impl Table {
    /// The table with aligned columns. With `colour` it uses ANSI escapes for bold and nothing else.
    pub fn terminal(&self, colour: bool) -> String {
        let mut text = format!("{}\n", bold(&self.caption.sweep, colour));
        for block in &self.blocks {
            if !block.heading.is_empty() {
                text.push_str(&format!("\n{}\n", bold(&block.heading, colour)));
            }
            text.push_str(&self.terminal_block(block, colour));
        }
        text.push_str(&format!(
            "\n{}\n",
            self.legend(if colour { "Bold" } else { "*" })
        ));
        let footnotes: Vec<String> = (1..)
            .zip(&self.footnotes)
            .map(|(number, note)| format!("{number}. {note}"))
            .collect();
        text.push_str(&list("Footnotes", &footnotes));
        text.extend(self.to_come.iter().map(|missing| format!("\n{missing}\n")));
        for (heading, items) in self.lists() {
            text.push_str(&list(heading, items));
        }
        text.push_str(&format!("\nMade with: {}\n", self.caption.command));
        text
    }

    fn terminal_block(&self, block: &Block, colour: bool) -> String {
        let rows = self.rows(block);
        let width: usize = widths(&rows).iter().map(|width| width + 2).sum();
        if width <= WIDEST || block.groups.len() < 2 {
            return format!("\n{}", self.lay_out(rows, colour));
        }
        let groups = (0..block.groups.len()).map(|place| {
            let alone = only(block, place);
            let heading = bold(&block.groups[place].heading, colour);
            format!("\n{heading}\n\n{}", self.lay_out(self.rows(&alone), colour))
        });
        groups.collect()
    }

    /// All rows, those with headings first: two of them if columns have groups.
    fn rows(&self, block: &Block) -> Vec<Vec<Text>> {
        let (above, headings): (Vec<String>, Vec<String>) =
            self.headings(block).into_iter().unzip();
        let mut rows = vec![headings.into_iter().map(plain).collect::<Vec<Text>>()];
        if above.iter().any(|heading| !heading.is_empty()) {
            rows.insert(0, above.into_iter().map(plain).collect());
        }
        let columns = rows[0].len();
        let apart = |words: &str| {
            let mut row = vec![Text::default(); columns];
            row[0].words = words.to_owned();
            row
        };
        rows.push(Vec::new());
        if !block.published.is_empty() {
            rows.push(apart("Published, not run here:"));
            rows.extend(block.published.iter().map(|line| cells(line, block)));
            rows.push(apart("Run here:"));
        }
        rows.extend(block.lines.iter().map(|line| cells(line, block)));
        rows
    }

    /// Aligned lines; an empty row becomes a rule.
    fn lay_out(&self, rows: Vec<Vec<Text>>, colour: bool) -> String {
        let widths = widths(&rows);
        let rule: Vec<Text> = widths
            .iter()
            .map(|&width| plain("─".repeat(width)))
            .collect();
        let names = 1 + self.axes.len();
        let line = |row: &Vec<Text>| {
            aligned(
                if row.is_empty() { &rule } else { row },
                &widths,
                names,
                colour,
            )
        };
        rows.iter().map(line).collect()
    }
}

/// The block with one of its groups.
fn only(block: &Block, place: usize) -> Block {
    let mut alone = block.clone();
    alone.groups = vec![block.groups[place].clone()];
    alone.groups[0].heading.clear();
    for line in alone.lines.iter_mut().chain(&mut alone.published) {
        line.parts = vec![line.parts[place].take()];
    }
    alone.lines.retain(|line| line.parts[0].is_some());
    alone.published.retain(|line| line.parts[0].is_some());
    alone
}

fn cells(line: &Line, block: &Block) -> Vec<Text> {
    let names = [&line.method]
        .into_iter()
        .chain(&line.settings)
        .map(|name| plain(name.replace(['\n', '\r'], " ")));
    names
        .chain(numbers(line, block, number))
        .chain([plain(line.runs())])
        .collect()
}

fn number(cell: &Cell, footnote: &str) -> Text {
    Text {
        words: format!("{}{}{footnote}", cell.text(), cell.share()),
        standing: cell.standing,
    }
}

fn plain(words: String) -> Text {
    Text {
        words,
        standing: None,
    }
}

fn widths(rows: &[Vec<Text>]) -> Vec<usize> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |row: &Vec<Text>, column: usize| {
        row.get(column).map_or(0, |text| text.words.chars().count())
    };
    // A line that sets rows apart may run on over the columns behind the names.
    let counts = |row: &&Vec<Text>| row.iter().skip(1).any(|text| !text.words.is_empty());
    (0..columns)
        .map(|column| {
            rows.iter()
                .filter(counts)
                .map(|row| width(row, column))
                .max()
                .unwrap_or(0)
        })
        .collect()
}

/// One row: the first `names` columns begin, the others end, at the same place. A column of numbers leaves
/// room for a mark.
fn aligned(row: &[Text], widths: &[usize], names: usize, colour: bool) -> String {
    let mut line = String::new();
    for (column, (text, width)) in row.iter().zip(widths).enumerate() {
        let space = " ".repeat(width.saturating_sub(text.words.chars().count()));
        let is_best = text.standing == Some(Standing::Best);
        let shown = bold(&text.words, colour && is_best);
        let mark = match text.standing {
            Some(Standing::Best) if !colour => '*',
            Some(Standing::NotDistinguishable) => '≈',
            Some(Standing::Best | Standing::Worse | Standing::TooFew) | None => ' ',
        };
        let cell = if column < names {
            format!("{shown}{space} ")
        } else {
            format!("{space}{shown}{mark}")
        };
        line.push_str(&cell);
        line.push(' ');
    }
    format!("{}\n", line.trim_end())
}

fn bold(text: &str, colour: bool) -> String {
    if colour {
        format!("\u{1b}[1m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

fn list(heading: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items
        .iter()
        .map(|item| format!("  {}\n", item.replace(['\n', '\r'], " ")))
        .collect();
    format!("\n{heading}:\n{items}")
}
