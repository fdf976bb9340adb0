//! The losses of a recipe, with everything chosen about them.

use std::path::Path;

use dml::{
    blocks::Block,
    links::{DiversityLoss, Links},
    loss::ClassInit,
    objective::{ConfigureError, ConfiguredLoss},
    script::Scripts,
};
use durable::DiskError;
use schema::{Training, WeightedLoss};

use super::impossible;
use crate::Failed;

/// Returns the losses to minimize: one, unless the loss of the recipe is a sum or the network has several heads with a
/// loss each.
///
/// # Errors
/// If the recipe asks for something impossible.
pub(crate) fn losses(
    training: &Training,
    blocks: &[Block],
    scripts: &Scripts,
    init: &ClassInit,
) -> Result<Vec<ConfiguredLoss>, Failed> {
    let configured = |(part, (block, one)): (u64, (Option<Block>, WeightedLoss))| {
        let width = block.map_or(init.width, |block| block.width);
        let init = ClassInit {
            part,
            width,
            ..*init
        };
        let loss = ConfiguredLoss::new(&one, scripts, &init)?;
        Ok(ConfiguredLoss { block, ..loss })
    };
    (0..)
        .zip(placed(training, blocks))
        .map(configured)
        .collect::<Result<_, ConfigureError>>()
        .map_err(impossible)
}

/// Returns the settings of all losses, in the order of the heads, each with the block that it sees.
fn placed(training: &Training, blocks: &[Block]) -> Vec<(Option<Block>, WeightedLoss)> {
    if blocks.is_empty() {
        let losses = training.losses().into_iter();
        return losses.map(|loss| (None, loss)).collect();
    }
    let of_block = |block: &Block| {
        let losses = training.losses_of_head(block.head).into_iter();
        let block = Some(*block);
        losses.map(move |loss| (block, loss))
    };
    blocks.iter().flat_map(of_block).collect()
}

/// Returns what links the heads of these blocks.
pub(crate) fn links(training: &Training, blocks: &[Block], init: &ClassInit) -> Links {
    let widths: Vec<i64> = blocks.iter().map(|block| block.width).collect();
    let settings = &training.links;
    let diversity = settings.diversity.as_ref();
    Links {
        boost: settings.boost.clone(),
        cascade: settings.cascade.clone(),
        diversity: diversity
            .map(|diversity| DiversityLoss::new(diversity, &widths, init.seed, init.device)),
    }
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
