//! `sweep init`: writes a sweep file to start from, one that runs as it is.
//!
//! It is a copy of an example that comes with the program. With a folder of images, the copy uses
//! these, and its batches are made to fit them.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use schema::{Dataset, Own, Registration};
use toml_edit::{DocumentMut, Item, Value};

use super::{
    Exit,
    data::{self, Add},
    folder::folder,
    shipped::{self, Shipped},
    tell,
};
use crate::{config::Sweep, shell::CommandLine};

/// Write a sweep file to start from
///
/// The file is a commented example that runs as it is. An existing file is never replaced.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep init                               quickstart.toml: losses on images that the program draws
  sweep init mine.toml --from ablation     does a setting matter?
  sweep init mine.toml --from search       let each method find its own settings
  sweep init birds.toml --data ~/birds     compare losses on your own images")]
pub(super) struct Init {
    /// The file to write; by default the name of the example, with `.toml`
    file: Option<PathBuf>,
    /// The example; `sweep show sweeps` lists all
    #[arg(long, value_name = "EXAMPLE", default_value = "quickstart")]
    from: String,
    /// Folder of your own images, with a folder for each class; it is added as by `sweep data add`
    #[arg(long, value_name = "FOLDER", value_parser = folder())]
    data: Option<PathBuf>,
    /// Folder of data sets
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = data::DEFAULT_ROOT)]
    root: PathBuf,
    /// A program to use in the place of `sweep-trainer`
    #[arg(long, value_name = "PROGRAM", hide = true)]
    trainer: Option<PathBuf>,
}

impl Init {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let example = self.example()?;
        let path = self.path(example.name);
        refuse_existing(&path)?;
        let mut document: DocumentMut = example.text.parse().map_err(Exit::stuck)?;
        name(&mut document, &name_of(&path));
        if let Some(folder) = &self.data {
            self.use_own(folder, &mut document)?;
        }
        let text = document.to_string();
        let sweep = Sweep::parse(&path, &text, &[], String::new()).map_err(|mistake| {
            Exit::Mistake(format!(
                "the example `{}` does not fit these images; start from another one with --from\n{mistake}",
                example.name
            ))
        })?;
        write_new(&path, &text)?;
        let [plan, run] =
            ["sweep plan", "sweep run"].map(|command| CommandLine::new(command).path(&path));
        tell(&format!(
            "{}: written; next, `{plan}` shows what it would run, `{run}` runs it",
            path.display()
        ));
        sweep
            .warnings
            .iter()
            .for_each(|warning| tell(&warning.warning(false)));
        Ok(())
    }

    /// Returns the example that is asked for.
    fn example(&self) -> Result<Shipped, Exit> {
        let (alone, others): (Vec<Shipped>, Vec<Shipped>) = shipped::all()
            .into_iter()
            .partition(|shipped| !shipped.builds_on_another());
        let names: Vec<&str> = alone.iter().map(|shipped| shipped.name).collect();
        let names = names.join(", ");
        if others.iter().any(|shipped| shipped.name == self.from) {
            return Err(Exit::Mistake(format!(
                "`{}` builds on another file, so it cannot be copied alone\nhint: start from one of {names}",
                self.from
            )));
        }
        let example = alone.into_iter().find(|shipped| shipped.name == self.from);
        example.ok_or_else(|| {
            Exit::Mistake(format!(
                "there is no example `{}`\nhint: the examples are {names}; `sweep show sweeps` describes them",
                self.from
            ))
        })
    }

    fn path(&self, example: &str) -> PathBuf {
        let path = match (&self.file, &self.data) {
            (Some(file), _) => file.clone(),
            (None, Some(folder)) => own_name(folder).into(),
            (None, None) => example.into(),
        };
        match path.extension() {
            Some(_) => path,
            None => path.with_extension("toml"),
        }
    }

    /// Adds the user's images, and puts them into the document.
    fn use_own(&self, folder: &Path, document: &mut DocumentMut) -> Result<(), Exit> {
        let is_axis = document
            .get("axes")
            .is_some_and(|axes| axes.get("dataset").is_some());
        if is_axis {
            return Err(Exit::Mistake(format!(
                "`{}` is about data sets of its own\nhint: with `--data`, start from another example",
                self.from
            )));
        }
        let own = own_name(folder);
        let found = Add::own(&own, folder, &self.root, self.trainer.as_deref()).added()?;
        let dataset = Dataset::Own(Own { name: own.clone() });
        let lines = data::lines(&dataset, &self.root);
        let lines: DocumentMut = format!("{lines}\nimage_size = {SIDE}\n")
            .parse()
            .map_err(Exit::stuck)?;
        let table = document["data"].as_table_mut();
        if let Some(table) = table {
            table.remove("image_size");
            table.remove("dataset");
            lines.iter().for_each(|(key, item)| {
                table.insert(key, item.clone());
            });
        }
        fit(document, &found);
        let title = format!(
            "# Losses on the images of `{own}`. Every key is explained in docs/sweep-file.md.\n\n"
        );
        if let Some(first) = document["sweep"].as_table_mut() {
            first.decor_mut().set_prefix(title);
        }
        Ok(())
    }
}

/// Pixels a side of the user's images.
const SIDE: u32 = 64;

/// Makes batches and memories no larger than the data set allows.
fn fit(document: &mut DocumentMut, found: &Registration) {
    let folds = document["sweep"].get("folds").and_then(Item::as_integer);
    // Of each fold, the classes of all others are trained on.
    let kept = |all: i64| folds.map_or(all, |folds| all / folds * (folds - 1));
    let classes = kept(i64::from(found.training_classes));
    let smallest = i64::from(found.smallest_training_class);
    let methods = document["method"].as_array_of_tables_mut();
    for method in methods.into_iter().flat_map(|methods| methods.iter_mut()) {
        let xbm = method
            .get_mut("memory")
            .and_then(|memory| memory.get_mut("xbm"));
        let Some(size) = xbm.and_then(|xbm| xbm.get_mut("size")) else {
            continue;
        };
        let most = classes * smallest;
        replace(size, size.as_integer().unwrap_or(most).min(most));
    }
    let sampler = &mut document["training"]["sampler"]["m_per_class"];
    let (Some(batch), Some(per_class)) = (
        sampler.get("batch").and_then(Item::as_integer),
        sampler.get("per_class").and_then(Item::as_integer),
    ) else {
        return;
    };
    let per_class = per_class.min(smallest).max(2);
    let batch = (batch / per_class).min(classes) * per_class;
    replace(&mut sampler["batch"], batch);
    replace(&mut sampler["per_class"], per_class);
}

/// Gives the sweep a name.
fn name(document: &mut DocumentMut, name: &str) {
    replace(&mut document["sweep"]["name"], name);
}

/// Replaces a value, and keeps the comment beside it.
fn replace(item: &mut Item, value: impl Into<Value>) {
    let Some(old) = item.as_value_mut() else {
        return;
    };
    let decor = old.decor().clone();
    *old = value.into();
    *old.decor_mut() = decor;
}

/// Returns the name of the sweep in a file.
fn name_of(path: &Path) -> String {
    plain(
        path.file_stem()
            .map(|stem| stem.to_string_lossy())
            .as_deref(),
    )
}

/// Returns the name of the data set in a folder.
fn own_name(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    plain(
        folder
            .file_stem()
            .map(|stem| stem.to_string_lossy())
            .as_deref(),
    )
}

/// Returns a name of letters, digits, `-` and `_`.
fn plain(name: Option<&str>) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    match name {
        Some(name) if !name.is_empty() => name.replace(|letter| !is_plain(letter), "_"),
        _ => "first".to_owned(),
    }
}

fn refuse_existing(path: &Path) -> Result<(), Exit> {
    match path.exists() {
        true => Err(Exit::Mistake(format!(
            "`{}` exists already\nhint: name another file: `sweep init FILE`",
            path.display()
        ))),
        false => Ok(()),
    }
}

/// Writes a file that does not exist yet.
fn write_new(path: &Path, text: &str) -> Result<(), Exit> {
    let failed =
        |error: io::Error| Exit::mistake(format!("failed to write `{}`: {error}", path.display()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_that_stands_alone_is_in_order() {
        for example in shipped::all() {
            let mut document: DocumentMut = example.text.parse().unwrap();
            name(&mut document, "mine");
            let path = Path::new("mine.toml");
            let sweep = Sweep::parse(path, &document.to_string(), &[], String::new());
            assert_eq!(
                sweep.is_ok(),
                !example.builds_on_another(),
                "{}",
                example.name
            );
            assert!(sweep.is_err() || sweep.unwrap().name == "mine");
        }
    }

    #[test]
    fn batches_are_no_larger_than_a_small_data_set_allows() {
        let example = shipped::all().into_iter().find(|one| one.name == "search");
        let mut document: DocumentMut = example.unwrap().text.parse().unwrap();
        let found: Registration = serde_json::from_str(
            r#"{"layout":"","training_images":18,"training_classes":6,"smallest_training_class":3,"super_classes":false,"test_classes_without_positive":0,
            "test_images":9,"test_classes":3,"queries":9,"references":9}"#,
        )
        .unwrap();
        fit(&mut document, &found);
        let sampler = document["training"]["sampler"]["m_per_class"].to_string();
        assert_eq!(sampler.trim(), "{ batch = 9, per_class = 3 }");
    }

    #[test]
    fn the_name_of_a_file_becomes_that_of_the_sweep() {
        assert_eq!(name_of(Path::new("a/my sweep.toml")), "my_sweep");
    }
}
