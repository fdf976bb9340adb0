//! The text of a sweep file, and how to point into it.

use std::{ops::Range, path::Path};

use super::diagnostic::{Diagnostic, nearest};

/// The text that is in force, and the file it is from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn at(&self, place: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.path, self.text, place.clone(), message)
    }

    pub(super) fn unknown_key(&self, place: &Range<usize>, found: &str, known: &[&str]) -> Diagnostic {
        let diagnostic = self.at(place, format!("unknown key `{found}`, expected {}", alternatives(known)));
        match nearest(found, known.iter().copied()) {
            Some(near) => diagnostic.with_hint(format!("did you mean `{near}`?")),
            None => diagnostic,
        }
    }

    /// The line of a place, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|&byte| byte == b'\n').count()
    }
}

fn alternatives(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" or ")
}
