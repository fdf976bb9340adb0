//! `sweep show`: the parts that a sweep file can name, with formulas, defaults and sources.

mod entry;

use clap::{Args, ValueEnum};
use entry::{DataFacts, Entry, Setting};
use schema::{
    Backbone, Boost, Card, Dataset, Distance, Diversity, Loss, Memory, Miner, Optimizer, Reduction,
    Sampler, Schedule, canonical_json, renamed::in_new_spelling,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Exit, shipped, show, show_json, width::wrapped};
use crate::config::{Rule, json_schema, nearest, presets};

/// List losses, miners and everything else that a sweep file can name
///
/// Shows what each computes, its settings and defaults, its source, and the ranges that the Reality Check searched.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sweep show losses                     formula, defaults and source of each loss
  sweep show losses triplet             also the meaning of each setting
  sweep show losses --json | jq '.entries[].name'
  sweep show backbones resnet
  sweep show data                       data sets and their usual metrics
  sweep show protocol reality_check     all settings of the protocol
  sweep show sweeps quickstart          a sweep file that comes with the program")]
pub(super) struct Show {
    /// Kind of part
    kind: Kind,
    /// Show only parts whose name contains this, in detail
    name: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The version of the JSON object.
const VERSION: u32 = 1;

/// All entries of a kind whose names contain something.
#[derive(Serialize)]
struct ShowJson<'e> {
    version: u32,
    kind: &'e str,
    entries: &'e [Entry],
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
    /// `links.boost.NAME = { .. }` in a [[method]] with several heads
    Boosts,
    /// `links.diversity.NAME = { .. }` in a [[method]] with several heads
    Diversities,
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
        let kind = self.kind.to_possible_value();
        let kind = kind.as_ref().map_or("part", |kind| kind.get_name());
        let entries = self.kind.entries(wanted);
        if entries.is_empty() {
            return Err(self.kind.nothing_named(wanted, kind));
        }
        if self.json {
            return show_json(&ShowJson {
                version: VERSION,
                kind,
                entries: &entries,
            });
        }
        let paragraphs: Vec<String> = entries.iter().map(Entry::paragraph).collect();
        show(&wrapped(&(paragraphs.join("\n\n") + "\n")))
    }
}

impl Kind {
    /// Returns the error for a name that no part has, with the part that it most likely means.
    fn nothing_named(self, wanted: &str, kind: &str) -> Exit {
        let all = self.entries("");
        let meant = nearest(wanted, all.iter().map(|entry| entry.name.as_str()));
        let hint = meant.map_or(String::new(), |name| {
            format!("\nhint: did you mean `sweep show {kind} {name}`?")
        });
        Exit::Mistake(format!(
            "`sweep show {kind}` has nothing with `{wanted}` in its name{hint}"
        ))
    }

    /// Returns the entries of the parts whose names contain a text.
    fn entries(self, wanted: &str) -> Vec<Entry> {
        match self {
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
            Kind::Boosts => entries(
                Boost::CARDS,
                &Boost::every(),
                "links.boost",
                wanted,
                "Boost",
            ),
            Kind::Diversities => entries(
                Diversity::CARDS,
                &Diversity::every(),
                "links.diversity",
                wanted,
                "Diversity",
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
        }
    }
}

/// The text of the preset of this name, or the names and titles of all whose name contains it.
fn presets(wanted: &str) -> Vec<Entry> {
    if let Some(text) = presets::text(wanted) {
        return vec![Entry::of_text(wanted, text)];
    }
    let all = presets::names().filter(|name| name.contains(wanted));
    let entry = |name: &str| {
        let text = presets::text(name).unwrap_or_default();
        Entry {
            name: name.to_owned(),
            heading: format!("presets/{name}"),
            description: shipped::title(text),
            ..Entry::default()
        }
    };
    all.map(entry).collect()
}

/// Returns the text of the sweep file of this name, or the names and titles of all whose name contains it.
fn sweeps(wanted: &str) -> Vec<Entry> {
    let all = shipped::all();
    if let Some(exact) = all.iter().find(|shipped| shipped.name == wanted) {
        return vec![Entry::of_text(exact.name, exact.text)];
    }
    let named = all.iter().filter(|shipped| shipped.name.contains(wanted));
    let entry = |shipped: &shipped::Shipped| Entry {
        name: shipped.name.to_owned(),
        heading: shipped.name.to_owned(),
        description: shipped::title(shipped.text),
        ..Entry::default()
    };
    named.map(entry).collect()
}

/// An entry for each rule of fairness.
fn rules(wanted: &str) -> Vec<Entry> {
    let named = Rule::ALL
        .into_iter()
        .filter(|rule| rule.to_string().contains(wanted));
    let entry = |rule: Rule| {
        let binding = match rule.is_binding() {
            true => "binding under a protocol",
            false => "a warning",
        };
        Entry {
            name: rule.to_string(),
            heading: format!("{rule}  {} ({binding})", rule.title()),
            description: rule.why().to_owned(),
            is_binding: Some(rule.is_binding()),
            ..Entry::default()
        }
    };
    named.map(entry).collect()
}

fn cards<T>(parts: Vec<T>, card: fn(&T) -> Card) -> Vec<Card> {
    parts.iter().map(card).collect()
}

/// An entry for each part; cards and defaults are in the same order.
fn entries<T: Serialize>(
    cards: &[Card],
    defaults: &[T],
    key: &str,
    wanted: &str,
    of: &str,
) -> Vec<Entry> {
    let schema = json_schema();
    let parts = cards
        .iter()
        .zip(defaults)
        .filter(|(card, _)| card.name.contains(wanted));
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let entry = |(card, default): (&Card, &T)| {
        let written = as_written(default, key);
        Entry {
            name: card.name.to_owned(),
            heading: written.clone(),
            written: Some(written),
            description: card.formula.to_owned(),
            source: text(card.source),
            published_search: text(card.published_search),
            settings: settings(&schema, of, card.name),
            is_detailed: !wanted.is_empty(),
            ..Entry::default()
        }
    };
    parts.map(entry).collect()
}

/// An entry for each choice of a kind that the types describe completely.
fn choices(of: &str, key: &str, wanted: &str) -> Vec<Entry> {
    let schema = json_schema();
    let named = names(&schema, of).into_iter();
    let named = named.filter(|(name, ..)| name.contains(wanted));
    let entry = |(name, description, has_value): (String, String, bool)| {
        let settings = settings(&schema, of, &name);
        let written = match (has_value, settings.is_empty()) {
            (false, _) => format!("{key} = \"{name}\""),
            (true, true) => format!("{key} = {{ {name} = .. }}"),
            (true, false) => format!("{key}.{name} = {{}}"),
        };
        Entry {
            name,
            heading: written.clone(),
            written: Some(written),
            description,
            settings,
            is_detailed: true,
            ..Entry::default()
        }
    };
    named.map(entry).collect()
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

/// The settings of a choice.
fn settings(schema: &Value, of: &str, name: &str) -> Vec<Setting> {
    let options = schema["definitions"][of]["oneOf"].as_array();
    let of_choice = options
        .into_iter()
        .flatten()
        .find_map(|option| option["properties"].get(name));
    let definition = of_choice
        .and_then(reference)
        .map_or(&Value::Null, |name| &schema["definitions"][name]);
    let required = definition["required"].as_array();
    let setting = |(name, setting): (&String, &Value)| Setting {
        name: name.clone(),
        meaning: setting["description"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        values: values(schema, setting),
        default: setting.get("default").cloned(),
        is_required: required.is_some_and(|required| required.contains(&json!(name))),
    };
    let properties = definition["properties"].as_object();
    properties.into_iter().flatten().map(setting).collect()
}

/// Returns the values that a setting can have, if they are names.
fn values(schema: &Value, setting: &Value) -> Vec<String> {
    let names = reference(setting)
        .map(|of| names(schema, of))
        .unwrap_or_default();
    match names.iter().all(|(_, _, has_value)| !has_value) {
        true => names.into_iter().map(|(name, ..)| name).collect(),
        false => Vec::new(),
    }
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

/// Returns an entry for each data set, with the facts that are known before it is downloaded.
fn data_sets(wanted: &str) -> Vec<Entry> {
    let mut entries = choices("Dataset", "dataset", wanted);
    for entry in &mut entries {
        let name = Value::from(entry.name.as_str());
        let dataset = serde_json::from_value::<Dataset>(name).ok();
        entry.data = dataset.map(|dataset| DataFacts {
            training_classes: dataset.training_half(None).classes,
            recall_at: dataset.recall_at().to_vec(),
            add: format!("sweep data add {} DOWNLOADED...", dataset.folder()),
        });
    }
    entries
}

/// The protocols, or the text of the one of this name.
fn protocols(wanted: &str) -> Vec<Entry> {
    let mut entries = choices("Protocol", "protocol", wanted);
    let Some(exact) = entries.iter_mut().find(|entry| entry.name == wanted) else {
        return entries;
    };
    exact.hint = Some("Rules that it binds to: `sweep show rules`".to_owned());
    entries.retain(|entry| entry.name == wanted);
    entries.extend(presets(wanted));
    entries
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
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(in_toml).collect();
            format!("[{}]", items.join(", "))
        }
        other => canonical_json(other),
    }
}
