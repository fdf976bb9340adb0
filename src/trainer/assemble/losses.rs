//! The losses of a recipe, with everything chosen about them.

use std::path::Path;

use dml::{loss::ClassInit, objective::ConfiguredLoss, script::Scripts};
use durable::DiskError;
use schema::Training;

use super::impossible;
use crate::Failed;

/// Returns the losses to minimize: one, unless the loss of the recipe is a sum.
///
/// # Errors
/// If the recipe asks for something impossible.
pub(crate) fn losses(
    training: &Training,
    scripts: &Scripts,
    init: &ClassInit,
) -> Result<Vec<ConfiguredLoss>, Failed> {
    (0..)
        .zip(&training.losses())
        .map(|(part, one)| ConfiguredLoss::new(one, scripts, &ClassInit { part, ..*init }))
        .collect::<Result<_, _>>()
        .map_err(impossible)
}

/// Returns the modules of the user that a training needs, out of a folder with a file `SHA-256.pt` for each.
///
/// # Errors
/// A file is missing, or has another content.
pub(crate) fn scripts(training: &Training, folder: &Path) -> Result<Scripts, Failed> {
    let mut scripts = Scripts::default();
    for file in training.scripts() {
        let path = folder.join(file.file_name());
        let content = durable::read(&path).map_err(DiskError::at("read", &path))?;
        if scripts.add(content) != file {
            return Err(Failed::data(format!(
                "`{}` has been changed",
                path.display()
            )));
        }
    }
    Ok(scripts)
}
