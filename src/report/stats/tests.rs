use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    paired: Vec<Pair>,
    friedman: Vec<Sets>,
    nemenyi: Vec<Difference>,
    needed: Vec<Needed>,
    bootstrap: Vec<Resample>,
    equality: Vec<Equality>,
    posterior: Vec<Probabilities>,
    two_way: Vec<Crossed>,
    interquartile: Vec<Middle>,
}

#[derive(Deserialize)]
struct Middle {
    values: Vec<f64>,
    mean: f64,
}

#[derive(Deserialize)]
struct Crossed {
    scores: Vec<Vec<f64>>,
    mean: f64,
    parts: [f64; 2],
}

#[derive(Deserialize)]
struct Equality {
    differences: Vec<f64>,
    within: f64,
    p: f64,
    p_of_distance: f64,
    superiority: [f64; 2],
}

#[derive(Deserialize)]
struct Probabilities {
    differences: Vec<f64>,
    folds: Option<usize>,
    within: f64,
    probabilities: [f64; 3],
}

#[derive(Deserialize)]
struct Pair {
    first: Vec<f64>,
    second: Vec<f64>,
    interval: [f64; 2],
    t: [f64; 2],
    wilcoxon: [f64; 2],
    cohen: f64,
    hedges: f64,
}

#[derive(Deserialize)]
struct Needed {
    effect: f64,
    alpha: f64,
    power: f64,
    pairs: usize,
}

#[derive(Deserialize)]
struct Sets {
    scores: Vec<Vec<f64>>,
    friedman: [f64; 2],
    ranks: Vec<f64>,
}

#[derive(Deserialize)]
struct Difference {
    methods: usize,
    sets: usize,
    alpha: f64,
    difference: f64,
}

#[derive(Deserialize)]
struct Resample {
    values: Vec<f64>,
    interval: [f64; 2],
    error: f64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("testdata/scipy.json")).unwrap()
}

#[track_caller]
fn close(ours: f64, theirs: f64) {
    assert!(
        (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0),
        "{ours} is not {theirs}"
    );
}

#[test]
fn intervals_tests_and_effects_agree_with_scipy() {
    for case in golden().paired {
        let interval = student(&case.first, 0.95).unwrap();
        close(interval.low, case.interval[0]);
        close(interval.high, case.interval[1]);
        let paired = paired(&case.first, &case.second).unwrap();
        close(paired.t.unwrap().t, case.t[0]);
        close(paired.t.unwrap().p, case.t[1]);
        close(paired.wilcoxon.unwrap().statistic, case.wilcoxon[0]);
        close(paired.wilcoxon.unwrap().p, case.wilcoxon[1]);
        close(paired.cohen.unwrap(), case.cohen);
        close(paired.hedges.unwrap(), case.hedges);
    }
}

#[test]
fn two_pairs_have_no_corrected_effect_size() {
    let paired = paired(&[0.5, 0.7], &[0.4, 0.5]).unwrap();
    assert!(paired.cohen.is_some());
    assert_eq!(paired.hedges, None);
}

#[test]
fn p_values_adjusted_by_holm_never_decrease_in_order() {
    let close_to = |p: &[f64], adjusted: &[f64]| {
        holm(p)
            .iter()
            .zip(adjusted)
            .for_each(|(a, b)| close(*a, *b))
    };
    // By hand: 4 · 0.005, 3 · 0.01, 2 · 0.03, and 0.04, which may not be less than the one before.
    close_to(&[0.01, 0.04, 0.03, 0.005], &[0.03, 0.06, 0.06, 0.02]);
    close_to(&[0.5, 0.9, 0.02], &[1.0, 1.0, 0.06]);
    assert!(holm(&[]).is_empty());
}

#[test]
fn the_friedman_test_and_its_critical_difference_agree_with_scipy() {
    for case in golden().friedman {
        let test = friedman(&case.scores).unwrap();
        close(test.chi_squared, case.friedman[0]);
        close(test.p, case.friedman[1]);
        test.mean_ranks
            .into_iter()
            .zip(case.ranks)
            .for_each(|(ours, theirs)| close(ours, theirs));
    }
    for case in golden().nemenyi {
        let ours = nemenyi_difference(case.methods, case.sets, case.alpha);
        close(ours, case.difference);
    }
    assert_eq!(friedman(&[vec![1.0, 1.0, 1.0], vec![2.0, 2.0, 2.0]]), None);
    assert_eq!(friedman(&[vec![1.0, 2.0], vec![2.0, 1.0]]), None);
}

#[test]
fn bootstrap_intervals_are_near_those_of_scipy() {
    for case in golden().bootstrap {
        let ours = over_queries(&case.values, 0.95, 20_000, 1).unwrap();
        let width = case.interval[1] - case.interval[0];
        assert!(
            (ours.interval.low - case.interval[0]).abs() < 0.05 * width,
            "{ours:?} {:?}",
            case.interval
        );
        assert!(
            (ours.interval.high - case.interval[1]).abs() < 0.05 * width,
            "{ours:?} {:?}",
            case.interval
        );
        assert!((ours.error / case.error - 1.0).abs() < 0.03);
    }
}

#[test]
fn a_bootstrap_is_the_same_each_time_and_another_with_another_seed() {
    let values: Vec<f64> = (0..40).map(|i| f64::from(i * i % 17)).collect();
    let of = |seed| over_queries(&values, 0.95, 500, seed).unwrap();
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn two_units_give_the_bootstrap_that_can_be_counted_by_hand() {
    // Replicates are 0, 1/2, 1/2 and 1 with a quarter each: a standard deviation of √(1/8).
    let result = over_queries(&[0.0, 1.0], 0.95, 40_000, 3).unwrap();
    assert!((result.error - 0.125f64.sqrt()).abs() < 0.003);
    assert_eq!((result.interval.low, result.interval.high), (0.0, 1.0));
    assert_eq!(over_queries(&[0.5], 0.95, 100, 0), None);
    let constant = over_queries(&[0.5; 9], 0.95, 100, 0).unwrap();
    assert_eq!(
        constant.interval,
        Interval {
            mean: 0.5,
            low: 0.5,
            high: 0.5
        }
    );
}

#[test]
fn classes_are_drawn_whole_and_weigh_by_their_queries() {
    // Two classes, one all right, one all wrong: as many queries as there are say no more than the two classes.
    let (values, classes): (Vec<f64>, Vec<ClassOf>) =
        (0..200).map(|i| (f64::from(i % 2), i as u32 % 2)).unzip();
    let (by_query, by_class) = (
        over_queries(&values, 0.95, 2000, 5).unwrap(),
        over_classes(&values, &classes, 0.95, 2000, 5).unwrap(),
    );
    assert_eq!(by_query.interval.mean, by_class.interval.mean);
    assert!(
        (by_query.error - 0.5 / 200f64.sqrt()).abs() < 0.002,
        "{by_query:?}"
    );
    assert!(
        (by_class.error - 0.125f64.sqrt()).abs() < 0.02,
        "{by_class:?}"
    );
}

#[test]
fn what_cannot_be_said_is_not_said() {
    assert_eq!(student(&[0.5], 0.95), None);
    assert_eq!(paired(&[0.5], &[0.25]), None);
    assert_eq!(paired_t(&[1.0, 2.0, 3.0], &[0.5, 1.5, 2.5]), None);
    assert_eq!(wilcoxon(&[1.0, 2.0], &[1.0, 2.0]), None);
}

#[test]
fn three_pairs_in_one_direction_are_as_significant_as_three_can_be() {
    let test = wilcoxon(&[3.0, 5.0, 9.0], &[2.0, 3.0, 4.0]).unwrap();
    // One of the eight ways to sign three ranks, twice.
    assert_eq!(
        (test.statistic, test.p, test.rank_biserial),
        (0.0, 0.25, 1.0)
    );
    assert_eq!(test.method, WilcoxonMethod::Exact);
}

#[test]
fn the_power_note_agrees_with_the_noncentral_t_distribution() {
    for Needed {
        effect,
        alpha,
        power,
        pairs,
    } in golden().needed
    {
        let ours = seeds_needed(effect, alpha, power);
        assert_eq!(ours, Some(pairs), "{effect} {alpha}");
    }
    assert_eq!(seeds_needed(0.0, 0.05, 0.8), None);
    let clear = Estimate::of(&[1.0, 0.98, 1.01, 0.99]).unwrap();
    assert_eq!(more_for_difference(&clear, 1.0, 0.05), Some(0));
}

#[test]
fn a_difference_that_is_not_significant_needs_more_seeds() {
    let estimate = Estimate::of(&[0.02, 0.03, 0.04, 0.03]).unwrap();
    let more = |factor| more_for_difference(&estimate, factor, 0.05);
    assert!(estimate.p() < 0.01 && 10.0 * estimate.p() > 0.05);
    assert_eq!(more(1.0), Some(0));
    assert!(more(10.0) >= Some(1));
    assert!(more(100.0) > more(10.0));
}

#[test]
fn equality_needs_more_seeds_the_nearer_the_difference_is_to_the_bound() {
    let estimate = Estimate::of(&[0.02, -0.03, 0.04, 0.01]).unwrap();
    let more = |within| more_for_equality(&estimate, within, 1.0, 0.05);
    assert_eq!(more(0.01), None);
    assert_eq!(more(0.5), Some(0));
    assert!(more(0.02) > more(0.03) && more(0.03) > Some(0));
}

#[test]
fn statements_about_one_estimate_agree_with_statsmodels_and_baycomp() {
    for case in golden().equality {
        let estimate = Estimate::of(&case.differences).unwrap();
        close(estimate.p(), case.p);
        close(estimate.p_of_distance(case.within), case.p_of_distance);
        let interval = superiority(&case.differences).unwrap();
        close(interval.low, case.superiority[0]);
        close(interval.high, case.superiority[1]);
    }
    for case in golden().posterior {
        let estimate = match case.folds {
            Some(folds) => Estimate::of_folds(&case.differences, folds).unwrap(),
            None => Estimate::of(&case.differences).unwrap(),
        };
        let posterior = estimate.posterior(case.within);
        let ours = [posterior.below, posterior.inside, posterior.above];
        for (ours, theirs) in ours.into_iter().zip(case.probabilities) {
            assert!(
                (ours - theirs).abs() < 1e-9,
                "{posterior:?} {:?}",
                case.probabilities
            );
        }
    }
}

#[test]
fn without_any_spread_the_answer_is_certain() {
    let same = Estimate::of(&[0.0, 0.0, 0.0]).unwrap();
    assert_eq!((same.p(), same.p_of_distance(0.1)), (1.0, 0.0));
    let other = Estimate::of(&[0.5, 0.5, 0.5]).unwrap();
    assert_eq!((other.p(), other.p_of_distance(0.1)), (0.0, 1.0));
    assert_eq!(other.posterior(0.1).above, 1.0);
    assert_eq!(
        (other.interval(0.95).low, other.interval(0.95).high),
        (0.5, 0.5)
    );
}

#[test]
fn the_best_of_three_is_tested_as_one_of_three_pairs() {
    // Three pairs may be equal; once one row differs from the best, one pair with the best.
    let adjusted = holm_with_best(&[vec![0.02, 0.01]]);
    close(adjusted[0][1], 0.03);
    close(adjusted[0][0], 0.03);
    // The pairs of another column count, too.
    let adjusted = holm_with_best(&[vec![0.02, 0.01], vec![0.5]]);
    close(adjusted[0][1], 0.04);
    close(adjusted[0][0], 0.04);
    close(adjusted[1][0], 1.0);
    assert_eq!(holm_with_best(&[vec![0.03]]), [[0.03]]);
}

#[test]
fn the_variance_over_seeds_and_classes_agrees_with_an_analysis_of_variance() {
    for case in golden().two_way {
        let queries = vec![4.0; case.scores[0].len()];
        let estimate = two_way(&case.scores, &queries).unwrap();
        close(estimate.mean, case.mean);
        close(estimate.seeds.variance, case.parts[0]);
        close(estimate.classes.variance, case.parts[1]);
    }
}

#[test]
fn a_class_counts_as_often_as_it_has_queries() {
    let scores = [vec![0.2, 0.8, 0.4], vec![0.4, 0.9, 0.2]];
    let estimate = two_way(&scores, &[1.0, 2.0, 5.0]).unwrap();
    close(estimate.mean, 0.5 * (3.8 + 3.2) / 8.0);
    // Seeds alone: the means 0.475 and 0.4 are 0.075 apart.
    close(estimate.seeds.variance, 0.075f64.powi(2) / 4.0);
    assert_eq!(two_way(&scores[..1], &[1.0, 2.0, 5.0]), None);
}

#[test]
fn more_seeds_cannot_settle_what_classes_leave_open() {
    let estimate = |classes| Estimate {
        mean: 0.02,
        seeds: Part {
            variance: 0.0001,
            freedom: 2.0,
        },
        classes: Part {
            variance: classes,
            freedom: 99.0,
        },
    };
    let more = |classes| more_for_difference(&estimate(classes), 1.0, 0.05);
    assert!(more(0.0) < more(0.00003) && more(0.00003).is_some());
    assert_eq!(more(0.0001), None);
}

#[test]
fn the_interquartile_mean_agrees_with_scipy() {
    for case in golden().interquartile {
        close(interquartile_mean(&case.values).unwrap(), case.mean);
    }
    assert_eq!(interquartile_mean(&[]), None);
    // Constant data sets leave nothing to resample.
    let constant = interquartile_mean_over(&[vec![0.5; 4], vec![0.7; 4]], 50, 0).unwrap();
    close(constant.mean, 0.6);
    close(constant.low, 0.6);
    close(constant.high, 0.6);
}

#[test]
fn a_profile_is_the_share_of_runs_that_reach_a_score() {
    let sets = [vec![0.1, 0.3], vec![0.2, 0.4, 0.6, 0.8]];
    let profile = performance_profile(&sets, &[0.0, 0.25, 0.4, 0.9]);
    assert_eq!(profile, [1.0, 0.625, 0.375, 0.0]);
}
