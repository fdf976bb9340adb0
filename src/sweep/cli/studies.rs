//! The results of searches, for captions and `search.csv`.

use std::collections::BTreeMap;

use report::{Setting, csv_field};
use schema::StudyId;
use serde::Serialize;
use serde_json::Value;

use super::{Exit, Opened, counted};
use crate::{
    plan::{Member, Plan, Study, StudyState, Trial},
    search::{BoundSide, Importance, Prune, TrialOutcome, TrialPoint, number_of_best},
};

/// How values were searched, what was selected for each row, and warnings about it.
pub(super) fn facts(opened: &Opened) -> Vec<String> {
    let (sweep, studies) = (&opened.sweep, &opened.plan.studies);
    let Some(first) = studies.first() else {
        return Vec::new();
    };
    let settings = first.search().settings();
    let select = sweep.points[first.point].training.selecting();
    let how = format!(
        "Searched: {} over {} per search, each on {} folds{}, by mean validation {}; trials have a seed of their own{}.",
        settings.strategy.name(),
        counted(settings.trials, "trial"),
        sweep.folds.len(),
        settings.prune.map_or("", Prune::in_words),
        select.heading(),
        repeated(settings.repeats),
    );
    let mut facts = vec![how];
    for study in studies {
        facts.push(format!("{}.", outcome(study, &opened.plan)));
        facts.extend(importance(study, opened));
        facts.extend(warnings(study, opened));
    }
    facts
}

/// `; each search is done 3 times, ..`; empty for a single time.
fn repeated(repeats: usize) -> String {
    match repeats {
        1 => String::new(),
        _ => format!(
            "; each search is done {repeats} times: with all its seeds, it is one repetition in intervals and tests"
        ),
    }
}

/// `Triplet on Omniglot: loss.triplet.margin 0.1; trial 3 of 4, validation 45.21 ± 1.30 (standard error); 1 trial failed`
pub(super) fn outcome(study: &Study, plan: &Plan) -> String {
    let name = plan.name_of_study(study);
    let is_pruned = |outcome| matches!(outcome, TrialOutcome::Pruned { .. });
    let pruned = ended_as(study, "pruned", is_pruned);
    let failed = ended_as(study, "failed", |outcome| outcome == TrialOutcome::Failed);
    let Some(trial) = study.selected() else {
        let ended = study
            .trials
            .iter()
            .filter(|trial| trial.outcome != TrialOutcome::Pending)
            .count();
        return match study.state {
            StudyState::Hopeless => format!(
                "{name}: nothing is selected, all {} trials failed",
                study.budget
            ),
            StudyState::Open | StudyState::Selected(_) => {
                format!(
                    "{name}: nothing is selected yet, {ended} of {} have ended{pruned}{failed}",
                    counted(study.budget, "trial")
                )
            }
        };
    };
    let values: Vec<String> = trial
        .point
        .iter()
        .map(|(name, value)| format!("{name} {}", short(value)))
        .collect();
    let number = study.number_of_selected().map_or(0, |number| number + 1);
    let score = match trial.outcome {
        TrialOutcome::Finished {
            mean,
            sem: Some(sem),
        } => {
            format!("{:.2} ± {:.2} (standard error)", 100.0 * mean, 100.0 * sem)
        }
        TrialOutcome::Finished { mean, sem: None } => format!("{:.2}", 100.0 * mean),
        TrialOutcome::Pruned { .. } | TrialOutcome::Failed | TrialOutcome::Pending => String::new(),
    };
    format!(
        "{name}: {}; trial {number} of {}, validation {score}{pruned}{failed}",
        values.join(", "),
        study.budget
    )
}

/// `; 3 trials failed`; empty if there are none.
fn ended_as(study: &Study, how: &str, is: impl Fn(TrialOutcome) -> bool) -> String {
    match study
        .trials
        .iter()
        .filter(|trial| is(trial.outcome))
        .count()
    {
        0 => String::new(),
        count => format!("; {} {how}", counted(count, "trial")),
    }
}

/// `Triplet on Omniglot: importance for being among the best 5 of 50 trials (PED-ANOVA): margin 83 %, lr 17 %.`
fn importance(study: &Study, opened: &Opened) -> Option<String> {
    let importances = study.importance()?;
    let trials = study.finished().len();
    let shares: Vec<String> = importances
        .iter()
        .map(|importance| format!("{} {:.0} %", importance.name, 100.0 * importance.share))
        .collect();
    Some(format!(
        "{}: importance for being among the best {} of {trials} trials (PED-ANOVA): {}.",
        opened.plan.name_of_study(study),
        number_of_best(trials),
        shares.join(", ")
    ))
}

fn warnings(study: &Study, opened: &Opened) -> Vec<String> {
    let warning = |at: crate::search::AtBound| {
        let side = match at.side {
            BoundSide::Lower => "lower",
            BoundSide::Upper => "upper",
        };
        format!(
            "Warning: {}: {} {} is at the {side} bound {}; a wider range may contain better values.",
            opened.plan.name_of_study(study),
            at.name,
            short(&at.value),
            short(&at.bound)
        )
    };
    study.at_bounds().into_iter().map(warning).collect()
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The columns of `search.csv`.
const CSV_COLUMNS: [&str; 14] = [
    "dataset",
    "method",
    "settings",
    "search",
    "trial",
    "outcome",
    "mean",
    "sem",
    "folds",
    "selected",
    "key",
    "value",
    "best_so_far",
    "importance",
];

/// All trials of all searches: a line for each trial and searched value.
///
/// # Errors
/// The text cannot be written.
pub(super) fn csv(opened: &Opened) -> Result<String, Exit> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(CSV_COLUMNS).map_err(Exit::stuck)?;
    for study in &opened.plan.studies {
        for record in csv_records(opened, study) {
            writer.write_record(record).map_err(Exit::stuck)?;
        }
    }
    let bytes = writer.into_inner().map_err(Exit::stuck)?;
    String::from_utf8(bytes).map_err(Exit::stuck)
}

/// The lines of one search.
fn csv_records(opened: &Opened, study: &Study) -> Vec<[String; CSV_COLUMNS.len()]> {
    let member = &opened.plan.members[study.members.start];
    let importances = study.importance().unwrap_or_default();
    let mut best: Option<f64> = None;
    let mut records = Vec::new();
    for (number, trial) in study.trials.iter().enumerate() {
        let (outcome, mean, sem) = csv_outcome(trial);
        best = best.into_iter().chain(mean).reduce(f64::max);
        let folds: Vec<String> = trial.folds.iter().map(|fold| or_nothing(*fold)).collect();
        for (key, value) in &trial.point {
            records.push([
                csv_field(opened.plan.title_of(member)),
                csv_field(&member.method),
                csv_field(&settings(member)),
                (study.repeat.unwrap_or(0) + 1).to_string(),
                (number + 1).to_string(),
                outcome.to_owned(),
                or_nothing(mean),
                or_nothing(sem),
                folds.join(" "),
                (study.state == StudyState::Selected(number)).to_string(),
                csv_field(key),
                csv_field(&short(value)),
                or_nothing(best),
                or_nothing(importance_of(key, &importances)),
            ]);
        }
    }
    records
}

/// How a trial ended, its mean over the folds and the standard error of that.
fn csv_outcome(trial: &Trial) -> (&'static str, Option<f64>, Option<f64>) {
    match trial.outcome {
        TrialOutcome::Finished { mean, sem } => ("finished", Some(mean), sem),
        TrialOutcome::Pruned { .. } => ("pruned", None, None),
        TrialOutcome::Pending => ("pending", None, None),
        TrialOutcome::Failed => {
            let word = trial.broken.map_or("failed", schema::Breakdown::word);
            (word, None, None)
        }
    }
}

fn or_nothing(number: Option<f64>) -> String {
    number.map_or(String::new(), |number| number.to_string())
}

fn importance_of(key: &str, importances: &[Importance]) -> Option<f64> {
    let of_key = importances.iter().find(|importance| importance.name == key);
    of_key.map(|importance| importance.share)
}

fn settings(member: &Member) -> String {
    let settings: Vec<String> = member.settings.iter().map(Setting::to_string).collect();
    settings.join(", ")
}

/// The number of searches that wait for trials although nothing is left to run.
pub(super) fn waiting_in_vain(opened: &Opened) -> usize {
    let studies = opened.plan.studies.iter();
    studies
        .filter(|study| study.state == StudyState::Open)
        .count()
}

/// `1 search`, `2 searches`.
pub(super) fn counted_searches(count: usize) -> String {
    match count {
        1 => "1 search".to_owned(),
        _ => format!("{count} searches"),
    }
}

/// The number of searches in each state, for `sweep status`.
pub(super) fn states(opened: &Opened) -> Vec<String> {
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    for study in &opened.plan.studies {
        let word = match study.state {
            StudyState::Open => "open",
            StudyState::Selected(_) => "done",
            StudyState::Hopeless => "failed in all trials",
        };
        *open.entry(word).or_default() += 1;
    }
    if open.is_empty() {
        return Vec::new();
    }
    let counts: Vec<String> = open
        .into_iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    let searches = counted_searches(opened.plan.studies.len());
    vec![format!("  {searches}: {}", counts.join(", "))]
}

/// The progress of one search.
#[derive(Serialize)]
pub(super) struct Progress {
    name: String,
    is_open: bool,
    /// Trials that have ended.
    ended: usize,
    /// The number of trials.
    budget: usize,
    best: Option<Best>,
}

/// The best trial so far.
#[derive(Serialize)]
struct Best {
    /// Its number, from 1.
    trial: usize,
    /// Its mean validation score, from 0 to 1.
    score: f64,
    point: TrialPoint,
}

impl Progress {
    fn of(study: &Study, plan: &Plan) -> Progress {
        let ended = |trial: &&Trial| trial.outcome != TrialOutcome::Pending;
        let scored = study
            .trials
            .iter()
            .enumerate()
            .filter_map(|(number, trial)| {
                let TrialOutcome::Finished { mean, .. } = trial.outcome else {
                    return None;
                };
                Some(Best {
                    trial: number + 1,
                    score: mean,
                    point: trial.point.clone(),
                })
            });
        Progress {
            name: plan.name_of_study(study),
            is_open: study.state == StudyState::Open,
            ended: study.trials.iter().filter(ended).count(),
            budget: study.budget,
            best: scored.max_by(|one, other| one.score.total_cmp(&other.score)),
        }
    }

    /// Returns a line about a search that goes on.
    pub(super) fn line(&self) -> Option<String> {
        if !self.is_open {
            return None;
        }
        let trials = format!("{} of {} ended", self.ended, counted(self.budget, "trial"));
        let best = self.best.as_ref().map(|best| {
            let values: Vec<String> = best
                .point
                .iter()
                .map(|(name, value)| format!("{name} {}", short(value)))
                .collect();
            format!(
                "; best so far {:.2}, {}",
                100.0 * best.score,
                values.join(", ")
            )
        });
        Some(format!(
            "  search    {}: {trials}{}",
            self.name,
            best.unwrap_or_default()
        ))
    }
}

/// Returns the progress of each search.
pub(super) fn progress(opened: &Opened) -> Vec<Progress> {
    let studies = opened.plan.studies.iter();
    studies
        .map(|study| Progress::of(study, &opened.plan))
        .collect()
}

/// The state of a study, shown for the members that wait for it.
pub(super) fn waiting(opened: &Opened, id: StudyId) -> String {
    let Some(study) = opened.plan.studies.iter().find(|study| study.id == id) else {
        return "done".to_owned();
    };
    let pending = study
        .trials
        .iter()
        .filter(|trial| trial.outcome == TrialOutcome::Pending);
    let ended = study.trials.len() - pending.count();
    match study.state {
        StudyState::Hopeless => "never: all trials of its search failed".to_owned(),
        StudyState::Open | StudyState::Selected(_) => {
            format!("after its search: {ended} of {} trials", study.budget)
        }
    }
}
