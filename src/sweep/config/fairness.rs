//! Whether the methods of a table may be compared: numbered rules, checked before anything runs.
//!
//! They are the complaints of "A Metric Learning Reality Check" (Musgrave et al., ECCV 2020, section 2) about how methods
//! were compared before it. A rule that does not hold is a warning, and said below the table. Under a protocol the rules
//! that say what is the same for all methods are binding. A rule is waived in the file, with a reason, by [`Waiver`].

mod compared;
mod controls;

use std::{collections::BTreeSet, fmt};

use schema::Fold;
use serde::{Deserialize, Serialize};

use super::{Point, diagnostic::Diagnostic};

/// What has to hold for the rows of a table to be compared.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum Rule {
    /// The same trunk.
    F1,
    /// The same weights to start from.
    F2,
    /// The same embedding size.
    F3,
    /// The same batch.
    F4,
    /// The same images and augmentation.
    F5,
    /// The same family of optimisers.
    F6,
    /// The same training steps and search budget.
    F7,
    /// The same folds.
    F8,
    /// The same metric and rule to choose weights by.
    F9,
    /// Test classes choose nothing.
    F10,
    /// At least three seeds, or searches where these are repeated.
    F11,
    /// No claim from a single run.
    F12,
    /// Controls of linked heads.
    F13,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 13] = [
        Rule::F1,
        Rule::F2,
        Rule::F3,
        Rule::F4,
        Rule::F5,
        Rule::F6,
        Rule::F7,
        Rule::F8,
        Rule::F9,
        Rule::F10,
        Rule::F11,
        Rule::F12,
        Rule::F13,
    ];

    /// What it asks for.
    pub fn title(self) -> &'static str {
        match self {
            Rule::F1 => "all methods have the same trunk, pooling and batch norm",
            Rule::F2 => "all methods start from the same weights",
            Rule::F3 => "all methods have the same embedding size",
            Rule::F4 => "all methods have as many images in a step",
            Rule::F5 => "all methods see the same images with the same augmentation",
            Rule::F6 => "all methods are trained by the same family of optimisers",
            Rule::F7 => "all methods have the same training steps and the same search budget",
            Rule::F8 => "all methods are trained and validated on the same folds",
            Rule::F9 => "the weights of all methods are chosen by the same metric and patience",
            Rule::F10 => "test classes choose nothing",
            Rule::F11 => "there are at least three seeds, or searches where these are repeated",
            Rule::F12 => "nothing is claimed from a single run",
            Rule::F13 => {
                "linked heads have a row without links and one with a single head beside them"
            }
        }
    }

    /// Why it asks for it.
    pub fn why(self) -> &'static str {
        match self {
            Rule::F1 => {
                "A better trunk, GeM pooling or a frozen batch norm gains more than most losses do; the gain then passes for \
                 the loss's."
            }
            Rule::F2 => "Weights trained on more or other images are an advantage of their own.",
            Rule::F3 => {
                "Recall grows with the width of the embedding: 64 numbers do not compare with 512."
            }
            Rule::F4 => {
                "A larger batch holds more and harder negatives. How many images are of one class may differ."
            }
            Rule::F5 => "Larger crops and gentler augmentation raise every method.",
            Rule::F6 => {
                "An optimiser suits one loss better than another; only its rates may be searched."
            }
            Rule::F7 => "Whoever tries more settings, or trains longer, finds the better one.",
            Rule::F8 => {
                "Folds differ in difficulty. A sweep has one set of folds, so this holds by construction."
            }
            Rule::F9 => "Other ways to stop keep other weights.",
            Rule::F10 => {
                "The best of several rows of one method, chosen by its numbers on test classes, is better than what anyone \
                 gets on new classes. Let it be searched on validation classes: `{ uniform = [a, b] }` in its [[method]]."
            }
            Rule::F11 => {
                "Two seeds say how far apart two runs were, but no test can tell their difference from chance."
            }
            Rule::F12 => {
                "The difference of two single runs is within what a seed does. No best row is marked then."
            }
            Rule::F13 => {
                "Several heads alone may gain, or lose, what passes for a gain of their links."
            }
        }
    }

    /// Whether a sweep under a protocol has to keep it: what is the same for all methods. How much may be claimed is said
    /// below the table in any case.
    pub fn is_binding(self) -> bool {
        self < Rule::F11
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// `[[waive]]`: a rule that need not hold, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Which.
    pub rule: Rule,
    /// Printed under the table.
    pub reason: String,
}

/// A rule that does not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// By what, in a few words.
    pub what: String,
    /// The same with its place in the file.
    pub shown: Diagnostic,
    /// Why it need not hold.
    pub waived: Option<String>,
}

/// How a sweep stands to the rules.
#[derive(Clone, Debug, Default)]
pub struct Fairness {
    /// Those that do not hold, in order.
    pub violations: Vec<Violation>,
    /// About waivers of rules that hold.
    pub unneeded: Vec<Diagnostic>,
}

/// A rule that does not hold, and the setting by which.
pub(super) struct BrokenRule {
    pub(super) rule: Rule,
    pub(super) what: String,
    /// Under which combination, by position.
    pub(super) point: usize,
    pub(super) key: SettingKey,
}

/// The key of a setting.
#[derive(Clone)]
pub(super) enum SettingKey {
    /// A dotted key of the file.
    Shared(String),
    /// A key of the method with this name.
    OfMethod(String, String),
}

/// All that does not hold, at most once for each rule.
pub(super) fn check(points: &[Point], seeds: &[u64], folds: &[Option<Fold>]) -> Vec<BrokenRule> {
    let mut found = compared::check(points);
    found.extend(compared::chosen_on_test(points));
    found.extend(controls::missing(points));
    found.extend(of_repetitions(points, seeds, folds));
    found.sort_by_key(|found| found.rule);
    found
}

/// What does not hold because something is repeated too seldom: the searches of a method if they are, else its
/// seeds.
fn of_repetitions(points: &[Point], seeds: &[u64], folds: &[Option<Fold>]) -> Vec<BrokenRule> {
    let broken = |rule, what: &str, key: &str| BrokenRule {
        rule,
        what: what.to_owned(),
        point: 0,
        key: SettingKey::Shared(key.to_owned()),
    };
    let methods = points.iter().flat_map(|point| &point.methods);
    let trained = methods.filter(|method| method.table.loss.is_some());
    let searches: BTreeSet<usize> = trained.map(|method| method.repeats().count()).collect();
    match seeds.len() {
        1 if searches.contains(&1) => {
            let run = match folds.len() {
                1 => "a single run of each method",
                _ => "a single run of each method and fold",
            };
            vec![
                broken(Rule::F11, "there is one seed", "sweep.seeds"),
                broken(Rule::F12, run, "sweep.seeds"),
            ]
        }
        2 if searches.contains(&1) => {
            vec![broken(Rule::F11, "there are two seeds", "sweep.seeds")]
        }
        _ if searches.contains(&2) => {
            vec![broken(
                Rule::F11,
                "there are two searches",
                "search.repeats",
            )]
        }
        _ => Vec::new(),
    }
}

impl Fairness {
    /// The rules that do not hold and are not waived.
    pub fn open(&self) -> impl Iterator<Item = &Violation> {
        self.violations
            .iter()
            .filter(|violation| violation.waived.is_none())
    }

    /// The first that a sweep under a protocol cannot have.
    pub(super) fn broken(&self) -> Option<&Violation> {
        self.open().find(|violation| violation.rule.is_binding())
    }

    /// All of them in one paragraph, each with its place.
    pub fn paragraph(&self) -> Option<String> {
        let open: Vec<String> = self
            .open()
            .map(|violation| match violation.shown.line() {
                Some(line) => format!("{} {} (line {line})", violation.rule, violation.what),
                None => format!("{} {}", violation.rule, violation.what),
            })
            .collect();
        let rest = "`sweep show rules` explains why it matters; [[waive]] with a reason settles it";
        (!open.is_empty()).then(|| format!("fairness: {}; {rest}", open.join("; ")))
    }

    /// What is said below the tables.
    pub fn lines(&self) -> Vec<String> {
        let line = |violation: &Violation| {
            let Violation {
                rule, what, waived, ..
            } = violation;
            match waived {
                Some(reason) => format!(
                    "{rule}, {}, is waived: {what}. Reason: {reason}",
                    rule.title()
                ),
                None => format!("{rule}, {}, does not hold: {what}.", rule.title()),
            }
        };
        self.violations.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests;
