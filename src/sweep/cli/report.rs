//! `sweep report`: the tables, from whatever results are there.

mod facts;
mod queries;
mod rows;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use queries::Folders;
use report::{Caption, Description, Layout, Published, Question, Row, Table};
use schema::{Dataset, Metric};

pub(super) use rows::{state_of, state_of_ensemble};

use super::{Exit, Opened, Target, colour_on_stdout, show, studies, tell};
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

/// Where tables go.
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
            show(&table.terminal(colour_on_stdout()))?;
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

    /// Writes what is known beyond the tables, and says where.
    fn write_statistics(&self, opened: &Opened, rows: &[Row], folder: &Path) -> Result<(), Exit> {
        let Opened {
            sweep,
            ledger,
            plan,
            ..
        } = opened;
        let metrics = |title: &str| {
            titled(sweep, title)
                .map(|dataset| sweep.report.metrics(dataset))
                .unwrap_or_default()
        };
        let folders = Folders::of(plan, ledger);
        let question = Question {
            sweep: &sweep.name,
            metrics: &metrics,
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

/// The tables of all layouts, each with the name of its files: the first is `table`, others have their own.
fn tables(opened: &Opened, rows: &[Row]) -> Result<Vec<(String, Table)>, Exit> {
    let Opened { sweep, ledger, .. } = opened;
    let lines = [
        facts::facts(sweep, rows),
        studies::facts(opened),
        rows::idle(rows, ledger)?,
    ]
    .concat();
    let caption = Caption {
        sweep: sweep.name.clone(),
        command: sweep.command.clone(),
        lines,
        fairness: sweep.fairness.lines(),
    };
    let published = published(sweep)?;
    let table = |(place, &layout): (usize, &Layout)| {
        let columns = |dataset: &Dataset| sweep.report.columns(layout, dataset);
        let metrics =
            |title: &str| -> Vec<Metric> { titled(sweep, title).map(columns).unwrap_or_default() };
        let description = Description {
            layout,
            metrics: &metrics,
            published: &published,
            caption: &caption,
        };
        let name = if place == 0 {
            "table".to_owned()
        } else {
            format!("table-{}", layout.name())
        };
        Ok((
            name,
            report::table(rows, &description).map_err(Exit::stuck)?,
        ))
    };
    sweep
        .report
        .layout
        .0
        .iter()
        .enumerate()
        .map(table)
        .collect()
}

/// The data set of this title.
fn titled<'a>(sweep: &'a Sweep, title: &str) -> Option<&'a Dataset> {
    sweep
        .points
        .iter()
        .map(|point| &point.dataset)
        .find(|dataset| dataset.title() == title)
}

/// The published rows to be shown on the data sets of this sweep.
fn published(sweep: &Sweep) -> Result<Vec<Published>, Exit> {
    let (place, text) = match &sweep.report.published {
        Quoted::Nothing => return Ok(Vec::new()),
        Quoted::BuiltIn => (
            PathBuf::from("published rows"),
            report::published::BUILT_IN.to_owned(),
        ),
        Quoted::File(path) => {
            let path = sweep.file.parent().unwrap_or(Path::new("")).join(path);
            let text = fs::read_to_string(&path);
            let text = text.map_err(|error| {
                Exit::mistake(format!("cannot read `{}`: {error}", path.display()))
            })?;
            (path, text)
        }
    };
    let title = |name: &str| {
        let named = sweep
            .points
            .iter()
            .map(|point| &point.dataset)
            .find(|dataset| dataset.name() == name);
        named.map(|dataset| dataset.title().to_owned())
    };
    let rows = Published::read(&text, title);
    rows.map_err(|error| Exit::mistake(format!("`{}`, {error}", place.display())))
}
