//! Labels as a table with named columns, which says more about each image than its class.
//!
//! The columns are those of the table of a data set of one's own: `label`, `camera`, `category` and the wider ones. Columns
//! that only tell the rows apart are left out. All others are refused, so that a misspelled one is not lost.

use std::iter;

use csv::{ErrorKind, ReaderBuilder, StringRecord, Trim};
use dml::data::readers::manifest::{CAMERA, CATEGORY, LABEL, WIDER};
use schema::LeftOut;

use super::{
    labels::{Known, TextLabels, whole_numbers},
    text::{excerpt, lines, unquoted},
};

/// The names of columns that tell rows apart, as `sweep embed` and lists of files have them.
const OF_ROWS: [&str; 6] = ["row", "index", "id", "path", "file", "image"];

/// The indices of the columns that are read.
struct Columns {
    label: usize,
    camera: Option<usize>,
    categories: Vec<usize>,
    /// The names of the others.
    others: Vec<String>,
}

/// Parses a table of labels. `None` if the text is no table with these columns.
///
/// # Errors
/// The table has other columns, or a row has no label or another number of cells.
pub(super) fn parse(text: &str) -> Result<Option<TextLabels>, String> {
    let Some((heading, separator)) = heading(text) else {
        return Ok(None);
    };
    let mut reader = ReaderBuilder::new()
        .delimiter(separator)
        .trim(Trim::All)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let columns = Columns::of(reader.headers().map_err(|error| wrong(&error))?)?;
    let (mut labels, mut known) = (Vec::new(), Known::default());
    known.levels.resize(columns.categories.len(), Vec::new());
    for record in reader.records() {
        let record = record.map_err(|error| wrong(&error))?;
        let cell = |column: usize| record.get(column).filter(|cell| !cell.is_empty());
        let line = record.position().map_or(0, csv::Position::line);
        let label = cell(columns.label).ok_or_else(|| format!("line {line} has no label"))?;
        labels.push(label.to_owned());
        let camera = columns.camera.map(|column| cell(column).map(str::to_owned));
        known.cameras.extend(camera);
        for (level, column) in known.levels.iter_mut().zip(&columns.categories) {
            level.push(cell(*column).map(str::to_owned));
        }
    }
    if labels.is_empty() {
        return Err("it holds no labels".to_owned());
    }
    let heading = LeftOut::Heading {
        text: excerpt(heading),
    };
    let others = Some(columns.others).filter(|others| !others.is_empty());
    let others = others.map(|names| LeftOut::Columns { names });
    Ok(Some(TextLabels {
        labels: whole_numbers(labels),
        known,
        left_out: iter::once(heading).chain(others).collect(),
        may_have_heading: false,
    }))
}

/// Returns the first line and what separates its cells, if it names one of the columns.
fn heading(text: &str) -> Option<(&str, u8)> {
    let line = lines(text).first()?.text;
    let names_columns = |mark: &u8| {
        let mut cells = line.split(char::from(*mark)).map(unquoted);
        line.contains(char::from(*mark)) && cells.any(|cell| is_read(&cell.to_lowercase()))
    };
    let separator = [b';', b'\t', b','].into_iter().find(names_columns)?;
    Some((line, separator))
}

fn is_read(name: &str) -> bool {
    [LABEL, CAMERA, CATEGORY].contains(&name) || WIDER.contains(&name)
}

impl Columns {
    /// Finds the columns by their names.
    fn of(heading: &StringRecord) -> Result<Columns, String> {
        let names: Vec<String> = heading.iter().map(str::to_lowercase).collect();
        let at = |name: &str| names.iter().position(|found| found == name);
        let label = at(LABEL).ok_or_else(|| format!("it has no column `{LABEL}`"))?;
        let others = heading.iter().zip(&names);
        let others: Vec<&str> = others
            .filter(|(_, name)| !is_read(name))
            .map(|(written, _)| written)
            .collect();
        let is_unknown = |name: &&&str| !tells_rows_apart(&name.to_lowercase());
        if let Some(unknown) = others.iter().find(is_unknown) {
            return Err(format!(
                "it has a column `{}`; those that are read are `{LABEL}`, `{CAMERA}`, `{CATEGORY}` and `{}` to `{}`: \
                 rename it, or let its name begin with `_`",
                excerpt(unknown),
                WIDER[0],
                WIDER[WIDER.len() - 1]
            ));
        }
        let levels = iter::once(CATEGORY).chain(WIDER).map(at);
        let categories: Vec<usize> = levels.clone().map_while(|column| column).collect();
        if levels.flatten().count() > categories.len() {
            return Err(format!(
                "it has a column of wider super-classes without those before: `{CATEGORY}`, `{}`, ..",
                WIDER[0]
            ));
        }
        Ok(Columns {
            label,
            camera: at(CAMERA),
            categories,
            others: others.into_iter().map(excerpt).collect(),
        })
    }
}

fn tells_rows_apart(name: &str) -> bool {
    let is_nameless = name.is_empty() || name.starts_with("unnamed");
    is_nameless || name.starts_with('_') || OF_ROWS.contains(&name)
}

fn wrong(error: &csv::Error) -> String {
    match error.kind() {
        ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => format!(
            "line {} has {len} cells, the heading has {expected_len}",
            pos.as_ref().map_or(0, csv::Position::line)
        ),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(names: &[&str]) -> Vec<Option<String>> {
        let name = |name: &&str| Some((*name).to_owned()).filter(|name| !name.is_empty());
        names.iter().map(name).collect()
    }

    #[test]
    fn a_table_names_cameras_and_super_classes_beside_labels() {
        for mark in [",", ";", "\t"] {
            let text = "path,Label,camera,category,category_2\n\
                        a.jpg,wren,1,bird,animal\n\
                        \"b, c.jpg\",\"wren\",,bird,animal\n\
                        d.jpg,fir,2,tree,\n"
                .replace(',', mark);
            let found = parse(&text).unwrap().unwrap();
            assert_eq!(found.labels, ["wren", "wren", "fir"]);
            let names = vec!["path".to_owned()];
            assert_eq!(found.left_out[1..], [LeftOut::Columns { names }]);
            assert_eq!(found.known.cameras, some(&["1", "", "2"]));
            let [narrow, wide] = found.known.levels.try_into().unwrap();
            assert_eq!(narrow, some(&["bird", "bird", "tree"]));
            assert_eq!(wide, some(&["animal", "animal", ""]));
        }
    }

    #[test]
    fn a_column_that_is_not_understood_is_refused_and_not_read_as_a_part_of_the_label() {
        let refused = |text: &str| parse(text).unwrap_err();
        assert!(refused("label,cameras\n1,2\n").starts_with("it has a column `cameras`; "));
        assert_eq!(refused("id,camera\n1,2\n"), "it has no column `label`");
        assert!(refused("label,category_2\n1,2\n").contains("without those before"));
        assert_eq!(refused("label,camera\n1,2\n,3\n"), "line 3 has no label");
        assert_eq!(
            refused("label,camera\n1,2\n1\n"),
            "line 3 has 1 cells, the heading has 2"
        );
        assert_eq!(refused("label,camera\n"), "it holds no labels");
    }

    #[test]
    fn lines_of_labels_are_no_table() {
        for text in ["a,b\nc,d\n", "label\n1\n2\n", "the label is\n", ""] {
            assert_eq!(parse(text), Ok(None), "{text}");
        }
    }
}
