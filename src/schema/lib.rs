//! The vocabulary of `sweep`. Read this page first.
//!
//! Everything here is plain data that crosses a boundary: between the sweep file and the plan, between
//! the orchestrator and a trainer process, between a finished run and a table. There is no input or
//! output, no libtorch and no data frame here, so every other crate can depend on it.
//!
//! | word | meaning |
//! | --- | --- |
//! | sweep | a TOML file, and everything that it causes to run |
//! | method | one row of the table: a loss with its miner and memory, or a baseline |
//! | axis | a key of the sweep file with several values; the table has all of them |
//! | point | one combination of axis values; in a search, one combination of searched values |
//! | member | one result that a table needs: a method at a point, with one seed and one fold |
//! | recipe | everything that determines one run's result: [`Recipe`] |
//! | run | one training of one recipe, identified by its [`RunId`] |
//! | identity | the content that a run's id is the hash of: [`Identity`] |
//! | fingerprint | the hash of a data set's content: [`Fingerprint`] |
//! | fold | a class-disjoint part of the training classes, held out for validation: [`Fold`] |
//! | study | the search for one method's values at one point of the axes: [`StudyId`] |
//! | trial | one point of a study, trained on every fold and scored on the validation classes |
//! | objective | in a search: the score to maximize; in training: the loss with its miner and memory |
//! | sample | value and gradient of an objective on fixed batches: [`ObjectiveSample`] |
//! | ensemble | the networks of all folds, or of all label maps, of a seed, measured as one: [`EnsembleId`] |
//! | job | a node of the graph: prepare, train, evaluate or measure an ensemble |
//! | kind | jobs that take the same memory and run at the same speed: [`KindId`] |
//! | place | a GPU, or the CPU; its slots share its memory |
//! | freshness | whether a job has to run, and why |
//! | slot | where a job can run: a share of a GPU, or CPU threads |
//! | worker | a process that runs the jobs of one chunk on a cluster, beside others |
//! | attempt | one start of a job: [`Attempt`]; its [`Work`] is the request |
//! | submission | jobs that Slurm is asked to run, as an array |
//! | chunk | the jobs of one element of such an array, and of the worker in it |
//! | claim | the right of one process to work on a job |
//! | computation | the programs and the machine of an attempt, its end and what it took: [`Computation`] |
//! | task | one kind of work, with the type of its reply: [`Task`] |
//! | event | one message from a trainer: [`Event`] |
//! | head | the layers from features to one block of the embedding: [`EmbeddingHead`] |
//! | link | what heads of one network have to do with each other in training: [`Links`] |
//! | survey | a pass over the training images that finds where their classes lie: [`Survey`] |
//! | record | the result of a finished run: [`Record`] |
//! | cell | a value in a table, with the records that it summarizes |
//!
//! Three ways into the code: `id.rs` beside this file hashes an [`Identity`] into a [`RunId`]; `src/dml/eval` computes
//! the metrics; `src/sweep/run` starts trainers and kills them. `docs/architecture.md` walks each of them.

#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod attempt;
mod augmentation;
mod event;
mod fingerprint;
mod footprint;
mod half;
mod heads;
mod id;
mod images;
mod listing;
mod metric;
mod model;
mod parts;
mod provenance;
mod recipe;
mod record;
pub mod renamed;
mod reply;
mod sample;
mod seal;
mod settings;
mod survey;
mod timing;
mod units;
pub mod visible;
mod work;
#[cfg(test)]
mod written_tests;

pub use attempt::{Attempt, Description, Device, PROTOCOL};
pub use augmentation::{
    AugmentationPolicy, AutoAugment, Interpolation, RandAugment, TrivialAugment,
};
pub use event::{Event, Failure};
pub use fingerprint::HashedFile;
pub use footprint::Footprint;
pub use half::Half;
pub use heads::{Auxiliary, EmbeddingHead, Head, Join, LinearHead, LinearInit, Mlp};
pub use id::{
    DataId, EnsembleId, Fingerprint, Identity, KindId, Numerics, ParseIdError, RunId, SCHEMA,
    StudyId, canonical_json,
};
pub use images::{
    Background, Cache, Color, ColorJitter, ImageSize, RandomErasing, RandomResizedCrop,
    StoredImages, TestTransform, TrainTransform, Transform,
};
pub use listing::{ListedImage, ListedRow, ListingFault, listed_rows, listing_text};
pub use metric::{Metric, ParseMetricError, Scores};
pub use model::{BatchNorm, Gem, Lora, Model, Pooling, Precision};
pub use parts::*;
pub use provenance::{Computation, GpuModel, Host};
pub use recipe::{Cut, Decayed, Fold, LabelMap, Labels, Recipe, Training, TrainingImages};
pub use record::{Breakdown, EnsembleRecord, Evaluated, Outcome, Record};
pub use reply::{
    Compared, Doubt, Drawn, DrawnImage, Embedded, EmbeddedAgain, Exported, Finished, Fitted,
    Imported, Inspected, InspectedHalf, InspectedImage, LeftOut, Measured, MeasuredSet, Prepared,
    Probed, Recomputed, ScriptCheck, ScriptChecked, ScriptProperty, SheetDrawn, Trained,
    TrainingEnd, Verified, WrongReply,
};
pub use sample::ObjectiveSample;
pub use seal::{BrokenSeal, has_seal, sealed, sealed_content, unsealed};
pub use survey::Survey;
pub use timing::{Clip, Ema, Guards, Span, WarmUp};
pub use units::bytes_in_words;
pub use work::{
    Amount, CheckScriptWork, CompareWork, ComparedBy, Comparison, EmbedWork, EmbeddingFiles,
    EnsembleWork, EvaluateWork, ExportWork, ImportWork, InspectWork, KeptResult, MeasureWork,
    NeighboursWork, NetworkFormat, PrepareWork, PreparedIndex, ProbeWork, ScriptKind, SheetWork,
    Task, TestImage, TrainWork, VerifyWork, WeightsWork, Work, run_files,
};

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_true(value: &bool) -> bool {
    *value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// True if nothing happens with this probability.
pub fn is_never(probability: &f64) -> bool {
    *probability == 0.0
}

/// True if a network can drop what it computes with this probability, from 0 to below 1: the rest is divided by what is left.
pub fn can_drop(probability: f64) -> bool {
    (0.0..1.0).contains(&probability)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
