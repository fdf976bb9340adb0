//! The objectives of trainings on fixed batches: rows of a table may be the same function under two names.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dml::{
    memory::CrossBatchMemory,
    objective::{
        Objective,
        sample::{self, MEMORY, WIDTH},
    },
    script::Scripts,
};
use schema::{CompareWork, Compared, Event, Memory, ObjectiveSample, Recipe};

use crate::{Emit, Failed, assemble};

/// Computes the objective of each training.
///
/// # Errors
/// The file of a module of the user cannot be read.
pub(crate) fn compare(work: &CompareWork, emit: Emit) -> Result<Compared, Failed> {
    emit(Event::Started { from: 0 });
    let of_recipe = |recipe: &Recipe| {
        let scripts = match (&recipe.training, &work.scripts) {
            (Some(training), Some(folder)) => assemble::scripts(training, folder)?,
            (Some(_), None) | (None, _) => Scripts::default(),
        };
        Ok(sample(recipe, &scripts))
    };
    let samples: Result<_, Failed> = work.recipes.iter().map(of_recipe).collect();
    Ok(Compared { samples: samples? })
}

/// Returns the objective of a training on fixed batches. Returns nothing if it depends on more than a batch and a memory:
/// on surveys of the images, or on several heads. A module of the user that refuses these batches has none, either.
pub(crate) fn sample(recipe: &Recipe, scripts: &Scripts) -> Option<ObjectiveSample> {
    let training = recipe.training.as_ref()?;
    let is_of_batches = training.survey.is_none()
        && training.heads.is_empty()
        && training.links.are_none()
        && recipe.model.heads.is_empty();
    if !is_of_batches {
        return None;
    }
    let losses = assemble::losses(training, &[], scripts, &sample::init(recipe.seed)).ok()?;
    let memory = training.memory.as_ref().map(|Memory::Xbm(xbm)| {
        CrossBatchMemory::new(xbm.clone(), MEMORY, WIDTH, tch::Device::Cpu)
    });
    let objective = Objective {
        memory,
        seed: recipe.seed,
        ..Objective::sum(losses)
    };
    catch_unwind(AssertUnwindSafe(|| {
        objective.sample(recipe.model.normalize)
    }))
    .ok()?
}
