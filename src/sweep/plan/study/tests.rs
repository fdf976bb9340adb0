use std::{collections::BTreeSet, fs, path::Path};

use schema::{Breakdown, Numerics, SCHEMA, Scores, Trained, TrainingEnd};
use tempfile::TempDir;

use super::*;
use crate::{
    ledger::{AttemptExit, write_json},
    plan::Node,
};

const SWEEP: &str = r#"
    [sweep]
    name = "test"
    seeds = 3
    folds = 2
    [data]
    dataset.glyphs = { classes = 8, test_classes = 4 }
    [model]
    backbone = "conv4"
    [training]
    steps = 10
    sampler.m_per_class = { batch = 8 }
    optimizer.sgd = { lr = { log_uniform = [1e-3, 1] } }
    [search]
    strategy = "gp"
    trials = 8
    startup = 3
    [[method]]
    name = "Untrained"
    baseline = "untrained"
    [[method]]
    name = "Triplet"
    loss.triplet = { margin = { uniform = [0, 1] } }
"#;

struct Desk {
    folder: TempDir,
    sweep: Sweep,
    ledger: Ledger,
}

fn desk(text: &str) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path().join("results"));
    Desk {
        sweep: read(folder.path(), text),
        ledger,
        folder,
    }
}

fn read(folder: &Path, text: &str) -> Sweep {
    let file = folder.join("test.toml");
    fs::write(&file, text).unwrap();
    Sweep::read(&file, &[]).unwrap()
}

impl Desk {
    fn plan(&self) -> Plan {
        let numerics = Numerics::Cpu { threads: 1 };
        Plan::new(&self.sweep, &self.ledger, numerics).unwrap()
    }

    fn train(&self, run: RunId, score: f64) {
        let scores: Scores = [(Metric::MapAtR, score)].into();
        let (end, validation) = (TrainingEnd::Completed, Some(scores));
        let trained = Trained {
            end,
            steps: 10,
            kept_step: 10,
            validation,
            empty_steps: 0,
            objective: None,
        };
        self.ledger.publish_trained(run, &trained).unwrap();
    }

    fn break_down(&self, run: RunId) {
        let outcome = Ended::Broken {
            how: Breakdown::Diverged,
            step: 3,
        };
        self.ledger
            .publish_record(&Record {
                schema: SCHEMA,
                run,
                outcome,
            })
            .unwrap();
    }

    fn fail(&self, run: RunId, class: Failure) {
        let job = Job::Train(run);
        let number = self.ledger.attempts(job).unwrap() + 1;
        let folder = self.ledger.attempt_folder(job, number);
        let end = AttemptEnd::Failed {
            class,
            message: "made to".to_owned(),
        };
        write_json(
            &folder.exit(),
            &AttemptExit {
                end,
                code: Some(1),
                signal: None,
                computation: None,
            },
        )
        .unwrap();
    }

    /// Ends the open runs of trials, the first or the last of them first, until all studies are over.
    fn finish(&self, mut plan: Plan, backwards: bool) -> Plan {
        loop {
            let trials = plan.studies.iter().flat_map(|study| &study.trials);
            let pending = trials.filter(|trial| trial.outcome == TrialOutcome::Pending);
            let open = pending.flat_map(|trial| {
                trial
                    .runs
                    .iter()
                    .zip(0..)
                    .map(|(&run, fold)| (run, fold, &trial.point))
            });
            let open: Vec<(RunId, u32, TrialPoint)> = open
                .filter(|(run, ..)| self.ledger.trained(*run).unwrap().is_none())
                .map(|(run, fold, point)| (run, fold, point.clone()))
                .collect();
            let Some((run, fold, point)) =
                (if backwards { open.last() } else { open.first() }).cloned()
            else {
                return plan;
            };
            self.train(run, score(&point) + 0.01 * f64::from(fold));
            plan.grow(&self.sweep, &self.ledger, run).unwrap();
        }
    }
}

/// Best at a margin of 0.3 and a rate of 0.1.
fn score(point: &TrialPoint) -> f64 {
    let number = |name: &str, best| {
        point
            .get(name)
            .map_or(best, |value| value.as_f64().unwrap())
    };
    let margin = number("loss.triplet.margin", 0.3);
    let rate: f64 = number("training.optimizer.sgd.lr", 0.1);
    0.6 - (margin - 0.3).powi(2) - 0.1 * (rate.log10() + 1.0).powi(2)
}

fn value(point: &TrialPoint, name: &str) -> f64 {
    point[name].as_f64().unwrap()
}

fn points(plan: &Plan) -> Vec<TrialPoint> {
    plan.studies[0]
        .trials
        .iter()
        .map(|trial| trial.point.clone())
        .collect()
}

#[test]
fn the_trials_that_need_no_results_are_planned_at_once() {
    let desk = desk(SWEEP);
    let plan = desk.plan();
    let study = &plan.studies[0];
    assert_eq!(
        (study.trials.len(), study.budget, study.state),
        (3, 8, StudyState::Open)
    );
    assert!(study.trials.iter().all(|trial| trial.runs.len() == 2));
    let of_trials = plan
        .runs
        .values()
        .filter(|planned| planned.member.is_none())
        .count();
    assert_eq!(of_trials, 3 * 2);
    // Three seeds of the untrained network, whom no fold changes, are in the table.
    assert_eq!((plan.runs.len(), plan.members.len()), (6 + 3, 2 * 3 * 2));
}

/// Two trials. The second has the recipe of another method.
fn with_a_recipe_twice() -> String {
    SWEEP
        .replace("lr = { log_uniform = [1e-3, 1] }", "lr = 0.1")
        .replace("uniform = [0, 1]", "grid = [0.1, 0.3]")
        .replace("strategy = \"gp\"", "strategy = \"grid\"")
        .replace("trials = 8\n    startup = 3", "trials = 2")
        .replace(
            "baseline = \"untrained\"",
            "loss.triplet = { margin = 0.3 }",
        )
}

#[test]
fn what_is_selected_has_its_rows_also_where_another_method_has_the_same_recipe() {
    let desk = desk(&with_a_recipe_twice());
    let mut plan = desk.plan();
    let trials: Vec<(RunId, f64)> = plan.studies[0]
        .trials
        .iter()
        .flat_map(|trial| {
            trial
                .runs
                .iter()
                .map(|&run| (run, value(&trial.point, "loss.triplet.margin")))
        })
        .collect();
    assert_eq!(trials.len(), 2 * 2);
    for (run, score) in trials {
        desk.train(run, score);
        plan.grow(&desk.sweep, &desk.ledger, run).unwrap();
    }
    assert_eq!(plan.studies[0].state, StudyState::Selected(1));
    let rows: Vec<usize> = plan
        .ensembles
        .values()
        .map(|ensemble| ensemble.members.len())
        .collect();
    assert_eq!(rows, [2, 2, 2]);
}

#[test]
fn a_trial_has_a_seed_that_no_repetition_has_and_is_never_measured_on_test_classes() {
    let desk = desk(SWEEP);
    let plan = desk.finish(desk.plan(), false);
    let study = &plan.studies[0];
    assert_eq!(study.trials.len(), 8);
    for run in study.trials.iter().flat_map(|trial| &trial.runs) {
        assert_eq!(plan.runs[run].seed, FIRST_SEED_OF_TRIALS);
        let jobs: Vec<Node> = plan
            .graph()
            .nodes()
            .filter(|node| node.to_string().contains(&run.to_string()))
            .collect();
        assert_eq!(jobs, [Node::Job(Job::Train(*run))]);
    }
}

/// The sweep with four folds and trials that end early.
fn pruned() -> String {
    let text = SWEEP.replace("folds = 2", "folds = 4");
    text.replace("startup = 3", "startup = 3\n    prune = \"asha\"")
        .replace("trials = 8", "trials = 12")
}

#[test]
fn a_pruned_trial_has_fewer_folds_and_is_not_selected() {
    let desk = desk(&pruned());
    let plan = desk.plan();
    // A trial begins with one fold; how many more it gets is not known yet.
    assert!(
        plan.studies[0]
            .trials
            .iter()
            .all(|trial| trial.runs.len() == 1)
    );
    assert_eq!(
        (plan.studies[0].folds(), plan.studies[0].runs_ahead()),
        (4, 3 * 3)
    );
    let plan = desk.finish(plan, false);
    let study = &plan.studies[0];
    let is_pruned = |trial: &&Trial| matches!(trial.outcome, TrialOutcome::Pruned { .. });
    let pruned: Vec<&Trial> = study.trials.iter().filter(is_pruned).collect();
    assert!(pruned.len() >= 4, "{}", pruned.len());
    assert!(pruned.iter().all(|trial| trial.runs.len() < 4));
    let selected = study.selected().unwrap();
    assert_eq!((selected.runs.len(), study.runs_ahead()), (4, 0));
    // The rows of the table have all folds.
    assert!(
        plan.members
            .iter()
            .all(|member| plan.runs.contains_key(&member.run))
    );
}

#[test]
fn pruning_does_not_depend_on_which_run_ends_first() {
    let (forwards, backwards) = (desk(&pruned()), desk(&pruned()));
    let first = forwards.finish(forwards.plan(), false);
    let last = backwards.finish(backwards.plan(), true);
    let trials = |plan: &Plan| -> Vec<(TrialPoint, Vec<RunId>)> {
        let trials = plan.studies[0].trials.iter();
        trials
            .map(|trial| (trial.point.clone(), trial.runs.clone()))
            .collect()
    };
    assert_eq!(trials(&first), trials(&last));
    // So does a plan made from the results afterwards.
    assert_eq!(trials(&forwards.plan()), trials(&first));
    assert_eq!(forwards.plan().studies[0].state, first.studies[0].state);
}

#[test]
fn what_is_selected_is_repeated_with_every_seed_on_every_fold() {
    let desk = desk(SWEEP);
    let plan = desk.finish(desk.plan(), false);
    let study = &plan.studies[0];
    let selected = study.selected().unwrap();
    let highest = study
        .trials
        .iter()
        .map(|trial| score(&trial.point))
        .fold(f64::MIN, f64::max);
    assert_eq!(score(&selected.point), highest);
    assert_eq!(study.members, 6..12);
    for member in &plan.members[study.members.clone()] {
        let recipe = plan.runs[&member.run].recipe();
        let training = recipe.training.as_ref().unwrap();
        let schema::Loss::Triplet(triplet) = &training.loss else {
            panic!("{:?}", training.loss)
        };
        assert_eq!(
            triplet.margin,
            value(&selected.point, "loss.triplet.margin")
        );
        let schema::Optimizer::Sgd(sgd) = &training.optimizer else {
            panic!("{:?}", training.optimizer)
        };
        assert_eq!(sgd.lr, value(&selected.point, "training.optimizer.sgd.lr"));
        assert_eq!((recipe.seed, recipe.fold), (member.seed, member.fold));
    }
    assert_eq!(plan.ensembles.len(), 3);
}

#[test]
fn a_repeated_search_has_trials_and_seeds_of_its_own() {
    let once = desk(SWEEP);
    let first = once.finish(once.plan(), false);
    let twice = desk(&SWEEP.replace("trials = 8", "trials = 8\n    repeats = 2"));
    let plan = twice.finish(twice.plan(), false);
    let [one, two] = &plan.studies[..] else {
        panic!("{} studies", plan.studies.len())
    };
    assert_eq!((one.id, &one.members), (first.studies[0].id, &(6..12)));
    assert_eq!(points(&plan)[..8], points(&first)[..]);
    assert_ne!(one.id, two.id);
    assert_ne!(one.trials[0].point, two.trials[0].point);
    let seeds = |members: Range<usize>| -> Vec<u64> {
        let members = &plan.members[members];
        members.iter().map(|member| member.seed).collect()
    };
    assert_eq!(seeds(one.members.clone()), [0, 0, 1, 1, 2, 2]);
    assert_eq!(seeds(two.members.clone()), [3, 3, 4, 4, 5, 5]);
    let of_trial = two.trials[0].runs[0];
    assert_eq!(plan.runs[&of_trial].seed, FIRST_SEED_OF_TRIALS + 1);
    assert!(plan.name_of_study(two).ends_with("Triplet, search 2"));
    let name = plan.name_of_run(of_trial);
    assert!(
        name.contains("Triplet, search 2, trial 1, fold 1"),
        "{name}"
    );
    // The second repetition is the search with the next seed.
    let next = desk(&SWEEP.replace("trials = 8", "trials = 8\n    seed = 1"));
    let next = next.finish(next.plan(), false);
    assert_eq!(next.studies[0].id, two.id);
    assert_eq!(next.studies[0].trials[7].point, two.trials[7].point);
    assert_eq!(plan.ensembles.len(), 3 + 3);
}

#[test]
fn an_interrupted_study_asks_for_the_same_trials_in_whatever_order_they_end() {
    let straight = desk(SWEEP);
    let expected = straight.finish(straight.plan(), false);
    let other = desk(SWEEP);
    let mut plan = other.finish(other.plan(), true);
    assert_eq!(points(&plan), points(&expected));
    assert_eq!(plan.studies[0].state, expected.studies[0].state);
    // Planned anew from the results folder, after each trial.
    let resumed = desk(SWEEP);
    plan = resumed.plan();
    while plan.studies[0].state == StudyState::Open {
        let open = plan.studies[0]
            .trials
            .iter()
            .find(|trial| trial.outcome == TrialOutcome::Pending)
            .unwrap();
        for (place, &run) in open.runs.iter().enumerate() {
            resumed.train(run, score(&open.point) + 0.01 * place as f64);
        }
        plan = resumed.plan();
    }
    assert_eq!(points(&plan), points(&expected));
    let runs = |plan: &Plan| {
        plan.members
            .iter()
            .map(|member| member.run)
            .collect::<Vec<_>>()
    };
    assert_eq!(runs(&plan), runs(&expected));
}

#[test]
fn a_trial_that_breaks_down_fails_and_one_that_was_lost_is_waited_for() {
    let desk = desk(SWEEP);
    let runs: Vec<Vec<RunId>> = desk.plan().studies[0]
        .trials
        .iter()
        .map(|trial| trial.runs.clone())
        .collect();
    desk.break_down(runs[0][1]);
    desk.fail(runs[1][0], Failure::Crashed);
    desk.fail(runs[2][0], Failure::Recipe);
    let plan = desk.plan();
    let outcomes: Vec<TrialOutcome> = plan.studies[0]
        .trials
        .iter()
        .map(|trial| trial.outcome)
        .collect();
    assert_eq!(
        outcomes,
        [
            TrialOutcome::Failed,
            TrialOutcome::Pending,
            TrialOutcome::Failed
        ]
    );
    assert_eq!(plan.studies[0].trials[0].broken, Some(Breakdown::Diverged));
}

#[test]
fn a_study_whose_trials_all_fail_selects_nothing() {
    let desk = desk(SWEEP);
    let mut plan = desk.plan();
    while let Some(trial) = plan.studies[0]
        .trials
        .iter()
        .find(|trial| trial.outcome == TrialOutcome::Pending)
    {
        desk.break_down(trial.runs[0]);
        plan = desk.plan();
    }
    let study = &plan.studies[0];
    assert_eq!((study.trials.len(), study.state), (8, StudyState::Hopeless));
    assert!(
        plan.members[study.members.clone()]
            .iter()
            .all(|member| !plan.runs.contains_key(&member.run))
    );
    assert!(plan.ensembles.is_empty());
}

#[test]
fn trials_stay_what_they_are_when_their_bounds_are_edited() {
    let mut desk = desk(SWEEP);
    let plan = desk.plan();
    let (id, before) = (plan.studies[0].id, points(&plan));
    desk.ledger.keep_points(id, &before).unwrap();
    desk.sweep = read(
        desk.folder.path(),
        &SWEEP.replace("uniform = [0, 1]", "uniform = [0, 9]"),
    );
    let plan = desk.finish(desk.plan(), false);
    assert_eq!(plan.studies[0].id, id);
    assert_eq!(points(&plan)[..3], before);
    assert!(
        points(&plan)[3..]
            .iter()
            .any(|point| value(point, "loss.triplet.margin") > 1.0)
    );
}

#[test]
fn searches_of_two_sweeps_share_runs_but_no_budget() {
    let (one, mut other) = (desk(SWEEP), desk(SWEEP));
    other.sweep = read(
        other.folder.path(),
        &SWEEP.replace("name = \"test\"", "name = \"other\""),
    );
    let (one, other) = (one.plan(), other.plan());
    assert_ne!(one.studies[0].id, other.studies[0].id);
    assert_eq!(
        one.studies[0].trials[0].runs,
        other.studies[0].trials[0].runs
    );
}

#[test]
fn a_value_that_matters_only_with_an_earlier_choice_is_left_out_elsewhere() {
    let text = SWEEP.replace("strategy = \"gp\"", "strategy = \"random\"").replace(
        "loss.triplet = { margin = { uniform = [0, 1] } }",
        "loss.triplet = { swap = { choice = [false, true] }, margin = { uniform = [0.5, 1], when = { \"loss.triplet.swap\" = true } } }",
    );
    let plan = desk(&text).plan();
    let mut seen = [false, false];
    for trial in &plan.studies[0].trials {
        let training = plan.runs[&trial.runs[0]]
            .unseeded
            .recipe
            .training
            .as_ref()
            .unwrap();
        let schema::Loss::Triplet(triplet) = &training.loss else {
            panic!("{:?}", training.loss)
        };
        let default = schema::Triplet::default().margin;
        assert_eq!(
            triplet.margin == default,
            !triplet.swap,
            "{:?}",
            trial.point
        );
        seen[usize::from(triplet.swap)] = true;
    }
    assert_eq!(seen, [true, true]);
}

#[test]
fn a_plan_that_has_grown_is_the_plan_that_is_made_of_its_results() {
    let two_searches = SWEEP.replace(
        "baseline = \"untrained\"",
        "loss.triplet = { margin = 0.3 }",
    );
    for text in [SWEEP, &pruned(), &with_a_recipe_twice(), &two_searches] {
        let desk = desk(text);
        let grown = desk.finish(desk.plan(), true);
        let anew = desk.plan();
        let nodes = |plan: &Plan| plan.graph().nodes().collect::<BTreeSet<_>>();
        assert_eq!(nodes(&grown), nodes(&anew));
        let jobs = nodes(&grown).into_iter().filter_map(Node::job);
        assert_eq!(jobs.collect::<BTreeSet<_>>(), grown.jobs().collect());
        let edges = |plan: &Plan| {
            plan.graph()
                .all_edges()
                .map(|(a, b, ())| (a, b))
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(edges(&grown), edges(&anew));
        let ensembles = |plan: &Plan| {
            let ensembles = plan.ensembles.iter();
            let described = ensembles.map(|(&id, ensemble)| (id, ensemble.members.clone()));
            described.collect::<Vec<_>>()
        };
        assert_eq!(ensembles(&grown), ensembles(&anew));
        let of_runs = |plan: &Plan| {
            let runs = plan.runs.iter();
            let described = runs
                .map(|(&run, planned)| (run, planned.member, planned.row, plan.name_of_run(run)));
            described.collect::<Vec<_>>()
        };
        assert_eq!(of_runs(&grown), of_runs(&anew));
    }
}
