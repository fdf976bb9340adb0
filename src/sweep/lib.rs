//! The orchestrator: from a sweep file to a finished table.
//!
//! [`config`] reads and checks what the user wrote; [`plan`] makes the graph of jobs of it and says which are
//! already done; [`search`] suggests the next trial of a study; [`run`] executes the rest, one trainer process an
//! attempt; [`ledger`] is the only part that knows what lies where under `results/`; [`cli`] is the only part that
//! prints. Dependencies point one way, `config <- plan <- run <- cli`, with `ledger` below plan and run, and `search`
//! below everything. Nothing here loads libtorch.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cli;
pub mod config;
pub mod ledger;
pub mod plan;
pub mod run;
pub mod search;
