//! Mistakes of users: each gives one clear message and exit code 1, and writes nothing.

use crate::desk::{Desk, Done, SMALL};

#[test]
fn a_mistake_in_the_file_is_shown_with_a_caret_and_nothing_is_written() {
    let desk = Desk::new(&SMALL.replace("margin = 0.2", "margn = 0.2"));
    let done = desk
        .run()
        .assert_code(1)
        .assert_says("did you mean `margin`?")
        .assert_says("sweep.toml:24:18");
    assert!(done.out.is_empty());
    assert!(!desk.path("results").exists());
}

#[test]
fn a_missing_file_a_missing_command_and_a_wrong_flag_exit_with_1() {
    let desk = Desk::new(SMALL);
    desk.sweep(&["run", "nowhere.toml"])
        .assert_code(1)
        .assert_says("nowhere.toml");
    desk.sweep(&["rum", "sweep.toml"])
        .assert_code(1)
        .assert_says("run");
    desk.sweep(&["run", "sweep.toml", "--frobnicate"])
        .assert_code(1)
        .assert_says("--frobnicate");
}

#[test]
fn a_missing_data_set_is_reported_with_the_command_that_adds_it() {
    let data = "dataset.glyphs = { classes = 8, test_classes = 4, per_class = 4 }";
    let desk = Desk::new(&SMALL.replace(data, "dataset = \"omniglot\""));
    desk.sweep(&["plan", "sweep.toml"])
        .assert_code(0)
        .assert_says("missing: the data set `omniglot`");
    desk.run()
        .assert_code(1)
        .assert_says("sweep data add omniglot")
        .assert_says("--set data.root=");
}

#[test]
fn a_missing_trainer_is_reported_with_the_command_that_builds_it() {
    let desk = Desk::new(SMALL);
    let gone = desk.sweep(&["run", "sweep.toml", "--trainer", "/nowhere/sweep-trainer"]);
    gone.assert_code(1)
        .assert_says("failed to start the trainer `/nowhere/sweep-trainer`");
    let other = desk.sweep(&["run", "sweep.toml", "--trainer", "/bin/true"]);
    other
        .assert_code(1)
        .assert_says("not a trainer for this version of sweep")
        .assert_says("cargo build --workspace");
}

#[test]
fn a_folder_whose_name_is_not_utf_8_is_refused_before_anything_is_written() {
    use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};
    let desk = Desk::new(SMALL);
    let odd = desk.path("").join(OsStr::from_bytes(b"odd\xff"));
    fs::create_dir(&odd).unwrap();
    fs::copy(desk.path("sweep.toml"), odd.join("sweep.toml")).unwrap();
    for arguments in [
        &desk.run_arguments()[..],
        &["doctor", "--trainer", desk.trainer()],
    ] {
        let mut command = desk.command(arguments);
        let done = Done::from(command.current_dir(&odd).output().unwrap());
        done.assert_code(1).assert_says("its path is not UTF-8");
    }
    assert_eq!(fs::read_dir(&odd).unwrap().count(), 1);
}

#[test]
fn a_trainer_without_libtorch_is_reported_with_the_command_that_installs_it() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new(SMALL);
    let script = "#!/bin/sh\necho \"$0: error while loading shared libraries: libtorch_cpu.so: cannot open shared object file\" >&2\nexit 127\n";
    std::fs::write(desk.path("trainer"), script).unwrap();
    std::fs::set_permissions(desk.path("trainer"), PermissionsExt::from_mode(0o755)).unwrap();
    let done = desk.sweep(&["run", "sweep.toml", "--trainer", "./trainer"]);
    done.assert_code(1)
        .assert_says("cannot load libtorch (libtorch_cpu.so")
        .assert_says("make setup");
}

#[test]
fn a_missing_gpu_is_reported() {
    if std::path::Path::new("/proc/driver/nvidia/gpus").exists() {
        eprintln!("skipped: this machine has a GPU");
        return;
    }
    let desk = Desk::new(&SMALL.replace("device = \"cpu\"", "device = \"cuda\""));
    desk.run().assert_code(1).assert_says("no NVIDIA GPU");
}

#[test]
fn a_file_in_the_place_of_a_folder_is_a_mistake() {
    for folder in ["results", "reports"] {
        let desk = Desk::new(SMALL);
        std::fs::write(desk.path(folder), "a file").unwrap();
        desk.run()
            .assert_code(1)
            .assert_says(&format!("'--{folder} <FOLDER>'"))
            .assert_says(&format!("`{folder}` is a file; name a folder"));
        assert!(!desk.path("results/runs").exists());
    }
}

#[test]
fn unwritable_results_exit_with_3() {
    Desk::new(SMALL)
        .sweep(&["run", "sweep.toml", "--results", "/proc/results"])
        .assert_code(3)
        .assert_says("/proc/results");
}

#[test]
fn unwritable_reports_exit_with_3_before_anything_runs() {
    let desk = Desk::new(SMALL);
    for command in ["run", "report"] {
        desk.sweep(&[command, "sweep.toml", "--reports", "/proc/reports"])
            .assert_code(3)
            .assert_says("no files can be written to `/proc`")
            .assert_says("name another place with `--reports`");
    }
    assert!(!desk.path("results/runs").exists());
}
