//! Surveys of a training: when one is due, which images it takes, and what follows from it.
//!
//! A survey is a function of the network at its step, so a training that is continued at this step repeats it, and one
//! that is continued later has it from the checkpoint.

use std::{collections::BTreeMap, sync::Arc};

use dml::{
    division::Division,
    eval::{EvalError, EvalResources},
    impostors::Impostors,
    objective::Objective,
    random::{Draws, Purpose},
    state::{State, StateError},
    survey::ClassSurvey,
};
use schema::{Event, Model, Survey, Training};
use tch::Tensor;

use super::{TrainContext, TrainState};
use crate::{
    Emit, Failed, Stop, Throttle,
    evaluate::Embedder,
    schedule::{self, TrainingLength},
    split::Images,
};

/// When a training is surveyed.
pub(super) struct Surveys {
    /// Steps between two surveys.
    every: u64,
    per_class: Option<usize>,
}

impl Surveys {
    /// Returns the surveys of a training of this length.
    pub(super) fn new(settings: &Survey, length: TrainingLength) -> Surveys {
        Surveys {
            every: schedule::in_steps(&settings.every, length),
            per_class: settings.per_class.map(|images| images as usize),
        }
    }

    /// True if a survey is due after `step` steps and `surveyed` steps were done before the latest one.
    fn is_due(&self, step: u64, surveyed: u64) -> bool {
        step > surveyed && step.is_multiple_of(self.every)
    }

    /// Returns the images of a survey after `step` steps.
    fn images(&self, all: &Images, seed: u64, step: u64) -> Images {
        let Some(count) = self.per_class else {
            return all.clone();
        };
        let mut places = BTreeMap::<i64, Vec<usize>>::new();
        for (place, &label) in all.labels.iter().enumerate() {
            places.entry(label).or_default().push(place);
        }
        let mut chosen = Images::default();
        for (label, mut places) in places {
            let count = count.min(places.len());
            let mut draws = Draws::new(seed, Purpose::Survey, step, label as u64);
            for &place in draws.choose(&mut places, count).iter() {
                chosen.indices.push(all.indices[place]);
                chosen.labels.push(label);
            }
        }
        chosen
    }
}

/// When the training images are divided among heads.
pub(super) struct DivisionPlan {
    heads: usize,
    /// The first step in which they are no longer.
    until: u64,
}

impl DivisionPlan {
    /// Returns the division of a training of this length, if it has one.
    pub(super) fn of(
        training: &Training,
        model: &Model,
        length: TrainingLength,
    ) -> Option<DivisionPlan> {
        let divide = training.links.divide.as_ref()?;
        let until = divide.until.as_ref();
        Some(DivisionPlan {
            heads: model.heads.len(),
            until: until.map_or(u64::MAX, |until| schedule::in_steps(until, length)),
        })
    }

    /// True if a step is of one head's images.
    pub(super) fn is_on(&self, step: u64) -> bool {
        step < self.until
    }

    /// Returns the only head that learns from a batch of a step.
    pub(super) fn head(&self, step: u64, batch: u64) -> Option<usize> {
        let turn = batch.checked_rem(self.heads as u64)?;
        self.is_on(step).then_some(turn as usize)
    }
}

/// Returns what the latest survey found, for a checkpoint.
pub(super) fn state(
    objective: &Objective,
    division: Option<&Division>,
    impostors: Option<&Impostors>,
) -> Option<State> {
    let mut state = objective.survey.as_ref()?.state();
    state.extend(division.into_iter().flat_map(Division::state));
    state.extend(impostors.into_iter().flat_map(Impostors::state));
    Some(state)
}

impl TrainState {
    /// Surveys the training images if that is due. Returns false if a stop was requested meanwhile.
    pub(super) fn survey(
        &mut self,
        context: &TrainContext,
        stop: &Stop,
        emit: Emit,
    ) -> Result<bool, Failed> {
        let (step, surveyed) = (self.progress.step, self.progress.surveyed);
        let surveys = context.surveys.as_ref();
        let Some(surveys) = surveys.filter(|surveys| surveys.is_due(step, surveyed)) else {
            return Ok(true);
        };
        let recipe = &context.work.recipe;
        let embedder = Embedder {
            recipe,
            network: &self.network,
            batches: &context.batches,
        };
        let images = surveys.images(&context.split.training, recipe.seed, step);
        let total = images.indices.len() as u64;
        let mut throttle = Throttle::new();
        let progress = |done| {
            if throttle.ready() || done == total {
                emit(Event::Survey { done, total });
            }
        };
        let Some(embeddings) = embedder.embed(&images.indices, stop, progress)? else {
            return Ok(false);
        };
        let near = context.sampler.nearest_needed();
        let classes = context.split.training.classes();
        let goes_on = self.divide(context, &embeddings, stop)?
            && self.find_impostors(context, &embeddings, stop)?;
        if !goes_on {
            return Ok(false);
        }
        self.learn(
            context,
            ClassSurvey::new(&embeddings, &images.labels, classes, near),
        );
        self.progress.surveyed = step;
        Ok(true)
    }

    /// Divides the training images among the heads, if the recipe asks for it. Returns false if a stop was requested
    /// meanwhile.
    fn divide(
        &mut self,
        context: &TrainContext,
        embeddings: &Tensor,
        stop: &Stop,
    ) -> Result<bool, Failed> {
        let Some(plan) = &context.division else {
            return Ok(true);
        };
        let resources = self.search_resources(stop);
        let (seed, before) = (context.work.recipe.seed, self.division.as_ref());
        let division = Division::new(embeddings, plan.heads, seed, before, resources);
        keep(division, &mut self.division)
    }

    /// Finds the impostors of the training images, if the sampler asks for them. Returns false if a stop was requested
    /// meanwhile.
    fn find_impostors(
        &mut self,
        context: &TrainContext,
        embeddings: &Tensor,
        stop: &Stop,
    ) -> Result<bool, Failed> {
        let most = context.sampler.impostors_needed();
        if most == 0 {
            return Ok(true);
        }
        let labels = &context.split.training.labels;
        let impostors = Impostors::new(embeddings, labels, most, self.search_resources(stop));
        keep(impostors.map(Arc::new), &mut self.impostors)
    }

    fn search_resources<'a>(&self, stop: &'a Stop) -> EvalResources<'a> {
        EvalResources {
            stop: stop.flag(),
            ..EvalResources::on(self.network.device())
        }
    }

    /// Continues with the survey of a checkpoint.
    pub(super) fn restore_survey(
        &mut self,
        context: &TrainContext,
        state: &State,
    ) -> Result<(), StateError> {
        let near = context.sampler.nearest_needed();
        let classes = context.split.training.classes();
        let survey = ClassSurvey::restored(state, classes, self.network.width(), near)?;
        let images = context.split.training.indices.len();
        let division = context.division.as_ref();
        let division = division.map(|plan| Division::restored(state, images, plan.heads));
        self.division = division.transpose()?;
        let most = context.sampler.impostors_needed();
        if most > 0 {
            let labels = &context.split.training.labels;
            self.impostors = Some(Arc::new(Impostors::restored(state, labels, most)?));
        }
        self.learn(context, survey);
        Ok(())
    }

    /// Gives a survey to the sampler and to the losses.
    fn learn(&mut self, context: &TrainContext, survey: ClassSurvey) {
        if context.sampler.nearest_needed() > 0 {
            self.sampler = Arc::new(context.sampler.surveyed(Arc::clone(survey.nearest())));
        }
        if let Some(division) = &self.division {
            self.sampler = Arc::new(context.sampler.divided(division));
        }
        if let Some(impostors) = &self.impostors {
            self.sampler = Arc::new(context.sampler.with_impostors(Arc::clone(impostors)));
        }
        self.objective.survey = Some(survey);
    }
}

/// Keeps what was found among embeddings. Returns false if the search was stopped.
fn keep<T>(found: Result<T, EvalError>, place: &mut Option<T>) -> Result<bool, Failed> {
    match found {
        Ok(found) => *place = Some(found),
        Err(EvalError::Stopped) => return Ok(false),
        // The next losses tell that the network has diverged.
        Err(EvalError::NotFinite { .. }) => {}
        Err(error) => return Err(Failed::internal(error.to_string())),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use schema::Span;

    use super::*;

    #[test]
    fn a_survey_takes_some_images_of_each_class_and_others_the_next_time() {
        let all = Images {
            indices: (100..160).collect(),
            labels: (0..60).map(|image| image % 3).collect(),
        };
        let surveys = |per_class| Surveys {
            every: 10,
            per_class,
        };
        assert_eq!(surveys(None).images(&all, 1, 10), all);
        let taken = |step| surveys(Some(4)).images(&all, 1, step);
        let first = taken(10);
        assert_eq!(first.labels, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        assert!(
            first
                .indices
                .iter()
                .zip(&first.labels)
                .all(|(index, label)| (index - 100) % 3 == *label)
        );
        assert_eq!(first, taken(10));
        assert_ne!(first, taken(20));
        assert_eq!(surveys(Some(90)).images(&all, 1, 10).indices.len(), 60);
    }

    #[test]
    fn surveys_are_due_at_multiples_of_their_time_but_not_at_the_start_and_not_twice() {
        let length = TrainingLength {
            steps: 100,
            epoch_steps: 4,
        };
        let settings = Survey {
            every: Span::Epochs(2),
            per_class: None,
        };
        let surveys = Surveys::new(&settings, length);
        let mut surveyed = 0;
        let mut at = Vec::new();
        for step in [0, 1, 8, 8, 9, 16, 17, 24] {
            if surveys.is_due(step, surveyed) {
                surveyed = step;
                at.push(step);
            }
        }
        assert_eq!(at, [8, 16, 24]);
    }
}
