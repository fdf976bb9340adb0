//! Text from elsewhere in a table: names of methods and classes, messages of trainers, values of a file.

use std::borrow::Cow;

pub(crate) use schema::visible::one_line;
use schema::visible::visible;

/// The text in one line that Markdown shows as it is.
pub(crate) fn escape(text: &str) -> String {
    let text = one_line(text);
    let mut escaped = String::new();
    for (start, character) in text.char_indices() {
        let end = start + character.len_utf8();
        if means(&text[..start], character, text[end..].chars().next()) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// True if Markdown gives a meaning to a character between these: a mark, a link, an entity, or at the
/// beginning a heading, a quotation or a list.
fn means(before: &str, character: char, next: Option<char>) -> bool {
    let is_first = before.is_empty();
    let is_number = !is_first && before.bytes().all(|byte| byte.is_ascii_digit());
    let is_letter = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
    match character {
        '\\' | '|' | '*' | '<' | '`' | '~' | '$' => true,
        '_' => !(is_letter(before.chars().last()) && is_letter(next)),
        ']' => matches!(next, Some('(' | '[' | ':')),
        '&' => next.is_some_and(|next| next == '#' || next.is_ascii_alphanumeric()),
        '#' | '>' => is_first,
        '+' | '-' => is_first && next == Some(' '),
        '.' | ')' => is_number && next == Some(' '),
        _ => false,
    }
}

/// The text in one line as code, which Markdown shows as it is.
pub(crate) fn code(text: &str) -> String {
    let text = one_line(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    match longest {
        0 => format!("`{text}`"),
        _ => format!("{fence} {text} {fence}"),
    }
}

/// The text as a field of a CSV file: with a leading `'` where a spreadsheet would take it for a formula.
pub fn field(text: &str) -> String {
    as_field(text).into_owned()
}

/// The same, without a copy of a text that is one already.
pub(crate) fn as_field(text: &str) -> Cow<'_, str> {
    let text = visible(text);
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t']);
    match is_formula && text.parse::<f64>().is_err() {
        true => Cow::Owned(format!("'{text}")),
        false => text,
    }
}

/// The letters and digits of a name, for keys and folders: `Triplet, semi-hard` is `triplet-semi-hard`.
pub(crate) fn plain(name: &str) -> String {
    let words = name.split(|character: char| !character.is_ascii_alphanumeric());
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    match words[..] {
        [] => "row".to_owned(),
        _ => words.join("-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_shows_a_text_as_it_is() {
        assert_eq!(escape("a|b <script> `c`"), "a\\|b \\<script> \\`c\\`");
        assert_eq!(
            escape("# no heading\n- nor a list"),
            "\\# no heading - nor a list"
        );
        assert_eq!(
            escape("[x](y) &#8238; \u{1b}[1m"),
            "[x\\](y) \\&#8238; \\\\u001b[1m"
        );
        assert_eq!(escape("-0.1"), "-0.1");
        assert_eq!(code("sweep run a.toml"), "`sweep run a.toml`");
        assert_eq!(code("--set 'a=`b`'"), "`` --set 'a=`b`' ``");
    }

    #[test]
    fn no_field_is_a_formula() {
        for text in ["=1+1", "+cmd", "-cmd", "@sum", "\tx"] {
            assert_eq!(field(text), format!("'{text}"));
        }
        for text in ["-0.1", "+1e-3", "Triplet", "", "a=b"] {
            assert_eq!(field(text), text);
        }
    }
}
