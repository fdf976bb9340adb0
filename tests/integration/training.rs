//! Training with the real trainer.

use std::{fs, io::Write, path::Path, thread, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

use crate::desk::{Desk, Done};

/// Easy glyphs and a small network: each run takes a few seconds.
const LEARNING: &str = r#"
[sweep]
name = "small"
seeds = 2

[data]
dataset.glyphs = { classes = 60, test_classes = 40, per_class = 10 }

[model]
backbone = "conv4"
embedding = 32

[training]
steps = 200
sampler.m_per_class = { batch = 32 }
optimizer.adam = { lr = 2e-3 }

[[method]]
name = "Untrained"
baseline = "untrained"

[[method]]
name = "Contrastive + XBM"
loss.contrastive = { neg_margin = 0.5 }
memory.xbm = { size = 128, start_step = 10 }

[resources]
device = "cpu"
checkpoint_seconds = 0

[report]
metrics = ["recall@1", "map@r"]
"#;

/// Returns the mean MAP@R of a method in percent, from the CSV table.
fn map_at_r(desk: &Desk, method: &str) -> f64 {
    let csv = desk.read("reports/small/table.csv");
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let column = lines
        .next()
        .unwrap()
        .iter()
        .position(|&name| name == "map@r")
        .unwrap();
    let line = lines
        .find(|line| line[1] == method)
        .unwrap_or_else(|| panic!("no {method} in {csv}"));
    100.0 * line[column].parse::<f64>().unwrap()
}

#[test]
fn training_improves_retrieval_and_shuffled_labels_do_not() {
    let desk = Desk::real(LEARNING);
    desk.run().assert_code(0).assert_says("Glyphs (synthetic)");
    let (untrained, trained) = (
        map_at_r(&desk, "Untrained"),
        map_at_r(&desk, "Contrastive + XBM"),
    );
    assert!(
        trained > 1.5 * untrained,
        "{trained} against {untrained} untrained"
    );

    desk.sweep(&["run", "sweep.toml", "--set", "training.labels=shuffled"])
        .assert_code(0)
        .assert_says("shuffled labels");
    let shuffled = map_at_r(&desk, "Contrastive + XBM");
    assert!(
        shuffled <= untrained,
        "{shuffled} with shuffled labels, {untrained} untrained"
    );
}

#[test]
fn killed_training_ends_with_the_same_bits() {
    let sweep = LEARNING
        .replace("seeds = 2", "seeds = 1\nfolds = 2")
        .replace("steps = 200", "steps = 24\nvalidate_every = 8");
    let undisturbed = Desk::real(&sweep);
    undisturbed.run().assert_code(0);

    let desk = Desk::real(&sweep);
    for round in 0u64..6 {
        let mut child = desk.start();
        thread::sleep(Duration::from_millis(900 + 457 * round % 1100));
        let victims = if round % 2 == 0 {
            vec![child.id().cast_signed()]
        } else {
            desk.trainers()
        };
        for pid in victims {
            // It may have ended in this very moment.
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
        let _ = kill_process(
            Pid::from_raw(child.id().cast_signed()).unwrap(),
            Signal::KILL,
        );
        child.wait().unwrap();
        desk.assert_no_orphans();
    }
    desk.run().assert_code(0);
    assert_eq!(desk.table(), undisturbed.table());
    assert_eq!(
        desk.in_runs("model.safetensors"),
        undisturbed.in_runs("model.safetensors")
    );
    assert!(
        desk.finished().values().all(|&times| times == 1),
        "{:?}",
        desk.finished()
    );
}

#[test]
fn the_real_omniglot_is_added_and_a_damaged_image_in_it_is_reported() {
    let archives = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/omniglot");
    if !archives.is_dir() {
        eprintln!(
            "skipped: the Omniglot archives are not in `{}`",
            archives.display()
        );
        return;
    }
    let sweep = LEARNING.replace(
        "dataset.glyphs = { classes = 60, test_classes = 40, per_class = 10 }",
        "dataset = \"omniglot\"",
    );
    let desk = Desk::real(&sweep);
    let zips = ["images_background.zip", "images_evaluation.zip"]
        .map(|name| archives.join(name).display().to_string());
    desk.sweep(&["data", "add", "omniglot", &zips[0]])
        .assert_code(1)
        .assert_says("images_evaluation");
    desk.sweep(&["data", "add", "omniglot", &zips[0], &zips[1]])
        .assert_code(0)
        .assert_says("32460 images");

    let image = desk
        .path("data/omniglot/files/images_evaluation/characters_0951/character0965/0965_07.png");
    let bytes = fs::read(&image).unwrap();
    fs::write(&image, &bytes[..bytes.len() / 2]).unwrap();
    desk.run().assert_code(2).assert_says("0965_07.png");
    desk.sweep(&["status", "sweep.toml"])
        .assert_says("0965_07.png");
    fs::write(&image, bytes).unwrap();
    let plan = desk.sweep(&["plan", "sweep.toml"]).assert_code(0);
    assert!(
        !plan.out.contains("failed before"),
        "the mended data set has another fingerprint: {}",
        plan.out
    );
}

#[test]
fn a_file_that_is_not_an_archive_is_refused() {
    let desk = Desk::real(LEARNING);
    let add = |name: &str| -> Done { desk.sweep(&["data", "add", "omniglot", name]) };
    add("nowhere.zip")
        .assert_code(1)
        .assert_says("there is no file or folder `nowhere.zip`");
    fs::File::create(desk.path("text.zip"))
        .unwrap()
        .write_all(b"no zip at all")
        .unwrap();
    add("text.zip").assert_code(1).assert_says("text.zip");
    assert!(!desk.path("data/omniglot").exists());
    desk.sweep(&["data", "add", "omniglott", "text.zip"])
        .assert_code(1)
        .assert_says("did you mean `omniglot`");
}

#[test]
fn the_doctor_finds_the_same_bits_on_the_cpu() {
    let desk = Desk::real(LEARNING);
    desk.sweep(&["doctor"])
        .assert_code(0)
        .assert_says("libtorch_cpu.so")
        .assert_says("free disk")
        .assert_says("available; resnet50");
    let told = desk.sweep(&["doctor", "--determinism"]).assert_code(0).out;
    assert!(
        told.contains("stopped and continued    the same bits") && !told.contains("DIFFERENT"),
        "{told}"
    );
    assert!(told.contains("the same bits, four times"), "{told}");
}
