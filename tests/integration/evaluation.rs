//! `sweep evaluate` and `sweep neighbors` with the real trainer.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::desk::{Desk, Done};

/// Two classes around two directions, with one outlier.
const EMBEDDINGS: &str = "1,0\n0.9,0.1\n0,1\n0.1,0.9\n0.2,0.8\n";
const LABELS: &str = "cat\r\ncat\r\ndog\r\ndog\r\ncat\r\n";

fn desk() -> Desk {
    let desk = Desk::real("");
    fs::write(desk.path("e.csv"), EMBEDDINGS).unwrap();
    fs::write(desk.path("l.txt"), LABELS).unwrap();
    desk
}

fn evaluate(desk: &Desk, arguments: &[&str]) -> Done {
    desk.sweep(
        &[
            &["evaluate", "--embeddings", "e.csv", "--labels", "l.txt"],
            arguments,
        ]
        .concat(),
    )
}

fn numbers(done: &Done) -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_str(&done.out).unwrap()
}

#[test]
fn embeddings_from_files_are_measured() {
    let desk = desk();
    evaluate(&desk, &[])
        .assert_code(0)
        .assert_says("precision@1   80.00")
        .assert_says("5 queries, each against")
        .assert_says("5 images of 2 numbers, 2 classes");
    let all = "recall@1,recall@2,precision@1,r_precision,map@r,map,mrr,nmi,ami,f1";
    let done = evaluate(&desk, &["--json", "--metrics", all]).assert_code(0);
    let found = numbers(&done);
    let names: Vec<&str> = all.split(',').collect();
    assert!(
        names.iter().all(|name| found.contains_key(*name)) && found.len() == names.len() + 1,
        "{found:?}"
    );
    assert_eq!(
        found["measured"]["taken"],
        "5 images of 2 numbers, 2 classes"
    );
    // The outlier of the cats ranks two dogs first; all others rank their own class first.
    let close = |name: &str, value: f64| {
        let found = found[name].as_f64().unwrap();
        assert!(
            (found - value).abs() < 1e-12,
            "{name}: {found}, not {value}"
        );
    };
    close("recall@1", 0.8);
    close("recall@2", 0.8);
    close("precision@1", 0.8);
    close("r_precision", 0.8);
    close("map@r", 0.8);
    close("mrr", (4.0 + 1.0 / 3.0) / 5.0);
}

#[test]
fn queries_may_differ_from_the_searched_images() {
    let desk = desk();
    fs::write(desk.path("q.csv"), "x,y\n1,0.05\n0.05,1\n").unwrap();
    fs::write(desk.path("ql.txt"), "cat\nbird").unwrap();
    let queries = ["--query-embeddings", "q.csv", "--query-labels", "ql.txt"];
    evaluate(&desk, &queries)
        .assert_code(0)
        .assert_says("1 without an image to find left out");
    let done = evaluate(
        &desk,
        &[
            &queries[..],
            &["--json", "--metrics", "recall@1", "--distance", "dot"],
        ]
        .concat(),
    );
    let found = numbers(&done);
    assert_eq!(found["recall@1"], 1.0);
    let warnings = found["measured"]["warnings"].to_string();
    assert!(warnings.contains("`e.csv` have lengths from"), "{warnings}");
}

#[test]
fn what_is_left_out_and_what_is_doubtful_is_told() {
    let desk = desk();
    fs::write(
        desk.path("e.csv"),
        ",0,1\n0,1.0,0.0\n1,0.9,0.1\n2,0.0,1.0\n3,0.1,0.9\n4,0.2,0.8\n",
    )
    .unwrap();
    let same = [
        "--query-embeddings",
        "e.csv",
        "--query-labels",
        "l.txt",
        "--metrics",
        "R@1, MAP@R",
    ];
    evaluate(&desk, &same)
        .assert_code(0)
        .assert_says("queries: 5 images of 2 numbers, 2 classes; gallery: 5 images of 2 numbers")
        .assert_says("`e.csv`, `,0,1`, is a heading")
        .assert_says("first column of `e.csv` numbers or names the rows")
        .assert_says("each of the 5 queries exactly equals an image of the gallery");
    fs::write(desk.path("other.txt"), "00\n00\n01\n01\n00\n").unwrap();
    let other = ["--query-embeddings", "e.csv", "--query-labels", "other.txt"];
    evaluate(&desk, &other)
        .assert_code(1)
        .assert_says("nothing in common: `00`, `01` in `other.txt`; `cat`, `dog` in `l.txt`");
}

#[test]
fn a_mistake_in_the_files_gives_one_clear_message() {
    let desk = desk();
    desk.sweep(&["evaluate"])
        .assert_code(1)
        .assert_says("`sweep evaluate RUN`")
        .assert_says("--labels FILE");
    evaluate(&desk, &["--metrics", "recall"])
        .assert_code(1)
        .assert_says("unknown metric `recall`");
    fs::write(desk.path("l.txt"), "cat\ndog\n").unwrap();
    evaluate(&desk, &[])
        .assert_code(1)
        .assert_says("has 5 rows but")
        .assert_says("has 2 labels");
    fs::write(desk.path("l.txt"), "a\nb\nc\nd\ne\n").unwrap();
    evaluate(&desk, &[])
        .assert_code(1)
        .assert_says("nothing to retrieve");
    fs::write(desk.path("e.csv"), EMBEDDINGS.replace("0.1,0.9", "nan,0.9")).unwrap();
    evaluate(&desk, &[])
        .assert_code(1)
        .assert_says("row 3 of")
        .assert_says("not finite");
    let missing = desk.sweep(&["evaluate", "--embeddings", "no.npy", "--labels", "l.txt"]);
    missing
        .assert_code(1)
        .assert_says("`no.npy`: there is no such file");
    desk.sweep(&["evaluate", "0123456789abcdef"])
        .assert_code(1)
        .assert_says("there is no run");
}

#[test]
fn a_finished_run_is_measured_again_and_its_neighbors_are_drawn() {
    let desk = Desk::real(
        r#"
[sweep]
name = "small"
seeds = 1

[data]
dataset.glyphs = { classes = 4, test_classes = 4, per_class = 4 }
image_size = 16

[model]
backbone = "conv4"
embedding = 8

[[method]]
name = "Untrained"
baseline = "untrained"

[training]
steps = 1
sampler.m_per_class = { batch = 8, per_class = 4 }
optimizer.adam = {}

[resources]
device = "cpu"
"#,
    );
    desk.run().assert_code(0);
    let runs = desk.in_runs("record.json");
    let (run, record) = runs.iter().next().unwrap();
    let record: serde_json::Value = serde_json::from_slice(record).unwrap();
    let results = desk.path("results/runs").join(run);
    fs::remove_file(results.join("embeddings.safetensors")).unwrap();
    let before = files(&results);
    let again = desk
        .sweep(&["evaluate", &run[..7], "--metrics", "recall@1,map", "--json"])
        .assert_code(0);
    assert_eq!(
        numbers(&again)["recall@1"],
        record["outcome"]["finished"]["scores"]["recall@1"]
    );
    let folder = format!("results/runs/{run}");
    desk.sweep(&["evaluate", &folder])
        .assert_code(0)
        .assert_says("16 images, 4 classes")
        .assert_says("16 queries, each against all the others");
    desk.sweep(&["evaluate", run, "--distance", "dot"])
        .assert_code(1)
        .assert_says("a run is measured by cosine similarity");

    let drawn = desk
        .sweep(&["neighbors", &run[..7], "--query", "3", "--count", "12"])
        .assert_code(0);
    let path = drawn.out.trim_end();
    let picture = desk.path(&format!("neighbors-{run}-3.png"));
    assert!(
        path.ends_with(picture.file_name().unwrap().to_str().unwrap())
            && fs::read(picture).unwrap().starts_with(b"\x89PNG"),
        "{path}"
    );
    assert_eq!(files(&results), before, "results are only read");
    drawn.assert_says("of 12 are of its class");
    desk.sweep(&["neighbors", run, "--query", "16"])
        .assert_code(1)
        .assert_says("counted from 0 to 15");
}

/// The files in the folder of a run, with their contents.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.is_file());
    files
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}
