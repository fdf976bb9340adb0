//! The text of a sweep file and of those that it builds on, and how to point into it.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use super::diagnostic::{Diagnostic, nearest};

/// The text that is in force, and the file it is from, or the files, one behind the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    /// Which file begins where, if there are several.
    pub(super) layers: &'a [Layer],
}

/// One of the files.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) path: PathBuf,
    /// Where its text begins in that of all.
    pub(super) start: usize,
    /// Its text behind as many spaces: parsed, it has the positions of the text of all.
    padded: String,
}

impl Layer {
    /// A file whose text begins at `start` in the text of all.
    pub(super) fn new(path: &Path, text: &str, start: usize) -> Layer {
        Layer {
            path: path.to_owned(),
            start,
            padded: format!("{}{text}", " ".repeat(start)),
        }
    }

    /// The text behind `start` spaces: parsed, it has the spans of the text of all.
    pub(super) fn padded(&self) -> &str {
        &self.padded
    }

    pub(super) fn text(&self) -> &str {
        &self.padded[self.start..]
    }

    /// A place in this text alone.
    pub(super) fn local(&self, span: &Range<usize>) -> Range<usize> {
        span.start - self.start..span.end.saturating_sub(self.start)
    }
}

impl<'a> Source<'a> {
    /// A single file.
    pub(super) fn of_file(path: &'a Path, text: &'a str) -> Source<'a> {
        Source {
            path,
            text,
            layers: &[],
        }
    }

    pub(super) fn at(&self, span: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        match self.layers.iter().rfind(|layer| layer.start <= span.start) {
            Some(layer) => Diagnostic::at(&layer.path, layer.text(), layer.local(span), message),
            None => Diagnostic::at(self.path, self.text, span.clone(), message),
        }
    }

    pub(super) fn unknown_key(
        &self,
        span: &Range<usize>,
        found: &str,
        known: &[&str],
    ) -> Diagnostic {
        let diagnostic = self.at(
            span,
            format!("unknown key `{found}`, expected {}", alternatives(known)),
        );
        match nearest(found, known.iter().copied()) {
            Some(near) => diagnostic.with_hint(format!("did you mean `{near}`?")),
            None => diagnostic,
        }
    }

    /// The file of a place.
    pub(super) fn file(&self, at: usize) -> &Path {
        self.layers
            .iter()
            .rfind(|layer| layer.start <= at)
            .map_or(self.path, |layer| &layer.path)
    }

    /// Whether a place is in the file itself, not in one that it builds on.
    pub(super) fn is_own(&self, at: usize) -> bool {
        self.layers.last().is_none_or(|own| own.start <= at)
    }

    /// The line of a place in its file, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        let start = self
            .layers
            .iter()
            .rfind(|layer| layer.start <= at)
            .map_or(0, |layer| layer.start);
        1 + self.text[start..]
            .bytes()
            .take(at - start)
            .filter(|&byte| byte == b'\n')
            .count()
    }
}

fn alternatives(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" or ")
}
