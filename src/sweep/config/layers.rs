//! `extends`: files that a sweep file builds on, put together so that each value knows where it stands.
//!
//! `extends = ["presets/xbm", "mine.toml"]` lays the file itself over `mine.toml`, and that over the preset, which comes
//! with the program. `protocol = "reality_check"` in `[sweep]` lays all that over the protocol's preset, and `--set` lies
//! over everything. Tables are laid over each other key by key, and the `[[override]]`s of a file come after those of what
//! it builds on; everything else, `[[method]]` too, is replaced. So is a table that makes a choice, such as `optimizer`,
//! when another choice is made. A file that several others build on is laid once, under the first of them.
//!
//! All texts are concatenated. A position in the whole tells the text and the place in it, so that whoever reads
//! the settings need not know how many files there are.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::{
    Deserialize,
    de::{
        IntoDeserializer,
        value::{self, StrDeserializer},
    },
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostic::Diagnostic,
    every_method,
    file::Protocol,
    grammar::{Grammar, Node},
    meant::nearest,
    presets,
    ranges::{self, Lists},
    respell::{respell, respell_assignment},
    searched,
    set::{Assignment, moved, moved_table},
    source::{Layer, LayerKind, Source},
    text::{self, MOST_BYTES},
    toml_error::from_toml,
};

/// Maximum number of files that build on each other in a row.
const DEEPEST: usize = 32;

/// The layer of the sweep file itself.
const OWN: usize = 0;

/// A sweep file with all it builds on.
pub(super) struct Layers<'a> {
    path: &'a Path,
    /// All texts, that of the file itself first.
    text: String,
    /// Where its lines end.
    newlines: Vec<usize>,
    layers: Vec<Layer>,
    /// The layers that are files, what others build on first, the file itself last.
    order: Vec<usize>,
    /// Of the command line.
    assignments: Vec<Assignment>,
}

/// A name in `extends`, and where it stands.
type Name = (Range<usize>, String);

/// The settings of all files, one laid over the other.
pub(super) struct Laid<'a> {
    pub(super) table: Spanned<DeTable<'a>>,
    /// The keys that `--set` assigns, in the current spelling.
    pub(super) assigned: Vec<(Vec<String>, Range<usize>)>,
    /// Old spellings that were read.
    pub(super) warnings: Vec<Diagnostic>,
}

impl<'a> Layers<'a> {
    /// Reads all that the file at `path`, which has this text, builds on; `sets` are assignments of
    /// the command line.
    pub(super) fn gather(
        path: &'a Path,
        text: &str,
        sets: &[String],
    ) -> Result<Layers<'a>, Diagnostic> {
        let mut layers = Layers {
            path,
            text: String::new(),
            newlines: Vec::new(),
            layers: Vec::new(),
            order: Vec::new(),
            assignments: Vec::new(),
        };
        layers.push(LayerKind::File(path.to_owned()), text)?;
        for set in sets {
            let assignment = Assignment::read(set, layers.text.len())?;
            layers.push(LayerKind::Set, set)?;
            layers.assignments.push(assignment);
        }
        let mut known = BTreeSet::from([canonical(path)]);
        layers.stack(OWN, &mut Vec::new(), &mut known)?;
        layers.write_out_ranges()?;
        Ok(layers)
    }

    /// Adds a text behind all others.
    fn push(&mut self, kind: LayerKind, text: &str) -> Result<(), Diagnostic> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let start = self.text.len();
        if start + text.len() > MOST_BYTES {
            let message = format!(
                "the sweep file, what it builds on and the values of its ranges have more than {} MiB",
                MOST_BYTES >> 20
            );
            return Err(Diagnostic::of_file(self.path, message));
        }
        self.text.push_str(text);
        let newlines = text.match_indices('\n');
        self.newlines.extend(newlines.map(|(at, _)| start + at));
        let place = start..self.text.len();
        self.layers.push(Layer { kind, place });
        Ok(())
    }

    /// Puts a file on top of all that it builds on. `above` are those that build on it.
    fn stack(
        &mut self,
        layer: usize,
        above: &mut Vec<PathBuf>,
        known: &mut BTreeSet<PathBuf>,
    ) -> Result<(), Diagnostic> {
        let path = match &self.layers[layer].kind {
            LayerKind::File(path) => path.clone(),
            LayerKind::Set | LayerKind::Range(_) => return Ok(()),
        };
        above.push(canonical(&path));
        for (span, name) in self.names(layer)? {
            let base = locate(&path, &name).map_err(|mistake| mistake.at(&self.source(), &span))?;
            if above.contains(&canonical(&base)) {
                let message = format!("`{}` builds on itself", base.display());
                return Err(self.source().at(&span, message));
            }
            if above.len() == DEEPEST {
                let message = format!("more than {DEEPEST} files build on each other in a row");
                return Err(self.source().at(&span, message));
            }
            if known.insert(canonical(&base)) {
                let text = preset_or_file(&base)?;
                self.push(LayerKind::File(base), &text)?;
                self.stack(self.layers.len() - 1, above, known)?;
            }
        }
        above.pop();
        self.order.push(layer);
        Ok(())
    }

    /// Returns what a file builds on. A file that does not parse is reported where all are read.
    fn names(&self, layer: usize) -> Result<Vec<Name>, Diagnostic> {
        let Ok(mut table) = self.parsed(layer) else {
            return Ok(Vec::new());
        };
        if layer == OWN {
            self.assign_bases(&mut table)?;
        }
        let Some(extends) = table.get("extends") else {
            return Ok(protocol(&table).into_iter().collect());
        };
        let wrong = |span: Range<usize>| {
            self.source()
                .at(&span, "`extends` needs a list of files or presets")
                .with_hint("extends = [\"presets/xbm\"]")
        };
        let Some(names) = extends.get_ref().as_array() else {
            return Err(wrong(extends.span()));
        };
        let name = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::String(name) => Ok((value.span(), name.to_string())),
            _ => Err(wrong(value.span())),
        };
        let protocol = protocol(&table).map(Ok);
        protocol.into_iter().chain(names.iter().map(name)).collect()
    }

    /// Makes those assignments that decide what the sweep file builds on.
    fn assign_bases<'t>(&'t self, table: &mut DeTable<'t>) -> Result<(), Diagnostic> {
        let root = Grammar::of_sweep_files().root();
        for assignment in &self.assignments {
            let key = &assignment.key;
            if *key == ["extends"] || *key == ["sweep", "protocol"] {
                let value = assignment.value(self.source())?;
                assignment
                    .put(table, value, root)
                    .map_err(|reason| self.source().at(&assignment.key_span, reason))?;
            }
        }
        Ok(())
    }

    /// Returns the table of a file, with positions in the text of all.
    fn parsed(&self, layer: usize) -> Result<DeTable<'_>, Diagnostic> {
        let place = &self.layers[layer].place;
        match DeTable::parse(&self.text[place.clone()]) {
            Ok(table) => Ok(moved_table(table.into_inner(), place.start)),
            Err(error) => Err(from_toml(self.source(), &error, place.start)),
        }
    }

    /// Adds the values of all ranges, each as a text of its own.
    fn write_out_ranges(&mut self) -> Result<(), Diagnostic> {
        let mut lists = Vec::new();
        for &layer in &self.order {
            // A file that does not parse is reported where all are read.
            if let Ok(table) = self.parsed(layer) {
                lists.extend(ranges::of_file(&self.source(), &table)?);
            }
        }
        for assignment in &self.assignments {
            if ranges::may_be_under(&assignment.key[0]) {
                let value = assignment.value(self.source())?;
                ranges::gather(&self.source(), &value, &mut lists)?;
            }
        }
        for (range, list) in lists {
            self.push(LayerKind::Range(range), &list)?;
        }
        Ok(())
    }

    /// Returns the values of all ranges, each with its position.
    fn lists(&self) -> Lists<'_> {
        let list = |layer: &'_ Layer| {
            let LayerKind::Range(range) = &layer.kind else {
                return None;
            };
            let list = DeValue::parse(&self.text[layer.place.clone()]).ok()?;
            match moved(list, layer.place.start).into_inner() {
                DeValue::Array(values) => Some((range.start, values)),
                _ => None,
            }
        };
        self.layers.iter().filter_map(list).collect()
    }

    /// Returns the text that all positions are in.
    pub(super) fn source(&self) -> Source<'_> {
        Source {
            path: self.path,
            text: &self.text,
            newlines: &self.newlines,
            layers: &self.layers,
        }
    }

    /// Returns all settings, without `extends`, in the current spelling.
    ///
    /// # Errors
    /// A file does not parse, or has a key in an old and in the current spelling; the key of an
    /// assignment leads nowhere.
    pub(super) fn table(&self) -> Result<Laid<'_>, Diagnostic> {
        let root = Grammar::of_sweep_files().root();
        let lists = self.lists();
        let mut laid = Laid {
            table: Spanned::new(self.layers[OWN].place.clone(), DeTable::new()),
            assigned: Vec::new(),
            warnings: Vec::new(),
        };
        for &layer in &self.order {
            let mut table = self.parsed(layer)?;
            table.remove("extends");
            ranges::put_in_file(&mut table, &lists);
            laid.warnings.extend(respell(self.source(), &mut table)?);
            lay_over(laid.table.get_mut(), table, Some(root));
        }
        for assignment in &self.assignments {
            if assignment.key[0] != "extends" {
                self.assign(assignment.clone(), &lists, &mut laid)?;
            }
        }
        if trains_nothing(laid.table.get_ref()) {
            lay_over(laid.table.get_mut(), unused_training(), Some(root));
        }
        Ok(laid)
    }

    fn assign<'t>(
        &'t self,
        mut assignment: Assignment,
        lists: &Lists<'t>,
        laid: &mut Laid<'t>,
    ) -> Result<(), Diagnostic> {
        let source = self.source();
        let mut value = assignment.value(source)?;
        if ranges::may_be_under(&assignment.key[0]) {
            ranges::put(&mut value, lists);
        }
        laid.warnings
            .extend(respell_assignment(source, &mut assignment, &mut value)?);
        let root = Grammar::of_sweep_files().root();
        let span = assignment.key_span.clone();
        let methods = every_method::methods_of(laid.table.get_ref());
        for key in every_method::keys(&source, &assignment.key, &span, &methods)? {
            assignment.key = key;
            assignment
                .put(laid.table.get_mut(), value.clone(), root)
                .map_err(|reason| source.at(&span, reason))?;
            laid.assigned.push((assignment.key.clone(), span.clone()));
        }
        Ok(())
    }
}

/// True if all methods are baselines, and nothing says how they would be trained.
fn trains_nothing(table: &DeTable<'_>) -> bool {
    let methods = every_method::methods_of(table);
    let are_baselines = methods
        .iter()
        .all(|(_, method)| method.contains_key("baseline"));
    !methods.is_empty() && are_baselines && !table.contains_key("training")
}

/// Returns a `[training]` for methods that have none. Nothing depends on it.
fn unused_training() -> DeTable<'static> {
    const UNUSED: &str = "[training]
steps = 1
sampler.random = { batch = 2 }
optimizer.sgd = {}
";
    let table = DeTable::parse(UNUSED).map(Spanned::into_inner);
    table.unwrap_or_default()
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Lays one table over another; `node` is what the grammar allows there.
fn lay_over<'a>(below: &mut DeTable<'a>, above: DeTable<'a>, node: Option<Node<'_>>) {
    for (key, value) in above {
        let name = key.get_ref().as_ref();
        let inner = node.and_then(|node| node.child(name));
        let Some(under) = below.get_mut(name) else {
            below.insert(key, value);
            continue;
        };
        let span = value.span();
        match (under.get_mut(), value.into_inner()) {
            (DeValue::Array(under), DeValue::Array(over)) if name == "override" => {
                over.into_iter().for_each(|item| under.push(item));
            }
            (DeValue::Table(table), DeValue::Table(over)) if !replaces(&over, table, inner) => {
                lay_over(table, over, inner);
                // What the table lacks is missed in the file on top.
                let table = std::mem::take(table);
                *under = Spanned::new(span, DeValue::Table(table));
            }
            (_, over) => *under = Spanned::new(span, over),
        }
    }
}

/// True if `over` chooses something else than `under`, or one of them is a searched value.
fn replaces(over: &DeTable<'_>, under: &DeTable<'_>, node: Option<Node<'_>>) -> bool {
    let share_a_key = || {
        over.keys()
            .any(|name| under.contains_key(name.get_ref().as_ref()))
    };
    let is_choice = node.is_some_and(Node::is_choice);
    is_choice && !share_a_key() || searched::is_one(over) || searched::is_one(under)
}

/// The preset of the protocol that a file follows. Of an unknown one the types tell.
fn protocol(table: &DeTable<'_>) -> Option<Name> {
    let name = table.get("sweep")?.get_ref().as_table()?.get("protocol")?;
    let text: StrDeserializer<'_, value::Error> = name.get_ref().as_str()?.into_deserializer();
    let protocol = Protocol::deserialize(text).ok()?;
    Some((name.span(), protocol.preset().to_owned()))
}

struct NotFound {
    message: String,
    hint: Option<String>,
}

impl NotFound {
    fn at(self, source: &Source<'_>, span: &Range<usize>) -> Diagnostic {
        let diagnostic = source.at(span, self.message);
        match self.hint {
            Some(hint) => diagnostic.with_hint(hint),
            None => diagnostic,
        }
    }
}

/// What the names of presets begin with.
const PRESETS: &str = "presets/";

/// Returns the name of the preset that a name in `extends` stands for.
fn preset(name: &str) -> Option<&str> {
    name.strip_prefix(PRESETS)
        .filter(|preset| !preset.ends_with(".toml"))
}

/// Finds a preset, or a file beside the one that names it.
fn locate(named_by: &Path, name: &str) -> Result<PathBuf, NotFound> {
    if let Some(preset) = preset(name) {
        return match presets::text(preset) {
            Some(_) => Ok(name.into()),
            None => Err(no_preset(preset)),
        };
    }
    let path = named_by.parent().unwrap_or(Path::new("")).join(name);
    if path.exists() {
        return Ok(path);
    }
    let meant = presets::names().find(|preset| *preset == name.trim_end_matches(".toml"));
    Err(NotFound {
        message: format!("there is no file `{}`", path.display()),
        hint: meant.map(|preset| format!("for the preset write `{PRESETS}{preset}`")),
    })
}

fn no_preset(name: &str) -> NotFound {
    let hint = match nearest(name, presets::names()) {
        Some(near) => format!("did you mean `{PRESETS}{near}`?"),
        None => format!(
            "there are {}",
            presets::names().collect::<Vec<_>>().join(", ")
        ),
    };
    NotFound {
        message: format!("there is no preset `{name}`"),
        hint: Some(hint),
    }
}

/// Returns the text of a preset or a file.
fn preset_or_file(path: &Path) -> Result<Cow<'static, str>, Diagnostic> {
    let preset = path.to_str().and_then(preset).and_then(presets::text);
    match preset {
        Some(text) => Ok(text.into()),
        None => Ok(text::read(path)?.into()),
    }
}
