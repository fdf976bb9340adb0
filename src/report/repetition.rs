//! What is drawn anew each time that a row is repeated, and which values of two rows belong together.
//!
//! A repetition is a seed with all its folds. Where the search of a row was repeated, it is a search with all
//! the seeds that its selected values were trained with: only searches are independent then, and intervals and
//! tests answer for another search, too.

use std::fmt;

use crate::Row;

/// A repetition of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Repetition {
    /// A seed.
    Seed(u64),
    /// A search, by its number.
    Search(usize),
}

/// What a value was measured under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Condition {
    pub(crate) repetition: Repetition,
    pub(crate) seed: u64,
    pub(crate) fold: Option<u32>,
}

/// Values of a row in the order of what they were measured under.
#[derive(Clone, Debug)]
pub(crate) struct ByCondition<T>(Vec<(Condition, T)>);

/// A number of repetitions: `3 seeds`, `1 search`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repetitions {
    pub(crate) count: usize,
    /// True for searches.
    pub(crate) are_searches: bool,
}

/// What two rows measured in one repetition.
pub(crate) struct Pair<'v, T> {
    pub(crate) first: Vec<&'v T>,
    pub(crate) second: Vec<&'v T>,
    /// True if the values at the same position have the same seed and fold.
    pub(crate) is_matched: bool,
}

impl Repetition {
    /// A number that tells the repetitions of a row apart.
    pub(crate) fn number(self) -> u64 {
        match self {
            Repetition::Seed(seed) => seed,
            Repetition::Search(number) => number as u64,
        }
    }

    pub(crate) fn is_search(self) -> bool {
        matches!(self, Repetition::Search(_))
    }
}

impl Condition {
    pub(crate) fn of(row: &Row) -> Condition {
        Condition {
            repetition: match row.repeat {
                Some(number) => Repetition::Search(number),
                None => Repetition::Seed(row.seed),
            },
            seed: row.seed,
            fold: row.fold.map(|fold| fold.index),
        }
    }
}

impl<T> ByCondition<T> {
    pub(crate) fn of(values: impl IntoIterator<Item = (Condition, T)>) -> ByCondition<T> {
        let mut values: Vec<(Condition, T)> = values.into_iter().collect();
        values.sort_by_key(|(condition, _)| *condition);
        ByCondition(values)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Condition, T)> {
        self.0.iter()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }

    /// True if several values were measured under the same condition.
    pub(crate) fn has_several_of_one(&self) -> bool {
        self.0.windows(2).any(|pair| pair[0].0 == pair[1].0)
    }
}

impl Repetitions {
    /// `seed`, `searches`.
    pub(crate) fn noun(self) -> &'static str {
        match (self.are_searches, self.count) {
            (false, 1) => "seed",
            (false, _) => "seeds",
            (true, 1) => "search",
            (true, _) => "searches",
        }
    }

    /// The same noun for another number.
    pub(crate) fn of(self, count: usize) -> Repetitions {
        Repetitions { count, ..self }
    }
}

impl fmt::Display for Repetitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, self.noun())
    }
}

/// True if the repetitions of a row are searches.
pub(crate) fn are_searches<T>(values: &ByCondition<T>) -> bool {
    let mut conditions = values.iter().map(|(condition, _)| condition);
    conditions.any(|condition| condition.repetition.is_search())
}

/// Pairs the values of two rows by repetition: those of the same seed and fold; where the search of one row
/// was repeated and the other has none, the seeds of the other are dealt to the searches in turn.
pub(crate) fn pairs<'v, T>(
    first: &'v ByCondition<T>,
    second: &'v ByCondition<T>,
) -> Vec<Pair<'v, T>> {
    if are_searches(first) == are_searches(second) {
        return matched(first, second);
    }
    let (first_all, second_all) = (by_repetition(first), by_repetition(second));
    let searches = match are_searches(first) {
        true => first_all.len(),
        false => second_all.len(),
    };
    let both = dealt(first_all, searches)
        .into_iter()
        .zip(dealt(second_all, searches));
    both.map(|(first, second)| Pair {
        first,
        second,
        is_matched: false,
    })
    .collect()
}

/// Both are in the order of their conditions.
fn matched<'v, T>(first: &'v ByCondition<T>, second: &'v ByCondition<T>) -> Vec<Pair<'v, T>> {
    let mut pairs: Vec<(Repetition, Pair<'v, T>)> = Vec::new();
    let mut others = second.iter().peekable();
    for (condition, own) in first.iter() {
        while others.next_if(|(other, _)| other < condition).is_some() {}
        let Some((_, other)) = others.next_if(|(other, _)| other == condition) else {
            continue;
        };
        match pairs.last_mut() {
            Some((repetition, pair)) if *repetition == condition.repetition => {
                pair.first.push(own);
                pair.second.push(other);
            }
            _ => {
                let pair = Pair {
                    first: vec![own],
                    second: vec![other],
                    is_matched: true,
                };
                pairs.push((condition.repetition, pair));
            }
        }
    }
    pairs.into_iter().map(|(_, pair)| pair).collect()
}

/// The values of each repetition, in order.
pub(crate) fn by_repetition<T>(values: &ByCondition<T>) -> Vec<Vec<&T>> {
    let repetitions = values.0.chunk_by(|a, b| a.0.repetition == b.0.repetition);
    repetitions
        .map(|values| values.iter().map(|(_, value)| value).collect())
        .collect()
}

/// Repetitions united into as many groups as there are searches, or one for each if there are fewer.
fn dealt<T>(repetitions: Vec<Vec<&T>>, searches: usize) -> Vec<Vec<&T>> {
    let mut groups: Vec<Vec<&T>> = Vec::new();
    for (position, values) in repetitions.into_iter().enumerate() {
        match groups.get_mut(position % searches) {
            Some(group) => group.extend(values),
            None => groups.push(values),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(seed: u64) -> Condition {
        Condition {
            repetition: Repetition::Seed(seed),
            seed,
            fold: None,
        }
    }

    fn search(number: usize, seed: u64) -> Condition {
        Condition {
            repetition: Repetition::Search(number),
            seed,
            fold: None,
        }
    }

    fn paired(first: &ByCondition<u32>, second: &ByCondition<u32>) -> Vec<(Vec<u32>, Vec<u32>)> {
        let values = |all: Vec<&u32>| all.into_iter().copied().collect();
        let pairs = pairs(first, second).into_iter();
        pairs
            .map(|pair| (values(pair.first), values(pair.second)))
            .collect()
    }

    #[test]
    fn values_of_the_same_seed_belong_together() {
        let first = ByCondition::of([(seed(0), 1), (seed(1), 2), (seed(2), 3)]);
        let second = ByCondition::of([(seed(1), 4), (seed(3), 5)]);
        assert_eq!(paired(&first, &second), [(vec![2], vec![4])]);
    }

    #[test]
    fn values_of_the_same_search_belong_together_seed_by_seed() {
        let first = ByCondition::of([(search(0, 0), 1), (search(0, 1), 2), (search(1, 2), 3)]);
        let second = ByCondition::of([(search(0, 1), 4), (search(0, 0), 5), (search(1, 2), 6)]);
        assert_eq!(
            paired(&first, &second),
            [(vec![1, 2], vec![5, 4]), (vec![3], vec![6])]
        );
    }

    #[test]
    fn the_seeds_of_a_row_without_a_search_are_dealt_to_the_searches() {
        let searched = ByCondition::of([(search(0, 0), 1), (search(0, 1), 2), (search(1, 2), 3)]);
        let fixed = ByCondition::of([(seed(0), 4), (seed(1), 5), (seed(2), 6)]);
        assert_eq!(
            paired(&searched, &fixed),
            [(vec![1, 2], vec![4, 6]), (vec![3], vec![5])]
        );
        let single = ByCondition::of([(seed(7), 8)]);
        assert_eq!(paired(&single, &searched), [(vec![8], vec![1, 2])]);
    }
}
