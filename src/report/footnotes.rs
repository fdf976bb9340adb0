//! What is said about runs that are not finished: those that went wrong in a footnote to their cells, those that are
//! still to come in one sentence.

use schema::Metric;

use crate::{
    Row, RunState,
    gather::{Runs, measured},
    table::Value,
};

/// More runs to come than this are counted and not named.
const NAMED: usize = 6;

/// Why a cell without any value has none: the worst that happened to any of its runs.
pub(crate) fn reason(rows: &[&Row]) -> Value {
    let broken = rows.iter().filter_map(|row| match row.state {
        RunState::Broken { how, .. } => Some(how),
        RunState::Finished(_) | RunState::Failed { .. } | RunState::Missing => None,
    });
    match broken.min() {
        Some(how) => Value::Broken(how),
        None if rows
            .iter()
            .any(|row| matches!(row.state, RunState::Failed { .. })) =>
        {
            Value::Failed
        }
        None => Value::Missing,
    }
}

/// What went wrong with the runs of a line, if anything did.
pub(crate) fn of(runs: &Runs<'_>, axes: &[String]) -> Option<String> {
    let wrong = |row: &&Row| {
        Some(format!(
            "{} {}",
            repetition(row),
            what_went_wrong(row, &runs.metrics)?
        ))
    };
    let wrong: Vec<String> = runs.rows.iter().filter_map(wrong).collect();
    (!wrong.is_empty()).then(|| {
        format!(
            "{}, {}: {}.",
            runs.block(),
            runs.name(axes),
            wrong.join("; ")
        )
    })
}

fn what_went_wrong(row: &Row, metrics: &[Metric]) -> Option<String> {
    match &row.state {
        RunState::Finished(_) => {
            let absent = metrics
                .iter()
                .filter(|&&metric| measured(row, metric).is_none());
            let absent: Vec<String> = absent.map(|metric| format!("`{metric}`")).collect();
            (!absent.is_empty()).then(|| format!("finished without {}", absent.join(", ")))
        }
        RunState::Broken { how, step } => {
            Some(format!("{} ({} at step {step})", how.word(), how.reason()))
        }
        RunState::Failed { class: _, message } => Some(format!(
            "failed ({})",
            message
                .trim()
                .trim_end_matches('.')
                .replace(['\n', '\r'], " ")
        )),
        RunState::Missing => None,
    }
}

/// `seed 2, fold 1 of 4`.
fn repetition(row: &Row) -> String {
    let fold = row
        .fold
        .map(|fold| format!(", fold {} of {}", u64::from(fold.index) + 1, fold.of));
    format!("seed {}{}", row.seed, fold.unwrap_or_default())
}

/// Which runs are not there yet.
pub(crate) fn to_come(lines: &[Runs<'_>], axes: &[String]) -> Option<String> {
    let mut named = Vec::new();
    let mut all = 0;
    for runs in lines {
        let missing: Vec<String> = runs
            .rows
            .iter()
            .filter(|row| matches!(row.state, RunState::Missing))
            .map(|row| repetition(row))
            .collect();
        all += missing.len();
        if !missing.is_empty() {
            named.push(format!(
                "{}, {} ({})",
                runs.block(),
                runs.name(axes),
                missing.join("; ")
            ));
        }
    }
    match all {
        0 => None,
        1..=NAMED => Some(format!("Not run yet: {}.", named.join("; "))),
        _ => Some(format!(
            "Not run yet: {all} results of {} rows.",
            named.len()
        )),
    }
}
