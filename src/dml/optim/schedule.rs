//! Learning-rate schedules: the factor of all learning rates at each step.
//!
//! All but a plateau is a function of the step alone, so that a training continued at any step has the rates that it
//! would have had. The factors of a schedule and of a warm-up are multiplied.
//! Reference: `torch.optim.lr_scheduler`: `StepLR`, `MultiStepLR`, `CosineAnnealingLR`, `LinearLR`, and for a warm-up
//! `ChainedScheduler`. Differs: a warm-up scales the floor of a cosine like all its rates; PyTorch's cosine then
//! computes each rate from the one before, and does not scale the floor.

use std::f64::consts::PI;

use schema::{Cosine, MultiStep, Schedule, Span, StepSchedule, WarmUp};

pub use super::plateau::PlateauState;

/// Length of a training and of its epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingLength {
    /// Steps of the whole training.
    pub steps: u64,
    /// Steps of an epoch, at least 1.
    pub epoch_steps: u64,
}

impl TrainingLength {
    /// Returns the time at `step`, from 0, in the unit of `span`.
    fn time<T>(&self, span: &Span<T>, step: u64) -> u64 {
        match span {
            Span::Steps(_) => step,
            Span::Epochs(_) => step / self.epoch_steps.max(1),
        }
    }
}

/// A learning-rate schedule with its warm-up.
#[derive(Clone, Debug)]
pub struct LrSchedule {
    schedule: Schedule,
    warm_up: Option<WarmUp>,
    length: TrainingLength,
    plateau: PlateauState,
}

impl LrSchedule {
    /// Returns a schedule that has observed no validation yet.
    pub fn new(schedule: Schedule, warm_up: Option<WarmUp>, length: TrainingLength) -> LrSchedule {
        LrSchedule {
            schedule,
            warm_up,
            length,
            plateau: PlateauState::default(),
        }
    }

    /// Returns the factor of the learning rates at `step`, from 0.
    pub fn factor(&self, step: u64) -> f64 {
        self.scheduled(step) * self.warm_up(step) * self.plateau.factor
    }

    /// Takes the score of a validation into account, if the schedule depends on it.
    pub fn observe(&mut self, score: f64) {
        if let Schedule::Plateau(plateau) = &self.schedule {
            self.plateau.observe(plateau, score);
        }
    }

    /// Returns the state beside the step, if there is any.
    pub fn state(&self) -> Option<PlateauState> {
        matches!(self.schedule, Schedule::Plateau(_)).then_some(self.plateau)
    }

    /// Continues from a [`state`](Self::state).
    pub fn restore(&mut self, state: Option<PlateauState>) {
        if let (Schedule::Plateau(_), Some(state)) = (&self.schedule, state) {
            self.plateau = state;
        }
    }

    fn scheduled(&self, step: u64) -> f64 {
        match &self.schedule {
            Schedule::Constant | Schedule::Plateau(_) => 1.0,
            Schedule::Step(StepSchedule { every, factor }) => {
                let time = self.length.time(every, step);
                power(*factor, time / every.amount().max(&1))
            }
            Schedule::MultiStep(MultiStep { at, factor }) => {
                let time = self.length.time(at, step);
                let changes = at.amount().iter().filter(|&&change| change <= time).count();
                power(*factor, changes as u64)
            }
            Schedule::Cosine(Cosine { over, floor }) => {
                let whole = Span::Steps(self.length.steps);
                let done = self.fraction(over.as_ref().unwrap_or(&whole), step);
                floor + (1.0 - floor) * (1.0 + (PI * done).cos()) / 2.0
            }
        }
    }

    fn warm_up(&self, step: u64) -> f64 {
        let Some(WarmUp { over, from }) = &self.warm_up else {
            return 1.0;
        };
        if self.length.time(over, step) >= *over.amount() {
            return 1.0;
        }
        from + (1.0 - from) * self.fraction(over, step)
    }

    /// Returns the fraction of `span` that is over at `step`, at most 1.
    fn fraction(&self, span: &Span, step: u64) -> f64 {
        let whole = *span.amount();
        self.length.time(span, step).min(whole) as f64 / whole.max(1) as f64
    }
}

fn power(factor: f64, changes: u64) -> f64 {
    factor.powi(i32::try_from(changes).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::golden;

    const LENGTH: TrainingLength = TrainingLength {
        steps: 100,
        epoch_steps: 10,
    };

    fn lr_schedule(schedule: Schedule) -> LrSchedule {
        LrSchedule::new(schedule, None, LENGTH)
    }

    fn named_schedule(case: &Value) -> Schedule {
        let factor = || case["factor"].as_f64().unwrap();
        let time = |value: &Value| value.as_u64().unwrap();
        match case["schedule"].as_str().unwrap() {
            "constant" => Schedule::Constant,
            "step" => Schedule::Step(StepSchedule {
                every: Span::Steps(time(&case["every"])),
                factor: factor(),
            }),
            "multi_step" => Schedule::MultiStep(MultiStep {
                at: Span::Steps(case["at"].as_array().unwrap().iter().map(time).collect()),
                factor: factor(),
            }),
            "cosine" => Schedule::Cosine(Cosine {
                over: Some(Span::Steps(time(&case["over"]))),
                floor: case["floor"].as_f64().unwrap(),
            }),
            other => panic!("golden schedule {other}"),
        }
    }

    fn named_warm_up(case: &Value) -> Option<WarmUp> {
        Some(WarmUp {
            over: Span::Steps(case["warm_up"].as_u64()?),
            from: case["from"].as_f64()?,
        })
    }

    #[test]
    fn rates_are_those_of_the_reference() {
        let golden = golden(include_str!("testdata/schedules.json"));
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 9);
        for case in cases {
            let schedule = LrSchedule::new(named_schedule(case), named_warm_up(case), LENGTH);
            for (step, expected) in (0..).zip(case["factors"].as_array().unwrap()) {
                let factor = schedule.factor(step);
                assert!(
                    (factor - expected.as_f64().unwrap()).abs() < 1e-12,
                    "{case} at {step}: {factor}"
                );
            }
        }
    }

    #[test]
    fn a_cosine_stays_at_its_floor() {
        let cosine = Cosine {
            over: Some(Span::Steps(10)),
            floor: 0.1,
        };
        let schedule = lr_schedule(Schedule::Cosine(cosine));
        for step in [10, 11, 1_000] {
            assert!((schedule.factor(step) - 0.1).abs() < 1e-15);
        }
    }

    #[test]
    fn a_cosine_without_a_length_lasts_as_long_as_training() {
        let schedule = lr_schedule(Schedule::Cosine(Cosine::default()));
        assert!((schedule.factor(50) - 0.5).abs() < 1e-15);
        assert_eq!(schedule.factor(100), 0.0);
    }

    #[test]
    fn a_schedule_in_epochs_is_constant_within_an_epoch() {
        let schedule = lr_schedule(Schedule::Step(StepSchedule {
            every: Span::Epochs(2),
            factor: 0.5,
        }));
        let factors = [0, 19, 20, 39, 40].map(|step| schedule.factor(step));
        assert_eq!(factors, [1.0, 1.0, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn a_warm_up_multiplies_the_schedule() {
        let schedule = Schedule::Step(StepSchedule {
            every: Span::Steps(2),
            factor: 0.5,
        });
        let warm_up = WarmUp {
            over: Span::Steps(4),
            from: 0.0,
        };
        let schedule = LrSchedule::new(schedule, Some(warm_up), LENGTH);
        let factors: Vec<f64> = (0..6).map(|step| schedule.factor(step)).collect();
        assert_eq!(factors, [0.0, 0.25, 0.25, 0.375, 0.25, 0.25]);
    }
}
