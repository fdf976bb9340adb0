//! A table with a row for each image: the form into which every data set is brought, and the one for a user's own.
//!
//! | column | meaning |
//! | --- | --- |
//! | `path` | relative to the folder of the table, or absolute |
//! | `label` | the class: a number or a name |
//! | `class_name` | what the class is called; absent: its label |
//! | `split` | `train`, or `test` or `validation`; absent: the first half of the classes is trained on |
//! | `is_query`, `is_gallery` | the part of a test image in retrieval; both absent: it has both parts |
//! | `category` | the super-class |
//! | `x_1`, `y_1`, `x_2`, `y_2` | the box to cut out; right and bottom are outside of it |
//! | `sequence`, and names that begin with `_` | nothing here |
//!
//! Only `path` and `label` are needed. Tables of Open Metric Learning are of this form.

use std::path::{Path, PathBuf};

use csv::StringRecord;
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

const COLUMNS: [&str; 11] = [
    "path",
    "label",
    "class_name",
    "split",
    "is_query",
    "is_gallery",
    "category",
    "x_1",
    "y_1",
    "x_2",
    "y_2",
];

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
        if name.ends_with(".csv") && name != Registration::LISTING && has_columns(&path)? {
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

fn has_columns(table: &Path) -> Result<bool, DataError> {
    let text = text::text(table)?.unwrap_or_default();
    let header = text.lines().next().unwrap_or_default();
    Ok(["path", "label"]
        .iter()
        .all(|column| header.split(',').any(|name| name.trim() == *column)))
}

/// Reads a table.
///
/// # Errors
/// It cannot be read, lacks a column, has an unknown one, or a value makes no sense.
pub fn read(path: &Path) -> Result<Listing, DataError> {
    let text = text::text(path)?.ok_or_else(|| DataError::missing(path, "a table of images"))?;
    let table = Table::new(path, &text)?;
    let root = path.parent().unwrap_or(Path::new("."));
    let (mut training, mut validation, mut test) = (Vec::new(), Vec::new(), Vec::new());
    for record in csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes())
        .into_records()
    {
        let record = record.map_err(|error| DataError::unreadable(path, error))?;
        let cells = Cells {
            table: &table,
            record,
        };
        let row = cells.row(root)?;
        match cells.get("split") {
            Some("train") | None => training.push(row),
            Some("validation" | "val") => validation.push(row),
            Some("test") => test.push(row),
            Some(other) => {
                return Err(
                    cells.wrong(format!("the split `{other}` is neither `train` nor `test`"))
                );
            }
        }
    }
    match (
        table.column("split").is_some(),
        validation.is_empty(),
        test.is_empty(),
    ) {
        (false, _, _) => Ok(halves(training)),
        (true, false, false) => Err(DataError::unreadable(
            path,
            "it has rows of `validation` and of `test`; call the former `train`, folds choose what is validated on",
        )),
        (true, _, _) => {
            test.append(&mut validation);
            Ok(Listing {
                training: part(training),
                test: part(test),
            })
        }
    }
}

/// The columns of a table.
struct Table<'a> {
    path: &'a Path,
    columns: StringRecord,
}

impl<'a> Table<'a> {
    fn new(path: &'a Path, text: &str) -> Result<Table<'a>, DataError> {
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let columns = reader
            .headers()
            .map_err(|error| DataError::unreadable(path, error))?
            .clone();
        let known =
            |name: &str| COLUMNS.contains(&name) || name == "sequence" || name.starts_with('_');
        if let Some(unknown) = columns.iter().find(|name| !known(name)) {
            let known = COLUMNS.join("`, `");
            let why = format!(
                "its column `{unknown}` is none of `{known}`; to keep it, let its name begin with `_`"
            );
            return Err(DataError::unreadable(path, why));
        }
        let table = Table { path, columns };
        match ["path", "label"]
            .into_iter()
            .find(|column| table.column(column).is_none())
        {
            Some(column) => Err(DataError::unreadable(
                path,
                format!("it has no column `{column}`"),
            )),
            None => Ok(table),
        }
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }
}

/// A row of a table.
struct Cells<'a> {
    table: &'a Table<'a>,
    record: StringRecord,
}

impl Cells<'_> {
    /// Returns the value of a column, if it is not empty.
    fn get(&self, column: &str) -> Option<&str> {
        let cell = self.record.get(self.table.column(column)?)?;
        (!cell.is_empty() && !cell.eq_ignore_ascii_case("nan")).then_some(cell)
    }

    fn wrong(&self, why: impl std::fmt::Display) -> DataError {
        let line = self.record.position().map_or(0, csv::Position::line);
        DataError::unreadable(self.table.path, format!("line {line}: {why}"))
    }

    fn needed(&self, column: &str) -> Result<&str, DataError> {
        self.get(column)
            .ok_or_else(|| self.wrong(format!("there is no {column}")))
    }

    fn row(&self, root: &Path) -> Result<Row<(u64, String)>, DataError> {
        let label = self.needed("label")?;
        let name = self.get("class_name").unwrap_or(label).to_owned();
        let class = Class {
            name,
            category: self.get("category").map(str::to_owned),
        };
        let path: PathBuf = root.join(self.needed("path")?);
        Ok(Row {
            key: label_key(label),
            class,
            path,
            role: self.role()?,
            bounding_box: self.bounding_box()?,
        })
    }

    fn role(&self) -> Result<Role, DataError> {
        match (self.yes("is_query")?, self.yes("is_gallery")?) {
            (Some(true), Some(true)) | (None, None) => Ok(Role::Both),
            (Some(true), Some(false) | None) => Ok(Role::Query),
            (Some(false) | None, Some(true)) => Ok(Role::Gallery),
            _ if self.get("split") == Some("train") => Ok(Role::Both),
            _ => Err(self.wrong("an image to test on that is neither query nor gallery")),
        }
    }

    fn yes(&self, column: &str) -> Result<Option<bool>, DataError> {
        match self.get(column) {
            None => Ok(None),
            Some("true" | "True" | "TRUE" | "1" | "1.0") => Ok(Some(true)),
            Some("false" | "False" | "FALSE" | "0" | "0.0") => Ok(Some(false)),
            Some(other) => Err(self.wrong(format!(
                "`{column}` is `{other}`, neither `true` nor `false`"
            ))),
        }
    }

    fn bounding_box(&self) -> Result<Option<[u32; 4]>, DataError> {
        let sides = ["x_1", "y_1", "x_2", "y_2"];
        match sides.map(|side| self.get(side)) {
            [None, None, None, None] => Ok(None),
            found => {
                let mut pixels = [0; 4];
                for ((pixel, side), found) in pixels.iter_mut().zip(sides).zip(found) {
                    *pixel = found
                        .and_then(whole)
                        .ok_or_else(|| self.wrong(format!("`{side}` is no pixel")))?;
                }
                Ok(Some(pixels))
            }
        }
    }
}

/// Returns an integer, possibly written as `12.0`.
fn whole(text: &str) -> Option<u32> {
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}

/// Writes a listing as a table whose paths are relative to `root`, if they are below it.
/// [`read`] gives it back, whatever its classes are called.
///
/// # Errors
/// A path is not valid UTF-8, or the disk does not take the table.
pub fn write(listing: &Listing, root: &Path, path: &Path) -> Result<(), DataError> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| DataError::disk("write", path)(error.into());
    table.write_record(COLUMNS).map_err(failed)?;
    let mut first = 0;
    for (half, part) in listing.halves() {
        let split = if half == "training" { "train" } else { "test" };
        for image in &part.images {
            let class = &part.classes[image.class as usize];
            let file = image.path.strip_prefix(root).unwrap_or(&image.path);
            let file = file.to_str().ok_or_else(|| {
                DataError::unreadable(file, "its name is not valid UTF-8; rename it")
            })?;
            let label = (first + image.class).to_string();
            let mut record: Vec<String> =
                [file, &label, &class.name, split].map(str::to_owned).into();
            let roles = [image.role.is_query(), image.role.is_reference()];
            record.extend(roles.map(|yes| {
                if half == "training" {
                    String::new()
                } else {
                    yes.to_string()
                }
            }));
            record.push(class.category.clone().unwrap_or_default());
            match image.bounding_box {
                Some(sides) => record.extend(sides.map(|side| side.to_string())),
                None => record.extend([const { String::new() }; 4]),
            }
            table.write_record(&record).map_err(failed)?;
        }
        first += part.classes.len() as u32;
    }
    let bytes = table
        .into_inner()
        .map_err(|error| DataError::disk("write", path)(error.into_error()))?;
    Ok(durable::write(path, &bytes)?)
}
