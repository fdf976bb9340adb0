//! Stochastic depth: images skip branches of residual blocks by chance (Huang et al., ECCV 2016).
//!
//! The probability grows linearly from 0 at the first block to that of the last one, and what a branch adds to the other
//! images is divided by the probability not to skip it. Reference: timm's `DropPath` and `calculate_drop_path_rates`. Draws are
//! a function of the seed, the batch, the branch and the place of the image in the batch. So a block that is computed again,
//! and both passes of a gradient in chunks, have the same.

use tch::{Device, Tensor};

use super::dropout::BatchPart;
use crate::random::Purpose;

/// Which images skip which branches during one forward pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct StochasticDepth {
    /// The probability to skip a branch of the last block.
    pub(super) rate: f64,
    pub(super) part: BatchPart,
}

impl StochasticDepth {
    /// Returns the factors `[n]` of what a branch adds to each image.
    fn factors(&self, branch: &Branch, images: i64, device: Device) -> Tensor {
        let (draws, rate) = ((Purpose::Depth, branch.number), self.rate * branch.depth);
        self.part.factors(draws, rate, (images, 1), device)
    }
}

/// A branch of a residual block: what it gives is added to what came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branch {
    /// Among all branches of the trunk.
    number: u64,
    /// From 0 for the first block to 1 for the last.
    depth: f64,
}

impl Branch {
    /// Returns the branches of block `block` of `blocks`, which all have `N`.
    pub(super) fn of_block<const N: usize>(block: usize, blocks: usize) -> [Branch; N] {
        let depth = block as f64 / (blocks - 1).max(1) as f64;
        let first = (block * N) as u64;
        std::array::from_fn(|place| Branch {
            number: first + place as u64,
            depth,
        })
    }

    /// Returns what the branch adds, given what it has computed for images `[n, ..]`.
    pub(super) fn added(
        &self,
        stochastic_depth: Option<StochasticDepth>,
        computed: Tensor,
    ) -> Tensor {
        let Some(stochastic) = stochastic_depth.filter(|_| self.depth > 0.0) else {
            return computed;
        };
        let mut shape = vec![1; computed.dim()];
        shape[0] = computed.size()[0];
        let factors = stochastic.factors(self, shape[0], computed.device());
        let factors = factors.to_kind(computed.kind()).view(&*shape);
        computed * factors
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tch::Kind;

    use super::*;
    use crate::testing::golden;

    #[test]
    fn the_rates_of_blocks_are_those_of_timm() {
        let golden = golden(include_str!("testdata/drop_path.json"));
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let expected: Vec<f64> = serde_json::from_value(case["rates"].clone()).unwrap();
            for (block, expected) in expected.iter().enumerate() {
                let [branch, other] = Branch::of_block(block, case_blocks(case));
                assert!((case["rate"].as_f64().unwrap() * branch.depth - expected).abs() < 1e-7);
                assert!(branch.depth == other.depth && branch.number + 1 == other.number);
            }
        }
    }

    fn case_blocks(case: &Value) -> usize {
        case["rates"].as_array().unwrap().len()
    }

    #[test]
    fn an_image_skips_a_branch_as_often_as_it_should_and_the_mean_stays() {
        let [branch] = Branch::of_block(2, 3);
        let stochastic = |batch, first| StochasticDepth {
            rate: 0.3,
            part: BatchPart {
                seed: 7,
                batch,
                first,
            },
        };
        let factors = stochastic(0, 0).factors(&branch, 20_000, Device::Cpu);
        let skipped = factors.eq(0.0).to_kind(Kind::Double).mean(None::<Kind>);
        assert!((skipped.double_value(&[]) - 0.3).abs() < 0.01);
        let mean = factors.to_kind(Kind::Double).mean(None::<Kind>);
        assert!((mean.double_value(&[]) - 1.0).abs() < 0.02);
        assert!(stochastic(1, 0).factors(&branch, 20_000, Device::Cpu) != factors);
        let part = stochastic(0, 500).factors(&branch, 100, Device::Cpu);
        assert!(part == factors.narrow(0, 500, 100));
    }
}
