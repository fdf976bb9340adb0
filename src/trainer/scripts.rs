//! Checks a loss or a miner of the user.

use dml::script::{
    Scripts,
    check::{check_loss, check_miner},
};
use durable::DiskError;
use schema::{CheckScriptWork, Event, Script, ScriptChecked, ScriptKind};

use crate::{Emit, Failed};

/// Checks a module of TorchScript. What it is not is in the reply.
///
/// # Errors
/// The file cannot be read, is no module, or the module has no such settings.
pub(crate) fn check(work: &CheckScriptWork, emit: Emit) -> Result<ScriptChecked, Failed> {
    emit(Event::Started { from: 0 });
    let content = durable::read(&work.file).map_err(DiskError::at("read", &work.file))?;
    let mut scripts = Scripts::default();
    let script = Script {
        file: scripts.add(content),
        settings: work.settings.clone(),
    };
    let checked = match work.kind {
        ScriptKind::Loss => check_loss(&script, &scripts),
        ScriptKind::Miner => check_miner(&script, &scripts),
    };
    checked.map_err(|error| Failed::recipe(error.to_string()))
}
