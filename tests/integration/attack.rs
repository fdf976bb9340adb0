//! Random attacks: failing calls, damaged files, signals. Whatever happens, the same command ends with the same table,
//! nothing is computed twice once it is published, and nobody is left behind.
//!
//! A few of each run with the other tests. `make attack` runs many: ATTACKS is the number of each kind, and ATTACK_SEED
//! chooses others. A failed attack is named by its number and can be repeated alone with ATTACK_ONLY.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::desk::{Desk, SMALL};

/// Draws of one attack: SplitMix64.
struct Draws(u64);

impl Draws {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((word ^ (word >> 31)) % below as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.next(all.len())]
    }
}

/// Returns the attacks of a kind: their numbers and draws.
fn attacks(usual: usize) -> impl Iterator<Item = (usize, Draws)> {
    let number = |name: &str| {
        env::var(name)
            .ok()
            .map(|text| text.parse::<usize>().unwrap())
    };
    let seed = number("ATTACK_SEED").unwrap_or(1) as u64;
    let only = number("ATTACK_ONLY");
    let all = 0..number("ATTACKS").unwrap_or(usual);
    all.filter(move |attack| only.is_none_or(|only| only == *attack))
        .map(move |attack| (attack, Draws(seed << 32 | attack as u64)))
}

/// A sweep with folds and a search, so that every kind of file is there.
fn sweep() -> String {
    let search = "folds = 2\n\n[search]\nstrategy = \"tpe\"\ntrials = 3\nstartup = 2\n\n[data]";
    SMALL
        .replace("seeds = 2", "seeds = 1")
        .replace("steps = 12", "steps = 3")
        .replace("slots = 2", "slots = 2\nretries = 100")
        .replace("[data]", search)
        .replace("margin = 0.2", "margin = { uniform = [0, 1] }")
}

/// The same command ends well, with the tables of an undisturbed sweep.
fn assert_ends_well(desk: &Desk, undisturbed: &BTreeMap<String, String>, attack: &str) {
    desk.assert_no_orphans();
    for reading in ["status", "plan"] {
        let read = desk.sweep(&[reading, "sweep.toml"]);
        assert!(!read.err.contains("panicked"), "{attack}: {}", read.err);
    }
    let run = desk.run();
    assert_eq!(run.code, Some(0), "{attack}: {}", run.err);
    assert_eq!(desk.reports(), *undisturbed, "{attack}");
    let twice: Vec<_> = desk
        .finished()
        .into_iter()
        .filter(|(_, times)| *times > 1)
        .collect();
    assert!(twice.is_empty(), "{attack}: {twice:?}");
    desk.assert_no_orphans();
}

fn undisturbed() -> BTreeMap<String, String> {
    let desk = Desk::new(&sweep());
    desk.run().assert_code(0);
    desk.reports()
}

/// Compiles the library that makes file operations fail.
fn faults(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/faults.c");
    let library = folder.join("faults.so");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut compile = Command::new(compiler);
    compile
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library);
    assert!(compile.arg(source).arg("-ldl").status().unwrap().success());
    library
}

/// Runs the sweep of a desk with a fault at an operation.
fn run_with_fault(desk: &Desk, library: &Path, mode: &str, at: usize, errno: i32) -> Output {
    let mut run = desk.command(&desk.run_arguments());
    run.env("LD_PRELOAD", library)
        .env("FAULT_FOLDER", desk.path(""))
        .env("FAULT_MODE", mode)
        .env("FAULT_AT", at.to_string())
        .env("FAULT_ERRNO", errno.to_string())
        .env("FAULT_COUNT", desk.path("operations"));
    run.output().unwrap()
}

#[test]
fn any_failing_call_leaves_a_sweep_that_ends_well() {
    let expected = undisturbed();
    let library = tempfile::tempdir().unwrap();
    let library = faults(library.path());
    let counted = Desk::new(&sweep());
    let run = run_with_fault(&counted, &library, "fail", 0, 0);
    assert!(run.status.success());
    let operations = fs::metadata(counted.path("operations")).unwrap().len() as usize;
    assert!(operations > 100, "{operations} operations");
    for (attack, mut draws) in attacks(10) {
        let mode = draws.one_of(&["fail", "full", "torn", "kill"]);
        let errno = draws.one_of(&[rustix::io::Errno::NOSPC, rustix::io::Errno::IO]);
        let at = 1 + draws.next(operations);
        let desk = Desk::new(&sweep());
        let run = run_with_fault(&desk, &library, mode, at, errno.raw_os_error());
        let told = String::from_utf8_lossy(&run.stderr);
        let attack = format!("attack {attack}: {mode} at {at}, {errno:?}");
        assert!(!told.contains("panicked"), "{attack}: {told}");
        // A single call may be one that can fail, such as a copy of events for people.
        if run.status.code() == Some(0) {
            assert_eq!(desk.reports(), expected, "{attack}: {told}");
        }
        assert_ends_well(&desk, &expected, &attack);
    }
}

/// A way to damage a file.
type Harm = fn(&Path, &mut Draws);

const HARMS: [(&str, Harm); 8] = [
    ("removed", |path, _| fs::remove_file(path).unwrap()),
    ("emptied", |path, _| fs::write(path, "").unwrap()),
    ("cut", |path, draws| {
        let bytes = fs::read(path).unwrap();
        let end = draws.next(bytes.len().max(1));
        fs::write(path, &bytes[..end]).unwrap();
    }),
    ("a bit flipped", |path, draws| {
        let mut bytes = fs::read(path).unwrap();
        let place = draws.next(bytes.len().max(1));
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1 << draws.next(8);
        }
        fs::write(path, bytes).unwrap();
    }),
    ("filled with zeros", |path, _| {
        let bytes = fs::read(path).unwrap().len();
        fs::write(path, vec![0; bytes]).unwrap();
    }),
    ("doubled", |path, _| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, [&bytes[..], &bytes].concat()).unwrap();
    }),
    ("a pipe", |path, _| {
        fs::remove_file(path).unwrap();
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }),
    ("a folder", |path, _| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
];

/// Returns the files on which results rely, sorted by path.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.is_file() {
            // A pipe that an earlier attack left would block the next one.
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn any_damaged_file_is_noticed_or_does_not_matter() {
    let desk = Desk::new(&sweep());
    desk.run().assert_code(0);
    let expected = desk.reports();
    for (attack, mut draws) in attacks(16) {
        let files = files_below(&desk.path("results"));
        let file = &files[draws.next(files.len())];
        let (name, harm) = draws.one_of(&HARMS);
        let is_running_lock = file.ends_with("LOCK");
        if is_running_lock && ["a pipe", "a folder"].contains(&name) {
            continue;
        }
        let attack = format!("attack {attack}: `{}` {name}", file.display());
        harm(file, &mut draws);
        let report = desk.sweep(&["report", "sweep.toml"]);
        assert!(!report.err.contains("panicked"), "{attack}: {}", report.err);
        assert_eq!(desk.reports(), expected, "{attack}: {}", report.err);
        let run = desk.run();
        assert_eq!(run.code, Some(0), "{attack}: {}", run.err);
        assert_eq!(desk.reports(), expected, "{attack}: {}", run.err);
    }
}

#[test]
fn any_schedule_of_signals_leaves_a_sweep_that_ends_well() {
    let expected = undisturbed();
    for (attack, mut draws) in attacks(4) {
        let desk = Desk::new(&sweep()).slowly(5);
        let mut schedule = Vec::new();
        for _ in 0..3 + draws.next(4) {
            let mut child = desk.start();
            thread::sleep(Duration::from_millis(20 + draws.next(250) as u64));
            let signal = draws.one_of(&[
                Signal::KILL,
                Signal::KILL,
                Signal::TERM,
                Signal::HUP,
                Signal::STOP,
            ]);
            let at_trainers = draws.next(3) == 0;
            schedule.push((signal, at_trainers));
            let orchestrator = child.id().cast_signed();
            if at_trainers {
                desk.trainers()
                    .into_iter()
                    .for_each(|trainer| send(trainer, signal));
            } else {
                send(orchestrator, signal);
            }
            thread::sleep(Duration::from_millis(draws.next(100) as u64));
            send(orchestrator, Signal::CONT);
            // A stopped trainer stays behind its killed orchestrator.
            send(orchestrator, Signal::KILL);
            child.wait().unwrap();
            if at_trainers && signal == Signal::STOP {
                continue;
            }
            desk.assert_no_orphans();
        }
        desk.run().assert_code(0);
        assert_ends_well(&desk, &expected, &format!("attack {attack}: {schedule:?}"));
    }
}

/// Sends a signal; an error means that the process has ended.
fn send(process: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(process).unwrap(), signal);
}
