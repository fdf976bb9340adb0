//! Which images are of one class, and which are exactly equal.

use std::collections::HashMap;

use rayon::prelude::*;

use super::Rows;

/// The classes of queries and references, numbered from 0.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    pub(super) of_queries: Vec<u32>,
    pub(super) of_references: Vec<u32>,
    /// The references of each class in order of their index, class after class.
    members: Vec<u32>,
    starts: Vec<usize>,
}

impl Classes {
    pub(super) fn new(queries: &[i64], references: &[i64]) -> Classes {
        let mut numbers = HashMap::<i64, u32>::new();
        let mut number = |label: &i64| {
            let next = numbers.len() as u32;
            *numbers.entry(*label).or_insert(next)
        };
        let of_references: Vec<u32> = references.iter().map(&mut number).collect();
        let of_queries = queries.iter().map(&mut number).collect();
        let classes = numbers.len();
        let mut starts = vec![0; classes + 1];
        of_references
            .iter()
            .for_each(|&class| starts[class as usize + 1] += 1);
        (0..classes).for_each(|class| starts[class + 1] += starts[class]);
        let (mut next, mut members) = (starts.clone(), vec![0; references.len()]);
        for (image, &class) in (0..).zip(&of_references) {
            members[next[class as usize]] = image;
            next[class as usize] += 1;
        }
        Classes {
            of_queries,
            of_references,
            members,
            starts,
        }
    }

    /// The references of a class, in order of their index.
    pub(super) fn members(&self, class: u32) -> &[u32] {
        &self.members[self.starts[class as usize]..self.starts[class as usize + 1]]
    }
}

/// For each row the first one that equals it.
pub(super) fn twins(rows: &Rows) -> Vec<u32> {
    let hashes: Vec<u64> = (0..rows.len())
        .into_par_iter()
        .map(|row| hash(rows.row(row)))
        .collect();
    let mut first = HashMap::<u64, Vec<u32>>::with_capacity(rows.len());
    let mut twins = Vec::with_capacity(rows.len());
    for (row, hash) in (0u32..).zip(hashes) {
        let alike = first.entry(hash).or_default();
        let twin = alike
            .iter()
            .copied()
            .find(|&other| rows.row(other as usize) == rows.row(row as usize));
        twins.push(twin.unwrap_or_else(|| {
            alike.push(row);
            row
        }));
    }
    twins
}

/// FNV-1a, of whole numbers; the two zeros are equal.
fn hash(row: &[f32]) -> u64 {
    row.iter().fold(0xcbf2_9ce4_8422_2325, |hash, value| {
        (hash ^ u64::from((value + 0.0).to_bits())).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
