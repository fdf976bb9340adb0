//! One mistake of a user, with its place in the file and, where there is one, a way out.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};

/// One mistake of a user.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    file: PathBuf,
    place: Option<Box<Place>>,
    message: String,
    hint: Option<String>,
    /// Further mistakes of the same file.
    others: Vec<Diagnostic>,
}

/// Where a mistake is in its file.
#[derive(Clone, Debug)]
struct Place {
    /// The line.
    text: String,
    /// Its number, from 1.
    line: usize,
    /// The place within the line.
    span: Range<usize>,
    /// What stands at the place, if that is not to be seen there.
    label: Option<String>,
}

impl Diagnostic {
    /// A mistake that concerns the file as a whole.
    pub fn of_file(file: &Path, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            file: file.to_owned(),
            place: None,
            message: message.into(),
            hint: None,
            others: Vec::new(),
        }
    }

    /// A mistake at `place`, in bytes, of `text`.
    pub fn at(
        file: &Path,
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        let (line, start, end) = line_at(text, span.start);
        let place = Place {
            text: text[start..end].to_owned(),
            line,
            span: span.start.saturating_sub(start)..span.end.saturating_sub(start),
            label: None,
        };
        Diagnostic {
            place: Some(Box::new(place)),
            ..Diagnostic::of_file(file, message)
        }
    }

    /// Adds what would be right.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a word to the caret.
    #[must_use]
    pub(super) fn with_label(mut self, label: String) -> Diagnostic {
        if let Some(place) = &mut self.place {
            place.label = Some(label);
        }
        self
    }

    /// Puts mistakes of one file together: the first, with all others after it.
    pub(super) fn all(mistakes: impl IntoIterator<Item = Diagnostic>) -> Option<Diagnostic> {
        let mut mistakes = mistakes.into_iter();
        let mut first = mistakes.next()?;
        first.others.extend(mistakes);
        Some(first)
    }

    /// The line of its place, from 1.
    pub fn line(&self) -> Option<usize> {
        let place = self.place.as_ref()?;
        let before = place.text.get(..place.span.start)?;
        Some(place.line + before.bytes().filter(|&byte| byte == b'\n').count())
    }

    /// Returns this mistake and the further ones as data: file, line, column, message and hint.
    pub fn as_json(&self) -> Vec<Value> {
        let all = std::iter::once(self).chain(&self.others);
        all.map(Diagnostic::one_as_json).collect()
    }

    fn one_as_json(&self) -> Value {
        let column = self.place.as_ref().and_then(|place| {
            let before = place.text.get(..place.span.start)?;
            Some(before.chars().count() + 1)
        });
        json!({
            "file": self.file,
            "line": self.line(),
            "column": column,
            "message": self.message,
            "hint": self.hint,
        })
    }

    /// The message with file, line, column and a caret; with terminal colours if asked. Further
    /// mistakes follow.
    pub fn render(&self, colour: bool) -> String {
        let shown = std::iter::once(self).chain(&self.others);
        let rendered: Vec<String> = shown
            .map(|mistake| mistake.rendered(Level::ERROR, colour))
            .collect();
        rendered.join("\n\n")
    }

    /// The same for something that may stand, and should be thought about.
    pub fn warning(&self, colour: bool) -> String {
        self.rendered(Level::WARNING, colour)
    }

    fn rendered(&self, level: Level<'_>, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let path = self.file.display().to_string();
        let title = level.primary_title(self.message.as_str());
        let mut report = vec![match &self.place {
            Some(place) => title.element(
                Snippet::source(place.text.as_str())
                    .line_start(place.line)
                    .path(path)
                    .annotation(
                        AnnotationKind::Primary
                            .span(place.visible())
                            .label(place.label.as_deref()),
                    ),
            ),
            None => title.element(annotate_snippets::Origin::path(path)),
        }];
        if let Some(hint) = &self.hint {
            report.push(Group::with_title(
                Level::HELP
                    .with_name(Some("hint"))
                    .secondary_title(hint.as_str()),
            ));
        }
        renderer.render(&report)
    }
}

impl Place {
    /// Only the first line of the place: a table's span may go on for a page.
    fn visible(&self) -> Range<usize> {
        let start = self.span.start.min(self.text.len());
        let end = self.span.end.clamp(start, self.text.len());
        let line = self
            .text
            .get(start..end)
            .and_then(|slice| slice.find('\n'))
            .map_or(end, |at| start + at);
        start..line.max(start)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostic {}

/// Returns the number of the line at a position, and its bounds. A position behind the last line has the
/// whole text for its line, whose end is shown then.
fn line_at(text: &str, at: usize) -> (usize, usize, usize) {
    if at >= text.len() || !text.is_char_boundary(at) {
        return (1, 0, text.len());
    }
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..]
        .find('\n')
        .map_or(text.len(), |newline| at + newline);
    let end = start + text[start..end].trim_end_matches('\r').len();
    let before = text[..start].bytes().filter(|&byte| byte == b'\n');
    (1 + before.count(), start, end)
}
