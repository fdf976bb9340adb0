//! Records in, comparison tables out.
//!
//! The runs of a sweep are gathered into lines (`gather`), what they measured into cells (`records`), which answer every
//! question about values: the differences of two cells, or the mean of one, from a polars data frame (`frame`).
//! `comparison` compares rows on the same seeds; `significance` marks the best of each column and what is
//! not distinguishable from it, `claims` says it in words; `table` assembles a view (`model`) in one of several layouts; [`Table::markdown`], [`Table::csv`] and
//! [`Table::terminal`] render it. [`statistics`](fn@statistics) compares methods in more detail, with
//! the tests of [`stats`], plain functions of numbers; [`provenance`](fn@provenance) tells what computed
//! them. Data sets and rows are identified by keys (`key`); [`Titles`] makes the titles that are printed. Nothing here reads or writes files.
//!
//! A cell hides nothing: it is the mean over the finished runs, gives their number if some are
//! missing, and is a word, never 0, if none finished. Every failure is named below the table.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod published;
pub mod stats;

mod best;
mod by_class;
mod cells;
mod claims;
mod comparison;
mod csv;
mod drawing;
mod flat;
mod footnotes;
mod format;
mod frame;
mod gather;
mod grouping;
mod heads;
mod json;
mod key;
mod latex;
mod layout;
mod legend;
mod lost;
mod macros;
mod markdown;
mod measured;
mod model;
mod moments;
mod number;
mod page;
mod pivot;
mod provenance;
mod records;
mod repetition;
mod results;
mod row;
mod significance;
mod statistics;
mod summary;
mod table;
mod tensorboard;
mod terminal;
mod tex;
mod text;
mod tidy;
mod ties;
mod title;
mod training;

pub use best::BestRun;
pub use by_class::{ClassScores, Queries, QueriesOf};
pub use cells::{CellRuns, cells};
pub use format::Format;
pub use grouping::Compare;
pub use layout::Layout;
pub use model::Table;
pub use page::{
    FailedJob, Page, Retrieval, RetrievedQuery, Search, SearchTrial, SearchedRange, SettingOrigin,
    Timing, page,
};
pub use provenance::{Cost, EverMeasured, Origin, Provenance, Tried, provenance};
pub use published::{Published, PublishedError};
pub use results::{Results, parquet_as_text};
pub use row::{Caption, Row, RunState, Setting, Source, Together};
pub use statistics::{Question, Statistics, statistics};
pub use table::{Description, ReportError, Sort, table};
pub use text::field as csv_field;
pub use title::Titles;
pub use training::{Curve, Training, curves};

#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod latex_tests;
#[cfg(test)]
mod simulations;
#[cfg(test)]
mod tests;
