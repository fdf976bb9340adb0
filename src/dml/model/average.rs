//! The exponential moving average of a network's weights: `a <- d a + (1 - d) w` after each step, of parameters and running
//! statistics alike.
//!
//! The first step sets the average to the weights. With a warm-up, `d` is at most `1 - (1 + t)^(-2/3)` after `t` further
//! steps, so that the average is not of initial weights. Reference: timm's `ModelEmaV3`.

use schema::Ema;
use tch::{Tensor, no_grad};

use super::Network;
use crate::state::{State, StateError, copy, overwrite};

/// The names of the tensors in a state.
const NAMES: [&str; 2] = ["parameters", "statistics"];

/// An average of the weights and the running statistics of a network.
#[derive(Debug)]
pub struct WeightAverage {
    settings: Ema,
    /// Flat, in the order of [`NAMES`].
    tensors: [Tensor; 2],
}

impl WeightAverage {
    /// Returns the average of a network before its first step: its weights.
    pub fn new(settings: &Ema, network: &Network) -> WeightAverage {
        WeightAverage {
            settings: settings.clone(),
            tensors: network.averaged().map(Tensor::copy),
        }
    }

    /// Takes the weights after a step into account; `step` is its number, from 1.
    pub fn update(&mut self, network: &Network, step: u64) {
        let weight = 1.0 - self.decay(step);
        no_grad(|| {
            for (average, latest) in self.tensors.iter_mut().zip(network.averaged()) {
                let _ = average.lerp_(latest, weight);
            }
        });
    }

    fn decay(&self, step: u64) -> f64 {
        let Ema { decay, warm_up } = self.settings;
        match (step.saturating_sub(1), warm_up) {
            (0, _) => 0.0,
            (_, false) => decay,
            (further, true) => decay.min(1.0 - (1.0 + further as f64).powf(-2.0 / 3.0)),
        }
    }

    /// Does some work with a network that has the averages in the place of its weights. It has its own again afterwards.
    pub fn in_place<T>(&self, network: &Network, work: impl FnOnce(&Network) -> T) -> T {
        let own = network.averaged().map(Tensor::copy);
        put(network, &self.tensors);
        let result = work(network);
        put(network, &own);
        result
    }

    /// Returns a copy of the averages.
    pub fn state(&self) -> State {
        let named = NAMES.iter().zip(&self.tensors);
        named.map(|(name, tensor)| copy(name, tensor)).collect()
    }

    /// Continues from a copy made by [`state`](Self::state).
    ///
    /// # Errors
    /// If it is that of another network.
    pub fn restore(&mut self, state: &[(String, Tensor)]) -> Result<(), StateError> {
        let mut targets: Vec<_> = NAMES.into_iter().zip(&mut self.tensors).collect();
        overwrite(&mut targets, state)
    }
}

/// Overwrites what is averaged of a network.
fn put(network: &Network, tensors: &[Tensor; 2]) {
    no_grad(|| {
        for (target, source) in network.averaged().into_iter().zip(tensors) {
            target.shallow_clone().copy_(source);
        }
    });
}

#[cfg(test)]
mod tests {
    use schema::Backbone;
    use tch::{Device, Kind};

    use super::*;
    use crate::{model::NetworkConfig, testing::golden};

    fn numbers(value: &serde_json::Value) -> Vec<f64> {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn network() -> Network {
        let config = NetworkConfig::new(Backbone::Conv4, 1, 16, Some(3));
        Network::new(config, 1, Device::Cpu).unwrap()
    }

    /// Sets all parameters to one number, and all running statistics to another.
    fn set(network: &Network, [parameter, statistic]: [f64; 2]) {
        let [parameters, statistics] = network.averaged();
        let _ = parameters.shallow_clone().fill_(parameter);
        let _ = statistics.shallow_clone().fill_(statistic);
    }

    #[test]
    fn averages_are_those_of_the_reference() {
        let golden = golden(include_str!("../optim/testdata/averages.json"));
        let series = ["weights", "means"].map(|name| numbers(&golden[name]));
        let at = |step: usize| [series[0][step], series[1][step]];
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let settings: Ema = serde_json::from_value(serde_json::json!({
                "decay": case["decay"], "warm_up": case["warm_up"],
            }))
            .unwrap();
            let network = network();
            set(&network, at(0));
            let mut average = WeightAverage::new(&settings, &network);
            for (step, expected) in (1..).zip(case["path"].as_array().unwrap()) {
                set(&network, at(step));
                average.update(&network, step as u64);
                for (tensor, expected) in average.tensors.iter().zip(numbers(expected)) {
                    let error = (tensor - expected).abs().max().double_value(&[]);
                    assert!(error < 1e-6, "{settings:?}, step {step}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_network_has_its_own_weights_again_after_work_with_the_averages() {
        let network = network();
        let average = WeightAverage::new(&Ema::default(), &network);
        let start = network.state();
        let images = Tensor::ones([2, 1, 16, 16], (Kind::Uint8, Device::Cpu));
        let before = network.forward(&images, false);
        set(&network, [0.5, 0.5]);
        let (inside, embedded) = average.in_place(&network, |network| {
            (network.state(), network.forward(&images, false))
        });
        assert!(inside == start && embedded == before);
        assert!(network.averaged()[0].min().double_value(&[]) == 0.5);
    }
}
