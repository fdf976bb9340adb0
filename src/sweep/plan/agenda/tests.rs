use schema::Numerics;

use super::*;
use crate::{
    ledger::JobKind,
    plan::tests::{Desk, TWO_METHODS},
};

/// Three seeds of two methods.
fn three_seeds() -> String {
    TWO_METHODS.replace("name = \"test\"", "name = \"test\"\n    seeds = 3")
}

/// A sweep without any results.
struct Case {
    desk: Desk,
    freshness: FreshnessOf,
    agenda: Agenda,
}

impl Case {
    fn new(text: &str) -> Case {
        let desk = Desk::new(text, Numerics::Cuda);
        let freshness = desk.freshness();
        let agenda = Agenda::new(Costs::read(&desk.plan, &desk.ledger), Device::Cuda);
        Case {
            desk,
            freshness,
            agenda,
        }
    }

    fn all(&mut self) -> Vec<JobSpec> {
        self.agenda.all(&self.desk.plan, &self.freshness)
    }

    /// Returns the jobs that have to run, in the order of their turns.
    fn in_order(&mut self) -> Vec<JobSpec> {
        let mut jobs = self.all();
        jobs.retain(|job| job.has_to_run);
        jobs.sort_by_key(|job| job.turn);
        jobs
    }

    /// Returns the trainings in the order of their turns.
    fn trainings(&mut self) -> Vec<RunId> {
        let jobs = self.in_order().into_iter();
        jobs.filter_map(|job| match job.job {
            Job::Train(run) => Some(run),
            Job::Prepare(_) | Job::Evaluate(_) | Job::Ensemble(_) => None,
        })
        .collect()
    }

    fn method(&self, run: RunId) -> &str {
        &self.desk.plan.member_of(run).unwrap().method
    }
}

#[test]
fn preparing_comes_first_then_measuring_then_training() {
    let mut case = Case::new(&three_seeds());
    let jobs = case.in_order();
    let kinds: Vec<JobKind> = jobs.iter().map(|job| job.job.kind()).collect();
    let expected = [
        vec![JobKind::Prepare],
        vec![JobKind::Evaluate; 6],
        vec![JobKind::Train; 6],
    ]
    .concat();
    assert_eq!(kinds, expected);
    assert_eq!(
        (jobs[0].device, jobs[1].device),
        (Device::Cpu, Device::Cuda)
    );
    let guesses: Vec<bool> = jobs.iter().map(|job| job.guess.is_some()).collect();
    let expected: Vec<bool> = kinds
        .iter()
        .map(|&kind| kind == JobKind::Evaluate)
        .collect();
    assert_eq!(
        guesses, expected,
        "the memory of a training has to be measured"
    );
}

#[test]
fn the_runs_of_a_method_of_higher_priority_come_first_and_have_the_same_ids() {
    let usual = Case::new(&three_seeds());
    for (name, priority) in [("B", 10), ("A", -1)] {
        let name = format!("name = \"{name}\"");
        let sweep = three_seeds().replace(&name, &format!("{name}\npriority = {priority}"));
        let mut case = Case::new(&sweep);
        assert!(usual.desk.plan.runs.keys().eq(case.desk.plan.runs.keys()));
        let runs = case.trainings().into_iter();
        let methods: String = runs.map(|run| case.method(run)).collect();
        assert_eq!(methods, "BBBAAA");
    }
}

#[test]
fn the_trials_of_a_search_and_the_data_of_a_method_have_its_priority() {
    let search = "[search]\nstrategy = \"random\"\ntrials = 2\n";
    let data = "[axes]\n\"data.dataset.glyphs.seed\" = [1, 2]\n";
    let of_second = "priority = 1\nwhen = { \"data.dataset.glyphs.seed\" = 2 }";
    let searched = "loss.contrastive = { neg_margin = { uniform = [0, 1] } }";
    let sweep = TWO_METHODS
        .replace("name = \"test\"", "name = \"test\"\nfolds = 2")
        .replace("name = \"B\"", &format!("name = \"B\"\n{of_second}"))
        .replace("loss.contrastive = {}", searched);
    let mut case = Case::new(&format!("{sweep}{search}{data}"));
    let jobs = case.in_order();
    let dataset_of = |job: &JobSpec| match job.job {
        Job::Prepare(data) => serde_json::to_string(&case.desk.plan.data[&data].dataset).unwrap(),
        other => panic!("{other} comes before the data"),
    };
    assert!(dataset_of(&jobs[0]).contains("\"seed\":2"));
    assert!(dataset_of(&jobs[1]).contains("\"seed\":1"));
    let first = jobs.iter().find_map(|job| match job.job {
        Job::Train(run) => Some(run),
        Job::Prepare(_) | Job::Evaluate(_) | Job::Ensemble(_) => None,
    });
    assert!(case.desk.plan.trial_of(first.unwrap()).is_some());
}

#[test]
fn one_training_of_each_kind_of_method_comes_before_all_others() {
    // The margins make four rows of two kinds.
    let axis = "[axes]\n\"method.A.loss.triplet.margin\" = [0.1, 0.2, 0.3]\n";
    let mut case = Case::new(&format!("{}{axis}", three_seeds()));
    let trainings = case.trainings();
    assert_eq!(trainings.len(), 4 * 3);
    let canaries: Vec<&str> = trainings[..2].iter().map(|&run| case.method(run)).collect();
    assert_eq!(canaries, ["A", "B"]);
    // Then the first row is completed.
    let third = case.desk.plan.member_of(trainings[2]).unwrap();
    assert_eq!((third.method.as_str(), third.seed), ("A", 1));
}

#[test]
fn a_kind_of_method_that_has_a_result_needs_no_canary() {
    let mut case = Case::new(&three_seeds());
    let first = case.desk.plan.members[0].run;
    case.freshness.insert(Job::Train(first), Freshness::Fresh);
    let trainings = case.trainings();
    let methods: Vec<&str> = trainings.iter().map(|&run| case.method(run)).collect();
    assert_eq!(methods, ["B", "A", "A", "B", "B"]);
}

#[test]
fn the_longest_trainings_come_first_and_the_shortest_is_the_canary() {
    let axis = "[axes]\n\"training.steps\" = [1000, 100000]\n";
    let mut case = Case::new(&format!("{}{axis}", three_seeds()));
    let steps: Vec<u64> = case
        .trainings()
        .iter()
        .map(|run| {
            case.desk.plan.runs[run]
                .unseeded
                .recipe
                .training
                .as_ref()
                .unwrap()
                .steps
        })
        .collect();
    assert_eq!(steps[..2], [1000; 2], "canaries");
    assert_eq!(steps[2..8], [100_000; 6]);
    assert_eq!(steps[8..], [1000; 4]);
}

#[test]
fn the_runs_of_a_data_set_stay_together() {
    let dataset = "dataset.glyphs = { classes = 8, test_classes = 4 }";
    let axis = "[axes]\ndataset = [\n\
        { glyphs = { classes = 8, test_classes = 4, seed = 0 } },\n\
        { glyphs = { classes = 8, test_classes = 4, seed = 1 } },\n]\n";
    let mut case = Case::new(&format!("{}{axis}", three_seeds().replace(dataset, "")));
    let mut data: Vec<DataId> = case
        .trainings()
        .iter()
        .map(|run| case.desk.plan.runs[run].data)
        .collect();
    // The canaries are of two kinds; the settings of the data sets are numbers.
    let rest = &mut data[2..];
    assert_eq!(rest.len(), 10);
    let changes = rest.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, 1, "{rest:?}");
}

#[test]
fn the_trials_of_a_search_are_foreseen_with_what_each_waits_for() {
    let searched = three_seeds()
        .replace("seeds = 3", "seeds = 2\nfolds = 2")
        .replace("loss.triplet = {}", "loss.triplet = { margin = { uniform = [0.0, 1.0] } }")
        .replace(
            "[[method]]\n    name = \"A\"",
            "[search]\n    strategy = \"gp\"\n    trials = 20\n    parallelism = 4\n    [[method]]\n    name = \"A\"",
        );
    let mut case = Case::new(&searched);
    let known = case.all();
    let foreseen = case.agenda.foresee(&case.desk.plan);
    let trials = case.desk.plan.studies[0].trials.len();
    // Two folds of each trial that is not known, then training and measuring two seeds on each, and two
    // ensembles.
    assert_eq!(foreseen.len(), 2 * (20 - trials) + 2 * 2 * 2 + 2);
    let all: BTreeSet<Job> = known.iter().chain(&foreseen).map(|job| job.job).collect();
    assert_eq!(all.len(), known.len() + foreseen.len());
    assert!(
        foreseen
            .iter()
            .flat_map(|job| &job.waits_for)
            .all(|job| all.contains(job))
    );
    // Trial 19 uses the results of trials 0 to 15, and trial 15 has used those of trials 0 to 11.
    let last = &foreseen[2 * (20 - trials) - 1];
    assert_eq!(last.waits_for.len(), 2 * 4);
    assert!(case.agenda.seconds(last.job) > 0.0);
}
