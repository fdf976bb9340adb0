//! Reads embeddings with their labels from files of other programs.
//!
//! The bytes of a file decide what it is, not its name: an array of NumPy, one of an `.npz` archive
//! or a `.safetensors` file, or text. Of a text, headings and columns that only number the rows are
//! left out; [`Labeled::left_out`] says so. Whatever is not certainly embeddings is refused, with
//! what to do. Values are single precision.

mod archive;
mod columns;
mod format;
mod labels;
mod numpy;
mod table;
mod text;

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use schema::{EmbeddingFiles, LeftOut};

use self::{format::Format, labels::TextLabels, numpy::Array, table::Table};
pub(crate) use self::{labels::Known, text::excerpt};
use crate::Failed;

/// Embeddings with the label of each row.
#[derive(Debug, PartialEq)]
pub(crate) struct Labeled {
    /// Row after row.
    pub(crate) values: Vec<f32>,
    pub(crate) width: usize,
    pub(crate) labels: Vec<String>,
    /// What else the file of labels says about the images.
    pub(crate) known: Known,
    /// The parts of the file of embeddings that are not embeddings.
    pub(crate) left_out: Vec<LeftOut>,
    /// The parts of the file of labels that are not labels.
    pub(crate) left_out_of_labels: Vec<LeftOut>,
    /// True if the first row and its label may as well be headings.
    pub(crate) may_have_heading: bool,
}

/// Reads embeddings and their labels.
///
/// # Errors
/// A file cannot be read or has another format, or the two do not have the same number of rows.
pub(crate) fn labeled(files: &EmbeddingFiles) -> Result<Labeled, Failed> {
    let table = embeddings(&files.embeddings).map_err(|why| unusable(&files.embeddings, &why))?;
    let has_heading = !table.left_out.is_empty();
    let labels =
        labels_of(&files.labels, has_heading).map_err(|why| unusable(&files.labels, &why))?;
    joined(table, labels, files)
}

/// Joins rows and labels. Where a first line may be a heading, their numbers decide.
fn joined(
    mut table: Table,
    mut labels: TextLabels,
    files: &EmbeddingFiles,
) -> Result<Labeled, Failed> {
    let (rows, lines) = (table.rows, labels.labels.len());
    if table.may_have_heading && rows == lines + 1 {
        let heading: Vec<String> = table
            .values
            .drain(..table.width)
            .map(|x| x.to_string())
            .collect();
        table.rows -= 1;
        table.left_out.push(LeftOut::Heading {
            text: heading.join(","),
        });
    }
    if labels.may_have_heading && lines == rows + 1 {
        let text = text::excerpt(&labels.labels.remove(0));
        labels.left_out.push(LeftOut::Heading { text });
    }
    if table.rows != labels.labels.len() {
        return Err(Failed::data(format!(
            "`{}` has {} but `{}` has {}",
            files.embeddings.display(),
            counted(table.rows, "row", &table.left_out),
            files.labels.display(),
            counted(labels.labels.len(), "label", &labels.left_out),
        )));
    }
    Ok(Labeled {
        may_have_heading: rows == lines && table.may_have_heading && labels.may_have_heading,
        values: table.values,
        width: table.width,
        labels: labels.labels,
        known: labels.known,
        left_out: table.left_out,
        left_out_of_labels: labels.left_out,
    })
}

fn counted(count: usize, noun: &str, left_out: &[LeftOut]) -> String {
    let plural = if count == 1 { "" } else { "s" };
    let heading = left_out.iter().find_map(|left_out| match left_out {
        LeftOut::Heading { text } => Some(text),
        LeftOut::Index | LeftOut::Columns { .. } => None,
    });
    let below = heading.map_or(String::new(), |text| format!(" below the heading `{text}`"));
    format!("{count} {noun}{plural}{below}")
}

fn embeddings(path: &Path) -> Result<Table, String> {
    let (path, name) = &located(path);
    let array = match format::of(path)? {
        Format::Npy => npy(path, numpy::numbers)?,
        Format::Zip => archive::npz(path, name.as_deref(), "embeddings", |file, length| {
            numpy::numbers(file, length)
        })?,
        Format::Safetensors => {
            archive::numbers(&archive::safetensors(path, name.as_deref(), "embeddings")?)?
        }
        Format::Text => return table::parse(&text::text(path)?),
    };
    match array.shape[..] {
        [rows, width] if rows > 0 && width > 0 => Ok(Table {
            values: array.values,
            rows,
            width,
            left_out: Vec::new(),
            may_have_heading: false,
        }),
        _ => Err(format!(
            "its shape is {:?}, not [images, width]",
            array.shape
        )),
    }
}

/// Reads labels beside embeddings that have a heading of their own or not.
fn labels_of(path: &Path, has_heading: bool) -> Result<TextLabels, String> {
    let (path, name) = &located(path);
    let array = match format::of(path)? {
        Format::Npy => npy(path, numpy::labels)?,
        Format::Zip => archive::npz(path, name.as_deref(), "labels", |file, length| {
            numpy::labels(file, length)
        })?,
        Format::Safetensors => {
            archive::labels(&archive::safetensors(path, name.as_deref(), "labels")?)?
        }
        Format::Text => {
            let is_csv = path
                .extension()
                .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
            let text = text::text(path)?;
            return match columns::parse(&text)? {
                Some(table) => Ok(table),
                None => labels::parse(&text, is_csv || has_heading),
            };
        }
    };
    match array.shape[..] {
        [_] | [_, 1] | [1, _] => Ok(TextLabels {
            labels: array.values,
            known: Known::default(),
            left_out: Vec::new(),
            may_have_heading: false,
        }),
        _ => Err(format!(
            "its shape is {:?}, not [images]: one label for each image",
            array.shape
        )),
    }
}

fn npy<T>(
    path: &Path,
    read: impl FnOnce(&mut BufReader<File>, u64) -> Result<Array<T>, String>,
) -> Result<Array<T>, String> {
    let file = durable::open(path).map_err(format::describe)?;
    let length = file.metadata().map_err(format::describe)?.len();
    read(&mut BufReader::with_capacity(1 << 20, file), length)
}

/// Splits `FILE:NAME` into a file and the name of an array in it.
fn located(path: &Path) -> (PathBuf, Option<String>) {
    let split = path.to_str().and_then(|text| text.rsplit_once(':'));
    match split {
        Some((file, name)) if !path.exists() && Path::new(file).is_file() => {
            (file.into(), Some(name.to_owned()))
        }
        _ => (path.to_owned(), None),
    }
}

fn unusable(path: &Path, why: &str) -> Failed {
    Failed::data(format!("cannot use `{}`: {why}", path.display()))
}

#[cfg(test)]
mod tests;
