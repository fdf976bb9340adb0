//! How an objective uses its memory.
//!
//! Within the batch an image is kept from itself by its index, whatever the rule; research-xbm goes by similarity there
//! as well, which differs for duplicates only.

use tch::{Kind, Tensor, no_grad};

use super::{Arrivals, Xbm};
use crate::tuples::References;

/// A positive whose cosine similarity is no less than this passes for the image itself, as in research-xbm.
const SAME: f64 = 1.0 - 1e-5;

/// How an objective uses its memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Whether a batch enters the memory before it is compared with it, or after.
    pub include_batch: bool,
    /// What keeps an image from being compared with its own copy.
    pub self_exclusion: SelfExclusion,
    /// Whether the loss in the batch counts beside that against the memory. Where there is nothing in memory, and for
    /// losses that have no term against it, it always does.
    pub batch_loss: bool,
}

/// What keeps an image from being compared with its own copy in a memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelfExclusion {
    /// The place of its copy is known.
    #[default]
    Index,
    /// Positives with a cosine similarity of 1 - 1e-5 or more are dropped: duplicates as well, and without
    /// normalised embeddings too many or too few.
    Similarity,
    /// Nothing: the copy is a positive.
    Nothing,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            include_batch: true,
            self_exclusion: SelfExclusion::default(),
            batch_loss: true,
        }
    }
}

impl Rules {
    /// Returns what a batch is compared with, and puts the batch into the memory, before or after; nothing if
    /// there is nothing to compare with.
    pub fn recall(&self, memory: &mut Xbm, arrivals: &Arrivals) -> Option<References> {
        let own = Tensor::full(
            arrivals.labels.size(),
            -1,
            (Kind::Int64, arrivals.labels.device()),
        );
        if self.include_batch {
            let slots = memory.enqueue(arrivals);
            let (embeddings, labels) = memory.filled();
            return Some(self.references(arrivals, embeddings, labels, slots, own));
        }
        // What enters afterwards must not change what the gradient is computed from.
        let (embeddings, labels) = memory.filled();
        let (embeddings, labels) = (embeddings.copy(), labels.copy());
        let _ = memory.enqueue(arrivals);
        let nothing = labels.numel() == 0;
        let unknown = own.shallow_clone();
        (!nothing).then(|| self.references(arrivals, embeddings, labels, unknown, own))
    }

    fn references(
        &self,
        arrivals: &Arrivals,
        embeddings: Tensor,
        labels: Tensor,
        slots: Tensor,
        unknown: Tensor,
    ) -> References {
        match self.self_exclusion {
            SelfExclusion::Index => References {
                embeddings,
                labels,
                own: slots,
                dropped: None,
            },
            SelfExclusion::Similarity => {
                let same = no_grad(|| arrivals.embeddings.matmul(&embeddings.tr()).ge(SAME));
                References {
                    embeddings,
                    labels,
                    own: unknown,
                    dropped: Some(same),
                }
            }
            SelfExclusion::Nothing => References {
                embeddings,
                labels,
                own: unknown,
                dropped: None,
            },
        }
    }
}
