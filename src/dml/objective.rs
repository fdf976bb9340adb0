//! What training minimizes: a loss with its miner, in the batch and against a memory.
//!
//! An objective is a weighted sum of losses. At step `t` its value is `loss(batch, batch)`, plus
//! `weight * loss(batch, memory)` once `t >= memory_start`. By default, the batch
//! enters the memory first, so it is part of it, and no image is compared with its own copy there. Miners choose in
//! both terms. Until `memory_start` the memory stays empty.
//!
//! | | here, unless chosen otherwise | research-xbm (the authors) | PML `CrossBatchMemory` |
//! | --- | --- | --- | --- |
//! | term in the batch | yes | yes | no |
//! | the batch is in memory | yes | yes | yes |
//! | own copies | dropped by index | dropped by similarity, with duplicates | dropped by index |
//! | a batch that does not fit | goes on at the start | overwrites the last slots | goes on at the start |
//! | first step with memory | `memory_start` | the same, as `START_ITERATION` | 0 |
//! | reduction of the memory term | that of the loss | sum over pairs / batch size | that of the loss |
//! | in a checkpoint | yes | no | yes |
//!
//! An image that the memory holds from an earlier epoch is a positive like any other. A loss that does not compare
//! with references, say one with proxies, has no term against the memory.
//!
//! A loss may be that of one head: it sees one block of the embeddings, in the batch and in the memory. Links let heads
//! depend on those before them, and add a penalty on all of them.
//!
//! Losses with parameters of their own give them here as flat tensors, one for each such loss, to be changed by
//! optimizers of their own; their gradients come out of the same pass as the network's.

pub mod sample;

use schema::{OutOfRange, WeightedLoss};
use tch::{Device, Tensor};

use crate::{
    blocks::Block,
    distance::{Distance, DistanceExt},
    links::{DiversityLoss, HeadOutput, Links, Passage},
    loss::{self, ClassInit, Loss, LossInput, LossValue, ScriptedLoss},
    memory::{CrossBatchMemory, MemoryBatch},
    miner::{self, Miner},
    model::Network,
    parameters::{self, Parameters},
    random::{Draws, Purpose},
    reduce::Reduction,
    regularizer::{self, Regularizer},
    script::{ScriptError, Scripts},
    state::{State, StateError, copy, overwrite},
    survey::ClassSurvey,
    tuples::References,
};

/// The name of the parameters of links in a state; those of losses have numbers.
const LINKS: &str = "links";

/// What training minimizes.
pub struct Objective {
    /// The losses of the weighted sum, usually one.
    pub losses: Vec<ConfiguredLoss>,
    /// Earlier embeddings. Absent: the losses see one batch.
    pub memory: Option<CrossBatchMemory>,
    /// The first step that uses the memory, counted from 0.
    pub memory_start: u64,
    /// What links the heads of a network with several.
    pub links: Links,
    /// The only head that learns from the next batches. Absent: all do.
    pub active: Option<usize>,
    /// Where the classes of the training set lie. Absent: they have not been surveyed yet, or never are.
    pub survey: Option<ClassSurvey>,
    /// Seed of what miners leave to chance.
    pub seed: u64,
}

/// One loss of an objective, with its distance, reduction, miner and regularizer.
pub struct ConfiguredLoss {
    /// Weight in the sum.
    pub weight: f64,
    /// The part of the embeddings that it sees. Absent: all.
    pub block: Option<Block>,
    /// The loss.
    pub loss: Box<dyn Loss>,
    /// The distance between embeddings.
    pub distance: Distance,
    /// Reduction of the terms of the loss.
    pub reduction: Reduction,
    /// Chooses the pairs or triplets. Absent: all.
    pub miner: Option<Box<dyn Miner>>,
    /// A penalty on the embeddings of the batch, and its weight relative to the loss.
    pub regularizer: Option<(f64, Box<dyn Regularizer>)>,
}

/// Settings that no loss can be built from.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// The loss is a sum of others.
    #[error("a sum of losses cannot contain another sum")]
    Sum,
    /// A setting of the miner is not allowed.
    #[error(transparent)]
    Miner(#[from] OutOfRange),
    /// A module of the user cannot be used.
    #[error(transparent)]
    Script(#[from] ScriptError),
}

impl ConfiguredLoss {
    /// Returns the loss with these settings. `scripts` has the modules of losses and miners that are some.
    ///
    /// # Errors
    /// If the loss is a sum, a setting of the miner is not allowed, or a module cannot be used.
    pub fn new(
        settings: &WeightedLoss,
        scripts: &Scripts,
        init: &ClassInit,
    ) -> Result<ConfiguredLoss, ConfigureError> {
        let loss = built_loss(&settings.loss, scripts, init)?;
        let miner = settings.miner.as_ref();
        let miner = miner.map(|miner| built_miner(miner, scripts, init.device));
        Ok(ConfiguredLoss {
            weight: settings.weight,
            block: None,
            distance: settings.distance.unwrap_or(loss.distance()),
            reduction: settings.reduction.unwrap_or(loss.reduction()),
            miner: miner.transpose()?,
            regularizer: settings.regularizer.as_ref().map(regularizer::build),
            loss,
        })
    }

    /// Returns a loss with weight 1 and its defaults, on all pairs or triplets.
    pub fn of(loss: Box<dyn Loss>) -> ConfiguredLoss {
        ConfiguredLoss {
            weight: 1.0,
            block: None,
            distance: loss.distance(),
            reduction: loss.reduction(),
            miner: None,
            regularizer: None,
            loss,
        }
    }

    fn cost(
        &self,
        embeddings: &Tensor,
        labels: &Tensor,
        references: &References,
        survey: Option<&ClassSurvey>,
        passage: &mut Passage,
        draws: &mut Draws,
    ) -> LossValue {
        let distances = (passage.needs_distances() || self.shares_distances())
            .then(|| self.distance.matrix(embeddings, &references.embeddings));
        let distances = distances.as_ref();
        let of_cascade = distances.and_then(|all| passage.choose(references, self.distance, all));
        let miner = self.miner.as_ref();
        let mined = || miner.map(|one| one.mine(embeddings, labels, references, distances, draws));
        let chosen = of_cascade.or_else(mined);
        let boosting = passage.boosting();
        let batch = LossInput {
            embeddings,
            labels,
            references,
            chosen: chosen.as_ref(),
            distance: self.distance,
            distances,
            survey,
            boosting: boosting.as_ref(),
        };
        let cost = batch.cost(&*self.loss, self.reduction);
        if let Some(distances) = distances {
            passage.pass(distances);
        }
        LossValue {
            value: cost.value * self.weight,
            contributes: cost.contributes,
        }
    }

    /// True if both miner and loss use the distances of all images from all references.
    fn shares_distances(&self) -> bool {
        let miner = self.miner.as_ref();
        miner.is_some_and(|miner| self.compares_images() && miner.distance() == self.distance)
    }

    /// True if it learns from batches of this head.
    fn is_active(&self, active: Option<usize>) -> bool {
        match (active, &self.block) {
            (Some(head), Some(block)) => block.head == head,
            (None, _) | (_, None) => true,
        }
    }

    /// True if the loss compares images with each other, and so has a term against a memory.
    fn compares_images(&self) -> bool {
        self.loss.facts().references.is_images()
    }

    /// Returns the weighted penalty on the embeddings, if there is a regularizer.
    fn regularized(&self, embeddings: &Tensor) -> Option<Tensor> {
        let (weight, regularizer) = self.regularizer.as_ref()?;
        let cost = match &self.block {
            Some(block) => regularizer.cost(&block.of(embeddings)),
            None => regularizer.cost(embeddings),
        };
        Some(cost * (weight * self.weight))
    }
}

fn built_loss(
    settings: &schema::Loss,
    scripts: &Scripts,
    init: &ClassInit,
) -> Result<Box<dyn Loss>, ConfigureError> {
    match settings {
        schema::Loss::Torchscript(script) => {
            Ok(Box::new(ScriptedLoss::new(script, scripts, init)?))
        }
        other => loss::build(other, init).ok_or(ConfigureError::Sum),
    }
}

fn built_miner(
    settings: &schema::Miner,
    scripts: &Scripts,
    device: Device,
) -> Result<Box<dyn Miner>, ConfigureError> {
    settings.check()?;
    Ok(miner::build(settings, scripts, device)?)
}

impl Objective {
    /// Returns an objective of one loss.
    pub fn of(loss: ConfiguredLoss) -> Objective {
        Objective::sum(vec![loss])
    }

    /// Returns an objective that is the sum of these losses.
    pub fn sum(losses: Vec<ConfiguredLoss>) -> Objective {
        Objective {
            losses,
            memory: None,
            memory_start: 0,
            links: Links::default(),
            active: None,
            survey: None,
            seed: 0,
        }
    }

    /// Returns the loss of a batch, `embeddings` `[n, d]` and `labels` `[n]` on the same device, at `step`,
    /// counted from 0, and puts the batch into the memory. The step is empty if nothing contributed, neither in the
    /// batch nor against the memory.
    pub fn step(&mut self, embeddings: &Tensor, labels: &Tensor, step: u64) -> LossValue {
        self.step_of(&MemoryBatch {
            embeddings,
            labels,
            host_labels: None,
            images: None,
            step,
        })
    }

    /// Like [`step`](Self::step), with optional image indices for the batch. Regularizers are added
    /// once, with a memory too; a step with nothing else is empty.
    pub fn step_of(&mut self, batch: &MemoryBatch) -> LossValue {
        let mut loss = self.comparison_loss(batch);
        for configured in self.losses.iter().filter(|one| one.is_active(self.active)) {
            if let Some(penalty) = configured.regularized(batch.embeddings) {
                loss.value += penalty;
            }
        }
        loss
    }

    /// Returns the loss without regularizers: the term in the batch plus the weighted term against the memory.
    fn comparison_loss(&mut self, batch: &MemoryBatch) -> LossValue {
        let Some(memory) = self.recall(batch) else {
            return self.batch_term(batch, |_| true);
        };
        let settings = self.memory.as_ref().map(|memory| &memory.settings);
        let with_batch = settings.is_none_or(|settings| settings.batch_loss);
        let weight = settings.map_or(1.0, |settings| settings.weight);
        let in_batch = self.batch_term(batch, |loss| with_batch || !loss.compares_images());
        let mut in_memory = self.memory_term(batch, &memory);
        in_memory.value *= weight;
        in_batch.plus(in_memory)
    }

    /// Returns the sum of the chosen losses with the batch as references.
    fn batch_term(
        &self,
        batch: &MemoryBatch,
        is_chosen: impl Fn(&ConfiguredLoss) -> bool,
    ) -> LossValue {
        self.term(batch, &batch.as_references(), 2 * batch.step, is_chosen)
    }

    /// Returns the sum of the losses that compare images, with the memory as references.
    fn memory_term(&self, batch: &MemoryBatch, memory: &References) -> LossValue {
        let occasion = 2 * batch.step + 1;
        self.term(batch, memory, occasion, ConfiguredLoss::compares_images)
    }

    /// Returns the sum of the chosen losses. `occasion` numbers the terms of a training, so that each has random
    /// draws of its own.
    fn term(
        &self,
        batch: &MemoryBatch,
        references: &References,
        occasion: u64,
        is_chosen: impl Fn(&ConfiguredLoss) -> bool,
    ) -> LossValue {
        let is_chosen = |loss: &ConfiguredLoss| loss.is_active(self.active) && is_chosen(loss);
        let chosen = (0..).zip(&self.losses).filter(|(_, loss)| is_chosen(loss));
        let mut passage = Passage::new(&self.links, batch.labels);
        let values = chosen.map(|(index, loss)| {
            let mut draws = Draws::new(self.seed, Purpose::Mining, occasion, index);
            let survey = self.survey.as_ref();
            let mut cost = |embeddings: &Tensor, references: &References| {
                let labels = batch.labels;
                loss.cost(
                    embeddings,
                    labels,
                    references,
                    survey,
                    &mut passage,
                    &mut draws,
                )
            };
            match &loss.block {
                Some(block) => cost(&block.of(batch.embeddings), &block.references(references)),
                None => cost(batch.embeddings, references),
            }
        });
        values
            .reduce(LossValue::plus)
            .unwrap_or_else(|| LossValue::nothing(batch.embeddings))
    }

    /// Returns the penalty on the heads of a batch, if there is one.
    pub fn penalty(&self, heads: impl FnOnce() -> Vec<HeadOutput>) -> Option<Tensor> {
        let diversity = self.links.diversity.as_ref()?;
        Some(diversity.cost(&heads()))
    }

    /// Returns the parameters of each loss that has some, named by its index, then those of the links.
    fn parameters(&self) -> impl Iterator<Item = (String, &Parameters)> {
        let losses = self.losses.iter().enumerate();
        let of_losses =
            losses.filter_map(|(index, one)| Some((index.to_string(), one.loss.parameters()?)));
        let of_links = self.links.diversity.as_ref();
        let of_links = of_links.and_then(DiversityLoss::parameters);
        of_losses.chain(of_links.map(|parameters| (LINKS.to_owned(), parameters)))
    }

    fn parameters_mut(&mut self) -> impl Iterator<Item = (String, &mut Parameters)> {
        let losses = self.losses.iter_mut().enumerate();
        let of_losses =
            losses.filter_map(|(index, one)| Some((index.to_string(), one.loss.parameters_mut()?)));
        let of_links = self.links.diversity.as_mut();
        let of_links = of_links.and_then(DiversityLoss::parameters_mut);
        of_losses.chain(of_links.map(|parameters| (LINKS.to_owned(), parameters)))
    }

    /// Returns the parameters `[p]` of each loss that has some, then those of the links. Changed in place, they change
    /// the loss.
    pub fn flat_parameters(&mut self) -> Vec<&mut Tensor> {
        let all = self.parameters_mut();
        all.map(|(_, parameters)| parameters.flat_mut()).collect()
    }

    /// Returns the gradient of a scalar `loss` with respect to the network's parameters, and those with respect to
    /// each of [`flat_parameters`](Self::flat_parameters), in one pass. The graph is freed.
    pub fn gradients(&self, network: &Network, loss: &Tensor) -> (Tensor, Vec<Tensor>) {
        let own = self.parameters().map(|(_, parameters)| parameters);
        let all: Vec<&Parameters> = [network.trainable()].into_iter().chain(own).collect();
        let mut gradients = parameters::gradients(&all, loss);
        (gradients.remove(0), gradients)
    }

    /// Returns the gradient of a scalar `loss` with respect to the embeddings, which must be a leaf of the graph, then
    /// those of [`gradients`](Self::gradients), of the network as far as they come from a penalty on heads.
    pub(crate) fn gradients_at(
        &self,
        embeddings: &Tensor,
        network: &Network,
        loss: &Tensor,
    ) -> (Tensor, Option<Tensor>, Vec<Tensor>) {
        let has_penalty = self.links.diversity.is_some();
        let of_network = Some(network.trainable()).filter(|_| has_penalty);
        let own = self.parameters().map(|(_, parameters)| parameters);
        let all: Vec<&Parameters> = of_network.into_iter().chain(own).collect();
        let (of_embeddings, mut gradients) = parameters::gradients_at(embeddings, &all, loss);
        let of_network = has_penalty.then(|| gradients.remove(0));
        (of_embeddings, of_network, gradients)
    }

    /// Returns a copy of the losses' own parameters; empty if there are none. The memory has a state of its own.
    pub fn state(&self) -> State {
        self.parameters()
            .map(|(name, parameters)| copy(&name, parameters.flat()))
            .collect()
    }

    /// Continues from a copy made by [`state`](Self::state) of an objective with the same losses.
    pub fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), StateError> {
        let mut named: Vec<(String, &mut Parameters)> = self.parameters_mut().collect();
        let mut targets: Vec<(&str, &mut Tensor)> = named
            .iter_mut()
            .map(|(name, parameters)| (name.as_str(), parameters.flat_mut()))
            .collect();
        overwrite(&mut targets, state)
    }

    /// Enqueues the batch and returns the content of the memory, if it is in use.
    fn recall(&mut self, batch: &MemoryBatch) -> Option<References> {
        if batch.step < self.memory_start {
            return None;
        }
        self.memory.as_mut()?.recall(batch)
    }
}

#[cfg(test)]
mod tests {
    use schema::{Backbone, Boundary, Margin, ProxyAnchor, SelfExclusion, Triplet, Xbm};
    use serde_json::Value;
    use tch::{Device, Kind};

    use super::*;
    use crate::{
        distance::normalize,
        loss::{
            BuildLoss,
            tests::{named_loss, named_miner},
        },
        model::NetworkConfig,
        testing::{assert_close, golden, gradient, is_finite, labels, noise, tensor},
    };

    /// A memory with a weight of 0.5.
    fn settings() -> Xbm {
        Xbm {
            weight: 0.5,
            ..Xbm::default()
        }
    }

    fn memory_of_kind(kind: Kind, size: i64, width: i64) -> CrossBatchMemory {
        let memory = CrossBatchMemory::new(settings(), size, width, Device::Cpu);
        match kind {
            Kind::Double => memory.in_double_precision(),
            _ => memory,
        }
    }

    fn memory(size: i64, width: i64) -> CrossBatchMemory {
        memory_of_kind(Kind::Double, size, width)
    }

    fn objective(case: &Value, memory: Option<CrossBatchMemory>) -> Objective {
        let configured = ConfiguredLoss {
            miner: named_miner(&case["miner"]),
            ..ConfiguredLoss::of(named_loss(case))
        };
        Objective {
            memory,
            ..Objective::of(configured)
        }
    }

    fn cases() -> Vec<Value> {
        golden(include_str!("loss/testdata/batch.json"))["cases"]
            .as_array()
            .unwrap()
            .clone()
    }

    #[test]
    fn batch_and_memory_together_cost_what_the_reference_says() {
        let golden = golden(include_str!("loss/testdata/memory.json"));
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 27);
        let precisions = [(Kind::Double, 1e-10), (Kind::Float, 1e-5)];
        for (case, (kind, tolerance)) in cases
            .iter()
            .flat_map(|case| precisions.map(|of| (case, of)))
        {
            let memory = memory_of_kind(kind, golden["size"].as_i64().unwrap(), 5);
            let mut objective = objective(case, Some(memory));
            for (step, expected) in case["steps"].as_array().unwrap().iter().enumerate() {
                let raw = tensor(&golden["embeddings"][step])
                    .to_kind(kind)
                    .set_requires_grad(true);
                let found = objective.step(
                    &normalize(&raw),
                    &labels(&golden["labels"][step]),
                    step as u64,
                );
                let what = format!(
                    "{} {} {} step {step} {kind:?}",
                    case["loss"], case["settings"], case["miner"]
                );
                assert_close(&found.value, &tensor(&expected["value"]), tolerance, &what);
                assert_close(
                    &gradient(&found.value, &raw),
                    &tensor(&expected["gradient"]),
                    tolerance,
                    &what,
                );
            }
        }
    }

    #[test]
    fn a_regularizer_costs_once_with_a_memory_too() {
        let embeddings = noise(9, 8, 5);
        let labels = Tensor::from_slice(&[0i64, 0, 1, 1, 2, 2, 3, 3]);
        for memory in [false, true] {
            let cost = |regularizer: Option<(f64, Box<dyn Regularizer>)>| {
                let configured = ConfiguredLoss {
                    weight: 0.5,
                    regularizer,
                    ..ConfiguredLoss::of(named_loss(&cases()[0]))
                };
                let memory = memory.then(|| self::memory(8, 5));
                Objective {
                    memory,
                    ..Objective::of(configured)
                }
                .step(&embeddings, &labels, 0)
                .value
            };
            let expected = cost(None) + regularizer::ZeroMean.cost(&embeddings) * 0.05;
            assert_close(
                &cost(Some((0.1, Box::new(regularizer::ZeroMean)))),
                &expected,
                1e-14,
                "value",
            );
        }
    }

    #[test]
    fn the_memory_stays_empty_until_its_first_step() {
        let case = &cases()[0];
        let mut late = objective(case, Some(memory(100, 3)));
        late.memory_start = 2;
        let labels = Tensor::from_slice(&[0i64, 0, 1, 1]);
        let alone = |step| {
            objective(case, None)
                .step(&normalize(&noise(step, 4, 3)), &labels, step)
                .value
        };
        for (step, expected_rows) in [(0, 0), (1, 0), (2, 4), (3, 8)] {
            let found = late
                .step(&normalize(&noise(step, 4, 3)), &labels, step)
                .value;
            assert_eq!(
                late.memory.as_ref().unwrap().filled().1.size(),
                [expected_rows]
            );
            assert_eq!(found == alone(step), step < 2);
        }
    }

    #[test]
    fn a_memory_that_holds_only_the_batch_gives_the_value_of_the_batch_again() {
        for case in cases() {
            let embeddings = normalize(&noise(9, 8, 5));
            let labels = Tensor::from_slice(&[0i64, 0, 1, 1, 2, 2, 3, 3]);
            let alone = objective(&case, None).step(&embeddings, &labels, 0).value;
            let memory = self::memory(8, 5);
            let with = objective(&case, Some(memory))
                .step(&embeddings, &labels, 0)
                .value;
            assert_close(&with, &(alone * 1.5), 1e-14, "value");
        }
    }

    #[test]
    fn a_step_is_empty_only_if_neither_batch_nor_memory_contributes() {
        let case = cases()
            .into_iter()
            .find(|case| case["loss"] == "triplet")
            .unwrap();
        let mut objective = objective(&case, Some(memory(10, 2)));
        let mut step = |embeddings: &[[f64; 2]], labels: &[i64]| {
            objective
                .step(
                    &Tensor::from_slice2(embeddings),
                    &Tensor::from_slice(labels),
                    0,
                )
                .is_empty()
        };
        // Two images of different classes make no triplet; with a memory of both they do.
        assert!(step(&[[1.0, 0.0], [0.0, 1.0]], &[0, 1]));
        assert!(!step(&[[0.0, 1.0], [1.0, 0.0]], &[0, 1]));
    }

    /// An objective with a memory of 16 slots and these settings.
    fn ruled(settings: Xbm) -> Objective {
        let case = cases()
            .into_iter()
            .find(|case| case["loss"] == "contrastive")
            .unwrap();
        let mut memory = self::memory(16, 5);
        memory.settings = settings;
        objective(&case, Some(memory))
    }

    fn eight(seed: u64) -> (Tensor, Tensor) {
        (
            normalize(&noise(seed, 8, 5)),
            Tensor::from_slice(&[0i64, 0, 1, 1, 2, 2, 3, 3]),
        )
    }

    #[test]
    fn without_the_batch_term_a_memory_of_just_the_batch_gives_its_loss() {
        let (embeddings, labels) = eight(9);
        let alone = Objective {
            memory: None,
            ..ruled(settings())
        }
        .step(&embeddings, &labels, 0)
        .value;
        let mut only = ruled(Xbm {
            batch_loss: false,
            ..settings()
        });
        only.memory.as_mut().unwrap().settings.weight = 1.0;
        assert_close(
            &only.step(&embeddings, &labels, 0).value,
            &alone,
            1e-14,
            "value",
        );
        // And at the second step it is what the memory adds to the batch.
        let mut both = ruled(settings());
        both.step(&embeddings, &labels, 0);
        let (embeddings, labels) = eight(10);
        let batch = Objective {
            memory: None,
            ..ruled(settings())
        }
        .step(&embeddings, &labels, 1)
        .value;
        let added = both.step(&embeddings, &labels, 1).value - batch;
        assert_close(
            &(only.step(&embeddings, &labels, 1).value * 0.5),
            &added,
            1e-13,
            "value",
        );
    }

    #[test]
    fn the_term_against_the_memory_alone_is_that_of_the_reference() {
        // The golden values are the sum of both terms.
        let golden = golden(include_str!("loss/testdata/memory.json"));
        for case in golden["cases"].as_array().unwrap() {
            let memory = self::memory(golden["size"].as_i64().unwrap(), 5);
            let mut only = objective(case, Some(memory));
            only.memory.as_mut().unwrap().settings.batch_loss = false;
            for (step, expected) in case["steps"].as_array().unwrap().iter().enumerate() {
                let embeddings = normalize(&tensor(&golden["embeddings"][step]));
                let labels = labels(&golden["labels"][step]);
                let in_batch = objective(case, None)
                    .step(&embeddings, &labels, step as u64)
                    .value;
                let in_memory = only.step(&embeddings, &labels, step as u64).value;
                let what = format!("{} {} step {step}", case["loss"], case["miner"]);
                assert_close(
                    &(in_batch + in_memory),
                    &tensor(&expected["value"]),
                    1e-10,
                    &what,
                );
            }
        }
    }

    #[test]
    fn a_batch_that_enters_afterwards_is_compared_with_earlier_ones_only() {
        let mut after = ruled(Xbm {
            include_batch: false,
            batch_loss: false,
            ..settings()
        });
        let (first, labels) = eight(9);
        let alone = Objective {
            memory: None,
            ..ruled(settings())
        }
        .step(&first, &labels, 0)
        .value;
        assert!(
            after.step(&first, &labels, 0).value == alone,
            "there is nothing in memory"
        );
        assert_eq!(after.memory.as_ref().unwrap().filled().1.size(), [8]);
        let raw = noise(10, 8, 5).set_requires_grad(true);
        let second = normalize(&raw);
        let found = after.step(&second, &labels, 1).value;
        let (distance, own) = (
            Distance::Euclidean,
            Tensor::full([8], -1, (Kind::Int64, Device::Cpu)),
        );
        let references = References::memory(first, labels.shallow_clone(), own);
        let batch = LossInput {
            embeddings: &second,
            labels: &labels,
            references: &references,
            chosen: None,
            distance,
            distances: None,
            survey: None,
            boosting: None,
        };
        let one = &after.losses[0];
        assert!(found == batch.cost(&*one.loss, one.reduction).value * 0.5);
        assert!(
            is_finite(&gradient(&found, &raw)),
            "what entered afterwards left the gradient alone"
        );
    }

    #[test]
    fn own_copies_are_dropped_by_index_by_similarity_or_not_at_all() {
        // Images 0 and 1 are duplicates; the memory holds just the batch.
        let one = noise(3, 1, 5);
        let embeddings = normalize(&Tensor::cat(&[&one, &one, &noise(4, 2, 5)], 0));
        let labels = Tensor::from_slice(&[0i64, 0, 0, 1]);
        let positives = |self_exclusion| {
            let mut memory = self::memory(4, 5);
            memory.settings.self_exclusion = self_exclusion;
            let arrivals = MemoryBatch {
                embeddings: &embeddings,
                labels: &labels,
                host_labels: None,
                images: None,
                step: 0,
            };
            let (positives, _) = memory.recall(&arrivals).unwrap().masks(&labels);
            positives.sum(Kind::Int64).int64_value(&[])
        };
        assert_eq!(positives(SelfExclusion::Index), 6);
        assert_eq!(positives(SelfExclusion::Similarity), 4);
        assert_eq!(positives(SelfExclusion::None), 10);
    }

    /// Three losses, the second without parameters, for embeddings of width 3 and four classes.
    fn with_proxies(seed: u64) -> Objective {
        let init = |part| ClassInit {
            classes: 4,
            width: 3,
            seed,
            part,
            device: Device::Cpu,
        };
        let proxies = |part| ConfiguredLoss::of(ProxyAnchor::default().build(&init(part)));
        let triplets = ConfiguredLoss::of(Box::new(Triplet {
            margin: 0.2,
            swap: false,
            smooth: false,
        }));
        let second = ConfiguredLoss {
            weight: 0.5,
            ..proxies(2)
        };
        Objective {
            losses: vec![proxies(0), triplets, second],
            ..Objective::of(proxies(0))
        }
    }

    #[test]
    fn gradients_of_network_and_proxies_come_from_one_pass() {
        let config = NetworkConfig::new(Backbone::Conv4, 1, 16, Some(3));
        let network = Network::new(config, 1, Device::Cpu).unwrap();
        let images = ((noise(1, 8, 256) + 1.0) * 127.5)
            .to_kind(Kind::Uint8)
            .view([8, 1, 16, 16]);
        let labels = Tensor::from_slice(&[0i64, 0, 1, 1, 2, 2, 3, 3]);
        let mut objective = with_proxies(1);
        let mut loss = || {
            objective
                .step(&network.forward(&images, true), &labels, 0)
                .value
        };
        let (whole, alone, half) = (loss(), loss(), loss());
        let (of_network, of_losses) = objective.gradients(&network, &whole);
        assert!(of_network == network.gradient(&alone));
        let views = [0, 2].map(|index| {
            objective.losses[index]
                .loss
                .parameters()
                .unwrap()
                .get("proxies")
        });
        let expected = Tensor::run_backward(&[half], &views, false, false);
        assert_eq!(
            of_losses,
            expected
                .iter()
                .map(|gradient| gradient.reshape([-1]))
                .collect::<Vec<_>>()
        );
        let sizes: Vec<_> = objective
            .flat_parameters()
            .iter()
            .map(|own| own.size())
            .collect();
        assert_eq!(sizes, [[12], [12]]);
    }

    #[test]
    fn parameters_that_a_loss_does_not_depend_on_have_a_gradient_of_zero() {
        let config = NetworkConfig::new(Backbone::Conv4, 1, 16, Some(3));
        let network = Network::new(config, 1, Device::Cpu).unwrap();
        let init = ClassInit {
            classes: 4,
            width: 3,
            seed: 1,
            part: 0,
            device: Device::Cpu,
        };
        let settings = Margin {
            boundary: Boundary::PerClass,
            nu: 0.1,
            ..Margin::default()
        };
        let mut objective = Objective::of(ConfiguredLoss::of(settings.build(&init)));
        let images = Tensor::zeros([1, 1, 16, 16], (Kind::Uint8, Device::Cpu));
        let loss = objective.step(
            &network.forward(&images, false),
            &Tensor::from_slice(&[0i64]),
            0,
        );
        let (_, of_losses) = objective.gradients(&network, &loss.value);
        assert!(loss.is_empty() && of_losses[0] == Tensor::zeros([4], (Kind::Float, Device::Cpu)));
    }

    #[test]
    fn a_restored_objective_is_the_original_and_equal_losses_start_apart() {
        let (original, mut other) = (with_proxies(1), with_proxies(2));
        let state = original.state();
        assert_eq!(
            state
                .iter()
                .map(|(name, _)| name.as_str())
                .collect::<Vec<_>>(),
            ["0", "2"]
        );
        assert!(state[0].1 != state[1].1 && state != other.state());
        other.restore(&state).unwrap();
        assert_eq!(other.state(), state);
        let mut without = Objective::of(ConfiguredLoss::of(Box::new(Triplet {
            margin: 0.2,
            swap: false,
            smooth: false,
        })));
        without.restore(&without.state()).unwrap();
        assert!(other.restore(&without.state()).is_err());
    }

    #[test]
    fn a_loss_with_proxies_has_no_term_against_the_memory() {
        let init = ClassInit {
            classes: 4,
            width: 3,
            seed: 1,
            part: 0,
            device: Device::Cpu,
        };
        let objective = || Objective::of(ConfiguredLoss::of(ProxyAnchor::default().build(&init)));
        let mut with = Objective {
            memory: Some(memory_of_kind(Kind::Float, 20, 3)),
            ..objective()
        };
        for step in 0..3 {
            let embeddings = normalize(&noise(step, 8, 3).to_kind(Kind::Float));
            let labels = Tensor::from_slice(&[0i64, 0, 1, 1, 2, 2, 3, 3]);
            let alone = objective().step(&embeddings, &labels, step).value;
            assert!(with.step(&embeddings, &labels, step).value == alone);
        }
    }
}
