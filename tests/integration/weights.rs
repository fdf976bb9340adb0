//! `sweep weights`, and plans that use weights.

use std::fs;

use crate::desk::{Desk, Done, SMALL};

/// Returns a sweep of two runs that start from weights named `trained`.
fn sweep() -> String {
    SMALL
        .replace(
            "per_class = 4 }\n\n",
            "per_class = 4 }\nimage_size = 32\n\n",
        )
        .replace(
            r#"backbone = "conv4""#,
            r#"backbone.squeezenet = { weights = "trained" }"#,
        )
}

/// Creates a desk with a file to add. Only the trainer reads it.
fn desk() -> Desk {
    let desk = Desk::new(&sweep());
    fs::write(desk.path("some.safetensors"), "abc").unwrap();
    desk
}

fn add(desk: &Desk, name: &str) -> Done {
    desk.sweep(&[
        "weights",
        "add",
        name,
        "some.safetensors",
        "--backbone",
        "squeezenet",
        "--trainer",
        desk.trainer(),
    ])
}

#[test]
fn added_weights_are_listed_and_checked() {
    let desk = desk();
    desk.sweep(&["weights", "list"])
        .assert_code(0)
        .assert_says("nothing was added");
    add(&desk, "trained")
        .assert_code(0)
        .assert_says(r#"backbone.squeezenet = { weights = "trained" }"#);
    desk.sweep(&["weights", "list"])
        .assert_code(0)
        .assert_says("trained  squeezenet")
        .assert_says("ba7816bf8f01");
    let check = ["weights", "check", "--trainer", desk.trainer()];
    desk.sweep(&check)
        .assert_code(0)
        .assert_says("as they were added");

    fs::write(desk.path("weights/trained.safetensors"), "abd").unwrap();
    desk.sweep(&check)
        .assert_code(1)
        .assert_says("has changed since it was added")
        .assert_says("ba7816bf");
}

#[test]
fn weights_of_the_same_name_are_replaced_with_a_word() {
    let desk = desk();
    add(&desk, "trained").assert_code(0);
    let again = add(&desk, "trained").assert_code(0);
    assert!(!again.err.contains("replace"), "{}", again.err);
    fs::write(desk.path("some.safetensors"), "abd").unwrap();
    add(&desk, "trained")
        .assert_code(0)
        .assert_says("these weights replace those of `squeezenet`")
        .assert_says("ba7816bf");
    let check = ["weights", "check", "--trainer", desk.trainer()];
    desk.sweep(&check).assert_code(0);
    assert_eq!(fs::read_dir(desk.path("weights")).unwrap().count(), 2);
}

#[test]
fn one_damaged_manifest_does_not_hide_the_others() {
    let desk = desk();
    add(&desk, "trained").assert_code(0);
    fs::write(desk.path("weights/cut.toml"), "").unwrap();
    desk.sweep(&["weights", "list"])
        .assert_code(0)
        .assert_says("trained  squeezenet")
        .assert_says("cut  damaged: the manifest `weights/cut.toml` cannot be read");
    desk.sweep(&["weights", "check", "--trainer", desk.trainer()])
        .assert_code(1)
        .assert_says("trained: 0 tensors of `squeezenet`, as they were added")
        .assert_says("weights/cut.toml");
    add(&desk, "cut")
        .assert_code(0)
        .assert_says("replace others whose manifest was damaged");
    desk.sweep(&["weights", "check", "--trainer", desk.trainer()])
        .assert_code(0);
}

#[test]
fn what_the_tensors_do_not_show_is_named() {
    let desk = desk();
    let backbone = |name: &str| {
        let options = ["--backbone", name, "--trainer", desk.trainer()];
        let add = ["weights", "add", "trained", "some.safetensors"];
        desk.sweep(&[&add[..], &options].concat()).assert_code(0)
    };
    backbone("resnet50")
        .assert_says("the file does not show which `stride_on` is right")
        .assert_says("sweep show backbones resnet50");
    desk.sweep(&["show", "backbones", "resnet50"])
        .assert_says("One of \"3x3\", \"1x1\".");
    let plain = backbone("squeezenet");
    assert!(!plain.err.contains("does not show"), "{}", plain.err);
}

#[test]
fn an_invalid_name_and_an_unknown_backbone_are_refused() {
    let desk = desk();
    add(&desk, "../trained")
        .assert_code(1)
        .assert_says("letters, digits");
    desk.sweep(&[
        "weights",
        "add",
        "trained",
        "some.safetensors",
        "--backbone",
        "squeezenett",
    ])
    .assert_code(1)
    .assert_says("squeezenet, mobilenet_v2");
    desk.sweep(&[
        "weights",
        "add",
        "trained",
        "none.safetensors",
        "--backbone",
        "squeezenet",
    ])
    .assert_code(1)
    .assert_says("there is no file `none.safetensors`");
}

#[test]
fn a_sweep_with_missing_weights_can_be_planned_but_not_run() {
    let desk = desk();
    let how = "sweep weights add trained FILE.safetensors --backbone squeezenet";
    desk.sweep(&["plan", "sweep.toml"])
        .assert_code(0)
        .assert_says(how);
    desk.run().assert_code(1).assert_says(how);
    add(&desk, "trained").assert_code(0);
    desk.run().assert_code(0);
}
