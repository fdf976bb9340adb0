//! Learning-rate schedules: the factor of all learning rates over time. One file each.

mod constant;
mod cosine;
mod multi_step;
mod plateau;
mod step;

use super::part::parts;

parts! {
    ($)
    /// A learning-rate schedule. It applies to the network and to the parameters of losses.
    pub enum Schedule, for_each_schedule {
        Step(step::StepSchedule),
        MultiStep(multi_step::MultiStep),
        Cosine(cosine::Cosine),
        Plateau(plateau::Plateau),
    }
    without_settings {
        constant::Constant,
    }
}

impl Schedule {
    /// True if learning rates never change.
    pub fn is_constant(&self) -> bool {
        *self == Schedule::Constant
    }
}

fn a_tenth() -> f64 {
    0.1
}
