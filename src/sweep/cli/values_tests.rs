//! What options say of values that they do not take. The options are those of the parser: none is listed here.

use std::ffi::OsString;

use clap::{Arg, Command, CommandFactory, error::ErrorKind};

use super::Cli;

/// Amounts as they are typed. What takes one of them, but no word, takes amounts.
const AMOUNTS: [&str; 7] = ["1", "0.5", "50%", "24GB", "3d", "3h", "01:00:00"];

/// Returns all commands, with those below them.
fn commands(command: Command) -> Vec<Command> {
    let below = command.get_subcommands().cloned();
    let mut all: Vec<Command> = below.flat_map(commands).collect();
    all.push(command);
    all
}

/// Returns what a command says if it is given these arguments alone; nothing if they are enough.
fn error(command: &Command, arguments: &[String]) -> Option<clap::Error> {
    let alone = command.clone().no_binary_name(true);
    alone.try_get_matches_from(arguments).err()
}

/// Returns what an option says if it refuses a value; nothing if it takes the value, whatever else is missing.
fn refusal(command: &Command, option: &Arg, value: &str) -> Option<String> {
    let long = option.get_long().unwrap_or_default();
    let given = [format!("--{long}"), value.to_owned()];
    let error = error(command, &given)?;
    let is_refusal = matches!(
        error.kind(),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue
    );
    is_refusal.then(|| error.to_string())
}

#[test]
fn a_negative_amount_is_answered_by_the_option_itself() {
    let mut tried = 0;
    for command in commands(Cli::command()) {
        for option in command.get_opts() {
            let refused = |value: &str| refusal(&command, option, value);
            let amounts = AMOUNTS.iter().filter(|amount| refused(amount).is_none());
            if refused("word").is_none() {
                continue;
            }
            for amount in amounts {
                let negative = format!("-{amount}");
                let told = refused(&negative);
                let place = format!("{} --{} {negative}", command.get_name(), option.get_id());
                assert!(told.is_some_and(|told| told.contains(&negative)), "{place}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 15, "{tried}");
}

#[test]
fn a_number_out_of_range_is_answered_with_the_range() {
    for (arguments, told) in [
        (["simulate", "--gpus", "-1"], "-1 is not in 1..=4096"),
        (["simulate", "--gpu-share", "-5%"], "from 0 % to 100 %"),
        (["simulate", "--gpu-share", "0%"], "more than 0 %"),
        (["simulate", "--gpu-memory", "-24GB"], "a size such as 24GB"),
        (["worker", "--chunk", "-1"], "the number of a chunk, from 0"),
        (["data add", "--test-fraction", "-.5"], "between 0 and 1"),
    ] {
        let [names, given @ ..] = arguments;
        let words = names.split(' ').chain(given);
        let words: Vec<String> = words.map(str::to_owned).collect();
        let error = error(&Cli::command(), &words).map(|error| error.to_string());
        assert!(
            error.as_ref().is_some_and(|error| error.contains(told)),
            "{arguments:?}: {error:?}"
        );
    }
}

#[test]
fn every_option_for_a_folder_refuses_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = OsString::from(file.path()).into_string().unwrap();
    let mut tried = 0;
    for command in commands(Cli::command()) {
        for option in command.get_opts() {
            let names = option.get_value_names().unwrap_or_default();
            let is_folder =
                |name: &clap::builder::Str| ["FOLDER", "RESULTS"].contains(&name.as_str());
            if names.iter().any(is_folder) {
                let told = refusal(&command, option, &file);
                let place = format!("{} --{}", command.get_name(), option.get_id());
                let told = told.unwrap_or_else(|| panic!("{place} takes a file"));
                assert!(told.contains("is a file; name a folder"), "{place}: {told}");
                tried += 1;
            }
        }
    }
    assert!(tried > 20, "{tried}");
}
