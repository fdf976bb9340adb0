//! What has to be the same for all methods, and whether it is.
//!
//! On each data set, every trained method has to be there under the same values: with one trunk, or each with the same
//! two. So an axis over the embedding size is fair, and a row that has a size of its own is not.

use std::collections::{BTreeMap, BTreeSet};

use schema::{Loss, canonical_json};
use serde::Serialize;
use serde_json::Value;

use super::{BrokenRule, Rule, SettingKey};
use crate::config::{Method, Point};

/// One thing that has to be the same.
#[derive(Clone)]
struct ComparedSetting {
    rule: Rule,
    /// The key that decides it.
    key: &'static str,
    /// Whether it stands in the method's own table.
    is_own: bool,
    value: String,
    /// The value in a word or two; empty if it takes more.
    shown: String,
}

impl ComparedSetting {
    fn shared(rule: Rule, key: &'static str, value: String, shown: String) -> ComparedSetting {
        ComparedSetting {
            rule,
            key,
            is_own: false,
            value,
            shown,
        }
    }
}

/// What a method has been seen under: by key, each value with the first point and method where it was.
type SeenValues<'a> = BTreeMap<(Rule, &'static str), BTreeMap<String, Sight<'a>>>;

struct Sight<'a> {
    point: usize,
    method: &'a Method,
    condition: ComparedSetting,
}

/// The rules that do not hold because methods differ, each once.
pub(super) fn check(points: &[Point]) -> Vec<BrokenRule> {
    let mut datasets: BTreeMap<String, Vec<(&str, SeenValues<'_>)>> = BTreeMap::new();
    for (place, point) in points.iter().enumerate() {
        let shared = of_point(point);
        for method in point
            .methods
            .iter()
            .filter(|method| method.table.loss.is_some())
        {
            let methods = datasets.entry(canonical_json(&point.dataset)).or_default();
            let name = method.table.name.as_str();
            let position = methods
                .iter()
                .position(|(known, _)| *known == name)
                .unwrap_or_else(|| {
                    methods.push((name, SeenValues::new()));
                    methods.len() - 1
                });
            for condition in shared.iter().chain(&of_method(point, method)) {
                let values = methods[position]
                    .1
                    .entry((condition.rule, key_of(condition)))
                    .or_default();
                if !values.contains_key(&condition.value) {
                    let sight = Sight {
                        point: place,
                        method,
                        condition: condition.clone(),
                    };
                    values.insert(condition.value.clone(), sight);
                }
            }
        }
    }
    let mut found: Vec<BrokenRule> = Vec::new();
    for methods in datasets.values() {
        let keys: BTreeSet<(Rule, &str)> = methods
            .iter()
            .flat_map(|(_, seen)| seen.keys().copied())
            .collect();
        for key in keys {
            let new = differing(methods, key)
                .filter(|new| found.iter().all(|known| known.rule != new.rule));
            found.extend(new);
        }
    }
    found
}

/// A method's own key means the same as that of all.
fn key_of(condition: &ComparedSetting) -> &'static str {
    match condition.key {
        "loss" => "search.trials",
        "sampler" => "training.sampler",
        "loss_optimizer" => "training.loss_optimizer",
        key => key,
    }
}

/// Those that have other values than most.
fn differing(methods: &[(&str, SeenValues<'_>)], key: (Rule, &str)) -> Option<BrokenRule> {
    let values = |seen: &SeenValues<'_>| -> Option<Vec<String>> {
        Some(seen.get(&key)?.keys().cloned().collect())
    };
    let all: Vec<(&str, &SeenValues<'_>, Vec<String>)> = methods
        .iter()
        .filter_map(|(name, seen)| Some((*name, seen, values(seen)?)))
        .collect();
    let votes = |values: &Vec<String>| all.iter().filter(|(_, _, other)| other == values).count();
    // The first of those that most have.
    let usual = all
        .iter()
        .rev()
        .max_by_key(|(_, _, values)| votes(values))?;
    let others: Vec<_> = all
        .iter()
        .filter(|(_, _, values)| *values != usual.2)
        .collect();
    let (_, seen, values) = others.first()?;
    let sights = seen.get(&key)?;
    let own = values
        .iter()
        .find(|value| !usual.2.contains(value))
        .or(values.first())?;
    let sight = sights.get(own)?;
    let shown = |seen: &SeenValues<'_>| {
        let sights = seen.get(&key).into_iter().flat_map(BTreeMap::values);
        sights
            .map(|sight| sight.condition.shown.as_str())
            .collect::<Vec<_>>()
            .join(" and ")
    };
    let names: Vec<&str> = others.iter().map(|(name, ..)| *name).collect();
    let words = match (shown(seen), shown(usual.1)) {
        (ours, theirs) if ours == theirs => format!("other settings than {}", usual.0),
        (ours, theirs) => format!("{ours}, {} {theirs}", usual.0),
    };
    let name = sight.method.table.name.clone();
    Some(BrokenRule {
        rule: key.0,
        what: format!("{}: {words}", names.join(", ")),
        point: sight.point,
        key: match sight.condition.is_own {
            true => SettingKey::OfMethod(name, sight.condition.key.to_owned()),
            false => SettingKey::Shared(sight.condition.key.to_owned()),
        },
    })
}

/// What all methods of a point have in common.
fn of_point(point: &Point) -> Vec<ComparedSetting> {
    let (model, training) = (&point.model, &point.training);
    let weights = model.backbone.weights();
    let trunk = match weights {
        Some(_) => model
            .backbone
            .clone()
            .with_weights(schema::Weights::missing()),
        None => model.backbone.clone(),
    };
    let whole = (
        &trunk,
        model.pooling,
        model.layer_norm,
        &model.head,
        model.normalise,
        model.batch_norm,
        &model.freeze,
        model.precision,
    );
    let weights = weights.map_or_else(|| "random".to_owned(), canonical_json);
    let width = model.embedding.map_or_else(
        || "no embedding layer".to_owned(),
        |width| format!("{width}-d"),
    );
    let steps = format!("{} steps", training.steps);
    let select = training.selecting().heading();
    let choice = canonical_json(&(training.select, training.validate_every, training.patience));
    let family = name_of(&training.optimizer);
    vec![
        ComparedSetting::shared(
            Rule::F1,
            "model.backbone",
            canonical_json(&whole),
            name_of(&trunk),
        ),
        ComparedSetting::shared(Rule::F2, "model.backbone", weights.clone(), weights),
        ComparedSetting::shared(Rule::F3, "model.embedding", width.clone(), width),
        ComparedSetting::shared(
            Rule::F5,
            "transform",
            canonical_json(&(point.images, &point.transform)),
            String::new(),
        ),
        ComparedSetting::shared(Rule::F6, "training.optimizer", family.clone(), family),
        ComparedSetting::shared(Rule::F7, "training.steps", steps.clone(), steps),
        ComparedSetting::shared(Rule::F9, "training.select", choice, select),
    ]
}

/// What a method may have of its own.
fn of_method(point: &Point, method: &Method) -> Vec<ComparedSetting> {
    let training = &point.training;
    let own_sampler = method.table.sampler.as_ref();
    let batch = u64::from(own_sampler.unwrap_or(&training.sampler).batch())
        * training.accumulate.unwrap_or(1);
    let searched = match &method.search {
        Some(search) => format!("{} trials of a search", search.trials()),
        None => "nothing searched".to_owned(),
    };
    let mut conditions = vec![
        ComparedSetting {
            rule: Rule::F4,
            key: if own_sampler.is_some() {
                "sampler"
            } else {
                "training.sampler"
            },
            is_own: own_sampler.is_some(),
            value: batch.to_string(),
            shown: format!("{batch} images in a step"),
        },
        ComparedSetting {
            rule: Rule::F7,
            key: "loss",
            is_own: true,
            value: searched.clone(),
            shown: searched,
        },
    ];
    let own = method.table.loss_optimizer.as_ref();
    if method.table.loss.as_ref().is_some_and(Loss::has_parameters) {
        let family = name_of(
            own.or(training.loss_optimizer.as_ref())
                .unwrap_or(&training.optimizer),
        );
        conditions.push(ComparedSetting {
            rule: Rule::F6,
            key: if own.is_some() {
                "loss_optimizer"
            } else {
                "training.loss_optimizer"
            },
            is_own: own.is_some(),
            shown: format!("{family} for its own parameters"),
            value: family,
        });
    }
    conditions
}

/// The name of a choice.
fn name_of(choice: &impl Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(Value::String(name)) => name,
        Ok(Value::Object(variant)) => variant
            .into_iter()
            .next()
            .map(|(name, _)| name)
            .unwrap_or_default(),
        Ok(_) | Err(_) => String::new(),
    }
}

/// A method with several rows on the same data, told apart by settings of its own.
pub(super) fn chosen_on_test(points: &[Point]) -> Option<BrokenRule> {
    for (place, point) in points.iter().enumerate() {
        for method in point
            .methods
            .iter()
            .filter(|method| method.table.loss.is_some())
        {
            let Some(setting) = method.settings.first() else {
                continue;
            };
            let name = &method.table.name;
            let rows = point
                .methods
                .iter()
                .filter(|other| other.table.name == *name)
                .count();
            let axis = &setting.axis;
            if rows > 1 {
                let what = format!(
                    "{name} has {rows} rows that differ in `{axis}`: the best of them is chosen on test classes"
                );
                return Some(BrokenRule {
                    rule: Rule::F10,
                    what,
                    point: place,
                    key: SettingKey::OfMethod(name.clone(), axis.clone()),
                });
            }
        }
    }
    None
}
