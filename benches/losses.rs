//! Measures the time of losses, miners, regularizers and the memory on the CPU. Prints one JSON object a line, which
//! `benches/run.py` reads.
//!
//! `cargo bench --package dml --bench losses -- [THREADS [WORD]]` measures the cases with WORD in their names. Each
//! case is repeated for a while; the result is the median of processor times, which other programs disturb least. Times
//! include the normalization of embeddings, because pytorch-metric-learning does that within each loss, and the gradient
//! of embeddings and parameters.
//!
//! With the word `own`, it compares multi-similarity as a TorchScript module with the built-in one instead, in turns.

#![expect(clippy::print_stdout, reason = "this is a program")]

use std::{collections::BTreeMap, env, time::Duration};

use dml::{
    distance::normalize,
    loss::{self, ClassInit, Loss},
    memory::{CrossBatchMemory, MemoryBatch},
    miner::{self, Miner},
    objective::{ConfiguredLoss, Objective},
    random::{Draws, Purpose},
    regularizer::{self, Regularizer},
    script::Scripts,
    tuples::References,
};
use rustix::time::{ClockId, clock_gettime};
use tch::{Device, Kind, Tensor, no_grad};

const WIDTH: i64 = 128;
const CLASSES: i64 = 128;
const PER_CLASS: i64 = 4;
const BATCHES: [i64; 3] = [32, 128, 512];
const MEMORY: i64 = 55_000;
const MEMORY_BATCH: i64 = 64;
/// A case is repeated for at least this time and at least three times, unless the first repetition takes longer.
const ENOUGH: Duration = Duration::from_millis(300);
/// Repetitions of both forms of a loss before they are compared, and while they are.
const WARM_UP: usize = 5;
const TURNS: usize = 60;

const INIT: ClassInit = ClassInit {
    classes: CLASSES,
    width: WIDTH,
    seed: 0,
    part: 0,
    device: Device::Cpu,
};

fn main() {
    // Cargo itself adds `--bench`.
    let arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let threads = arguments
        .first()
        .and_then(|threads| threads.parse().ok())
        .unwrap_or(1);
    let word = arguments.get(1).map_or("", String::as_str);
    tch::set_num_threads(threads);
    if word == "own" {
        return compare_own();
    }
    for (name, loss) in losses().into_iter().filter(|(name, _)| name.contains(word)) {
        let mut objective = Objective::of(ConfiguredLoss::of(loss));
        for images in BATCHES {
            let (raw, labels) = batch(images);
            report("loss", name, images, || step(&mut objective, &raw, &labels));
        }
    }
    for (name, miner) in miners().into_iter().filter(|(name, _)| name.contains(word)) {
        for images in BATCHES {
            let (raw, labels) = batch(images);
            report("miner", name, images, || mine(&*miner, &raw, &labels));
        }
    }
    for (name, regularizer) in regularizers()
        .into_iter()
        .filter(|(name, _)| name.contains(word))
    {
        for images in BATCHES {
            let (raw, _) = batch(images);
            report("regularizer", name, images, || {
                penalize(&*regularizer, &raw)
            });
        }
    }
    for (name, loss) in losses()
        .into_iter()
        .filter(|(name, _)| ["contrastive", "multi_similarity"].contains(name))
    {
        if "xbm".contains(word) || name.contains(word) {
            let mut objective = Objective {
                memory: Some(full_memory()),
                ..Objective::of(ConfiguredLoss::of(loss))
            };
            let (raw, labels) = batch(MEMORY_BATCH);
            report("xbm", name, MEMORY_BATCH, || {
                step(&mut objective, &raw, &labels)
            });
        }
    }
}

/// Multi-similarity as a module of the user, `sweeps/losses/multi_similarity.py`.
const OWN: &[u8] = include_bytes!("../src/dml/testdata/scripts/multi_similarity.pt");

/// Compares the two forms of multi-similarity.
fn compare_own() {
    let cases = BATCHES.map(|images| ("loss", images, false));
    for (kind, images, has_memory) in cases.into_iter().chain([("xbm", MEMORY_BATCH, true)]) {
        let mut forms =
            [own(), Box::new(schema::MultiSimilarity::default())].map(|loss| Objective {
                memory: has_memory.then(full_memory),
                ..Objective::of(ConfiguredLoss::of(loss))
            });
        let (raw, labels) = batch(images);
        let turns = repeated_in_turns(&mut forms, |form| step(form, &raw, &labels));
        let [own, built_in] = [0, 1].map(|form| median(turns.iter().map(|turn| turn[form])));
        let ratio = median(turns.iter().map(|[own, built_in]| own / built_in));
        println!(
            r#"{{"kind": "{kind}", "batch": {images}, "own": {own}, "built_in": {built_in}, "ratio": {ratio}}}"#
        );
    }
}

fn own() -> Box<dyn Loss> {
    let mut scripts = Scripts::default();
    let script = schema::Script {
        file: scripts.add(OWN.to_vec()),
        settings: BTreeMap::new(),
    };
    let loss = loss::ScriptedLoss::new(&script, &scripts, &INIT);
    Box::new(loss.expect("it is a loss"))
}

/// Returns the milliseconds of each form, turn by turn, without the first turns, which allocate memory.
fn repeated_in_turns<T>(forms: &mut [T; 2], mut run: impl FnMut(&mut T)) -> Vec<[f64; 2]> {
    let mut turn = || {
        forms.each_mut().map(|form| {
            let begun = spent();
            run(form);
            (spent() - begun).as_secs_f64() * 1000.0
        })
    };
    for _ in 0..WARM_UP {
        let _ = turn();
    }
    (0..TURNS).map(|_| turn()).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Every loss with its defaults.
fn losses() -> Vec<(&'static str, Box<dyn Loss>)> {
    let built = schema::Loss::every()
        .into_iter()
        .filter_map(|loss| Some((loss.key(), loss::build(&loss, &INIT)?)));
    built.collect()
}

/// Every miner with its defaults.
fn miners() -> Vec<(&'static str, Box<dyn Miner>)> {
    let all = schema::Miner::every();
    all.iter()
        .filter_map(|miner| {
            let built = miner::build(miner, &Scripts::default(), Device::Cpu);
            Some((miner.key(), built.ok()?))
        })
        .collect()
}

/// Every penalty on embeddings.
fn regularizers() -> Vec<(&'static str, Box<dyn Regularizer>)> {
    vec![
        ("center_invariant", Box::new(regularizer::CenterInvariant)),
        (
            "lp_norm",
            Box::new(regularizer::LpNorm { p: 2.0, power: 1.0 }),
        ),
        ("zero_mean", Box::new(regularizer::ZeroMean)),
    ]
}

/// Embeddings before they are normalized, and their labels.
fn batch(images: i64) -> (Tensor, Tensor) {
    (noise(1, images).set_requires_grad(true), labels(images))
}

/// One loss with its gradients.
fn step(objective: &mut Objective, raw: &Tensor, labels: &Tensor) {
    let value = objective.step(&normalize(raw), labels, 0).value;
    let parameters = objective
        .losses
        .iter()
        .filter_map(|one| one.loss.parameters());
    let inputs: Vec<&Tensor> = parameters
        .flat_map(|own| own.named().map(|(_, tensor)| tensor))
        .chain([raw])
        .collect();
    let _ = Tensor::run_backward(&[value], &inputs, false, false);
}

fn mine(miner: &dyn Miner, raw: &Tensor, labels: &Tensor) {
    let embeddings = no_grad(|| normalize(raw));
    let references = References::batch(&embeddings, labels);
    let _ = miner.mine(
        &embeddings,
        labels,
        &references,
        None,
        &mut Draws::new(0, Purpose::Mining, 0, 0),
    );
}

fn penalize(regularizer: &dyn Regularizer, raw: &Tensor) {
    let _ = Tensor::run_backward(&[regularizer.cost(raw)], &[raw], false, false);
}

fn full_memory() -> CrossBatchMemory {
    let mut memory = CrossBatchMemory::new(schema::Xbm::default(), MEMORY, WIDTH, Device::Cpu);
    let (embeddings, labels) = (normalize(&noise(2, MEMORY)), labels(MEMORY));
    let _ = memory.enqueue(&MemoryBatch {
        embeddings: &embeddings,
        labels: &labels,
        host_labels: None,
        images: None,
        step: 0,
    });
    memory
}

fn noise(seed: i64, images: i64) -> Tensor {
    let numbers =
        Tensor::arange(images * WIDTH, (Kind::Float, Device::Cpu)) * (12.9898 + seed as f64);
    (numbers.sin() * 43758.547).frac().view([images, WIDTH])
}

/// Four images of each class, over and over.
fn labels(images: i64) -> Tensor {
    Tensor::arange(images, (Kind::Int64, Device::Cpu))
        .divide_scalar_mode(PER_CLASS, "floor")
        .fmod(CLASSES)
}

fn report(kind: &str, name: &str, images: i64, run: impl FnMut()) {
    let milliseconds = median_of_repetitions(run).as_secs_f64() * 1000.0;
    println!(
        r#"{{"kind": "{kind}", "name": "{name}", "batch": {images}, "milliseconds": {milliseconds}}}"#
    );
}

fn median_of_repetitions(mut run: impl FnMut()) -> Duration {
    let mut once = || {
        let begun = spent();
        run();
        spent() - begun
    };
    // The first repetition allocates memory and is slower.
    let first = once();
    if first > ENOUGH * 3 {
        return first;
    }
    let (begun, mut times) = (spent(), Vec::new());
    while times.len() < 3 || spent() - begun < ENOUGH {
        times.push(once());
    }
    times.sort();
    times[times.len() / 2]
}

/// Returns the processor time that this process has used.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
