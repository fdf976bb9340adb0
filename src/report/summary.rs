//! Aggregation: the mean of a group of runs, and how far it can be trusted.

use std::collections::BTreeMap;

use polars::prelude::{DataFrame, GroupBy, PolarsResult};

use crate::statistics;

/// Statistics over the runs of one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) mean: f64,
    /// Half the width of the 95 % Student-t confidence interval; none for a single run.
    pub(crate) half_width: Option<f64>,
    pub(crate) runs: u32,
}

/// The summaries by line and metric; there is none where nothing was measured.
pub(crate) fn summarise(frame: &DataFrame) -> PolarsResult<BTreeMap<(u32, u32), Summary>> {
    let groups = frame.group_by_stable(["line", "metric"])?.select(["value"]);
    let aggregated = aggregate(&groups)?;
    let (lines, metrics) = (aggregated.column("line")?.u32()?, aggregated.column("metric")?.u32()?);
    let (means, deviations) = (aggregated.column("value_mean")?.f64()?, aggregated.column("value_agg_std")?.f64()?);
    let counts = aggregated.column("value_count")?.u32()?;
    let mut summaries = BTreeMap::new();
    for place in 0..aggregated.height() {
        let (Some(line), Some(metric)) = (lines.get(place), metrics.get(place)) else { continue };
        let (Some(mean), Some(runs)) = (means.get(place), counts.get(place)) else { continue };
        let half_width = deviations.get(place).and_then(|deviation| half_width(deviation, runs));
        summaries.insert((line, metric), Summary { mean, half_width, runs });
    }
    Ok(summaries)
}

#[expect(deprecated, reason = "the advised replacement, the lazy engine, doubles the time polars takes to compile")]
fn aggregate(groups: &GroupBy<'_>) -> PolarsResult<DataFrame> {
    let mut aggregated = groups.mean()?;
    for other in [groups.std(1)?.column("value_agg_std")?, groups.count()?.column("value_count")?] {
        aggregated.with_column(other.clone())?;
    }
    Ok(aggregated)
}

/// Half the width of the 95 % Student-t confidence interval of the mean of `runs` values with this
/// standard deviation. None for fewer than two.
pub(crate) fn half_width(deviation: f64, runs: u32) -> Option<f64> {
    statistics::half_width(deviation, f64::from(runs), 0.95)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Observation, frame};

    #[test]
    fn the_interval_agrees_with_published_quantiles() {
        // Quantiles 0.975 of Student's t for 1, 2, 9, 30 and 100 degrees of freedom.
        for (runs, quantile) in [(2, 12.7062), (3, 4.30265), (10, 2.262157), (31, 2.042272), (101, 1.983972)] {
            let expected = quantile / f64::from(runs).sqrt();
            let half_width = half_width(1.0, runs).unwrap();
            assert!((half_width - expected).abs() < 1e-5 * expected, "{runs}: {half_width} {expected}");
        }
        assert!((half_width(1.0, 10).unwrap() - 0.7153).abs() < 1e-4);
        assert_eq!(half_width(1.0, 1), None);
        assert_eq!(half_width(0.0, 3), Some(0.0));
    }

    #[test]
    fn each_group_has_its_own_statistics() {
        let values = [(0, 0, 0.1), (0, 1, 0.5), (0, 0, 0.3), (2, 0, 0.9)];
        let observations = values.map(|(line, metric, value)| Observation { line, metric, value }).to_vec();
        let summaries = summarise(&frame(observations).unwrap()).unwrap();
        assert_eq!(summaries.keys().copied().collect::<Vec<_>>(), [(0, 0), (0, 1), (2, 0)]);
        let pair = summaries[&(0, 0)];
        assert_eq!(pair.runs, 2);
        assert!((pair.mean - 0.2).abs() < 1e-12);
        // The standard deviation of 0.1 and 0.3 is 0.2 / sqrt(2), the standard error 0.1.
        assert!((pair.half_width.unwrap() - 1.27062).abs() < 1e-5);
        assert_eq!(summaries[&(2, 0)], Summary { mean: 0.9, half_width: None, runs: 1 });
    }

    #[test]
    fn nothing_measured_is_no_summary() {
        assert!(summarise(&frame(Vec::new()).unwrap()).unwrap().is_empty());
    }
}
