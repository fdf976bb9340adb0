//! A user's own table with a row for each image.
//!
//! | column | meaning |
//! | --- | --- |
//! | `path` | relative to the folder of the table, or absolute |
//! | `label` | the class: a number or a name |
//! | `class_name` | what the class is called; absent: its label |
//! | `split` | `train`, or `test` or `validation`; absent: the first half of the classes is trained on |
//! | `is_query`, `is_gallery` | the part of a test image in retrieval; both absent: it has both parts |
//! | `category` | the super-class |
//! | `category_2` to `category_6` | wider super-classes, each of those before |
//! | `x_1`, `y_1`, `x_2`, `y_2` | the box to cut out; right and bottom are outside of it |
//! | `camera`, or `sequence` | what took the image: a query does not search the images of its class from its own camera |
//! | names that begin with `_`, and no name | nothing here |
//!
//! Only `path` and `label` are needed. Tables of Open Metric Learning are of this form. Cells are separated by commas,
//! semicolons or tabs. Names of columns and of halves may have capitals, and empty rows are skipped. A column without a
//! name is the index that pandas writes.

use std::{collections::BTreeMap, path::Path};

use csv::{ReaderBuilder, StringRecord};
use schema::Registration;

use super::{Class, DataError, Layout, Listing, Role, Row, halves, inside, label_key, part, text};

pub(super) const LAYOUTS: [Layout; 2] = [
    Layout {
        name: "`manifest.csv`",
        list: named,
    },
    Layout {
        name: "another table with the columns `path` and `label`",
        list: other,
    },
];

/// The columns that are understood.
const COLUMNS: [&str; 18] = [
    "path",
    LABEL,
    "class_name",
    "split",
    "is_query",
    "is_gallery",
    CATEGORY,
    WIDER[0],
    WIDER[1],
    WIDER[2],
    WIDER[3],
    WIDER[4],
    "x_1",
    "y_1",
    "x_2",
    "y_2",
    CAMERA,
    SEQUENCE,
];

/// The columns without which a table is not one of images.
const NEEDED: [&str; 2] = ["path", LABEL];

/// The column of classes.
pub const LABEL: &str = "label";

/// The column of super-classes.
pub const CATEGORY: &str = "category";

/// The columns of wider super-classes, the narrowest first.
pub const WIDER: [&str; 5] = [
    "category_2",
    "category_3",
    "category_4",
    "category_5",
    "category_6",
];

/// The columns of cameras. A table has one of them.
pub const CAMERA: &str = "camera";
const SEQUENCE: &str = "sequence";

/// The separators of cells. Of those that give equally many columns, the last is meant.
const SEPARATORS: [u8; 3] = [b'\t', b';', b','];

fn named(root: &Path) -> Result<Option<Listing>, DataError> {
    let path = root.join("manifest.csv");
    if path.is_file() {
        read(&path).map(Some)
    } else {
        Ok(None)
    }
}

fn other(root: &Path) -> Result<Option<Listing>, DataError> {
    let mut tables = Vec::new();
    for (name, path) in inside(root)? {
        if is_table(&name) && path.is_file() && has_columns(&path)? {
            tables.push(path);
        }
    }
    match tables.as_slice() {
        [] => Ok(None),
        [table] => read(table).map(Some),
        [_, other, ..] => Err(DataError::unreadable(
            other,
            "it is one of several tables with the columns `path` and `label`; name the right one `manifest.csv`",
        )),
    }
}

fn is_table(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    name != Registration::LISTING
        && ending.is_some_and(|ending| {
            ["csv", "tsv"]
                .iter()
                .any(|table| ending.eq_ignore_ascii_case(table))
        })
}

fn has_columns(table: &Path) -> Result<bool, DataError> {
    let (_, columns) = header(&text::first_line(table)?);
    let has = |column: &&str| columns.iter().any(|name| name == *column);
    Ok(NEEDED.iter().all(has))
}

/// Returns the separator of a table and the names of its columns, in small letters.
fn header(text: &str) -> (u8, Vec<String>) {
    let columns = |separator: u8| {
        let mut first = StringRecord::new();
        // Text in memory is always read. A table without a line has no columns.
        let _ = rows(text, separator).read_record(&mut first);
        let names = first.iter().map(|name| name.trim().to_lowercase());
        (separator, names.collect::<Vec<String>>())
    };
    let found = SEPARATORS.map(columns).into_iter();
    found
        .max_by_key(|(_, names)| names.len())
        .unwrap_or_default()
}

/// Returns a reader of all rows, the header first.
fn rows(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes())
}

/// Reads a table.
///
/// # Errors
/// If it cannot be read, lacks a column, has an unknown one, or a value makes no sense.
fn read(path: &Path) -> Result<Listing, DataError> {
    let text = text::text(path)?.ok_or_else(|| DataError::missing(path, "a table of images"))?;
    let table = Table::new(path, &text)?;
    let (mut training, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
    for record in rows(&text, table.separator).into_records().skip(1) {
        let record = record.map_err(|error| DataError::unreadable(path, error))?;
        let cells = Cells {
            table: &table,
            record,
        };
        if cells.are_empty() {
            continue;
        }
        let half = match cells.split()? {
            Split::Train => &mut training,
            Split::Validation => &mut validation,
            Split::Test => &mut test,
        };
        half.push(cells.row()?);
    }
    if let (Some(row), false) = (validation.first(), test.is_empty()) {
        let why = "it has rows of `validation` and of `test`; call the former `train`, folds choose what is validated on";
        return Err(table.wrong(row.start, why));
    }
    test.append(&mut validation);
    table.check_classes(&training)?;
    table.check_classes(&test)?;
    table.check_levels(&training)?;
    table.check_levels(&test)?;
    if !table.has("split") {
        return Ok(halves(without_places(training)));
    }
    Ok(Listing {
        training: part(without_places(training)),
        test: part(without_places(test)),
    })
}

/// The values of the column `split`.
enum Split {
    Train,
    Validation,
    Test,
}

/// A listed image, with the place of its row.
struct TableRow {
    row: Row<(u64, String)>,
    /// The byte at which the row begins.
    start: usize,
}

fn without_places(rows: Vec<TableRow>) -> Vec<Row<(u64, String)>> {
    rows.into_iter().map(|row| row.row).collect()
}

/// A table with a valid header.
struct Table<'a> {
    path: &'a Path,
    text: &'a str,
    separator: u8,
    columns: Vec<String>,
}

impl<'a> Table<'a> {
    fn new(path: &'a Path, text: &'a str) -> Result<Table<'a>, DataError> {
        let (separator, columns) = header(text);
        let table = Table {
            path,
            text,
            separator,
            columns,
        };
        match table.wrong_header() {
            Some(why) => Err(DataError::unreadable(path, why)),
            None => Ok(table),
        }
    }

    /// Returns what is wrong with the names of the columns.
    fn wrong_header(&self) -> Option<String> {
        let named = || self.columns.iter().filter(|name| !is_index(name));
        if let Some(unknown) = named().find(|name| !is_known(name)) {
            return Some(format!(
                "its column `{unknown}` is none of `{}`; to keep it, let its name begin with `_`",
                COLUMNS.join("`, `")
            ));
        }
        if let Some(missing) = NEEDED.iter().find(|column| !self.has(column)) {
            return Some(format!("it has no column `{missing}`"));
        }
        if self.has(CAMERA) && self.has(SEQUENCE) {
            return Some(BOTH_CAMERAS.to_owned());
        }
        let twice = named().find(|name| named().filter(|other| other == name).count() > 1);
        twice.map(|twice| format!("it has the column `{twice}` twice"))
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    fn has(&self, name: &str) -> bool {
        self.column(name).is_some()
    }

    /// Returns the line of the row that begins at this byte, from 1. Empty lines before it are not a part of it.
    fn line(&self, start: usize) -> usize {
        let rest = self.text.get(start..).unwrap_or_default();
        let empty = rest.len() - rest.trim_start_matches(['\r', '\n']).len();
        let before = self.text.get(..start + empty).unwrap_or(self.text);
        1 + before.matches('\n').count()
    }

    fn wrong(&self, start: usize, why: impl std::fmt::Display) -> DataError {
        DataError::unreadable(self.path, format!("line {}: {why}", self.line(start)))
    }

    /// Checks that labels and classes of one half correspond one to one.
    fn check_classes(&self, rows: &[TableRow]) -> Result<(), DataError> {
        let mut of_label = BTreeMap::new();
        let mut of_name = BTreeMap::new();
        for row in rows {
            let first = *of_label.entry(&row.row.key).or_insert(row);
            if first.row.class != row.row.class {
                return Err(self.wrong_pair(first, row, &two_classes(first, row)));
            }
            let first = *of_name.entry(&row.row.class.name).or_insert(row);
            if first.row.key != row.row.key {
                return Err(self.wrong_pair(first, row, &two_labels(first, row)));
            }
        }
        Ok(())
    }

    /// Checks that each super-class lies in one wider super-class.
    fn check_levels(&self, rows: &[TableRow]) -> Result<(), DataError> {
        let mut of_category = BTreeMap::new();
        for row in rows {
            for (level, category) in levels(&row.row.class).into_iter().enumerate() {
                let first = *of_category.entry((level, category)).or_insert(row);
                let [one, other] = [first, row].map(|row| row.row.class.wider.get(level));
                if one != other {
                    return Err(self.wrong_pair(first, row, &two_wider(category, one, other)));
                }
            }
        }
        Ok(())
    }

    fn wrong_pair(&self, one: &TableRow, other: &TableRow, why: &str) -> DataError {
        let [one, other] = [one, other].map(|row| self.line(row.start));
        DataError::unreadable(self.path, format!("lines {one} and {other}: {why}"))
    }
}

fn is_known(name: &str) -> bool {
    COLUMNS.contains(&name) || name.starts_with('_')
}

/// Returns true for the name of the column that pandas writes without being asked to.
fn is_index(name: &str) -> bool {
    name.is_empty() || name.starts_with("unnamed: ")
}

/// Returns the super-classes of a class, the narrowest first.
fn levels(class: &Class) -> Vec<&str> {
    let all = class.category.iter().chain(&class.wider);
    all.map(String::as_str).collect()
}

/// Returns the message about two rows of one super-class that differ in the next wider one.
fn two_wider(category: &str, one: Option<&String>, other: Option<&String>) -> String {
    let [one, other] = [one, other].map(|wider| wider.map_or("(none)", String::as_str));
    format!(
        "the category `{category}` lies in `{one}` and in `{other}`; a category lies in one wider category"
    )
}

/// Returns the message about two rows of one label that differ in their class.
fn two_classes(one: &TableRow, other: &TableRow) -> String {
    let label = &one.row.key.1;
    let [one, other] = [one, other].map(|row| &row.row.class);
    if one.name != other.name {
        return format!(
            "the label `{label}` has the class names `{}` and `{}`; a class has one name",
            one.name, other.name
        );
    }
    let [one, other] = [one, other].map(|class| match class.category {
        Some(_) => levels(class).join(" < "),
        None => "(none)".to_owned(),
    });
    format!(
        "the label `{label}` has the categories `{one}` and `{other}`; a class has one category"
    )
}

/// Returns the message about two rows of one class name that differ in their label.
fn two_labels(one: &TableRow, other: &TableRow) -> String {
    format!(
        "the labels `{}` and `{}` have the same class name `{}`; give each class a name of its own, or leave \
         the column `class_name` out",
        one.row.key.1, other.row.key.1, one.row.class.name
    )
}

/// A row of a table.
struct Cells<'a> {
    table: &'a Table<'a>,
    record: StringRecord,
}

impl Cells<'_> {
    /// Returns a cell as it is written.
    fn cell(&self, column: &str) -> Option<&str> {
        self.record.get(self.table.column(column)?)
    }

    /// Returns a text, if it is not empty.
    fn get(&self, column: &str) -> Option<&str> {
        self.cell(column)
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
    }

    /// Returns the text of a number or a flag, if there is one. Numbers that are missing are often written as `nan`.
    fn number(&self, column: &str) -> Option<&str> {
        self.get(column)
            .filter(|cell| !cell.eq_ignore_ascii_case("nan"))
    }

    /// Returns true if nothing is written in the row.
    fn are_empty(&self) -> bool {
        self.record.iter().all(|cell| cell.trim().is_empty())
    }

    fn start(&self) -> usize {
        let position = self.record.position();
        position.map_or(0, |position| position.byte() as usize)
    }

    fn wrong(&self, why: impl std::fmt::Display) -> DataError {
        self.table.wrong(self.start(), why)
    }

    fn needed(&self, column: &str) -> Result<&str, DataError> {
        self.get(column)
            .ok_or_else(|| self.wrong(format!("there is no {column}")))
    }

    fn split(&self) -> Result<Split, DataError> {
        if !self.table.has("split") {
            return Ok(Split::Train);
        }
        let split = self.needed("split")?;
        match split.to_lowercase().as_str() {
            "train" => Ok(Split::Train),
            "validation" | "val" => Ok(Split::Validation),
            "test" => Ok(Split::Test),
            _ => Err(self.wrong(format!("the split `{split}` is neither `train` nor `test`"))),
        }
    }

    fn row(&self) -> Result<TableRow, DataError> {
        let (cells, columns) = (self.record.len(), self.table.columns.len());
        if cells != columns {
            return Err(self.wrong(format!(
                "{cells} cells, but the table has {columns} columns"
            )));
        }
        let label = self.needed("label")?;
        let class = Class {
            name: self.get("class_name").unwrap_or(label).to_owned(),
            category: self.get("category").map(str::to_owned),
            wider: self.wider()?,
        };
        self.needed("path")?;
        let root = self.table.path.parent().unwrap_or(Path::new("."));
        let path = text::located(root, self.cell("path").unwrap_or_default());
        let row = Row {
            key: label_key(label),
            class,
            path: path.map_err(|why| self.wrong(why))?,
            role: self.role()?,
            bounding_box: self.bounding_box()?,
            camera: self.get(CAMERA).or(self.get(SEQUENCE)).map(str::to_owned),
        };
        Ok(TableRow {
            row,
            start: self.start(),
        })
    }

    /// Returns the wider super-classes.
    fn wider(&self) -> Result<Vec<String>, DataError> {
        let mut wider = Vec::new();
        let mut narrower = ("category", self.get("category"));
        for column in WIDER {
            let category = self.get(column);
            if let (Some(category), (missing, None)) = (category, narrower) {
                return Err(self.wrong(format!(
                    "there is the {column} `{category}`, but no {missing} in it"
                )));
            }
            wider.extend(category.map(str::to_owned));
            narrower = (column, category);
        }
        Ok(wider)
    }

    fn role(&self) -> Result<Role, DataError> {
        match (self.flag("is_query")?, self.flag("is_gallery")?) {
            (Some(true), Some(true)) | (None, None) => Ok(Role::Both),
            (Some(true), Some(false) | None) => Ok(Role::Query),
            (Some(false) | None, Some(true)) => Ok(Role::Gallery),
            _ if self.table.has("split") && matches!(self.split()?, Split::Train) => Ok(Role::Both),
            _ => Err(self.wrong("an image to test on that is neither query nor gallery")),
        }
    }

    fn flag(&self, column: &str) -> Result<Option<bool>, DataError> {
        let Some(cell) = self.number(column) else {
            return Ok(None);
        };
        match cell.to_lowercase().as_str() {
            "true" | "1" | "1.0" => Ok(Some(true)),
            "false" | "0" | "0.0" => Ok(Some(false)),
            _ => Err(self.wrong(format!(
                "`{column}` is `{cell}`, neither `true` nor `false`"
            ))),
        }
    }

    fn bounding_box(&self) -> Result<Option<[u32; 4]>, DataError> {
        let sides = ["x_1", "y_1", "x_2", "y_2"];
        if sides.iter().all(|side| self.number(side).is_none()) {
            return Ok(None);
        }
        let mut pixels = [0; 4];
        for (pixel, side) in pixels.iter_mut().zip(sides) {
            *pixel = self.pixels(side)?;
        }
        Ok(Some(pixels))
    }

    fn pixels(&self, side: &str) -> Result<u32, DataError> {
        let cell = self
            .number(side)
            .ok_or_else(|| self.wrong(format!("there is no `{side}`, but a part of a box")))?;
        whole(cell)
            .ok_or_else(|| self.wrong(format!("`{side}` is `{cell}`, not a number of pixels")))
    }
}

const BOTH_CAMERAS: &str = "it has the columns `camera` and `sequence`, of which one decides what a query does not search; \
     to keep the other, let its name begin with `_`";

/// Returns an integer, possibly written as `12.0`.
fn whole(text: &str) -> Option<u32> {
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}
