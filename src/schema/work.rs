//! The kinds of work that a trainer does.
//!
//! Each kind is a struct, and a [`Task`]: its type determines the type of its reply. [`Work`] is
//! the enum of all of them, as it is written into an [`Attempt`](crate::Attempt).

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{
    Backbone, Cache, Compared, DataId, Dataset, Drawn, Embedded, Evaluated, Exported, Fingerprint,
    Finished, Fitted, Half, Hyperbolic, Imported, Inspected, Measured, Metric, Prepared, Probed,
    Recipe, ScriptChecked, SheetDrawn, StoredImages, Trained, Verified, WrongReply,
};

/// One kind of work. The orchestrator expects [`Reply`](Task::Reply) and nothing else from it.
pub trait Task: Into<Work> {
    /// The result that a trainer reports for this kind of work.
    type Reply: Into<Finished> + TryFrom<Finished, Error = WrongReply>;
}

/// Declares the variant and the reply of each task.
macro_rules! tasks {
    ($($variant:ident($task:ty) -> $reply:ty;)*) => {$(
        impl Task for $task {
            type Reply = $reply;
        }

        impl From<$task> for Work {
            fn from(task: $task) -> Work {
                Work::$variant(task)
            }
        }
    )*};
}

tasks! {
    Import(ImportWork) -> Imported;
    Weights(WeightsWork) -> Fitted;
    Inspect(InspectWork) -> Inspected;
    Sheet(SheetWork) -> SheetDrawn;
    Prepare(PrepareWork) -> Prepared;
    Train(TrainWork) -> Trained;
    Evaluate(EvaluateWork) -> Evaluated;
    Ensemble(EnsembleWork) -> Evaluated;
    Measure(MeasureWork) -> Measured;
    Neighbours(NeighboursWork) -> Drawn;
    Probe(ProbeWork) -> Probed;
    Verify(VerifyWork) -> Verified;
    Export(ExportWork) -> Exported;
    Embed(EmbedWork) -> Embedded;
    CheckScript(CheckScriptWork) -> ScriptChecked;
    Compare(CompareWork) -> Compared;
}

/// Work of any kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Unpack and list a downloaded data set.
    Import(ImportWork),
    /// Verify a file of trained weights.
    Weights(WeightsWork),
    /// Decode every image of a data set and summarize them.
    Inspect(InspectWork),
    /// Draw some images of a data set.
    Sheet(SheetWork),
    /// Decode and resize a data set once for all runs.
    Prepare(PrepareWork),
    /// Train, starting from the latest checkpoint if there is one.
    Train(TrainWork),
    /// Embed and measure the test classes.
    Evaluate(EvaluateWork),
    /// Measure several networks as an ensemble.
    Ensemble(EnsembleWork),
    /// Measure embeddings from files.
    Measure(MeasureWork),
    /// Draw the nearest neighbors of a test image.
    Neighbours(NeighboursWork),
    /// Compute the first training step several times and compare the bits.
    Probe(ProbeWork),
    /// Recompute results from the embeddings that are kept with them.
    Verify(VerifyWork),
    /// Write a trained network for use elsewhere.
    Export(ExportWork),
    /// Embed photos that belong to no data set.
    Embed(EmbedWork),
    /// Check a loss or a miner of the user.
    CheckScript(CheckScriptWork),
    /// Compute the objectives of trainings on fixed batches.
    Compare(CompareWork),
}

/// Unpacks and lists a downloaded data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportWork {
    /// The expected data set.
    pub dataset: Dataset,
    /// Archives, or unpacked folders.
    pub from: Vec<PathBuf>,
    /// The data set's own folder, created if necessary.
    pub into: PathBuf,
    /// True to copy folders; otherwise they are linked.
    #[serde(default)]
    pub copy: bool,
    /// True to accept counts that differ from the published ones.
    #[serde(default)]
    pub allow_other_counts: bool,
    /// True to decode all images and to leave out those that cannot be decoded.
    #[serde(default)]
    pub skip_broken: bool,
    /// The fraction of the classes to test on. Absent: as the files or the data set say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_fraction: Option<f64>,
    /// The published data set in whose layouts the files are. Absent: those of the data set itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<Dataset>,
    /// A list of the classes to train on and to test on. Absent: as the files or the data set say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<PathBuf>,
}

/// Checks a module of TorchScript as built-in losses and miners are tested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckScriptWork {
    /// What the module is.
    pub kind: ScriptKind,
    /// Its file.
    pub file: PathBuf,
    /// Values of its settings; the others have their defaults.
    pub settings: BTreeMap<String, f64>,
}

/// Computes the objectives of trainings on fixed batches, to find those that are the same function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompareWork {
    /// The recipes of the trainings.
    pub recipes: Vec<Recipe>,
    /// The folder with the modules of losses and miners that are some, named by their SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scripts: Option<PathBuf>,
}

/// What a module of TorchScript is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScriptKind {
    /// A loss.
    Loss,
    /// A miner.
    Miner,
}

/// Decodes every image of a data set and summarizes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectWork {
    /// The data set.
    pub dataset: Dataset,
    /// The data set's own folder.
    pub source: PathBuf,
}

/// Draws some images of some classes, one row per class, with the class names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SheetWork {
    /// The data set.
    pub dataset: Dataset,
    /// The data set's own folder.
    pub source: PathBuf,
    /// The half to draw from.
    pub half: Half,
    /// The number of classes, evenly spaced among all.
    pub classes: u32,
    /// The number of images per class, evenly spaced among its images.
    pub per_class: u32,
    /// The PNG file to write.
    pub into: PathBuf,
}

/// Verifies that a file holds the weights of a backbone, tensor by tensor, or finds the backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightsWork {
    /// The expected backbone. Absent: the one that the tensors are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone: Option<Backbone>,
    /// A file of safetensors or PyTorch, or the index of several; of a TorchScript backbone, its module.
    pub file: PathBuf,
    /// The beginning of the tensors' names in the file, to be removed. Absent: the trainer finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The file to write them to as the backbone reads them, if they are not so in
    /// [`file`](Self::file).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<PathBuf>,
}

/// Decodes and resizes a data set once for all runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrepareWork {
    /// The data set.
    pub dataset: Dataset,
    /// The hash of its content.
    pub fingerprint: Fingerprint,
    /// The storage format of its images.
    pub images: StoredImages,
    /// Whether decoded images are kept on disk.
    #[serde(default)]
    pub cache: Cache,
    /// The data set's own folder; `None` for a data set that the program draws.
    pub source: Option<PathBuf>,
    /// The folder for the result.
    pub into: PathBuf,
}

impl PrepareWork {
    /// The file in [`into`](Self::into) that describes the prepared data set. It is written last.
    pub const INDEX: &str = "index.json";
    /// The file in [`into`](Self::into) with the decoded images, if they are kept.
    pub const IMAGES: &str = "images.u8";
    /// The file in [`into`](Self::into) that holds the path of [`source`](Self::source), if images
    /// are decoded on demand instead of kept.
    pub const ROOT: &str = "root";
}

/// What the orchestrator reads in the index of a prepared data set. Another trainer may write another index.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PreparedIndex {
    /// The data set; `None` if an earlier version prepared it, as for the next ones.
    pub dataset: Option<Dataset>,
    /// How its images are stored.
    pub stored: StoredImages,
    /// The hash of the files that were read.
    pub fingerprint: Option<Fingerprint>,
    /// The size of the file of images.
    pub bytes: Option<u64>,
    /// The BLAKE3 hash of the file of images.
    pub blake3: String,
    /// The files to decode, if images are decoded on demand.
    pub files: Option<IgnoredAny>,
}

impl PreparedIndex {
    /// The subject of its seal.
    pub const SUBJECT: &str = "prepared data";

    /// Returns the id of the data set, if it is known.
    pub fn id(&self) -> Option<DataId> {
        let (dataset, fingerprint) = (self.dataset.as_ref()?, self.fingerprint.as_ref()?);
        Some(DataId::of(dataset, &self.stored, fingerprint))
    }
}

/// The names of the files that trainers write into a run's folder.
pub mod run_files {
    /// The checkpoint of an unfinished training.
    pub const CHECKPOINT: &str = "checkpoint.safetensors";
    /// The trained network.
    pub const MODEL: &str = "model.safetensors";
    /// The TorchScript module that a network consists of, if it does.
    pub const SCRIPT: &str = "backbone.pt";
    /// The embeddings of the test images.
    pub const EMBEDDINGS: &str = "embeddings.safetensors";
    /// The scores of each query, a CSV file.
    pub const QUERIES: &str = "queries.csv";
}

/// Trains, starting from the latest checkpoint if there is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainWork {
    /// The recipe to train.
    pub recipe: Recipe,
    /// The folder of the prepared data set.
    pub data: PathBuf,
    /// The folder of the run, for `checkpoint.safetensors` and `model.safetensors`.
    pub run: PathBuf,
    /// The file of trained weights that the model starts from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// The folder with the modules of losses and miners that are some, named by their SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scripts: Option<PathBuf>,
    /// Seconds between two checkpoints; 0 writes one after each step. Absent: as often as costs at most 2 % of the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_seconds: Option<f64>,
    /// True if a GPU may not try which kernels are the fastest: another time, it may choose others, whose sums differ
    /// in the last digits.
    #[serde(default, skip_serializing_if = "crate::is_false")]
    pub deterministic: bool,
}

/// Computes the first step of a training several times and compares the bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProbeWork {
    /// The training.
    pub training: TrainWork,
}

/// Embeds and measures the test classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluateWork {
    /// The recipe that was trained.
    pub recipe: Recipe,
    /// The folder of the prepared data set.
    pub data: PathBuf,
    /// The folder of the run, with its `model.safetensors`.
    pub run: PathBuf,
    /// The metrics to compute.
    pub metrics: Vec<Metric>,
    /// True if nothing is written into the folder of the run.
    #[serde(default, skip_serializing_if = "crate::is_false")]
    pub read_only: bool,
}

/// Measures several networks as an ensemble: their embeddings of the test images are normalized,
/// concatenated and normalized again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleWork {
    /// The recipe and the folder of each run.
    pub members: Vec<(Recipe, PathBuf)>,
    /// The folder of the prepared data set.
    pub data: PathBuf,
    /// The folder for the scores of each query.
    pub into: PathBuf,
    /// The metrics to compute.
    pub metrics: Vec<Metric>,
}

/// Recomputes results from the embeddings that are kept with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyWork {
    /// The results.
    pub results: Vec<KeptResult>,
    /// The test images of each run that its network embeds again, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embed: Option<Amount>,
}

/// How many of some things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Amount {
    /// All of them.
    All,
    /// At most this number.
    AtMost(usize),
}

/// Writes a trained network for use elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportWork {
    /// The recipe that was trained.
    pub recipe: Recipe,
    /// The folder of the run, with its `model.safetensors`.
    pub run: PathBuf,
    /// The format of the file.
    pub format: NetworkFormat,
    /// The file to write.
    pub into: PathBuf,
}

/// A format of files of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkFormat {
    /// Named tensors.
    Safetensors,
    /// A module of PyTorch, with its code.
    Torchscript,
}

/// Embeds photos that belong to no data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedWork {
    /// The recipe that was trained.
    pub recipe: Recipe,
    /// The folder of the run, with its `model.safetensors`.
    pub run: PathBuf,
    /// A photo, or a folder of photos.
    pub images: PathBuf,
    /// The `.npy` file to write. A `.csv` file of the same name gets the path of each row.
    pub into: PathBuf,
    /// True to leave out photos that cannot be decoded.
    #[serde(default, skip_serializing_if = "crate::is_false")]
    pub skip_broken: bool,
}

impl EmbedWork {
    /// The first line of the file of paths.
    pub const COLUMNS: &'static str = "row,path\n";

    /// Returns the file that gets the path of each row of the array `into`.
    pub fn paths_beside(into: &Path) -> PathBuf {
        into.with_extension("csv")
    }
}

/// A result and what it was computed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptResult {
    /// The recipe and the folder of the run; of each run, for an ensemble.
    pub members: Vec<(Recipe, PathBuf)>,
    /// The folder of the prepared data set, which need not exist.
    pub data: PathBuf,
    /// The folder with the scores of each query.
    pub folder: PathBuf,
    /// The metrics to compute.
    pub metrics: Vec<Metric>,
}

/// Measures embeddings from files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureWork {
    /// The images that are searched.
    pub gallery: EmbeddingFiles,
    /// The queries; `None` to use each image of the gallery as a query against all the others.
    pub queries: Option<EmbeddingFiles>,
    /// How they are compared.
    pub compared: ComparedBy,
    /// The metrics to compute.
    pub metrics: Vec<Metric>,
}

/// How embeddings from files are compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComparedBy {
    /// By a similarity of their rows.
    Rows(Comparison),
    /// By their distance in a Poincare ball. It has no clusters.
    Hyperbolic(Hyperbolic),
}

/// The files of some embeddings and their labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingFiles {
    /// `[n, d]` floating-point values, as `.npy`, `.safetensors` or CSV.
    pub embeddings: PathBuf,
    /// `n` labels: integers as `.npy`, or any text, one label per line.
    pub labels: PathBuf,
}

/// The similarity by which embeddings are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Cosine similarity.
    #[default]
    Cosine,
    /// Euclidean distance.
    Euclidean,
    /// Dot product.
    Dot,
}

/// Draws the nearest neighbors of a test image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeighboursWork {
    /// The recipe that was trained.
    pub recipe: Recipe,
    /// The folder of the prepared data set.
    pub data: PathBuf,
    /// The folder of the run, with its `model.safetensors`.
    pub run: PathBuf,
    /// The query.
    pub query: TestImage,
    /// The number of neighbors.
    pub count: u32,
    /// The PNG file to write.
    pub into: PathBuf,
}

/// A test image, as a user names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TestImage {
    /// Its index among the test images.
    Index(u64),
    /// The end of the path of its file.
    File(PathBuf),
    /// A photo that belongs to no data set.
    Photo {
        /// Its path.
        photo: PathBuf,
    },
}

impl FromStr for TestImage {
    type Err = Infallible;

    /// Returns the index for a number, and otherwise the file.
    fn from_str(text: &str) -> Result<TestImage, Infallible> {
        Ok(match text.parse() {
            Ok(index) => TestImage::Index(index),
            Err(_) => TestImage::File(text.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_work_keeps_its_form_on_the_wire() {
        let inspect = r#"{"inspect":{"dataset":"omniglot","source":"/data/omniglot"}}"#;
        let work: Work = serde_json::from_str(inspect).unwrap();
        assert_eq!(serde_json::to_string(&work).unwrap(), inspect);
        let task = InspectWork {
            dataset: Dataset::Omniglot,
            source: "/data/omniglot".into(),
        };
        assert_eq!(Work::from(task), work);
    }
}
