//! How learning rates change with time: what they are multiplied by.
//!
//! Time is counted in whatever the caller likes, steps or epochs, from 0. A schedule is a function of time alone, so
//! that a training continued at any step has the rates it would have had.
//! Reference: `torch.optim.lr_scheduler`: `StepLR`, `MultiStepLR`, `CosineAnnealingLR`, `LinearLR`. A schedule and a
//! warm-up are multiplied, as `ChainedScheduler` does.

use std::f64::consts::PI;

/// What a learning rate is multiplied by at some time.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// By 1.
    Constant,
    /// By `factor` once more after each `every`.
    Step {
        /// Time between two changes.
        every: u64,
        /// Of each change.
        factor: f64,
    },
    /// By `factor` once more at each of these times.
    MultiStep {
        /// When.
        at: Vec<u64>,
        /// Of each change.
        factor: f64,
    },
    /// By half a cosine, from 1 at the beginning to `floor` at `over`, and by `floor` from then on.
    Cosine {
        /// How long.
        over: u64,
        /// The least.
        floor: f64,
    },
}

impl Schedule {
    /// The factor at `time`.
    pub fn factor(&self, time: u64) -> f64 {
        let power =
            |factor: f64, changes: u64| factor.powi(i32::try_from(changes).unwrap_or(i32::MAX));
        match self {
            Schedule::Constant => 1.0,
            Schedule::Step { every, factor } => power(*factor, time / every.max(&1)),
            Schedule::MultiStep { at, factor } => power(
                *factor,
                at.iter().filter(|&&change| change <= time).count() as u64,
            ),
            Schedule::Cosine { over, floor } => {
                let done = time.min(*over) as f64 / (*over).max(1) as f64;
                floor + (1.0 - floor) * (1.0 + (PI * done).cos()) / 2.0
            }
        }
    }
}

/// A linear rise from `from` to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmUp {
    /// How long it takes.
    pub over: u64,
    /// The factor at the beginning.
    pub from: f64,
}

impl WarmUp {
    /// The factor at `time`.
    pub fn factor(&self, time: u64) -> f64 {
        let done = time.min(self.over) as f64 / self.over.max(1) as f64;
        if time >= self.over {
            1.0
        } else {
            self.from + (1.0 - self.from) * done
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::golden;

    fn named_schedule(case: &Value) -> Schedule {
        let number = |name: &str| case[name].as_f64().unwrap();
        let time = |value: &Value| value.as_u64().unwrap();
        match case["schedule"].as_str().unwrap() {
            "constant" => Schedule::Constant,
            "step" => Schedule::Step {
                every: time(&case["every"]),
                factor: number("factor"),
            },
            "multi_step" => {
                let at = case["at"].as_array().unwrap().iter().map(time).collect();
                Schedule::MultiStep {
                    at,
                    factor: number("factor"),
                }
            }
            "cosine" => Schedule::Cosine {
                over: time(&case["over"]),
                floor: number("floor"),
            },
            other => panic!("golden schedule {other}"),
        }
    }

    #[test]
    fn rates_are_those_of_the_reference() {
        let golden = golden(include_str!("testdata/schedules.json"));
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 9);
        for case in cases {
            let schedule = named_schedule(case);
            let warm_up = case["warm_up"].as_u64().map(|over| WarmUp {
                over,
                from: case["from"].as_f64().unwrap(),
            });
            for (time, expected) in (0..).zip(case["factors"].as_array().unwrap()) {
                let factor =
                    schedule.factor(time) * warm_up.map_or(1.0, |warm_up| warm_up.factor(time));
                assert!(
                    (factor - expected.as_f64().unwrap()).abs() < 1e-12,
                    "{case} at {time}: {factor}"
                );
            }
        }
    }

    #[test]
    fn a_cosine_stays_at_its_floor() {
        let schedule = Schedule::Cosine {
            over: 10,
            floor: 0.1,
        };
        assert!(
            [10, 11, 1_000]
                .iter()
                .all(|&time| (schedule.factor(time) - 0.1).abs() < 1e-15)
        );
    }
}
