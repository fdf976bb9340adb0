use schema::{Evaluated, Own, RunId};

use super::*;
use crate::{Format, Queries, RunState};

fn row(dataset: &str, method: &str, seed: u64, value: f64) -> Row {
    let scores = [(Metric::MapAtR, value), (Metric::RecallAt(1), 2.0 * value)]
        .into_iter()
        .collect();
    let run: RunId = format!("{:08x}{seed:08x}", method.len() * 16 + dataset.len())
        .parse()
        .unwrap();
    Row {
        dataset: Dataset::Own(Own {
            name: dataset.to_owned(),
        }),
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
        state: RunState::Finished(Evaluated {
            classes: 2,
            images: 4,
            gallery: None,
            without_positive: 0,
            scores,
            ..Evaluated::default()
        }),
    }
}

/// Four seeds of three methods and of pixels, on data sets of these names.
fn rows(datasets: &[&str]) -> Vec<Row> {
    let mut rows = Vec::new();
    for dataset in datasets {
        for (method, values) in [
            ("MS", [0.36, 0.38, 0.34, 0.36]),
            ("Triplet", [0.34, 0.37, 0.33, 0.32]),
            ("Contrastive", [0.30, 0.33, 0.30, 0.31]),
            ("Pixels", [0.1; 4]),
        ] {
            rows.extend(
                (0..)
                    .zip(values)
                    .map(|(seed, value)| row(dataset, method, seed, value)),
            );
        }
    }
    rows
}

fn ask(rows: &[Row], baseline: Option<&str>) -> Statistics {
    let queries = |row: &Row, metrics: &[Metric]| {
        let own = if row.method == "MS" { 0.5 } else { 0.25 };
        let queries = (row.method != "Contrastive").then(|| Queries {
            classes: vec![0, 0, 1, 1],
            values: vec![own, 0.0, own, 1.0],
        });
        vec![queries; metrics.len()]
    };
    let metrics = |_: &Dataset| vec![Metric::RecallAt(1), Metric::MapAtR];
    let question = Question {
        compare: &Compare::Rows,
        sweep: "tiny",
        metrics: &metrics,
        baseline,
        by_class: None,
        equal_within: None,
        queries: &queries,
    };
    statistics(rows, &question).unwrap().unwrap()
}

#[test]
fn methods_are_compared_with_the_baseline_seed_by_seed() {
    let statistics = ask(&rows(&["A"]), Some("Triplet"));
    let by_map: Vec<&PairedComparison> = statistics
        .comparisons
        .iter()
        .filter(|c| c.is_primary)
        .collect();
    assert_eq!(
        by_map
            .iter()
            .map(|c| statistics.names.row(&c.row))
            .collect::<Vec<_>>(),
        ["MS", "Contrastive", "Pixels"]
    );
    let paired = by_map[0].paired.as_ref().unwrap();
    // Differences 0.02, 0.01, 0.01 and 0.04: mean 0.02, deviation sqrt(0.0006 / 3) = 0.0141421, t = 2.828427 with three
    // degrees of freedom.
    assert!((paired.difference.mean - 0.02).abs() < 1e-12);
    assert!((paired.t.unwrap().t - 8f64.sqrt()).abs() < 1e-9);
    assert!(
        (paired.t.unwrap().p - 0.066_276).abs() < 1e-5,
        "{:?}",
        paired.t
    );
    // All four differences have one sign: 2 of 16.
    assert!((paired.wilcoxon.unwrap().p - 0.125).abs() < 1e-12);
    // Of three tests it has the largest p value.
    let (p, adjusted) = by_map[0].p().unwrap();
    assert!((p - paired.t.unwrap().p).abs() < 1e-12 && adjusted == p);
    assert!(by_map[2].p().unwrap().1 < 0.001);
}

#[test]
fn without_a_baseline_the_best_is_the_reference() {
    let statistics = ask(&rows(&["A"]), None);
    assert!(
        statistics
            .comparisons
            .iter()
            .map(|c| [&c.reference, &c.row].map(|key| statistics.names.row(key)))
            .all(|[reference, row]| reference == "MS" && row != "MS")
    );
    assert!(statistics.markdown().contains("## Against the best"));
}

#[test]
fn three_data_sets_have_a_ranking_and_two_have_none() {
    assert!(ask(&rows(&["A", "BB"]), None).rankings.is_empty());
    let statistics = ask(&rows(&["A", "BB", "CCC"]), None);
    let ranking = &statistics.rankings[0];
    // The same order on all three: χ² = 12 / (3 · 3 · 4) · (9 + 36 + 81) - 3 · 3 · 4 = 6, p = exp(-3).
    assert!((ranking.chi_squared - 6.0).abs() < 1e-9 && (ranking.p - (-3f64).exp()).abs() < 1e-9);
    let names: Vec<String> = ranking
        .methods
        .iter()
        .map(|(key, _)| statistics.names.row(key))
        .collect();
    assert_eq!(names, ["MS", "Triplet", "Contrastive"]);
    let [(name, svg)] = &statistics.diagrams(&[Format::Markdown].into())[..] else {
        panic!("one diagram")
    };
    assert!(
        name == "ranks.svg" && svg.contains("Triplet (2.00)"),
        "{svg}"
    );
}

#[test]
fn what_each_query_measured_is_resampled() {
    let statistics = ask(&rows(&["A"]), Some("Triplet"));
    let images = &statistics.images[0];
    assert_eq!(statistics.names.row(&images.row), "MS");
    assert_eq!(images.queries, 4);
    assert!((images.over_queries.unwrap().interval.mean - 0.5).abs() < 1e-12);
    // In both classes one of two queries gains 0.25.
    let above = images.above.as_ref().unwrap();
    assert_eq!(statistics.names.row(&above.reference), "Triplet");
    let interval = above.difference.interval;
    assert_eq!((interval.low, interval.high), (0.125, 0.125));
    assert!(
        statistics
            .images
            .iter()
            .all(|images| statistics.names.row(&images.row) != "Contrastive")
    );
}

#[test]
fn the_statistics_are_a_page() {
    let statistics = ask(&rows(&["A", "BB", "CCC"]), Some("Triplet"));
    insta::assert_snapshot!(statistics.markdown(), @r#"
    # tiny: statistics

    ## Against the baseline

    Paired on the same seeds and folds; the folds of a seed are averaged, so a seed is one pair. The difference is in percentage points, positive if the method is better, with its 95 % interval: over seeds and classes where the values of each query are known, else over seeds. p of the t test that belongs to it, with three seeds or more, and the same adjusted by Holm over all rows here; p of a Wilcoxon signed-rank test; Hedges' g is the difference in units of its own standard deviation, corrected for few seeds. Wins: the share of seeds on which the method is better, with its 95 % Wilson interval. More: about this number of further seeds would show a difference of this size in the adjusted test (level 5 %, power 80 %). All other metrics are in the CSV file.

    ### A

    | method | against | metric | difference | seeds | p (t) | p (Holm) | p (Wilcoxon) | g | wins | more |
    | :--- | :--- | :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | MS | Triplet | MAP@R | +2.00 (-0.25 to +4.25) | 4 | 0.066 | 0.199 | 0.125 | 1.03 | 1.00 (0.51 to 1.00) | 5 |
    | Contrastive | Triplet | MAP@R | -3.00 (-5.25 to -0.75) | 4 | 0.024 | 0.144 | 0.125 | -1.54 | 0.00 (0.00 to 0.49) | 3 |
    | Pixels | Triplet | MAP@R | -24.00 (-27.44 to -20.56) | 4 | < 0.001 | 0.002 | 0.125 | -8.08 | 0.00 (0.00 to 0.49) | 0 |

    ### BB

    | method | against | metric | difference | seeds | p (t) | p (Holm) | p (Wilcoxon) | g | wins | more |
    | :--- | :--- | :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | MS | Triplet | MAP@R | +2.00 (-0.25 to +4.25) | 4 | 0.066 | 0.199 | 0.125 | 1.03 | 1.00 (0.51 to 1.00) | 5 |
    | Contrastive | Triplet | MAP@R | -3.00 (-5.25 to -0.75) | 4 | 0.024 | 0.144 | 0.125 | -1.54 | 0.00 (0.00 to 0.49) | 3 |
    | Pixels | Triplet | MAP@R | -24.00 (-27.44 to -20.56) | 4 | < 0.001 | 0.002 | 0.125 | -8.08 | 0.00 (0.00 to 0.49) | 0 |

    ### CCC

    | method | against | metric | difference | seeds | p (t) | p (Holm) | p (Wilcoxon) | g | wins | more |
    | :--- | :--- | :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | MS | Triplet | MAP@R | +2.00 (-0.25 to +4.25) | 4 | 0.066 | 0.199 | 0.125 | 1.03 | 1.00 (0.51 to 1.00) | 5 |
    | Contrastive | Triplet | MAP@R | -3.00 (-5.25 to -0.75) | 4 | 0.024 | 0.144 | 0.125 | -1.54 | 0.00 (0.00 to 0.49) | 3 |
    | Pixels | Triplet | MAP@R | -24.00 (-27.44 to -20.56) | 4 | < 0.001 | 0.002 | 0.125 | -8.08 | 0.00 (0.00 to 0.49) | 0 |

    ## Intervals

    The 95 % intervals of a mean differ by the question that they answer. Seeds and classes: where would it be with other seeds, on other test classes? Seeds: with other seeds, on these classes? Classes: with these trained networks, on other classes? Queries: with these networks, on other images of these classes? The first is a crossed two-way interval, the second Student's t, the others resample the mean over the runs for each query 2000 times (BCa). Above: the difference of these networks from those of another method, on other classes.

    ### A, 4 queries

    | method | metric | mean | seeds and classes | seeds | classes | queries | above |
    | :--- | :--- | ---: | ---: | ---: | ---: | ---: | :--- |
    | MS | MAP@R | 36.00 | – | 33.40 to 38.60 | 25.00 to 75.00 | 12.50 to 87.50 | Triplet: +12.50 (+12.50 to +12.50) |
    | Triplet | MAP@R | 34.00 | – | 30.56 to 37.44 | 12.50 to 62.50 | 12.50 to 81.25 |  |
    | Pixels | MAP@R | 10.00 | – | 10.00 to 10.00 | 12.50 to 62.50 | 12.50 to 81.25 | Triplet: +0.00 (+0.00 to +0.00) |

    ### BB, 4 queries

    | method | metric | mean | seeds and classes | seeds | classes | queries | above |
    | :--- | :--- | ---: | ---: | ---: | ---: | ---: | :--- |
    | MS | MAP@R | 36.00 | – | 33.40 to 38.60 | 25.00 to 75.00 | 12.50 to 87.50 | Triplet: +12.50 (+12.50 to +12.50) |
    | Triplet | MAP@R | 34.00 | – | 30.56 to 37.44 | 12.50 to 62.50 | 12.50 to 81.25 |  |
    | Pixels | MAP@R | 10.00 | – | 10.00 to 10.00 | 12.50 to 62.50 | 12.50 to 81.25 | Triplet: +0.00 (+0.00 to +0.00) |

    ### CCC, 4 queries

    | method | metric | mean | seeds and classes | seeds | classes | queries | above |
    | :--- | :--- | ---: | ---: | ---: | ---: | ---: | :--- |
    | MS | MAP@R | 36.00 | – | 33.40 to 38.60 | 25.00 to 75.00 | 12.50 to 87.50 | Triplet: +12.50 (+12.50 to +12.50) |
    | Triplet | MAP@R | 34.00 | – | 30.56 to 37.44 | 12.50 to 62.50 | 12.50 to 81.25 |  |
    | Pixels | MAP@R | 10.00 | – | 10.00 to 10.00 | 12.50 to 62.50 | 12.50 to 81.25 | Triplet: +0.00 (+0.00 to +0.00) |

    ## Sources of variance

    Standard deviations in percentage points: by how much one more seed (its folds averaged), one more fold or one more test class differs. A mean over many seeds and few classes is as uncertain as its classes.

    ### A

    | method | metric | seed | fold | class |
    | :--- | :--- | ---: | ---: | ---: |
    | MS | MAP@R | 1.63 | – | – |
    | Triplet | MAP@R | 2.16 | – | – |
    | Contrastive | MAP@R | 1.41 | – | – |
    | Pixels | MAP@R | 0.00 | – | – |

    ### BB

    | method | metric | seed | fold | class |
    | :--- | :--- | ---: | ---: | ---: |
    | MS | MAP@R | 1.63 | – | – |
    | Triplet | MAP@R | 2.16 | – | – |
    | Contrastive | MAP@R | 1.41 | – | – |
    | Pixels | MAP@R | 0.00 | – | – |

    ### CCC

    | method | metric | seed | fold | class |
    | :--- | :--- | ---: | ---: | ---: |
    | MS | MAP@R | 1.63 | – | – |
    | Triplet | MAP@R | 2.16 | – | – |
    | Contrastive | MAP@R | 1.41 | – | – |
    | Pixels | MAP@R | 0.00 | – | – |

    ## Over data sets

    The ranks of 3 methods on A (MAP@R), BB (MAP@R), CCC (MAP@R). Friedman test: χ² = 6.00, p = 0.050. Two methods differ whose mean ranks are 1.91 or more apart (Nemenyi, level 5 %); the diagram joins those that do not. With few data sets the test has little power.

    ![mean ranks](ranks.svg)

    | method | mean rank |
    | :--- | ---: |
    | MS | 1.00 |
    | Triplet | 2.00 |
    | Contrastive | 3.00 |

    ## Interquartile means

    The mean of the middle half of all seeds on 3 data sets, by the primary metric of each; 95 % interval of a bootstrap over the seeds of each data set. The share of seeds that reach each score is in `profile.csv`.

    | method | interquartile mean | interval |
    | :--- | ---: | ---: |
    | MS | 36.00 | 35.00 to 37.00 |
    | Triplet | 33.50 | 32.50 to 35.33 |
    | Contrastive | 30.50 | 30.00 to 31.83 |
    "#);
    insta::assert_snapshot!(statistics.csv().unwrap().lines().take(3).collect::<Vec<_>>().join("\n"), @r#"
    dataset,folds,method,against,metric,seeds,difference,low,high,t,p_t,p_holm,p_wilcoxon,rank_biserial,cohen_d,hedges_g,more_seeds,wins,wins_low,wins_high,p_equality,p_equality_holm,below,equal,above,more_seeds_equality,low_seeds,high_seeds
    A,,MS,Triplet,recall@1,4,0.03999999999999998,-0.0050065872645636,0.08500658726456356,2.8284271247461916,0.06627560274152407,0.19882680822457222,0.125,1,1.4142135623730958,1.0285189544531605,5,1,0.5101091635454027,1,,,,,,,-0.0050065872645636,0.08500658726456356
    A,,MS,Triplet,map@r,4,0.01999999999999999,-0.0025032936322818,0.04250329363228178,2.8284271247461916,0.06627560274152407,0.19882680822457222,0.125,1,1.4142135623730958,1.0285189544531605,5,1,0.5101091635454027,1,,,,,,,-0.0025032936322818,0.04250329363228178
    "#);
}

#[test]
fn nothing_to_compare_gives_no_statistics() {
    let metrics = |_: &Dataset| vec![Metric::MapAtR];
    let question = Question {
        compare: &Compare::Rows,
        sweep: "tiny",
        metrics: &metrics,
        baseline: None,
        by_class: None,
        equal_within: None,
        queries: &|_, metrics: &[Metric]| metrics.iter().map(|_| None).collect(),
    };
    assert!(
        statistics(&[row("A", "MS", 0, 0.5)], &question)
            .unwrap()
            .is_none()
    );
}

#[test]
fn intervals_cover_new_classes_where_queries_are_known() {
    let rows = rows(&["A"]);
    let metrics = |_: &Dataset| vec![Metric::MapAtR];
    // Two queries in each of two classes, whose mean is the value of the run.
    let queries = |row: &Row, metrics: &[Metric]| {
        let value = row.measured(metrics[0]).unwrap();
        let away = if row.method == "MS" { 0.1 } else { 0.08 };
        let shift = if row.method == "Pixels" { 0.01 } else { 0.0 };
        vec![Some(Queries {
            classes: vec![0, 0, 1, 1],
            values: vec![
                value + away + shift,
                value + away,
                value - away,
                value - away,
            ],
        })]
    };
    let by_class = ClassScores::read(&rows, &metrics, &queries);
    let measured = MeasuredRows::of(&rows, &metrics, Some(&by_class), &Compare::Rows).unwrap();
    let [ms, triplet, _, pixels] = [0, 1, 2, 3].map(|line| CellIndex { line, metric: 0 });
    let summary = measured.summaries[&ms];
    assert_eq!(summary.over, crate::summary::Over::SeedsAndClasses);
    // Seeds: the deviation of 0.36, 0.38, 0.34 and 0.36; classes: 0.2 apart.
    let estimate = measured.by_class.mean(ms).unwrap();
    assert!((estimate.seeds.variance - 0.0008 / 3.0 / 4.0).abs() < 1e-12);
    assert!((estimate.classes.variance - 0.01).abs() < 1e-12);
    // Differences: those of the seeds, and classes 0.04 apart.
    let difference = measured.by_class.difference(ms, triplet).unwrap();
    assert!((difference.mean - 0.02).abs() < 1e-12);
    assert!((difference.classes.variance - 0.0004).abs() < 1e-12);
    // The queries of pixels do not have the mean that was recorded.
    assert_eq!(measured.by_class.mean(pixels), None);
    assert_eq!(
        measured.summaries[&pixels].over,
        crate::summary::Over::Seeds
    );
}

#[test]
fn the_variance_of_a_row_has_its_sources_apart() {
    let fold = |index| {
        Some(schema::Fold {
            index,
            of: 2,
            cut: schema::Cut::Even,
        })
    };
    let mut rows = Vec::new();
    // Seeds 0.02 apart, folds 0.1 apart, and nothing else.
    for seed in 0..2 {
        for index in 0..2 {
            let value = 0.5 + 0.02 * seed as f64 + 0.1 * f64::from(index);
            rows.push(Row {
                fold: fold(index),
                run: format!("{:016x}", 2 * seed + u64::from(index))
                    .parse()
                    .unwrap(),
                ..row("A", "MS", seed, value)
            });
        }
    }
    let metrics = |_: &Dataset| vec![Metric::MapAtR];
    let measured = MeasuredRows::of(&rows, &metrics, None, &Compare::Rows).unwrap();
    let sources = variance::of(&measured).remove(0);
    assert!((sources.seed.unwrap() - 0.02 / 2f64.sqrt()).abs() < 1e-12);
    assert!((sources.fold.unwrap() - 0.1 / 2f64.sqrt()).abs() < 1e-12);
    assert_eq!((sources.class, sources.search), (None, None));
}

#[test]
fn repeated_searches_are_a_source_of_variance_and_the_repetitions_of_a_row() {
    let searched = |method, number: usize, seed, value| Row {
        repeat: Some(number),
        run: format!("{:016x}", 16 * number as u64 + seed)
            .parse()
            .unwrap(),
        ..row("A", method, seed, value)
    };
    // Searches 0.2 apart, the seeds of each 0.02 apart.
    let mut rows = Vec::new();
    for number in 0..2 {
        for seed in 0..2 {
            let value = 0.5 + 0.2 * number as f64 + 0.02 * seed as f64;
            rows.push(searched("MS", number, 2 * number as u64 + seed, value));
        }
    }
    let metrics = |_: &Dataset| vec![Metric::MapAtR];
    let measured = MeasuredRows::of(&rows, &metrics, None, &Compare::Rows).unwrap();
    let summary = measured.summaries.values().next().unwrap();
    assert_eq!(summary.seeds, 2);
    let sources = variance::of(&measured).remove(0);
    let of_seed = 0.02 / 2f64.sqrt();
    assert!((sources.seed.unwrap() - of_seed).abs() < 1e-12);
    let of_search = (0.2f64.powi(2) / 2.0 - of_seed.powi(2) / 2.0).sqrt();
    assert!((sources.search.unwrap() - of_search).abs() < 1e-12);
}
