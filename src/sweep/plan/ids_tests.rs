//! The ids of every sweep that is shipped. Users have results under these names: a change means that their results are
//! no longer found. `UPDATE_IDS=1 cargo test ids` writes the file anew, for a new sweep file.

use std::{env, fmt::Write as _, fs, path::Path};

use schema::{Numerics, canonical_json};

use super::Plan;
use crate::{config::Sweep, ledger::Ledger};

/// Ids that are listed one by one; all of them are in the hash.
const LISTED: usize = 3;

#[test]
fn the_ids_of_every_shipped_sweep_stay_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = fs::read_dir(root.join("sweeps"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    let found: String = files.iter().map(|file| ids(file)).collect();
    let golden = root.join("src/sweep/plan/testdata/ids.txt");
    if env::var_os("UPDATE_IDS").is_some() {
        fs::write(&golden, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&golden).unwrap());
}

/// Plans the sweep as on a machine without data and weights.
fn ids(file: &Path) -> String {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let overrides = [
        format!("data.root={}", absent.display()),
        format!("resources.weights={}", absent.display()),
    ];
    let sweep = Sweep::read(file, &overrides).unwrap();
    let ledger = Ledger::new(folder.path().join("results"));
    let plan = Plan::new(&sweep, &ledger, Numerics::Cpu { threads: 1 }).unwrap();
    let mut text = format!("{}\n", file.file_name().unwrap().display());
    list(&mut text, "runs", plan.runs.keys());
    list(&mut text, "data", plan.data.keys());
    list(&mut text, "ensembles", plan.ensembles.keys());
    list(
        &mut text,
        "studies",
        plan.studies.iter().map(|study| &study.id),
    );
    text
}

fn list<T: serde::Serialize>(text: &mut String, what: &str, ids: impl Iterator<Item = T>) {
    let ids: Vec<String> = ids.map(|id| canonical_json(&id)).collect();
    let hash = blake3::hash(ids.join(",").as_bytes()).to_hex();
    let first = ids[..ids.len().min(LISTED)].join(" ");
    writeln!(text, "  {what} {} {} {first}", ids.len(), &hash[..16]).unwrap();
}
