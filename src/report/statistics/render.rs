//! Statistics as Markdown, as CSV and as diagrams.

use std::collections::BTreeSet;

use super::{ImageIntervals, PairedComparison, Ranking, Sources, Statistics};
use crate::{
    Format, ReportError,
    csv::{optional, text},
    drawing::Drawing,
    markdown::row,
    number::{ends, p_value, percent, points, signed},
    stats::{Interval, critical_difference_diagram, superiority},
    summary::{CONFIDENCE, Over},
    text::{escape, field},
};

const PAIRED: &str = "Paired on the same seeds and folds; the folds of a seed are averaged, so a seed is one \
                      pair. The difference is in percentage points, positive if the method is better, with its 95 % \
                      interval: over seeds and classes where the values of each query are known, else over seeds. p of the t \
                      test that belongs to it, with three seeds or more, and the same adjusted by Holm over \
                      all rows here; p of a Wilcoxon signed-rank test; Hedges' g is the difference in units of its own standard \
                      deviation, corrected for few seeds. Wins: the share of seeds on which the method is better, with its 95 % \
                      Wilson interval. More: about this number of further seeds would show a difference of this size in the \
                      adjusted test (level 5 %, power 80 %). All other metrics are in the CSV file.";

const BEST: &str = "As the best is found in the same data, Holm's step-down counts all pairs of rows that can \
                    still be equal at once (Shaffer 1986).";

const EQUAL: &str = "p of the hypothesis that the difference matters (two one-sided t tests), and the same adjusted by Holm. \
                     Below, equal and above: how likely the method is worse than the other by more than the bound, equal within \
                     it, and better by more, by the Bayesian t test, correlated if there are folds (Benavoli et al. 2017). More: \
                     about this number of further seeds would show that they are equal (level 5 %, power 80 %).";

const INTERVALS: &str = "The 95 % intervals of a mean differ by the question that they answer. Seeds and classes: where would \
                         it be with other seeds, on other test classes? Seeds: with other seeds, on these classes? \
                         Classes: with these trained networks, on other classes? Queries: with these networks, on other \
                         images of these classes? The first is a crossed two-way interval, the second Student's t, the others \
                         resample the mean over the runs for each query 2000 times (BCa). Above: the difference of these \
                         networks from those of another method, on other classes.";

const OF_SEARCHES: &str = "Search: by how much one more search differs beyond what the seeds that its values were trained with explain; \
                           seed: one more of the same search.";

const SOURCES: &str = "Standard deviations in percentage points: by how much one more seed (its folds averaged), one more fold \
                       or one more test class differs. A mean over many seeds and few classes is as uncertain as its classes.";

const COMPARED: [&str; 11] = [
    "method",
    "against",
    "metric",
    "difference",
    "seeds",
    "p (t)",
    "p (Holm)",
    "p (Wilcoxon)",
    "g",
    "wins",
    "more",
];

const EQUALITY: [&str; 9] = [
    "method", "against", "metric", "p", "p (Holm)", "below", "equal", "above", "more",
];

const FIELDS: [&str; 28] = [
    "dataset",
    "folds",
    "method",
    "against",
    "metric",
    "seeds",
    "difference",
    "low",
    "high",
    "t",
    "p_t",
    "p_holm",
    "p_wilcoxon",
    "rank_biserial",
    "cohen_d",
    "hedges_g",
    "more_seeds",
    "wins",
    "wins_low",
    "wins_high",
    "p_equality",
    "p_equality_holm",
    "below",
    "equal",
    "above",
    "more_seeds_equality",
    "low_seeds",
    "high_seeds",
];

/// Stands for a value that cannot be computed.
const NONE: &str = "–";

impl Statistics {
    /// Returns the statistics as Markdown; comparisons by the primary metric only.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}: statistics\n", escape(&self.sweep));
        text.push_str(&self.comparisons());
        text.push_str(&self.equality());
        text.push_str(&self.test_images());
        text.push_str(&self.of_sources());
        for ranking in &self.rankings {
            text.push_str(&self.ranking(ranking));
        }
        text.push_str(&self.of_aggregates());
        text
    }

    fn comparisons(&self) -> String {
        let reference = if self.has_baseline {
            "the baseline"
        } else {
            "the best"
        };
        let mut text = format!("\n## Against {reference}\n\n{PAIRED}");
        if !self.has_baseline {
            text.push_str(&format!(" {BEST}"));
        }
        text.push('\n');
        for of_panel in self.primary().chunk_by(|a, b| a.panel == b.panel) {
            let panel = self.names.panel(of_panel[0].panel);
            text.push_str(&format!("\n### {}\n\n", escape(&panel)));
            text.push_str(&row(COMPARED.iter()));
            text.push_str(&rule(3, COMPARED.len()));
            for comparison in of_panel {
                text.push_str(&row(self.comparison(comparison).iter()));
            }
        }
        text
    }

    /// The comparisons by the primary metric of each panel.
    fn primary(&self) -> Vec<&PairedComparison> {
        let primary = self.comparisons.iter();
        primary.filter(|comparison| comparison.is_primary).collect()
    }

    /// The cells of a comparison.
    fn comparison(&self, compared: &PairedComparison) -> Vec<String> {
        let comparison = &compared.comparison;
        let difference = comparison.difference;
        let wilcoxon = compared.paired.as_ref().and_then(|paired| paired.wilcoxon);
        let hedges = compared.paired.as_ref().and_then(|paired| paired.hedges);
        let more = compared.more_for_difference;
        vec![
            escape(&self.names.row(&compared.row)),
            escape(&self.names.row(&compared.reference)),
            compared.metric.heading(),
            or_none(difference.map(|estimate| signed(&estimate.interval(CONFIDENCE)))),
            comparison.repetitions.count.to_string(),
            or_none(compared.p().map(|(p, _)| p_value(p))),
            or_none(compared.p().map(|(_, adjusted)| p_value(adjusted))),
            or_none(wilcoxon.map(|test| p_value(test.p))),
            or_none(hedges.map(|g| format!("{g:.2}"))),
            or_none(superiority(&comparison.differences).as_ref().map(share)),
            or_none(more.map(|more| more.to_string())),
        ]
    }

    /// Which rows are equal to their reference, if the sweep says what difference matters.
    fn equality(&self) -> String {
        let Some(within) = self.equal_within else {
            return String::new();
        };
        let mut text = format!("\n## Equal within {} points\n\n{EQUAL}\n", points(within));
        for of_panel in self.primary().chunk_by(|a, b| a.panel == b.panel) {
            let panel = self.names.panel(of_panel[0].panel);
            text.push_str(&format!("\n### {}\n\n", escape(&panel)));
            text.push_str(&row(EQUALITY.iter()));
            text.push_str(&rule(3, EQUALITY.len()));
            for compared in of_panel {
                text.push_str(&row(self.of_equality(compared).iter()));
            }
        }
        text
    }

    fn of_equality(&self, compared: &PairedComparison) -> Vec<String> {
        let equality = compared.comparison.equality;
        let posterior = equality.map(|equality| equality.posterior);
        let more = compared.more_for_equality;
        vec![
            escape(&self.names.row(&compared.row)),
            escape(&self.names.row(&compared.reference)),
            compared.metric.heading(),
            or_none(equality.map(|equality| p_value(equality.test.p))),
            or_none(equality.map(|equality| p_value(equality.test.adjusted))),
            or_none(posterior.map(|posterior| format!("{:.3}", posterior.below))),
            or_none(posterior.map(|posterior| format!("{:.3}", posterior.inside))),
            or_none(posterior.map(|posterior| format!("{:.3}", posterior.above))),
            or_none(more.map(|more| more.to_string())),
        ]
    }

    fn test_images(&self) -> String {
        if self.images.is_empty() {
            return String::new();
        }
        let headings = [
            "method",
            "metric",
            "mean",
            "seeds and classes",
            "seeds",
            "classes",
            "queries",
            "above",
        ];
        let mut text = format!("\n## Intervals\n\n{INTERVALS}\n");
        for of_panel in self.images.chunk_by(|a, b| a.panel == b.panel) {
            let panel = self.names.panel(of_panel[0].panel);
            let queries = of_panel[0].queries;
            text.push_str(&format!("\n### {}, {queries} queries\n\n", escape(&panel)));
            text.push_str(&row(headings.iter()));
            text.push_str("| :--- | :--- | ---: | ---: | ---: | ---: | ---: | :--- |\n");
            for images in of_panel {
                text.push_str(&row(self.of_images(images).iter()));
            }
        }
        text
    }

    /// The cells of the intervals of a line.
    fn of_images(&self, images: &ImageIntervals) -> Vec<String> {
        let summary = &images.summary;
        let over_both = summary
            .half_width
            .filter(|_| summary.over == Over::SeedsAndClasses);
        let above = images.above.as_ref().map(|above| {
            let reference = escape(&self.names.row(&above.reference));
            format!("{reference}: {}", signed(&above.difference.interval))
        });
        vec![
            escape(&self.names.row(&images.row)),
            images.metric.heading(),
            percent(summary.mean),
            or_none(over_both.map(|half| around(summary.mean, half))),
            or_none(summary.over_seeds.map(|half| around(summary.mean, half))),
            or_none(images.over_classes.map(|over| ends(&over.interval))),
            or_none(images.over_queries.map(|over| ends(&over.interval))),
            above.unwrap_or_default(),
        ]
    }

    fn of_sources(&self) -> String {
        if self.sources.is_empty() {
            return String::new();
        }
        let mut text = format!("\n## Sources of variance\n\n{SOURCES}\n");
        let has_searches = self.sources.iter().any(|sources| sources.search.is_some());
        if has_searches {
            text.push_str(&format!("\n{OF_SEARCHES}\n"));
        }
        for of_panel in self.sources.chunk_by(|a, b| a.panel == b.panel) {
            let panel = self.names.panel(of_panel[0].panel);
            text.push_str(&format!("\n### {}\n\n", escape(&panel)));
            let searches = of_panel.iter().any(|sources| sources.search.is_some());
            let search = searches.then_some("search");
            let kinds = ["method", "metric"].into_iter().chain(search);
            let kinds: Vec<&str> = kinds.chain(["seed", "fold", "class"]).collect();
            text.push_str(&row(kinds.iter()));
            text.push_str(&rule(2, kinds.len()));
            for sources in of_panel {
                let Sources {
                    search,
                    seed,
                    fold,
                    class,
                    ..
                } = sources;
                let mut cells = vec![
                    escape(&self.names.row(&sources.row)),
                    sources.metric.heading(),
                ];
                cells.extend(searches.then(|| or_none(search.map(percent))));
                cells.extend([seed, fold, class].map(|source| or_none(source.map(percent))));
                text.push_str(&row(cells.iter()));
            }
        }
        text
    }

    /// The interquartile means over data sets.
    fn of_aggregates(&self) -> String {
        let mut text = String::new();
        for of_way in self.aggregates.chunk_by(|a, b| a.together == b.together) {
            let folds = of_way[0].together.map(|together| format!(", {together}"));
            let folds = folds.unwrap_or_default();
            let datasets = of_way[0].datasets;
            text.push_str(&format!(
                "\n## Interquartile means{folds}\n\nThe mean of the middle half of all seeds on {datasets} data sets, by the \
                 primary metric of each; 95 % interval of a bootstrap over the seeds of each data set. The share of \
                 seeds that reach each score is in `profile.csv`.\n\n"
            ));
            text.push_str(&row(["method", "interquartile mean", "interval"].iter()));
            text.push_str(&rule(1, 3));
            for aggregate in of_way {
                let interval = &aggregate.interquartile;
                let name = escape(&self.names.row(&aggregate.row));
                text.push_str(&row([name, percent(interval.mean), ends(interval)].iter()));
            }
        }
        text
    }

    /// Returns the performance profiles over data sets as CSV; none if there are none.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn profiles(&self) -> Result<Option<String>, ReportError> {
        if self.aggregates.is_empty() {
            return Ok(None);
        }
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        writer.write_record(["folds", "method", "score", "share"])?;
        for aggregate in &self.aggregates {
            let folds = aggregate.together.map(|together| together.to_string());
            let name = field(&self.names.row(&aggregate.row));
            for (score, share) in &aggregate.profile {
                let numbers = [score.to_string(), share.to_string()];
                let [score, share] = &numbers;
                writer.write_record([folds.as_deref().unwrap_or_default(), &name, score, share])?;
            }
        }
        text(writer).map(Some)
    }

    fn ranking(&self, ranking: &Ranking) -> String {
        let folds = ranking.together.map(|together| format!(", {together}"));
        let mut datasets = Vec::new();
        for (dataset, metric) in &ranking.datasets {
            let title = escape(self.names.title(*dataset));
            datasets.push(format!("{title} ({})", metric.heading()));
        }
        let mut text = format!(
            "\n## Over data sets{}\n\nThe ranks of {} methods on {}. Friedman test: χ² = {:.2}, p {}. Two methods differ \
             whose mean ranks are {:.2} or more apart (Nemenyi, level 5 %); the diagram joins those that do not. With few \
             data sets the test has little power.\n\n![mean ranks]({}.svg)\n\n",
            folds.unwrap_or_default(),
            ranking.methods.len(),
            datasets.join(", "),
            ranking.chi_squared,
            equals(ranking.p),
            ranking.critical,
            ranking.name()
        );
        text.push_str(&row(["method", "mean rank"].iter()));
        text.push_str(&rule(1, 2));
        for (key, rank) in &ranking.methods {
            let name = escape(&self.names.row(key));
            text.push_str(&row([name, format!("{rank:.2}")].iter()));
        }
        text
    }

    /// Returns the comparisons by all metrics as CSV, differences as fractions.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn csv(&self) -> Result<String, ReportError> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        writer.write_record(FIELDS)?;
        for comparison in &self.comparisons {
            writer.write_record(self.fields(comparison))?;
        }
        text(writer)
    }

    fn fields(&self, compared: &PairedComparison) -> Vec<String> {
        let comparison = &compared.comparison;
        let paired = compared.paired.as_ref();
        let interval = comparison
            .difference
            .map(|estimate| estimate.interval(CONFIDENCE));
        let t = comparison
            .difference
            .filter(|estimate| estimate.error() > 0.0)
            .map(|estimate| estimate.mean / estimate.error());
        let wilcoxon = paired.and_then(|paired| paired.wilcoxon);
        let together = compared.panel.together;
        let wins = superiority(&comparison.differences);
        let mut fields = vec![
            field(self.names.title(compared.panel.dataset)),
            together.map_or_else(String::new, |together| together.to_string()),
            field(&self.names.row(&compared.row)),
            field(&self.names.row(&compared.reference)),
            compared.metric.to_string(),
            comparison.repetitions.count.to_string(),
            optional(interval.map(|interval| interval.mean)),
            optional(interval.map(|interval| interval.low)),
            optional(interval.map(|interval| interval.high)),
            optional(t),
            optional(compared.p().map(|(p, _)| p)),
            optional(compared.p().map(|(_, adjusted)| adjusted)),
            optional(wilcoxon.map(|test| test.p)),
            optional(wilcoxon.map(|test| test.rank_biserial)),
            optional(paired.and_then(|paired| paired.cohen)),
            optional(paired.and_then(|paired| paired.hedges)),
            count(compared.more_for_difference),
            optional(wins.map(|wins| wins.mean)),
            optional(wins.map(|wins| wins.low)),
            optional(wins.map(|wins| wins.high)),
        ];
        fields.extend(equality_fields(compared));
        let over_seeds = paired.map(|paired| &paired.difference);
        fields.push(optional(over_seeds.map(|interval| interval.low)));
        fields.push(optional(over_seeds.map(|interval| interval.high)));
        fields
    }

    /// Returns critical-difference diagrams, each with the name of its file: as SVG, and as TikZ if LaTeX is asked
    /// for.
    pub fn diagrams(&self, formats: &BTreeSet<Format>) -> Vec<(String, String)> {
        let mut files = Vec::new();
        for ranking in &self.rankings {
            let drawing = self.diagram(ranking);
            files.push((format!("{}.svg", ranking.name()), drawing.svg_file()));
            if formats.contains(&Format::Latex) {
                files.push((format!("{}.tex", ranking.name()), drawing.tikz()));
            }
        }
        files
    }

    pub(crate) fn diagram(&self, ranking: &Ranking) -> Drawing {
        let methods = ranking.methods.iter();
        let methods: Vec<(String, f64)> = methods
            .map(|(key, rank)| (self.names.row(key), *rank))
            .collect();
        critical_difference_diagram(&methods, ranking.critical)
    }
}

impl Ranking {
    /// The name of the files of its diagram.
    fn name(&self) -> String {
        match self.together {
            Some(together) => format!("ranks-{together}"),
            None => "ranks".to_owned(),
        }
    }
}

fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| NONE.to_owned())
}

/// The rule below the headings. The first columns are names.
fn rule(names: usize, columns: usize) -> String {
    let mut cells = vec![":---"; names];
    cells.resize(columns, "---:");
    row(cells.iter())
}

/// `12.50 to 87.50`, from the middle and half the width.
fn around(mean: f64, half: f64) -> String {
    ends(&Interval {
        mean,
        low: mean - half,
        high: mean + half,
    })
}

/// `0.67 (0.21 to 0.94)`.
fn share(interval: &Interval) -> String {
    let Interval { mean, low, high } = interval;
    format!("{mean:.2} ({low:.2} to {high:.2})")
}

/// The number; empty if there is none.
fn count(number: Option<usize>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

fn equality_fields(compared: &PairedComparison) -> [String; 6] {
    let equality = compared.comparison.equality;
    let test = equality.map(|equality| equality.test);
    let posterior = equality.map(|equality| equality.posterior);
    [
        optional(test.map(|test| test.p)),
        optional(test.map(|test| test.adjusted)),
        optional(posterior.map(|posterior| posterior.below)),
        optional(posterior.map(|posterior| posterior.inside)),
        optional(posterior.map(|posterior| posterior.above)),
        count(compared.more_for_equality),
    ]
}

fn equals(p: f64) -> String {
    if p < 0.001 {
        p_value(p)
    } else {
        format!("= {}", p_value(p))
    }
}
