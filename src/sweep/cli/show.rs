//! `sweep show`: the parts that a sweep file can name, with formulas, defaults and sources.

use clap::{Args, ValueEnum};
use schema::{
    Backbone, Card, Dataset, Distance, Loss, Memory, Miner, Optimizer, Reduction, Sampler,
    Schedule, canonical_json, renamed::in_new_spelling,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Exit, shipped, show, width::wrapped};
use crate::config::{Rule, json_schema, presets};

/// List losses, miners and everything else that a sweep file can name
///
/// Shows what each computes, its settings and defaults, its source, and the ranges that the Reality Check searched.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep show losses                     formula, defaults and source of each loss
  sweep show losses triplet             also the meaning of each setting
  sweep show backbones resnet
  sweep show data                       data sets and their usual metrics
  sweep show protocol reality_check     all settings of the protocol
  sweep show sweeps quickstart          a sweep file that comes with the program")]
pub(super) struct Show {
    /// Kind of part
    kind: Kind,
    /// Show only parts whose name contains this, in detail
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
    /// `backbone.NAME = { .. }` in [model]
    Backbones,
    /// `pooling = ..` in [model]
    Poolings,
    /// `regularizer = ..` in a [[method]]
    Regularizers,
    /// `strategy = "NAME"` in [search]
    Strategies,
    /// `dataset = "NAME"` in [data]
    Data,
    /// `extends = ["presets/NAME"]`; with a name, the preset itself
    Presets,
    /// Sweep files that come with the program; with a name, the file itself
    Sweeps,
    /// `protocol = "NAME"` in [sweep]; with a name, all its settings
    #[value(alias = "protocol")]
    Protocols,
    /// Rules of a fair comparison; `[[waive]] rule = "F4"` waives one
    Rules,
}

impl Show {
    pub(super) fn run(&self) -> Result<(), Exit> {
        let wanted = self.name.as_deref().unwrap_or_default();
        let entries: Vec<String> = match self.kind {
            Kind::Presets => presets(wanted),
            Kind::Sweeps => sweeps(wanted),
            Kind::Protocols => protocols(wanted),
            Kind::Backbones => entries(
                Backbone::CARDS,
                &Backbone::every(),
                "backbone",
                wanted,
                "Backbone",
            ),
            Kind::Poolings => choices("Pooling", "pooling", wanted),
            Kind::Regularizers => choices("Regularizer", "regularizer", wanted),
            Kind::Strategies => choices("Strategy", "strategy", wanted),
            Kind::Data => data_sets(wanted),
            Kind::Rules => rules(wanted),
            Kind::Losses => entries(Loss::CARDS, &Loss::every(), "loss", wanted, "Loss"),
            Kind::Miners => entries(Miner::CARDS, &Miner::every(), "miner", wanted, "Miner"),
            Kind::Memories => entries(Memory::CARDS, &Memory::every(), "memory", wanted, "Memory"),
            Kind::Distances => entries(
                &cards(Distance::every(), Distance::card),
                &Distance::every(),
                "distance",
                wanted,
                "Distance",
            ),
            Kind::Reductions => entries(
                &cards(Reduction::every(), Reduction::card),
                &Reduction::every(),
                "reduction",
                wanted,
                "Reduction",
            ),
            Kind::Samplers => entries(
                Sampler::CARDS,
                &Sampler::every(),
                "sampler",
                wanted,
                "Sampler",
            ),
            Kind::Schedules => entries(
                Schedule::CARDS,
                &Schedule::every(),
                "schedule",
                wanted,
                "Schedule",
            ),
            Kind::Optimizers => entries(
                Optimizer::CARDS,
                &Optimizer::every(),
                "optimizer",
                wanted,
                "Optimizer",
            ),
        };
        if entries.is_empty() {
            let kind = self.kind.to_possible_value();
            let kind = kind.as_ref().map_or("part", |kind| kind.get_name());
            return Err(Exit::mistake(format!(
                "none of the {kind} has `{wanted}` in its name"
            )));
        }
        show(&wrapped(&(entries.join("\n\n") + "\n")))
    }
}

/// The text of the preset of this name, or the names and first words of all whose name contains it.
fn presets(wanted: &str) -> Vec<String> {
    if let Some(text) = presets::text(wanted) {
        return vec![text.trim_end().to_owned()];
    }
    let all = presets::names().filter(|name| name.contains(wanted));
    let first_line = |name| {
        presets::text(name)
            .and_then(|text| text.lines().next())
            .unwrap_or_default()
    };
    all.map(|name| {
        format!(
            "presets/{name}\n    {}",
            first_line(name).trim_start_matches("# ")
        )
    })
    .collect()
}

/// Returns the text of the sweep file of this name, or the names and titles of all whose name contains it.
fn sweeps(wanted: &str) -> Vec<String> {
    let all = shipped::all();
    if let Some(exact) = all.iter().find(|shipped| shipped.name == wanted) {
        return vec![exact.text.trim_end().to_owned()];
    }
    all.iter()
        .filter(|shipped| shipped.name.contains(wanted))
        .map(|shipped| format!("{}\n    {}", shipped.name, shipped.title()))
        .collect()
}

/// A paragraph for each rule of fairness.
fn rules(wanted: &str) -> Vec<String> {
    let named = Rule::ALL
        .into_iter()
        .filter(|rule| rule.to_string().contains(wanted));
    named
        .map(|rule| {
            let binding = if rule.is_binding() {
                "binding under a protocol"
            } else {
                "a warning"
            };
            format!("{rule}  {} ({binding})\n    {}", rule.title(), rule.why())
        })
        .collect()
}

fn cards<T>(parts: Vec<T>, card: fn(&T) -> Card) -> Vec<Card> {
    parts.iter().map(card).collect()
}

/// One paragraph for each part; cards and defaults are in the same order.
fn entries<T: Serialize>(
    cards: &[Card],
    defaults: &[T],
    key: &str,
    wanted: &str,
    of: &str,
) -> Vec<String> {
    let schema = json_schema();
    let parts = cards
        .iter()
        .zip(defaults)
        .filter(|(card, _)| card.name.contains(wanted));
    let entry = |(card, default): (&Card, &T)| {
        let settings = if wanted.is_empty() {
            Vec::new()
        } else {
            settings(&schema, of, card.name)
        };
        [vec![entry(card, default, key)], settings]
            .concat()
            .join("\n")
    };
    parts.map(entry).collect()
}

/// A choice of a kind and the paragraph about it.
struct Described {
    name: String,
    paragraph: String,
}

/// Returns a paragraph for each choice of a kind that the types describe completely.
fn choices(of: &str, key: &str, wanted: &str) -> Vec<String> {
    let described = described(of, key, wanted).into_iter();
    described.map(|choice| choice.paragraph).collect()
}

fn described(of: &str, key: &str, wanted: &str) -> Vec<Described> {
    let schema = json_schema();
    let mut found = Vec::new();
    for (name, description, has_value) in names(&schema, of) {
        if !name.contains(wanted) {
            continue;
        }
        let settings = settings(&schema, of, &name);
        let written = match (has_value, &settings[..]) {
            (false, _) => format!("{key} = \"{name}\""),
            (true, []) => format!("{key} = {{ {name} = .. }}"),
            (true, _) => format!("{key}.{name} = {{}}"),
        };
        let mut lines = vec![written, format!("    {description}")];
        lines.extend(settings);
        found.push(Described {
            name,
            paragraph: lines.join("\n"),
        });
    }
    found
}

/// The choices of a kind: name, description, and whether they are more than a name.
fn names(schema: &Value, of: &str) -> Vec<(String, String, bool)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let options = schema["definitions"][of]["oneOf"].as_array();
    let choice = |option: &Value| match option["properties"]
        .as_object()
        .and_then(|properties| properties.keys().next())
    {
        Some(name) => vec![(name.clone(), text(&option["description"]), true)],
        None => {
            let plain = option["enum"]
                .as_array()
                .into_iter()
                .flatten()
                .chain(option.get("const"));
            plain
                .map(|name| (text(name), text(&option["description"]), false))
                .collect()
        }
    };
    options.into_iter().flatten().flat_map(choice).collect()
}

/// What each setting of a choice means, and its default.
fn settings(schema: &Value, of: &str, name: &str) -> Vec<String> {
    let options = schema["definitions"][of]["oneOf"].as_array();
    let of_choice = options
        .into_iter()
        .flatten()
        .find_map(|option| option["properties"].get(name));
    let definition = of_choice
        .and_then(reference)
        .map_or(&Value::Null, |name| &schema["definitions"][name]);
    let properties = definition["properties"].as_object();
    let width = properties
        .into_iter()
        .flatten()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    let line = |(name, setting): (&String, &Value)| {
        let meaning = setting["description"].as_str().unwrap_or_default();
        let is_needed = definition["required"]
            .as_array()
            .is_some_and(|required| required.contains(&json!(name)));
        let values = values(schema, setting);
        let default = match setting.get("default") {
            Some(default) => format!(" Default: {}", in_toml(default)),
            None if is_needed => " Has to be given.".to_owned(),
            None => String::new(),
        };
        format!("    {name:width$}  {meaning}{values}{default}")
            .trim_end()
            .to_owned()
    };
    properties.into_iter().flatten().map(line).collect()
}

/// Returns the values that a setting can have, if they are names.
fn values(schema: &Value, setting: &Value) -> String {
    let names = reference(setting)
        .map(|of| names(schema, of))
        .unwrap_or_default();
    match names.iter().all(|(_, _, has_value)| !has_value) && !names.is_empty() {
        true => format!(" One of {}.", quoted(&names)),
        false => String::new(),
    }
}

fn quoted(names: &[(String, String, bool)]) -> String {
    let quoted = names.iter().map(|(name, _, _)| format!("\"{name}\""));
    quoted.collect::<Vec<_>>().join(", ")
}

/// The name of the definition that a schema refers to.
fn reference(schema: &Value) -> Option<&str> {
    let alternatives = ["anyOf", "allOf"]
        .into_iter()
        .filter_map(|key| schema[key].as_array())
        .flatten();
    let path = schema["$ref"].as_str().or_else(|| {
        alternatives
            .filter_map(|option| option["$ref"].as_str())
            .next()
    });
    path?.rsplit('/').next()
}

/// Returns a paragraph for each data set, with the facts that are known before it is downloaded.
fn data_sets(wanted: &str) -> Vec<String> {
    let described = described("Dataset", "dataset", wanted).into_iter();
    described
        .map(|choice| {
            let name = Value::from(choice.name);
            match serde_json::from_value::<Dataset>(name) {
                Ok(dataset) => format!("{}\n{}", choice.paragraph, facts(&dataset)),
                Err(_) => choice.paragraph,
            }
        })
        .collect()
}

/// Returns the classes, the usual Recall@K and the command that adds a data set.
fn facts(dataset: &Dataset) -> String {
    let recall: Vec<String> = dataset.recall_at().iter().map(u32::to_string).collect();
    let mut lines = Vec::new();
    if let Some(classes) = dataset.training_half(None).classes {
        lines.push(format!("    trained on {classes} classes"));
    }
    lines.push(format!("    Recall@{}", recall.join(", ")));
    lines.push(format!(
        "    sweep data add {} DOWNLOADED...",
        dataset.folder()
    ));
    lines.join("\n")
}

/// The protocols, or the text of the one of this name.
fn protocols(wanted: &str) -> Vec<String> {
    let schema = json_schema();
    match names(&schema, "Protocol")
        .into_iter()
        .find(|(name, ..)| name == wanted)
    {
        Some((name, description, _)) => vec![
            format!(
                "protocol = \"{name}\"\n    {description}\n    Rules that it binds to: `sweep show rules`"
            ),
            presets(&name).join("\n\n"),
        ],
        None => choices("Protocol", "protocol", wanted),
    }
}

fn entry(card: &Card, default: &impl Serialize, key: &str) -> String {
    let mut lines = vec![as_written(default, key), format!("    {}", card.formula)];
    if !card.source.is_empty() {
        lines.push(format!("    {}", card.source));
    }
    if !card.published_search.is_empty() {
        lines.push(format!(
            "    searched by the Reality Check in {}",
            card.published_search
        ));
    }
    lines.join("\n")
}

/// A part with its settings as one would write it in a sweep file.
fn as_written(part: &impl Serialize, key: &str) -> String {
    let value = in_new_spelling(serde_json::to_value(part).unwrap_or_default());
    let Value::Object(variant) = value else {
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
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{key} = {}", in_toml(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        other => canonical_json(other),
    }
}
