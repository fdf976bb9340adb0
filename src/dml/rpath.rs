//! Lets what is built here start without `LD_LIBRARY_PATH`: the real folder of libtorch goes into the
//! executables. The link `target/libtorch`, through which they are built, may disappear with `target/`.
//! `SWEEP_LIBRARIES` names another folder, for programs that are installed together with libtorch.

#![allow(
    clippy::print_stdout,
    reason = "a build script speaks to cargo on standard output"
)]

use std::{env, path::Path};

pub(crate) fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    println!("cargo:rerun-if-env-changed=SWEEP_LIBRARIES");
    if let Ok(folder) = env::var("SWEEP_LIBRARIES") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
        return;
    }
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else {
        return;
    };
    let lib = Path::new(&lib)
        .canonicalize()
        .unwrap_or_else(|_| lib.into());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
}
