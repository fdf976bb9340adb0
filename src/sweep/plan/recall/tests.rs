use std::{fs, path::Path};

use schema::{Evaluated, Metric, Outcome, Record, Registration, SCHEMA};
use tempfile::TempDir;

use super::*;
use crate::plan::Plan;

/// Baselines that use the network or not, and trained rows, with values fixed or searched.
const SWEEP: &str = r#"
    [sweep]
    name = "test"
    folds = 2
    [data]
    root = "ROOT/data"
    dataset.own = { name = "birds" }
    resize = 32
    [transform]
    test.center_crop = 32
    [model]
    backbone.resnet18 = { weights = "mine" }
    embedding = 16
    [training]
    steps = 10
    sampler.m_per_class = { batch = 8 }
    optimizer.sgd = {}
    [[method]]
    name = "Pixels"
    baseline = "pixels"
    [[method]]
    name = "Trunk"
    baseline = "trunk"
    [[method]]
    name = "Triplet"
    loss.triplet = {}
    [resources]
    weights = "ROOT/weights"
"#;

const ONE: Numerics = Numerics::Cpu { threads: 1 };
const TWO: Numerics = Numerics::Cpu { threads: 2 };

struct Desk {
    folder: TempDir,
    sweep: Sweep,
    ledger: Ledger,
}

impl Desk {
    fn new(text: &str) -> Desk {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        let file = folder.path().join("test.toml");
        fs::write(&file, text.replace("ROOT", &root)).unwrap();
        let desk = Desk {
            sweep: Sweep::read(&file, &[]).unwrap(),
            ledger: Ledger::new(folder.path().join("results")),
            folder,
        };
        desk.add_data("first");
        desk.add_weights("abc");
        desk
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn add_data(&self, content: &str) {
        write(&self.path("data/birds/1.png"), content);
        let table = self.path("data/birds").join(Registration::LISTING);
        write(&table, "path,label,class_name,split\n1.png,0,finch,train\n");
    }

    fn add_weights(&self, hash: &str) {
        let manifest = format!("architecture = \"resnet18\"\nsha256 = \"{hash}\"\ntensors = 102\n");
        write(&self.path("weights/mine.toml"), &manifest);
        write(&self.path("weights/mine.safetensors"), "");
    }

    fn plan(&self, arithmetic: Arithmetic<'_>) -> Result<Plan, PlanError> {
        Plan::with(&self.sweep, &self.ledger, arithmetic)
    }

    /// Gives every run of the plan a result, and returns the runs.
    fn finish(&self, numerics: Numerics) -> Vec<RunId> {
        let plan = self.plan(Arithmetic::Here(numerics)).unwrap();
        assert_eq!(plan.missing, Vec::<String>::new());
        for (&run, planned) in &plan.runs {
            self.ledger.describe_run(&planned.identity()).unwrap();
            let evaluated = Evaluated {
                scores: [(Metric::MapAtR, 0.5)].into(),
                ..Evaluated::default()
            };
            let record = Record {
                schema: SCHEMA,
                run,
                outcome: Outcome::Finished(evaluated),
            };
            self.ledger.publish_record(&record).unwrap();
        }
        plan.runs.keys().copied().collect()
    }

    /// Gives the runs of one method of another sweep a result.
    fn finish_method(&self, method: &str, numerics: Numerics) {
        let plan = self.plan(Arithmetic::Here(numerics)).unwrap();
        let member = plan.members.iter().find(|member| member.method == method);
        let run = member.unwrap().run;
        self.ledger
            .describe_run(&plan.runs[&run].identity())
            .unwrap();
        let trained = schema::Trained {
            end: schema::TrainingEnd::Completed,
            steps: 0,
            kept_step: 0,
            validation: None,
            empty_steps: 0,
            objective: None,
        };
        self.ledger.publish_trained(run, &trained).unwrap();
    }

    /// The runs of the sweep as its results have them.
    fn recalled(&self, allowed: &[Numerics]) -> Vec<RunId> {
        let plan = self.plan(Arithmetic::OfResults(allowed)).unwrap();
        assert_eq!(plan.missing, Vec::<String>::new());
        plan.runs.keys().copied().collect()
    }

    fn refusal(&self, allowed: &[Numerics]) -> String {
        self.plan(Arithmetic::OfResults(allowed))
            .unwrap_err()
            .to_string()
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn finished_runs_are_found_without_their_data_and_their_weights() {
    let desk = Desk::new(SWEEP);
    let runs = desk.finish(ONE);
    let gone: [&[&str]; 4] = [
        &["data/birds/1.png"],
        &["data/birds/listing.csv"],
        &["weights/mine.safetensors"],
        &["weights/mine.toml"],
    ];
    for paths in gone {
        paths
            .iter()
            .for_each(|path| fs::remove_file(desk.path(path)).unwrap());
        assert_eq!(desk.recalled(&[ONE]), runs, "{paths:?}");
        let plan = desk.plan(Arithmetic::Here(ONE)).unwrap();
        assert!(!plan.recalled.is_empty(), "{paths:?}");
        assert!(plan.runs.keys().eq(&runs), "{paths:?}");
    }
}

#[test]
fn trials_are_found_without_their_data() {
    let text = SWEEP.replace(
        "loss.triplet = {}",
        "loss.triplet = { margin = { uniform = [0.1, 0.3] } }",
    ) + "[search]\nstrategy = \"random\"\ntrials = 3\n";
    let desk = Desk::new(&text);
    let study = |plan: &Plan| plan.studies[0].id;
    let before = desk.plan(Arithmetic::Here(ONE)).unwrap();
    desk.ledger.keep_points(study(&before), &[]).unwrap();
    fs::remove_dir_all(desk.path("data")).unwrap();
    let unknown = desk.plan(Arithmetic::OfResults(&[ONE])).unwrap();
    assert_ne!(study(&unknown), study(&before));
    let run = before.runs.values().next().unwrap().identity();
    desk.ledger.describe_run(&run).unwrap();
    let trained = schema::Trained {
        end: schema::TrainingEnd::Completed,
        steps: 10,
        kept_step: 10,
        validation: None,
        empty_steps: 0,
        objective: None,
    };
    desk.ledger.publish_trained(run.run(), &trained).unwrap();
    let after = desk.plan(Arithmetic::OfResults(&[ONE])).unwrap();
    assert_eq!(study(&after), study(&before));
}

#[test]
fn without_results_what_is_missing_stays_missing() {
    let desk = Desk::new(SWEEP);
    fs::remove_dir_all(desk.path("data")).unwrap();
    fs::remove_dir_all(desk.path("weights")).unwrap();
    let plan = desk.plan(Arithmetic::OfResults(&[ONE])).unwrap();
    assert_eq!((plan.missing.len(), plan.recalled.len()), (2, 0));
}

#[test]
fn results_on_two_versions_of_the_data_leave_it_open_which_are_meant() {
    let desk = Desk::new(SWEEP);
    let first = desk.finish(ONE);
    desk.add_data("second, longer");
    let second = desk.finish(ONE);
    assert_ne!(first, second);
    // As long as the data is there, it decides.
    assert_eq!(desk.recalled(&[ONE]), second);
    fs::remove_dir_all(desk.path("data")).unwrap();
    let refusal = desk.refusal(&[ONE]);
    assert!(
        refusal.contains("`birds`") && refusal.contains("2 versions"),
        "{refusal}"
    );
}

#[test]
fn results_from_two_files_of_weights_leave_it_open_which_are_meant() {
    let desk = Desk::new(SWEEP);
    desk.finish(ONE);
    desk.add_weights("def");
    desk.finish(ONE);
    fs::remove_dir_all(desk.path("weights")).unwrap();
    let refusal = desk.refusal(&[ONE]);
    assert!(
        refusal.contains("`mine`") && refusal.contains("2 files"),
        "{refusal}"
    );
}

#[test]
fn results_of_another_machine_are_found_here() {
    for here in [
        &[Numerics::Cuda, ONE][..],
        &[ONE, Numerics::Cuda],
        &[TWO],
        &[Numerics::Cuda],
    ] {
        let desk = Desk::new(SWEEP);
        let runs = desk.finish(ONE);
        assert_eq!(desk.recalled(here), runs, "{here:?}");
        let plan = desk.plan(Arithmetic::Here(TWO)).unwrap();
        assert_eq!(plan.numerics, TWO, "new runs are computed as here");
    }
}

#[test]
fn a_baseline_that_another_sweep_shares_decides_nothing() {
    let desk = Desk::new(SWEEP);
    desk.finish_method("Pixels", Numerics::Cuda);
    let runs = desk.finish(ONE);
    assert_eq!(desk.recalled(&[Numerics::Cuda, ONE]), runs);
}

#[test]
fn the_arithmetic_of_the_sweep_file_decides_between_results() {
    let desk = Desk::new(SWEEP);
    let (one, two) = (desk.finish(ONE), desk.finish(TWO));
    assert_eq!(desk.recalled(&[ONE]), one);
    assert_eq!(desk.recalled(&[TWO, Numerics::Cuda]), two);
    let refusal = desk.refusal(&[Numerics::Cuda]);
    assert!(
        refusal.contains("the CPU with 1 thread and the CPU with 2 threads"),
        "{refusal}"
    );
    desk.finish(Numerics::Cuda);
    let refusal = desk.refusal(&[Numerics::Cuda, ONE]);
    assert!(refusal.contains("resources.device=\"cuda\""), "{refusal}");
}
