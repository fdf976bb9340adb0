//! Slurm: its commands ([`client`]), the states that it tells ([`state`]), and the scripts that it is given ([`script`]).

pub mod client;
pub mod script;
pub mod state;

pub use client::{Element, Limits, SlurmError};
pub use state::{Cause, Reason, State};
