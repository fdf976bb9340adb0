//! Trains a network, from the latest checkpoint if there is one.
//!
//! Batches, initial weights and shuffled labels are pure functions of the seed, so what a training is after a
//! number of steps is a [`Snapshot`], and nothing else. Continued from one, a training on the CPU ends with the
//! same bits as one that was never disturbed; on a GPU, as far as its kernels give the same bits twice. With a
//! fold and `validate_every`, the network that is kept is the best by MAP@R on the held-out classes, the earlier
//! one of two equals; otherwise it is the last.

use std::{fs, io, path::Path, sync::Arc, time::Instant};

use dml::{
    data::PreparedData,
    memory::Arrivals,
    model::Network,
    objective::Objective,
    optim::Optimizer,
    sampler::Sampler,
    state::{State, StateError},
};
use schema::{Event, Finished, Metric, TrainWork, Trained, Training, TrainingEnd};
use tch::Tensor;

use crate::{
    End, Failed, Listener, Stop, Throttle, assemble,
    checkpoint::{self, Best, Snapshot},
    evaluate,
    feed::Feed,
    files,
    process::log,
    remember,
    split::{self, Images, Split},
};

/// What is measured on validation classes.
const VALIDATION: [Metric; 2] = [Metric::RecallAt(1), Metric::MapAtR];

/// Trains as the recipe says and leaves the network in the run's folder.
///
/// # Errors
/// If the data is not there, the recipe is impossible or the disk does not take the result.
pub(crate) fn train(
    work: &TrainWork,
    threads: u32,
    device: tch::Device,
    stop: &Stop,
    say: Listener,
) -> Result<End, Failed> {
    let data = split::open(&work.recipe, &work.data)?;
    fs::create_dir_all(&work.run).map_err(|cause| Failed::disk(&work.run, &cause))?;
    let Some(training) = &work.recipe.training else { return leave_untrained(work, device, say) };
    let ground = Ground::new(work, training, &data, threads, device)?;
    let mut session = Session::resume(&ground)?;
    say(Event::Started { from: session.step });
    match session.train(&ground, stop, say)? {
        Some(end) => session.finish(work, end),
        None => Ok(End::Stopped),
    }
}

fn leave_untrained(work: &TrainWork, device: tch::Device, say: Listener) -> Result<End, Failed> {
    let network = assemble::network(&work.recipe, work.weights.as_deref(), device)?;
    say(Event::Started { from: 0 });
    let (steps, kept_step, empty_steps) = (0, 0, 0);
    let trained = Trained { end: TrainingEnd::Completed, steps, kept_step, validation: None, empty_steps };
    leave(work, &network.state(), trained)
}

/// Writes the network that was kept. Only then is the checkpoint no longer needed.
fn leave(work: &TrainWork, network: &State, trained: Trained) -> Result<End, Failed> {
    files::write(network, &files::model(&work.run))?;
    remove(&files::checkpoint(&work.run));
    Ok(End::Finished(Finished::Trained(trained)))
}

/// A file that cannot be removed is a nuisance, no failure.
fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log(&format!("cannot remove `{}`: {error}", path.display()));
        }
        Ok(()) | Err(_) => {}
    }
}

/// What does not change while training.
struct Ground<'a> {
    work: &'a TrainWork,
    training: &'a Training,
    /// Whose checkpoints are trusted.
    identity: String,
    feed: Feed,
    split: Split,
    /// Where the images trained on are among all.
    places: Arc<Vec<i64>>,
    sampler: Arc<dyn Sampler>,
}

impl Ground<'_> {
    fn new<'a>(
        work: &'a TrainWork,
        training: &'a Training,
        data: &PreparedData,
        threads: u32,
        device: tch::Device,
    ) -> Result<Ground<'a>, Failed> {
        let split = Split::new(&work.recipe, &data.training_labels)?;
        if training.validate_every == Some(0) {
            return Err(Failed::recipe("there must be at least one step between two validations"));
        }
        let above = split.training.super_classes(data);
        Ok(Ground {
            work,
            training,
            identity: checkpoint::identity(&work.recipe, data, threads, device),
            feed: Feed::new(&work.recipe, data, device)?.moved(data),
            places: Arc::new(split.training.places.clone()),
            sampler: assemble::sampler(&training.sampler, &split.training.labels, above.as_deref(), work.recipe.seed)?
                .into(),
            split,
        })
    }

    /// The images of the batch at `step`, their labels, and their numbers among the images trained on.
    fn batch(&self, step: u64) -> Result<(Tensor, Tensor, Vec<i64>), Failed> {
        let chosen = self.sampler.batch(step);
        let labels: Vec<i64> = chosen.iter().map(|&image| self.split.training.labels[image as usize]).collect();
        let images = self.feed.batch(step, &self.sampler, &self.places)?;
        Ok((images, Tensor::from_slice(&labels).to_device(self.feed.device()), chosen))
    }

    /// The validation images, if there is to be a validation after so many steps.
    fn validation(&self, steps: u64) -> Option<&Images> {
        let every = self.training.validate_every?;
        let due = steps.is_multiple_of(every) || steps == self.training.steps;
        self.split.validation.as_ref().filter(|_| due)
    }
}

/// A training under way.
struct Session {
    network: Network,
    objective: Objective,
    optimizer: Optimizer,
    /// One for each loss that has parameters of its own.
    loss_optimizers: Vec<Optimizer>,
    step: u64,
    empty_steps: u64,
    best: Option<Best>,
}

impl Session {
    fn fresh(ground: &Ground) -> Result<Session, Failed> {
        let work = ground.work;
        let mut network = assemble::network(&work.recipe, work.weights.as_deref(), ground.feed.device())?;
        let (labels, seed) = (&ground.split.training.labels, ground.work.recipe.seed);
        let mut objective = assemble::objective(ground.training, &network, labels, seed)?;
        let optimizer = assemble::optimizer(&ground.training.optimizer, &mut network)?;
        let loss_optimizers = assemble::loss_optimizers(ground.training, &mut objective);
        Ok(Session { network, objective, optimizer, loss_optimizers, step: 0, empty_steps: 0, best: None })
    }

    /// Continues from the checkpoint in the run's folder. If there is none, or it cannot be used, starts afresh.
    fn resume(ground: &Ground) -> Result<Session, Failed> {
        let path = files::checkpoint(&ground.work.run);
        let mut session = Session::fresh(ground)?;
        let restored = match checkpoint::load(&path, &ground.identity) {
            Ok(None) => return Ok(session),
            Ok(Some(snapshot)) => session.restore(snapshot).map_err(|error| error.to_string()),
            Err(why) => Err(why),
        };
        if let Err(why) = restored {
            log(&format!("the checkpoint `{}` is not used: {why}", path.display()));
            return Session::fresh(ground);
        }
        Ok(session)
    }

    fn restore(&mut self, snapshot: Snapshot) -> Result<(), StateError> {
        self.network.restore(&snapshot.network)?;
        self.optimizer.restore(&snapshot.optimizer)?;
        self.objective.restore(&snapshot.losses)?;
        for (place, optimizer) in self.loss_optimizers.iter_mut().enumerate() {
            optimizer.restore(snapshot.loss_optimizers.get(place).map_or(&[], Vec::as_slice))?;
        }
        if let (Some(memory), Some(state)) = (&mut self.objective.memory, &snapshot.memory) {
            memory.restore(state)?;
        }
        (self.step, self.empty_steps, self.best) = (snapshot.step, snapshot.empty_steps, snapshot.best);
        Ok(())
    }

    fn save(&self, ground: &Ground, say: Listener) -> Result<(), Failed> {
        let snapshot = Snapshot {
            step: self.step,
            empty_steps: self.empty_steps,
            best: self.best.as_ref().map(Best::share),
            network: self.network.state(),
            optimizer: self.optimizer.state(),
            losses: self.objective.state(),
            loss_optimizers: self.loss_optimizers.iter().map(Optimizer::state).collect(),
            memory: self.objective.memory.as_ref().map(|memory| memory.state()),
        };
        checkpoint::save(&files::checkpoint(&ground.work.run), &ground.identity, &snapshot)?;
        say(Event::Checkpoint { step: self.step });
        Ok(())
    }

    /// Does the steps that are left and says how that ended; nothing if it was stopped before.
    fn train(&mut self, ground: &Ground, stop: &Stop, say: Listener) -> Result<Option<TrainingEnd>, Failed> {
        let (mut saved, mut throttle) = (Instant::now(), Throttle::new());
        let total = ground.training.steps;
        while self.step < total {
            if stop.requested() {
                self.save(ground, say)?;
                return Ok(None);
            }
            let Some(loss) = self.step(ground, say)? else { return Ok(Some(TrainingEnd::Diverged)) };
            if throttle.ready() {
                say(Event::Progress { done: self.step, total, loss: Some(loss) });
            }
            if !self.validate(ground, say)? {
                return Ok(Some(TrainingEnd::Diverged));
            }
            if saved.elapsed().as_secs_f64() >= ground.work.checkpoint_seconds {
                self.save(ground, say)?;
                saved = Instant::now();
            }
        }
        Ok(Some(self.completed()))
    }

    fn fill_memory(&mut self, ground: &Ground, batch: usize) -> Result<(), Failed> {
        let (objective, feed, split) = (&mut self.objective, &ground.feed, &ground.split.training);
        remember::fill(ground.training.memory.as_ref(), objective, &self.network, feed, split, self.step, batch)
    }

    /// Does one step and returns its loss; nothing if that is not a finite number, and then there is no step.
    ///
    /// The loss already waited for the device to know whether it is empty: to read it costs nothing more.
    fn step(&mut self, ground: &Ground, say: Listener) -> Result<Option<f64>, Failed> {
        let (images, labels, numbers) = ground.batch(self.step)?;
        self.fill_memory(ground, numbers.len())?;
        let embeddings = self.network.forward(&images, true);
        let arrivals = Arrivals { embeddings: &embeddings, labels: &labels, images: Some(&numbers), step: self.step };
        remember::report(&self.objective, &arrivals, say);
        let loss = self.objective.step_of(&arrivals);
        let value = loss.value.double_value(&[]);
        if !value.is_finite() {
            return Ok(None);
        }
        let (gradient, loss_gradients) = self.objective.gradients(&self.network, &loss.value);
        self.optimizer.step(self.network.flat_parameters(), &gradient);
        let loss_parameters = self.objective.flat_parameters().into_iter().zip(&loss_gradients);
        self.loss_optimizers.iter_mut().zip(loss_parameters).for_each(|(optimizer, (own, change))| {
            optimizer.step(own, change);
        });
        self.step += 1;
        self.empty_steps += u64::from(loss.empty);
        Ok(Some(value))
    }

    /// Validates if it is time, and remembers the network if it is the best. Answers no if the embeddings are
    /// not finite numbers any more.
    fn validate(&mut self, ground: &Ground, say: Listener) -> Result<bool, Failed> {
        let Some(images) = ground.validation(self.step) else { return Ok(true) };
        let Some(scores) = evaluate::validate(&self.network, &ground.feed, images, &VALIDATION)? else {
            return Ok(false);
        };
        say(Event::Scores { step: self.step, validation: scores.clone() });
        if self.best.as_ref().is_none_or(|best| scores[&Metric::MapAtR] > best.scores[&Metric::MapAtR]) {
            self.best = Some(Best { step: self.step, scores, network: self.network.state() });
        }
        Ok(true)
    }

    /// How a training of all steps ended: the last of them may have left weights that are no numbers.
    fn completed(&mut self) -> TrainingEnd {
        let is_finite = |parameters: &mut Tensor| parameters.isfinite().all().int64_value(&[]) != 0;
        let finite =
            is_finite(self.network.flat_parameters()) && self.objective.flat_parameters().into_iter().all(is_finite);
        if finite { TrainingEnd::Completed } else { TrainingEnd::Diverged }
    }

    fn finish(self, work: &TrainWork, end: TrainingEnd) -> Result<End, Failed> {
        let (steps, empty_steps) = (self.step, self.empty_steps);
        let (kept_step, validation, network) = match self.best {
            Some(best) => (best.step, Some(best.scores), best.network),
            None => (steps, None, self.network.state()),
        };
        leave(work, &network, Trained { end, steps, kept_step, validation, empty_steps })
    }
}
