//! The orchestrator: from a sweep file to a finished table.
//!
//! [`config`] reads and checks a sweep file; [`plan`] turns it into a graph of jobs and finds those whose
//! results exist; [`search`] suggests the next trial of a study; [`run`] executes the remaining jobs, one
//! trainer process per attempt; [`ledger`] defines the layout of `results/`, its journal and its locks;
//! [`cli`] parses commands and prints. Dependencies point one way, `config <- plan <- run <- cli`, with
//! `search` and `ledger` below all of them: `config` reads what `ledger` knows of data sets. Nothing here
//! loads libtorch.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cli;
pub mod config;
pub mod ledger;
pub mod plan;
pub mod run;
pub mod search;
