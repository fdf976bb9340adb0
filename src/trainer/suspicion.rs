//! Signs that values from a file are no embeddings, or that a comparison favors some of them.
//!
//! None of them is proof: they are reported, and the user judges.

use std::collections::{HashMap, HashSet};

use dml::eval::{Comparison, Embeddings, similarity};
use schema::Doubt;

/// Rows from which numbers in order are no coincidence.
const ENOUGH: usize = 3;

/// Rows from which a column that agrees with the classes is no coincidence.
const MANY: usize = 10;

/// The largest ratio of two lengths that rounding explains.
const SAME_LENGTH: f64 = 1.01;

/// Returns what is suspicious about embeddings, before they are normalized, and their labels.
pub(crate) fn doubts(rows: &Embeddings, labels: &[String], comparison: Comparison) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    doubts.extend(counting_column(rows).map(|column| Doubt::CountingColumn { column }));
    doubts.extend(label_column(rows, labels).map(|column| Doubt::LabelColumn { column }));
    doubts.extend(
        repeating(rows, |value| value == 0.0).map(|(rows, first)| Doubt::ZeroRows { rows, first }),
    );
    doubts.extend(
        repeating(rows, |value| value != 0.0)
            .map(|(rows, first)| Doubt::ConstantRows { rows, first }),
    );
    if labels.len() >= ENOUGH && counts_up(labels) {
        doubts.push(Doubt::NumberedLabels);
    }
    if labels.len() > 1 && labels.iter().all(|label| *label == labels[0]) {
        doubts.push(Doubt::OneClass);
    }
    if comparison == Comparison::Dot {
        doubts.extend(lengths(rows));
    }
    doubts
}

fn counts_up(labels: &[String]) -> bool {
    let from = |start: usize| {
        let mut numbered = (start..).zip(labels);
        numbered.all(|(number, label)| *label == number.to_string())
    };
    from(0) || from(1)
}

/// Returns the first column of several that counts the rows.
fn counting_column(rows: &Embeddings) -> Option<u64> {
    if rows.len() < ENOUGH || rows.width() == 1 {
        return None;
    }
    let counts_up = |&column: &usize| {
        let first = rows.row(0)[column];
        (first == 0.0 || first == 1.0)
            && (0..rows.len()).all(|row| rows.row(row)[column] == first + row as f32)
    };
    (0..rows.width())
        .find(counts_up)
        .map(|column| column as u64)
}

/// Returns the only column, if there is one, that has one value for each class.
fn label_column(rows: &Embeddings, labels: &[String]) -> Option<u64> {
    let classes = labels.iter().collect::<HashSet<_>>().len();
    if rows.len() < MANY || classes < ENOUGH || 2 * classes > rows.len() {
        return None;
    }
    let mut found = (0..rows.width()).filter(|&column| tells_classes(rows, labels, column));
    match (found.next(), found.next()) {
        (Some(only), None) => Some(only as u64),
        _ => None,
    }
}

/// True if a column has the same value in all rows of a class and another one in other classes.
fn tells_classes(rows: &Embeddings, labels: &[String], column: usize) -> bool {
    let (mut of_class, mut of_value) = (HashMap::new(), HashMap::new());
    labels.iter().enumerate().all(|(row, label)| {
        let value = rows.row(row)[column].to_bits();
        *of_class.entry(label).or_insert(value) == value
            && *of_value.entry(value).or_insert(label) == label
    })
}

/// Returns how many rows repeat one such value, and which is the first.
fn repeating(rows: &Embeddings, is_such: fn(f32) -> bool) -> Option<(u64, u64)> {
    if rows.width() == 1 {
        return None;
    }
    let repeats = |&row: &usize| {
        let row = rows.row(row);
        is_such(row[0]) && row.iter().all(|value| *value == row[0])
    };
    let mut found = (0..rows.len()).filter(repeats);
    let first = found.next()?;
    Some((1 + found.count() as u64, first as u64))
}

fn lengths(rows: &Embeddings) -> Option<Doubt> {
    let length = |row: usize| {
        let row = rows.row(row);
        similarity(Comparison::Dot, row, row).sqrt()
    };
    let lengths = (0..rows.len()).map(length);
    let (shortest, longest) = lengths.fold((f64::INFINITY, 0.0), |(low, high), length| {
        (f64::min(low, length), f64::max(high, length))
    });
    (longest > SAME_LENGTH * shortest).then_some(Doubt::Lengths { shortest, longest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubts_of(values: &[f32], width: usize, labels: &str, comparison: Comparison) -> Vec<Doubt> {
        let labels: Vec<String> = labels.split_whitespace().map(str::to_owned).collect();
        let rows = Embeddings::new(values.to_vec(), width).unwrap();
        doubts(&rows, &labels, comparison)
    }

    #[test]
    fn embeddings_raise_no_doubts() {
        let rows = [0.6, 0.8, 1.0, 0.0, 0.0, 1.0, -0.6, 0.8];
        for comparison in [Comparison::Cosine, Comparison::Euclidean, Comparison::Dot] {
            assert_eq!(doubts_of(&rows, 2, "a b b a", comparison), []);
        }
        let on_a_line = [0.0, 1.0, 2.0, 3.0];
        assert_eq!(
            doubts_of(&on_a_line, 1, "a b b a", Comparison::Euclidean),
            []
        );
    }

    #[test]
    fn columns_of_numbers_of_rows_and_of_labels_are_suspicious() {
        let counted = [3.5, 1.0, 0.5, 2.0, 7.5, 3.0, -1.5, 4.0];
        assert_eq!(
            doubts_of(&counted, 2, "a a b b", Comparison::Cosine),
            [Doubt::CountingColumn { column: 1 }]
        );
        let rows: Vec<f32> = (0..12u8)
            .flat_map(|row| [f32::from(row * row % 11) + 0.5, f32::from(row % 3) + 4.0])
            .collect();
        let labels = "a b c ".repeat(4);
        assert_eq!(
            doubts_of(&rows, 2, &labels, Comparison::Cosine),
            [Doubt::LabelColumn { column: 1 }]
        );
        // Perfect classes are no label.
        let perfect: Vec<f32> = (0..12u8)
            .flat_map(|row| [f32::from(row % 3) - 0.5, f32::from(row % 3) + 4.0])
            .collect();
        assert_eq!(doubts_of(&perfect, 2, &labels, Comparison::Cosine), []);
    }

    #[test]
    fn rows_without_a_direction_of_their_own_are_counted() {
        let rows = [1.0, 0.5, 0.0, 0.0, 3.0, 3.0, -0.0, 0.0, 2.0, 2.0, 0.1, 0.2];
        assert_eq!(
            doubts_of(&rows, 2, "a a b b a b", Comparison::Cosine),
            [
                Doubt::ZeroRows { rows: 2, first: 1 },
                Doubt::ConstantRows { rows: 2, first: 2 },
            ]
        );
    }

    #[test]
    fn labels_that_number_the_rows_or_are_all_alike_are_suspicious() {
        let rows = [1.0, 0.5, 0.3, -0.5, 3.0, 1.0];
        for labels in ["0 1 2", "1 2 3"] {
            assert_eq!(
                doubts_of(&rows, 2, labels, Comparison::Cosine),
                [Doubt::NumberedLabels]
            );
        }
        assert_eq!(
            doubts_of(&rows, 2, "x x x", Comparison::Cosine),
            [Doubt::OneClass]
        );
    }

    #[test]
    fn dot_products_of_different_lengths_are_told() {
        let found = doubts_of(&[3.0, 4.0, 0.6, 0.8], 2, "a a", Comparison::Dot);
        assert!(
            matches!(
                found[..],
                [Doubt::OneClass, Doubt::Lengths { longest: 5.0, .. }]
            ),
            "{found:?}"
        );
    }
}
