//! Reads a sweep file: text, then a document with positions, then typed settings, then a checked
//! [`Sweep`].
//!
//! Each pass excludes one kind of mistake, and every mistake keeps its span in the file to the end:
//! [`set`] writes `--set` into the text and [`ranges`] writes ranges out as lists; [`layers`] lays a
//! file over those that it extends, after [`respell`] has replaced old spellings; [`grid`] makes the
//! combinations of axes, and [`condition`] decides what applies to which; [`document`] puts values
//! where they belong, with probes for [`searched`] ones; [`file`] has the types of all keys, [`scripts`] reads the modules that it names, and
//! [`grammar`] answers questions about them; [`validate`] refuses what types cannot exclude. A
//! [`Sweep`] that exists can be planned.

mod axis;
mod bounded;
mod condition;
mod counts;
mod diagnostic;
mod document;
mod every_method;
mod fairness;
mod fault;
mod file;
mod forms;
mod grammar;
mod grid;
mod heads;
mod json_schema;
mod key;
mod layers;
mod meant;
mod method;
mod origins;
mod overrides;
pub mod presets;
mod published;
mod ranges;
mod reading;
mod resolved;
mod respell;
mod scripts;
mod searched;
mod set;
mod shape;
mod slurm;
mod source;
mod tables;
mod text;
mod toml_error;
mod validate;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

pub use counts::Counts;
pub use diagnostic::Diagnostic;
use document::{Document, Reading};
pub use fairness::{Fairness, Rule, Violation, Waiver};
use fault::Fault;
pub use file::{
    Baseline, DataTable, DeviceChoice, LabelMaps, MethodTable, Needs, OnFailure, Protocol,
    Resources, SweepFile, SweepTable, TrainingTable,
};
pub use forms::{ByteSize, CheckpointSeconds, Folds, Gpus, Percent, RunsPerGpu, Seeds};
pub use grammar::{Grammar, Node};
use grid::{Combination, Variant};
pub use heads::MethodHead;
pub use json_schema::json_schema;
pub use key::canonical_value;
use layers::Layers;
pub(crate) use meant::nearest;
pub use origins::{From, Origin, origins};
use rayon::prelude::*;
use report::{Published, Setting};
pub use resolved::resolved;
use schema::{
    Cache, Dataset, Fold, StoredImages, TrainingHalf, TrainingImages, Transform, canonical_json,
};
use scripts::ScriptFiles;
pub(crate) use scripts::Scripts;
use searched::Searched;
pub use searched::{as_written, at_point, without};
pub use slurm::{On, SlurmTable, TimeLimit, asks_for_gpus};
pub use tables::{IntervalKind, Layouts, Quoted, ReportTable};
pub(crate) use validate::NOT_COUNTED_ON_SLURM;

use crate::{
    ledger::fingerprint::{lacks_boxes, registration},
    search::{Search, Space},
    shell::CommandLine,
};

/// Combinations that are read at once; the first mistake of them is reported.
const CHUNK: usize = 4096;

/// A checked sweep file.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The file itself.
    pub file: PathBuf,
    /// Its name: the folder under `reports/`.
    pub name: String,
    /// The published protocol that it follows.
    pub protocol: Option<Protocol>,
    /// The command that makes its table, for the caption.
    pub command: String,
    /// The names of the axes, in the order of the file.
    pub axes: Vec<String>,
    /// In words what excludes, includes and overrides did.
    pub refinements: Vec<String>,
    /// The combinations of all axis values: at least one, in the order of the file.
    pub points: Vec<Point>,
    /// The seeds of each recipe.
    pub seeds: Vec<u64>,
    /// The folds of each recipe; a single `None` trains on all training classes.
    pub folds: Vec<Option<Fold>>,
    /// Whether its methods may be compared.
    pub fairness: Fairness,
    /// About old spellings of keys, each with its line.
    pub warnings: Vec<Diagnostic>,
    /// What to measure and to show.
    pub report: ReportTable,
    /// The published rows that the tables quote, or why they cannot be read.
    pub published: Result<Vec<Published>, Box<Diagnostic>>,
    /// The modules of losses and miners that are some.
    pub(crate) scripts: Scripts,
    /// Where and how to run.
    pub resources: Resources,
    /// Where the data sets lie.
    pub data_root: PathBuf,
}

/// One combination of axis values, with all settings under it.
#[derive(Clone, Debug)]
pub struct Point {
    /// The values of the axes; the data set is not among them.
    pub settings: Vec<Setting>,
    /// The data set.
    pub dataset: Dataset,
    /// How its images are stored.
    pub images: StoredImages,
    /// Which of them are trained on.
    pub training_images: TrainingImages,
    /// Whether decoded images are kept on disk.
    pub cache: Cache,
    /// What a job takes of countable resources that reads them.
    pub needs: Counts,
    /// What is done to them in a batch.
    pub transform: Transform,
    /// The network.
    pub model: schema::Model,
    /// What all methods share in training.
    pub training: TrainingTable,
    /// The rows.
    pub methods: Vec<Method>,
}

impl Point {
    /// True if a method is trained.
    pub fn trains(&self) -> bool {
        self.methods
            .iter()
            .any(|method| method.table.loss.is_some())
    }
}

/// One row of the table at one point.
#[derive(Clone, Debug)]
pub struct Method {
    /// The values of axes over its own settings.
    pub settings: Vec<Setting>,
    /// What it is; where a value is searched, with a probe in its place.
    pub table: MethodTable,
    /// How its searched values are chosen, if it has some.
    pub search: Option<Arc<Search>>,
}

impl Method {
    /// The repetitions of its search, counted from 0; a single one without a number if there is no other.
    pub fn repeats(&self) -> impl Iterator<Item = Option<usize>> + use<> {
        let count = self.count_of_repeats();
        (0..count).map(move |repeat| (count > 1).then_some(repeat))
    }

    fn count_of_repeats(&self) -> usize {
        let search = self.search.as_ref();
        search.map_or(1, |search| search.settings().repeats)
    }
}

impl Sweep {
    /// Reads and checks the file at `path`, with `overrides` (`key=value`, as after `--set`) put in first.
    ///
    /// # Errors
    /// The first mistake found, with its place in the file.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Sweep, Diagnostic> {
        let text = text_of(path)?;
        let command = CommandLine::new("sweep run")
            .path(path)
            .overrides(overrides);
        Sweep::parse(path, &text, overrides, command.to_string())
    }

    /// Checks a text, as if it were the file at `path`.
    ///
    /// # Errors
    /// The first mistake found, with its place.
    pub(crate) fn parse(
        path: &Path,
        text: &str,
        overrides: &[String],
        command: String,
    ) -> Result<Sweep, Diagnostic> {
        let layers = Layers::gather(path, text, overrides)?;
        let document = Document::parse(&layers)?;
        let (combinations, refinements) = document.combinations()?;
        let mut points = Vec::with_capacity(combinations.len());
        let named = NamedFiles::beside(path);
        for chunk in combinations.chunks(CHUNK) {
            let read: Vec<_> = chunk
                .par_iter()
                .map(|combination| point(&document, combination, &named))
                .collect();
            for point in read {
                points.push(point?);
            }
        }
        let Some(first) = combinations.first() else {
            return Err(Diagnostic::of_file(path, "the sweep is empty"));
        };
        let reading = &document.first_reading(first);
        let first: SweepFile = document.read(reading)?;
        validate::report(&first.report, &document.method_names(), &axes_of(&points))
            .map_err(|fault| document.point_at(reading, fault))?;
        let published = published::read(&first.report.published, path, &points)
            .map_err(|fault| Box::new(document.point_at(reading, fault)));
        let folds = match first.sweep.folds {
            Some(Folds { of, cut }) => Fold::all(of, cut).map(Some).collect(),
            None => vec![None],
        };
        let found = fairness::check(&points, &first.sweep.seeds.0, &folds);
        refuse_many(&points, &first, folds.len())
            .map_err(|fault| document.point_at(reading, fault))?;
        let fairness = document.fairness(&combinations, found, &first.waive);
        if let (Some(_), Some(broken)) = (first.sweep.protocol, fairness.broken()) {
            return Err(broken.shown.clone());
        }
        Ok(Sweep {
            file: path.to_owned(),
            command,
            axes: document.axis_names(),
            refinements,
            points,
            seeds: first.sweep.seeds.0,
            folds,
            fairness,
            warnings: document.warnings.clone(),
            report: first.report,
            published,
            scripts: named.scripts.into_scripts(),
            resources: first.resources,
            data_root: first.data.root,
            protocol: first.sweep.protocol,
            name: first.sweep.name,
        })
    }
}

/// The axes by which rows differ, as tables head them.
fn axes_of(points: &[Point]) -> BTreeSet<&str> {
    let mut axes = BTreeSet::new();
    for point in points {
        let of_methods = point.methods.iter().flat_map(|method| &method.settings);
        axes.extend(
            point
                .settings
                .iter()
                .chain(of_methods)
                .map(|setting| &setting.axis[..]),
        );
    }
    axes
}

/// Maximum number of runs of a sweep, without those of its searches.
const MOST_RUNS: usize = 1_000_000;

/// Refuses more runs than a sweep may have, before any of them is planned.
fn refuse_many(points: &[Point], file: &SweepFile, folds: usize) -> Result<(), Fault> {
    let methods = points.iter().flat_map(|point| &point.methods);
    let rows = methods.fold(0, |rows: usize, method| {
        rows.saturating_add(method.count_of_repeats())
    });
    let seeds = file.sweep.seeds.0.len();
    let runs = rows.saturating_mul(seeds).saturating_mul(folds);
    if runs <= MOST_RUNS {
        return Ok(());
    }
    Err(Fault {
        key: "sweep.seeds".to_owned(),
        message: format!(
            "{rows} rows with {seeds} seeds and {folds} folds are {runs} runs, and a sweep may have {MOST_RUNS}"
        ),
        hint: None,
    })
}

/// The files that a sweep file names, each looked up once for all combinations.
struct NamedFiles {
    data: AddedData,
    scripts: ScriptFiles,
}

impl NamedFiles {
    fn beside(sweep: &Path) -> NamedFiles {
        NamedFiles {
            data: AddedData::default(),
            scripts: ScriptFiles::beside(sweep),
        }
    }
}

/// What is known of the files of each data set.
#[derive(Default)]
struct AddedData(Mutex<BTreeMap<(PathBuf, String, bool), AddedFiles>>);

/// What a combination depends on in the files of its data set.
#[derive(Clone, Copy)]
struct AddedFiles {
    half: TrainingHalf,
    lacks_boxes: bool,
}

impl AddedData {
    fn of(&self, data: &DataTable) -> AddedFiles {
        let key = (
            data.root.clone(),
            canonical_json(&data.dataset),
            data.bounding_boxes,
        );
        match self.0.lock() {
            Ok(mut known) => *known.entry(key).or_insert_with(|| AddedFiles::of(data)),
            Err(_) => AddedFiles::of(data),
        }
    }
}

impl AddedFiles {
    fn of(data: &DataTable) -> AddedFiles {
        let registration = registration(&data.dataset, &data.root);
        AddedFiles {
            half: data.dataset.training_half(registration.as_ref()),
            lacks_boxes: data.bounding_boxes && lacks_boxes(&data.dataset, &data.root),
        }
    }
}

/// Reads and checks one combination.
fn point(
    document: &Document<'_>,
    combination: &Combination,
    named: &NamedFiles,
) -> Result<Point, Diagnostic> {
    let mut shared: Option<SweepFile> = None;
    let mut methods: Vec<(&Variant, Method)> = Vec::with_capacity(combination.variants.len());
    let readings = document.readings(combination);
    for chunk in readings.chunks(CHUNK) {
        let read: Vec<_> = chunk
            .par_iter()
            .map(|reading| read(document, reading, named))
            .collect();
        for (read, reading) in read.into_iter().zip(chunk) {
            let (mut file, searches) = read?;
            let tables = std::mem::take(&mut file.method).into_iter().zip(searches);
            let tables = reading
                .variants
                .iter()
                .zip(tables)
                .filter(|((_, is_new), _)| *is_new);
            methods.extend(tables.map(|(&(variant, _), (table, search))| {
                (
                    variant,
                    Method {
                        settings: document.own_settings(variant),
                        table,
                        search,
                    },
                )
            }));
            shared.get_or_insert(file);
        }
    }
    let shared = shared.expect("every combination is read at least once");
    methods.sort_by_key(|(variant, _)| variant.method);
    Ok(Point {
        settings: document.settings(combination),
        images: shared.data.images(),
        training_images: shared.data.training_images(),
        cache: shared.data.cache,
        needs: shared.data.needs,
        dataset: shared.data.dataset,
        transform: shared.transform,
        model: shared.model,
        training: shared.training,
        methods: methods.into_iter().map(|(_, method)| method).collect(),
    })
}

/// The search of each method of a reading, if it has one.
type Searches = Vec<Option<Arc<Search>>>;

/// Reads and checks the file under one reading, with every probe of its searched values, and the search of each method.
fn read(
    document: &Document<'_>,
    reading: &Reading<'_>,
    named: &NamedFiles,
) -> Result<(SweepFile, Searches), Diagnostic> {
    let searched = document.searched(reading)?;
    let file = checked(document, reading, named)?;
    let probes = searched
        .iter()
        .flatten()
        .map(|searched| searched.probes.len())
        .max()
        .unwrap_or(1);
    for probe in 1..probes {
        checked(
            document,
            &Reading {
                probe,
                variants: reading.variants.clone(),
                ..*reading
            },
            named,
        )?;
    }
    let searches = searched
        .iter()
        .map(|searched| search(document, reading, &file, searched))
        .collect::<Result<_, _>>()?;
    Ok((file, searches))
}

fn checked(
    document: &Document<'_>,
    reading: &Reading<'_>,
    named: &NamedFiles,
) -> Result<SweepFile, Diagnostic> {
    let mut file: SweepFile = document.read(reading)?;
    let AddedFiles { half, lacks_boxes } = named.data.of(&file.data);
    file.data.half = half;
    file.data.lacks_boxes = lacks_boxes;
    validate::check(&file)
        .and_then(|()| named.scripts.identify(&mut file.method))
        .map_err(|fault| document.point_at(reading, fault))?;
    Ok(file)
}

/// How the searched values of a method are chosen.
fn search(
    document: &Document<'_>,
    reading: &Reading<'_>,
    file: &SweepFile,
    searched: &[Searched<'_>],
) -> Result<Option<Arc<Search>>, Diagnostic> {
    let Some(first) = searched.first() else {
        return Ok(None);
    };
    let Some(settings) = &file.search else {
        return Err(document
            .at(&first.span, "a searched value needs a [search] table")
            .with_hint("add [search] with strategy = \"gp\" and trials = 50"));
    };
    if file.sweep.folds.is_none() {
        return Err(document
            .at(
                &first.span,
                "searched values are chosen on validation classes, which need folds",
            )
            .with_hint("write `folds = 4` in [sweep]"));
    }
    let space = Space {
        dimensions: searched
            .iter()
            .map(|searched| searched.dimension.clone())
            .collect(),
    };
    match Search::new(space, settings.clone()) {
        Ok(search) => Ok(Some(Arc::new(search))),
        Err(error) if let Some(setting) = error.setting() => {
            Err(document.at_setting(reading, &format!("search.{setting}"), error.to_string()))
        }
        Err(error) => {
            let named = searched
                .iter()
                .find(|searched| error.dimension() == Some(&searched.dimension.name));
            Err(document.at(&named.unwrap_or(first).span, error.to_string()))
        }
    }
}

/// Reads the text of the sweep file at `path`.
fn text_of(path: &Path) -> Result<String, Diagnostic> {
    let with_ending = path.with_extension("toml");
    text::read(path).map_err(
        |mistake| match path.extension().is_none() && with_ending.is_file() {
            true => mistake.with_hint(format!("is it `{}`?", with_ending.display())),
            false => mistake,
        },
    )
}

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod choices_tests;
#[cfg(test)]
mod layers_tests;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod tests;
