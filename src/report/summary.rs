//! Aggregation: the mean of a cell, and how far it can be trusted.
//!
//! A repetition is a seed with all its folds: first the folds of a seed are averaged, then the seeds. Folds of one seed
//! share most of their training classes, so their spread says nothing about another repetition. The Reality Check
//! reports its intervals over repetitions in the same way.

use std::collections::BTreeMap;

use polars::prelude::{DataFrame, GroupBy, PolarsResult};

use crate::{
    frame::{Observation, frame},
    stats,
};

/// Statistics over the repetitions of one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) mean: f64,
    /// Half the width of the 95 % Student-t confidence interval; none for a single seed.
    pub(crate) half_width: Option<f64>,
    pub(crate) seeds: u32,
}

/// The summaries by cell; there is none where nothing was measured.
pub(crate) fn summarise(observations: Vec<Observation>) -> PolarsResult<BTreeMap<u32, Summary>> {
    let groups = frame(seeds(&frame(observations)?)?)?;
    let aggregated = aggregate(&groups.group_by_stable(["cell"])?.select(["value"]))?;
    let cells = aggregated.column("cell")?.u32()?;
    let (means, deviations) = (
        aggregated.column("value_mean")?.f64()?,
        aggregated.column("value_agg_std")?.f64()?,
    );
    let counts = aggregated.column("value_count")?.u32()?;
    let mut summaries = BTreeMap::new();
    for place in 0..aggregated.height() {
        let (Some(cell), Some(mean), Some(seeds)) =
            (cells.get(place), means.get(place), counts.get(place))
        else {
            continue;
        };
        let half_width = deviations
            .get(place)
            .and_then(|deviation| half_width(deviation, seeds));
        summaries.insert(
            cell,
            Summary {
                mean,
                half_width,
                seeds,
            },
        );
    }
    Ok(summaries)
}

/// The mean over the folds of each seed.
#[expect(
    deprecated,
    reason = "the advised replacement, the lazy engine, doubles the time polars takes to compile"
)]
fn seeds(frame: &DataFrame) -> PolarsResult<Vec<Observation>> {
    let means = frame
        .group_by_stable(["cell", "seed"])?
        .select(["value"])
        .mean()?;
    let (cells, seeds) = (means.column("cell")?.u32()?, means.column("seed")?.u64()?);
    let values = means.column("value_mean")?.f64()?;
    let observation = |place| {
        Some(Observation {
            cell: cells.get(place)?,
            seed: seeds.get(place)?,
            value: values.get(place)?,
        })
    };
    Ok((0..means.height()).filter_map(observation).collect())
}

#[expect(
    deprecated,
    reason = "the advised replacement, the lazy engine, doubles the time polars takes to compile"
)]
fn aggregate(groups: &GroupBy<'_>) -> PolarsResult<DataFrame> {
    let mut aggregated = groups.mean()?;
    for other in [
        groups.std(1)?.column("value_agg_std")?,
        groups.count()?.column("value_count")?,
    ] {
        aggregated.with_column(other.clone())?;
    }
    Ok(aggregated)
}

/// Half the width of the 95 % Student-t confidence interval of the mean of so many values with this
/// standard deviation. None for fewer than two.
pub(crate) fn half_width(deviation: f64, count: u32) -> Option<f64> {
    stats::half_width(deviation, f64::from(count), 0.95)
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

    fn of(values: &[(u32, u64, f64)]) -> BTreeMap<u32, Summary> {
        summarise(
            values
                .iter()
                .map(|&(cell, seed, value)| Observation { cell, seed, value })
                .collect(),
        )
        .unwrap()
    }

    #[test]
    fn each_cell_has_its_own_statistics() {
        let summaries = of(&[(0, 0, 0.1), (1, 0, 0.5), (0, 1, 0.3), (4, 0, 0.9)]);
        assert_eq!(summaries.keys().copied().collect::<Vec<_>>(), [0, 1, 4]);
        let pair = summaries[&0];
        assert_eq!(pair.seeds, 2);
        assert!((pair.mean - 0.2).abs() < 1e-12);
        // The standard deviation of 0.1 and 0.3 is 0.2 / sqrt(2), the standard error 0.1.
        assert!((pair.half_width.unwrap() - 1.27062).abs() < 1e-5);
        assert_eq!(
            summaries[&4],
            Summary {
                mean: 0.9,
                half_width: None,
                seeds: 1
            }
        );
    }

    #[test]
    fn folds_are_averaged_before_seeds() {
        // Seed 0 has the mean 0.1 and seed 1 the mean 0.3, however far the folds of each lie apart.
        let summaries = of(&[(0, 0, 0.0), (0, 0, 0.2), (0, 1, 0.25), (0, 1, 0.35)]);
        assert_eq!(summaries[&0].seeds, 2);
        assert!((summaries[&0].mean - 0.2).abs() < 1e-12);
        assert!((summaries[&0].half_width.unwrap() - 1.27062).abs() < 1e-5);
        assert_eq!(of(&[(0, 7, 0.0), (0, 7, 0.2)])[&0].half_width, None);
    }

    #[test]
    fn nothing_measured_is_no_summary() {
        assert!(of(&[]).is_empty());
    }
}
