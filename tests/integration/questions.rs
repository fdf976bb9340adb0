//! `sweep diff`, `why`, `plan` and `show`: questions before and after a run.

use crate::desk::{Desk, SMALL};

#[test]
fn diff_shows_changed_keys_since_the_last_run() {
    let desk = Desk::new(SMALL);
    desk.sweep(&["diff", "sweep.toml"])
        .assert_code(1)
        .assert_says("was not run in `results` yet");
    desk.run().assert_code(0);
    desk.sweep(&["diff", "sweep.toml"])
        .assert_code(0)
        .assert_says("kept          4, 4 of them finished");

    let edited = SMALL
        .replace("margin = 0.2", "margin = 0.3")
        .replace("seeds = 2", "seeds = 3");
    std::fs::write(desk.path("sweep.toml"), edited).unwrap();
    desk.sweep(&["diff", "sweep.toml"])
        .assert_code(0)
        .assert_says("kept          2")
        .assert_says("loss.triplet.margin: 0.2 -> 0.3  (2 runs)")
        .assert_says("seed 2  (2 runs)")
        .assert_says("dropped       0");
    let told = desk
        .sweep(&["diff", "sweep.toml", "--json", "--set", "training.steps=20"])
        .assert_code(0);
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    let keys: Vec<&str> = told["changed"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["key"].as_str())
        .collect();
    assert_eq!(keys, ["loss.triplet.margin", "training.steps"]);
}

#[test]
fn a_renamed_method_keeps_its_runs() {
    let desk = Desk::new(SMALL);
    std::fs::write(
        desk.path("new.toml"),
        SMALL.replace("\"Triplet\"", "\"Other name\""),
    )
    .unwrap();
    desk.sweep(&["diff", "sweep.toml", "new.toml"])
        .assert_code(0)
        .assert_says("kept          4");
}

#[test]
fn why_shows_the_differences_and_attempts_of_a_run() {
    let desk = Desk::new(&SMALL.replace("seeds = 2", "seeds = [0, 101]"));
    desk.run().assert_code(2);
    let name_of = |member: &str, set: &str| {
        let plan = desk.sweep(&["plan", "sweep.toml", "--set", set]);
        let line = plan
            .out
            .lines()
            .find(|line| line.contains(member))
            .unwrap()
            .to_owned();
        line.split_whitespace().next().unwrap().to_owned()
    };
    let (crashed, longer) = (
        name_of("Triplet, seed 101", "training.steps=12"),
        name_of("Triplet, seed 0", "training.steps=13"),
    );
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
    desk.sweep(&["why", &longer])
        .assert_code(1)
        .assert_says("no run has an id that begins with");
}

#[test]
fn a_plan_forecasts_the_cost_once_a_similar_run_has_finished() {
    let desk = Desk::new(SMALL);
    desk.sweep(&["plan", "sweep.toml"])
        .assert_code(0)
        .assert_says("time      unknown");
    desk.run().assert_code(0);
    let more = desk
        .sweep(&["plan", "sweep.toml", "--set", "sweep.seeds=3", "--json"])
        .assert_code(0);
    let more: serde_json::Value = serde_json::from_str(&more.out).unwrap();
    let train = &more["forecast"]["verbs"]["train"];
    assert_eq!(
        (&train["todo"], &train["known"]["recipe"]),
        (&2.into(), &2.into())
    );
    desk.sweep(&["plan", "sweep.toml", "--set", "training.steps=24"])
        .assert_code(0)
        .assert_says("time      about")
        .assert_says("4 from the same network, images and batch, by steps")
        .assert_says("are free")
        .assert_says("memory    about ")
        .assert_says(" in measuring, for each slot");
    desk.sweep(&["plan", "sweep.toml", "--set", "model.embedding=8"])
        .assert_code(0)
        .assert_says("time      unknown");
}

#[test]
fn a_plan_shows_the_origin_of_each_value_and_draws_its_jobs() {
    let desk = Desk::new(SMALL);
    let origins = desk
        .sweep(&[
            "plan",
            "sweep.toml",
            "--origins",
            "--set",
            "training.steps=24",
        ])
        .assert_code(0);
    let line = |key: &str| {
        let line = origins.out.lines().find(|line| line.contains(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("training.steps"), "training.steps 24 --set");
    assert_eq!(
        line("method.Triplet.loss.triplet.margin"),
        "method.Triplet.loss.triplet.margin 0.2 sweep.toml:24"
    );
    assert_eq!(
        line("method.Triplet.loss.triplet.swap"),
        "method.Triplet.loss.triplet.swap false default"
    );
    let dot = desk.sweep(&["plan", "sweep.toml", "--dot"]).assert_code(0);
    assert_eq!(
        dot.out.matches(" -> ").count(),
        4 * 4,
        "training and evaluation wait for the images, evaluation for training, the report for it: four runs"
    );
    let many = desk
        .sweep(&["plan", "sweep.toml", "--mermaid", "--set", "sweep.seeds=50"])
        .assert_code(0);
    assert!(
        many.out.contains("Triplet<br/>50 jobs, 50 to do"),
        "{}",
        many.out
    );
}

#[test]
fn sweep_show_explains_the_settings_of_every_part() {
    let desk = Desk::new(SMALL);
    let kinds = [
        ("losses", "loss.triplet"),
        ("miners", "miner.semi_hard"),
        ("memories", "memory.xbm"),
        ("distances", "cosine"),
        ("reductions", "avg_non_zero"),
        ("samplers", "sampler.m_per_class"),
        ("optimizers", "optimizer.adam"),
        ("schedules", "schedule.cosine"),
        ("backbones", "backbone.resnet50"),
        ("poolings", "pooling.gem"),
        ("regularizers", "regularizer = { lp_norm = .. }"),
        ("strategies", "strategy = \"gp\""),
        ("data", "Recall@1, 10, 100, 1000"),
        (
            "presets",
            "research-xbm trains on Stanford Online Products.",
        ),
        ("protocol", "protocol = \"reality_check\""),
        ("rules", "F1"),
    ];
    for (kind, part) in kinds {
        desk.sweep(&["show", kind]).assert_code(0).assert_says(part);
    }
    let margin = desk.sweep(&["show", "losses", "triplet"]).out;
    let margin = margin.lines().find(|line| line.starts_with("    margin "));
    assert!(margin.unwrap().ends_with("Default: 0.05"));
    desk.sweep(&["show", "protocol", "reality_check"])
        .assert_says("optimizer.rms_prop");
    desk.sweep(&["show", "losses", "nothing"]).assert_code(1);
    let shown = desk.sweep(&["show", "losses", "triplet", "--json"]).out;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let entries = shown["entries"].as_array().unwrap();
    let triplet = entries
        .iter()
        .find(|entry| entry["name"] == "triplet")
        .unwrap();
    let settings = triplet["settings"].as_array().unwrap();
    let margin = settings
        .iter()
        .find(|setting| setting["name"] == "margin")
        .unwrap();
    assert_eq!(margin["default"], 0.05);
    let schema: serde_json::Value =
        serde_json::from_str(&desk.sweep(&["schema"]).assert_code(0).out).unwrap();
    assert_eq!(schema["title"], "A sweep");
}

#[test]
fn simulate_shows_the_time_on_other_machines_and_starts_nothing() {
    let desk = Desk::new(SMALL);
    desk.sweep(&["simulate", "sweep.toml", "--gpus", "2"])
        .assert_code(0)
        .assert_says("2 slots (gpu 0, gpu 1)")
        .assert_says(
            "9 jobs guessed from steps, batch and network: only proportions mean something",
        )
        .assert_says("lower bound");
    assert!(!desk.path("results").exists());

    desk.run().assert_code(0);
    let done = desk.sweep(&["simulate", "sweep.toml", "--slots", "2", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&found["jobs"], &found["measured"]), (&9.into(), &9.into()));
    assert_eq!(found["attempts"].as_array().unwrap().len(), 9);
    let seconds = |key: &str| found[key].as_f64().unwrap();
    assert!(seconds("makespan") >= seconds("lower_bound") && seconds("lower_bound") > 0.0);

    desk.sweep(&["simulate", "sweep.toml", "--left"])
        .assert_code(0)
        .assert_says("nothing to do");
    desk.sweep(&[
        "simulate",
        "sweep.toml",
        "--gpus",
        "2",
        "--gpu-memory",
        "many",
    ])
    .assert_code(1)
    .assert_says("expected a size such as 24GB");
}
