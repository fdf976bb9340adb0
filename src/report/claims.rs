//! What a table lets one claim, as data: what is shown, the best row first; then what is equal; then what
//! is open, with the seeds that would settle it; and which trained rows are below one without training.
//!
//! Claims say what the marks of the table say, in words: both come from the same [`Comparisons`].

use std::{collections::BTreeMap, fmt};

use crate::{
    comparison::{Comparison, Comparisons, FEWEST, are_compatible},
    gather::Names,
    key::{CellIndex, Panel},
    measured::MeasuredRows,
    model::{Claim, Settled, Statement},
    number::{ends, p_value, percent, points},
    significance::{Significance, Verdicts},
    stats::Interval,
    summary::CONFIDENCE,
};

/// The claims about each data set and way to combine folds, by its primary metric.
pub(crate) fn claims(
    measured: &MeasuredRows<'_>,
    comparisons: &Comparisons,
    verdicts: &Verdicts,
    within: Option<f64>,
) -> Vec<Claim> {
    let of_rows = OfRows {
        measured,
        comparisons,
        verdicts,
        within,
    };
    let mut claims: Vec<Claim> = Vec::new();
    for (panel, cells) in primary_cells(measured) {
        let metric = measured.metric(cells[0]);
        let mut add = |says| {
            let claim = Claim {
                panel,
                metric,
                says,
            };
            if !claims.contains(&claim) {
                claims.push(claim);
            }
        };
        for group in of_rows.groups(&cells) {
            of_rows.comparisons(&group).into_iter().for_each(&mut add);
        }
        of_rows.below_untrained(&cells).into_iter().for_each(add);
    }
    claims
}

/// The cells of each panel by its primary metric.
fn primary_cells(measured: &MeasuredRows<'_>) -> BTreeMap<Panel, Vec<CellIndex>> {
    let mut panels: BTreeMap<Panel, Vec<CellIndex>> = BTreeMap::new();
    for (line, runs) in measured.lines.iter().enumerate() {
        if let Some(metric) = runs.primary() {
            let cells = panels.entry(runs.panel).or_default();
            cells.push(CellIndex { line, metric });
        }
    }
    panels
}

/// More rows than this are counted rather than named.
const NAMED: usize = 6;

struct OfRows<'c, 'a> {
    measured: &'c MeasuredRows<'a>,
    comparisons: &'c Comparisons,
    verdicts: &'c Verdicts,
    within: Option<f64>,
}

impl OfRows<'_, '_> {
    /// The cells that are compared with each other.
    fn groups(&self, cells: &[CellIndex]) -> Vec<Vec<CellIndex>> {
        let mut groups: BTreeMap<_, Vec<CellIndex>> = BTreeMap::new();
        for &cell in cells {
            groups
                .entry(self.measured.group(cell))
                .or_default()
                .push(cell);
        }
        groups.into_values().collect()
    }

    /// What comparisons with the best of these cells show, or leave open.
    fn comparisons(&self, cells: &[CellIndex]) -> Vec<Statement> {
        let mut statements = Vec::new();
        if let Some(best) = self.measured.best(cells) {
            let others = self.others(cells, best);
            statements.extend(self.better(&others));
            statements.extend(self.equal(&others));
            statements.extend(self.open(&others));
        }
        statements
    }

    /// The trained rows with a value other than the best, the highest first.
    fn others(&self, cells: &[CellIndex], best: CellIndex) -> Vec<CellIndex> {
        let mut others = cells.to_vec();
        others.retain(|cell| {
            let has_value = self.measured.mean(*cell).is_some();
            *cell != best && has_value && !self.measured.line(*cell).is_baseline
        });
        let mean = |cell: &CellIndex| self.measured.mean(*cell).unwrap_or_default();
        others.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
        others
    }

    /// The cells with a mark, each with its comparison with the best.
    fn marked(&self, cells: &[CellIndex], mark: Significance) -> Vec<(CellIndex, &Comparison)> {
        let marked = cells
            .iter()
            .filter(|cell| self.verdicts.of(**cell) == Some(mark));
        marked
            .filter_map(|cell| Some((*cell, self.comparisons.get(*cell)?)))
            .collect()
    }

    fn better(&self, others: &[CellIndex]) -> Vec<Statement> {
        let worse = self.marked(others, Significance::Worse);
        let mut statements = Vec::new();
        for (cell, comparison) in worse.iter().take(NAMED) {
            if let (Some(by), Some(test)) = (above(comparison), comparison.test) {
                statements.push(Statement::Better {
                    row: self.key(comparison.reference),
                    than: self.key(*cell),
                    by,
                    p: test.adjusted,
                });
            }
        }
        if let Some((_, comparison)) = worse.get(NAMED) {
            statements.push(Statement::BetterThanMore {
                row: self.key(comparison.reference),
                rows: worse.len() - NAMED,
            });
        }
        statements
    }

    fn equal(&self, others: &[CellIndex]) -> Vec<Statement> {
        let mut statements = Vec::new();
        for (cell, comparison) in self.marked(others, Significance::Equal) {
            if let (Some(by), Some(equality), Some(within)) =
                (above(comparison), comparison.equality, self.within)
            {
                statements.push(Statement::Equal {
                    row: self.key(cell),
                    to: self.key(comparison.reference),
                    by,
                    within,
                    p: equality.test.adjusted,
                });
            }
        }
        statements
    }

    /// What is not settled. Where no test is possible with the runner-up, that is said once.
    fn open(&self, others: &[CellIndex]) -> Vec<Statement> {
        let open = others.iter().copied().filter(|cell| {
            !matches!(
                self.verdicts.of(*cell),
                Some(Significance::Equal | Significance::Worse)
            )
        });
        let mut compared: Vec<(CellIndex, &Comparison)> = open
            .filter_map(|cell| Some((cell, self.comparisons.get(cell)?)))
            .collect();
        let mut statements = Vec::new();
        if let Some((_, runner_up)) = compared.first()
            && runner_up.test.is_none()
        {
            statements.push(Statement::TooFew {
                have: runner_up.repetitions,
                needed: FEWEST.saturating_sub(runner_up.repetitions.count),
            });
        }
        compared.retain(|(_, comparison)| comparison.test.is_some());
        for &(cell, comparison) in compared.iter().take(NAMED) {
            statements.push(Statement::Open {
                row: self.key(cell),
                against: self.key(comparison.reference),
                have: comparison.repetitions,
                within: self.within,
                settled: settled(comparison),
            });
        }
        if compared.len() > NAMED {
            statements.push(Statement::OpenForMore {
                rows: compared.len() - NAMED,
            });
        }
        statements
    }

    /// The trained rows that have a lower mean than a row without training.
    fn below_untrained(&self, cells: &[CellIndex]) -> Vec<Statement> {
        let measured = self.measured;
        let (baselines, trained): (Vec<CellIndex>, Vec<CellIndex>) = cells
            .iter()
            .partition(|cell| measured.line(**cell).is_baseline);
        let mut statements = Vec::new();
        for cell in trained {
            let mut comparable = baselines.clone();
            let key = &measured.line(cell).key;
            comparable.retain(|other| are_compatible(key, &measured.line(*other).key));
            if let Some(best) = measured.best(&comparable)
                && let (Some(mean), Some(untrained)) = (measured.mean(cell), measured.mean(best))
                && mean < untrained
            {
                statements.push(Statement::BelowUntrained {
                    row: self.key(cell),
                    mean,
                    baseline: self.key(best),
                    untrained,
                });
            }
        }
        if statements.len() > NAMED {
            let rows = statements.len() - NAMED;
            statements.truncate(NAMED);
            statements.push(Statement::MoreBelowUntrained { rows });
        }
        statements
    }

    fn key(&self, cell: CellIndex) -> crate::key::RowKey {
        self.measured.line(cell).key.clone()
    }
}

/// By how much the reference is above a cell.
fn above(comparison: &Comparison) -> Option<Interval> {
    let interval = comparison.difference?.interval(CONFIDENCE);
    Some(Interval {
        mean: -interval.mean,
        low: -interval.high,
        high: -interval.low,
    })
}

/// A question that takes more seeds than this is of no practical use.
const TOO_MANY: usize = 1000;

/// What fewer further seeds would show, if the estimates are right.
fn settled(comparison: &Comparison) -> Settled {
    let different = comparison.more_for_difference();
    let equal = comparison.more_for_equality();
    match (different, equal) {
        (Some(different), Some(equal)) if equal < different => Settled::Equality(equal),
        (None, Some(equal)) if equal <= TOO_MANY => Settled::Equality(equal),
        (Some(different), _) if different <= TOO_MANY => Settled::Difference(different),
        (Some(_), _) | (None, Some(_)) => Settled::TooMany(comparison.repetitions.of(TOO_MANY)),
        (None, None) => Settled::Never(comparison.repetitions),
    }
}

impl Claim {
    /// The claim as a sentence, with what it is about.
    pub(crate) fn text(&self, names: &Names) -> String {
        format!("{}: {}", names.panel(self.panel), self.sentence(names))
    }

    fn sentence(&self, names: &Names) -> String {
        let metric = self.metric.heading();
        let row = |key| names.row(key);
        match &self.says {
            Statement::Better {
                row: best,
                than,
                by,
                p,
            } => {
                let (best, than) = (row(best), row(than));
                let (difference, range, p) = (percent(by.mean), ends(by), p_of(*p));
                format!(
                    "{best} is better than {than} by {difference} points of {metric} ({range}), {p}."
                )
            }
            Statement::BetterThanMore { row: best, rows } => format!(
                "{} is better than {} by {metric}; the statistics list all.",
                row(best),
                more(*rows)
            ),
            Statement::Equal {
                row: other,
                to,
                by,
                within,
                p,
            } => {
                let (other, to) = (row(other), row(to));
                let (bound, difference, range, p) =
                    (points(*within), percent(by.mean), ends(by), p_of(*p));
                format!(
                    "{other} is equal to {to} within {bound} points of {metric}: it is {difference} below ({range}), {p}."
                )
            }
            Statement::Open {
                row: other,
                against,
                have,
                within,
                settled,
            } => {
                let (other, against) = (row(other), row(against));
                let equal = within
                    .map(|within| format!(", nor equal to it within {} points,", points(within)));
                let equal = equal.unwrap_or_default();
                format!(
                    "{other} is not distinguishable from {against}{equal} by {metric} with {have}; {settled}."
                )
            }
            Statement::OpenForMore { rows } => {
                let are = if *rows == 1 { "is" } else { "are" };
                format!("{} {are} open; the statistics list all.", more(*rows))
            }
            Statement::TooFew { have, needed } => {
                let one = have.of(1).noun();
                let have = match have.count {
                    0 => format!("without a {one} in common"),
                    1 => format!("with one {one}"),
                    _ => format!("with {have}"),
                };
                format!("nothing can be claimed {have}. A test needs at least {needed} more.")
            }
            Statement::BelowUntrained {
                row: trained,
                mean,
                baseline,
                untrained,
            } => {
                let (trained, baseline) = (row(trained), row(baseline));
                let (mean, untrained) = (percent(*mean), percent(*untrained));
                format!(
                    "{trained} is below {baseline}, which is not trained: {metric} {mean} against {untrained}."
                )
            }
            Statement::MoreBelowUntrained { rows } => {
                let are = if *rows == 1 { "is" } else { "are" };
                format!(
                    "{} {are} below a row that is not trained by {metric}.",
                    more(*rows)
                )
            }
        }
    }
}

/// `p 0.044 (Holm)`.
fn p_of(p: f64) -> String {
    format!("p {} (Holm)", p_value(p))
}

/// `about 12 more would settle it (power 80 %)`.
impl fmt::Display for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Settled::Difference(more) => {
                write!(f, "about {more} more would settle it (power 80 %)")
            }
            Settled::Equality(more) => {
                write!(
                    f,
                    "about {more} more would show that they are equal (power 80 %)"
                )
            }
            Settled::TooMany(most) => {
                let (count, noun) = (most.count, most.noun());
                write!(
                    f,
                    "more than {count} further {noun} would be needed to tell"
                )
            }
            Settled::Never(have) => {
                write!(f, "no number of {} would settle it", have.of(0).noun())
            }
        }
    }
}

/// `1 more row`, `2 more rows`.
fn more(rows: usize) -> String {
    match rows {
        1 => "1 more row".to_owned(),
        _ => format!("{rows} more rows"),
    }
}
