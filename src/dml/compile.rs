//! Compiles `libtorch.cpp`, and lets tests and benchmarks start without `LD_LIBRARY_PATH`.

#![expect(
    clippy::print_stdout,
    reason = "a build script speaks to cargo on standard output"
)]

mod rpath;

use std::{env, path::PathBuf};

fn main() {
    rpath::main();
    println!("cargo:rerun-if-changed=libtorch.cpp");
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else {
        return;
    };
    let include = PathBuf::from(lib).with_file_name("include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("libtorch.cpp")
        .compile("dml_libtorch");
}
