//! The checks of a loss.

use std::collections::BTreeMap;

use schema::{LossPart, Script, ScriptCheck, ScriptChecked, ScriptProperty};
use tch::{Device, Kind, Tensor};

use super::{
    super::{ScriptError, Scripts},
    CLASSES, IMAGES, Probe, WIDTH, check, clause, milliseconds, moved, small_batches, timed_batch,
};
use crate::{
    distance::normalize,
    loss::{self, ClassInit, Loss, LossInput, ScriptedLoss},
    parameters::Parameters,
    tuples::References,
};

/// Largest relative difference of two computations of the same number.
const EQUAL: f64 = 1e-6;
/// Largest relative difference of a gradient from a difference quotient.
const NEAR: f64 = 1e-3;

const INIT: ClassInit = ClassInit {
    classes: CLASSES,
    width: WIDTH,
    seed: 0,
    part: 0,
    device: Device::Cpu,
};

/// Checks a loss. What it is not is in the result.
///
/// # Errors
/// If the module cannot be loaded, or has no such settings.
pub fn check_loss(script: &Script, scripts: &Scripts) -> Result<ScriptChecked, ScriptError> {
    let mut loss = ScriptedLoss::new(script, scripts, &INIT)?;
    let parameters = loss.parameters().into_iter().flat_map(Parameters::named);
    let parameters: BTreeMap<String, Vec<i64>> = parameters
        .map(|(name, tensor)| (name.to_owned(), tensor.size()))
        .collect();
    let (embeddings, labels) = timed_batch();
    let own = ScriptedLoss::new(script, scripts, &of_timed_batch())?;
    if let Some(parameters) = loss.parameters_mut() {
        parameters.convert_to_double();
    }
    let checks = checks(&loss);
    let works = checks.len() > 1;
    let beside = schema::MultiSimilarity::default();
    Ok(ScriptChecked {
        settings: loss.module().setting_values(),
        equals: equals(&loss),
        milliseconds: if works {
            time(&own, &embeddings, &labels)
        } else {
            0.0
        },
        beside: (
            schema::Loss::from(beside.clone()).key().to_owned(),
            time(&beside, &embeddings, &labels),
        ),
        parameters,
        checks,
    })
}

fn of_timed_batch() -> ClassInit {
    ClassInit {
        classes: 32,
        width: 128,
        ..INIT
    }
}

fn checks(loss: &ScriptedLoss) -> Vec<ScriptCheck> {
    let probe = Probe::new(1);
    let first = match computed(loss, &probe) {
        Ok(first) if first.is_finite() => first,
        Ok(_) => {
            let fault = "its value or its gradient is not finite for an ordinary batch".to_owned();
            return vec![check(ScriptProperty::Contract, Err(fault))];
        }
        Err(fault) => return vec![check(ScriptProperty::Contract, Err(fault))],
    };
    let mut checks = vec![
        check(ScriptProperty::Contract, Ok(())),
        check(ScriptProperty::Repeats, repeats(loss, &probe, &first)),
        check(ScriptProperty::Order, order(loss, &probe, &first)),
    ];
    if !loss.has_parameters() {
        let renamed = computed(loss, &probe.renamed());
        let found =
            renamed.and_then(|renamed| first.agrees(&renamed, "if classes have other numbers"));
        checks.push(check(ScriptProperty::ClassNames, found));
    }
    let memory = computed_with(loss, &probe, Probe::memory);
    let in_memory =
        memory.and_then(|memory| first.agrees_in_value(&memory, "with the batch in a memory"));
    checks.push(check(ScriptProperty::Memory, in_memory));
    checks.push(check(ScriptProperty::SmallBatches, small(loss)));
    checks.push(check(ScriptProperty::Gradient, slope(loss, &probe, &first)));
    checks
}

/// A value, and its gradient with respect to the embeddings before normalization.
struct Computed {
    value: f64,
    gradient: Tensor,
}

impl Computed {
    fn agrees(&self, other: &Computed, when: &str) -> Result<(), String> {
        self.agrees_in_value(other, when)?;
        match is_near(&self.gradient, &other.gradient, EQUAL) {
            true => Ok(()),
            false => Err(format!("its gradient differs {when}")),
        }
    }

    fn agrees_in_value(&self, other: &Computed, when: &str) -> Result<(), String> {
        let scale = self.value.abs().max(1e-12);
        match (self.value - other.value).abs() <= EQUAL * scale {
            true => Ok(()),
            false => Err(format!(
                "its value is {} {when}, and {} otherwise",
                other.value, self.value
            )),
        }
    }

    fn is_finite(&self) -> bool {
        self.value.is_finite() && self.gradient.isfinite().all().int64_value(&[]) != 0
    }
}

/// True if two tensors differ by less than this share of the largest element.
fn is_near(one: &Tensor, other: &Tensor, tolerance: f64) -> bool {
    let scale = one.abs().max().double_value(&[]).max(1e-12);
    (one - other).abs().max().double_value(&[]) <= tolerance * scale
}

fn computed(loss: &ScriptedLoss, probe: &Probe) -> Result<Computed, String> {
    computed_with(loss, probe, Probe::references)
}

fn computed_with(
    loss: &ScriptedLoss,
    probe: &Probe,
    references: impl Fn(&Probe, &Tensor) -> References,
) -> Result<Computed, String> {
    let raw = probe.raw.detach().set_requires_grad(true);
    let embeddings = normalize(&raw);
    let references = references(probe, &embeddings);
    let labels = probe.labels();
    let input = LossInput::with(&embeddings, &labels, &references, loss);
    let value = loss.value(&input).map_err(clause)?.mean(None::<Kind>);
    if !value.requires_grad() {
        return Ok(Computed {
            value: 0.0,
            gradient: raw.zeros_like().detach(),
        });
    }
    let gradient = Tensor::run_backward(&[&value], &[&raw], false, false).remove(0);
    Ok(Computed {
        value: value.double_value(&[]),
        gradient,
    })
}

fn repeats(loss: &ScriptedLoss, probe: &Probe, first: &Computed) -> Result<(), String> {
    let again = computed(loss, probe)?;
    if again.value == first.value && again.gradient == first.gradient {
        return Ok(());
    }
    Err("the same batch gives another value: random numbers would make a continued training another one".to_owned())
}

fn order(loss: &ScriptedLoss, probe: &Probe, first: &Computed) -> Result<(), String> {
    let reordered = computed(loss, &probe.reordered())?;
    let from: Vec<i64> = (0..IMAGES).map(moved).collect();
    let first_gradient = first.gradient.index_select(0, &Tensor::from_slice(&from));
    let first = Computed {
        gradient: first_gradient,
        ..*first
    };
    first.agrees(&reordered, "if the images are in another order")
}

fn small(loss: &ScriptedLoss) -> Result<(), String> {
    for (words, probe) in small_batches() {
        let found = computed(loss, &probe).map_err(|fault| format!("with {words}, {fault}"))?;
        if !found.is_finite() {
            return Err(format!(
                "with {words}, its value or its gradient is not finite"
            ));
        }
    }
    Ok(())
}

/// Compares the gradient with difference quotients along three directions.
fn slope(loss: &ScriptedLoss, probe: &Probe, first: &Computed) -> Result<(), String> {
    const STEP: f64 = 1e-6;
    if first.gradient.abs().max().double_value(&[]) == 0.0 {
        return Err("it is zero: nothing is learned".to_owned());
    }
    for seed in 10..13 {
        let direction = Probe::of(&probe.labels, seed).raw;
        let moved = |step: f64| {
            let probe = Probe {
                raw: &probe.raw + &direction * step,
                labels: probe.labels.clone(),
            };
            computed(loss, &probe)
        };
        let quotient = (moved(STEP)?.value - moved(-STEP)?.value) / (2.0 * STEP);
        let slope = (&first.gradient * &direction)
            .sum(None::<Kind>)
            .double_value(&[]);
        let scale = slope.abs().max(quotient.abs()).max(1e-3);
        if (slope - quotient).abs() > NEAR * scale {
            return Err(format!(
                "along a direction the value rises by {quotient}, and the gradient says {slope}"
            ));
        }
    }
    Ok(())
}

/// Returns the keys of the built-in losses that are the same function at their defaults.
fn equals(own: &ScriptedLoss) -> Vec<String> {
    let of_probes = || [1, 2].map(Probe::new);
    let found: Result<Vec<Computed>, String> = of_probes()
        .iter()
        .map(|probe| computed(own, probe))
        .collect();
    let Ok(found) = found else {
        return Vec::new();
    };
    let is_equal = |built_in: &dyn Loss| {
        let both = found.iter().zip(of_probes());
        both.into_iter().all(|(own, probe)| {
            let other = built_in_value(built_in, &probe);
            own.agrees(&other, "").is_ok()
        })
    };
    let losses = schema::Loss::every().into_iter();
    losses
        .filter(|loss| !loss.has_parameters())
        .filter_map(|settings| Some((settings.key(), loss::build(&settings, &INIT)?)))
        .filter(|(_, built_in)| is_equal(&**built_in))
        .map(|(key, _)| key.to_owned())
        .collect()
}

fn built_in_value(loss: &dyn Loss, probe: &Probe) -> Computed {
    let raw = probe.raw.detach().set_requires_grad(true);
    let embeddings = normalize(&raw);
    let labels = probe.labels();
    let references = probe.references(&embeddings);
    let input = LossInput::with(&embeddings, &labels, &references, loss);
    let value = input.cost(loss, loss.reduction()).value;
    let gradient = Tensor::run_backward(&[&value], &[&raw], false, false).remove(0);
    Computed {
        value: value.double_value(&[]),
        gradient,
    }
}

/// Returns the milliseconds of a loss and its gradient.
fn time(loss: &dyn Loss, embeddings: &Tensor, labels: &Tensor) -> f64 {
    let leaf = embeddings.detach().set_requires_grad(true);
    milliseconds(|| {
        let references = References::batch(&leaf, labels);
        let input = LossInput::with(&leaf, labels, &references, loss);
        let value = input.cost(loss, loss.reduction()).value;
        let _ = Tensor::run_backward(&[&value], &[&leaf], false, false);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::script;

    fn checked(name: &str) -> ScriptChecked {
        let (script, scripts) = script(name);
        check_loss(&script, &scripts).unwrap()
    }

    fn faults(checked: &ScriptChecked) -> Vec<ScriptProperty> {
        let faulty = checked.checks.iter().filter(|check| check.fault.is_some());
        faulty.map(|check| check.property).collect()
    }

    #[test]
    fn a_right_loss_passes_and_is_known_as_the_built_in_one() {
        let found = checked("multi_similarity");
        assert_eq!(faults(&found), [], "{found:?}");
        assert_eq!(found.equals, ["multi_similarity"]);
        assert_eq!(found.settings["beta"], 50.0);
        assert!(found.milliseconds > 0.0 && found.beside.1 > 0.0);
    }

    #[test]
    fn a_loss_with_parameters_passes_and_tells_their_shapes() {
        let found = checked("proxy_nca");
        assert_eq!(faults(&found), [], "{found:?}");
        assert_eq!(found.parameters["proxies"], [CLASSES, WIDTH]);
        assert_eq!(found.equals, [""; 0]);
    }

    #[test]
    fn other_arguments_are_told_in_the_words_of_libtorch_and_what_they_must_be() {
        let found = checked("takes_two_tensors");
        let fault = found.checks[0].fault.as_deref().unwrap_or_default();
        assert!(fault.starts_with("forward() "), "{fault}");
        assert!(fault.ends_with("`batch: Dict[str, Tensor]`"), "{fault}");
    }

    #[test]
    fn what_is_planted_is_found() {
        use ScriptProperty::{Contract, Memory, Order, Repeats};
        let order = checked("depends_on_the_order");
        assert!(faults(&order).contains(&Order), "{order:?}");
        assert_eq!(faults(&checked("has_no_gradient")), [Contract]);
        assert_eq!(faults(&checked("returns_pairs")), [Contract]);
        assert_eq!(faults(&checked("is_not_a_number")), [Contract]);
        let random = faults(&checked("is_random"));
        assert!(
            random.contains(&Repeats) && random.contains(&Memory),
            "{random:?}"
        );
    }
}
