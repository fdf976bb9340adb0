//! Labels as text: one on each line, perhaps below a heading or beside a column that numbers them.

use schema::LeftOut;

use super::{
    numpy::whole,
    text::{counts_up, excerpt, lines, unquoted},
};

/// What is known about images beside their labels, each by the name that the table gives it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Known {
    /// The camera of each; empty without such a column.
    pub(crate) cameras: Vec<Option<String>>,
    /// For each level of super-classes, the narrowest first, that of each.
    pub(crate) levels: Vec<Vec<Option<String>>>,
}

/// Labels, and the parts of the file that are not labels.
#[derive(Debug, PartialEq)]
pub(super) struct TextLabels {
    pub(super) labels: Vec<String>,
    /// What else a table says about the images.
    pub(super) known: Known,
    pub(super) left_out: Vec<LeftOut>,
    /// True if the first label may as well be a heading.
    pub(super) may_have_heading: bool,
}

/// Lines from which a column that numbers them is no coincidence.
const ENOUGH: usize = 3;

/// Parses labels. In a table of pandas, `0` may be the heading.
///
/// # Errors
/// A line between others has no label.
pub(super) fn parse(text: &str, is_table: bool) -> Result<TextLabels, String> {
    let lines = lines(text);
    let gap = (1..)
        .zip(&lines)
        .find(|(place, line)| line.number != *place);
    if let Some((place, _)) = gap {
        return Err(format!("line {place} has no label"));
    }
    let texts: Vec<&str> = lines.iter().map(|line| line.text).collect();
    let (texts, mut left_out) = without_index(texts);
    let mut labels = without_quotes(&texts);
    let mut may_have_heading = false;
    match heading(&labels, is_table) {
        Heading::No => {}
        Heading::Perhaps => may_have_heading = true,
        Heading::Yes => left_out.push(LeftOut::Heading {
            text: excerpt(&labels.remove(0)),
        }),
    }
    if labels.is_empty() {
        return Err("it holds no labels".to_owned());
    }
    Ok(TextLabels {
        labels: whole_numbers(labels),
        known: Known::default(),
        left_out,
        may_have_heading,
    })
}

/// Whether the first label is a heading.
enum Heading {
    No,
    Perhaps,
    Yes,
}

/// Judges the first label by the others: a heading is no label of them, or a word above numbers.
fn heading(labels: &[String], is_table: bool) -> Heading {
    let Some((first, others)) = labels
        .split_first()
        .filter(|(_, others)| !others.is_empty())
    else {
        return Heading::No;
    };
    let is_number = |label: &String| label.parse::<f64>().is_ok();
    if !is_number(first) && others.iter().all(is_number) {
        Heading::Yes
    } else if !others.contains(first) || (is_table && first == "0") {
        Heading::Perhaps
    } else {
        Heading::No
    }
}

/// Removes the first of two columns if it only numbers the lines, and the heading above it.
fn without_index(lines: Vec<&str>) -> (Vec<&str>, Vec<LeftOut>) {
    let pairs = [';', '\t', ','].into_iter().find_map(|mark| {
        let pairs = lines.iter().map(|line| line.split_once(mark));
        pairs.collect::<Option<Vec<(&str, &str)>>>()
    });
    let Some(pairs) = pairs else {
        return (lines, Vec::new());
    };
    let numbered = |pairs: &[(&str, &str)]| {
        pairs.len() >= ENOUGH && counts_up(pairs.iter().map(|(index, _)| *index))
    };
    let has_heading = pairs
        .first()
        .is_some_and(|(name, _)| unquoted(name).is_empty())
        || pairs.get(1..).is_some_and(numbered);
    let mut left_out = Vec::new();
    if has_heading {
        left_out.push(LeftOut::Heading {
            text: excerpt(lines[0]),
        });
    }
    let kept = &pairs[usize::from(has_heading)..];
    if !has_heading && !numbered(kept) {
        return (lines, Vec::new());
    }
    left_out.push(LeftOut::Index);
    (kept.iter().map(|(_, label)| *label).collect(), left_out)
}

/// Removes the quotes around the labels, if all have them.
fn without_quotes(texts: &[&str]) -> Vec<String> {
    let are_quoted = texts.iter().all(|text| unquoted(text) != text.trim());
    let unquote = |text: &&str| match are_quoted {
        true => unquoted(text).replace("\"\"", "\""),
        false => text.trim().to_owned(),
    };
    texts.iter().map(unquote).collect()
}

/// Writes labels such as `3.0` and `3.000e+00` as integers, if all are such numbers.
pub(super) fn whole_numbers(labels: Vec<String>) -> Vec<String> {
    let number = |label: &String| whole(label.parse().ok()?, f64::MANTISSA_DIGITS);
    let numbers = labels.iter().map(number);
    let integers: Option<Vec<String>> = numbers.collect();
    let have_fractions = labels.iter().all(|label| label.contains('.'));
    match integers {
        Some(integers) if have_fractions => integers,
        _ => labels,
    }
}
