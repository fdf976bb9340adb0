//! Hard triplets: the negative is not farther than the positive, `d(a,n) - d(a,p) <= 0`; see [`gap`].

use schema::HardMiner;

use super::{Candidates, Miner, gap};
use crate::{distance::Distance, random::Draws, tuples::Tuples};

impl Miner for HardMiner {
    fn distance(&self) -> Distance {
        self.distance.unwrap_or(Distance::Euclidean)
    }

    fn choose(&self, candidates: &Candidates, _: &mut Draws) -> Tuples {
        gap::triplets(candidates, |gap| gap.le(0.0))
    }
}
