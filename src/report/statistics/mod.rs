//! How far the numbers of a table can be trusted: every method against a reference, what other test images would have
//! given, and whether methods differ over data sets. Written beside the table, for who wants to know.

mod images;
mod ranking;
mod render;

use schema::Metric;

use crate::{
    ReportError, Row, Together,
    claims::primary,
    gather::{self, Runs, block},
    standing::differences,
    stats::{ClassOf, Paired, Resampled, holm, paired},
    table::{At, summaries},
};

/// What is asked about the runs of a sweep.
pub struct Question<'a> {
    /// The name of the sweep.
    pub sweep: &'a str,
    /// The metrics of each data set, which is given by its title.
    pub metrics: &'a dyn Fn(&str) -> Vec<Metric>,
    /// The method that all others are compared with; without one, the best of each column.
    pub baseline: Option<&'a str>,
    /// What a run measured for each query, if that is known.
    pub queries: &'a (dyn Fn(&Row, Metric) -> Option<Queries> + Sync),
}

/// What a run measured for each query of its test images.
#[derive(Clone, Debug, PartialEq)]
pub struct Queries {
    /// The class of each query.
    pub classes: Vec<ClassOf>,
    /// The value of each.
    pub values: Vec<f64>,
}

/// The answers.
#[derive(Clone, Debug)]
pub struct Statistics {
    sweep: String,
    /// Whether the file names what the others are compared with.
    has_baseline: bool,
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) images: Vec<Images>,
    pub(crate) rankings: Vec<Ranking>,
}

/// A method and a reference on the same seeds and folds.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) dataset: String,
    pub(crate) together: Option<Together>,
    pub(crate) method: String,
    pub(crate) reference: String,
    pub(crate) metric: Metric,
    /// Whether the metric is the one that comparisons are judged by.
    pub(crate) is_primary: bool,
    /// Seeds that both have.
    pub(crate) seeds: usize,
    /// None for fewer than two seeds.
    pub(crate) paired: Option<Paired>,
    /// The p value of the t test, adjusted by Holm over all comparisons by the same metric.
    pub(crate) holm: Option<f64>,
}

impl Comparison {
    /// The data set, and how its folds are taken together.
    fn block(&self) -> String {
        block(&self.dataset, self.together)
    }
}

/// What other test images would have given.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    pub(crate) block: String,
    pub(crate) method: String,
    pub(crate) metric: Metric,
    pub(crate) queries: usize,
    pub(crate) over_queries: Option<Resampled>,
    pub(crate) over_classes: Option<Resampled>,
    /// The method and by how much this one is above it, over classes.
    pub(crate) above: Option<(String, Resampled)>,
}

/// The methods ranked over data sets.
#[derive(Clone, Debug)]
pub(crate) struct Ranking {
    pub(crate) together: Option<Together>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) datasets: Vec<String>,
    pub(crate) chi_squared: f64,
    pub(crate) p: f64,
    /// From this difference of mean ranks on two methods differ.
    pub(crate) critical: f64,
    /// Methods with their mean ranks, the best first.
    pub(crate) methods: Vec<(String, f64)>,
}

/// The statistics of these runs, if there is anything to compare.
///
/// # Errors
/// If the aggregation fails, which no content of the rows should bring about.
pub fn statistics(
    rows: &[Row],
    question: &Question<'_>,
) -> Result<Option<Statistics>, ReportError> {
    let axes = gather::axes(rows);
    let lines = gather::lines(rows, &axes, question.metrics);
    let summaries = summaries(&lines)?;
    let mean = |cell: At| summaries.get(&cell).map(|summary| summary.mean);
    let mut comparisons = Vec::new();
    let mut references = Vec::with_capacity(lines.len());
    for (line, runs) in lines.iter().enumerate() {
        references.push(None);
        for (place, &metric) in runs.metrics.iter().enumerate() {
            let is_primary = primary(&runs.metrics) == Some(place);
            let Some(reference) = reference(&lines, (line, place), question.baseline, &mean) else {
                continue;
            };
            if is_primary {
                references[line] = Some(reference);
            }
            if reference != line && mean((line, place)).is_some() {
                comparisons.push(comparison(&lines, &axes, [line, reference], place, metric));
            }
        }
    }
    if comparisons.is_empty() {
        return Ok(None);
    }
    adjust(&mut comparisons);
    Ok(Some(Statistics {
        sweep: question.sweep.to_owned(),
        has_baseline: question.baseline.is_some(),
        images: images::of(&lines, &references, &axes, question.queries),
        rankings: ranking::of(&lines, &axes, &mean),
        comparisons,
    }))
}

/// The line that a cell is compared with: the baseline under the same settings, or the best of the column.
fn reference(
    lines: &[Runs<'_>],
    (line, metric): At,
    baseline: Option<&str>,
    mean: &dyn Fn(At) -> Option<f64>,
) -> Option<usize> {
    let runs = &lines[line];
    let fits = |other: &Runs<'_>| {
        let named = baseline.is_none_or(|name| {
            let settings = other.settings.iter().zip(&runs.settings);
            other.method == name
                && settings
                    .into_iter()
                    .all(|(a, b)| a.is_empty() || b.is_empty() || a == b)
        });
        named && (other.dataset, other.together) == (runs.dataset, runs.together)
    };
    let means = (0..lines.len())
        .filter(|&other| fits(&lines[other]))
        .filter_map(|other| Some((other, mean((other, metric))?)));
    means
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
        .map(|(other, _)| other)
}

fn comparison(
    lines: &[Runs<'_>],
    axes: &[String],
    [line, reference]: [usize; 2],
    place: usize,
    metric: Metric,
) -> Comparison {
    let runs = &lines[line];
    let differences = differences(&runs.results[place], &lines[reference].results[place]);
    Comparison {
        dataset: runs.dataset.to_owned(),
        together: runs.together,
        method: runs.name(axes),
        reference: lines[reference].name(axes),
        metric,
        is_primary: primary(&runs.metrics) == Some(place),
        seeds: differences.len(),
        paired: paired(&differences, &vec![0.0; differences.len()]),
        holm: None,
    }
}

/// Adjusts p values within each metric: the others are seldom more than the same question asked again.
fn adjust(comparisons: &mut [Comparison]) {
    let mut metrics: Vec<Metric> = comparisons
        .iter()
        .map(|comparison| comparison.metric)
        .collect();
    metrics.sort_unstable();
    metrics.dedup();
    for metric in metrics {
        let p = |comparison: &Comparison| comparison.paired.as_ref()?.t.map(|test| test.p);
        let tested: Vec<usize> = (0..comparisons.len())
            .filter(|&place| {
                comparisons[place].metric == metric && p(&comparisons[place]).is_some()
            })
            .collect();
        let values: Vec<f64> = tested
            .iter()
            .filter_map(|&place| p(&comparisons[place]))
            .collect();
        for (place, adjusted) in tested.into_iter().zip(holm(&values)) {
            comparisons[place].holm = Some(adjusted);
        }
    }
}

#[cfg(test)]
mod tests;
