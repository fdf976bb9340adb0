//! Writes the reference sections of `docs/` from the types of the sweep file.
//!
//! A page holds a pair of markers, `<!-- generated: NAME -->` and `<!-- end -->`, and everything between them is written
//! here. NAME is a table of the sweep file, such as `[training]`, or a kind of part, such as `losses`. The test fails
//! when a section is out of date; `UPDATE_DOCS=1 cargo test documentation` rewrites it.

use std::{collections::BTreeSet, env, fs};

use clap::{Command, CommandFactory};
use schema::{
    Backbone, Boost, Card, Distance, Diversity, Loss, Memory, Miner, Optimizer, Reduction, Sampler,
    Schedule, Triplet, renamed::RENAMED,
};
use serde_json::{Map, Value};

use super::{Page, docs, root};
use crate::{
    cli::{Cli, show::in_toml},
    config::{Rule, json_schema},
    ledger::FileKind,
};

const BEGIN: &str = "<!-- generated: ";
const END: &str = "<!-- end -->";

/// A kind of part with a section of its own.
struct Kind {
    /// The name of its section.
    section: &'static str,
    /// The name of its type in the JSON Schema.
    definition: &'static str,
    /// The page with its section.
    page: &'static str,
    /// Formula, source and published search, for kinds that have cards.
    cards: fn() -> Vec<Card>,
}

const KINDS: [Kind; 16] = [
    kind("losses", "Loss", "losses.md", || Loss::CARDS.to_vec()),
    kind("miners", "Miner", "losses.md", || Miner::CARDS.to_vec()),
    kind("memories", "Memory", "losses.md", || Memory::CARDS.to_vec()),
    kind("distances", "Distance", "losses.md", || {
        Distance::every().iter().map(Distance::card).collect()
    }),
    kind("reductions", "Reduction", "losses.md", || {
        Reduction::every().iter().map(Reduction::card).collect()
    }),
    kind("regularizers", "Regularizer", "losses.md", Vec::new),
    kind("boosts", "Boost", "losses.md", || Boost::CARDS.to_vec()),
    kind("diversities", "Diversity", "losses.md", || {
        Diversity::CARDS.to_vec()
    }),
    kind("samplers", "Sampler", "sweep-file.md", || {
        Sampler::CARDS.to_vec()
    }),
    kind("optimizers", "Optimizer", "sweep-file.md", || {
        Optimizer::CARDS.to_vec()
    }),
    kind("schedules", "Schedule", "sweep-file.md", || {
        Schedule::CARDS.to_vec()
    }),
    kind("backbones", "Backbone", "models.md", || {
        Backbone::CARDS.to_vec()
    }),
    kind("data sets", "Dataset", "data.md", Vec::new),
    kind("strategies", "Strategy", "search.md", Vec::new),
    kind("metrics", "Metric", "evaluation.md", Vec::new),
    kind("rules", "Rule", "reports.md", Vec::new),
];

const fn kind(
    section: &'static str,
    definition: &'static str,
    page: &'static str,
    cards: fn() -> Vec<Card>,
) -> Kind {
    Kind {
        section,
        definition,
        page,
        cards,
    }
}

/// The JSON Schema of sweep files, as the generator reads it.
struct Types {
    root: Value,
}

impl Types {
    fn new() -> Types {
        Types {
            root: json_schema(),
        }
    }

    fn definition(&self, name: &str) -> &Value {
        &self.root["definitions"][name]
    }

    /// Returns the schema without references, and the name of the definition it came from.
    fn resolved<'t>(&'t self, schema: &'t Value) -> (Option<&'t str>, &'t Value) {
        let options = alternatives(schema);
        match &options[..] {
            [only] if *only != schema => self.resolved(only),
            _ => match reference(schema) {
                Some(name) => (Some(name), self.definition(name)),
                None => (None, schema),
            },
        }
    }

    /// Returns the tables of a sweep file: the key and the type of each.
    fn tables(&self) -> Vec<(String, &Value)> {
        let mut tables = Vec::new();
        for (key, schema) in fields(&self.root) {
            let repeated = schema["items"].is_object();
            let inner = if repeated { &schema["items"] } else { schema };
            let (_, table) = self.resolved(inner);
            if table["properties"].is_object() {
                let heading = if repeated {
                    format!("[[{key}]]")
                } else {
                    format!("[{key}]")
                };
                tables.push((heading, table));
            }
        }
        tables
    }

    /// Returns the keys that a file without `extends` must give in the table of this type.
    fn required<'t>(&'t self, table: &'t Value) -> Vec<&'t str> {
        let of_whole_files = fields(&self.root).into_iter().find_map(|(key, schema)| {
            let is_it = self.resolved(schema).1 == table;
            is_it.then(|| &self.root["else"]["properties"][key]["required"])
        });
        let listed = [&table["required"], of_whole_files.unwrap_or(&Value::Null)];
        let keys = listed.into_iter().filter_map(Value::as_array).flatten();
        keys.filter_map(Value::as_str).collect()
    }

    /// Returns the generated text of a section, or `None` if no type has this name.
    fn section(&self, name: &str) -> Option<String> {
        match name {
            "rules" => return Some(rules()),
            "words" => return Some(words()),
            "commands" => return Some(commands()),
            "results folder" => return Some(results_folder()),
            "results files" => return Some(results_files()),
            "renamed keys" => return Some(renamed_keys()),
            "quickstart table" => return Some(quickstart_table()),
            _ => {}
        }
        if let Some(kind) = KINDS.iter().find(|kind| kind.section == name) {
            return Some(self.parts(kind));
        }
        let (_, table) = self.tables().into_iter().find(|table| table.0 == name)?;
        Some(self.settings(table))
    }

    /// Returns a list of parts, or a table if none of them has settings.
    fn parts(&self, kind: &Kind) -> String {
        let definition = self.definition(kind.definition);
        let choices = choices(definition);
        let plain = choices.iter().all(|choice| choice.value.is_none());
        let cards = (kind.cards)();
        if plain && cards.is_empty() {
            let mut lines = vec!["| name | meaning |".to_owned(), "| --- | --- |".to_owned()];
            lines.extend(
                choices.iter().map(|choice| {
                    format!("| `\"{}\"` | {} |", choice.name, escaped(choice.meaning))
                }),
            );
            return lines.join("\n");
        }
        let entries = choices.iter().map(|choice| self.part(choice, &cards));
        entries.collect::<Vec<_>>().join("\n\n")
    }

    fn part(&self, choice: &Choice, cards: &[Card]) -> String {
        let mut paragraphs = vec![format!("#### `{}`", choice.name)];
        let card = cards.iter().find(|card| card.name == choice.name);
        let described = choice.value.map(|value| self.resolved(value).1);
        let description = described.and_then(|value| value["description"].as_str());
        let description = description.map(first_paragraph);
        match card {
            Some(card) => {
                paragraphs.extend(description.map(escaped));
                paragraphs.push(facts(card));
            }
            None => paragraphs.push(escaped(choice.meaning)),
        }
        if let Some(value) = choice.value {
            let (name, resolved) = self.resolved(value);
            let settings = fields(resolved);
            if !settings.is_empty() {
                paragraphs.push(self.settings(resolved));
            } else if resolved["type"] == "object" {
                paragraphs.push(format!("Has no settings: `{} = {{}}`.", choice.name));
            } else {
                paragraphs.push(format!(
                    "Takes one value ({}): `{{ {} = .. }}`.",
                    self.type_of(value, name),
                    choice.name
                ));
            }
        }
        paragraphs.join("\n\n")
    }

    /// Returns a table of keys with type, default and meaning; keys of inner tables are dotted.
    fn settings(&self, table: &Value) -> String {
        let mut lines = vec![
            "| key | type | default | meaning |".to_owned(),
            "| --- | --- | --- | --- |".to_owned(),
        ];
        self.rows("", table, &mut lines);
        lines.join("\n")
    }

    fn rows(&self, prefix: &str, table: &Value, lines: &mut Vec<String>) {
        let required = self.required(table);
        for (key, setting) in fields(table) {
            let path = format!("{prefix}{key}");
            let (name, resolved) = self.resolved(setting);
            let inner = inner_tables(name, resolved);
            let default = match setting.get("default") {
                Some(default) if default.is_object() && inner.is_some() => String::new(),
                Some(default) => format!("`{}`", escaped_code(&in_toml(default))),
                None if required.contains(&key) => "required".to_owned(),
                None => String::new(),
            };
            lines.push(format!(
                "| `{path}` | {} | {default} | {} |",
                self.type_of(setting, name),
                self.meaning(setting, name, resolved)
            ));
            for (suffix, table) in inner.into_iter().flatten() {
                let (_, table) = self.resolved(table);
                self.rows(&format!("{path}{suffix}."), table, lines);
            }
        }
    }

    /// Returns what a setting means; the names of a small choice are explained with it.
    fn meaning(&self, setting: &Value, name: Option<&str>, resolved: &Value) -> String {
        let mut sentences: Vec<String> = Vec::new();
        sentences.extend(setting["description"].as_str().map(escaped));
        let linked = KINDS.iter().any(|kind| Some(kind.definition) == name);
        if !linked {
            for choice in choices(resolved) {
                if choice.value.is_none() && !choice.meaning.is_empty() {
                    sentences.push(format!(
                        "`\"{}\"`: {}",
                        choice.name,
                        escaped(choice.meaning)
                    ));
                }
            }
        }
        sentences.join(" ")
    }

    /// Returns the values that a setting takes.
    fn type_of(&self, setting: &Value, name: Option<&str>) -> String {
        if let Some(kind) = KINDS.iter().find(|kind| Some(kind.definition) == name) {
            let anchor = kind.section.replace(' ', "-");
            return format!("[{}]({}#{anchor})", singular(kind.section), kind.page);
        }
        let mut types: Vec<String> = Vec::new();
        for option in alternatives(setting) {
            for kind in self.types_of(option) {
                if !types.contains(&kind) {
                    types.push(kind);
                }
            }
        }
        if let [one @ .., list] = &types[..]
            && *list == format!("list of {}", one.join(" or "))
        {
            return format!("{}, or a list of these", one.join(" or "));
        }
        types.join(" or ")
    }

    fn types_of(&self, schema: &Value) -> Vec<String> {
        let (name, schema) = self.resolved(schema);
        if KINDS.iter().any(|kind| Some(kind.definition) == name) {
            return vec![self.type_of(&Value::Null, name)];
        }
        let options = alternatives(schema);
        if options.len() > 1 {
            return options
                .into_iter()
                .flat_map(|option| self.types_of(option))
                .collect();
        }
        let choices = choices(schema);
        if !choices.is_empty() {
            return choices.iter().map(|choice| self.form_of(choice)).collect();
        }
        vec![match schema["type"].as_str() {
            _ if schema.get("const").is_some() => format!("`{}`", in_toml(&schema["const"])),
            Some("integer") => format!("integer{}", range(schema)),
            Some("number") => format!("number{}", range(schema)),
            Some("boolean") => "boolean".to_owned(),
            Some("string") => "string".to_owned(),
            Some("array") => {
                let items = self.type_of(&schema["items"], self.resolved(&schema["items"]).0);
                match items.split_once(' ') {
                    Some((word, range)) if word.chars().all(char::is_alphabetic) => {
                        format!("list of {word}s {range}")
                    }
                    None if items.chars().all(char::is_alphabetic) => format!("list of {items}s"),
                    _ => format!("list of {items}"),
                }
            }
            Some("object") => "table".to_owned(),
            _ => "value".to_owned(),
        }]
    }
}

impl Types {
    /// Returns how a choice is written in a sweep file.
    fn form_of(&self, choice: &Choice) -> String {
        match choice.value.map(|value| self.resolved(value).1) {
            None => format!("`\"{}\"`", choice.name),
            Some(settings) if settings["properties"].is_object() => {
                format!("`{}` table", choice.name)
            }
            Some(_) => format!("`{{ {} = .. }}`", choice.name),
        }
    }
}

/// Returns the range of a number in words, or nothing if every value of its type is allowed.
fn range(schema: &Value) -> String {
    let is_unsigned = schema["format"]
        .as_str()
        .is_some_and(|format| format.starts_with("uint"));
    let mut words = Vec::new();
    for (key, word) in [
        ("exclusiveMinimum", "above"),
        ("minimum", "of at least"),
        ("exclusiveMaximum", "below"),
        ("maximum", "of at most"),
    ] {
        let bound = schema[key].as_f64();
        if let Some(bound) =
            bound.filter(|&bound| !(is_unsigned && key == "minimum" && bound == 0.0))
        {
            words.push(format!(" {word} {bound}"));
        }
    }
    words.join(" and")
}

/// Returns formula, source and published search of a part.
fn facts(card: &Card) -> String {
    let facts = [
        ("Formula", card.formula),
        ("Source", card.source),
        ("Published search", card.published_search),
    ];
    let lines = facts
        .iter()
        .filter(|(_, fact)| !fact.is_empty())
        .map(|(title, fact)| format!("- **{title}:** {}", escaped(fact)));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the rules of a fair comparison as a table.
fn rules() -> String {
    let mut lines = vec![
        "| rule | requires that | because |".to_owned(),
        "| --- | --- | --- |".to_owned(),
    ];
    lines.extend(Rule::ALL.into_iter().map(|rule| {
        format!(
            "| {rule} | {} | {} |",
            escaped(rule.title()),
            escaped(rule.why())
        )
    }));
    lines.join("\n")
}

/// Returns the glossary at the top of the crate `schema`.
fn words() -> String {
    let source = fs::read_to_string(root().join("src/schema/lib.rs")).unwrap();
    let rows = source.lines().filter_map(|line| line.strip_prefix("//! |"));
    let rows = rows.map(|row| format!("|{row}").replace("[`", "`").replace("`]", "`"));
    rows.collect::<Vec<_>>().join("\n")
}

/// Returns the first table of the committed report of the quick start.
fn quickstart_table() -> String {
    let report = fs::read_to_string(root().join("reports/examples/quickstart/table.md")).unwrap();
    let rows = report.lines().filter(|line| line.starts_with('|'));
    format!("\n{}\n", rows.collect::<Vec<_>>().join("\n"))
}

/// Returns the layout of the results folder, from the page of the module that writes it.
fn results_folder() -> String {
    let source = fs::read_to_string(root().join("src/sweep/ledger/mod.rs")).unwrap();
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let block = lines.skip_while(|line| line.trim() != "```text");
    let block = block.skip(1).take_while(|line| line.trim() != "```");
    let block: Vec<&str> = block
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    format!("```text\n{}\n```", block.join("\n"))
}

/// Returns what each file under `results/` is.
fn results_files() -> String {
    let mut lines = vec![
        "| file | content | lost without it |".to_owned(),
        "| --- | --- | --- |".to_owned(),
    ];
    lines.extend(FileKind::ALL.iter().map(|kind| {
        let places: Vec<String> = kind
            .places()
            .iter()
            .map(|place| format!("`{place}`"))
            .collect();
        format!(
            "| {} | {} | {} |",
            places.join(", "),
            kind.meaning(),
            kind.loss()
        )
    }));
    lines.join("\n")
}

/// Returns the old and new names of renamed keys.
fn renamed_keys() -> String {
    let mut lines = vec!["| old | new |".to_owned(), "| --- | --- |".to_owned()];
    lines.extend(
        RENAMED
            .iter()
            .map(|(old, new)| format!("| `{old}` | `{new}` |")),
    );
    lines.join("\n")
}

/// Returns the help text of every command.
fn commands() -> String {
    let mut sections = Vec::new();
    let mut cli = Cli::command().term_width(100);
    cli.build();
    for command in cli.get_subcommands() {
        help_of(command, &mut sections);
    }
    sections.join("\n\n")
}

fn help_of(command: &Command, sections: &mut Vec<String>) {
    if command.get_name() == "help" {
        return;
    }
    let mut command = command.clone().term_width(100);
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let title = command.get_bin_name().unwrap_or_default();
    sections.push(format!(
        "### `{title}`\n\n```text\n{}\n```",
        lines.join("\n")
    ));
    for inner in command.get_subcommands() {
        help_of(inner, sections);
    }
}

/// One choice of an enum.
struct Choice<'t> {
    name: &'t str,
    meaning: &'t str,
    /// The schema of its settings, if it has any.
    value: Option<&'t Value>,
}

/// Returns the choices of an enum; of anything else, none.
fn choices(schema: &Value) -> Vec<Choice<'_>> {
    let mut found = Vec::new();
    for option in schema["oneOf"].as_array().into_iter().flatten() {
        let meaning = option["description"].as_str().unwrap_or_default();
        if let Some(name) = option["const"].as_str() {
            found.push(Choice {
                name,
                meaning,
                value: None,
            });
        }
        let names = option["enum"].as_array().into_iter().flatten();
        found.extend(names.filter_map(Value::as_str).map(|name| Choice {
            name,
            meaning,
            value: None,
        }));
        if let Some((name, value)) = option["properties"].as_object().and_then(only) {
            found.push(Choice {
                name,
                meaning,
                value: Some(value),
            });
        }
    }
    found
}

fn only(properties: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, value) = properties.iter().next()?;
    (properties.len() == 1).then_some((name, value))
}

/// Returns the tables inside a setting, each with the key that leads to it; `None` if it has none or a page of its own.
fn inner_tables<'t>(name: Option<&str>, resolved: &'t Value) -> Option<Vec<(String, &'t Value)>> {
    if KINDS.iter().any(|kind| Some(kind.definition) == name) {
        return None;
    }
    if resolved["properties"].is_object() {
        return Some(vec![(String::new(), resolved)]);
    }
    let choices = choices(resolved).into_iter();
    let tables: Vec<_> = choices
        .filter_map(|choice| Some((format!(".{}", choice.name), choice.value?)))
        .collect();
    (!tables.is_empty()).then_some(tables)
}

/// Returns the keys of a table and their schemas.
fn fields(table: &Value) -> Vec<(&str, &Value)> {
    let properties = table["properties"].as_object();
    let fields = properties.into_iter().flatten();
    fields.map(|(key, value)| (key.as_str(), value)).collect()
}

/// Returns the forms of a setting, without the ranges of a search; the setting itself if it has one form.
fn alternatives(schema: &Value) -> Vec<&Value> {
    let listed = ["anyOf", "allOf"]
        .iter()
        .filter_map(|key| schema[*key].as_array());
    let options: Vec<&Value> = listed
        .flatten()
        .filter(|option| reference(option) != Some("Searched"))
        .collect();
    if options.is_empty() {
        vec![schema]
    } else {
        options
    }
}

/// Returns the name of the definition that a schema is a reference to.
fn reference(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

fn singular(section: &str) -> &str {
    match section {
        "losses" => "loss",
        "memories" => "memory",
        "strategies" => "strategy",
        _ => section.trim_end_matches('s'),
    }
}

/// Returns prose that Markdown shows as it is.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    let mut code = false;
    for letter in text.chars() {
        code ^= letter == '`';
        if letter == '|' || (!code && matches!(letter, '*' | '<' | '_')) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// Returns the text up to the first empty line, which the JSON Schema has as two spaces.
fn first_paragraph(text: &str) -> &str {
    text.split("  ").next().unwrap_or(text)
}

fn escaped_code(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Returns the page with every generated section written anew, and the names of its sections.
fn written(types: &Types, page: &str, text: &str) -> (String, Vec<String>) {
    let mut written = String::new();
    let mut sections = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(" -->").unwrap();
        let (_, after) = after
            .split_once(END)
            .unwrap_or_else(|| panic!("{page}: section `{name}` has no end"));
        let section = types
            .section(name)
            .unwrap_or_else(|| panic!("{page}: nothing is called `{name}`"));
        written.push_str(&format!("{before}{BEGIN}{name} -->\n{section}\n{END}"));
        sections.push(name.to_owned());
        rest = after;
    }
    written.push_str(rest);
    (written, sections)
}

#[test]
fn the_reference_lists_every_setting_as_the_types_define_it() {
    let types = Types::new();
    let mut missing: BTreeSet<String> = types.tables().into_iter().map(|table| table.0).collect();
    missing.extend(KINDS.iter().map(|kind| kind.section.to_owned()));
    // Their definitions are written by hand.
    missing.remove("metrics");
    let mut pages = docs();
    pages.push(Page::read(root().join("README.md")));
    pages.push(Page::read(root().join("CHANGELOG.md")));
    for page in pages {
        let (text, sections) = written(&types, &page.name(), &page.text);
        for section in sections {
            missing.remove(&section);
        }
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&page.path, &text).unwrap();
            continue;
        }
        let outdated = page
            .text
            .lines()
            .zip(text.lines())
            .find(|(old, new)| old != new);
        assert!(
            page.text == text,
            "{} is out of date: run `UPDATE_DOCS=1 cargo test documentation`\nis:        {}\nshould be: {}",
            page.name(),
            outdated.map_or("", |lines| lines.0),
            outdated.map_or("", |lines| lines.1)
        );
    }
    assert!(missing.is_empty(), "no page of docs/ lists {missing:?}");
}

#[test]
fn the_default_settings_of_a_part_are_those_of_its_type() {
    let types = Types::new();
    let losses = types.section("losses").unwrap();
    let margin = Triplet::default().margin;
    assert!(losses.contains(&format!("| `margin` | number | `{margin}` |")));
}

#[test]
fn every_metric_is_defined_in_the_documentation() {
    let types = Types::new();
    let page = Page::read(root().join("docs/evaluation.md"));
    let names = &types.definition("Metric")["anyOf"][0]["enum"];
    for name in names.as_array().unwrap() {
        let row = format!("| `{}` |", name.as_str().unwrap());
        assert!(page.text.contains(&row), "{row}");
    }
}
