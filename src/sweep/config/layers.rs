//! `extends`: files that a sweep file builds on, put together so that each value knows where it stands.
//!
//! `extends = ["presets/xbm", "mine.toml"]` lays the file itself over `mine.toml`, and that over the preset, which comes
//! with the program. `protocol = "reality_check"` in `[sweep]` lays all that over the protocol's preset. Tables are laid
//! over each other key by key, and the `[[override]]`s of a file come after those of what it builds on; everything else,
//! `[[method]]` too, is replaced. So is a table that makes a choice, such as `optimizer`, when another choice is made.
//!
//! All texts are concatenated. A position in the whole tells file and place, so that whoever reads
//! the settings need not know how many files there are.

use std::{
    borrow::Cow,
    fs,
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
    diagnostic::{Diagnostic, nearest},
    file::Protocol,
    grammar::{Grammar, Node},
    presets, ranges,
    respell::respell,
    searched,
    source::{Layer, Source},
    toml_error::from_toml,
};

/// A sweep file with all it builds on.
pub(super) struct Layers<'a> {
    path: &'a Path,
    /// All texts, what others build on first, the file itself last.
    text: String,
    layers: Vec<Layer>,
}

/// A name in `extends`, and what it stands for.
struct Base {
    path: PathBuf,
    text: Cow<'static, str>,
}

/// The settings of all files, one laid over the other.
pub(super) struct Laid<'a> {
    pub(super) table: Spanned<DeTable<'a>>,
    /// Old spellings that were read.
    pub(super) warnings: Vec<Diagnostic>,
}

impl<'a> Layers<'a> {
    /// Reads all that the file at `path`, which has this text, builds on.
    pub(super) fn gather(path: &'a Path, text: &str) -> Result<Layers<'a>, Diagnostic> {
        let mut layers = Layers {
            path,
            text: String::new(),
            layers: Vec::new(),
        };
        layers.add(path, text, &mut Vec::new())?;
        Ok(layers)
    }

    fn add(&mut self, path: &Path, text: &str, above: &mut Vec<PathBuf>) -> Result<(), Diagnostic> {
        above.push(path.canonicalize().unwrap_or_else(|_| path.to_owned()));
        for name in names(path, text)? {
            let span = name.span();
            let base = find(path, name.get_ref())
                .map_err(|mistake| mistake.at(path, text, span.clone()))?;
            if above.contains(
                &base
                    .path
                    .canonicalize()
                    .unwrap_or_else(|_| base.path.clone()),
            ) {
                let message = format!("`{}` builds on itself", base.path.display());
                return Err(Diagnostic::at(path, text, span, message));
            }
            self.add(&base.path, &base.text, above)?;
        }
        above.pop();
        let text = ranges::written_out(&Source::of_file(path, text))?;
        let start = self.text.len();
        self.layers.push(Layer::new(path, &text, start));
        self.text.push_str(&text);
        Ok(())
    }

    /// The text that all positions are in.
    pub(super) fn source(&self) -> Source<'_> {
        Source {
            path: self.path,
            text: &self.text,
            layers: &self.layers,
        }
    }

    /// Returns all settings, without `extends`, in the current spelling.
    ///
    /// # Errors
    /// A file does not parse, or has a key in an old and in the current spelling.
    pub(super) fn table(&self) -> Result<Laid<'_>, Diagnostic> {
        let mut all = Spanned::new(0..0, DeTable::new());
        let mut warnings = Vec::new();
        for layer in &self.layers {
            let table = DeTable::parse(layer.padded());
            let table = table.map_err(|error| from_toml(self.source(), &error))?;
            let span = table.span();
            let mut table = table.into_inner();
            table.remove("extends");
            warnings.extend(respell(self.source(), &mut table)?);
            let mut below = all.into_inner();
            let root = Grammar::of_sweep_files().root();
            lay_over(&mut below, table, Some(root));
            all = Spanned::new(
                span.start.max(layer.start)..span.end.max(layer.start),
                below,
            );
        }
        Ok(Laid {
            table: all,
            warnings,
        })
    }
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
            (DeValue::Table(under), DeValue::Table(over)) if !replaces(&over, under, inner) => {
                lay_over(under, over, inner);
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

/// The names in `extends`. A file that does not parse is reported where all are read.
fn names<'a>(path: &Path, text: &'a str) -> Result<Vec<Spanned<Cow<'a, str>>>, Diagnostic> {
    let Ok(table) = DeTable::parse(text) else {
        return Ok(Vec::new());
    };
    let mut table = table.into_inner();
    let protocol = protocol(&table);
    let Some(extends) = table.remove("extends") else {
        return Ok(protocol.into_iter().collect());
    };
    let wrong = |span| {
        Diagnostic::at(
            path,
            text,
            span,
            "`extends` needs a list of files or presets",
        )
        .with_hint("extends = [\"presets/xbm\"]")
    };
    let span = extends.span();
    let DeValue::Array(names) = extends.into_inner() else {
        return Err(wrong(span));
    };
    let name = |value: Spanned<DeValue<'a>>| match (value.span(), value.into_inner()) {
        (span, DeValue::String(name)) => Ok(Spanned::new(span, name)),
        (span, _) => Err(wrong(span)),
    };
    protocol
        .map(Ok)
        .into_iter()
        .chain(names.into_iter().map(name))
        .collect()
}

/// The preset of the protocol that a file follows. Of an unknown one the types tell.
fn protocol<'a>(table: &DeTable<'a>) -> Option<Spanned<Cow<'a, str>>> {
    let name = table.get("sweep")?.get_ref().as_table()?.get("protocol")?;
    let text: StrDeserializer<'_, value::Error> = name.get_ref().as_str()?.into_deserializer();
    let protocol = Protocol::deserialize(text).ok()?;
    Some(Spanned::new(name.span(), protocol.preset().into()))
}

struct NotFound {
    message: String,
    hint: Option<String>,
}

impl NotFound {
    fn at(self, path: &Path, text: &str, span: Range<usize>) -> Diagnostic {
        let diagnostic = Diagnostic::at(path, text, span, self.message);
        match self.hint {
            Some(hint) => diagnostic.with_hint(hint),
            None => diagnostic,
        }
    }
}

/// A preset, or a file beside the one that names it.
fn find(named_by: &Path, name: &str) -> Result<Base, NotFound> {
    if let Some(preset) = name
        .strip_prefix("presets/")
        .filter(|preset| !preset.ends_with(".toml"))
    {
        let Some(text) = presets::text(preset) else {
            let meant = nearest(preset, presets::names())
                .map(|name| format!("did you mean `presets/{name}`?"));
            let hint = meant.unwrap_or_else(|| {
                format!(
                    "there are {}",
                    presets::names().collect::<Vec<_>>().join(", ")
                )
            });
            return Err(NotFound {
                message: format!("there is no preset `{preset}`"),
                hint: Some(hint),
            });
        };
        return Ok(Base {
            path: name.into(),
            text: text.into(),
        });
    }
    let path = named_by.parent().unwrap_or(Path::new("")).join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Base {
            path,
            text: text.into(),
        }),
        Err(error) => Err(NotFound {
            message: format!("cannot read `{}`: {error}", path.display()),
            hint: None,
        }),
    }
}
