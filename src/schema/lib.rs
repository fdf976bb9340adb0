//! The vocabulary of `sweep`: the page to read first.
//!
//! Everything here is plain data that crosses a boundary: between the sweep file and the plan, between
//! the orchestrator and a trainer process, between a finished run and a table. There is no input or
//! output, no libtorch and no data frame here, so every other crate can depend on it.
//!
//! | word | what it is |
//! | --- | --- |
//! | sweep | a TOML file and all it leads to |
//! | method | one row of the table: a loss, with its miner and its memory |
//! | axis | a key of the sweep file with several reported values |
//! | recipe | everything that determines one run's result: [`Recipe`] |
//! | run | one training of one recipe, named by its [`RunId`] |
//! | fold | a class-disjoint part of the training classes, held out for validation: [`Fold`] |
//! | job | a node of the graph: prepare, train, evaluate or report |
//! | slot | a place where a job can execute: a share of a GPU, or CPU threads |
//! | attempt | one start of a job: [`Attempt`]; the [`Work`] in it says what to do |
//! | event | what a trainer says while it works: [`Event`] |
//! | record | a finished run's result: [`Record`] |
//! | cell | a number in a table, with the records behind it |

mod attempt;
mod dataset;
mod distance;
mod event;
mod id;
mod images;
mod loss;
mod memory;
mod metric;
mod model;
mod optimizer;
mod parts;
mod recipe;
mod record;
pub mod renamed;
mod sampler;
mod schedule;
mod settings;
#[cfg(test)]
mod written_tests;

pub use attempt::{
    Attempt, Comparison, Description, Device, EmbeddingFiles, EnsembleWork, EvaluateWork, Half,
    ImportWork, InspectWork, MeasureWork, NeighboursWork, PROTOCOL, PrepareWork, SheetWork,
    TrainWork, WeightsWork, Work,
};
pub use dataset::{Dataset, Files, Glyphs, Own, Registration, TrainingHalf};
pub use distance::{Distance, Reduction, Regularizer};
pub use event::{
    Breakdown, Event, Failure, Finished, Inspected, InspectedHalf, InspectedImage, Measured,
    Prepared, Trained, TrainingEnd,
};
pub use id::{
    DataId, EnsembleId, Fingerprint, Identity, Numerics, ParseIdError, RunId, SCHEMA, StudyId,
    canonical_json,
};
pub use images::{
    Cache, Colour, ColourJitter, ImageSize, RandomErasing, RandomResizedCrop, StoredImages,
    TestTransform, TrainTransform, Transform,
};
pub use loss::*;
pub use memory::{Memory, MemoryInit, MemoryKey, MemorySize, MemoryWrap, SelfExclusion, Xbm};
pub use metric::{Metric, ParseMetricError, Scores};
pub use model::{
    Backbone, BatchNorm, BnInception, Bottleneck, ColourOrder, Gem, Head, LinearHead,
    LinearInitial, Mlp, Model, Pooling, Precision, Pretrained, Seen, StrideOn, Torchscript, Vit,
    VitInput, Weights,
};
pub use optimizer::{Adam, AdamW, Optimizer, RmsProp, Sgd};
pub use parts::*;
pub use recipe::{Cut, Fold, Labels, Recipe, Training};
pub use record::{EnsembleRecord, Evaluated, Outcome, Record};
pub use sampler::{
    ClassBalanced, FixedPairs, Hierarchical, MPerClass, RandomSampler, Sampler, Straddling,
};
pub use schedule::{
    Clip, Cosine, Guards, MultiStep, Plateau, Schedule, Span, StepSchedule, WarmUp,
};
