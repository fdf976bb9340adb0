//! The summary of a cell: its mean over repetitions and the confidence interval of the mean.

use crate::stats;

/// The confidence of all intervals.
pub(crate) const CONFIDENCE: f64 = 0.95;

/// Statistics over the repetitions of one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) mean: f64,
    /// Half the width of the 95 % confidence interval; none for a single seed.
    pub(crate) half_width: Option<f64>,
    /// What the interval covers.
    pub(crate) over: Over,
    /// Half the width of the interval over seeds alone.
    pub(crate) over_seeds: Option<f64>,
    pub(crate) seeds: u32,
}

/// What else an interval answers for than what was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Over {
    /// Other seeds on the same classes.
    Seeds,
    /// Other seeds on other classes.
    SeedsAndClasses,
}

impl Summary {
    /// Summarizes `seeds` values with this mean and this standard deviation by their Student-t interval.
    pub(crate) fn new(mean: f64, deviation: Option<f64>, seeds: u32) -> Summary {
        let half_width = deviation.and_then(|deviation| half_width(deviation, seeds));
        Summary {
            mean,
            half_width,
            over: Over::Seeds,
            over_seeds: half_width,
            seeds,
        }
    }
}

/// Half the width of the 95 % Student-t confidence interval of the mean of `count` values with this
/// standard deviation; none for fewer than two.
fn half_width(deviation: f64, count: u32) -> Option<f64> {
    stats::half_width(deviation, f64::from(count), CONFIDENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_agrees_with_published_quantiles() {
        // Quantiles 0.975 of Student's t for 1, 2, 9, 30 and 100 degrees of freedom.
        for (runs, quantile) in [
            (2, 12.7062),
            (3, 4.30265),
            (10, 2.262157),
            (31, 2.042272),
            (101, 1.983972),
        ] {
            let expected = quantile / f64::from(runs).sqrt();
            let half_width = half_width(1.0, runs).unwrap();
            assert!(
                (half_width - expected).abs() < 1e-5 * expected,
                "{runs}: {half_width} {expected}"
            );
        }
        assert!((half_width(1.0, 10).unwrap() - 0.7153).abs() < 1e-4);
        assert_eq!(half_width(1.0, 1), None);
        assert_eq!(half_width(0.0, 3), Some(0.0));
    }
}
