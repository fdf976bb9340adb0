//! Numbers as they are printed: percentages, points and p values.

use crate::stats::Interval;

/// A fraction in percent with two decimals.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.2}", 100.0 * fraction)
}

/// `12.50 to 87.50`, in percent.
pub(crate) fn ends(interval: &Interval) -> String {
    format!("{} to {}", percent(interval.low), percent(interval.high))
}

/// A difference with its sign: `+1.25 (+0.50 to +2.00)`, in percentage points.
pub(crate) fn signed(interval: &Interval) -> String {
    let [mean, low, high] =
        [interval.mean, interval.low, interval.high].map(|value| format!("{:+.2}", 100.0 * value));
    format!("{mean} ({low} to {high})")
}

/// `0.044`, or `< 0.001`.
pub(crate) fn p_value(p: f64) -> String {
    if p < 0.001 {
        "< 0.001".to_owned()
    } else {
        format!("{p:.3}")
    }
}

/// Percentage points without needless digits: `0.5`.
pub(crate) fn points(fraction: f64) -> String {
    // Rounded, as 100 times a decimal fraction is seldom exact.
    let points = (1e8 * fraction).round() / 1e6;
    points.to_string()
}
