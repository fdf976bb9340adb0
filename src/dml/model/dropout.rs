//! Dropout: training sets inputs of the last layer of a head to 0 by chance (Srivastava et al., JMLR 2014).
//!
//! The other inputs are divided by the probability to be kept, so that their mean stays. Reference: `torch.nn.Dropout`. Draws
//! are a function of the seed, the batch, the head and the place of the image in the batch, so both passes of a gradient in
//! chunks have the same. [`super::depth`] draws in the same way which images skip a branch.

use std::ops::Range;

use tch::{Device, Tensor};

use crate::{
    random::{Draws, Purpose},
    upload::Parcel,
};

/// Some images of a training batch, one after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchPart {
    pub(super) seed: u64,
    /// Number of the training batch.
    pub(super) batch: u64,
    /// The place of the first image in the batch.
    pub(super) first: i64,
}

impl BatchPart {
    /// Returns factors `[images * each]` of numbers that are dropped with the probability `rate`, `each` for an image: 0, or
    /// what keeps the mean at 1. `number` tells apart what draws for the same purpose.
    pub(super) fn factors(
        &self,
        (purpose, number): (Purpose, u64),
        rate: f64,
        (images, each): (i64, i64),
        device: Device,
    ) -> Tensor {
        let draws = Draws::new(self.seed, purpose, self.batch, number);
        let range = self.first * each..(self.first + images) * each;
        let [factors] = Parcel::packed([factors(draws, rate, range)], device).sent();
        factors
    }
}

/// Returns the factors of a range of draws.
fn factors(mut draws: Draws, rate: f64, range: Range<i64>) -> Tensor {
    draws.skip_uniform(range.start as u32);
    let kept = (1.0 / (1.0 - rate)) as f32;
    let factors: Vec<f32> = range
        .map(|_| if draws.uniform() < rate { 0.0 } else { kept })
        .collect();
    Tensor::from_slice(&factors)
}

/// Dropout before the last layer of a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropout {
    /// The probability to drop an input.
    pub(super) rate: f64,
    /// Number of the head.
    pub(super) head: u64,
}

impl Dropout {
    /// Returns what is left of inputs `[n, f]` of the last layer.
    pub(super) fn of(&self, inputs: &Tensor, part: &BatchPart) -> Tensor {
        if self.rate == 0.0 {
            return inputs.shallow_clone();
        }
        let (images, each) = (inputs.size()[0], inputs.size()[1]);
        let draws = (Purpose::Dropout, self.head);
        let factors = part.factors(draws, self.rate, (images, each), inputs.device());
        inputs * factors.view([images, each]).to_kind(inputs.kind())
    }
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::testing::{assert_close, gradient, noise};

    fn part(batch: u64, first: i64) -> BatchPart {
        BatchPart {
            seed: 3,
            batch,
            first,
        }
    }

    /// What is left of ones.
    fn kept(head: u64, batch: u64, first: i64, images: i64) -> Tensor {
        let ones = Tensor::ones([images, 50], (Kind::Double, Device::Cpu));
        Dropout { rate: 0.7, head }.of(&ones, &part(batch, first))
    }

    #[test]
    fn as_many_inputs_are_dropped_as_should_be_and_the_mean_stays() {
        let kept = kept(0, 0, 0, 2000);
        let share = kept.eq(0.0).to_kind(Kind::Double).mean(None::<Kind>);
        assert!((share.double_value(&[]) - 0.7).abs() < 0.01);
        assert!((kept.mean(None::<Kind>).double_value(&[]) - 1.0).abs() < 0.03);
    }

    #[test]
    fn each_head_and_batch_drops_others_and_a_part_of_a_batch_the_same() {
        let whole = kept(0, 5, 0, 12);
        assert!(whole == kept(0, 5, 0, 12));
        assert!(whole != kept(1, 5, 0, 12));
        assert!(whole != kept(0, 6, 0, 12));
        assert!(kept(0, 5, 7, 5) == whole.narrow(0, 7, 5));
    }

    #[test]
    fn what_is_kept_and_its_gradient_are_divided_as_torch_divides_them() {
        let inputs = noise(1, 40, 30).set_requires_grad(true);
        let of_torch = inputs.dropout(0.4, true);
        let own = Dropout { rate: 0.4, head: 0 }.of(&inputs, &part(0, 0));
        let slopes = |outputs: &Tensor| gradient(&outputs.sum(None::<Kind>), &inputs);
        let in_both = of_torch.ne(0.0).logical_and(&own.ne(0.0));
        let close = |own: &Tensor, of_torch: &Tensor, what: &str| {
            let of = |values: &Tensor| values.masked_select(&in_both);
            assert_close(&of(own), &of(of_torch), 1e-6, what);
        };
        assert!(in_both.any().int64_value(&[]) == 1);
        close(&own, &of_torch, "kept");
        let slopes_of_own = slopes(&own);
        close(&slopes_of_own, &slopes(&of_torch), "gradient");
        let of_dropped = slopes_of_own.masked_select(&own.eq(0.0));
        assert!(of_dropped.numel() > 0 && of_dropped.eq(0.0).all().int64_value(&[]) == 1);
    }
}
