//! `sweep report`: the tables of the results so far.

mod compare;
mod facts;
mod origins;
mod queries;
mod rows;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::Args;
use report::{Caption, ClassScores, Description, Provenance, Question, Row, Table};
use schema::Dataset;

pub(super) use queries::folder as folder_of;
pub(super) use rows::{jobs_of, rows, state_of, state_of_ensemble};

use super::{Exit, Opened, Target, color_on_stdout, show, studies, tell, width};
use crate::{
    config::IntervalKind,
    ledger::Check,
    plan::{
        difference::{self, Component},
        integrity,
    },
};

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
        let opened = self.target.open_results()?;
        opened.require_ids()?;
        let report = self.destination.report(&opened)?;
        report.write()?;
        report.print()
    }
}

impl Destination {
    pub(super) fn folder(&self) -> &Path {
        &self.reports
    }

    /// Makes the tables and the statistics of the results.
    pub(super) fn report(&self, opened: &Opened) -> Result<Tables, Exit> {
        let folder = self.reports.join(&opened.sweep.name);
        let rows = rows(&opened.sweep, &opened.plan, &opened.ledger)?;
        integrity::of_results(&opened.plan, &opened.ledger, Check::Contents)?;
        opened.refuse_damage()?;
        let by_class = by_class(opened, &rows);
        let mut report = Tables::default();
        let provenance = provenance(opened, &rows)?;
        for (name, table) in tables(opened, &rows, by_class.as_ref(), &provenance)? {
            report.add(&folder, &name, &table)?;
        }
        report.add_statistics(opened, &rows, by_class.as_ref(), &folder)?;
        report.add_provenance(&provenance, &folder)?;
        if !opened.plan.studies.is_empty() {
            let path = folder.join("search.csv");
            report.told.push(format!("all trials: {}", path.display()));
            report.files.push((path, studies::csv(opened)?));
        }
        if !report.lost.is_empty() {
            report.cause = cause(opened)?;
        }
        Ok(report)
    }
}

/// The tables of a sweep: first all files are written, then everything is printed.
#[derive(Default)]
pub(super) struct Tables {
    files: Vec<(PathBuf, String)>,
    /// Those of the files that do not follow from the results alone, but also tell when and how they were computed.
    history: BTreeSet<PathBuf>,
    /// What the files that are there show and the new ones would not, and why.
    lost: Vec<String>,
    cause: Option<String>,
    shown: String,
    told: Vec<String>,
}

impl Tables {
    fn add(&mut self, folder: &Path, name: &str, table: &Table) -> Result<(), Exit> {
        let csv = folder.join(format!("{name}.csv"));
        if let Some(earlier) = earlier(&csv) {
            self.lost.extend(table.lost(&earlier));
        }
        self.files
            .push((folder.join(format!("{name}.md")), table.markdown()));
        self.files.push((csv, table.csv().map_err(Exit::stuck)?));
        let color = color_on_stdout();
        self.shown.push_str(&match width::of_terminal() {
            Some(width) => width::wrapped(&table.of_width(color, width)),
            None => table.terminal(color),
        });
        let both = folder.join(format!("{name}.{{md,csv}}"));
        self.told.push(format!("\nwritten to {}", both.display()));
        Ok(())
    }

    fn add_statistics(
        &mut self,
        opened: &Opened,
        rows: &[Row],
        by_class: Option<&ClassScores>,
        folder: &Path,
    ) -> Result<(), Exit> {
        let Opened { sweep, ledger, .. } = opened;
        let question = Question {
            sweep: &sweep.name,
            metrics: &|dataset| sweep.report.metrics(dataset),
            baseline: sweep.report.baseline.as_deref(),
            equal_within: sweep.report.equal_within(),
            by_class,
            queries: &|row, metrics| queries::queries(row.source(), metrics, ledger),
        };
        let Some(statistics) = report::statistics(rows, &question).map_err(Exit::stuck)? else {
            return Ok(());
        };
        let csv = statistics.csv().map_err(Exit::stuck)?;
        self.files
            .push((folder.join("statistics.md"), statistics.markdown()));
        self.files.push((folder.join("statistics.csv"), csv));
        let mut written = vec![folder.join("statistics.{md,csv}").display().to_string()];
        for (name, diagram) in statistics.diagrams() {
            let path = folder.join(&name);
            written.push(path.display().to_string());
            self.files.push((path, diagram));
        }
        self.told.push(format!(
            "paired tests, effect sizes, bootstrap: {}",
            written.join(", ")
        ));
        Ok(())
    }

    fn add_provenance(&mut self, provenance: &Provenance, folder: &Path) -> Result<(), Exit> {
        let csv = provenance.csv().map_err(Exit::stuck)?;
        for (name, text) in [
            ("provenance.md", provenance.markdown()),
            ("provenance.csv", csv),
        ] {
            self.history.insert(folder.join(name));
            self.files.push((folder.join(name), text));
        }
        let both = folder.join("provenance.{md,csv}");
        self.told.push(format!(
            "programs, machines, dates, costs: {}",
            both.display()
        ));
        Ok(())
    }

    /// Writes all files, unless they would replace results that are no longer found.
    pub(super) fn write(&self) -> Result<(), Exit> {
        if !self.lost.is_empty() {
            return Err(self.refusal());
        }
        if let Some(folder) = self.files.first().and_then(|(path, _)| path.parent()) {
            durable::remove_leftovers(folder)?;
        }
        for (path, text) in &self.files {
            durable::write(path, text.as_bytes())?;
        }
        Ok(())
    }

    /// Prints the tables and where they are. Whether anybody reads them changes nothing.
    pub(super) fn print(&self) -> Result<(), Exit> {
        match show(&self.shown) {
            Ok(()) | Err(Exit::NobodyReads) => {}
            Err(exit) => return Err(exit),
        }
        if self.lost.is_empty() {
            self.told.iter().for_each(|line| tell(line));
        }
        Ok(())
    }

    fn refusal(&self) -> Exit {
        const NAMED: usize = 8;
        let folder = self.files.first().and_then(|(path, _)| path.parent());
        let folder = folder.unwrap_or(Path::new("")).display();
        let mut named = self.lost[..self.lost.len().min(NAMED)].to_vec();
        if self.lost.len() > NAMED {
            named.push(format!("and {} more", self.lost.len() - NAMED));
        }
        named.extend(self.cause.iter().cloned());
        Exit::mistake(format!(
            "nothing is written: `{folder}` has results that are not found now\n  {}\n\
             hint: `sweep plan FILE` lists the runs that are not found, `sweep why RUN FILE` tells why; \
             to write this table all the same, choose another folder with --reports, or remove `{folder}`",
            named.join("\n  ")
        ))
    }
}

/// Why results are not found, if the nearest finished run tells.
fn cause(opened: &Opened) -> Result<Option<String>, Exit> {
    let (plan, ledger) = (&opened.plan, &opened.ledger);
    let planned = plan
        .members
        .iter()
        .filter_map(|member| plan.runs.get_key_value(&member.run));
    let mut absent = planned.filter(|(run, _)| !ledger.has_result(**run));
    let Some((&run, planned)) = absent.next() else {
        return Ok(None);
    };
    let nearest = difference::nearest(run, &difference::stored(&planned.identity), ledger)?;
    let differences = nearest
        .map(|(_, differences)| differences)
        .unwrap_or_default();
    let outside = differences
        .iter()
        .find(|difference| match difference.component {
            Component::Data | Component::Schema | Component::Arithmetic => true,
            Component::Recipe | Component::Fold | Component::Seed => false,
        });
    Ok(outside.map(|found| format!("the finished runs have another {}", found.component)))
}

/// The table that is there.
fn earlier(path: &Path) -> Option<String> {
    durable::read_to_string(path).ok()
}

/// The scores of each class, if intervals are to cover other classes.
pub(super) fn by_class(opened: &Opened, rows: &[Row]) -> Option<ClassScores> {
    let Opened { sweep, ledger, .. } = opened;
    match sweep.report.interval {
        IntervalKind::Seeds => None,
        IntervalKind::TwoWay => {
            let metrics = |dataset: &Dataset| sweep.report.metrics(dataset);
            Some(ClassScores::read(rows, &metrics, &|row, metrics| {
                queries::queries(row.source(), metrics, ledger)
            }))
        }
    }
}

/// The origins of the results. Refuses those of different devices if the sweep file asks for that.
fn provenance(opened: &Opened, rows: &[Row]) -> Result<Provenance, Exit> {
    let Opened {
        sweep,
        ledger,
        plan,
        ..
    } = opened;
    let origins = origins::origins(plan, ledger)?;
    let metrics = |dataset: &Dataset| sweep.report.metrics(dataset);
    let tried = origins::tried(opened)?;
    let provenance =
        report::provenance(&sweep.name, rows, &metrics, &origins, tried).map_err(Exit::stuck)?;
    match provenance.mixture() {
        Some(mixture) if sweep.report.homogeneous => Err(Exit::mistake(format!(
            "`report.homogeneous = true`, but: {mixture}\n\
             hint: run the sweep on one kind of device in a results folder of its own (--results), or remove \
             `homogeneous`; the table then says so"
        ))),
        _ => Ok(provenance),
    }
}

/// The tables of all layouts, each with the name of its files: `table` for the first, their own for
/// others.
fn tables(
    opened: &Opened,
    rows: &[Row],
    by_class: Option<&ClassScores>,
    provenance: &Provenance,
) -> Result<Vec<(String, Table)>, Exit> {
    let Opened { sweep, ledger, .. } = opened;
    let mut lines = facts::facts(opened, rows);
    lines.extend(studies::facts(opened));
    lines.extend(rows::idle(rows, ledger)?);
    lines.extend(provenance.mixture());
    let caption = Caption {
        sweep: sweep.name.clone(),
        command: sweep.command.clone(),
        lines,
        fairness: sweep.fairness.lines(),
    };
    let published = sweep.published.as_deref().unwrap_or_default();
    let mut tables = Vec::new();
    for &layout in &sweep.report.layout.0 {
        let name = match tables.len() {
            0 => "table".to_owned(),
            _ => format!("table-{}", layout.name()),
        };
        let description = Description {
            layout,
            metrics: &|dataset| sweep.report.columns(layout, dataset),
            published,
            by_class,
            equal_within: sweep.report.equal_within(),
            caption: &caption,
        };
        let table = report::table(rows, &description).map_err(Exit::stuck)?;
        tables.push((name, table));
    }
    Ok(tables)
}
