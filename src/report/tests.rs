//! Whole tables, as a person sees them.

use schema::{Breakdown, Dataset, Evaluated, Failure, Fold, Glyphs, Metric, Own, RunId};

use crate::{
    Caption, Compare, Description, Layout, Published, Question, Row, RunState, Setting, Sort,
    Table, Together, model::Cell, significance::Significance, table,
};

pub(crate) const METRICS: [Metric; 2] = [Metric::RecallAt(1), Metric::MapAtR];

pub(crate) fn finished(recall: f64, map: f64) -> RunState {
    measured([(Metric::RecallAt(1), recall), (Metric::MapAtR, map)])
}

pub(crate) fn measured<const N: usize>(scores: [(Metric, f64); N]) -> RunState {
    RunState::Finished(Evaluated {
        classes: 10,
        images: 200,
        scores: scores.into(),
        ..Evaluated::default()
    })
}

fn own(name: &str) -> Dataset {
    Dataset::Own(Own {
        name: name.to_owned(),
    })
}

pub(crate) fn row(dataset: &str, method: &str, seed: u64, state: RunState) -> Row {
    let run: RunId = format!(
        "{:016x}",
        100 * method.len() as u64 + 10 * dataset.len() as u64 + seed
    )
    .parse()
    .unwrap();
    Row {
        dataset: own(dataset),
        method: method.to_owned(),
        is_baseline: method == "Pixels",
        heads: Vec::new(),
        settings: Vec::new(),
        seed,
        fold: None,
        together: None,
        run,
        ensemble: None,
        repeat: None,
        state,
    }
}

fn caption() -> Caption {
    Caption {
        sweep: "tiny".to_owned(),
        command: "sweep report sweeps/tiny.toml".to_owned(),
        lines: vec!["Seeds 0 to 3.".to_owned()],
        fairness: Vec::new(),
        same: Vec::new(),
    }
}

pub(crate) fn table_of(rows: &[Row]) -> Table {
    laid_out(rows, Layout::DataSets, &|_| METRICS.to_vec())
}

fn laid_out(rows: &[Row], layout: Layout, metrics: &dyn Fn(&Dataset) -> Vec<Metric>) -> Table {
    table(
        rows,
        &Description {
            compare: &Compare::Rows,
            pivot: None,
            sort: Sort::File,
            layout,
            metrics,
            published: &[],
            by_class: None,
            equal_within: None,
            caption: &caption(),
        },
    )
    .unwrap()
}

fn cells(table: &Table) -> Vec<&Cell> {
    let lines = table.blocks.iter().flat_map(|block| &block.lines);
    lines
        .flat_map(|line| line.parts.iter().flatten())
        .flat_map(|part| &part.cells)
        .collect()
}

/// Two data sets; a baseline with one run, a method that is complete, one with gaps, and one that diverged.
pub(crate) fn example() -> Vec<Row> {
    let glyphs = "Glyphs (synthetic)";
    let mut rows = vec![row(glyphs, "Pixels", 0, finished(0.5, 0.25))];
    rows.extend((0..4).map(|seed| {
        row(
            glyphs,
            "Contrastive",
            seed,
            finished(0.85 + 0.001 * seed as f64, 0.5),
        )
    }));
    rows.push(row(glyphs, "Triplet", 0, finished(0.8, 0.5)));
    rows.push(row(glyphs, "Triplet", 1, finished(0.9, 0.5)));
    rows.push(row(
        glyphs,
        "Triplet",
        2,
        RunState::Broken {
            how: Breakdown::Diverged,
            step: 17,
        },
    ));
    rows.push(row(glyphs, "Triplet", 3, RunState::Missing));
    let failed = RunState::Failed {
        class: Failure::Disk,
        message: "no space left on the device".to_owned(),
    };
    rows.push(row("Omniglot", "Contrastive", 0, failed));
    rows.push(row(
        "Omniglot",
        "Triplet",
        0,
        RunState::Broken {
            how: Breakdown::Diverged,
            step: 3,
        },
    ));
    rows.push(row("Omniglot", "Pixels", 0, RunState::Missing));
    rows
}

#[test]
fn a_table_says_what_is_known_and_what_is_not() {
    insta::assert_snapshot!(table_of(&example()).markdown(), @r#"
    # tiny

    ## Glyphs (synthetic)

    | method | R@1 | MAP@R | runs |
    | :--- | ---: | ---: | ---: |
    | Pixels | 50.00 | 25.00 | 1 |
    | Contrastive | **85.15 ± 0.21** | **50.00 ± 0.00** | 4 |
    | Triplet | 85.00 ± 63.53 (2/4)¹ | **50.00 ± 0.00** (2/4) | 2/4 |

    ## Omniglot

    | method | R@1 | MAP@R | runs |
    | :--- | ---: | ---: | ---: |
    | Pixels | – | – | 0/1 |
    | Contrastive | failed² | failed | 0/1 |
    | Triplet | diverged³ | diverged | 0/1 |

    Each number is a mean in percent over the seeds, a seed with folds being the mean of its folds; ± is half the width of the 95 % Student-t interval over the seeds, absent for a single one. n/N: only n of N runs finished. Bold: the highest mean of its column.

    1. Glyphs (synthetic), Triplet: seed 2 diverged (the loss was not a finite number at step 17).
    2. Omniglot, Contrastive: seed 0 failed (no space left on the device).
    3. Omniglot, Triplet: seed 0 diverged (the loss was not a finite number at step 3).

    Not run yet: Glyphs (synthetic), Triplet (seed 3); Omniglot, Pixels (seed 0).

    What can be claimed:

    - Glyphs (synthetic): nothing can be claimed with 2 seeds. A test needs at least 1 more.

    Facts:

    - Seeds 0 to 3.

    Made with `sweep report sweeps/tiny.toml`; programs, machines and costs are in `provenance.md`.
    "#);
}

#[test]
fn a_terminal_shows_aligned_columns() {
    insta::assert_snapshot!(table_of(&example()).terminal(false), @r#"
    tiny

    Glyphs (synthetic)

    method                        R@1               MAP@R  runs
    ───────────  ────────────────────  ──────────────────  ────
    Pixels                      50.00               25.00     1
    Contrastive          85.15 ± 0.21*       50.00 ± 0.00*    4
    Triplet      85.00 ± 63.53 (2/4)¹  50.00 ± 0.00 (2/4)*  2/4

    Omniglot

    method             R@1     MAP@R  runs
    ───────────  ─────────  ────────  ────
    Pixels               –         –   0/1
    Contrastive    failed²    failed   0/1
    Triplet      diverged³  diverged   0/1

    Each number is a mean in percent over the seeds, a seed with folds being the mean of its folds; ± is half the width of the 95 % Student-t interval over the seeds, absent for a single one. n/N: only n of N runs finished. *: the highest mean of its column.

    Footnotes:
      1. Glyphs (synthetic), Triplet: seed 2 diverged (the loss was not a finite number at step 17).
      2. Omniglot, Contrastive: seed 0 failed (no space left on the device).
      3. Omniglot, Triplet: seed 0 diverged (the loss was not a finite number at step 3).

    Not run yet: Glyphs (synthetic), Triplet (seed 3); Omniglot, Pixels (seed 0).

    What can be claimed:
      Glyphs (synthetic): nothing can be claimed with 2 seeds. A test needs at least 1 more.

    Facts:
      Seeds 0 to 3.

    Made with: sweep report sweeps/tiny.toml
    "#);
}

#[test]
fn colour_is_bold_and_nothing_else() {
    let coloured = table_of(&example()).terminal(true);
    let stripped = coloured.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
    assert!(!stripped.contains('\u{1b}'));
    assert!(
        coloured.contains("\u{1b}[1m85.15 ± 0.21\u{1b}[0m"),
        "{coloured}"
    );
    assert!(
        table_of(&example())
            .terminal(false)
            .contains("85.15 ± 0.21*")
    );
}

#[test]
fn csv_has_fractions_in_full_and_nothing_for_the_unknown() {
    insta::assert_snapshot!(table_of(&example()).csv().unwrap(), @r#"
    dataset,method,n,of,recall@1,recall@1_ci95,recall@1_standing,map@r,map@r_ci95,map@r_standing,runs
    Glyphs (synthetic),Pixels,1,1,0.5,,too_few,0.25,,too_few,000000000000030c
    Glyphs (synthetic),Contrastive,4,4,0.8514999999999999,0.0020542602567605204,best,0.5,0,best,0000000000000500 0000000000000501 0000000000000502 0000000000000503
    Glyphs (synthetic),Triplet,2,4,0.8500000000000001,0.635310236808734,too_few,0.5,0,best,0000000000000370 0000000000000371
    Omniglot,Pixels,0,1,,,,,,,
    Omniglot,Contrastive,0,1,,,,,,,
    Omniglot,Triplet,0,1,,,,,,,
    "#);
}

#[test]
fn the_order_of_runs_changes_nothing() {
    let rows = example();
    let expected = table_of(&rows);
    // Whatever keeps the first appearances of data sets and methods: here the others, backwards.
    let first = |row: &Row| row.seed == 0;
    let mut shuffled: Vec<Row> = rows.iter().filter(|row| first(row)).cloned().collect();
    shuffled.extend(rows.iter().rev().filter(|row| !first(row)).cloned());
    assert_ne!(shuffled, rows);
    let shuffled = table_of(&shuffled);
    assert_eq!(shuffled.markdown(), expected.markdown());
    assert_eq!(shuffled.csv().unwrap(), expected.csv().unwrap());
    assert_eq!(shuffled.terminal(true), expected.terminal(true));
}

#[test]
fn the_same_values_in_another_order_are_an_exact_tie() {
    let values = [0.1, 0.2, 0.3, 0.7, 0.123_456_789];
    let mut rows = Vec::new();
    for (seed, (a, b)) in (0..).zip(values.iter().zip(values.iter().rev())) {
        rows.push(row("Omniglot", "a", seed, finished(*a, *a)));
        rows.push(row("Omniglot", "bb", seed, finished(*b, *b)));
    }
    let table = table_of(&rows);
    assert!(
        cells(&table)
            .iter()
            .all(|cell| cell.significance == Some(Significance::Best))
    );
}

#[test]
fn a_run_counts_once_however_often_it_is_given() {
    let run = row("Omniglot", "Triplet", 0, finished(0.8, 0.5));
    let again = Row {
        state: RunState::Missing,
        ..run.clone()
    };
    let once = table_of(std::slice::from_ref(&run));
    assert_eq!(table_of(&[run.clone(), run.clone()]), once);
    assert_eq!(table_of(&[again, run]), once);
    assert_eq!(once.blocks[0].lines[0].runs(), "1");
}

#[test]
fn a_run_shared_by_two_methods_counts_for_both() {
    let run = row("Omniglot", "Triplet", 0, finished(0.8, 0.5));
    let shared = Row {
        method: "The same".to_owned(),
        ..run.clone()
    };
    let again = |row: &Row, seed| Row {
        seed,
        run: format!("{seed:016x}").parse().unwrap(),
        ..row.clone()
    };
    let table = table_of(&[again(&run, 1), again(&shared, 1), run, shared]);
    assert!(table.blocks[0].lines.iter().all(|line| line.runs() == "2"));
    assert!(
        cells(&table)
            .iter()
            .all(|cell| cell.significance == Some(Significance::Best))
    );
}

#[test]
fn further_axes_are_further_columns() {
    let at = |dim: &str, seed, value| Row {
        settings: vec![Setting {
            axis: "embedding".to_owned(),
            value: dim.to_owned(),
        }],
        fold: Some(Fold {
            index: 0,
            of: 4,
            cut: schema::Cut::Even,
        }),
        run: format!("{:016x}", dim.len() as u64 * 10 + seed)
            .parse()
            .unwrap(),
        ..row("Omniglot", "Triplet", seed, value)
    };
    let rows = [
        at("64", 0, finished(0.5, 0.5)),
        at("128", 0, finished(0.75, 0.5)),
        at("128", 1, RunState::Missing),
        row("Omniglot", "Pixels", 0, finished(0.25, 0.125)),
    ];
    insta::assert_snapshot!(table_of(&rows).markdown(), @r#"
    # tiny

    ## Omniglot

    | method | embedding | R@1 | MAP@R | runs |
    | :--- | :--- | ---: | ---: | ---: |
    | Triplet | 64 | 50.00 | 50.00 | 1 |
    | Triplet | 128 | 75.00 (1/2) | 50.00 (1/2) | 1/2 |
    | Pixels |  | 25.00 | 12.50 | 1 |

    Each number is a mean in percent over the seeds, a seed with folds being the mean of its folds; ± is half the width of the 95 % Student-t interval over the seeds, absent for a single one. n/N: only n of N runs finished.

    Not run yet: Omniglot, Triplet (embedding 128) (seed 1, fold 1 of 4).

    What can be claimed:

    - Omniglot: nothing can be claimed with one seed. A test needs at least 2 more.

    Facts:

    - Seeds 0 to 3.

    Made with `sweep report sweeps/tiny.toml`; programs, machines and costs are in `provenance.md`.
    "#);
}

#[test]
fn a_name_may_hold_pipes_and_commas() {
    let rows = [row("Omniglot", "a|b, \"c\" *d*", 0, finished(0.5, 0.5))];
    let table = table_of(&rows);
    assert!(
        table
            .markdown()
            .contains(r#"| a\|b, "c" \*d\* | 50.00 | 50.00 | 1 |"#),
        "{}",
        table.markdown()
    );
    assert!(
        table
            .csv()
            .unwrap()
            .contains(r#"Omniglot,"a|b, ""c"" *d*",1,1,0.5,,,0.5,,"#),
        "{}",
        table.csv().unwrap()
    );
}

/// Names that are hard to keep apart: they contain each other, separators, and words of the report.
const NAMES: [&str; 9] = [
    "Triplet",
    "Triplet seed 1",
    "Triplet, seed 1, fold 1 of 2",
    "Triplet (embedding 64)",
    "trial 1",
    "separated",
    "a|b, \"c\"; d",
    "two\nlines",
    "Glyphs (synthetic), 20 classes",
];

/// Two seeds of each of these methods on data sets of one title, Triplet with two embeddings.
fn confusable() -> Vec<Row> {
    let mut rows = Vec::new();
    for classes in [20, 40, 60] {
        let dataset = Dataset::Glyphs(Glyphs {
            classes,
            test_classes: 10,
            per_class: 20,
            seed: 0,
        });
        for (number, name) in NAMES.iter().enumerate() {
            for embedding in ["64", "128"] {
                for seed in 0..3 {
                    let value = 0.01 * (number + 1) as f64 + 0.1 * f64::from(classes) / 60.0;
                    let value = value + if seed == 1 { 0.002 } else { 0.0 };
                    let run = format!("{classes:04x}{number:04x}{embedding:0>4}{seed:04x}");
                    rows.push(Row {
                        dataset: dataset.clone(),
                        settings: vec![Setting {
                            axis: "embedding".to_owned(),
                            value: embedding.to_owned(),
                        }],
                        run: run.parse().unwrap(),
                        ..row("", name, seed, finished(value, value / 2.0))
                    });
                }
            }
        }
    }
    rows.retain(|row| row.method == "Triplet" || row.settings[0].value == "64");
    for row in &mut rows {
        if row.method != "Triplet" {
            row.settings.clear();
        }
    }
    rows
}

#[test]
fn data_sets_of_one_title_are_never_averaged() {
    let rows = confusable();
    let table = table_of(&rows);
    let headings: Vec<&str> = table.blocks.iter().map(|b| b.heading.as_str()).collect();
    assert_eq!(
        headings,
        [
            "Glyphs (synthetic), 20 classes",
            "Glyphs (synthetic), 40 classes",
            "Glyphs (synthetic), 60 classes"
        ]
    );
    for block in &table.blocks {
        assert_eq!(block.lines.len(), NAMES.len() + 1);
        assert!(block.lines.iter().all(|line| line.runs() == "3"));
    }
    let benchmark = laid_out(&rows, Layout::Benchmark, &|_| METRICS.to_vec());
    assert_eq!(benchmark.blocks[0].groups.len(), 3);
    assert_eq!(benchmark.blocks[0].lines.len(), NAMES.len() + 1);
}

#[test]
fn every_name_stays_apart_in_every_format() {
    let rows = confusable();
    for layout in [Layout::DataSets, Layout::Benchmark, Layout::RealityCheck] {
        let table = laid_out(&rows, layout, &|_| METRICS.to_vec());
        let lines: usize = table.blocks.iter().map(|block| block.lines.len()).sum();
        let csv = table.csv().unwrap();
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        assert_eq!(reader.records().count(), lines);
        let markdown = table.markdown();
        let columns = |line: &str| line.replace("\\|", "").matches('|').count();
        let mut rows = markdown.lines().filter(|line| line.starts_with('|'));
        let first = columns(rows.next().unwrap());
        assert!(rows.all(|line| columns(line) == first), "{markdown}");
        let terminal = table.terminal(false);
        assert!(terminal.contains("\ntwo lines "), "{terminal}");
    }
}

#[test]
fn statistics_compare_rows_by_key_whatever_they_are_called() {
    let rows = confusable();
    let question = Question {
        compare: &Compare::Rows,
        sweep: "tiny",
        metrics: &|_| vec![Metric::MapAtR],
        baseline: Some("Triplet seed 1"),
        by_class: None,
        equal_within: None,
        queries: &|_, metrics: &[Metric]| metrics.iter().map(|_| None).collect(),
    };
    let statistics = crate::statistics(&rows, &question).unwrap().unwrap();
    assert_eq!(statistics.comparisons.len(), 3 * NAMES.len());
    assert!(
        statistics
            .comparisons
            .iter()
            .all(|c| c.comparison.repetitions.count == 3)
    );
    // Named like `Triplet` with an embedding of 64, and ranked beside it.
    assert_eq!(statistics.rankings[0].methods.len(), NAMES.len() + 1);
    let csv = statistics.csv().unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    assert_eq!(reader.records().count(), 3 * NAMES.len());
}

#[test]
fn published_rows_of_one_method_by_two_publications_are_both_shown() {
    let text = "dataset,folds,method,source,recall@1\nA,,MS,one paper,50\nA,,MS,another paper,60\n";
    let published = Published::read(text, |name| vec![own(name)]).unwrap();
    let rows = [row("A", "MS", 0, finished(0.5, 0.5))];
    let description = Description {
        compare: &Compare::Rows,
        pivot: None,
        sort: Sort::File,
        layout: Layout::DataSets,
        metrics: &|_| vec![Metric::RecallAt(1)],
        published: &published,
        by_class: None,
        equal_within: None,
        caption: &caption(),
    };
    let markdown = table(&rows, &description).unwrap().markdown();
    assert!(
        markdown.contains("| *MS* | *50* |  |\n| *MS* | *60* |  |"),
        "{markdown}"
    );
}

#[test]
fn all_runs_of_a_seed_count_in_means_and_in_tests() {
    let mut rows: Vec<Row> = (0..3)
        .flat_map(|seed| {
            let value = 0.5 + 0.01 * seed as f64;
            [
                row("A", "one", seed, finished(value, value)),
                row("A", "other", seed, finished(0.4, 0.4)),
            ]
        })
        .collect();
    let again = Row {
        run: "00000000000000aa".parse().unwrap(),
        ..row("A", "one", 0, finished(0.7, 0.7))
    };
    rows.push(again);
    let question = Question {
        compare: &Compare::Rows,
        sweep: "tiny",
        metrics: &|_| vec![Metric::MapAtR],
        baseline: Some("other"),
        by_class: None,
        equal_within: None,
        queries: &|_, metrics: &[Metric]| metrics.iter().map(|_| None).collect(),
    };
    let statistics = crate::statistics(&rows, &question).unwrap().unwrap();
    let difference = &statistics.comparisons[0]
        .paired
        .as_ref()
        .unwrap()
        .difference;
    // Seed 0 has the mean 0.6, so the differences are 0.2, 0.11 and 0.12.
    assert!((difference.mean - 0.43 / 3.0).abs() < 1e-12);
    assert_eq!(cells(&table_of(&rows))[1].text(), "54.33 ± 12.25");
}

#[test]
fn a_metric_that_was_not_measured_is_noted() {
    let mut run = row("Omniglot", "Triplet", 0, finished(0.8, 0.5));
    if let RunState::Finished(evaluated) = &mut run.state {
        evaluated.scores.insert(Metric::MapAtR, f64::NAN);
    }
    let table = table_of(&[run]);
    assert_eq!(cells(&table)[1].text(), "–");
    assert_eq!(
        table.footnotes,
        ["Omniglot, Triplet: seed 0 finished without `map@r`."]
    );
}

#[test]
fn each_data_set_has_columns_of_its_own_and_the_csv_has_all() {
    let rows = [
        row("A", "Triplet", 0, finished(0.8, 0.5)),
        row("B", "Triplet", 0, finished(0.7, 0.4)),
    ];
    let metrics_of = |dataset: &Dataset| {
        if dataset.title() == "A" {
            vec![Metric::MapAtR]
        } else {
            vec![Metric::RecallAt(1)]
        }
    };
    let table = laid_out(&rows, Layout::DataSets, &metrics_of);
    let markdown = table.markdown();
    assert!(
        markdown.contains("| method | MAP@R | runs |")
            && markdown.contains("| method | R@1 | runs |"),
        "{markdown}"
    );
    let csv = table.csv().unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines[0],
        "dataset,method,n,of,recall@1,recall@1_ci95,recall@1_standing,map@r,map@r_ci95,map@r_standing,runs"
    );
    assert_eq!(
        lines[1..],
        [
            "A,Triplet,1,1,,,,0.5,,,00000000000002c6",
            "B,Triplet,1,1,0.7,,,,,,00000000000002c6"
        ]
    );
}

#[test]
fn folds_measured_alone_and_together_are_two_tables() {
    let separated = |fold, value| Row {
        fold: Some(Fold {
            index: fold,
            of: 2,
            cut: schema::Cut::default(),
        }),
        together: Some(Together::Separated),
        ..row("A", "Triplet", u64::from(fold), finished(value, value))
    };
    let concatenated = Row {
        together: Some(Together::Concatenated),
        ..row("A", "Triplet", 0, finished(0.9, 0.9))
    };
    let table = table_of(&[separated(0, 0.6), separated(1, 0.8), concatenated]);
    let markdown = table.markdown();
    assert!(
        markdown.contains("## A, separated") && markdown.contains("## A, concatenated"),
        "{markdown}"
    );
    assert!(
        markdown.contains("| 70.00 ± ") && markdown.contains("| 90.00 | 90.00 | 1 |"),
        "{markdown}"
    );
    let csv = table.csv().unwrap();
    assert!(
        csv.starts_with("dataset,folds,method,n,of,recall@1")
            && csv.contains("A,concatenated,Triplet,1,1,0.9,"),
        "{csv}"
    );
}

#[test]
fn no_runs_make_an_empty_table() {
    let table = table_of(&[]);
    assert!(table.blocks.is_empty());
    assert_eq!(table.csv().unwrap().lines().count(), 1);
}

/// Methods on two data sets with folds, each measured alone and together: five seeds of two folds.
fn study() -> Vec<Row> {
    let mut rows = Vec::new();
    for (dataset, level) in [("CUB-200-2011", 0.5), ("Cars-196", 0.6)] {
        for (method, gain) in [("Contrastive", 0.1), ("Triplet", 0.0), ("MS", 0.098)] {
            for seed in 0..5u64 {
                // Each seed shifts all methods alike, and each method by itself a little.
                let own = ((seed * 7 + method.len() as u64 * 3) % 5) as f64 * 0.002;
                let value = level + gain + 0.01 * seed as f64 + own;
                let run = |fold: u64| {
                    format!("{:016x}", (method.len() as u64) * 100 + seed * 10 + fold)
                        .parse()
                        .unwrap()
                };
                rows.extend((0..2u32).map(|fold| Row {
                    fold: Some(Fold {
                        index: fold,
                        of: 2,
                        cut: schema::Cut::Even,
                    }),
                    together: Some(Together::Separated),
                    run: run(u64::from(fold)),
                    ..row(
                        dataset,
                        method,
                        seed,
                        finished(value + 0.1 * f64::from(fold), value / 2.0),
                    )
                }));
                rows.push(Row {
                    together: Some(Together::Concatenated),
                    run: run(2),
                    ..row(
                        dataset,
                        method,
                        seed,
                        finished(value + 0.2, value / 2.0 + 0.1),
                    )
                });
            }
        }
        rows.extend(
            [Together::Separated, Together::Concatenated]
                .into_iter()
                .flat_map(|together| {
                    (0..5).map(move |seed| Row {
                        together: Some(together),
                        run: "00000000000000ff".parse().unwrap(),
                        ..row(dataset, "Pixels", seed, finished(0.2, 0.1))
                    })
                }),
        );
    }
    rows
}

#[test]
fn the_reality_check_layout_has_folds_side_by_side_and_untrained_rows_on_top() {
    let table = laid_out(&study(), Layout::RealityCheck, &|_| METRICS.to_vec());
    insta::assert_snapshot!(table.markdown(), @r#"
    # tiny

    ## CUB-200-2011

    | method | concatenated<br>R@1 | MAP@R | separated<br>R@1 | MAP@R | runs |
    | :--- | ---: | ---: | ---: | ---: | ---: |
    | Pixels | 20.00 | 10.00 | 20.00 | 10.00 | 1 |
    | Contrastive | **82.40 ± 2.00** | **41.20 ± 1.00** | **67.40 ± 2.00** | **31.20 ± 1.00** | 5, 10 |
    | Triplet | 72.40 ± 2.19 | 36.20 ± 1.09 | 57.40 ± 2.19 | 26.20 ± 1.09 | 5, 10 |
    | MS | 82.20 ± 2.19 ≈ | 41.10 ± 1.09 ≈ | 67.20 ± 2.19 ≈ | 31.10 ± 1.09 ≈ | 5, 10 |

    ## Cars-196

    | method | concatenated<br>R@1 | MAP@R | separated<br>R@1 | MAP@R | runs |
    | :--- | ---: | ---: | ---: | ---: | ---: |
    | Pixels | 20.00 | 10.00 | 20.00 | 10.00 | 1 |
    | Contrastive | **92.40 ± 2.00** | **46.20 ± 1.00** | **77.40 ± 2.00** | **36.20 ± 1.00** | 5, 10 |
    | Triplet | 82.40 ± 2.19 | 41.20 ± 1.09 | 67.40 ± 2.19 | 31.20 ± 1.09 | 5, 10 |
    | MS | 92.20 ± 2.19 ≈ | 46.10 ± 1.09 ≈ | 77.20 ± 2.19 ≈ | 36.10 ± 1.09 ≈ | 5, 10 |

    Each number is a mean in percent over the seeds, a seed with folds being the mean of its folds; ± is half the width of the 95 % Student-t interval over the seeds, absent for a single one. Bold: the highest mean of its column. ≈: not distinguishable from it, by paired t tests on the same seeds and folds at the level of 5 %, their p values adjusted for all pairs of compared rows and all data sets for each metric (Holm's step-down). Separated: the network of each fold is measured alone. Concatenated: the embeddings of an image by those of all folds, normalized, are concatenated and normalized again, and measured once for each seed.

    What can be claimed:

    - CUB-200-2011, separated: Contrastive is better than Triplet by 5.00 points of MAP@R (4.66 to 5.34), p \< 0.001 (Holm).
    - CUB-200-2011, separated: MS is not distinguishable from Contrastive by MAP@R with 5 seeds; about 71 more would settle it (power 80 %).
    - CUB-200-2011, concatenated: Contrastive is better than Triplet by 5.00 points of MAP@R (4.66 to 5.34), p \< 0.001 (Holm).
    - CUB-200-2011, concatenated: MS is not distinguishable from Contrastive by MAP@R with 5 seeds; about 71 more would settle it (power 80 %).
    - Cars-196, separated: Contrastive is better than Triplet by 5.00 points of MAP@R (4.66 to 5.34), p \< 0.001 (Holm).
    - Cars-196, separated: MS is not distinguishable from Contrastive by MAP@R with 5 seeds; about 71 more would settle it (power 80 %).
    - Cars-196, concatenated: Contrastive is better than Triplet by 5.00 points of MAP@R (4.66 to 5.34), p \< 0.001 (Holm).
    - Cars-196, concatenated: MS is not distinguishable from Contrastive by MAP@R with 5 seeds; about 71 more would settle it (power 80 %).

    Facts:

    - Seeds 0 to 3.

    Made with `sweep report sweeps/tiny.toml`; programs, machines and costs are in `provenance.md`.
    "#);
}

#[test]
fn the_benchmark_layout_has_data_sets_side_by_side_each_with_its_own_recalls() {
    let mut rows = study();
    rows.retain(|row| {
        row.together == Some(Together::Separated)
            && !(row.method == "MS" && row.dataset == own("Cars-196"))
    });
    rows.iter_mut().for_each(|row| row.together = None);
    let metrics = |dataset: &Dataset| match dataset.title() {
        "Cars-196" => vec![Metric::RecallAt(1), Metric::MapAtR],
        _ => vec![Metric::RecallAt(1)],
    };
    let published = "dataset,folds,method,source,recall@1,map@r\nCUB-200-2011,,HDC,its paper,53.6,\n\
                     Cars-196,,HTL,its paper,81.4,\nCars-196,,MS,another paper,,20.1 ± 0.3\n";
    let published = Published::read(published, |name| vec![own(name)]).unwrap();
    let caption = Caption {
        fairness: vec!["F4 is waived: losses of classes.".to_owned()],
        ..caption()
    };
    let description = Description {
        compare: &Compare::Rows,
        pivot: None,
        sort: Sort::File,
        layout: Layout::Benchmark,
        metrics: &metrics,
        published: &published,
        by_class: None,
        equal_within: None,
        caption: &caption,
    };
    let table = table(&rows, &description).unwrap();
    insta::assert_snapshot!(table.markdown(), @r#"
    # tiny

    | method | CUB-200-2011<br>R@1 | Cars-196<br>R@1 | MAP@R | runs |
    | :--- | ---: | ---: | ---: | ---: |
    | *Published, not run here:* |  |  |  |  |
    | *HDC* | *53.6* |  |  |  |
    | *HTL* |  | *81.4* | – |  |
    | *MS* |  | – | *20.1 ± 0.3* |  |
    | *Run here:* |  |  |  |  |
    | Pixels | 20.00 | 20.00 | 10.00 | 1 |
    | Contrastive | **67.40 ± 2.00** | **77.40 ± 2.00** | **36.20 ± 1.00** | 10 |
    | Triplet | 57.40 ± 2.19 | 67.40 ± 2.19 | 31.20 ± 1.09 | 10 |
    | MS | 67.20 ± 2.19 ≈ |  |  | 10 |

    Each number is a mean in percent over the seeds, a seed with folds being the mean of its folds; ± is half the width of the 95 % Student-t interval over the seeds, absent for a single one. Bold: the highest mean of its column. ≈: not distinguishable from it, by paired t tests on the same seeds and folds at the level of 5 %, their p values adjusted for all pairs of compared rows and all data sets for each metric (Holm's step-down).

    What can be claimed:

    - CUB-200-2011: Contrastive is better than Triplet by 10.00 points of R@1 (9.32 to 10.68), p \< 0.001 (Holm).
    - CUB-200-2011: MS is not distinguishable from Contrastive by R@1 with 5 seeds; about 56 more would settle it (power 80 %).
    - Cars-196: Contrastive is better than Triplet by 5.00 points of MAP@R (4.66 to 5.34), p \< 0.001 (Holm).

    Published, not run here:

    - HDC, HTL: its paper
    - MS: another paper

    Fairness:

    - F4 is waived: losses of classes.

    Facts:

    - Seeds 0 to 3.

    Made with `sweep report sweeps/tiny.toml`; programs, machines and costs are in `provenance.md`.
    "#);
    insta::assert_snapshot!(table.csv().unwrap(), @r#"
    method,run,CUB-200-2011 n,CUB-200-2011 of,CUB-200-2011 recall@1,CUB-200-2011 recall@1_ci95,CUB-200-2011 recall@1_standing,CUB-200-2011 runs,Cars-196 n,Cars-196 of,Cars-196 recall@1,Cars-196 recall@1_ci95,Cars-196 recall@1_standing,Cars-196 map@r,Cars-196 map@r_ci95,Cars-196 map@r_standing,Cars-196 runs
    HDC,published,,,0.536,,,,,,,,,,,,
    HTL,published,,,,,,,,,0.814,,,,,,
    MS,published,,,,,,,,,,,,0.201,0.003,,
    Pixels,here,1,1,0.2,,too_few,00000000000000ff,1,1,0.2,,too_few,0.1,,too_few,00000000000000ff
    Contrastive,here,10,10,0.6739999999999999,0.020021230380603373,best,000000000000044c 0000000000000456 0000000000000460 000000000000046a 0000000000000474 000000000000044d 0000000000000457 0000000000000461 000000000000046b 0000000000000475,10,10,0.774,0.020021230380603373,best,0.362,0.010010615190301686,best,000000000000044c 0000000000000456 0000000000000460 000000000000046a 0000000000000474 000000000000044d 0000000000000457 0000000000000461 000000000000046b 0000000000000475
    Triplet,here,10,10,0.5740000000000001,0.021861750620088997,worse,00000000000002bc 00000000000002c6 00000000000002d0 00000000000002da 00000000000002e4 00000000000002bd 00000000000002c7 00000000000002d1 00000000000002db 00000000000002e5,10,10,0.6739999999999999,0.021861750620088997,worse,0.312,0.010930875310044498,worse,00000000000002bc 00000000000002c6 00000000000002d0 00000000000002da 00000000000002e4 00000000000002bd 00000000000002c7 00000000000002d1 00000000000002db 00000000000002e5
    MS,here,10,10,0.6719999999999999,0.021861750620088997,not_distinguishable,00000000000000c8 00000000000000d2 00000000000000dc 00000000000000e6 00000000000000f0 00000000000000c9 00000000000000d3 00000000000000dd 00000000000000e7 00000000000000f1,,,,,,,,,
    "#);
    insta::assert_snapshot!(table.terminal(false), @r#"
    tiny

                 CUB-200-2011      Cars-196
    method                R@1           R@1         MAP@R  runs
    ───────────  ────────────  ────────────  ────────────  ────
    Published, not run here:
    HDC                  53.6
    HTL                                81.4             –
    MS                                    –    20.1 ± 0.3
    Run here:
    Pixels              20.00         20.00         10.00     1
    Contrastive  67.40 ± 2.00* 77.40 ± 2.00* 36.20 ± 1.00*   10
    Triplet      57.40 ± 2.19  67.40 ± 2.19  31.20 ± 1.09    10
    MS           67.20 ± 2.19≈                               10

    Each number is a mean in percent over the seeds, a seed with folds being the mean of its folds; ± is half the width of the 95 % Student-t interval over the seeds, absent for a single one. *: the highest mean of its column. ≈: not distinguishable from it, by paired t tests on the same seeds and folds at the level of 5 %, their p values adjusted for all pairs of compared rows and all data sets for each metric (Holm's step-down).

    What can be claimed:
      CUB-200-2011: Contrastive is better than Triplet by 10.00 points of R@1 (9.32 to 10.68), p < 0.001 (Holm).
      CUB-200-2011: MS is not distinguishable from Contrastive by R@1 with 5 seeds; about 56 more would settle it (power 80 %).
      Cars-196: Contrastive is better than Triplet by 5.00 points of MAP@R (4.66 to 5.34), p < 0.001 (Holm).

    Published, not run here:
      HDC, HTL: its paper
      MS: another paper

    Fairness:
      F4 is waived: losses of classes.

    Facts:
      Seeds 0 to 3.

    Made with: sweep report sweeps/tiny.toml
    "#);
}

#[test]
fn an_interval_is_over_seeds_and_not_over_folds() {
    let rows: Vec<Row> = study()
        .into_iter()
        .filter(|row| row.together == Some(Together::Separated))
        .collect();
    let table = laid_out(&rows, Layout::DataSets, &|_| vec![Metric::RecallAt(1)]);
    // Contrastive on CUB, seeds as means of two folds 0.1 apart: 0.65 + 0.01 s + own, with own 0.006, 0, 0.004, 0.008
    // and 0.002: mean 0.674, deviation 0.0161245, t(0.975, 4) = 2.776445, half width 0.0200211.
    assert_eq!(cells(&table)[0].text(), "67.40 ± 2.00");
}

#[test]
fn a_wide_table_is_stacked_in_a_terminal() {
    let metrics: Vec<Metric> = [1, 2, 4, 8, 16].map(Metric::RecallAt).to_vec();
    let mut rows = study();
    rows.retain(|row| row.together == Some(Together::Separated));
    for row in &mut rows {
        if let RunState::Finished(evaluated) = &mut row.state {
            evaluated
                .scores
                .extend(metrics.iter().map(|&metric| (metric, 0.25)));
        }
    }
    let text = laid_out(&rows, Layout::Benchmark, &|_| metrics.clone()).terminal(false);
    assert!(
        text.contains("\nCUB-200-2011\n\nmethod") && text.contains("\nCars-196\n\nmethod"),
        "{text}"
    );
    assert!(
        text.lines()
            .filter(|line| line.contains("25.00"))
            .all(|line| line.chars().count() <= 120),
        "{text}"
    );
}

#[test]
fn without_any_result_a_table_says_how_much_is_to_come() {
    let rows: Vec<Row> = study()
        .into_iter()
        .map(|row| Row {
            state: RunState::Missing,
            ..row
        })
        .collect();
    let text = laid_out(&rows, Layout::RealityCheck, &|_| METRICS.to_vec()).markdown();
    assert!(text.contains("Not run yet: 94 runs of 16 rows."), "{text}");
    assert!(
        !text.contains("1. ") && !text.contains("What can be claimed"),
        "{text}"
    );
}

/// A method that measured this, with a metric that ties leave open between two values.
fn tied(recall: [f64; 3], map: f64) -> RunState {
    let [low, value, high] = recall;
    let RunState::Finished(mut evaluated) = finished(value, map) else {
        unreachable!("it is finished")
    };
    evaluated.pessimistic = [(Metric::RecallAt(1), low)].into();
    evaluated.optimistic = [(Metric::RecallAt(1), high)].into();
    RunState::Finished(evaluated)
}

#[test]
fn a_value_that_ties_leave_open_has_its_bounds() {
    let rows = [
        row("A", "Triplet", 0, tied([0.3, 0.4, 0.5], 0.2)),
        row("A", "Triplet", 1, finished(0.6, 0.2)),
        row("A", "MS", 0, tied([0.70001, 0.70002, 0.70003], 0.3)),
    ];
    let table = table_of(&rows);
    let markdown = table.markdown();
    assert!(markdown.contains("| 50.00 ± 127.06† |"), "{markdown}");
    assert!(
        markdown.contains("- A, Triplet: R@1 45.00 to 55.00."),
        "{markdown}"
    );
    assert!(
        markdown.contains("†: some images are exactly equally similar"),
        "{markdown}"
    );
    assert!(!markdown.contains("70.00†"), "{markdown}");
    assert!(table.terminal(false).contains("127.06†"));
    let csv = table.csv().unwrap();
    let mut lines = csv.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .contains("recall@1_standing,recall@1_lowest,recall@1_highest,map@r,")
    );
    assert!(lines.next().unwrap().contains(",0.55,0.2,0,"), "{csv}");
    assert!(lines.next().unwrap().contains(",0.70001,0.70003,"), "{csv}");
    let untied = table_of(&[row("A", "Triplet", 0, finished(0.6, 0.2))]);
    assert!(!untied.csv().unwrap().contains("lowest") && !untied.markdown().contains('†'));
}

#[test]
fn a_single_run_is_never_bold_be_it_of_a_baseline_or_not() {
    let rows = [
        row("A", "Pixels", 0, finished(0.9, 0.2)),
        row("A", "Triplet", 0, finished(0.5, 0.3)),
    ];
    let table = table_of(&rows);
    assert!(cells(&table).iter().all(|cell| cell.significance.is_none()));
    assert!(!table.markdown().contains("**"));
}

#[test]
fn a_trained_row_below_one_without_training_is_told() {
    let rows = [
        row("A", "Pixels", 0, finished(0.5, 0.4)),
        row("A", "Triplet", 0, finished(0.6, 0.3)),
        row("A", "MS", 0, finished(0.4, 0.5)),
        row("B", "Triplet", 0, finished(0.4, 0.1)),
    ];
    let markdown = table_of(&rows).markdown();
    let told: Vec<&str> = markdown
        .lines()
        .filter(|line| line.contains("below"))
        .collect();
    assert_eq!(
        told,
        ["- A: Triplet is below Pixels, which is not trained: MAP@R 30.00 against 40.00."]
    );
}

#[test]
fn many_rows_below_one_without_training_are_counted() {
    let mut rows = vec![row("A", "Pixels", 0, finished(0.5, 0.4))];
    for number in 0..9 {
        rows.push(row("A", &format!("Row {number}"), 0, finished(0.5, 0.3)));
    }
    let markdown = table_of(&rows).markdown();
    let told = markdown.lines().filter(|line| line.contains(" below "));
    let told: Vec<&str> = told.collect();
    assert_eq!(told.len(), 7);
    assert_eq!(
        told[6],
        "- A: 3 more rows are below a row that is not trained by MAP@R."
    );
}

#[test]
fn with_one_seed_it_is_said_once_that_nothing_can_be_claimed() {
    let mut rows = Vec::new();
    for number in 0..9 {
        rows.push(row("A", &format!("Row {number}"), 0, finished(0.5, 0.3)));
    }
    let markdown = table_of(&rows).markdown();
    let told = markdown.lines().filter(|line| line.starts_with("- A: "));
    let told: Vec<&str> = told.collect();
    assert_eq!(
        told,
        ["- A: nothing can be claimed with one seed. A test needs at least 2 more."]
    );
}

#[test]
fn a_significant_difference_is_claimed_with_its_interval() {
    let mut rows = Vec::new();
    for (seed, noise) in [0.001, -0.001, 0.002, 0.0].into_iter().enumerate() {
        let seed = seed as u64;
        rows.push(row("A", "Triplet", seed, finished(0.5, 0.50 + noise)));
        rows.push(row("A", "MS", seed, finished(0.5, 0.54)));
        rows.push(row("A", "Contrastive", seed, finished(0.5, 0.30)));
    }
    let markdown = table_of(&rows).markdown();
    let claim = "- A: MS is better than Triplet by 3.95 points of MAP@R (3.74 to 4.16), p \\< 0.001 (Holm).";
    assert!(markdown.contains(claim), "{markdown}");
    assert!(!markdown.contains("distinguishable from MS"), "{markdown}");
}

#[test]
fn claims_say_what_the_marks_say() {
    let mut rows = Vec::new();
    for (seed, noise) in [0.001, -0.001, 0.002, 0.0, 0.001].into_iter().enumerate() {
        let seed = seed as u64;
        rows.push(row("A", "MS", seed, finished(0.5, 0.54)));
        rows.push(row("A", "Equal", seed, finished(0.5, 0.539 + noise)));
        rows.push(row(
            "A",
            "Open one",
            seed,
            finished(0.5, 0.534 + 7.0 * noise),
        ));
        rows.push(row("A", "Contrastive", seed, finished(0.5, 0.50 + noise)));
    }
    let table = table(
        &rows,
        &Description {
            compare: &Compare::Rows,
            pivot: None,
            sort: Sort::File,
            layout: Layout::DataSets,
            metrics: &|_| vec![Metric::MapAtR],
            published: &[],
            by_class: None,
            equal_within: Some(0.005),
            caption: &caption(),
        },
    )
    .unwrap();
    let markdown = table.markdown();
    let told: Vec<&str> = markdown
        .lines()
        .filter(|line| line.contains("A: "))
        .collect();
    insta::assert_snapshot!(format!("{}\n{}", told.join("\n"), table.terminal(false).lines().skip(4).take(6).collect::<Vec<_>>().join("\n")), @r#"
    - A: MS is better than Contrastive by 3.94 points of MAP@R (3.80 to 4.08), p \< 0.001 (Holm).
    - A: Equal is equal to MS within 0.5 points of MAP@R: it is 0.04 below (-0.10 to 0.18), p 0.001 (Holm).
    - A: Open one is not distinguishable from MS, nor equal to it within 0.5 points, by MAP@R with 5 seeds; about 46 more would show that they are equal (power 80 %).
    method              MAP@R  runs
    ───────────  ────────────  ────
    MS           54.00 ± 0.00*    5
    Equal        53.96 ± 0.14=    5
    Open one     53.82 ± 0.99≈    5
    Contrastive  50.06 ± 0.14     5
    "#);
}

/// Two losses with memories of three sizes, and a baseline without; the size matters for one of them.
pub(crate) fn memories() -> Vec<Row> {
    let mut rows = Vec::new();
    for (method, gain) in [("Contrastive", 0.05), ("Triplet loss", 0.0)] {
        for (step, size) in [64, 256, 1024].into_iter().enumerate() {
            for (seed, noise) in [0.001, -0.001, 0.002, 0.0].into_iter().enumerate() {
                let noise = if step == 1 { -noise } else { noise };
                let value = 0.5 + gain * step as f64 + noise;
                rows.push(Row {
                    settings: vec![Setting {
                        axis: "memory.xbm.size".to_owned(),
                        value: size.to_string(),
                    }],
                    run: format!("{:016x}", 100 * method.len() + 10 * step + seed)
                        .parse()
                        .unwrap(),
                    ..row("A", method, seed as u64, finished(0.5, value))
                });
            }
        }
    }
    rows.push(row("A", "Pixels", 0, finished(0.3, 0.25)));
    rows
}

#[test]
fn an_axis_is_answered_within_each_method() {
    let compare = Compare::Axis("memory.xbm.size".to_owned());
    let description = Description {
        layout: Layout::DataSets,
        metrics: &|_| vec![Metric::MapAtR],
        published: &[],
        by_class: None,
        compare: &compare,
        pivot: Some("memory.xbm.size"),
        sort: Sort::Score,
        equal_within: None,
        caption: &caption(),
    };
    let table = table(&memories(), &description).unwrap();
    insta::assert_snapshot!(table.markdown(), @r#"
    # tiny

    ## A

    | method | memory.xbm.size | MAP@R | runs |
    | :--- | :--- | ---: | ---: |
    | Contrastive | 1024 | **60.05 ± 0.21** | 4 |
    | Contrastive | 256 | 54.95 ± 0.21 | 4 |
    | Contrastive | 64 | 50.05 ± 0.21 | 4 |
    | Triplet loss | 64 | **50.05 ± 0.21** | 4 |
    | Triplet loss | 1024 | **50.05 ± 0.21** | 4 |
    | Triplet loss | 256 | 49.95 ± 0.21 ≈ | 4 |
    | Pixels |  | 25.00 | 1 |

    ## A: MAP@R by memory.xbm.size

    | method | 64 | 256 | 1024 |
    | :--- | ---: | ---: | ---: |
    | Contrastive | 50.05 ± 0.21 | 54.95 ± 0.21 | **60.05 ± 0.21** |
    | Triplet loss | **50.05 ± 0.21** | 49.95 ± 0.21 ≈ | **50.05 ± 0.21** |

    Each number is a mean in percent over the seeds, a seed with folds being the mean of its folds; ± is half the width of the 95 % Student-t interval over the seeds, absent for a single one. Bold: the highest mean of its column among rows that differ in memory.xbm.size alone. ≈: not distinguishable from it, by paired t tests on the same seeds and folds at the level of 5 %, their p values adjusted for all pairs of compared rows and all data sets for each metric (Holm's step-down).

    What can be claimed:

    - A: Contrastive (memory.xbm.size 1024) is better than Contrastive (memory.xbm.size 256) by 5.10 points of MAP@R (4.69 to 5.51), p \< 0.001 (Holm).
    - A: Contrastive (memory.xbm.size 1024) is better than Contrastive (memory.xbm.size 64) by 10.00 points of MAP@R (10.00 to 10.00), p \< 0.001 (Holm).
    - A: Triplet loss (memory.xbm.size 1024) is not distinguishable from Triplet loss (memory.xbm.size 64) by MAP@R with 4 seeds; no number of seeds would settle it.
    - A: Triplet loss (memory.xbm.size 256) is not distinguishable from Triplet loss (memory.xbm.size 64) by MAP@R with 4 seeds; about 63 more would settle it (power 80 %).

    Facts:

    - Seeds 0 to 3.

    Made with `sweep report sweeps/tiny.toml`; programs, machines and costs are in `provenance.md`.
    "#);
    let csv = table.pivot_csv().unwrap().unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines[0],
        "dataset,folds,metric,method,64,64_ci95,256,256_ci95,1024,1024_ci95"
    );
    assert!(
        lines[2].starts_with("A,,map@r,Triplet loss,0.5005,0.002054260256"),
        "{csv}"
    );
    let latex = table.latex();
    assert!(!latex.contains("nderline"), "one column has several best");
    let (_, pivot) = latex.split_once("\\label{tab:tiny-pivot}").unwrap();
    assert!(
        pivot.contains("method & 64 & 256 & 1024 \\\\\n\\midrule\n"),
        "{pivot}"
    );
    assert!(
        pivot.contains("\nContrastive & 50.05{\\scriptsize\\,$\\pm$\\,0.21} & 54.95"),
        "{pivot}"
    );
    let json: serde_json::Value = serde_json::from_str(&table.json().unwrap()).unwrap();
    let pivot = &json["pivots"][0];
    assert_eq!(pivot["values"], serde_json::json!(["64", "256", "1024"]));
    assert_eq!(pivot["rows"][1]["method"], "Triplet loss");
    assert_eq!(pivot["rows"][0]["cells"][2]["standing"], "best");
    insta::assert_snapshot!(table.terminal(false).lines().skip(14).take(7).collect::<Vec<_>>().join("\n"), @r#"
    A: MAP@R by memory.xbm.size

    method                  64           256          1024
    ────────────  ────────────  ────────────  ────────────
    Contrastive   50.05 ± 0.21  54.95 ± 0.21  60.05 ± 0.21*
    Triplet loss  50.05 ± 0.21* 49.95 ± 0.21≈ 50.05 ± 0.21*
    "#);
}

#[test]
fn rows_sorted_by_score_are_sorted_in_pivot_tables_too() {
    let mut rows = memories();
    rows.reverse();
    let methods = |sort| {
        let description = Description {
            layout: Layout::DataSets,
            metrics: &|_| vec![Metric::MapAtR],
            published: &[],
            by_class: None,
            compare: &Compare::Methods,
            pivot: Some("memory.xbm.size"),
            sort,
            equal_within: None,
            caption: &caption(),
        };
        let table = table(&rows, &description).unwrap();
        let lines = table.pivots[0].lines.iter();
        lines.map(|line| line.method.clone()).collect::<Vec<_>>()
    };
    assert_eq!(methods(Sort::File), ["Triplet loss", "Contrastive"]);
    assert_eq!(methods(Sort::Score), ["Contrastive", "Triplet loss"]);
}

/// Names and messages with everything that commands a terminal, ends a cell or is a formula.
#[test]
fn nothing_that_others_wrote_is_more_than_text() {
    const HOSTILE: &str = "=1+1|\u{1b}[2J<script>`x`\u{202e}\r\n# y\0\u{9b}";
    let mut rows = vec![row("A", "Plain", 0, finished(0.5, 0.5))];
    let failed = RunState::Failed {
        class: Failure::Data,
        message: HOSTILE.to_owned(),
    };
    for seed in 0..4 {
        let state = finished(0.4 + 0.01 * seed as f64, 0.4);
        rows.push(Row {
            settings: vec![Setting {
                axis: HOSTILE.to_owned(),
                value: HOSTILE.to_owned(),
            }],
            ..row("A", HOSTILE, seed, state)
        });
        rows.push(row("A", "Plain", 10 + seed, failed.clone()));
    }
    let caption = Caption {
        lines: vec![HOSTILE.to_owned()],
        fairness: vec![HOSTILE.to_owned()],
        same: vec![HOSTILE.to_owned()],
        command: HOSTILE.to_owned(),
        ..caption()
    };
    let description = Description {
        compare: &Compare::Rows,
        pivot: None,
        sort: Sort::File,
        layout: Layout::DataSets,
        metrics: &|_| METRICS.to_vec(),
        published: &[],
        by_class: None,
        equal_within: None,
        caption: &caption,
    };
    let table = table(&rows, &description).unwrap();
    let question = Question {
        compare: &Compare::Rows,
        sweep: "tiny",
        metrics: &|_| METRICS.to_vec(),
        baseline: None,
        by_class: None,
        equal_within: None,
        queries: &|_, metrics: &[Metric]| metrics.iter().map(|_| None).collect(),
    };
    let statistics = crate::statistics(&rows, &question).unwrap().unwrap();
    let csv = [table.csv().unwrap(), statistics.csv().unwrap()];
    let markdown = [table.markdown(), statistics.markdown()];
    let terminal = [table.terminal(false)];
    for text in csv.iter().chain(&markdown).chain(&terminal) {
        let hidden = text.chars().find(|c| schema::visible::is_hidden(*c));
        assert_eq!(hidden, None, "{text}");
    }
    for text in &csv {
        assert!(!text.contains("\n=") && !text.contains(",="), "{text}");
    }
    for text in &markdown {
        let outside_code = text.lines().filter(|line| !line.starts_with("Made with"));
        for line in outside_code {
            assert!(!line.replace("\\<", "").contains('<'), "{line}");
            assert!(!line.replace("\\`", "").contains('`'), "{line}");
        }
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
            let mut rows = table.lines().map(bars);
            let columns = rows.next();
            assert!(rows.all(|bars| Some(bars) == columns), "{table}");
        }
    }
}
