//! `sweep data`: adds downloaded data sets, lists those that were added, and inspects their images.

mod check;
mod sheet;

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use schema::{Dataset, Failure, ImportWork, Own, Registration, Task};

use super::{
    Exit,
    foreground::{self, all_cores},
    progress::Bar,
    show, tell,
};
use crate::{
    ledger::{absolute, fingerprint::is_unpacked, read_json},
    run::trainer::{Trainer, TrainerError},
};

/// Add, list, check and draw data sets
#[derive(Debug, Subcommand)]
pub(super) enum Data {
    Add(Add),
    List(List),
    Check(check::CheckData),
    Show(sheet::ShowSheet),
}

/// Add a downloaded data set
///
/// Unpacks archives, links folders, and verifies the published number of images and classes.
#[derive(Debug, Args)]
#[command(after_help = examples())]
pub(super) struct Add {
    /// Name of a known data set, or a new name
    name: String,
    /// Archives, unpacked folders and annotation files
    #[arg(required = true)]
    from: Vec<PathBuf>,
    /// Folder of data sets
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    root: PathBuf,
    /// Copy folders instead of linking them
    #[arg(long)]
    copy: bool,
    /// Accept counts that differ from the published ones; tables say so
    #[arg(long)]
    allow_other_counts: bool,
    /// A program to use in the place of `sweep-trainer`
    #[arg(long, value_name = "PROGRAM", hide = true)]
    trainer: Option<PathBuf>,
}

/// List data sets
#[derive(Debug, Args)]
pub(super) struct List {
    /// Folder of data sets
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    root: PathBuf,
}

impl Data {
    pub(super) fn run(&self) -> Result<(), Exit> {
        match self {
            Data::Add(add) => add.run(),
            Data::List(list) => list.run(),
            Data::Check(check) => check.run(),
            Data::Show(show) => show.run(),
        }
    }
}

/// Returns a command for every data set that is downloaded, and one for a user's own.
fn examples() -> String {
    let mut text = "\
`sweep show data` lists the known names. Any other name is a data set of your own.

Examples:
"
    .to_owned();
    for dataset in Dataset::downloaded() {
        let facts = dataset.facts();
        if let Some(download) = facts.download {
            let _ = writeln!(text, "  sweep data add {} {}", facts.folder, download.files);
        }
    }
    text + "  sweep data add birds ~/birds --root /datasets             your own images"
}

/// Returns the data set with this name. An unknown name is a user's own data set.
fn named(name: &str) -> Result<Dataset, Exit> {
    if name == "glyphs" {
        return Err(Exit::mistake(
            "glyphs are drawn by the program: they have no files to add, check or show",
        ));
    }
    if !Own::is_name(name) {
        return Err(Exit::mistake(format!(
            "`{name}` cannot be the name of a data set: use letters, digits, `-` and `_`"
        )));
    }
    let known = Dataset::downloaded();
    if let Some(dataset) = known.iter().find(|known| known.name() == name) {
        return Ok(dataset.clone());
    }
    if let Some(near) = known.iter().find(|known| is_near(known.name(), name)) {
        let near = near.name();
        return Err(Exit::mistake(format!(
            "`{name}`: did you mean `{near}`? if not, choose another name"
        )));
    }
    Ok(Dataset::Own(Own {
        name: name.to_owned(),
    }))
}

/// Returns true if names differ in at most one letter, apart from case, `-` and `_`.
fn is_near(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|name| name.to_lowercase().replace(['-', '_'], ""));
    strsim::damerau_levenshtein(&one, &other) <= 1
}

/// A data set that was added.
#[derive(Debug, Args)]
struct Added {
    /// Name of a data set, as `sweep data list` shows it
    name: String,
    /// Folder of data sets
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    root: PathBuf,
    /// A program to use in the place of `sweep-trainer`
    #[arg(long, value_name = "PROGRAM", hide = true)]
    trainer: Option<PathBuf>,
}

impl Added {
    /// Returns the data set and its own folder.
    fn find(&self) -> Result<(Dataset, PathBuf), Exit> {
        let dataset = named(&self.name)?;
        let home = absolute(&self.root).join(dataset.folder());
        if home.join(Registration::LISTING).is_file() {
            return Ok((dataset, home));
        }
        Err(Exit::Mistake(format!(
            "there is no data set `{}` in `{}`\nhint: `sweep data list --root FOLDER` lists data sets, `sweep data \
             add {} DOWNLOADED...` adds one",
            self.name,
            self.root.display(),
            self.name
        )))
    }

    /// Has the trainer do the work, and returns what came of it.
    fn attempt<T: Task>(&self, task: T, bar: &Bar) -> Result<T::Reply, Exit> {
        let trainer = Trainer::find(self.trainer.as_deref())?;
        Ok(foreground::attempt(&trainer, task, all_cores(), Some(bar))?)
    }
}

impl Add {
    fn run(&self) -> Result<(), Exit> {
        for path in &self.from {
            if !path.exists() {
                return Err(Exit::mistake(format!(
                    "there is no file or folder `{}`",
                    path.display()
                )));
            }
        }
        let dataset = named(&self.name)?;
        let into = absolute(&self.root).join(dataset.folder());
        let images = self.import(&dataset, &into)?;
        tell(&format!(
            "{}: {images} images in `{}`",
            dataset.title(),
            into.display()
        ));
        if let Some(found) = registered(&into)? {
            tell(&format!("{}\n{}", found.layout, described(&found)));
        }
        Ok(())
    }

    /// Has the trainer read it, and returns how many images there are.
    fn import(&self, dataset: &Dataset, into: &Path) -> Result<u64, Exit> {
        let from = self.from.iter().map(|path| absolute(path)).collect();
        let trainer = Trainer::find(self.trainer.as_deref())?;
        let work = ImportWork {
            dataset: dataset.clone(),
            from,
            into: into.to_owned(),
            copy: self.copy,
            allow_other_counts: self.allow_other_counts,
        };
        let bar = Bar::bytes(&format!("adding {}", dataset.title()));
        match foreground::attempt(&trainer, work, all_cores(), Some(&bar)) {
            Ok(imported) => Ok(imported.images),
            Err(TrainerError::Failed {
                class: Failure::OtherCounts,
                message,
            }) => Err(Exit::Mistake(format!(
                "{message}\nhint: to use it all the same, add `--allow-other-counts`"
            ))),
            Err(error) => Err(error.into()),
        }
    }
}

fn registered(folder: &Path) -> Result<Option<Registration>, Exit> {
    read_json(&folder.join(Registration::FILE)).map_err(Exit::mistake)
}

/// Returns the counts of a data set, and how they differ from what is usual.
fn described(found: &Registration) -> String {
    let mut text = format!(
        "  train  {} images of {} classes, at least {} of each\n  test   {} images of {} classes",
        found.training_images,
        found.training_classes,
        found.smallest_training_class,
        found.test_images,
        found.test_classes
    );
    if (found.queries, found.references) != (found.test_images, found.test_images) {
        let _ = write!(
            text,
            ": {} queries, {} in the gallery",
            found.queries, found.references
        );
    }
    if found.test_classes_without_positive > 0 {
        let _ = write!(
            text,
            "\n  {} test classes have a single image",
            found.test_classes_without_positive
        );
    }
    found.differences.iter().for_each(|line| {
        let _ = write!(text, "\n  not as published: {line}");
    });
    text
}

impl List {
    fn run(&self) -> Result<(), Exit> {
        let entries = fs::read_dir(&self.root).map_err(|error| {
            Exit::mistake(format!(
                "failed to read the data root `{}`: {error}",
                self.root.display()
            ))
        })?;
        let mut folders: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .collect();
        folders.sort();
        let mut text = String::new();
        for folder in folders {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            if let Some(found) = registered(&folder)? {
                let _ = writeln!(text, "{name}: {}\n{}", found.layout, described(&found));
            } else if named(&name).is_ok_and(|dataset| is_unpacked(&dataset, &folder)) {
                let (folder, root) = (folder.display(), self.root.display());
                let _ = writeln!(
                    text,
                    "{name}: no table of images; run `sweep data add {name} {folder} --root {root}` to make it"
                );
            }
        }
        if text.is_empty() {
            return Err(Exit::mistake(format!(
                "no data set was added in `{}`",
                self.root.display()
            )));
        }
        show(&format!(
            "{text}glyphs: drawn by the program, as many classes as a sweep file asks for\n"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_downloaded_data_set_is_found_by_its_name_and_in_the_examples() {
        for dataset in Dataset::downloaded() {
            let name = dataset.name();
            assert_eq!(named(name).unwrap(), dataset);
            assert!(examples().contains(&format!("sweep data add {name} ")));
        }
    }

    #[test]
    fn a_name_is_known_new_or_a_likely_mistake() {
        assert_eq!(named("in_shop").unwrap(), Dataset::InShop);
        assert_eq!(
            named("birds").unwrap(),
            Dataset::Own(Own {
                name: "birds".to_owned()
            })
        );
        for wrong in ["glyphs", "cub-200", "CUB200", "inshop", "cars19", "a/b", ""] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }
}
