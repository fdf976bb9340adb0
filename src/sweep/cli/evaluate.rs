//! `sweep evaluate`: measures anyone's embeddings, or a finished run once more.

mod told;

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{Args, ValueEnum};
use schema::{
    ComparedBy, Comparison, DataId, EmbeddingFiles, EvaluateWork, Evaluated, Hyperbolic, Identity,
    MeasureWork, Measured, Metric, RunId, Scores, Task, Trained, TrainingEnd, run_files,
};
use serde::Serialize;
use serde_json::{Value, json};

use self::told::NamedFiles;
use super::{
    Exit, Opened,
    chosen::{BEST, best},
    counted, counted_classes,
    folder::folder,
    foreground::{self, all_cores},
    progress::Bar,
    run_ids::the_only,
    show, show_json, tell,
};
use crate::{
    config::Sweep,
    ledger::{Check, Ledger, RunFolder, absolute, read_json},
    run::trainer::Trainer,
};

/// Evaluate embeddings from any program, or a finished run again
///
/// Without query files, each image is a query against all others. The ranks are exact for embeddings in single precision.
#[derive(Debug, Args)]
#[command(after_help = "\
Files, told apart by their content:
  embeddings  n rows of d numbers: .npy, .npz, .safetensors, or a table with commas, semicolons, tabs or white space
  labels      n labels: .npy, .npz or .safetensors, text with one label per line, or a table with a column `label`
Of several arrays in a file, FILE:NAME is one. A heading, and a column that numbers the rows, are left out and told. \
A table of labels may also have the columns `camera` and `category`, the super-class; `category_2` and so on are wider ones.

Metrics: recall@K, precision@1, r_precision, map@r, map, mrr; of clusters, which take longer: nmi, ami, f1. The headings \
of tables (R@1, MAP@R) are understood too.

Examples:
  sweep evaluate --embeddings test.npy --labels test.txt
  sweep evaluate --embeddings features.npz:test --labels labels.csv --distance euclidean
  sweep evaluate --embeddings test.npy --labels test.txt --distance hyperbolic --curvature 0.1 --clip 2.3
  sweep evaluate --embeddings gallery.npy --labels gallery.txt \\
      --query-embeddings query.npy --query-labels query.txt --metrics recall@1,recall@10,map@r --json
  sweep evaluate 6b1c5a0e7a1f2d34 --metrics nmi,ami
  sweep evaluate 6b1c5a0e7a1f2d34 --json | jq .measured.warnings")]
pub(super) struct Evaluate {
    /// Id of a run or its beginning, the folder of a run, or best:METHOD with --sweep
    #[arg(conflicts_with = "embeddings")]
    run: Option<String>,
    /// Embeddings to search
    #[arg(long, value_name = "FILE", requires = "labels")]
    embeddings: Option<PathBuf>,
    /// Labels of the embeddings
    #[arg(long, value_name = "FILE", requires = "embeddings")]
    labels: Option<PathBuf>,
    /// Embeddings of queries, if they differ from the searched ones
    #[arg(
        long,
        value_name = "FILE",
        requires = "query_labels",
        requires = "embeddings"
    )]
    query_embeddings: Option<PathBuf>,
    /// Labels of the queries
    #[arg(long, value_name = "FILE", requires = "query_embeddings")]
    query_labels: Option<PathBuf>,
    /// Metrics, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = Metric::from_str)]
    metrics: Vec<Metric>,
    /// How embeddings in files are compared [default: cosine]
    #[arg(long, value_enum)]
    distance: Option<ComparisonArg>,
    /// Curvature of the ball of --distance hyperbolic, without its sign [default: 0.1]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = above_zero, requires = "distance")]
    curvature: Option<f64>,
    /// Length to which longer embeddings are cut by --distance hyperbolic [default: 2.3]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = above_zero, requires = "distance")]
    clip: Option<f64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) place: ResultsArgs,
}

/// Where runs and the trainer are.
#[derive(Debug, Args)]
pub(super) struct ResultsArgs {
    /// Folder of finished and interrupted runs
    #[arg(long, value_name = "FOLDER", value_parser = folder(), default_value = "results")]
    results: PathBuf,
    /// The sweep file of best:METHOD
    #[arg(long, value_name = "FILE")]
    sweep: Option<PathBuf>,
    #[command(flatten)]
    pub(super) trainer: TrainerArgs,
}

/// The trainer of a single task.
#[derive(Debug, Args)]
pub(super) struct TrainerArgs {
    /// Number of CPU threads [default: all cores]
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=MOST_THREADS))]
    threads: Option<u32>,
    /// A program to use in the place of `sweep-trainer`
    #[arg(long, value_name = "PROGRAM", hide = true)]
    trainer: Option<PathBuf>,
}

/// More threads than any machine has cores: libtorch starts all that are asked for.
const MOST_THREADS: i64 = 1024;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ComparisonArg {
    /// Cosine similarity; embeddings need not be normalized
    Cosine,
    /// Euclidean distance
    Euclidean,
    /// Dot product
    Dot,
    /// Distance in the Poincare ball, as Hyp-ViT is measured
    Hyperbolic,
}

/// Reads a number above 0.
fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && f64::is_finite(number) => Ok(number),
        _ => Err("expected a number above 0".to_owned()),
    }
}

/// The K of Recall@K that papers report on one data set or another.
const RECALL_AT: [u32; 9] = [1, 2, 4, 8, 10, 16, 32, 100, 1000];

impl Evaluate {
    pub(super) fn run(&self) -> Result<(), Exit> {
        match (&self.embeddings, &self.labels, &self.run) {
            (Some(embeddings), Some(labels), _) => self.measure(files(embeddings, labels)),
            (_, _, Some(run)) => self.measure_again(run),
            _ => Err(Exit::mistake(
                "say what to measure: a finished run with `sweep evaluate RUN`, or embeddings with `sweep evaluate \
                 --embeddings FILE --labels FILE`",
            )),
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        if !self.metrics.is_empty() {
            return self.metrics.clone();
        }
        let others = [
            Metric::PrecisionAt1,
            Metric::RPrecision,
            Metric::MapAtR,
            Metric::Map,
            Metric::Mrr,
        ];
        RECALL_AT
            .into_iter()
            .map(Metric::RecallAt)
            .chain(others)
            .collect()
    }

    /// Returns how embeddings in files are compared.
    fn compared(&self) -> Result<ComparedBy, Exit> {
        let comparison = match self.distance {
            Some(ComparisonArg::Hyperbolic) => {
                return self.hyperbolic().map(ComparedBy::Hyperbolic);
            }
            Some(ComparisonArg::Cosine) | None => Comparison::Cosine,
            Some(ComparisonArg::Euclidean) => Comparison::Euclidean,
            Some(ComparisonArg::Dot) => Comparison::Dot,
        };
        let options = [("--curvature", self.curvature), ("--clip", self.clip)];
        match options.iter().find(|(_, value)| value.is_some()) {
            Some((option, _)) => Err(Exit::mistake(format!(
                "`{option}` is of `--distance hyperbolic`: remove it, or choose that distance"
            ))),
            None => Ok(ComparedBy::Rows(comparison)),
        }
    }

    fn hyperbolic(&self) -> Result<Hyperbolic, Exit> {
        if let Some(metric) = self.metrics.iter().find(|metric| metric.is_of_clusters()) {
            return Err(Exit::mistake(format!(
                "`{metric}` is of clusters by Euclidean distance, which `--distance hyperbolic` does not have: leave it out"
            )));
        }
        let usual = Hyperbolic::default();
        Ok(Hyperbolic {
            curvature: self.curvature.unwrap_or(usual.curvature),
            clip: self.clip.unwrap_or(usual.clip),
        })
    }

    fn measure(&self, gallery: EmbeddingFiles) -> Result<(), Exit> {
        let queries = match (&self.query_embeddings, &self.query_labels) {
            (Some(embeddings), Some(labels)) => Some(files(embeddings, labels)),
            _ => None,
        };
        let work = MeasureWork {
            gallery,
            queries,
            compared: self.compared()?,
            metrics: self.metrics(),
        };
        let measured = self.place.attempt(work.clone(), "measuring")?;
        let sides: Vec<NamedFiles> = work
            .queries
            .iter()
            .chain([&work.gallery])
            .map(named)
            .collect();
        self.print(&Report::of_files(&measured, &sides))
    }

    fn measure_again(&self, run: &str) -> Result<(), Exit> {
        if self.distance.is_some() {
            return Err(Exit::mistake(format!(
                "`--distance` compares embeddings in files; a run is measured by cosine similarity, as in its tables. Its \
                 embeddings are kept in its folder: measure them with `sweep evaluate --embeddings {run}/{} --labels FILE \
                 --distance ..`",
                run_files::EMBEDDINGS
            )));
        }
        let found = self.place.find(run)?;
        let work = EvaluateWork {
            recipe: found.identity.recipe,
            data: found.data,
            run: found.run.path().to_owned(),
            metrics: self.metrics(),
            read_only: true,
        };
        let evaluated = self.place.attempt(work, "measuring")?;
        self.print(&Report::of_run(&evaluated))
    }

    fn print(&self, report: &Report) -> Result<(), Exit> {
        if self.json {
            return show_json(&report.json());
        }
        show(&report.text())?;
        for note in &report.notes {
            tell(&format!("note: {note}"));
        }
        for warning in &report.warnings {
            tell(&format!("warning: {warning}"));
        }
        Ok(())
    }
}

/// The values of a measurement, and what is said beside them.
struct Report<'a> {
    scores: &'a Scores,
    /// The values if the right ones of equally similar images come last, and if they come first, as
    /// far as they differ.
    lowest: &'a Scores,
    highest: &'a Scores,
    /// `20 images of 8 numbers, 3 classes`
    taken: String,
    images: u64,
    gallery: Option<u64>,
    without_positive: u64,
    notes: Vec<String>,
    warnings: Vec<String>,
}

/// A measurement as JSON.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    scores: &'a Scores,
    measured: Value,
}

impl<'a> Report<'a> {
    fn of_files(measured: &'a Measured, sides: &[NamedFiles]) -> Report<'a> {
        Report {
            scores: &measured.scores,
            lowest: &measured.pessimistic,
            highest: &measured.optimistic,
            taken: told::taken(measured),
            images: measured.queries.images,
            gallery: measured.gallery.as_ref().map(|gallery| gallery.images),
            without_positive: measured.without_positive,
            notes: told::notes(measured, sides)
                .into_iter()
                .chain(told::certain(&measured.scores, told::searched(measured)))
                .collect(),
            warnings: told::warnings(measured, sides),
        }
    }

    fn of_run(evaluated: &'a Evaluated) -> Report<'a> {
        let images = counted(evaluated.images as usize, "image");
        Report {
            scores: &evaluated.scores,
            lowest: &evaluated.pessimistic,
            highest: &evaluated.optimistic,
            taken: format!("{images}, {}", counted_classes(evaluated.classes)),
            images: evaluated.images,
            gallery: evaluated.gallery,
            without_positive: evaluated.without_positive,
            notes: told::certain(
                &evaluated.scores,
                evaluated
                    .gallery
                    .unwrap_or(evaluated.images.saturating_sub(1)),
            )
            .into_iter()
            .collect(),
            warnings: told::equal_embeddings(
                evaluated.duplicates,
                evaluated.gallery.unwrap_or(evaluated.images),
            )
            .into_iter()
            .collect(),
        }
    }

    /// Returns the values by their names, and the rest as `measured`.
    fn json(&self) -> Printed<'_> {
        Printed {
            scores: self.scores,
            measured: json!({
                "taken": self.taken,
                "queries": self.images - self.without_positive,
                "gallery": self.gallery,
                "left_out": self.without_positive,
                "lowest": self.lowest,
                "highest": self.highest,
                "notes": self.notes,
                "warnings": self.warnings,
            }),
        }
    }

    fn text(&self) -> String {
        let names = self.scores.keys().map(Metric::to_string);
        let width = names.map(|name| name.len()).max().unwrap_or(0);
        let lines = self.scores.iter().map(|(metric, value)| {
            let (name, value) = (metric.to_string(), percent(*value));
            format!("{name:width$}  {value:>6}{}\n", self.range(*metric))
        });
        format!(
            "{}{}\n{}\n",
            lines.collect::<String>(),
            self.taken,
            self.searched()
        )
    }

    /// Returns between which values another order of equally similar images lies.
    fn range(&self, metric: Metric) -> String {
        match (self.lowest.get(&metric), self.highest.get(&metric)) {
            (Some(&lowest), Some(&highest)) => format!(
                "   {} to {} by the order of ties",
                percent(lowest),
                percent(highest)
            ),
            _ => String::new(),
        }
    }

    fn searched(&self) -> String {
        let queries = self.images - self.without_positive;
        let of = match self.gallery {
            Some(gallery) => format!("{queries} queries against {gallery} images"),
            None => format!("{queries} queries, each against all the others"),
        };
        let left_out = match self.without_positive {
            0 => String::new(),
            count => format!("; {count} without an image to find left out"),
        };
        format!("{of}{left_out}; values in percent")
    }
}

fn percent(value: f64) -> String {
    format!("{:.2}", 100.0 * value)
}

fn files(embeddings: &Path, labels: &Path) -> EmbeddingFiles {
    EmbeddingFiles {
        embeddings: embeddings.to_owned(),
        labels: labels.to_owned(),
    }
}

fn named(files: &EmbeddingFiles) -> NamedFiles<'_> {
    NamedFiles {
        embeddings: &files.embeddings,
        labels: &files.labels,
    }
}

/// Refuses a run whose network is not the one that was trained.
fn refuse_damage(identity: &Identity, folder: &RunFolder) -> Result<(), Exit> {
    let ledger = Ledger::new(folder.results());
    let run = identity.run();
    if ledger.run(run) != *folder {
        // A folder that was copied elsewhere under another name.
        return Ok(());
    }
    ledger.identity(run)?;
    ledger.has_model(run, Check::Contents)?;
    match ledger.damage().first() {
        None => Ok(()),
        Some(damage) => Err(Exit::mistake(format!(
            "{damage}; `sweep run FILE` computes it again"
        ))),
    }
}

/// A run that is there, and its data.
pub(super) struct LocatedRun {
    pub(super) identity: Identity,
    pub(super) run: RunFolder,
    pub(super) data: PathBuf,
}

impl ResultsArgs {
    /// The run of this id, in this folder, or the best of a method by its validation scores.
    pub(super) fn find(&self, run: &str) -> Result<LocatedRun, Exit> {
        match run.strip_prefix(BEST) {
            Some(method) => self.locate(&self.best(method)?.to_string()),
            None => self.locate(run),
        }
    }

    fn best(&self, method: &str) -> Result<RunId, Exit> {
        let Some(sweep) = &self.sweep else {
            return Err(Exit::mistake(format!(
                "`{BEST}{method}` is a method of which sweep? Name its file with `--sweep FILE`"
            )));
        };
        let opened = Opened::of_results(Sweep::read(sweep, &[])?, &self.results)?;
        opened.require_ids()?;
        best(method, &opened)
    }

    fn locate(&self, run: &str) -> Result<LocatedRun, Exit> {
        let missing = || {
            Exit::mistake(format!(
                "there is no run `{run}` in `{}`, nor one whose id begins so, nor a folder of this name\n\
                 hint: `sweep plan FILE` lists the ids of a sweep's runs",
                self.results.display()
            ))
        };
        let folder = self.folder(run)?.ok_or_else(missing)?;
        let identity: Option<Identity> = read_json(&folder.identity()).map_err(Exit::mistake)?;
        let identity = identity.ok_or_else(missing)?;
        if !folder.model().is_file() {
            return Err(without_network(run, &folder)?);
        }
        refuse_damage(&identity, &folder)?;
        let data = DataId::of(
            &identity.recipe.dataset,
            &identity.recipe.images,
            &identity.data,
        );
        Ok(LocatedRun {
            data: Ledger::new(folder.results()).data(data),
            identity,
            run: folder,
        })
    }

    /// The folder of a run: itself, or that of the id with this beginning.
    fn folder(&self, run: &str) -> Result<Option<RunFolder>, Exit> {
        let named = RunFolder::at(absolute(Path::new(run)));
        if named.identity().is_file() {
            return Ok(Some(named));
        }
        let ledger = Ledger::new(absolute(&self.results));
        let found = the_only(run, ledger.runs()?.iter().copied())?;
        Ok(found.map(|id| ledger.run(id)))
    }

    /// Has a trainer do the work, which `doing` names, on images, and returns what came of it.
    pub(super) fn attempt<T: Task>(&self, task: T, doing: &str) -> Result<T::Reply, Exit> {
        self.trainer.attempt(task, &Bar::images(doing))
    }
}

/// Why a run has no network.
fn without_network(run: &str, folder: &RunFolder) -> Result<Exit, Exit> {
    let trained: Option<Trained> = read_json(&folder.trained()).map_err(Exit::mistake)?;
    Ok(Exit::mistake(match trained.map(|trained| trained.end) {
        None => format!("run `{run}` is not trained yet"),
        Some(TrainingEnd::Broken(how)) => format!(
            "run `{run}` has no network: its training {}, {}",
            how.word(),
            how.reason()
        ),
        Some(TrainingEnd::Completed | TrainingEnd::OutOfPatience) => format!(
            "the network of run `{run}` is not there: `{}`\n\
             hint: `sweep run` trains a run again whose folder was removed",
            folder.model().display()
        ),
    }))
}

impl TrainerArgs {
    /// Has a trainer do the work, whose progress the bar shows, and returns what came of it.
    pub(super) fn attempt<T: Task>(&self, task: T, bar: &Bar) -> Result<T::Reply, Exit> {
        let trainer = Trainer::find(self.trainer.as_deref())?;
        let threads = self.threads.unwrap_or_else(all_cores);
        Ok(foreground::attempt(&trainer, task, threads, Some(bar))?)
    }
}
