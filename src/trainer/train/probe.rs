//! Finds the part of a training step that computes different bits the second time.

use dml::gradient_cache::Embedded;
use schema::{Event, ProbeWork, Probed};
use tch::Tensor;

use super::{TrainContext, TrainState, split};
use crate::{Emit, Failed};

/// The number of times that the first step is computed.
const TIMES: usize = 4;

/// Computes the first step of a training several times and compares the bits.
///
/// # Errors
/// If the data is not there or the recipe is impossible.
pub(crate) fn probe(
    work: &ProbeWork,
    threads: u32,
    device: tch::Device,
    emit: Emit,
) -> Result<Probed, Failed> {
    let work = &work.training;
    let data = split::open(&work.recipe, &work.data)?;
    let Some(training) = &work.recipe.training else {
        return Err(Failed::recipe("nothing is trained"));
    };
    let context = TrainContext::new(work, training, &data, threads, device)?;
    emit(Event::Started { from: 0 });
    let first = TrainState::fresh(&context)?.trace(&context)?;
    let mut different: Vec<String> = Vec::new();
    for _ in 1..TIMES {
        let again = TrainState::fresh(&context)?.trace(&context)?;
        let changed = first
            .iter()
            .zip(&again)
            .filter(|((_, one), (_, other))| one != other);
        for ((name, _), _) in changed {
            if !different.contains(name) {
                different.push(name.clone());
            }
        }
    }
    Ok(Probed { different })
}

impl TrainState {
    /// Returns the tensors that the first step computes, in order; gradients from the last layer to
    /// the first.
    fn trace(mut self, context: &TrainContext) -> Result<Vec<(String, Tensor)>, Failed> {
        let mut trace = vec![(
            "initial weights".to_owned(),
            self.network.flat_parameters().copy(),
        )];
        let batch = context.batch(0, &context.sampler)?;
        let embedded = Embedded::new(
            &self.network,
            &batch.images,
            context.training.chunk.map(i64::from),
        );
        trace.extend([
            ("batch".to_owned(), batch.images.shallow_clone()),
            ("embeddings".to_owned(), embedded.embeddings().detach()),
        ]);
        let arrivals = batch.embedded(embedded.embeddings(), 0);
        let loss = self.objective.step_of(&arrivals).value;
        trace.push(("loss".to_owned(), loss.detach()));
        let (of_network, of_losses) = embedded.gradients(&self.network, &self.objective, &loss);
        let of_losses = of_losses
            .into_iter()
            .map(|gradient| ("gradient of a loss's parameters".to_owned(), gradient));
        trace.extend(of_losses);
        trace.extend(self.named(&of_network).into_iter().rev());
        Ok(trace)
    }

    /// Splits a flat gradient into the gradients of the network's parameters.
    fn named(&self, flat: &Tensor) -> Vec<(String, Tensor)> {
        let mut end = 0;
        let part = |(name, parameter): (&str, &Tensor)| {
            let length = parameter.numel() as i64;
            end += length;
            (
                format!("gradient of {name}"),
                flat.narrow(0, end - length, length),
            )
        };
        self.network.parameters().map(part).collect()
    }
}
