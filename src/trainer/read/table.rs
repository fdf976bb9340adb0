//! Embeddings as a text table, as pandas, R, NumPy and spreadsheets write it.
//!
//! Between numbers stand commas, semicolons, tabs or white space. A heading and a column that only
//! numbers the rows are no embeddings: they are left out and reported.

use schema::LeftOut;

use super::text::{Line, counts_up, excerpt, lines, unquoted};

/// A table of numbers.
#[derive(Debug, PartialEq)]
pub(super) struct Table {
    pub(super) values: Vec<f32>,
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) left_out: Vec<LeftOut>,
    /// True if the first row, `0,1`, may as well be the heading of two columns.
    pub(super) may_have_heading: bool,
}

/// What stands between two fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Separator {
    Character(char),
    WhiteSpace,
}

/// Rows from which a column that numbers them is no coincidence.
const ENOUGH_ROWS: usize = 5;

/// Columns from which a first row of 0, 1, 2, .. is no coincidence.
const ENOUGH_COLUMNS: usize = 3;

/// Parses a table.
///
/// # Errors
/// With the line that is not a row of numbers, or has another length than the first.
pub(super) fn parse(text: &str) -> Result<Table, String> {
    let mut lines = lines(text);
    // `numpy.savetxt` begins its headings so.
    lines.retain(|line| !line.text.starts_with('#'));
    let first = lines.first().ok_or("it holds no numbers")?;
    let separator = Separator::of(first.text);
    separator.drop_last(&mut lines);
    let mut left_out = Vec::new();
    let rows = match is_heading(&lines, separator)? {
        true => &lines[1..],
        false => &lines[..],
    };
    let heading = (rows.len() < lines.len()).then(|| separator.fields(lines[0].text));
    if heading.is_some() {
        left_out.push(LeftOut::Heading {
            text: excerpt(lines[0].text),
        });
    }
    let index = has_index(heading.as_deref(), rows, separator);
    if index {
        left_out.push(LeftOut::Index);
    }
    let may_have_heading = heading.is_none() && is_doubtful(rows, separator);
    let (values, width) = numbers(rows, separator, usize::from(index))?;
    Ok(Table {
        values,
        rows: rows.len(),
        width,
        left_out,
        may_have_heading,
    })
}

impl Separator {
    fn of(line: &str) -> Separator {
        let found = [';', '\t', ',']
            .into_iter()
            .find(|&mark| line.contains(mark));
        found.map_or(Separator::WhiteSpace, Separator::Character)
    }

    fn fields(self, line: &str) -> Vec<&str> {
        match self {
            Separator::Character(mark) => line.split(mark).map(unquoted).collect(),
            Separator::WhiteSpace => line.split_whitespace().map(unquoted).collect(),
        }
    }

    /// Removes a separator that ends every line.
    fn drop_last(self, lines: &mut [Line]) {
        let Separator::Character(mark) = self else {
            return;
        };
        if lines.iter().all(|line| line.text.ends_with(mark)) {
            for line in lines {
                line.text = line.text.strip_suffix(mark).unwrap_or(line.text);
            }
        }
    }
}

fn number(field: &str) -> Option<f32> {
    field.parse().ok()
}

/// True for the name of an image, but not for a number that is written in another way.
fn is_name(field: &str) -> bool {
    number(field).is_none() && field.contains(char::is_alphabetic)
}

/// True if a number is not written as an integer.
fn has_fraction(field: &str) -> bool {
    field.contains(['.', 'e', 'E'])
}

/// True if the first line names the columns, by words or by numbers.
fn is_heading(lines: &[Line], separator: Separator) -> Result<bool, String> {
    let fields = separator.fields(lines[0].text);
    let words = fields
        .iter()
        .filter(|field| number(field).is_none())
        .count();
    let numbered = |fields: &[&str]| counts_up(fields.iter().copied());
    if words == 0 {
        return Ok(fields.len() >= ENOUGH_COLUMNS && lines.len() > 1 && numbered(&fields));
    }
    let may_name_the_index = fields[0].is_empty() || fields.len() > ENOUGH_COLUMNS;
    let names_the_index =
        words == 1 && number(fields[0]).is_none() && may_name_the_index && numbered(&fields[1..]);
    if names_the_index || words == fields.len() {
        return match lines.len() {
            1 => Err(no_number(&lines[0], &fields)),
            _ => Ok(true),
        };
    }
    match words == 1 && is_name(fields[0]) {
        true => Ok(false),
        false => Err(no_number(&lines[0], &fields)),
    }
}

/// True if the first of some rows of two columns is `0,1`, and no other row has an integer.
fn is_doubtful(rows: &[Line], separator: Separator) -> bool {
    let all_fractions = |line: &Line| separator.fields(line.text).into_iter().all(has_fraction);
    let first = separator.fields(rows[0].text);
    first.len() < ENOUGH_COLUMNS
        && counts_up(first.into_iter())
        && rows.len() > 1
        && rows[1..].iter().all(all_fractions)
}

/// True if the first column only numbers or names the rows.
fn has_index(heading: Option<&[&str]>, rows: &[Line], separator: Separator) -> bool {
    let width = separator.fields(rows[0].text).len();
    if width < 2 {
        return false;
    }
    let nameless = |name: &str| name.is_empty() || name.starts_with("Unnamed");
    // R leaves the heading one field shorter.
    if heading.is_some_and(|heading| nameless(heading[0]) || heading.len() + 1 == width) {
        return true;
    }
    let first_fields = rows
        .iter()
        .map(|line| separator.fields(line.text).first().copied().unwrap_or(""));
    if first_fields.clone().all(is_name) {
        return true;
    }
    let others_have_fractions = || {
        rows.iter().all(|line| {
            let fields = separator.fields(line.text);
            fields.iter().skip(1).any(|field| has_fraction(field))
        })
    };
    rows.len() >= ENOUGH_ROWS && counts_up(first_fields) && others_have_fractions()
}

/// Parses rows without their first `skipped` fields.
fn numbers(
    rows: &[Line],
    separator: Separator,
    skipped: usize,
) -> Result<(Vec<f32>, usize), String> {
    let (mut values, mut width) = (Vec::new(), 0);
    for line in rows {
        let before = values.len();
        let fields = separator.fields(line.text);
        let fields = fields.get(skipped..).unwrap_or_default();
        for field in fields {
            values.push(number(field).ok_or_else(|| no_number(line, fields))?);
        }
        let found = values.len() - before;
        if before == 0 {
            width = found;
        }
        if found != width {
            return Err(format!(
                "line {} has {found} numbers, line {} has {width}",
                line.number, rows[0].number
            ));
        }
    }
    Ok((values, width))
}

/// Returns the error for a line with a field that is no number.
fn no_number(line: &Line, fields: &[&str]) -> String {
    let wrong = fields.iter().copied().find(|field| number(field).is_none());
    let field = wrong.unwrap_or_default();
    let line = line.number;
    if field.is_empty() {
        return format!("line {line} has an empty field instead of a number");
    }
    let hint = match number(&field.replace(',', ".")) {
        Some(_) => "; decimal commas are not read",
        None => "",
    };
    format!(
        "line {line} has `{}` instead of a number{hint}",
        excerpt(field)
    )
}
