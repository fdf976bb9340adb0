//! Detects trainings that have broken down although their loss is finite.

use schema::Guards;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

/// Steps between two checks of a batch's embeddings.
const EVERY: u64 = 10;
/// Consecutive checks that must find them collapsed.
const CHECKS: u64 = 10;

/// Counts consecutive signs of a breakdown. It is part of a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BreakdownMonitor {
    /// Consecutive steps in which nothing contributed to the loss.
    empty_steps: u64,
    /// Consecutive checks in which all embeddings were nearly equal.
    equal: u64,
}

impl BreakdownMonitor {
    /// Counts a step by whether nothing contributed to its loss. True if too many such steps followed each other.
    pub(crate) fn is_dead(&mut self, guards: &Guards, empty: bool) -> bool {
        self.empty_steps = if empty { self.empty_steps + 1 } else { 0 };
        guards.dead_steps > 0 && self.empty_steps >= guards.dead_steps
    }

    /// True if the embeddings `[n, d]` of the batch after `steps` steps have collapsed. Only some batches are tested.
    pub(crate) fn is_collapsed(
        &mut self,
        guards: &Guards,
        steps: u64,
        embeddings: &Tensor,
    ) -> bool {
        if guards.collapse < 1.0 && steps.is_multiple_of(EVERY) {
            self.equal = if mean_cosine(embeddings) > guards.collapse {
                self.equal + 1
            } else {
                0
            };
        }
        self.equal >= CHECKS
    }
}

/// Returns the mean cosine similarity of two different rows of unit length; 0 for fewer than two rows.
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
    fn only_consecutive_empty_steps_count() {
        let guards = Guards {
            dead_steps: 3,
            ..Guards::default()
        };
        let mut monitor = BreakdownMonitor::default();
        let steps = [true, true, false, true, true, true];
        assert_eq!(
            steps.map(|empty| monitor.is_dead(&guards, empty)),
            [false, false, false, false, false, true]
        );
    }

    #[test]
    fn guards_can_be_switched_off() {
        let same = Tensor::from_slice2(&[[0.6, 0.8]; 3]);
        let last = |collapse| {
            let guards = Guards {
                dead_steps: 0,
                collapse,
            };
            let mut monitor = BreakdownMonitor::default();
            assert!((1..=10_000).all(|_| !monitor.is_dead(&guards, true)));
            (1..=200).find(|&steps| monitor.is_collapsed(&guards, steps, &same))
        };
        assert_eq!(last(Guards::default().collapse), Some(100));
        assert_eq!(last(1.0), None);
    }
}
