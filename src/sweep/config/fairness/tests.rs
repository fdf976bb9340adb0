use std::path::Path;

use super::{Rule::*, *};
use crate::config::Sweep;

const FAIR: &str = r#"[sweep]
name = "test"
seeds = 3

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

[[method]]
name = "Contrastive"
loss.contrastive = {}

[[method]]
name = "ProxyNCA"
loss.proxy_nca = {}
"#;

fn fairness(text: &str) -> Fairness {
    Sweep::parse(Path::new("test.toml"), text, &[], String::new())
        .unwrap_or_else(|error| panic!("{error}"))
        .fairness
}

/// The rules that do not hold after an edit, and what is said of the first.
fn after(old: &str, new: &str) -> (Vec<Rule>, String) {
    assert_eq!(FAIR.matches(old).count(), 1, "{old}");
    let fairness = fairness(&FAIR.replace(old, new));
    let what = fairness
        .violations
        .first()
        .map(|violation| violation.what.clone())
        .unwrap_or_default();
    (
        fairness
            .violations
            .iter()
            .map(|violation| violation.rule)
            .collect(),
        what,
    )
}

#[test]
fn equal_conditions_are_fair() {
    assert!(fairness(FAIR).violations.is_empty());
    // Everything at two sizes, and a row that nothing is trained for.
    let baseline = "[[method]]\nname = \"Pixels\"\nbaseline = \"pixels\"\n[axes]\n\"model.embedding\" = [64, 128]\n";
    assert!(
        fairness(&format!("{FAIR}\n{baseline}"))
            .violations
            .is_empty()
    );
}

#[test]
fn a_batch_of_its_own_is_noticed_and_how_it_is_formed_is_not() {
    let own = |batch| {
        format!("loss.proxy_nca = {{}}\nsampler.m_per_class = {{ batch = {batch}, per_class = 1 }}")
    };
    assert_eq!(after("loss.proxy_nca = {}", &own(8)).0, []);
    let (rules, what) = after("loss.proxy_nca = {}", &own(16));
    assert_eq!(
        (rules, what.as_str()),
        (
            vec![F4],
            "ProxyNCA: 16 images in a step (Triplet: 8 images in a step)"
        )
    );
}

#[test]
fn only_optimisers_of_the_same_kind_of_parameters_are_compared() {
    let other = "loss.proxy_nca = {}\nloss_optimizer.sgd = { lr = 1.0 }";
    assert_eq!(after("loss.proxy_nca = {}", other).0, []);
    let two = format!("{other}\n[[method]]\nname = \"CosFace\"\nloss.cos_face = {{}}");
    let (rules, what) = after("loss.proxy_nca = {}", &two);
    assert_eq!(rules, [F6]);
    assert!(
        what.contains("sgd for its own parameters") || what.contains("adam for its own parameters"),
        "{what}"
    );
}

#[test]
fn a_method_under_other_settings_than_the_others_is_noticed() {
    let only = |key: &str, values: &str, without: &str| {
        let exclude = format!("[[exclude]]\nmethod = \"ProxyNCA\"\n\"{key}\" = {without}\n");
        fairness(&format!("{FAIR}\n[axes]\n\"{key}\" = {values}\n{exclude}"))
    };
    let rules = |fairness: &Fairness| {
        fairness
            .violations
            .iter()
            .map(|violation| violation.rule)
            .collect::<Vec<_>>()
    };
    assert_eq!(rules(&only("model.embedding", "[64, 128]", "128")), [F3]);
    assert_eq!(rules(&only("training.steps", "[10, 20]", "10")), [F7]);
    assert_eq!(
        rules(&only(
            "model.batch_norm",
            "[\"train\", \"frozen\"]",
            "\"train\""
        )),
        [F1]
    );
    assert_eq!(rules(&only("data.image_size", "[28, 64]", "64")), [F5]);
    let fairness = only("model.embedding", "[64, 128]", "128");
    assert_eq!(
        fairness.violations[0].what,
        "ProxyNCA: 64-d (Triplet: 128-d and 64-d)"
    );
}

#[test]
fn a_method_without_a_search_among_others_with_one_is_noticed() {
    let search = "[search]\nstrategy = \"sobol\"\ntrials = 4\n";
    let searched = |text: &str| {
        text.replace("seeds = 3", "seeds = 3\nfolds = 2")
            .replace("{ margin = 0.2 }", "{ margin = { uniform = [0.1, 0.3] } }")
            .replace(
                "loss.contrastive = {}",
                "loss.contrastive = { neg_margin = { uniform = [0.1, 0.9] } }",
            )
    };
    let fairness = fairness(&format!("{}\n{search}", searched(FAIR)));
    assert_eq!(
        fairness
            .violations
            .iter()
            .map(|violation| violation.rule)
            .collect::<Vec<_>>(),
        [F7]
    );
    assert_eq!(
        fairness.violations[0].what,
        "ProxyNCA: nothing searched (Triplet: 4 trials of a search)"
    );
    assert_eq!(fairness.violations[0].shown.line(), Some(28));
}

#[test]
fn several_rows_of_one_method_are_chosen_on_test() {
    let fairness = fairness(&format!(
        "{FAIR}\n[axes]\n\"method.Triplet.loss.triplet.margin\" = [0.1, 0.2]\n"
    ));
    assert_eq!(
        fairness
            .violations
            .iter()
            .map(|violation| violation.rule)
            .collect::<Vec<_>>(),
        [F10]
    );
    insta::assert_snapshot!(fairness.violations[0].shown.warning(false), @r#"
    warning: F10, test classes choose nothing, does not hold: Triplet has 2 rows that differ in `loss.triplet.margin`: the best of them is chosen on test classes
      --> test.toml:30:41
       |
    30 | "method.Triplet.loss.triplet.margin" = [0.1, 0.2]
       |                                         ^^^
       |
    hint: change this, or add [[waive]] with rule = "F10" and a reason; `sweep show rules` explains why it matters
    "#);
}

#[test]
fn few_seeds_are_told_by_how_few_they_are() {
    assert_eq!(
        after("seeds = 3", "seeds = 2"),
        (vec![F11], "there are two seeds".to_owned())
    );
    assert_eq!(after("seeds = 3", "").0, [F11, F12]);
}

#[test]
fn repeated_searches_count_as_seeds_do() {
    let searched = |seeds: usize, repeats: usize| {
        let text = FAIR
            .replace("seeds = 3", &format!("seeds = {seeds}\nfolds = 2"))
            .replace("margin = 0.2", "margin = { uniform = [0.0, 1.0] }");
        let (text, _) = text
            .split_once("[[method]]\nname = \"Contrastive\"")
            .unwrap();
        let search = format!("[search]\nstrategy = \"random\"\ntrials = 2\nrepeats = {repeats}\n");
        let violations = fairness(&format!("{text}{search}")).violations;
        let of = |violation: Violation| (violation.rule, violation.what);
        violations.into_iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(searched(1, 3), []);
    assert_eq!(searched(3, 2), [(F11, "there are two searches".to_owned())]);
    let one = searched(1, 1).into_iter().map(|(rule, _)| rule);
    assert_eq!(one.collect::<Vec<_>>(), [F11, F12]);
    // Methods without a search have only their seeds.
    let beside = FAIR
        .replace("seeds = 3", "seeds = 1\nfolds = 2")
        .replace("margin = 0.2", "margin = { uniform = [0.0, 1.0] }");
    let search = "[search]\nstrategy = \"random\"\ntrials = 2\nrepeats = 3\n";
    let violations = fairness(&format!("{beside}{search}")).violations;
    assert!(violations.iter().any(|violation| violation.rule == F11));
}

#[test]
fn a_waived_rule_is_told_with_its_reason_and_no_longer_warned_of() {
    let text = FAIR.replace("seeds = 3", "seeds = 2");
    let waived = fairness(&format!(
        "{text}\n[[waive]]\nrule = \"F11\"\nreason = \"an example.\"\n"
    ));
    assert_eq!(
        (
            waived.open().count(),
            waived.unneeded.len(),
            waived.paragraph()
        ),
        (0, 0, None)
    );
    assert_eq!(
        waived.lines(),
        [
            "F11, there are at least three seeds, or searches where these are repeated, is waived: there are two seeds. Reason: an example."
        ]
    );
    let open = fairness(&text);
    assert_eq!(
        open.lines(),
        [
            "F11, there are at least three seeds, or searches where these are repeated, does not hold: there are two seeds."
        ]
    );
    let paragraph = open.paragraph().unwrap();
    assert!(
        paragraph.starts_with("fairness: F11 there are two seeds (line 3); "),
        "{paragraph}"
    );
}

#[test]
fn a_waiver_that_nothing_needs_is_a_warning() {
    let fairness = fairness(&format!(
        "{FAIR}\n[[waive]]\nrule = \"F4\"\nreason = \"who knows\"\n"
    ));
    insta::assert_snapshot!(fairness.unneeded[0].warning(false), @r#"
    warning: F4, all methods have as many images in a step, holds, so there is nothing to waive: remove this [[waive]]
      --> test.toml:30:8
       |
    30 | rule = "F4"
       |        ^^^^
    "#);
}

#[test]
fn heads_on_earlier_layers_are_another_trunk_and_heads_alone_are_not() {
    let heads = |heads: &str| format!("loss.contrastive = {{}}\nheads = {heads}");
    let plain = heads("[{ width = 24 }, { width = 40 }]");
    assert_eq!(after("loss.contrastive = {}", &plain).0, []);
    let tapped = heads("[{ width = 24, tap = \"block3\" }, { width = 40 }]");
    let (rules, what) = after("loss.contrastive = {}", &tapped);
    assert_eq!(
        (rules, what.as_str()),
        (
            vec![F1],
            "Contrastive: heads on block3 (Triplet: all heads on the last map)"
        )
    );
    let dropping = heads("[{ width = 24, dropout = 0.4 }, { width = 40 }]");
    let (rules, what) = after("loss.contrastive = {}", &dropping);
    let [own, others] = [", with layers or dropout of their own", ""]
        .map(|own| format!("all heads on the last map{own}"));
    assert_eq!(
        (rules, what),
        (vec![F1], format!("Contrastive: {own} (Triplet: {others})"))
    );
}

#[test]
fn surveys_of_one_method_are_noticed() {
    let surveyed = FAIR
        .replace("steps = 10", "steps = 10\nsurvey.every.epochs = 2")
        .replace(
            "loss.contrastive = {}",
            "loss.hierarchical_triplet = { tree = \"survey\" }",
        );
    let fairness = fairness(&surveyed);
    let found: Vec<_> = fairness
        .violations
        .iter()
        .map(|violation| (violation.rule, violation.what.as_str()))
        .collect();
    let what = "Contrastive: a survey of the training images every 2 epochs (Triplet: no surveys)";
    assert_eq!(found, [(F7, what)]);
}

#[test]
fn an_ensemble_of_label_maps_is_noticed_beside_single_networks() {
    let maps = "loss.contrastive = {}\nlabel_maps = { members = 12, classes = 6 }";
    let (rules, what) = after("loss.contrastive = {}", maps);
    assert_eq!(
        (rules, what.as_str()),
        (
            vec![F3],
            "Contrastive: 12 networks joined (Triplet: one network)"
        )
    );
}

const LINKED: &str = r#"
[[method]]
name = "Boosted"
loss.contrastive = {}
heads = [{ width = 24 }, { width = 40 }]
join = "width"
links.boost = "average"
"#;

const HEADS: &str = r#"
[[method]]
name = "Two heads"
loss.contrastive = {}
heads = [{ width = 24 }, { width = 40 }]
"#;

#[test]
fn linked_heads_need_a_row_without_links_and_one_with_a_single_head() {
    let without = FAIR.replace(
        "loss.contrastive = {}",
        "loss.contrastive = { neg_margin = 0.5 }",
    );
    let said = |text: String| {
        let violations = fairness(&text).violations;
        let said: Vec<_> = violations
            .iter()
            .map(|one| (one.rule, one.what.clone()))
            .collect();
        said
    };
    let of = |what: &str| vec![(F13, format!("Boosted: {what}"))];
    assert_eq!(said(format!("{FAIR}{LINKED}{HEADS}")), []);
    assert_eq!(
        said(format!("{FAIR}{LINKED}")),
        of("no row with its heads without links")
    );
    assert_eq!(
        said(format!("{without}{LINKED}{HEADS}")),
        of("no row with one head")
    );
    assert_eq!(
        said(format!("{without}{LINKED}")),
        of("neither a row with its heads without links nor one with one head")
    );
}
