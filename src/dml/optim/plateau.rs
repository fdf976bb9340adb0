//! Lower learning rates when validation no longer improves.
//! Reference: `torch.optim.lr_scheduler.ReduceLROnPlateau` with `mode="max"` and a relative threshold.

/// What a learning rate is multiplied by, given the scores of the validations so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Plateau {
    /// How many validations may pass without improvement; the next one lowers the rate.
    pub patience: u64,
    /// By what the rate is multiplied then.
    pub factor: f64,
    /// By how much of itself the best score must be exceeded to count as improved.
    pub threshold: f64,
    /// Validations after a change that are not held against it.
    pub cooldown: u64,
    /// The least that rates are multiplied by.
    pub floor: f64,
    /// What it remembers.
    pub state: PlateauState,
}

/// What a [`Plateau`] remembers from validation to validation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlateauState {
    /// The factor now.
    pub rate: f64,
    /// The best score.
    pub best: f64,
    /// Validations since, those in a cooldown left out.
    pub bad: u64,
    /// Validations of the cooldown that are still to come.
    pub cooling: u64,
}

impl Default for PlateauState {
    fn default() -> Self {
        PlateauState {
            rate: 1.0,
            best: f64::NEG_INFINITY,
            bad: 0,
            cooling: 0,
        }
    }
}

impl Plateau {
    /// Takes in the score of a validation.
    pub fn see(&mut self, score: f64) {
        let state = &mut self.state;
        if score > state.best * (1.0 + self.threshold) {
            (state.best, state.bad) = (score, 0);
        } else {
            state.bad += 1;
        }
        if state.cooling > 0 {
            (state.cooling, state.bad) = (state.cooling - 1, 0);
        }
        if state.bad > self.patience {
            state.rate = (state.rate * self.factor).max(self.floor);
            (state.cooling, state.bad) = (self.cooldown, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden;

    #[test]
    fn rates_fall_when_those_of_the_reference_do() {
        let golden = golden(include_str!("testdata/plateau.json"));
        let scores = golden["scores"].as_array().unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let (number, count) = (
                |name: &str| case[name].as_f64().unwrap(),
                |name: &str| case[name].as_u64().unwrap(),
            );
            let mut plateau = Plateau {
                patience: count("patience"),
                factor: number("factor"),
                threshold: number("threshold"),
                cooldown: count("cooldown"),
                floor: number("floor"),
                state: PlateauState::default(),
            };
            for (score, expected) in scores.iter().zip(case["factors"].as_array().unwrap()) {
                plateau.see(score.as_f64().unwrap());
                assert!(
                    (plateau.state.rate - expected.as_f64().unwrap()).abs() < 1e-12,
                    "{case}"
                );
            }
        }
    }
}
