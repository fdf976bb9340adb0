//! The table as GitHub-flavored Markdown.

use crate::{
    Table,
    legend::BOLD,
    model::{Block, Cell, Group, Line, Pivot},
    significance::Significance,
    text::{code, escape},
};

impl Table {
    /// Returns the table as Markdown, with its notes and its caption.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n", escape(&self.caption.sweep));
        for block in &self.blocks {
            if !block.heading.is_empty() {
                text.push_str(&format!("\n## {}\n", escape(&block.heading)));
            }
            text.push_str(&format!("\n{}", self.markdown_block(block)));
        }
        for pivot in &self.pivots {
            text.push_str(&self.markdown_pivot(pivot));
        }
        text.push_str(&format!("\n{}\n", self.legend(&BOLD)));
        if !self.footnotes.is_empty() {
            text.push('\n');
        }
        for (number, note) in (1..).zip(&self.footnotes) {
            text.push_str(&format!("{number}. {}\n", escape(note)));
        }
        if let Some(missing) = &self.to_come {
            text.push_str(&format!("\n{}\n", escape(missing)));
        }
        for (heading, items) in self.lists() {
            text.push_str(&list(heading, &items));
        }
        text.push_str(&format!(
            "\nMade with {}; programs, machines and costs are in `provenance.md`.\n",
            code(&self.caption.command)
        ));
        text
    }

    fn markdown_block(&self, block: &Block) -> String {
        let names = 1 + self.axes.len();
        let headings = self.headings(block);
        let mut rule = vec![":---"; names];
        rule.resize(headings.len(), "---:");
        let mut text = row(headings.iter().map(Heading::markdown));
        text.push_str(&row(rule.iter()));
        if !block.published.is_empty() {
            text.push_str(&separator("*Published, not run here:*", headings.len()));
            for line in &block.published {
                text.push_str(&row(quoted(line, block).iter()));
            }
            text.push_str(&separator("*Run here:*", headings.len()));
        }
        for line in block.rows() {
            text.push_str(&row(cells(line, block).iter()));
        }
        text
    }

    fn markdown_pivot(&self, pivot: &Pivot) -> String {
        let columns = pivot.columns();
        let mut rule = vec![":---"; 1 + pivot.others.len()];
        rule.resize(columns.len(), "---:");
        let mut text = format!("\n## {}\n\n", escape(&pivot.heading(&self.names)));
        text.push_str(&row(columns.iter().map(|column| escape(column))));
        text.push_str(&row(rule.iter()));
        for line in &pivot.lines {
            let mut cells: Vec<String> = line.names().map(|name| escape(name)).collect();
            let values = line.cells.iter();
            cells.extend(values.map(|cell| {
                cell.as_ref()
                    .map_or_else(String::new, |cell| marked(cell, None))
            }));
            text.push_str(&row(cells.iter()));
        }
        text
    }

    /// The headings of all columns: method, axes, metrics, and number of runs.
    pub(crate) fn headings(&self, block: &Block) -> Vec<Heading> {
        let mut headings = vec![Heading::alone("method")];
        headings.extend(self.axes.iter().map(|axis| Heading::alone(axis)));
        for group in &block.groups {
            headings.extend(of_group(group));
        }
        headings.push(Heading::alone("runs"));
        headings
    }
}

/// The heading of a column.
pub(crate) struct Heading {
    /// The heading of its group, at the first column of the group; else empty.
    pub(crate) group: String,
    pub(crate) name: String,
}

impl Heading {
    fn alone(name: &str) -> Heading {
        Heading {
            group: String::new(),
            name: name.to_owned(),
        }
    }

    fn markdown(&self) -> String {
        let name = escape(&self.name);
        match self.group.as_str() {
            "" => name,
            group => format!("{}<br>{name}", escape(group)),
        }
    }
}

fn of_group(group: &Group) -> Vec<Heading> {
    let names = group.metrics.iter().map(|metric| metric.heading());
    let mut headings: Vec<Heading> = names.map(|name| Heading::alone(&name)).collect();
    if let Some(first) = headings.first_mut() {
        first.group.clone_from(&group.heading);
    }
    headings
}

/// A row with nothing but words in its first cell.
fn separator(words: &str, columns: usize) -> String {
    let mut cells = vec![""; columns];
    cells[0] = words;
    row(cells.iter())
}

fn cells(line: &Line, block: &Block) -> Vec<String> {
    let name = escape(line.name());
    let mut cells = vec![match line.head {
        Some(_) => format!("&nbsp;&nbsp;{name}"),
        None => name,
    }];
    cells.extend(line.settings.iter().map(|setting| escape(setting)));
    cells.extend(values(line, block, marked));
    cells.push(line.runs());
    cells
}

fn quoted(line: &Line, block: &Block) -> Vec<String> {
    let mut cells = vec![italic(&escape(&line.method))];
    cells.extend(line.settings.iter().map(|setting| italic(&escape(setting))));
    cells.extend(values(line, block, |cell, _| italic(&escape(&cell.text()))));
    cells.push(String::new());
    cells
}

fn italic(text: &str) -> String {
    match text {
        "" | "–" => text.to_owned(),
        text => format!("*{text}*"),
    }
}

/// The cells of all groups as `show` renders them, each with the number of the footnote that follows it;
/// default values where there was nothing to run.
pub(crate) fn values<T: Default>(
    line: &Line,
    block: &Block,
    show: impl Fn(&Cell, Option<usize>) -> T,
) -> Vec<T> {
    let mut values = Vec::new();
    for (part, group) in line.parts.iter().zip(&block.groups) {
        let Some(part) = part else {
            values.extend(group.metrics.iter().map(|_| T::default()));
            continue;
        };
        // The first cell of a part bears its footnote.
        let mut footnote = part.footnote;
        for cell in &part.cells {
            values.push(show(cell, footnote.take()));
        }
    }
    values
}

fn marked(cell: &Cell, footnote: Option<usize>) -> String {
    let value = match cell.significance {
        Some(Significance::Best) => format!("**{}**", cell.text()),
        Some(Significance::Equal) => format!("{} =", cell.text()),
        Some(Significance::NotDistinguishable) => format!("{} ≈", cell.text()),
        Some(Significance::Worse | Significance::TooFew) | None => cell.text(),
    };
    format!(
        "{value}{}{}{}",
        cell.tie_mark(),
        cell.share(),
        superscript(footnote)
    )
}

/// The number of a footnote as a superscript; empty without one.
pub(crate) fn superscript(footnote: Option<usize>) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digits = footnote.map_or_else(String::new, |number| number.to_string());
    digits
        .bytes()
        .map(|digit| DIGITS[usize::from(digit - b'0')])
        .collect()
}

pub(crate) fn row(cells: impl Iterator<Item = impl AsRef<str>>) -> String {
    let mut text = "|".to_owned();
    for cell in cells {
        text.push_str(&format!(" {} |", cell.as_ref()));
    }
    text.push('\n');
    text
}

fn list(heading: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{heading}:\n\n");
    for item in items {
        text.push_str(&format!("- {}\n", escape(item)));
    }
    text
}
