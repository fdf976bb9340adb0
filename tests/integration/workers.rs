//! Workers: several processes that work on one sweep in one results folder, as a batch system starts them.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use schema::{Device, Numerics, PrepareWork, PreparedIndex};
use sweep::{
    batch::{Submission, SubmissionFolder, submission::VERSION},
    config::{Sweep, resolved},
    ledger::{Job, Ledger},
    plan::Plan,
};

use crate::desk::{Desk, Done, SMALL};

/// The id of the submission of a desk.
const ID: &str = "5f1c";

/// The small sweep, slow enough to be interrupted.
fn slow(steps: u32) -> Desk {
    Desk::new(&SMALL.replace("steps = 12", &format!("steps = {steps}"))).slowly(20)
}

impl Desk {
    /// Submits the sweep in chunks: one prepares the data, and each of the others has the jobs of one run.
    fn submit(&self) -> usize {
        let mut chunks: Vec<Vec<Job>> = Vec::new();
        let plan = self.plan();
        chunks.push(plan.data.keys().map(|&data| Job::Prepare(data)).collect());
        let of_run = |&run| vec![Job::Train(run), Job::Evaluate(run)];
        chunks.extend(plan.runs.keys().map(of_run));
        self.submit_chunks(&chunks);
        chunks.len()
    }

    fn submit_chunks(&self, chunks: &[Vec<Job>]) {
        let submission = Submission {
            version: VERSION,
            file: self.path("sweep.toml"),
            folder: self.path(""),
            results: self.path("results"),
            numerics: Numerics::Cpu { threads: 1 },
            device: Device::Cpu,
            trainer: Some(self.trainer().into()),
            ended: Vec::new(),
        };
        let text = resolved(&self.path("sweep.toml"), &[]).unwrap();
        let folder = SubmissionFolder::new(&self.ledger(), ID);
        folder.write(&submission, &text, chunks).unwrap();
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(self.path("results"))
    }

    fn plan(&self) -> Plan {
        let sweep = Sweep::read(&self.path("sweep.toml"), &[]).unwrap();
        Plan::new(&sweep, &self.ledger(), Numerics::Cpu { threads: 1 }).unwrap()
    }

    /// Returns the command of a worker in a job of Slurm, started again so many times.
    fn worker(&self, chunk: usize, slurm: &str, restarts: u32) -> Command {
        let folder = self.path(&format!("results/slurm/{ID}"));
        let chunk = chunk.to_string();
        let mut command = self.command(&["worker", folder.to_str().unwrap(), "--chunk", &chunk]);
        command
            .env_remove("SLURM_ARRAY_JOB_ID")
            .env_remove("SLURM_CPUS_ON_NODE")
            .env("SLURM_JOB_ID", slurm)
            .env("SLURM_RESTART_COUNT", restarts.to_string())
            .current_dir("/");
        command
    }

    fn work(&self, chunk: usize) -> Done {
        Done::from(self.worker(chunk, "15", 0).output().unwrap())
    }

    /// Waits until a training has a checkpoint.
    fn wait_for_checkpoint(&self) {
        wait_for(|| {
            let runs = self.path("results/runs");
            runs.is_dir() && !self.in_runs("checkpoint.safetensors").is_empty()
        });
    }

    /// Counts the attempts at trainings.
    fn trainings(&self) -> usize {
        let runs = fs::read_dir(self.path("results/runs")).unwrap();
        let attempts = runs.flat_map(|run| fs::read_dir(run.unwrap().path().join("train")));
        attempts.flatten().count()
    }

    /// Fails if the results are not those of a sweep that nobody disturbed.
    fn assert_undisturbed(&self, sweep: &str) {
        let undisturbed = Desk::new(sweep);
        undisturbed.run().assert_code(0);
        self.run().assert_code(0).assert_says("up to date");
        assert_eq!(self.reports(), undisturbed.reports());
        for name in ["model.safetensors", "record.json", "trained.json"] {
            assert_eq!(self.in_runs(name), undisturbed.in_runs(name), "{name}");
        }
        let sound = self.sweep(&["fsck"]).assert_code(0);
        for trouble in ["unknown", "half-written", "damaged"] {
            assert!(!sound.out.contains(trouble), "{}", sound.out);
        }
    }
}

fn in_background(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn done(child: Child) -> Done {
    Done::from(child.wait_with_output().unwrap())
}

fn send(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(process.cast_signed()).unwrap(), signal).unwrap();
}

fn wait_for(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(30), "waited in vain");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn workers_side_by_side_make_the_results_of_one_orchestrator() {
    let desk = Desk::new(SMALL);
    let chunks = desk.submit();
    desk.work(0).assert_code(0);
    let workers: Vec<Child> = (1..chunks)
        .map(|chunk| in_background(desk.worker(chunk, &format!("15_{chunk}"), 0)))
        .collect();
    workers.into_iter().for_each(|worker| {
        done(worker).assert_code(0);
    });
    let journals = fs::read_dir(desk.path("results/journal")).unwrap();
    assert_eq!(journals.count(), chunks);
    assert!(!desk.path("results/journal.jsonl").exists());
    // The times of workers are known to forecasts.
    desk.sweep(&["plan", "sweep.toml", "--set", "sweep.seeds=3"])
        .assert_says("from the same recipe with another seed or fold");
    desk.assert_undisturbed(SMALL);
}

#[test]
fn a_worker_that_is_asked_to_stop_leaves_a_checkpoint_and_the_next_one_goes_on() {
    let sweep = SMALL.replace("steps = 12", "steps = 60");
    let desk = slow(60);
    desk.submit();
    desk.work(0).assert_code(0);
    for (restarts, signal) in [Signal::USR1, Signal::TERM, Signal::XCPU]
        .into_iter()
        .enumerate()
    {
        let worker = in_background(desk.worker(1, "15_1", restarts as u32));
        wait_for(|| desk.path("results/runs").is_dir() && desk.trainings() == restarts + 1);
        desk.wait_for_checkpoint();
        send(worker.id(), signal);
        done(worker)
            .assert_code(85)
            .assert_says("stopped with checkpoints, 2 jobs left");
    }
    done(in_background(desk.worker(1, "15_1", 3))).assert_code(0);
    for chunk in 2..=4 {
        desk.work(chunk).assert_code(0);
    }
    desk.assert_undisturbed(&sweep);
}

#[test]
fn a_second_worker_on_the_same_run_is_told_of_the_first_and_leaves_it_alone() {
    let desk = slow(60);
    desk.submit();
    desk.work(0).assert_code(0);
    let first = in_background(desk.worker(1, "15_1", 0));
    desk.wait_for_checkpoint();
    Done::from(desk.worker(1, "16", 0).output().unwrap())
        .assert_code(4)
        .assert_says(&format!("process {} of", first.id()))
        .assert_says("Slurm job 15_1 works on this run")
        .assert_says("other processes work on 1 job, 2 jobs left");
    done(first).assert_code(0);
    // It is done: there is nothing to repeat.
    desk.work(1).assert_code(0);
    assert_eq!(desk.trainings(), 1);
}

#[test]
fn an_orchestrator_leaves_the_runs_of_workers_alone() {
    let desk = slow(60);
    desk.submit();
    desk.work(0).assert_code(0);
    let worker = in_background(desk.worker(1, "15_1", 0));
    desk.wait_for_checkpoint();
    desk.run()
        .assert_code(4)
        .assert_says("Slurm job 15_1 works on this run")
        .assert_says("other processes work on 1 job");
    done(worker).assert_code(0);
    assert_eq!(desk.trainings(), 4);
    desk.assert_undisturbed(&SMALL.replace("steps = 12", "steps = 60"));
}

#[test]
fn workers_at_work_are_shown_and_nobody_tidies_up_around_them() {
    let desk = slow(100);
    desk.submit();
    desk.work(0).assert_code(0);
    let worker = in_background(desk.worker(1, "15_1", 0));
    desk.wait_for_checkpoint();
    desk.sweep(&["status", "sweep.toml"])
        .assert_code(0)
        .assert_says(&format!("process {} of", worker.id()))
        .assert_says("Slurm job 15_1\n  cpu 0  train ");
    fs::create_dir_all(desk.path("other/runs")).unwrap();
    for command in [
        &["gc", "--delete"][..],
        &["fsck", "--repair"],
        &["merge", "other", "--into", "results"],
        &["merge", "results", "--into", "other"],
    ] {
        desk.sweep(command)
            .assert_code(4)
            .assert_says("workers are at work in `results`")
            .assert_says("Slurm job 15_1; wait for them, or cancel their jobs");
    }
    done(worker).assert_code(0);
    desk.sweep(&["gc", "--delete"]).assert_code(0);
    let status = desk.sweep(&["status", "sweep.toml"]).assert_code(0);
    assert!(!status.out.contains("running"), "{}", status.out);
}

#[test]
fn a_worker_that_wakes_up_after_its_job_was_started_again_overwrites_nothing() {
    let sweep = SMALL.replace("steps = 12", "steps = 60");
    let desk = slow(60);
    desk.submit();
    desk.work(0).assert_code(0);
    let late = in_background(desk.worker(1, "15_1", 0));
    desk.wait_for_checkpoint();
    let payload = desk.trainers();
    for &trainer in &payload {
        send(trainer.cast_unsigned(), Signal::STOP);
    }
    send(late.id(), Signal::STOP);

    done(in_background(desk.worker(1, "15_1", 1))).assert_code(0);
    let files = ["model.safetensors", "record.json", "trained.json"];
    let before = files.map(|name| desk.in_runs(name));
    for &trainer in &payload {
        send(trainer.cast_unsigned(), Signal::CONT);
    }
    // It goes on for a while, and then finds that it was superseded.
    wait_for(|| desk.trainers().is_empty());
    send(late.id(), Signal::CONT);
    done(late)
        .assert_code(4)
        .assert_says("another process has claimed it")
        .assert_says("another worker has begun the same jobs anew, and this one has stopped");
    assert_eq!(files.map(|name| desk.in_runs(name)), before);
    let run = desk.in_runs("record.json").into_keys().next().unwrap();
    desk.sweep(&["why", &run])
        .assert_says("train 1: given up: another process had claimed the job")
        .assert_says("train 2: finished");
    for chunk in 2..=4 {
        desk.work(chunk).assert_code(0);
    }
    desk.assert_undisturbed(&sweep);
}

#[test]
fn what_a_killed_worker_had_claimed_is_free() {
    let sweep = SMALL.replace("steps = 12", "steps = 60");
    let desk = slow(60);
    let chunks = desk.submit();
    desk.work(0).assert_code(0);
    let mut killed = in_background(desk.worker(1, "15_1", 0));
    desk.wait_for_checkpoint();
    killed.kill().unwrap();
    killed.wait().unwrap();
    desk.assert_no_orphans();
    for chunk in 1..chunks {
        desk.work(chunk).assert_code(0);
    }
    desk.assert_undisturbed(&sweep);
}

#[test]
fn a_final_failure_ends_a_chunk_like_a_result() {
    let desk = Desk::new(&SMALL.replace("seeds = 2", "seeds = [103]"));
    desk.submit();
    for chunk in 0..=2 {
        desk.work(chunk).assert_code(0);
    }
    desk.sweep(&["status", "sweep.toml"])
        .assert_code(2)
        .assert_says("the image `a.png` is damaged");
}

#[test]
fn a_worker_that_finds_a_disk_full_says_that_its_jobs_are_not_to_blame() {
    let desk = Desk::new(&SMALL.replace("seeds = 2", "seeds = [105]"));
    desk.submit();
    desk.work(0).assert_code(0);
    desk.work(1)
        .assert_code(3)
        .assert_says("a disk is full or cannot be written, 2 jobs left");
    let folder = SubmissionFolder::new(&desk.ledger(), ID);
    let end = folder.end_of(1).unwrap().unwrap();
    assert!(end.disk_full, "{end:?}");
}

#[test]
fn a_worker_that_cannot_copy_data_says_so_and_reads_it_where_it_is() {
    for (stage, why) in [
        (
            "/dev/null/scratch",
            "cannot create `/dev/null/scratch/sweep-",
        ),
        ("$NO_SUCH_FOLDER", "`$NO_SUCH_FOLDER` is not set here"),
    ] {
        let on = format!("slots = 2\non.slurm = {{ stage = \"{stage}\" }}");
        let desk = Desk::new(&SMALL.replace("slots = 2", &on));
        desk.submit();
        desk.work(0).assert_code(0);
        desk.work(1)
            .assert_code(0)
            .assert_says("not copied to this node, but read from the results folder")
            .assert_says(why);
    }
}

/// Writes the data sets of a desk as the real trainer prepares them.
fn prepare(desk: &Desk) {
    for (&data, planned) in &desk.plan().data {
        let images = [1, 2, 3];
        let index = serde_json::json!({
            "dataset": planned.dataset, "stored": planned.images, "fingerprint": planned.fingerprint,
            "bytes": images.len(), "blake3": blake3::hash(&images).to_hex().to_string(),
        });
        let index = schema::sealed(PreparedIndex::SUBJECT, &index).unwrap();
        let folder = desk.ledger().data(data);
        durable::write(&folder.join(PrepareWork::IMAGES), &images).unwrap();
        durable::write(&folder.join(PrepareWork::INDEX), index.as_bytes()).unwrap();
    }
}

#[test]
fn data_that_cannot_be_read_from_a_copy_is_read_where_it_is_before_a_job_fails() {
    let desk = Desk::new("");
    let scratch = desk.path("scratch");
    let on = format!(
        "slots = 2\non.slurm = {{ stage = \"{}\" }}",
        scratch.display()
    );
    // The fake trainer cannot read the data of this seed.
    let sweep = SMALL
        .replace("seeds = 2", "seeds = [103]")
        .replace("slots = 2", &on);
    fs::write(desk.path("sweep.toml"), sweep).unwrap();
    prepare(&desk);
    desk.submit();
    desk.work(1)
        .assert_code(0)
        .assert_says("copied to this node, 3 bytes")
        .assert_says("the copy of its data on this node: the image `a.png` is damaged");
    let read_in = |attempt: u32| {
        let attempts = desk.in_runs(&format!("train/{attempt:04}/attempt.json"));
        let attempt: serde_json::Value = serde_json::from_slice(attempts.values().next()?).unwrap();
        Some(PathBuf::from(attempt["work"]["train"]["data"].as_str()?))
    };
    assert!(read_in(1).unwrap().starts_with(&scratch));
    assert!(read_in(2).unwrap().starts_with(desk.path("results")));
    assert_eq!(read_in(3), None);
}

#[test]
fn a_worker_refuses_what_it_cannot_do() {
    let desk = Desk::new(SMALL);
    desk.submit();
    desk.work(5)
        .assert_code(1)
        .assert_says("has 5 chunks, the first of which is number 0, and no chunk 5");
    // Its data is not prepared.
    desk.work(1)
        .assert_code(3)
        .assert_says("2 jobs of the chunk cannot start, because what it needs is not done: train");
    let unknown = Job::Train("0123456789abcdef".parse().unwrap());
    desk.submit_chunks(&[vec![unknown]]);
    desk.work(0)
        .assert_code(1)
        .assert_says("the sweep has no train 0123456789abcdef any more")
        .assert_says("submit it again");
    desk.sweep(&["worker", "results", "--chunk", "0"])
        .assert_code(1)
        .assert_says("has no `submission.json`");
}

#[test]
fn a_second_sweep_in_the_folder_is_told_of_the_job_of_the_first_and_of_the_way_to_share_it() {
    let desk = slow(60);
    let mut command = desk.command(&desk.run_arguments());
    command.env("SLURM_JOB_ID", "14");
    let first = in_background(command);
    desk.wait_for_checkpoint();
    let mut second = desk.command(&desk.run_arguments());
    second.env("SLURM_JOB_ID", "15");
    Done::from(second.output().unwrap())
        .assert_code(4)
        .assert_says(&format!("process {} of", first.id()))
        .assert_says(", Slurm job 14) is running in `results`")
        .assert_says("`sweep run --on slurm`");
    desk.sweep(&["status", "sweep.toml"])
        .assert_says("Slurm job 14");
    done(first).assert_code(0);
}

/// The job file for one node in the documentation.
fn documented_job() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/slurm.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, script) = page.split_once("```sh\n#!/bin/bash\n").unwrap();
    let (script, _) = script.split_once("```").unwrap();
    script.to_owned()
}

impl Desk {
    /// Puts a program of this name into a folder of its own.
    fn install(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        durable::write(&path, format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Starts the documented job.
    fn start_job(&self) -> Child {
        let mut command = Command::new("bash");
        let path = env::var("PATH").unwrap();
        command
            .args(["-c", &documented_job()])
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("SLURM_JOB_ID", "15");
        in_background(self.here(command))
    }
}

#[test]
fn the_documented_job_file_stops_with_checkpoints_and_queues_itself_again() {
    let sweep = SMALL.replace("steps = 12", "steps = 60");
    let desk = slow(60);
    fs::create_dir(desk.path("sweeps")).unwrap();
    fs::copy(desk.path("sweep.toml"), desk.path("sweeps/omniglot.toml")).unwrap();
    let program = env!("CARGO_BIN_EXE_sweep");
    let trainer = desk.trainer();
    desk.install(
        "sweep",
        &format!("exec {program} \"$@\" --trainer {trainer}"),
    );
    desk.install("scontrol", "echo \"$@\" >> queue.log");
    let job = desk.start_job();
    desk.wait_for_checkpoint();
    send(job.id(), Signal::USR1);
    done(job).assert_code(130).assert_says("interrupted");
    assert_eq!(desk.read("queue.log"), "requeue 15\n");
    desk.assert_no_orphans();
    done(desk.start_job()).assert_code(0);
    assert_eq!(desk.read("queue.log"), "requeue 15\n");
    desk.assert_undisturbed(&sweep);
}
