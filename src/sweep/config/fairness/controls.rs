//! The rows without which a gain of linked heads may be that of the heads, or of nothing: the same heads without links,
//! and the same loss on one head.

use serde_json::Value;

use super::{BrokenRule, Rule, SettingKey};
use crate::config::{Method, Point, as_written};

/// Keys that controls need not share with a method: its name, and what links and joins heads.
const OF_LINKS: [&str; 3] = ["name", "links", "join"];

/// The methods with links that lack a control under some combination of axis values.
pub(super) fn missing(points: &[Point]) -> Option<BrokenRule> {
    let (point, lacking) = points
        .iter()
        .enumerate()
        .map(|(position, point)| (position, lacking(point)))
        .find(|(_, lacking)| !lacking.is_empty())?;
    let first = lacking.first()?.method.to_owned();
    let what: Vec<String> = lacking.iter().map(Lacking::to_words).collect();
    Some(BrokenRule {
        rule: Rule::F13,
        what: what.join("; "),
        point,
        key: SettingKey::OfMethod(first, "links".to_owned()),
    })
}

/// A method with links, and the controls that are not there.
struct Lacking<'p> {
    method: &'p str,
    without_links: bool,
    on_one_head: bool,
}

impl Lacking<'_> {
    fn to_words(&self) -> String {
        let rows = match (self.without_links, self.on_one_head) {
            (true, true) => "neither a row with its heads without links nor one with one head",
            (true, false) => "no row with its heads without links",
            (false, _) => "no row with one head",
        };
        format!("{}: {rows}", self.method)
    }
}

fn lacking(point: &Point) -> Vec<Lacking<'_>> {
    let (linked, others): (Vec<&Method>, Vec<&Method>) = point
        .methods
        .iter()
        .partition(|method| !method.table.links.are_none());
    if linked.is_empty() {
        return Vec::new();
    }
    let with_heads: Vec<Value> = others
        .iter()
        .map(|other| without(other, point, &[]))
        .collect();
    let plain = others.iter().filter(|other| other.table.heads.is_none());
    let plain: Vec<Value> = plain.map(|other| without(other, point, &[])).collect();
    let all = linked.into_iter().map(|method| Lacking {
        method: &method.table.name,
        without_links: !with_heads.contains(&without(method, point, &[])),
        on_one_head: !plain.contains(&without(method, point, &["heads"])),
    });
    all.filter(|lacking| lacking.without_links || lacking.on_one_head)
        .collect()
}

/// A method as the file has it, without what links its heads and without these keys.
fn without(method: &Method, point: &Point, keys: &[&str]) -> Value {
    let mut written = as_written(method, &point.training).0;
    if let Value::Object(settings) = &mut written {
        settings
            .retain(|key, _| !OF_LINKS.contains(&key.as_str()) && !keys.contains(&key.as_str()));
    }
    written
}
