//! The logarithm of the expected improvement, whose gradient remains useful where the improvement
//! itself rounds to zero. Ament et al., "Unexpected Improvements to Expected Improvement for Bayesian Optimization", NeurIPS 2023.

use std::f64::consts::{PI, SQRT_2};

/// The standard normal density.
fn density(z: f64) -> f64 {
    libm::exp(-0.5 * z * z) / (2.0 * PI).sqrt()
}

/// The standard normal distribution function.
pub(super) fn cumulative(z: f64) -> f64 {
    0.5 * libm::erfc(-z / SQRT_2)
}

/// Returns the logarithm of E[max(0, X - incumbent)] for normal X, with its derivatives by mean and
/// standard deviation.
pub(super) fn log_improvement(mean: f64, deviation: f64, incumbent: f64) -> (f64, f64, f64) {
    let z = (mean - incumbent) / deviation;
    if z > -8.0 {
        let density = density(z);
        let cumulative = cumulative(z);
        let scaled = density + z * cumulative;
        return (
            libm::log(deviation * scaled),
            cumulative / (deviation * scaled),
            density / (deviation * scaled),
        );
    }
    // The asymptotic series of the tail (Abramowitz & Stegun 26.2.12), which does not cancel.
    let inverse = 1.0 / (z * z);
    let scaled = inverse * (1.0 - inverse * (3.0 - inverse * (15.0 - inverse * 105.0)));
    let cumulative = (1.0 - inverse * (1.0 - inverse * (3.0 - inverse * 15.0))) / -z;
    let log_density = -0.5 * z * z - 0.5 * libm::log(2.0 * PI);
    let log = libm::log(deviation) + log_density + libm::log(scaled);
    (
        log,
        cumulative / (deviation * scaled),
        1.0 / (deviation * scaled),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_improvement_agrees_with_its_closed_form_and_both_branches_meet() {
        let (log, _, _) = log_improvement(1.0, 2.0, 0.0);
        let expected = 2.0 * (density(0.5) + 0.5 * cumulative(0.5));
        assert!((log - expected.ln()).abs() < 1e-14);
        let (near, far) = (
            log_improvement(-7.999_999, 1.0, 0.0),
            log_improvement(-8.000_001, 1.0, 0.0),
        );
        assert!(
            (near.0 - far.0).abs() < 1e-3 && (near.1 / far.1 - 1.0).abs() < 1e-3,
            "{near:?} {far:?}"
        );
    }

    #[test]
    fn the_derivatives_are_those_of_the_logarithm() {
        for mean in [-30.0, -9.0, -2.0, 0.0, 3.0] {
            let (_, by_mean, by_deviation) = log_improvement(mean, 1.5, 0.2);
            let step = 1e-5;
            let slope = |up: f64, wide: f64| {
                let (high, _, _) = log_improvement(mean + up, 1.5 + wide, 0.2);
                let (low, _, _) = log_improvement(mean - up, 1.5 - wide, 0.2);
                (high - low) / (2.0 * step)
            };
            assert!((slope(step, 0.0) / by_mean - 1.0).abs() < 1e-4, "{mean}");
            assert!(
                (slope(0.0, step) / by_deviation - 1.0).abs() < 1e-4,
                "{mean}"
            );
        }
    }
}
