//! Boosting of heads. Opitz, Waltner, Possegger & Bischof, "BIER: Boosting Independent Embeddings Robustly", ICCV 2017;
//! online gradient boosting of Beygelzimer et al., NIPS 2015.
//!
//! The terms of a boostable loss are `l(a)` of a margin `a`, linear in distances: `alpha (s - base)` of positive pairs in
//! [`Binomial`](schema::Binomial), for example. The weight of a term in head k+1 is `-l'(A_k)`, where `A_k` combines the
//! margins of the heads up to k. The first head has weights of 1. No gradient flows through weights, and what a reduction
//! divides by does not depend on them.
//!
//! | | `A_k` | weight |
//! | --- | --- | --- |
//! | [`Additive`](schema::Additive) | `A_(k-1) + shrinkage a_k`, from `initial` on | of negative pairs times `negatives` |
//! | [`Average`](schema::Average) | `(1 - nu_k) A_(k-1) + nu_k a_k` with `nu_k = 2 / (k + 1)` | as it is |
//!
//! Reference: mop/bier (the authors' program) for the binomial deviance: by default, and with `--eta-style`. Differs: each
//! term counts once; there, the mean of positive pairs counts each image with itself, too. For other losses the same rule
//! is applied to the margin of theirs, as the paper says that it works with any differentiable loss. With a hinge, weights
//! are 0 or 1: later heads see what the combined margin violates.
//!
//! The code has the negative margin, the violation: `v = -a`.

use schema::Boost;
use tch::{Kind, Tensor, with_grad};

/// Whether a term pulls images together or pushes them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Of positive pairs, or of triplets.
    Pull,
    /// Of negative pairs.
    Push,
}

/// What the heads before one think of the same batch.
#[derive(Debug)]
pub struct Boosting<'a> {
    boost: &'a Boost,
    /// Distances `[n, m]` by the first head.
    first: &'a Tensor,
    /// The same by the heads after it.
    others: &'a [Tensor],
}

impl<'a> Boosting<'a> {
    /// Returns the boosting by heads with these distances; nothing if there are none.
    pub(super) fn by(boost: &'a Boost, earlier: &'a [Tensor]) -> Option<Boosting<'a>> {
        let (first, others) = earlier.split_first()?;
        Some(Boosting {
            boost,
            first,
            others,
        })
    }

    /// Returns the weights of some terms: `term` of a `violation` of the distances `[n, m]` by a head.
    pub(crate) fn weights(
        &self,
        side: Side,
        violation: impl Fn(&Tensor) -> Tensor,
        term: impl Fn(&Tensor) -> Tensor,
    ) -> Tensor {
        let slope = slope(term, &self.combined(violation));
        match (self.boost, side) {
            (Boost::Additive(additive), Side::Push) => slope * additive.negatives,
            (Boost::Additive(_), Side::Pull) | (Boost::Average, _) => slope,
        }
    }

    /// Returns the combined violations by the earlier heads.
    fn combined(&self, violation: impl Fn(&Tensor) -> Tensor) -> Tensor {
        let first = violation(self.first);
        let others = self.others.iter().map(violation);
        match self.boost {
            Boost::Additive(additive) => {
                let sum = others.fold(first, |sum, head| sum + head);
                sum * additive.shrinkage - additive.initial
            }
            Boost::Average => {
                let steps = (2..).map(|number| 2.0 / f64::from(number + 1));
                others.zip(steps).fold(first, |mean, (head, step)| {
                    mean * (1.0 - step) + head * step
                })
            }
        }
    }
}

/// Returns the slope of a function at each of these places.
fn slope(function: impl Fn(&Tensor) -> Tensor, places: &Tensor) -> Tensor {
    if places.numel() == 0 {
        return places.detach();
    }
    let places = places.detach().set_requires_grad(true);
    let sum = with_grad(|| function(&places).sum(None::<Kind>));
    let slopes = Tensor::run_backward(&[sum], &[&places], false, false);
    slopes
        .into_iter()
        .next()
        .unwrap_or_else(|| places.zeros_like())
}
