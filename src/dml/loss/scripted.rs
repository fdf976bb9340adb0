//! A loss of the user: a module of TorchScript. See [`crate::script`].

use schema::{LossFacts, LossPart, Script};
use tch::{IValue, Kind, Tensor};

use super::{ClassInit, Loss, LossInput};
use crate::{
    parameters::Parameters,
    random::{Draws, Purpose},
    reduce::{Part, Terms},
    script::{LoadedScript, ScriptError, Scripts, refused},
};

/// A loss of the user with its trained parameters, if it has any.
#[derive(Debug)]
pub struct ScriptedLoss {
    settings: Script,
    module: LoadedScript,
    parameters: Option<Parameters>,
}

impl ScriptedLoss {
    /// Returns the loss of a module, with its initial parameters.
    ///
    /// # Errors
    /// If the module cannot be used.
    pub fn new(
        settings: &Script,
        scripts: &Scripts,
        init: &ClassInit,
    ) -> Result<ScriptedLoss, ScriptError> {
        let module = LoadedScript::new(settings, scripts, init.device)?;
        let mut draws = Draws::new(init.seed, Purpose::Proxies, 0, init.part);
        let seed = i64::from(draws.next_u32());
        let initial = module.parameters(init.classes, init.width, seed)?;
        Ok(ScriptedLoss {
            settings: settings.clone(),
            module,
            parameters: (!initial.is_empty()).then(|| init.parameters(initial)),
        })
    }

    pub(crate) fn module(&self) -> &LoadedScript {
        &self.module
    }

    /// Returns what the module makes of a batch: one number, or one for each image, `[n]`.
    ///
    /// # Errors
    /// If it fails, or returns something else.
    pub(crate) fn value(&self, batch: &LossInput) -> Result<Tensor, ScriptError> {
        let parameters = self.parameters.iter().flat_map(Parameters::named);
        let (embeddings, labels) = (batch.embeddings, batch.labels);
        let value = self
            .module
            .forward(embeddings, labels, batch.references, parameters)?;
        let value = checked(value, batch.images())?;
        match is_cut(batch, &value) && !is_zero(&value) {
            true => Err(refused(
                "its value does not depend on the embeddings: is something detached?",
            )),
            false => Ok(value),
        }
    }
}

/// True if a value should depend on the embeddings, and does not.
fn is_cut(batch: &LossInput, value: &Tensor) -> bool {
    batch.embeddings.requires_grad() && !value.requires_grad()
}

fn is_zero(value: &Tensor) -> bool {
    value.count_nonzero(None).int64_value(&[]) == 0
}

impl LossPart for ScriptedLoss {
    fn facts(&self) -> LossFacts {
        self.settings.facts()
    }

    fn has_parameters(&self) -> bool {
        self.parameters.is_some()
    }
}

impl Loss for ScriptedLoss {
    /// A module that returns `[n]` has a term for each image, one that returns a scalar has reduced them itself. A
    /// constant 0 is no term.
    fn terms(&self, batch: &LossInput) -> Terms {
        let value = self.value(batch).unwrap_or_else(|error| panic!("{error}"));
        if is_cut(batch, &value) {
            return Terms::default();
        }
        Terms::of([match value.dim() {
            0 => Part::of_others(value.reshape([1])),
            _ => Part::of_anchors(value),
        }])
    }

    fn parameters(&self) -> Option<&Parameters> {
        self.parameters.as_ref()
    }

    fn parameters_mut(&mut self) -> Option<&mut Parameters> {
        self.parameters.as_mut()
    }
}

/// Returns what a module made of a batch of `images` images, if it is a loss.
fn checked(value: IValue, images: i64) -> Result<Tensor, ScriptError> {
    let IValue::Tensor(value) = value else {
        return Err(refused("it returns something other than a tensor"));
    };
    let (size, kind) = (value.size(), value.kind());
    if !size.is_empty() && size != [images] {
        return Err(refused(format!(
            "it returns a tensor {size:?} for a batch of {images} images, not one number or one for each image"
        )));
    }
    match kind {
        Kind::Float | Kind::Double => Ok(value),
        _ => Err(refused(format!("it returns numbers of {kind:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use schema::{MultiSimilarity, ProxyNca, ScriptProperty};
    use serde_json::{Value, json};
    use tch::Device;

    use super::*;
    use crate::{
        distance::normalize,
        loss::{BuildLoss, tests::INIT},
        script::check::check_loss,
        testing::{assert_close, golden, gradient, labels as integers, noise, script, tensor},
        tuples::References,
    };

    fn loss(name: &str, settings: &[(&str, f64)]) -> Result<ScriptedLoss, ScriptError> {
        let (mut script, scripts) = script(name);
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value));
        script.settings = settings.collect();
        ScriptedLoss::new(&script, &scripts, &INIT)
    }

    /// Returns value and gradient of a loss with the batch, or an earlier one, as references.
    fn computed(
        loss: &dyn Loss,
        raw: &Tensor,
        references: Option<&References>,
    ) -> (Tensor, Tensor) {
        let raw = raw.detach().set_requires_grad(true);
        let embeddings = normalize(&raw);
        let labels = labels();
        let batch = References::batch(&embeddings, &labels);
        let input = LossInput::with(&embeddings, &labels, references.unwrap_or(&batch), loss);
        let value = input.cost(loss, loss.reduction()).value;
        let gradient = gradient(&value, &raw);
        (value.detach(), gradient)
    }

    fn labels() -> Tensor {
        Tensor::from_slice(&[0i64, 1, 2, 0, 1, 2, 3, 3, 4])
    }

    fn memory() -> References {
        let own = Tensor::from_slice(&[5i64, -1, -1, -1, 0, -1, -1, -1, -1]);
        References::memory(
            normalize(&noise(3, 7, 4)),
            Tensor::from_slice(&[1i64, 0, 2, 2, 4, 0, 1]),
            own,
        )
    }

    /// Asserts that a module has the value and the gradients of a case of `scripts/golden_own_losses.py`.
    fn agrees(case: &Value, classes: i64) {
        let (mut script, scripts) = script(case["module"].as_str().unwrap());
        script.settings = serde_json::from_value(case["settings"].clone()).unwrap();
        let raw = tensor(&case["embeddings"]).set_requires_grad(true);
        let width = raw.size()[1];
        let init = ClassInit {
            classes,
            width,
            ..INIT
        };
        let mut loss = ScriptedLoss::new(&script, &scripts, &init).unwrap();
        if let Some(parameters) = loss.parameters_mut() {
            parameters.set_all(Kind::Double, |name| tensor(&case["parameters"][name]));
        }
        let embeddings = match case["normalize"].as_bool().unwrap() {
            true => normalize(&raw),
            false => raw.shallow_clone(),
        };
        let labels = integers(&case["labels"]);
        let batch = References::batch(&embeddings, &labels);
        let input = LossInput::with(&embeddings, &labels, &batch, &loss);
        let value = input.cost(&loss, loss.reduction()).value;
        let tolerance = case["tolerance"].as_f64().unwrap();
        let what = format!("{} {}", case["module"], case["settings"]);
        assert_close(&value, &tensor(&case["value"]), tolerance, &what);
        let trained = loss.parameters().into_iter().flat_map(Parameters::named);
        let trained = trained.map(|(_, parameter)| parameter);
        let inputs: Vec<&Tensor> = [&raw].into_iter().chain(trained).collect();
        let gradients = Tensor::run_backward(&[&value], &inputs, false, false);
        assert_close(&gradients[0], &tensor(&case["gradient"]), tolerance, &what);
        if let Some(expected) = case.get("parameter_gradient") {
            assert_close(&gradients[1], &tensor(expected), tolerance, &what);
        }
    }

    #[test]
    fn the_losses_of_the_examples_have_the_values_and_gradients_of_the_reference() {
        let golden = golden(include_str!("testdata/own.json"));
        let classes = golden["classes"].as_i64().unwrap();
        for case in golden["cases"].as_array().unwrap() {
            agrees(case, classes);
        }
    }

    #[test]
    fn the_losses_of_the_examples_are_sound() {
        let golden = golden(include_str!("testdata/own.json"));
        let cases = golden["cases"].as_array().unwrap().iter();
        let modules: BTreeSet<&str> = cases.map(|case| case["module"].as_str().unwrap()).collect();
        for module in modules {
            let (script, scripts) = script(module);
            let checks = check_loss(&script, &scripts).unwrap().checks;
            let faults = checks.iter().filter(|check| check.fault.is_some());
            let faults: Vec<ScriptProperty> = faults.map(|check| check.property).collect();
            // Its weights change with the embeddings, and are constants for the gradient.
            let expected: &[ScriptProperty] = match module {
                "dynamic_soft_margin" => &[ScriptProperty::Gradient],
                _ => &[],
            };
            assert_eq!(faults, expected, "{module}: {checks:?}");
        }
    }

    #[test]
    fn a_module_has_the_values_and_gradients_of_the_built_in_loss_of_its_formula() {
        let built_in = MultiSimilarity {
            base: 0.6,
            ..MultiSimilarity::default()
        };
        let own = loss("multi_similarity", &[("base", 0.6)]).unwrap();
        let raw = noise(2, 9, 4);
        for references in [None, Some(&memory())] {
            let (value, gradient) = computed(&own, &raw, references);
            let (expected, expected_gradient) = computed(&built_in, &raw, references);
            assert_close(&value, &expected, 1e-12, "value");
            assert_close(&gradient, &expected_gradient, 1e-12, "gradient");
        }
        assert!(own.parameters().is_none());
    }

    #[test]
    fn parameters_of_a_module_begin_as_it_says_and_have_gradients() {
        let own = loss("proxy_nca", &[]).unwrap();
        let again = loss("proxy_nca", &[]).unwrap();
        let proxies = |loss: &ScriptedLoss| loss.parameters().unwrap().get("proxies").detach();
        assert_eq!(proxies(&own).size(), [5, 4]);
        assert_eq!(proxies(&own), proxies(&again));
        let mut built_in = ProxyNca { scale: 8.0 }.build(&INIT);
        let same = proxies(&own);
        let kind = Kind::Float;
        built_in
            .parameters_mut()
            .unwrap()
            .set_all(kind, |_| same.copy());
        let raw = noise(2, 9, 4).to_kind(kind);
        let of = |loss: &dyn Loss| {
            let (value, _) = computed(loss, &raw, None);
            let embeddings = normalize(&raw);
            let labels = labels();
            let references = References::batch(&embeddings, &labels);
            let input = LossInput::with(&embeddings, &labels, &references, loss);
            let again = input.cost(loss, loss.reduction()).value;
            (value, loss.parameters().unwrap().gradient(&again))
        };
        let ((value, gradient), (expected, expected_gradient)) = (of(&own), of(&*built_in));
        assert_close(&value, &expected, 1e-5, "value");
        assert_close(
            &gradient,
            &expected_gradient,
            1e-5,
            "gradient of the proxies",
        );
    }

    #[test]
    fn modules_that_are_no_losses_are_refused_in_a_sentence() {
        let refused = |name: &str| loss(name, &[]).unwrap_err().to_string();
        assert!(refused("has_a_parameter").contains("`margin` would not be trained"));
        assert!(refused("parameter_is_an_input").contains("`labels` has the name of another"));
        let unknown = loss("multi_similarity", &[("bse", 0.5)])
            .unwrap_err()
            .to_string();
        assert!(
            unknown.contains("no setting `bse`: its settings are `alpha`, `base`, `beta`"),
            "{unknown}"
        );
        let mut scripts = Scripts::default();
        let file = scripts.add(b"no zip".to_vec());
        let settings: Script = serde_json::from_value(json!({ "file": file })).unwrap();
        let why = ScriptedLoss::new(&settings, &scripts, &INIT)
            .unwrap_err()
            .to_string();
        assert!(why.contains("not one of `torch.jit.save`"), "{why}");
        let absent = ScriptedLoss::new(&settings, &Scripts::default(), &INIT).unwrap_err();
        assert!(absent.to_string().contains("not at hand"));
        assert_eq!(INIT.device, Device::Cpu);
    }

    #[test]
    fn what_is_no_loss_of_a_batch_is_named() {
        let said = |name: &str| {
            let own = loss(name, &[]).unwrap();
            let compute = || computed(&own, &noise(2, 9, 4), None);
            let panic =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(compute)).unwrap_err();
            panic.downcast_ref::<String>().unwrap().clone()
        };
        assert!(said("returns_pairs").contains("a tensor [9, 9] for a batch of 9 images"));
        assert!(said("returns_labels").contains("numbers of Int64"));
    }
}
