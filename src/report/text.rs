//! Text from elsewhere in a table: names of methods and classes, messages of trainers, values of a file.

pub(crate) use schema::visible::one_line;
use schema::visible::visible;

/// The text in one line that Markdown shows as it is.
pub(crate) fn escape(text: &str) -> String {
    let text = one_line(text);
    let mut escaped = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if means(character, characters.peek().copied(), escaped.is_empty()) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// True if Markdown gives a meaning to a character before the next one: a mark, a link, an entity, or at the
/// beginning a heading, a quotation or a list.
fn means(character: char, next: Option<char>, is_first: bool) -> bool {
    match character {
        '\\' | '|' | '*' | '<' | '`' | '~' | '$' => true,
        ']' => next == Some('('),
        '&' => next.is_some_and(|next| next == '#' || next.is_ascii_alphanumeric()),
        '#' | '>' => is_first,
        '+' | '-' => is_first && next == Some(' '),
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
    let text = visible(text);
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t']);
    match is_formula && text.parse::<f64>().is_err() {
        true => format!("'{text}"),
        false => text.into_owned(),
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
