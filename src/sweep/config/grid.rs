//! `[axes]`, `[[zip]]`, `[[include]]` and `[[exclude]]`: which combinations there are.
//!
//! The grid has every combination of the rows of all axes; a zip is one axis with several columns. Excludes take
//! combinations out of the grid, then includes add further ones. An axis over a setting of one method multiplies
//! that method alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    axis::{Axis, column},
    condition::{Condition, is_meant},
    diagnostic::Diagnostic,
    key::{Key, canonical, means},
    meant::nearest,
    searched,
    source::Source,
};

/// Maximum number of rows of all tables: methods times combinations of axis values.
const MOST: usize = 100_000;

#[derive(Debug)]
pub(super) struct Grid<'a> {
    /// Axes over settings that all methods share.
    pub(super) shared: Vec<Axis<'a>>,
    /// Axes over settings of one method.
    pub(super) own: Vec<Axis<'a>>,
    excludes: Vec<Exclude>,
    includes: Vec<Include>,
}

#[derive(Debug)]
struct Exclude {
    span: Range<usize>,
    methods: Option<Vec<String>>,
    /// The selected rows of each axis, by index.
    shared: Vec<(usize, Vec<bool>)>,
    own: Vec<(usize, Vec<bool>)>,
}

#[derive(Debug)]
struct Include {
    span: Range<usize>,
    combinations: Vec<Vec<usize>>,
}

/// The properties of a method that the grid uses.
pub(super) struct Participant<'m> {
    pub(super) name: &'m str,
    pub(super) when: &'m Condition,
}

/// One row of every axis that all methods share, and the methods that take part.
#[derive(Clone, Debug)]
pub(super) struct Combination {
    pub(super) rows: Vec<usize>,
    pub(super) variants: Vec<Variant>,
}

/// A method, by index, and one row of each of its own axes.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    pub(super) method: usize,
    /// Axis and row, by index.
    pub(super) rows: Vec<(usize, usize)>,
}

/// What the [[exclude]] tables of a file leave out.
struct ExcludeCounts {
    /// The number of variants that each leaves out.
    left_out: Vec<usize>,
    /// The number of all variants.
    of: usize,
}

impl<'a> Grid<'a> {
    /// Removes the tables of the grid from the document.
    pub(super) fn take(
        source: &Source<'_>,
        table: &mut DeTable<'a>,
        methods: &[String],
    ) -> Result<Grid<'a>, Diagnostic> {
        let mut axes = Vec::new();
        if let Some(table) = table.remove("axes") {
            axes.extend(plain_axes(source, table)?);
        }
        for zip in tables(source, table, "zip")? {
            axes.push(zipped(source, zip)?);
        }
        axes.sort_by_key(|axis: &Axis<'_>| axis.keys[0].span.start);
        check(source, &axes, methods)?;
        let (own, shared) = axes
            .into_iter()
            .partition(|axis: &Axis<'_>| axis.keys[0].method().is_some());
        let mut grid = Grid {
            shared,
            own,
            excludes: Vec::new(),
            includes: Vec::new(),
        };
        for include in tables(source, table, "include")? {
            let include = grid.include(source, include)?;
            grid.includes.push(include);
        }
        for exclude in tables(source, table, "exclude")? {
            let exclude = grid.exclude(source, &exclude, methods)?;
            grid.excludes.push(exclude);
        }
        Ok(grid)
    }

    /// Refuses an assignment of the command line to an axis, whose values would replace it.
    pub(super) fn refuse_axis(
        &self,
        source: &Source<'_>,
        key: &[String],
        span: &Range<usize>,
    ) -> Result<(), Diagnostic> {
        let mut keys = self
            .shared
            .iter()
            .chain(&self.own)
            .flat_map(|axis| &axis.keys);
        let Some(axis) = keys.find(|axis| key.starts_with(&axis.path)) else {
            return Ok(());
        };
        let message = format!(
            "`{}` is an axis, so its values would replace this one",
            axis.name
        );
        let name = toml_edit::Key::new(&axis.name);
        Err(source.at(span, message).with_hint(format!(
            "for other values of the axis write --set 'axes.{name}=[..]'"
        )))
    }

    /// Returns the names of all axes.
    pub(super) fn names(&self) -> Vec<String> {
        self.shared
            .iter()
            .chain(&self.own)
            .flat_map(|axis| &axis.keys)
            .map(|key| key.name.clone())
            .collect()
    }

    /// Returns all combinations, the last axis changing fastest, and sentences about excludes and
    /// includes.
    pub(super) fn combinations(
        &self,
        source: &Source<'_>,
        methods: &[Participant<'_>],
    ) -> Result<(Vec<Combination>, Vec<String>), Diagnostic> {
        self.check_size(source, methods)?;
        let own = self.own_rows(methods);
        let (mut all, counts) = self.without_excluded(methods, &own);
        let mut words = self.about_excludes(source, &counts)?;
        if self.includes.is_empty() {
            return Ok((all, words));
        }
        let mut in_grid: BTreeSet<Vec<usize>> = all.iter().map(|one| one.rows.clone()).collect();
        for include in &self.includes {
            let further = further(source, include, &mut in_grid, all.len())?;
            words.push(format!(
                "[[include]] in line {} adds {}",
                source.line(include.span.start),
                further.len()
            ));
            all.extend(
                further
                    .into_iter()
                    .map(|rows| combination(rows, methods, &own)),
            );
        }
        Ok((all, words))
    }

    /// Returns the combinations of the axes that no [[exclude]] leaves out.
    fn without_excluded(
        &self,
        methods: &[Participant<'_>],
        own: &[Vec<Vec<(usize, usize)>>],
    ) -> (Vec<Combination>, ExcludeCounts) {
        let mut counts = ExcludeCounts {
            left_out: vec![0; self.excludes.len()],
            of: 0,
        };
        let mut kept = Vec::new();
        for rows in odometer(&lengths(&self.shared)) {
            let mut combination = combination(rows, methods, own);
            counts.of += combination.variants.len();
            let rows = &combination.rows;
            combination
                .variants
                .retain(|variant| !self.excludes(rows, variant, methods, &mut counts.left_out));
            if !combination.variants.is_empty() || methods.is_empty() {
                kept.push(combination);
            }
        }
        (kept, counts)
    }

    /// True if an [[exclude]] leaves a variant out. Counts it for each that does.
    fn excludes(
        &self,
        rows: &[usize],
        variant: &Variant,
        methods: &[Participant<'_>],
        left_out: &mut [usize],
    ) -> bool {
        let method = methods[variant.method].name;
        let mut is_excluded = false;
        for (exclude, count) in self.excludes.iter().zip(left_out) {
            if exclude.matches(rows, variant, method) {
                *count += 1;
                is_excluded = true;
            }
        }
        is_excluded
    }

    /// Returns a sentence about each [[exclude]].
    ///
    /// # Errors
    /// One matches nothing.
    fn about_excludes(
        &self,
        source: &Source<'_>,
        counts: &ExcludeCounts,
    ) -> Result<Vec<String>, Diagnostic> {
        let of = counts.of;
        let mut words = Vec::new();
        for (exclude, count) in self.excludes.iter().zip(&counts.left_out) {
            if *count == 0 {
                return Err(source.at(&exclude.span, "this [[exclude]] matches no combination").with_hint(
                    "every key must match a value of its axis; remove this [[exclude]] if it is obsolete",
                ));
            }
            let line = source.line(exclude.span.start);
            words.push(format!(
                "[[exclude]] in line {line} leaves out {count} of {of} combinations of a method and a setting"
            ));
        }
        Ok(words)
    }

    /// Refuses axes with more rows than a sweep may have, before anything is allocated for them.
    fn check_size(
        &self,
        source: &Source<'_>,
        methods: &[Participant<'_>],
    ) -> Result<(), Diagnostic> {
        let Some(first) = self.shared.first().or(self.own.first()) else {
            return Ok(());
        };
        let of_methods = methods.iter().map(|method| {
            let own = self.own_axes(method.name).map(|(_, axis)| axis.listed);
            product(own)
        });
        let rows = of_methods
            .fold(0, usize::saturating_add)
            .max(1)
            .saturating_mul(product(lengths(&self.shared)));
        if rows <= MOST {
            return Ok(());
        }
        let message =
            format!("the axes lead to more than {MOST} rows, the most that a sweep may have");
        Err(source.at(&first.keys[0].span, message))
    }

    /// Returns the axes over settings of one method, with their positions.
    fn own_axes(&self, method: &str) -> impl Iterator<Item = (usize, &Axis<'a>)> {
        let axes = self.own.iter().enumerate();
        axes.filter(move |(_, axis)| axis.keys[0].method() == Some(method))
    }

    /// Returns the combinations of the own axes of each method.
    fn own_rows(&self, methods: &[Participant<'_>]) -> Vec<Vec<Vec<(usize, usize)>>> {
        let of_method = |name: &str| {
            let axes = self.own_axes(name).map(|(at, axis)| (at, axis.listed));
            let (positions, lengths): (Vec<usize>, Vec<usize>) = axes.unzip();
            odometer(&lengths)
                .map(|rows| positions.iter().copied().zip(rows).collect())
                .collect()
        };
        methods
            .iter()
            .map(|method| of_method(method.name))
            .collect()
    }

    fn include(
        &mut self,
        source: &Source<'_>,
        table: Spanned<DeValue<'a>>,
    ) -> Result<Include, Diagnostic> {
        let span = table.span();
        let named = self.named(source, table, "included")?;
        let mut choices = Vec::with_capacity(self.shared.len());
        for (position, axis) in self.shared.iter_mut().enumerate() {
            let columns = named
                .iter()
                .filter(|(_, (at, _), _)| *at == position)
                .count();
            if columns == 0 {
                choices.push((0..axis.listed).collect());
                continue;
            }
            if let Some(absent) = axis
                .keys
                .iter()
                .find(|key| named.iter().all(|(named, ..)| named.path != key.path))
            {
                let message = format!(
                    "`{}` varies together with the others of its [[zip]]: give it a value too",
                    absent.name
                );
                return Err(source.at(&span, message));
            }
            choices.push(axis.rows_of(source, &named)?);
        }
        let lengths: Vec<usize> = choices.iter().map(Vec::len).collect();
        if product(lengths.iter().copied()) > MOST {
            let message = format!(
                "this [[include]] adds more than {MOST} combinations, the most that a sweep may have"
            );
            return Err(source.at(&span, message));
        }
        let combinations = odometer(&lengths).map(|at| {
            at.iter()
                .zip(&choices)
                .map(|(&at, rows)| rows[at])
                .collect()
        });
        Ok(Include {
            span,
            combinations: combinations.collect(),
        })
    }

    /// Returns the keys of an include, each with its axis.
    #[allow(clippy::type_complexity)]
    fn named(
        &self,
        source: &Source<'_>,
        table: Spanned<DeValue<'a>>,
        what: &str,
    ) -> Result<Vec<(Key, (usize, usize), Spanned<DeValue<'a>>)>, Diagnostic> {
        let DeValue::Table(table) = table.into_inner() else {
            return Ok(Vec::new());
        };
        let mut named = Vec::with_capacity(table.len());
        for (key, value) in table {
            let key = Key::read(source, &key, value.get_ref(), what)?;
            let Some(at) = column(&self.shared, &key) else {
                return Err(self.no_axis(source, &key));
            };
            named.push((key, at, value));
        }
        Ok(named)
    }

    fn exclude(
        &self,
        source: &Source<'_>,
        table: &Spanned<DeValue<'a>>,
        methods: &[String],
    ) -> Result<Exclude, Diagnostic> {
        let mut exclude = Exclude {
            span: table.span(),
            methods: None,
            shared: Vec::new(),
            own: Vec::new(),
        };
        let Some(table) = table.get_ref().as_table().filter(|table| !table.is_empty()) else {
            return Err(source.at(
                &exclude.span,
                "an [[exclude]] needs at least one key: without keys it would leave out everything",
            ));
        };
        for (key, wanted) in table.iter() {
            if key.get_ref() == "method" {
                exclude.methods = Some(method_names(source, wanted, methods)?);
                continue;
            }
            let key = Key::read(source, key, wanted.get_ref(), "excluded")?;
            let (axes, cells) = match key.method() {
                None => (&self.shared, &mut exclude.shared),
                Some(_) => (&self.own, &mut exclude.own),
            };
            let Some((axis, column)) = column(axes, &key) else {
                return Err(self.no_axis(source, &key));
            };
            let rows: Vec<bool> = axes[axis]
                .rows
                .iter()
                .map(|row| is_meant(wanted.get_ref(), row[column].get_ref()))
                .collect();
            if !rows.contains(&true) {
                return Err(self.no_value(source, wanted, &axes[axis], column));
            }
            cells.push((axis, rows));
        }
        Ok(exclude)
    }

    fn no_axis(&self, source: &Source<'_>, key: &Key) -> Diagnostic {
        let names = self.names();
        let diagnostic = source.at(&key.span, format!("`{}` is not an axis", key.name));
        match nearest(&key.name, names.iter().map(String::as_str)) {
            Some(near) => diagnostic.with_hint(format!("did you mean `{near}`?")),
            None if names.is_empty() => {
                diagnostic.with_hint("there are no axes: add some under [axes]")
            }
            None => diagnostic.with_hint(format!("the axes are {}", names.join(", "))),
        }
    }

    fn no_value(
        &self,
        source: &Source<'_>,
        wanted: &Spanned<DeValue<'_>>,
        axis: &Axis<'_>,
        column: usize,
    ) -> Diagnostic {
        let name = &axis.keys[column].name;
        let values: Vec<&str> = axis
            .rows
            .iter()
            .take(12)
            .map(|row| source.written(&row[column].span()))
            .collect();
        source
            .at(
                &wanted.span(),
                format!("this is not a value of the axis `{name}`"),
            )
            .with_hint(format!("its values are {}", values.join(", ")))
    }
}

impl<'a> Axis<'a> {
    /// Returns the rows of an include, and adds those that are new.
    fn rows_of(
        &mut self,
        source: &Source<'_>,
        named: &[(Key, (usize, usize), Spanned<DeValue<'a>>)],
    ) -> Result<Vec<usize>, Diagnostic> {
        let wanted: Vec<&Spanned<DeValue<'a>>> = self
            .keys
            .iter()
            .filter_map(|key| {
                named
                    .iter()
                    .find(|(named, ..)| named.path == key.path)
                    .map(|(_, _, value)| value)
            })
            .collect();
        let is_list = |column: usize, value: &Spanned<DeValue<'a>>| {
            value.get_ref().is_array()
                && !self.rows.iter().any(|row| row[column].get_ref().is_array())
        };
        let rows: Vec<Vec<Spanned<DeValue<'a>>>> = match wanted[..] {
            [list] if is_list(0, list) => list
                .get_ref()
                .as_array()
                .into_iter()
                .flat_map(|array| array.iter())
                .map(|v| vec![v.clone()])
                .collect(),
            _ => match wanted
                .iter()
                .enumerate()
                .find(|(column, value)| is_list(*column, value))
            {
                Some((_, list)) => {
                    return Err(source.at(
                        &list.span(),
                        "one value: its [[zip]] varies several keys together",
                    ));
                }
                None => vec![wanted.into_iter().cloned().collect()],
            },
        };
        Ok(rows.into_iter().map(|row| self.position_of(row)).collect())
    }

    fn position_of(&mut self, wanted: Vec<Spanned<DeValue<'a>>>) -> usize {
        let is_it = |row: &Vec<Spanned<DeValue<'a>>>| {
            row.iter()
                .zip(&wanted)
                .all(|(l, r)| means(r.get_ref(), l.get_ref()))
        };
        match self.rows.iter().position(is_it) {
            Some(position) => position,
            None => {
                self.rows.push(wanted);
                self.rows.len() - 1
            }
        }
    }
}

impl Exclude {
    fn matches(&self, rows: &[usize], variant: &Variant, method: &str) -> bool {
        let row_of = |axis: usize| {
            variant
                .rows
                .iter()
                .find(|(own, _)| *own == axis)
                .map(|(_, row)| *row)
        };
        self.methods
            .as_ref()
            .is_none_or(|methods| methods.iter().any(|name| name == method))
            && self.shared.iter().all(|(axis, meant)| meant[rows[*axis]])
            && self
                .own
                .iter()
                .all(|(axis, meant)| row_of(*axis).is_some_and(|row| meant[row]))
    }
}

/// Returns the combinations that an [[include]] adds to those `in_grid`, and adds them to these.
///
/// # Errors
/// It adds nothing, or more than a sweep of already `present` combinations may have.
fn further(
    source: &Source<'_>,
    include: &Include,
    in_grid: &mut BTreeSet<Vec<usize>>,
    present: usize,
) -> Result<Vec<Vec<usize>>, Diagnostic> {
    let combinations = include.combinations.iter();
    let further: Vec<Vec<usize>> = combinations
        .filter(|rows| in_grid.insert((*rows).clone()))
        .cloned()
        .collect();
    if present + further.len() > MOST {
        let message = format!(
            "with this [[include]] there are more than {MOST} combinations, the most that a sweep may have"
        );
        return Err(source.at(&include.span, message));
    }
    if further.is_empty() {
        return Err(source.at(
            &include.span,
            "this [[include]] adds nothing: the axes already have its combinations",
        ));
    }
    Ok(further)
}

fn combination(
    rows: Vec<usize>,
    methods: &[Participant<'_>],
    own: &[Vec<Vec<(usize, usize)>>],
) -> Combination {
    let present = methods
        .iter()
        .enumerate()
        .filter(|(_, method)| method.when.holds(&rows));
    let variants = present.flat_map(|(method, _)| {
        own[method].iter().map(move |rows| Variant {
            method,
            rows: rows.clone(),
        })
    });
    Combination {
        variants: variants.collect(),
        rows,
    }
}

fn plain_axes<'a>(
    source: &Source<'_>,
    table: Spanned<DeValue<'a>>,
) -> Result<Vec<Axis<'a>>, Diagnostic> {
    let span = table.span();
    let DeValue::Table(table) = table.into_inner() else {
        return Err(source.at(
            &span,
            "`axes` is a single table with one key for each axis: write `[axes]`",
        ));
    };
    let axis = |(key, values): (_, Spanned<DeValue<'a>>)| {
        let (key, values) = list(source, &key, values)?;
        let rows: Vec<_> = values.into_iter().map(|value| vec![value]).collect();
        if let Some(twice) = repeated(&rows) {
            let message = format!("the axis `{}` has this value twice", key.name);
            return Err(source.at(&rows[twice][0].span(), message));
        }
        Ok(Axis {
            keys: vec![key],
            listed: rows.len(),
            rows,
        })
    };
    table.into_iter().map(axis).collect()
}

fn zipped<'a>(source: &Source<'_>, table: Spanned<DeValue<'a>>) -> Result<Axis<'a>, Diagnostic> {
    let span = table.span();
    let DeValue::Table(table) = table.into_inner() else {
        return Err(source.at(&span, "a [[zip]] is a table of keys with lists of values"));
    };
    let mut columns: Vec<(Key, Vec<Spanned<DeValue<'a>>>)> = Vec::with_capacity(table.len());
    for (key, values) in table {
        let span = values.span();
        let (key, values) = list(source, &key, values)?;
        if let Some((first, expected)) = columns
            .first()
            .filter(|(_, first)| first.len() != values.len())
        {
            let message = format!(
                "`{}` has {} values and `{}` has {}: the keys of a [[zip]] vary together, so they need equally many",
                key.name,
                values.len(),
                first.name,
                expected.len()
            );
            return Err(source.at(&span, message));
        }
        if columns
            .first()
            .is_some_and(|(first, _)| first.method() != key.method())
        {
            return Err(source
                .at(&key.span, "a [[zip]] varies either shared settings or settings of one method, not both")
                .with_hint("to change a method's setting where an axis has a value, use [[override]] with `when` and `set`"));
        }
        columns.push((key, values));
    }
    columns.sort_by_key(|(key, _)| key.span.start);
    if columns.len() < 2 {
        return Err(source.at(
            &span,
            "a [[zip]] needs at least two keys that vary together; a single key belongs under [axes]",
        ));
    }
    let (keys, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let listed = columns[0].len();
    let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
    let rows: Vec<Vec<_>> = (0..listed)
        .map(|_| columns.iter_mut().filter_map(Iterator::next).collect())
        .collect();
    if let Some(twice) = repeated(&rows) {
        let message = "this [[zip]] has the same values in an earlier place";
        return Err(source.at(&rows[twice][0].span(), message));
    }
    Ok(Axis { keys, rows, listed })
}

/// Returns the position of the first row that is the same as an earlier one.
fn repeated(rows: &[Vec<Spanned<DeValue<'_>>>]) -> Option<usize> {
    let mut seen = BTreeSet::new();
    let canonical_row = |row: &Vec<Spanned<DeValue<'_>>>| -> Vec<String> {
        row.iter().map(|value| canonical(value.get_ref())).collect()
    };
    rows.iter().position(|row| !seen.insert(canonical_row(row)))
}

fn list<'a>(
    source: &Source<'_>,
    key: &Spanned<std::borrow::Cow<'a, str>>,
    values: Spanned<DeValue<'a>>,
) -> Result<(Key, Vec<Spanned<DeValue<'a>>>), Diagnostic> {
    let key = Key::read(source, key, values.get_ref(), "an axis")?;
    let (name, span) = (&key.name, values.span());
    match values.into_inner() {
        DeValue::Array(array) if array.is_empty() => Err(source.at(&span, format!("the axis `{name}` has no values"))),
        DeValue::Array(array) => {
            Ok((key, array.into_iter().collect()))
        }
        DeValue::Table(range) if range.len() == 1 && range.keys().all(|kind| searched::KINDS.contains(&kind.get_ref().as_ref())) => {
            Err(source.at(&span, format!("the axis `{name}` cannot be searched: all its values are reported")).with_hint(
                "write a list, or `{ linspace = [from, to, count] }`; searched values belong in a [[method]]",
            ))
        }
        DeValue::Table(range) if let Some(kind) = misspelt(&range) => Err(source
            .at(&span, format!("the axis `{name}` is neither a list of values nor a range"))
            .with_hint(format!("did you mean `{kind}`?"))),
        _ => Err(source
            .at(&span, format!("the axis `{name}` needs a list of values"))
            .with_hint(format!("write [{}]", source.written(&span)))),
    }
}

/// Returns the kind of range that a table resembles most.
fn misspelt(range: &DeTable<'_>) -> Option<&'static str> {
    let kind = range.keys().next().filter(|_| range.len() == 1)?;
    nearest(kind.get_ref(), super::ranges::KINDS)
}

/// Checks that no key is in two axes, and that every method exists.
fn check(source: &Source<'_>, axes: &[Axis<'_>], methods: &[String]) -> Result<(), Diagnostic> {
    let mut seen: BTreeMap<&[String], &Key> = BTreeMap::new();
    for key in axes.iter().flat_map(|axis| &axis.keys) {
        key.check_method(source, methods)?;
        if seen.insert(&key.path, key).is_some() {
            return Err(source.at(&key.span, format!("`{}` is already an axis", key.name)));
        }
    }
    Ok(())
}

/// Removes an array of tables from the document and returns it.
pub(super) fn tables<'a>(
    source: &Source<'_>,
    table: &mut DeTable<'a>,
    name: &str,
) -> Result<Vec<Spanned<DeValue<'a>>>, Diagnostic> {
    let Some(value) = table.remove(name) else {
        return Ok(Vec::new());
    };
    let span = value.span();
    match value.into_inner() {
        DeValue::Array(tables) if tables.iter().all(|table| table.get_ref().is_table()) => {
            Ok(tables.into_iter().collect())
        }
        _ => Err(source.at(
            &span,
            format!("`{name}` is a list of tables: write `[[{name}]]`"),
        )),
    }
}

fn method_names(
    source: &Source<'_>,
    wanted: &Spanned<DeValue<'_>>,
    methods: &[String],
) -> Result<Vec<String>, Diagnostic> {
    let each: Vec<&Spanned<DeValue<'_>>> = match wanted.get_ref() {
        DeValue::Array(names) => names.iter().collect(),
        _ => vec![wanted],
    };
    let name = |value: &&Spanned<DeValue<'_>>| match value.get_ref().as_str() {
        Some(name) if methods.iter().any(|known| known == name) => Ok(name.to_owned()),
        Some(name) => Err(source.unknown_method(&value.span(), name, methods)),
        None => Err(source.at(&value.span(), "expected the name of a method")),
    };
    each.iter().map(name).collect()
}

fn lengths(axes: &[Axis<'_>]) -> Vec<usize> {
    axes.iter().map(|axis| axis.listed).collect()
}

/// Returns the product of these lengths, or the greatest number if it is larger.
fn product(lengths: impl IntoIterator<Item = usize>) -> usize {
    lengths.into_iter().fold(1, usize::saturating_mul)
}

/// Returns every choice of one index below each length, the last changing fastest.
fn odometer(lengths: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let total = lengths.iter().product();
    (0..total).map(move |mut number: usize| {
        let mut positions = vec![0; lengths.len()];
        for (position, &length) in positions.iter_mut().zip(lengths).rev() {
            *position = number % length;
            number /= length;
        }
        positions
    })
}
