//! Maps for what a plan has many of: in tests, all values that are visited are counted.
//!
//! A plan may have a hundred thousand jobs, and each of many trainers reports several times a second: what an event costs
//! must not grow with the plan, nor may the cost of a trial that ends.

use std::{
    collections::{BTreeMap, btree_map},
    ops::Index,
};

use rayon::prelude::*;

use crate::ledger::Job;

/// A sorted map whose values are counted when they are visited.
#[derive(Clone, Debug, PartialEq)]
pub struct VisitedMap<K, V>(BTreeMap<K, V>);

/// A value for each job of a plan.
pub type PerJob<V> = VisitedMap<Job, V>;

impl<K, V> Default for VisitedMap<K, V> {
    fn default() -> VisitedMap<K, V> {
        VisitedMap(BTreeMap::new())
    }
}

impl<K: Ord, V> VisitedMap<K, V> {
    /// Returns the number of values.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is no value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if a key has a value.
    pub fn contains_key(&self, key: &K) -> bool {
        count_visits(1);
        self.0.contains_key(key)
    }

    /// Returns the value of a key, if it has one.
    pub fn get(&self, key: &K) -> Option<&V> {
        count_visits(1);
        self.0.get(key)
    }

    /// Returns the stored key and its value, if there are.
    pub fn get_key_value(&self, key: &K) -> Option<(&K, &V)> {
        count_visits(1);
        self.0.get_key_value(key)
    }

    /// Returns the value of a key to be changed, if it has one.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        count_visits(1);
        self.0.get_mut(key)
    }

    /// Sets the value of a key, and returns the one it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        count_visits(1);
        self.0.insert(key, value)
    }

    /// Returns the place of a key.
    pub fn entry(&mut self, key: K) -> btree_map::Entry<'_, K, V> {
        count_visits(1);
        self.0.entry(key)
    }

    /// Returns all keys, which takes long in a large plan.
    pub fn keys(&self) -> btree_map::Keys<'_, K, V> {
        count_visits(self.len());
        self.0.keys()
    }

    /// Returns all values, which takes long in a large plan.
    pub fn values(&self) -> btree_map::Values<'_, K, V> {
        count_visits(self.len());
        self.0.values()
    }

    /// Returns all values to be changed, which takes long in a large plan.
    pub fn values_mut(&mut self) -> btree_map::ValuesMut<'_, K, V> {
        count_visits(self.len());
        self.0.values_mut()
    }

    /// Returns all keys with their values, which takes long in a large plan.
    pub fn iter(&self) -> btree_map::Iter<'_, K, V> {
        count_visits(self.len());
        self.0.iter()
    }

    /// Returns all keys with their values to be changed, which takes long in a large plan.
    pub fn iter_mut(&mut self) -> btree_map::IterMut<'_, K, V> {
        count_visits(self.len());
        self.0.iter_mut()
    }
}

impl<K: Ord + Sync, V: Sync> VisitedMap<K, V> {
    /// Returns all keys with their values, for many threads.
    pub fn par_iter(&self) -> rayon::collections::btree_map::Iter<'_, K, V> {
        count_visits(self.len());
        self.0.par_iter()
    }
}

impl<'m, K: Ord, V> IntoIterator for &'m VisitedMap<K, V> {
    type Item = (&'m K, &'m V);
    type IntoIter = btree_map::Iter<'m, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for VisitedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(values: I) -> VisitedMap<K, V> {
        VisitedMap(values.into_iter().collect())
    }
}

impl<K: Ord, V> Extend<(K, V)> for VisitedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, values: I) {
        for (key, value) in values {
            self.insert(key, value);
        }
    }
}

impl<K: Ord, V> Index<&K> for VisitedMap<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        count_visits(1);
        &self.0[key]
    }
}

#[cfg(not(test))]
fn count_visits(_: usize) {}

#[cfg(test)]
pub(crate) use counting::{count_visits, visits};

#[cfg(test)]
mod counting {
    use std::cell::Cell;

    thread_local! {
        static VISITS: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn count_visits(values: usize) {
        VISITS.set(VISITS.get() + values);
    }

    /// Returns the number of values that some work visits in this thread.
    pub(crate) fn visits(work: impl FnOnce()) -> usize {
        let before = VISITS.get();
        work();
        VISITS.get() - before
    }
}
