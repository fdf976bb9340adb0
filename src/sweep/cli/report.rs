//! `sweep report`: the tables of the results so far.

mod facts;
mod queries;
mod rows;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use queries::Folders;
use report::{Caption, Description, Published, Question, Row, Table, published::BUILT_IN};
use schema::Dataset;

pub(super) use rows::{state_of, state_of_ensemble};

use super::{Exit, Opened, Target, color_on_stdout, show, studies, tell};
use crate::config::{Quoted, Sweep};

/// Rebuild the table from finished runs
///
/// Prints the tables and writes them, with their statistics, to reports/NAME/. Runs nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep report sweeps/omniglot.toml
  sweep report sweeps/omniglot.toml --set 'report.layout=\"benchmark\"'")]
pub(super) struct Report {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    destination: Destination,
}

/// The folder for tables.
#[derive(Debug, Args)]
pub(super) struct Destination {
    /// Folder of tables; each sweep has a folder with its name in it
    #[arg(long, value_name = "FOLDER", default_value = "reports")]
    reports: PathBuf,
}

impl Report {
    pub(super) fn run(&self) -> Result<(), Exit> {
        self.destination.write_and_print(&self.target.open()?)
    }
}

impl Destination {
    pub(super) fn folder(&self) -> &Path {
        &self.reports
    }

    /// Writes each table as Markdown and as CSV, and prints it.
    pub(super) fn write_and_print(&self, opened: &Opened) -> Result<(), Exit> {
        let folder = self.reports.join(&opened.sweep.name);
        let rows = rows::rows(&opened.sweep, &opened.plan, &opened.ledger)?;
        for (name, table) in tables(opened, &rows)? {
            write(&folder.join(format!("{name}.md")), &table.markdown())?;
            write(
                &folder.join(format!("{name}.csv")),
                &table.csv().map_err(Exit::stuck)?,
            )?;
            show(&table.terminal(color_on_stdout()))?;
            tell(&format!(
                "\nwritten to {}",
                folder.join(format!("{name}.{{md,csv}}")).display()
            ));
        }
        self.write_statistics(opened, &rows, &folder)?;
        if !opened.plan.studies.is_empty() {
            let path = folder.join("search.csv");
            write(&path, &studies::csv(opened)?)?;
            tell(&format!("all trials: {}", path.display()));
        }
        Ok(())
    }

    /// Writes the statistics, and where they are.
    fn write_statistics(&self, opened: &Opened, rows: &[Row], folder: &Path) -> Result<(), Exit> {
        let Opened {
            sweep,
            ledger,
            plan,
            ..
        } = opened;
        let folders = Folders::of(plan, ledger);
        let question = Question {
            sweep: &sweep.name,
            metrics: &|dataset| sweep.report.metrics(dataset),
            baseline: sweep.report.baseline.as_deref(),
            queries: &|row, metric| folders.queries(row, metric),
        };
        let Some(statistics) = report::statistics(rows, &question).map_err(Exit::stuck)? else {
            return Ok(());
        };
        write(&folder.join("statistics.md"), &statistics.markdown())?;
        write(
            &folder.join("statistics.csv"),
            &statistics.csv().map_err(Exit::stuck)?,
        )?;
        let mut written = vec![folder.join("statistics.{md,csv}").display().to_string()];
        for (name, diagram) in statistics.diagrams() {
            write(&folder.join(&name), &diagram)?;
            written.push(folder.join(name).display().to_string());
        }
        tell(&format!(
            "paired tests, effect sizes, bootstrap: {}",
            written.join(", ")
        ));
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<(), Exit> {
    Ok(durable::write(path, text.as_bytes())?)
}

/// The tables of all layouts, each with the name of its files: `table` for the first, their own for
/// others.
fn tables(opened: &Opened, rows: &[Row]) -> Result<Vec<(String, Table)>, Exit> {
    let Opened { sweep, ledger, .. } = opened;
    let mut lines = facts::facts(opened, rows);
    lines.extend(studies::facts(opened));
    lines.extend(rows::idle(rows, ledger)?);
    let caption = Caption {
        sweep: sweep.name.clone(),
        command: sweep.command.clone(),
        lines,
        fairness: sweep.fairness.lines(),
    };
    let published = published(sweep)?;
    let mut tables = Vec::new();
    for &layout in &sweep.report.layout.0 {
        let name = match tables.len() {
            0 => "table".to_owned(),
            _ => format!("table-{}", layout.name()),
        };
        let description = Description {
            layout,
            metrics: &|dataset| sweep.report.columns(layout, dataset),
            published: &published,
            caption: &caption,
        };
        let table = report::table(rows, &description).map_err(Exit::stuck)?;
        tables.push((name, table));
    }
    Ok(tables)
}

/// The published rows on the data sets of this sweep.
fn published(sweep: &Sweep) -> Result<Vec<Published>, Exit> {
    match &sweep.report.published {
        Quoted::Nothing => Ok(Vec::new()),
        Quoted::BuiltIn => {
            let of_program = |name: &str| {
                let mut datasets = named(sweep, name);
                datasets.retain(|dataset| !matches!(dataset, Dataset::Own(_)));
                datasets
            };
            Published::read(BUILT_IN, of_program)
                .map_err(|error| Exit::mistake(format!("published rows, {error}")))
        }
        Quoted::File(path) => {
            let folder = sweep.file.parent().unwrap_or(Path::new(""));
            let path = folder.join(path);
            let shown = path.display();
            let text = fs::read_to_string(&path)
                .map_err(|error| Exit::mistake(format!("cannot read `{shown}`: {error}")))?;
            Published::read(&text, |name| named(sweep, name))
                .map_err(|error| Exit::mistake(format!("`{shown}`, {error}")))
        }
    }
}

/// The data sets of this name in a sweep file, each once.
fn named(sweep: &Sweep, name: &str) -> Vec<Dataset> {
    let mut datasets: Vec<Dataset> = Vec::new();
    for point in &sweep.points {
        let dataset = &point.dataset;
        if dataset.name() == name && !datasets.contains(dataset) {
            datasets.push(dataset.clone());
        }
    }
    datasets
}
