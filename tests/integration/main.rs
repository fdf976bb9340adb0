//! The programs as a user starts them. One binary, so that the slow link happens once.
//!
//! Most stories use `fake-trainer` (tests/support), which speaks the protocol without libtorch and misbehaves on
//! request; [`training`] uses the real one.

#![allow(clippy::unwrap_used)]

mod crashes;
mod data;
mod desk;
mod errors;
mod evaluation;
mod failures;
mod first_sweep;
mod questions;
mod training;
mod weights;
