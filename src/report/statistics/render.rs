//! Statistics as Markdown, as CSV and as diagrams.

use super::{Comparison, Images, Ranking, Statistics};
use crate::{
    ReportError,
    markdown::{escape, row},
    stats::{Interval, Resampled, critical_difference_diagram},
};

impl Statistics {
    /// All of it as Markdown; comparisons by the metric that tells most.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}: statistics\n", escape(&self.sweep));
        text.push_str(&self.comparisons());
        text.push_str(&self.test_images());
        self.rankings
            .iter()
            .for_each(|ranking| text.push_str(&ranking.markdown()));
        text
    }

    fn comparisons(&self) -> String {
        let reference = if self.has_baseline {
            "the baseline"
        } else {
            "the best"
        };
        let mut text = format!(
            "\n## Against {reference}\n\nPaired on the same seeds and folds; the folds of a seed are averaged, so a seed is one \
             pair. The difference is in percentage points, above zero if the method is better, with its 95 % Student-t interval. \
             p of a paired t test, the same adjusted by Holm over all rows here, p of a Wilcoxon signed-rank test; Hedges' g is \
             the difference in its own standard deviations, without the bias of few seeds. More: about so many more seeds would \
             show a difference of this size (level 5 %, power 80 %). All other metrics are in the CSV file.\n"
        );
        let primary: Vec<&Comparison> = self
            .comparisons
            .iter()
            .filter(|comparison| comparison.is_primary)
            .collect();
        for of_block in primary.chunk_by(|a, b| a.block() == b.block()) {
            text.push_str(&format!("\n### {}\n\n", escape(&of_block[0].block())));
            let headings = [
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
            text.push_str(&row(headings.into_iter()));
            text.push_str(&row(
                (0..headings.len()).map(|column| if column < 3 { ":---" } else { "---:" })
            ));
            text.extend(
                of_block
                    .iter()
                    .map(|comparison| row(comparison.cells().into_iter())),
            );
        }
        text
    }

    fn test_images(&self) -> String {
        if self.images.is_empty() {
            return String::new();
        }
        let mut text =
            "\n## Over test images\n\nThe mean over the runs for each query, resampled 2000 times (BCa, 95 %): \
             each query for itself, or all queries of a class together, which is what other classes might have given. Above: the \
             difference from another method, over classes; it speaks of these trained networks, not of other seeds.\n"
                .to_owned();
        for of_block in self.images.chunk_by(|a, b| a.block == b.block) {
            let Images { block, queries, .. } = &of_block[0];
            text.push_str(&format!("\n### {}, {queries} queries\n\n", escape(block)));
            text.push_str(&row([
                "method",
                "metric",
                "mean",
                "over queries",
                "over classes",
                "above",
            ]
            .into_iter()));
            text.push_str(&row(
                [":---", ":---", "---:", "---:", "---:", ":---"].into_iter()
            ));
            text.extend(
                of_block
                    .iter()
                    .map(|images| row(images.cells().into_iter())),
            );
        }
        text
    }

    /// Comparisons by all metrics as CSV, differences as fractions.
    ///
    /// # Errors
    /// If the text cannot be written.
    pub fn csv(&self) -> Result<String, ReportError> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        writer.write_record([
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
        ])?;
        for comparison in &self.comparisons {
            writer.write_record(comparison.fields())?;
        }
        let bytes = writer
            .into_inner()
            .map_err(|error| ::csv::Error::from(error.into_error()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Critical-difference diagrams as SVG, each with the name of its file.
    pub fn diagrams(&self) -> Vec<(String, String)> {
        let diagram = |ranking: &Ranking| {
            let methods: Vec<(&str, f64)> = ranking
                .methods
                .iter()
                .map(|(name, rank)| (name.as_str(), *rank))
                .collect();
            (
                ranking.file(),
                critical_difference_diagram(&methods, ranking.critical),
            )
        };
        self.rankings.iter().map(diagram).collect()
    }
}

impl Comparison {
    fn cells(&self) -> Vec<String> {
        let paired = self.paired.as_ref();
        let p = |value: Option<f64>| value.map_or("–".to_owned(), p_value);
        vec![
            escape(&self.method),
            escape(&self.reference),
            self.metric.heading(),
            paired.map_or("–".to_owned(), |paired| points(&paired.difference)),
            self.seeds.to_string(),
            p(paired.and_then(|paired| paired.t).map(|test| test.p)),
            p(self.holm),
            p(paired.and_then(|paired| paired.wilcoxon).map(|test| test.p)),
            paired
                .and_then(|paired| paired.hedges)
                .map_or("–".to_owned(), |g| format!("{g:.2}")),
            paired
                .and_then(|paired| paired.more)
                .map_or("–".to_owned(), |more| more.to_string()),
        ]
    }

    fn fields(&self) -> Vec<String> {
        let paired = self.paired.as_ref();
        let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        let (t, wilcoxon) = (
            paired.and_then(|paired| paired.t),
            paired.and_then(|paired| paired.wilcoxon),
        );
        vec![
            self.dataset.clone(),
            self.together
                .map(|together| together.to_string())
                .unwrap_or_default(),
            self.method.clone(),
            self.reference.clone(),
            self.metric.to_string(),
            self.seeds.to_string(),
            number(paired.map(|paired| paired.difference.mean)),
            number(paired.map(|paired| paired.difference.low)),
            number(paired.map(|paired| paired.difference.high)),
            number(t.map(|test| test.t)),
            number(t.map(|test| test.p)),
            number(self.holm),
            number(wilcoxon.map(|test| test.p)),
            number(wilcoxon.map(|test| test.rank_biserial)),
            number(paired.and_then(|paired| paired.cohen)),
            number(paired.and_then(|paired| paired.hedges)),
            paired
                .and_then(|paired| paired.more)
                .map(|more| more.to_string())
                .unwrap_or_default(),
        ]
    }
}

impl Images {
    fn cells(&self) -> Vec<String> {
        let percent = |value: f64| format!("{:.2}", 100.0 * value);
        let ends = |resampled: &Option<Resampled>| {
            let ends = resampled.map(|resampled| resampled.interval);
            ends.map_or("–".to_owned(), |interval| {
                format!("{} to {}", percent(interval.low), percent(interval.high))
            })
        };
        let above = self.above.as_ref();
        vec![
            escape(&self.method),
            self.metric.heading(),
            self.over_queries.map_or("–".to_owned(), |resampled| {
                percent(resampled.interval.mean)
            }),
            ends(&self.over_queries),
            ends(&self.over_classes),
            above.map_or(String::new(), |(name, resampled)| {
                format!("{}: {}", escape(name), points(&resampled.interval))
            }),
        ]
    }
}

impl Ranking {
    fn file(&self) -> String {
        match self.together {
            Some(together) => format!("ranks-{together}.svg"),
            None => "ranks.svg".to_owned(),
        }
    }

    fn markdown(&self) -> String {
        let together = self
            .together
            .map(|together| format!(", {together}"))
            .unwrap_or_default();
        let datasets: Vec<String> = self
            .datasets
            .iter()
            .zip(&self.metrics)
            .map(|(dataset, metric)| format!("{} ({})", escape(dataset), metric.heading()))
            .collect();
        let mut text = format!(
            "\n## Over data sets{together}\n\nThe ranks of {} methods on {}. Friedman test: χ² = {:.2}, p {}. Two methods whose \
             mean ranks are {:.2} or more apart differ (Nemenyi, level 5 %); the diagram joins those that do not. With few data \
             sets it can tell little.\n\n![mean ranks]({})\n\n",
            self.methods.len(),
            datasets.join(", "),
            self.chi_squared,
            equals(self.p),
            self.critical,
            self.file()
        );
        text.push_str(&row(["method", "mean rank"].into_iter()));
        text.push_str(&row([":---", "---:"].into_iter()));
        text.extend(
            self.methods
                .iter()
                .map(|(name, rank)| row([escape(name), format!("{rank:.2}")].into_iter())),
        );
        text
    }
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
