//! Half a cosine.

use crate::{
    OutOfRange, Span,
    parts::{part::part, range::at_least},
};

part! {
    /// PyTorch's `CosineAnnealingLR`: half a cosine from 1 down to `floor`, where it stays.
    pub struct Cosine {
        /// Length of the descent. Absent: all of training.
        #[serde(skip_serializing_if = "Option::is_none")]
        over: Option<Span> = None,
        /// The least factor.
        floor: f64 = 0.0 => at_least(0.0).below(1.0),
    }
    formula: "rates x floor + (1 - floor) (1 + cos(pi t / over)) / 2; `over` is all of training if left out",
    source: "Loshchilov & Hutter, ICLR 2017, without restarts; PyTorch's CosineAnnealingLR",
    check: descent_has_a_length,
}

fn descent_has_a_length(cosine: &Cosine) -> Result<(), OutOfRange> {
    match &cosine.over {
        Some(over) => over.check_positive("over"),
        None => Ok(()),
    }
}
