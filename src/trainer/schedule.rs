//! The time plan of a training: its epochs, its learning rates, and the first step that trains the trunk.

pub(crate) use dml::optim::TrainingLength;

use dml::optim::LrSchedule;
use schema::{Span, Training};

/// Returns the length of a training on `images` images, `step_images` of them in each step. Unless the recipe sets
/// another length, an epoch is one pass over the images, and at least one step.
pub(crate) fn length(training: &Training, images: usize, step_images: usize) -> TrainingLength {
    let pass = (images / step_images.max(1)) as u64;
    TrainingLength {
        steps: training.steps,
        epoch_steps: training.epoch_steps.unwrap_or(pass).max(1),
    }
}

/// Returns the learning-rate schedule of a training.
pub(crate) fn lr_schedule(training: &Training, length: TrainingLength) -> LrSchedule {
    LrSchedule::new(training.schedule.clone(), training.warm_up.clone(), length)
}

/// Returns the first step that trains the trunk.
pub(crate) fn unfreeze_at(training: &Training, length: TrainingLength) -> u64 {
    let frozen = training.freeze_trunk.as_ref();
    frozen.map_or(0, |span| in_steps(span, length))
}

/// Returns the steps of a time.
pub(crate) fn in_steps(span: &Span, length: TrainingLength) -> u64 {
    match span {
        Span::Steps(steps) => *steps,
        Span::Epochs(epochs) => epochs.saturating_mul(length.epoch_steps),
    }
}

#[cfg(test)]
mod tests {
    use schema::{Contrastive, Loss, MPerClass, Optimizer, Sampler, Sgd};

    use super::*;

    fn training() -> Training {
        let sampler = Sampler::MPerClass(MPerClass {
            batch: 10,
            per_class: 2,
        });
        let loss = Loss::Contrastive(Contrastive::default());
        Training::new(loss, sampler, Optimizer::Sgd(Sgd::default()), 100)
    }

    #[test]
    fn an_epoch_is_one_pass_unless_the_recipe_sets_its_length() {
        let mut training = training();
        assert_eq!(length(&training, 39, 10).epoch_steps, 3);
        training.epoch_steps = Some(7);
        assert_eq!(length(&training, 39, 10).epoch_steps, 7);
    }

    #[test]
    fn an_epoch_has_at_least_one_step() {
        assert_eq!(length(&training(), 5, 10).epoch_steps, 1);
    }

    #[test]
    fn a_trunk_is_frozen_for_a_number_of_steps_or_epochs() {
        let mut training = training();
        let length = length(&training, 39, 10);
        assert_eq!(unfreeze_at(&training, length), 0);
        training.freeze_trunk = Some(Span::Steps(5));
        assert_eq!(unfreeze_at(&training, length), 5);
        training.freeze_trunk = Some(Span::Epochs(3));
        assert_eq!(unfreeze_at(&training, length), 9);
    }
}
