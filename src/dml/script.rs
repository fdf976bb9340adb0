//! Losses and miners of the user: modules of TorchScript.
//!
//! A module has a method `forward(batch: Dict[str, Tensor])`. The dictionary holds the tensors of [`Script::INPUTS`], each
//! setting as a tensor without dimensions, and each trained parameter; `docs/own-losses.md` has the contract. Two more
//! methods, both exported and both optional, tell what there is: `settings()` returns the settings with their defaults,
//! `initial_parameters(classes, width)` the initial values of parameters that are trained.
//!
//! The optimizations of TorchScript's profiling executor are off: they start after the first runs and would change the
//! last bits.

pub mod check;

use std::{collections::BTreeMap, sync::Arc};

use schema::{Script, ScriptFile};
use tch::{CModule, Device, IValue, Kind, TchError, Tensor, jit::f_set_graph_executor_optimize};

use crate::{
    parameters::{Init, ParamSpec},
    tuples::References,
};

/// The contents of the files of some modules.
#[derive(Clone, Debug, Default)]
pub struct Scripts(BTreeMap<ScriptFile, Arc<Vec<u8>>>);

impl Scripts {
    /// Adds the content of a file. Returns the file.
    pub fn add(&mut self, content: Vec<u8>) -> ScriptFile {
        let file = ScriptFile::of(content.as_slice()).expect("a slice can be read");
        self.0.insert(file.clone(), Arc::new(content));
        file
    }
}

/// A module that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the module of `torchscript`: {0}")]
pub struct ScriptError(String);

pub(crate) fn refused(why: impl Into<String>) -> ScriptError {
    ScriptError(why.into())
}

/// A loaded module with its settings.
#[derive(Debug)]
pub(crate) struct LoadedScript {
    module: CModule,
    settings: Vec<(String, Tensor)>,
}

impl LoadedScript {
    /// Loads a module to a device.
    ///
    /// # Errors
    /// The file is not there or no module, or the module has no such setting or parameters of its own.
    pub(crate) fn new(
        script: &Script,
        scripts: &Scripts,
        device: Device,
    ) -> Result<LoadedScript, ScriptError> {
        let content = scripts.0.get(&script.file);
        let content = content.ok_or_else(|| refused("its file is not at hand"))?;
        f_set_graph_executor_optimize(false).map_err(of_libtorch)?;
        let module = CModule::load_data_on_device(&mut content.as_slice(), device)
            .map_err(|_| refused("the file is not one of `torch.jit.save`"))?;
        let own = module.named_parameters().map_err(of_libtorch)?;
        if let Some((name, _)) = own.first() {
            return Err(refused(format!(
                "its parameter `{name}` would not be trained: return it from `initial_parameters`, or make it a buffer"
            )));
        }
        let settings = settings(&module, script)?;
        Ok(LoadedScript { module, settings })
    }

    /// Returns the values of the settings, by name.
    fn setting_values(&self) -> BTreeMap<String, f64> {
        let settings = self.settings.iter();
        let values = settings.map(|(name, value)| (name.clone(), value.double_value(&[])));
        values.collect()
    }

    /// Returns the parameters that are trained, with their initial values. They may be drawn at random: `seed` determines
    /// them.
    ///
    /// # Errors
    /// If there are some that no parameters can be, or the module fails.
    pub(crate) fn parameters(
        &self,
        classes: i64,
        width: i64,
        seed: i64,
    ) -> Result<Vec<ParamSpec>, ScriptError> {
        tch::manual_seed(seed);
        let sizes = [IValue::Int(classes), IValue::Int(width)];
        let Some(found) = called(&self.module, "initial_parameters", &sizes)? else {
            return Ok(Vec::new());
        };
        let tensors = entries::<Tensor>(found).ok_or_else(|| {
            refused("`initial_parameters` returns something other than Dict[str, Tensor]")
        })?;
        tensors
            .into_iter()
            .map(|(name, tensor)| self.parameter(name, &tensor))
            .collect()
    }

    fn parameter(&self, name: String, tensor: &Tensor) -> Result<ParamSpec, ScriptError> {
        let is_setting = self.settings.iter().any(|(setting, _)| *setting == name);
        if is_setting || Script::INPUTS.contains(&name.as_str()) {
            return Err(refused(format!(
                "its parameter `{name}` has the name of another tensor"
            )));
        }
        let values = Vec::<f32>::try_from(tensor.detach().to_kind(Kind::Float).flatten(0, -1))
            .map_err(of_libtorch)?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(refused(format!(
                "its parameter `{name}` begins with numbers that are not finite"
            )));
        }
        Ok(ParamSpec::new(name, &tensor.size(), Init::Given(values)))
    }

    /// Calls the module with a batch and these parameters.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) fn forward<'a>(
        &self,
        embeddings: &Tensor,
        labels: &Tensor,
        references: &References,
        parameters: impl Iterator<Item = (&'a str, &'a Tensor)>,
    ) -> Result<IValue, ScriptError> {
        let inputs = [
            embeddings,
            labels,
            &references.embeddings,
            &references.labels,
            &references.own,
        ];
        let inputs = Script::INPUTS.into_iter().zip(inputs);
        let inputs = inputs.map(|(name, tensor)| entry(name, tensor));
        let settings = self.settings.iter();
        let settings = settings.map(|(name, value)| entry(name, value));
        let parameters = parameters.map(|(name, tensor)| entry(name, tensor));
        let batch = IValue::GenericDict(inputs.chain(settings).chain(parameters).collect());
        self.module.forward_is(&[batch]).map_err(of_forward)
    }
}

/// Returns an entry of the dictionary that a module receives.
fn entry(name: &str, tensor: &Tensor) -> (IValue, IValue) {
    let tensor = IValue::Tensor(tensor.shallow_clone());
    (IValue::String(name.to_owned()), tensor)
}

/// Returns the settings of a module, those of the script in the place of its defaults.
fn settings(module: &CModule, script: &Script) -> Result<Vec<(String, Tensor)>, ScriptError> {
    let found = called(module, "settings", &[])?;
    let defaults = found.map_or(Some(Vec::new()), entries::<f64>);
    let mut settings: BTreeMap<String, f64> = defaults
        .ok_or_else(|| refused("`settings` returns something other than Dict[str, float]"))?
        .into_iter()
        .collect();
    for (name, value) in &script.settings {
        let Some(setting) = settings.get_mut(name) else {
            return Err(unknown(name, &settings));
        };
        *setting = *value;
    }
    let tensors = settings
        .into_iter()
        .map(|(name, value)| (name, Tensor::from(value)));
    Ok(tensors.collect())
}

fn unknown(name: &str, settings: &BTreeMap<String, f64>) -> ScriptError {
    if settings.is_empty() {
        return refused(format!("it has no settings, and so no `{name}`"));
    }
    let known: Vec<&str> = settings.keys().map(String::as_str).collect();
    let known = known.join("`, `");
    refused(format!(
        "it has no setting `{name}`: its settings are `{known}`"
    ))
}

/// Calls a method; nothing if the module does not have it.
fn called(
    module: &CModule,
    method: &str,
    arguments: &[IValue],
) -> Result<Option<IValue>, ScriptError> {
    match module.method_is(method, arguments) {
        Ok(found) => Ok(Some(found)),
        // libtorch has no other way to ask for a method.
        Err(error) if error.to_string().contains("is not defined") => Ok(None),
        Err(error) => Err(of_libtorch(error)),
    }
}

/// Returns an error of libtorch without its location in libtorch's sources.
fn of_libtorch(error: TchError) -> ScriptError {
    match error {
        TchError::Torch(text) => refused(sentence(&text)),
        other => refused(other.to_string()),
    }
}

/// Returns an error of a call of `forward`. If the method takes other arguments, the message says which it must take.
fn of_forward(error: TchError) -> ScriptError {
    let ScriptError(clause) = of_libtorch(error);
    match clause.starts_with("forward()") {
        true => refused(format!(
            "{clause} `forward` must take one argument, `batch: Dict[str, Tensor]`"
        )),
        false => refused(clause),
    }
}

/// Returns what an error of libtorch says.
///
/// The interpreter of TorchScript says it in the last line, below the calls that led to it. All else that libtorch says,
/// such as that a method takes other arguments, stands first, above the frames of its own calls.
fn sentence(text: &str) -> &str {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_of_interpreter = text.contains("TorchScript interpreter");
    let line = match is_of_interpreter {
        true => lines.next_back(),
        false => lines.next(),
    };
    line.unwrap_or(text)
}

/// Returns the entries of a dictionary, in the order of their names; nothing if the value is something else.
fn entries<T: TryFrom<IValue>>(value: IValue) -> Option<Vec<(String, T)>> {
    let IValue::GenericDict(entries) = value else {
        return None;
    };
    let entry = |(name, value): (IValue, IValue)| {
        let name = String::try_from(name).ok()?;
        Some((name, T::try_from(value).ok()?))
    };
    let mut entries: Vec<(String, T)> = entries.into_iter().map(entry).collect::<Option<_>>()?;
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    Some(entries)
}
