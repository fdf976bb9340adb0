//! Records in, comparison tables out.
//!
//! The rows of a sweep's runs are gathered into the cells of a table (`gather`) and aggregated by polars, which only
//! `frame` and `summary` know; `standing` says who is best and who cannot be told from it; `layout` puts everything in its
//! place, and `table` knows what each cell says. [`Table::markdown`], [`Table::csv`] and [`Table::terminal`] are thin
//! renderers of that. [`evidence`](fn@evidence) is what is known beyond a table. How far numbers can be trusted, and whether two differ, is told by [`statistics`], plain functions.
//! Nothing here reads or writes files.
//!
//! A cell never hides anything: it is the mean over the runs that finished, says how many of them there should
//! have been where some are missing, and is a word, never 0, where none finished. Every run that went wrong is
//! named below the tables.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod published;
pub mod statistics;

mod claims;
mod csv;
mod evidence;
mod footnotes;
mod frame;
mod gather;
mod layout;
mod markdown;
mod row;
mod standing;
mod summary;
mod table;
mod terminal;

pub use evidence::{Evidence, Queries, Question, evidence};
pub use layout::Layout;
pub use published::{Published, PublishedError};
pub use row::{Caption, Row, RunState, Together};
pub use table::{Description, ReportError, Table, table};

#[cfg(test)]
mod tests;
