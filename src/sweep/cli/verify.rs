//! `sweep verify`: recomputes every number of a report, down to the embeddings.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use report::{Row, RunState, Source};
use schema::{
    Amount, Breakdown, EmbeddedAgain, Evaluated, KeptResult, Metric, Outcome, Recomputed, RunId,
    TrainingEnd, VerifyWork,
};

use super::{
    Exit, Opened, Target, counted,
    evaluate::TrainerArgs,
    progress::Bar,
    report::{Destination, ReportsFolder, folder_of, rows},
    show, tell,
};
use crate::{
    ledger::{Check, Ledger, LedgerError, RunStage, absolute},
    plan::integrity,
};

/// Recompute every number of a table from the stored embeddings
///
/// Reads the records, the scores of each query and the embeddings of all runs, computes the metrics and the tables again,
/// and names whatever differs. It needs the results folder and the tables, neither the data nor the machine. With --embed,
/// networks also embed test images again. The exit code is 1 if anything differs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep verify sweeps/quickstart.toml
  sweep verify sweeps/quickstart.toml --embed 100        with the networks, too
  sweep verify results/sweeps/quickstart.toml --results results --reports reports")]
pub(super) struct Verify {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    folder: ReportsFolder,
    /// Embed this many test images of each run again by its network, or `all`, and compare; needs the prepared data and
    /// the networks
    #[arg(long, value_name = "IMAGES", allow_negative_numbers = true, value_parser = amount)]
    embed: Option<Amount>,
    #[command(flatten)]
    trainer: TrainerArgs,
}

fn amount(text: &str) -> Result<Amount, String> {
    match (text, text.parse()) {
        ("all", _) => Ok(Amount::All),
        (_, Ok(number @ 1..)) => Ok(Amount::AtMost(number)),
        _ => Err("expected a number of images from 1, or `all`".to_owned()),
    }
}

/// The metrics of the same embeddings agree to this: the order of a sum may differ between versions of the program.
const TOLERANCE: f64 = 1e-9;

/// More networks than this that embed nothing are counted rather than named, and so are absent records.
const NAMED: usize = 8;

/// What contradicts results that were computed again.
struct Contradictions {
    findings: Vec<String>,
    /// The images that were embedded again.
    embedded: Option<EmbeddedAgain>,
    /// Why networks embedded nothing again, one sentence each.
    not_embedded: Vec<String>,
}

fn together(one: EmbeddedAgain, other: EmbeddedAgain) -> EmbeddedAgain {
    EmbeddedAgain {
        networks: one.networks + other.networks,
        images: one.images + other.images,
        distance: one.distance.max(other.distance),
    }
}

/// A result that a table shows.
struct Shown {
    evaluated: Evaluated,
    request: KeptResult,
}

impl Verify {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let mut opened = self.target.open_results()?;
        opened.require_ids()?;
        opened.ledger = opened.ledger.anew();
        let rows = rows(&opened.sweep, &opened.plan, &opened.ledger)?;
        integrity::of_results(&opened.plan, &opened.ledger, Check::Contents)?;
        let damage = opened.ledger.damage();
        let mut findings: Vec<String> = damage.iter().map(ToString::to_string).collect();
        findings.extend(contradictions(&opened)?);
        let shown = shown(&rows, &opened);
        if shown.is_empty() {
            return Err(self.nothing(&opened));
        }
        let mut recomputed = self.recomputed(&shown)?;
        findings.append(&mut recomputed.findings);
        let files = match damage.is_empty() {
            true => self.compared(&opened, &rows, &mut findings)?,
            // Without its damaged results, no table would be the same.
            false => Vec::new(),
        };
        recomputed.findings = findings;
        verdict(&shown, &files, &recomputed)
    }

    fn nothing(&self, opened: &Opened) -> Exit {
        Exit::mistake(format!(
            "there is nothing to verify: no run of `{}` has a result in `{}`\n\
             hint: `--results FOLDER` is the folder of results",
            opened.sweep.name,
            opened.ledger.root().display()
        ))
    }

    /// Computes the results again from their embeddings.
    fn recomputed(&self, shown: &[Shown]) -> Result<Contradictions, Exit> {
        let work = VerifyWork {
            results: shown.iter().map(|one| one.request.clone()).collect(),
            embed: self.embed,
        };
        let verified = self.trainer.attempt(work, &Bar::results("verifying"))?;
        let pairs = shown.iter().zip(&verified.results);
        Ok(Contradictions {
            findings: pairs
                .flat_map(|(shown, found)| faults(shown, found))
                .collect(),
            embedded: verified
                .results
                .iter()
                .filter_map(|found| found.embedded)
                .reduce(together),
            not_embedded: verified
                .results
                .into_iter()
                .flat_map(|found| found.not_embedded)
                .collect(),
        })
    }

    /// Compares the tables that are there, in whatever format, with those that the results give. Returns the files that were
    /// compared: none if they have results that are not found, without which no file would be the same.
    fn compared(
        &self,
        opened: &Opened,
        rows: &[Row],
        findings: &mut Vec<String>,
    ) -> Result<Vec<PathBuf>, Exit> {
        let tables =
            Destination::in_every_format(&self.folder).report(&self.target, opened, None)?;
        if !tables.lost().is_empty() {
            findings.extend(at_most(NAMED, absent(rows, opened), "record"));
            findings.extend(
                tables.lost().iter().map(|lost| {
                    format!("the table has results whose records are not there: {lost}")
                }),
            );
            return Ok(Vec::new());
        }
        let compared = tables.compared(&opened.sweep.command)?;
        findings.extend(compared.differences);
        Ok(compared.files)
    }
}

/// Tells what was verified and what differs.
fn verdict(shown: &[Shown], files: &[PathBuf], found: &Contradictions) -> Result<(), Exit> {
    if let Some(EmbeddedAgain {
        networks,
        images,
        distance,
    }) = found.embedded
    {
        let distance = match distance {
            0.0 => "equal to the kept embeddings".to_owned(),
            _ => format!("at most {distance:.1e} from the kept embeddings, of length 1 both"),
        };
        tell(&format!(
            "embedded again: {} by {}, {distance}",
            counted(images as usize, "image"),
            counted(networks as usize, "network"),
        ));
    }
    let results = counted(shown.len(), "result");
    let values: usize = shown.iter().map(|one| one.evaluated.scores.len()).sum();
    let values = counted(values, "value");
    let files: Vec<String> = files
        .iter()
        .map(|file| format!("`{}`", file.display()))
        .collect();
    match &found.findings[..] {
        [] if files.is_empty() => Err(Exit::mistake(format!(
            "{results} with {values} are as their embeddings give them, but no table is there to compare\n\
             hint: `--reports FOLDER` is the folder that has the sweep's folder of tables in it"
        ))),
        [] => {
            show(&format!(
                "verified: {results} with {values}, and {}\n",
                files.join(", ")
            ))?;
            all_embedded(&found.not_embedded)
        }
        findings => {
            findings.iter().for_each(|finding| tell(finding));
            Err(Exit::mistake(format!(
                "{} found in {results} with {values}",
                counted(findings.len(), "contradiction")
            )))
        }
    }
}

/// Refuses to have verified networks that embedded nothing.
fn all_embedded(not_embedded: &[String]) -> Result<(), Exit> {
    if not_embedded.is_empty() {
        return Ok(());
    }
    at_most(NAMED, not_embedded.to_vec(), "network")
        .iter()
        .for_each(|why| tell(why));
    Err(Exit::mistake(format!(
        "{} embedded nothing again\n\
         hint: without --embed, neither networks nor prepared data are needed",
        counted(not_embedded.len(), "network")
    )))
}

/// Returns the first of some sentences, and the number of the others.
fn at_most(most: usize, mut all: Vec<String>, noun: &str) -> Vec<String> {
    let others = all.len().saturating_sub(most);
    all.truncate(most);
    if others > 0 {
        all.push(format!(
            "and {}",
            counted(others, &format!("further {noun}"))
        ));
    }
    all
}

/// Returns the records that are not there, a sentence each.
fn absent(rows: &[Row], opened: &Opened) -> Vec<String> {
    let missing = rows
        .iter()
        .filter(|row| matches!(row.state, RunState::Missing));
    let sources: BTreeSet<Source> = missing.map(Row::source).collect();
    let records = sources
        .into_iter()
        .map(|source| folder_of(source, &opened.ledger).record());
    records
        .map(|record| format!("`{}` is not there", record.display()))
        .collect()
}

/// Returns the results of the rows, each once.
fn shown(rows: &[Row], opened: &Opened) -> Vec<Shown> {
    let mut known: BTreeSet<Source> = BTreeSet::new();
    let mut shown: Vec<Shown> = Vec::new();
    for row in rows {
        let RunState::Finished(evaluated) = &row.state else {
            continue;
        };
        let source = row.source();
        if known.insert(source) {
            shown.push(Shown {
                evaluated: evaluated.clone(),
                request: request(source, evaluated, opened),
            });
        }
    }
    shown
}

/// Returns the request to compute a result again.
fn request(source: Source, evaluated: &Evaluated, opened: &Opened) -> KeptResult {
    let Opened { plan, ledger, .. } = opened;
    let runs: Vec<RunId> = match source {
        Source::Run(run) => vec![run],
        Source::Ensemble(ensemble) => plan.ensembles[&ensemble].runs.clone(),
    };
    let recipe = |run: RunId| plan.runs[&run].recipe();
    KeptResult {
        members: runs
            .iter()
            .map(|&run| (recipe(run), absolute(ledger.run(run).path())))
            .collect(),
        data: absolute(&ledger.data(plan.runs[&runs[0]].data)),
        folder: absolute(folder_of(source, ledger).path()),
        metrics: evaluated.scores.keys().copied().collect(),
    }
}

/// Returns how a result differs from what its embeddings give.
fn faults(shown: &Shown, found: &Recomputed) -> Vec<String> {
    let mut faults = found.faults.clone();
    let Some(recomputed) = &found.evaluated else {
        return faults;
    };
    let record = shown.request.folder.join("record.json");
    let record = record.display();
    let differences = different_scores(&shown.evaluated, recomputed);
    faults.extend(differences.iter().map(|(metric, stated, computed)| {
        format!("`{record}`: {metric} is {stated}, but the embeddings give {computed}")
    }));
    if counts(&shown.evaluated) != counts(recomputed) {
        faults.push(format!(
            "`{record}`: its numbers of classes, images and equal embeddings are {:?}, but the embeddings give {:?}",
            counts(&shown.evaluated),
            counts(recomputed)
        ));
    }
    faults
}

/// Returns the values that differ: as stated, and as computed again.
fn different_scores(stated: &Evaluated, computed: &Evaluated) -> Vec<(Metric, f64, f64)> {
    let bounds = [
        (&stated.scores, &computed.scores),
        (&stated.pessimistic, &computed.pessimistic),
        (&stated.optimistic, &computed.optimistic),
    ];
    let of_heads = stated.heads.iter().zip(&computed.heads);
    let mut different = Vec::new();
    for (stated, computed) in bounds.into_iter().chain(of_heads) {
        for (&metric, &value) in stated {
            let computed = computed.get(&metric).copied().unwrap_or(f64::NAN);
            let is_equal = (value - computed).abs() <= TOLERANCE;
            if !is_equal {
                different.push((metric, value, computed));
            }
        }
    }
    different
}

fn counts(evaluated: &Evaluated) -> [u64; 7] {
    [
        evaluated.classes,
        evaluated.images,
        evaluated.gallery.unwrap_or(0),
        evaluated.without_positive,
        evaluated.duplicates,
        evaluated.cameras,
        evaluated.draws,
    ]
}

/// Returns the runs whose record contradicts the end of their training.
fn contradictions(opened: &Opened) -> Result<Vec<String>, LedgerError> {
    let Opened { plan, ledger, .. } = opened;
    let mut found = Vec::new();
    for member in &plan.members {
        let (Some(stated), Some(trained)) =
            (outcome(member.run, ledger)?, ledger.trained(member.run)?)
        else {
            continue;
        };
        let broken = match trained.end {
            TrainingEnd::Broken(how) => Some(how),
            TrainingEnd::Completed | TrainingEnd::OutOfPatience => None,
        };
        if stated != broken {
            found.push(format!(
                "`{}`: the training {}, but the record says that it {}",
                ledger.run(member.run).record().display(),
                in_words(broken),
                in_words(stated)
            ));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Returns how the training of a run broke down according to its record; the outer `None` if there is no record.
fn outcome(run: RunId, ledger: &Ledger) -> Result<Option<Option<Breakdown>>, LedgerError> {
    Ok(match ledger.state(run)? {
        RunStage::Recorded(record) => match record.outcome {
            Outcome::Finished(_) => Some(None),
            Outcome::Broken { how, .. } => Some(Some(how)),
        },
        RunStage::New | RunStage::Interrupted | RunStage::Trained(_) => None,
    })
}

fn in_words(broken: Option<Breakdown>) -> &'static str {
    broken.map_or("succeeded", Breakdown::word)
}
