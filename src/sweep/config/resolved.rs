//! A sweep file with all that it builds on, as one text: what `sweep run` keeps, so that `sweep diff` can tell what has
//! changed since, whatever happens to the files.

use std::path::Path;

use serde::Deserialize;
use toml::de::Deserializer;

use super::{diagnostic::Diagnostic, layers::Layers, text_of, toml_error::from_toml};

/// The text of the file at `path`, with `overrides` put in and presets and other files laid under it: a sweep file again.
///
/// # Errors
/// The first mistake found, with its place in the file.
pub fn resolved(path: &Path, overrides: &[String]) -> Result<String, Diagnostic> {
    let layers = Layers::gather(path, &text_of(path)?, overrides)?;
    let table = layers.table()?.table;
    let table = toml::Table::deserialize(Deserializer::from(table))
        .map_err(|error| from_toml(layers.source(), &error, 0))?;
    toml::to_string(&table).map_err(|error| Diagnostic::of_file(path, error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Sweep;

    #[test]
    fn the_resolved_text_is_a_sweep_file_of_the_same_sweep() {
        let folder = tempfile::tempdir().unwrap();
        let (file, kept) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
        let text = r#"
            extends = ["presets/xbm"]
            [sweep]
            name = "a"
            [data]
            dataset.glyphs = { classes = 400, test_classes = 4 }
            [model]
            backbone = "conv4"
            [axes]
            "training.optimizer.adam.lr" = { logspace = [1e-4, 1e-2, 3] }
            [[override]]
            when = { dataset = "glyphs" }
            set = { "training.steps" = 7000 }
        "#;
        fs::write(&file, text).unwrap();
        let text = resolved(&file, &["sweep.seeds=3".to_owned()]).unwrap();
        assert!(!text.contains("extends"), "{text}");
        fs::write(&kept, text).unwrap();
        let (original, kept) = (
            Sweep::read(&file, &["sweep.seeds=3".to_owned()]),
            Sweep::read(&kept, &[]),
        );
        let (original, kept) = (original.unwrap(), kept.unwrap());
        assert_eq!(
            format!("{:?}", original.points),
            format!("{:?}", kept.points)
        );
        assert_eq!(
            (original.seeds.len(), original.points.len()),
            (kept.seeds.len(), 3)
        );
    }
}
