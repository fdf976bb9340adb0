//! Notes on runs that did not finish: failures in a footnote to their cells, runs that have not
//! finished yet in one sentence.

use schema::Metric;

use crate::{Row, RunState, gather::RowRuns, measured::MeasuredRows, model::Value, text::one_line};

/// More unfinished runs than this are counted rather than named.
const NAMED: usize = 6;

/// What failed in one line.
pub(crate) struct Footnote {
    /// The position of the line.
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// Why a cell has no value: the worst outcome of its runs.
pub(crate) fn reason(runs: &[&Row]) -> Value {
    let broken = runs.iter().filter_map(|row| match row.state {
        RunState::Broken { how, .. } => Some(how),
        RunState::Finished(_) | RunState::Failed { .. } | RunState::Missing => None,
    });
    if let Some(how) = broken.min() {
        return Value::Broken(how);
    }
    let has_failed = runs
        .iter()
        .any(|row| matches!(row.state, RunState::Failed { .. }));
    if has_failed {
        Value::Failed
    } else {
        Value::Missing
    }
}

/// A footnote for each line with failures.
pub(crate) fn failures(measured: &MeasuredRows<'_>) -> Vec<Footnote> {
    let mut footnotes = Vec::new();
    for (line, runs) in measured.lines.iter().enumerate() {
        let failures = failures_of(runs);
        if !failures.is_empty() {
            let text = format!("{}: {}.", place(measured, line), failures.join("; "));
            footnotes.push(Footnote { line, text });
        }
    }
    footnotes
}

/// `Omniglot, Triplet (embedding 64)`.
fn place(measured: &MeasuredRows<'_>, line: usize) -> String {
    let panel = measured.names.panel(measured.lines[line].panel);
    format!("{panel}, {}", measured.name(line))
}

fn failures_of(runs: &RowRuns<'_>) -> Vec<String> {
    let mut failures = Vec::new();
    for row in &runs.runs {
        if let Some(failure) = failure(row, &runs.metrics) {
            failures.push(format!("{} {failure}", repetition(row)));
        }
    }
    failures
}

fn failure(row: &Row, metrics: &[Metric]) -> Option<String> {
    match &row.state {
        RunState::Finished(_) => {
            let absent = metrics
                .iter()
                .filter(|metric| row.measured(**metric).is_none());
            let absent: Vec<String> = absent.map(|metric| format!("`{metric}`")).collect();
            (!absent.is_empty()).then(|| format!("finished without {}", absent.join(", ")))
        }
        RunState::Broken { how, step } => {
            Some(format!("{} ({} at step {step})", how.word(), how.reason()))
        }
        RunState::Failed { class: _, message } => {
            let message = message.trim().trim_end_matches('.');
            Some(format!("failed ({})", one_line(message)))
        }
        RunState::Missing => None,
    }
}

/// `seed 2, fold 1 of 4`, `search 1, seed 2`.
fn repetition(row: &Row) -> String {
    let search = row.repeat.map(|number| format!("search {}, ", number + 1));
    let fold = row
        .fold
        .map(|fold| format!(", fold {} of {}", u64::from(fold.index) + 1, fold.of));
    format!(
        "{}seed {}{}",
        search.unwrap_or_default(),
        row.seed,
        fold.unwrap_or_default()
    )
}

/// Names or counts the runs that have not finished.
pub(crate) fn to_come(measured: &MeasuredRows<'_>) -> Option<String> {
    let mut named = Vec::new();
    let mut all = 0;
    for (line, runs) in measured.lines.iter().enumerate() {
        let missing: Vec<String> = runs
            .runs
            .iter()
            .filter(|row| matches!(row.state, RunState::Missing))
            .map(|row| repetition(row))
            .collect();
        all += missing.len();
        if !missing.is_empty() {
            let place = place(measured, line);
            named.push(format!("{place} ({})", missing.join("; ")));
        }
    }
    match all {
        0 => None,
        1..=NAMED => Some(format!("Not run yet: {}.", named.join("; "))),
        _ => Some(format!("Not run yet: {all} runs of {} rows.", named.len())),
    }
}
