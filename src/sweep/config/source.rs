//! The texts of a sweep file, of those that it builds on and of `--set`, and how to point into them.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    diagnostic::Diagnostic,
    meant::{self, nearest},
};

/// All texts, one behind the other. A position says which of them is meant, and where in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    /// The sweep file.
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    /// Where the lines of the text end, in order.
    pub(super) newlines: &'a [usize],
    /// The texts in the order of their positions. Empty: `text` is that of the sweep file alone.
    pub(super) layers: &'a [Layer],
}

/// One of the texts.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) kind: LayerKind,
    /// Where it lies in the text of all.
    pub(super) place: Range<usize>,
}

/// What a text is.
#[derive(Debug)]
pub(super) enum LayerKind {
    /// A file or a preset.
    File(PathBuf),
    /// An assignment of the command line.
    Set,
    /// The values of a range, which is written at this place.
    Range(Range<usize>),
}

/// What diagnostics call the command line.
pub(super) const SET: &str = "--set";

impl Layer {
    /// A place of the text of all as a place in this text alone.
    fn local(&self, span: &Range<usize>) -> Range<usize> {
        let start = span.start.clamp(self.place.start, self.place.end);
        let end = span.end.clamp(start, self.place.end);
        start - self.place.start..end - self.place.start
    }

    fn path(&self) -> &Path {
        match &self.kind {
            LayerKind::File(path) => path,
            LayerKind::Set | LayerKind::Range(_) => Path::new(SET),
        }
    }
}

impl Source<'_> {
    pub(super) fn at(&self, span: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        let Some(layer) = self.layer(span.start) else {
            return Diagnostic::at(self.path, self.text, span.clone(), message);
        };
        let text = &self.text[layer.place.clone()];
        match &layer.kind {
            LayerKind::Range(range) => {
                let value = &text[layer.local(span)];
                self.at(range, message)
                    .with_label(format!("the value {value}"))
            }
            LayerKind::File(_) | LayerKind::Set => {
                Diagnostic::at(layer.path(), text, layer.local(span), message)
            }
        }
    }

    pub(super) fn unknown_key(
        &self,
        span: &Range<usize>,
        found: &str,
        known: &[&str],
    ) -> Diagnostic {
        let message = format!("unknown key `{found}`, expected {}", meant::either(known));
        let diagnostic = self.at(span, message);
        match nearest(found, known.iter().copied()) {
            Some(near) => diagnostic.with_hint(format!("did you mean `{near}`?")),
            None => diagnostic,
        }
    }

    /// Returns the text that begins at a position: a file, or an assignment.
    pub(super) fn text_from(&self, start: usize) -> &str {
        let end = self
            .layer(start)
            .map_or(self.text.len(), |layer| layer.place.end);
        &self.text[start..end]
    }

    /// Returns the text at a place.
    pub(super) fn written(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// Returns the file of a place; none for one of the command line.
    pub(super) fn file(&self, at: usize) -> Option<&Path> {
        match self.layer(at) {
            None => Some(self.path),
            Some(layer) => match &layer.kind {
                LayerKind::File(path) => Some(path),
                LayerKind::Range(range) => self.file(range.start),
                LayerKind::Set => None,
            },
        }
    }

    /// True if a place is in the sweep file itself, not in one that it builds on.
    pub(super) fn is_own(&self, at: usize) -> bool {
        self.file(at).is_some_and(|file| file == self.path)
    }

    /// Returns the line of a place in its file, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        let start = match self.layer(at) {
            None => 0,
            Some(layer) => match &layer.kind {
                LayerKind::Range(range) => return self.line(range.start),
                LayerKind::File(_) | LayerKind::Set => layer.place.start,
            },
        };
        1 + self.newlines_before(at.max(start)) - self.newlines_before(start)
    }

    fn newlines_before(&self, at: usize) -> usize {
        self.newlines.partition_point(|newline| *newline < at)
    }

    fn layer(&self, at: usize) -> Option<&Layer> {
        let next = self.layers.partition_point(|layer| layer.place.start <= at);
        self.layers.get(next.checked_sub(1)?)
    }
}
