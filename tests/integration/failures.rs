//! Failed runs are shown as failed, and the others continue.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

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
        .assert_says("killed by SIGABRT (6)")
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
fn a_sweep_that_stops_after_a_failure_starts_nothing_new() {
    let desk = Desk::new(
        &SMALL
            .replace("seeds = 2", "seeds = [103, 0, 1]")
            .replace("slots = 2", "slots = 1\non_failure = \"stop\""),
    );
    desk.run()
        .assert_code(2)
        .assert_says("stopped after 1 failed job (resources.on_failure)")
        .assert_says("resume with `sweep run sweep.toml");
    let more = Desk::new(
        &SMALL
            .replace("seeds = 2", "seeds = [103, 0, 1]")
            .replace("slots = 2", "slots = 1\non_failure = { stop_after = 3 }"),
    );
    more.run().assert_code(2).assert_says("2 jobs failed");
}

#[test]
fn fewer_jobs_run_at_a_time_once_main_memory_was_short() {
    let desk = with_seeds("[114, 0]").slowly(20);
    desk.run()
        .assert_code(0)
        .assert_says("main memory was short: at most 1 job at a time from now on");
    desk.sweep(&["status", "sweep.toml"])
        .assert_says("4 of 4 runs finished");
}

#[test]
fn a_diverged_run_is_shown_as_diverged_and_not_as_zero() {
    let desk = with_seeds("[104]");
    desk.run()
        .assert_code(0)
        .assert_says("diverged  train")
        .assert_says("the loss was not a finite number");
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
fn a_limit_on_the_size_of_files_stops_the_sweep_with_a_clear_message() {
    // The copy of the sweep file, the journal and the page are the first to be too large.
    for blocks in [1, 4, 16] {
        let desk = Desk::new(SMALL);
        let child = desk.start_after(&format!("ulimit -f {blocks}"));
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{blocks}: {told}");
        assert!(told.contains("(`ulimit -f`)"), "{blocks}: {told}");
        desk.run().assert_code(0);
    }
}

#[test]
fn an_interrupted_sweep_keeps_its_checkpoints_and_leaves_no_trainer_behind() {
    let desk = Desk::new(&SMALL.replace("steps = 12", "steps = 400")).slowly(20);
    let child = desk.start();
    wait_for(|| !desk.in_runs_if_any("checkpoint.safetensors").is_empty());
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("a second Ctrl-C kills what runs"), "{told}");
    desk.assert_no_orphans();
    desk.sweep(&["status", "sweep.toml"])
        .assert_says("has a checkpoint");
    desk.sweep(&["plan", "sweep.toml"])
        .assert_says("continues from its checkpoint");
}

#[test]
fn a_sweep_that_is_interrupted_before_it_starts_anything_says_so() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    // Once at its very beginning, once while it only reads what is there.
    for late in [Duration::ZERO, Duration::from_millis(30)] {
        let child = desk.start();
        wait_for(|| heeds(&child, Signal::TERM));
        std::thread::sleep(late);
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(130) => assert!(told.contains("interrupted"), "{told}"),
            code => assert!(code == Some(0) && !late.is_zero(), "{code:?}: {told}"),
        }
    }
    desk.run().assert_code(0).assert_says("up to date");
}

#[test]
fn what_a_killed_addition_left_is_removed_by_the_next_run() {
    let desk = Desk::new(SMALL);
    let leftovers = ["data/.birds.incomplete/files", "weights"];
    for folder in leftovers {
        std::fs::create_dir_all(desk.path(folder)).unwrap();
    }
    std::fs::write(desk.path("weights/mine.safetensors.added"), "half").unwrap();
    desk.run().assert_code(0);
    assert!(!desk.path("data/.birds.incomplete").exists());
    assert!(!desk.path("weights/mine.safetensors.added").exists());
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

#[test]
fn a_closed_terminal_does_not_end_a_sweep_that_was_started_with_nohup() {
    let desk = Desk::new(&SMALL.replace("steps = 12", "steps = 60")).slowly(20);
    let mut child = desk.start_after("trap '' HUP");
    wait_for(|| !desk.in_runs_if_any("checkpoint.safetensors").is_empty());
    signal(&child, Signal::HUP);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(desk.in_runs("record.json").len(), 4);
}

#[test]
fn a_batch_system_that_ends_all_processes_of_a_job_leaves_checkpoints_and_starts_nothing() {
    for asked in [Signal::TERM, Signal::USR1] {
        let desk = Desk::new(&SMALL.replace("steps = 12", "steps = 400")).slowly(20);
        let mut child = desk.start();
        wait_for(|| desk.in_runs_if_any("checkpoint.safetensors").len() == 2);
        for trainer in desk.trainers() {
            kill_process(Pid::from_raw(trainer).unwrap(), asked).unwrap();
        }
        signal(&child, asked);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        desk.assert_no_orphans();
        let ends = desk.in_attempts("train", "exit.json");
        assert_eq!(ends.len(), 2, "{ends:?}");
        assert!(
            ends.iter().all(|end| end.contains("\"stopped\"")),
            "{ends:?}"
        );
    }
}

#[test]
fn a_training_that_has_finished_counts_however_its_trainer_leaves() {
    // One leaves with an error, the other leaves a process behind.
    let desk = with_seeds("[109, 111]");
    desk.run().assert_code(0);
    let attempts = desk.in_attempts("train", "exit.json");
    assert_eq!(attempts.len(), 4, "{attempts:?}");
}

#[test]
fn a_run_out_of_memory_is_made_again() {
    let desk = with_seeds("[0, 110]");
    desk.run()
        .assert_code(0)
        .assert_says("CUDA out of memory; trying again");
    assert_eq!(desk.in_runs("record.json").len(), 4);
}

#[test]
fn a_result_of_another_kind_fails_its_job_and_no_other() {
    let desk = with_seeds("[0, 112]");
    desk.run()
        .assert_code(2)
        .assert_says("another kind of work");
    assert_eq!(desk.in_runs("record.json").len(), 2);
}

#[test]
fn a_sweep_that_was_suspended_takes_no_trainer_for_hung() {
    let hasty = SMALL
        .replace("steps = 12", "steps = 100")
        .replace("slots = 2", "slots = 2\nhang_minutes = 0.02");
    let desk = Desk::new(&hasty).slowly(20);
    let mut child = desk.start();
    wait_for(|| !desk.in_runs_if_any("checkpoint.safetensors").is_empty());
    signal(&child, Signal::STOP);
    std::thread::sleep(Duration::from_secs(2));
    signal(&child, Signal::CONT);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let ends = desk.in_attempts("train", "exit.json");
    assert_eq!(ends.len(), 4, "{ends:?}");
}

#[test]
fn a_trainer_that_says_that_it_lives_is_not_taken_for_hung() {
    let hasty = SMALL
        .replace("seeds = 2", "seeds = [113]")
        .replace("slots = 2", "slots = 2\nhang_minutes = 0.02");
    let desk = Desk::new(&hasty);
    desk.run().assert_code(0);
    let events = desk.in_attempts("train", "events.jsonl").concat();
    assert!(events.contains("progress") && !events.contains("alive"));
}

#[test]
fn a_trainer_that_cannot_be_started_fails_no_job() {
    let desk = Desk::new(SMALL);
    let trainer = desk.path("trainer");
    std::fs::write(
        &trainer,
        format!("#!/bin/sh\nrm $0\nexec {} \"$@\"\n", desk.trainer()),
    )
    .unwrap();
    std::fs::set_permissions(&trainer, Permissions::from_mode(0o755)).unwrap();
    // It is there for `--describe` only.
    desk.sweep(&["run", "sweep.toml", "--trainer", trainer.to_str().unwrap()])
        .assert_code(3)
        .assert_says("the CPU is left out: failed to start the trainer")
        .assert_says("9 jobs left");
    assert!(!desk.table().contains("failed"), "{}", desk.table());
    desk.run().assert_code(0);
}

#[test]
fn an_orchestrator_whose_folder_was_taken_over_stops() {
    let desk = Desk::new(&SMALL.replace("steps = 12", "steps = 100")).slowly(20);
    let mut first = desk.start();
    wait_for(|| !desk.in_runs_if_any("checkpoint.safetensors").is_empty());
    // In one step, so that the first one cannot lock the file again in between.
    std::fs::write(desk.path("results/new"), "").unwrap();
    let held = std::fs::File::open(desk.path("results/new")).unwrap();
    held.lock().unwrap();
    std::fs::rename(desk.path("results/new"), desk.path("results/LOCK")).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(4));
    drop(held);
    desk.assert_no_orphans();
    desk.run().assert_code(0);
}

#[test]
fn the_command_that_resumes_can_be_copied() {
    let desk = Desk::new(&SMALL.replace("steps = 12", "steps = 400")).slowly(20);
    std::fs::rename(desk.path("sweep.toml"), desk.path("my sweep.toml")).unwrap();
    let arguments = [
        "run",
        "my sweep.toml",
        "--results",
        "my results",
        "--trainer",
        desk.trainer(),
    ];
    let child = desk.start_command(&arguments);
    wait_for(|| desk.path("my results/journal.jsonl").exists());
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let trainer = desk.trainer();
    let command = format!("`sweep run 'my sweep.toml' --results 'my results' --trainer {trainer}`");
    assert!(told.contains(&command), "{told}");
}

impl Desk {
    /// Returns the files of this name of all attempts at jobs of a kind.
    fn in_attempts(&self, verb: &str, name: &str) -> Vec<String> {
        let runs = std::fs::read_dir(self.path("results/runs")).unwrap();
        let attempts = runs.flat_map(|run| {
            let attempts = std::fs::read_dir(run.unwrap().path().join(verb));
            attempts.into_iter().flatten()
        });
        attempts
            .filter_map(|attempt| std::fs::read_to_string(attempt.unwrap().path().join(name)).ok())
            .collect()
    }

    fn in_runs_if_any(&self, name: &str) -> Vec<Vec<u8>> {
        if self.path("results/runs").is_dir() {
            self.in_runs(name).into_values().collect()
        } else {
            Vec::new()
        }
    }
}

fn interrupt(child: &std::process::Child) {
    // A test that was started in the background ignores SIGINT, and so does the sweep then.
    signal(child, Signal::TERM);
}

fn signal(child: &std::process::Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

/// True if a process has a handler for a signal.
fn heeds(child: &std::process::Child, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
    caught >> (signal.as_raw() - 1) & 1 == 1
}

fn wait_for(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}
