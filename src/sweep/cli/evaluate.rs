//! `sweep evaluate`: measures anyone's embeddings, or a finished run once more.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::{Args, ValueEnum};
use schema::{
    Comparison, DataId, EmbeddingFiles, EvaluateWork, Evaluated, Identity, MeasureWork, Measured,
    Metric, Scores, Task,
};

use super::{
    Exit,
    foreground::{self, all_cores},
    progress::Bar,
    run_ids::the_only,
    show, tell,
};
use crate::{
    ledger::{Ledger, RunFolder, absolute, read_json},
    run::trainer::Trainer,
};

/// Evaluate embeddings from any program, or a finished run again
///
/// Without query files, each image is a query against all others. Results are exact.
#[derive(Debug, Args)]
#[command(after_help = "\
Files:
  embeddings  n rows of d numbers: .npy (float32 or float64), .safetensors, or CSV
  labels      n labels: .npy (integers), or text with one label per line

Metrics: recall@K, precision@1, r_precision, map@r, map, mrr; of clusters, which take longer: nmi, ami, f1.

Examples:
  sweep evaluate --embeddings test.npy --labels test.txt
  sweep evaluate --embeddings gallery.npy --labels gallery.txt \\
      --query-embeddings query.npy --query-labels query.txt --metrics recall@1,recall@10,map@r --json
  sweep evaluate 6b1c5a0e7a1f2d34 --metrics nmi,ami")]
pub(super) struct Evaluate {
    /// Id of a run or its beginning, or the folder of a run
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
    /// How embeddings are compared
    #[arg(long, value_enum, default_value = "cosine", conflicts_with = "run")]
    distance: ComparisonArg,
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
    #[arg(long, value_name = "FOLDER", default_value = "results")]
    results: PathBuf,
    /// Number of CPU threads [default: all cores]
    #[arg(long, value_name = "COUNT")]
    threads: Option<u32>,
    /// A program to use in the place of `sweep-trainer`
    #[arg(long, value_name = "PROGRAM", hide = true)]
    trainer: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ComparisonArg {
    /// Cosine similarity; embeddings need not be normalized
    Cosine,
    /// Euclidean distance
    Euclidean,
    /// Dot product
    Dot,
}

/// The K of Recall@K that papers report on one data set or another.
const RECALL_AT: [u32; 9] = [1, 2, 4, 8, 10, 16, 32, 100, 1000];

impl Evaluate {
    pub(super) fn run(&self) -> Result<(), Exit> {
        match (&self.embeddings, &self.labels, &self.run) {
            (Some(embeddings), Some(labels), _) => self.measure(files(embeddings, labels)?),
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

    fn measure(&self, gallery: EmbeddingFiles) -> Result<(), Exit> {
        let queries = match (&self.query_embeddings, &self.query_labels) {
            (Some(embeddings), Some(labels)) => Some(files(embeddings, labels)?),
            _ => None,
        };
        let comparison = match self.distance {
            ComparisonArg::Cosine => Comparison::Cosine,
            ComparisonArg::Euclidean => Comparison::Euclidean,
            ComparisonArg::Dot => Comparison::Dot,
        };
        let measured = self.place.attempt(MeasureWork {
            gallery,
            queries,
            comparison,
            metrics: self.metrics(),
        })?;
        self.print(&measured.scores, &measured)?;
        for remark in remarks(&measured) {
            tell(&remark);
        }
        Ok(())
    }

    fn measure_again(&self, run: &str) -> Result<(), Exit> {
        let found = self.place.find(run)?;
        let work = EvaluateWork {
            recipe: found.identity.recipe,
            data: found.data,
            run: found.run.path().to_owned(),
            metrics: self.metrics(),
            read_only: true,
        };
        let evaluated = self.place.attempt(work)?;
        self.print(&evaluated.scores, &evaluated)?;
        let searched = evaluated.gallery.unwrap_or(evaluated.images);
        if let Some(remark) = equal_embeddings(evaluated.duplicates, searched) {
            tell(&remark);
        }
        Ok(())
    }

    fn print(&self, scores: &Scores, measured: &impl Measurement) -> Result<(), Exit> {
        if self.json {
            let text =
                serde_json::to_string(scores).map_err(|error| Exit::mistake(error.to_string()))?;
            return show(&(text + "\n"));
        }
        let width = scores
            .keys()
            .map(|metric| metric.to_string().len())
            .max()
            .unwrap_or(0);
        let bounds = measured.bounds();
        let lines = scores.iter().map(|(metric, value)| {
            let percent = |value: f64| format!("{:.2}", 100.0 * value);
            let between =
                bounds.and_then(|(worst, best)| Some((*worst.get(metric)?, *best.get(metric)?)));
            let between = between.filter(|(worst, best)| worst != best);
            let between = between.map(|(worst, best)| {
                format!(
                    "   {} to {} by the order of ties",
                    percent(worst),
                    percent(best)
                )
            });
            format!(
                "{:width$}  {:>6}{}\n",
                metric.to_string(),
                percent(*value),
                between.unwrap_or_default()
            )
        });
        let counts = measured.counts();
        let queries = counts.images - counts.without_positive;
        let of = match counts.gallery {
            Some(gallery) => format!("{queries} queries against {gallery} images"),
            None => format!("{queries} queries, each against all the others"),
        };
        let left_out = if counts.without_positive > 0 {
            format!(
                "; {} without an image to find left out",
                counts.without_positive
            )
        } else {
            String::new()
        };
        show(&format!(
            "{}{of}{left_out}; values in percent\n",
            lines.collect::<String>()
        ))
    }
}

struct ImageCounts {
    images: u64,
    gallery: Option<u64>,
    without_positive: u64,
}

/// What a table says beside the values.
trait Measurement {
    fn counts(&self) -> ImageCounts;

    /// The values if the right ones of equally similar images come last, and if they come first.
    fn bounds(&self) -> Option<(&Scores, &Scores)>;
}

impl Measurement for Evaluated {
    fn counts(&self) -> ImageCounts {
        ImageCounts {
            images: self.images,
            gallery: self.gallery,
            without_positive: self.without_positive,
        }
    }

    fn bounds(&self) -> Option<(&Scores, &Scores)> {
        (!self.optimistic.is_empty()).then_some((&self.pessimistic, &self.optimistic))
    }
}

impl Measurement for Measured {
    fn counts(&self) -> ImageCounts {
        ImageCounts {
            images: self.images,
            gallery: self.gallery,
            without_positive: self.without_positive,
        }
    }

    fn bounds(&self) -> Option<(&Scores, &Scores)> {
        (!self.optimistic.is_empty()).then_some((&self.pessimistic, &self.optimistic))
    }
}

/// The mean cosine from which on embeddings are said to have collapsed.
const COLLAPSED: f64 = 0.99;

fn remarks(measured: &Measured) -> Vec<String> {
    let mut remarks = Vec::new();
    let searched = measured.gallery.unwrap_or(measured.images);
    remarks.extend(equal_embeddings(measured.duplicates, searched));
    if measured.mean_cosine > COLLAPSED {
        remarks.push(format!(
            "note: the embeddings have collapsed: their mean cosine is {:.4}",
            measured.mean_cosine
        ));
    }
    remarks
}

fn equal_embeddings(duplicates: u64, searched: u64) -> Option<String> {
    let note = || format!("note: {duplicates} of {searched} embeddings exactly equal another");
    (duplicates > 0).then(note)
}

fn files(embeddings: &Path, labels: &Path) -> Result<EmbeddingFiles, Exit> {
    for path in [embeddings, labels] {
        if !path.is_file() {
            return Err(Exit::mistake(format!(
                "there is no file `{}`",
                path.display()
            )));
        }
    }
    Ok(EmbeddingFiles {
        embeddings: absolute(embeddings),
        labels: absolute(labels),
    })
}

/// A run that is there, and its data.
pub(super) struct LocatedRun {
    pub(super) identity: Identity,
    pub(super) run: RunFolder,
    pub(super) data: PathBuf,
}

impl ResultsArgs {
    /// The run of this id, or in this folder.
    pub(super) fn find(&self, run: &str) -> Result<LocatedRun, Exit> {
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
            return Err(Exit::mistake(format!("run `{run}` is not trained yet")));
        }
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
        let found = the_only(run, ledger.runs()?)?;
        Ok(found.map(|id| ledger.run(id)))
    }

    /// Has a trainer do the work, and returns what came of it.
    pub(super) fn attempt<T: Task>(&self, task: T) -> Result<T::Reply, Exit> {
        let trainer = Trainer::find(self.trainer.as_deref())?;
        let threads = self.threads.unwrap_or_else(all_cores);
        let bar = Bar::images("embedding");
        Ok(foreground::attempt(&trainer, task, threads, Some(&bar))?)
    }
}
