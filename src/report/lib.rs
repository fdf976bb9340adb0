//! Records in, comparison tables out.
//!
//! The rows of a sweep's runs are gathered into the cells of a table (`gather`) and aggregated by polars, which only
//! `frame` and `summary` know; `standing` says who is best and who cannot be told from it; `layout` puts everything in its
//! place, and `table` knows what each cell says. [`Table::markdown`], [`Table::csv`] and [`Table::terminal`] are thin
//! renderers of that. [`statistics`](fn@statistics) compares methods beyond the table, with the tests of [`stats`]: plain functions of numbers.
//! Nothing here reads or writes files.
//!
//! A cell never hides anything: it is the mean over the runs that finished, says how many of them there should
//! have been where some are missing, and is a word, never 0, where none finished. Every run that went wrong is
//! named below the tables.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod published;
pub mod stats;

mod claims;
mod csv;
mod footnotes;
mod frame;
mod gather;
mod layout;
mod markdown;
mod row;
mod standing;
mod statistics;
mod summary;
mod table;
mod terminal;

pub use layout::Layout;
pub use published::{Published, PublishedError};
pub use row::{Caption, Row, RunState, Together};
pub use statistics::{Queries, Question, Statistics, statistics};
pub use table::{Description, ReportError, Table, table};

#[cfg(test)]
mod tests;
