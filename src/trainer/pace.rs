//! The learning rate of each step, and what is trained in it.
//!
//! All but a plateau is a function of the step alone.

use dml::optim::{self, Plateau, PlateauState};
use schema::{Schedule, Span, Training};

/// How a training goes on.
#[derive(Debug)]
pub(crate) struct Pace {
    epoch: u64,
    schedule: (Unit, optim::Schedule),
    warm_up: (Unit, optim::WarmUp),
    /// The first step in which the trunk is trained.
    thawed: u64,
    plateau: Option<Plateau>,
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    Steps,
    Epochs,
}

impl Pace {
    /// The pace of a training whose every step takes `batch` of so many `images`.
    pub(crate) fn new(training: &Training, images: usize, batch: usize) -> Pace {
        let pass = (images / batch.max(1)) as u64;
        let epoch = training.epoch_steps.unwrap_or(pass).max(1);
        Pace {
            epoch,
            schedule: schedule(training),
            warm_up: training.warm_up.as_ref().map_or(
                (Unit::Steps, optim::WarmUp { over: 0, from: 1.0 }),
                |warm_up| {
                    let (unit, over) = unit(&warm_up.over);
                    (
                        unit,
                        optim::WarmUp {
                            over,
                            from: warm_up.from,
                        },
                    )
                },
            ),
            thawed: match training.freeze_trunk {
                None => 0,
                Some(Span::Steps(steps)) => steps,
                Some(Span::Epochs(epochs)) => epochs.saturating_mul(epoch),
            },
            plateau: plateau(training),
        }
    }

    /// What learning rates are multiplied by at `step`.
    pub(crate) fn rate(&self, step: u64) -> f64 {
        let time = |unit| match unit {
            Unit::Steps => step,
            Unit::Epochs => step / self.epoch,
        };
        let on_plateau = self
            .plateau
            .as_ref()
            .map_or(1.0, |plateau| plateau.state.rate);
        self.schedule.1.factor(time(self.schedule.0))
            * self.warm_up.1.factor(time(self.warm_up.0))
            * on_plateau
    }

    /// Whether the trunk is left as it is at `step`.
    pub(crate) fn holds_trunk(&self, step: u64) -> bool {
        step < self.thawed
    }

    /// Takes in the score of a validation.
    pub(crate) fn see(&mut self, score: f64) {
        if let Some(plateau) = &mut self.plateau {
            plateau.see(score);
        }
    }

    /// What it remembers beside the step.
    pub(crate) fn state(&self) -> Option<PlateauState> {
        self.plateau.as_ref().map(|plateau| plateau.state)
    }

    /// Continues from a [`state`](Self::state).
    pub(crate) fn restore(&mut self, state: Option<PlateauState>) {
        if let (Some(plateau), Some(state)) = (&mut self.plateau, state) {
            plateau.state = state;
        }
    }
}

fn schedule(training: &Training) -> (Unit, optim::Schedule) {
    match &training.schedule {
        Schedule::Constant | Schedule::Plateau(_) => (Unit::Steps, optim::Schedule::Constant),
        Schedule::Step(step) => {
            let (unit, every) = unit(&step.every);
            (
                unit,
                optim::Schedule::Step {
                    every,
                    factor: step.factor,
                },
            )
        }
        Schedule::MultiStep(multi_step) => {
            let (unit, at) = unit(&multi_step.at);
            (
                unit,
                optim::Schedule::MultiStep {
                    at,
                    factor: multi_step.factor,
                },
            )
        }
        Schedule::Cosine(cosine) => {
            let (unit, over) = cosine
                .over
                .as_ref()
                .map_or((Unit::Steps, training.steps), unit);
            (
                unit,
                optim::Schedule::Cosine {
                    over,
                    floor: cosine.floor,
                },
            )
        }
    }
}

fn plateau(training: &Training) -> Option<Plateau> {
    let Schedule::Plateau(schema::Plateau {
        patience,
        factor,
        threshold,
        cooldown,
        floor,
    }) = training.schedule
    else {
        return None;
    };
    Some(Plateau {
        patience,
        factor,
        threshold,
        cooldown,
        floor,
        state: PlateauState::default(),
    })
}

fn unit<T: Clone>(span: &Span<T>) -> (Unit, T) {
    match span {
        Span::Steps(steps) => (Unit::Steps, steps.clone()),
        Span::Epochs(epochs) => (Unit::Epochs, epochs.clone()),
    }
}

#[cfg(test)]
mod tests {
    use schema::{Contrastive, Loss, MPerClass, Optimizer, Sampler, Sgd, StepSchedule, WarmUp};

    use super::*;

    fn training() -> Training {
        let sampler = Sampler::MPerClass(MPerClass {
            batch: 10,
            per_class: 2,
        });
        Training::new(
            Loss::Contrastive(Contrastive::default()),
            sampler,
            Optimizer::Sgd(Sgd::default()),
            100,
        )
    }

    #[test]
    fn an_epoch_is_one_pass_unless_it_is_chosen_and_rates_change_with_it() {
        let mut training = training();
        training.schedule = Schedule::Step(StepSchedule {
            every: Span::Epochs(2),
            factor: 0.5,
        });
        let first_change = |training: &Training| {
            let pace = Pace::new(training, 39, 10);
            (0..100).find(|&step| pace.rate(step) != 1.0).unwrap()
        };
        assert_eq!(first_change(&training), 6);
        training.epoch_steps = Some(7);
        assert_eq!(first_change(&training), 14);
        training.schedule = Schedule::Step(StepSchedule {
            every: Span::Steps(2),
            factor: 0.5,
        });
        assert_eq!(first_change(&training), 2);
    }

    #[test]
    fn a_warm_up_multiplies_whatever_comes_after_it() {
        let mut training = training();
        training.warm_up = Some(WarmUp {
            over: Span::Steps(4),
            from: 0.0,
        });
        training.schedule = Schedule::Step(StepSchedule {
            every: Span::Steps(2),
            factor: 0.5,
        });
        let pace = Pace::new(&training, 100, 10);
        let rates: Vec<f64> = (0..6).map(|step| pace.rate(step)).collect();
        assert_eq!(rates, [0.0, 0.25, 0.25, 0.375, 0.25, 0.25]);
    }

    #[test]
    fn an_epoch_has_at_least_one_step() {
        let mut training = training();
        training.freeze_trunk = Some(Span::Epochs(3));
        let pace = Pace::new(&training, 5, 10);
        assert!(pace.holds_trunk(2) && !pace.holds_trunk(3));
    }
}
