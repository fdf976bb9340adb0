//! Runs the programs as a user does. One test binary, so that there is one slow link.
//!
//! Most tests use `fake-trainer` (tests/support), which follows the protocol without libtorch and misbehaves on request;
//! [`training`] uses the real trainer.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod attack;
mod cluster;
mod crashes;
mod damage;
mod data;
mod desk;
mod errors;
mod evaluation;
mod failures;
mod first_sweep;
mod gpus;
mod network;
mod own_losses;
mod questions;
mod results;
mod serving;
mod slurm;
mod terminal;
mod training;
mod upkeep;
mod verification;
mod watching;
mod weights;
mod workers;
