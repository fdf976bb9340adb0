//! The run of a method that a command means by `best:METHOD`.
//!
//! It is chosen by validation scores, never by test classes: whoever takes the network that is best on test classes has no
//! honest score of it any more.

use std::collections::BTreeSet;

use schema::{Metric, RunId};

use super::{Exit, Opened, tell};
use crate::{
    config::nearest,
    ledger::{Check, LedgerError},
    plan::{Member, RowId},
};

/// The prefix of a method in the place of a run.
pub(super) const BEST: &str = "best:";

/// Returns the run of a method with the best validation score; where nothing was validated, the run of the first seed.
///
/// # Errors
/// There is no such method, none of its runs has a network, or nothing decides between its rows.
pub(super) fn best(method: &str, opened: &Opened) -> Result<RunId, Exit> {
    let trained = trained(method, opened)?;
    check_data(method, &trained, opened)?;
    if let Some(best) = best_validated(&trained, opened)? {
        tell(&format!(
            "{BEST}{method} is run {}, {}, with validation {} {:.2}",
            best.member.run,
            repetition(best.member),
            best.metric.heading(),
            100.0 * best.score
        ));
        return Ok(best.member.run);
    }
    let first = only_row(method, &trained)?;
    tell(&format!(
        "{BEST}{method} is run {}, {}: nothing was validated, so the first seed is taken",
        first.run,
        repetition(first)
    ));
    Ok(first.run)
}

/// Returns the members of a method that have a network, at least one, in the order of seeds and folds.
fn trained<'p>(method: &str, opened: &'p Opened) -> Result<Vec<&'p Member>, Exit> {
    let members = &opened.plan.members;
    if members.iter().all(|member| member.method != method) {
        return Err(no_method(method, opened));
    }
    let mut trained = Vec::new();
    for member in members.iter().filter(|member| member.method == method) {
        if opened.ledger.has_model(member.run, Check::Sizes)? {
            trained.push(member);
        }
    }
    if trained.is_empty() {
        let message = format!("no run of `{method}` is trained yet");
        return Err(Exit::mistake(message));
    }
    trained.sort_by_key(|member| (member.seed, member.fold));
    Ok(trained)
}

/// Refuses a method that the sweep does not have.
pub(super) fn no_method(method: &str, opened: &Opened) -> Exit {
    let mut known: Vec<&str> = Vec::new();
    for member in &opened.plan.members {
        if !known.contains(&member.method.as_str()) {
            known.push(&member.method);
        }
    }
    let hint = nearest(method, known.iter().copied());
    let hint = hint.map_or_else(String::new, |near| {
        format!("\nhint: did you mean `{near}`?")
    });
    Exit::mistake(format!(
        "there is no method `{method}`; the sweep has `{}`{hint}",
        known.join("`, `")
    ))
}

/// Refuses a method that was trained on several data sets, whose scores cannot be compared.
fn check_data(method: &str, trained: &[&Member], opened: &Opened) -> Result<(), Exit> {
    let mut of_datasets: Vec<&Member> = Vec::new();
    for member in trained {
        if of_datasets.iter().all(|one| one.dataset != member.dataset) {
            of_datasets.push(member);
        }
    }
    if of_datasets.len() < 2 {
        return Ok(());
    }
    let titles: Vec<&str> = of_datasets
        .iter()
        .map(|member| opened.plan.title_of(member))
        .collect();
    let why = format!("it was trained on {}", titles.join(" and "));
    Err(ambiguous(method, &why))
}

/// A member and its validation score.
struct Validated<'p> {
    member: &'p Member,
    metric: Metric,
    score: f64,
}

/// Returns the member with the highest validation score, the first one on a tie; nothing if none was validated.
fn best_validated<'p>(
    trained: &[&'p Member],
    opened: &Opened,
) -> Result<Option<Validated<'p>>, LedgerError> {
    let mut best: Option<Validated<'p>> = None;
    for &member in trained {
        let Some((metric, score)) = validation(member.run, opened)? else {
            continue;
        };
        if best.as_ref().is_none_or(|best| score > best.score) {
            best = Some(Validated {
                member,
                metric,
                score,
            });
        }
    }
    Ok(best)
}

/// Returns the first of the members, if all are of one row of the table.
fn only_row<'p>(method: &str, trained: &[&'p Member]) -> Result<&'p Member, Exit> {
    let rows: BTreeSet<RowId> = trained.iter().map(|member| member.row()).collect();
    match trained.first() {
        Some(first) if rows.len() == 1 => Ok(first),
        _ => Err(ambiguous(
            method,
            "it has several rows, and none was validated",
        )),
    }
}

fn ambiguous(method: &str, why: &str) -> Exit {
    Exit::mistake(format!(
        "`{BEST}{method}` is not clear: {why}\nhint: `sweep cell FILE METHOD METRIC` lists the runs; name one of them"
    ))
}

/// Returns the validation score that the weights of a run were chosen by.
fn validation(run: RunId, opened: &Opened) -> Result<Option<(Metric, f64)>, LedgerError> {
    let recipe = &opened.plan.runs[&run].unseeded.recipe;
    let trained = opened.ledger.trained(run)?;
    let scores = trained.and_then(|trained| trained.validation);
    Ok(recipe.training.as_ref().and_then(|training| {
        let score = *scores.as_ref()?.get(&training.select)?;
        Some((training.select, score))
    }))
}

fn repetition(member: &Member) -> String {
    match member.fold {
        Some(fold) => format!("seed {}, fold {}", member.seed, fold.index),
        None => match member.map {
            Some(map) => format!("seed {}, label map {}", member.seed, map + 1),
            None => format!("seed {}", member.seed),
        },
    }
}
