//! One mistake of a user, with its place in the file and, where there is one, a way out.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// One mistake of a user.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    file: PathBuf,
    /// The line of its place.
    text: String,
    /// The number of this line, from 1.
    line: usize,
    /// The place within this line.
    span: Option<Range<usize>>,
    message: String,
    /// What stands at the place, if that is not to be seen there.
    label: Option<String>,
    hint: Option<String>,
    /// Further mistakes of the same file.
    others: Vec<Diagnostic>,
}

impl Diagnostic {
    /// A mistake that concerns the file as a whole.
    pub fn of_file(file: &Path, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            file: file.to_owned(),
            text: String::new(),
            line: 1,
            span: None,
            message: message.into(),
            label: None,
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
        Diagnostic {
            text: text[start..end].to_owned(),
            line,
            span: Some(span.start.saturating_sub(start)..span.end.saturating_sub(start)),
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
        self.label = Some(label);
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
        let before = self.text.get(..self.span.as_ref()?.start)?;
        Some(self.line + before.bytes().filter(|&byte| byte == b'\n').count())
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
        let mut report = vec![match &self.span {
            Some(span) => title.element(
                Snippet::source(self.text.as_str()).path(path).annotation(
                    AnnotationKind::Primary
                        .span(self.visible(span))
                        .label(self.label.as_deref()),
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

    /// Only the first line of the place: a table's span may go on for a page.
    fn visible(&self, span: &Range<usize>) -> Range<usize> {
        let start = span.start.min(self.text.len());
        let end = span.end.clamp(start, self.text.len());
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
