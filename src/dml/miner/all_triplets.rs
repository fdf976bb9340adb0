//! All triplets that violate a margin, `d(a,n) - d(a,p) <= margin`; see [`gap`].

use schema::AllTripletsMiner;

use super::{Candidates, Miner, gap};
use crate::{distance::Distance, random::Draws, tuples::Tuples};

impl Miner for AllTripletsMiner {
    fn distance(&self) -> Distance {
        self.distance.unwrap_or(Distance::Euclidean)
    }

    fn choose(&self, candidates: &Candidates, _: &mut Draws) -> Tuples {
        gap::triplets(candidates, |gap| gap.le(self.margin))
    }
}
