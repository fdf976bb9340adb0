//! Records in, comparison tables out.
//!
//! The rows of a sweep's runs are aggregated by polars, which only `frame` and `summary` know; `table`
//! decides what each cell says; [`Table::markdown`], [`Table::csv`] and [`Table::terminal`] are thin renderers
//! of that. How far numbers can be trusted, and whether two differ, is told by [`statistics`], plain functions.
//! Nothing here reads or writes files.
//!
//! A cell never hides anything: it is the mean over the runs that finished, says how many of them there should
//! have been where some are missing, and is a word, never 0, where none finished. Every run that is not
//! finished is named below the tables.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod statistics;

mod csv;
mod frame;
mod markdown;
mod row;
mod summary;
mod table;
mod terminal;

pub use row::{Caption, Row, RunState, Together};
pub use table::{ReportError, Table, table};

#[cfg(test)]
mod tests;
