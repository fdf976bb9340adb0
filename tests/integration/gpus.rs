//! Sweeps on GPUs that are not there: a stand-in for the driver's library describes them, and the fake
//! trainer takes their memory.

#![allow(clippy::print_stderr)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{self, Command},
    thread,
    time::Duration,
};

use crate::desk::{Desk, Done, SMALL, in_background};

/// A desk on a machine with GPUs.
struct GpuDesk {
    desk: Desk,
    /// Environment variables that describe the GPUs.
    machine: Vec<(&'static str, String)>,
}

impl GpuDesk {
    /// Creates a desk with GPUs of so many gigabytes; nothing if there is no C compiler.
    fn new(sweep: &str, gpus: &str) -> Option<GpuDesk> {
        let desk = Desk::new(sweep);
        let machine = fake_gpus(&desk, gpus)?;
        Some(GpuDesk { desk, machine })
    }

    fn with(mut self, variable: &'static str, value: &str) -> GpuDesk {
        self.machine.push((variable, value.to_owned()));
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.desk.command(arguments);
        command.envs(self.machine.iter().map(|(name, value)| (name, value)));
        command
    }

    fn sweep(&self, arguments: &[&str]) -> Done {
        Done::from(self.command(arguments).output().unwrap())
    }

    /// Starts `sweep run sweep.toml` in the background.
    fn start(&self) -> process::Child {
        in_background(self.command(&self.desk.run_arguments()))
    }

    /// Waits until what `sweep status` prints is as it should be.
    fn wait_for_status(&self, is_right: impl Fn(&str) -> bool) {
        let mut last = String::new();
        for _ in 0..1000 {
            last = self.sweep(&["status", "sweep.toml"]).out;
            if is_right(&last) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{last}");
    }

    fn run(&self) -> Done {
        self.sweep(&self.desk.run_arguments())
    }

    /// Returns the trainings in the order in which they began and ended: the slot, and true at its beginning.
    fn trainings(&self) -> Vec<(String, bool)> {
        let mut slots: BTreeMap<String, String> = BTreeMap::new();
        let mut trainings = Vec::new();
        for entry in self.desk.journal() {
            let what = &entry["what"];
            if let Some(run) = what["started"]["job"]["train"].as_str() {
                let slot = what["started"]["slot"].as_str().unwrap().to_owned();
                slots.insert(run.to_owned(), slot.clone());
                trainings.push((slot, true));
            }
            if let Some(run) = what["ended"]["job"]["train"].as_str() {
                trainings.push((slots[run].clone(), false));
            }
        }
        trainings
    }

    /// Returns the most trainings at a time.
    fn most_at_a_time(&self) -> usize {
        let (mut now, mut most) = (0, 0);
        for (_, begins) in self.trainings() {
            now = if begins { now + 1 } else { now - 1 };
            most = most.max(now);
        }
        most
    }

    /// Returns what trainings saw in CUDA_VISIBLE_DEVICES, at their first attempts.
    fn gpus_seen(&self) -> BTreeSet<String> {
        let runs = fs::read_dir(self.desk.path("results/runs")).unwrap();
        let logs = runs.map(|run| run.unwrap().path().join("train/0001/log.txt"));
        logs.map(|log| fs::read_to_string(log).unwrap()).collect()
    }

    fn slots(&self) -> BTreeSet<String> {
        self.trainings().into_iter().map(|(slot, _)| slot).collect()
    }
}

/// Returns the variables that make GPUs of so many gigabytes appear; nothing if there is no C compiler.
pub(crate) fn fake_gpus(desk: &Desk, gpus: &str) -> Option<Vec<(&'static str, String)>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/fake_nvml.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]);
    compiler.arg(desk.path("libnvidia-ml.so.1")).arg(source);
    let Ok(status) = compiler.status() else {
        eprintln!("skipped: there is no C compiler");
        return None;
    };
    assert!(status.success());
    let processes = desk.path("processes");
    fs::create_dir(&processes).unwrap();
    Some(vec![
        ("LD_LIBRARY_PATH", desk.path("").display().to_string()),
        ("FAKE_GPUS", gpus.to_owned()),
        ("FAKE_GPU_PROCESSES", processes.display().to_string()),
    ])
}

/// The small sweep on GPUs, with these further resources.
fn on_gpus(resources: &str) -> String {
    SMALL
        .replace(
            "device = \"cpu\"\nslots = 2",
            &format!("device = \"cuda\"\n{resources}"),
        )
        .replace("seeds = 2", "seeds = 3")
}

#[test]
fn each_trainer_sees_its_gpu_by_name_and_data_is_prepared_on_the_cpu() {
    let Some(desk) = GpuDesk::new(&on_gpus(""), "80,80") else {
        return;
    };
    desk.run()
        .assert_code(0)
        .assert_says("2 slots (gpu 0, gpu 1)");
    assert_eq!(
        desk.slots(),
        BTreeSet::from(["gpu 0".to_owned(), "gpu 1".to_owned()])
    );
    let prepared = desk.desk.journal().into_iter().find_map(|entry| {
        let started = &entry["what"]["started"];
        started["job"]["prepare"].as_str()?;
        Some(started["slot"].as_str()?.to_owned())
    });
    assert_eq!(prepared.as_deref(), Some("cpu"));
    let names = ["GPU-0\n", "GPU-1\n"].map(str::to_owned);
    assert_eq!(desk.gpus_seen(), BTreeSet::from(names));
}

#[test]
fn runs_share_a_gpu_as_far_as_their_measured_memory_allows() {
    let sweep = on_gpus("runs_per_gpu = \"auto\"").replace("steps = 12", "steps = 200");
    let Some(desk) = GpuDesk::new(&sweep, "80") else {
        return;
    };
    let desk = GpuDesk {
        desk: desk.desk.slowly(25),
        ..desk
    }
    .with("FAKE_GPU_GB", "30");
    let done = desk.run().assert_code(0);
    assert!(!done.err.contains("out of memory"), "{}", done.err);
    assert_eq!(desk.most_at_a_time(), 2);
    assert!(
        desk.desk
            .read("results/learned.json")
            .contains("30000000000")
    );
}

#[test]
fn a_run_without_room_beside_another_is_repeated_alone_and_fails_with_what_it_needs() {
    let Some(desk) = GpuDesk::new(&on_gpus("runs_per_gpu = 2"), "40") else {
        return;
    };
    let desk = desk.with("FAKE_GPU_GB", "30");
    desk.run().assert_code(0).assert_says("trying again");
    let sweep = &on_gpus("").replace("seeds = 3", "seeds = 1");
    let small = GpuDesk::new(sweep, "20").unwrap().with("FAKE_GPU_GB", "30");
    small
        .run()
        .assert_code(2)
        .assert_says("alone on a GPU of 20.0 GB, it needs more");
}

#[test]
fn a_gpu_that_others_use_is_left_alone_with_a_word() {
    let Some(desk) = GpuDesk::new(&on_gpus("gpu_free = \"70 %\""), "80,80") else {
        return;
    };
    let desk = GpuDesk {
        desk: desk.desk.slowly(100),
        ..desk
    }
    .with("FAKE_GPU_OTHERS", "30,0");
    desk.run()
        .assert_code(0)
        .assert_says("gpu 0 is not used while other processes take 30.0 GB of its 80.0 GB");
    assert_eq!(desk.slots(), BTreeSet::from(["gpu 1".to_owned()]));
}

#[test]
fn status_says_that_a_sweep_waits_for_memory_until_others_have_freed_it() {
    let sweep = on_gpus("gpu_free = \"70 %\"").replace("steps = 12", "steps = 400");
    let Some(desk) = GpuDesk::new(&sweep, "80") else {
        return;
    };
    let desk = GpuDesk {
        desk: desk.desk.slowly(20),
        ..desk
    };
    // This test is the process that takes the memory.
    let other = desk.desk.path("processes").join(process::id().to_string());
    fs::write(&other, "GPU-0 30").unwrap();
    let sweep = desk.start();
    let waiting = "  waiting   gpu 0 is not used while other processes take 30.0 GB of its 80.0 GB (gpu_free)";
    desk.wait_for_status(|status| status.contains(waiting));
    let status = desk.sweep(&["status", "sweep.toml", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    let taken = &status["session"]["awaiting"]["gpu 0"];
    assert_eq!(taken["used"], 30_000_000_000_u64);
    assert_eq!(taken["memory"], 80_000_000_000_u64);

    fs::remove_file(other).unwrap();
    desk.wait_for_status(|status| status.contains("gpu 0  train") && !status.contains("waiting"));
    desk.sweep(&["stop", "sweep.toml"]).assert_code(0);
    Done::from(sweep.wait_with_output().unwrap())
        .assert_code(130)
        .assert_says("gpu 0 is used again: other processes have freed its memory");
}

#[test]
fn a_sweep_says_that_its_next_job_needs_memory_that_others_take() {
    let sweep = on_gpus("runs_per_gpu = \"auto\"").replace("steps = 12", "steps = 400");
    let Some(desk) = GpuDesk::new(&sweep, "80") else {
        return;
    };
    let desk = GpuDesk {
        desk: desk.desk.slowly(5),
        ..desk
    }
    .with("FAKE_GPU_GB", "60");
    let arguments = desk.desk.run_arguments();
    let one_seed = [&arguments[..], &["--set", "sweep.seeds=1"]].concat();
    desk.sweep(&one_seed).assert_code(0);
    let other = desk.desk.path("processes").join(process::id().to_string());
    fs::write(&other, "GPU-0 30").unwrap();
    let sweep = desk.start();
    desk.wait_for_status(|status| {
        status.contains("  waiting   gpu 0 has no room for the next job, which needs ")
            && status.contains(", while other processes take 30.0 GB of its 80.0 GB")
    });
    let status = desk.sweep(&["status", "sweep.toml", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    let needed = &status["session"]["awaiting"]["gpu 0"]["needed"];
    assert!(needed.as_u64().unwrap() > 60_000_000_000);
    fs::remove_file(other).unwrap();
    desk.wait_for_status(|status| !status.contains("waiting"));
    Done::from(sweep.wait_with_output().unwrap())
        .assert_code(0)
        .assert_says("gpu 0 has no room for the next job");
}

#[test]
fn a_gpu_in_exclusive_mode_is_not_shared() {
    let Some(desk) = GpuDesk::new(&on_gpus("runs_per_gpu = 4"), "80") else {
        return;
    };
    let desk = desk.with("FAKE_GPU_EXCLUSIVE", "1");
    desk.run().assert_code(0).assert_says("1 slot (gpu 0)");
    assert_eq!(desk.most_at_a_time(), 1);
}

#[test]
fn the_partitions_of_a_gpu_are_gpus_with_names_and_memory_of_their_own() {
    let Some(desk) = GpuDesk::new(&on_gpus("runs_per_gpu = \"auto\""), "80,80") else {
        return;
    };
    let desk = GpuDesk {
        desk: desk.desk.slowly(25),
        ..desk
    }
    .with("FAKE_GPU_PARTITIONS", "2,0")
    .with("FAKE_GPU_GB", "30");
    let done = desk
        .run()
        .assert_code(0)
        .assert_says("3 GPUs (gpu 0, gpu 1, gpu 2)");
    assert!(!done.err.contains("out of memory"), "{}", done.err);
    assert!(!done.err.contains("warning"), "{}", done.err);
    let names = ["MIG-0-0\n", "MIG-0-1\n", "GPU-1\n"].map(str::to_owned);
    assert_eq!(desk.gpus_seen(), BTreeSet::from(names));
    let trainer = desk.desk.trainer().to_owned();
    desk.sweep(&["doctor", "--trainer", &trainer])
        .assert_code(0)
        .assert_says("1: MIG-0-1, Fake GPU MIG, 0 bytes of 40.0 GB in use");
}

#[test]
fn the_doctor_describes_the_gpus_and_what_libtorch_sees_of_them() {
    let Some(desk) = GpuDesk::new(SMALL, "80,24") else {
        return;
    };
    let desk = desk.with("FAKE_GPU_OTHERS", "0,20");
    let trainer = desk.desk.trainer().to_owned();
    let done = desk
        .sweep(&["doctor", "--trainer", &trainer])
        .assert_code(0);
    assert!(done.out.contains("driver        580.00"), "{}", done.out);
    assert!(
        done.out
            .contains("1: GPU-1, Fake GPU, 20.0 GB of 24.0 GB in use"),
        "{}",
        done.out
    );
    assert!(!done.out.contains("warning"), "{}", done.out);
}

#[test]
fn the_service_for_sharing_is_started_for_the_runs_on_gpus_and_ended() {
    use std::os::unix::fs::PermissionsExt;
    let Some(desk) = GpuDesk::new(&on_gpus("mps = true"), "80") else {
        return;
    };
    desk.run()
        .assert_code(1)
        .assert_says("`resources.mps` needs `nvidia-cuda-mps-control`");
    let control = desk.desk.path("nvidia-cuda-mps-control");
    let log = desk.desk.path("mps.log").display().to_string();
    let script = format!("#!/bin/sh\n[ \"$1\" = -d ] && echo start >> {log} || cat >> {log}\n");
    fs::write(&control, script).unwrap();
    fs::set_permissions(&control, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        desk.desk.path("").display(),
        std::env::var("PATH").unwrap()
    );
    let desk = desk.with("PATH", &path);
    desk.run().assert_code(0);
    assert_eq!(fs::read_to_string(log).unwrap(), "start\nquit\n");
}

#[test]
fn a_machine_without_gpus_speaks_of_the_runs_on_gpus_if_the_sweep_declares_the_device() {
    let Some(node) = GpuDesk::new(&on_gpus(""), "80,80") else {
        return;
    };
    let plan = ["plan", "sweep.toml", "--runs"];
    let ids = |plan: Done| {
        let lines = plan.out.lines().map(str::trim);
        let ids = lines
            .filter_map(|line| line.split_once("  "))
            .map(|(id, _)| id);
        let is_id = |id: &&str| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        ids.filter(is_id)
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    let on_node = ids(node.sweep(&plan).assert_code(0));
    let on_login_node = ids(node.desk.sweep(&plan).assert_code(0));
    assert_eq!((on_node.len(), &on_login_node), (6, &on_node));
    node.run().assert_code(0);
    node.desk
        .sweep(&["status", "sweep.toml"])
        .assert_code(0)
        .assert_says("6 of 6 runs finished");
    for run in on_node {
        node.desk
            .sweep(&["why", &run, "sweep.toml"])
            .assert_code(0)
            .assert_says("finished: its result is reused");
    }
    node.desk
        .sweep(&["report", "sweep.toml"])
        .assert_code(0)
        .assert_says("Contrastive");
    node.desk
        .sweep(&["run", "sweep.toml", "--set", "sweep.seeds=4"])
        .assert_code(1)
        .assert_says("this machine shows no NVIDIA GPU");
}
