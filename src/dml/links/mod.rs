//! Links between the heads of one network: what heads learn depends on the heads before them, or on the others.
//!
//! [`boost`] weighs the terms of a head's loss by what the heads before it think of the same pairs or triplets, and
//! [`cascade`] chooses its pairs. Both see the heads of one batch in order, in a [`Passage`]. [`diversity`] is a penalty
//! on all heads at once.
//!
//! Without parameters, links have no state: they depend on the batch alone.

mod boost;
mod cascade;
mod diversity;
#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
mod properties;

pub use boost::Boosting;
pub(crate) use boost::Side;
pub use diversity::{DiversityLoss, HeadOutput};
use schema::{Boost, Cascade};
use tch::Tensor;

use self::cascade::Chosen;
use crate::{
    distance::Distance,
    tuples::{References, Tuples},
};

/// What links the heads of a network.
#[derive(Debug, Default)]
pub struct Links {
    /// Later heads learn more from what earlier heads got wrong.
    pub boost: Option<Boost>,
    /// Later heads see only the hardest pairs.
    pub cascade: Option<Cascade>,
    /// A penalty on heads that agree.
    pub diversity: Option<DiversityLoss>,
}

impl Links {
    /// True if a head's loss depends on the heads before it.
    fn are_in_order(&self) -> bool {
        self.boost.is_some() || self.cascade.is_some()
    }
}

/// One batch on its way through the heads, compared with some references.
pub(crate) struct Passage<'a> {
    links: &'a Links,
    labels: &'a Tensor,
    /// Distances `[n, m]` by each head that has been passed, without gradients.
    earlier: Vec<Tensor>,
    /// What the latest head chose.
    chosen: Option<Chosen>,
}

impl<'a> Passage<'a> {
    /// Returns a batch with these labels before its first head.
    pub(crate) fn new(links: &'a Links, labels: &'a Tensor) -> Passage<'a> {
        Passage {
            links,
            labels,
            earlier: Vec::new(),
            chosen: None,
        }
    }

    /// True if the next head needs all distances.
    pub(crate) fn needs_distances(&self) -> bool {
        self.links.are_in_order()
    }

    /// Returns the pairs that the next head learns from, given its distances; nothing without a cascade.
    pub(crate) fn choose(
        &mut self,
        references: &References,
        distance: Distance,
        distances: &Tensor,
    ) -> Option<Tuples> {
        let cascade = self.links.cascade.as_ref()?;
        let share = cascade
            .shares
            .get(self.earlier.len())
            .copied()
            .unwrap_or(1.0);
        let before = self.chosen.take();
        let candidates = before.filter(|_| cascade.of == schema::CascadeOf::Previous);
        let all = Chosen::all(references, self.labels);
        let chosen = all.hardest(share, candidates.as_ref(), distance, distances);
        let tuples = chosen.tuples();
        self.chosen = Some(chosen);
        Some(tuples)
    }

    /// Returns what weighs the terms of the next head; nothing without boosting, and for the first head.
    pub(crate) fn boosting(&self) -> Option<Boosting<'_>> {
        Boosting::by(self.links.boost.as_ref()?, &self.earlier)
    }

    /// Goes on to the next head.
    pub(crate) fn pass(&mut self, distances: &Tensor) {
        self.earlier.push(distances.detach());
    }
}
