//! Measures time and memory of `dml::eval`: `eval VALUES LABELS WIDTH [QUERIES]`.
//!
//! VALUES is a file of `f32`, LABELS of `i64`, both raw and little-endian. The first QUERIES
//! embeddings, if given, are queries against all others. Prints one line of JSON for
//! `benches/run.py`. Environment: DEVICE is `cpu` or `cuda` (then LD_PRELOAD must name
//! `libtorch_cuda.so`), THREADS the number of CPU threads.

#![expect(clippy::print_stdout, reason = "it prints its results")]
#![expect(clippy::disallowed_methods, reason = "nothing here is a pipe")]

use std::{env, fs, time::Instant};

use dml::eval::{
    Comparison, Embeddings, EvalResources, LabeledEmbeddings, RankDepth, RetrievalTask, TieOrder,
    retrieve,
};
use tch::{Cuda, Device, Tensor};

fn main() {
    let arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [values, labels, width, rest @ ..] = &arguments[..] else {
        return;
    };
    let width: usize = width.parse().expect("WIDTH is a number");
    let queries = rest
        .first()
        .map(|queries| queries.parse::<usize>().expect("QUERIES is a number"));
    let threads: usize = env::var("THREADS")
        .ok()
        .and_then(|threads| threads.parse().ok())
        .unwrap_or(2);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .expect("it is built once");
    tch::set_num_threads(threads as i32);
    let device = match env::var("DEVICE").as_deref() {
        Ok("cuda") => Device::Cuda(0),
        _ => Device::Cpu,
    };

    let mut values: Vec<f32> = numbers(values, f32::from_le_bytes);
    let mut labels: Vec<i64> = numbers(labels, i64::from_le_bytes);
    let rest =
        queries.map(|queries| (values.split_off(queries * width), labels.split_off(queries)));
    let product = Tensor::from_slice(&values)
        .view([-1, width as i64])
        .to_device(device);
    let set = |values, labels| {
        Embeddings::new(values, width)
            .and_then(|rows| LabeledEmbeddings::new(rows, labels, Comparison::Cosine))
    };
    if device.is_cuda() {
        // The libraries of the GPU take seconds to initialize.
        let few = labels.len().min(1000);
        let few = set(values[..few * width].to_vec(), vec![0; few]).expect("they belong together");
        retrieve(
            RetrievalTask::Within(&few),
            RankDepth::Nearest,
            EvalResources::on(device),
        )
        .expect("there is something to find");
    }
    let held = memory("VmRSS");
    let begun = Instant::now();
    let first = set(values, labels).expect("they belong together");
    let gallery = rest.map(|(values, labels)| set(values, labels).expect("they belong together"));
    let search = match &gallery {
        Some(gallery) => RetrievalTask::Between {
            queries: &first,
            gallery,
        },
        None => RetrievalTask::Within(&first),
    };
    let found = retrieve(search, RankDepth::Nearest, EvalResources::on(device))
        .expect("there is something to find");
    let means = found.means(TieOrder::ByIndex);
    let scores: Vec<f64> = [1, 10, 100, 1000].map(|k| means.recall(k)).into();
    let seconds = begun.elapsed().as_secs_f64();
    let above = memory("VmHWM") - held;
    println!(
        "{{\"seconds\": {seconds}, \"above_mib\": {above}, \"product_seconds\": {}, \"recall\": {scores:?}, \
         \"precision_at_1\": {}, \"r_precision\": {}, \"map_at_r\": {}}}",
        if queries.is_some() {
            0.0
        } else {
            of_product(&product)
        },
        means.recall(1),
        means.r_precision(),
        means.map_at_r(),
    );
}

fn numbers<T, const N: usize>(path: &str, number: fn([u8; N]) -> T) -> Vec<T> {
    let bytes = fs::read(path).expect("the file is there");
    bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|bytes| number(*bytes))
        .collect()
}

/// Returns a memory figure of this process in MiB.
fn memory(kind: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(kind))
        .unwrap_or_default();
    line.split_whitespace()
        .find_map(|word| word.parse::<f64>().ok())
        .unwrap_or(f64::NAN)
        / 1024.0
}

/// Returns how many seconds libtorch takes for the product of the matrix with itself, in blocks.
fn of_product(matrix: &Tensor) -> f64 {
    let begun = Instant::now();
    for block in matrix.split(2048, 0) {
        let _ = block.matmul(&matrix.tr());
    }
    if matrix.device().is_cuda() {
        Cuda::synchronize(0);
    }
    begun.elapsed().as_secs_f64()
}
