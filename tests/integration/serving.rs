//! Trainers that make one attempt after another, and trainers that make one each: the same results.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use crate::desk::{Desk, Done, SMALL};

/// The small sweep with these seeds, in one slot.
fn in_one_slot(seeds: &str) -> Desk {
    let seeds = format!("seeds = {seeds}");
    let sweep = SMALL.replace("seeds = 2", &seeds);
    Desk::new(&sweep.replace("slots = 2", "slots = 1\nthreads = 1"))
}

/// Runs the sweep; each trainer logs the id of its process at each attempt.
fn run(desk: &Desk, variables: &[(&str, &str)]) -> Done {
    let mut command = desk.command(&desk.run_arguments());
    command.env("FAKE_LOGS_ITS_ID", "");
    command.envs(variables.iter().copied());
    Done::from(command.output().unwrap())
}

/// Returns the process of the last attempt at each job, by the folder of the job.
fn processes(desk: &Desk) -> BTreeMap<String, String> {
    let mut processes = BTreeMap::new();
    for run in fs::read_dir(desk.path("results/runs")).unwrap() {
        let run = run.unwrap().path();
        for job in ["train", "evaluate"] {
            let attempts = fs::read_dir(run.join(job)).unwrap();
            let last = attempts.map(|attempt| attempt.unwrap().path()).max();
            let log = fs::read_to_string(last.unwrap().join("log.txt")).unwrap();
            let name = run.file_name().unwrap().to_str().unwrap();
            processes.insert(format!("{name} {job}"), log);
        }
    }
    processes
}

fn distinct(processes: &BTreeMap<String, String>) -> usize {
    processes.values().collect::<BTreeSet<_>>().len()
}

#[test]
fn all_runs_of_a_slot_are_trained_and_measured_in_one_process() {
    let served = in_one_slot("3");
    run(&served, &[]).assert_code(0);
    let processes_of_served = processes(&served);
    assert_eq!(processes_of_served.len(), 2 * 3 * 2);
    assert_eq!(distinct(&processes_of_served), 1, "{processes_of_served:?}");

    let alone = in_one_slot("3");
    run(&alone, &[("FAKE_ONCE", "")]).assert_code(0);
    assert_eq!(distinct(&processes(&alone)), 2 * 3 * 2);
    assert_eq!(served.reports(), alone.reports());
    assert_eq!(served.in_runs("record.json"), alone.in_runs("record.json"));
}

#[test]
fn after_anything_but_a_finished_attempt_another_process_is_started() {
    let desk = in_one_slot("[109]");
    run(&desk, &[]).assert_code(0);
    // Each training ends its process; the one that measures its run goes on to the next training.
    assert_eq!(distinct(&processes(&desk)), 3, "{:?}", processes(&desk));
}

#[test]
fn a_run_that_fails_does_not_take_the_next_one_with_it() {
    let desk = in_one_slot("[102, 103, 0]");
    run(&desk, &[]).assert_code(2).assert_says("2 jobs failed");
    desk.sweep(&["status", "sweep.toml"])
        .assert_says("4 of 6 runs finished");
    desk.assert_no_orphans();
}
