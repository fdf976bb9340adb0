//! The last step before a text reaches a terminal: nothing in it commands the terminal but the program's
//! own colors.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use schema::visible::{escaped, is_hidden};

/// Returns the text with hidden characters as escapes, apart from sequences that set a color or a weight.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_hidden) {
        let (before, hidden) = rest.split_at(at);
        shown.push_str(before);
        let kept = style(hidden).unwrap_or_default();
        shown.push_str(kept);
        rest = &hidden[kept.len()..];
        if kept.is_empty()
            && let Some(character) = rest.chars().next()
        {
            shown.push_str(&escaped(character));
            rest = &rest[character.len_utf8()..];
        }
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// The sequence at the start of a text, if it sets a color or a weight: `ESC [ 1 ; 31 m`.
fn style(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let length = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    parameters[length..]
        .starts_with('m')
        .then(|| &text[..length + 3])
}

/// Writes texts, each a whole number of characters, as [`printable`] has them.
pub(super) struct PrintableWriter<W: Write>(pub(super) W);

impl<W: Write> Write for PrintableWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        self.0.write_all(printable(text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colors_and_weights_reach_a_terminal() {
        let bold = "\u{1b}[1mtable\u{1b}[0m ± \u{1b}[1;31merror\u{1b}[0m\n\tMüller";
        assert_eq!(printable(bold), bold);
        let hostile = [
            ("\u{1b}[2J", "\\u001b[2J"),
            ("\u{1b}]0;title\u{7}", "\\u001b]0;title\\u0007"),
            ("\u{1b}[1", "\\u001b[1"),
            ("\u{1b}", "\\u001b"),
            ("a\0b\u{9b}2Jc", "a\\u0000b\\u009b2Jc"),
            ("\u{202e}gnp.exe", "\\u202egnp.exe"),
        ];
        for (text, shown) in hostile {
            assert_eq!(printable(text), shown);
        }
    }
}
