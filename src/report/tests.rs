//! Whole tables, as a person sees them.

use schema::{Breakdown, Evaluated, Failure, Fold, Metric, RunId};

use crate::{Caption, Row, RunState, Table, Together, table};

const METRICS: [Metric; 2] = [Metric::RecallAt(1), Metric::MapAtR];

fn finished(recall: f64, map: f64) -> RunState {
    let scores = [(Metric::RecallAt(1), recall), (Metric::MapAtR, map)].into_iter().collect();
    RunState::Finished(Evaluated { classes: 10, images: 200, lone: 0, scores })
}

fn row(dataset: &str, method: &str, seed: u64, state: RunState) -> Row {
    let run: RunId = format!("{:016x}", 100 * method.len() as u64 + 10 * dataset.len() as u64 + seed).parse().unwrap();
    Row {
        dataset: dataset.to_owned(),
        method: method.to_owned(),
        settings: Vec::new(),
        seed,
        fold: None,
        together: None,
        run,
        state,
    }
}

fn caption() -> Caption {
    Caption {
        sweep: "tiny".to_owned(),
        command: "sweep report sweeps/tiny.toml".to_owned(),
        lines: vec!["Seeds 0 to 3.".to_owned()],
    }
}

fn table_of(rows: &[Row]) -> Table {
    table(rows, |_| METRICS.to_vec(), &caption()).unwrap()
}

/// Two data sets; a baseline with one run, a method that is complete, one with gaps, and one that diverged.
fn example() -> Vec<Row> {
    let glyphs = "Glyphs (synthetic)";
    let mut rows = vec![row(glyphs, "Pixels", 0, finished(0.5, 0.25))];
    rows.extend((0..4).map(|seed| row(glyphs, "Contrastive", seed, finished(0.85 + 0.001 * seed as f64, 0.5))));
    rows.push(row(glyphs, "Triplet", 0, finished(0.8, 0.5)));
    rows.push(row(glyphs, "Triplet", 1, finished(0.9, 0.5)));
    rows.push(row(glyphs, "Triplet", 2, RunState::Broken { how: Breakdown::Diverged, step: 17 }));
    rows.push(row(glyphs, "Triplet", 3, RunState::Missing));
    let failed = RunState::Failed { class: Failure::Disk, message: "no space left on the device".to_owned() };
    rows.push(row("Omniglot", "Contrastive", 0, failed));
    rows.push(row("Omniglot", "Triplet", 0, RunState::Broken { how: Breakdown::Diverged, step: 3 }));
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
    | Triplet | 85.00 ± 63.53 (2 of 4) | **50.00 ± 0.00 (2 of 4)** | 2 of 4 |

    ## Omniglot

    | method | R@1 | MAP@R | runs |
    | :--- | ---: | ---: | ---: |
    | Pixels | – | – | 0 of 1 |
    | Contrastive | failed | failed | 0 of 1 |
    | Triplet | diverged | diverged | 0 of 1 |

    Each number is a mean in percent over the finished runs (all seeds and folds); ± is half the width of its 95 % Student-t confidence interval, absent for a single run. Bold: the highest mean of its column.

    Not finished:

    - Glyphs (synthetic), Triplet, seed 2: diverged, the loss was not a finite number at step 17
    - Glyphs (synthetic), Triplet, seed 3: not run yet
    - Omniglot, Pixels, seed 0: not run yet
    - Omniglot, Contrastive, seed 0: failed, no space left on the device
    - Omniglot, Triplet, seed 0: diverged, the loss was not a finite number at step 3

    Facts:

    - Seeds 0 to 3.

    Made with `sweep report sweeps/tiny.toml`.
    "#);
}

#[test]
fn a_terminal_shows_aligned_columns() {
    insta::assert_snapshot!(table_of(&example()).terminal(false), @r#"
    tiny

    Glyphs (synthetic)

    method                          R@1                  MAP@R    runs
    ───────────  ──────────────────────  ─────────────────────  ──────
    Pixels                        50.00                  25.00       1
    Contrastive            85.15 ± 0.21*          50.00 ± 0.00*      4
    Triplet      85.00 ± 63.53 (2 of 4)  50.00 ± 0.00 (2 of 4)* 2 of 4

    Omniglot

    method            R@1     MAP@R    runs
    ───────────  ────────  ────────  ──────
    Pixels              –         –  0 of 1
    Contrastive    failed    failed  0 of 1
    Triplet      diverged  diverged  0 of 1

    Each number is a mean in percent over the finished runs (all seeds and folds); ± is half the width of its 95 % Student-t confidence interval, absent for a single run. *: the highest mean of its column.

    Not finished:
      Glyphs (synthetic), Triplet, seed 2: diverged, the loss was not a finite number at step 17
      Glyphs (synthetic), Triplet, seed 3: not run yet
      Omniglot, Pixels, seed 0: not run yet
      Omniglot, Contrastive, seed 0: failed, no space left on the device
      Omniglot, Triplet, seed 0: diverged, the loss was not a finite number at step 3

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
    assert!(coloured.contains("\u{1b}[1m85.15 ± 0.21\u{1b}[0m"), "{coloured}");
    assert!(table_of(&example()).terminal(false).contains("85.15 ± 0.21*"));
}

#[test]
fn csv_has_fractions_in_full_and_nothing_for_the_unknown() {
    insta::assert_snapshot!(table_of(&example()).csv().unwrap(), @r#"
    dataset,method,n,of,recall@1,recall@1_ci95,map@r,map@r_ci95
    Glyphs (synthetic),Pixels,1,1,0.5,,0.25,
    Glyphs (synthetic),Contrastive,4,4,0.8514999999999999,0.0020542602567605204,0.5,0
    Glyphs (synthetic),Triplet,2,4,0.8500000000000001,0.635310236808734,0.5,0
    Omniglot,Pixels,0,1,,,,
    Omniglot,Contrastive,0,1,,,,
    Omniglot,Triplet,0,1,,,,
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
    assert!(table.blocks[0].lines.iter().flat_map(|line| &line.cells).all(|cell| cell.best));
}

#[test]
fn a_run_counts_once_however_often_it_is_given() {
    let run = row("Omniglot", "Triplet", 0, finished(0.8, 0.5));
    let again = Row { state: RunState::Missing, ..run.clone() };
    let once = table_of(std::slice::from_ref(&run));
    assert_eq!(table_of(&[run.clone(), run.clone()]), once);
    assert_eq!(table_of(&[again, run]), once);
    assert_eq!(once.blocks[0].lines[0].runs(), "1");
}

#[test]
fn a_run_shared_by_two_methods_counts_for_both() {
    let run = row("Omniglot", "Triplet", 0, finished(0.8, 0.5));
    let shared = Row { method: "The same".to_owned(), ..run.clone() };
    let table = table_of(&[run, shared]);
    assert!(table.blocks[0].lines.iter().all(|line| line.finished == 1 && line.cells[0].best));
}

#[test]
fn further_axes_are_further_columns() {
    let at = |dim: &str, seed, value| Row {
        settings: vec![("embedding".to_owned(), dim.to_owned())],
        fold: Some(Fold { index: 0, of: 4, cut: schema::Cut::Even }),
        run: format!("{:016x}", dim.len() as u64 * 10 + seed).parse().unwrap(),
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
    | Triplet | 64 | 50.00 | **50.00** | 1 |
    | Triplet | 128 | **75.00 (1 of 2)** | **50.00 (1 of 2)** | 1 of 2 |
    | Pixels |  | 25.00 | 12.50 | 1 |

    Each number is a mean in percent over the finished runs (all seeds and folds); ± is half the width of its 95 % Student-t confidence interval, absent for a single run. Bold: the highest mean of its column.

    Not finished:

    - Omniglot, Triplet, embedding 128, seed 1, fold 1 of 4: not run yet

    Facts:

    - Seeds 0 to 3.

    Made with `sweep report sweeps/tiny.toml`.
    "#);
}

#[test]
fn a_name_may_hold_pipes_and_commas() {
    let rows = [row("Omniglot", "a|b, \"c\" *d*", 0, finished(0.5, 0.5))];
    let table = table_of(&rows);
    assert!(table.markdown().contains(r#"| a\|b, "c" \*d\* | 50.00 | 50.00 | 1 |"#), "{}", table.markdown());
    assert!(table.csv().unwrap().contains(r#"Omniglot,"a|b, ""c"" *d*",1,1,0.5,,0.5,"#), "{}", table.csv().unwrap());
}

#[test]
fn a_metric_that_was_not_measured_is_noted() {
    let mut run = row("Omniglot", "Triplet", 0, finished(0.8, 0.5));
    if let RunState::Finished(evaluated) = &mut run.state {
        evaluated.scores.insert(Metric::MapAtR, f64::NAN);
    }
    let table = table_of(&[run]);
    assert_eq!(table.blocks[0].lines[0].cells[1].text(), "–");
    assert_eq!(table.notes, ["Omniglot, Triplet, seed 0: finished without `map@r`"]);
}

#[test]
fn each_data_set_has_columns_of_its_own_and_the_csv_has_all() {
    let rows = [row("A", "Triplet", 0, finished(0.8, 0.5)), row("B", "Triplet", 0, finished(0.7, 0.4))];
    let metrics_of = |title: &str| if title == "A" { vec![Metric::MapAtR] } else { vec![Metric::RecallAt(1)] };
    let table = table(&rows, metrics_of, &caption()).unwrap();
    let markdown = table.markdown();
    assert!(
        markdown.contains("| method | MAP@R | runs |") && markdown.contains("| method | R@1 | runs |"),
        "{markdown}"
    );
    let csv = table.csv().unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "dataset,method,n,of,recall@1,recall@1_ci95,map@r,map@r_ci95");
    assert_eq!(lines[1..], ["A,Triplet,1,1,,,0.5,", "B,Triplet,1,1,0.7,,,"]);
}

#[test]
fn folds_measured_alone_and_together_are_two_tables() {
    let separated = |fold, value| Row {
        fold: Some(Fold { index: fold, of: 2, cut: schema::Cut::default() }),
        together: Some(Together::Separated),
        ..row("A", "Triplet", u64::from(fold), finished(value, value))
    };
    let concatenated = Row { together: Some(Together::Concatenated), ..row("A", "Triplet", 0, finished(0.9, 0.9)) };
    let table = table_of(&[separated(0, 0.6), separated(1, 0.8), concatenated]);
    let markdown = table.markdown();
    assert!(markdown.contains("## A, separated") && markdown.contains("## A, concatenated"), "{markdown}");
    assert!(markdown.contains("| 70.00 ± ") && markdown.contains("| 90.00 | 90.00 | 1 |"), "{markdown}");
    let csv = table.csv().unwrap();
    assert!(
        csv.starts_with("dataset,folds,method,n,of,recall@1") && csv.contains("A,concatenated,Triplet,1,1,0.9,"),
        "{csv}"
    );
}

#[test]
fn no_runs_make_an_empty_table() {
    let table = table_of(&[]);
    assert!(table.blocks.is_empty());
    assert_eq!(table.csv().unwrap().lines().count(), 1);
}
