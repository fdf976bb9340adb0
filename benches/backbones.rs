//! Trains a backbone on noise, a step for each line it reads: `cargo bench --package dml --bench backbones -- NAME
//! [THREADS [SIDE [bf16]]]`. It answers with one JSON object a step, which `benches/run.py` compares with
//! `peers/backbones.py`.
//!
//! Batches of 32 images of SIDE pixels (128), eight classes, batch norms with frozen statistics, an embedding of 128 numbers,
//! multi-similarity, Adam.
//!
//! `cargo bench --package dml --bench backbones -- memory [NAME ..]` prints the [`schema::Footprint`] of every backbone, or of
//! these, instead.

#![expect(clippy::print_stdout, reason = "this is a program")]
#![expect(clippy::disallowed_methods, reason = "nothing here is a pipe")]

use std::{
    env, fs, io,
    process::{Command, ExitCode},
    time::Instant,
};

use dml::{
    model::{Network, NetworkConfig},
    objective::{ConfiguredLoss, Objective},
    optim::FlatOptimizer,
};
use rustix::time::{ClockId, clock_gettime};
use schema::{Backbone, BatchNorm, MultiSimilarity, Precision};
use tch::{Device, Kind, Tensor};

const BATCH: i64 = 32;
/// Pixels of a side, unless an argument says otherwise.
const SIDE: i64 = 128;
const PER_CLASS: i64 = 4;

fn main() -> ExitCode {
    // Cargo itself adds `--bench`.
    let arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let key = arguments.first().map_or("", String::as_str);
    if key == "memory" {
        print_footprints(&arguments[1..]);
        return ExitCode::SUCCESS;
    }
    let named = |key: &str| Backbone::every().into_iter().find(|one| one.key() == key);
    if let [_, key, work, images] = &arguments[..]
        && let (Some(backbone), Ok(images)) = (named(key), images.parse())
    {
        print_peak(backbone, work, images);
        return ExitCode::SUCCESS;
    }
    let Some(backbone) = named(key) else {
        println!("the first argument is `memory` or the key of a backbone, such as resnet50");
        return ExitCode::FAILURE;
    };
    let number = |place: usize| arguments.get(place).and_then(|number| number.parse().ok());
    tch::set_num_threads(number(1).unwrap_or(1) as i32);
    let side = number(2).unwrap_or(SIDE);
    let rounded = arguments
        .get(3)
        .is_some_and(|precision| precision == "bf16");
    let mut config = NetworkConfig::new(backbone, 3, side, Some(128));
    config.model.batch_norm = BatchNorm::FrozenStatistics;
    if rounded {
        config.model.precision = Precision::Bf16;
    }
    let mut training = Training::new(config, side);
    for _ in io::stdin().lines() {
        let (begun, spent_before) = (Instant::now(), spent());
        training.step();
        let (seconds, processor) = (begun.elapsed().as_secs_f64(), spent() - spent_before);
        println!(
            r#"{{"seconds": {seconds}, "processor": {processor}, "peak_mib": {}}}"#,
            peak_mib()
        );
    }
    ExitCode::SUCCESS
}

struct Training {
    network: Network,
    objective: Objective,
    optimizer: FlatOptimizer,
    images: Tensor,
    labels: Tensor,
}

impl Training {
    fn new(config: NetworkConfig, side: i64) -> Training {
        let mut network = Network::new(config, 0, Device::Cpu)
            .expect("these images pass through these backbones");
        let adam = schema::Adam {
            lr: 1e-6,
            ..schema::Adam::default()
        };
        let count = Tensor::arange(BATCH, (Kind::Int64, Device::Cpu));
        Training {
            optimizer: FlatOptimizer::new(
                &schema::Optimizer::Adam(adam),
                network.flat_parameters(),
            ),
            network,
            objective: Objective::of(ConfiguredLoss::of(Box::new(MultiSimilarity::default()))),
            images: Tensor::randint(256, [BATCH, 3, side, side], (Kind::Uint8, Device::Cpu)),
            labels: count.divide_scalar_mode(PER_CLASS, "floor"),
        }
    }

    fn step(&mut self) {
        let embeddings = self.network.forward(&self.images, true);
        let value = self.objective.step(&embeddings, &self.labels, 0).value;
        let (gradient, _) = self.objective.gradients(&self.network, &value);
        self.optimizer
            .step(self.network.flat_parameters(), &gradient, 1.0);
    }
}

/// Seconds of the processors' time that this process has had.
fn spent() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The most memory that it ever held.
fn peak_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
        .unwrap_or(f64::NAN)
        / 1024.0
}

/// The argument for training whose blocks are computed again for their gradient.
const CHECKPOINTING: &str = "checkpointing";

/// Prints what each backbone, or each of these, takes for images of its native size.
fn print_footprints(keys: &[String]) {
    let is_meant = |key: &str| keys.is_empty() || keys.iter().any(|meant| meant == key);
    for backbone in Backbone::every() {
        let has_layers = !backbone.part().layers().is_empty();
        if has_layers && is_meant(backbone.key()) {
            let evaluation = per_pixel(&backbone, "evaluation", [32, 96]);
            let training = per_pixel(&backbone, "training", [4, 12]);
            let again = backbone.part().is_made_of_blocks().then(|| {
                let again = per_pixel(&backbone, CHECKPOINTING, [4, 12]);
                format!(", with checkpointing {again:.0}")
            });
            println!(
                "{}: evaluation {evaluation:.0}, training {training:.0}{}",
                backbone.key(),
                again.unwrap_or_default()
            );
        }
    }
}

/// Returns the bytes that each further pixel takes, by batches of few and of more images. Every batch
/// has a process of its own, which holds nothing of another.
fn per_pixel(backbone: &Backbone, work: &str, [few, more]: [i64; 2]) -> f64 {
    let peak = |images: i64| -> f64 {
        let program = env::current_exe().expect("this program is a file");
        let arguments = ["peak", backbone.key(), work, &images.to_string()];
        let output = Command::new(program).args(arguments).output();
        let output = output.expect("this program can be started").stdout;
        String::from_utf8_lossy(&output)
            .trim()
            .parse()
            .unwrap_or(f64::NAN)
    };
    let side = f64::from(backbone.part().native_image());
    let bytes = (peak(more) - peak(few)) * f64::from(1 << 20);
    bytes / ((more - few) as f64 * side * side)
}

/// Prints the most memory that is held while images are embedded or trained on, in MiB.
fn print_peak(backbone: Backbone, work: &str, images: i64) {
    let side = i64::from(backbone.part().native_image());
    let mut config = NetworkConfig::new(backbone, 3, side, Some(128));
    config.model.checkpointing = work == CHECKPOINTING;
    let network = Network::new(config, 0, Device::Cpu).expect("the native size passes through");
    let images = Tensor::randint(256, [images, 3, side, side], (Kind::Uint8, Device::Cpu));
    if ["training", CHECKPOINTING].contains(&work) {
        let loss = network.forward(&images, true).square().sum(Kind::Float);
        let _ = network.gradient(&loss);
    } else {
        let _ = tch::no_grad(|| network.forward(&images, false));
    }
    println!("{}", peak_mib());
}
