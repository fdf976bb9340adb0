//! The table as GitHub-flavoured Markdown.

use crate::{
    Table,
    standing::Standing,
    table::{Block, Cell, Group, Line, Part},
};

impl Table {
    /// The table as Markdown, with its notes and its caption.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n", escape(&self.caption.sweep));
        for block in &self.blocks {
            if !block.heading.is_empty() {
                text.push_str(&format!("\n## {}\n", escape(&block.heading)));
            }
            text.push_str(&format!("\n{}", self.markdown_block(block)));
        }
        text.push_str(&format!("\n{}\n", self.legend("Bold")));
        let footnotes: String = (1..)
            .zip(&self.footnotes)
            .map(|(number, note)| format!("{number}. {note}\n"))
            .collect();
        if !footnotes.is_empty() {
            text.push_str(&format!("\n{footnotes}"));
        }
        text.extend(self.to_come.iter().map(|missing| format!("\n{missing}\n")));
        for (heading, items) in self.lists() {
            text.push_str(&list(heading, items));
        }
        text.push_str(&format!(
            "\nMade with `{}`.\n",
            self.caption.command.replace('`', "'")
        ));
        text
    }

    fn markdown_block(&self, block: &Block) -> String {
        let names = 1 + self.axes.len();
        let heading = |(above, name): &(String, String)| match above.as_str() {
            "" => escape(name),
            above => format!("{}<br>{}", escape(above), escape(name)),
        };
        let headings: Vec<String> = self.headings(block).iter().map(heading).collect();
        let rule: Vec<_> = (0..headings.len())
            .map(|column| if column < names { ":---" } else { "---:" })
            .collect();
        let mut text = format!("{}{}", row(headings.iter()), row(rule.into_iter()));
        let apart = |words: &str| {
            row((0..headings.len()).map(|column| if column == 0 { words } else { "" }))
        };
        if !block.published.is_empty() {
            text.push_str(&apart("*Published, not run here:*"));
            text.extend(
                block
                    .published
                    .iter()
                    .map(|line| row(quoted(line, block).into_iter())),
            );
            text.push_str(&apart("*Run here:*"));
        }
        text.extend(
            block
                .lines
                .iter()
                .map(|line| row(cells(line, block).into_iter())),
        );
        text
    }

    /// The headings of all columns, names, settings, metrics and number of runs, each below that of its group, which
    /// stands above its first column.
    pub(crate) fn headings(&self, block: &Block) -> Vec<(String, String)> {
        let alone = |name: String| (String::new(), name);
        let of_group = |group: &Group| {
            let metrics = group
                .metrics
                .iter()
                .map(|metric| metric.heading())
                .enumerate();
            let above = |place| {
                if place == 0 {
                    group.heading.clone()
                } else {
                    String::new()
                }
            };
            metrics
                .map(|(place, metric)| (above(place), metric))
                .collect::<Vec<_>>()
        };
        [alone("method".to_owned())]
            .into_iter()
            .chain(self.axes.iter().cloned().map(alone))
            .chain(block.groups.iter().flat_map(of_group))
            .chain([alone("runs".to_owned())])
            .collect()
    }
}

fn cells(line: &Line, block: &Block) -> Vec<String> {
    let names = [&line.method]
        .into_iter()
        .chain(&line.settings)
        .map(|text| escape(text));
    names
        .chain(numbers(line, block, marked))
        .chain([line.runs()])
        .collect()
}

fn quoted(line: &Line, block: &Block) -> Vec<String> {
    let names = [&line.method].into_iter().chain(&line.settings);
    let names = names.map(|text| {
        if text.is_empty() {
            String::new()
        } else {
            format!("*{}*", escape(text))
        }
    });
    let italic = |cell: &Cell, _: &str| {
        if cell.text() == "–" {
            cell.text()
        } else {
            format!("*{}*", cell.text())
        }
    };
    names
        .chain(numbers(line, block, italic))
        .chain([String::new()])
        .collect()
}

/// The cells of all groups as `show` has them; the first of a part bears its footnote. Nothing where there was nothing
/// to run.
pub(crate) fn numbers<T: Default>(
    line: &Line,
    block: &Block,
    show: impl Fn(&Cell, &str) -> T,
) -> Vec<T> {
    let mut numbers = Vec::new();
    for (part, group) in line.parts.iter().zip(&block.groups) {
        match part {
            Some(part) => {
                let footnote = |place| {
                    if place == 0 {
                        part.superscript()
                    } else {
                        String::new()
                    }
                };
                let cells = part.cells.iter().enumerate();
                numbers.extend(cells.map(|(place, cell)| show(cell, &footnote(place))));
            }
            None => numbers.extend(group.metrics.iter().map(|_| T::default())),
        }
    }
    numbers
}

fn marked(cell: &Cell, footnote: &str) -> String {
    let number = match cell.standing {
        Some(Standing::Best) => format!("**{}**", cell.text()),
        Some(Standing::NotDistinguishable) => format!("{} ≈", cell.text()),
        Some(Standing::Worse | Standing::TooFew) | None => cell.text(),
    };
    format!("{number}{}{footnote}", cell.share())
}

impl Part {
    /// The number of its footnote, small and raised.
    pub(crate) fn superscript(&self) -> String {
        const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
        let digits = self
            .footnote
            .map(|number| number.to_string())
            .unwrap_or_default();
        digits
            .bytes()
            .map(|digit| DIGITS[usize::from(digit - b'0')])
            .collect()
    }
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
    let items: String = items
        .iter()
        .map(|item| format!("- {}\n", item.replace(['\n', '\r'], " ")))
        .collect();
    format!("\n{heading}:\n\n{items}")
}

/// Takes the meaning from characters that would end a cell or change its type.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\\' | '|' | '*' | '<' | '`' => escaped.extend(['\\', character]),
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
