//! In what two runs differ: their identities, component by component, with the keys of a sweep file.

use std::{collections::BTreeSet, fmt, sync::LazyLock};

use rayon::prelude::*;
use schema::{Identity, Outcome, Record, RunId};
use serde::Serialize;
use serde_json::Value;

use super::Plan;
use crate::{
    config::{Grammar, Node},
    ledger::{Ledger, LedgerError, RunStage},
};

/// One component of an identity that two runs do not share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The kind of the component.
    pub component: Component,
    /// Its key: that of the sweep file, if it has one.
    pub key: String,
    /// Its value in the first run; none if it is not set.
    pub left: Option<Value>,
    /// Its value in the second run.
    pub right: Option<Value>,
}

/// The kinds of components, in the order in which differences are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// A setting of the recipe.
    Recipe,
    /// The content of the data.
    Data,
    /// The part of the training classes that is held out.
    Fold,
    /// The seed.
    Seed,
    /// The version of the recipe format.
    Schema,
    /// The kind of arithmetic.
    Arithmetic,
}

impl Component {
    /// True if it is not in the sweep file.
    fn is_outside(self) -> bool {
        match self {
            Component::Data | Component::Schema | Component::Arithmetic => true,
            Component::Recipe | Component::Fold | Component::Seed => false,
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Component::Recipe => "setting",
            Component::Data => "content of the data set",
            Component::Fold => "held-out fold",
            Component::Seed => "seed",
            Component::Schema => "version of the recipe format",
            Component::Arithmetic => "kind of arithmetic",
        })
    }
}

/// Returns the components in which two stored identities differ. Older ones may lack components.
pub fn between(left: &Value, right: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    let path = &mut Vec::new();
    let root = Some(STORED.root());
    compare(path, root, Some(left), Some(right), &mut differences);
    differences.sort_by(|a, b| (a.component, &a.key).cmp(&(b.component, &b.key)));
    differences
}

/// Returns an identity in its stored form.
pub fn stored(identity: &Identity) -> Value {
    serde_json::to_value(identity).unwrap_or_default()
}

/// Returns the finished run that differs in the fewest values, preferably with the same seed and fold,
/// and the components in which it differs; `left` is the finished run.
///
/// # Errors
/// A result is damaged.
pub fn nearest(
    run: RunId,
    identity: &Value,
    ledger: &Ledger,
) -> Result<Option<(RunId, Vec<Difference>)>, LedgerError> {
    let mut runs: Vec<RunId> = ledger.runs()?.iter().copied().collect();
    runs.retain(|other| *other != run);
    let compared: Vec<Option<Vec<Difference>>> = runs
        .par_iter()
        .map(|other| from_finished(*other, identity, ledger))
        .collect::<Result<_, _>>()?;
    let mut nearest: Option<(Distance, RunId, Vec<Difference>)> = None;
    for (run, differences) in runs.into_iter().zip(compared) {
        let Some(differences) = differences else {
            continue;
        };
        let distance = Distance::of(&differences);
        let is_nearer = nearest
            .as_ref()
            .is_none_or(|(least, other, _)| (distance, run) < (*least, *other));
        if is_nearer {
            nearest = Some((distance, run, differences));
        }
    }
    Ok(nearest.map(|(_, run, differences)| (run, differences)))
}

/// Says why the runs of a plan are not found though others have finished: the first of them differs from the nearest
/// finished run by what is not in the sweep file. None if that is not the reason.
///
/// # Errors
/// A result is damaged.
pub fn cause_of_absence(plan: &Plan, ledger: &Ledger) -> Result<Option<Component>, LedgerError> {
    let members = plan.members.iter().map(|member| member.run);
    let planned = members.filter_map(|run| plan.runs.get_key_value(&run));
    let mut absent = planned.filter(|(run, _)| !ledger.has_result(**run));
    let Some((&run, planned)) = absent.next() else {
        return Ok(None);
    };
    let nearest = nearest(run, &stored(&planned.identity()), ledger)?;
    let differences = nearest.map_or_else(Vec::new, |(_, differences)| differences);
    let mut components = differences.iter().map(|difference| difference.component);
    Ok(components.find(|component| component.is_outside()))
}

/// Returns the same in words.
pub fn absence_in_words(cause: Component) -> String {
    format!("the finished runs have another {cause}")
}

/// The differences of an identity from that of a finished run; none if the run has not finished, or
/// its training broke down.
fn from_finished(
    run: RunId,
    identity: &Value,
    ledger: &Ledger,
) -> Result<Option<Vec<Difference>>, LedgerError> {
    let Some(theirs) = ledger.identity(run)? else {
        return Ok(None);
    };
    match ledger.state(run)? {
        RunStage::Recorded(Record {
            outcome: Outcome::Finished(_),
            ..
        }) => Ok(Some(between(&theirs, identity))),
        RunStage::Recorded(_) | RunStage::New | RunStage::Interrupted | RunStage::Trained(_) => {
            Ok(None)
        }
    }
}

/// How far two identities are apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Distance {
    values: usize,
    /// Whether the seed, the fold or both differ.
    draws: usize,
}

impl Distance {
    fn of(differences: &[Difference]) -> Distance {
        let mut distance = Distance {
            values: 0,
            draws: 0,
        };
        for difference in differences {
            distance.values += difference.values();
            let is_draw = matches!(difference.component, Component::Seed | Component::Fold);
            distance.draws += usize::from(is_draw);
        }
        distance
    }
}

impl Difference {
    /// The number of single values in it: another loss is more than another margin.
    fn values(&self) -> usize {
        let sides = [&self.left, &self.right].into_iter().flatten();
        sides.map(leaves).max().unwrap_or(0)
    }
}

fn leaves(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(leaves).sum::<usize>(),
        _ => 1,
    }
}

/// What an identity may look like.
static STORED: LazyLock<Grammar> = LazyLock::new(Grammar::of_stored::<Identity>);

/// Finds the differences at a path, for which the grammar has a node unless it is from an older version.
fn compare(
    path: &mut Vec<String>,
    node: Option<Node<'_>>,
    left: Option<&Value>,
    right: Option<&Value>,
    differences: &mut Vec<Difference>,
) {
    if left == right {
        return;
    }
    if let (Some(Value::Object(ours)), Some(Value::Object(theirs))) = (left, right)
        && !chooses_another(node, ours, theirs)
    {
        let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        for key in keys {
            path.push(key.clone());
            let node = node.and_then(|node| node.child(key));
            compare(path, node, ours.get(key), theirs.get(key), differences);
            path.pop();
        }
        return;
    }
    let (component, key) = spelled(path);
    differences.push(Difference {
        component,
        key,
        left: left.cloned(),
        right: right.cloned(),
    });
}

/// True if two tables choose different things, such as `{ triplet = { .. } }` and `{ circle = { .. } }`.
fn chooses_another(
    node: Option<Node<'_>>,
    ours: &serde_json::Map<String, Value>,
    theirs: &serde_json::Map<String, Value>,
) -> bool {
    node.is_some_and(Node::is_choice) && ours.keys().ne(theirs.keys())
}

/// True if a setting of a training stands in a `[[method]]` of a sweep file and nowhere else.
fn is_of_method(key: &str) -> bool {
    let root = Grammar::of_sweep_files().root();
    let has_key = |table: &[&str]| {
        let table = root.descend(table);
        table.and_then(|table| table.child(key)).is_some()
    };
    has_key(&["method", "0"]) && !has_key(&["training"])
}

/// The key as a sweep file has it.
fn spelled(path: &[String]) -> (Component, String) {
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    match parts[..] {
        ["recipe", "fold", ..] => (Component::Fold, "fold".to_owned()),
        ["recipe", "seed"] => (Component::Seed, "seed".to_owned()),
        ["recipe", "dataset", ref rest @ ..] => (Component::Recipe, dotted("data.dataset", rest)),
        ["recipe", "images", "size", "square"] => (Component::Recipe, "data.image_size".to_owned()),
        ["recipe", "images", "size", "short_side"] => (Component::Recipe, "data.resize".to_owned()),
        ["recipe", "images", ref rest @ ..] => (Component::Recipe, dotted("data", rest)),
        ["recipe", "training", "images", ref rest @ ..] => {
            (Component::Recipe, dotted("data", rest))
        }
        ["recipe", "training", part, ref rest @ ..] if is_of_method(part) => {
            (Component::Recipe, dotted(part, rest))
        }
        ["recipe", first, ref rest @ ..] => (Component::Recipe, dotted(first, rest)),
        ["data", ..] => (Component::Data, "data".to_owned()),
        ["schema"] => (Component::Schema, "schema".to_owned()),
        ["numerics", "cpu", "threads"] => (Component::Arithmetic, "resources.threads".to_owned()),
        ["numerics", ..] => (Component::Arithmetic, "resources.device".to_owned()),
        _ => (Component::Recipe, parts.join(".")),
    }
}

fn dotted(first: &str, rest: &[&str]) -> String {
    [&[first], rest].concat().join(".")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(left: &Value, right: &Value) -> Vec<String> {
        let value =
            |value: Option<Value>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        let told = between(left, right).into_iter();
        told.map(|found| format!("{} {} {}", found.key, value(found.left), value(found.right)))
            .collect()
    }

    fn identity() -> Value {
        json!({
            "schema": 2, "data": "ab", "numerics": { "cpu": { "threads": 1, "precision": "f32" } },
            "recipe": {
                "seed": 0, "images": { "size": { "square": 28 } },
                "training": { "steps": 10, "loss": { "triplet": { "margin": 0.1 } } },
            },
        })
    }

    fn with(pointer: &str, value: Value) -> Value {
        let mut identity = identity();
        *identity.pointer_mut(pointer).unwrap() = value;
        identity
    }

    #[test]
    fn a_difference_is_named_as_the_sweep_file_spells_it() {
        assert!(told(&identity(), &identity()).is_empty());
        let cases = [
            ("/recipe/training/steps", json!(20), "training.steps 10 20"),
            (
                "/recipe/training/loss/triplet/margin",
                json!(0.2),
                "loss.triplet.margin 0.1 0.2",
            ),
            (
                "/recipe/images/size/square",
                json!(32),
                "data.image_size 28 32",
            ),
            ("/recipe/seed", json!(1), "seed 0 1"),
            ("/data", json!("cd"), "data \"ab\" \"cd\""),
            ("/schema", json!(3), "schema 2 3"),
            ("/numerics/cpu/threads", json!(2), "resources.threads 1 2"),
        ];
        for (pointer, value, expected) in cases {
            assert_eq!(told(&identity(), &with(pointer, value)), [expected]);
        }
    }

    #[test]
    fn images_that_are_trained_on_are_named_by_their_keys_in_data() {
        let noisy = |noise: f64| {
            let mut identity = identity();
            identity["recipe"]["training"]["images"] = json!({ "label_noise": noise });
            identity
        };
        assert_eq!(told(&noisy(0.2), &noisy(0.4)), ["data.label_noise 0.2 0.4"]);
        assert_eq!(
            told(&identity(), &noisy(0.2)),
            [r#"data - {"label_noise":0.2}"#]
        );
    }

    #[test]
    fn another_choice_is_one_difference_and_not_one_for_each_setting() {
        let other = with(
            "/recipe/training/loss",
            json!({ "contrastive": { "pos_margin": 0.0, "neg_margin": 0.5 } }),
        );
        assert_eq!(
            told(&identity(), &other),
            [
                r#"loss {"triplet":{"margin":0.1}} {"contrastive":{"neg_margin":0.5,"pos_margin":0.0}}"#
            ]
        );
    }

    #[test]
    fn settings_come_before_content_and_content_before_arithmetic() {
        let mut other = with("/schema", json!(3));
        other["data"] = json!("cd");
        other["recipe"]["training"]["miner"] = json!({ "semi_hard": {} });
        other["numerics"] = json!({ "cuda": { "precision": "f32" } });
        let keys: Vec<String> = between(&identity(), &other)
            .into_iter()
            .map(|found| found.key)
            .collect();
        assert_eq!(keys, ["miner", "data", "schema", "resources.device"]);
    }
}
