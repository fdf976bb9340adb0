//! The executable `sweep-trainer`: attempts at jobs. See [`trainer`].

use std::process::ExitCode;

fn main() -> ExitCode {
    trainer::process::main(std::env::args_os().skip(1))
}
