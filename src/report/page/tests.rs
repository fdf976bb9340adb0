use std::time::{Duration, Instant};

use super::*;
use crate::{
    Caption, Description, Layout, Row, table,
    tests::{METRICS, finished, row},
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
                    run: format!("{:016x}", rows.len()).parse().unwrap(),
                    ..row(&dataset, &method, seed, finished(value, 0.5 * value))
                });
            }
        }
    }
    rows
}

fn page_of(rows: &[Row], failures: &[FailedJob]) -> String {
    let caption = Caption::default();
    let description = Description {
        compare: &crate::Compare::Rows,
        pivot: None,
        sort: crate::Sort::File,
        layout: Layout::DataSets,
        metrics: &|_| METRICS.to_vec(),
        published: &[],
        by_class: None,
        equal_within: None,
        caption: &caption,
    };
    let table = table(rows, &description).unwrap();
    let started = Instant::now();
    let page = page(&Page {
        tables: &[table],
        statistics: None,
        trainings: &[],
        searches: &[],
        failures,
        retrievals: &[],
        timings: &[],
        origins: &[],
        environment: &[],
        refresh: None,
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
