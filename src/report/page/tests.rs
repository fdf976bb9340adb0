use std::time::{Duration, Instant};

use super::*;
use crate::{
    Caption, Curve, Description, Layout, Row, table,
    tests::{METRICS, finished, memories, row},
};

/// Ten data sets, twenty methods and five seeds.
fn thousand() -> Vec<Row> {
    let mut rows = Vec::new();
    for dataset in 0..10 {
        for method in 0..20 {
            for seed in 0..5 {
                let value = 0.3 + 0.01 * f64::from(method) + 0.002 * seed as f64;
                let (dataset, method) = (format!("data {dataset}"), format!("method {method}"));
                rows.push(Row {
                    heads: Vec::new(),
                    run: format!("{:016x}", rows.len()).parse().unwrap(),
                    ..row(&dataset, &method, seed, finished(value, 0.5 * value))
                });
            }
        }
    }
    rows
}

fn table_of(rows: &[Row], pivot: Option<&str>) -> Table {
    let caption = Caption::default();
    let description = Description {
        compare: &crate::Compare::Rows,
        pivot,
        sort: crate::Sort::File,
        layout: Layout::DataSets,
        metrics: &|_| METRICS.to_vec(),
        published: &[],
        by_class: None,
        equal_within: None,
        caption: &caption,
    };
    table(rows, &description).unwrap()
}

fn page_of(rows: &[Row], failures: &[FailedJob]) -> String {
    let table = table_of(rows, None);
    let started = Instant::now();
    let page = page(&Page {
        tables: &[table],
        failures,
        ..Page::default()
    });
    // Two seconds for all of a report, on a machine that does nothing else; tests share it.
    assert!(started.elapsed() < Duration::from_secs(10));
    page
}

#[test]
fn a_page_of_a_thousand_runs_is_small_and_made_at_once() {
    let page = page_of(&thousand(), &[]);
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    let runs = page.matches("00000000000003e7").count();
    assert_eq!(
        runs,
        METRICS.len(),
        "the last run is behind each of its cells"
    );
}

#[test]
fn a_cell_lists_its_first_hundred_runs() {
    let of_seed = |seed| Row {
        run: format!("{:016x}", seed + 1).parse().unwrap(),
        ..row("shoes", "A", seed, finished(0.5, 0.25))
    };
    for (seeds, listed) in [(100, 100), (101, 100), (250, 100)] {
        let rows: Vec<Row> = (0..seeds).map(of_seed).collect();
        let page = page_of(&rows, &[]);
        assert_eq!(page.matches("<li>seed ").count(), listed * METRICS.len());
        let rest = format!("<li>{} more in ", seeds - 100);
        assert_eq!(page.contains(&rest), seeds > 100);
    }
}

/// A training with all curves, each of more values than a figure has positions.
fn training_of(row: &Row) -> Training {
    let curves = [
        Curve::Loss,
        Curve::LearningRate,
        Curve::Useful,
        Curve::Drift,
        Curve::Validation(METRICS[0]),
    ];
    let points: Vec<(u64, f64)> = (0..500)
        .map(|step| (step, 1.0 / (1 + step) as f64))
        .collect();
    Training {
        dataset: row.dataset.clone(),
        method: row.method.clone(),
        settings: row.settings.clone(),
        seed: row.seed,
        fold: row.fold,
        run: row.run,
        curves: curves.map(|curve| (curve, points.clone())).into(),
    }
}

#[test]
fn of_a_thousand_rows_the_best_are_drawn_and_the_page_is_small() {
    let mut rows = Vec::new();
    for number in 0..1000 {
        let value = 0.3 + 0.0005 * f64::from(number);
        rows.push(Row {
            run: format!("{number:016x}").parse().unwrap(),
            ..row("A", &format!("method {number}"), 0, finished(value, value))
        });
    }
    let trainings: Vec<Training> = rows.iter().map(training_of).collect();
    let table = table_of(&rows, None);
    let page = page(&Page {
        tables: &[table],
        trainings: &trainings,
        ..Page::default()
    });
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    assert!(page.contains("the 24 rows with the highest means are drawn"));
    assert!(page.contains("MAP@R in percent, the 100 highest of 1000"));
    let legend = |method: &str| page.contains(&format!("\">{method}</li>"));
    assert!(legend("method 999") && legend("method 976") && !legend("method 975"));
}

#[test]
fn a_training_that_reports_impossible_steps_is_drawn() {
    let row = row("A", "Triplet", 0, finished(0.5, 0.5));
    let points = vec![
        (0, 0.5),
        (1, 1e300),
        (u64::MAX - 1, 1e300),
        (u64::MAX, 1e300),
    ];
    let training = Training {
        curves: [(Curve::Loss, points)].into(),
        ..training_of(&row)
    };
    let page = page(&Page {
        tables: &[table_of(&[row], None)],
        trainings: &[training],
        ..Page::default()
    });
    assert!(page.contains(&Curve::Loss.heading()));
    assert!(!page.contains("=\"NaN") && !page.contains(" NaN"));
}

#[test]
fn a_page_loads_nothing() {
    let page = page_of(&thousand()[..100], &[]);
    for reference in ["src=\"http", "href=\"http", "url(", "@import", "fetch("] {
        assert!(!page.contains(reference), "{reference}");
    }
}

#[test]
fn a_failure_is_shown_with_the_end_of_its_log() {
    let failed = FailedJob {
        title: "train Omniglot: Triplet, seed 0".to_owned(),
        message: "no space left".to_owned(),
        log: "last <words>\u{1b}[1m".to_owned(),
    };
    let page = page_of(&thousand()[..10], &[failed]);
    assert!(page.contains("train Omniglot: Triplet, seed 0</strong>: no space left"));
    assert!(page.contains("last &lt;words&gt;\\u001b[1m"));
}

/// A search of two values over 30 trials.
fn searched() -> Search {
    let trial = |number: usize| SearchTrial {
        number,
        score: 0.2 + 0.001 * number as f64,
        values: vec![("loss.multi_similarity.alpha".to_owned(), number as f64)],
    };
    Search {
        title: "MS".to_owned(),
        metric: METRICS[0],
        trials: (1..=30).map(trial).collect(),
        importances: vec![
            ("loss.multi_similarity.alpha".to_owned(), 0.75),
            ("lr".to_owned(), 0.25),
        ],
        best: 5,
        ranges: vec![SearchedRange {
            key: "lr".to_owned(),
            bounds: ["0.1".to_owned(), "10.0".to_owned()],
            trials: vec![0.2, 0.9, 1.4],
            selected: Some(0.99),
            is_at_bound: true,
        }],
    }
}

#[test]
fn a_search_is_drawn_with_the_importance_of_its_values_and_their_bounds() {
    let figures = searches::search(&searched());
    let captions: Vec<&str> = figures
        .iter()
        .map(|(caption, _)| caption.as_str())
        .collect();
    assert_eq!(
        captions[2..],
        [
            "Importance for being among the best 5 of 30 trials, in percent (PED-ANOVA)",
            "Values between their bounds"
        ]
    );
    let [importances, ranges] = [2, 3].map(|figure| figures[figure].1.svg().into_string());
    assert!(
        importances.contains(">….multi_similarity.alpha<"),
        "{importances}"
    );
    assert!(
        importances.contains("<title>lr: 25.0 %</title>"),
        "{importances}"
    );
    assert_eq!(
        ranges.matches("dot faint").count(),
        2,
        "not that beyond the bounds"
    );
    assert!(
        ranges.contains("dot s1"),
        "the selected value is at a bound"
    );
}

#[test]
fn the_thirteenth_row_has_another_dash_than_the_first_and_the_seventh() {
    let classes = [0, 6, 12].map(|number| Ink::Series(number).class());
    assert_eq!(classes, ["s0", "s0 d1", "s0 d2"]);
}

#[test]
fn a_pivot_table_is_plotted_with_a_line_for_each_row() {
    let table = table_of(&memories(), Some("memory.xbm.size"));
    let pivot = &table.pivots[0];
    assert_eq!(pivots::labels(pivot), ["Contrastive", "Triplet loss"]);
    let svg = pivots::figure(pivot).unwrap().svg().into_string();
    for row in ["s0", "s1"] {
        let means = svg.matches(&format!("class=\"dot {row}\"")).count();
        assert_eq!(means, 3, "{svg}");
    }
    assert!(
        svg.contains(">1024</text>") && svg.contains(">memory.xbm.size</text>"),
        "{svg}"
    );
}
