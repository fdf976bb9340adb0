//! A reviewer gets a results folder and a table, verifies them, and finds what was changed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::desk::{Desk, SMALL};

/// A sweep that the real trainer has run, copied to a folder without the data and the sweep file.
fn handed_over() -> Desk {
    let desk = Desk::real(SMALL);
    desk.run().assert_code(0);
    let formats = [
        "report",
        "sweep.toml",
        "--format",
        "markdown,latex,json,tidy",
    ];
    desk.sweep(&formats).assert_code(0);
    desk.verify()
        .assert_code(0)
        .assert_says("verified: 4 results");
    desk.sweep(&[
        "verify",
        "sweep.toml",
        "--embed",
        "all",
        "--trainer",
        desk.trainer(),
    ])
    .assert_code(0)
    .assert_says("by 4 networks, ")
    .assert_says("verified: 4 results");
    fs::remove_dir_all(desk.path("results/data")).unwrap();
    fs::remove_file(desk.path("sweep.toml")).unwrap();
    fs::rename(desk.path("results"), desk.path("theirs")).unwrap();
    desk
}

impl Desk {
    fn verify(&self) -> crate::desk::Done {
        self.sweep(&["verify", "sweep.toml", "--trainer", self.trainer()])
    }

    /// Verifies what was handed over.
    fn review(&self) -> crate::desk::Done {
        self.review_by(&[])
    }

    fn review_by(&self, options: &[&str]) -> crate::desk::Done {
        let copy = "theirs/sweeps/small.toml";
        let results = ["--results", "theirs", "--trainer", self.trainer()];
        self.sweep(&[["verify", copy].as_slice(), &results, options].concat())
    }

    /// Changes a file, reviews it, and restores it.
    fn review_with(&self, path: &Path, change: impl Fn(&str) -> String) -> crate::desk::Done {
        let before = fs::read_to_string(path).unwrap();
        let changed = change(&before);
        assert_ne!(before, changed);
        fs::write(path, changed).unwrap();
        let done = self.review();
        fs::write(path, before).unwrap();
        done
    }
}

fn first_run(desk: &Desk) -> PathBuf {
    let mut runs: Vec<PathBuf> = fs::read_dir(desk.path("theirs/runs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    runs.sort();
    runs.remove(0)
}

/// A record with another value of MAP@R and a seal that fits, as only someone who knows the program makes it.
fn forged(text: &str, run: &str) -> String {
    let mut record: Value = serde_json::from_str(text).unwrap();
    let object = record.as_object_mut().unwrap();
    object.remove("seal");
    object["outcome"]["finished"]["scores"]["map@r"] = 0.875.into();
    schema::sealed(&format!("record {run}"), &record).unwrap()
}

#[test]
fn a_reviewer_finds_whatever_was_changed() {
    let desk = handed_over();
    desk.review()
        .assert_code(0)
        .assert_says("verified: 4 results");
    desk.review_by(&["--embed", "10"])
        .assert_code(1)
        .assert_says("verified: 4 results")
        .assert_says("no image can be embedded again: the prepared data is not there")
        .assert_says("4 networks embedded nothing again");
    let run = first_run(&desk);
    let id = run.file_name().unwrap().to_str().unwrap();

    fs::rename(run.join("record.json"), desk.path("record.json")).unwrap();
    desk.review()
        .assert_code(1)
        .assert_says(&format!("{id}/record.json` is not there"))
        .assert_says("2 results there, 1 now");
    fs::rename(desk.path("record.json"), run.join("record.json")).unwrap();

    let record = run.join("record.json");
    desk.review_with(&record, |text| {
        text.replacen("\"map@r\": 0.", "\"map@r\": 0.9", 1)
    })
    .assert_code(1)
    .assert_says(&format!("{id}/record.json` is damaged"));
    desk.review_with(&record, |text| forged(text, id))
        .assert_code(1)
        .assert_says(&format!(
            "{id}/record.json`: map@r is 0.875, but the embeddings give 0."
        ));

    desk.review_with(&run.join("queries.csv"), |text| {
        text.replacen(",1,", ",2,", 1)
    })
    .assert_code(1)
    .assert_says(&format!("{id}/queries.csv"));

    desk.review_with(&desk.path("reports/small/table.csv"), |text| {
        text.replacen("0.", "0.9", 1)
    })
    .assert_code(1)
    .assert_says("table.csv`, line 2 (Glyphs (synthetic), Contrastive), column `recall@1`");
    desk.review_with(&desk.path("reports/small/table.md"), |text| {
        text.replacen("| Triplet |", "| Ours |", 1)
    })
    .assert_code(1)
    .assert_says("table.md`, line");
    for name in ["table.tex", "table.json", "table-tidy.csv"] {
        desk.review_with(&desk.path("reports/small").join(name), |text| {
            text.replacen("Triplet", "Ours", 1)
        })
        .assert_code(1)
        .assert_says(&format!("{name}`, line"));
    }

    fs::write(run.join("embeddings.safetensors"), "nothing").unwrap();
    desk.review()
        .assert_code(1)
        .assert_says(&format!("{id}/embeddings.safetensors`: it is damaged"));
}

#[test]
fn a_cell_leads_to_its_runs() {
    let desk = Desk::new(SMALL);
    desk.run().assert_code(0);
    let cell = desk
        .sweep(&["cell", "sweep.toml", "Triplet", "R@1"])
        .assert_code(0);
    for run in desk.in_runs("record.json").keys() {
        let table = desk.read("reports/small/table.csv");
        let line = table.lines().find(|line| line.contains(run)).unwrap();
        assert_eq!(
            cell.out.contains(run),
            line.contains("Triplet"),
            "{}",
            cell.out
        );
    }
    desk.sweep(&["cell", "sweep.toml", "Quadruplet", "R@1"])
        .assert_code(1)
        .assert_says("there is no method `Quadruplet`; the sweep has `Contrastive`, `Triplet`");
    desk.sweep(&["cell", "sweep.toml", "Triplet", "nmi"])
        .assert_code(1)
        .assert_says("add it to `report.metrics`");
}
