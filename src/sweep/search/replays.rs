//! What pruning saves and costs: whole searches of a simulated method, with and without it.
//!
//! The score of a point falls off from the best one as margins and rates do in the searches of the Reality
//! Check: gently near the best, down to nothing within the range. Folds differ by 2 points, and a trial on
//! a fold by 0.3 points, as validation scores there do.

use serde_json::json;

use super::{rng::Stream, *};

const FOLDS: usize = 4;
const TRIALS: usize = 50;
const REPLAYS: u64 = 20;

struct Replay {
    /// Runs that were trained.
    runs: usize,
    /// The true score of the selected point.
    selected: f64,
}

fn search(seed: u64, prune: Option<Prune>) -> Search {
    let space = json!([
        { "name": "margin", "range": { "uniform": [0.0, 1.0] } },
        { "name": "rate", "range": { "log_uniform": [1e-6, 1e-2] } },
    ]);
    let settings = Settings {
        strategy: Strategy::Tpe,
        trials: TRIALS,
        seed,
        parallelism: 1,
        startup: None,
        prune,
        repeats: 1,
    };
    Search::new(serde_json::from_value(space).unwrap(), settings).unwrap()
}

/// The true score of a point.
fn quality(point: &TrialPoint) -> f64 {
    let number = |name: &str| point[name].as_f64().unwrap();
    let margin = (number("margin") - 0.4) / 0.5;
    let rate = (number("rate").log10() + 4.0) / 2.0;
    0.25 - 0.2 * (margin * margin + rate * rate).min(1.0)
}

/// The score of a trial on each fold.
fn scores(seed: u64, trial: usize, point: &TrialPoint) -> Vec<f64> {
    let mut of_folds = SearchRng::new(seed, 0, Stream::Random);
    let mut own = SearchRng::new(1000 + seed, trial, Stream::Random);
    let quality = quality(point);
    let score = |_| quality + 0.02 * of_folds.normal() + 0.003 * own.normal();
    (0..FOLDS).map(score).collect()
}

fn replay(seed: u64, prune: Option<Prune>) -> Replay {
    let search = search(seed, prune);
    let (mut history, mut known) = (Vec::<TrialRecord>::new(), Vec::<Vec<f64>>::new());
    for trial in 0..TRIALS {
        let Suggestion::Try(point) = search.suggest(&history, trial) else {
            panic!("all earlier trials have ended");
        };
        let all = scores(seed, trial, &point);
        history.push(TrialRecord {
            point,
            outcome: TrialOutcome::Pending,
        });
        known.push(all[..1].to_vec());
        history[trial].outcome = loop {
            let folds = known[trial].len();
            if folds == FOLDS {
                let mean = all.iter().sum::<f64>() / FOLDS as f64;
                break TrialOutcome::Finished { mean, sem: None };
            }
            match search.decide(&history, &known, trial).unwrap() {
                Decision::GoOn => known[trial].push(all[folds]),
                Decision::End(outcome) => break outcome,
            }
        };
    }
    let selected = best(&history).unwrap();
    Replay {
        runs: known.iter().map(Vec::len).sum(),
        selected: quality(&history[selected].point),
    }
}

/// How many times fewer runs there are than without pruning, and the median of the difference of the true
/// score, over all replays.
fn pruned(prune: Prune, full: &[Replay]) -> (f64, f64) {
    let (mut runs, mut losses) = (0, Vec::new());
    for (seed, full) in (0..).zip(full) {
        let pruned = replay(seed, Some(prune));
        runs += pruned.runs;
        losses.push((full.selected - pruned.selected).abs());
    }
    losses.sort_by(f64::total_cmp);
    let all: usize = full.iter().map(|full| full.runs).sum();
    let saved = all as f64 / runs as f64;
    let loss = losses[losses.len() / 2];
    println!(
        "{prune:?}: {saved:.2} x fewer runs, median difference {:.3} points",
        100.0 * loss
    );
    (saved, loss)
}

#[test]
fn pruning_saves_runs_and_selects_as_good_a_point() {
    let full: Vec<Replay> = (0..REPLAYS).map(|seed| replay(seed, None)).collect();
    assert!(full.iter().all(|full| full.runs == TRIALS * FOLDS));
    for (prune, least) in [(Prune::Asha, 2.0), (Prune::Race, 1.4), (Prune::Median, 1.2)] {
        let (saved, loss) = pruned(prune, &full);
        assert!(saved >= least && loss <= 0.001, "{prune:?} {saved} {loss}");
    }
}
