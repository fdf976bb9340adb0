//! Detects trainings that have broken down although their loss is finite.

use schema::{Breakdown, Guards};
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
    /// Counts a step: embeddings `[n, d]` of its last batch, and whether nothing contributed to its
    /// loss. Returns the breakdown, if there is one.
    pub(crate) fn update(
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
        if self.equal >= CHECKS {
            Some(Breakdown::Collapsed)
        } else if guards.dead_steps > 0 && self.empty_steps >= guards.dead_steps {
            Some(Breakdown::Dead)
        } else {
            None
        }
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
        let apart = Tensor::from_slice2(&[[1.0, 0.0], [0.0, 1.0]]);
        let mut monitor = BreakdownMonitor::default();
        let mut update = |step, empty| monitor.update(&guards, step, &apart, empty);
        assert_eq!(
            [
                update(1, true),
                update(2, true),
                update(3, false),
                update(4, true),
                update(5, true)
            ],
            [None; 5]
        );
        assert_eq!(update(6, true), Some(Breakdown::Dead));
    }

    #[test]
    fn guards_can_be_switched_off() {
        let same = Tensor::from_slice2(&[[0.6, 0.8]; 3]);
        let last = |guards: Guards| {
            let mut monitor = BreakdownMonitor::default();
            (1..=200).find_map(|step| {
                monitor
                    .update(&guards, step, &same, true)
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
