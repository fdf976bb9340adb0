//! Measures a report of many runs without reading results: tables, statistics and the files of all results.
//!
//! `cargo bench --package report --bench report -- [RUNS]`. Prints one JSON object with the seconds of each part and the
//! peak memory of the process in MB, for `benches/run.py`.

#![expect(clippy::print_stdout, reason = "this is a program")]

use std::{collections::BTreeMap, env, fs, time::Instant};

use report::{
    Caption, Compare, Description, Layout, Question, ReportError, Results, Row, RunState, Sort,
    statistics, table,
};
use schema::{Dataset, Evaluated, Metric, Own, RunId};
use serde_json::json;

const DATASETS: usize = 4;
const SEEDS: usize = 20;
const METRICS: [Metric; 7] = [
    Metric::RecallAt(1),
    Metric::RecallAt(2),
    Metric::RecallAt(4),
    Metric::RecallAt(8),
    Metric::PrecisionAt1,
    Metric::RPrecision,
    Metric::MapAtR,
];

fn main() -> Result<(), ReportError> {
    // Cargo adds `--bench`.
    let mut arguments = env::args().skip(1).filter(|it| it != "--bench");
    let runs = arguments.next().and_then(|runs| runs.parse().ok());
    let rows = rows(runs.unwrap_or(1_000_000 / METRICS.len()));
    let mut seconds: BTreeMap<&str, f64> = BTreeMap::new();
    let mut timed = |part, begun: Instant| {
        seconds.insert(part, begun.elapsed().as_secs_f64());
    };
    let begun = Instant::now();
    let compared = table(&rows, &description(&Caption::default()))?;
    timed("table", begun);
    let begun = Instant::now();
    let length = compared.markdown().len() + compared.csv()?.len();
    timed("markdown and CSV", begun);
    let begun = Instant::now();
    let statistics = statistics(&rows, &question())?;
    let length = length + statistics.map_or(0, |statistics| statistics.markdown().len());
    timed("statistics", begun);
    let begun = Instant::now();
    let results = Results::of(&rows);
    let length = length + results.csv()?.len() + results.parquet()?.len();
    timed("all results", begun);
    println!(
        "{}",
        json!({
            "runs": rows.len(),
            "values": rows.len() * METRICS.len(),
            "bytes": length,
            "seconds": seconds,
            "peak_mb": peak_mb(),
        })
    );
    Ok(())
}

fn rows(runs: usize) -> Vec<Row> {
    (0..runs).map(row).collect()
}

/// A finished run: of some method with some seed on one of the data sets.
fn row(number: usize) -> Row {
    let (seed, line) = (number % SEEDS, number / SEEDS);
    let (dataset, method) = (line % DATASETS, line / DATASETS);
    let scores = METRICS.into_iter().enumerate();
    let scores = scores.map(|(place, metric)| (metric, score(number * METRICS.len() + place)));
    Row {
        dataset: Dataset::Own(Own {
            name: format!("data{dataset}"),
        }),
        method: format!("Method {method}"),
        is_baseline: false,
        heads: Vec::new(),
        settings: Vec::new(),
        repeat: None,
        seed: seed as u64,
        fold: None,
        together: None,
        run: run(number),
        ensemble: None,
        state: RunState::Finished(Evaluated {
            classes: 100,
            images: 1000,
            scores: scores.collect(),
            ..Evaluated::default()
        }),
    }
}

fn run(number: usize) -> RunId {
    let id = format!("{number:016x}");
    id.parse().expect("16 hexadecimal digits are an id")
}

/// A number from 0.4 to 0.6 that looks random (Weyl's sequence).
fn score(number: usize) -> f64 {
    0.4 + 0.2 * (number as f64 * 0.618_033_988_749_895).fract()
}

fn description(caption: &Caption) -> Description<'_> {
    Description {
        layout: Layout::DataSets,
        metrics: &|_| METRICS.to_vec(),
        published: &[],
        by_class: None,
        equal_within: None,
        compare: &Compare::Rows,
        pivot: None,
        sort: Sort::File,
        caption,
    }
}

fn question() -> Question<'static> {
    Question {
        sweep: "bench",
        metrics: &|_| METRICS.to_vec(),
        baseline: None,
        compare: &Compare::Rows,
        by_class: None,
        equal_within: None,
        queries: &|_, metrics| vec![None; metrics.len()],
    }
}

/// The most memory that the process had; 0 where the system does not tell.
#[expect(clippy::disallowed_methods, reason = "this file is no pipe")]
fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1024
}
