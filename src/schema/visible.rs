//! Text that others wrote, made visible: trainers, logs, data sets and sweep files may hold characters
//! that command a terminal or reorder a line.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

/// Returns the text with each character that is not shown as itself as an escape such as `\u001b`.
/// Line breaks and tabs stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n");
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match is_hidden(character) {
            true => shown.push_str(&escaped(character)),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Returns the text in one line, with nothing hidden in it.
pub fn one_line(text: &str) -> String {
    visible(text).replace(['\n', '\t'], " ")
}

/// True for a character that commands a terminal, or reorders or hides the text around it.
pub fn is_hidden(character: char) -> bool {
    let is_control = character.is_control() && !matches!(character, '\n' | '\t');
    is_control
        || matches!(character,
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{feff}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
}

/// Returns the escape of a character, as JSON and TOML have it.
pub fn escaped(character: char) -> String {
    let mut units = [0; 2];
    let units = character.encode_utf16(&mut units).iter();
    units.map(|unit| format!("\\u{unit:04x}")).collect()
}

/// Reads a text and makes it visible.
///
/// # Errors
/// It is no text.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(visible(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;

    #[test]
    fn what_is_not_shown_as_itself_is_shown_as_an_escape() {
        assert_eq!(visible("Müller 猫 ± ≈\n\tx"), "Müller 猫 ± ≈\n\tx");
        assert_eq!(visible("\u{1b}]0;title\u{7}"), "\\u001b]0;title\\u0007");
        assert_eq!(visible("a\0b\u{9b}c\u{7f}"), "a\\u0000b\\u009bc\\u007f");
        assert_eq!(visible("exe\u{202e}gnp"), "exe\\u202egnp");
        assert_eq!(visible("one\r\ntwo\rthree"), "one\ntwo\\u000dthree");
        assert_eq!(visible("tag \u{e0041}"), "tag \\udb40\\udc41");
    }

    #[test]
    fn an_escape_is_one_of_json() {
        for character in ['\u{1b}', '\u{202e}', '\u{e0041}'] {
            let text: String =
                serde_json::from_str(&format!("\"{}\"", escaped(character))).unwrap();
            assert_eq!(text, character.to_string());
        }
    }

    #[test]
    fn what_a_trainer_tells_is_visible() {
        let lines = [
            "{\"failed\":{\"class\":\"data\",\"message\":\"\\u001b[2Jgone\"}}",
            "{\"remark\":{\"text\":\"\\u001b[2Jgone\"}}",
        ];
        for line in lines {
            let event: Event = serde_json::from_str(line).unwrap();
            assert!(!format!("{event:?}").contains("u{1b}"), "{event:?}");
        }
    }
}
