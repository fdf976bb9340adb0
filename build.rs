//! Names the commit that the program is built from, for `--version` and the provenance of results.

use std::{env, path::Path, process::Command};

fn main() {
    name_commit(
        Path::new("."),
        &["sweep", "report", "schema", "durable", "signals"],
    );
}

/// Sets `VERSION` for a program: `0.1.0 (9a0aec7cb8)`, with `modified` after the commit if the sources differ from it, and
/// only `0.1.0` if they are not in a Git repository. `root` is the folder of the repository, `crates` are the folders of
/// `src/` that the program is built from.
pub(crate) fn name_commit(root: &Path, crates: &[&str]) {
    let mut sources = vec!["Cargo.lock".to_owned()];
    sources.extend(crates.iter().map(|name| format!("src/{name}")));
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let named = match commit(root, &sources) {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    println!("cargo:rustc-env=VERSION={named}");
    for source in &sources {
        println!("cargo:rerun-if-changed={}", root.join(source).display());
    }
    // The log of HEAD grows with every commit, checkout and merge.
    if let Some(log) = git(root, &["rev-parse", "--git-path", "logs/HEAD"]) {
        let log = root.join(log);
        if log.is_file() {
            println!("cargo:rerun-if-changed={}", log.display());
        }
    }
}

fn commit(root: &Path, sources: &[String]) -> Option<String> {
    let commit = git(root, &["rev-parse", "--short=10", "HEAD"])?;
    let mut status = vec!["status", "--porcelain", "--untracked-files=no", "--"];
    status.extend(sources.iter().map(String::as_str));
    match git(root, &status)?.is_empty() {
        true => Some(commit),
        false => Some(format!("{commit}, modified")),
    }
}

/// Returns what a Git command prints; `None` if it fails.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .current_dir(root)
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
