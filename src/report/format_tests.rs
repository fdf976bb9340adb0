//! Names with characters that mean something in a format: every format shows them as they are.

use std::collections::BTreeSet;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::{
    Caption, Description, Format, Layout, Page, Results, Row, Table, page, table,
    tests::{METRICS, finished, row},
    tex,
};

/// What has a meaning in HTML, LaTeX, Markdown, CSV or a spreadsheet.
const SPECIAL: [&str; 34] = [
    "<",
    ">",
    "&",
    "\"",
    "'",
    "\\",
    "{",
    "}",
    "$",
    "%",
    "#",
    "_",
    "^",
    "~",
    "*",
    "`",
    "|",
    "[",
    "]",
    "(",
    ")",
    "!",
    ",",
    ";",
    "=",
    "+",
    "-",
    "@",
    "1. ",
    "&amp;",
    "</td>",
    "](x)",
    "\\end{tabular}",
    "é三",
];

/// Names that begin with each of them, and have each other behind it.
fn names() -> Vec<String> {
    let mut names = Vec::new();
    for first in SPECIAL {
        for second in SPECIAL {
            names.push(format!("{first}{second}a{second} {first}b"));
        }
    }
    names
}

fn rows(names: &[String]) -> Vec<Row> {
    let numbered = (0..).zip(names);
    let rows = numbered.map(|(number, name)| Row {
        run: format!("{number:016x}").parse().unwrap(),
        ..row("Omniglot", name, 0, finished(0.5, 0.25))
    });
    rows.collect()
}

fn table_of(rows: &[Row]) -> Table {
    let caption = Caption {
        sweep: "hostile".to_owned(),
        ..Caption::default()
    };
    let description = Description {
        compare: &crate::Compare::Rows,
        pivot: None,
        sort: crate::Sort::File,
        layout: Layout::DataSets,
        metrics: &|_| METRICS.to_vec(),
        published: &[],
        by_class: None,
        equal_within: None,
        caption: &caption,
    };
    table(rows, &description).unwrap()
}

/// A table with a name for each of them.
pub(crate) fn table_of_special_names() -> Table {
    table_of(&rows(
        &SPECIAL.map(|special| format!("{special}a{special} b")),
    ))
}

/// The first column of a Markdown table, as it is shown.
fn first_column(markdown: &str) -> Vec<String> {
    let mut column = Vec::new();
    let mut cell: Option<String> = None;
    let mut position = 0;
    for event in Parser::new_ext(
        markdown,
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH,
    ) {
        match event {
            Event::Start(Tag::TableRow) => position = 0,
            Event::Start(Tag::TableCell) => cell = Some(String::new()),
            Event::End(TagEnd::TableCell) => {
                let shown = cell.take().unwrap_or_default();
                if position == 0 {
                    column.push(shown);
                }
                position += 1;
            }
            Event::Text(text) => {
                if let Some(cell) = &mut cell {
                    cell.push_str(&text);
                }
            }
            // Anything else in a cell is shown in another way than it was written.
            other => {
                if let Some(cell) = &mut cell {
                    cell.push_str(&format!("{other:?}"));
                }
            }
        }
    }
    // Without the heading.
    column.split_off(1)
}

/// A field as a spreadsheet shows it: without the mark of a text.
fn unmarked(field: &str) -> &str {
    field.strip_prefix('\'').unwrap_or(field)
}

fn column(csv: &str, heading: &str) -> Vec<String> {
    let mut reader = ::csv::Reader::from_reader(csv.as_bytes());
    let position = reader
        .headers()
        .unwrap()
        .iter()
        .position(|name| name == heading)
        .unwrap();
    reader
        .records()
        .map(|record| record.unwrap()[position].to_owned())
        .collect()
}

#[test]
fn a_name_is_shown_as_it_is_in_every_format() {
    let names = names();
    let rows = rows(&names);
    let table = table_of(&rows);
    for format in Format::ALL {
        let files = table.files("table", format).unwrap();
        let text = files
            .first()
            .map_or_else(|| page_of(&table), |(_, text)| text.clone());
        match format {
            Format::Markdown => assert_eq!(first_column(&text), names),
            Format::Csv => is_in_csv(&text, &names, 1),
            Format::Tidy => is_in_csv(&text, &names, METRICS.len()),
            Format::Json => assert_eq!(methods(&text), names),
            Format::Text => is_at_beginnings(&text, &names),
            Format::Latex => {
                let escaped = names.iter().map(|name| format!("{} & ", tex::escape(name)));
                is_at_beginnings(&text, &escaped.collect::<Vec<_>>());
            }
            Format::Html => is_in_page(&text, &names),
            // Names are folders there.
            Format::Tensorboard => {}
        }
    }
    is_in_csv(&Results::of(&rows).csv().unwrap(), &names, 1);
}

fn page_of(table: &Table) -> String {
    page(&Page {
        tables: std::slice::from_ref(table),
        ..Page::default()
    })
}

/// The names of the cells of the first metric.
fn methods(json: &str) -> Vec<String> {
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let cells = json["cells"]
        .as_array()
        .unwrap()
        .iter()
        .step_by(METRICS.len());
    cells
        .map(|cell| cell["method"].as_str().unwrap().to_owned())
        .collect()
}

fn is_at_beginnings(text: &str, beginnings: &[String]) {
    let lines: BTreeSet<&str> = text.lines().collect();
    for beginning in beginnings {
        let next = lines.range(beginning.as_str()..).next();
        assert!(
            next.is_some_and(|line| line.starts_with(beginning.as_str())),
            "{beginning}"
        );
    }
}

/// The text of the headings of rows, with entities read back.
fn is_in_page(page: &str, names: &[String]) {
    let mut shown = Vec::new();
    for part in page.split("<th class=\"name\" scope=\"row\">").skip(1) {
        let (text, _) = part.split_once('<').unwrap();
        let text = text.replace("&lt;", "<").replace("&gt;", ">");
        shown.push(text.replace("&quot;", "\"").replace("&amp;", "&"));
    }
    assert_eq!(shown, names);
}

/// Each name has this number of lines, and none is a formula.
fn is_in_csv(csv: &str, names: &[String], lines: usize) {
    let found = column(csv, "method");
    for (shown, name) in found.iter().step_by(lines).zip(names) {
        assert_eq!(unmarked(shown), unmarked(name));
        assert!(!shown.starts_with(['=', '+', '-', '@']), "{shown}");
    }
    assert_eq!(found.len(), lines * names.len());
}

#[test]
fn nothing_has_a_meaning_in_latex() {
    for name in names() {
        let escaped = tex::escape(&name);
        let mut plain = escaped.clone();
        for command in [
            "\\textbackslash{}",
            "\\textasciicircum{}",
            "\\textasciitilde{}",
            "\\textless{}",
            "\\textgreater{}",
            "\\textbar{}",
            "\\char34{}",
            "\\textasciigrave{}",
            "\\{",
            "\\}",
            "\\$",
            "\\&",
            "\\#",
            "\\%",
            "\\_",
            "{[}",
            "{*}",
            "\\sweepchar{三}{U+4E09}",
        ] {
            plain = plain.replace(command, "");
        }
        plain = plain.replace("{}", "");
        assert!(
            !plain.contains(['\\', '{', '}', '$', '&', '#', '%', '_', '^', '~']),
            "{escaped}"
        );
    }
}
