//! `sweep doctor`: describes this machine, and tests whether it computes the same bits twice.

use std::{
    path::{Path, PathBuf},
    thread,
};

use clap::Args;
use schema::{
    Adam, Backbone, Color, Dataset, Device, Event, ImageSize, Labels, Loss, MPerClass, Model,
    Optimizer, PrepareWork, ProbeWork, Recipe, Resnet50, Sampler, StoredImages, Task, TrainWork,
    Training, Transform, Triplet, bytes_in_words,
};
use serde_json::{Value, json};

use super::{Exit, Opened, Target, counted, folder::folder, room::free_bytes, show, show_json};
use crate::{
    config::Sweep,
    ledger::{RunFolder, absolute},
    run::{
        affinity,
        driver::{Driver, GpuFacts},
        gpus::Gpu,
        slots::Machine,
        trainer::{Answer, Foreground, Trainer},
    },
};

/// Check the machine: trainer, libtorch, GPUs, disk, determinism
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep doctor
  sweep doctor --determinism                      train a few steps repeatedly and compare the bits
  sweep doctor --determinism sweeps/omniglot.toml     with the first method of this sweep")]
pub(super) struct Doctor {
    /// Train a few steps repeatedly, once with an interruption, and compare the bits
    #[arg(long)]
    determinism: bool,
    /// Sweep file whose first method is trained [default: a small training without data files]
    #[arg(requires = "determinism")]
    file: Option<PathBuf>,
    /// Folder of finished and interrupted runs
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = "results")]
    results: PathBuf,
    /// Print one JSON object about the machine
    #[arg(long, conflicts_with = "determinism")]
    json: bool,
    /// A program to use in the place of `sweep-trainer`
    #[arg(long, value_name = "PROGRAM", hide = true)]
    trainer: Option<PathBuf>,
}

/// The version of the JSON object.
const VERSION: u32 = 1;

/// The sweep that is trained if no file is given.
const SMALL: &str = include_str!("doctor.toml");

/// Steps of each training.
const STEPS: u64 = 8;
/// The step after which the last training is interrupted.
const INTERRUPTED: u64 = 3;

impl Doctor {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let trainer = Trainer::find(self.trainer.as_deref())?;
        if self.determinism {
            self.compare(&trainer)
        } else if self.json {
            show_json(&self.as_json(&trainer))
        } else {
            self.survey(&trainer)
        }
    }

    fn as_json(&self, trainer: &Trainer) -> Value {
        let machine = Opened::machine();
        let gpus = machine.gpus.checked();
        let models = gpus.as_ref().ok().map(|gpus| {
            let gpu = |gpu: &Gpu| {
                json!({
                    "visible": gpu.visible,
                    "model": gpu.model,
                    "bytes": gpu.memory,
                    "is_partition": gpu.is_partition,
                    "near_cores": affinity::as_list(&gpu.near),
                })
            };
            gpus.iter().map(gpu).collect::<Vec<Value>>()
        });
        json!({
            "version": VERSION,
            "sweep": crate::VERSION,
            "program": trainer.program,
            "trainer": trainer.description,
            "cores": thread::available_parallelism().map_or(1, usize::from),
            "available_bytes": machine.memory,
            "free_bytes": free_bytes(&absolute(&self.results)),
            "gpus": models,
            "warning": difference(&machine, trainer),
        })
    }

    fn survey(&self, trainer: &Trainer) -> Result<(), Exit> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let cuda = match trainer.description.cuda_devices {
            0 => "none that libtorch can use".to_owned(),
            count => count.to_string(),
        };
        let machine = Opened::machine();
        let folder = absolute(&self.results);
        let mut lines = vec![
            ("sweep", crate::VERSION.to_owned()),
            (
                "trainer",
                format!(
                    "{}, `{}`",
                    trainer.description.trainer,
                    trainer.program.display()
                ),
            ),
            ("libtorch", trainer.description.libtorch.clone()),
            ("CPU cores", cores.to_string()),
            ("memory", memory_here()),
            ("CUDA devices", cuda),
            (
                "free disk",
                free_space(&folder).unwrap_or_else(|| "unknown".to_owned()),
            ),
        ];
        lines.extend(gpus_here(&machine));
        if let Some(difference) = difference(&machine, trainer) {
            lines.push(("warning", difference));
        }
        let lines: String = lines
            .iter()
            .map(|(name, value)| format!("{name:<13} {value}\n"))
            .collect();
        show(&lines)
    }

    fn compare(&self, trainer: &Trainer) -> Result<(), Exit> {
        let opened = self.open()?;
        let check = DeterminismCheck::new(trainer, &opened)?;
        let first = check.train("first", None)?;
        let again = check.train("again", None)?;
        check.train("parts", Some(INTERRUPTED))?;
        let parts = check.train("parts", None)?;
        let mut text = format!(
            "{}\n  trained twice            {}\n  stopped and continued    {}\n",
            check.title,
            verdict(first == again),
            verdict(first == parts)
        );
        let different = check.probe()?;
        match different.as_slice() {
            [] => text.push_str("  the first step alone     the same bits, four times\n"),
            [at, rest @ ..] => text.push_str(&format!(
                "  the first step alone     differs first in the {at}, then in {} further tensors\n",
                rest.len()
            )),
        }
        show(&text)
    }

    fn open(&self) -> Result<Opened, Exit> {
        if let Some(file) = &self.file {
            let target = Target {
                file: file.clone(),
                overrides: Vec::new(),
                results: self.results.clone(),
            };
            return target.open();
        }
        let sweep = Sweep::parse(Path::new("doctor.toml"), SMALL, &[], String::new())?;
        Opened::here(sweep, &self.results)
    }
}

/// Describes the driver and each GPU that a trainer may use.
fn gpus_here(machine: &Machine) -> Vec<(&'static str, String)> {
    let gpus = match machine.gpus.checked() {
        Ok(gpus) => gpus,
        Err(error) => return vec![("GPUs", error.to_string())],
    };
    let driver = Driver::open();
    let version = driver.as_ref().and_then(Driver::version);
    let mut lines = Vec::new();
    if let Some(version) = version {
        lines.push(("driver", version));
    }
    for (number, gpu) in gpus.iter().enumerate() {
        let facts = driver
            .as_ref()
            .and_then(|driver| driver.named(&gpu.visible));
        let facts = facts.map_or_else(
            || "the driver tells nothing".to_owned(),
            |facts| in_words(&facts),
        );
        lines.push(("GPU", format!("{number}: {}, {facts}", gpu.visible)));
    }
    let installed = driver.as_ref().map_or_else(Vec::new, Driver::gpus);
    for gpu in installed.iter().filter(|gpu| gpu.is_unusable()) {
        let (uuid, model) = (&gpu.uuid, &gpu.model);
        lines.push((
            "unusable GPU",
            format!("{uuid}, {model}: in MIG mode, but without partitions (`nvidia-smi mig -cgi` makes some)"),
        ));
    }
    lines
}

fn in_words(gpu: &GpuFacts) -> String {
    let memory = gpu.memory.map_or_else(
        || "memory unknown".to_owned(),
        |memory| {
            let used = bytes_in_words(gpu.usage.bytes);
            format!("{used} of {} in use", bytes_in_words(memory))
        },
    );
    let by = match gpu.usage.processes.len() {
        0 => String::new(),
        count => format!(" by {}", counted_processes(count)),
    };
    let mode = if gpu.is_exclusive {
        "; takes one process at a time"
    } else {
        ""
    };
    let near = match gpu.near.as_slice() {
        [] => String::new(),
        near => format!("; near cores {}", affinity::as_list(near)),
    };
    format!("{}, {memory}{by}{mode}{near}", gpu.model)
}

fn counted_processes(count: usize) -> String {
    match count {
        1 => "1 process".to_owned(),
        count => format!("{count} processes"),
    }
}

/// Describes how the GPUs of `sweep` differ from those that libtorch sees.
pub(super) fn difference(machine: &Machine, trainer: &Trainer) -> Option<String> {
    let gpus = machine.gpus.checked().ok()?;
    let (here, seen) = (gpus.len(), trainer.description.cuda_devices as usize);
    // A process sees one partition of a GPU at most.
    let has_partitions = gpus.iter().any(|gpu| gpu.is_partition);
    let is_same = here == seen || (has_partitions && seen > 0);
    (!is_same).then(|| {
        format!(
            "{} here, but libtorch sees {seen}: its build and the driver may not match",
            counted(here, "GPU")
        )
    })
}

/// Describes the available memory, by what a usual run takes.
fn memory_here() -> String {
    let Some(available) = Machine::survey(None).memory else {
        return "unknown".to_owned();
    };
    let usual = usual_recipe();
    format!(
        "{} available; {} for images of {NATIVE} pixels takes about {} in training and {} in measuring",
        bytes_in_words(available),
        usual.model.backbone.key(),
        bytes_in_words(usual.bytes_to_train().unwrap_or(0)),
        bytes_in_words(usual.bytes_to_evaluate(Device::Cpu))
    )
}

/// Pixels a side of the images that most published weights were trained on.
const NATIVE: u32 = 224;

/// A run as papers have it: ResNet-50 and batches of 32 images.
fn usual_recipe() -> Recipe {
    let images = StoredImages {
        size: ImageSize::Square(NATIVE),
        color: Color::Rgb,
        bounding_boxes: false,
        background: None,
    };
    let training = Training::new(
        Loss::Triplet(Triplet::default()),
        Sampler::MPerClass(MPerClass::default()),
        Optimizer::Adam(Adam::default()),
        1,
    );
    Recipe {
        dataset: Dataset::Cub200,
        images,
        transform: Transform::default(),
        fold: None,
        model: Model::new(Backbone::Resnet50(Resnet50::default()), Some(128)),
        training: Some(training),
        seed: 0,
    }
}

fn verdict(same: bool) -> &'static str {
    if same {
        "the same bits"
    } else {
        "DIFFERENT bits"
    }
}

/// A few steps of a training, in a temporary folder.
struct DeterminismCheck<'a> {
    trainer: &'a Trainer,
    title: String,
    folder: tempfile::TempDir,
    recipe: Recipe,
    weights: Option<PathBuf>,
    device: Device,
    threads: u32,
    /// True if kernels are not chosen by their speed.
    deterministic: bool,
}

impl DeterminismCheck<'_> {
    /// Prepares the data of the first method that is trained.
    fn new<'a>(trainer: &'a Trainer, opened: &Opened) -> Result<DeterminismCheck<'a>, Exit> {
        let Opened { sweep, plan, .. } = opened;
        let trained = plan
            .members
            .iter()
            .find(|member| plan.runs[&member.run].unseeded.recipe.training.is_some());
        let member = trained.ok_or_else(|| Exit::mistake("the sweep trains nothing"))?;
        let run = &plan.runs[&member.run];
        let mut recipe = run.recipe();
        if let Some(training) = &mut recipe.training {
            training.steps = STEPS;
            training.labels = Labels::True;
        }
        let layout = opened.layout().map_err(Exit::mistake)?;
        let device = layout.device();
        let threads = layout.slots.first().map_or(1, |slot| slot.threads);
        let title = format!(
            "{}, {STEPS} steps on {} ({}):",
            plan.name_of_member(member),
            named(device),
            counted(threads as usize, "thread")
        );
        let folder = tempfile::tempdir().map_err(Exit::stuck)?;
        let weights = run.weights.as_deref().map(absolute);
        let check = DeterminismCheck {
            trainer,
            title,
            folder,
            recipe,
            weights,
            device,
            threads,
            deterministic: sweep.resources.deterministic,
        };
        let data = &plan.data[&run.data];
        let prepare = PrepareWork {
            dataset: data.dataset.clone(),
            fingerprint: data.fingerprint.clone(),
            images: data.images,
            cache: data.cache,
            source: data.source.as_deref().map(absolute),
            into: check.folder.path().join("data"),
        };
        check.attempt(prepare, None)?;
        Ok(check)
    }

    fn work(&self, name: &str) -> TrainWork {
        TrainWork {
            recipe: self.recipe.clone(),
            data: self.folder.path().join("data"),
            run: self.folder.path().join(name),
            weights: self.weights.clone(),
            scripts: None,
            checkpoint_seconds: Some(0.0),
            deterministic: self.deterministic,
        }
    }

    /// Trains, or resumes. Returns the bytes of the trained network; `None` if it was stopped.
    fn train(&self, name: &str, stop_after: Option<u64>) -> Result<Option<Vec<u8>>, Exit> {
        self.attempt(self.work(name), stop_after)?;
        Ok(durable::read(&RunFolder::at(self.folder.path().join(name)).model()).ok())
    }

    /// Returns the tensors of the first step that differ between runs, in order of computation.
    fn probe(&self) -> Result<Vec<String>, Exit> {
        let training = self.work("probe");
        let probed = self.attempt(ProbeWork { training }, None)?;
        Ok(probed.map_or_else(Vec::new, |probed| probed.different))
    }

    /// Has the trainer do a task; `None` if it was stopped after a step.
    fn attempt<T: Task>(&self, task: T, stop_after: Option<u64>) -> Result<Option<T::Reply>, Exit> {
        let foreground = Foreground {
            trainer: self.trainer,
            device: self.device,
            threads: self.threads,
        };
        Ok(foreground.attempt(task, |event| match event {
            Event::Checkpoint { step } if Some(*step) == stop_after => Answer::Stop,
            _ => Answer::Continue,
        })?)
    }
}

fn named(device: Device) -> &'static str {
    match device {
        Device::Cpu => "the CPU",
        Device::Cuda => "a GPU",
    }
}

/// Describes the free space on the disk of a folder, which need not exist yet.
fn free_space(folder: &Path) -> Option<String> {
    let free = bytes_in_words(free_bytes(folder)? as u64);
    Some(format!("{free} for `{}`", folder.display()))
}
