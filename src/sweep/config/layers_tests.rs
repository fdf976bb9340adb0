//! A sweep file over others and under `--set`: what lies where, and how each place is shown.

use std::fs;

use tempfile::TempDir;

use super::{Sweep, *};

const BASE: &str = r#"
[sweep]
name = "base"

[data]
dataset.glyphs = { classes = 20, test_classes = 10, per_class = 6 }

[model]
backbone = "conv4"
embedding = 16

[training]
steps = 20
sampler.m_per_class = { batch = 16, per_class = 4 }
optimizer.adam = { lr = 1e-3 }

[[method]]
name = "A, hard"
loss.contrastive = { neg_margin = 0.5 }

[[method]]
name = "B"
loss.triplet = { margin = 0.2 }
"#;

/// A folder of sweep files.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Files {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Files(folder)
    }

    fn read(&self, name: &str, sets: &[&str]) -> Result<Sweep, Diagnostic> {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        Sweep::read(&self.0.path().join(name), &sets)
    }

    fn refused(&self, name: &str, sets: &[&str]) -> String {
        let read = self.read(name, sets).map(|_| ());
        read.unwrap_err().render(false)
    }
}

fn alone(sets: &[&str]) -> Result<Sweep, Diagnostic> {
    Files::new(&[("base.toml", BASE)]).read("base.toml", sets)
}

fn refused(sets: &[&str]) -> String {
    alone(sets).map(|_| ()).unwrap_err().render(false)
}

#[track_caller]
fn shows(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part}: {message}");
    }
}

const MINE: &str = "extends = [\"base.toml\"]\n[sweep]\nname = \"mine\"\n";

#[test]
fn the_command_line_reaches_what_a_file_builds_on() {
    let files = Files::new(&[("base.toml", BASE), ("mine.toml", MINE)]);
    let sets = [
        "method.\"A, hard\".loss.contrastive.neg_margin=0.4",
        "training.steps=7",
        "method.B.loss.contrastive.neg_margin=0.3",
    ];
    let sweep = files.read("mine.toml", &sets).unwrap();
    let point = &sweep.points[0];
    let losses: Vec<&str> = point
        .methods
        .iter()
        .filter_map(|method| Some(method.table.loss.as_ref()?.key()))
        .collect();
    assert_eq!((sweep.name.as_str(), point.training.steps), ("mine", 7));
    assert_eq!(losses, ["contrastive", "contrastive"]);
}

#[test]
fn the_command_line_decides_what_a_file_builds_on() {
    let files = Files::new(&[
        ("base.toml", BASE),
        ("bare.toml", "[sweep]\nname = \"bare\"\n"),
    ]);
    let sweep = files
        .read("bare.toml", &["extends=[\"base.toml\"]"])
        .unwrap();
    assert_eq!(sweep.points[0].training.steps, 20);
}

#[test]
fn a_mistake_of_the_command_line_is_shown_as_it_was_typed() {
    shows(
        &refused(&["training.step=5"]),
        &["--set:1:1", "training.step=5", "did you mean `steps`?"],
    );
    shows(
        &refused(&["training.steps = -5"]),
        &["--set:1:18", "training.steps = -5"],
    );
    shows(
        &refused(&["sweep.folds=100"]),
        &["--set:1:13", "sweep.folds=100"],
    );
    shows(&refused(&["training.steps=[1"]), &["--set:1:"]);
    shows(
        &refused(&["training.steps="]),
        &["--set:1:16", "a value is missing"],
    );
    shows(&refused(&["a b.c=1"]), &["--set:1:1", "this is not a key"]);
    shows(
        &refused(&["method.C.loss.triplet.margin=1"]),
        &["--set:1:1", "no method named `C`"],
    );
    shows(
        &refused(&["model.embedding=8,16"]),
        &["--set 'axes.\"model.embedding\"=[8, 16]'"],
    );
}

#[test]
fn an_equals_sign_in_quotes_belongs_to_the_key() {
    let text = BASE.replace("\"B\"", "\"a = b\"");
    let files = Files::new(&[("base.toml", &text)]);
    let set = "method.\"a = b\".loss.triplet.margin=0.5";
    files.read("base.toml", &[set]).unwrap();
}

#[test]
fn an_axis_cannot_be_set_to_one_value() {
    for (axes, set, axis) in [
        (
            "\"model.embedding\" = [8, 16]",
            "model.embedding=32",
            "model.embedding",
        ),
        (
            "\"training.optimizer\" = [{ adam = {} }]",
            "training.optimizer.adam.lr=1",
            "training.optimizer",
        ),
        (
            "\"method.B.loss.triplet.margin\" = [1]",
            "method.B.loss.triplet.margin=2",
            "method.B",
        ),
    ] {
        let text = format!("{BASE}[axes]\n{axes}\n");
        let files = Files::new(&[("base.toml", &text)]);
        shows(
            &files.refused("base.toml", &[set]),
            &["is an axis", axis, "--set:1:1"],
        );
    }
    let text = format!("{BASE}[axes]\n\"model.embedding\" = [8, 16]\n");
    let files = Files::new(&[("base.toml", &text)]);
    let other = "axes.\"model.embedding\"={ range = [4, 6, 1] }";
    assert_eq!(files.read("base.toml", &[other]).unwrap().points.len(), 3);
}

#[test]
fn a_key_that_an_override_sets_again_is_warned_of() {
    let change =
        "[[override]]\nwhen = { \"training.steps\" = 9 }\nset = { \"model.embedding\" = 8 }\n";
    let text = format!("{BASE}{change}");
    let files = Files::new(&[("base.toml", &text)]);
    let sweep = files
        .read("base.toml", &["training.steps=9", "model.embedding=4"])
        .unwrap();
    let warnings: Vec<String> = sweep.warnings.iter().map(Diagnostic::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    shows(
        &warnings[0],
        &["--set:1:1", "model.embedding=4", "base.toml:26"],
    );
}

#[test]
fn an_old_spelling_of_the_command_line_is_the_key_of_the_file() {
    let text = BASE.replace("per_class = 6 }", "per_class = 6 }\ncolor = \"gray\"");
    let files = Files::new(&[("base.toml", &text)]);
    let sweep = files.read("base.toml", &["data.colour=\"rgb\""]).unwrap();
    assert_eq!(sweep.points[0].images.color, schema::Color::Rgb);
    let warning = sweep.warnings[0].to_string();
    shows(&warning, &["--set:1:1", "`colour` is renamed to `color`"]);
}

#[test]
fn a_byte_order_mark_is_nothing_in_any_file() {
    let marked = |text: &str| format!("\u{feff}{text}");
    let both = "extends = [\"base.toml\", \"steps.toml\"]\n[sweep]\nname = \"mine\"\n";
    let files = Files::new(&[
        ("base.toml", &marked(BASE)),
        ("steps.toml", &marked("[training]\nsteps = 30\n")),
        ("mine.toml", &marked(both)),
    ]);
    assert_eq!(
        files.read("mine.toml", &[]).unwrap().points[0]
            .training
            .steps,
        30
    );
    let files = Files::new(&[("base.toml", &marked("[sweep]\nnam = \"a\"\n"))]);
    shows(&files.refused("base.toml", &[]), &["base.toml:2:1"]);
}

#[test]
fn a_file_under_two_others_is_laid_once() {
    let files = Files::new(&[
        ("base.toml", BASE),
        (
            "left.toml",
            "extends = [\"base.toml\"]\n[training]\nsteps = 5\n",
        ),
        (
            "right.toml",
            "extends = [\"base.toml\"]\n[model]\nembedding = 5\n",
        ),
        ("mine.toml", "extends = [\"left.toml\", \"right.toml\"]\n"),
    ]);
    let point = files.read("mine.toml", &[]).unwrap().points.remove(0);
    assert_eq!((point.training.steps, point.model.embedding), (5, Some(5)));
}

#[test]
fn files_that_build_on_each_other_have_a_most() {
    let texts: Vec<(String, String)> = (0..50)
        .map(|at| {
            (
                format!("{at}.toml"),
                format!("extends = [\"{}.toml\"]\n", at + 1),
            )
        })
        .collect();
    let mut files: Vec<(&str, &str)> = texts
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    files.push(("50.toml", BASE));
    shows(
        &Files::new(&files).refused("0.toml", &[]),
        &["more than 32 files", "toml:1:12"],
    );
    let doubled: Vec<(String, String)> = (0..24)
        .map(|at| {
            let next = format!("\"{}.toml\"", at + 1);
            (
                format!("{at}.toml"),
                format!("extends = [{next}, {next}]\n"),
            )
        })
        .collect();
    let mut files: Vec<(&str, &str)> = doubled
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    files.push(("24.toml", BASE));
    Files::new(&files).read("0.toml", &[]).unwrap();
}

#[test]
fn a_value_of_a_range_is_shown_in_the_text_of_the_file() {
    let range = "\"training.optimizer.adam.lr\" = { linspace = [-0.5, 0.5, 3] }";
    let files = Files::new(&[("base.toml", &format!("{BASE}[axes]\n{range}\n"))]);
    shows(
        &files.refused("base.toml", &[]),
        &[range, "base.toml:25:32", "the value -0.5"],
    );
    let own_table = "[axes.\"model.embedding\"]\nrange = [8, 24, 8]\n";
    let files = Files::new(&[("base.toml", &format!("{BASE}{own_table}"))]);
    assert_eq!(files.read("base.toml", &[]).unwrap().points.len(), 3);
    let long = "[axes]\n\"model.embedding\" = { range = [1, 1000000000, 1] }\n";
    let files = Files::new(&[("base.toml", &format!("{BASE}{long}"))]);
    shows(
        &files.refused("base.toml", &[]),
        &["more than 100000 values"],
    );
}

#[test]
fn values_of_an_axis_are_compared_as_values() {
    for (axis, second) in [
        ("\"training.optimizer.adam.lr\" = [1e-3, 0.001]", "0.001"),
        ("\"training.optimizer.adam.weight_decay\" = [0, 0.0]", "0.0"),
        ("\"training.steps\" = [10, 1_0]", "1_0"),
        (
            "\"training.optimizer\" = [{ sgd = { lr = 1, momentum = 0 } }, { sgd = { momentum = 0.0, lr = 1e0 } }]",
            "{ sgd = { momentum",
        ),
        (
            "\"method.B.loss.triplet.margin\" = [0.25, 2.5e-1]",
            "2.5e-1",
        ),
        ("dataset = [\"cub200\", 'cub200']", "'cub200'"),
    ] {
        let text = BASE.replace(
            "dataset.glyphs = { classes = 20, test_classes = 10, per_class = 6 }",
            "",
        );
        let base = if axis.starts_with("dataset") {
            text
        } else {
            BASE.to_owned()
        };
        let files = Files::new(&[("base.toml", &format!("{base}[axes]\n{axis}\n"))]);
        let column = axis.rfind(second).unwrap() + 1;
        shows(
            &files.refused("base.toml", &[]),
            &["this value twice", &format!(":{column}\n")],
        );
    }
}

#[test]
fn a_zip_repeats_values_but_no_row() {
    let zip = |steps: &str| {
        let rates = "\"training.optimizer.adam.lr\" = [1e-3, 0.001, 0.01]";
        format!("{BASE}[[zip]]\n{rates}\n\"training.steps\" = {steps}\n")
    };
    let files = Files::new(&[("base.toml", &zip("[10, 20, 20]"))]);
    assert_eq!(files.read("base.toml", &[]).unwrap().points.len(), 3);
    let files = Files::new(&[("base.toml", &zip("[10, 1_0, 20]"))]);
    shows(
        &files.refused("base.toml", &[]),
        &["the same values in an earlier place", "0.001"],
    );
}

#[test]
fn all_mistakes_of_a_file_are_shown_at_once() {
    let text = BASE
        .replace("steps = 20", "stepz = \"many\"")
        .replace("optimizer.adam = { lr = 1e-3 }\n", "")
        .replace("embedding = 16", "embedding = \"16\"")
        .replace("\"conv4\"", "\"conv5\"")
        .replace("loss.triplet", "los.triplet")
        .replace("name = \"base\"", "name = 3");
    let files = Files::new(&[("base.toml", &text)]);
    let all = files.refused("base.toml", &[]);
    shows(
        &all,
        &[
            "`stepz`",
            "missing key `optimizer`",
            "\"16\"",
            "`conv5`",
            "`los`",
            "integer `3`",
        ],
    );
    assert_eq!(all.matches("error: ").count(), 6, "{all}");
}

#[test]
fn the_smallest_file_of_the_message_is_right() {
    let message = Files::new(&[("empty.toml", "")]).refused("empty.toml", &[]);
    let text = include_str!("smallest.toml");
    shows(&message, &["the sweep file is empty", "loss.triplet = {}"]);
    Files::new(&[("small.toml", text)])
        .read("small.toml", &[])
        .unwrap();
}

#[test]
fn words_of_other_programs_lead_to_those_of_this_one() {
    let hinted = |old: &str, new: &str, hint: &str| {
        assert!(BASE.contains(old), "{old}");
        let files = Files::new(&[("base.toml", &BASE.replace(old, new))]);
        let message = files.refused("base.toml", &[]);
        assert!(message.contains(hint), "{new}: {message}");
    };
    let loss = "loss.triplet = { margin = 0.2 }";
    hinted(
        loss,
        "loss.TripletMarginLoss = {}",
        "did you mean `triplet`?",
    );
    hinted(loss, "loss.InfoNCE = {}", "did you mean `nt_xent`?");
    hinted(loss, "loss = \"NTXentLoss\"", "`loss.nt_xent = {}`");
    hinted(loss, "loss = \"triplet\"", "`loss.triplet = {}`");
    hinted(
        loss,
        "loss = { _target_ = \"a.b.CircleLoss\", m = 1 }",
        "`loss.circle = { m = 1 }`",
    );
    hinted(
        loss,
        "loss = { name = \"triplet\", margin = 1 }",
        "`loss.triplet = { margin = 1 }`",
    );
    hinted(
        loss,
        "loss.triplet = { margin = { values = [0.1, 0.2] } }",
        "{ grid = [0.1, 0.2] }",
    );
    hinted(
        loss,
        "loss.triplet = { margin = { min = 0, max = 1 } }",
        "{ uniform = [0, 1] }",
    );
    hinted(
        loss,
        "loss.triplet = { margin = [0.1, 0.2] }",
        "\"method.B.loss.triplet.margin\" = [0.1, 0.2]",
    );
    hinted("steps = 20", "epochs = 20", "did you mean `steps`?");
    hinted(
        "steps = 20",
        "steps = 20\nbatch_size = 8",
        "write `batch = 8` between the braces of `sampler",
    );
    hinted(
        "steps = 20",
        "steps = 20\nlr = 8",
        "write `lr = 8` between the braces of `optimizer.adam = { .. }`",
    );
    hinted("steps = 20", "steps = 2e1", "write 20");
    hinted("steps = 20", "steps = \"20\"", "write 20, without quotes");
    hinted("steps = 20", "steps = \"${steps}\"", "no variables");
    hinted(
        "steps = 20",
        "steps = 20\nschedule = \"CosineAnnealingLR\"",
        "`schedule.cosine = {}`",
    );
    hinted(
        "optimizer.adam =",
        "optimizer.AdamW =",
        "did you mean `adam_w`?",
    );
    hinted("lr = 1e-3", "wd = 1e-3", "did you mean `weight_decay`?");
    hinted(
        "[training]",
        "[resources]\ndevice = \"gpu\"\n[training]",
        "did you mean `cuda`?",
    );
    hinted(
        "\n[sweep]",
        "seeds = 3\n[sweep]",
        "did you mean `seeds` of [sweep]?",
    );
    hinted(
        "dataset.glyphs = { classes = 20, test_classes = 10, per_class = 6 }",
        "dataset = \"birds\"",
        "dataset.own = { name =",
    );
    hinted(
        "dataset.glyphs = { classes = 20, test_classes = 10, per_class = 6 }",
        "dataset.own = \"birds\"",
        "`own = { name = \"birds\" }`",
    );
    hinted(BASE, "sweep:\n  name: a\n", "TOML");
}

#[test]
fn hints_about_the_command_line_can_be_pasted() {
    let files = Files::new(&[("base.toml", BASE)]);
    for (set, hint) in [
        (
            "model.backbone=resnet18",
            "write `--set 'model.backbone.resnet18={}'`",
        ),
        (
            "model.embedding=[32, 64]",
            "write --set 'axes.\"model.embedding\"=[32, 64]'",
        ),
        ("lr=0.1", "write --set training.optimizer.adam.lr=0.1"),
        (
            "loss.triplet.margin=0.1",
            "write --set 'method.*.loss.triplet.margin=0.1'",
        ),
    ] {
        let message = files.refused("base.toml", &[set]);
        assert!(message.contains(hint), "{message}");
    }
}

#[test]
fn a_key_of_every_method_is_assigned_where_it_can_be() {
    let files = Files::new(&[("base.toml", BASE)]);
    let sweep = files
        .read("base.toml", &["method.*.loss.triplet.margin=0.7"])
        .unwrap();
    let methods = sweep.points.iter().flat_map(|point| &point.methods);
    let margins = methods.filter_map(|method| match &method.table.loss {
        Some(schema::Loss::Triplet(triplet)) => Some(triplet.margin),
        _ => None,
    });
    assert!(margins.clone().count() > 0 && margins.into_iter().all(|margin| margin == 0.7));
    let refused = files.refused("base.toml", &["method.*.memory.xbm.size=64"]);
    shows(&refused, &["no method can have `memory.xbm.size`", "--set"]);
}
