//! Trainings on a GPU that is none: `tests/support/fake_cuda/fake_cuda.cpp` computes on the CPU what the trainer gives to
//! CUDA, refuses what a GPU refuses, and counts operations and waits.
//!
//! This is a program of its own because libtorch looks for devices once, when it first computes a gradient.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod behavior;
mod counts;
mod library;
mod place;
mod values;
