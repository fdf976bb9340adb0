//! The executable `sweep-trainer`: one attempt at one job. See [`trainer`].

use std::process::ExitCode;

fn main() -> ExitCode {
    trainer::process::main(std::env::args_os().skip(1))
}
