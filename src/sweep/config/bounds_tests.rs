//! Nothing is allocated for more than a sweep may have, and no number overflows.

use super::{Sweep, *};

const RIGHT: &str = r#"
[sweep]
name = "bounds"
seeds = 2
folds = 2

[data]
dataset.own = { name = "mine" }

[model]
backbone = "conv4"
embedding = 16

[search]
strategy = "random"
trials = 4

[training]
steps = 10
accumulate = 1
sampler.m_per_class = { batch = 8 }
optimizer.adam = { lr = 1e-3 }

[resources]
slots = 2

[[method]]
name = "M"
loss.triplet = { margin = 0.1 }
"#;

/// Returns the message about a file in which `old` is `new`, and which has `more` at its end.
fn refused(old: &str, new: &str, more: &str) -> String {
    assert_eq!(RIGHT.matches(old).count(), 1, "{old}");
    let text = format!("{}\n{more}", RIGHT.replace(old, new));
    let read = Sweep::parse(Path::new("bounds.toml"), &text, &[], String::new());
    read.map(|_| ()).unwrap_err().render(false)
}

#[track_caller]
fn is_told(message: &str, words: &str, line: &str) {
    assert!(message.contains(words), "{message}");
    assert!(message.contains(line), "{message}");
}

/// Axes with a thousand values each.
fn axes(keys: &[&str]) -> String {
    let axes = keys
        .iter()
        .map(|key| format!("\"{key}\" = {{ linspace = [0.001, 0.5, 1000] }}\n"));
    format!("[axes]\n{}", axes.collect::<String>())
}

const RATES: [&str; 3] = ["lr", "epsilon", "weight_decay"];

#[test]
fn numbers_have_a_most() {
    for (old, new, words) in [
        (
            "seeds = 2",
            "seeds = 4294967295",
            "seeds, expected 1 to 100000",
        ),
        ("folds = 2", "folds = 4294967295", "expected 2 to 1000"),
        (
            "steps = 10",
            "steps = 9223372036854775807",
            "at most 1000000000",
        ),
        (
            "accumulate = 1",
            "accumulate = 9223372036854775807",
            "1 to 10000 batches",
        ),
        ("slots = 2", "slots = 4294967295", "1 to 1024 slots"),
    ] {
        is_told(&refused(old, new, ""), words, new);
    }
    let long = format!("name = \"{}\"", "x".repeat(300));
    is_told(
        &refused("name = \"M\"", &long, ""),
        "may have 200",
        "bounds.toml:",
    );
    is_told(
        &refused("name = \"bounds\"", &long, ""),
        "may have 100",
        "bounds.toml:",
    );
}

#[test]
fn axes_have_a_most_before_their_product_is_formed() {
    let of_all = RATES.map(|rate| format!("training.optimizer.adam.{rate}"));
    let of_all: Vec<&str> = of_all.iter().map(String::as_str).collect();
    let of_one = ["margin", "swap", "smooth"].map(|key| format!("method.M.loss.triplet.{key}"));
    let of_one: Vec<&str> = of_one.iter().map(String::as_str).collect();
    for keys in [of_all.as_slice(), of_one.as_slice()] {
        let message = refused("trials = 4", "trials = 4", &axes(keys));
        is_told(&message, "more than 100000 rows", keys[0]);
    }
    let include = "[[include]]\n\"model.embedding\" = 32\n";
    let more = format!("{}\"model.embedding\" = [8]\n{include}", axes(&of_all));
    is_told(
        &refused("trials = 4", "trials = 4", &more),
        "more than 100000",
        "[[include]]",
    );
}

#[test]
fn rows_seeds_and_folds_have_a_most_together() {
    let message = refused(
        "seeds = 2",
        "seeds = 100000",
        &axes(&["training.optimizer.adam.lr"]),
    );
    is_told(&message, "may have 1000000", "seeds = 100000");
}

#[test]
fn searches_have_a_most() {
    let margin = "margin = 0.1";
    let values: Vec<String> = (0..5000).map(|value| format!("0.{value:05}")).collect();
    let many = format!("margin = {{ grid = [{}] }}", values.join(", "));
    is_told(&refused(margin, &many, ""), "may have 1000", "bounds.toml:");
    let searched = RIGHT
        .replace(margin, "margin = { uniform = [0, 1] }")
        .replace("trials = 4", "trials = 1000000000");
    let read = Sweep::parse(Path::new("bounds.toml"), &searched, &[], String::new());
    let message = read.map(|_| ()).unwrap_err().render(false);
    is_told(&message, "at most 65536 trials", "trials = 1000000000");
    let all = "steps = { int = [1, 9223372036854775807] }";
    is_told(
        &refused("steps = 10", all, ""),
        "at most 1000000000",
        "bounds.toml:",
    );
}

#[test]
fn a_range_of_numbers_with_the_same_digits_is_refused() {
    for narrow in [
        "[1000000.1, 1000000.9]",
        "[-5000.001, -5000.0]",
        "[0.1, 0.10000001]",
    ] {
        let new = format!("margin = {{ uniform = {narrow} }}");
        is_told(
            &refused("margin = 0.1", &new, ""),
            "fewer than 10 of them",
            narrow,
        );
    }
    let wide = RIGHT.replace("margin = 0.1", "margin = { uniform = [0.1, 0.1001] }");
    Sweep::parse(Path::new("bounds.toml"), &wide, &[], String::new()).unwrap();
}
