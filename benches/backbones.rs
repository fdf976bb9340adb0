//! Trains a backbone on noise, a step for each line it reads: `cargo bench --package dml --bench backbones -- NAME
//! [THREADS [bf16]]`. It answers with one JSON object a step, which `benches/run.py` compares with `peers/backbones.py`.
//!
//! Batches of 32 images of 128 pixels, eight classes, batch norms with frozen statistics, an embedding of 128 numbers,
//! multi-similarity, Adam.

#![expect(clippy::print_stdout, reason = "this is a program")]

use std::{env, fs, io, process::ExitCode, time::Instant};

use dml::{
    model::{Network, NetworkConfig},
    objective::{ConfiguredLoss, Objective},
    optim::FlatOptimizer,
};
use rustix::time::{ClockId, clock_gettime};
use schema::{Backbone, BatchNorm, MultiSimilarity, Precision};
use tch::{Device, Kind, Tensor};

const BATCH: i64 = 32;
const SIZE: i64 = 128;
const PER_CLASS: i64 = 4;

fn main() -> ExitCode {
    // Cargo itself adds `--bench`.
    let arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let key = arguments.first().map_or("", String::as_str);
    let Some(backbone) = Backbone::every().into_iter().find(|one| one.key() == key) else {
        println!("the first argument is the key of a backbone, such as resnet50");
        return ExitCode::FAILURE;
    };
    tch::set_num_threads(
        arguments
            .get(1)
            .and_then(|threads| threads.parse().ok())
            .unwrap_or(1),
    );
    let rounded = arguments
        .get(2)
        .is_some_and(|precision| precision == "bf16");
    let mut config = NetworkConfig::new(backbone, 3, SIZE, Some(128));
    config.model.batch_norm = BatchNorm::FrozenStatistics;
    if rounded {
        config.model.precision = Precision::Bf16;
    }
    let mut training = Training::new(config);
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
    fn new(config: NetworkConfig) -> Training {
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
            images: Tensor::randint(256, [BATCH, 3, SIZE, SIZE], (Kind::Uint8, Device::Cpu)),
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
