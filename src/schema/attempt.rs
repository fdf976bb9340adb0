//! What a trainer process is asked to do, in a file whose path is its only argument.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Backbone, Cache, Dataset, Fingerprint, Metric, Recipe, StoredImages};

/// Version of the conversation between orchestrator and trainer: [`Attempt`] one way,
/// [`Event`](crate::Event) the other.
pub const PROTOCOL: u32 = 1;

/// One start of a job.
///
/// The process says [`Event`](crate::Event)s on standard output, one JSON object a line, and logs to
/// standard error. Its standard input stays open as long as the orchestrator lives: at its end the
/// process kills its whole process group; at a line `stop` it writes a checkpoint and leaves.
///
/// | exit code | meaning |
/// | --- | --- |
/// | 0 | finished; the last event says with what |
/// | 1 | failed; the last event says why |
/// | 2 | the attempt file cannot be used |
/// | 3 | stopped as asked; a checkpoint lies in the run's folder |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// See [`PROTOCOL`].
    pub protocol: u32,
    /// Which attempt at its job this is, from 1.
    pub number: u32,
    /// Where it computes.
    pub device: Device,
    /// CPU threads it may use.
    pub threads: u32,
    /// What it does.
    pub work: Work,
}

/// Where an attempt computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// On the CPU.
    Cpu,
    /// On the first CUDA device it can see; the orchestrator chooses which through `CUDA_VISIBLE_DEVICES`.
    Cuda,
}

/// What an attempt does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Unpack and verify what a user downloaded.
    Import(ImportWork),
    /// Verify trained weights that a user has.
    Weights(WeightsWork),
    /// Decode every image of a data set once and tell what they are like.
    Inspect(InspectWork),
    /// Draw some images of a data set.
    Sheet(SheetWork),
    /// Decode and resize a data set once for all runs.
    Prepare(PrepareWork),
    /// Train, from the latest checkpoint if there is one.
    Train(TrainWork),
    /// Embed and measure the test classes.
    Evaluate(EvaluateWork),
    /// Measure several networks as one.
    Ensemble(EnsembleWork),
    /// Measure embeddings that lie in files.
    Measure(MeasureWork),
    /// Draw the nearest images of one test image.
    Neighbours(NeighboursWork),
    /// Do the first step of a training several times and compare the bits.
    Probe(TrainWork),
}

/// Unpacks and verifies what a user downloaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportWork {
    /// The data set it should be.
    pub dataset: Dataset,
    /// Archives, or folders that are already unpacked.
    pub from: Vec<PathBuf>,
    /// The data set's own folder, made if need be.
    pub into: PathBuf,
    /// Whether folders are copied; otherwise they stay where they are and are linked to.
    #[serde(default)]
    pub copy: bool,
    /// Whether other counts than the published ones are accepted.
    #[serde(default)]
    pub allow_other_counts: bool,
}

/// Decodes every image of a data set once and tells what they are like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectWork {
    /// The data set.
    pub dataset: Dataset,
    /// The data set's own folder.
    pub source: PathBuf,
}

/// Draws some images of some classes, a class a row with its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SheetWork {
    /// The data set.
    pub dataset: Dataset,
    /// The data set's own folder.
    pub source: PathBuf,
    /// Which of its classes.
    pub half: Half,
    /// How many classes, evenly spread over all.
    pub classes: u32,
    /// How many images of each, evenly spread over its own.
    pub per_class: u32,
    /// The picture to write, a PNG file.
    pub into: PathBuf,
}

/// One half of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// What is trained on and validated on.
    Train,
    /// What is tested on.
    Test,
}

impl Half {
    /// As commands and tables spell it.
    pub fn word(self) -> &'static str {
        match self {
            Half::Train => "train",
            Half::Test => "test",
        }
    }
}

/// Verifies that a file holds the weights of a backbone, tensor by tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsWork {
    /// The backbone they should be of.
    pub backbone: Backbone,
    /// A safetensors file.
    pub file: PathBuf,
}

/// Decodes and resizes a data set once for all runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrepareWork {
    /// The data set.
    pub dataset: Dataset,
    /// Its content, already hashed.
    pub fingerprint: Fingerprint,
    /// How its images are stored.
    pub images: StoredImages,
    /// Whether decoded images are kept on disk.
    #[serde(default)]
    pub cache: Cache,
    /// The data set's own folder. Absent for one that the program draws itself.
    pub source: Option<PathBuf>,
    /// The folder for the result.
    pub into: PathBuf,
}

impl PrepareWork {
    /// The file in [`into`](Self::into) that holds the path of [`source`](Self::source), where images are not kept but
    /// decoded whenever they are needed.
    pub const ROOT: &str = "root";
}

/// Trains, from the latest checkpoint if there is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainWork {
    /// What to train.
    pub recipe: Recipe,
    /// The folder of the prepared data set.
    pub data: PathBuf,
    /// The folder of the run, for `checkpoint.safetensors` and `model.safetensors`.
    pub run: PathBuf,
    /// The file with the trained weights that the recipe's model starts from. Absent: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// Seconds between two checkpoints; 0 writes one after each step.
    pub checkpoint_seconds: f64,
}

/// Embeds and measures the test classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateWork {
    /// What was trained.
    pub recipe: Recipe,
    /// The folder of the prepared data set.
    pub data: PathBuf,
    /// The folder of the run, with its `model.safetensors`.
    pub run: PathBuf,
    /// What to measure.
    pub metrics: Vec<Metric>,
}

/// Measures several networks as one: their embeddings of the test images, normalised, joined and normalised again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleWork {
    /// What was trained, and the folder of each run.
    pub members: Vec<(Recipe, PathBuf)>,
    /// The folder of the prepared data set.
    pub data: PathBuf,
    /// The folder for the scores of each query.
    pub into: PathBuf,
    /// What to measure.
    pub metrics: Vec<Metric>,
}

/// Measures embeddings that lie in files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureWork {
    /// What is searched.
    pub gallery: EmbeddingFiles,
    /// What is searched for; without, each image of the gallery is a query against all the others.
    pub queries: Option<EmbeddingFiles>,
    /// How embeddings are compared.
    pub comparison: Comparison,
    /// What to measure.
    pub metrics: Vec<Metric>,
}

/// Where the embeddings of some images and their labels lie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingFiles {
    /// `[n, d]` floating point numbers, as `.npy`, `.safetensors` or CSV.
    pub embeddings: PathBuf,
    /// `n` labels: whole numbers as `.npy`, or any text, one a line.
    pub labels: PathBuf,
}

/// How embeddings are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// By the cosine of the angle between them.
    #[default]
    Cosine,
    /// By their Euclidean distance.
    Euclidean,
    /// By their dot product.
    Dot,
}

/// Draws the nearest images of one test image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighboursWork {
    /// What was trained.
    pub recipe: Recipe,
    /// The folder of the prepared data set.
    pub data: PathBuf,
    /// The folder of the run, with its `model.safetensors`.
    pub run: PathBuf,
    /// Which test image, counted from 0.
    pub query: u64,
    /// How many neighbours.
    pub count: u32,
    /// The picture to write, a PNG file.
    pub into: PathBuf,
}

/// What `sweep-trainer --describe` prints, as one JSON object: who answers, and what it can use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// See [`PROTOCOL`].
    pub protocol: u32,
    /// The trainer's name and version.
    pub trainer: String,
    /// Its libtorch: the file that was loaded.
    pub libtorch: String,
    /// How many CUDA devices it sees.
    pub cuda_devices: u32,
}
