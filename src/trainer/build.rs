//! Lets the trainer find libtorch, and names the commit that it is built from.

use std::path::Path;

#[path = "../../build.rs"]
#[expect(
    dead_code,
    reason = "the build script of another crate has its own main"
)]
mod commit;
#[path = "../dml/rpath.rs"]
mod rpath;

fn main() {
    rpath::main();
    commit::name_commit(
        Path::new("../.."),
        &["trainer", "dml", "schema", "durable", "signals"],
    );
}
