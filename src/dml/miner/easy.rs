//! Easy triplets: they satisfy a margin, `d(a,n) - d(a,p) > margin`; see [`gap`].

use schema::EasyMiner;

use super::{Candidates, Miner, gap};
use crate::{distance::Distance, random::Draws, tuples::Tuples};

impl Miner for EasyMiner {
    fn distance(&self) -> Distance {
        self.distance.unwrap_or(Distance::Euclidean)
    }

    fn choose(&self, candidates: &Candidates, _: &mut Draws) -> Tuples {
        gap::triplets(candidates, |gap| gap.gt(self.margin))
    }
}
