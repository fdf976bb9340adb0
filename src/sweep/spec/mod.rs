//! What a sweep file says: text, then a document with positions, then typed settings, then a checked [`Sweep`].
//!
//! Each pass excludes a kind of mistake, and each mistake keeps its place in the file to the end:
//! [`document`] parses TOML and puts the values of `[axes]` in their places; [`file`] gives every key its type
//! and knows no others; [`validate`] refuses what types cannot exclude. A [`Sweep`] that exists can be planned.

mod diagnostic;
mod document;
mod file;
mod validate;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use diagnostic::Diagnostic;
use document::Document;
pub use file::{
    Baseline, DataTable, DeviceChoice, Gpus, MethodTable, ReportTable, Resources, SweepFile, SweepTable, TrainingTable,
};
use schema::{Dataset, Fold, Metric};

/// A checked sweep file.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The file itself.
    pub file: PathBuf,
    /// Its name: the folder under `reports/`.
    pub name: String,
    /// The command that makes its table, for the caption.
    pub command: String,
    /// The names of the axes, in the order of the file.
    pub axes: Vec<String>,
    /// The combinations of all axis values: at least one, in the order of the file.
    pub points: Vec<Point>,
    /// The seeds of each recipe.
    pub seeds: Vec<u64>,
    /// The folds of each recipe; a single `None` trains on all training classes.
    pub folds: Vec<Option<Fold>>,
    /// What to measure, in the order of the table's columns.
    pub metrics: Vec<Metric>,
    /// Where and how to run.
    pub resources: Resources,
    /// Where the data sets lie.
    pub data_root: PathBuf,
}

/// One combination of axis values, with all settings under it.
#[derive(Clone, Debug)]
pub struct Point {
    /// Axis name and value, as written in the file; the data set is not among them.
    pub settings: Vec<(String, String)>,
    /// The data set.
    pub dataset: Dataset,
    /// Pixels a side.
    pub image_size: u32,
    /// The network.
    pub model: schema::Model,
    /// What all methods share in training.
    pub training: TrainingTable,
    /// The rows.
    pub methods: Vec<MethodTable>,
}

impl Sweep {
    /// Reads and checks the file at `path`, with `overrides` (`key=value`, as after `--set`) put in first.
    ///
    /// # Errors
    /// The first mistake found, with its place in the file.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Sweep, Diagnostic> {
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let sets: String = overrides.iter().map(|set| format!(" --set '{set}'")).collect();
        Sweep::parse(path, &text, overrides, format!("sweep run {}{sets}", path.display()))
    }

    fn parse(path: &Path, text: &str, overrides: &[String], command: String) -> Result<Sweep, Diagnostic> {
        let text = document::with_overrides(path, text, overrides)?;
        let document = Document::parse(path, &text)?;
        let combinations = document.combinations();
        let mut points = Vec::with_capacity(combinations.len());
        let mut first: Option<SweepFile> = None;
        for combination in &combinations {
            let file: SweepFile = document.read(combination)?;
            validate::check(&file).map_err(|fault| document.point_at(combination, fault))?;
            points.push(Point {
                settings: combination.settings(),
                dataset: file.data.dataset.clone(),
                image_size: file.data.image_size,
                model: file.model.clone(),
                training: file.training.clone(),
                methods: file.method.clone(),
            });
            first.get_or_insert(file);
        }
        let Some(first) = first else { return Err(Diagnostic::of_file(path, "the sweep is empty")) };
        Ok(Sweep {
            file: path.to_owned(),
            command,
            axes: document.axis_names(),
            points,
            seeds: first.sweep.seeds.0,
            folds: match first.sweep.folds {
                Some(of) => (0..of).map(|index| Some(Fold { index, of })).collect(),
                None => vec![None],
            },
            metrics: first.report.metrics,
            resources: first.resources,
            data_root: first.data.root,
            name: first.sweep.name,
        })
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostic {
    let diagnostic = Diagnostic::of_file(path, format!("failed to read the sweep file: {error}"));
    match path.extension() {
        Some(_) => diagnostic,
        None => diagnostic.with_hint(format!("is it `{}.toml`?", path.display())),
    }
}

#[cfg(test)]
mod tests;
