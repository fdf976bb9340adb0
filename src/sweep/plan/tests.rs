use std::{fs, path::Path};

use petgraph::algo::toposort;
use schema::{
    EnsembleRecord, Evaluated, Failure, Metric, Outcome, Record, SCHEMA, Trained, TrainingEnd,
};
use tempfile::TempDir;

use super::{
    freshness::{Freshness, FreshnessOf, Reason},
    *,
};
use crate::ledger::{AttemptEnd, AttemptExit, Cause, Job, write_json};

const SWEEP: &str = r#"
    [sweep]
    name = "test"
    seeds = 2
    folds = 2
    [data]
    dataset.glyphs = { classes = 8, test_classes = 4 }
    [model]
    backbone = "conv4"
    [axes]
    "model.embedding" = [16, 32]
    [training]
    steps = 10
    sampler.m_per_class = { batch = 8 }
    optimizer.sgd = {}
    [[method]]
    name = "Pixels"
    baseline = "pixels"
    [[method]]
    name = "Untrained"
    baseline = "untrained"
    [[method]]
    name = "A"
    loss.triplet = {}
"#;

/// A sweep of two methods on one data set.
pub(crate) const TWO_METHODS: &str = r#"
    [sweep]
    name = "test"
    [data]
    dataset.glyphs = { classes = 8, test_classes = 4 }
    [model]
    backbone = "conv4"
    [training]
    steps = 10
    sampler.m_per_class = { batch = 8 }
    optimizer.sgd = {}
    [[method]]
    name = "A"
    loss.triplet = {}
    [[method]]
    name = "B"
    loss.contrastive = {}
"#;

/// A sweep and its plan, in a temporary folder without results.
pub(crate) struct Desk {
    folder: TempDir,
    pub(crate) sweep: Sweep,
    pub(crate) ledger: Ledger,
    pub(crate) plan: Plan,
}

fn desk(text: &str) -> Desk {
    Desk::new(text, ON_CPU)
}

pub(crate) const ON_CPU: Numerics = Numerics::Cpu { threads: 1 };

fn read(folder: &Path, text: &str, numerics: Numerics) -> (Sweep, Plan) {
    let file = folder.join("test.toml");
    fs::write(&file, text).unwrap();
    let sweep = Sweep::read(&file, &[]).unwrap();
    let plan = Plan::new(&sweep, &Ledger::new(folder.join("results")), numerics).unwrap();
    (sweep, plan)
}

impl Desk {
    /// Plans a sweep.
    pub(crate) fn new(text: &str, numerics: Numerics) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let (sweep, plan) = read(folder.path(), text, numerics);
        let ledger = Ledger::new(folder.path().join("results"));
        Desk {
            sweep,
            ledger,
            plan,
            folder,
        }
    }

    pub(crate) fn freshness(&self) -> FreshnessOf {
        freshness::of(&self.plan, &self.ledger, &self.sweep.report).unwrap()
    }

    fn metrics(&self) -> Vec<Metric> {
        self.sweep.report.metrics(&self.sweep.points[0].dataset)
    }

    fn any_run_of(&self, method: &str) -> RunId {
        self.plan
            .members
            .iter()
            .find(|member| member.method == method)
            .unwrap()
            .run
    }

    fn train(&self, run: RunId) {
        let trained = Trained {
            end: TrainingEnd::Completed,
            steps: 10,
            kept_step: 10,
            validation: None,
            empty_steps: 0,
            objective: None,
        };
        self.ledger.publish_trained(run, &trained).unwrap();
        fs::write(self.ledger.run(run).model(), "").unwrap();
    }

    fn record(&self, run: RunId, metrics: &[Metric]) {
        let scores = metrics.iter().map(|&metric| (metric, 0.5)).collect();
        let outcome = Outcome::Finished(Evaluated {
            classes: 4,
            images: 80,
            gallery: None,
            without_positive: 0,
            scores,
            ..Evaluated::default()
        });
        self.ledger
            .publish_record(&Record {
                schema: SCHEMA,
                run,
                outcome,
            })
            .unwrap();
    }
}

#[test]
fn every_cell_has_its_repetitions_and_equal_recipes_are_one_run() {
    let desk = desk(SWEEP);
    let runs_of = |method: &str| {
        let members = desk
            .plan
            .members
            .iter()
            .filter(|member| member.method == method);
        let runs: std::collections::BTreeSet<_> =
            members.clone().map(|member| member.run).collect();
        (members.count(), runs.len())
    };
    assert_eq!(runs_of("A"), (8, 8), "2 embeddings x 2 seeds x 2 folds");
    assert_eq!(
        runs_of("Untrained"),
        (8, 4),
        "a fold holds nothing out of a network that is not trained"
    );
    assert_eq!(runs_of("Pixels"), (8, 1), "pixels depend on nothing");
}

#[test]
fn the_graph_goes_from_preparation_to_the_report() {
    let desk = desk(SWEEP);
    let order = toposort(desk.plan.graph(), None).unwrap();
    assert_eq!(order.len(), 1 + 2 * 13 + 4 + 1);
    assert!(matches!(order[0], Node::Job(Job::Prepare(_))));
    assert_eq!(*order.last().unwrap(), Node::Report);
}

#[test]
fn runs_that_differ_in_their_seeds_alone_share_what_their_ids_are_hashes_of() {
    let plan = desk(SWEEP).plan;
    let mut shared = BTreeMap::<_, BTreeSet<u64>>::new();
    for (&run, planned) in &plan.runs {
        assert_eq!(planned.identity().run(), run);
        let place = Arc::as_ptr(&planned.unseeded);
        shared.entry(place).or_default().insert(planned.seed);
    }
    let seeds: Vec<usize> = shared.values().map(BTreeSet::len).collect();
    assert_eq!(seeds.iter().sum::<usize>(), plan.runs.len());
    assert!(seeds.contains(&2), "{seeds:?}");
}

#[test]
fn the_jobs_of_a_plan_are_those_of_its_graph() {
    let plan = desk(SWEEP).plan;
    let jobs: BTreeSet<Job> = plan.jobs().collect();
    let nodes = plan.graph().nodes();
    assert_eq!(jobs, nodes.filter_map(Node::job).collect());
    assert!(jobs.iter().all(|&job| plan.has(job)));
}

#[test]
fn the_folds_of_a_cell_and_a_seed_are_measured_together_once_each_is_measured() {
    let desk = desk(SWEEP);
    assert_eq!(
        desk.plan.ensembles.len(),
        4,
        "2 embeddings x 2 seeds; what no fold changes has none"
    );
    for (&id, ensemble) in &desk.plan.ensembles {
        let member = &desk.plan.members[*ensemble.members.first().unwrap()];
        assert_eq!(
            (member.method.as_str(), member.run, ensemble.runs.len()),
            ("A", ensemble.runs[0], 2)
        );
        let ensemble_job = Node::Job(Job::Ensemble(id));
        let before: Vec<Job> = jobs_before(ensemble_job, desk.plan.graph()).collect();
        assert!(
            ensemble
                .runs
                .iter()
                .all(|&run| before.contains(&Job::Evaluate(run))),
            "{before:?}"
        );
    }
}

#[test]
fn names_of_runs_depend_on_recipes_and_not_on_the_words_around_them() {
    let desk = desk(SWEEP);
    let renamed = SWEEP.replace("\"A\"", "\"Other\"").replace(
        "name = \"test\"",
        "name = \"else\"\n[resources]\nslots = 3\n",
    );
    let renamed = renamed
        .replace("seeds = 2", "")
        .replace("folds = 2", "")
        .replace("[data]", "[report]\nmetrics = [\"map@r\"]\n[data]");
    let (_, same) = read(
        desk.folder.path(),
        &renamed.replace("[resources]", "seeds = 2\nfolds = 2\n[resources]"),
        ON_CPU,
    );
    assert!(desk.plan.runs.keys().eq(same.runs.keys()));
    let (_, other) = read(
        desk.folder.path(),
        &SWEEP.replace("steps = 10", "steps = 11"),
        ON_CPU,
    );
    let shared = other
        .runs
        .keys()
        .filter(|run| desk.plan.runs.contains_key(run))
        .count();
    assert_eq!(shared, 5, "only the baselines, which no training touches");
}

#[test]
fn each_job_knows_why_it_runs() {
    let desk = desk(SWEEP);
    let run = desk.any_run_of("A");
    let (train, evaluate) = (Job::Train(run), Job::Evaluate(run));
    let prepare = Job::Prepare(*desk.plan.data.keys().next().unwrap());
    assert_eq!(desk.freshness()[&train], Freshness::Stale(Reason::New));

    fs::create_dir_all(desk.ledger.run(run).path()).unwrap();
    fs::write(desk.ledger.run(run).checkpoint(), "").unwrap();
    assert_eq!(
        desk.freshness()[&train],
        Freshness::Stale(Reason::Interrupted)
    );

    let folder = desk.ledger.attempt_folder(train, 1);
    let end = AttemptEnd::Failed {
        class: schema::Failure::Data,
        message: "a damaged image".to_owned(),
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
    assert_eq!(
        desk.freshness()[&train],
        Freshness::Stale(Reason::Failed(Cause {
            class: Failure::Data,
            code: Some(1),
            signal: None,
            message: "a damaged image".to_owned(),
        }))
    );

    desk.train(run);
    assert_eq!(
        (&desk.freshness()[&train], &desk.freshness()[&evaluate]),
        (&Freshness::Fresh, &Freshness::Stale(Reason::New))
    );

    desk.record(run, &[Metric::MapAtR]);
    assert!(
        matches!(&desk.freshness()[&evaluate], Freshness::Stale(Reason::Unmeasured { metrics }) if metrics.len() == 6)
    );
    desk.record(run, &desk.metrics());
    assert_eq!(desk.freshness()[&evaluate], Freshness::Fresh);

    assert_eq!(desk.freshness()[&prepare], Freshness::Stale(Reason::New));
    desk.plan
        .runs
        .keys()
        .for_each(|&run| desk.record(run, &desk.metrics()));
    let ensemble = *desk.plan.ensembles.keys().next().unwrap();
    assert_eq!(
        desk.freshness()[&Job::Ensemble(ensemble)],
        Freshness::Stale(Reason::New)
    );
    for (&id, ensemble) in &desk.plan.ensembles {
        let scores = desk
            .metrics()
            .into_iter()
            .map(|metric| (metric, 0.5))
            .collect();
        let evaluated = Evaluated {
            classes: 4,
            images: 80,
            gallery: None,
            without_positive: 0,
            scores,
            ..Evaluated::default()
        };
        let record = EnsembleRecord {
            schema: SCHEMA,
            runs: ensemble.runs.clone(),
            evaluated,
        };
        desk.ledger.publish_ensemble(id, &record).unwrap();
    }
    assert_eq!(desk.freshness()[&prepare], Freshness::NotNeeded);
}

#[test]
fn a_missing_data_set_can_be_planned_but_never_counts_as_there() {
    let desk = desk(&SWEEP.replace(
        "dataset.glyphs = { classes = 8, test_classes = 4 }",
        "dataset = \"omniglot\"\nroot = \"/nowhere\"",
    ));
    assert_eq!(desk.plan.missing.len(), 1);
    assert!(
        desk.plan.missing[0].contains("/nowhere"),
        "{}",
        desk.plan.missing[0]
    );
}

#[test]
fn a_row_is_the_same_however_its_axis_values_are_written() {
    let row = |value: &str| {
        let setting = Setting {
            axis: "training.optimizer".to_owned(),
            value: value.to_owned(),
        };
        RowId::new(&Dataset::Omniglot, "A", &[setting])
    };
    for (left, right) in [
        ("1e-3", "0.001"),
        (
            "{ sgd = { lr = 1, momentum = 0.5 } }",
            "{sgd={momentum=5e-1,lr=1.0}}",
        ),
        ("adam", "\"adam\""),
    ] {
        assert_eq!(row(left), row(right));
    }
    assert_ne!(row("1e-3"), row("1e-2"));
    assert_ne!(row("9007199254740993"), row("9007199254740992"));
}
