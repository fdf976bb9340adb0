//! Simulations: how often marks claim what is not so, and how often intervals cover the truth.
//!
//! The tests simulate some tables of each kind; `cargo test -p report --release -- --ignored` simulates
//! 10,000.

use rayon::prelude::*;
use schema::Metric;

use crate::{
    Compare,
    comparison::{Against, Comparisons},
    key::CellIndex,
    measured::MeasuredRows,
    significance::{Significance, significance},
    stats::{self, over_classes, student, two_way},
    tests::{measured, row},
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
                let state = measured([(Metric::MapAtR, points / 100.0)]);
                rows.push(row("simulated", &format!("{method:03}"), seed, state));
            }
        }
        let measured =
            MeasuredRows::of(&rows, &|_| vec![Metric::MapAtR], None, &Compare::Rows).unwrap();
        let within = Some(WITHIN / 100.0);
        let comparisons = Comparisons::of(&measured, Against::Best, within);
        let verdicts = significance(&measured, &comparisons);
        let cell = |line| CellIndex { line, metric: 0 };
        let lines = 0..self.means.len();
        lines.map(|line| verdicts.of(cell(line))).collect()
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

/// A difference of two methods on seeds and classes, whose true mean over all of both is 0. Standard
/// deviations are in percentage points.
#[derive(Clone, Copy, Debug)]
struct Crossed {
    seeds: usize,
    classes: usize,
    of_seed: f64,
    of_class: f64,
    rest: f64,
}

/// How many intervals of each kind cover the truth.
#[derive(Debug, Default)]
struct Covered {
    two_way: usize,
    seeds: usize,
    classes: usize,
}

impl Covered {
    fn and(self, other: Covered) -> Covered {
        Covered {
            two_way: self.two_way + other.two_way,
            seeds: self.seeds + other.seeds,
            classes: self.classes + other.classes,
        }
    }
}

impl Crossed {
    fn scores(&self, draws: &mut Draws) -> Vec<Vec<f64>> {
        let mut of_classes = Vec::with_capacity(self.classes);
        of_classes.resize_with(self.classes, || draws.normal(self.of_class));
        let mut scores = Vec::with_capacity(self.seeds);
        for _ in 0..self.seeds {
            let of_seed = draws.normal(self.of_seed);
            let of_class = of_classes.iter();
            scores.push(
                of_class
                    .map(|class| of_seed + class + draws.normal(self.rest))
                    .collect(),
            );
        }
        scores
    }

    fn covered(&self, repetitions: usize, replicates: usize) -> Covered {
        let once = |number: usize| self.covered_once(number as u64, replicates);
        let all = (0..repetitions).into_par_iter().map(once);
        all.reduce(Covered::default, Covered::and)
    }

    fn covered_once(&self, number: u64, replicates: usize) -> Covered {
        let scores = self.scores(&mut Draws::new(stats::mixed(number)));
        let estimate = two_way(&scores, &vec![1.0; self.classes]).unwrap();
        let mean = |values: &Vec<f64>| stats::mean(values).unwrap();
        let of_seeds: Vec<f64> = scores.iter().map(mean).collect();
        let mut covered = Covered {
            two_way: usize::from(covers(&estimate.interval(0.95))),
            seeds: usize::from(covers(&student(&of_seeds, 0.95).unwrap())),
            classes: 0,
        };
        if replicates > 0 {
            let of_class = |class| scores.iter().map(|seed| seed[class]).collect();
            let of_classes: Vec<f64> = (0..self.classes)
                .map(|class| mean(&of_class(class)))
                .collect();
            let each: Vec<u32> = (0..self.classes as u32).collect();
            let resampled = over_classes(&of_classes, &each, 0.95, replicates, 0).unwrap();
            covered.classes += usize::from(covers(&resampled.interval));
        }
        covered
    }
}

fn covers(interval: &stats::Interval) -> bool {
    interval.low <= 0.0 && 0.0 <= interval.high
}

/// Seeds, classes, and the standard deviations of seeds and of classes; the rest is 4 points.
const SETTINGS: [(usize, usize, f64, f64); 5] = [
    (10, 100, 0.3, 3.0),
    (10, 98, 0.3, 5.0),
    (10, 100, 0.3, 1.0),
    (3, 100, 0.3, 3.0),
    (3, 100, 1.0, 3.0),
];

/// As many classes as Stanford Online Products has.
const MANY_CLASSES: (usize, usize, f64, f64) = (10, 11_316, 0.1, 15.0);

fn coverage(setting: (usize, usize, f64, f64), repetitions: usize, replicates: usize) -> f64 {
    let (seeds, classes, of_seed, of_class) = setting;
    let design = Crossed {
        seeds,
        classes,
        of_seed,
        of_class,
        rest: 4.0,
    };
    let covered = design.covered(repetitions, replicates);
    println!("{setting:?}: {covered:?} of {repetitions}");
    covered.two_way as f64 / repetitions as f64
}

#[test]
fn the_interval_over_seeds_and_classes_covers_new_seeds_and_new_classes() {
    for setting in SETTINGS {
        let covered = coverage(setting, 500, 0);
        // 0.94 to 0.97, and twice the standard error.
        assert!((0.92..=0.985).contains(&covered), "{setting:?}: {covered}");
    }
    let covered = coverage(MANY_CLASSES, 300, 0);
    assert!((0.92..=0.985).contains(&covered), "{covered}");
}

#[test]
#[ignore = "simulates ten thousand data sets of each setting"]
fn the_interval_over_seeds_and_classes_covers_94_to_97_percent() {
    for setting in SETTINGS {
        let covered = coverage(setting, 10_000, 200);
        assert!((0.94..=0.97).contains(&covered), "{setting:?}: {covered}");
    }
    let covered = coverage(MANY_CLASSES, 5000, 0);
    assert!((0.94..=0.97).contains(&covered), "{covered}");
}

#[test]
fn an_interval_over_seeds_alone_misses_new_classes() {
    let design = Crossed {
        seeds: 10,
        classes: 98,
        of_seed: 0.3,
        of_class: 5.0,
        rest: 4.0,
    };
    assert!(design.covered(300, 0).seeds < 200);
}
