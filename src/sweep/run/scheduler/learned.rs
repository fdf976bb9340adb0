//! What is known of each kind of job: the memory that it takes of a GPU, and what sharing a GPU is worth to it.
//!
//! It is kept in the results folder, so that a sweep that is resumed need not learn it again. Nothing but
//! speed depends on it.

use std::collections::BTreeMap;

use schema::KindId;
use serde::{Deserialize, Serialize};

/// The peaks that are kept of a kind.
const KEPT: usize = 32;

/// The room above the largest usual peak: a share of it, and at least some bytes.
const MARGIN: f64 = 0.08;
const LEAST_MARGIN: u64 = 512 << 20;

/// By how much one more attempt must raise the total speed of a GPU.
const WORTH: f64 = 1.05;

/// What is known of all kinds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    kinds: BTreeMap<KindId, OfKind>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct OfKind {
    /// The most bytes of a GPU that recent attempts took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    peaks: Vec<u64>,
    /// By the model of the GPU.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    speeds: BTreeMap<String, Speeds>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Speeds {
    /// Steps in a second of an attempt that has the GPU to itself.
    alone: Option<f64>,
    /// The speed of all attempts at a GPU together, by their number; 1 is an attempt alone.
    together: BTreeMap<usize, f64>,
}

impl Learned {
    /// Returns the bytes of a GPU that an attempt at this kind of job needs; nothing if that is unknown.
    pub fn bytes(&self, kind: KindId) -> Option<u64> {
        let mut peaks = self.kinds.get(&kind)?.peaks.clone();
        peaks.sort_unstable();
        let usual = *peaks.get((peaks.len() * 95).div_ceil(100).checked_sub(1)?)?;
        let margin = (usual as f64 * MARGIN) as u64;
        Some(usual + margin.max(LEAST_MARGIN))
    }

    /// Notes the most bytes that an attempt took.
    pub fn note_peak(&mut self, kind: KindId, bytes: u64) {
        let peaks = &mut self.kinds.entry(kind).or_default().peaks;
        if peaks.len() == KEPT {
            peaks.remove(0);
        }
        peaks.push(bytes);
    }

    /// Returns the steps in a second of an attempt that has a GPU of this model to itself.
    pub(super) fn alone(&self, kind: KindId, model: &str) -> Option<f64> {
        self.speeds(kind, model)?.alone
    }

    pub(super) fn note_alone(&mut self, kind: KindId, model: &str, speed: f64) {
        self.speeds_mut(kind, model).alone = Some(speed);
    }

    /// Notes the total speed of `count` attempts on a GPU. One of them was of this kind.
    pub(super) fn note_together(&mut self, kind: KindId, model: &str, count: usize, total: f64) {
        let together = &mut self.speeds_mut(kind, model).together;
        let mean = together.entry(count).or_insert(total);
        *mean = f64::midpoint(*mean, total);
    }

    /// True if this many attempts are faster together than fewer; nothing if that is unknown.
    pub(super) fn is_worth(&self, kind: KindId, model: &str, count: usize) -> Option<bool> {
        let together = &self.speeds(kind, model)?.together;
        let total = *together.get(&count)?;
        let fewer = together.range(..count).map(|(_, &total)| total);
        Some(total > WORTH * fewer.fold(1.0, f64::max))
    }

    /// Returns the largest total speed of attempts at a GPU of this model; 1 if nothing else is known.
    pub fn best_total(&self, kind: KindId, model: &str, most: usize) -> f64 {
        let Some(speeds) = self.speeds(kind, model) else {
            return 1.0;
        };
        let totals = speeds.together.range(..=most).map(|(_, &total)| total);
        totals.fold(1.0, f64::max)
    }

    fn speeds(&self, kind: KindId, model: &str) -> Option<&Speeds> {
        self.kinds.get(&kind)?.speeds.get(model)
    }

    fn speeds_mut(&mut self, kind: KindId, model: &str) -> &mut Speeds {
        let speeds = &mut self.kinds.entry(kind).or_default().speeds;
        speeds.entry(model.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_memory_of_a_kind_is_its_largest_usual_peak_with_room() {
        let kind = KindId::of("a");
        let mut learned = Learned::default();
        assert_eq!(learned.bytes(kind), None);
        learned.note_peak(kind, 10 * GIB);
        assert_eq!(learned.bytes(kind), Some(10 * GIB + 858_993_459));
        learned.note_peak(kind, GIB);
        assert_eq!(learned.bytes(kind), Some(10 * GIB + 858_993_459));
        // One outlier among many is not usual, and old peaks are forgotten.
        for _ in 0..KEPT {
            learned.note_peak(kind, GIB);
        }
        assert_eq!(learned.bytes(kind), Some(GIB + LEAST_MARGIN));
    }

    #[test]
    fn one_more_attempt_is_worth_it_if_the_total_speed_rises() {
        let (kind, model) = (KindId::of("a"), "H100");
        let mut learned = Learned::default();
        for (count, total) in [(2, 1.9), (3, 2.4), (4, 2.45)] {
            learned.note_together(kind, model, count, total);
        }
        let is_worth = |count| learned.is_worth(kind, model, count);
        assert_eq!(
            [2, 3, 4, 5].map(is_worth),
            [Some(true), Some(true), Some(false), None]
        );
        assert_eq!(learned.is_worth(kind, "A100", 2), None);
        assert_eq!(learned.best_total(kind, model, 3), 2.4);
    }

    #[test]
    fn what_is_learned_survives_in_a_file() {
        let mut learned = Learned::default();
        learned.note_peak(KindId::of("a"), 7);
        learned.note_alone(KindId::of("a"), "H100", 3.5);
        learned.note_together(KindId::of("a"), "H100", 2, 1.5);
        let text = serde_json::to_string(&learned).unwrap();
        assert_eq!(serde_json::from_str::<Learned>(&text).unwrap(), learned);
    }
}
