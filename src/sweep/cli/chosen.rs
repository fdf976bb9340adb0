//! The run of a method that a command means by `best:METHOD`.
//!
//! It is chosen by validation scores, never by test classes: whoever takes the network that is best on test classes has no
//! honest score of it any more.

use std::{cmp::Reverse, collections::BTreeSet};

use schema::{Metric, RunId};

use super::{Exit, Opened, tell};
use crate::{
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
    let members: Vec<&Member> = opened.plan.members.iter().collect();
    let of_method: Vec<&Member> = members
        .iter()
        .copied()
        .filter(|member| member.method == method)
        .collect();
    if of_method.is_empty() {
        let mut known: Vec<String> = members
            .iter()
            .map(|member| format!("`{}`", member.method))
            .collect();
        known.dedup();
        return Err(Exit::mistake(format!(
            "there is no method `{method}`; the sweep has {}",
            known.join(", ")
        )));
    }
    let mut trained = Vec::new();
    for member in of_method {
        if opened.ledger.has_model(member.run, Check::Sizes)? {
            trained.push(member);
        }
    }
    let Some(&first) = trained
        .iter()
        .min_by_key(|member| (member.seed, member.fold))
    else {
        return Err(Exit::mistake(format!(
            "no run of `{method}` is trained yet"
        )));
    };
    let datasets: BTreeSet<String> = trained
        .iter()
        .map(|member| member.dataset.title().to_owned())
        .collect();
    if datasets.len() > 1 {
        let datasets: Vec<String> = datasets.into_iter().collect();
        return Err(ambiguous(
            method,
            &format!("it was trained on {}", datasets.join(" and ")),
        ));
    }
    let mut scored = Vec::new();
    for &member in &trained {
        if let Some((metric, score)) = validation(member.run, opened)? {
            scored.push((member, metric, score));
        }
    }
    let highest = scored.iter().max_by(|a, b| {
        a.2.total_cmp(&b.2)
            .then(Reverse(a.0.seed).cmp(&Reverse(b.0.seed)))
    });
    if let Some((member, metric, score)) = highest {
        tell(&format!(
            "{BEST}{method} is run {}, {}, with validation {} {:.2}",
            member.run,
            repetition(member),
            metric.heading(),
            100.0 * score
        ));
        return Ok(member.run);
    }
    let rows: BTreeSet<RowId> = trained.iter().map(|member| member.row()).collect();
    if rows.len() > 1 {
        return Err(ambiguous(
            method,
            "it has several rows, and none was validated",
        ));
    }
    tell(&format!(
        "{BEST}{method} is run {}, {}: nothing was validated, so the first seed is taken",
        first.run,
        repetition(first)
    ));
    Ok(first.run)
}

fn ambiguous(method: &str, why: &str) -> Exit {
    Exit::mistake(format!(
        "`{BEST}{method}` is not clear: {why}\nhint: `sweep cell FILE METHOD METRIC` lists the runs; name one of them"
    ))
}

/// Returns the validation score that the weights of a run were chosen by.
fn validation(run: RunId, opened: &Opened) -> Result<Option<(Metric, f64)>, LedgerError> {
    let recipe = &opened.plan.runs[&run].identity.recipe;
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
        None => format!("seed {}", member.seed),
    }
}
