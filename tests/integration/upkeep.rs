//! `sweep fsck` and `sweep gc`: what a results folder contains, whether it is sound, and what it can do without.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::desk::{Desk, SMALL};

/// A sweep with folds and a search, so that every kind of file is there.
fn searched() -> String {
    let search = "folds = 2\n\n[search]\nstrategy = \"tpe\"\ntrials = 3\nstartup = 2\n\n[data]";
    SMALL
        .replace("seeds = 2", "seeds = 1")
        .replace("steps = 12", "steps = 3")
        .replace("[data]", search)
        .replace("margin = 0.2", "margin = { uniform = [0, 1] }")
}

#[test]
fn every_file_that_a_sweep_writes_is_known_and_sound() {
    let desk = Desk::new(&searched());
    desk.run().assert_code(0);
    let done = desk.sweep(&["fsck"]).assert_code(0);
    for found in [
        "10 runs (4 measured)",
        "2 ensembles",
        "1 prepared data set",
        "1 search",
    ] {
        assert!(done.out.contains(found), "{}", done.out);
    }
    for trouble in ["unknown", "missing", "damaged", "half-written"] {
        assert!(!done.out.contains(trouble), "{}", done.out);
    }
    fs::write(desk.path("results/notes.txt"), "mine").unwrap();
    desk.sweep(&["fsck", "results"])
        .assert_code(0)
        .assert_says("unknown     1 file")
        .assert_says("notes.txt");
}

#[test]
fn damage_is_named_set_aside_and_computed_again() {
    let desk = Desk::new(&searched());
    desk.run().assert_code(0);
    let table = desk.table();
    let run = desk.in_runs("record.json").into_keys().next().unwrap();
    let record = format!("results/runs/{run}/record.json");
    fs::write(desk.path(&record), "{}").unwrap();
    fs::write(desk.path("results/data.incomplete"), "ha").unwrap();
    let journal = desk.read("results/journal.jsonl");
    let cut = journal.replacen("\"attempt\":1", "\"attempt\":7", 1);
    fs::write(desk.path("results/journal.jsonl"), cut).unwrap();

    desk.sweep(&["fsck", "sweep.toml"])
        .assert_code(1)
        .assert_says(&format!("`{record}` is damaged"))
        .assert_says("1 damaged line")
        .assert_says("`sweep fsck sweep.toml --repair`");
    desk.sweep(&["fsck", "sweep.toml", "--repair"])
        .assert_code(0)
        .assert_says("1 file set aside, 1 line of the journal written again");
    assert!(desk.path(&format!("{record}.damaged")).is_file());
    assert!(!desk.path("results/data.incomplete").exists());
    desk.sweep(&["fsck"])
        .assert_code(0)
        .assert_says("set aside   1 file");
    desk.run().assert_code(0);
    assert_eq!(desk.table(), table);
    desk.sweep(&["fsck", "sweep.toml"]).assert_code(0);
}

#[test]
fn a_journal_that_is_gone_is_written_again_from_the_folders_of_attempts() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    let finished = desk.finished();
    fs::remove_file(desk.path("results/journal.jsonl")).unwrap();
    desk.sweep(&["fsck", "--repair"]).assert_code(0);
    assert_eq!(desk.finished(), finished);
    // The times are there again.
    desk.sweep(&["plan", "sweep.toml", "--set", "sweep.seeds=3"])
        .assert_says("from the same recipe with another seed or fold");
}

#[test]
fn what_no_report_needs_can_be_removed_and_the_results_stay() {
    let desk = Desk::new(&SMALL.replace("seeds = 2", "seeds = [0, 102]"));
    desk.run().assert_code(0);
    let (table, models) = (desk.table(), desk.in_runs("model.safetensors").len());
    desk.sweep(&["gc"])
        .assert_code(0)
        .assert_says("requests, events and logs of earlier attempts")
        .assert_says("kept, unless --also names them")
        .assert_says("`sweep gc --delete` removes them");
    let other = SMALL.replace("seeds = 2", "seeds = [7]");
    std::fs::write(desk.path("other.toml"), other).unwrap();
    desk.sweep(&["gc", "other.toml"])
        .assert_code(0)
        .assert_says("results: nothing to remove");
    desk.sweep(&["gc", "sweep.toml"])
        .assert_code(0)
        .assert_says("`sweep gc sweep.toml --delete` removes them");
    desk.sweep(&["gc", "--delete"])
        .assert_code(0)
        .assert_says("removed");
    assert_eq!(desk.in_runs("model.safetensors").len(), models);
    desk.sweep(&["gc", "--delete"])
        .assert_says("nothing to remove");
    desk.sweep(&["gc", "--also", "networks", "--delete"])
        .assert_code(0);
    assert!(desk.in_runs("model.safetensors").is_empty());
    desk.sweep(&["fsck"])
        .assert_code(0)
        .assert_says("the networks of 4 measured runs");
    desk.run().assert_code(0).assert_says("up to date");
    assert_eq!(desk.table(), table);
}

/// True if a process was stopped by a signal and not continued.
fn is_stopped(process: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.contains("State:\tT")
}

#[test]
fn a_stopped_trainer_of_a_killed_sweep_is_ended_before_the_next_attempt() {
    let send =
        |process: i32, signal| kill_process(Pid::from_raw(process).unwrap(), signal).unwrap();
    let sweep = SMALL.replace("steps = 12", "steps = 60");
    let desk = Desk::new(&sweep).slowly(20);
    let mut first = desk.start();
    let is_training = || {
        let runs = desk.path("results/runs");
        runs.is_dir() && !desk.in_runs("checkpoint.safetensors").is_empty()
    };
    while !is_training() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let late = desk.trainers();
    late.iter().for_each(|&trainer| send(trainer, Signal::STOP));
    first.kill().unwrap();
    first.wait().unwrap();
    // Where hang-ups are ignored, as under `nohup`, the system continues orphans, and they end themselves.
    let mut stopped = desk.trainers();
    stopped.retain(|&trainer| is_stopped(trainer));
    let run = desk.run().assert_code(0);
    for trainer in stopped {
        assert!(late.contains(&trainer));
        let ended = format!("process {trainer} of an earlier `sweep` still worked here");
        assert!(run.err.contains(&ended), "{}", run.err);
    }
    desk.assert_no_orphans();
    let undisturbed = Desk::new(&sweep);
    undisturbed.run().assert_code(0);
    assert_eq!(desk.table(), undisturbed.table());
}

/// Runs the sweep with these seeds into a results folder of its own.
fn run_into(desk: &Desk, results: &str, seeds: &str) {
    let trainer = desk.trainer().to_owned();
    let seeds = format!("sweep.seeds={seeds}");
    let arguments = ["run", "sweep.toml", "--trainer", &trainer];
    let options = ["--set", &seeds, "--results", results];
    desk.sweep(&[&arguments[..], &options].concat())
        .assert_code(0);
}

#[test]
fn merged_results_make_the_table_of_one_folder() {
    let sweep = searched();
    let desk = Desk::new(&sweep);
    run_into(&desk, "one", "[1]");
    run_into(&desk, "other", "[2, 3]");
    let merge = ["merge", "one", "other", "--into", "results"];
    desk.sweep(&merge)
        .assert_code(0)
        .assert_says("one -> results")
        .assert_says("taken     10 runs, 2 ensembles, 1 prepared data set, 1 search");
    // It is done: nothing is taken twice.
    let again = desk.sweep(&merge).assert_code(0);
    let taken = again.out.lines().filter(|line| line.contains("taken"));
    let nothing =
        "  taken     0 runs, 0 ensembles, 0 prepared data sets, 0 searches, 0 other files";
    assert!(taken.eq([nothing; 2]), "{}", again.out);
    desk.sweep(&["fsck"]).assert_code(0);
    let three = sweep.replace("seeds = 1", "seeds = [1, 2, 3]");
    std::fs::write(desk.path("sweep.toml"), &three).unwrap();
    desk.run().assert_code(0).assert_says("up to date");
    let whole = Desk::new(&three);
    whole.run().assert_code(0);
    assert_eq!(desk.reports(), whole.reports());
}

#[test]
fn a_merge_takes_nothing_that_is_damaged_and_replaces_nothing_by_something_else() {
    let desk = Desk::new(SMALL);
    run_into(&desk, "results", "[1]");
    run_into(&desk, "other", "[1, 2]");
    let of = |folder: &str| {
        let runs = fs::read_dir(desk.path(folder).join("runs")).unwrap();
        let names = runs.map(|run| run.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let shared = of("results");
    let new: Vec<String> = of("other")
        .into_iter()
        .filter(|run| !shared.contains(run))
        .collect();
    // One has other scores, as another machine may compute them; another one is damaged.
    let record = format!("other/runs/{}/trained.json", shared[0]);
    let text = desk.read(&record).replace("\"steps\": 12", "\"steps\": 11");
    let mut content: serde_json::Value = serde_json::from_str(&text).unwrap();
    content.as_object_mut().unwrap().remove("seal");
    fs::write(desk.path(&record), content.to_string()).unwrap();
    fs::write(
        desk.path(&format!("other/runs/{}/model.safetensors", new[0])),
        "x",
    )
    .unwrap();
    let before = desk.read(&format!("results/runs/{}/trained.json", shared[0]));
    desk.sweep(&["merge", "other", "--into", "results"])
        .assert_code(1)
        .assert_says("taken     1 run, ")
        .assert_says(&format!("different run {}: another training", shared[0]))
        .assert_says("it is not taken")
        .assert_says("1 result is different in the folders; `results` keeps its own");
    let after = desk.read(&format!("results/runs/{}/trained.json", shared[0]));
    assert_eq!(before, after);
    assert_eq!(of("results").len(), 3);
    desk.sweep(&["merge", "results", "--into", "./results"])
        .assert_code(1)
        .assert_says("name others to take from");
    desk.sweep(&["merge", "nowhere", "--into", "results"])
        .assert_code(1)
        .assert_says("there is no folder `nowhere`");
}

#[test]
fn a_merge_that_is_killed_is_repeated() {
    let desk = Desk::new(SMALL);
    run_into(&desk, "one", "[1, 2, 3, 4]");
    for milliseconds in [5, 10, 15, 20, 30, 40] {
        let mut merge = desk.start_command(&["merge", "one", "--into", "results"]);
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        merge.kill().unwrap();
        merge.wait().unwrap();
    }
    desk.sweep(&["merge", "one", "--into", "results"])
        .assert_code(0);
    desk.sweep(&["fsck"]).assert_code(0);
    let four = SMALL.replace("seeds = 2", "seeds = [1, 2, 3, 4]");
    std::fs::write(desk.path("sweep.toml"), four).unwrap();
    desk.run().assert_code(0).assert_says("up to date");
    for name in ["record.json", "trained.json", "model.safetensors"] {
        assert_eq!(desk.in_runs(name).len(), 8, "{name}");
    }
}
