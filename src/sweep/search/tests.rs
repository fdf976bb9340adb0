use serde_json::{Value, json};

use super::*;

fn space(dimensions: serde_json::Value) -> Space {
    serde_json::from_value(dimensions).unwrap()
}

fn mixed() -> Space {
    space(json!([
        { "name": "lr", "range": { "log_uniform": [1e-6, 1.0] } },
        { "name": "size", "range": { "int": [2, 9] } },
        { "name": "optimizer", "range": { "choice": ["adam", "sgd"] } },
        { "name": "momentum", "range": { "uniform": [0.0, 1.0] }, "when": { "name": "optimizer", "is": "sgd" } },
    ]))
}

fn search(space: Space, strategy: Strategy, trials: usize, parallelism: usize) -> Search {
    Search::new(
        space,
        Settings {
            strategy,
            trials,
            seed: 7,
            parallelism,
            startup: Some(4),
            prune: None,
            repeats: 1,
        },
    )
    .unwrap()
}

fn point_of(suggestion: Suggestion) -> TrialPoint {
    match suggestion {
        Suggestion::Try(point) => point,
        Suggestion::Wait { .. } | Suggestion::Exhausted => panic!("{suggestion:?}"),
    }
}

fn score(point: &TrialPoint) -> TrialOutcome {
    let (lr, size) = (
        point["lr"].as_f64().unwrap(),
        point["size"].as_f64().unwrap(),
    );
    let momentum = point
        .get("momentum")
        .map_or(0.0, |momentum| momentum.as_f64().unwrap());
    if size > 8.5 {
        return TrialOutcome::Failed;
    }
    TrialOutcome::Finished {
        mean: momentum - (lr.log10() + 3.0).powi(2) - 0.1 * size,
        sem: Some(0.01),
    }
}

/// The history of a search in which every result is there when it is asked for.
fn run(search: &Search) -> Vec<TrialRecord> {
    let mut history = Vec::new();
    for trial in 0..search.trials() {
        let point = point_of(search.suggest(&history, trial));
        history.push(TrialRecord {
            outcome: score(&point),
            point,
        });
    }
    history
}

const LEARNING: [Strategy; 4] = [
    Strategy::Random,
    Strategy::Sobol,
    Strategy::Tpe,
    Strategy::Gp,
];

#[test]
fn suggestions_lie_in_the_space_and_are_never_repeated() {
    for strategy in LEARNING {
        let history = run(&search(mixed(), strategy, 20, 1));
        for (number, TrialRecord { point, .. }) in history.iter().enumerate() {
            assert!((1e-6..=1.0).contains(&point["lr"].as_f64().unwrap()));
            assert!((2..=9).contains(&point["size"].as_i64().unwrap()));
            assert_eq!(point.contains_key("momentum"), point["optimizer"] == "sgd");
            assert!(
                history[..number]
                    .iter()
                    .all(|earlier| earlier.point != *point),
                "{strategy:?} {number}"
            );
        }
    }
}

#[test]
fn the_models_find_what_chance_does_not() {
    let best_of = |strategy| {
        let history = run(&search(mixed(), strategy, 30, 1));
        match history[best(&history).unwrap()].outcome {
            TrialOutcome::Finished { mean, .. } => mean,
            TrialOutcome::Pruned { .. } | TrialOutcome::Failed | TrialOutcome::Pending => {
                panic!("the best trial finished")
            }
        }
    };
    // The best there is: lr 1e-3, size 2, momentum 1.
    assert!(best_of(Strategy::Gp) > 0.75, "{}", best_of(Strategy::Gp));
    assert!(best_of(Strategy::Tpe) > best_of(Strategy::Random));
}

#[test]
fn a_suggestion_depends_on_no_result_that_it_should_not_know() {
    for strategy in LEARNING {
        let search = search(mixed(), strategy, 12, 3);
        let complete = run(&search);
        for trial in 0..complete.len() {
            // The results of the three trials before, less one that would end now, are not there yet.
            let mut history = complete[..trial].to_vec();
            history
                .iter_mut()
                .skip((trial + 1).saturating_sub(3))
                .for_each(|late| late.outcome = TrialOutcome::Pending);
            assert_eq!(
                search.suggest(&history, trial),
                Suggestion::Try(complete[trial].point.clone()),
                "{strategy:?}"
            );
        }
    }
}

#[test]
fn a_search_waits_for_the_first_result_that_it_needs() {
    let gp = search(mixed(), Strategy::Gp, 12, 2);
    let mut history = run(&gp);
    history[3].outcome = TrialOutcome::Pending;
    assert_eq!(gp.suggest(&history, 6), Suggestion::Wait { trial: 3 });
    assert_eq!(gp.suggest(&history[..4], 6), Suggestion::Wait { trial: 3 });
    assert!(
        matches!(gp.suggest(&history, 4), Suggestion::Try(_)),
        "trial 3 may be running beside trial 4"
    );
    let sobol = search(mixed(), Strategy::Sobol, 12, 1);
    assert!(
        matches!(sobol.suggest(&history, 6), Suggestion::Try(_)),
        "needs no result at all"
    );
    assert_eq!(gp.suggest(&history, 12), Suggestion::Exhausted);
}

#[test]
fn another_seed_is_another_search() {
    let first = |seed| {
        let settings = Settings {
            strategy: Strategy::Sobol,
            trials: 1,
            seed,
            parallelism: 1,
            startup: None,
            prune: None,
            repeats: 1,
        };
        point_of(Search::new(mixed(), settings).unwrap().suggest(&[], 0))
    };
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
}

#[test]
fn failures_alone_teach_nothing_and_stop_nothing() {
    for strategy in [Strategy::Tpe, Strategy::Gp] {
        let search = search(mixed(), strategy, 10, 1);
        let mut history = Vec::new();
        for trial in 0..10 {
            history.push(TrialRecord {
                point: point_of(search.suggest(&history, trial)),
                outcome: TrialOutcome::Failed,
            });
        }
        assert_eq!(best(&history), None);
    }
}

#[test]
fn a_value_that_is_not_a_number_is_a_failure() {
    let gp = search(mixed(), Strategy::Gp, 12, 1);
    let mut failed = run(&gp)[..8].to_vec();
    let mut undefined = failed.clone();
    failed[2].outcome = TrialOutcome::Failed;
    undefined[2].outcome = TrialOutcome::Finished {
        mean: f64::NAN,
        sem: None,
    };
    assert_eq!(gp.suggest(&failed, 8), gp.suggest(&undefined, 8));
}

#[test]
fn equal_results_and_a_single_value_are_no_obstacle() {
    let one = space(json!([{ "name": "x", "range": { "int": [1, 2] } }]));
    for strategy in LEARNING {
        let search = search(one.clone(), strategy, 8, 1);
        let mut history = Vec::new();
        for trial in 0..8 {
            let point = point_of(search.suggest(&history, trial));
            history.push(TrialRecord {
                point,
                outcome: TrialOutcome::Finished {
                    mean: 0.5,
                    sem: None,
                },
            });
        }
    }
}

#[test]
fn bounds_may_change_between_trials() {
    let range =
        |high: f64| space(json!([{ "name": "scale", "range": { "uniform": [0.0, high] } }]));
    for strategy in [Strategy::Tpe, Strategy::Gp] {
        let narrow = search(range(100.0), strategy, 20, 1);
        let mut history = Vec::new();
        for trial in 0..12 {
            let point = point_of(narrow.suggest(&history, trial));
            let mean = point["scale"].as_f64().unwrap();
            history.push(TrialRecord {
                point,
                outcome: TrialOutcome::Finished { mean, sem: None },
            });
        }
        let wide = search(range(200.0), strategy, 20, 1);
        let next = point_of(wide.suggest(&history, 12));
        assert!((0.0..=200.0).contains(&next["scale"].as_f64().unwrap()));
        let narrower = search(range(10.0), strategy, 20, 1);
        let next = point_of(narrower.suggest(&history, 12));
        assert!(
            (0.0..=10.0).contains(&next["scale"].as_f64().unwrap()),
            "{next:?}"
        );
    }
    // What lay at the bound is at the bound no more, and the climb goes on beyond it.
    let gp = search(range(200.0), Strategy::Gp, 20, 1);
    let climbing: Vec<TrialRecord> = [10.0, 40.0, 70.0, 100.0]
        .map(|at| TrialRecord {
            point: [("scale".into(), at.into())].into(),
            outcome: TrialOutcome::Finished {
                mean: at,
                sem: None,
            },
        })
        .to_vec();
    assert!(
        point_of(gp.suggest(&climbing, 4))["scale"]
            .as_f64()
            .unwrap()
            > 100.0
    );
}

#[test]
fn a_grid_is_every_combination_once_the_last_dimension_fastest() {
    let space = space(json!([
        { "name": "bins", "range": { "grid": [8, 16] } },
        { "name": "miner", "range": { "choice": ["none", "hard"] } },
        { "name": "k", "range": { "int": [1, 2] }, "when": { "name": "miner", "is": "hard" } },
    ]));
    let grid = search(space, Strategy::Grid, 100, 1);
    assert_eq!(grid.trials(), 6);
    let points: Vec<_> = (0..6)
        .map(|t| serde_json::to_string(&point_of(grid.suggest(&[], t))).unwrap())
        .collect();
    assert_eq!(
        points,
        [
            r#"{"bins":8,"miner":"none"}"#,
            r#"{"bins":8,"k":1,"miner":"hard"}"#,
            r#"{"bins":8,"k":2,"miner":"hard"}"#,
            r#"{"bins":16,"miner":"none"}"#,
            r#"{"bins":16,"k":1,"miner":"hard"}"#,
            r#"{"bins":16,"k":2,"miner":"hard"}"#,
        ]
    );
    assert_eq!(grid.suggest(&[], 6), Suggestion::Exhausted);
}

#[test]
fn every_level_of_an_integer_is_equally_likely_and_logarithms_are_uniform() {
    let space = space(json!([
        { "name": "n", "range": { "int": [1, 4] } },
        { "name": "t", "range": { "log_uniform": [1e-4, 1.0] } },
        { "name": "b", "range": { "log_int": [1, 1000] } },
    ]));
    let sobol = search(space, Strategy::Sobol, 4096, 1);
    let (mut levels, mut small, mut below_32) = ([0; 5], 0, 0);
    let mut history = Vec::new();
    for trial in 0..256 {
        let point = point_of(sobol.suggest(&history, trial));
        levels[point["n"].as_u64().unwrap() as usize] += 1;
        small += usize::from(point["t"].as_f64().unwrap() < 1e-2);
        below_32 += usize::from(point["b"].as_u64().unwrap() < 32);
        history.push(TrialRecord {
            point,
            outcome: TrialOutcome::Pending,
        });
    }
    // A Sobol sequence of a power of two points fills every half and quarter evenly.
    assert_eq!(levels, [0, 64, 64, 64, 64]);
    assert_eq!(small, 128);
    // ln(31.5 / 0.5) / ln(1000.5 / 0.5) of 256.
    assert!((136..=143).contains(&below_32), "{below_32}");
}

#[test]
fn a_suggested_number_is_short() {
    let range = space(json!([{ "name": "x", "range": { "uniform": [-0.2, 2.0] } }]));
    for trial in 0..20 {
        let x = &point_of(
            search(range.clone(), Strategy::Random, 20, 1).suggest(&run_blind(trial), trial),
        )["x"];
        assert!(
            x.to_string()
                .trim_start_matches(['-', '0', '.'])
                .replace('.', "")
                .len()
                <= 6,
            "{x}"
        );
    }
}

fn run_blind(trials: usize) -> Vec<TrialRecord> {
    let point = |n: usize| TrialPoint::from([("x".to_owned(), Value::from(n as f64 / 1000.0))]);
    (0..trials)
        .map(|n| TrialRecord {
            point: point(n),
            outcome: TrialOutcome::Pending,
        })
        .collect()
}

#[test]
fn the_best_point_is_told_when_it_touches_a_bound() {
    let space = space(json!([
        { "name": "s", "range": { "uniform": [0.01, 100.0] } },
        { "name": "t", "range": { "log_uniform": [1e-4, 1.0] } },
        { "name": "g", "range": { "grid": [8, 16, 32] } },
        { "name": "c", "range": { "choice": ["a", "b"] } },
    ]));
    let point = |s: f64, t: f64, g: i64| {
        TrialPoint::from([
            ("s".into(), s.into()),
            ("t".into(), t.into()),
            ("g".into(), g.into()),
            ("c".into(), "a".into()),
        ])
    };
    assert_eq!(space.at_bounds(&point(50.0, 1e-2, 16), 0.02), []);
    let touched = space.at_bounds(&point(99.0, 1.1e-4, 8), 0.02);
    let sides: Vec<_> = touched
        .iter()
        .map(|at| (at.name.as_str(), at.side, at.bound.clone()))
        .collect();
    assert_eq!(
        sides,
        [
            ("s", BoundSide::Upper, json!(100.0)),
            ("t", BoundSide::Lower, json!(1e-4)),
            ("g", BoundSide::Lower, json!(8))
        ]
    );
}

#[test]
fn spaces_that_make_no_sense_are_refused() {
    let refused = |dimensions| {
        let settings = Settings {
            strategy: Strategy::Grid,
            trials: 1,
            seed: 0,
            parallelism: 1,
            startup: None,
            prune: None,
            repeats: 1,
        };
        Search::new(space(dimensions), settings)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused(json!([{ "name": "m", "range": { "uniform": [1.0, 1.0] } }])),
        "`m`: the lower bound 1 must be a number below the upper bound 1"
    );
    assert_eq!(
        refused(json!([{ "name": "m", "range": { "log_uniform": [0.0, 1.0] } }])),
        "`m`: the lower bound of a logarithmic range must be above 0, not 0"
    );
    assert_eq!(
        refused(json!([{ "name": "m", "range": { "choice": [1, 1.0] } }])),
        "`m`: list at least one value, and each value once"
    );
    assert_eq!(
        refused(
            json!([{ "name": "k", "range": { "int": [1, 2] }, "when": { "name": "miner", "is": "hard" } }])
        ),
        "`k` depends on `miner`, which is not a grid or choice above it with the value \"hard\""
    );
    assert_eq!(
        refused(json!([{ "name": "m", "range": { "uniform": [0.0, 1.0] } }])),
        "a grid search cannot try all values of `m`: list them, `{ grid = [..] }`, or choose another strategy"
    );
    assert_eq!(
        refused(json!([])),
        "nothing is searched: give a value of a method a range, `{ uniform = [a, b] }`"
    );
}
