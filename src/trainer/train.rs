//! Trains a network, from the latest checkpoint if there is one.
//!
//! Batches, initial weights and shuffled labels are pure functions of the seed, so what a training is after a
//! number of steps is a [`Snapshot`], and nothing else. Continued from one, a training on the CPU ends with the
//! same bits as one that was never disturbed; on a GPU, as far as its kernels give the same bits twice. With a
//! fold and `validate_every`, the network that is kept is the best on the held-out classes by the chosen metric, the
//! earlier one of two equals, and the untrained one is the first of them; otherwise it is the last.

mod probe;
mod survey;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use dml::{
    data::PreparedData,
    division::Division,
    gradient_cache::Embedded,
    impostors::Impostors,
    memory::MemoryBatch,
    model::{Network, WeightAverage},
    objective::Objective,
    optim::LrSchedule,
    sampler::{BatchSampler, LabeledImages},
    script::Scripts,
    state::StateError,
    upload,
};
use durable::DiskError;
use schema::{Backbone, Breakdown, Event, Metric, TrainWork, Trained, Training, TrainingEnd};
use tch::Tensor;

pub(crate) use probe::probe;
use survey::{DivisionPlan, Surveys};

use crate::{
    Emit, End, Failed, Stop, Throttle, assemble,
    batches::BatchSource,
    checkpoint::{self, Best, CheckpointWriter, Progress, Saved, Snapshot},
    compare,
    evaluate::{self, Embedder, Validated},
    files, memory,
    optimizers::{Gradients, OptimizerStep, Optimizers},
    outcomes::Outcomes,
    process::log,
    schedule::{self, TrainingLength},
    split::{self, Images, Split},
};

/// Trains as the recipe says and leaves the network in the run's folder.
///
/// # Errors
/// If the data is not there, the recipe is impossible or the disk does not take the result.
pub(crate) fn train(
    work: &TrainWork,
    threads: u32,
    device: tch::Device,
    stop: &Stop,
    emit: Emit,
) -> Result<End<Trained>, Failed> {
    let data = split::open(&work.recipe, &work.data)?;
    durable::create_folder(&work.run)?;
    keep_script(work)?;
    let Some(training) = &work.recipe.training else {
        return leave_untrained(work, device, emit);
    };
    assemble::warn_of_precision(&work.recipe.model, device);
    let context = TrainContext::new(work, training, &data, threads, device)?;
    let mut state = match TrainState::resume(&context)? {
        Resumed::Underway(state) => *state,
        Resumed::Finished(trained) => {
            emit(Event::Started {
                from: trained.steps,
            });
            return Ok(End::Finished(trained));
        }
    };
    emit(Event::Started {
        from: state.progress.step,
    });
    emit(evaluate::built(&state.network));
    match state.train(&context, stop, emit)? {
        Some(end) => state.finish(&context, end),
        None => Ok(End::Stopped),
    }
}

/// Copies a TorchScript module into the run's folder: it is needed wherever its weights are used.
fn keep_script(work: &TrainWork) -> Result<(), Failed> {
    let (Backbone::Torchscript(_), Some(file)) = (&work.recipe.model.backbone, &work.weights)
    else {
        return Ok(());
    };
    Ok(durable::copy(file, &files::script(&work.run))?)
}

fn leave_untrained(
    work: &TrainWork,
    device: tch::Device,
    emit: Emit,
) -> Result<End<Trained>, Failed> {
    let network = assemble::network(&work.recipe, work.weights.as_deref(), device)?;
    emit(Event::Started { from: 0 });
    emit(evaluate::built(&network));
    let (steps, kept_step, empty_steps) = (0, 0, 0);
    let trained = Trained {
        end: TrainingEnd::Completed,
        steps,
        kept_step,
        validation: None,
        empty_steps,
        objective: None,
    };
    files::write(&network.state(), &files::model(&work.run))?;
    Ok(End::Finished(trained))
}

/// Where a training continues.
enum Resumed {
    Underway(Box<TrainState>),
    /// The network is written already.
    Finished(Trained),
}

/// The parts of a training that do not change from step to step.
struct TrainContext<'a> {
    work: &'a TrainWork,
    training: &'a Training,
    /// Identifies the checkpoints that this training may resume from.
    identity: String,
    batches: BatchSource,
    split: Split,
    /// The indices of the training images among all images.
    indices: Arc<Vec<i64>>,
    /// As it is before any survey.
    sampler: Arc<BatchSampler>,
    length: TrainingLength,
    surveys: Option<Surveys>,
    division: Option<DivisionPlan>,
    scripts: Scripts,
}

impl TrainContext<'_> {
    fn new<'a>(
        work: &'a TrainWork,
        training: &'a Training,
        data: &PreparedData,
        threads: u32,
        device: tch::Device,
    ) -> Result<TrainContext<'a>, Failed> {
        let split = Split::new(&work.recipe, &data.training.labels)?.annotated(data);
        if training.validate_every == Some(0) {
            return Err(Failed::recipe(
                "there must be at least one step between two validations",
            ));
        }
        if training.accumulate == 0 || training.chunk == Some(0) {
            return Err(Failed::recipe(
                "a step has at least one batch, and a chunk at least one image",
            ));
        }
        let super_classes = split.super_classes(data);
        let images = LabeledImages::new(&split.training.labels, super_classes.as_deref());
        let sampler = BatchSampler::new(&training.sampler, images, work.recipe.seed)
            .map_err(assemble::impossible)?;
        let images_of_a_step = sampler.batch(0).len() * training.accumulate as usize;
        let length = schedule::length(training, split.training.labels.len(), images_of_a_step);
        let scripts = match &work.scripts {
            Some(folder) => assemble::scripts(training, folder)?,
            None => Scripts::default(),
        };
        Ok(TrainContext {
            work,
            training,
            scripts,
            identity: checkpoint::identity(&work.recipe, data, threads, device),
            batches: BatchSource::new(&work.recipe, data, device)?.on_device(data),
            indices: Arc::new(split.training.indices.clone()),
            sampler: Arc::new(sampler),
            length,
            surveys: training
                .survey
                .as_ref()
                .map(|survey| Surveys::new(survey, length)),
            division: DivisionPlan::of(training, &work.recipe.model, length),
            split,
        })
    }

    /// Returns a training batch, by its number.
    fn batch(&self, number: u64, sampler: &Arc<BatchSampler>) -> Result<Batch, Failed> {
        let numbers = sampler.batch(number);
        let host_labels: Vec<i64> = numbers
            .iter()
            .map(|&image| self.split.training.labels[image as usize])
            .collect();
        Ok(Batch {
            images: self.batches.batch(number, sampler, &self.indices)?,
            labels: upload::integers(&host_labels, self.batches.device()),
            host_labels,
            numbers,
        })
    }

    /// Returns the validation images if validation is due after `steps` steps.
    fn validation(&self, steps: u64) -> Option<&Images> {
        let every = self.training.validate_every?;
        let due = steps.is_multiple_of(every) || steps == self.training.steps;
        self.split.validation.as_ref().filter(|_| due)
    }
}

/// The images of a training batch.
struct Batch {
    images: Tensor,
    /// On the device.
    labels: Tensor,
    /// The same on the host.
    host_labels: Vec<i64>,
    /// Their indices among the training images.
    numbers: Vec<i64>,
}

impl Batch {
    /// Returns the batch with its embeddings, as the objective takes it at this step.
    fn embedded<'a>(&'a self, embeddings: &'a Tensor, step: u64) -> MemoryBatch<'a> {
        MemoryBatch {
            embeddings,
            labels: &self.labels,
            host_labels: Some(&self.host_labels),
            images: Some(&self.numbers),
            step,
        }
    }
}

/// The state of a training: what changes from step to step.
struct TrainState {
    network: Network,
    /// The average of its weights, which is measured and kept in their place.
    average: Option<WeightAverage>,
    objective: Objective,
    optimizers: Optimizers,
    /// As the latest survey has it.
    sampler: Arc<BatchSampler>,
    /// The heads of the training images, once they are divided.
    division: Option<Division>,
    /// As the latest survey has them.
    impostors: Option<Arc<Impostors>>,
    lr_schedule: LrSchedule,
    /// The first step that trains the trunk.
    unfreeze_at: u64,
    progress: Progress,
    best: Option<Best>,
    checkpoints: CheckpointWriter,
    outcomes: Outcomes,
    /// The loss that was read last.
    loss: Option<f64>,
    /// Steps, and empty ones among them, when the course was reported last.
    reported: (u64, u64),
}

/// What follows a validation.
enum Next {
    Step,
    End(TrainingEnd),
    /// A stop was requested, and a checkpoint is written.
    Stop,
}

/// The result of one batch; a step averages the gradients of several.
struct BatchResult {
    /// Detached from the graph.
    embeddings: Tensor,
    gradients: Gradients,
}

/// A training that broke down.
struct Broken {
    how: Breakdown,
    /// The steps done until then.
    steps: u64,
}

impl TrainState {
    fn fresh(context: &TrainContext) -> Result<TrainState, Failed> {
        let (training, labels, seed) = (
            context.training,
            &context.split.training.labels,
            context.work.recipe.seed,
        );
        let weights = context.work.weights.as_deref();
        let mut network =
            assemble::network(&context.work.recipe, weights, context.batches.device())?;
        let mut objective =
            assemble::objective(training, &network, labels, &context.scripts, seed)?;
        let optimizers = Optimizers::new(training, &mut network, &mut objective)?;
        let length = context.length;
        let ema = training.ema.as_ref();
        Ok(TrainState {
            average: ema.map(|settings| WeightAverage::new(settings, &network)),
            network,
            objective,
            optimizers,
            sampler: Arc::clone(&context.sampler),
            division: None,
            impostors: None,
            lr_schedule: schedule::lr_schedule(training, length),
            unfreeze_at: schedule::unfreeze_at(training, length),
            progress: Progress::default(),
            best: None,
            checkpoints: CheckpointWriter::new(
                files::checkpoint(&context.work.run),
                context.identity.clone(),
                context.work.checkpoint_seconds,
            ),
            outcomes: Outcomes::new(context.batches.device()),
            loss: None,
            reported: (0, 0),
        })
    }

    /// Resumes from the checkpoint in the run's folder; without a usable one, starts from scratch.
    fn resume(context: &TrainContext) -> Result<Resumed, Failed> {
        let run = &context.work.run;
        let path = files::checkpoint(run);
        let mut state = TrainState::fresh(context)?;
        let restored = match checkpoint::load(&path, &context.identity) {
            Ok(None) => Ok(()),
            Ok(Some(Saved::Underway(snapshot))) => {
                let restored = state.restore(context, *snapshot);
                restored.map_err(|error| error.to_string())
            }
            Ok(Some(Saved::Finished { trained, network })) => match is_written(run, &network) {
                true => return Ok(Resumed::Finished(trained)),
                false => Err("the network that it names is gone or damaged".to_owned()),
            },
            Err(why) => Err(why),
        };
        if let Err(why) = restored {
            log(&format!(
                "the checkpoint `{}` is not used: {why}",
                path.display()
            ));
            state = TrainState::fresh(context)?;
        }
        Ok(Resumed::Underway(Box::new(state)))
    }

    fn restore(&mut self, context: &TrainContext, snapshot: Snapshot) -> Result<(), StateError> {
        self.network.restore(&snapshot.network)?;
        self.objective.restore(&snapshot.losses)?;
        self.optimizers.restore(&snapshot.optimizers)?;
        if let (Some(memory), Some(state)) = (&mut self.objective.memory, &snapshot.memory) {
            memory.restore(state)?;
        }
        if let Some(average) = &mut self.average {
            average.restore(snapshot.average.as_deref().unwrap_or_default())?;
        }
        if let Some(survey) = &snapshot.survey {
            self.restore_survey(context, survey)?;
        }
        self.lr_schedule.restore(snapshot.plateau);
        (self.progress, self.best) = (snapshot.progress, snapshot.best);
        Ok(())
    }

    /// Begins to write a checkpoint.
    fn begin_checkpoint(&mut self) -> Result<(), Failed> {
        let copied = || Snapshot {
            progress: self.progress,
            plateau: self.lr_schedule.state(),
            best: self.best.as_ref().map(Best::share),
            network: self.network.state(),
            losses: self.objective.state(),
            optimizers: self.optimizers.states(),
            memory: self.objective.memory.as_ref().map(|memory| memory.state()),
            survey: survey::state(
                &self.objective,
                self.division.as_ref(),
                self.impostors.as_deref(),
            ),
            average: self.average.as_ref().map(WeightAverage::state),
        };
        self.checkpoints.begin(self.progress.step, copied)
    }

    /// Writes a checkpoint and waits until it is on disk.
    fn save(&mut self, emit: Emit) -> Result<(), Failed> {
        if let Some(step) = self.checkpoints.finish()? {
            emit(Event::Checkpoint { step });
        }
        self.begin_checkpoint()?;
        if let Some(step) = self.checkpoints.finish()? {
            emit(Event::Checkpoint { step });
        }
        Ok(())
    }

    /// Begins to write a checkpoint if one is due, and tells of one that has been written. Returns the breakdown of the
    /// training that this brings to light.
    fn keep(&mut self, training: &Training, emit: Emit) -> Result<Option<Broken>, Failed> {
        if let Some(step) = self.checkpoints.written()? {
            emit(Event::Checkpoint { step });
        }
        if !self.checkpoints.is_due() {
            return Ok(None);
        }
        let broken = self.observe(training);
        if broken.is_none() && self.checkpoints.is_after_each_step() {
            self.save(emit)?;
        } else if broken.is_none() {
            self.begin_checkpoint()?;
        }
        Ok(broken)
    }

    /// Does the remaining steps. Returns how the training ended; `None` if it was stopped.
    fn train(
        &mut self,
        context: &TrainContext,
        stop: &Stop,
        emit: Emit,
    ) -> Result<Option<TrainingEnd>, Failed> {
        let mut throttle = Throttle::new();
        let total = context.training.steps;
        self.reported = (self.progress.step, self.progress.empty_steps);
        if self.progress.step == 0 || self.progress.unvalidated {
            match self.validate(context, stop, emit)? {
                Next::Step => {}
                Next::End(end) => return Ok(Some(end)),
                Next::Stop => return Ok(None),
            }
        }
        while self.progress.step < total {
            if stop.requested() {
                if let Some(broken) = self.observe(context.training) {
                    return Ok(Some(self.ended(broken)));
                }
                self.save(emit)?;
                return Ok(None);
            }
            if !self.survey(context, stop, emit)? {
                continue;
            }
            if let Some(broken) = self.step(context, emit)? {
                return Ok(Some(self.ended(broken)));
            }
            self.report(total, emit);
            if throttle.ready() {
                emit(Event::Progress {
                    done: self.progress.step,
                    total,
                    loss: self.loss,
                });
            }
            match self.validate(context, stop, emit)? {
                Next::Step => {}
                Next::End(end) => return Ok(Some(end)),
                Next::Stop => return Ok(None),
            }
            if let Some(broken) = self.keep(context.training, emit)? {
                return Ok(Some(self.ended(broken)));
            }
        }
        Ok(Some(match self.observe(context.training) {
            Some(broken) => self.ended(broken),
            None => self.completed(),
        }))
    }

    /// Reports the course of the training, if that is due: it depends on the step alone, not on the speed.
    fn report(&mut self, total: u64, emit: Emit) {
        const REPORTS: u64 = 200;
        let (step, empty_steps) = (self.progress.step, self.progress.empty_steps);
        let is_due = step.is_multiple_of((total / REPORTS).max(1));
        if let Some(loss) = self.loss.filter(|_| is_due) {
            let (steps, empty) = (step - self.reported.0, empty_steps - self.reported.1);
            emit(Event::Learning {
                step,
                loss,
                rate: self.lr_schedule.factor(step - 1),
                useful: 1.0 - empty as f64 / steps as f64,
            });
            self.reported = (step, empty_steps);
        }
    }

    /// Reads the losses of the last steps, and counts them. Returns the first breakdown among them.
    fn observe(&mut self, training: &Training) -> Option<Broken> {
        for outcome in self.outcomes.read() {
            if !outcome.loss.is_finite() {
                return Some(Broken {
                    how: Breakdown::Diverged,
                    steps: outcome.step,
                });
            }
            self.loss = Some(outcome.loss);
            self.progress.empty_steps += u64::from(outcome.empty);
            if self
                .progress
                .monitor
                .is_dead(&training.guards, outcome.empty)
            {
                return Some(Broken {
                    how: Breakdown::Dead,
                    steps: outcome.step + 1,
                });
            }
        }
        None
    }

    /// Goes back to the step of a breakdown, and returns it as the end of the training.
    fn ended(&mut self, broken: Broken) -> TrainingEnd {
        self.progress.step = broken.steps;
        TrainingEnd::Broken(broken.how)
    }

    /// Does one step. Returns the breakdown of the training, if it is known.
    ///
    /// Gradients of a loss that is known not to be finite change nothing.
    fn step(&mut self, context: &TrainContext, emit: Emit) -> Result<Option<Broken>, Failed> {
        let (training, step) = (context.training, self.progress.step);
        let trunk_frozen = step < self.unfreeze_at;
        self.network.set_trunk_frozen(trunk_frozen);
        let batches = step * training.accumulate..(step + 1) * training.accumulate;
        let mut results = Vec::new();
        for batch in batches {
            results.push(self.batch(context, batch, emit)?);
        }
        let broken = match self.outcomes.are_due(step) {
            true => self.observe(training),
            false => None,
        };
        let is_diverged = |broken: &Broken| broken.how == Breakdown::Diverged;
        if broken.as_ref().is_some_and(is_diverged) {
            return Ok(broken);
        }
        let last = results
            .last()
            .map(|result| result.embeddings.shallow_clone());
        if let Some(gradients) =
            Gradients::mean(results.into_iter().map(|result| result.gradients).collect())
        {
            let optimizer_step = OptimizerStep {
                rate: self.lr_schedule.factor(step),
                trunk_frozen,
            };
            self.optimizers.step(
                &mut self.network,
                &mut self.objective,
                &gradients,
                optimizer_step,
            );
        }
        self.progress.step = step + 1;
        if let Some(average) = &mut self.average {
            average.update(&self.network, step + 1);
        }
        let monitor = &mut self.progress.monitor;
        let is_collapsed = last.is_some_and(|embeddings| {
            monitor.is_collapsed(&training.guards, step + 1, &embeddings)
        });
        Ok(match is_collapsed {
            true => Some(Broken {
                how: Breakdown::Collapsed,
                steps: step + 1,
            }),
            false => broken,
        })
    }

    /// Computes the loss and the gradients of one batch.
    fn batch(
        &mut self,
        context: &TrainContext,
        batch: u64,
        emit: Emit,
    ) -> Result<BatchResult, Failed> {
        let division = context.division.as_ref();
        let is_divided = division.is_some_and(|plan| plan.is_on(self.progress.step));
        self.objective.active = division.and_then(|plan| plan.head(self.progress.step, batch));
        let sampler = match division.is_some() && !is_divided {
            true => &context.sampler,
            false => &self.sampler,
        };
        let chosen = context.batch(batch, sampler)?;
        self.fill_memory(context, batch, chosen.numbers.len())?;
        self.network.begin_batch(batch);
        let embedded = Embedded::new(
            &self.network,
            &chosen.images,
            context.training.chunk.map(i64::from),
        );
        let embeddings = embedded.embeddings();
        let arrivals = chosen.embedded(embeddings, batch);
        memory::report(&self.objective, &arrivals, emit);
        let mut cost = self.objective.step_of(&arrivals);
        let penalty = self.objective.penalty(|| embedded.heads(&self.network));
        if let Some(penalty) = penalty {
            cost.value += penalty;
        }
        self.outcomes.add(self.progress.step, &cost);
        let embeddings = embeddings.detach();
        let gradients =
            Gradients::new(embedded.gradients(&self.network, &self.objective, &cost.value));
        Ok(BatchResult {
            embeddings,
            gradients,
        })
    }

    fn fill_memory(
        &mut self,
        context: &TrainContext,
        batch: u64,
        size: usize,
    ) -> Result<(), Failed> {
        let (objective, batches, split) = (
            &mut self.objective,
            &context.batches,
            &context.split.training,
        );
        memory::fill(
            context.training.memory.as_ref(),
            objective,
            &self.network,
            batches,
            split,
            batch,
            size,
        )
    }

    /// Validates if it is due, and keeps the network if it is the best so far. If a stop is requested
    /// meanwhile, writes a checkpoint from which training resumes with this validation.
    fn validate(
        &mut self,
        context: &TrainContext,
        stop: &Stop,
        emit: Emit,
    ) -> Result<Next, Failed> {
        let (training, step) = (context.training, self.progress.step);
        let Some(images) = context
            .validation(step)
            .filter(|_| !self.has_validated(step))
        else {
            return Ok(Next::Step);
        };
        if let Some(broken) = self.observe(training) {
            return Ok(Next::End(self.ended(broken)));
        }
        let metrics = measured(training.select);
        let known = &context.split.of_validation;
        self.progress.unvalidated = false;
        let validated = self.with_measured(|network| {
            let embedder = Embedder {
                recipe: &context.work.recipe,
                network,
                batches: &context.batches,
            };
            evaluate::validate(embedder, images, known, &metrics, stop)
        });
        let scores = match validated? {
            Validated::Scores(scores) => scores,
            Validated::NotFinite => {
                return Ok(Next::End(TrainingEnd::Broken(Breakdown::Diverged)));
            }
            Validated::Stopped => {
                self.progress.unvalidated = true;
                self.save(emit)?;
                return Ok(Next::Stop);
            }
        };
        emit(Event::Scores {
            step,
            validation: scores.clone(),
        });
        self.lr_schedule.observe(scores[&training.select]);
        self.keep_if_best(training.select, scores);
        let is_out_of_patience = |patience| self.progress.unimproved >= patience;
        Ok(match training.patience.is_some_and(is_out_of_patience) {
            true => Next::End(TrainingEnd::OutOfPatience),
            false => Next::Step,
        })
    }

    /// Keeps the network if its scores are the best so far, or counts one more validation without improvement.
    fn keep_if_best(&mut self, select: Metric, scores: BTreeMap<Metric, f64>) {
        let is_better = |best: &Best| scores[&select] > best.scores[&select];
        if !self.best.as_ref().is_none_or(is_better) {
            self.progress.unimproved += 1;
            return;
        }
        self.progress.unimproved = 0;
        self.best = Some(Best {
            step: self.progress.step,
            scores,
            network: self.with_measured(Network::state),
        });
    }

    /// Does some work with the network that is measured and kept: it has the averages of the weights if there are any.
    fn with_measured<T>(&self, work: impl FnOnce(&Network) -> T) -> T {
        match &self.average {
            Some(average) => average.in_place(&self.network, work),
            None => work(&self.network),
        }
    }

    /// True if a training that was stopped before its first step had already been validated.
    fn has_validated(&self, step: u64) -> bool {
        step == 0 && self.best.is_some()
    }

    /// Returns how a training of all steps ended: the last step may have left weights that are not
    /// finite.
    fn completed(&mut self) -> TrainingEnd {
        let is_finite = |parameters: &mut Tensor| parameters.isfinite().all().int64_value(&[]) != 0;
        let finite = is_finite(self.network.flat_parameters())
            && self.objective.flat_parameters().into_iter().all(is_finite);
        if finite {
            TrainingEnd::Completed
        } else {
            TrainingEnd::Broken(Breakdown::Diverged)
        }
    }

    /// Writes the network that was kept, then the last checkpoint, which says so.
    fn finish(mut self, context: &TrainContext, end: TrainingEnd) -> Result<End<Trained>, Failed> {
        self.checkpoints.finish()?;
        let Progress {
            step: steps,
            empty_steps,
            ..
        } = self.progress;
        let (kept_step, validation, network) = match self.best.take() {
            Some(best) => (best.step, Some(best.scores), best.network),
            None => (steps, None, self.with_measured(Network::state)),
        };
        let trained = Trained {
            end,
            steps,
            kept_step,
            validation,
            empty_steps,
            objective: compare::sample(&context.work.recipe, &context.scripts),
        };
        let (run, identity) = (&context.work.run, &context.identity);
        let model = files::model(run);
        files::write(&network, &model)?;
        let hash = files::hash_of(&model).map_err(DiskError::at("read", &model))?;
        checkpoint::finish(&files::checkpoint(run), identity, &trained, hash)?;
        Ok(End::Finished(trained))
    }
}

/// True if the network with this hash is in the run's folder.
fn is_written(run: &Path, network: &str) -> bool {
    files::hash_of(&files::model(run)).is_ok_and(|found| found == network)
}

/// Returns the metrics of a validation.
fn measured(select: Metric) -> Vec<Metric> {
    let metrics: BTreeSet<Metric> = [Metric::RecallAt(1), Metric::MapAtR, select].into();
    metrics.into_iter().collect()
}
