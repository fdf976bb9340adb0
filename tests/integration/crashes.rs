//! `kill -9` at any moment, then the same command: nothing is lost or repeated, and the final bytes are the same.

use std::{thread, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

use crate::desk::{Desk, SMALL};

#[derive(Clone, Copy, Debug)]
enum Victim {
    Orchestrator,
    Trainer,
    Both,
}

#[test]
fn twenty_kills_at_random_times_do_not_change_the_results() {
    kills_change_nothing(&SMALL.replace("steps = 12", "steps = 120"), 20);
}

#[test]
fn a_search_that_is_killed_at_random_times_selects_the_same_trials() {
    let search = "folds = 2\n\n[search]\nstrategy = \"tpe\"\ntrials = 5\nstartup = 2\n\n[data]";
    let sweep = SMALL
        .replace("[data]", search)
        .replace("margin = 0.2", "margin = { uniform = [0, 1] }");
    let desk = kills_change_nothing(&sweep.replace("steps = 12", "steps = 40"), 12);
    let trials = desk.read("reports/small/search.csv");
    assert_eq!(trials.lines().count(), 1 + 5, "{trials}");
    assert_eq!(trials.matches(",true,").count(), 1, "{trials}");
    // Two methods with two seeds on two folds; trials leave only scores.
    assert_eq!(desk.in_runs("record.json").len(), 2 * 2 * 2);
    assert_eq!(
        (
            desk.in_runs("trained.json").len(),
            desk.in_runs("model.safetensors").len()
        ),
        (8 + 5 * 2, 8)
    );
}

fn kills_change_nothing(sweep: &str, kills_wanted: usize) -> Desk {
    let undisturbed = Desk::new(sweep);
    undisturbed.run().assert_code(0);

    // There are more steps per second than kills, so the test takes about as long as the waits between them.
    let desk = Desk::new(&sweep.replace("slots = 2", "slots = 2\nretries = 100")).slowly(15);
    let mut kills = 0;
    for round in 0.. {
        let mut child = desk.start();
        let victim = [Victim::Orchestrator, Victim::Trainer, Victim::Both][round % 3];
        thread::sleep(Duration::from_millis(20 + random(round as u64) % 180));
        let killed = kill(victim, child.id(), &desk);
        if matches!(victim, Victim::Trainer) {
            // The orchestrator lives on and tries again; end it for the next round.
            thread::sleep(Duration::from_millis(random(!(round as u64)) % 60));
            kill(Victim::Orchestrator, child.id(), &desk);
        }
        child.wait().unwrap();
        desk.assert_no_orphans();
        kills += usize::from(killed);
        if kills >= kills_wanted {
            break;
        }
        assert!(round < 100, "only {kills} kills met anybody");
    }
    desk.run().assert_code(0);

    assert_eq!(desk.table(), undisturbed.table());
    assert_eq!(
        desk.read("reports/small/table.csv"),
        undisturbed.read("reports/small/table.csv")
    );
    for name in ["model.safetensors", "record.json", "trained.json"] {
        assert_eq!(desk.in_runs(name), undisturbed.in_runs(name), "{name}");
    }
    assert!(
        desk.finished().values().all(|&times| times == 1),
        "{:?}",
        desk.finished()
    );
    desk
}

/// Kills a process. Returns true if there was one.
fn kill(victim: Victim, orchestrator: u32, desk: &Desk) -> bool {
    let orchestrator = orchestrator.cast_signed();
    let victims = match victim {
        Victim::Orchestrator => vec![orchestrator],
        Victim::Trainer => desk.trainers(),
        Victim::Both => [desk.trainers(), vec![orchestrator]].concat(),
    };
    let kill = |pid: &i32| kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL).is_ok();
    victims.iter().filter(|pid| kill(pid)).count() > 0
}

/// SplitMix64, so that every run of the test kills at the same times.
fn random(seed: u64) -> u64 {
    let word = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word ^ (word >> 27)
}
