//! `sweep data`: brings downloaded data sets into their place, and says what is there.

mod check;
mod sheet;

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use schema::{Dataset, Files, ImportWork, Own, Registration, Task};

use super::{
    Exit,
    foreground::{self, all_cores},
    progress::Bar,
    show, tell,
};
use crate::{
    ledger::{absolute, read_json},
    run::trainer::Trainer,
};

/// Add, list, check and draw data sets
#[derive(Debug, Subcommand)]
pub(super) enum Data {
    Add(Add),
    List(List),
    Check(check::Check),
    Show(sheet::Show),
}

/// Add a downloaded data set
///
/// Unpacks archives, links folders, and verifies the published number of images and classes.
#[derive(Debug, Args)]
#[command(after_help = "\
`sweep show data` lists the known names. Any other name is a data set of your own.

Examples:
  sweep data add omniglot images_background.zip images_evaluation.zip
  sweep data add cub200 CUB_200_2011.tgz
  sweep data add cars196 car_ims.tgz cars_annos.mat
  sweep data add cars196 cars_train.tgz cars_test.tgz car_devkit.tgz cars_test_annos_withlabels.mat
  sweep data add sop Stanford_Online_Products.zip
  sweep data add in_shop /datasets/inshop                   a folder with Eval/ and Img/
  sweep data add birds ~/birds --root /datasets             your own images")]
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

/// Those that have a reader of their own.
const KNOWN: [Dataset; 5] = [
    Dataset::Omniglot,
    Dataset::Cub200,
    Dataset::Cars196,
    Dataset::Sop,
    Dataset::InShop,
];

/// The data set of this name; a name that nobody knows is a user's own.
fn named(name: &str) -> Result<Dataset, Exit> {
    if name == "glyphs" {
        return Err(Exit::mistake(
            "glyphs are drawn by the program: there are no files to add, to check or to show",
        ));
    }
    if let Some(known) = KNOWN.into_iter().find(|known| known.name() == name) {
        return Ok(known);
    }
    if !Own::is_name(name) {
        return Err(Exit::mistake(format!(
            "`{name}` is no name for a data set: letters, digits, `-` and `_`"
        )));
    }
    let normal = |name: &str| name.to_lowercase().replace(['-', '_'], "");
    let near =
        |known: &&Dataset| strsim::damerau_levenshtein(&normal(known.name()), &normal(name)) <= 1;
    match KNOWN.iter().find(near) {
        Some(known) => Err(Exit::mistake(format!(
            "`{name}`: did you mean `{}`? if not, choose another name",
            known.name()
        ))),
        None => Ok(Dataset::Own(Own {
            name: name.to_owned(),
        })),
    }
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
    /// The data set and its own folder.
    fn find(&self) -> Result<(Dataset, PathBuf), Exit> {
        let dataset = named(&self.name)?;
        let home = absolute(&self.root).join(dataset.folder());
        if is_there(&dataset, &home) {
            return Ok((dataset, home));
        }
        Err(Exit::Mistake(format!(
            "there is no data set `{}` in `{}`\nhint: `sweep data list --root FOLDER` shows what there is, `sweep data \
             add {} DOWNLOADED...` adds it",
            self.name,
            self.root.display(),
            self.name
        )))
    }

    /// Has the trainer do the work, and returns what came of it.
    fn attempt<T: Task>(&self, task: T, bar: &Bar) -> Result<T::Reply, Exit> {
        let trainer = Trainer::find(self.trainer.as_deref())?;
        foreground::attempt(&trainer, task, all_cores(), Some(bar))
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
            "{}: {images} images verified in `{}`",
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
        let prefix = format!("adding {}", dataset.title());
        let bar = if *dataset == Dataset::Omniglot {
            Bar::images(&prefix)
        } else {
            Bar::bytes(&prefix)
        };
        match foreground::attempt(&trainer, work, all_cores(), Some(&bar)) {
            Ok(imported) => Ok(imported.images),
            Err(Exit::Mistake(message)) if message.contains("not what was published") => {
                Err(Exit::Mistake(format!(
                    "{message}\nhint: to use it all the same, add `--allow-other-counts`"
                )))
            }
            Err(exit) => Err(exit),
        }
    }
}

/// Whether a data set was added in this folder.
fn is_there(dataset: &Dataset, folder: &Path) -> bool {
    match dataset.files() {
        Files::Folders(folders) => folders.iter().all(|inner| folder.join(inner).is_dir()),
        Files::Drawn | Files::Listed => folder.join(Registration::LISTING).is_file(),
    }
}

fn registered(folder: &Path) -> Result<Option<Registration>, Exit> {
    read_json(&folder.join(Registration::FILE)).map_err(Exit::mistake)
}

/// What there is in Omniglot: exactly that, or it would not have been added.
const OMNIGLOT: &str = "\
`images_background` and `images_evaluation`
  train  19280 images of 964 classes, 20 of each
  test   13180 images of 659 classes";

/// What there is, and what is strange about it.
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
    if found.lone_test_classes > 0 {
        let _ = write!(
            text,
            "\n  {} test classes have a single image",
            found.lone_test_classes
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
            } else if name == Dataset::Omniglot.folder() && is_there(&Dataset::Omniglot, &folder) {
                let _ = writeln!(text, "{name}: {OMNIGLOT}");
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
