//! Sweeps on a cluster: a real Slurm with two nodes of two fake GPUs each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    cluster::{SlurmCluster, wait_until},
    desk::{Desk, Done, SMALL},
    gpus::fake_gpus,
};

/// A sweep like that of the Reality Check: a search on folds, then the selected values with several seeds, and ensembles.
fn searched() -> String {
    SMALL
        .replace(
            "[data]",
            "folds = 2\n\n[search]\nstrategy = \"tpe\"\ntrials = 5\nstartup = 2\n\n[data]",
        )
        .replace("margin = 0.2", "margin = { uniform = [0, 1] }")
}

/// A desk whose sweeps run on a cluster.
struct ClusterDesk {
    desk: Desk,
    cluster: SlurmCluster,
}

impl ClusterDesk {
    /// Creates a desk; nothing if Slurm is not installed. An element has one GPU, so that four work at a time.
    fn new(sweep: &str, table: &str, step_ms: u32) -> Option<ClusterDesk> {
        let cluster = SlurmCluster::start(2, 2)?;
        let desk = Desk::new(&on_slurm(sweep, table, step_ms));
        Some(ClusterDesk { desk, cluster })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.desk.command(arguments);
        command.env("SLURM_CONF", self.cluster.conf());
        command
    }

    fn sweep(&self, arguments: &[&str]) -> Done {
        Done::from(self.command(arguments).output().unwrap())
    }

    fn run(&self) -> Done {
        self.sweep(&self.desk.run_arguments())
    }

    fn start(&self) -> Child {
        let mut command = self.command(&self.desk.run_arguments());
        let out = fs::File::create(self.desk.path("out.txt")).unwrap();
        command.stdout(out.try_clone().unwrap()).stderr(out);
        command.spawn().unwrap()
    }

    /// Returns what the command that was started has printed.
    fn printed(&self) -> String {
        self.desk.read("out.txt")
    }

    /// Counts how often each job finished, according to the journals of all workers.
    fn finished(&self) -> BTreeMap<String, usize> {
        let mut finished = BTreeMap::new();
        for entry in fs::read_dir(self.desk.path("results/journal")).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            for line in text.lines() {
                let entry: serde_json::Value = serde_json::from_str(&line[9..]).unwrap();
                let ended = &entry["what"]["ended"];
                if ended["end"] == "finished" {
                    *finished.entry(ended["job"].to_string()).or_default() += 1;
                }
            }
        }
        finished
    }

    fn submissions(&self) -> Vec<std::path::PathBuf> {
        let folders = fs::read_dir(self.desk.path("results/slurm"))
            .into_iter()
            .flatten();
        folders.map(|entry| entry.unwrap().path()).collect()
    }

    /// Returns what all workers have printed.
    fn printed_by_workers(&self) -> String {
        let folders = self.submissions().into_iter();
        let logs = folders.flat_map(|folder| fs::read_dir(folder.join("logs")).unwrap());
        logs.map(|log| fs::read_to_string(log.unwrap().path()).unwrap())
            .collect()
    }

    /// Waits until trainers work.
    fn wait_for_trainers(&self, count: usize) {
        wait_until("trainers work", || self.desk.trainers().len() >= count);
    }

    /// Asserts that the sweep has the results of one that ran undisturbed on one machine.
    fn assert_like(&self, local: &Desk) {
        assert_eq!(self.desk.reports(), local.reports());
        for name in ["model.safetensors", "record.json", "trained.json"] {
            assert_eq!(self.desk.in_runs(name), local.in_runs(name), "{name}");
        }
        let finished = self.finished();
        assert!(finished.values().all(|&times| times == 1), "{finished:?}");
        let are_over = self
            .submissions()
            .iter()
            .all(|folder| folder.join("over").is_file());
        assert!(are_over, "{:?}", self.submissions());
        self.desk.assert_no_orphans();
    }
}

/// The sweep in array elements that have one GPU each, whose trainers take so long for a step.
fn on_slurm(sweep: &str, table: &str, step_ms: u32) -> String {
    let table = match table {
        "" => String::new(),
        keys => format!(", {keys}"),
    };
    let prologue = format!("prologue = [\"export FAKE_STEP_MS={step_ms}\"]");
    let on = format!("slots = 1\non.slurm = {{ gres = \"gpu:1\", {prologue}{table} }}");
    sweep.replace("slots = 2", &on)
}

/// Runs the sweep on this machine.
fn local(sweep: &str) -> Desk {
    let desk = Desk::new(sweep);
    desk.run().assert_code(0);
    desk
}

#[test]
fn a_sweep_on_a_cluster_has_the_results_of_one_on_this_machine() {
    let Some(desk) = ClusterDesk::new(&searched(), "chunk = 0.1", 0) else {
        return;
    };
    desk.run().assert_code(0).assert_says("submitted array");
    desk.assert_like(&local(&searched()));
    desk.run().assert_code(0).assert_says("up to date");
    desk.sweep(&["status", "sweep.toml"]).assert_code(0);
}

#[test]
fn a_plan_for_a_cluster_shows_its_arrays_and_scripts() {
    let Some(desk) = ClusterDesk::new(SMALL, "chunk = 0.1, array_limit = 3", 0) else {
        return;
    };
    desk.sweep(&["plan", "sweep.toml"])
        .assert_code(0)
        .assert_says("#SBATCH --gres=gpu:1")
        .assert_says("%3")
        .assert_says("worker")
        .assert_says("export FAKE_STEP_MS=0");
    assert!(desk.submissions().is_empty());
}

#[test]
fn what_a_detached_session_has_submitted_is_found_again() {
    let sweep = SMALL.replace("steps = 12", "steps = 60");
    let Some(desk) = ClusterDesk::new(&sweep, "chunk = 0.1", 20) else {
        return;
    };
    let mut detached = desk.desk.run_arguments().to_vec();
    detached.push("--detach");
    // Only the data can be prepared at first.
    desk.sweep(&detached)
        .assert_code(0)
        .assert_says("all that can start is submitted");
    let mut here = desk.desk.run_arguments().to_vec();
    here.extend(["--on", "here"]);
    desk.sweep(&here).assert_code(4).assert_says("--on slurm");
    desk.run()
        .assert_code(0)
        .assert_says("of an earlier session");
    desk.assert_like(&local(&sweep));
}

#[test]
fn crashes_of_daemons_and_workers_lose_nothing_and_repeat_nothing() {
    let sweep = SMALL
        .replace("steps = 12", "steps = 150")
        .replace("seeds = 2", "seeds = 4");
    let Some(desk) = ClusterDesk::new(&sweep, "chunk = 0.02", 100) else {
        return;
    };
    let cluster = &desk.cluster;
    let mut session = desk.start();
    desk.wait_for_trainers(4);
    // A worker is killed, and one of its siblings is cancelled by someone else.
    let worker = workers(cluster)[0];
    kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
    let running = cluster.says("squeue", &["-h", "-r", "-t", "R", "-o", "%F_%K"]);
    cluster.says("scancel", &[running.lines().last().unwrap()]);
    thread::sleep(Duration::from_secs(3));
    // The controller is away for a while.
    cluster.kill("slurmctld");
    thread::sleep(Duration::from_secs(5));
    cluster.start_controller();
    // A node loses its daemon, which finds its elements again.
    cluster.kill("slurmd-n1");
    cluster.start_node(1);
    // The other one is drained: what runs there ends, nothing new starts.
    cluster.says(
        "scontrol",
        &["update", "nodename=n2", "state=drain", "reason=test"],
    );
    thread::sleep(Duration::from_secs(5));
    desk.sweep(&["status", "sweep.toml"]).assert_says("slurm");
    cluster.says("scontrol", &["update", "nodename=n2", "state=resume"]);
    let code = wait_for(&mut session, cluster);
    assert_eq!(code, Some(0), "{}", desk.printed());
    assert!(desk.printed().contains("again"), "{}", desk.printed());
    desk.assert_like(&local(&sweep));
}

#[test]
fn a_node_that_dies_with_all_its_processes_loses_nothing() {
    let sweep = SMALL.replace("steps = 12", "steps = 150");
    let Some(desk) = ClusterDesk::new(&sweep, "chunk = 0.02", 100) else {
        return;
    };
    let cluster = &desk.cluster;
    let mut session = desk.start();
    desk.wait_for_trainers(3);
    cluster.kill("slurmd-n1");
    for pid in cluster.processes() {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let name = String::from_utf8_lossy(&command).into_owned();
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let is_on_node = String::from_utf8_lossy(&environ).contains("SLURMD_NODENAME=n1");
        if is_on_node && !name.contains("slurmctld") {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
    }
    let code = wait_for(&mut session, cluster);
    assert_eq!(code, Some(0), "{}", desk.printed());
    desk.assert_like(&local(&sweep));
}

#[test]
fn an_orchestrator_that_dies_around_sbatch_submits_nothing_twice() {
    for has_submitted in [false, true] {
        let Some(desk) = ClusterDesk::new(SMALL, "chunk = 0.1", 0) else {
            return;
        };
        // An `sbatch` whose answer never comes.
        let bin = desk.desk.path("bin");
        fs::create_dir(&bin).unwrap();
        let submits = if has_submitted {
            "/usr/bin/sbatch \"$@\" > /dev/null"
        } else {
            "true"
        };
        let script = format!(
            "#!/bin/sh\n{submits}\ntouch {}/called\nexec sleep 600\n",
            bin.display()
        );
        fs::write(bin.join("sbatch"), script).unwrap();
        fs::set_permissions(bin.join("sbatch"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = desk.command(&desk.desk.run_arguments());
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", bin.display()));
        let mut child = command.spawn().unwrap();
        wait_until("sbatch was called", || bin.join("called").exists());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(desk.submissions().len(), 1);
        desk.run()
            .assert_code(0)
            .assert_says("of an earlier session");
        let accepted = |folder: &Path| folder.join("accepted.json").is_file();
        let lost = desk
            .submissions()
            .iter()
            .filter(|folder| !accepted(folder))
            .count();
        assert_eq!(lost, usize::from(!has_submitted));
        desk.assert_like(&local(SMALL));
    }
}

#[test]
fn a_time_limit_in_the_middle_of_a_run_continues_it() {
    let sweep = SMALL
        .replace("steps = 12", "steps = 60")
        .replace("seeds = 2", "seeds = 1");
    let Some(desk) = ClusterDesk::new(&sweep, "time = \"1\", chunk = 0.01", 1000) else {
        return;
    };
    desk.run()
        .assert_code(0)
        .assert_says("stopped with checkpoints");
    desk.assert_like(&local(&sweep));
}

#[test]
fn a_held_array_is_told_and_stopping_ends_it() {
    let Some(desk) = ClusterDesk::new(SMALL, "options = [\"--hold\"]", 0) else {
        return;
    };
    let mut detached = desk.desk.run_arguments().to_vec();
    detached.push("--detach");
    desk.sweep(&detached).assert_code(0);
    desk.sweep(&["status", "sweep.toml"])
        .assert_says("waiting (JobHeldUser)")
        .assert_says("scontrol release");
    desk.sweep(&["stop", "sweep.toml"])
        .assert_code(0)
        .assert_says("stopped");
    assert_eq!(desk.cluster.says("squeue", &["-h"]), "");
    desk.sweep(&["status", "sweep.toml"])
        .assert_code(0)
        .assert_says("0 begun");
}

#[test]
fn an_array_that_slurm_refuses_is_told_in_its_words() {
    let Some(desk) = ClusterDesk::new(SMALL, "partition = \"nope\"", 0) else {
        return;
    };
    desk.run()
        .assert_code(1)
        .assert_says("invalid partition")
        .assert_says("on.slurm");
}

#[test]
fn a_sweep_without_slurm_is_told_where_to_go() {
    let desk = Desk::new(&on_slurm(SMALL, "", 0));
    let mut command = desk.command(&desk.run_arguments());
    command.env("PATH", "/nonexistent");
    Done::from(command.output().unwrap())
        .assert_code(1)
        .assert_says("login node");
}

/// Runs the small sweep on a node with two fake GPUs, whose elements ask for `gres`, with these variables. Returns what its
/// trainings saw in CUDA_VISIBLE_DEVICES; nothing if there is no Slurm or no C compiler.
fn gpus_seen(gres: &str, variables: &[(&str, &str)]) -> Option<BTreeSet<String>> {
    let cluster = SlurmCluster::start(1, 2)?;
    let desk = Desk::new("");
    let mut exports = Vec::new();
    let machine = fake_gpus(&desk, "80,80")?;
    let machine = machine.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in machine.chain(variables.iter().copied()) {
        exports.push(format!("\"export {name}={value}\""));
    }
    let exports = exports.join(", ");
    let on = format!("on.slurm = {{ gres = \"{gres}\", chunk = 0.01, prologue = [{exports}] }}");
    let sweep = SMALL.replace("device = \"cpu\"\nslots = 2", &on);
    fs::write(desk.path("sweep.toml"), sweep).unwrap();
    let desk = ClusterDesk { desk, cluster };
    desk.run().assert_code(0);
    let runs = fs::read_dir(desk.desk.path("results/runs")).unwrap();
    let logs = runs.map(|run| run.unwrap().path().join("train/0001/log.txt"));
    Some(logs.map(|log| fs::read_to_string(log).unwrap()).collect())
}

#[test]
fn trainers_work_on_the_gpus_that_slurm_gave_to_their_element() {
    if let Some(seen) = gpus_seen("gpu:1", &[]) {
        let both = ["GPU-0\n", "GPU-1\n"].map(str::to_owned);
        assert_eq!(seen, BTreeSet::from(both));
    }
}

#[test]
fn an_element_with_a_share_of_a_gpu_works_on_that_gpu() {
    if let Some(seen) = gpus_seen("shard:2", &[]) {
        let both = ["GPU-0\n", "GPU-1\n"].map(str::to_owned);
        assert!(!seen.is_empty() && seen.is_subset(&both.into()), "{seen:?}");
    }
}

#[test]
fn an_element_with_a_partition_of_a_gpu_works_on_that_partition() {
    // Slurm names partitions only if the driver's library tells it of them.
    let given = [
        ("FAKE_GPU_PARTITIONS", "2,0"),
        ("CUDA_VISIBLE_DEVICES", "MIG-0-1"),
    ];
    if let Some(seen) = gpus_seen("gpu:1", &given) {
        assert_eq!(seen, BTreeSet::from(["MIG-0-1\n".to_owned()]));
    }
}

#[test]
fn elements_keep_to_the_nodes_that_the_options_allow() {
    let options = "options = [\"--nodelist=n2\", \"--exclude=n1\", \"--nodes=1\"]";
    let Some(desk) = ClusterDesk::new(SMALL, options, 0) else {
        return;
    };
    let sweep = desk.desk.read("sweep.toml");
    let noted = sweep.replace(
        "prologue = [",
        "prologue = [\"echo $SLURMD_NODENAME >> nodes.txt\", ",
    );
    fs::write(desk.desk.path("sweep.toml"), noted).unwrap();
    desk.run().assert_code(0);
    let nodes = desk.desk.read("nodes.txt");
    assert!(
        nodes.lines().count() > 1 && nodes.lines().all(|node| node == "n2"),
        "{nodes}"
    );
    desk.assert_like(&local(SMALL));
}

/// Puts a stand-in before `sbatch` that refuses arrays as a controller does whose association may have so many jobs.
fn limit_jobs(desk: &Desk, most: usize) -> String {
    let bin = desk.path("bin");
    fs::create_dir(&bin).unwrap();
    let script = format!(
        r#"#!/bin/sh
for script; do :; done
last=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\).*/\1/p' "$script")
there=$(squeue -h -r -t PENDING,RUNNING,COMPLETING | wc -l)
if [ $((there + last + 1)) -gt {most} ]; then
    echo "sbatch: error: AssocMaxSubmitJobLimit" >&2
    echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)" >&2
    exit 1
fi
exec /usr/bin/sbatch "$@"
"#
    );
    fs::write(bin.join("sbatch"), script).unwrap();
    fs::set_permissions(bin.join("sbatch"), fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[test]
fn a_limit_on_submitted_jobs_makes_arrays_smaller_and_loses_nothing() {
    let sweep = SMALL.replace("seeds = 2", "seeds = 4");
    let Some(desk) = ClusterDesk::new(&sweep, "chunk = 0.001", 0) else {
        return;
    };
    let path = limit_jobs(&desk.desk, 3);
    let mut command = desk.command(&desk.desk.run_arguments());
    let done = Done::from(command.env("PATH", path).output().unwrap());
    done.assert_code(0)
        .assert_says("AssocMaxSubmitJobLimit")
        .assert_says("at most");
    desk.assert_like(&local(&sweep));
}

#[test]
fn arrays_are_cut_to_the_largest_size_of_the_cluster() {
    let sweep = SMALL.replace("seeds = 2", "seeds = 4");
    let Some(cluster) = SlurmCluster::with_limits(2, 2, "MaxArraySize=4") else {
        return;
    };
    let desk = Desk::new(&on_slurm(&sweep, "chunk = 0.001", 0));
    let desk = ClusterDesk { desk, cluster };
    let done = desk.run().assert_code(0);
    assert!(!done.err.contains("warning"), "{}", done.err);
    // One for the data, and at least three for eight runs and their ensembles.
    assert!(desk.submissions().len() > 3, "{}", done.err);
    desk.assert_like(&local(&sweep));
}

#[test]
fn a_controller_without_room_for_more_jobs_is_asked_for_less() {
    let sweep = SMALL.replace("seeds = 2", "seeds = 5");
    let Some(cluster) = SlurmCluster::with_limits(2, 2, "MaxJobCount=6\nMinJobAge=2") else {
        return;
    };
    let desk = Desk::new(&on_slurm(&sweep, "chunk = 0.001", 0));
    let desk = ClusterDesk { desk, cluster };
    // `sbatch` tries again by itself, for longer than anyone waits.
    desk.run()
        .assert_code(0)
        .assert_says("at most 1 element next");
    desk.assert_like(&local(&sweep));
}

#[test]
fn a_training_on_a_cluster_has_the_bits_of_one_on_this_machine_and_reads_a_copy_of_its_data() {
    let sweep = SMALL.replace("seeds = 2", "seeds = 1");
    let Some(cluster) = SlurmCluster::start(2, 2) else {
        return;
    };
    let desk = Desk::real("");
    let scratch = desk.path("scratch");
    let table = format!("chunk = 0.001, stage = \"{}\"", scratch.display());
    fs::write(desk.path("sweep.toml"), on_slurm(&sweep, &table, 0)).unwrap();
    let desk = ClusterDesk { desk, cluster };
    desk.run().assert_code(0);
    let local = Desk::real(&sweep);
    local.run().assert_code(0);
    desk.assert_like(&local);
    // Both nodes are this machine.
    let logs = desk.printed_by_workers();
    assert_eq!(logs.matches("copied to this node").count(), 1, "{logs}");
    assert!(logs.contains("read from the copy on this node"), "{logs}");
    assert!(!logs.contains("warning"), "{logs}");
    for (run, attempt) in desk.desk.in_runs("train/0001/attempt.json") {
        let attempt: serde_json::Value = serde_json::from_slice(&attempt).unwrap();
        let data = attempt["work"]["train"]["data"].as_str().unwrap();
        assert!(Path::new(data).starts_with(&scratch), "{run}: {data}");
    }
}

/// Returns the ids of the workers of a cluster.
fn workers(cluster: &SlurmCluster) -> Vec<i32> {
    let is_worker = |pid: &i32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command)
            .split('\0')
            .any(|word| word == "worker")
    };
    cluster.processes().into_iter().filter(is_worker).collect()
}

/// Waits for the end of a session; nodes that Slurm has drained, and elements that it holds after a crash, are released
/// as an administrator would.
fn wait_for(session: &mut Child, cluster: &SlurmCluster) -> Option<i32> {
    for _ in 0..300 {
        if let Some(status) = session.try_wait().unwrap() {
            return status.code();
        }
        thread::sleep(Duration::from_secs(1));
        let drained = cluster.says("sinfo", &["-h", "-N", "-t", "drain,down", "-o", "%N"]);
        for node in drained.lines().filter(|node| node.starts_with('n')) {
            cluster.says(
                "scontrol",
                &["update", &format!("nodename={node}"), "state=resume"],
            );
        }
        let held = cluster.says("squeue", &["-h", "-r", "-o", "%A %r"]);
        for line in held.lines().filter(|line| line.ends_with("JobHeldUser")) {
            let id = line.split(' ').next().unwrap();
            cluster.says("scontrol", &["release", id]);
        }
    }
    session.kill().unwrap();
    session.wait().unwrap();
    None
}
