//! `sweep show`: the parts that a sweep file can name, with formulas, defaults and sources.

use clap::{Args, ValueEnum};
use schema::{Card, Loss, Miner, canonical_json};
use serde::Serialize;
use serde_json::Value;

use super::{Exit, show};

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
}

impl Show {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let wanted = self.name.as_deref().unwrap_or_default();
        let entries: Vec<String> = match self.kind {
            Kind::Losses => entries(Loss::CARDS, &Loss::every(), "loss", wanted),
            Kind::Miners => entries(Miner::CARDS, &Miner::every(), "miner", wanted),
        };
        if entries.is_empty() {
            return Err(Exit::mistake(format!("nothing here has `{wanted}` in its name")));
        }
        show(&(entries.join("\n\n") + "\n"))
    }
}

/// One paragraph for each part; cards and defaults are in the same order.
fn entries<T: Serialize>(cards: &[Card], defaults: &[T], key: &str, wanted: &str) -> Vec<String> {
    let parts = cards.iter().zip(defaults).filter(|(card, _)| card.name.contains(wanted));
    parts.map(|(card, default)| entry(card, default, key)).collect()
}

fn entry(card: &Card, default: &impl Serialize, key: &str) -> String {
    let mut lines = vec![format!("{key}.{} = {}", card.name, settings(default)), format!("    {}", card.formula)];
    lines.push(format!("    {}", card.source));
    if !card.search.is_empty() {
        lines.push(format!("    searched by the Reality Check in {}", card.search));
    }
    lines.join("\n")
}

/// The defaults as one would write them in a sweep file.
fn settings(part: &impl Serialize) -> String {
    let Ok(Value::Object(variant)) = serde_json::to_value(part) else { return "{}".to_owned() };
    let fields = variant.values().filter_map(Value::as_object).flatten();
    let fields: Vec<String> = fields.map(|(key, value)| format!("{key} = {}", canonical_json(value))).collect();
    if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
}
