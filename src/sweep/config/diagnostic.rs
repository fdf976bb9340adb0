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
    text: String,
    span: Option<Range<usize>>,
    message: String,
    hint: Option<String>,
}

impl Diagnostic {
    /// A mistake that concerns the file as a whole.
    pub fn of_file(file: &Path, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            file: file.to_owned(),
            text: String::new(),
            span: None,
            message: message.into(),
            hint: None,
        }
    }

    /// A mistake at `place`, in bytes, of `text`.
    pub fn at(
        file: &Path,
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic {
            text: text.to_owned(),
            span: Some(span),
            ..Diagnostic::of_file(file, message)
        }
    }

    /// Adds what would be right.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Diagnostic {
        self.hint = Some(hint.into());
        self
    }

    /// The line of its place, from 1.
    pub fn line(&self) -> Option<usize> {
        let before = self.text.get(..self.span.as_ref()?.start)?;
        Some(1 + before.bytes().filter(|&byte| byte == b'\n').count())
    }

    /// The message with file, line, column and a caret; with terminal colours if asked.
    pub fn render(&self, colour: bool) -> String {
        self.rendered(Level::ERROR, colour)
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
                Snippet::source(self.text.as_str())
                    .path(path)
                    .annotation(AnnotationKind::Primary.span(self.visible(span))),
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

/// The candidate that `found` is most likely a misspelling of.
pub(super) fn nearest<'a>(
    found: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(found, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(found.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
