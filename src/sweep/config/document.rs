//! TOML with spans, in which the values of axes and overrides replace those of the settings.
//!
//! A value taken from an axis keeps its position in the `[axes]` table, so a mistake in it is shown there.

use std::{collections::BTreeMap, ops::Range};

use report::Setting;
use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer},
};

use super::{
    axis::Axis,
    condition::Condition,
    diagnostic::Diagnostic,
    every_method,
    fairness::{BrokenRule, Fairness, SettingKey, Violation, Waiver},
    fault::Fault,
    grammar::Grammar,
    grid::{Combination, Grid, Participant, Variant, tables},
    key::{self, put, value_at},
    layers::Layers,
    overrides::Override,
    reading::reading,
    searched::{self, Searched},
    shape,
    source::Source,
    toml_error::from_toml,
};

/// A file in three parts: settings that all methods share, methods, and the tables that combine them.
pub(super) struct Document<'a> {
    source: Source<'a>,
    shared: Spanned<DeTable<'a>>,
    methods: Vec<Method<'a>>,
    grid: Grid<'a>,
    overrides: Vec<Override<'a>>,
    /// True if any value is searched.
    has_searched: bool,
    /// Warnings about old spellings.
    pub(super) warnings: Vec<Diagnostic>,
}

struct Method<'a> {
    name: String,
    span: Range<usize>,
    table: DeTable<'a>,
    when: Condition,
}

/// One reading of a combination: one variant of every method in it.
pub(super) struct Reading<'c> {
    pub(super) combination: &'c Combination,
    /// The variant of each method, by index; `true` if no earlier reading of the combination had it.
    pub(super) variants: Vec<(&'c Variant, bool)>,
    /// Index of the probe that replaces each searched value.
    pub(super) probe: usize,
}

impl<'a> Document<'a> {
    pub(super) fn parse(layers: &'a Layers<'_>) -> Result<Document<'a>, Diagnostic> {
        let source = layers.source();
        let laid = layers.table()?;
        if let Some(mistakes) = Diagnostic::all(shape::mistakes(&source, &laid.table)) {
            return Err(mistakes);
        }
        let mut shared = laid.table;
        let table = shared.get_mut();
        let has_searched = searched::is_in(table);
        let methods = take_methods(&source, table)?;
        refuse_same_names(&source, &methods)?;
        let names: Vec<String> = methods.iter().map(|(name, ..)| name.clone()).collect();
        let named: Vec<_> = methods
            .iter()
            .map(|(name, _, table)| (name.as_str(), table))
            .collect();
        if let Some(DeValue::Table(axes)) = table.get_mut("axes").map(Spanned::get_mut) {
            every_method::write_out_axes(&source, axes, &named)?;
        }
        let grid = Grid::take(&source, table, &names)?;
        let overrides = tables(&source, table, "override")?;
        let overrides = overrides
            .into_iter()
            .map(|override_| Override::read(&source, override_, table, &grid, &names));
        let overrides: Vec<Override<'_>> = overrides.collect::<Result<_, _>>()?;
        let mut warnings = laid.warnings;
        for (key, span) in &laid.assigned {
            grid.refuse_axis(&source, key, span)?;
            warnings.extend(overridden(&source, &overrides, key, span));
        }
        let with_when = |(name, span, mut method): (String, Range<usize>, DeTable<'a>)| {
            let when = match method.remove("when") {
                Some(when) => Condition::read(&source, &when, table, &grid.shared)?,
                None => Condition::default(),
            };
            Ok(Method {
                name,
                span,
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
            warnings,
        })
    }

    pub(super) fn axis_names(&self) -> Vec<String> {
        self.grid.names()
    }

    /// Returns the names of all methods, in the order of the file.
    pub(super) fn method_names(&self) -> Vec<&str> {
        self.methods
            .iter()
            .map(|method| method.name.as_str())
            .collect()
    }

    /// Returns all combinations, and sentences about how they were refined.
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
            let message = format!("the method `{}` takes part in no combination", method.name);
            return Err(self
                .source
                .at(&method.span, message)
                .with_hint("check its `when` and the [[exclude]] tables"));
        }
        for change in &self.overrides {
            let holds = combinations
                .iter()
                .filter(|combination| change.when.holds(&combination.rows))
                .count();
            if holds == 0 && !self.source.is_own(change.span.start) {
                continue;
            }
            let line = self.source.line(change.span.start);
            words.push(format!(
                "[[override]] in line {line} holds in {holds} of {} settings",
                combinations.len()
            ));
        }
        Ok((combinations, words))
    }

    /// Returns the first reading of a combination: the first variant of every method.
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

    /// Returns the fewest readings that contain every variant of every method.
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

    /// Returns the settings of one reading.
    pub(super) fn read<T: Deserialize<'a>>(&self, reading: &Reading<'_>) -> Result<T, Diagnostic> {
        let table = self.probed(reading)?;
        T::deserialize(Deserializer::from(table)).map_err(|error| from_toml(self.source, &error, 0))
    }

    /// Returns the diagnostic of a fault, at the span of its value.
    pub(super) fn point_at(&self, reading: &Reading<'_>, fault: Fault) -> Diagnostic {
        let span = self
            .probed(reading)
            .ok()
            .and_then(|table| place_of(table.get_ref(), &fault.key));
        let diagnostic = match span {
            Some(span) => self.source.at(&span, fault.message),
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

    /// Returns the diagnostic of a mistake at a setting.
    pub(super) fn at_setting(
        &self,
        reading: &Reading<'_>,
        key: &str,
        message: impl Into<String>,
    ) -> Diagnostic {
        let fault = Fault {
            key: key.to_owned(),
            message: message.into(),
            hint: None,
        };
        self.point_at(reading, fault)
    }

    /// Returns the broken rules of fairness with their spans and waivers.
    pub(super) fn fairness(
        &self,
        combinations: &[Combination],
        found: Vec<BrokenRule>,
        waivers: &[Waiver],
    ) -> Fairness {
        let violations: Vec<Violation> = found
            .into_iter()
            .map(|found| self.violation(&combinations[found.point], found, waivers))
            .collect();
        let is_broken = |rule| violations.iter().any(|violation| violation.rule == rule);
        let unneeded = waivers
            .iter()
            .enumerate()
            .filter(|(_, waiver)| !is_broken(waiver.rule))
            .map(|(index, waiver)| self.unneeded(&combinations[0], index, waiver));
        Fairness {
            unneeded: unneeded.collect(),
            violations,
        }
    }

    fn violation(
        &self,
        combination: &Combination,
        found: BrokenRule,
        waivers: &[Waiver],
    ) -> Violation {
        let reading = self.first_reading(combination);
        let (rule, what) = (found.rule, found.what);
        let fault = Fault {
            key: self.key_in_document(&reading, found.key),
            message: format!("{rule}, {}, does not hold: {what}", rule.title()),
            hint: Some(format!(
                "change this, or add [[waive]] with rule = \"{rule}\" and a reason; `sweep show rules` explains why it matters"
            )),
        };
        let waiver = waivers.iter().find(|waiver| waiver.rule == rule);
        Violation {
            rule,
            what,
            shown: self.point_at(&reading, fault),
            waived: waiver.map(|waiver| waiver.reason.clone()),
        }
    }

    fn key_in_document(&self, reading: &Reading<'_>, key: SettingKey) -> String {
        match key {
            SettingKey::Shared(key) => key,
            SettingKey::OfMethod(name, key) => {
                let is_it =
                    |(variant, _): &(&Variant, bool)| self.methods[variant.method].name == name;
                let position = reading.variants.iter().position(is_it).unwrap_or_default();
                format!("method.{position}.{key}")
            }
        }
    }

    /// Returns what is to be said of a waiver of a rule that holds.
    fn unneeded(&self, combination: &Combination, index: usize, waiver: &Waiver) -> Diagnostic {
        let (rule, title) = (waiver.rule, waiver.rule.title());
        let message =
            format!("{rule}, {title}, holds, so there is nothing to waive: remove this [[waive]]");
        let fault = Fault {
            key: format!("waive.{index}.rule"),
            message,
            hint: None,
        };
        self.point_at(&self.first_reading(combination), fault)
    }

    /// Returns the values of the axes for people, without those of the data set, whose title every table
    /// shows.
    pub(super) fn settings(&self, combination: &Combination) -> Vec<Setting> {
        let mut settings = Vec::new();
        for (axis, &row) in self.grid.shared.iter().zip(&combination.rows) {
            for (column, key) in axis.keys.iter().enumerate() {
                if !key.is_of_dataset() {
                    settings.push(Setting {
                        axis: key.name.clone(),
                        value: self.reading(axis, row, column),
                    });
                }
            }
        }
        settings
    }

    /// Returns the values of the axes that belong to one method.
    pub(super) fn own_settings(&self, variant: &Variant) -> Vec<Setting> {
        let mut settings = Vec::new();
        for &(axis, row) in &variant.rows {
            let axis = &self.grid.own[axis];
            for (column, key) in axis.keys.iter().enumerate() {
                settings.push(Setting {
                    axis: key.in_method().join("."),
                    value: self.reading(axis, row, column),
                });
            }
        }
        settings
    }

    fn reading(&self, axis: &Axis<'_>, row: usize, column: usize) -> String {
        let values = axis.rows.iter().map(|row| &row[column]);
        reading(&axis.rows[row][column], values, &self.source)
    }

    /// Returns the searched values of each method in a reading: its own, then the shared ones of
    /// `[training]`.
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
            .filter(|(name, _)| !searched::TABLES.contains(&name.get_ref().as_ref()))
        {
            let Some(inner) = value.get_ref().as_table() else {
                continue;
            };
            let name = name.get_ref();
            if let Some(first) = searched::in_table(&self.source, inner, "")?.first() {
                let message =
                    format!("values of [{name}] cannot be searched: all methods share them");
                return Err(self.source.at(&first.span, message).with_hint(
                    "search values in a [[method]] or in [training]; to report several values, use an axis",
                ));
            }
        }
        Ok(())
    }

    /// Returns the settings of one reading, with a probe instead of each searched value.
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

    /// Returns the diagnostic of a mistake in a search, at a span of the file.
    pub(super) fn at(&self, span: &Range<usize>, message: impl Into<String>) -> Diagnostic {
        self.source.at(span, message)
    }

    /// Returns the settings of the overrides whose conditions hold for these rows of the axes.
    fn overridden(
        &self,
        rows: &[usize],
    ) -> impl Iterator<Item = &(key::Key, Spanned<DeValue<'a>>)> {
        self.overrides
            .iter()
            .filter(|change| change.when.holds(rows))
            .flat_map(|change| &change.set)
    }

    fn put_shared(
        &self,
        table: &mut DeTable<'a>,
        key: &key::Key,
        value: &Spanned<DeValue<'a>>,
    ) -> Result<(), Diagnostic> {
        let root = Grammar::of_sweep_files().root();
        put(table, &key.path, &key.span, value.clone(), Some(root))
            .map_err(|reason| self.source.at(&key.span, reason))
    }

    fn put_own(
        &self,
        method: &mut DeTable<'a>,
        key: &key::Key,
        value: &Spanned<DeValue<'a>>,
    ) -> Result<(), Diagnostic> {
        put(
            method,
            key.in_method(),
            &key.span,
            value.clone(),
            key.method_node(),
        )
        .map_err(|reason| self.source.at(&key.span, reason))
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
                self.put_shared(table, key, value)?;
            }
        }
        for (key, value) in self.overridden(rows) {
            let Some(name) = key.method() else {
                self.put_shared(table, key, value)?;
                continue;
            };
            let index = reading
                .variants
                .iter()
                .position(|(variant, _)| self.methods[variant.method].name == name);
            if let Some(index) = index {
                self.put_own(&mut methods[index], key, value)?;
            }
        }
        for ((variant, _), method) in reading.variants.iter().zip(&mut methods) {
            for &(axis, row) in &variant.rows {
                let axis = &self.grid.own[axis];
                for (key, value) in axis.keys.iter().zip(&axis.rows[row]) {
                    self.put_own(method, key, value)?;
                }
            }
        }
        if !methods.is_empty() {
            let places = reading
                .variants
                .iter()
                .map(|(variant, _)| self.methods[variant.method].span.clone());
            let methods = places
                .zip(methods)
                .map(|(span, method)| Spanned::new(span, DeValue::Table(method)));
            let methods: DeArray<'a> = methods.collect();
            table.insert(
                Spanned::new(0..0, "method".into()),
                Spanned::new(0..0, DeValue::Array(methods)),
            );
        }
        Ok(merged)
    }
}

/// Warns of a key of the command line that an [[override]] sets again.
fn overridden(
    source: &Source<'_>,
    overrides: &[Override<'_>],
    key: &[String],
    span: &Range<usize>,
) -> Option<Diagnostic> {
    let mut set = overrides.iter().flat_map(|change| &change.set);
    let (again, _) =
        set.find(|(set, _)| key.starts_with(&set.path) || set.path.starts_with(key))?;
    let file = source.file(again.span.start).unwrap_or(source.path);
    let place = format!("{}:{}", file.display(), source.line(again.span.start));
    let message = format!(
        "an [[override]] sets `{}` where its condition holds",
        again.name
    );
    Some(source.at(span, message).with_hint(format!("see {place}")))
}

/// Removes the methods from the document and returns them, each with its name if it has one.
fn take_methods<'a>(
    source: &Source<'_>,
    table: &mut DeTable<'a>,
) -> Result<Vec<(String, Range<usize>, DeTable<'a>)>, Diagnostic> {
    let methods = tables(source, table, "method")?
        .into_iter()
        .filter_map(|method| {
            let span = method.span();
            let DeValue::Table(method) = method.into_inner() else {
                return None;
            };
            let name = method
                .get("name")
                .and_then(|name| name.get_ref().as_str())
                .unwrap_or_default()
                .to_owned();
            Some((name, span, method))
        });
    Ok(methods.collect())
}

/// Refuses two methods of one name.
fn refuse_same_names(
    source: &Source<'_>,
    methods: &[(String, Range<usize>, DeTable<'_>)],
) -> Result<(), Diagnostic> {
    let mut lines = BTreeMap::new();
    for (name, _, method) in methods {
        let Some(span) = method.get("name").map(Spanned::span) else {
            continue;
        };
        let Some(line) = lines.insert(name, source.line(span.start)) else {
            continue;
        };
        let message = format!("the method in line {line} has this name already");
        return Err(source.at(&span, message).with_hint(format!(
            "each row needs a name of its own: write, for example, `name = \"{name} 2\"`"
        )));
    }
    Ok(())
}

/// Returns the span of a dotted key such as `method.1.loss.triplet.margin`, or of the innermost table
/// around it.
fn place_of(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let path: Vec<String> = key.split('.').map(str::to_owned).collect();
    (1..=path.len())
        .rev()
        .find_map(|depth| value_at(table, &path[..depth]))
        .map(Spanned::span)
}
