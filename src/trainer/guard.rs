//! Notices a training that has gone wrong although its loss is a number.

use schema::{Breakdown, Guards};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

/// Steps between two looks at the embeddings of a batch.
const EVERY: u64 = 10;
/// So many looks in a row must find them all the same.
const LOOKS: u64 = 10;

/// What has been noticed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Noticed {
    /// Latest steps in a row in which nothing contributed to the loss.
    empty_steps: u64,
    /// Latest looks in a row at embeddings that were all nearly the same.
    equal: u64,
}

impl Noticed {
    /// Takes in `step`: embeddings `[n, d]` of its last batch, and whether nothing contributed to its loss.
    pub(crate) fn see(
        &mut self,
        guards: &Guards,
        step: u64,
        embeddings: &Tensor,
        empty: bool,
    ) -> Option<Breakdown> {
        self.empty_steps = if empty { self.empty_steps + 1 } else { 0 };
        if guards.collapse < 1.0 && step.is_multiple_of(EVERY) {
            self.equal = if mean_cosine(embeddings) > guards.collapse {
                self.equal + 1
            } else {
                0
            };
        }
        if self.equal >= LOOKS {
            return Some(Breakdown::Collapsed);
        }
        (guards.dead_steps > 0 && self.empty_steps >= guards.dead_steps).then_some(Breakdown::Dead)
    }
}

/// The mean cosine similarity of two different rows of length one; 0 if there are no two.
fn mean_cosine(embeddings: &Tensor) -> f64 {
    let rows = embeddings.size()[0] as f64;
    if rows < 2.0 {
        return 0.0;
    }
    let sum = no_grad(|| {
        embeddings
            .to_kind(Kind::Double)
            .sum_dim_intlist(0i64, false, None::<Kind>)
    });
    (sum.square().sum(None::<Kind>).double_value(&[]) - rows) / (rows * (rows - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_cosine_of_orthogonal_rows_is_zero_and_of_equal_ones_one() {
        let orthogonal = Tensor::from_slice2(&[[1.0, 0.0], [0.0, 1.0]]);
        assert_eq!(mean_cosine(&orthogonal), 0.0);
        assert_eq!(mean_cosine(&Tensor::from_slice2(&[[0.6, 0.8]; 3])), 1.0);
        assert_eq!(mean_cosine(&orthogonal.narrow(0, 0, 1)), 0.0);
    }

    #[test]
    fn only_many_steps_in_a_row_mean_something() {
        let guards = Guards {
            dead_steps: 3,
            ..Guards::default()
        };
        let apart = Tensor::from_slice2(&[[1.0, 0.0], [0.0, 1.0]]);
        let mut noticed = Noticed::default();
        let mut see = |step, empty| noticed.see(&guards, step, &apart, empty);
        assert_eq!(
            [
                see(1, true),
                see(2, true),
                see(3, false),
                see(4, true),
                see(5, true)
            ],
            [None; 5]
        );
        assert_eq!(see(6, true), Some(Breakdown::Dead));
    }

    #[test]
    fn guards_can_be_switched_off() {
        let same = Tensor::from_slice2(&[[0.6, 0.8]; 3]);
        let last = |guards: Guards| {
            let mut noticed = Noticed::default();
            (1..=200).find_map(|step| {
                noticed
                    .see(&guards, step, &same, true)
                    .map(|how| (how, step))
            })
        };
        assert_eq!(
            last(Guards {
                dead_steps: 0,
                ..Guards::default()
            }),
            Some((Breakdown::Collapsed, 100))
        );
        assert_eq!(
            last(Guards {
                dead_steps: 0,
                collapse: 1.0
            }),
            None
        );
    }
}
