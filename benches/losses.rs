//! Measures how long losses, miners, regularisers and the memory take on the CPU: one JSON object a line, read by `benches/run.py`.
//!
//! `cargo bench --package dml --bench losses -- [THREADS [WORD]]` measures what has WORD in its name. Each case is
//! repeated until it took a while, and the median counts, in time of the processor: what else the machine does
//! disturbs that least. Times include the normalisation of embeddings, because
//! pytorch-metric-learning does that within each loss, and the gradient of embeddings and parameters.

#![expect(clippy::print_stdout, reason = "this is a program")]

use std::{env, time::Duration};

use dml::{
    distance::normalise,
    loss::{self, Loss, Start},
    memory::Xbm,
    miner::{self, Miner},
    objective::{Objective, Term},
    random::{Draws, Purpose},
    regularizer::{self, Regularizer},
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
/// A case is repeated until it took this long, three times at least, unless even the first took longer.
const ENOUGH: Duration = Duration::from_millis(300);

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
    for (name, loss) in losses().into_iter().filter(|(name, _)| name.contains(word)) {
        let mut objective = Objective::of(Term::of(loss));
        for images in BATCHES {
            let (raw, labels) = batch(images);
            say("loss", name, images, || step(&mut objective, &raw, &labels));
        }
    }
    for (name, miner) in miners().into_iter().filter(|(name, _)| name.contains(word)) {
        for images in BATCHES {
            let (raw, labels) = batch(images);
            say("miner", name, images, || mine(&*miner, &raw, &labels));
        }
    }
    for (name, regularizer) in regularizers()
        .into_iter()
        .filter(|(name, _)| name.contains(word))
    {
        for images in BATCHES {
            let (raw, _) = batch(images);
            say("regularizer", name, images, || {
                penalise(&*regularizer, &raw)
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
                ..Objective::of(Term::of(loss))
            };
            let (raw, labels) = batch(MEMORY_BATCH);
            say("xbm", name, MEMORY_BATCH, || {
                step(&mut objective, &raw, &labels)
            });
        }
    }
}

/// Every loss, with settings that make sense.
fn losses() -> Vec<(&'static str, Box<dyn Loss>)> {
    let start = &Start {
        classes: CLASSES,
        width: WIDTH,
        seed: 0,
        part: 0,
        device: Device::Cpu,
    };
    let margin = loss::MarginSettings {
        margin: 0.2,
        beta: 1.2,
        boundary: loss::Boundary::PerClass,
        nu: 0.1,
    };
    let soft_triple = loss::SoftTripleSettings {
        centres: 10,
        la: 20.0,
        gamma: 0.1,
        delta: 0.01,
        regulariser: 0.2,
    };
    let recall_at_k = loss::RecallAtK {
        ks: vec![1.0, 2.0, 4.0],
        rank_temperature: 0.01,
        k_temperature: 1.0,
    };
    vec![
        ("angular", Box::new(loss::Angular { alpha: 40.0 })),
        ("arc_face", Box::new(loss::ArcFace::new(28.6, 64.0, start))),
        (
            "binomial",
            Box::new(loss::Binomial {
                alpha: 2.0,
                base: 0.5,
                cost: 25.0,
            }),
        ),
        (
            "binomial_dm",
            Box::new(loss::BinomialDm {
                alpha: 40.0,
                beta: 2.0,
                base: 0.5,
                scaled: false,
            }),
        ),
        (
            "circle",
            Box::new(loss::Circle {
                margin: 0.4,
                gamma: 80.0,
            }),
        ),
        (
            "clustering",
            Box::new(loss::Clustering {
                gamma: 1.0,
                refinements: 1,
            }),
        ),
        (
            "contrastive",
            Box::new(loss::Contrastive {
                pos_margin: 0.0,
                neg_margin: 1.0,
                power: 1.0,
            }),
        ),
        (
            "contrastive_dm",
            Box::new(loss::ContrastiveDm { margin: 0.5 }),
        ),
        ("cos_face", Box::new(loss::CosFace::new(0.35, 64.0, start))),
        ("fast_ap", Box::new(loss::FastAp { bins: 10 })),
        (
            "generalised_lifted",
            Box::new(loss::GeneralisedLifted {
                neg_margin: 1.0,
                pos_margin: 0.0,
            }),
        ),
        (
            "hierarchical_triplet",
            Box::new(loss::HierarchicalTriplet {
                margin: 0.1,
                levels: 16,
            }),
        ),
        ("histogram", Box::new(loss::Histogram { bins: 100 })),
        (
            "lifted",
            Box::new(loss::Lifted {
                neg_margin: 1.0,
                pos_margin: 0.0,
            }),
        ),
        (
            "lifted_dm",
            Box::new(loss::LiftedDm {
                alpha: 40.0,
                beta: 2.0,
            }),
        ),
        ("margin", Box::new(loss::Margin::new(margin, start))),
        (
            "multi_similarity",
            Box::new(loss::MultiSimilarity {
                alpha: 2.0,
                beta: 50.0,
                base: 0.5,
            }),
        ),
        ("n_pair", Box::new(loss::NPair)),
        ("nca", Box::new(loss::Nca { scale: 1.0 })),
        ("nca_dm", Box::new(loss::NcaDm { alpha: 16.0, k: 32 })),
        (
            "normalised_softmax",
            Box::new(loss::NormalisedSoftmax::new(0.05, start)),
        ),
        ("nt_xent", Box::new(loss::NtXent { temperature: 0.07 })),
        (
            "proxy_anchor",
            Box::new(loss::ProxyAnchor::new(0.1, 32.0, start)),
        ),
        ("proxy_nca", Box::new(loss::ProxyNca::new(1.0, start))),
        (
            "proxy_nca_pp",
            Box::new(loss::ProxyNcaPp::new(1.0 / 9.0, start)),
        ),
        ("recall_at_k", Box::new(recall_at_k)),
        (
            "semi_hard_dm",
            Box::new(loss::SemiHardDm {
                alpha: 40.0,
                beta: 2.0,
                base: 0.5,
            }),
        ),
        (
            "smooth_ap",
            Box::new(loss::SmoothAp {
                temperature: 0.01,
                itself: true,
            }),
        ),
        (
            "snr_contrastive",
            Box::new(loss::SnrContrastive {
                pos_margin: 0.0,
                neg_margin: 1.0,
            }),
        ),
        (
            "soft_triple",
            Box::new(loss::SoftTriple::new(soft_triple, start)),
        ),
        ("sup_con", Box::new(loss::SupCon { temperature: 0.1 })),
        (
            "triplet",
            Box::new(loss::Triplet {
                margin: 0.05,
                swap: false,
                smooth: false,
            }),
        ),
    ]
}

/// Every miner, with settings that make sense.
fn miners() -> Vec<(&'static str, Box<dyn Miner>)> {
    let easy_positives =
        miner::BatchEasyHard::new(miner::Strategy::Easy, miner::Strategy::SemiHard)
            .expect("an easy positive goes with a semi-hard negative");
    vec![
        ("angular", Box::new(miner::Angular { degrees: 20.0 })),
        ("batch_easy_hard", Box::new(easy_positives)),
        ("batch_hard", Box::new(miner::BatchHard)),
        (
            "distance_weighted",
            Box::new(miner::DistanceWeighted {
                cutoff: 0.5,
                nonzero_loss_cutoff: 1.4,
            }),
        ),
        ("hard_aware", Box::new(miner::HardAware { share: 0.5 })),
        (
            "multi_similarity",
            Box::new(miner::MultiSimilarity { epsilon: 0.1 }),
        ),
        (
            "pair_margin",
            Box::new(miner::PairMargin {
                pos_margin: 0.2,
                neg_margin: 0.8,
            }),
        ),
        ("semi_hard", Box::new(miner::SemiHard { margin: 0.2 })),
        (
            "triplet_margin",
            Box::new(miner::TripletMargin {
                margin: 0.2,
                keep: miner::Violation::All,
            }),
        ),
        (
            "uniform_histogram",
            Box::new(miner::UniformHistogram {
                bins: 100,
                pos_per_bin: 25,
                neg_per_bin: 33,
            }),
        ),
    ]
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

/// Embeddings before they are normalised, and their labels.
fn batch(images: i64) -> (Tensor, Tensor) {
    (noise(1, images).set_requires_grad(true), labels(images))
}

/// One loss with its gradients.
fn step(objective: &mut Objective, raw: &Tensor, labels: &Tensor) {
    let value = objective.step(&normalise(raw), labels, 0).value;
    let parameters = objective
        .terms
        .iter()
        .filter_map(|term| term.loss.parameters());
    let inputs: Vec<&Tensor> = parameters
        .flat_map(|own| own.named().map(|(_, tensor)| tensor))
        .chain([raw])
        .collect();
    let _ = Tensor::run_backward(&[value], &inputs, false, false);
}

fn mine(miner: &dyn Miner, raw: &Tensor, labels: &Tensor) {
    let embeddings = no_grad(|| normalise(raw));
    let references = References::batch(&embeddings, labels);
    let _ = miner.mine(
        &embeddings,
        labels,
        &references,
        &mut Draws::new(0, Purpose::Mining, 0, 0),
    );
}

fn penalise(regularizer: &dyn Regularizer, raw: &Tensor) {
    let _ = Tensor::run_backward(&[regularizer.cost(raw)], &[raw], false, false);
}

fn full_memory() -> Xbm {
    let mut memory = Xbm::new(MEMORY, WIDTH, Device::Cpu);
    let (embeddings, labels) = (normalise(&noise(2, MEMORY)), labels(MEMORY));
    let _ = memory.enqueue(&dml::memory::Arrivals {
        embeddings: &embeddings,
        labels: &labels,
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

fn say(kind: &str, name: &str, images: i64, run: impl FnMut()) {
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
    // The first time is slow for reasons of its own.
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

/// How much of the processors' time this process has had.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
