//! Lower learning rates when the validation score no longer improves.
//! Reference: `torch.optim.lr_scheduler.ReduceLROnPlateau` with `mode="max"` and a relative threshold. Differs: a
//! change counts however small it is; PyTorch leaves out those of a rate by less than `eps`, 1e-8.

use schema::Plateau;

/// State of a [`Plateau`] between validations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlateauState {
    /// Current factor of the learning rates.
    pub factor: f64,
    /// Best score so far.
    pub best: f64,
    /// Validations since the best one, without those of a cooldown.
    pub bad: u64,
    /// Remaining validations of the cooldown.
    pub cooling: u64,
}

impl Default for PlateauState {
    fn default() -> Self {
        PlateauState {
            factor: 1.0,
            best: f64::NEG_INFINITY,
            bad: 0,
            cooling: 0,
        }
    }
}

impl PlateauState {
    /// Takes the score of a validation into account.
    pub(super) fn observe(&mut self, settings: &Plateau, score: f64) {
        if score > self.best * (1.0 + settings.threshold) {
            self.best = score;
            self.bad = 0;
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad = 0;
        }
        if self.bad > settings.patience {
            self.factor = (self.factor * settings.factor).max(settings.floor);
            self.cooling = settings.cooldown;
            self.bad = 0;
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
            let mut settings = case.clone();
            settings.as_object_mut().unwrap().remove("factors");
            let settings: Plateau = serde_json::from_value(settings).unwrap();
            let mut state = PlateauState::default();
            for (score, expected) in scores.iter().zip(case["factors"].as_array().unwrap()) {
                state.observe(&settings, score.as_f64().unwrap());
                assert!(
                    (state.factor - expected.as_f64().unwrap()).abs() < 1e-12,
                    "{case}"
                );
            }
        }
    }
}
