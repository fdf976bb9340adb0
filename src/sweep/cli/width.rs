//! Prose that fits the terminal: lines are broken between words, and continue below their text.

use std::io;

use terminal_size::{Width, terminal_size_of};
use textwrap::{Options, WordSplitter, core::display_width, wrap};

/// Narrower terminals are taken to be this wide.
const NARROWEST: usize = 40;

/// Returns the characters of a line of the terminal on standard output, if there is one.
pub(super) fn of_terminal() -> Option<usize> {
    let (Width(width), _) = terminal_size_of(io::stdout())?;
    Some(usize::from(width).max(NARROWEST))
}

/// Returns a text whose lines fit the terminal, or the text as it is if standard output is none.
pub(super) fn wrapped(text: &str) -> String {
    match of_terminal() {
        Some(width) => wrapped_to(text, width),
        None => text.to_owned(),
    }
}

fn wrapped_to(text: &str, width: usize) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| one(line, width)).collect();
    lines.join("\n")
}

fn one(line: &str, width: usize) -> String {
    if display_width(line) <= width {
        return line.to_owned();
    }
    let text = line.trim_start();
    let indentation = &line[..line.len() - text.len()];
    let below = format!("{indentation}  ");
    let options = Options::new(width)
        .initial_indent(indentation)
        .subsequent_indent(&below)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false);
    wrap(text, options).join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_continue_below_their_text() {
        let text = "loss.triplet\n    the hinge of the difference of two distances\n";
        assert_eq!(
            wrapped_to(text, 30),
            "loss.triplet\n    the hinge of the\n      difference of two\n      distances\n"
        );
    }
}
