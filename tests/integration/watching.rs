//! Watching and stopping a sweep from another terminal, and running a part of it.

use std::{thread, time::Duration};

use serde_json::Value;

use crate::desk::{Desk, SMALL};

/// Waits until a run has written a checkpoint.
fn wait_for_a_checkpoint(desk: &Desk) {
    for _ in 0..1000 {
        let has_runs = desk.path("results/runs").is_dir();
        if has_runs && !desk.in_runs("checkpoint.safetensors").is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("no checkpoint");
}

/// What `sweep status --json` prints.
fn status(desk: &Desk) -> Value {
    let status = desk
        .sweep(&["status", "sweep.toml", "--json"])
        .assert_code(0);
    serde_json::from_str(&status.out).unwrap()
}

#[test]
fn a_running_sweep_is_watched_and_stopped_from_another_terminal() {
    let sweep = SMALL.replace("steps = 12", "steps = 4000");
    let desk = Desk::new(&sweep).slowly(20);
    let mut child = desk.start();
    wait_for_a_checkpoint(&desk);

    desk.sweep(&["status", "sweep.toml"])
        .assert_code(0)
        .assert_says("running for")
        .assert_says(" of 4000")
        .assert_says("`sweep stop sweep.toml` stops it");
    let status = status(&desk);
    assert_eq!(status["version"], 3);
    assert_eq!(status["session"]["sweep"], "small");
    assert_eq!(status["session"]["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(status["runs"]["total"], 4);

    desk.sweep(&["stop", "sweep.toml"])
        .assert_code(0)
        .assert_says("`sweep run sweep.toml` resumes");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    desk.assert_no_orphans();
    let status = desk.sweep(&["status", "sweep.toml"]);
    assert!(!status.out.contains("running for"), "{}", status.out);
    status.assert_says("has a checkpoint");
    desk.sweep(&["stop", "sweep.toml"])
        .assert_code(1)
        .assert_says("no `sweep run` works in `results`");
}

#[test]
fn failures_of_one_cause_are_grouped_and_tried_again_alone() {
    let desk = Desk::new(&SMALL.replace("seeds = 2", "seeds = [0, 101]"));
    desk.run().assert_code(2);
    let status = desk.sweep(&["status", "sweep.toml"]).assert_code(2);
    let status = status.assert_says("failed    2 runs: killed by SIGABRT (6)");
    assert_eq!(status.out.matches("log: ").count(), 1, "{}", status.out);

    let more = [
        "--set",
        "sweep.seeds=[0, 1, 101]",
        "--only",
        "failed",
        "--no-retry",
    ];
    let only = [&desk.run_arguments()[..], &more].concat();
    desk.sweep(&only)
        .assert_code(2)
        .assert_says("2 jobs failed");
    let journal = desk.journal().into_iter().rev();
    let latest = journal.take_while(|entry| entry["what"]["opened"].is_null());
    let started = latest.filter(|entry| !entry["what"]["started"].is_null());
    assert_eq!(started.count(), 2, "each failed run once, and no new one");
}

#[test]
fn with_fail_fast_nothing_is_begun_after_a_failure() {
    let sweep = SMALL
        .replace("seeds = 2", "seeds = [103, 0, 1, 2, 3, 4]")
        .replace("slots = 2", "slots = 1");
    let desk = Desk::new(&sweep);
    let fast = [&desk.run_arguments()[..], &["--fail-fast"]].concat();
    desk.sweep(&fast)
        .assert_code(2)
        .assert_says("stopped after");
    assert!(desk.finished().len() < 12, "{:?}", desk.finished());
    desk.run().assert_code(2);
    assert!(desk.finished().len() > 12, "{:?}", desk.finished());
}

#[test]
fn the_log_of_a_run_is_found_by_the_beginning_of_its_id() {
    let desk = Desk::new(&SMALL.replace("seeds = 2", "seeds = [101]"));
    desk.run().assert_code(2);
    let run = desk.in_runs("identity.json").into_keys().next().unwrap();
    desk.sweep(&["logs", &run[..6], "--all"])
        .assert_code(0)
        .assert_says("train, attempt 1: ")
        .assert_says("train, attempt 3: ");
    desk.sweep(&["logs", "sweep.toml"])
        .assert_code(0)
        .assert_says(", attempt 3: ");
    desk.sweep(&["logs", "zzzz"])
        .assert_code(1)
        .assert_says("`zzzz` is neither a file nor the folder of a run, and no run in `results` has an id that begins with it");
}

#[test]
fn a_file_that_init_writes_can_be_run() {
    let desk = Desk::new(SMALL);
    desk.sweep(&["init", "first"])
        .assert_code(0)
        .assert_says("`sweep run first.toml` runs it");
    desk.sweep(&["run", "first.toml", "--trainer", desk.trainer()])
        .assert_code(0)
        .assert_says("written to reports/first");
    desk.sweep(&["init", "first.toml"])
        .assert_code(1)
        .assert_says("exists already");
    desk.sweep(&["init", "other", "--from", "reality_check_lite"])
        .assert_code(1)
        .assert_says("builds on another file");
}

#[test]
fn mistakes_and_lists_are_printed_as_json() {
    let desk = Desk::new(
        &SMALL
            .replace("steps = 12", "stepz = 12")
            .replace("seeds", "sedes"),
    );
    let read = |arguments: &[&str], code: i32| -> Value {
        let done = desk.sweep(arguments).assert_code(code);
        serde_json::from_str(&done.out).unwrap()
    };
    let checked = read(&["check", "sweep.toml", "--json"], 1);
    let mistakes = checked["mistakes"].as_array().unwrap();
    assert_eq!(mistakes.len(), 2, "{checked}");
    assert_eq!(mistakes[0]["line"], 4);
    assert_eq!(mistakes[0]["hint"], "did you mean `seeds`?");
    assert!(
        read(&["data", "list", "--json"], 0)["data"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert!(
        read(&["weights", "list", "--json"], 0)["weights"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn triage_says_why_a_run_failed_and_what_to_do() {
    let desk = Desk::new(&SMALL.replace("seeds = 2", "seeds = [0, 101, 104]"));
    desk.run().assert_code(2);
    let status = desk.sweep(&["status", "sweep.toml", "--json"]);
    let status: Value = serde_json::from_str(&status.out).unwrap();
    let run = status["failures"][0]["failed"][0]["id"].as_str().unwrap();
    let told = desk.sweep(&["triage", &run[..8], "sweep.toml"]);
    assert!(
        !told.out.contains("104 there"),
        "a diverged run is none that works"
    );
    told.assert_code(0)
        .assert_says("failed: killed by SIGABRT (6)")
        .assert_says("has another")
        .assert_says("`sweep run FILE --only failed` tries again");
    let found = desk.sweep(&["triage", run, "--json"]).assert_code(0);
    let found: Value = serde_json::from_str(&found.out).unwrap();
    assert_eq!(found["cause"]["failed"]["class"], "crashed");
}

#[test]
fn the_completions_know_the_commands() {
    let desk = Desk::new(SMALL);
    for shell in ["bash", "zsh", "fish"] {
        desk.sweep(&["completions", shell])
            .assert_code(0)
            .assert_says("neighbors");
    }
    desk.sweep(&["man"]).assert_code(0).assert_says(".TH sweep");
    desk.sweep(&["man", "--into", "man1"]).assert_code(0);
    assert!(desk.path("man1/sweep-status.1").is_file());
}

#[test]
fn a_search_tells_the_resources_in_use_and_at_most_how_many_jobs_are_left() {
    let search = "folds = 2\n\n[search]\nstrategy = \"tpe\"\ntrials = 3\nstartup = 2\n\n[data]";
    let sweep = SMALL
        .replace("[data]", search)
        .replace("margin = 0.2", "margin = { uniform = [0.1, 0.5] }")
        .replace("[[method]]", "[[method]]\nneeds.license = 1")
        .replace("steps = 12", "steps = 4000");
    let desk = Desk::new(&(sweep + "have = { license = 3, nfs = 1 }\n")).slowly(20);
    let mut child = desk.start();
    wait_for_a_checkpoint(&desk);
    let in_use = || status(&desk)["resources"]["license"].clone();
    while in_use()["used"] != 2 {
        thread::sleep(Duration::from_millis(20));
    }

    assert_eq!(in_use()["total"], 3);
    desk.sweep(&["status", "sweep.toml"])
        .assert_says("  in use    license 2 of 3, nfs 0 of 1\n")
        .assert_says("at most 26 jobs left; `sweep stop sweep.toml` stops it");

    desk.sweep(&["stop", "sweep.toml"]).assert_code(0);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(in_use()["used"], 0);
    let status = desk.sweep(&["status", "sweep.toml"]);
    assert!(!status.out.contains("in use"), "{}", status.out);
}
