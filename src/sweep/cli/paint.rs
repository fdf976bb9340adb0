//! Colors of the words that begin lines about progress: green for what went well, yellow for what needs
//! a look, red for failures.

use anstyle::{AnsiColor, Style};

use super::color_on_stderr;

/// How something went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Doubtful,
    Bad,
}

impl Tone {
    /// Returns the word that begins a line on standard error, as wide as all of them.
    pub(super) fn word(self, word: &str) -> String {
        self.painted(&format!("{word:<9}"), color_on_stderr())
    }

    fn painted(self, text: &str, color: bool) -> String {
        if !color {
            return text.to_owned();
        }
        let color = match self {
            Tone::Good => AnsiColor::Green,
            Tone::Doubtful => AnsiColor::Yellow,
            Tone::Bad => AnsiColor::Red,
        };
        let style = Style::new().fg_color(Some(color.into())).bold();
        format!("{style}{text}{style:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_color_a_word_is_only_padded() {
        assert_eq!(Tone::Bad.painted("failed", false), "failed");
        let red = Tone::Bad.painted("failed", true);
        assert!(red.contains("failed") && red.starts_with('\x1b'));
    }
}
