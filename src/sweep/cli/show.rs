//! `sweep show`: the parts that a sweep file can name, with formulas, defaults and sources.

use clap::{Args, ValueEnum};
use schema::{Card, Distance, Loss, Memory, Miner, Optimizer, Reduction, Sampler, Schedule, canonical_json};
use serde::Serialize;
use serde_json::Value;

use super::{Exit, show};
use crate::spec::{Rule, presets};

/// Shows the parts that a sweep file can name: what each computes, its settings with their defaults, where it
/// comes from, and the bounds within which the Reality Check searched.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep show losses
  sweep show losses triplet")]
pub(super) struct Show {
    /// Which kind of part
    kind: Kind,
    /// Only parts whose name contains this
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// `loss.NAME = { .. }` in a [[method]]
    Losses,
    /// `miner.NAME = { .. }` in a [[method]]
    Miners,
    /// `memory.NAME = { .. }` in a [[method]]
    Memories,
    /// `distance = ..` in a [[method]]
    Distances,
    /// `reduction = ..` in a [[method]]
    Reductions,
    /// `sampler.NAME = { .. }` in [training] or a [[method]]
    Samplers,
    /// `optimizer.NAME = { .. }` in [training], or `loss_optimizer.NAME` in a [[method]]
    Optimizers,
    /// `schedule.NAME = { .. }` in [training]
    Schedules,
    /// `extends = ["presets/NAME"]`; with a name, its text
    Presets,
    /// What has to hold for methods to be compared, and why; `[[waive]] rule = "F4"` waives one
    Rules,
}

impl Show {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let wanted = self.name.as_deref().unwrap_or_default();
        let entries: Vec<String> = match self.kind {
            Kind::Presets => presets(wanted),
            Kind::Rules => rules(wanted),
            Kind::Losses => entries(Loss::CARDS, &Loss::every(), "loss", wanted),
            Kind::Miners => entries(Miner::CARDS, &Miner::every(), "miner", wanted),
            Kind::Memories => entries(Memory::CARDS, &Memory::every(), "memory", wanted),
            Kind::Distances => entries(Distance::CARDS, &Distance::every(), "distance", wanted),
            Kind::Reductions => entries(Reduction::CARDS, &Reduction::every(), "reduction", wanted),
            Kind::Samplers => entries(Sampler::CARDS, &Sampler::every(), "sampler", wanted),
            Kind::Schedules => entries(Schedule::CARDS, &Schedule::every(), "schedule", wanted),
            Kind::Optimizers => entries(Optimizer::CARDS, &Optimizer::every(), "optimizer", wanted),
        };
        if entries.is_empty() {
            return Err(Exit::mistake(format!("nothing here has `{wanted}` in its name")));
        }
        show(&(entries.join("\n\n") + "\n"))
    }
}

/// The text of the preset of this name, or the names and first words of all whose name contains it.
fn presets(wanted: &str) -> Vec<String> {
    if let Some(text) = presets::text(wanted) {
        return vec![text.trim_end().to_owned()];
    }
    let all = presets::names().filter(|name| name.contains(wanted));
    let first_line = |name| presets::text(name).and_then(|text| text.lines().next()).unwrap_or_default();
    all.map(|name| format!("presets/{name}\n    {}", first_line(name).trim_start_matches("# "))).collect()
}

/// A paragraph for each rule of fairness.
fn rules(wanted: &str) -> Vec<String> {
    let named = Rule::ALL.into_iter().filter(|rule| rule.to_string().contains(wanted));
    named
        .map(|rule| {
            let binding = if rule.is_binding() { "binding under a protocol" } else { "a warning" };
            format!("{rule}  {} ({binding})\n    {}", rule.title(), rule.why())
        })
        .collect()
}

/// One paragraph for each part; cards and defaults are in the same order.
fn entries<T: Serialize>(cards: &[Card], defaults: &[T], key: &str, wanted: &str) -> Vec<String> {
    let parts = cards.iter().zip(defaults).filter(|(card, _)| card.name.contains(wanted));
    parts.map(|(card, default)| entry(card, default, key)).collect()
}

fn entry(card: &Card, default: &impl Serialize, key: &str) -> String {
    let mut lines = vec![as_written(default, key), format!("    {}", card.formula)];
    if !card.source.is_empty() {
        lines.push(format!("    {}", card.source));
    }
    if !card.search.is_empty() {
        lines.push(format!("    searched by the Reality Check in {}", card.search));
    }
    lines.join("\n")
}

/// A part with its settings as one would write it in a sweep file.
fn as_written(part: &impl Serialize, key: &str) -> String {
    let Ok(Value::Object(variant)) = serde_json::to_value(part) else {
        return format!("{key} = {}", canonical_json(part));
    };
    let written = variant.iter().map(|(name, settings)| match settings {
        Value::Object(_) => format!("{key}.{name} = {}", in_toml(settings)),
        other => format!("{key} = {{ {name} = {} }}", in_toml(other)),
    });
    written.collect::<Vec<_>>().join("\n")
}

/// A value as it stands in a sweep file.
pub(super) fn in_toml(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key} = {}", in_toml(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        other => canonical_json(other),
    }
}
