//! The losses of the last steps.
//!
//! To read a number, the host waits until a GPU has done all of its work, and the GPU then waits for the host. So on a
//! GPU the losses of [`EVERY`] steps are read at once. On the CPU each is read at once.

use dml::loss::LossValue;
use tch::{Device, Kind, Tensor};

/// Steps on a GPU between two readings.
const EVERY: u64 = 10;

/// The losses of batches, as far as they have not been read.
#[derive(Debug)]
pub(crate) struct Outcomes {
    every: u64,
    /// The step of each batch.
    steps: Vec<u64>,
    losses: Vec<Tensor>,
    contribute: Vec<Tensor>,
}

/// The loss of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) step: u64,
    /// The mean over the batches of the step.
    pub(crate) loss: f64,
    /// True if nothing contributed to it.
    pub(crate) empty: bool,
}

impl Outcomes {
    pub(crate) fn new(device: Device) -> Outcomes {
        Outcomes {
            every: match device {
                Device::Cpu => 1,
                _ => EVERY,
            },
            steps: Vec::new(),
            losses: Vec::new(),
            contribute: Vec::new(),
        }
    }

    /// Adds the loss of a batch.
    pub(crate) fn add(&mut self, step: u64, loss: &LossValue) {
        self.steps.push(step);
        self.losses.push(loss.value.detach());
        self.contribute.push(loss.contributes.shallow_clone());
    }

    /// True if the losses are to be read within this step.
    pub(crate) fn are_due(&self, step: u64) -> bool {
        (step + 1).is_multiple_of(self.every)
    }

    /// Reads all losses, and returns one for each step.
    pub(crate) fn read(&mut self) -> Vec<Outcome> {
        let steps = std::mem::take(&mut self.steps);
        let losses = std::mem::take(&mut self.losses);
        let contribute = std::mem::take(&mut self.contribute);
        if steps.is_empty() {
            return Vec::new();
        }
        let all =
            [losses, contribute].map(|scalars| Tensor::stack(&scalars, 0).to_kind(Kind::Double));
        let mut numbers = vec![0.0; 2 * steps.len()];
        Tensor::cat(&all, 0).copy_data(&mut numbers, 2 * steps.len());
        let (losses, contribute) = numbers.split_at(steps.len());
        let batches: Vec<Outcome> = steps
            .iter()
            .zip(losses.iter().zip(contribute))
            .map(|(&step, (&loss, &contributes))| Outcome {
                step,
                loss,
                empty: contributes == 0.0,
            })
            .collect();
        batches
            .chunk_by(|one, other| one.step == other.step)
            .map(of_step)
            .collect()
    }
}

/// Returns the outcome of a step from those of its batches.
fn of_step(batches: &[Outcome]) -> Outcome {
    Outcome {
        step: batches[0].step,
        loss: batches.iter().map(|batch| batch.loss).sum::<f64>() / batches.len() as f64,
        empty: batches.iter().all(|batch| batch.empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(outcomes: &mut Outcomes, step: u64, loss: f64) {
        let value = Tensor::from(loss);
        let contributes = value.ne(0.0);
        outcomes.add(step, &LossValue { value, contributes });
    }

    #[test]
    fn a_step_has_the_mean_of_its_batches_and_is_empty_if_all_are() {
        let mut outcomes = Outcomes::new(Device::Cpu);
        for (step, loss) in [
            (0, 1.0),
            (0, 0.0),
            (1, 0.0),
            (1, 0.0),
            (2, f64::NAN),
            (2, 1.0),
        ] {
            add(&mut outcomes, step, loss);
        }
        let read = outcomes.read();
        let of = |step, loss, empty| Outcome { step, loss, empty };
        assert_eq!(read[..2], [of(0, 0.5, false), of(1, 0.0, true)]);
        assert!(read[2].loss.is_nan() && !read[2].empty);
        assert_eq!(outcomes.read(), []);
    }
}
