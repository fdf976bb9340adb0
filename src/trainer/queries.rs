//! `queries.csv`: the scores of each query, one per line.

use std::{fmt::Write, path::PathBuf};

use crate::score::Scored;

/// The columns with numbers. The file of the image follows where it is known.
const HEADING: &str = "image,label,first_rank,r_precision,ap@r,ap";
const PATH: &str = "path";

/// Returns the scores of each query as CSV, with the index of the query among the test images and, where `names` has
/// them, its file.
pub(crate) fn table(scored: &Scored, names: &[PathBuf]) -> String {
    let mut table = match names {
        [] => format!("{HEADING}\n"),
        _ => format!("{HEADING},{PATH}\n"),
    };
    for line in lines(scored) {
        let name = names
            .get(line.image)
            .map(|name| field(&name.display().to_string()));
        let name = name.map_or_else(String::new, |name| format!(",{name}"));
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{}{name}", line.numbers);
    }
    table
}

/// Returns how the numbers of a table differ from those of this retrieval, at the first place.
pub(crate) fn difference(table: &str, scored: &Scored) -> Option<String> {
    let mut found = table.lines();
    let heading = found.next().unwrap_or_default();
    if !is_continued(heading, HEADING) {
        return Some(format!("its heading is `{heading}`"));
    }
    for line in lines(scored) {
        match found.next() {
            Some(text) if is_continued(text, &line.numbers) => {}
            Some(text) => {
                let numbers = line.numbers;
                return Some(format!(
                    "it has `{text}`, but the embeddings give `{numbers}`"
                ));
            }
            None => return Some(format!("test image {} is not in it", line.image)),
        }
    }
    found
        .next()
        .map(|text| format!("it has a further line `{text}`"))
}

/// True if a line consists of these fields, maybe with others after them.
fn is_continued(line: &str, fields: &str) -> bool {
    let rest = line.strip_prefix(fields);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(','))
}

struct QueryLine {
    image: usize,
    numbers: String,
}

fn lines(scored: &Scored) -> impl Iterator<Item = QueryLine> {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    scored.retrieval.queries.iter().map(move |query| {
        let (image, scores) = (query.image as usize, &query.scores);
        let fields = [scores.r_precision, scores.ap_at_r, scores.ap].map(number);
        QueryLine {
            image,
            numbers: format!(
                "{image},{},{},{}",
                query.label,
                scores.first,
                fields.join(",")
            ),
        }
    })
}

/// Returns a text as a field of a CSV file.
pub(crate) fn field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_compared_by_its_numbers_and_not_by_the_beginning_of_a_number() {
        assert!(is_continued("0,7,1,0.5,,,files/a.jpg", "0,7,1,0.5,,"));
        assert!(is_continued("0,7,1,0.5,,", "0,7,1,0.5,,"));
        assert!(!is_continued("0,7,1,0.55,,", "0,7,1,0.5"));
    }

    #[test]
    fn names_with_commas_and_quotes_are_one_field() {
        assert_eq!(field("a, \"b\".jpg"), "\"a, \"\"b\"\".jpg\"");
        assert_eq!(field("a b.jpg"), "a b.jpg");
    }
}
