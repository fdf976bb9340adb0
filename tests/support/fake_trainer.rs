//! Speaks the trainer's protocol without libtorch, so that the orchestrator can be tested alone.
//!
//! "Training" hashes step after step, so that a run that was resumed wrongly ends with another number, and
//! "evaluation" turns that number into scores. It makes one attempt after another unless `FAKE_ONCE` is set, and logs the id
//! of its process if `FAKE_LOGS_ITS_ID` is. Each step takes `FAKE_STEP_MS` milliseconds. On a GPU, a training takes
//! `FAKE_GPU_GB` gigabytes of the GPUs that `fake_nvml.c` describes. Some seeds misbehave:
//!
//! | seed | what happens |
//! | --- | --- |
//! | 101 | dies at every attempt, half way |
//! | 102 | dies at the first attempt only |
//! | 103 | reports a damaged image |
//! | 104 | diverges |
//! | 105 | reports a full disk |
//! | 106 | ignores requests to stop |
//! | 107 | finds no pair in any step |
//! | 108 | hangs at the first attempt, half way |
//! | 109 | exits with code 9 after it has finished |
//! | 110 | runs out of memory at the first attempt |
//! | 111 | leaves a process behind that keeps its output open |
//! | 112 | reports the result of another kind of work |
//! | 113 | computes for long without progress, and says that it lives |
//! | 114 | runs out of main memory at the first attempt |

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::exit,
    clippy::disallowed_methods
)]

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, exit},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use schema::{
    Attempt, Breakdown, Description, Evaluated, Event, Failure, Finished, Fitted, Host, Imported,
    Metric, PROTOCOL, Prepared, Probed, Recipe, TrainWork, Trained, TrainingEnd, Work,
};
use signals::{SIGTERM, SIGUSR1};

static STOP: AtomicBool = AtomicBool::new(false);

fn main() {
    let argument = env::args().nth(1).unwrap();
    if argument == "--describe" {
        let description = Description {
            protocol: PROTOCOL,
            trainer: "fake-trainer".to_owned(),
            libtorch: "none".to_owned(),
            cuda_devices: fake_gpus().len() as u32,
            serves: env::var("FAKE_ONCE").is_err(),
        };
        println!("{}", serde_json::to_string(&description).unwrap());
        return;
    }
    let (sender, attempts) = mpsc::channel();
    thread::spawn(|| hold_the_lifeline(sender));
    signals::watch(&[SIGTERM, SIGUSR1], || STOP.store(true, Ordering::Relaxed)).unwrap();
    if argument != "--serve" {
        return make(Path::new(&argument));
    }
    while !STOP.load(Ordering::Relaxed) {
        if let Ok(attempt) = attempts.recv_timeout(Duration::from_millis(50)) {
            make(Path::new(&attempt));
            emit(&Event::Ready {});
        }
    }
    exit(3);
}

/// Makes an attempt.
fn make(attempt: &Path) {
    if let Some(turn) = attempt.parent().and_then(durable::Turn::of) {
        turn.of_process();
    }
    let attempt: Attempt = serde_json::from_slice(&fs::read(attempt).unwrap()).unwrap();
    if env::var("FAKE_LOGS_ITS_ID").is_ok() {
        eprintln!("process {}", std::process::id());
    }
    match &attempt.work {
        Work::Import(_) => finish(Imported { images: 0 }),
        Work::Weights(_) => finish(Fitted::of(0)),
        Work::Prepare(work) => {
            fs::create_dir_all(&work.into).unwrap();
            publish(&work.into.join("index.json"), "{}");
            finish(Prepared {
                training_classes: 2,
                training_images: 4,
                test_classes: 2,
                test_images: 4,
            });
        }
        Work::Train(work) => train(work, attempt.number),
        Work::Evaluate(work) => evaluate(&[&work.run], &work.metrics),
        Work::Ensemble(work) => {
            evaluate(
                &work
                    .members
                    .iter()
                    .map(|(_, run)| run.as_path())
                    .collect::<Vec<_>>(),
                &work.metrics,
            );
        }
        Work::Measure(_)
        | Work::Neighbours(_)
        | Work::Inspect(_)
        | Work::Sheet(_)
        | Work::Verify(_)
        | Work::Export(_)
        | Work::Embed(_)
        | Work::CheckScript(_)
        | Work::Compare(_) => {
            panic!("no test asks the fake trainer for this")
        }
        Work::Probe(_) => finish(Probed {
            different: Vec::new(),
        }),
    }
}

/// The gigabytes of each GPU.
fn fake_gpus() -> Vec<u64> {
    numbers("FAKE_GPUS")
}

/// The numbers in a variable, with commas between them.
fn numbers(variable: &str) -> Vec<u64> {
    let list = env::var(variable).unwrap_or_default();
    let numbers = list.split(',').filter_map(|number| number.parse().ok());
    numbers.collect()
}

/// The gigabytes of a GPU (`GPU-0`) or of a partition (`MIG-0-1`).
fn memory_of(gpu: &str) -> u64 {
    let number: usize = gpu.split('-').nth(1).unwrap().parse().unwrap();
    match gpu.starts_with("MIG-") {
        true => fake_gpus()[number] / numbers("FAKE_GPU_PARTITIONS")[number],
        false => fake_gpus()[number],
    }
}

/// Takes memory of a GPU until it is dropped.
struct GpuMemory(Option<PathBuf>);

impl GpuMemory {
    /// Fails as libtorch does if there is too little.
    fn take() -> GpuMemory {
        let (Ok(gpu), Ok(folder)) = (
            env::var("CUDA_VISIBLE_DEVICES"),
            env::var("FAKE_GPU_PROCESSES"),
        ) else {
            return GpuMemory(None);
        };
        eprintln!("{gpu}");
        let Ok(gigabytes) = env::var("FAKE_GPU_GB") else {
            return GpuMemory(None);
        };
        let file = Path::new(&folder).join(std::process::id().to_string());
        fs::write(&file, format!("{gpu} {gigabytes}")).unwrap();
        let memory = GpuMemory(Some(file));
        if taken(&folder, &gpu) > memory_of(&gpu) {
            drop(memory);
            emit(&Event::Failed {
                class: Failure::Memory,
                message: "CUDA out of memory".to_owned(),
            });
            exit(1);
        }
        memory
    }
}

/// The gigabytes that all processes take of a GPU.
fn taken(folder: &str, gpu: &str) -> u64 {
    let files = fs::read_dir(folder).unwrap();
    let texts = files.filter_map(|file| fs::read_to_string(file.unwrap().path()).ok());
    let here = texts.filter_map(|text| {
        let (other, gigabytes) = text.split_once(' ')?;
        (other == gpu).then(|| gigabytes.parse::<u64>().ok())?
    });
    here.sum()
}

impl Drop for GpuMemory {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            let _ = fs::remove_file(file);
        }
    }
}

fn train(work: &TrainWork, attempt: u32) {
    let _memory = GpuMemory::take();
    let steps = work
        .recipe
        .training
        .as_ref()
        .map_or(0, |training| training.steps);
    let checkpoint = work.run.join("checkpoint.safetensors");
    let (mut step, mut state) = match fs::read_to_string(&checkpoint) {
        Ok(text) => text
            .split_once(' ')
            .map(|(step, state)| (step.parse().unwrap(), state.parse().unwrap()))
            .unwrap(),
        Err(_) => (
            0,
            schema::canonical_json(&work.recipe)
                .bytes()
                .fold(0, |state, byte| hash(state, byte.into())),
        ),
    };
    emit(&Event::Started { from: step });
    while step < steps {
        misbehave(&work.recipe, attempt, step, steps);
        thread::sleep(Duration::from_millis(
            env::var("FAKE_STEP_MS").map_or(0, |ms| ms.parse().unwrap()),
        ));
        state = hash(state, step);
        step += 1;
        publish(&checkpoint, &format!("{step} {state}"));
        emit(&Event::Checkpoint { step });
        emit(&Event::Progress {
            done: step,
            total: steps,
            loss: Some(1.0 / step as f64),
        });
        if STOP.load(Ordering::Relaxed) && work.recipe.seed != 106 {
            exit(3);
        }
    }
    publish(&work.run.join("model.safetensors"), &state.to_string());
    let empty_steps = if work.recipe.seed == 107 { steps } else { 0 };
    let select = work
        .recipe
        .training
        .as_ref()
        .map_or(Metric::MapAtR, |training| training.select);
    let validation = work
        .recipe
        .fold
        .map(|_| BTreeMap::from([(select, state as f64 / u64::MAX as f64)]));
    let trained = Trained {
        end: TrainingEnd::Completed,
        steps,
        kept_step: steps,
        validation,
        empty_steps,
        objective: None,
    };
    finish(trained);
    leave_badly(work.recipe.seed);
}

fn leave_badly(seed: u64) {
    match seed {
        109 => exit(9),
        111 => {
            // In a group of its own, so that it outlives the group of the trainer.
            let mut shell = Command::new("sh");
            shell.args(["-c", "sleep 30 &"]).process_group(0);
            shell.status().unwrap();
        }
        _ => {}
    }
}

fn misbehave(recipe: &Recipe, attempt: u32, step: u64, steps: u64) {
    let failed = |class, message: &str| {
        emit(&Event::Failed {
            class,
            message: message.to_owned(),
        });
        exit(1);
    };
    match recipe.seed {
        101 if step >= steps / 2 => std::process::abort(),
        102 if attempt == 1 => std::process::abort(),
        103 => failed(Failure::Data, "the image `a.png` is damaged"),
        104 if step >= steps / 2 => {
            let end = TrainingEnd::Broken(Breakdown::Diverged);
            let trained = Trained {
                end,
                steps: step,
                kept_step: step,
                validation: None,
                empty_steps: 0,
                objective: None,
            };
            finish(trained);
            exit(0);
        }
        108 if attempt == 1 && step == steps / 2 => thread::sleep(Duration::from_secs(3600)),
        105 => failed(Failure::Disk, "no space left on device"),
        110 if attempt == 1 => failed(Failure::Memory, "CUDA out of memory"),
        114 if attempt == 1 => failed(Failure::HostMemory, "can't allocate memory"),
        112 => {
            finish(Imported { images: 3 });
            exit(0);
        }
        113 if step == steps / 2 => live_silently(),
        _ => {}
    }
}

/// Says for two seconds nothing but that it lives.
fn live_silently() {
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(100));
        emit(&Event::Alive {});
    }
}

fn evaluate(runs: &[&Path], metrics: &[Metric]) {
    let of_run = |run: &&Path| {
        fs::read_to_string(run.join("model.safetensors"))
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let state = runs.iter().map(of_run).reduce(hash).unwrap();
    let score = |position: usize| hash(state, position as u64) as f64 / u64::MAX as f64;
    let scores: BTreeMap<_, _> = metrics
        .iter()
        .enumerate()
        .map(|(at, &metric)| (metric, score(at)))
        .collect();
    finish(Evaluated {
        classes: 2,
        images: 4,
        gallery: None,
        without_positive: 0,
        scores,
        ..Evaluated::default()
    });
}

/// SplitMix64's output function.
fn hash(state: u64, step: u64) -> u64 {
    let mut word = state
        .wrapping_mul(31)
        .wrapping_add(step)
        .wrapping_add(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

fn publish(path: &Path, text: &str) {
    durable::write(path, text.as_bytes()).unwrap();
}

fn finish(reply: impl Into<Finished>) {
    emit(&Event::Host(Host {
        processor: env::var("FAKE_PROCESSOR").unwrap_or_else(|_| "Abacus".to_owned()),
        gpu: None,
        libtorch: None,
        memory: Some(1 << 20),
    }));
    emit(&Event::Finished(reply.into()));
}

fn emit(event: &Event) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{}", serde_json::to_string(event).unwrap())
        .and_then(|()| out.flush())
        .is_err()
    {
        exit(1);
    }
}

fn hold_the_lifeline(attempts: mpsc::Sender<String>) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        if line == "stop" {
            STOP.store(true, Ordering::Relaxed);
        }
        if let Some(attempt) = line.strip_prefix("attempt ") {
            attempts.send(attempt.to_owned()).unwrap();
        }
    }
    let own = rustix::process::getpgrp();
    rustix::process::kill_process_group(own, rustix::process::Signal::KILL).unwrap();
}
