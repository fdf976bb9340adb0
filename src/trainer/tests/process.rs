//! The executable: arguments, exit codes, events on standard output, and what ends it.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use schema::{
    Attempt, Backbone, Cache, Color, Contrastive, Dataset, Description, Device, EvaluateWork,
    Event, Failure, Fingerprint, Finished, Glyphs, Host, ImageSize, Loss, MPerClass, Metric, Model,
    Optimizer, PROTOCOL, PrepareWork, Recipe, Sampler, Sgd, StoredImages, TrainWork, Training,
    Transform, Work,
};
use tempfile::TempDir;

/// A training process without a reader.
const ENDLESS: u64 = 1_000_000_000;

fn trainer() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sweep-trainer"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn recipe(steps: u64) -> Recipe {
    Recipe {
        dataset: Dataset::Glyphs(Glyphs {
            classes: 4,
            test_classes: 2,
            per_class: 4,
            seed: 0,
        }),
        images: StoredImages {
            size: ImageSize::Square(16),
            color: Color::Gray,
            bounding_boxes: false,
            background: None,
        },
        transform: Transform::default(),
        fold: None,
        model: Model::new(Backbone::Conv4, Some(4)),
        training: Some(Training::new(
            Loss::Contrastive(Contrastive::default()),
            Sampler::MPerClass(MPerClass {
                batch: 4,
                per_class: 2,
            }),
            Optimizer::Sgd(Sgd::default()),
            steps,
        )),
        seed: 0,
    }
}

fn write(folder: &Path, work: Work) -> PathBuf {
    write_for(folder, 1, work)
}

fn write_for(folder: &Path, threads: u32, work: Work) -> PathBuf {
    let attempt = Attempt {
        protocol: PROTOCOL,
        number: 1,
        device: Device::Cpu,
        threads,
        work,
    };
    let path = folder.join("attempt.json");
    fs::write(&path, serde_json::to_vec(&attempt).unwrap()).unwrap();
    path
}

/// A folder with a prepared data set, and the command that trains on it for the given number of steps.
fn training(steps: u64) -> (TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, data, run) = (
        recipe(steps),
        folder.path().join("data"),
        folder.path().join("run"),
    );
    let (dataset, images, into) = (recipe.dataset.clone(), recipe.images, data.clone());
    let fingerprint = Fingerprint::of_parameters(&dataset);
    let prepare = Work::Prepare(PrepareWork {
        dataset,
        fingerprint,
        images,
        cache: Cache::Auto,
        source: None,
        into,
    });
    let output = trainer()
        .arg(write(folder.path(), prepare))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let work = Work::Train(TrainWork {
        recipe,
        data,
        run,
        weights: None,
        scripts: None,
        checkpoint_seconds: Some(3600.0),
        deterministic: false,
    });
    let mut command = trainer();
    command.arg(write(folder.path(), work));
    (folder, command)
}

/// Starts a training in a process group of its own, with a pipe to it, and waits until it is under way.
fn started(command: &mut Command) -> (Child, impl Iterator<Item = Event>) {
    let mut child = command
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let events = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let of_training = |event: &Event| !matches!(event, Event::Alive {} | Event::Host(_));
    let mut events = events.filter(of_training);
    assert_eq!(events.next(), Some(Event::Started { from: 0 }));
    assert!(matches!(events.next(), Some(Event::Network { .. })));
    assert!(matches!(events.next(), Some(Event::Progress { .. })));
    (child, events)
}

fn events(output: &Output) -> Vec<Event> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event| *event != Event::Alive {})
        .collect()
}

/// A trainer that serves.
struct Server {
    child: Child,
    requests: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(results: &Path) -> Server {
        let mut command = trainer();
        command.args(["--serve", "cpu"]).arg(results);
        let mut child = command
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        Server {
            requests: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn ask(&mut self, attempt: &Path) {
        writeln!(self.requests, "attempt {}", attempt.display()).unwrap();
    }

    /// Returns the events up to the one that says that it is ready; all that are left if it does not say so.
    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            let event: Event = serde_json::from_str(&line).unwrap();
            line.clear();
            if event == (Event::Ready {}) {
                break;
            }
            events.push(event);
        }
        events
    }

    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

/// Returns the largest memory and the result of an attempt, without its course.
fn result(events: &[Event]) -> (u64, &Event) {
    let peak = events.iter().find_map(|event| match event {
        Event::Host(Host { memory, .. }) => *memory,
        _ => None,
    });
    (peak.unwrap(), events.last().unwrap())
}

/// Writes the attempts at training and measuring a recipe in a run's folder.
fn train_and_evaluate(folder: &Path, name: &str, recipe: &Recipe) -> [PathBuf; 2] {
    let (data, run) = (folder.join("data"), folder.join(name));
    let train = Work::Train(TrainWork {
        recipe: recipe.clone(),
        data: data.clone(),
        run: run.clone(),
        weights: None,
        scripts: None,
        checkpoint_seconds: Some(3600.0),
        deterministic: false,
    });
    let evaluate = Work::Evaluate(EvaluateWork {
        recipe: recipe.clone(),
        data,
        run: run.clone(),
        metrics: vec![Metric::MapAtR],
        read_only: false,
    });
    [("train", train), ("evaluate", evaluate)].map(|(job, work)| {
        let folder = run.join(job);
        fs::create_dir_all(&folder).unwrap();
        write(&folder, work)
    })
}

#[test]
fn an_attempt_that_is_served_after_others_has_the_bits_and_the_memory_of_one_in_a_process_of_its_own()
 {
    let (folder, _) = training(1);
    let folder = folder.path();
    // The first training takes more memory than the second.
    let mut first = recipe(3);
    first.model = Model::new(Backbone::Conv4, Some(8192));
    let second = Recipe {
        seed: 7,
        ..recipe(20)
    };
    let mut server = Server::start(folder);
    let mut served = Vec::new();
    let attempts = [
        train_and_evaluate(folder, "first", &first),
        train_and_evaluate(folder, "served", &second),
    ];
    for attempt in attempts.as_flattened() {
        server.ask(attempt);
        served.push(server.events());
    }
    let alone = train_and_evaluate(folder, "alone", &second).map(|attempt| {
        let output = trainer().arg(attempt).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        events(&output)
    });
    let [of_first, _, of_train, of_evaluate] = [0, 1, 2, 3].map(|at| result(&served[at]));
    let [alone_train, alone_evaluate] = [0, 1].map(|at| result(&alone[at]));
    assert_eq!(of_train.1, alone_train.1);
    assert_eq!(of_evaluate.1, alone_evaluate.1);
    for file in ["model.safetensors", "embeddings.safetensors", "queries.csv"] {
        let read = |run: &str| durable::read(&folder.join(run).join(file)).unwrap();
        assert!(read("served") == read("alone"), "{file}");
    }
    let middle = u64::midpoint(of_first.0, alone_train.0);
    assert!(
        alone_train.0 < middle && of_train.0 < middle,
        "{} {} {}",
        of_first.0,
        of_train.0,
        alone_train.0
    );
}

#[test]
fn a_process_that_serves_ends_after_a_failure_and_with_a_request_to_stop() {
    let (folder, _) = training(1);
    let folder = folder.path();
    let mut broken = recipe(3);
    broken.images.size = ImageSize::Square(32);
    let mut server = Server::start(folder);
    server.ask(&train_and_evaluate(folder, "broken", &broken)[0]);
    let last = server.events().pop();
    assert!(matches!(last, Some(Event::Failed { .. })), "{last:?}");
    assert_eq!(server.exit_code(), Some(1));

    let mut server = Server::start(folder);
    writeln!(server.requests, "stop").unwrap();
    assert_eq!(server.exit_code(), Some(3));

    let mut server = Server::start(folder);
    server.ask(&train_and_evaluate(folder, "endless", &recipe(ENDLESS))[0]);
    writeln!(server.requests, "stop").unwrap();
    assert!(last_checkpoint(&server.events()).is_some());
    assert_eq!(server.exit_code(), Some(3));

    let mut server = Server::start(folder);
    server.ask(&train_and_evaluate(folder, "good", &recipe(1))[0]);
    assert!(matches!(server.events().pop(), Some(Event::Finished(_))));
    let Work::Train(work) = read_work(folder, "good") else {
        panic!("it is a training")
    };
    server.ask(&write_for(folder, 2, Work::Train(work)));
    assert!(server.events().is_empty());
    assert_eq!(server.exit_code(), Some(2));
}

fn read_work(folder: &Path, run: &str) -> Work {
    let text = durable::read(&folder.join(run).join("train/attempt.json")).unwrap();
    serde_json::from_slice::<Attempt>(&text).unwrap().work
}

#[test]
fn it_describes_itself() {
    let output = trainer().arg("--describe").output().unwrap();
    let description: Description = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(description.protocol, PROTOCOL);
    assert!(description.trainer.starts_with("sweep-trainer "));
    for flag in ["--help", "--version"] {
        let output = trainer().arg(flag).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty());
    }
}

#[test]
fn an_attempt_that_cannot_be_used_is_exit_code_2_and_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("attempt.json");
    fs::write(&path, r#"{"protocol": 1, "tpyo": 2}"#).unwrap();
    let missing = folder.path().join("missing.json");
    for arguments in [
        vec![],
        vec!["--what"],
        vec![path.to_str().unwrap()],
        vec![missing.to_str().unwrap()],
    ] {
        let output = trainer().args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn a_training_ends_with_its_result_or_its_failure() {
    let (folder, mut command) = training(2);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = events(&output);
    assert_eq!(said.first(), Some(&Event::Started { from: 0 }));
    assert!(
        matches!(said.last(), Some(Event::Finished(Finished::Trained(_)))),
        "{said:?}"
    );

    fs::remove_dir_all(folder.path().join("data")).unwrap();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        matches!(events(&output).last(), Some(Event::Failed { .. })),
        "{output:?}"
    );
}

/// Returns the step of the last checkpoint that a trainer wrote.
fn last_checkpoint(said: &[Event]) -> Option<u64> {
    said.iter().rev().find_map(|event| match event {
        Event::Checkpoint { step } => Some(*step),
        _ => None,
    })
}

#[test]
fn told_to_stop_it_writes_a_checkpoint_and_leaves() {
    let (folder, mut command) = training(ENDLESS);
    let (mut child, events) = started(&mut command);
    let mut line = child.stdin.take().unwrap();
    line.write_all(b"stop\n").unwrap();
    let said: Vec<Event> = events.collect();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let step = last_checkpoint(&said).unwrap_or_else(|| panic!("{said:?}"));
    assert!(folder.path().join("run/checkpoint.safetensors").exists());

    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    let started = format!(
        "{}\n",
        serde_json::to_string(&Event::Started { from: step }).unwrap()
    );
    let (mut output, mut line) = (BufReader::new(child.stdout.take().unwrap()), String::new());
    while line != started {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "no {started}");
    }
    drop(output);
    // Nobody listens any more.
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn the_signals_of_batch_systems_are_requests_to_stop() {
    for signal in [Signal::TERM, Signal::USR1, Signal::XCPU] {
        let (folder, mut command) = training(ENDLESS);
        let (mut child, events) = started(&mut command);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let said: Vec<Event> = events.collect();
        assert_eq!(child.wait().unwrap().code(), Some(3));
        assert!(last_checkpoint(&said).is_some(), "{said:?}");
        assert!(folder.path().join("run/checkpoint.safetensors").exists());
    }
}

#[test]
fn a_network_larger_than_a_file_may_be_is_a_failure_of_the_disk() {
    let (_folder, training) = training(1);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -f 8; exec \"$0\" \"$@\""]);
    shell
        .arg(training.get_program())
        .args(training.get_args())
        .stdin(Stdio::null());
    let output = shell.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let Some(Event::Failed { class, message }) = events(&output).pop() else {
        panic!("{output:?}");
    };
    assert_eq!(class, Failure::Disk);
    assert!(message.ends_with("(`ulimit -f`)"), "{message}");
}

#[test]
fn without_its_orchestrator_it_dies() {
    let (_folder, mut command) = training(ENDLESS);
    let (mut child, events) = started(&mut command);
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    drop(events);
}

#[test]
fn work_without_checkpoints_stops_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = Dataset::Glyphs(Glyphs {
        classes: 1_000_000,
        test_classes: 2,
        per_class: 20,
        seed: 0,
    });
    let prepare = Work::Prepare(PrepareWork {
        fingerprint: Fingerprint::of_parameters(&dataset),
        dataset,
        images: recipe(1).images,
        cache: Cache::Auto,
        source: None,
        into: folder.path().join("data"),
    });
    let mut command = trainer();
    command
        .arg(write(folder.path(), prepare))
        .stdin(Stdio::piped());
    let mut child = command.process_group(0).spawn().unwrap();
    let mut first = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut first).unwrap();
    assert!(first.contains("started"), "{first}");
    let mut lifeline = child.stdin.take().unwrap();
    lifeline.write_all(b"stop\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(!folder.path().join("data").join("index.json").exists());
}
