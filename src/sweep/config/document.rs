//! TOML with positions, and the values of axes and overrides put in their places.
//!
//! A value taken from an axis keeps its position in the `[axes]` table, so a mistake in it is shown there.

use std::{ops::Range, path::Path};

use report::Setting;
use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer},
};

use super::{
    condition::{Condition, Override},
    diagnostic::{Diagnostic, nearest},
    fairness::{Fairness, Found, Key, Violation, Waiver},
    grid::{Combination, Grid, Participant, Variant, tables},
    key::{put, value_at},
    layers::Layers,
    searched::{self, Searched},
    source::Source,
    validate::Fault,
};

/// A file cut into what all methods share, the methods, and what makes combinations of them.
pub(super) struct Document<'a> {
    source: Source<'a>,
    shared: Spanned<DeTable<'a>>,
    methods: Vec<Method<'a>>,
    grid: Grid<'a>,
    overrides: Vec<Override<'a>>,
    /// Whether any value is searched.
    has_searched: bool,
}

struct Method<'a> {
    name: String,
    place: Range<usize>,
    table: DeTable<'a>,
    when: Condition,
}

/// One reading of a combination: every method that takes part in it, each in one of its variants.
pub(super) struct Reading<'c> {
    pub(super) combination: &'c Combination,
    /// Which variant of each method, by position; `true` where no earlier reading of the combination had it.
    pub(super) variants: Vec<(&'c Variant, bool)>,
    /// Which of the probes of searched values stand in their places.
    pub(super) probe: usize,
}

impl<'a> Document<'a> {
    pub(super) fn parse(layers: &'a Layers<'_>) -> Result<Document<'a>, Diagnostic> {
        let (source, mut shared) = (layers.source(), layers.table()?);
        let table = shared.get_mut();
        let has_searched = searched::is_in(table);
        let methods = take_methods(&source, table)?;
        let names: Vec<String> = methods.iter().map(|(name, ..)| name.clone()).collect();
        let grid = Grid::take(&source, table, &names)?;
        let overrides = tables(&source, table, "override")?;
        let overrides = overrides
            .into_iter()
            .map(|override_| Override::read(&source, override_, table, &grid, &names));
        let overrides = overrides.collect::<Result<_, _>>()?;
        let with_when = |(name, place, mut method): (String, Range<usize>, DeTable<'a>)| {
            let when = match method.remove("when") {
                Some(when) => Condition::read(&source, &when, table, &grid.shared)?,
                None => Condition::default(),
            };
            Ok(Method {
                name,
                place,
                table: method,
                when,
            })
        };
        let methods = methods
            .into_iter()
            .map(with_when)
            .collect::<Result<_, _>>()?;
        Ok(Document {
            source,
            shared,
            methods,
            grid,
            overrides,
            has_searched,
        })
    }

    pub(super) fn axis_names(&self) -> Vec<String> {
        self.grid.names()
    }

    /// The names of all methods, in the order of the file.
    pub(super) fn method_names(&self) -> Vec<&str> {
        self.methods
            .iter()
            .map(|method| method.name.as_str())
            .collect()
    }

    /// All combinations, and in words how they were refined.
    pub(super) fn combinations(&self) -> Result<(Vec<Combination>, Vec<String>), Diagnostic> {
        let participants: Vec<Participant<'_>> = self
            .methods
            .iter()
            .map(|method| Participant {
                name: &method.name,
                when: &method.when,
            })
            .collect();
        let (combinations, mut words) = self.grid.combinations(&self.source, &participants)?;
        let mut is_there = vec![false; self.methods.len()];
        let variants = combinations
            .iter()
            .flat_map(|combination| &combination.variants);
        variants.for_each(|variant| is_there[variant.method] = true);
        if let Some((method, _)) = self
            .methods
            .iter()
            .zip(is_there)
            .find(|(_, is_there)| !is_there)
        {
            let message = format!("the method `{}` is in no combination", method.name);
            return Err(self
                .source
                .at(&method.place, message)
                .with_hint("look at its `when` and at [[exclude]]"));
        }
        for change in &self.overrides {
            let holds = combinations
                .iter()
                .filter(|combination| change.when.holds(&combination.rows))
                .count();
            if holds == 0 && !self.source.is_own(change.place.start) {
                continue;
            }
            let line = self.source.line(change.place.start);
            words.push(format!(
                "[[override]] in line {line} holds in {holds} of {} settings",
                combinations.len()
            ));
        }
        Ok((combinations, words))
    }

    /// The first reading of a combination: every method in its first variant.
    pub(super) fn first_reading<'c>(&self, combination: &'c Combination) -> Reading<'c> {
        let first = |method| {
            combination
                .variants
                .iter()
                .find(|variant| variant.method == method)
        };
        let variants = (0..self.methods.len())
            .filter_map(first)
            .map(|variant| (variant, true));
        Reading {
            combination,
            variants: variants.collect(),
            probe: 0,
        }
    }

    /// As many readings as it takes to see every variant of every method once.
    pub(super) fn readings<'c>(&self, combination: &'c Combination) -> Vec<Reading<'c>> {
        let mut of_methods: Vec<Vec<&Variant>> = vec![Vec::new(); self.methods.len()];
        combination
            .variants
            .iter()
            .for_each(|variant| of_methods[variant.method].push(variant));
        let rounds = of_methods.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let variant = |round: usize, variants: &Vec<&'c Variant>| {
            let last = variants.len().checked_sub(1)?;
            Some((variants[round.min(last)], round <= last))
        };
        let reading = |round| Reading {
            combination,
            variants: of_methods
                .iter()
                .filter_map(|variants| variant(round, variants))
                .collect(),
            probe: 0,
        };
        (0..rounds).map(reading).collect()
    }

    /// The settings under one reading.
    pub(super) fn read<T: Deserialize<'a>>(&self, reading: &Reading<'_>) -> Result<T, Diagnostic> {
        let table = self.probed(reading)?;
        T::deserialize(Deserializer::from(table)).map_err(|error| from_toml(self.source, &error))
    }

    /// Shows a fault of the checked settings where its value stands.
    pub(super) fn point_at(&self, reading: &Reading<'_>, fault: Fault) -> Diagnostic {
        let place = self
            .probed(reading)
            .ok()
            .and_then(|table| place_of(table.get_ref(), &fault.key));
        let diagnostic = match place {
            Some(place) => self.source.at(&place, fault.message),
            None => Diagnostic::of_file(
                self.source.path,
                format!("`{}`: {}", fault.key, fault.message),
            ),
        };
        match fault.hint {
            Some(hint) => diagnostic.with_hint(hint),
            None => diagnostic,
        }
    }

    /// How the sweep stands to the rules of fairness: what was found, with its place, and whether it is waived.
    pub(super) fn fairness(
        &self,
        combinations: &[Combination],
        found: Vec<Found>,
        waivers: &[Waiver],
    ) -> Fairness {
        let violation = |found: Found| {
            let reading = &self.first_reading(&combinations[found.point]);
            let key = match &found.key {
                Key::Shared(key) => key.clone(),
                Key::OfMethod(name, key) => {
                    let is_it = |(variant, _): &(&Variant, bool)| {
                        self.methods[variant.method].name == *name
                    };
                    let position = reading.variants.iter().position(is_it).unwrap_or_default();
                    format!("method.{position}.{key}")
                }
            };
            let (rule, what) = (found.rule, found.what);
            let message = format!("{rule}, {}, does not hold: {what}", rule.title());
            let hint = format!(
                "`[[waive]] rule = \"{rule}\" reason = \"..\"` settles it, `sweep show rules` tells why it matters"
            );
            let shown = self.point_at(
                reading,
                Fault {
                    key,
                    message,
                    hint: Some(hint),
                },
            );
            let waiver = waivers.iter().find(|waiver| waiver.rule == rule);
            Violation {
                rule,
                what,
                shown,
                waived: waiver.map(|waiver| waiver.reason.clone()),
            }
        };
        let violations: Vec<Violation> = found.into_iter().map(violation).collect();
        let is_needed = |waiver: &Waiver| {
            violations
                .iter()
                .any(|violation| violation.rule == waiver.rule)
        };
        let unneeded = waivers
            .iter()
            .enumerate()
            .filter(|(_, waiver)| !is_needed(waiver))
            .map(|(place, waiver)| {
                let message = format!(
                    "{}, {}, holds: there is nothing to waive",
                    waiver.rule,
                    waiver.rule.title()
                );
                let fault = Fault {
                    key: format!("waive.{place}.rule"),
                    message,
                    hint: None,
                };
                self.point_at(&self.first_reading(&combinations[0]), fault)
            });
        Fairness {
            unneeded: unneeded.collect(),
            violations,
        }
    }

    /// The values of the axes as the file spells them, without those of the data set, whose title
    /// every table shows.
    pub(super) fn settings(&self, combination: &Combination) -> Vec<Setting> {
        let mut settings = Vec::new();
        for (axis, &row) in self.grid.shared.iter().zip(&combination.rows) {
            for (key, value) in axis.keys.iter().zip(&axis.rows[row]) {
                if !key.is_of_dataset() {
                    settings.push(Setting {
                        axis: key.name.clone(),
                        value: self.spelled(value),
                    });
                }
            }
        }
        settings
    }

    /// The same for the axes of a method's own.
    pub(super) fn own_settings(&self, variant: &Variant) -> Vec<Setting> {
        let mut settings = Vec::new();
        for &(axis, row) in &variant.rows {
            let axis = &self.grid.own[axis];
            for (key, value) in axis.keys.iter().zip(&axis.rows[row]) {
                settings.push(Setting {
                    axis: key.in_method().join("."),
                    value: self.spelled(value),
                });
            }
        }
        settings
    }

    fn spelled(&self, value: &Spanned<DeValue<'_>>) -> String {
        self.source.text[value.span()].trim_matches('"').to_owned()
    }

    /// The searched values of each method in a reading, those of `[training]`, which all share, after its own.
    pub(super) fn searched(
        &self,
        reading: &Reading<'_>,
    ) -> Result<Vec<Vec<Searched<'a>>>, Diagnostic> {
        if !self.has_searched {
            return Ok(reading.variants.iter().map(|_| Vec::new()).collect());
        }
        let merged = self.merged(reading)?;
        let table = merged.get_ref();
        self.refuse_elsewhere(table)?;
        let shared = || match table.get("training").map(Spanned::get_ref) {
            Some(DeValue::Table(training)) => {
                searched::in_table(&self.source, training, searched::SHARED)
            }
            _ => Ok(Vec::new()),
        };
        let of_method = |method: &Spanned<DeValue<'a>>| {
            let own = method
                .get_ref()
                .as_table()
                .map(|method| searched::in_table(&self.source, method, ""));
            let mut all = own.transpose()?.unwrap_or_default();
            let is_trained = method
                .get_ref()
                .as_table()
                .is_some_and(|method| method.contains_key("loss"));
            all.extend(if is_trained { shared()? } else { Vec::new() });
            Ok(all)
        };
        let methods = table
            .get("method")
            .and_then(|methods| methods.get_ref().as_array());
        methods
            .into_iter()
            .flat_map(|methods| methods.iter())
            .map(of_method)
            .collect()
    }

    fn refuse_elsewhere(&self, table: &DeTable<'a>) -> Result<(), Diagnostic> {
        for (name, value) in table
            .iter()
            .filter(|(name, _)| !["method", "training"].contains(&name.get_ref().as_ref()))
        {
            let Some(inner) = value.get_ref().as_table() else {
                continue;
            };
            let name = name.get_ref();
            if let Some(first) = searched::in_table(&self.source, inner, "")?.first() {
                let message =
                    format!("a value of [{name}] is not searched: all methods of a table share it");
                return Err(self.source.at(&first.place, message).with_hint(
                    "searched values stand in a [[method]] or in [training]; to report several values, make an axis",
                ));
            }
        }
        Ok(())
    }

    /// The settings under one reading, with a probe in the place of each searched value.
    fn probed(&self, reading: &Reading<'_>) -> Result<Spanned<DeTable<'a>>, Diagnostic> {
        let mut merged = self.merged(reading)?;
        if !self.has_searched {
            return Ok(merged);
        }
        let table = merged.get_mut();
        if let Some(DeValue::Table(training)) = table.get_mut("training").map(Spanned::get_mut) {
            let found = searched::in_table(&self.source, training, searched::SHARED)?;
            searched::probe(training, &found, reading.probe);
        }
        if let Some(DeValue::Array(methods)) = table.get_mut("method").map(Spanned::get_mut) {
            for method in methods.iter_mut() {
                let DeValue::Table(method) = method.get_mut() else {
                    continue;
                };
                let found = searched::in_table(&self.source, method, "")?;
                searched::probe(method, &found, reading.probe);
            }
        }
        Ok(merged)
    }

    /// Shows a mistake in a search at a place in the file.
    pub(super) fn at(&self, place: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        self.source.at(place, message)
    }

    fn merged(&self, reading: &Reading<'_>) -> Result<Spanned<DeTable<'a>>, Diagnostic> {
        let rows = &reading.combination.rows;
        let mut merged = self.shared.clone();
        let table = merged.get_mut();
        let mut methods: Vec<DeTable<'a>> = reading
            .variants
            .iter()
            .map(|(variant, _)| self.methods[variant.method].table.clone())
            .collect();
        for (axis, &row) in self.grid.shared.iter().zip(rows) {
            for (key, value) in axis.keys.iter().zip(&axis.rows[row]) {
                put(table, &key.path, &key.place, value.clone())
                    .map_err(|reason| self.source.at(&key.place, reason))?;
            }
        }
        for (key, value) in self
            .overrides
            .iter()
            .filter(|change| change.when.holds(rows))
            .flat_map(|change| &change.set)
        {
            let placed = match key.method() {
                None => put(table, &key.path, &key.place, value.clone()),
                Some(name) => {
                    match reading
                        .variants
                        .iter()
                        .position(|(variant, _)| self.methods[variant.method].name == name)
                    {
                        Some(position) => put(
                            &mut methods[position],
                            key.in_method(),
                            &key.place,
                            value.clone(),
                        ),
                        None => Ok(()),
                    }
                }
            };
            placed.map_err(|reason| self.source.at(&key.place, reason))?;
        }
        for ((variant, _), method) in reading.variants.iter().zip(&mut methods) {
            for &(axis, row) in &variant.rows {
                for (key, value) in self.grid.own[axis]
                    .keys
                    .iter()
                    .zip(&self.grid.own[axis].rows[row])
                {
                    put(method, key.in_method(), &key.place, value.clone())
                        .map_err(|reason| self.source.at(&key.place, reason))?;
                }
            }
        }
        if !methods.is_empty() {
            let places = reading
                .variants
                .iter()
                .map(|(variant, _)| self.methods[variant.method].place.clone());
            let methods = places
                .zip(methods)
                .map(|(place, method)| Spanned::new(place, DeValue::Table(method)));
            let methods: DeArray<'a> = methods.collect();
            table.insert(
                Spanned::new(0..0, "method".into()),
                Spanned::new(0..0, DeValue::Array(methods)),
            );
        }
        Ok(merged)
    }
}

/// Takes out the methods, each with its name, which may turn out to be missing.
fn take_methods<'a>(
    source: &Source<'_>,
    table: &mut DeTable<'a>,
) -> Result<Vec<(String, Range<usize>, DeTable<'a>)>, Diagnostic> {
    let methods = tables(source, table, "method")?
        .into_iter()
        .filter_map(|method| {
            let place = method.span();
            let DeValue::Table(method) = method.into_inner() else {
                return None;
            };
            let name = method
                .get("name")
                .and_then(|name| name.get_ref().as_str())
                .unwrap_or_default()
                .to_owned();
            Some((name, place, method))
        });
    Ok(methods.collect())
}

/// The place of a dotted key such as `method.1.loss.triplet.margin`, or of the nearest table around it.
fn place_of(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let path: Vec<String> = key.split('.').map(str::to_owned).collect();
    (1..=path.len())
        .rev()
        .find_map(|depth| value_at(table, &path[..depth]))
        .map(Spanned::span)
}

/// Edits the text itself, so that every later message shows the line that is in force.
pub(super) fn with_overrides(
    path: &Path,
    text: &str,
    overrides: &[String],
) -> Result<String, Diagnostic> {
    if overrides.is_empty() {
        return Ok(text.to_owned());
    }
    // A file that does not parse is reported with its own positions by `Document::parse`.
    let Ok(mut document) = text.parse::<toml_edit::DocumentMut>() else {
        return Ok(text.to_owned());
    };
    for assignment in overrides {
        override_one(&mut document, assignment).map_err(|reason| {
            Diagnostic::of_file(path, format!("--set {assignment}: {reason}"))
                .with_hint("--set training.steps=500, --set 'method.\"Triplet, semi-hard\".loss.triplet.margin=0.2'")
        })?;
    }
    Ok(document.to_string())
}

fn override_one(document: &mut toml_edit::DocumentMut, assignment: &str) -> Result<(), String> {
    let (key, value) = assignment.split_once('=').ok_or("expected key=value")?;
    let value = parse_value(value.trim());
    let keys = toml_edit::Key::parse(key.trim()).map_err(|_| {
        format!("`{key}` is not a key; a part with spaces or dots needs double quotes")
    })?;
    let mut keys: Vec<&str> = keys.iter().map(toml_edit::Key::get).collect();
    let Some(last) = keys.pop() else {
        return Err("expected key=value".to_owned());
    };
    let mut table: &mut dyn toml_edit::TableLike = document.as_table_mut();
    let mut keys = keys.into_iter();
    while let Some(key) = keys.next() {
        let item = table.entry(key).or_insert_with(toml_edit::table);
        table = match item {
            toml_edit::Item::ArrayOfTables(rows) => {
                let name = keys
                    .next()
                    .ok_or_else(|| format!("`{key}` needs the name of a row"))?;
                row_named(rows, name)?
            }
            item => item
                .as_table_like_mut()
                .ok_or_else(|| format!("`{key}` is not a table"))?,
        };
    }
    match table.get_mut(last).and_then(toml_edit::Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        None => {
            table.insert(last, toml_edit::Item::Value(value));
        }
    }
    Ok(())
}

fn row_named<'r>(
    rows: &'r mut toml_edit::ArrayOfTables,
    name: &str,
) -> Result<&'r mut dyn toml_edit::TableLike, String> {
    let names: Vec<String> = rows
        .iter()
        .filter_map(|row| Some(row.get("name")?.as_str()?.to_owned()))
        .collect();
    let Some(row) = rows
        .iter_mut()
        .find(|row| row.get("name").and_then(toml_edit::Item::as_str) == Some(name))
    else {
        return Err(format!(
            "there is no method named `{name}`, only `{}`",
            names.join("`, `")
        ));
    };
    Ok(row)
}

/// TOML if it is, otherwise text: `--set sweep.name=mine` needs no quotes within quotes.
fn parse_value(text: &str) -> toml_edit::Value {
    text.parse().unwrap_or_else(|_| text.into())
}

pub(super) fn from_toml(source: Source<'_>, error: &toml::de::Error) -> Diagnostic {
    let is_empty = error.span().is_some_and(|place| {
        source
            .text
            .get(place)
            .is_some_and(|text| text.trim().is_empty())
    });
    let message = match error.message().starts_with("string values must be quoted") && is_empty {
        true => "a value is missing".to_owned(),
        false => shortened(&in_plain_words(error.message())),
    };
    let diagnostic = match error.span() {
        Some(place) => source.at(&place, message),
        None => Diagnostic::of_file(source.path, message),
    };
    match suggestion(error.message()) {
        Some(hint) => diagnostic.with_hint(hint),
        None => diagnostic,
    }
}

/// Serde speaks of Rust's types; users know TOML's.
fn in_plain_words(message: &str) -> String {
    const WORDS: [(&str, &str); 21] = [
        (
            "string values must be quoted, expected literal string",
            "a text needs quotes",
        ),
        ("duplicate key", "this key is there already"),
        (
            "wanted exactly 1 element, more than 1 element",
            "only one can be chosen here, and there are several",
        ),
        (
            "wanted exactly 1 element, found 0 elements",
            "one has to be chosen here: `NAME = { .. }`",
        ),
        (
            "invalid type: unit variant, expected newtype variant",
            "this one has settings: `{ NAME = { .. } }`, `{}` for its defaults",
        ),
        (
            "invalid type: newtype variant, expected unit variant",
            "this one has no settings: its name in quotes is all",
        ),
        ("expected a sequence", "expected a list"),
        ("unknown field", "unknown key"),
        ("missing field", "missing key"),
        ("unknown variant", "unknown name"),
        ("invalid type: string", "a text"),
        ("invalid type: boolean", "the boolean"),
        ("invalid type: integer", "the number"),
        ("invalid type: floating point", "the number"),
        ("invalid type: sequence", "an array"),
        ("invalid type: map", "a table"),
        ("invalid value: integer", "the number"),
        ("expected u32", "expected a whole number from 0"),
        ("expected u64", "expected a whole number from 0"),
        ("expected f64", "expected a number"),
        ("expected a string", "expected a text in quotes"),
    ];
    WORDS
        .iter()
        .fold(message.to_owned(), |message, (rust, plain)| {
            message.replace(rust, plain)
        })
}

/// More known names than this are no longer read, only the one that was meant.
const FEW: usize = 13;

/// Finds the misspelt word and the known ones in serde's message. A long list of the known ones becomes the hint if
/// none of them is near.
fn suggestion(message: &str) -> Option<String> {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let found = quoted.next()?;
    let known: Vec<&str> = quoted.collect();
    match nearest(found, known.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if known.len() > FEW => Some(format!("known are {}", known.join(", "))),
        None => None,
    }
}

fn shortened(message: &str) -> String {
    match message.split_once(", expected one of ") {
        Some((unknown, names)) if names.split('`').count() / 2 > FEW => unknown.to_owned(),
        _ => message.to_owned(),
    }
}
