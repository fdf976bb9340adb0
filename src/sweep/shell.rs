//! Commands that messages show: each can be pasted into a shell, whatever blanks and quotes the names in it have.

use std::{fmt, path::Path};

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine(String);

impl CommandLine {
    /// Begins a command. The words are taken as they are, such as `sweep data add`.
    pub fn new(words: &str) -> CommandLine {
        CommandLine(words.to_owned())
    }

    /// Adds words as they are, such as a pattern of file names.
    pub fn plain(mut self, words: &str) -> CommandLine {
        self.0.push(' ');
        self.0.push_str(words);
        self
    }

    /// Adds one word, with quotes if a shell needs them.
    pub fn word(self, word: &str) -> CommandLine {
        self.plain(&quoted(word))
    }

    /// Adds the path of a file or folder.
    pub fn path(self, path: &Path) -> CommandLine {
        self.word(&path.display().to_string())
    }

    /// Adds an option with its value.
    pub fn option(self, option: &str, value: &str) -> CommandLine {
        self.plain(option).word(value)
    }

    /// Adds an option for a folder, unless it is the one that is used without the option.
    pub fn folder(self, option: &str, usual: &str, folder: &Path) -> CommandLine {
        if folder == Path::new(usual) {
            return self;
        }
        self.plain(option).path(folder)
    }

    /// Adds `--set` for each override of a sweep file.
    pub fn overrides(self, overrides: &[String]) -> CommandLine {
        overrides
            .iter()
            .fold(self, |command, set| command.option("--set", set))
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_every_word_as_it_was() {
        let words = [
            "", "a b", "it's", "$HOME", "a\nb", "*", "--x", "ü", "`id`", "a;b", "\\",
        ];
        for word in words {
            let command = CommandLine::new("printf %s").word(word).to_string();
            let output = Command::new("sh").args(["-c", &command]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word, "{command}");
        }
    }

    #[test]
    fn the_usual_folder_is_not_named() {
        let command = CommandLine::new("sweep data list");
        let with = |folder| {
            command
                .clone()
                .folder("--root", "data", Path::new(folder))
                .to_string()
        };
        assert_eq!(with("data"), "sweep data list");
        assert_eq!(with("my data"), "sweep data list --root 'my data'");
    }
}
