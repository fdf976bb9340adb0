//! Lets what is built here start without `LD_LIBRARY_PATH`: the real folder of libtorch goes into the
//! executables. The link `target/libtorch`, through which they are built, may disappear with `target/`.

#![expect(
    clippy::print_stdout,
    reason = "a build script speaks to cargo on standard output"
)]

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else {
        return;
    };
    let lib = Path::new(&lib)
        .canonicalize()
        .unwrap_or_else(|_| lib.into());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
}
