//! The text of a sweep file and of those that it builds on, and how to point into it.

use std::{ops::Range, path::Path};

use super::{
    diagnostic::{Diagnostic, nearest},
    layers::Layer,
};

/// The text that is in force, and the file it is from, or the files, one behind the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    /// Which file begins where, if there are several.
    pub(super) layers: &'a [Layer],
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

    pub(super) fn at(&self, place: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        match self.layers.iter().rfind(|layer| layer.start <= place.start) {
            Some(layer) => Diagnostic::at(&layer.path, layer.text(), layer.local(place), message),
            None => Diagnostic::at(self.path, self.text, place.clone(), message),
        }
    }

    pub(super) fn unknown_key(
        &self,
        place: &Range<usize>,
        found: &str,
        known: &[&str],
    ) -> Diagnostic {
        let diagnostic = self.at(
            place,
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
