//! Checks every example with the parsers of the program.
//!
//! A `toml` block is a whole sweep file. A `toml fragment` block is laid over [`BASE`], table by table. Each line of a
//! `sh` block that runs `sweep` or `make` is parsed, but not executed.

use std::{fs, path::Path};

use clap::Parser;
use schema::{Attempt, Event};
use toml_edit::{DocumentMut, Item, Table};

use super::{Page, pages, root};
use crate::{cli::Cli, config::Sweep};

/// The sweep file that fragments are laid over.
const BASE: &str = r#"
[sweep]
name  = "base"
seeds = 3

[data]
dataset.glyphs = { classes = 400, test_classes = 200, per_class = 20 }

[model]
backbone  = "conv4"
embedding = 64

[training]
steps               = 1000
sampler.m_per_class = { batch = 64, per_class = 4 }
optimizer.adam      = { lr = 1e-3 }

[[method]]
name = "Triplet"
loss.triplet = { margin = 0.2 }

[[method]]
name = "Contrastive"
loss.contrastive = { neg_margin = 0.5 }
"#;

/// Lays a fragment over a table. Tables are merged unless both choose a part, such as two losses.
fn lay_over(base: &mut Table, fragment: &Table) {
    for (key, item) in fragment {
        let below = base.get_mut(key).and_then(Item::as_table_mut);
        match (below, item.as_table()) {
            (Some(inner), Some(new)) if !is_choice(key) => lay_over(inner, new),
            _ => {
                base.insert(key, item.clone());
            }
        }
    }
}

/// True for keys whose value is one part, replaced as a whole.
fn is_choice(key: &str) -> bool {
    let parts = ["backbone", "dataset", "sampler", "optimizer"];
    parts.contains(&key)
}

/// The module that `docs/own-losses.md` makes. Its content is not read as a program here.
const MODULE: &str = "soft_contrastive.pt";

fn check(folder: &Path, page: &Page, line: usize, text: &str) {
    let path = folder.join("example.toml");
    if let Err(mistake) = Sweep::parse(&path, text, &[], String::new()) {
        panic!(
            "{}:{line}: the example is refused:\n{}",
            page.name(),
            mistake.render(false)
        );
    }
}

#[test]
fn every_sweep_file_in_the_documentation_is_valid() {
    let mut checked = 0;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join(MODULE), "").unwrap();
    for page in pages() {
        for block in page.blocks() {
            match block.language {
                "toml" => check(folder, &page, block.line, &block.text),
                "toml fragment" => {
                    let mut whole: DocumentMut = BASE.parse().unwrap();
                    let fragment = block.text.parse::<DocumentMut>();
                    let fragment = fragment
                        .unwrap_or_else(|error| panic!("{}:{}: {error}", page.name(), block.line));
                    lay_over(&mut whole, &fragment);
                    check(folder, &page, block.line, &whole.to_string());
                }
                _ => continue,
            }
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked}");
}

#[test]
fn every_command_in_the_documentation_is_valid() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let mut checked = 0;
    for page in pages() {
        for block in page.blocks() {
            if block.language != "sh" {
                continue;
            }
            for command in commands(&block.text) {
                let place = format!("{}:{}: {command:?}", page.name(), block.line);
                match command.first().map(String::as_str) {
                    Some("sweep") => parse(&command, &place),
                    Some("make") => {
                        for target in &command[1..] {
                            assert!(makefile.contains(&format!("\n{target}:")), "{place}");
                        }
                    }
                    _ => continue,
                }
                checked += 1;
            }
        }
    }
    assert!(checked >= 20, "{checked}");
}

/// Parses a command line of `sweep`; sweep files in `sweeps/` must exist.
fn parse(command: &[String], place: &str) {
    if let Err(error) = Cli::try_parse_from(command) {
        assert!(!error.use_stderr(), "{place}\n{error}");
    }
    for word in command {
        if word.starts_with("sweeps/") {
            assert!(root().join(word).is_file(), "{place}: no file {word}");
        }
    }
}

#[test]
fn every_command_in_the_help_texts_is_valid() {
    let command = <Cli as clap::CommandFactory>::command();
    let mut open = vec![command];
    let mut checked = 0;
    while let Some(command) = open.pop() {
        let help = command.get_after_help().map(ToString::to_string);
        for line in joined(&help.unwrap_or_default()).lines() {
            // Explanations follow two or more spaces.
            let line = line.trim_start();
            if line.starts_with("sweep ") {
                let example = line.split("  ").next().unwrap_or_default();
                parse(&commands(example).swap_remove(0), line);
                checked += 1;
            }
        }
        open.extend(command.get_subcommands().cloned());
    }
    assert!(checked >= 20, "{checked}");
}

/// Joins lines that go on in the next one, which is indented.
fn joined(script: &str) -> String {
    let mut parts = script.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| whole + part.trim_start())
}

/// Returns the words of each command of a shell script: lines are joined at `\`, and pipes, redirections, assignments
/// and comments are left out.
fn commands(script: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    for line in joined(script).lines() {
        let mut words: Vec<String> = Vec::new();
        for word in split(line) {
            match word.as_str() {
                "|" | "&&" | ";" => commands.push(std::mem::take(&mut words)),
                "&" => {}
                "#" => break,
                _ => words.push(word),
            }
        }
        if let Some(redirection) = words.iter().position(|word| word == ">") {
            words.truncate(redirection);
        }
        commands.push(words);
    }
    for words in &mut commands {
        if words.first().is_some_and(|word| word == "nohup") {
            words.remove(0);
        }
        while words.first().is_some_and(|word| word.contains('=')) {
            words.remove(0);
        }
    }
    commands.retain(|words| !words.is_empty());
    commands
}

/// Splits a line at white space outside of quotes, and takes the quotes away.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in line.chars() {
        match (letter, quote) {
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (_, Some(open)) if letter == open => quote = None,
            (_, None) if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[test]
fn a_shell_line_is_split_into_commands() {
    let script = "sweep plan a.toml --set 'a.\"b c\"=1' | jq . # why\nsweep schema > s.json\n";
    let expected = [
        vec!["sweep", "plan", "a.toml", "--set", "a.\"b c\"=1"],
        vec!["jq", "."],
        vec!["sweep", "schema"],
    ];
    assert_eq!(commands(script), expected);
}

#[test]
fn a_command_that_goes_on_in_the_next_line_is_one() {
    let script = "sweep run a.toml \\\n      --no-retry\n";
    assert_eq!(joined(script), "sweep run a.toml --no-retry\n");
    assert_eq!(commands(script), [["sweep", "run", "a.toml", "--no-retry"]]);
}

#[test]
fn every_message_of_the_trainer_protocol_in_the_documentation_is_valid() {
    let mut checked = 0;
    for page in pages() {
        for block in page.blocks() {
            let place = format!("{}:{}", page.name(), block.line);
            match block.language {
                "json attempt" => {
                    let attempt = serde_json::from_str::<Attempt>(&block.text);
                    attempt.unwrap_or_else(|error| panic!("{place}: {error}"));
                    checked += 1;
                }
                "json events" => {
                    for line in block.text.lines() {
                        let event = serde_json::from_str::<Event>(line);
                        event.unwrap_or_else(|error| panic!("{place}: {line}: {error}"));
                        checked += 1;
                    }
                }
                _ => {}
            }
        }
    }
    assert!(checked >= 5, "{checked}");
}

#[test]
fn the_readme_has_at_most_two_hundred_lines() {
    let page = Page::read(root().join("README.md"));
    let lines = page.text.lines().count();
    assert!(lines <= 200, "{lines}");
}
