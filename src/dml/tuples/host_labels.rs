//! Which pairs are positive, as the host knows it.
//!
//! That follows from labels alone. A GPU that lists the pairs of a mask makes the host wait for their number; the host,
//! which has chosen the images of the batch, lists them without asking. In a memory, too: it knows who entered.

use std::collections::HashMap;

use tch::{Device, Tensor};

use super::{References, at};
use crate::{download::integers, upload::Parcel};

/// The labels of a batch and of its references.
#[derive(Clone, Debug)]
pub struct HostLabels {
    /// `[n]`: those of the batch.
    pub batch: Vec<i64>,
    /// `[m]`: those of the references.
    pub references: Vec<i64>,
    /// `[n]`: for each image of the batch the reference that is its own copy; -1 without one.
    pub own: Vec<i64>,
}

impl HostLabels {
    /// Returns those of a batch that is its own reference.
    pub fn of_batch(labels: &[i64]) -> HostLabels {
        HostLabels {
            batch: labels.to_vec(),
            references: labels.to_vec(),
            own: (0..labels.len() as i64).collect(),
        }
    }

    /// Reads them from a batch with these `labels` `[n]`. For each tensor on a GPU, the host waits.
    pub(crate) fn read(labels: &Tensor, references: &References) -> HostLabels {
        if references.is_batch {
            return HostLabels::of_batch(&integers(labels));
        }
        HostLabels {
            batch: integers(labels),
            references: integers(&references.labels),
            own: integers(&references.own),
        }
    }

    /// Returns the number of pairs with different labels.
    pub(crate) fn negatives(&self) -> i64 {
        let mut others: HashMap<i64, i64> = HashMap::new();
        for &label in &self.references {
            *others.entry(label).or_default() += 1;
        }
        let same = self.batch.iter().filter_map(|label| others.get(label));
        (self.batch.len() * self.references.len()) as i64 - same.sum::<i64>()
    }

    /// Returns the anchors and the positives of all pairs with equal labels, row by row. An image's own copy is no
    /// positive, unless they are to be paired `with_own` copies.
    fn pairs(&self, with_own: bool) -> Pairs {
        let mut members: HashMap<i64, Vec<i64>> = HashMap::new();
        for &label in &self.batch {
            members.entry(label).or_default();
        }
        for (reference, label) in (0..).zip(&self.references) {
            if let Some(of_class) = members.get_mut(label) {
                of_class.push(reference);
            }
        }
        let mut pairs = Pairs::default();
        for ((anchor, label), &own) in (0..).zip(&self.batch).zip(&self.own) {
            let others = members[label].iter();
            for &other in others.filter(|&&other| with_own || other != own) {
                pairs.anchors.push(anchor);
                pairs.positives.push(other);
            }
        }
        pairs
    }
}

/// Pairs on the host.
#[derive(Debug, Default)]
struct Pairs {
    anchors: Vec<i64>,
    positives: Vec<i64>,
}

/// The positive pairs of a batch, row by row.
#[derive(Debug)]
pub struct PositivePairs {
    /// `[p]`: the anchor of each.
    pub anchors: Tensor,
    /// `[p]`: the positive of each.
    pub positives: Tensor,
    listed: Pairs,
}

impl PositivePairs {
    /// Returns the pairs of a batch with these `labels` `[n]`, with or without own copies.
    pub(crate) fn of(references: &References, labels: &Tensor, with_own: bool) -> PositivePairs {
        let host = references.host_labels(labels);
        let all = PositivePairs::sent(host.pairs(with_own), labels.device());
        let Some(dropped) = &references.dropped else {
            return all;
        };
        let dropped = integers(&at(dropped, &all.anchors, &all.positives));
        let kept = all.on_host().zip(dropped);
        let kept = kept.filter(|&((anchor, positive), dropped)| {
            dropped == 0 || host.own[anchor as usize] == positive
        });
        let (anchors, positives) = kept.map(|(pair, _)| pair).unzip();
        PositivePairs::sent(Pairs { anchors, positives }, labels.device())
    }

    fn sent(listed: Pairs, device: Device) -> PositivePairs {
        let lists = [&listed.anchors, &listed.positives].map(|list| Tensor::from_slice(list));
        let [anchors, positives] = Parcel::packed(lists, device).sent();
        PositivePairs {
            anchors,
            positives,
            listed,
        }
    }

    /// Returns the anchor and the positive of each pair.
    pub(crate) fn on_host(&self) -> impl Iterator<Item = (i64, i64)> {
        let anchors = self.listed.anchors.iter().copied();
        anchors.zip(self.listed.positives.iter().copied())
    }

    /// Returns the largest number of positives of an anchor.
    pub(crate) fn most(&self) -> i64 {
        let of_anchors = self.listed.anchors.chunk_by(|one, other| one == other);
        let most = of_anchors.map(<[i64]>::len).max();
        most.unwrap_or(0) as i64
    }

    /// Returns the anchors and the positives of the pairs of `count` anchors from `first` on. Anchors are numbered from
    /// `first`.
    pub(crate) fn of_anchors(&self, first: i64, count: i64) -> (Tensor, Tensor) {
        let before = |end: i64| self.listed.anchors.partition_point(|&anchor| anchor < end) as i64;
        let (start, end) = (before(first), before(first + count));
        let part = |list: &Tensor| list.narrow(0, start, end - start);
        let anchors = part(&self.anchors);
        let anchors = if first == 0 { anchors } else { anchors - first };
        (anchors, part(&self.positives))
    }
}

/// Returns the classes of some labels, in order, and the place of the class of each label among them.
pub(crate) fn numbered(labels: &[i64]) -> (Vec<i64>, Vec<i64>) {
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let place = |label: &i64| classes.partition_point(|class| class < label) as i64;
    let places = labels.iter().map(place).collect();
    (classes, places)
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::tuples::coordinates;

    fn list(values: &Tensor) -> Vec<i64> {
        Vec::try_from(values).unwrap()
    }

    /// A memory of six, with the copies of images 0 and 2; and duplicates of image 1, the third and the fifth.
    fn memory() -> (Tensor, References) {
        let labels = Tensor::from_slice(&[7i64, 3, 7, 5]);
        let stored = Tensor::from_slice(&[3i64, 7, 3, 7, 3, 8]);
        let own = Tensor::from_slice(&[3i64, -1, 1, -1]);
        let references = References::memory(stored.unsqueeze(1), stored, own);
        (labels, references)
    }

    fn dropped() -> Tensor {
        let dropped = Tensor::zeros([4, 6], (Kind::Bool, Device::Cpu));
        let _ = dropped.get(1).get(2).fill_(1);
        let _ = dropped.get(1).get(4).fill_(1);
        let _ = dropped.get(2).get(1).fill_(1);
        dropped
    }

    #[test]
    fn listed_pairs_are_those_that_the_mask_marks() {
        let (labels, memory) = memory();
        let batch = References::batch(&labels.unsqueeze(1), &labels);
        let mut excluding = self::memory().1;
        excluding.dropped = Some(dropped());
        for references in [batch, memory, excluding] {
            let (anchors, positives) = coordinates(&references.masks(&labels).0);
            let found = references.positive_pairs(&labels);
            assert_eq!(list(&found.anchors), list(&anchors));
            assert_eq!(list(&found.positives), list(&positives));
        }
    }

    #[test]
    fn negatives_are_as_many_as_the_mask_marks() {
        let (labels, references) = memory();
        let (_, negatives) = references.masks(&labels);
        let count = negatives.sum(Kind::Int64).int64_value(&[]);
        assert_eq!(references.host_labels(&labels).negatives(), count);
    }

    #[test]
    fn an_own_copy_is_a_positive_if_it_is_asked_for_even_where_duplicates_are_dropped() {
        let (labels, mut references) = memory();
        let of = |references: &References| {
            let pairs = PositivePairs::of(references, &labels, true);
            pairs.on_host().collect::<Vec<_>>()
        };
        let (firsts, others) = ([(0, 1), (0, 3)], [(2, 1), (2, 3)]);
        let middle = [(1, 0), (1, 2), (1, 4)];
        assert_eq!(of(&references), [&firsts[..], &middle, &others].concat());
        references.dropped = Some(dropped());
        assert_eq!(
            of(&references),
            [&firsts[..], &middle[..1], &others].concat()
        );
    }

    #[test]
    fn the_pairs_of_some_anchors_are_numbered_from_the_first_of_them() {
        let (labels, references) = memory();
        let pairs = references.positive_pairs(&labels);
        assert_eq!(pairs.most(), 3);
        let part = |first, count| {
            let (anchors, positives) = pairs.of_anchors(first, count);
            (list(&anchors), list(&positives))
        };
        assert_eq!(part(0, 1), (vec![0], vec![1]));
        assert_eq!(part(1, 2), (vec![0, 0, 0, 1], vec![0, 2, 4, 3]));
        assert_eq!(part(3, 1), (vec![], vec![]));
    }

    #[test]
    fn classes_are_numbered_in_their_order() {
        assert_eq!(numbered(&[7, 3, 7, 9]), (vec![3, 7, 9], vec![1, 0, 1, 2]));
    }
}
