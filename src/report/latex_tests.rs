//! LaTeX as a paper compiles it, where LaTeX is installed.

use std::{fs, path::Path, process::Command};

use crate::{
    Format, Question, Row, statistics,
    tests::{METRICS, example, finished, row},
    tex,
};

/// Three data sets, so that methods are ranked.
fn ranked() -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, dataset) in (0..).zip(["A", "B & C", "D_E"]) {
        for (rank, method) in (1..).zip(["x_1", "y % z", "{w}"]) {
            for seed in 0..3 {
                let value = 0.2 * rank as f64 + 0.01 * seed as f64;
                rows.push(Row {
                    run: format!("{number:04x}{rank:04x}{seed:08x}").parse().unwrap(),
                    ..row(dataset, method, seed, finished(value, value))
                });
            }
        }
    }
    rows
}

#[test]
fn latex_compiles_without_warnings_on_pages_of_several_widths() {
    if Command::new("pdflatex").arg("--version").output().is_err() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let hostile = crate::format_tests::table_of_special_names();
    for (name, table) in [
        ("table", crate::tests::table_of(&example())),
        ("hostile", hostile),
    ] {
        for (name, text) in table.files(name, Format::Latex).unwrap() {
            write(&name, &text);
        }
    }
    let question = Question {
        compare: &crate::Compare::Rows,
        sweep: "tiny",
        metrics: &|_| METRICS.to_vec(),
        baseline: None,
        equal_within: None,
        by_class: None,
        queries: &|_, metrics| vec![None; metrics.len()],
    };
    let statistics = statistics(&ranked(), &question).unwrap().unwrap();
    for (name, diagram) in statistics.diagrams(&[Format::Latex].into()) {
        write(&name, &diagram);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let check = Command::new(root.join("scripts/latex_check.sh"))
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stdout)
    );
}

#[test]
fn characters_that_latex_would_join_stay_apart() {
    assert_eq!(
        tex::escape("a--b ''c,, <<"),
        "a-{}-b '{}'c,{}, \\textless{}{}\\textless{}"
    );
}
