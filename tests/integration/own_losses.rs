//! Losses of the user: checked alone, and compared with the other rows of a sweep file. With the real trainer.

use std::fs;

use crate::desk::{Desk, SMALL};

/// Modules that `scripts/golden_scripts.py` wrote.
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dml/testdata/scripts");

/// One function under three names, and another one.
const ROWS: &str = r#"
[[method]]
name = "Margins"
loss.contrastive = { pos_margin = 0.9, neg_margin = 0.5 }
distance = "cosine"

[[method]]
name = "TCM"
loss.threshold_consistent_margin = {}

[[method]]
name = "Mine"
loss.torchscript = { file = "mine.pt" }

[[method]]
name = "Another"
loss.multi_similarity = {}
"#;

fn desk_with(module: &str, sweep: &str) -> Desk {
    let desk = Desk::real(sweep);
    fs::copy(format!("{MODULES}/{module}.pt"), desk.path("mine.pt")).unwrap();
    desk
}

#[test]
fn a_deep_check_names_the_rows_that_are_the_same_function() {
    let rows = SMALL.find("[[method]]").unwrap()..SMALL.find("[resources]").unwrap();
    let sweep = [&SMALL[..rows.start], ROWS, &SMALL[rows.end..]].concat();
    let desk = desk_with("threshold_consistent_margin", &sweep);
    let checked = desk.sweep(&["check", "sweep.toml", "--deep", "--trainer", desk.trainer()]);
    let checked = checked
        .assert_code(0)
        .assert_says("compared on fixed batches: 4 rows")
        .assert_says("Margins, TCM and Mine are the same function at their settings");
    assert!(!checked.err.contains("Another"), "{}", checked.err);
    let plain = desk.sweep(&["check", "sweep.toml"]).assert_code(0);
    assert!(!plain.err.contains("the same function"), "{}", plain.err);
}

#[test]
fn a_sound_loss_passes_its_check_and_a_planted_error_is_found() {
    let check = |module: &str| {
        let desk = desk_with(module, SMALL);
        desk.sweep(&["loss", "check", "mine.pt", "--trainer", desk.trainer()])
    };
    check("multi_similarity")
        .assert_code(0)
        .assert_says("it is the built-in `multi_similarity` at its defaults");
    check("depends_on_the_order")
        .assert_code(1)
        .assert_says("FAULT       does not depend on the order of the batch")
        .assert_says("`mine.pt` is not sound");
}
