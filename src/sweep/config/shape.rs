//! Unknown and missing keys, unknown names, and values of another kind: all of a file at once.
//!
//! serde stops at its first error, and says what a type expects. This pass compares the whole file
//! with the grammar before, and says what to write instead, also to those who come from another
//! program. What the grammar leaves open is left to serde.

use std::{borrow::Cow, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostic::Diagnostic,
    grammar::{Grammar, Kind, Node, Scalar},
    key::{self, number, whole},
    meant::{is_same, nearest},
    searched,
    source::Source,
};
use crate::shell::CommandLine;

/// A file that can be run as it is.
const SMALLEST: &str = include_str!("smallest.toml");

/// More known names than this are not listed.
const FEW: usize = 13;

/// Maximum number of mistakes that are shown together.
const MOST_SHOWN: usize = 20;

/// Returns the mistakes of a file, in the order of their places; of many the first that are found.
pub(super) fn mistakes(source: &Source<'_>, file: &Spanned<DeTable<'_>>) -> Vec<Diagnostic> {
    let table = file.get_ref();
    let root = Grammar::of_sweep_files().root();
    if table.is_empty() {
        let empty = source.at(&file.span(), "the sweep file is empty");
        return vec![empty.with_hint(format!("the smallest one is\n{SMALLEST}"))];
    }
    let mut shape = Shape {
        source,
        file: table,
        given: given(table),
        path: Vec::new(),
        found: Vec::new(),
    };
    shape.table(table, &file.span(), root);
    let mut found = shape.found;
    found.sort_by_key(|(start, _)| *start);
    found.into_iter().map(|(_, mistake)| mistake).collect()
}

/// Returns the keys whose values are in `[axes]`, `[[zip]]` or the `set` of an `[[override]]`.
fn given(table: &DeTable<'_>) -> Vec<Vec<String>> {
    let mut tables: Vec<&DeTable<'_>> = Vec::new();
    tables.extend(table.get("axes").and_then(|axes| axes.get_ref().as_table()));
    let items = |name: &str| table.get(name).and_then(|items| items.get_ref().as_array());
    let rows = |name: &str| items(name).into_iter().flat_map(|items| items.iter());
    tables.extend(rows("zip").filter_map(|zip| zip.get_ref().as_table()));
    let overrides = rows("override").filter_map(|change| change.get_ref().as_table());
    tables.extend(overrides.filter_map(|change| change.get("set")?.get_ref().as_table()));
    let keys = tables.into_iter().flat_map(DeTable::keys);
    keys.filter_map(|key| match key.get_ref().as_ref() {
        "dataset" => key::parts("data.dataset"),
        name => key::parts(name),
    })
    .collect()
}

/// The comparison of one file with the grammar.
struct Shape<'s> {
    source: &'s Source<'s>,
    file: &'s DeTable<'s>,
    given: Vec<Vec<String>>,
    /// The keys that lead to the value at hand, with the names of methods in place of their positions.
    path: Vec<String>,
    /// The mistakes, each with its position.
    found: Vec<(usize, Diagnostic)>,
}

impl Shape<'_> {
    fn value(&mut self, value: &Spanned<DeValue<'_>>, node: Node<'_>) {
        let kind = node.kind();
        match (value.get_ref(), kind) {
            (_, Kind::Open) => {}
            (DeValue::Table(table), _) if is_searched(table) => {}
            (DeValue::Table(table), Kind::Table) => self.table(table, &value.span(), node),
            (DeValue::Table(table), Kind::Choice) => self.choice(table, &value.span(), node),
            (DeValue::String(name), Kind::Choice | Kind::Names) => {
                self.name(name, &value.span(), node);
            }
            (DeValue::Array(items), Kind::List) => {
                for (position, item) in items.iter().enumerate() {
                    if self.is_full() {
                        return;
                    }
                    let name = item
                        .get_ref()
                        .get("name")
                        .and_then(|name| name.get_ref().as_str());
                    self.path
                        .push(name.map_or_else(|| position.to_string(), str::to_owned));
                    if let Some(node) = node.items() {
                        self.value(item, node);
                    }
                    self.path.pop();
                }
            }
            (DeValue::Table(_), Kind::List) if self.path.len() == 1 => {
                let name = self.path.join(".");
                let message = format!("`{name}` is a list of tables: write `[[{name}]]`");
                self.add(&value.span(), message, None);
            }
            (found, Kind::Scalar(expected))
                if expected.accepts(found) && !is_below(found, node) => {}
            _ => self.another_kind(value, node),
        }
    }

    fn table(&mut self, table: &DeTable<'_>, span: &Range<usize>, node: Node<'_>) {
        let keys = node.keys();
        // A misspelt key is not missing as well.
        let mut misspelt = Vec::new();
        for (key, value) in table {
            if self.is_full() {
                return;
            }
            let name = key.get_ref().as_ref();
            match node.child(name) {
                Some(inner) => self.below(name, value, inner),
                None => {
                    self.unknown_key(key, value, node);
                    misspelt.extend(meant(name, &keys, node));
                }
            }
        }
        self.missing(table, &misspelt, span, node);
    }

    fn below(&mut self, key: &str, value: &Spanned<DeValue<'_>>, node: Node<'_>) {
        self.path.push(key.to_owned());
        self.value(value, node);
        self.path.pop();
    }

    fn missing(
        &mut self,
        table: &DeTable<'_>,
        misspelt: &[&str],
        span: &Range<usize>,
        node: Node<'_>,
    ) {
        let is_given = |key: &str| {
            let path: Vec<&str> = self.path.iter().map(String::as_str).chain([key]).collect();
            self.given.iter().any(|given| {
                given.len() >= path.len() && path.iter().zip(given).all(|(a, b)| a == b)
            })
        };
        let missing: Vec<&str> = node
            .required()
            .filter(|key| !table.contains_key(*key) && !misspelt.contains(key) && !is_given(key))
            .collect();
        let names: Vec<String> = missing.iter().map(|key| format!("`{key}`")).collect();
        let message = match names.as_slice() {
            [] => return,
            [key] => format!("missing key {key}"),
            keys => format!("missing keys {}", keys.join(", ")),
        };
        let lines: Vec<String> = missing.iter().map(|key| self.line_of(key, node)).collect();
        let hint = match lines.as_slice() {
            [line] => format!("write, for example, `{line}`"),
            lines => format!("write, for example,\n      {}", lines.join("\n      ")),
        };
        self.add(span, message, Some(hint));
    }

    /// Returns a line, or a table, that adds a key.
    fn line_of(&self, key: &str, node: Node<'_>) -> String {
        let Some(inner) = node.child(key) else {
            return format!("{key} = ..");
        };
        match (inner.kind(), inner.names().first()) {
            (Kind::Table, _) if self.path.is_empty() => format!("[{key}]"),
            (Kind::Choice | Kind::Names, Some(name)) => example(key, name, inner),
            (Kind::Scalar(Scalar::String), _) => format!("{key} = \"..\""),
            _ => format!("{key} = .."),
        }
    }

    fn unknown_key(
        &mut self,
        key: &Spanned<Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        node: Node<'_>,
    ) {
        let name = key.get_ref().as_ref();
        let keys = node.keys();
        let hint = match meant(name, &keys, node) {
            Some(key) => Some(format!(
                "did you mean `{key}`?{}",
                self.in_words(name, key, node)
            )),
            None => self.elsewhere(key, value, node),
        };
        let message = format!("unknown key `{}`{}", shortened(name), expected(&keys));
        let listed = || (keys.len() > FEW).then(|| format!("known are {}", keys.join(", ")));
        self.add(&key.span(), message, hint.or_else(listed));
    }

    /// Returns what a key means here, for someone who knows it by another name.
    fn in_words(&self, found: &str, key: &str, node: Node<'_>) -> String {
        let is_other_name = node
            .other_names()
            .iter()
            .any(|(other, name)| is_same(other, found) && *name == key);
        match node.child(key).and_then(Node::description) {
            Some(words) if is_other_name => {
                let sentence = words.split(". ").next().unwrap_or(words);
                format!(" Its value: {}", sentence.trim_end_matches('.'))
            }
            _ => String::new(),
        }
    }

    /// Returns where a key belongs that is unknown in this table, and the line to write there.
    fn elsewhere(
        &self,
        found: &Spanned<Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        node: Node<'_>,
    ) -> Option<String> {
        let place = found.span().start;
        let found = found.get_ref().as_ref();
        let below = node.find_key(found).map(|below| {
            let mut whole = self.path.clone();
            whole.extend(below);
            whole
        });
        let root = Grammar::of_sweep_files().root();
        let path = below.or_else(|| root.find_key(found))?;
        let (key, tables) = path.split_last()?;
        let table = match tables {
            [] => return Some(format!("did you mean [{key}]?")),
            [table] if table == key::METHOD && self.source.file(place).is_none() => {
                let assignment = format!("{table}.*.{}", self.source.text_from(place));
                return Some(format!(
                    "write {}",
                    CommandLine::new("--set").word(&assignment)
                ));
            }
            [table] if table == key::METHOD => "[[method]]".to_owned(),
            [table] => format!("[{table}]"),
            [table, choice, part]
                if root.descend(&[table, choice]).is_some_and(Node::is_choice) =>
            {
                return self.in_part([table, choice, part], key, value);
            }
            tables => format!("`{}`", tables.join(".")),
        };
        Some(format!("did you mean `{key}` of {table}?"))
    }

    /// Returns the line of a part with one of its settings: of the part that the file has, if that
    /// has the setting.
    fn in_part(
        &self,
        [table, choice, part]: [&str; 3],
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<String> {
        let node = Grammar::of_sweep_files().root().descend(&[table, choice])?;
        let chosen = self.file.get(table)?.get_ref().as_table()?.get(choice);
        let chosen = chosen.and_then(|chosen| chosen.get_ref().as_table());
        let chosen = chosen.and_then(|chosen| chosen.iter().next());
        let written = self.source.written(&value.span());
        let chosen = chosen.map(|(name, _)| name.get_ref().as_ref());
        let chosen = chosen.filter(|part| node.descend(&[*part, key]).is_some());
        if self.source.file(value.span().start).is_none() {
            let part = chosen.unwrap_or(part);
            let assignment = format!("{table}.{choice}.{part}.{key}={written}");
            return Some(format!(
                "write {}",
                CommandLine::new("--set").word(&assignment)
            ));
        }
        if let Some(part) = chosen {
            return Some(format!(
                "write `{key} = {written}` between the braces of `{choice}.{part} = {{ .. }}`"
            ));
        }
        let needed = node.child(part)?.required().filter(|other| *other != key);
        let needed: String = needed.map(|other| format!(", {other} = ..")).collect();
        let place = match self.path == [table] {
            true => String::new(),
            false => format!(" in [{table}]"),
        };
        Some(format!(
            "write `{choice}.{part} = {{ {key} = {written}{needed} }}`{place}"
        ))
    }

    fn choice(&mut self, table: &DeTable<'_>, span: &Range<usize>, node: Node<'_>) {
        let mut keys = table.iter();
        match (keys.next(), keys.next()) {
            (Some((key, value)), None) => {
                let name = key.get_ref().as_ref();
                match node.child(name) {
                    Some(inner) => self.below(name, value, inner),
                    None if node.names().contains(&name) => {}
                    None => self.unknown_name(name, &key.span(), node),
                }
            }
            (Some(_), Some(_)) => self.several(table, span, node),
            (None, _) => {
                let name = node.names().first().copied().unwrap_or("NAME");
                let hint = self.example(name, span, node);
                let message = "a choice is missing here".to_owned();
                self.add(span, message, Some(format!("write, for example, `{hint}`")));
            }
        }
    }

    /// Several keys where one chooses: two choices, or a name among its settings.
    fn several(&mut self, table: &DeTable<'_>, span: &Range<usize>, node: Node<'_>) {
        let keys: Vec<&str> = table.keys().map(|key| key.get_ref().as_ref()).collect();
        let named = keys.iter().find_map(|key| {
            let text = table.get(*key)?.get_ref().as_str()?;
            let name = meant(text.rsplit('.').next()?, &node.names(), node)?;
            node.child(key).is_none().then_some((*key, name))
        });
        let hint = match named {
            Some((key, name)) => format!("write `{}`", self.chosen(name, key, table)),
            None => "write one name, and its settings in a table: `{ NAME = { .. } }`".to_owned(),
        };
        let found: Vec<String> = keys
            .iter()
            .map(|key| format!("`{}`", shortened(key)))
            .collect();
        let found = found.join(" and ");
        let message = format!("only one choice is allowed here, and there are {found}");
        self.add(span, message, Some(hint));
    }

    /// Returns the choice `name` with the settings of a table in which it is the value of `key`.
    fn chosen(&self, name: &str, key: &str, table: &DeTable<'_>) -> String {
        let settings: Vec<String> = table
            .iter()
            .filter(|(other, _)| other.get_ref() != key)
            .map(|(key, value)| {
                format!("{} = {}", key.get_ref(), self.source.written(&value.span()))
            })
            .collect();
        let choice = self.path.last().map_or("", String::as_str);
        format!("{choice}.{name} = {{ {} }}", settings.join(", "))
    }

    fn name(&mut self, name: &str, span: &Range<usize>, node: Node<'_>) {
        if !node.names().contains(&name) {
            self.unknown_string(name, span, node);
        } else if node.child(name).is_some() {
            let example = self.example(name, span, node);
            self.add(
                span,
                format!("`{name}` has settings of its own"),
                Some(format!("write `{example}`")),
            );
        }
    }

    /// An unknown name in quotes, which cannot have settings.
    fn unknown_string(&mut self, name: &str, span: &Range<usize>, node: Node<'_>) {
        let last = name.rsplit('.').next().unwrap_or(name);
        match meant(last, &node.names(), node).filter(|near| node.child(near).is_some()) {
            Some(near) => {
                let hint = format!(
                    "did you mean `{near}`? Write `{}`",
                    self.example(near, span, node)
                );
                self.add(span, unknown_name(name, node), Some(hint));
            }
            None => self.unknown_name(name, span, node),
        }
    }

    fn unknown_name(&mut self, name: &str, span: &Range<usize>, node: Node<'_>) {
        let names = node.names();
        let hint = match meant(name, &names, node) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if self.path == ["data", "dataset"] => Some(
                "for images of your own, add them by `sweep data add NAME FOLDER`, and write \
                 `dataset.own = { name = \"NAME\" }`"
                    .to_owned(),
            ),
            None if names.len() > FEW => Some(format!("known are {}", names.join(", "))),
            None => None,
        };
        self.add(span, unknown_name(name, node), hint);
    }

    fn another_kind(&mut self, value: &Spanned<DeValue<'_>>, node: Node<'_>) {
        let found = value.get_ref();
        let expected = match node.kind() {
            Kind::Scalar(scalar) => scalar.in_words(node),
            Kind::List => "a list".to_owned(),
            Kind::Names => "a name in quotes".to_owned(),
            Kind::Table => "a table".to_owned(),
            Kind::Choice | Kind::Open => "a name in quotes, or a name with settings".to_owned(),
        };
        let message = format!("found {}, expected {expected}", in_words(found));
        let hint = match found {
            DeValue::Array(items) => self
                .as_axis(self.source.written(&value.span()), &value.span())
                .or_else(|| self.as_only(items, node)),
            _ if is_item(found, node) => {
                let written = self.source.written(&value.span());
                Some(format!("write `[{written}]`"))
            }
            DeValue::Table(table) if self.is_searchable() => as_searched(table, self.source),
            DeValue::Table(table) => {
                listed(table, self.source).and_then(|values| self.as_axis(values, &value.span()))
            }
            DeValue::String(text) => self.instead_of_string(text, &value.span(), node),
            DeValue::Float(_) if node.kind() == Kind::Scalar(Scalar::Integer) => as_integer(found),
            _ => self.as_choice(value, node),
        };
        self.add(&value.span(), message, hint);
    }

    /// Returns the only item of a list, if it can be the value.
    fn as_only(&self, items: &[Spanned<DeValue<'_>>], node: Node<'_>) -> Option<String> {
        let [item] = items else { return None };
        let written = self.source.written(&item.span());
        is_one(item.get_ref(), node).then(|| format!("write `{written}`, without brackets"))
    }

    /// Returns the first choice whose setting can be this value: `{ steps = 3 }`.
    fn as_choice(&self, value: &Spanned<DeValue<'_>>, node: Node<'_>) -> Option<String> {
        let accepts = |name: &&str| match node.child(name).map(Node::kind) {
            Some(Kind::Scalar(scalar)) => scalar.accepts(value.get_ref()),
            _ => false,
        };
        let name = node.names().into_iter().find(accepts)?;
        let written = self.source.written(&value.span());
        Some(format!(
            "write `{} = {{ {name} = {written} }}`",
            self.path.last()?
        ))
    }

    fn instead_of_string(&self, text: &str, span: &Range<usize>, node: Node<'_>) -> Option<String> {
        if let (Kind::Table, [only], Some(key)) = (
            node.kind(),
            node.required().collect::<Vec<_>>().as_slice(),
            self.path.last(),
        ) {
            return Some(format!(
                "write `{key} = {{ {only} = \"{}\" }}`",
                shortened(text)
            ));
        }
        if !matches!(node.kind(), Kind::Scalar(_)) {
            return None;
        }
        if text.parse::<f64>().is_ok() {
            return Some(format!("write {text}, without quotes"));
        }
        if text.contains("${") {
            return Some("a sweep file has no variables: write the value itself".to_owned());
        }
        let values: Vec<&str> = text.split(',').map(str::trim).collect();
        let is_list = values.len() > 1 && values.iter().all(|value| value.parse::<f64>().is_ok());
        is_list
            .then(|| self.as_axis(&format!("[{}]", values.join(", ")), span))
            .flatten()
    }

    /// Returns what several values of one setting are: an axis, or values among which one is searched.
    fn as_axis(&self, list: &str, span: &Range<usize>) -> Option<String> {
        let table = self.path.first()?;
        let node = Grammar::of_sweep_files().root().child(table)?;
        if node.is_fixed() || self.path.len() < 2 || list.contains('\n') {
            return None;
        }
        if self.source.file(span.start).is_none() {
            let key = toml_edit::Key::new(key::written(&self.path));
            let axis = CommandLine::new("--set").word(&format!("axes.{key}={list}"));
            return Some(format!("for a row of each value write {axis}"));
        }
        let key: Vec<String> = self.path.iter().map(|part| quoted(part)).collect();
        let axis = format!(
            "for a row of each value write `\"{}\" = {list}` in [axes]",
            key.join(".")
        );
        let search = match self.is_searchable() {
            true => format!("; to choose one of them on validation, write {{ grid = {list} }}"),
            false => String::new(),
        };
        Some(axis + &search)
    }

    /// True if the value at hand can be searched.
    fn is_searchable(&self) -> bool {
        let table = self.path.first().map(String::as_str);
        table.is_some_and(|table| searched::TABLES.contains(&table))
    }

    /// Returns a line that chooses `name` for the value at hand, or an assignment of the command line.
    fn example(&self, name: &str, span: &Range<usize>, node: Node<'_>) -> String {
        let Some((key, tables)) = self.path.split_last() else {
            return example("", name, node);
        };
        match self.source.file(span.start) {
            Some(_) => example(key, name, node),
            None => {
                let (key, value) = choice(key, name, node);
                let assignment = format!("{}.{key}={value}", key::written(tables));
                CommandLine::new("--set").word(&assignment).to_string()
            }
        }
    }

    /// True if as many mistakes are found as are shown.
    fn is_full(&self) -> bool {
        self.found.len() >= MOST_SHOWN
    }

    fn add(&mut self, span: &Range<usize>, message: String, hint: Option<String>) {
        let mistake = self.source.at(span, message);
        let mistake = match hint {
            Some(hint) => mistake.with_hint(hint),
            None => mistake,
        };
        self.found.push((span.start, mistake));
    }
}

/// True for a negative integer where none is allowed. Other bounds are left to the types.
fn is_below(value: &DeValue<'_>, node: Node<'_>) -> bool {
    let least = node.resolved()["minimum"].as_f64();
    let is_integer = node.kind() == Kind::Scalar(Scalar::Integer);
    let negative = whole(value).filter(|&number| is_integer && number < 0);
    negative.is_some_and(|number| least.is_some_and(|least| (number as f64) < least))
}

/// True for a value that a list may have as its only item.
fn is_item(value: &DeValue<'_>, list: Node<'_>) -> bool {
    let fewest = list.resolved()["minItems"].as_u64();
    let is_alone = fewest.is_none_or(|fewest| fewest <= 1);
    is_alone && list.items().is_some_and(|item| is_one(value, item))
}

/// True for a value or a name without settings that is allowed.
fn is_one(value: &DeValue<'_>, node: Node<'_>) -> bool {
    match node.kind() {
        Kind::Scalar(scalar) => scalar.accepts(value),
        Kind::Names | Kind::Choice => value
            .as_str()
            .is_some_and(|name| node.names().contains(&name) && node.child(name).is_none()),
        Kind::List | Kind::Table | Kind::Open => false,
    }
}

/// Returns a line that chooses `name` for a key: with the settings that it needs.
fn example(key: &str, name: &str, node: Node<'_>) -> String {
    let (key, value) = choice(key, name, node);
    format!("{key} = {value}")
}

/// Returns the key and the value of an assignment that chooses `name` for a key.
fn choice(key: &str, name: &str, node: Node<'_>) -> (String, String) {
    let needed: Vec<String> = node
        .child(name)
        .into_iter()
        .flat_map(Node::required)
        .map(|key| format!("{key} = .."))
        .collect();
    match (node.child(name).map(Node::kind), needed.as_slice()) {
        (None, _) => (key.to_owned(), format!("\"{name}\"")),
        (Some(Kind::Table), []) => (format!("{key}.{name}"), "{}".to_owned()),
        (Some(Kind::Table), needed) => (
            format!("{key}.{name}"),
            format!("{{ {} }}", needed.join(", ")),
        ),
        (Some(_), _) => (format!("{key}.{name}"), "..".to_owned()),
    }
}

/// True if a table is a searched value, or meant to be one: those are read later.
fn is_searched(table: &DeTable<'_>) -> bool {
    searched::is_one(table) || searched::misspelt(table).is_some()
}

/// Returns the name that `found` most likely means, known in another program as such.
fn meant<'n>(found: &str, names: &[&'n str], node: Node<'n>) -> Option<&'n str> {
    let same = names.iter().find(|name| is_same(name, found));
    let others = node.other_names();
    let other = others.iter().find(|(other, _)| is_same(other, found));
    same.copied()
        .or(other.map(|(_, name)| *name))
        .or_else(|| nearest(found, names.iter().copied()))
}

fn unknown_name(name: &str, node: Node<'_>) -> String {
    format!(
        "unknown name `{}`{}",
        shortened(name),
        expected(&node.names())
    )
}

fn expected(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!(", expected {one}"),
        [one, other] => format!(", expected {one} or {other}"),
        names if names.len() > FEW => String::new(),
        names => format!(", expected one of {}", names.join(", ")),
    }
}

/// Returns `{ min = 0, max = 1 }`, and its kin of other programs, as a searched value.
fn as_searched(table: &DeTable<'_>, source: &Source<'_>) -> Option<String> {
    let written = |names: &[&str]| {
        let value = names.iter().find_map(|name| table.get(*name))?;
        Some(source.written(&value.span()))
    };
    if let Some(values) = listed(table, source) {
        return Some(format!("for a searched value write {{ grid = {values} }}"));
    }
    let low = written(&["min", "low", "lower", "from"])?;
    let high = written(&["max", "high", "upper", "to"])?;
    Some(format!(
        "for a searched value write {{ uniform = [{low}, {high}] }}"
    ))
}

/// Returns the list of a table such as `{ values = [1, 2] }`.
fn listed<'s>(table: &DeTable<'_>, source: &Source<'s>) -> Option<&'s str> {
    let lists = ["values", "choices", "options", "grid", "choice"];
    let list = lists.iter().find_map(|name| table.get(*name))?;
    source.text.get(list.span())
}

fn as_integer(value: &DeValue<'_>) -> Option<String> {
    let number = number(value).filter(|number| number.fract() == 0.0 && number.abs() < 1e15)?;
    Some(format!("write {number}"))
}

fn in_words(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {:?}", shortened(text)),
        DeValue::Integer(integer) => match whole(value) {
            Some(whole) => format!("the integer `{whole}`"),
            None => format!("the integer `{}`", shortened(&integer.to_string())),
        },
        DeValue::Float(float) => format!("the number `{}`", shortened(float.as_str())),
        DeValue::Boolean(is_true) => format!("the boolean `{is_true}`"),
        DeValue::Datetime(time) => format!("the date `{time}`"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Returns a name as it is shown in a message.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns a part of a dotted key, with quotes if it needs some. The whole stands in double quotes.
fn quoted(part: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    match part.chars().all(is_plain) {
        true => part.to_owned(),
        false => format!("'{part}'"),
    }
}

impl Scalar {
    /// True if a value is one. Whether an integer is in range is left to the types.
    fn accepts(self, value: &DeValue<'_>) -> bool {
        match self {
            Scalar::Integer => value.is_integer(),
            Scalar::Number => value.is_integer() || value.is_float(),
            Scalar::String => value.is_str(),
            Scalar::Boolean => value.is_bool(),
        }
    }

    fn in_words(self, node: Node<'_>) -> String {
        match (self, node.resolved()["minimum"].as_f64()) {
            (Scalar::Integer, Some(least)) => format!("an integer of at least {least}"),
            (Scalar::Integer, _) => "an integer".to_owned(),
            (Scalar::Number, _) => "a number".to_owned(),
            (Scalar::String, _) => "a string in quotes".to_owned(),
            (Scalar::Boolean, _) => "true or false".to_owned(),
        }
    }
}
