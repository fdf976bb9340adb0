//! The orchestrator: from a sweep file to a finished table.
//!
//! [`config`] reads and checks a sweep file; [`plan`] makes the graph of jobs and finds those that
//! are already done; [`run`] executes the rest, one trainer process an attempt; [`cli`] is the only
//! part that prints. Dependencies point one way: `config <- plan <- run <- cli`; [`batch`] is beside [`run`], for the
//! work of more than one machine. Below all of them
//! are [`ledger`], which keeps the folder `results/`, [`search`], which suggests the next trial of a study,
//! and [`shell`], which quotes the commands in messages. Nothing here loads libtorch.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod batch;
pub mod cli;
pub mod config;
pub mod ledger;
pub mod plan;
pub mod run;
pub mod search;
pub mod shell;
pub mod visits;

/// The version of the program, with the commit that it was built from.
pub const VERSION: &str = env!("VERSION");

#[cfg(test)]
mod imports_tests;
