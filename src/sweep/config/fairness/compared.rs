//! What has to be the same for all methods, and whether it is.
//!
//! On each data set, every trained method has to be there under the same values: with one trunk, or each with the same
//! two. So an axis over the embedding size is fair, and a row that has a size of its own is not.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use schema::{EmbeddingHead, Model, canonical_json, renamed::as_read};
use serde::Serialize;
use serde_json::Value;

use super::{BrokenRule, Rule, SettingKey};
use crate::config::{Method, Point, TrainingTable};

/// What has to be the same for all methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Compared {
    Trunk,
    Taps,
    Weights,
    Embedding,
    Networks,
    Batch,
    Images,
    LossOptimizer,
    Optimizer,
    SearchBudget,
    Steps,
    Surveys,
    Selection,
}

impl Compared {
    /// Returns the rule that demands it.
    fn rule(self) -> Rule {
        match self {
            Compared::Trunk | Compared::Taps => Rule::F1,
            Compared::Weights => Rule::F2,
            Compared::Embedding | Compared::Networks => Rule::F3,
            Compared::Batch => Rule::F4,
            Compared::Images => Rule::F5,
            Compared::LossOptimizer | Compared::Optimizer => Rule::F6,
            Compared::SearchBudget | Compared::Steps | Compared::Surveys => Rule::F7,
            Compared::Selection => Rule::F9,
        }
    }
}

/// One condition under which a method is trained.
#[derive(Clone)]
struct ComparedSetting {
    compared: Compared,
    /// The key that decides it.
    key: SettingKey,
    value: String,
    /// The value in a word or two; empty if it takes more.
    shown: String,
}

impl ComparedSetting {
    fn shared(compared: Compared, key: &str, value: String, shown: String) -> ComparedSetting {
        ComparedSetting {
            compared,
            key: SettingKey::Shared(key.to_owned()),
            value,
            shown,
        }
    }

    /// A value that is compared as it is shown.
    fn as_shown(compared: Compared, key: &str, shown: String) -> ComparedSetting {
        ComparedSetting::shared(compared, key, shown.clone(), shown)
    }
}

/// The conditions of a method: each value with the first point where the method has it.
type SeenValues = BTreeMap<Compared, BTreeMap<String, Sight>>;

struct Sight {
    point: usize,
    condition: ComparedSetting,
}

/// A method of a data set and all conditions under which it is trained there.
struct MethodSeen<'a> {
    name: &'a str,
    seen: SeenValues,
}

impl MethodSeen<'_> {
    /// Returns the values of one condition, or `None` if the method does not have it.
    fn values(&self, compared: Compared) -> Option<Vec<&str>> {
        let values = self.seen.get(&compared)?.keys();
        Some(values.map(String::as_str).collect())
    }

    /// Returns the values of one condition in words.
    fn shown(&self, compared: Compared) -> String {
        let sights = self.seen.get(&compared).into_iter();
        let shown: Vec<&str> = sights
            .flat_map(BTreeMap::values)
            .map(|sight| sight.condition.shown.as_str())
            .collect();
        shown.join(" and ")
    }

    fn add(&mut self, point: usize, condition: &ComparedSetting) {
        let values = self.seen.entry(condition.compared).or_default();
        let value = condition.value.clone();
        values.entry(value).or_insert_with(|| Sight {
            point,
            condition: condition.clone(),
        });
    }
}

/// The methods of a data set in their order, found by name.
#[derive(Default)]
struct MethodsSeen<'a> {
    methods: Vec<MethodSeen<'a>>,
    indices: HashMap<&'a str, usize>,
}

impl<'a> MethodsSeen<'a> {
    /// Returns the method with this name, a new one if there is none.
    fn named(&mut self, name: &'a str) -> &mut MethodSeen<'a> {
        let index = *self.indices.entry(name).or_insert(self.methods.len());
        if index == self.methods.len() {
            self.methods.push(MethodSeen {
                name,
                seen: SeenValues::new(),
            });
        }
        &mut self.methods[index]
    }
}

/// Returns the rules that do not hold because methods differ, each once.
pub(super) fn check(points: &[Point]) -> Vec<BrokenRule> {
    let mut datasets: BTreeMap<String, MethodsSeen<'_>> = BTreeMap::new();
    for (index, point) in points.iter().enumerate() {
        let shared = of_point(point);
        let methods = datasets.entry(canonical_json(&point.dataset)).or_default();
        for method in trained(point) {
            let seen = methods.named(&method.table.name);
            for condition in shared.iter().chain(&of_method(point, method)) {
                seen.add(index, condition);
            }
        }
    }
    let mut found: Vec<BrokenRule> = Vec::new();
    for MethodsSeen { methods, .. } in datasets.values() {
        let compared: BTreeSet<Compared> = methods
            .iter()
            .flat_map(|method| method.seen.keys().copied())
            .collect();
        for compared in compared {
            let is_known = found.iter().any(|known| known.rule == compared.rule());
            if !is_known {
                found.extend(differing(methods, compared));
            }
        }
    }
    found
}

fn trained(point: &Point) -> impl Iterator<Item = &Method> {
    let methods = point.methods.iter();
    methods.filter(|method| method.table.loss.is_some())
}

/// Returns the methods that have other values than most, if there are any.
fn differing(methods: &[MethodSeen<'_>], compared: Compared) -> Option<BrokenRule> {
    let all: Vec<(&MethodSeen<'_>, Vec<&str>)> = methods
        .iter()
        .filter_map(|method| Some((method, method.values(compared)?)))
        .collect();
    let mut votes: HashMap<&[&str], usize> = HashMap::new();
    for (_, values) in &all {
        *votes.entry(values).or_default() += 1;
    }
    // The first of those that most have.
    let (usual, usual_values) = all
        .iter()
        .rev()
        .max_by_key(|(_, values)| votes[values.as_slice()])?;
    let others: Vec<_> = all
        .iter()
        .filter(|(_, values)| values != usual_values)
        .collect();
    let (first, values) = others.first()?;
    let own = values
        .iter()
        .find(|value| !usual_values.contains(value))
        .or(values.first())?;
    let sight = first.seen.get(&compared)?.get(*own)?;
    let ours = first.shown(compared);
    let theirs = usual.shown(compared);
    let names: Vec<&str> = others.iter().map(|(method, _)| method.name).collect();
    let words = if ours == theirs {
        format!("other settings than {}", usual.name)
    } else {
        format!("{ours} ({}: {theirs})", usual.name)
    };
    Some(BrokenRule {
        rule: compared.rule(),
        what: format!("{}: {words}", names.join("; ")),
        point: sight.point,
        key: sight.condition.key.clone(),
    })
}

/// What all methods of a point have in common.
fn of_point(point: &Point) -> Vec<ComparedSetting> {
    let (model, training) = (&point.model, &point.training);
    let images = canonical_json(&(point.images, &point.transform, point.training_images));
    let choice = canonical_json(&(training.select, training.validate_every, training.patience));
    vec![
        trunk(model),
        weights(model),
        embedding(model),
        ComparedSetting::shared(Compared::Images, "transform", images, String::new()),
        optimizer(training),
        steps(training),
        ComparedSetting::shared(
            Compared::Selection,
            "training.select",
            choice,
            training.selecting().heading(),
        ),
    ]
}

/// Returns the backbone apart from its weights, with all that changes its features.
fn trunk(model: &Model) -> ComparedSetting {
    let backbone = model.backbone.clone();
    let backbone = match backbone.weights() {
        Some(_) => backbone.with_weights(schema::Weights::missing()),
        None => backbone,
    };
    let whole = (
        &backbone,
        model.pooling,
        model.layer_norm,
        &model.head,
        model.normalize,
        model.batch_norm,
        &model.freeze,
        model.precision,
        model.tf32,
        model.drop_path,
        &model.lora,
    );
    let shown = name_of(&backbone);
    ComparedSetting::shared(
        Compared::Trunk,
        "model.backbone",
        canonical_json(&whole),
        shown,
    )
}

fn weights(model: &Model) -> ComparedSetting {
    let weights = model.backbone.weights();
    let shown = weights.map_or_else(|| "random".to_owned(), canonical_json);
    ComparedSetting::as_shown(Compared::Weights, "model.backbone", shown)
}

fn embedding(model: &Model) -> ComparedSetting {
    let shown = match model.embedding {
        Some(width) => format!("{width}-d"),
        None => "no embedding layer".to_owned(),
    };
    ComparedSetting::as_shown(Compared::Embedding, "model.embedding", shown)
}

fn optimizer(training: &TrainingTable) -> ComparedSetting {
    let family = name_of(&training.optimizer);
    let whole = (
        &family,
        training.weight_decay_on,
        training.layer_decay,
        &training.ema,
    );
    let value = canonical_json(&whole);
    ComparedSetting::shared(Compared::Optimizer, "training.optimizer", value, family)
}

fn steps(training: &TrainingTable) -> ComparedSetting {
    let shown = format!("{} steps", training.steps);
    ComparedSetting::as_shown(Compared::Steps, "training.steps", shown)
}

/// What a method may have of its own.
fn of_method(point: &Point, method: &Method) -> Vec<ComparedSetting> {
    let mut settings = vec![
        batch(point, method),
        search_budget(method),
        networks(method),
        surveys(point, method),
        below_the_heads(point, method),
    ];
    settings.extend(loss_optimizer(point, method));
    settings
}

/// Returns the number of images that decide a step.
fn batch(point: &Point, method: &Method) -> ComparedSetting {
    let (training, own) = (&point.training, method.table.sampler.as_ref());
    let sampled = own.unwrap_or(&training.sampler).batch();
    let images = u64::from(sampled).saturating_mul(training.accumulate.unwrap_or(1));
    ComparedSetting {
        compared: Compared::Batch,
        key: key_of(method, own, "sampler", "training.sampler"),
        value: images.to_string(),
        shown: format!("{images} images in a step"),
    }
}

fn search_budget(method: &Method) -> ComparedSetting {
    let shown = match &method.search {
        Some(search) => format!("{} trials of a search", search.trials()),
        None => "nothing searched".to_owned(),
    };
    ComparedSetting {
        compared: Compared::SearchBudget,
        key: SettingKey::OfMethod(method.table.name.clone(), "loss".to_owned()),
        value: shown.clone(),
        shown,
    }
}

/// Returns the family of the optimizer of the loss's own parameters, if there are any.
fn loss_optimizer(point: &Point, method: &Method) -> Option<ComparedSetting> {
    if !method.table.has_parameters() {
        return None;
    }
    let (training, own) = (&point.training, method.table.loss_optimizer.as_ref());
    let shared = training.loss_optimizer.as_ref();
    let family = name_of(own.or(shared).unwrap_or(&training.optimizer));
    Some(ComparedSetting {
        compared: Compared::LossOptimizer,
        key: key_of(method, own, "loss_optimizer", "training.loss_optimizer"),
        shown: format!("{family} for its own parameters"),
        value: family,
    })
}

/// Returns the key of a setting that a method may have of its own.
fn key_of<T>(method: &Method, setting: Option<T>, own: &str, shared: &str) -> SettingKey {
    match setting {
        Some(_) => SettingKey::OfMethod(method.table.name.clone(), own.to_owned()),
        None => SettingKey::Shared(shared.to_owned()),
    }
}

/// Returns of how many networks the result of a method is: their embeddings are joined.
fn networks(method: &Method) -> ComparedSetting {
    let shown = match method.table.label_maps {
        Some(maps) => format!("{} networks joined", maps.members),
        None => "one network".to_owned(),
    };
    ComparedSetting {
        compared: Compared::Networks,
        key: SettingKey::OfMethod(method.table.name.clone(), "label_maps".to_owned()),
        value: shown.clone(),
        shown,
    }
}

/// Returns the passes over the training images that a method makes beside its steps.
fn surveys(point: &Point, method: &Method) -> ComparedSetting {
    let survey = point.training.survey.as_ref();
    let table = &method.table;
    let sampler = table.sampler_in(&point.training);
    let asks = table.needs_survey() || sampler.needs_survey();
    let made = survey.filter(|_| asks);
    let shown = match made {
        Some(survey) => {
            let (unit, every) = survey.every.named();
            format!("a survey of the training images every {every} {unit}")
        }
        None => "no surveys".to_owned(),
    };
    ComparedSetting::shared(
        Compared::Surveys,
        "training.survey",
        canonical_json(&made),
        shown,
    )
}

/// Returns what a method has between the shared trunk and the last layers of its heads: another trunk, in effect.
fn below_the_heads(point: &Point, method: &Method) -> ComparedSetting {
    let heads = method.table.model(&point.model).heads;
    let plain = EmbeddingHead::of_width(1);
    let of_one_width = |head: &EmbeddingHead| EmbeddingHead {
        width: plain.width,
        ..head.clone()
    };
    let differing: Vec<EmbeddingHead> = heads
        .iter()
        .map(of_one_width)
        .filter(|head| *head != plain)
        .collect();
    let taps: Vec<&str> = heads
        .iter()
        .filter_map(|head| head.tap.as_deref())
        .collect();
    let mut shown = match taps.is_empty() {
        true => "all heads on the last map".to_owned(),
        false => format!("heads on {}", taps.join(", ")),
    };
    if heads.iter().any(has_layers_of_its_own) {
        shown += ", with layers or dropout of their own";
    }
    ComparedSetting {
        compared: Compared::Taps,
        key: key_of(method, method.table.heads.as_ref(), "heads", "model.heads"),
        value: canonical_json(&differing),
        shown,
    }
}

fn has_layers_of_its_own(head: &EmbeddingHead) -> bool {
    head.auxiliary.is_some() || head.layers.is_some() || head.dropout > 0.0
}

/// The name of a choice.
fn name_of(choice: &impl Serialize) -> String {
    match as_read(choice) {
        Value::String(name) => name,
        Value::Object(variant) => variant
            .into_iter()
            .next()
            .map(|(name, _)| name)
            .unwrap_or_default(),
        _ => String::new(),
    }
}

/// Methods with several rows on the same data, told apart by settings of their own.
pub(super) fn chosen_on_test(points: &[Point]) -> Option<BrokenRule> {
    let mut found: Vec<(usize, RowsOfMethod<'_>)> = Vec::new();
    for (place, point) in points.iter().enumerate() {
        for rows in rows_of_methods(point) {
            if rows.count > 1 && found.iter().all(|(_, known)| known.method != rows.method) {
                found.push((place, rows));
            }
        }
    }
    let (place, first) = found.first()?;
    let key = SettingKey::OfMethod(first.method.to_owned(), first.axis.to_owned());
    let shown: Vec<String> = found
        .iter()
        .take(FEW)
        .map(|(_, rows)| rows.in_words())
        .collect();
    let more = match found.len().checked_sub(FEW) {
        Some(more @ 1..) => format!(" and {more} other methods likewise"),
        _ => String::new(),
    };
    Some(BrokenRule {
        rule: Rule::F10,
        what: format!(
            "{}{more}: the best of them is chosen on test classes",
            shown.join(", ")
        ),
        point: *place,
        key,
    })
}

/// Of more methods than this, the rest is counted.
const FEW: usize = 5;

/// The rows of a trained method at one point.
struct RowsOfMethod<'a> {
    method: &'a str,
    /// The first of its own settings in which they differ.
    axis: &'a str,
    count: usize,
}

impl RowsOfMethod<'_> {
    fn in_words(&self) -> String {
        let RowsOfMethod {
            method,
            axis,
            count,
        } = self;
        format!("{method} has {count} rows that differ in `{axis}`")
    }
}

fn rows_of_methods(point: &Point) -> Vec<RowsOfMethod<'_>> {
    let mut all: Vec<RowsOfMethod<'_>> = Vec::new();
    for method in trained(point) {
        let name = method.table.name.as_str();
        match all.iter_mut().find(|rows| rows.method == name) {
            Some(rows) => rows.count += 1,
            None => all.extend(method.settings.first().map(|setting| RowsOfMethod {
                method: name,
                axis: &setting.axis,
                count: 1,
            })),
        }
    }
    all
}
