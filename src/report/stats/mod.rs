//! Confidence intervals and significance tests, as plain functions of numbers.
//!
//! Pairs are results of two methods under the same conditions: data set, seed and fold. All tests
//! are two-sided. A function that needs more values than it gets returns `None`. Reference: SciPy
//! (`scripts/golden_statistics.py` writes the expected values); functions that SciPy lacks cite
//! their source.

mod aggregate;
mod bootstrap;
mod diagram;
mod estimate;
mod paired;
mod power;
mod principal;
mod ranks;
mod several;
#[cfg(test)]
mod tests;
mod two_way;

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

pub use aggregate::{interquartile_mean, interquartile_mean_over, performance_profile};
#[cfg(test)]
pub(crate) use bootstrap::mix as mixed;
pub use bootstrap::{ClassOf, Resampled, bootstrap, over_classes, over_queries};
pub(crate) use diagram::critical_difference_diagram;
pub use estimate::{Estimate, Part, Posterior, superiority};
pub use paired::{Paired, TTest, Wilcoxon, WilcoxonMethod, paired, paired_t, wilcoxon};
pub use power::{more_for_difference, more_for_equality, seeds_needed};
pub use principal::on_principal_axes;
pub use several::{Friedman, friedman, holm, holm_with_best, nemenyi_difference};
pub use two_way::two_way;

/// A mean and its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Returns the mean and its Student-t interval, mean ± t·s/√n with n - 1 degrees of freedom.
///
/// `confidence` is a probability such as 0.95. None for fewer than two values.
pub fn student(values: &[f64], confidence: f64) -> Option<Interval> {
    let mean = mean(values)?;
    let half = half_width(deviation(values)?, values.len() as f64, confidence)?;
    Some(Interval {
        mean,
        low: mean - half,
        high: mean + half,
    })
}

/// Returns half the width of the Student-t interval of the mean of `count` values with this standard
/// deviation. None for fewer than two.
pub(crate) fn half_width(deviation: f64, count: f64, confidence: f64) -> Option<f64> {
    Some(t(count - 1.0)?.inverse_cdf(0.5 + 0.5 * confidence) * deviation / count.sqrt())
}

/// Returns the mean; none for no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Returns the standard deviation with denominator n - 1; none for fewer than two values.
pub fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum();
    Some((squares / (values.len() as f64 - 1.0)).sqrt())
}

fn t(freedom: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, freedom).ok()
}

/// Returns the quantile of the standard normal distribution.
#[cfg(test)]
pub(crate) fn normal_quantile(share: f64) -> f64 {
    normal().inverse_cdf(share)
}

fn normal() -> Normal {
    Normal::standard()
}
