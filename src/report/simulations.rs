//! Simulated tables: how often marks claim what is not so.
//!
//! The tests simulate some tables of each kind; `cargo test -p report --release -- --ignored` simulates
//! 10,000.

use schema::{Dataset, Evaluated, Metric, Own, RunId};

use crate::{
    Row, RunState,
    comparison::{Against, Comparisons},
    key::CellIndex,
    measured::MeasuredRows,
    significance::{Significance, significance},
    stats,
};

/// Independent draws, each a function of a seed and its position.
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Draws {
        Draws(seed)
    }

    /// A draw from the normal distribution with this standard deviation.
    pub(crate) fn normal(&mut self, deviation: f64) -> f64 {
        self.0 += 1;
        let uniform = (stats::mixed(self.0) >> 11) as f64 + 0.5;
        deviation * stats::normal_quantile(uniform / (1u64 << 53) as f64)
    }
}

/// A kind of table: the true means of its rows and the standard deviation of each over seeds, in
/// percentage points.
struct Kind<'a> {
    means: &'a [f64],
    deviations: &'a [f64],
    seeds: u64,
}

/// The number of simulated tables with a wrong mark.
#[derive(Debug, Default)]
struct Wrong {
    better: usize,
    equal: usize,
}

/// Differences up to this many points do not matter.
const WITHIN: f64 = 0.5;

impl Kind<'_> {
    fn wrong(&self, tables: usize) -> Wrong {
        let mut wrong = Wrong::default();
        let mut draws = Draws::new(1);
        for _ in 0..tables {
            let marks = self.marks(&mut draws);
            let best = marks
                .iter()
                .position(|mark| *mark == Some(Significance::Best));
            let best = self.means[best.unwrap()];
            let is_wrong = |mark, is_so: &dyn Fn(f64) -> bool| {
                let mut marked = marks.iter().zip(self.means);
                marked.any(|(found, mean)| *found == Some(mark) && !is_so(best - mean))
            };
            // A difference of the bound itself matters; a rounding error less does not make it equal.
            let is_equal = |difference: f64| difference.abs() < WITHIN - 1e-9;
            wrong.better += usize::from(is_wrong(Significance::Worse, &|difference| {
                difference > 0.0
            }));
            wrong.equal += usize::from(is_wrong(Significance::Equal, &is_equal));
        }
        wrong
    }

    /// The mark of each row in one simulated table.
    fn marks(&self, draws: &mut Draws) -> Vec<Option<Significance>> {
        let mut rows = Vec::new();
        for seed in 0..self.seeds {
            let of_seed = draws.normal(1.0);
            for (method, (mean, deviation)) in self.means.iter().zip(self.deviations).enumerate() {
                let points = 50.0 + of_seed + mean + draws.normal(*deviation);
                rows.push(row(method, seed, points / 100.0));
            }
        }
        let measured = MeasuredRows::of(&rows, &|_| vec![Metric::MapAtR]).unwrap();
        let within = Some(WITHIN / 100.0);
        let comparisons = Comparisons::of(&measured, Against::Best, within).unwrap();
        let verdicts = significance(&measured, &comparisons);
        let cell = |line| CellIndex { line, metric: 0 };
        let lines = 0..self.means.len();
        lines.map(|line| verdicts.of(cell(line))).collect()
    }
}

fn row(method: usize, seed: u64, value: f64) -> Row {
    let run: RunId = format!("{method:08x}{seed:08x}").parse().unwrap();
    Row {
        dataset: Dataset::Own(Own {
            name: "simulated".to_owned(),
        }),
        method: format!("{method:03}"),
        is_baseline: false,
        settings: Vec::new(),
        seed,
        fold: None,
        together: None,
        run,
        state: RunState::Finished(Evaluated {
            classes: 2,
            images: 4,
            scores: [(Metric::MapAtR, value)].into(),
            ..Evaluated::default()
        }),
    }
}

/// Simulates tables of equal rows, of some equal rows above others, of rows with unequal spread, and of
/// rows that differ by just the bound. At most 5 % of each kind may be wrong, and twice the standard
/// error more.
fn at_most_five_percent_are_wrong(tables: usize) {
    let most = 0.05 + 2.0 * (0.05 * 0.95 / tables as f64).sqrt();
    let kinds: [(&[f64], &[f64], u64); 7] = [
        (&[0.0; 2], &[2.0; 2], 10),
        (&[0.0; 4], &[2.0; 4], 3),
        (&[0.0; 10], &[2.0; 10], 10),
        (&[0.0, 0.0, 0.0, -9.0, -9.0], &[0.5, 0.5, 1.0, 2.0, 2.0], 5),
        (&[0.5, 0.0, 0.0, 0.0, 0.0], &[0.1; 5], 10),
        (&[1.0, 0.5, 0.5, 0.0, -0.5], &[0.2; 5], 10),
        (&[0.5, 0.0], &[0.1; 2], 3),
    ];
    for (means, deviations, seeds) in kinds {
        let kind = Kind {
            means,
            deviations,
            seeds,
        };
        let wrong = kind.wrong(tables);
        let share = |count| count as f64 / tables as f64;
        println!(
            "{means:?} {seeds} seeds: {:.2} % wrongly better, {:.2} % wrongly equal",
            100.0 * share(wrong.better),
            100.0 * share(wrong.equal)
        );
        assert!(share(wrong.better) <= most, "{means:?}: {wrong:?}");
        assert!(share(wrong.equal) <= most, "{means:?}: {wrong:?}");
    }
}

#[test]
fn at_most_one_table_in_twenty_claims_what_is_not_so() {
    at_most_five_percent_are_wrong(120);
}

#[test]
#[ignore = "simulates ten thousand tables of each kind"]
fn at_most_one_table_in_twenty_of_ten_thousand_claims_what_is_not_so() {
    at_most_five_percent_are_wrong(10_000);
}

#[test]
fn rows_that_are_equal_are_found_to_be() {
    let kind = Kind {
        means: &[0.0, 0.0],
        deviations: &[0.1, 0.1],
        seeds: 10,
    };
    let mut draws = Draws::new(2);
    let found = (0..40).filter(|_| {
        let marks = kind.marks(&mut draws);
        marks.contains(&Some(Significance::Equal))
    });
    assert!(found.count() > 36);
}
