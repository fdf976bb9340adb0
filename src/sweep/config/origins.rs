//! Where each value of a sweep stands: in the file, in one that it extends, or after `--set`.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{diagnostic::Diagnostic, layers::Layers, source::Source, text_of};

/// A value and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its dotted key, with the names of methods in the place of their positions.
    pub key: Vec<String>,
    /// As it is spelled there.
    pub value: String,
    /// Where.
    pub from: From,
}

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// In the sweep file, or one that it extends.
    File(PathBuf, usize),
    /// On the command line.
    Set,
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            From::File(path, line) => write!(f, "{}:{line}", path.display()),
            From::Set => f.write_str("--set"),
        }
    }
}

/// All values that are written anywhere, in the order of their keys.
///
/// # Errors
/// The first mistake found, with its place in the file.
pub fn origins(path: &Path, overrides: &[String]) -> Result<Vec<Origin>, Diagnostic> {
    let layers = Layers::gather(path, &text_of(path)?, overrides)?;
    let table = layers.table()?.table;
    let mut origins = Vec::new();
    walk(
        &layers.source(),
        &mut Vec::new(),
        table.get_ref(),
        &mut origins,
    );
    origins.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(origins)
}

fn walk(
    source: &Source<'_>,
    key: &mut Vec<String>,
    table: &DeTable<'_>,
    origins: &mut Vec<Origin>,
) {
    for (name, value) in table {
        key.push(name.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => walk(source, key, inner, origins),
            DeValue::Array(rows)
                if !rows.is_empty() && rows.iter().all(|row| row.get_ref().is_table()) =>
            {
                for (position, row) in rows.iter().enumerate() {
                    let Some(row) = row.get_ref().as_table() else {
                        continue;
                    };
                    let named = row.get("name").and_then(|name| name.get_ref().as_str());
                    key.push(named.map_or_else(|| position.to_string(), str::to_owned));
                    walk(source, key, row, origins);
                    key.pop();
                }
            }
            _ => origins.push(origin(source, key, value)),
        }
        key.pop();
    }
}

fn origin(source: &Source<'_>, key: &[String], value: &Spanned<DeValue<'_>>) -> Origin {
    let span = value.span();
    let text = source.written(&span);
    let value = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let from = match source.file(span.start) {
        Some(file) => From::File(file.to_owned(), source.line(span.start)),
        None => From::Set,
    };
    Origin {
        key: key.to_owned(),
        value,
        from,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn each_value_is_traced_to_the_file_the_preset_or_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        let text = "extends = [\"presets/xbm\"]\n[sweep]\nname = \"a\"\n[training]\nsteps = 10\n";
        fs::write(&file, text).unwrap();
        let set = [
            "sweep.seeds=3".to_owned(),
            "method.\"Contrastive + XBM\".loss.contrastive_dm.margin=0.4".to_owned(),
        ];
        let origins = origins(&file, &set).unwrap();
        let of = |key: &[&str]| {
            let origin = origins.iter().find(|origin| origin.key == key).unwrap();
            let from = match &origin.from {
                From::File(path, line) => format!("{}:{line}", path.file_name().unwrap().display()),
                From::Set => "--set".to_owned(),
            };
            format!("{} {from}", origin.value)
        };
        assert_eq!(of(&["training", "steps"]), "10 a.toml:5");
        assert_eq!(of(&["sweep", "folds"]), "4 xbm:6");
        assert_eq!(of(&["sweep", "seeds"]), "3 --set");
        assert!(
            of(&["method", "Contrastive + XBM", "name"]).starts_with("\"Contrastive + XBM\" xbm:")
        );
    }
}
