//! What one asks before and after a run: what has changed, and why.

use crate::desk::{Desk, SMALL};

#[test]
fn a_change_is_told_by_key_and_against_what_was_last_run() {
    let desk = Desk::new(SMALL);
    desk.sweep(&["diff", "sweep.toml"]).assert_code(1).assert_says("was not run in `results` yet");
    desk.run().assert_code(0);
    desk.sweep(&["diff", "sweep.toml"]).assert_code(0).assert_says("kept          4, 4 of them finished");

    let edited = SMALL.replace("margin = 0.2", "margin = 0.3").replace("seeds = 2", "seeds = 3");
    std::fs::write(desk.path("sweep.toml"), edited).unwrap();
    desk.sweep(&["diff", "sweep.toml"])
        .assert_code(0)
        .assert_says("kept          2")
        .assert_says("loss.triplet.margin: 0.2 -> 0.3  (2 runs)")
        .assert_says("seed 2  (2 runs)")
        .assert_says("dropped       0");
    let told = desk.sweep(&["diff", "sweep.toml", "--json", "--set", "training.steps=20"]).assert_code(0);
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    let keys: Vec<&str> = told["changed"].as_array().unwrap().iter().filter_map(|it| it["key"].as_str()).collect();
    assert_eq!(keys, ["loss.triplet.margin", "training.steps"]);
}

#[test]
fn a_renamed_method_keeps_its_runs() {
    let desk = Desk::new(SMALL);
    std::fs::write(desk.path("new.toml"), SMALL.replace("\"Triplet\"", "\"Other name\"")).unwrap();
    desk.sweep(&["diff", "sweep.toml", "new.toml"]).assert_code(0).assert_says("kept          4");
}

#[test]
fn why_names_what_sets_a_run_apart_and_what_was_tried() {
    let desk = Desk::new(&SMALL.replace("seeds = 2", "seeds = [0, 101]"));
    desk.run().assert_code(2);
    let name_of = |member: &str, set: &str| {
        let plan = desk.sweep(&["plan", "sweep.toml", "--set", set]);
        let line = plan.out.lines().find(|line| line.contains(member)).unwrap().to_owned();
        line.split_whitespace().next().unwrap().to_owned()
    };
    let (crashed, longer) =
        (name_of("Triplet, seed 101", "training.steps=12"), name_of("Triplet, seed 0", "training.steps=13"));
    desk.sweep(&["why", &crashed[..10]])
        .assert_code(0)
        .assert_says("Triplet, seed 101")
        .assert_says("has to run: failed before")
        .assert_says("train 3: failed")
        .assert_says("seed: 0 there, 101 here");
    desk.sweep(&["why", &longer, "sweep.toml", "--set", "training.steps=13"])
        .assert_code(0)
        .assert_says("attempts: none")
        .assert_says("has another setting:")
        .assert_says("training.steps: 12 there, 13 here");
    desk.sweep(&["why", &longer]).assert_code(1).assert_says("no run's name begins with");
}
