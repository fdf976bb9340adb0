//! The table as GitHub-flavoured Markdown.

use crate::{
    Table,
    table::{Block, Line},
};

impl Table {
    /// The table as Markdown, with its notes and its caption.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n", escape(&self.caption.sweep));
        for block in &self.blocks {
            text.push_str(&format!("\n## {}\n\n{}", escape(&block.heading()), self.markdown_block(block)));
        }
        text.push_str(&format!("\n{}\n", self.legend("Bold")));
        text.push_str(&list("Not finished", &self.notes));
        text.push_str(&list("Facts", &self.caption.lines));
        text.push_str(&format!("\nMade with `{}`.\n", self.caption.command.replace('`', "'")));
        text
    }

    fn markdown_block(&self, block: &Block) -> String {
        let headings = self.headings(block);
        let texts = 1 + self.axes.len();
        let rule: Vec<_> = (0..headings.len()).map(|column| if column < texts { ":---" } else { "---:" }).collect();
        let mut text = format!("{}{}", row(headings.iter().map(|heading| escape(heading))), row(rule.into_iter()));
        for line in &block.lines {
            text.push_str(&row(cells(line).into_iter()));
        }
        text
    }

    /// The headings of all columns, in the order of [`Line`]: names, settings, metrics, number of runs.
    pub(crate) fn headings(&self, block: &Block) -> Vec<String> {
        let metrics = block.metrics.iter().map(|metric| metric.heading());
        ["method".to_owned()]
            .into_iter()
            .chain(self.axes.iter().cloned())
            .chain(metrics)
            .chain(["runs".to_owned()])
            .collect()
    }
}

fn cells(line: &Line) -> Vec<String> {
    let numbers = line.cells.iter().map(|cell| if cell.best { format!("**{}**", cell.text()) } else { cell.text() });
    [&line.method]
        .into_iter()
        .chain(&line.settings)
        .map(|text| escape(text))
        .chain(numbers)
        .chain([line.runs()])
        .collect()
}

fn row(cells: impl Iterator<Item = impl AsRef<str>>) -> String {
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
    let items: String = items.iter().map(|item| format!("- {}\n", item.replace(['\n', '\r'], " "))).collect();
    format!("\n{heading}:\n\n{items}")
}

/// Takes the meaning from characters that would end a cell or change its type.
fn escape(text: &str) -> String {
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
