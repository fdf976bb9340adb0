//! Statistics as Markdown, as CSV and as diagrams.

use super::{ImageIntervals, PairedComparison, Ranking, Statistics};
use crate::{
    ReportError,
    csv::{optional, text},
    markdown::row,
    stats::{Interval, Resampled, critical_difference_diagram},
    text::{escape, field, one_line},
};

const PAIRED: &str = "Paired on the same seeds and folds; the folds of a seed are averaged, so a seed is one \
                      pair. The difference is in percentage points, positive if the method is better, with its 95 % \
                      Student-t interval. p of a paired t test, the same adjusted by Holm over all rows here, p of a \
                      Wilcoxon signed-rank test; Hedges' g is the difference in units of its own standard deviation, \
                      corrected for few seeds. More: about this number of further seeds would show a difference of \
                      this size in the adjusted test (level 5 %, power 80 %). All other metrics are in the CSV file.";

const IMAGES: &str = "The mean over the runs for each query, resampled 2000 times (BCa, 95 %): each query on its own, or \
                      all queries of a class together, which estimates the effect of other classes. Above: the \
                      difference from another method, over classes; it is about these trained networks, not about \
                      other seeds.";

const COMPARED: [&str; 10] = [
    "method",
    "against",
    "metric",
    "difference",
    "seeds",
    "p (t)",
    "p (Holm)",
    "p (Wilcoxon)",
    "g",
    "more",
];

const FIELDS: [&str; 17] = [
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
];

/// Stands for a value that cannot be computed.
const NONE: &str = "–";

impl Statistics {
    /// Returns the statistics as Markdown; comparisons by the primary metric only.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}: statistics\n", escape(&self.sweep));
        text.push_str(&self.comparisons());
        text.push_str(&self.test_images());
        for ranking in &self.rankings {
            text.push_str(&self.ranking(ranking));
        }
        text
    }

    fn comparisons(&self) -> String {
        let reference = if self.has_baseline {
            "the baseline"
        } else {
            "the best"
        };
        let mut text = format!("\n## Against {reference}\n\n{PAIRED}\n");
        let mut primary: Vec<&PairedComparison> = self.comparisons.iter().collect();
        primary.retain(|comparison| comparison.is_primary);
        for of_panel in primary.chunk_by(|a, b| a.panel == b.panel) {
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

    /// The cells of a comparison.
    fn comparison(&self, comparison: &PairedComparison) -> Vec<String> {
        let paired = comparison.paired.as_ref();
        let difference = paired.map(|paired| points(&paired.difference));
        let wilcoxon = paired.and_then(|paired| paired.wilcoxon);
        let hedges = paired.and_then(|paired| paired.hedges);
        vec![
            escape(&self.names.row(&comparison.row)),
            escape(&self.names.row(&comparison.reference)),
            comparison.metric.heading(),
            or_none(difference),
            comparison.seeds.to_string(),
            or_none(comparison.p().map(p_value)),
            or_none(comparison.holm.map(p_value)),
            or_none(wilcoxon.map(|test| p_value(test.p))),
            or_none(hedges.map(|g| format!("{g:.2}"))),
            or_none(comparison.more.map(|more| more.to_string())),
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
            "over queries",
            "over classes",
            "above",
        ];
        let mut text = format!("\n## Over test images\n\n{IMAGES}\n");
        for of_panel in self.images.chunk_by(|a, b| a.panel == b.panel) {
            let panel = self.names.panel(of_panel[0].panel);
            let queries = of_panel[0].queries;
            text.push_str(&format!("\n### {}, {queries} queries\n\n", escape(&panel)));
            text.push_str(&row(headings.iter()));
            text.push_str("| :--- | :--- | ---: | ---: | ---: | :--- |\n");
            for images in of_panel {
                text.push_str(&row(self.of_images(images).iter()));
            }
        }
        text
    }

    /// The cells of the intervals of a line.
    fn of_images(&self, images: &ImageIntervals) -> Vec<String> {
        let mean = images.over_queries.map(|resampled| resampled.interval.mean);
        let above = images.above.as_ref().map(|above| {
            let reference = escape(&self.names.row(&above.reference));
            format!("{reference}: {}", points(&above.difference.interval))
        });
        vec![
            escape(&self.names.row(&images.row)),
            images.metric.heading(),
            or_none(mean.map(percent)),
            or_none(images.over_queries.map(ends)),
            or_none(images.over_classes.map(ends)),
            above.unwrap_or_default(),
        ]
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
             data sets the test has little power.\n\n![mean ranks]({})\n\n",
            folds.unwrap_or_default(),
            ranking.methods.len(),
            datasets.join(", "),
            ranking.chi_squared,
            equals(ranking.p),
            ranking.critical,
            ranking.file()
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

    fn fields(&self, comparison: &PairedComparison) -> Vec<String> {
        let paired = comparison.paired.as_ref();
        let difference = paired.map(|paired| &paired.difference);
        let t = paired.and_then(|paired| paired.t);
        let wilcoxon = paired.and_then(|paired| paired.wilcoxon);
        let together = comparison.panel.together;
        vec![
            field(self.names.title(comparison.panel.dataset)),
            together.map_or_else(String::new, |together| together.to_string()),
            field(&self.names.row(&comparison.row)),
            field(&self.names.row(&comparison.reference)),
            comparison.metric.to_string(),
            comparison.seeds.to_string(),
            optional(difference.map(|interval| interval.mean)),
            optional(difference.map(|interval| interval.low)),
            optional(difference.map(|interval| interval.high)),
            optional(t.map(|test| test.t)),
            optional(t.map(|test| test.p)),
            optional(comparison.holm),
            optional(wilcoxon.map(|test| test.p)),
            optional(wilcoxon.map(|test| test.rank_biserial)),
            optional(paired.and_then(|paired| paired.cohen)),
            optional(paired.and_then(|paired| paired.hedges)),
            comparison
                .more
                .map_or_else(String::new, |more| more.to_string()),
        ]
    }

    /// Returns critical-difference diagrams as SVG, each with the name of its file.
    pub fn diagrams(&self) -> Vec<(String, String)> {
        let mut diagrams = Vec::new();
        for ranking in &self.rankings {
            let methods: Vec<(String, f64)> = ranking
                .methods
                .iter()
                .map(|(key, rank)| (one_line(&self.names.row(key)), *rank))
                .collect();
            let methods: Vec<(&str, f64)> = methods
                .iter()
                .map(|(name, rank)| (name.as_str(), *rank))
                .collect();
            let diagram = critical_difference_diagram(&methods, ranking.critical);
            diagrams.push((ranking.file(), diagram));
        }
        diagrams
    }
}

impl Ranking {
    fn file(&self) -> String {
        match self.together {
            Some(together) => format!("ranks-{together}.svg"),
            None => "ranks.svg".to_owned(),
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

fn percent(value: f64) -> String {
    format!("{:.2}", 100.0 * value)
}

/// `12.50 to 87.50`.
fn ends(resampled: Resampled) -> String {
    let Interval { low, high, .. } = resampled.interval;
    format!("{} to {}", percent(low), percent(high))
}

/// `+1.25 (+0.50 to +2.00)`.
fn points(interval: &Interval) -> String {
    let [mean, low, high] =
        [interval.mean, interval.low, interval.high].map(|value| format!("{:+.2}", 100.0 * value));
    format!("{mean} ({low} to {high})")
}

fn p_value(p: f64) -> String {
    if p < 0.001 {
        "< 0.001".to_owned()
    } else {
        format!("{p:.3}")
    }
}

fn equals(p: f64) -> String {
    if p < 0.001 {
        p_value(p)
    } else {
        format!("= {}", p_value(p))
    }
}
