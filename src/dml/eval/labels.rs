//! Images grouped by class, and exact duplicates among embeddings.

use std::collections::HashMap;

use rayon::prelude::*;

use super::embeddings::Embeddings;

/// The classes of queries and references, numbered from 0, with the references of each class.
#[derive(Clone, Debug)]
pub(super) struct ClassIndex {
    pub(super) of_queries: Vec<u32>,
    pub(super) of_references: Vec<u32>,
    /// References grouped by class, ascending within a class.
    members: Vec<u32>,
    /// Start of each class in `members`, and the end of the last.
    starts: Vec<usize>,
}

impl ClassIndex {
    pub(super) fn new(queries: &[i64], references: &[i64]) -> ClassIndex {
        let mut classes = HashMap::new();
        let of_references = numbered(references, &mut classes);
        let of_queries = numbered(queries, &mut classes);
        let starts = starts(&of_references, classes.len());
        let mut next = starts.clone();
        let mut members = vec![0; references.len()];
        for (image, &class) in (0..).zip(&of_references) {
            members[next[class as usize]] = image;
            next[class as usize] += 1;
        }
        ClassIndex {
            of_queries,
            of_references,
            members,
            starts,
        }
    }

    /// Returns the references of a class, in order of their index.
    pub(super) fn members(&self, class: u32) -> &[u32] {
        &self.members[self.starts[class as usize]..self.starts[class as usize + 1]]
    }
}

/// Numbers labels in order of their first occurrence.
fn numbered(labels: &[i64], classes: &mut HashMap<i64, u32>) -> Vec<u32> {
    let mut numbers = Vec::with_capacity(labels.len());
    for label in labels {
        let next = classes.len() as u32;
        numbers.push(*classes.entry(*label).or_insert(next));
    }
    numbers
}

/// Returns where each class begins if images are grouped by class, and the end of the last.
fn starts(of_images: &[u32], classes: usize) -> Vec<usize> {
    let mut starts = vec![0; classes + 1];
    for &class in of_images {
        starts[class as usize + 1] += 1;
    }
    for class in 0..classes {
        starts[class + 1] += starts[class];
    }
    starts
}

/// Returns for each row the index of the first row that equals it.
pub(super) fn first_equal(rows: &Embeddings) -> Vec<u32> {
    let hashes: Vec<u64> = (0..rows.len())
        .into_par_iter()
        .map(|row| hash(rows.row(row)))
        .collect();
    let mut distinct = HashMap::<u64, Vec<u32>>::with_capacity(rows.len());
    let mut found = Vec::with_capacity(rows.len());
    for (row, hash) in (0u32..).zip(hashes) {
        let same_hash = distinct.entry(hash).or_default();
        let equal = same_hash
            .iter()
            .find(|&&other| rows.row(other as usize) == rows.row(row as usize));
        match equal {
            Some(&first) => found.push(first),
            None => {
                same_hash.push(row);
                found.push(row);
            }
        }
    }
    found
}

/// Returns the number of queries that exactly equal a row of the gallery.
pub fn equal_rows(queries: &Embeddings, gallery: &Embeddings) -> usize {
    let mut by_hash = HashMap::<u64, Vec<usize>>::with_capacity(gallery.len());
    for row in 0..gallery.len() {
        by_hash.entry(hash(gallery.row(row))).or_default().push(row);
    }
    let is_there = |query: &usize| {
        let row = queries.row(*query);
        let same_hash = by_hash.get(&hash(row));
        same_hash.is_some_and(|rows| rows.iter().any(|&other| gallery.row(other) == row))
    };
    (0..queries.len()).into_par_iter().filter(is_there).count()
}

/// FNV-1a over 32-bit words; 0.0 and -0.0 hash alike.
fn hash(row: &[f32]) -> u64 {
    row.iter().fold(0xcbf2_9ce4_8422_2325, |hash, value| {
        (hash ^ u64::from((value + 0.0).to_bits())).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_queries_with_the_same_values_are_in_the_gallery() {
        let rows = |values: &[f32]| Embeddings::new(values.to_vec(), 2).unwrap();
        let gallery = rows(&[1.0, 2.0, 0.0, 0.5, 1.0, 2.0]);
        let queries = rows(&[2.0, 1.0, 1.0, 2.0, -0.0, 0.5, 1.0, 2.0, 0.0, 0.0]);
        assert_eq!(equal_rows(&queries, &gallery), 3);
        assert_eq!(equal_rows(&gallery, &gallery), 3);
    }
}
