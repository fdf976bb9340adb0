//! What is printed below every table: what its values and marks mean, and lists of remarks.

use std::collections::BTreeSet;

use schema::Metric;

use crate::{
    Compare, Together,
    model::{Part, Table},
    number::points,
    significance::Significance,
    summary::Over,
    text::one_line,
};

const VALUES: &str = "Each number is a mean in percent over the seeds, a seed with folds being the mean of its folds;";

const OVER_SEEDS: &str =
    "± is half the width of the 95 % Student-t interval over the seeds, absent for a single one.";

const OVER_BOTH: &str = "± is half the width of the 95 % interval for other seeds and other test classes, absent where a trained row \
                         has a single seed.";

const TESTS: &str = "at the level of 5 %, their p values adjusted for all pairs of compared rows and all data sets for each \
                     metric (Holm's step-down).";

const FOLDS: &str = "Separated: the network of each fold is measured alone. Concatenated: the embeddings of an image by \
                     those of all folds, normalized, are concatenated and normalized again, and measured once for each seed.";

const TIES: &str = "some images are exactly equally similar; the value would lie elsewhere between the bounds below \
                    under another order of these.";

const HEADS: &str = "A row of a head is about one head of the network above it, measured alone, with an interval over the \
                     seeds; it is not compared with others.";

/// What a format marks cells with.
pub(crate) struct Marks {
    pub(crate) best: &'static str,
    pub(crate) equal: &'static str,
    /// Not distinguishable from the best.
    pub(crate) open: &'static str,
    /// Equally similar images leave the value open.
    pub(crate) tie: &'static str,
}

/// Where the best is bold.
pub(crate) const BOLD: Marks = Marks {
    best: "Bold",
    equal: "=",
    open: "≈",
    tie: "†",
};

/// Where nothing can be bold.
pub(crate) const STAR: Marks = Marks { best: "*", ..BOLD };

impl Table {
    /// What the values and their marks mean.
    pub(crate) fn legend(&self, marks: &Marks) -> String {
        let mut sentences = vec![format!("{VALUES} {}", self.intervals())];
        let tests = self.tests();
        if self.parts().any(|part| part.finished < part.of) {
            sentences.push("n/N: only n of N runs finished.".to_owned());
        }
        if self.has(Significance::Best) {
            sentences.push(format!(
                "{}: the highest mean of {}.",
                marks.best,
                self.compared()
            ));
        }
        if let Some(within) = self.equal_within.filter(|_| self.has(Significance::Equal)) {
            sentences.push(format!(
                "{}: equal to it within {} points, by two one-sided tests, likewise adjusted.",
                marks.equal,
                points(within)
            ));
        }
        if self.has(Significance::NotDistinguishable) {
            sentences.push(format!("{}: not distinguishable {tests}", marks.open));
        } else if self.has(Significance::Worse) {
            sentences.push(format!("All others are distinguishable {tests}"));
        }
        if !self.ties.is_empty() {
            sentences.push(format!("{}: {TIES}", marks.tie));
        }
        let mut groups = self.blocks.iter().flat_map(|block| &block.groups);
        if groups.any(|group| group.shows.together == Some(Together::Concatenated)) {
            sentences.push(FOLDS.to_owned());
        }
        if self.has_heads() {
            sentences.push(HEADS.to_owned());
        }
        sentences.join(" ")
    }

    /// What ± stands for.
    fn intervals(&self) -> String {
        let over_seeds = self.metrics_over(Over::Seeds);
        if self.metrics_over(Over::SeedsAndClasses).is_empty() {
            return OVER_SEEDS.to_owned();
        }
        if over_seeds.is_empty() {
            return OVER_BOTH.to_owned();
        }
        let metrics: Vec<String> = over_seeds.iter().map(|metric| metric.heading()).collect();
        format!(
            "{OVER_BOTH} Where values per query are not known ({}), it is for other seeds only.",
            metrics.join(", ")
        )
    }

    /// Among what the best is looked for.
    fn compared(&self) -> String {
        match &self.compare {
            Compare::Rows => "its column".to_owned(),
            Compare::Methods => "its column among rows with the same axis values".to_owned(),
            Compare::Axis(axis) => {
                format!(
                    "its column among rows that differ in {} alone",
                    one_line(axis)
                )
            }
        }
    }

    /// How rows are compared with the best.
    fn tests(&self) -> String {
        let same = match self.metrics_over(Over::SeedsAndClasses).is_empty() {
            true => "seeds and folds",
            false => "seeds, folds and classes",
        };
        format!("from it, by paired t tests on the same {same} {TESTS}")
    }

    /// The metrics with an interval that covers this.
    fn metrics_over(&self, over: Over) -> BTreeSet<Metric> {
        let mut metrics = BTreeSet::new();
        for block in &self.blocks {
            for line in &block.lines {
                for (part, group) in line.parts.iter().zip(&block.groups) {
                    let cells = part.iter().flat_map(|part| &part.cells);
                    let covered = cells
                        .zip(&group.metrics)
                        .filter(|(cell, _)| cell.covers(over));
                    metrics.extend(covered.map(|(_, metric)| *metric));
                }
            }
        }
        metrics
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        let lines = self.blocks.iter().flat_map(|block| &block.lines);
        lines.flat_map(|line| &line.parts).flatten()
    }

    /// What is shown, what is equal and what is open, a sentence each.
    pub(crate) fn claims_in_words(&self) -> Vec<String> {
        let claims = self.claims.iter();
        claims.map(|claim| claim.text(&self.names)).collect()
    }

    fn has(&self, significance: Significance) -> bool {
        let mut cells = self.parts().flat_map(|part| &part.cells);
        cells.any(|cell| cell.significance == Some(significance))
    }

    /// The lists below the table, each with its heading.
    pub(crate) fn lists(&self) -> [(&'static str, Vec<String>); 6] {
        [
            ("What can be claimed", self.claims_in_words()),
            ("Values that ties leave open", self.ties.clone()),
            ("Rows that are the same function", self.caption.same.clone()),
            ("Published, not run here", self.sources.clone()),
            ("Fairness", self.caption.fairness.clone()),
            ("Facts", self.caption.lines.clone()),
        ]
    }
}
