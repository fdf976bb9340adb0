//! The shape of a sweep file: every table, every key, its type and its default.
//!
//! Keys that are not here are refused, and so is every value of another type. What a key means for a result
//! is told at the type it becomes in `schema`.

use std::{borrow::Cow, path::PathBuf, time::Duration};

use schema::{
    Background, Cache, Clip, Color, Dataset, Decayed, Distance, Ema, Guards, ImageSize, Join,
    Labels, Links, Loss, Memory, Metric, Miner, Model, Optimizer, Reduction, Regularizer, Sampler,
    Schedule, Span, StoredImages, Survey, TrainingHalf, TrainingImages, Transform, WarmUp,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema as schema_of};
use serde::{Deserialize, Serialize};

use super::{
    counts::Counts,
    fairness::Waiver,
    forms::{ByteSize, CheckpointSeconds, Folds, Gpus, Percent, RunsPerGpu, Seeds},
    heads::MethodHead,
    slurm::On,
    tables::ReportTable,
};
use crate::search::Settings;

/// A whole file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepFile {
    /// `[sweep]`
    #[schemars(extend("x-fixed" = true))]
    pub sweep: SweepTable,
    /// `[data]`
    pub data: DataTable,
    /// `[transform]`: what is done to the images of a batch.
    #[serde(default)]
    pub transform: Transform,
    /// `[model]`: the network.
    pub model: Model,
    /// `[training]`
    pub training: TrainingTable,
    /// `[[method]]`, one for each row of the table.
    #[serde(default)]
    pub method: Vec<MethodTable>,
    /// `[search]`: how searched values, such as `{ uniform = [0.1, 0.9] }`, are chosen.
    #[schemars(extend("x-fixed" = true))]
    pub search: Option<Settings>,
    /// `[resources]`
    #[serde(default)]
    #[schemars(extend("x-fixed" = true))]
    pub resources: Resources,
    /// `[report]`
    #[serde(default)]
    #[schemars(extend("x-fixed" = true))]
    pub report: ReportTable,
    /// `[[waive]]`, one for each rule of fairness that need not hold.
    #[serde(default)]
    #[schemars(extend("x-fixed" = true))]
    pub waive: Vec<Waiver>,
    /// `[axes]`: settings with several values, and each combination becomes a row or a table of its own.
    #[serde(default)]
    #[schemars(extend("x-fixed" = true))]
    pub axes: PutInPlace,
    /// `[[zip]]`: settings that vary together.
    #[serde(default)]
    #[schemars(extend("x-fixed" = true))]
    pub zip: PutInPlace,
    /// `[[include]]`: further combinations of axis values.
    #[serde(default)]
    #[schemars(extend("x-fixed" = true))]
    pub include: PutInPlace,
    /// `[[exclude]]`: combinations of axis values, and of methods, that are left out.
    #[serde(default)]
    #[schemars(extend("x-fixed" = true))]
    pub exclude: PutInPlace,
    /// `[[override]]`: other settings where a condition holds.
    #[serde(default)]
    #[schemars(extend("x-fixed" = true))]
    pub r#override: PutInPlace,
}

/// Stands for a table that is gone: its values have been put in their places before.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct PutInPlace;

impl JsonSchema for PutInPlace {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PutInPlace".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        schema_of!({ "x-keyed": true })
    }
}

/// `[sweep]`: what the sweep is called and how often each recipe is repeated.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepTable {
    /// Letters, digits, `-` and `_`.
    pub name: String,
    /// A published protocol whose settings lie under those of the file, and whose rules it has to keep.
    pub protocol: Option<Protocol>,
    /// A count or a list.
    #[schemars(extend("x-also" = ["random_seed"]))]
    #[serde(default)]
    pub seeds: Seeds,
    /// Into how many class-disjoint parts the training classes are cut, each held out once: a number, or
    /// `{ reality_check = 4 }`; with `{ last = 5 }` only the last of five is held out. Absent: all of them are trained on, and nothing is validated.
    pub folds: Option<Folds>,
}

/// A published protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// "A Metric Learning Reality Check" (Musgrave et al., ECCV 2020).
    RealityCheck,
}

impl Protocol {
    /// The preset with its settings.
    pub fn preset(self) -> &'static str {
        match self {
            Protocol::RealityCheck => "presets/reality_check",
        }
    }
}

/// `[data]`: which images.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataTable {
    /// The folder with one folder for each data set, or the data set's own.
    #[serde(default = "data_root")]
    #[schemars(extend("x-fixed" = true))]
    pub root: PathBuf,
    /// Its name, with parameters if it has any.
    pub dataset: Dataset,
    /// Pixels a side of the squares that images are resized to; with neither this nor `resize`: 28.
    pub image_size: Option<u32>,
    /// Pixels on the shorter side that images are resized to, in their own shape.
    pub resize: Option<u32>,
    /// Absent: as the data set has it.
    #[serde(alias = "colour")]
    pub color: Option<Color>,
    /// Whether images are cut to their bounding boxes first.
    #[serde(default)]
    pub bounding_boxes: bool,
    /// What is behind transparent pixels. Absent: transparency is ignored, and the hidden colors of these pixels are
    /// used.
    pub background: Option<Background>,
    /// How many of the training classes are trained on, chosen at random by the seed: the smaller number among the
    /// larger. Absent: all that no fold holds out.
    pub classes: Option<u32>,
    /// At most how many images of a class are trained on, chosen likewise. Absent: all.
    pub images_per_class: Option<u32>,
    /// The probability of a training image to be labeled with another class, each equally likely.
    #[serde(default)]
    pub label_noise: f64,
    /// Whether decoded images are kept on disk.
    #[serde(default)]
    pub cache: Cache,
    /// What each job that reads the data takes of the resources in `have`, such as `needs.nfs = 1`.
    #[serde(default, skip_serializing_if = "Counts::is_empty")]
    pub needs: Counts,
    /// What there is to train on: as `sweep data add` found it, or as published. Not a key.
    #[serde(skip)]
    pub half: TrainingHalf,
    /// True if boxes are to be cut out, but the images that were added have none. Not a key.
    #[serde(skip)]
    pub lacks_boxes: bool,
}

/// Pixels a side, if nothing is said.
const SIDE: u32 = 28;

impl DataTable {
    /// How the images are stored.
    pub fn images(&self) -> StoredImages {
        let square = ImageSize::Square(self.image_size.unwrap_or(SIDE));
        StoredImages {
            size: self.resize.map_or(square, ImageSize::ShortSide),
            color: self.color.unwrap_or(self.dataset.facts().color),
            bounding_boxes: self.bounding_boxes,
            background: self.background,
        }
    }

    /// Which of them are trained on.
    pub fn training_images(&self) -> TrainingImages {
        TrainingImages {
            classes: self.classes,
            images_per_class: self.images_per_class,
            label_noise: self.label_noise,
        }
    }
}

fn data_root() -> PathBuf {
    "data".into()
}

/// `[training]`: what all methods share.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainingTable {
    /// Steps to train, of one batch each unless `accumulate` says otherwise.
    #[schemars(extend("x-also" = ["epochs", "max_epochs", "num_epochs", "iterations"]))]
    pub steps: u64,
    /// Forms the batches.
    pub sampler: Sampler,
    /// Changes the weights.
    pub optimizer: Optimizer,
    /// Changes the parameters of losses that have some; absent: one like that of the weights.
    pub loss_optimizer: Option<Optimizer>,
    /// Changes the weights of the head; absent: one like that of the trunk.
    pub head_optimizer: Option<Optimizer>,
    /// Which parameters of the network weight decay shrinks; absent: all.
    #[serde(default, skip_serializing_if = "Decayed::are_all")]
    #[schemars(extend("x-also" = ["no_weight_decay", "weight_decay_exclude_1d"]))]
    pub weight_decay_on: Decayed,
    /// Learning rate of a layer of the trunk, relative to that of the layer behind it; absent: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-also" = ["llrd", "layerwise_lr_decay", "layer_wise_lr_decay"]))]
    pub layer_decay: Option<f64>,
    /// How learning rates change with time; absent: they do not.
    pub schedule: Option<Schedule>,
    /// Learning rates rise at first.
    pub warm_up: Option<WarmUp>,
    /// When the training images are surveyed; needed by samplers and losses that depend on it, and done for the methods
    /// that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub survey: Option<Survey>,
    /// Only the head and the parameters of losses are trained at first.
    pub freeze_trunk: Option<Span>,
    /// Steps of an epoch; absent: as many as take as many images as there are.
    pub epoch_steps: Option<u64>,
    /// The exponential moving average of the weights is validated, kept and measured instead of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-also" = ["model_ema", "ema_decay", "model_ema_decay"]))]
    pub ema: Option<Ema>,
    /// A bound on gradients.
    pub clip: Option<Clip>,
    /// Batches of one step; absent: one.
    pub accumulate: Option<u64>,
    /// Images that go through the network at a time; absent: all of a batch.
    pub chunk: Option<u32>,
    /// Steps between two validations; absent: before the first step and after the last. Needs folds.
    pub validate_every: Option<u64>,
    /// The metric by which validation chooses the best weights; absent: MAP@R.
    pub select: Option<Metric>,
    /// Validations without improvement after which training ends; absent: it goes on.
    pub patience: Option<u64>,
    /// What ends a training that has gone wrong.
    #[serde(default)]
    pub guards: Guards,
    /// The true ones, or shuffled as a control.
    #[serde(default)]
    pub labels: Labels,
}

impl TrainingTable {
    /// The metric by which validation chooses.
    pub fn selecting(&self) -> Metric {
        self.select.unwrap_or(Metric::MapAtR)
    }
}

/// `[[method]]`: one row of the table, either a loss or a baseline.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MethodTable {
    /// The name in the table.
    #[schemars(extend("x-fixed" = true))]
    pub name: String,
    /// The combinations of axis values in which the method takes part.
    #[serde(default, skip_serializing)]
    #[schemars(extend("x-fixed" = true))]
    pub when: PutInPlace,
    /// Whose runs come first: those of the method with the highest number; usually 0. No result depends on it.
    #[serde(default, skip_serializing)]
    #[schemars(extend("x-fixed" = true))]
    pub priority: i32,
    /// What each of its jobs takes of the resources in `have`, such as `needs.license = 1`. No result depends on it.
    #[serde(default, skip_serializing)]
    #[schemars(extend("x-fixed" = true))]
    pub needs: Counts,
    /// What is trained for.
    pub loss: Option<Loss>,
    /// How far apart embeddings are; absent: the loss's own distance.
    pub distance: Option<Distance>,
    /// How the loss's terms become one number; absent: as the loss has it.
    pub reduction: Option<Reduction>,
    /// A penalty on embeddings.
    pub regularizer: Option<Regularizer>,
    /// Which pairs or triplets the loss sees.
    pub miner: Option<Miner>,
    /// Several heads, whose widths add up to `model.embedding`; absent: as `model.heads`, and without those, one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<Vec<MethodHead>>,
    /// How their embeddings are joined for retrieval; absent: as `model.join`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// What links them in training.
    #[serde(default, skip_serializing_if = "Links::are_none")]
    pub links: Links,
    /// Earlier embeddings that it sees as well.
    pub memory: Option<Memory>,
    /// Several networks instead of one, each trained on larger classes of its own and all measured as one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_maps: Option<LabelMaps>,
    /// Forms its batches; absent: as `training.sampler`.
    pub sampler: Option<Sampler>,
    /// Changes the loss's own numbers, such as proxies; absent: as `training.loss_optimizer`, and without that as
    /// `training.optimizer`.
    pub loss_optimizer: Option<Optimizer>,
    /// Instead of a loss: nothing is trained.
    pub baseline: Option<Baseline>,
}

impl MethodTable {
    /// Returns the method without all that belongs to training.
    pub(super) fn untrained(&self) -> MethodTable {
        MethodTable {
            name: self.name.clone(),
            when: PutInPlace,
            priority: self.priority,
            needs: self.needs.clone(),
            loss: None,
            distance: None,
            reduction: None,
            regularizer: None,
            miner: None,
            heads: None,
            join: None,
            links: Links::default(),
            memory: None,
            label_maps: None,
            sampler: None,
            loss_optimizer: None,
            baseline: self.baseline,
        }
    }
}

/// An ensemble of networks on label maps: each is trained on a random map of the classes to larger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelMaps {
    /// The number of networks.
    #[schemars(range(min = 2))]
    pub members: u32,
    /// The number of larger classes.
    #[schemars(range(min = 2))]
    pub classes: u32,
}

/// A row that nothing is trained for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// The raw pixels, resized like all images: what retrieval is worth without any network.
    Pixels,
    /// The network before training: its trunk, trained before or not, and the initial weights of its head.
    Untrained,
    /// The features of its trunk, trained before or not, without a head.
    #[schemars(extend("x-also" = ["pretrained", "features"]))]
    Trunk,
}

/// `[resources]`: where and how to run. Nothing here is part of a recipe but the kind of device and, on the
/// CPU, the threads of a run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// `auto` takes GPUs if there are any.
    pub device: DeviceChoice,
    /// Which GPUs: `"all"` or a list of indices.
    pub gpus: Gpus,
    /// Runs that share one GPU at a time: a number, or `"auto"` for as many as its memory has room for and make it
    /// faster.
    pub runs_per_gpu: RunsPerGpu,
    /// The part of a GPU's memory that must be free of the processes of others, such as `"70 %"`; a GPU with less is
    /// not used until they have gone. Absent: every GPU is used that has room for a run.
    pub gpu_free: Option<Percent>,
    /// Whether runs that share a GPU use NVIDIA's Multi-Process Service, which is started for the sweep.
    pub mps: bool,
    /// CPU threads of one run. Absent: 1 on the CPU; on a GPU, where results do not depend on it, an equal part of the
    /// cores.
    pub threads: Option<u32>,
    /// What a run takes of the machine, besides its GPU.
    pub needs: Needs,
    /// How many there are of resources with names of your own, such as `have = { nfs = 2 }`: the jobs that run at a time
    /// never take more. What a job takes is said under `data.needs` and in the `needs` of a method.
    #[serde(skip_serializing_if = "Counts::is_empty")]
    pub have: Counts,
    /// Whether each slot on the CPU, or each GPU, has cores of its own, which its runs do not leave; those of a GPU are near
    /// it as far as there are enough. Two sweeps that do so at the same time on one machine take the same cores.
    pub pin: bool,
    /// Runs at a time on the CPU; absent: as many as the cores and the available memory allow.
    pub slots: Option<u32>,
    /// Minutes without a word after which a trainer is killed and its job started again; 0: never.
    pub hang_minutes: f64,
    /// How often an attempt that crashed or hung is started again within one `sweep run`.
    pub retries: u32,
    /// What happens after a job has failed: `"continue"` with the others, `"stop"` and let those that run end, or
    /// `{ stop_after = 3 }` to stop after that many.
    pub on_failure: OnFailure,
    /// Seconds between two checkpoints of a run, or `"auto"`: every 10 seconds, and less often where that would take more
    /// than 2 % of the time.
    pub checkpoint_seconds: CheckpointSeconds,
    /// Keeps GPUs from trying which kernels are the fastest. They may choose others after an interruption, and a training
    /// that is continued then differs in the last digits.
    pub deterministic: bool,
    /// The folder of trained weights, see `sweep weights`.
    pub weights: PathBuf,
    /// `"here"`, or `on.slurm = { .. }` for jobs of a cluster, see docs/slurm.md; `sweep run --on slurm` says the same for once.
    #[serde(skip_serializing_if = "On::is_here")]
    pub on: On,
}

impl Default for Resources {
    fn default() -> Self {
        Resources {
            device: DeviceChoice::Auto,
            gpus: Gpus::All,
            runs_per_gpu: RunsPerGpu::Number(1),
            gpu_free: None,
            mps: false,
            threads: None,
            needs: Needs::default(),
            have: Counts::default(),
            pin: false,
            slots: None,
            hang_minutes: 30.0,
            retries: 2,
            on_failure: OnFailure::Continue,
            checkpoint_seconds: CheckpointSeconds::Auto,
            deterministic: false,
            weights: "weights".into(),
            on: On::Here,
        }
    }
}

impl Resources {
    /// CPU threads of a run on the CPU.
    pub fn threads_on_cpu(&self) -> u32 {
        self.threads.unwrap_or(1)
    }

    /// How long a trainer may say nothing.
    pub fn silence(&self) -> Option<Duration> {
        (self.hang_minutes > 0.0)
            .then(|| Duration::try_from_secs_f64(self.hang_minutes * 60.0).unwrap_or(Duration::MAX))
    }
}

/// What a run takes of a machine, which bounds the number of runs at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Needs {
    /// Main memory, such as `"20 GB"`. Absent: on the CPU it is estimated, on a GPU it does not matter.
    pub ram: Option<ByteSize>,
}

/// What happens after jobs have failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The other jobs go on.
    Continue,
    /// Nothing new starts.
    Stop,
    /// Nothing new starts after this number of failures.
    StopAfter(u32),
}

impl OnFailure {
    /// The number of failed jobs after which nothing new starts.
    pub fn most_failures(self) -> Option<u32> {
        match self {
            OnFailure::Continue => None,
            OnFailure::Stop => Some(1),
            OnFailure::StopAfter(failures) => Some(failures),
        }
    }
}

/// On what to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// GPUs if there are any, the CPU otherwise.
    Auto,
    /// The CPU.
    Cpu,
    /// GPUs.
    #[schemars(extend("x-also" = ["gpu"]))]
    Cuda,
}
