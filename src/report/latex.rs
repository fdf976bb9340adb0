//! The table as LaTeX with booktabs.
//!
//! Rows that share the value of an axis, such as backbone and embedding size, are a group with a heading. Bold is
//! the best mean of a column, underlined the second best. A table that is wider than the line is scaled down, so a
//! file compiles in one column and in two.

use std::collections::BTreeSet;

use schema::visible::one_line;

use crate::{
    Compare, Table,
    legend::{BOLD, Marks},
    markdown::values,
    model::{Block, Cell, Line, Pivot, Value},
    number::percent,
    significance::Significance,
    tex::{PROVIDED, escape, fitted},
};

const NEEDS: &str = "% Needs \\usepackage{booktabs,graphicx} and \\usepackage[T1]{fontenc}.\n\
                     % In two columns, say \\newcommand{\\sweepfloat}{table*} before the first table.\n\
                     \\providecommand{\\sweepfloat}{table}\n";

/// As `†` marks quoted rows.
const MARKS: Marks = Marks { tie: "‡", ..BOLD };

impl Table {
    /// Returns the table as LaTeX with booktabs, a float for each block.
    pub fn latex(&self) -> String {
        let mut text = format!("% Made with `{}`.\n", one_line(&self.caption.command));
        text.push_str(NEEDS);
        text.push_str(PROVIDED);
        for (number, block) in (1..).zip(&self.blocks) {
            let columns = Columns::of(block, self.axes.len());
            let content = format!(
                "{}\n{}",
                fitted(&self.tabular(block, &columns)),
                self.notes()
            );
            let label = self.label("", number);
            text.push_str(&float(&self.caption_of(block), &label, &content));
        }
        for (number, pivot) in (1..).zip(&self.pivots) {
            let caption = format!("{}. {}", pivot.heading(&self.names), self.legend(&MARKS));
            let content = fitted(&tabular_of_pivot(pivot)) + "\n";
            let label = self.label("-pivot", number);
            text.push_str(&float(&escape(&caption), &label, &content));
        }
        text
    }

    /// The label of the table with this number among those of its kind.
    fn label(&self, kind: &str, number: usize) -> String {
        let sweep = &self.caption.sweep;
        match number {
            1 => format!("tab:{sweep}{kind}"),
            _ => format!("tab:{sweep}{kind}-{number}"),
        }
    }

    /// What is compared, what numbers and marks mean, and the protocol.
    fn caption_of(&self, block: &Block) -> String {
        let mut sentences = Vec::new();
        if !block.heading.is_empty() {
            sentences.push(escape(&format!("{}.", block.heading)));
        }
        sentences.push(escape(&self.legend(&MARKS)));
        if self.underlines(block) {
            sentences.push("Underlined: the second highest.".to_owned());
        }
        if !block.published.is_empty() {
            let sources = escape(&self.sources.join("; "));
            sentences.push(format!("\\dag: published, not run here ({sources})."));
        }
        sentences.extend(self.caption.lines.iter().map(|line| escape(line)));
        sentences.join(" ")
    }

    /// What failed, what is the same and what was waived, in small print.
    fn notes(&self) -> String {
        let mut notes = Vec::new();
        for (number, note) in (1..).zip(&self.footnotes) {
            notes.push(format!("\\textsuperscript{{{number}}}{}", escape(note)));
        }
        notes.extend(self.to_come.iter().map(|note| escape(note)));
        notes.extend(self.caption.same.iter().map(|note| escape(note)));
        notes.extend(self.caption.fairness.iter().map(|note| escape(note)));
        match notes[..] {
            [] => String::new(),
            _ => format!(
                "\\par\\smallskip\n{{\\footnotesize\\raggedright {}\\par}}\n",
                notes.join("\\\\\n")
            ),
        }
    }

    /// True if a column has one best, so that another value is the second best.
    fn underlines(&self, block: &Block) -> bool {
        match self.compare {
            Compare::Rows => has_best(block),
            Compare::Methods | Compare::Axis(_) => false,
        }
    }

    fn tabular(&self, block: &Block, columns: &Columns) -> String {
        let names = 1 + columns.own.len();
        let metrics: usize = block.groups.iter().map(|group| group.metrics.len()).sum();
        let all = names + metrics + 1;
        let mut text = format!(
            "%\n\\begin{{tabular}}{{@{{}}{}{}@{{}}}}\n\\toprule\n",
            "l".repeat(names),
            "r".repeat(metrics + 1)
        );
        text.push_str(&group_headings(block, names));
        text.push_str(&self.metric_headings(block, columns));
        text.push_str("\\midrule\n");
        let second = match self.underlines(block) {
            true => second_best(block),
            false => Vec::new(),
        };
        if !block.published.is_empty() {
            for line in &block.published {
                text.push_str(&row(&quoted(line, block, columns)));
            }
            text.push_str("\\midrule\n");
        }
        for (number, group) in columns.groups(block).iter().enumerate() {
            let heading = columns.heading(group[0], &self.axes);
            if number > 0 && !(heading.is_empty() && columns.grouping.is_empty()) {
                text.push_str("\\addlinespace\n");
            }
            if !heading.is_empty() {
                text.push_str(&format!(
                    "\\multicolumn{{{all}}}{{@{{}}l}}{{\\textit{{{heading}}}}} \\\\\n"
                ));
            }
            for line in group.iter().flat_map(|line| line.with_heads()) {
                text.push_str(&row(&cells(line, block, columns, &second)));
            }
        }
        text.push_str("\\bottomrule\n\\end{tabular}");
        text
    }

    fn metric_headings(&self, block: &Block, columns: &Columns) -> String {
        let mut cells = vec!["method".to_owned()];
        let axes = columns.own.iter().map(|&axis| escape(&self.axes[axis]));
        cells.extend(axes);
        for group in &block.groups {
            cells.extend(group.metrics.iter().map(|metric| escape(&metric.heading())));
        }
        cells.push("runs".to_owned());
        row(&cells)
    }
}

fn float(caption: &str, label: &str, content: &str) -> String {
    format!(
        "\n\\begin{{\\sweepfloat}}[t]\n\\centering\\sloppy\n\\caption{{{caption}}}\n\\label{{{label}}}\n\\vspace{{4pt}}\n{content}\\end{{\\sweepfloat}}\n"
    )
}

fn tabular_of_pivot(pivot: &Pivot) -> String {
    let names = 1 + pivot.others.len();
    let headings: Vec<String> = pivot.columns().iter().map(|name| escape(name)).collect();
    let mut text = format!(
        "%\n\\begin{{tabular}}{{@{{}}{}{}@{{}}}}\n\\toprule\n{}\\midrule\n",
        "l".repeat(names),
        "r".repeat(pivot.values.len()),
        row(&headings)
    );
    for line in &pivot.lines {
        let mut cells: Vec<String> = line.names().map(|name| escape(name)).collect();
        let values = line.cells.iter().map(Option::as_ref);
        cells.extend(
            values.map(|cell| cell.map_or_else(String::new, |cell| value(cell, None, None))),
        );
        text.push_str(&row(&cells));
    }
    text.push_str("\\bottomrule\n\\end{tabular}");
    text
}

/// The axes of a block: those that group its rows, and those with a column of their own.
struct Columns {
    grouping: Vec<usize>,
    own: Vec<usize>,
}

impl Columns {
    /// An axis that applies to more than one method groups the rows.
    fn of(block: &Block, axes: usize) -> Columns {
        let is_shared = |axis: &usize| {
            let lines = block
                .lines
                .iter()
                .filter(|line| !line.settings[*axis].is_empty());
            let methods: BTreeSet<&str> = lines.map(|line| line.method.as_str()).collect();
            methods.len() > 1
        };
        let (grouping, own) = (0..axes).partition(is_shared);
        Columns { grouping, own }
    }

    /// The rows of each group, by first appearance.
    fn groups<'b>(&self, block: &'b Block) -> Vec<Vec<&'b Line>> {
        let mut groups: Vec<Vec<&Line>> = Vec::new();
        for line in &block.lines {
            let values = |line: &Line| self.values(line);
            match groups
                .iter_mut()
                .find(|group| values(group[0]) == values(line))
            {
                Some(group) => group.push(line),
                None => groups.push(vec![line]),
            }
        }
        groups
    }

    fn values(&self, line: &Line) -> Vec<String> {
        let values = self
            .grouping
            .iter()
            .map(|&axis| line.settings[axis].clone());
        values.collect()
    }

    /// `backbone resnet50, embedding 512`.
    fn heading(&self, line: &Line, axes: &[String]) -> String {
        let mut parts = Vec::new();
        for &axis in &self.grouping {
            if !line.settings[axis].is_empty() {
                parts.push(escape(&format!("{} {}", axes[axis], line.settings[axis])));
            }
        }
        parts.join(", ")
    }
}

/// The headings of groups of columns, with rules below them; none if there is one group.
fn group_headings(block: &Block, names: usize) -> String {
    if block.groups.iter().all(|group| group.heading.is_empty()) {
        return String::new();
    }
    let mut cells = vec![String::new(); names];
    let (mut rules, mut first) = (String::new(), names + 1);
    for group in &block.groups {
        let width = group.metrics.len();
        let last = first + width - 1;
        cells.push(format!(
            "\\multicolumn{{{width}}}{{c}}{{{}}}",
            escape(&group.heading)
        ));
        rules.push_str(&format!("\\cmidrule(lr){{{first}-{last}}}"));
        first = last + 1;
    }
    cells.push(String::new());
    format!("{}{rules}\n", row(&cells))
}

fn has_best(block: &Block) -> bool {
    let parts = block
        .lines
        .iter()
        .flat_map(|line| line.parts.iter().flatten());
    let mut cells = parts.flat_map(|part| &part.cells);
    cells.any(|cell| cell.significance == Some(Significance::Best))
}

/// The second highest mean of each column.
type SecondBest = Vec<Vec<Option<f64>>>;

fn second_best(block: &Block) -> SecondBest {
    let mut second = Vec::new();
    for (position, group) in block.groups.iter().enumerate() {
        let parts = || {
            block
                .lines
                .iter()
                .filter_map(|line| line.parts[position].as_ref())
        };
        let of_metric = |metric: usize| second_highest(parts().map(|part| &part.cells[metric]));
        second.push((0..group.metrics.len()).map(of_metric).collect());
    }
    second
}

/// The highest mean below the best; none if no cell is marked as the best.
fn second_highest<'c>(cells: impl Iterator<Item = &'c Cell>) -> Option<f64> {
    let (best, others): (Vec<&Cell>, Vec<&Cell>) =
        cells.partition(|cell| cell.significance == Some(Significance::Best));
    best.first()?;
    let means = others.into_iter().filter_map(mean);
    means.max_by(f64::total_cmp)
}

fn mean(cell: &Cell) -> Option<f64> {
    match &cell.value {
        Value::Measured(summary) => Some(summary.mean),
        Value::Published(_) | Value::Broken(_) | Value::Failed | Value::Missing => None,
    }
}

fn names(line: &Line, columns: &Columns) -> Vec<String> {
    let name = escape(line.name());
    let mut cells = vec![match line.head {
        Some(_) => format!("\\quad {name}"),
        None => name,
    }];
    cells.extend(columns.own.iter().map(|&axis| escape(&line.settings[axis])));
    cells
}

fn cells(line: &Line, block: &Block, columns: &Columns, second: &SecondBest) -> Vec<String> {
    let mut cells = names(line, columns);
    let mut second = second.iter().flatten();
    let shown: Vec<(Option<Cell>, Option<usize>)> =
        values(line, block, |cell, footnote| (Some(cell.clone()), footnote));
    for (cell, footnote) in shown {
        let second = second.next().copied().flatten();
        let second = second.filter(|_| line.head.is_none());
        let text = cell.map(|cell| value(&cell, footnote, second));
        cells.push(text.unwrap_or_default());
    }
    cells.push(escape(&line.runs()));
    cells
}

fn quoted(line: &Line, block: &Block, columns: &Columns) -> Vec<String> {
    let mut cells = names(line, columns);
    cells[0].push_str("\\textsuperscript{\\dag}");
    cells.extend(values(line, block, |cell, _| escape(&cell.text())));
    cells.push(String::new());
    cells
}

/// A value with its marks; those that follow it take no space, so that numbers stay aligned.
fn value(cell: &Cell, footnote: Option<usize>, second: Option<f64>) -> String {
    let mut text = match &cell.value {
        Value::Measured(summary) => {
            let mean = percent(summary.mean);
            let mean = match cell.significance {
                Some(Significance::Best) => format!("\\textbf{{{mean}}}"),
                _ if second == Some(summary.mean) => format!("\\underline{{{mean}}}"),
                _ => mean,
            };
            let half_width = summary.half_width.map(percent);
            let half_width = half_width.map(|half| format!("{{\\scriptsize\\,$\\pm$\\,{half}}}"));
            mean + &half_width.unwrap_or_default()
        }
        Value::Published(_) | Value::Missing => escape(&cell.text()),
        Value::Broken(_) | Value::Failed => format!("\\textit{{{}}}", escape(&cell.text())),
    };
    text.push_str(&cell.share());
    let mut marks = match cell.significance {
        Some(Significance::Equal) => "$^{=}$".to_owned(),
        Some(Significance::NotDistinguishable) => "$^{\\approx}$".to_owned(),
        Some(Significance::Best | Significance::Worse | Significance::TooFew) | None => {
            String::new()
        }
    };
    if !cell.tie_mark().is_empty() {
        marks.push_str("\\textsuperscript{\\ddag}");
    }
    if let Some(number) = footnote {
        marks.push_str(&format!("\\textsuperscript{{{number}}}"));
    }
    if !marks.is_empty() {
        text.push_str(&format!("\\rlap{{{marks}}}"));
    }
    text
}

fn row(cells: &[String]) -> String {
    format!("{} \\\\\n", cells.join(" & "))
}
