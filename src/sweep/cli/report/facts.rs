//! What a reader has to know to trust the numbers of a table, or not to.

use std::collections::BTreeSet;

use report::{Row, RunState};
use schema::{Cut, Dataset, Labels};
use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::check::arithmetic,
    config::{Method, Point, Sweep, as_written},
    ledger::fingerprint::registration,
};

/// What all trained methods have in common, searched values as their ranges.
fn conditions(point: &Point) -> String {
    let searched = point
        .methods
        .iter()
        .find(|method| method.search.is_some())
        .or(point.methods.first());
    let training = searched.map_or(Value::Null, |method| as_written(method, &point.training).1);
    let width = point.model.embedding.map_or_else(
        || "no embedding layer".to_owned(),
        |width| format!("{width}-d"),
    );
    let [sampler, optimizer] = ["sampler", "optimizer"].map(|key| in_words(&training[key]));
    let of_losses = Some(&training["loss_optimizer"]).filter(|optimizer| !optimizer.is_null());
    let of_losses = of_losses.map_or(String::new(), |optimizer| {
        format!("; parameters of losses: {}", in_words(optimizer))
    });
    let (backbone, steps) = (in_words(&point.model.backbone), &training["steps"]);
    format!("Trained: {backbone}, {width}; {steps} steps; {sampler}; {optimizer}{of_losses}.")
}

/// What sets a method apart from the others beside its loss.
fn exception(method: &Method, point: &Point) -> Option<String> {
    let written = as_written(method, &point.training).0;
    let part = |key: &str, what: &str| {
        let part = Some(&written[key]).filter(|part| !part.is_null());
        part.map(|part| format!("{what}{}", in_words(part)))
    };
    let own: Vec<String> = [
        part("sampler", ""),
        part("loss_optimizer", "its parameters: "),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!own.is_empty()).then(|| format!("{} differs: {}.", method.table.name, own.join("; ")))
}

/// A setting as the file has it, without its punctuation: `adam (lr 0.001, weight_decay 0)`.
fn in_words(setting: &impl Serialize) -> String {
    match serde_json::to_value(setting) {
        Ok(Value::String(name)) => name,
        Ok(Value::Object(variant)) => {
            let variants = variant.iter().map(|(name, fields)| {
                let fields: Vec<String> = fields
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(key, value)| format!("{key} {value}"))
                    .collect();
                format!("{name} ({})", fields.join(", "))
            });
            variants.collect::<Vec<_>>().join(", ")
        }
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

/// What a reader has to know to trust the numbers, or not to.
pub(super) fn facts(sweep: &Sweep, rows: &[Row]) -> Vec<String> {
    let mut lines = vec![format!("{}.", arithmetic(sweep))];
    for point in &sweep.points {
        let measured = rows.iter().find_map(|row| match &row.state {
            RunState::Finished(evaluated) if row.dataset == point.dataset.title() => {
                Some(evaluated)
            }
            _ => None,
        });
        if let Some(measured) = measured {
            let (images, side) = (measured.images, point.transform.test_side(&point.images));
            let searched = match measured.gallery {
                Some(gallery) => {
                    format!("{images} queries against {gallery} images, all at {side} px")
                }
                None => {
                    format!("{images} images at {side} px, each a query against all the others")
                }
            };
            let (title, classes) = (point.dataset.title(), measured.classes);
            lines.push(format!(
                "{title}: measured on {classes} classes never trained on, {searched}."
            ));
        }
        if point
            .methods
            .iter()
            .any(|method| method.table.loss.is_some())
        {
            lines.push(conditions(point));
            lines.extend(
                point
                    .methods
                    .iter()
                    .filter_map(|method| exception(method, point)),
            );
        }
        if matches!(point.dataset, Dataset::Glyphs(_)) {
            lines.push(
                "Glyphs are synthetic: drawn by the program, they say nothing about photographs."
                    .to_owned(),
            );
        }
        if let Some(found) = registration(&point.dataset, &sweep.data_root)
            .filter(|found| !found.differences.is_empty())
        {
            let differences = found
                .differences
                .iter()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            lines.push(format!(
                "{} is not as published ({}): its numbers compare with no published ones.",
                point.dataset.title(),
                differences.collect::<Vec<_>>().join("; ")
            ));
        }
        if point.training.labels == Labels::Shuffled {
            lines.push("Control experiment: trained on shuffled labels.".to_owned());
        }
    }
    lines.push(match sweep.folds.first() {
        Some(Some(fold)) => format!(
            "Weights were chosen by validation {} on {} class-disjoint folds{}; test classes chose nothing.",
            sweep.points[0].training.selecting().heading(),
            fold.of,
            match fold.cut {
                Cut::Even => "",
                Cut::RealityCheck => " as the Reality Check cuts them (classes left over are validated on in no fold)",
            }
        ),
        _ => "The weights of the last step are measured; nothing was chosen on any split.".to_owned(),
    });
    let mut seen = BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    lines
}
