use std::fs;

use schema::{Background, Metric};

use super::*;
use crate::search::SearchRange;

const RIGHT: &str = r#"[sweep]
name = "test"

[data]
dataset = "omniglot"

[model]
backbone = "conv4"
embedding = 64

[training]
steps = 10
sampler.m_per_class = { batch = 8, per_class = 4 }
optimizer.adam = { lr = 1e-3 }

[[method]]
name = "Triplet"
loss.triplet = { margin = 0.2 }
"#;

fn parse(text: &str) -> Result<Sweep, Diagnostic> {
    Sweep::parse(
        Path::new("test.toml"),
        text,
        &[],
        "sweep run test.toml".to_owned(),
    )
}

fn with(overrides: &[&str]) -> Result<Sweep, Diagnostic> {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    Sweep::parse(Path::new("test.toml"), RIGHT, &overrides, String::new())
}

/// Replaces the one occurrence of `old`.
fn edited(old: &str, new: &str) -> String {
    assert_eq!(RIGHT.matches(old).count(), 1, "{old}");
    RIGHT.replace(old, new)
}

#[test]
fn a_right_file_has_one_point_one_seed_and_no_folds() {
    let sweep = parse(RIGHT).unwrap();
    assert_eq!(
        (sweep.points.len(), sweep.seeds, sweep.folds),
        (1, vec![0], vec![None])
    );
    assert_eq!(sweep.points[0].dataset, Dataset::Omniglot);
    let headings: Vec<String> = sweep
        .report
        .metrics(&sweep.points[0].dataset)
        .iter()
        .map(|metric| metric.heading())
        .collect();
    assert_eq!(headings, ["R@1", "R@2", "R@4", "R@8", "P@1", "RP", "MAP@R"]);
}

#[test]
fn each_data_set_is_measured_as_papers_measure_it_unless_the_file_says_otherwise() {
    let recalls = |dataset: &Dataset| {
        let is_recall = |metric: &Metric| match metric {
            Metric::RecallAt(k) => Some(*k),
            _ => None,
        };
        ReportTable::default()
            .metrics(dataset)
            .iter()
            .filter_map(is_recall)
            .collect::<Vec<u32>>()
    };
    assert_eq!(recalls(&Dataset::Cub200), [1, 2, 4, 8, 16, 32]);
    assert_eq!(recalls(&Dataset::Sop), [1, 10, 100, 1000]);
    assert_eq!(recalls(&Dataset::InShop), [1, 10, 20, 30, 40, 50]);
    let given = ReportTable {
        metrics: Some(vec![Metric::MapAtR]),
        ..ReportTable::default()
    };
    assert_eq!(given.metrics(&Dataset::Cub200), [Metric::MapAtR]);
}

#[test]
fn a_sweep_of_baselines_alone_needs_no_training() {
    let baselines = r#"
        [sweep]
        name = "test"
        [data]
        dataset.glyphs = { classes = 8, test_classes = 4 }
        [model]
        backbone = "conv4"
        [[method]]
        name = "Pixels"
        baseline = "pixels"
    "#;
    let sweep = parse(baselines).unwrap();
    assert!(!sweep.points[0].trains());
    let trained = format!("{baselines}[[method]]\nname = \"A\"\nloss.triplet = {{}}\n");
    let message = parse(&trained).unwrap_err().to_string();
    assert!(message.contains("missing key `training`"), "{message}");
    // What is written is checked all the same.
    let steps =
        format!("{baselines}[training]\nsteps = 0\nsampler.random = {{}}\noptimizer.sgd = {{}}\n");
    assert!(parse(&steps).is_err());
}

#[test]
fn a_mistake_is_shown_with_its_line_a_caret_and_a_way_out() {
    let message = parse(&edited("embedding = 64", "embeding = 64"))
        .unwrap_err()
        .render(false);
    let expected = "\
error: unknown key `embeding`
 --> test.toml:9:1
  |
9 | embeding = 64
  | ^^^^^^^^
  |
hint: did you mean `embedding`?";
    assert_eq!(message, expected);
}

#[test]
fn every_mistake_has_its_message_and_its_place() {
    let cases = [
        (
            "dataset = \"omniglot\"",
            "dataset = \"omniglto\"",
            "unknown name `omniglto`, expected one of `glyphs`, `omniglot`",
            "5:11",
        ),
        (
            "steps = 10",
            "steps = \"10\"",
            "found the string \"10\", expected an integer",
            "12:9",
        ),
        (
            "steps = 10",
            "steps = -1",
            "found the integer `-1`, expected an integer",
            "12:9",
        ),
        (
            "steps = 10",
            "steps = 0",
            "nothing is trained in 0 steps",
            "12:9",
        ),
        (
            "steps = 10",
            "steps = 10\nsteps = 20",
            "this is already defined above",
            "13:1",
        ),
        ("steps = 10", "steps = ", "a value is missing", "12:9"),
        (
            "loss.triplet",
            "loss.tripel",
            "unknown name `tripel`",
            "18:6",
        ),
        (
            "margin = 0.2",
            "margin = nan",
            "expected a finite number",
            "18:27",
        ),
        (
            "margin = 0.2",
            "margn = 0.2",
            "unknown key `margn`, expected one of `margin`, `smooth`, `swap`",
            "18:18",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "",
            "the method has no loss",
            "17:8",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "baseline = \"pixels\"\nmemory.xbm = { size = 64 }",
            "a baseline is not trained, so it has no `memory`",
            "19:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nmemory.xbm = { size = 20000 }",
            "a run trains on only 19280 images",
            "19:23",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nmemory.xbm = { size = 64, start_step = 10 }",
            "the memory would never be used",
            "19:40",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nmemory.xbm = {}",
            "missing key `size`",
            "19:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nmemory.xbm = { size = 64, ratio = 0.5 }",
            "not both",
            "19:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nmemory.xbm = { ratio = 1.5 }",
            "expected a number above 0 and at most 1",
            "19:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nmemory.xbm = { size = 64, preset = \"refrence\" }",
            "unknown name `refrence`, expected `reference` or `pml`",
            "19:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nmemory.xbm = { size = 64, warp = \"tail\" }",
            "unknown key `warp`, expected",
            "19:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nmemory.xbm = { size = 64, key = \"unique\", wrap = \"tail\" }",
            "no batch wraps",
            "19:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nminer.hard_aware = { share = 0 }",
            "expected a number above 0 and at most 1",
            "19:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nminer.angular = { degrees = 90 }",
            "expected a number of at least 0 and below 90",
            "19:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nminer.distance_weighted = { cutoff = 1.5 }",
            "above cutoff = 1.5",
            "19:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nminer.batch_easy_hard = { positive = \"semi_hard\" }",
            "cannot both be semi-hard",
            "19:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nminer.batch_easy_hard = { positive = \"all\", negative = \"semi_hard\" }",
            "cannot be used with `all`",
            "19:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nminer.batch_easy_hard = { negative_range = [1, 0.5] }",
            "no number is in the range from 1 to 0.5",
            "19:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.triplet = {}\nminer.uniform_histogram = { bins = 0 }",
            "expected a number of at least 1 and at most 100000",
            "19:",
        ),
        (
            "m_per_class = { batch = 8, per_class = 4 }",
            "straddling = { batch = 4, per_class = 4 }",
            "more than one class",
            "13:",
        ),
        (
            "m_per_class = { batch = 8, per_class = 4 }",
            "fixed_pairs = { batch = 9 }",
            "not a multiple of per_class = 2",
            "13:",
        ),
        (
            "m_per_class = { batch = 8, per_class = 4 }",
            "random = { batch = 20000 }",
            "a run trains on only 19280",
            "13:",
        ),
        (
            "m_per_class = { batch = 8, per_class = 4 }",
            "class_balanced = { batch = 1 }",
            "at least 2 images",
            "13:",
        ),
        (
            "m_per_class = { batch = 8, per_class = 4 }",
            "hierarchical = { batch = 20 }",
            "not a multiple of super_classes * per_class = 2 * 4",
            "13:",
        ),
        (
            "batch = 8",
            "batch = 10",
            "10 is not a multiple of per_class = 4",
            "13:33",
        ),
        (
            "per_class = 4",
            "per_class = 1",
            "positive pairs only with at least 2 images",
            "13:48",
        ),
        (
            "batch = 8, per_class = 4",
            "batch = 42, per_class = 21",
            "a class has only 20 images",
            "13:",
        ),
        (
            "batch = 8, per_class = 4",
            "batch = 4000, per_class = 4",
            "a batch of 1000 classes, but a run trains on only 964",
            "13:33",
        ),
        ("lr = 1e-3", "lr = 0", "expected a number above 0", "14:25"),
        (
            "optimizer.adam = { lr = 1e-3 }",
            "optimizer.rms_prop = { alpha = 1 }",
            "expected a number of at least 0 and below 1",
            "14:32",
        ),
        (
            "optimizer.adam = { lr = 1e-3 }",
            "optimizer.adam = {}\nloss_optimizer.adam_w = { betas = [0.9, 1.0] }",
            "expected a number of at least 0 and below 1",
            "15:",
        ),
        (
            "optimizer.adam = { lr = 1e-3 }",
            "optimizer.adam = {}\nloss_optimizer.rms_prop = { lr = 1e-3 }",
            "no method has a loss with parameters of its own",
            "15:",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.margin = { nu = -1 }",
            "expected a number of at least 0",
            "18:22",
        ),
        (
            "loss.triplet = { margin = 0.2 }",
            "loss.proxy_anchor = { alpha = 0 }",
            "a number above 0",
            "18:31",
        ),
        (
            "name = \"test\"",
            "name = \"a/b\"",
            "the name of a sweep becomes a folder",
            "2:8",
        ),
        (
            "name = \"test\"",
            "name = \"test\"\nseeds = []",
            "the list of seeds is empty",
            "3:9",
        ),
        (
            "name = \"test\"",
            "name = \"test\"\nseeds = [1, 1]",
            "a seed is listed twice",
            "3:9",
        ),
        (
            "name = \"test\"",
            "name = \"test\"\nfolds = 1",
            "at least 2 folds",
            "3:9",
        ),
        (
            "name = \"test\"",
            "name = \"test\"\nfolds = { odd = 4 }",
            "unknown",
            "3:",
        ),
        (
            "name = \"test\"",
            "name = \"test\"\nfolds.reality_check = 1",
            "at least 2 folds",
            "3:",
        ),
        (
            "embedding = 64",
            "embedding = 64\n[axes]\n\"model.embedding\" = []",
            "has no values",
            "11:21",
        ),
        (
            "embedding = 64",
            "embedding = 64\n[axes]\n\"model.embedding\" = 3",
            "needs a list of values",
            "11:21",
        ),
        (
            "embedding = 64",
            "embedding = 64\n[axes]\n\"model.embedding\" = [3, 0]",
            "at least 1 dimension",
            "11:25",
        ),
        (
            "embedding = 64",
            "embedding = 64\n[axes]\n\"model.embeding\" = [3]",
            "unknown key `embeding`",
            "11:1",
        ),
        (
            "embedding = 64",
            "embedding = 64\n[axes]\n\"resources.threads\" = [3]",
            "`resources.threads` cannot be an axis",
            "11:1",
        ),
        (
            "embedding = 64",
            "embedding = 64\n[report]\nmetrics = [\"recall@0\"]",
            "unknown metric `recall@0`",
            "11:12",
        ),
    ];
    for (old, new, message, place) in cases {
        let shown = parse(&edited(old, new)).expect_err(new).render(false);
        assert!(shown.contains(message), "{new}: {shown}");
        assert!(
            shown.contains(&format!("test.toml:{place}")),
            "{new}: {shown}"
        );
    }
}

#[test]
fn axes_multiply_and_the_data_set_is_no_setting() {
    let text = edited(
        "embedding = 64",
        "[axes]\n\"model.embedding\" = [32, 64]\ndataset = [\"omniglot\", { glyphs = { classes = 10, test_classes = 5 } }]",
    );
    let sweep = parse(&text).unwrap();
    assert_eq!(sweep.axes, ["model.embedding", "data.dataset"]);
    let points: Vec<_> = sweep
        .points
        .iter()
        .map(|point| (point.dataset.name(), point.settings[0].value.as_str()))
        .collect();
    assert_eq!(
        points,
        [
            ("omniglot", "32"),
            ("glyphs", "32"),
            ("omniglot", "64"),
            ("glyphs", "64")
        ]
    );
    assert!(sweep.points.iter().all(|point| point.settings.len() == 1));
}

#[test]
fn overrides_come_before_everything_else_and_are_shown_in_their_place() {
    let sweep = with(&[
        "training.steps=99",
        "method.Triplet.loss.triplet.margin=0.5",
        "sweep.name=other",
        "sweep.seeds=[3, 4]",
    ])
    .unwrap();
    assert_eq!(
        (
            sweep.points[0].training.steps,
            sweep.name.as_str(),
            sweep.seeds
        ),
        (99, "other", vec![3, 4])
    );
    assert_eq!(
        sweep.points[0].methods[0].table.loss,
        Some(schema::Loss::Triplet(schema::Triplet {
            margin: 0.5,
            ..schema::Triplet::default()
        }))
    );
    let wrong = with(&["training.steps=no"]).unwrap_err().render(false);
    assert!(
        wrong.contains("training.steps=no") && wrong.contains("--set:1:16"),
        "{wrong}"
    );
    let unknown = with(&["method.Contrastive.loss.triplet.margin=1"])
        .unwrap_err()
        .render(false);
    assert!(
        unknown.contains("there is no method named `Contrastive`: there are `Triplet`"),
        "{unknown}"
    );
    assert!(
        with(&["training.steps"])
            .unwrap_err()
            .render(false)
            .contains("expected key=value")
    );
}

/// Returns the files of a folder of this project.
pub(super) fn files_in(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).collect()
}

#[test]
fn the_sweeps_that_come_with_the_program_are_right() {
    for path in files_in("sweeps") {
        Sweep::read(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn the_complete_file_of_the_documentation_has_two_points_three_seeds_and_four_folds() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sweep-file.md");
    let page = fs::read_to_string(page).unwrap();
    let block = page
        .split("```toml")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let sweep = parse(block).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (sweep.points.len(), sweep.seeds.len(), sweep.folds.len()),
        (2, 3, 4)
    );
}

#[test]
fn a_missing_file_is_named_and_its_likely_name_suggested() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("first");
    let message = || Sweep::read(&path, &[]).unwrap_err().render(false);
    let (none, named) = (message(), path.display().to_string());
    assert!(none.contains(&named) && !none.contains("is it"), "{none}");
    fs::write(path.with_extension("toml"), RIGHT).unwrap();
    let near = message();
    assert!(near.contains(&format!("is it `{named}.toml`?")), "{near}");
}

#[test]
fn combinations_that_make_no_sense_are_refused_with_their_place() {
    let cases = [
        (
            "loss.proxy_anchor = {}\nmemory.xbm = { size = 64 }",
            "compares images with classes",
            "19:",
        ),
        (
            "loss.cos_face = {}\ndistance = \"euclidean\"",
            "`cos_face` is not defined on this distance: choose one of `cosine`",
            "19:12",
        ),
        (
            "loss.clustering = {}\nminer.semi_hard = {}",
            "cannot use a miner",
            "19:",
        ),
        (
            "loss.triplet = {}\nloss_optimizer.adam = {}",
            "`triplet` has no parameters of its own",
            "19:",
        ),
        (
            "loss.triplet = {}\ndistance = { lp = 0.5 }",
            "expected a number of at least 1",
            "19:",
        ),
        (
            "loss.triplet = {}\nreduction = { threshold = { low = 1, high = 0 } }",
            "no term counts",
            "19:",
        ),
        (
            "loss.nt_xent = { temperature = 0.0 }",
            "expected a number above 0",
            "18:32",
        ),
        ("loss.sum = []", "the sum is empty", "18:"),
        (
            "loss.sum = [{ loss.triplet = {} }]\nminer.semi_hard = {}",
            "each loss has its own `miner`",
            "19:",
        ),
        (
            "loss.triplet = {}\nsampler.m_per_class = { batch = 8, per_class = 1 }",
            "positive pairs only with",
            "19:",
        ),
        (
            "baseline = \"pixels\"\ndistance = \"cosine\"",
            "a baseline is not trained",
            "19:12",
        ),
        (
            "loss.hierarchical_triplet = { tree = \"survey\" }",
            "write `survey.every.epochs = 1` in [training]",
            "18:",
        ),
        (
            "loss.triplet = {}\nsampler.anchor_neighbor = { batch = 32 }",
            "write `survey.every.epochs = 1` in [training]",
            "19:",
        ),
        (
            "loss.triplet = {}\nsampler.anchor_neighbor = { batch = 30 }",
            "not a multiple of (1 + neighbors) * per_class",
            "19:",
        ),
        (
            "loss.triplet = {}\nsampler.nearest_images = { batch = 32 }",
            "write `survey.every.epochs = 1` in [training]",
            "19:",
        ),
        (
            "loss.triplet = {}\nsampler.nearest_images = { batch = 30 }",
            "not a multiple of 2 + neighbors = 4",
            "19:",
        ),
        (
            "loss.triplet = {}\nsampler.nearest_images = { batch = 32, among = 1 }",
            "neighbors = 2 images cannot be chosen of 1",
            "19:",
        ),
        (
            "loss.whatever = {}",
            "known are contrastive, contrastive_dm",
            "18:6",
        ),
    ];
    for (method, message, place) in cases {
        let shown = parse(&edited("loss.triplet = { margin = 0.2 }", method))
            .expect_err(method)
            .render(false);
        assert!(shown.contains(message), "{method}: {shown}");
        assert!(
            shown.contains(&format!("test.toml:{place}")),
            "{method}: {shown}"
        );
    }
}

#[test]
fn a_training_that_makes_no_sense_is_refused_with_its_place() {
    let optimizer = "optimizer.adam = { lr = 1e-3 }";
    for (line, expected) in [
        ("schedule.plateau = {}", "there is nothing to validate on"),
        ("patience = 3", "there is nothing to validate on"),
        ("select = \"recall@1\"", "there is nothing to validate on"),
        (
            "schedule.step = { every = 3 }",
            "write `every = { steps = 3 }`",
        ),
        ("schedule.step = { every.steps = 0 }", "expected at least 1"),
        (
            "schedule.multi_step = { at.epochs = [3, 3] }",
            "each later than the one before",
        ),
        (
            "schedule.cosine = { floor = 1.0 }",
            "of at least 0 and below 1",
        ),
        (
            "warm_up = { over.steps = 10, from = 2.0 }",
            "expected a number from 0 to 1",
        ),
        ("warm_up = { from = 0.1 }", "missing key `over`"),
        ("freeze_trunk.epochs = 0", "expected at least 1"),
        (
            "survey.every.epochs = 1",
            "no method depends on surveys; these do: `sampler.anchor_neighbor`, `sampler.nearest_images`, \
             `loss.hierarchical_triplet` with `tree = \"survey\"`, `links.divide`",
        ),
        ("clip.norm = 0", "expected a number above 0"),
        ("clip = { norm = 1.0, value = 1.0 }", ""),
        ("layer_decay = 0.0", "above 0 and at most 1"),
        ("layer_decay = 1.5", "above 0 and at most 1"),
        ("weight_decay_on = \"norms\"", "expected"),
        ("ema.decay = 1.0", "above 0 and below 1"),
        ("accumulate = 0", "1 to 10000 batches"),
        ("chunk = 0", "at least 1 image"),
        ("epoch_steps = 0", "at least 1 step"),
        ("guards.collapse = 2.0", "1 for never"),
        (
            "head_optimizer.sgd = { nesterov = true }",
            "it needs `momentum` above 0",
        ),
        (
            "head_optimizer.sgd = { lr = 0 }",
            "expected a number above 0",
        ),
    ] {
        let found = parse(&edited(optimizer, &format!("{optimizer}\n{line}"))).unwrap_err();
        let shown = found.to_string();
        assert!(
            shown.contains(expected) && shown.contains("test.toml:15:"),
            "{line}\n{shown}"
        );
    }
    let without_validation = edited("name = \"test\"", "name = \"test\"\nfolds = 4")
        .replace(optimizer, "optimizer.adam = {}\npatience = 3");
    assert!(
        parse(&without_validation)
            .unwrap_err()
            .to_string()
            .contains("it counts validations")
    );
    let headless = edited("embedding = 64\n", "")
        .replace(optimizer, "optimizer.adam = {}\nfreeze_trunk.steps = 1");
    assert!(
        parse(&headless)
            .unwrap_err()
            .to_string()
            .contains("the model has no head")
    );
}

#[test]
fn a_survey_is_checked_where_a_method_depends_on_it() {
    let surveyed = |line: &str| {
        let optimizer = "optimizer.adam = { lr = 1e-3 }";
        let text = edited(optimizer, &format!("{optimizer}\n{line}"));
        parse(&text.replace(
            "loss.triplet = { margin = 0.2 }",
            "loss.hierarchical_triplet.tree = \"survey\"",
        ))
    };
    surveyed("survey.every.epochs = 1").unwrap();
    surveyed("survey = { every.steps = 50, per_class = 2 }").unwrap();
    for (line, expected) in [
        ("survey.every.epochs = 0", "expected at least 1"),
        (
            "survey = { every.steps = 5, per_class = 1 }",
            "at least 2 images",
        ),
        ("survey = { per_class = 2 }", "missing key `every`"),
    ] {
        let shown = surveyed(line).unwrap_err().to_string();
        assert!(
            shown.contains(expected) && shown.contains("test.toml:15:"),
            "{line}\n{shown}"
        );
    }
}

#[test]
fn a_sampler_that_searches_all_images_has_them_all_surveyed() {
    let text = edited(
        "optimizer.adam = { lr = 1e-3 }",
        "optimizer.adam = { lr = 1e-3 }\nsurvey = { every.steps = 50, per_class = 2 }",
    );
    let method = "loss.triplet = { margin = 0.2 }\nsampler.nearest_images = { batch = 32 }";
    let text = text.replace("loss.triplet = { margin = 0.2 }", method);
    let shown = parse(&text).unwrap_err().to_string();
    assert!(
        shown.contains("`sampler.nearest_images` needs all images surveyed: remove `per_class`")
            && shown.contains("test.toml:15:"),
        "{shown}"
    );
    parse(&text.replace(", per_class = 2", "")).unwrap();
}

#[test]
fn everything_about_training_can_be_written() {
    let lines = r#"optimizer.sgd = { lr = 0.1, momentum = 0.9, nesterov = true }
head_optimizer.adam_w = { lr = 1e-3, amsgrad = true }
schedule.multi_step = { at.epochs = [30, 70], factor = 0.3 }
warm_up = { over.steps = 100, from = 0.01 }
freeze_trunk.epochs = 1
epoch_steps = 100
clip.value = 10
layer_decay = 0.75
weight_decay_on = "matrices"
ema = { decay = 0.99, warm_up = true }
accumulate = 2
chunk = 4
validate_every = 100
select = "precision@1"
patience = 9
guards = { dead_steps = 0, collapse = 1.0 }"#;
    let text = edited("optimizer.adam = { lr = 1e-3 }", lines);
    parse(&text.replace("name = \"test\"", "name = \"test\"\nfolds = 4")).unwrap();
}

#[test]
fn each_loss_of_a_sum_is_checked_as_if_it_stood_alone() {
    let cases = [
        (
            "loss.triplet = { margin = inf }",
            "",
            "expected a finite number",
            "18:60",
        ),
        (
            "loss.contrastive = {}",
            "weight = nan",
            "expected a number above 0",
            "18:66",
        ),
        (
            "loss.contrastive = {}",
            "distance = { lp = 0.5 }",
            "expected a number of at least 1",
            "18:",
        ),
        (
            "loss.contrastive = {}",
            "reduction = { threshold = { low = 1, high = 0 } }",
            "no term counts",
            "18:",
        ),
        (
            "loss.contrastive = {}",
            "regularizer = { lp_norm = -1 }",
            "expected a number of at least 0",
            "18:",
        ),
        (
            "loss.contrastive = {}",
            "regularizer = { lp_norm = 1 }",
            "penalizes the lengths of embeddings, which are all one",
            "18:",
        ),
        (
            "loss.contrastive = {}",
            "miner.semi_hard = { margin = -1 }",
            "expected a number above 0",
            "18:",
        ),
        (
            "loss.cos_face = {}",
            "miner.hard_aware = { share = 2 }",
            "at most 1",
            "18:",
        ),
        (
            "loss.contrastive = {}",
            "miner.hard = { distance = { lp = 0 } }",
            "expected a number of at least 1",
            "18:",
        ),
        (
            "loss.cos_face = {}",
            "distance = \"euclidean\"",
            "not defined on this distance",
            "18:",
        ),
        (
            "loss.clustering = {}",
            "miner.semi_hard = {}",
            "cannot use a miner",
            "18:",
        ),
        (
            "loss.sum = [{ loss.triplet = {} }]",
            "",
            "a sum within a sum",
            "18:",
        ),
    ];
    let with = |loss: &str, chosen: &str, memory: &str| {
        let separator = if chosen.is_empty() { "" } else { ", " };
        let sum =
            format!("loss.sum = [{{ loss.nca = {{}} }}, {{ {loss}{separator}{chosen} }}]{memory}");
        parse(&edited("loss.triplet = { margin = 0.2 }", &sum)).map_err(|error| error.render(false))
    };
    for (loss, chosen, message, place) in cases {
        let shown = with(loss, chosen, "").expect_err(chosen);
        assert!(shown.contains(message), "{chosen}: {shown}");
        assert!(
            shown.contains(&format!("test.toml:{place}")),
            "{chosen}: {shown}"
        );
    }
    let shown = with("loss.cos_face = {}", "", "\nmemory.xbm = { size = 64 }").unwrap_err();
    assert!(
        shown.contains("cannot use a memory of images") && shown.contains("test.toml:18:"),
        "{shown}"
    );
    let right = "miner.hard_aware = {}, reduction = \"sum\", regularizer = { zero_mean = 0.1 }, weight = 0.5";
    with(
        "loss.contrastive = {}",
        right,
        "\nmemory.xbm = { size = 64 }",
    )
    .unwrap();
}

#[test]
fn a_loss_of_classes_may_have_one_image_of_each() {
    let method = "loss.arc_face = {}\nsampler.m_per_class = { batch = 32, per_class = 1 }\nloss_optimizer.rms_prop = { lr = 1e-3 }";
    let sweep = parse(&edited("loss.triplet = { margin = 0.2 }", method)).unwrap();
    assert!(sweep.points[0].methods[0].table.sampler.is_some());
}

const AXES: &str = r#"
[axes]
dataset = ["omniglot", { glyphs = { classes = 40, test_classes = 20 } }]
"model.embedding" = [32, 64]
"#;

/// `RIGHT` with two data sets, two widths and more.
fn refined(more: &str) -> Sweep {
    parse(&format!("{RIGHT}{AXES}{more}")).unwrap_or_else(|error| panic!("{error}"))
}

/// Data set and further settings of each point.
fn settings(sweep: &Sweep) -> Vec<String> {
    let values = |settings: &[report::Setting]| {
        settings
            .iter()
            .map(|setting| setting.value.clone())
            .collect::<Vec<_>>()
    };
    sweep
        .points
        .iter()
        .map(|point| {
            format!(
                "{} {}",
                point.dataset.name(),
                values(&point.settings).join(" ")
            )
        })
        .collect()
}

#[test]
fn keys_of_a_zip_vary_together_and_multiply_with_the_axes() {
    let text = format!(
        "{RIGHT}\n[axes]\n\"data.image_size\" = [28, 56]\n[[zip]]\n\"model.embedding\" = [8, 16]\n\"training.steps\" = [5, 6]\n"
    );
    let sweep = parse(&text).unwrap();
    assert_eq!(
        settings(&sweep),
        [
            "omniglot 28 8 5",
            "omniglot 28 16 6",
            "omniglot 56 8 5",
            "omniglot 56 16 6"
        ]
    );
    assert_eq!(
        (
            sweep.points[3].images.size.short_side(),
            sweep.points[3].training.steps
        ),
        (56, 6)
    );
}

#[test]
fn excludes_take_away_and_includes_add() {
    let sweep = refined(
        "[[exclude]]\ndataset = \"glyphs\"\n\"model.embedding\" = [32, 64]\n[[include]]\ndataset = \"glyphs\"\n\"model.embedding\" = [64, 128]\n",
    );
    assert_eq!(
        settings(&sweep),
        ["omniglot 32", "omniglot 64", "glyphs 64", "glyphs 128"]
    );
    assert_eq!(
        sweep.refinements,
        [
            "[[exclude]] in line 23 leaves out 2 of 4 combinations of a method and a setting",
            "[[include]] in line 26 adds 2"
        ]
    );
}

#[test]
fn an_exclude_may_be_about_one_method() {
    let sweep = refined(
        "[[exclude]]\nmethod = \"Triplet\"\n\"model.embedding\" = 64\n[[method]]\nname = \"Other\"\nloss.contrastive = {}\n",
    );
    let methods: Vec<usize> = sweep
        .points
        .iter()
        .map(|point| point.methods.len())
        .collect();
    assert_eq!(methods, [2, 1, 2, 1]);
    assert_eq!(sweep.points[1].methods[0].table.name, "Other");
}

/// The values of the first setting of each point of an axis.
fn readings(axis: &str) -> Vec<String> {
    let sweep = parse(&edited(
        "dataset = \"omniglot\"\n\n[model]\nbackbone = \"conv4\"\nembedding = 64",
        &format!(
            "dataset = \"omniglot\"\nimage_size = 32\ncolor = \"rgb\"\n[model]\nembedding = 64\n[axes]\n\"model.backbone\" = {axis}"
        ),
    ));
    let points = sweep.unwrap().points.into_iter();
    points
        .map(|mut point| point.settings.remove(0).value)
        .collect()
}

#[test]
fn the_values_of_an_axis_read_as_people_say_them() {
    assert_eq!(
        readings(r#"[{ resnet18 = {} }, "conv4", { resnet50 = {} }]"#),
        ["resnet18", "conv4", "resnet50"]
    );
    let with_weights = r#"[{ resnet18 = { weights = "a" } }, { resnet50 = { weights = "b" } }]"#;
    assert_eq!(readings(with_weights), ["resnet18", "resnet50"]);
    let two = r#"[{ resnet18 = {} }, { resnet18 = { weights = "a" } }, { resnet18 = { weights = "b" } }]"#;
    assert_eq!(
        readings(two),
        ["resnet18", "resnet18, weights a", "resnet18, weights b"]
    );
}

#[test]
fn values_of_an_axis_with_several_settings_read_by_those_that_differ() {
    let axis = r#"[{ adam = { lr = 1e-3, betas = [0.9, 0.99] } }, { adam = { lr = 0.01, betas = [0.9, 0.99] } }, { sgd = { lr = 0.1 } }]"#;
    let sweep = parse(&format!(
        "{RIGHT}\n[axes]\n\"training.optimizer\" = {axis}\n"
    ))
    .unwrap();
    let read = sweep
        .points
        .iter()
        .map(|point| &point.settings[0].value[..]);
    assert_eq!(
        read.collect::<Vec<_>>(),
        ["adam, lr 1e-3", "adam, lr 0.01", "sgd"]
    );
}

#[test]
fn a_method_may_be_there_in_some_settings_only() {
    let sweep = refined(
        "[[method]]\nname = \"Other\"\nwhen = { dataset = \"glyphs\", \"training.steps\" = [10, 20] }\nloss.contrastive = {}\n",
    );
    let methods: Vec<usize> = sweep
        .points
        .iter()
        .map(|point| point.methods.len())
        .collect();
    assert_eq!(methods, [1, 1, 2, 2]);
}

#[test]
fn overrides_change_settings_where_their_condition_holds() {
    let sweep = refined(
        "[[override]]\nwhen = { dataset = \"glyphs\" }\nset = { \"training.steps\" = 99, \"method.Triplet.loss.triplet.margin\" = 0.7 }\n",
    );
    let margin = |point: &Point| match &point.methods[0].table.loss {
        Some(schema::Loss::Triplet(triplet)) => triplet.margin,
        _ => panic!("another loss"),
    };
    let changed: Vec<_> = sweep
        .points
        .iter()
        .map(|point| (point.training.steps, margin(point)))
        .collect();
    assert_eq!(changed, [(10, 0.2), (10, 0.2), (99, 0.7), (99, 0.7)]);
    assert_eq!(
        sweep.refinements,
        ["[[override]] in line 23 holds in 2 of 4 settings"]
    );
}

#[test]
fn an_axis_over_a_setting_of_one_method_multiplies_that_method_alone() {
    let text = format!(
        "{RIGHT}\n[[method]]\nname = \"Other, one\"\nloss.contrastive = {{}}\n[axes]\n\"model.embedding\" = [8, 16]\n\"method.'Triplet'.loss.triplet.margin\" = {{ linspace = [0.1, 0.3, 3] }}\n"
    );
    let sweep = parse(&text).unwrap();
    let lines: Vec<_> = sweep.points[1]
        .methods
        .iter()
        .map(|method| (&method.table.name[..], &method.settings[..]))
        .collect();
    let setting = |axis: &str, value: &str| {
        [report::Setting {
            axis: axis.to_owned(),
            value: value.to_owned(),
        }]
    };
    let margin = |value: &str| setting("loss.triplet.margin", value);
    let [first, second, third] = [margin("0.1"), margin("0.2"), margin("0.3")];
    assert_eq!(
        lines,
        [
            ("Triplet", &first[..]),
            ("Triplet", &second),
            ("Triplet", &third),
            ("Other, one", &[])
        ]
    );
    assert_eq!(sweep.points[1].settings, setting("model.embedding", "16"));
}

#[test]
fn ranges_are_the_numbers_a_person_would_have_written() {
    let values = |range: &str| {
        let text = format!("{RIGHT}\n[axes]\n\"training.optimizer.adam.lr\" = {range}\n");
        let sweep = parse(&text).unwrap_or_else(|error| panic!("{error}"));
        sweep
            .points
            .into_iter()
            .map(|mut point| point.settings.remove(0).value)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        values("{ linspace = [0.1, 0.5, 5] }"),
        ["0.1", "0.2", "0.3", "0.4", "0.5"]
    );
    assert_eq!(
        values("{ logspace = [1e-4, 1, 5] }"),
        ["0.0001", "0.001", "0.01", "0.1", "1.0"]
    );
    assert_eq!(
        values("{ range = [0.1, 0.35, 0.1] }"),
        ["0.1", "0.2", "0.3"]
    );
    assert_eq!(values("{ range = [3, 1, -1] }"), ["3", "2", "1"]);
}

#[test]
fn images_can_be_stored_and_transformed_in_these_ways() {
    let cases = [
        ("", "", 28),
        ("image_size = 84", "test.center_crop = 64", 64),
        ("resize = 256", "test.center_crop = 227", 227),
        ("background = \"white\"", "", 28),
        (
            "resize = 256\ncolor = \"rgb\"",
            "test.center_crop = 224\ntrain = { random_resized_crop = {}, flip = 0.5 }",
            224,
        ),
        (
            "resize = 64",
            "test.center_crop = 48\ntrain = { random_crop = 40, random_erasing = {} }",
            48,
        ),
    ];
    for (data, transform, side) in cases {
        let new = format!("dataset = \"omniglot\"\n{data}\n[transform]\n{transform}");
        let sweep = parse(&edited("dataset = \"omniglot\"", &new)).expect(data);
        assert_eq!(
            sweep.points[0].transform.test_side(&sweep.points[0].images),
            side
        );
    }
}

#[test]
fn sizes_that_cannot_work_are_refused() {
    let cases = [
        (
            "resize = 256\nimage_size = 28",
            "",
            "either to squares",
            "6:10",
        ),
        ("resize = 256", "", "in a batch all are squares", "6:10"),
        (
            "resize = 256",
            "test.center_crop = 300",
            "300 pixels cannot be cut out of images of 256",
            "8:20",
        ),
        (
            "resize = 256",
            "train = { random_resized_crop = {} }",
            "in a batch all are squares",
            "6:10",
        ),
        (
            "resize = 64",
            "test.center_crop = 32\ntrain = { flip = 0.5 }",
            "in a batch all are squares",
            "9:",
        ),
        (
            "",
            "train = { center_crop = 20, random_crop = 20 }",
            "an image is cropped once",
            "8:",
        ),
        (
            "",
            "train = { flip = 2.0 }",
            "expected a probability",
            "8:18",
        ),
        (
            "",
            "train = { color_jitter = { hue = 0.1 } }",
            "gray images have neither",
            "8:",
        ),
        (
            "",
            "train = { random_crop = 12 }",
            "`conv4` needs images of at least 16 pixels",
            "8:",
        ),
        (
            "label_noise = 1.0",
            "",
            "expected a probability from 0 to below 1",
            "6:15",
        ),
        (
            "images_per_class = 1",
            "",
            "nothing is learned about a class from fewer than 2 images",
            "6:20",
        ),
        ("images_per_class = 3", "", "a class has only 3 images", ""),
        (
            "classes = 965",
            "",
            "965 classes, but only 964 can be trained on",
            "6:11",
        ),
        (
            "",
            "train = { policy.rand_augment = { magnitude = 31 } }",
            "expected 0 to 30, one less than `bins`",
            "8:",
        ),
        (
            "",
            "train = { policy.trivial_augment = { bins = 1 } }",
            "expected 2 to 1000 magnitudes",
            "8:",
        ),
        (
            "",
            "train = { random_resized_crop = { scale = [0.5, 0.2] } }",
            "two fractions of the area",
            "8:",
        ),
    ];
    for (data, transform, message, place) in cases {
        let new = format!("dataset = \"omniglot\"\n{data}\n[transform]\n{transform}");
        let shown = parse(&edited("dataset = \"omniglot\"", &new))
            .expect_err(transform)
            .render(false);
        assert!(
            shown.contains(message) && shown.contains(&format!("test.toml:{place}")),
            "{transform}: {shown}"
        );
    }
}

#[test]
fn boxes_and_a_background_need_images_that_can_have_them() {
    let root = tempfile::tempdir().unwrap();
    let own = root.path().join("birds");
    std::fs::create_dir(&own).unwrap();
    let table = "path,label,class_name,split\n1.jpg,0,a,train\n2.jpg,1,b,test\n";
    std::fs::write(own.join("listing.csv"), table).unwrap();
    let birds = format!(
        "dataset.own = {{ name = \"birds\" }}\nroot = {:?}",
        root.path()
    );
    let glyphs = "dataset.glyphs = { classes = 10, test_classes = 5 }";
    let parsed = |data: &str| parse(&edited("dataset = \"omniglot\"", data));
    let refused = |data: &str, what: &str, place: &str| {
        let shown = parsed(data).unwrap_err().render(false);
        assert!(shown.contains(what) && shown.contains(place), "{shown}");
    };
    refused(
        &format!("{birds}\nbounding_boxes = true"),
        "none of the images of `birds` has a bounding box",
        "test.toml:7:",
    );
    let drawn = "the program draws these images";
    refused(
        &format!("{glyphs}\nbounding_boxes = true"),
        drawn,
        "test.toml:6:",
    );
    refused(
        &format!("{glyphs}\nbackground = \"black\""),
        drawn,
        "test.toml:6:",
    );
    let white = parsed(&format!("{birds}\nbackground = \"white\"")).unwrap();
    assert_eq!(white.points[0].images.background, Some(Background::White));
}

/// What is written beside a preset.
const BESIDE: &str = r#"
[sweep]
name = "test"

[data]
dataset.glyphs = { classes = 400, test_classes = 200, per_class = 20 }

[model]
backbone = "conv4"

[[method]]
name = "Proxies"
loss.proxy_anchor = {}
"#;

#[test]
fn every_preset_needs_only_data_and_backbone_and_gives_way_to_the_file() {
    for preset in presets::names() {
        let extending = format!("extends = [\"presets/{preset}\"]\n{BESIDE}");
        let sweep = parse(&extending).unwrap_or_else(|found| panic!("{preset}: {found}"));
        assert_eq!(sweep.points[0].methods.len(), 1);
        let own = "[training]\nsteps = 7\noptimizer.sgd = { lr = 0.5 }";
        let changed = parse(&format!("{extending}\n{own}"))
            .unwrap_or_else(|found| panic!("{preset}: {found}"));
        let training = &changed.points[0].training;
        assert_eq!(
            (training.steps, training.optimizer.clone()),
            (
                7,
                schema::Optimizer::Sgd(schema::Sgd {
                    lr: 0.5,
                    ..Default::default()
                })
            )
        );
        assert_eq!(training.sampler, sweep.points[0].training.sampler);
        let methods = BESIDE.find("[[method]]").unwrap();
        let proper = parse(&format!(
            "extends = [\"presets/{preset}\"]\n{}",
            &BESIDE[..methods]
        ));
        assert_eq!(
            proper.is_ok(),
            presets::text(preset).unwrap().contains("\n[[method]]"),
            "{preset}"
        );
    }
}

#[test]
fn a_mistake_is_shown_in_the_file_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let read = |name: &str| Sweep::read(&folder.path().join(name), &[]);
    write(
        "base.toml",
        "[training]\nsteps = 10\nsampler.m_per_class = { batch = 8, per_class = 4 }\noptimizer.adam = { lr = -1 }\n",
    );
    write("top.toml", &format!("extends = [\"base.toml\"]\n{BESIDE}"));
    let shown = read("top.toml").unwrap_err().to_string();
    assert!(
        shown.contains("base.toml:4:25") && shown.contains("optimizer.adam = { lr = -1 }"),
        "{shown}"
    );

    write("base.toml", "[training]\nsteps = \"ten\"\n");
    let shown = read("top.toml").unwrap_err().to_string();
    assert!(shown.contains("base.toml:2:9"), "{shown}");

    write("base.toml", "[training\nsteps = 10\n");
    let shown = read("top.toml").unwrap_err().to_string();
    assert!(shown.contains("base.toml:1:"), "{shown}");

    write(
        "top.toml",
        &format!(
            "extends = [\"base.toml\"]\n{}",
            BESIDE.replace("\"conv4\"", "\"conv5\"")
        ),
    );
    write(
        "base.toml",
        "[training]\nsteps = 10\nsampler.m_per_class = { batch = 8 }\noptimizer.adam = {}\n",
    );
    let shown = read("top.toml").unwrap_err().to_string();
    assert!(
        shown.contains("top.toml:10:12") && shown.contains("did you mean `conv4`"),
        "{shown}"
    );
}

#[test]
fn files_that_build_on_themselves_or_on_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let refused = |name: &str| {
        Sweep::read(&folder.path().join(name), &[])
            .unwrap_err()
            .to_string()
    };
    write("a.toml", "extends = [\"b.toml\"]\n");
    write("b.toml", "\nextends = [\"a.toml\"]\n");
    let shown = refused("a.toml");
    assert!(
        shown.contains("builds on itself") && shown.contains("b.toml:2:12"),
        "{shown}"
    );
    for (line, expected) in [
        ("extends = [\"nothing.toml\"]", "there is no file"),
        ("extends = [\"xbm\"]", "write `presets/xbm`"),
        ("extends = [\"presets/xmb\"]", "did you mean `presets/xbm`?"),
        (
            "extends = [\"presets/quite_another\"]",
            "there are deep_metric, ",
        ),
        (
            "extends = \"presets/xbm\"",
            "`extends` needs a list of files or presets",
        ),
        (
            "extends = [3]",
            "`extends` needs a list of files or presets",
        ),
    ] {
        write("c.toml", line);
        let shown = refused("c.toml");
        assert!(
            shown.contains(expected) && shown.contains("c.toml:1:1"),
            "{shown}"
        );
    }
}

#[test]
fn later_files_lie_over_earlier_ones_and_all_under_the_file_itself() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "one.toml",
        "[training]\nsteps = 1\nvalidate_every = 1\npatience = 1\n[sweep]\nfolds = 2\n",
    );
    write(
        "two.toml",
        "extends = [\"one.toml\"]\n[training]\nsteps = 2\nvalidate_every = 2\n",
    );
    let own = "[training]\nsteps = 3\nsampler.m_per_class = { batch = 8 }\noptimizer.adam = {}";
    write(
        "top.toml",
        &format!("extends = [\"one.toml\", \"two.toml\"]\n{BESIDE}\n{own}"),
    );
    let training = Sweep::read(&folder.path().join("top.toml"), &[])
        .unwrap()
        .points
        .remove(0)
        .training;
    assert_eq!(
        (training.steps, training.validate_every, training.patience),
        (3, Some(2), Some(1))
    );
}

#[test]
fn every_column_of_every_layout_is_measured() {
    let sweep = parse(&format!(
        "{RIGHT}\n[report]\nlayout = [\"reality_check\", \"benchmark\"]\nmetrics = [\"map\"]\n"
    ))
    .unwrap();
    let measured = sweep.report.metrics(&Dataset::Sop);
    let recalls = [1, 10, 100, 1000].map(Metric::RecallAt);
    let three = [Metric::PrecisionAt1, Metric::RPrecision, Metric::MapAtR];
    assert_eq!(measured, [&[Metric::Map][..], &three, &recalls].concat());
    assert_eq!(
        sweep
            .report
            .columns(report::Layout::Benchmark, &Dataset::Sop),
        recalls
    );
    assert_eq!(
        sweep
            .report
            .columns(report::Layout::RealityCheck, &Dataset::Sop),
        three
    );
    assert_eq!(
        sweep
            .report
            .columns(report::Layout::DataSets, &Dataset::Sop),
        [Metric::Map]
    );
}

#[test]
fn the_reality_check_adds_up_to_its_8400_tuning_runs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sweeps/reality_check.toml");
    let sweep = Sweep::read(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
    let tuning = |is_meant: &dyn Fn(&str) -> bool| -> (usize, usize) {
        let methods = sweep.points.iter().flat_map(|point| &point.methods);
        let searches = methods
            .filter(|method| is_meant(&method.table.name))
            .filter_map(|method| method.search.as_deref());
        let runs: Vec<usize> = searches
            .map(|search| search.trials() * sweep.folds.len())
            .collect();
        (runs.len(), runs.iter().sum())
    };
    let is_further = |name: &str| name.ends_with("(Deep_Metric)") || name.ends_with("XBM");
    assert_eq!(tuning(&|name| !is_further(name)), (14 * 3, 14 * 3 * 50 * 4));
    assert_eq!(14 * 3 * 50 * 4, 8400);
    assert_eq!(tuning(&is_further), (6 * 3, 6 * 3 * 50 * 4));
    assert_eq!(
        (sweep.seeds.len(), sweep.folds[1]),
        (
            10,
            Some(Fold {
                index: 1,
                of: 4,
                cut: schema::Cut::RealityCheck
            })
        )
    );
}

#[test]
fn the_published_search_spaces_differ_between_data_sets_where_they_did() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sweeps/reality_check.toml");
    let sweep = Sweep::read(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
    let range = |point: usize, method: &str, name: &str| {
        let method = sweep.points[point]
            .methods
            .iter()
            .find(|candidate| candidate.table.name == method)
            .unwrap();
        let dimensions = &method.search.as_ref().unwrap().space().dimensions;
        dimensions
            .iter()
            .find(|dimension| dimension.name == name)
            .map(|dimension| dimension.range.clone())
    };
    let temperature = |point| range(point, "NT-Xent", "loss.nt_xent.temperature");
    assert_eq!(temperature(0), Some(SearchRange::LogUniform([1e-4, 100.0])));
    assert_eq!(temperature(1), Some(SearchRange::LogUniform([1e-5, 100.0])));
    let regularizer = |point| range(point, "SoftTriple", "loss.soft_triple.regularizer");
    assert_eq!(
        (regularizer(0), regularizer(2)),
        (Some(SearchRange::Uniform([0.0, 1.0])), None)
    );
    let of_points =
        |value: fn(&Point) -> Option<u64>| sweep.points.iter().map(value).collect::<Vec<_>>();
    assert_eq!(
        of_points(|point| point.training.validate_every),
        [Some(200), Some(500), Some(2000)]
    );
    assert_eq!(
        of_points(|point| point.training.patience),
        [Some(5), Some(3), Some(2)]
    );
}

const UNDER_A_PROTOCOL: &str = r#"
[sweep]
name = "mine"
protocol = "reality_check"
[data]
dataset = "cub200"
[model]
backbone.resnet18 = {}
[[method]]
name = "A"
loss.triplet = { margin = { uniform = [0, 1] } }
[[method]]
name = "B"
loss.contrastive = { neg_margin = { uniform = [0, 1] } }
sampler.straddling = { batch = 64, per_class = 4 }
"#;

#[test]
fn a_sweep_under_a_protocol_has_its_settings_and_has_to_keep_its_rules() {
    let message = parse(UNDER_A_PROTOCOL).unwrap_err().render(false);
    assert!(
        message.starts_with("error: F4") && message.contains("15:"),
        "{message}"
    );
    let waived = format!(
        "{UNDER_A_PROTOCOL}\n[[waive]]\nrule = \"F4\"\nreason = \"to see what a batch is worth\"\n"
    );
    let sweep = parse(&waived).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(sweep.protocol, Some(Protocol::RealityCheck));
    let schema::Optimizer::RmsProp(optimizer) = &sweep.points[0].training.optimizer else {
        panic!()
    };
    let search = sweep.points[0].methods[0].search.as_ref().unwrap();
    assert_eq!(
        (optimizer.lr, search.settings().trials, sweep.seeds.len()),
        (1e-6, 50, 10)
    );
    let without = parse(&UNDER_A_PROTOCOL.replace("protocol = \"reality_check\"", ""))
        .unwrap_err()
        .render(false);
    assert!(without.contains("missing key"), "{without}");
    let other = parse(&UNDER_A_PROTOCOL.replace("\"reality_check\"", "\"reality_chek\""))
        .unwrap_err()
        .render(false);
    assert!(other.contains("reality_check"), "{other}");
}

#[test]
fn old_spellings_are_read_with_one_warning_each() {
    let old = r#"
        loss.soft_triple = { centres = 2, regulariser = 0.1 }
    "#;
    let text = edited("loss.triplet = { margin = 0.2 }", old.trim());
    let sweep = parse(&text).unwrap();
    let warnings: Vec<String> = sweep.warnings.iter().map(|w| w.warning(false)).collect();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    let expected = "\
warning: `centres` is renamed to `centers`
  --> test.toml:18:22
   |
18 | loss.soft_triple = { centres = 2, regulariser = 0.1 }
   |                      ^^^^^^^
   |
hint: write `centers`";
    assert_eq!(warnings[0], expected);
    let new = old
        .replace("centres", "centers")
        .replace("regulariser", "regularizer");
    let current = parse(&edited("loss.triplet = { margin = 0.2 }", new.trim())).unwrap();
    assert!(current.warnings.is_empty());
    assert_eq!(
        format!("{:?}", sweep.points),
        format!("{:?}", current.points)
    );
}

#[test]
fn old_spellings_are_read_in_axes_conditions_overrides_and_searched_values() {
    let text = edited(
        "loss.triplet = { margin = 0.2 }",
        r#"loss.margin = { boundary = { choice = ["learnt", "fixed"] } }
           [[method]]
           name = "S"
           loss.soft_triple = { centres = 2 }
           [axes]
           "method.S.loss.soft_triple.centres" = [2, 3]
           "training.steps" = [10, 20]
           [[override]]
           when = { "training.steps" = 10 }
           set = { "method.S.loss.soft_triple.regulariser" = 0.3 }
           [search]
           strategy = "random"
           trials = 4
        "#,
    );
    let text = text.replace("name = \"test\"", "name = \"test\"\nfolds = 2");
    let sweep = parse(&text).unwrap_or_else(|mistake| panic!("{mistake}"));
    assert_eq!(sweep.warnings.len(), 3, "{:#?}", sweep.warnings);
    let search = sweep.points[0].methods[0].search.as_ref().unwrap();
    assert_eq!(
        search.space().dimensions[0].range,
        SearchRange::Choice(vec!["learned".into(), "fixed".into()])
    );
}

#[test]
fn an_old_and_a_current_spelling_are_one_key_in_every_layer() {
    let text = edited(
        "loss.triplet = { margin = 0.2 }",
        "loss.soft_triple = { centers = 2 }",
    );
    for set in ["centres=3", "centers=3"] {
        let set = [format!("method.Triplet.loss.soft_triple.{set}")];
        let sweep = Sweep::parse(Path::new("test.toml"), &text, &set, String::new()).unwrap();
        let loss = format!("{:?}", sweep.points[0].methods[0].table.loss);
        assert!(loss.contains("centers: 3"), "{loss}");
    }
    let doubled = text.replace("{ centers = 2 }", "{ centers = 2, centres = 2 }");
    let message = parse(&doubled).unwrap_err().render(false);
    assert!(
        message.contains("`centres` and `centers` are the same key"),
        "{message}"
    );
}

#[test]
fn a_name_that_is_no_key_keeps_its_spelling() {
    let text = edited("name = \"Triplet\"", "name = \"learnt\"");
    let sweep = parse(&text).unwrap();
    assert!(sweep.warnings.is_empty());
    assert_eq!(sweep.points[0].methods[0].table.name, "learnt");
}

#[test]
fn what_comes_with_the_program_is_in_the_current_spelling() {
    let mut texts: Vec<(String, String)> = presets::names()
        .map(|name| (name.to_owned(), presets::text(name).unwrap().to_owned()))
        .collect();
    for place in ["sweeps", "tests/malformed"] {
        for file in files_in(place) {
            let text = fs::read_to_string(&file).unwrap();
            texts.push((file.display().to_string(), text));
        }
    }
    for (name, text) in texts {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("sweeps")
            .join("test.toml");
        let Ok(layers) = Layers::gather(&path, &text, &[]) else {
            continue;
        };
        let warnings = layers.table().map(|laid| laid.warnings).unwrap_or_default();
        assert!(warnings.is_empty(), "{name}: {warnings:#?}");
    }
}

#[test]
fn the_images_that_are_trained_on_can_be_an_axis_and_leave_other_recipes_as_they_are() {
    let axes =
        "embedding = 64\n[axes]\n\"data.label_noise\" = [0.0, 0.2]\n\"data.classes\" = [50, 100]\n";
    let sweep = parse(&edited("embedding = 64", axes)).unwrap();
    let images = |point: &Point| {
        (
            point.training_images.classes,
            point.training_images.label_noise,
        )
    };
    let found: Vec<_> = sweep.points.iter().map(images).collect();
    assert_eq!(
        found,
        [
            (Some(50), 0.0),
            (Some(100), 0.0),
            (Some(50), 0.2),
            (Some(100), 0.2)
        ]
    );
    assert!(parse(RIGHT).unwrap().points[0].training_images.are_all());
}

#[test]
fn a_single_part_of_the_classes_can_be_held_out() {
    let sweep = parse(&edited(
        "name = \"test\"",
        "name = \"test\"\nfolds.last = 5",
    ))
    .unwrap();
    let folds: Vec<_> = sweep.folds.iter().flatten().collect();
    assert_eq!(folds.len(), 1);
    assert_eq!(folds[0].held_out(964), 771..964);
}

#[test]
fn blocks_are_skipped_and_computed_again_where_there_are_some() {
    let with = |backbone: &str, line: &str| {
        let dataset = "dataset = \"omniglot\"";
        let text = edited(dataset, &format!("{dataset}\nimage_size = 32"));
        let text = text.replace(
            "backbone = \"conv4\"",
            &format!("backbone{backbone}\n{line}"),
        );
        parse(&text).map_err(|error| error.to_string())
    };
    let model = |line| with(".vit_s16 = {}", line).unwrap().points[0].model.clone();
    assert!(model("checkpointing = true").checkpointing);
    assert_eq!(model("drop_path = 0.1").drop_path, 0.1);
    assert_eq!(model(""), model("drop_path = 0.0"));
    for (backbone, line, expected) in [
        (
            " = 'conv4'",
            "drop_path = 0.1",
            "`conv4` has no blocks for that",
        ),
        (
            " = 'conv4'",
            "checkpointing = true",
            "`conv4` has no blocks for that",
        ),
        (".vit_s16 = {}", "drop_path = 1.0", "from 0 to below 1"),
        (".vit_s16 = {}", "drop_path = nan", "from 0 to below 1"),
        (
            ".resnet50 = {}",
            "lora = {}",
            "`resnet50` has no blocks for that",
        ),
        (".vit_s16 = {}", "lora.rank = 0", "expected 1 to 1024"),
        (
            ".vit_s16 = {}",
            "lora.alpha = 0",
            "expected a number above 0",
        ),
    ] {
        let shown = with(backbone, line).unwrap_err();
        assert!(shown.contains(expected), "{line}\n{shown}");
    }
}
