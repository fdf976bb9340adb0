//! Which numbers a loss's settings may be.

use serde_json::Value;

use super::Loss;

/// Settings that must be above 0, by loss.
const POSITIVE: &[(&str, &[&str])] = &[
    ("contrastive", &["power"]),
    ("lifted_dm", &["alpha", "beta"]),
    ("binomial", &["alpha", "cost"]),
    ("binomial_dm", &["alpha", "beta"]),
    ("nca", &["scale"]),
    ("nca_dm", &["alpha", "k"]),
    ("semi_hard_dm", &["alpha", "beta"]),
    ("multi_similarity", &["alpha", "beta"]),
    ("nt_xent", &["temperature"]),
    ("sup_con", &["temperature"]),
    ("circle", &["gamma"]),
    ("angular", &["alpha"]),
    ("fast_ap", &["bins"]),
    ("histogram", &["bins"]),
    ("smooth_ap", &["temperature"]),
    ("recall_at_k", &["rank_temperature", "k_temperature"]),
    ("hierarchical_triplet", &["levels"]),
    ("proxy_nca", &["scale"]),
    ("proxy_nca_pp", &["temperature"]),
    ("proxy_anchor", &["alpha"]),
    ("normalised_softmax", &["temperature"]),
    ("cos_face", &["scale"]),
    ("arc_face", &["scale"]),
    ("soft_triple", &["centres", "la", "gamma"]),
];

/// Settings that must not be below 0, by loss.
const NOT_NEGATIVE: &[(&str, &[&str])] = &[
    ("margin", &["nu"]),
    ("clustering", &["gamma"]),
    ("soft_triple", &["regulariser"]),
];

impl Loss {
    /// The first setting that cannot be what it is, by name, and why. A sum has none itself.
    pub fn out_of_range(&self) -> Option<(String, String)> {
        let name = self.name();
        let settings = serde_json::to_value(self).unwrap_or_default();
        let fields = settings.get(&name).and_then(Value::as_object)?;
        let has = |rules: &[(&str, &[&str])], key: &str| {
            rules
                .iter()
                .any(|(loss, keys)| *loss == name && keys.contains(&key))
        };
        fields.iter().find_map(|(key, value)| {
            let fault = match value.as_f64() {
                Some(number) if number <= 0.0 && has(POSITIVE, key) => {
                    Some("expected a number above 0".to_owned())
                }
                Some(number) if number < 0.0 && has(NOT_NEGATIVE, key) => {
                    Some("expected a number of at least 0".to_owned())
                }
                Some(_) | None => fault(value),
            };
            Some((key.clone(), fault?))
        })
    }
}

fn fault(value: &Value) -> Option<String> {
    match value {
        // JSON has no other way to write a number that is not finite.
        Value::Null => Some("expected a finite number".to_owned()),
        Value::Array(numbers) if numbers.is_empty() => Some("the list is empty".to_owned()),
        Value::Array(numbers) if numbers.iter().any(|number| number.as_u64() == Some(0)) => {
            Some("expected numbers above 0".to_owned())
        }
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NtXent, RecallAtK, Triplet};

    #[test]
    fn defaults_are_in_range() {
        for loss in Loss::every() {
            assert_eq!(loss.out_of_range(), None, "{loss:?}");
        }
    }

    #[test]
    fn every_rule_is_about_a_setting_that_exists() {
        let rules = POSITIVE
            .iter()
            .map(|rule| (rule, 0))
            .chain(NOT_NEGATIVE.iter().map(|rule| (rule, -1)));
        for ((name, keys), wrong) in rules {
            let loss = Loss::every()
                .into_iter()
                .find(|loss| loss.name() == *name)
                .unwrap();
            let mut text = serde_json::to_value(loss).unwrap();
            for key in *keys {
                text[name][key] = Value::from(wrong);
                let changed: Loss = serde_json::from_value(text.clone()).unwrap();
                assert_eq!(
                    changed.out_of_range().map(|(key, _)| key).as_deref(),
                    Some(*key)
                );
                text[name][key] = Value::from(1);
            }
        }
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let margin = Loss::Triplet(Triplet {
            margin: f64::NAN,
            ..Triplet::default()
        });
        assert_eq!(margin.out_of_range().unwrap().0, "margin");
        let cold = Loss::NtXent(NtXent { temperature: 0.0 });
        assert_eq!(cold.out_of_range().unwrap().0, "temperature");
        let none = Loss::RecallAtK(RecallAtK {
            ks: vec![],
            ..RecallAtK::default()
        });
        assert_eq!(none.out_of_range().unwrap().0, "ks");
    }
}
