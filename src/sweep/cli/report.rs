//! `sweep report`: the tables of the results so far.

mod compare;
mod curves;
mod facts;
mod gallery;
mod origins;
mod page;
mod queries;
mod rows;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use report::{
    Caption, ClassScores, Description, Format, Page, Provenance, Question, ReportError, Results,
    Row, Statistics, Table,
};
use schema::Dataset;
use serde::Serialize;

use curves::Courses;
pub(super) use queries::folder as folder_of;
pub(super) use rows::{jobs_of, rows, state_of, state_of_ensemble};

use super::{
    Exit, Opened, Target, color_on_stdout, counted, folder::folder, show, show_json, studies, tell,
    width, writable,
};
use crate::{
    config::IntervalKind,
    ledger::Check,
    plan::{SameFunction, difference, integrity},
};

/// Rebuild the table from finished runs
///
/// Prints the tables and writes them, with their statistics, to reports/NAME/. Runs nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep report sweeps/omniglot.toml
  sweep report sweeps/omniglot.toml --format latex,json
  sweep report sweeps/omniglot.toml --json | jq '.tables[0].cells'
  sweep report sweeps/omniglot.toml --watch                     while `sweep run` works
  sweep report sweeps/omniglot.toml --set 'report.layout=\"benchmark\"'")]
pub(super) struct Report {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    destination: Destination,
    /// Write the report again every ten seconds until the sweep ends; the page loads itself again
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print one JSON object with the tables and the files that were written
    #[arg(long)]
    json: bool,
}

/// The version of the JSON object; its tables have versions of their own.
const VERSION: u32 = 1;

/// What a report wrote and shows.
#[derive(Serialize)]
struct ReportJson<'t, T> {
    version: u32,
    sweep: &'t str,
    files: Vec<&'t Path>,
    /// As in the files of the format `json`, in the order of the layouts.
    tables: &'t [T],
}

/// The folder for tables.
#[derive(Clone, Debug, Args)]
pub(super) struct ReportsFolder {
    /// Folder of tables; each sweep has a folder with its name in it
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = "reports")]
    reports: PathBuf,
}

/// Where tables go, and in which formats.
#[derive(Debug, Args)]
pub(super) struct Destination {
    #[command(flatten)]
    folder: ReportsFolder,
    /// Formats to write instead of those of the sweep file; CSV is always written
    #[arg(long = "format", value_name = "FORMAT", value_delimiter = ',', value_parser = format_parser())]
    formats: Vec<Format>,
}

/// Reads the name of a format.
fn format_parser() -> impl TypedValueParser<Value = Format> {
    let names = PossibleValuesParser::new(Format::ALL.map(Format::name));
    let known = |name: String| Format::ALL.into_iter().find(|format| format.name() == name);
    names.try_map(move |name| known(name).ok_or("unknown format"))
}

impl Report {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let opened = self.target.open_results()?;
        opened.require_ids()?;
        self.destination.check(&opened)?;
        if self.watch {
            return self.keep_writing(opened);
        }
        let report = self.destination.report(&self.target, &opened, None)?;
        report.write()?;
        let end = match self.json {
            true => report.print_json(&opened.sweep.name),
            false => report.print(),
        };
        report.leave();
        opened.leave();
        end
    }
}

/// The page in the folder of a sweep's tables.
const PAGE: &str = "index.html";

impl Destination {
    /// The tables of a folder in every format.
    pub(super) fn in_every_format(folder: &ReportsFolder) -> Destination {
        let formats = Format::ALL.into_iter().filter(|format| format.has_tables());
        Destination {
            folder: folder.clone(),
            formats: formats.collect(),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder.reports
    }

    /// The folder of a sweep's tables.
    fn folder_of(&self, opened: &Opened) -> PathBuf {
        self.folder().join(&opened.sweep.name)
    }

    /// Checks that tables can be written, before anything is computed for them.
    pub(super) fn check(&self, opened: &Opened) -> Result<(), Exit> {
        writable::check_folder(&self.folder_of(opened), "--reports")
    }

    /// The formats to write, with CSV among them: a later report is compared with it.
    fn formats(&self, opened: &Opened) -> BTreeSet<Format> {
        let of_file = opened.sweep.report.formats();
        let chosen = if self.formats.is_empty() {
            of_file
        } else {
            self.formats.clone()
        };
        chosen.into_iter().chain([Format::Csv]).collect()
    }

    /// Makes the tables and the statistics of the results. The page loads itself again after `refresh`.
    pub(super) fn report(
        &self,
        target: &Target,
        opened: &Opened,
        refresh: Option<Duration>,
    ) -> Result<Tables, Exit> {
        let folder = self.folder_of(opened);
        let rows = rows(&opened.sweep, &opened.plan, &opened.ledger)?;
        integrity::of_results(&opened.plan, &opened.ledger, Check::Contents)?;
        opened.refuse_damage()?;
        let mut report = Tables {
            formats: self.formats(opened),
            ..Tables::default()
        };
        let (history, judged) = rayon::join(
            || History::read(opened, &rows),
            || Judged::of(opened, &rows),
        );
        let History {
            provenance,
            origins,
            courses,
        } = history?;
        let Judged {
            tables,
            statistics,
            results,
        } = judged?;
        for (name, mut table) in tables {
            table.extend_caption(provenance.mixture());
            report.add(&folder, &name, table)?;
        }
        if let Some(statistics) = &statistics {
            report.add_statistics(statistics, &folder)?;
        }
        report.add_provenance(origins, &folder);
        report.add_results(results, &folder);
        if !courses.trainings.is_empty() {
            report.add_curves(&courses, &folder)?;
        }
        if report.formats.contains(&Format::Html) {
            let retrievals = match report.tables.first() {
                Some(first) => gallery::retrievals(first, &opened.plan, &opened.ledger),
                None => Vec::new(),
            };
            let Opened { plan, ledger, .. } = opened;
            let (failures, timings) = rayon::join(
                || page::failures(plan, ledger),
                || page::timings(plan, ledger),
            );
            let page = Page {
                tables: &report.tables,
                statistics: statistics.as_ref(),
                trainings: &courses.trainings,
                searches: &page::searches(opened),
                failures: &failures?,
                retrievals: &retrievals,
                timings: &timings?,
                origins: &page::settings(target, opened)?,
                environment: &page::environment(opened, &provenance),
                refresh,
            };
            let page = report::page(&page);
            report.add_page(page, &folder);
        }
        if !opened.plan.studies.is_empty() {
            let path = folder.join("search.csv");
            report.told.push(format!("all trials: {}", path.display()));
            report.add_file(path, studies::csv(opened)?);
        }
        if !report.lost.is_empty() {
            let cause = difference::cause_of_absence(&opened.plan, &opened.ledger)?;
            report.cause = cause.map(difference::absence_in_words);
        }
        if refresh.is_none() {
            // As `Opened::leave`.
            mem::forget((rows, provenance, courses));
        }
        Ok(report)
    }
}

/// The tables of a sweep: first all files are written, then everything is printed.
#[derive(Default)]
pub(super) struct Tables {
    formats: BTreeSet<Format>,
    tables: Vec<Table>,
    files: Vec<(PathBuf, String)>,
    /// Files that are no text.
    binary: Vec<(PathBuf, Vec<u8>)>,
    /// Those of the files that do not follow from the results alone, but also tell when and how they were computed.
    history: BTreeSet<PathBuf>,
    /// What the files that are there show and the new ones would not, and why.
    lost: Vec<String>,
    cause: Option<String>,
    shown: String,
    told: Vec<String>,
}

impl Tables {
    fn add(&mut self, folder: &Path, name: &str, table: Table) -> Result<(), Exit> {
        let csv = folder.join(format!("{name}.csv"));
        if let Some(earlier) = earlier(&csv) {
            self.lost.extend(table.lost(&earlier));
            if table.is_of_another_sweep(&earlier) {
                self.told.push(format!(
                    "\nwarning: `{}` had the tables of another sweep of this name, with other methods; these replace them",
                    csv.display()
                ));
            }
        }
        let mut names = Vec::new();
        for format in self.formats.clone() {
            for (file, text) in table.files(name, format).map_err(Exit::stuck)? {
                self.add_file(folder.join(&file), text);
                names.push(file);
            }
        }
        let color = color_on_stdout();
        self.shown.push_str(&match width::of_terminal() {
            Some(width) => width::wrapped(&table.of_width(color, width)),
            None => table.terminal(color),
        });
        self.told.push(format!(
            "\nwritten to {}: {}",
            folder.display(),
            names.join(", ")
        ));
        self.tables.push(table);
        Ok(())
    }

    fn add_file(&mut self, path: PathBuf, text: String) {
        self.files.push((path, text));
    }

    fn add_results(&mut self, (csv, parquet): (String, Vec<u8>), folder: &Path) {
        let both = folder.join("results.{csv,parquet}");
        self.told.push(format!("every result: {}", both.display()));
        self.add_file(folder.join("results.csv"), csv);
        self.binary.push((folder.join("results.parquet"), parquet));
    }

    fn add_curves(&mut self, courses: &Courses, folder: &Path) -> Result<(), Exit> {
        let trainings = &courses.trainings;
        let path = folder.join("curves.csv");
        let of_which = match courses.of_each_row {
            None => String::new(),
            Some(first) => format!(" of the first {} of each row", counted(first, "run")),
        };
        self.told
            .push(format!("learning curves{of_which}: {}", path.display()));
        self.history.insert(path.clone());
        self.add_file(path, report::curves(trainings).map_err(Exit::stuck)?);
        if self.formats.contains(&Format::Tensorboard) {
            let folder = folder.join("tensorboard");
            self.told
                .push(format!("tensorboard --logdir {}", folder.display()));
            let events = trainings.iter();
            let files = events.map(|one| (folder.join(one.event_path()), one.event_file()));
            let files: Vec<_> = files.collect();
            self.history
                .extend(files.iter().map(|(path, _)| path.clone()));
            self.binary.extend(files);
        }
        Ok(())
    }

    fn add_page(&mut self, page: String, folder: &Path) {
        let path = folder.join(PAGE);
        self.told.push(format!("to look at: {}", path.display()));
        self.history.insert(path.clone());
        self.add_file(path, page);
    }

    fn add_statistics(&mut self, statistics: &Statistics, folder: &Path) -> Result<(), Exit> {
        let csv = statistics.csv().map_err(Exit::stuck)?;
        self.add_file(folder.join("statistics.md"), statistics.markdown());
        self.add_file(folder.join("statistics.csv"), csv);
        let mut written = vec![folder.join("statistics.{md,csv}").display().to_string()];
        if let Some(profiles) = statistics.profiles().map_err(Exit::stuck)? {
            let path = folder.join("profile.csv");
            written.push(path.display().to_string());
            self.add_file(path, profiles);
        }
        for (name, diagram) in statistics.diagrams(&self.formats) {
            let path = folder.join(&name);
            written.push(path.display().to_string());
            self.add_file(path, diagram);
        }
        self.told.push(format!(
            "paired tests, effect sizes, bootstrap: {}",
            written.join(", ")
        ));
        Ok(())
    }

    fn add_provenance(&mut self, origins: [String; 2], folder: &Path) {
        for (name, text) in ["provenance.md", "provenance.csv"].into_iter().zip(origins) {
            self.history.insert(folder.join(name));
            self.files.push((folder.join(name), text));
        }
        let both = folder.join("provenance.{md,csv}");
        self.told.push(format!(
            "programs, machines, dates, costs: {}",
            both.display()
        ));
    }

    /// What the files that are there show and the new ones would not, a sentence each.
    pub(super) fn lost(&self) -> &[String] {
        &self.lost
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
        for (path, bytes) in &self.binary {
            durable::write(path, bytes)?;
        }
        Ok(())
    }

    /// Prints the tables, and where they were written.
    fn print(&self) -> Result<(), Exit> {
        self.print_tables()?;
        self.tell_places();
        Ok(())
    }

    /// Prints the tables. Whether anybody reads them changes nothing.
    pub(super) fn print_tables(&self) -> Result<(), Exit> {
        match show(&self.shown) {
            Ok(()) | Err(Exit::NobodyReads) => Ok(()),
            Err(exit) => Err(exit),
        }
    }

    /// Leaves its memory to the end of the process, which is near.
    pub(super) fn leave(self) {
        mem::forget(self);
    }

    /// Says where the files were written.
    pub(super) fn tell_places(&self) {
        self.told.iter().for_each(|line| tell(line));
    }

    /// Prints the tables and where they are as one JSON object.
    fn print_json(&self, sweep: &str) -> Result<(), Exit> {
        let tables: Vec<_> = self.tables.iter().map(Table::object).collect();
        let files = self.files.iter().map(|(path, _)| path.as_path());
        let binary = self.binary.iter().map(|(path, _)| path.as_path());
        show_json(&ReportJson {
            version: VERSION,
            sweep,
            files: files.chain(binary).collect(),
            tables: &tables,
        })
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

/// What the attempts at the runs of a report tell.
struct History {
    provenance: Provenance,
    /// The origins as Markdown and as CSV.
    origins: [String; 2],
    courses: Courses,
}

impl History {
    fn read(opened: &Opened, rows: &[Row]) -> Result<History, Exit> {
        let Opened { ledger, plan, .. } = opened;
        let provenance = provenance(opened, rows)?;
        let ((markdown, csv), courses) = rayon::join(
            || rayon::join(|| provenance.markdown(), || provenance.csv()),
            || curves::courses(plan, ledger),
        );
        Ok(History {
            origins: [markdown, csv.map_err(Exit::stuck)?],
            courses: courses?,
            provenance,
        })
    }
}

/// What follows from the results alone.
struct Judged {
    tables: Vec<(String, Table)>,
    statistics: Option<Statistics>,
    /// Every result as CSV and as Parquet.
    results: (String, Vec<u8>),
}

impl Judged {
    fn of(opened: &Opened, rows: &[Row]) -> Result<Judged, Exit> {
        let by_class = by_class(opened, rows);
        let (tables, (statistics, results)) = rayon::join(
            || tables(opened, rows, by_class.as_ref()),
            || {
                rayon::join(
                    || statistics(opened, rows, by_class.as_ref()),
                    || files_of(rows),
                )
            },
        );
        Ok(Judged {
            tables: tables?,
            statistics: statistics?,
            results: results.map_err(Exit::stuck)?,
        })
    }
}

/// Returns every result as CSV and as Parquet.
fn files_of(rows: &[Row]) -> Result<(String, Vec<u8>), ReportError> {
    let results = Results::of(rows);
    Ok((results.csv()?, results.parquet()?))
}

/// The statistics of the results, if there is anything to compare.
fn statistics(
    opened: &Opened,
    rows: &[Row],
    by_class: Option<&ClassScores>,
) -> Result<Option<Statistics>, Exit> {
    let Opened { sweep, ledger, .. } = opened;
    let question = Question {
        sweep: &sweep.name,
        metrics: &|dataset| sweep.report.metrics(dataset),
        baseline: sweep.report.baseline.as_deref(),
        equal_within: sweep.report.equal_within(),
        compare: &sweep.report.compare(),
        by_class,
        queries: &|row, metrics| queries::queries(row.source(), metrics, ledger),
    };
    report::statistics(rows, &question).map_err(Exit::stuck)
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
    let tried = origins::tried(opened, &origins)?;
    let provenance = report::provenance(&sweep.name, rows, &metrics, &origins, tried);
    match provenance.mixture() {
        Some(mixture) if sweep.report.homogeneous => Err(Exit::mistake(format!(
            "`report.homogeneous = true`, but: {mixture}\n\
             hint: run the sweep on one kind of device in a results folder of its own (--results), or remove \
             `homogeneous`; the table then says so"
        ))),
        _ => Ok(provenance),
    }
}

/// Rows that were the same function when they were trained.
fn same_functions(opened: &Opened) -> Result<Vec<String>, Exit> {
    let Opened { plan, ledger, .. } = opened;
    let mut samples = BTreeMap::new();
    for member in plan.first_of_rows() {
        let trained = ledger.trained(member.run)?;
        let sample = trained.and_then(|trained| trained.objective);
        samples.extend(sample.map(|sample| (member.run, sample)));
    }
    let same = plan.same_functions(&samples);
    let in_words = |rows: &SameFunction| format!("{}.", rows.in_words(plan));
    Ok(same.iter().map(in_words).collect())
}

/// The tables of all layouts, each with the name of its files: `table` for the first, their own for
/// others.
fn tables(
    opened: &Opened,
    rows: &[Row],
    by_class: Option<&ClassScores>,
) -> Result<Vec<(String, Table)>, Exit> {
    let Opened { sweep, ledger, .. } = opened;
    let mut lines = facts::facts(opened, rows);
    lines.extend(studies::facts(opened));
    lines.extend(rows::idle(rows, ledger)?);
    let caption = Caption {
        sweep: sweep.name.clone(),
        command: sweep.command.clone(),
        lines,
        fairness: sweep.fairness.lines(),
        same: same_functions(opened)?,
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
            compare: &sweep.report.compare(),
            pivot: sweep.report.pivot.as_deref(),
            sort: sweep.report.sort,
            equal_within: sweep.report.equal_within(),
            caption: &caption,
        };
        let table = report::table(rows, &description).map_err(Exit::stuck)?;
        tables.push((name, table));
    }
    Ok(tables)
}
