//! `sweep data`: adds downloaded data sets, lists those that were added, and inspects their images.

mod check;
mod remove;
mod sheet;

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use schema::{Dataset, Failure, ImportWork, Own, Registration, Task};
use serde_json::{Value, json};

use super::{
    Exit, counted, counted_classes,
    folder::folder,
    foreground::{self, all_cores},
    progress::Bar,
    show, show_json, tell,
};
use crate::{
    ledger::{
        absolute,
        fingerprint::{FingerprintError, add_command, has_its_table, is_unpacked},
        read_json,
    },
    run::trainer::{Trainer, TrainerError},
    shell::CommandLine,
};

/// The folder of data sets.
pub(super) const DEFAULT_ROOT: &str = "data";

/// Add, list, check, draw and remove data sets
#[derive(Debug, Subcommand)]
pub(super) enum Data {
    Add(Add),
    List(List),
    Remove(remove::Remove),
    Check(check::CheckData),
    Show(sheet::ShowSheet),
}

/// Add a downloaded data set
///
/// Unpacks archives, links folders, lists the images, and compares their number with the published one. No image is
/// decoded, unless by `--skip-broken`. An earlier data set of the same name is replaced, in one step.
#[derive(Debug, Args)]
#[command(after_help = examples())]
pub(super) struct Add {
    /// Name of a known data set, or a new name
    name: String,
    /// Archives, unpacked folders and annotation files
    #[arg(required = true)]
    from: Vec<PathBuf>,
    /// Folder of data sets
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = DEFAULT_ROOT)]
    root: PathBuf,
    /// Copy folders instead of linking them
    #[arg(long)]
    copy: bool,
    /// Accept counts that differ from the published ones; tables say so
    #[arg(long)]
    allow_other_counts: bool,
    /// Decode all images and leave out those that cannot be decoded; tables say so
    #[arg(long)]
    skip_broken: bool,
    /// Fraction of the classes to test on, the last in their order [default: as the files say, or one half]
    #[arg(long, value_name = "FRACTION", allow_hyphen_values = true, value_parser = fraction)]
    test_fraction: Option<f64>,
    /// List of the classes to train on and to test on: lines such as `sparrow,train`, or a split of ooDML, such as
    /// `cub200_splits.pkl:9`
    #[arg(long, value_name = "FILE", conflicts_with = "test_fraction")]
    split: Option<PathBuf>,
    /// Known data set whose files these are, under a name of your own: for another split
    #[arg(long, value_name = "NAME")]
    like: Option<String>,
    /// A program to use in the place of `sweep-trainer`
    #[arg(long, value_name = "PROGRAM", hide = true)]
    trainer: Option<PathBuf>,
}

/// Reads a fraction between 0 and 1.
fn fraction(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(fraction) if fraction > 0.0 && fraction < 1.0 => Ok(fraction),
        _ => Err("expected a number between 0 and 1, such as 0.3".to_owned()),
    }
}

/// List data sets
#[derive(Debug, Args)]
pub(super) struct List {
    /// Folder of data sets
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = DEFAULT_ROOT)]
    root: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Data {
    pub(super) fn run(&self) -> Result<(), Exit> {
        match self {
            Data::Add(add) => add.run(),
            Data::List(list) => list.run(),
            Data::Remove(remove) => remove.run(),
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

/// Returns the known data set with this name.
fn published(name: &str) -> Result<Dataset, Exit> {
    match named(name)? {
        Dataset::Own(_) => Err(Exit::mistake(format!(
            "`{name}` is no known data set; `sweep show data` lists them"
        ))),
        known => Ok(known),
    }
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
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = DEFAULT_ROOT)]
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
        if !has_its_table(&home) {
            let error = FingerprintError::not_whole(&self.name, &home, &self.root);
            return Err(Exit::mistake(error));
        }
        if home.join(Registration::LISTING).is_file() {
            return Ok((dataset, home));
        }
        Err(Exit::Mistake(format!(
            "there is no data set `{}` in `{}`\nhint: `sweep data list --root FOLDER` lists data sets, `{}` adds one",
            self.name,
            self.root.display(),
            CommandLine::new("sweep data add")
                .word(&self.name)
                .plain("DOWNLOADED...")
                .folder("--root", DEFAULT_ROOT, &self.root)
        )))
    }

    /// Has the trainer do the work, and returns what came of it.
    fn attempt<T: Task>(&self, task: T, bar: &Bar) -> Result<T::Reply, Exit> {
        let trainer = Trainer::find(self.trainer.as_deref())?;
        Ok(foreground::attempt(&trainer, task, all_cores(), Some(bar))?)
    }
}

impl Add {
    /// Adds a folder of the user's own images.
    pub(super) fn own(name: &str, folder: &Path, root: &Path, trainer: Option<&Path>) -> Add {
        Add {
            name: name.to_owned(),
            from: vec![folder.to_owned()],
            root: root.to_owned(),
            copy: false,
            allow_other_counts: false,
            skip_broken: false,
            test_fraction: None,
            split: None,
            like: None,
            trainer: trainer.map(Path::to_owned),
        }
    }

    fn run(&self) -> Result<(), Exit> {
        let dataset = named(&self.name)?;
        self.added()?;
        tell(&self.next_steps(&dataset));
        Ok(())
    }

    /// Adds the data set, says what was found, and returns it.
    pub(super) fn added(&self) -> Result<Registration, Exit> {
        for path in &self.from {
            if !path.exists() {
                return Err(Exit::mistake(format!(
                    "there is no file or folder `{}`",
                    path.display()
                )));
            }
        }
        let dataset = named(&self.name)?;
        self.check_split(&dataset)?;
        durable::remove_leftovers(&self.root)?;
        let into = absolute(&self.root).join(dataset.folder());
        // What cannot be read is replaced.
        let before = registered(&into).ok().flatten();
        let images = self.import(&dataset, &into)?;
        let found = registered(&into).map_err(Exit::mistake)?;
        let found = found.ok_or_else(|| Exit::mistake("the trainer left no list of images"))?;
        let what = match &found.broken {
            Some(_) => "images decoded and listed",
            None => "images listed",
        };
        tell(&format!(
            "{}: {images} {what} in `{}`",
            dataset.title(),
            into.display()
        ));
        tell(&format!("{}\n{}", found.layout, described(&found)));
        if let Some(before) = before {
            let images = before.training_images + before.test_images;
            tell(&format!(
                "in the place of {images} images that were added before under this name"
            ));
        }
        Ok(found)
    }

    /// Checks that no published data set gets another split under its own name.
    fn check_split(&self, dataset: &Dataset) -> Result<(), Exit> {
        let options = [
            ("--test-fraction", self.test_fraction.is_some()),
            ("--split", self.split.is_some()),
            ("--like", self.like.is_some()),
        ];
        let given = options.into_iter().find(|(_, is_given)| *is_given);
        let (Some((option, _)), false) = (given, matches!(dataset, Dataset::Own(_))) else {
            return Ok(());
        };
        let (title, name) = (dataset.title(), &self.name);
        Err(Exit::mistake(format!(
            "`{option}` is for names of your own: {title} has a split that all papers use\n\
             hint: choose another name and add `--like {name}`"
        )))
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
            skip_broken: self.skip_broken,
            test_fraction: self.test_fraction,
            like: self.like.as_deref().map(published).transpose()?,
            split: self.split.as_deref().map(absolute),
        };
        let title = format!("adding {}", dataset.title());
        let bar = match self.skip_broken {
            true => Bar::images(&title),
            false => Bar::bytes(&title),
        };
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

    /// Returns the lines of a sweep file that use the data set, and the command that decodes all images.
    fn next_steps(&self, dataset: &Dataset) -> String {
        let lines = lines(dataset, &self.root).replace('\n', "\n  ");
        let check = CommandLine::new("sweep data check").word(&self.name);
        format!(
            "`{}` decodes every image; in a sweep file:\n  [data]\n  {lines}",
            check.folder("--root", DEFAULT_ROOT, &self.root),
        )
    }
}

/// Returns the lines of `[data]` in a sweep file that uses a data set in a folder of data sets.
pub(super) fn lines(dataset: &Dataset, root: &Path) -> String {
    let mut lines = assignment(dataset);
    if root != Path::new(DEFAULT_ROOT) {
        let root = toml::Value::from(root.display().to_string());
        let _ = write!(lines, "\nroot = {root}");
    }
    lines
}

/// Returns the line of a sweep file that names a data set.
fn assignment(dataset: &Dataset) -> String {
    match dataset {
        Dataset::Own(own) => format!("dataset.own = {{ name = \"{}\" }}", own.name),
        named => format!("dataset = \"{}\"", named.key()),
    }
}

/// Returns what was found when the data set in a folder was added, if it was.
fn registered(folder: &Path) -> Result<Option<Registration>, String> {
    read_json(&folder.join(Registration::FILE)).map_err(|error| error.to_string())
}

/// Returns the counts of a data set, and how they differ from what is usual.
fn described(found: &Registration) -> String {
    let classes = |count: u32| counted_classes(count.into());
    let images = |images: u64| counted(images as usize, "image");
    let mut text = format!(
        "  train  {} of {}{}, at least {} of each\n  test   {} of {}",
        images(found.training_images),
        classes(found.training_classes),
        if found.super_classes {
            " in super-classes"
        } else {
            ""
        },
        found.smallest_training_class,
        images(found.test_images),
        classes(found.test_classes)
    );
    if (found.queries, found.references) != (found.test_images, found.test_images) {
        let _ = write!(
            text,
            ": {} queries, {} in the gallery",
            found.queries, found.references
        );
    }
    for remark in remarks(found) {
        let _ = write!(text, "\n  {remark}");
    }
    text
}

/// Returns what is unusual in a data set, one line each.
fn remarks(found: &Registration) -> Vec<String> {
    let mut lines = Vec::new();
    match found.test_classes_without_positive {
        0 => {}
        1 => lines.push("1 test class has a single image".to_owned()),
        classes => lines.push(format!("{classes} test classes have a single image")),
    }
    if !found.is_measurable() {
        lines.push(
            "nothing can be measured: no test image has another one of its class to find"
                .to_owned(),
        );
    }
    if found.cameras > 0 {
        let cameras = counted(found.cameras as usize, "camera");
        lines.push(format!(
            "{cameras}: a test image does not search the images of its class from its own"
        ));
    }
    let differences = found.differences.iter();
    lines.extend(differences.map(|line| format!("not as published: {line}")));
    let left_aside = found.left_aside.iter();
    lines.extend(left_aside.map(|line| format!("left aside: {line}")));
    lines.extend(broken(found));
    lines
}

/// Images that are named in a line.
const NAMED: usize = 3;

/// Returns the line about images that were left out because they are broken.
fn broken(found: &Registration) -> Option<String> {
    let broken = found.broken.as_ref().filter(|broken| !broken.is_empty())?;
    let named = broken.iter().take(NAMED);
    let named: Vec<String> = named
        .map(|image| format!("{} ({})", image.path, image.why))
        .collect();
    let more = if broken.len() > NAMED { ", …" } else { "" };
    let images = counted(broken.len(), "broken image");
    Some(format!("left out: {images}: {}{more}", named.join(", ")))
}

/// The version of the JSON object.
const VERSION: u32 = 1;

impl List {
    fn run(&self) -> Result<(), Exit> {
        if self.json {
            return self.show_json();
        }
        let mut text: String = self
            .folders()?
            .iter()
            .filter_map(|folder| self.line(folder))
            .collect();
        if text.is_empty() {
            let _ = writeln!(text, "nothing was added in `{}`", self.root.display());
        }
        show(&format!(
            "{text}glyphs: drawn by the program, as many classes as a sweep file asks for\n"
        ))
    }

    fn show_json(&self) -> Result<(), Exit> {
        let folders = self.folders()?;
        let found = folders.iter().filter_map(|folder| {
            let name = folder.file_name()?.to_string_lossy().into_owned();
            let found = registered(folder).ok()??;
            Some(json!({ "name": name, "folder": folder, "found": found }))
        });
        let data: Vec<Value> = found.collect();
        show_json(&json!({ "version": VERSION, "data": data }))
    }

    /// Returns the folders in the data root; none if it does not exist.
    fn folders(&self) -> Result<Vec<PathBuf>, Exit> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                let root = self.root.display();
                return Err(Exit::mistake(format!(
                    "failed to read the data root `{root}`: {error}"
                )));
            }
        };
        let mut folders: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        folders.sort();
        Ok(folders)
    }

    /// Returns what is to be said of a folder in the data root.
    fn line(&self, folder: &Path) -> Option<String> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let again = add_command(&name, folder, &self.root);
        match registered(folder) {
            Ok(Some(_)) if !has_its_table(folder) => {
                let error = FingerprintError::not_whole(&name, folder, &self.root);
                Some(format!("{name}: {error}\n"))
            }
            Ok(Some(found)) => Some(format!("{name}: {}\n{}\n", found.layout, described(&found))),
            Ok(None) if named(&name).is_ok_and(|dataset| is_unpacked(&dataset, folder)) => Some(
                format!("{name}: no table of images; run `{again}` to make it\n"),
            ),
            Ok(None) => None,
            Err(error) => Some(format!("{name}: {error}; run `{again}`\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use schema::BrokenImage;

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
    fn what_is_unusual_in_a_data_set_has_a_line_each() {
        let image = |number: usize| BrokenImage {
            path: format!("a/{number}.jpg"),
            why: "it is empty".to_owned(),
        };
        let mut found = Registration {
            layout: "`manifest.csv`".to_owned(),
            training_classes: 2,
            training_images: 4,
            smallest_training_class: 2,
            super_classes: false,
            test_classes: 2,
            test_images: 2,
            queries: 2,
            references: 2,
            test_classes_without_positive: 2,
            queries_with_positive: Some(0),
            cameras: 3,
            differences: Vec::new(),
            left_aside: vec!["1 image file".to_owned()],
            broken: Some((0..4).map(image).collect()),
            listing: None,
        };
        assert_eq!(
            remarks(&found),
            [
                "2 test classes have a single image",
                "nothing can be measured: no test image has another one of its class to find",
                "3 cameras: a test image does not search the images of its class from its own",
                "left aside: 1 image file",
                "left out: 4 broken images: a/0.jpg (it is empty), a/1.jpg (it is empty), a/2.jpg (it is empty), …",
            ]
        );
        found.queries_with_positive = Some(1);
        found.cameras = 0;
        found.test_classes_without_positive = 0;
        found.broken = Some(Vec::new());
        assert_eq!(remarks(&found), ["left aside: 1 image file"]);
    }

    #[test]
    fn the_line_for_a_sweep_file_names_the_data_set() {
        for dataset in Dataset::published()
            .into_iter()
            .chain([named("birds").unwrap()])
        {
            let table: toml::Table = toml::from_str(&assignment(&dataset)).unwrap();
            let read: Dataset = table["dataset"].clone().try_into().unwrap();
            assert_eq!(read, dataset);
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
