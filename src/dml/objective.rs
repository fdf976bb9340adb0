//! What training minimises: a loss with its miner, in the batch and against a memory.
//!
//! At step `t` the value is `loss(batch, batch)`, plus `memory_weight * loss(batch, memory)` once
//! `t >= memory_start`. The batch enters the memory first, so it is part of it, and no image is compared with its
//! own copy there. The miner chooses in both terms. Until `memory_start` the memory stays empty.
//!
//! | | here | research-xbm (the authors) | PML `CrossBatchMemory` |
//! | --- | --- | --- | --- |
//! | term in the batch | yes | yes | no |
//! | own copies | dropped by index | dropped by similarity, with duplicates | dropped by index |
//! | first step with memory | `memory_start` | the same, as `START_ITERATION` | 0 |
//! | reduction of the memory term | that of the loss | sum over pairs / batch size | that of the loss |
//! | in a checkpoint | yes | no | yes |
//!
//! An image that the memory holds from an earlier epoch is a positive like any other.

use tch::Tensor;

use crate::{
    loss::{Loss, LossValue},
    memory::Xbm,
    miner::Miner,
    tuples::{References, Tuples, all_pairs},
};

/// What training minimises.
pub struct Objective {
    /// What embeddings cost.
    pub loss: Box<dyn Loss>,
    /// Which pairs or triplets the loss sees. Absent: all.
    pub miner: Option<Box<dyn Miner>>,
    /// Earlier embeddings. Absent: the loss sees one batch.
    pub memory: Option<Xbm>,
    /// The first step that uses the memory, counted from 0.
    pub memory_start: u64,
    /// Weight of the loss against the memory.
    pub memory_weight: f64,
}

impl Objective {
    /// Returns the loss of a batch, `embeddings` `[n, d]` and `labels` `[n]` on the same device, at `step`,
    /// counted from 0, and puts the batch into the memory. The step is empty if nothing contributed, neither in the
    /// batch nor against the memory.
    pub fn step(&mut self, embeddings: &Tensor, labels: &Tensor, step: u64) -> LossValue {
        let in_batch = self.against(embeddings, labels, &References::batch(embeddings, labels));
        let Some(references) = self.remember(embeddings, labels, step) else {
            return in_batch;
        };
        let in_memory = self.against(embeddings, labels, &references);
        LossValue {
            value: in_batch.value + in_memory.value * self.memory_weight,
            empty: in_batch.empty && in_memory.empty,
        }
    }

    fn against(&self, embeddings: &Tensor, labels: &Tensor, references: &References) -> LossValue {
        let tuples = match &self.miner {
            Some(miner) => miner.mine(embeddings, labels, references),
            None => Tuples::Pairs(all_pairs(labels, references)),
        };
        self.loss.loss(embeddings, references, &tuples)
    }

    fn remember(&mut self, embeddings: &Tensor, labels: &Tensor, step: u64) -> Option<References> {
        let memory = self.memory.as_mut().filter(|_| step >= self.memory_start)?;
        let own = memory.enqueue(embeddings, labels);
        let (embeddings, labels) = memory.filled();
        Some(References { embeddings, labels, own })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tch::{Device, Kind};

    use super::*;
    use crate::{
        distance::normalise,
        loss::tests::{named_loss, named_miner},
        testing::{assert_close, golden, gradient, is_finite, labels, noise, tensor},
    };

    fn objective(case: &Value, memory: Option<Xbm>) -> Objective {
        let miner = named_miner(&case["miner"]);
        Objective { loss: named_loss(case), miner, memory, memory_start: 0, memory_weight: 0.5 }
    }

    fn cases() -> Vec<Value> {
        golden(include_str!("loss/testdata/batch.json"))["cases"].as_array().unwrap().clone()
    }

    #[test]
    fn batch_and_memory_together_cost_what_the_reference_says() {
        let golden = golden(include_str!("loss/testdata/memory.json"));
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 27);
        let precisions = [(Kind::Double, 1e-10), (Kind::Float, 1e-5)];
        for (case, (kind, tolerance)) in cases.iter().flat_map(|case| precisions.map(|of| (case, of))) {
            let memory = Xbm::of_kind(kind, golden["size"].as_i64().unwrap(), 5, Device::Cpu);
            let mut objective = objective(case, Some(memory));
            for (step, expected) in case["steps"].as_array().unwrap().iter().enumerate() {
                let raw = tensor(&golden["embeddings"][step]).to_kind(kind).set_requires_grad(true);
                let found = objective.step(&normalise(&raw), &labels(&golden["labels"][step]), step as u64);
                let what = format!("{} {} {} step {step} {kind:?}", case["loss"], case["settings"], case["miner"]);
                assert_close(&found.value, &tensor(&expected["value"]), tolerance, &what);
                assert_close(&gradient(&found.value, &raw), &tensor(&expected["gradient"]), tolerance, &what);
            }
        }
    }

    #[test]
    fn the_memory_stays_empty_until_its_first_step() {
        let case = &cases()[0];
        let mut late = objective(case, Some(Xbm::of_kind(Kind::Double, 100, 3, Device::Cpu)));
        late.memory_start = 2;
        let labels = Tensor::from_slice(&[0i64, 0, 1, 1]);
        let alone = |step| objective(case, None).step(&normalise(&noise(step, 4, 3)), &labels, step).value;
        for (step, expected_rows) in [(0, 0), (1, 0), (2, 4), (3, 8)] {
            let found = late.step(&normalise(&noise(step, 4, 3)), &labels, step).value;
            assert_eq!(late.memory.as_ref().unwrap().filled().1.size(), [expected_rows]);
            assert_eq!(found == alone(step), step < 2);
        }
    }

    #[test]
    fn a_memory_that_holds_only_the_batch_gives_the_value_of_the_batch_again() {
        for case in cases() {
            let embeddings = normalise(&noise(9, 8, 5));
            let labels = Tensor::from_slice(&[0i64, 0, 1, 1, 2, 2, 3, 3]);
            let alone = objective(&case, None).step(&embeddings, &labels, 0).value;
            let memory = Xbm::of_kind(Kind::Double, 8, 5, Device::Cpu);
            let with = objective(&case, Some(memory)).step(&embeddings, &labels, 0).value;
            assert_close(&with, &(alone * 1.5), 1e-14, "value");
        }
    }

    #[test]
    fn every_loss_with_every_miner_survives_batches_that_break_things() {
        let zero_row = Tensor::cat(&[noise(3, 7, 4), Tensor::zeros([1, 4], (Kind::Double, Device::Cpu))], 0);
        let batches: [(&str, Tensor, &[i64]); 7] = [
            ("one class only", noise(1, 6, 4), &[5; 6]),
            ("every class once", noise(2, 6, 4), &[0, 1, 2, 3, 4, 5]),
            ("a zero vector", zero_row, &[0, 0, 1, 1, 2, 2, 3, 3]),
            ("duplicates", noise(4, 4, 4).repeat([2, 1]), &[0, 1, 2, 3, 0, 1, 2, 3]),
            ("duplicates across classes", noise(4, 4, 4).repeat([2, 1]), &[0, 0, 1, 1, 2, 2, 3, 3]),
            ("all the same", noise(5, 1, 4).repeat([6, 1]), &[0, 0, 1, 1, 2, 2]),
            ("a batch of one", noise(6, 1, 4), &[3]),
        ];
        for ((name, raw, labels), case) in batches.iter().flat_map(|batch| cases().into_iter().map(move |c| (batch, c)))
        {
            let mut objective = objective(&case, Some(Xbm::new(10, 4, Device::Cpu)));
            for step in 0..3 {
                let raw = raw.to_kind(Kind::Float).set_requires_grad(true);
                let found = objective.step(&normalise(&raw), &Tensor::from_slice(labels), step);
                let gradient = gradient(&found.value, &raw);
                assert!(is_finite(&found.value) && is_finite(&gradient), "{name}: {case}");
                assert!(!found.empty || gradient.abs().max().double_value(&[]) == 0.0, "{name}: {case}");
            }
        }
    }

    #[test]
    fn a_step_is_empty_only_if_neither_batch_nor_memory_contributes() {
        let case = cases().into_iter().find(|case| case["loss"] == "triplet").unwrap();
        let mut objective = objective(&case, Some(Xbm::of_kind(Kind::Double, 10, 2, Device::Cpu)));
        let mut step = |embeddings: &[[f64; 2]], labels: &[i64]| {
            objective.step(&Tensor::from_slice2(embeddings), &Tensor::from_slice(labels), 0).empty
        };
        // Two images of different classes make no triplet; with a memory of both they do.
        assert!(step(&[[1.0, 0.0], [0.0, 1.0]], &[0, 1]));
        assert!(!step(&[[0.0, 1.0], [1.0, 0.0]], &[0, 1]));
    }
}
