//! Old spellings of keys and of names that can be chosen.
//!
//! They are replaced in the parsed file, before files are laid over each other, so that all that
//! follows knows one spelling. Each old name leads to one warning. The grammar decides whether a
//! word is a key at all: a method that is called `grey` keeps its name.

use std::{borrow::Cow, collections::BTreeSet, ops::Range};

use schema::renamed::renamed;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostic::Diagnostic,
    grammar::{Grammar, Node},
    key::{node_of, parts, written},
    searched,
    set::Assignment,
    source::Source,
};

/// One old spelling in a file.
struct Renaming {
    span: Range<usize>,
    old: String,
    new: &'static str,
}

/// Respells one file.
struct Respeller<'s> {
    source: Source<'s>,
    found: Vec<Renaming>,
    /// Keys that are there in both spellings.
    doubled: Option<Renaming>,
}

/// Replaces all old spellings in a file, and returns a warning for each old name.
///
/// # Errors
/// A table has a key in both spellings.
pub(super) fn respell(
    source: Source<'_>,
    table: &mut DeTable<'_>,
) -> Result<Vec<Diagnostic>, Diagnostic> {
    let mut respeller = Respeller {
        source,
        found: Vec::new(),
        doubled: None,
    };
    respeller.table(table, Some(Grammar::of_sweep_files().root()));
    respeller.finish()
}

/// Replaces all old spellings in an assignment, and returns a warning for each old name.
///
/// # Errors
/// A table of its value has a key in both spellings.
pub(super) fn respell_assignment(
    source: Source<'_>,
    assignment: &mut Assignment,
    value: &mut Spanned<DeValue<'_>>,
) -> Result<Vec<Diagnostic>, Diagnostic> {
    let mut respeller = Respeller {
        source,
        found: Vec::new(),
        doubled: None,
    };
    let (key, span) = (&mut assignment.key, &assignment.key_span);
    for depth in 0..key.len() {
        let Some(node) = node_of(&key[..depth]) else {
            break;
        };
        let name = Cow::Owned(std::mem::take(&mut key[depth]));
        if node.is_keyed() {
            let (dotted, node) = respeller.dotted(name, span);
            key[depth] = dotted.into_owned();
            respeller.value(value, node);
            return respeller.finish();
        }
        key[depth] = respeller.name(name, span, Some(node)).into_owned();
    }
    match node_of(key) {
        Some(node) if node.is_keyed() => respeller.keyed(value.get_mut()),
        node => respeller.value(value, node),
    }
    respeller.finish()
}

/// Returns the spelling that the grammar knows, if `name` is an old one.
pub(super) fn current(name: &str, node: Node<'_>) -> Option<&'static str> {
    let knows = |name: &str| node.child(name).is_some() || node.names().contains(&name);
    renamed(name).filter(|new| !knows(name) && knows(new))
}

impl Respeller<'_> {
    fn table(&mut self, table: &mut DeTable<'_>, node: Option<Node<'_>>) {
        for (key, mut value) in std::mem::take(table) {
            let span = key.span();
            let key = self.name(key.into_inner(), &span, node);
            let inner = node.and_then(|node| node.child(&key));
            match inner {
                Some(inner) if inner.is_keyed() => self.keyed(value.get_mut()),
                inner => self.value(&mut value, inner),
            }
            self.insert(table, Spanned::new(span, key), value);
        }
    }

    /// Respells a table, or tables, whose keys are dotted keys of settings: `[axes]`, `when`, `set`.
    fn keyed(&mut self, value: &mut DeValue<'_>) {
        let table = match value {
            DeValue::Table(table) => table,
            DeValue::Array(items) => {
                items.iter_mut().for_each(|item| self.keyed(item.get_mut()));
                return;
            }
            _ => return,
        };
        for (key, mut value) in std::mem::take(table) {
            let span = key.span();
            let (key, node) = self.dotted(key.into_inner(), &span);
            match node {
                Some(node) if !node.is_keyed() => self.value(&mut value, Some(node)),
                // `when` and `set` of an [[override]].
                _ => self.keyed(value.get_mut()),
            }
            self.insert(table, Spanned::new(span, key), value);
        }
    }

    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, node: Option<Node<'_>>) {
        let span = value.span();
        match value.get_mut() {
            DeValue::String(name) => *name = self.name(std::mem::take(name), &span, node),
            DeValue::Table(table) if searched::is_one(table) => self.searched(table, node),
            DeValue::Table(table) => self.table(table, node),
            DeValue::Array(items) => {
                let node = node.map(|node| node.items().unwrap_or(node));
                items.iter_mut().for_each(|item| self.value(item, node));
            }
            _ => {}
        }
    }

    /// Respells the values among which one is searched.
    fn searched(&mut self, table: &mut DeTable<'_>, node: Option<Node<'_>>) {
        for (key, value) in table.iter_mut() {
            if key.get_ref() == "when" {
                self.keyed(value.get_mut());
            } else {
                self.value(value, node);
            }
        }
    }

    fn dotted<'a>(
        &mut self,
        key: Cow<'a, str>,
        span: &Range<usize>,
    ) -> (Cow<'a, str>, Option<Node<'static>>) {
        let Some(mut path) = parts(&key) else {
            return (key, None);
        };
        let mut is_renamed = false;
        for depth in 0..path.len() {
            let node = setting(&path[..depth]);
            let name = Cow::Owned(path[depth].clone());
            let new = self.name(name, span, node);
            is_renamed |= new != path[depth];
            path[depth] = new.into_owned();
        }
        let node = setting(&path);
        if !is_renamed {
            return (key, node);
        }
        (Cow::Owned(written(&path)), node)
    }

    fn name<'a>(
        &mut self,
        name: Cow<'a, str>,
        span: &Range<usize>,
        node: Option<Node<'_>>,
    ) -> Cow<'a, str> {
        let Some(new) = node.and_then(|node| current(&name, node)) else {
            return name;
        };
        self.found.push(Renaming {
            span: span.clone(),
            old: name.into_owned(),
            new,
        });
        Cow::Borrowed(new)
    }

    fn insert<'a>(
        &mut self,
        table: &mut DeTable<'a>,
        key: Spanned<Cow<'a, str>>,
        value: Spanned<DeValue<'a>>,
    ) {
        if table.contains_key(key.get_ref().as_ref()) {
            self.doubled = self.found.pop();
        }
        table.insert(key, value);
    }

    /// Returns one warning for each old name, unless a key is there in both spellings.
    fn finish(self) -> Result<Vec<Diagnostic>, Diagnostic> {
        let Some(Renaming { span, old, new }) = &self.doubled else {
            return Ok(self.warnings());
        };
        let message = format!("`{old}` and `{new}` are the same key, and both are set");
        Err(self
            .source
            .at(span, message)
            .with_hint(format!("remove `{old}`")))
    }

    /// Returns one warning for each old name, at its first occurrence.
    fn warnings(&self) -> Vec<Diagnostic> {
        let mut seen = BTreeSet::new();
        let first = self.found.iter().filter(|found| seen.insert(&found.old));
        first
            .map(|Renaming { span, old, new }| {
                let message = format!("`{old}` is renamed to `{new}`");
                self.source
                    .at(span, message)
                    .with_hint(format!("write `{new}`"))
            })
            .collect()
    }
}

/// Finds what the grammar allows at a dotted key. The keys of a searched value's `when` begin in the
/// table around it, and `dataset` stands for `data.dataset`.
fn setting(path: &[String]) -> Option<Node<'static>> {
    let begins = [&[][..], &["method", "0"], &["training"], &["data"]];
    begins.iter().find_map(|begin| {
        let begin = begin.iter().map(|&key| key.to_owned());
        let path: Vec<String> = begin.chain(path.iter().cloned()).collect();
        node_of(&path)
    })
}
