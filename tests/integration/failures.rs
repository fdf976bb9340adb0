//! Failed runs are shown as failed, and the others continue.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::desk::{Desk, SMALL};

/// Returns the small sweep with these seeds; the fake trainer misbehaves for some of them.
fn with_seeds(seeds: &str) -> Desk {
    Desk::new(&SMALL.replace("seeds = 2", &format!("seeds = {seeds}")))
}

#[test]
fn a_run_that_always_crashes_fails_and_the_others_have_a_table() {
    let desk = with_seeds("[0, 101]");
    desk.run()
        .assert_code(2)
        .assert_says("trying again")
        .assert_says("killed by signal 6")
        .assert_says("2 jobs failed");
    let table = desk.table();
    assert!(table.contains("(1/2)"), "{table}");
    desk.sweep(&["status", "sweep.toml"])
        .assert_code(2)
        .assert_says("2 of 4 runs finished")
        .assert_says("log.txt");
    let attempts = desk
        .journal()
        .iter()
        .filter(|entry| entry["what"]["started"]["job"]["train"].is_string())
        .count();
    assert_eq!(
        attempts,
        2 + 2 * 3,
        "two good runs, and three attempts at each bad one"
    );
}

#[test]
fn a_run_that_crashes_once_is_retried() {
    let desk = with_seeds("[102]");
    desk.run().assert_code(0).assert_says("trying again");
    desk.sweep(&["status", "sweep.toml"])
        .assert_says("2 of 2 runs finished");
}

#[test]
fn a_run_that_hangs_is_killed_and_retried() {
    let hasty = SMALL
        .replace("seeds = 2", "seeds = [108]")
        .replace("slots = 2", "slots = 2\nhang_minutes = 0.02");
    let desk = Desk::new(&hasty);
    desk.run()
        .assert_code(0)
        .assert_says("reported nothing for too long")
        .assert_says("trying again");
    desk.sweep(&["status", "sweep.toml"])
        .assert_says("2 of 2 runs finished");
}

#[test]
fn a_reported_failure_shows_its_cause_and_is_retried_only_by_the_next_command() {
    let desk = with_seeds("[0, 103]");
    desk.run()
        .assert_code(2)
        .assert_says("the image `a.png` is damaged");
    desk.sweep(&["plan", "sweep.toml"])
        .assert_says("failed before: the image `a.png` is damaged");
    desk.sweep(&["status", "sweep.toml"])
        .assert_says("failed")
        .assert_says("the image `a.png` is damaged");
    assert!(desk.table().contains("(1/2)"));
}

#[test]
fn a_diverged_run_is_shown_as_diverged_and_not_as_zero() {
    let desk = with_seeds("[104]");
    desk.run().assert_code(0);
    let table = desk.table();
    assert!(
        table.contains("| diverged |") && !table.contains("| 0.00"),
        "{table}"
    );
    desk.run().assert_code(0).assert_says("up to date");
}

#[test]
fn a_miner_that_finds_nothing_causes_a_warning_beside_the_table() {
    let desk = with_seeds("[0, 107]");
    desk.run().assert_code(0);
    let table = desk.table();
    assert!(
        table.contains("learned nothing in most steps of 1 run: no pair counted"),
        "{table}"
    );
    desk.sweep(&["status", "sweep.toml"])
        .assert_code(0)
        .assert_says("no pair counted in 12 of 12 steps");
}

#[test]
fn a_full_disk_stops_the_sweep_with_a_clear_message() {
    let desk = Desk::new(
        &SMALL
            .replace("seeds = 2", "seeds = [105, 0]")
            .replace("slots = 2", "slots = 1"),
    );
    desk.run().assert_code(3).assert_says("disk is full");
}

#[test]
fn an_interrupted_sweep_keeps_its_checkpoints_and_leaves_no_trainer_behind() {
    let desk = Desk::new(&SMALL.replace("steps = 12", "steps = 400")).slowly(20);
    let mut child = desk.start();
    wait_for(|| !desk.in_runs_if_any("checkpoint.safetensors").is_empty());
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    desk.assert_no_orphans();
    desk.sweep(&["status", "sweep.toml"])
        .assert_says("has a checkpoint");
    desk.sweep(&["plan", "sweep.toml"])
        .assert_says("continues from its checkpoint");
}

#[test]
fn a_trainer_that_does_not_stop_is_killed_by_the_second_interrupt() {
    let sweep = SMALL
        .replace("steps = 12", "steps = 4000")
        .replace("seeds = 2", "seeds = [106]");
    let desk = Desk::new(&sweep).slowly(20);
    let mut child = desk.start();
    wait_for(|| !desk.in_runs_if_any("checkpoint.safetensors").is_empty());
    interrupt(&child);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(child.try_wait().unwrap(), None);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    desk.assert_no_orphans();
}

#[test]
fn a_second_sweep_in_the_same_folder_is_refused_and_changes_nothing() {
    let desk = Desk::new(&SMALL.replace("steps = 12", "steps = 50")).slowly(20);
    let mut first = desk.start();
    wait_for(|| !desk.in_runs_if_any("checkpoint.safetensors").is_empty());
    desk.run()
        .assert_code(4)
        .assert_says(&format!("process {}", first.id()));
    assert_eq!(first.wait().unwrap().code(), Some(0));
}

impl Desk {
    fn in_runs_if_any(&self, name: &str) -> Vec<Vec<u8>> {
        if self.path("results/runs").is_dir() {
            self.in_runs(name).into_values().collect()
        } else {
            Vec::new()
        }
    }
}

fn interrupt(child: &std::process::Child) {
    kill_process(
        Pid::from_raw(child.id().cast_signed()).unwrap(),
        Signal::INT,
    )
    .unwrap();
}

fn wait_for(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}
