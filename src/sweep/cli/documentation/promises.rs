//! Sentences that promise something of all commands.

use std::collections::BTreeSet;

use clap::CommandFactory;

use super::{Page, root};
use crate::cli::Cli;

/// Returns the names of the commands that have an option, those of a group with its name before them.
fn commands_with(option: &str) -> BTreeSet<String> {
    let cli = Cli::command();
    let mut found = BTreeSet::new();
    for command in cli.get_subcommands() {
        if has(command, option) {
            found.insert(command.get_name().to_owned());
        }
        let parts = command.get_subcommands().filter(|part| has(part, option));
        found.extend(parts.map(|part| format!("{} {}", command.get_name(), part.get_name())));
    }
    found
}

fn has(command: &clap::Command, option: &str) -> bool {
    let mut arguments = command.get_arguments();
    arguments.any(|argument| argument.get_long() == Some(option))
}

#[test]
fn the_commands_that_are_said_to_have_json_have_it_and_no_others() {
    let page = Page::read(root().join("docs/commands.md"));
    let (before, _) = page.text.split_once(" have `--json`").unwrap();
    let (_, sentence) = before.rsplit_once("standard error. ").unwrap();
    let named = sentence.split('`').skip(1).step_by(2);
    let named: BTreeSet<String> = named.map(str::to_owned).collect();
    assert_eq!(named, commands_with("json"));
}
