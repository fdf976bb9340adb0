//! Countable resources with names of the user's own, such as `nfs` or `license`: how many there are, and how many a job
//! takes.

use std::{collections::BTreeMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number of each of some resources, by their names.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Counts(BTreeMap<String, u32>);

impl Counts {
    /// True if no resource is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the names and the numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().map(|(name, &number)| (name.as_str(), number))
    }

    /// Returns the number of a resource.
    pub fn of(&self, name: &str) -> Option<u32> {
        self.0.get(name).copied()
    }

    /// True if there are as many as a job needs.
    pub fn cover(&self, needs: &Counts) -> bool {
        let mut needs = needs.iter();
        needs.all(|(name, needed)| self.of(name).unwrap_or(0) >= needed)
    }

    /// Takes what a job needs; a number that is smaller than that becomes 0.
    pub fn take(&mut self, needs: &Counts) {
        for (name, needed) in needs.iter() {
            if let Some(number) = self.0.get_mut(name) {
                *number = number.saturating_sub(needed);
            }
        }
    }

    /// Gives back what a job took.
    pub fn give(&mut self, needs: &Counts) {
        for (name, needed) in needs.iter() {
            if let Some(number) = self.0.get_mut(name) {
                *number = number.saturating_add(needed);
            }
        }
    }

    /// Makes each number at least as large as another one: what serves both takes the larger.
    pub fn raise(&mut self, others: &Counts) {
        for (name, other) in others.iter() {
            let number = self.0.entry(name.to_owned()).or_default();
            *number = other.max(*number);
        }
    }
}

impl FromIterator<(String, u32)> for Counts {
    fn from_iter<I: IntoIterator<Item = (String, u32)>>(counts: I) -> Counts {
        Counts(counts.into_iter().collect())
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.iter().map(|(name, number)| format!("{number} {name}"));
        f.write_str(&each.collect::<Vec<_>>().join(", "))
    }
}
