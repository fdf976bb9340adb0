//! Says which part of a training step gives other bits the second time.

use dml::{gradient_cache::Embedded, memory::Arrivals};
use schema::{Event, ProbeWork, Probed};
use tch::Tensor;

use super::{Ground, Session, split};
use crate::{Emit, Failed};

/// How often the first step is compared with itself.
const TIMES: usize = 4;

/// Does the first step of a training several times from its beginning.
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
    let ground = Ground::new(work, training, &data, threads, device)?;
    emit(Event::Started { from: 0 });
    let first = Session::fresh(&ground)?.trace(&ground)?;
    let mut different: Vec<String> = Vec::new();
    for _ in 1..TIMES {
        let again = Session::fresh(&ground)?.trace(&ground)?;
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

impl Session {
    /// What the first step computes, in its order; gradients from the last layer to the first, as they come about.
    fn trace(mut self, ground: &Ground) -> Result<Vec<(String, Tensor)>, Failed> {
        let mut trace = vec![(
            "initial weights".to_owned(),
            self.network.flat_parameters().copy(),
        )];
        let (images, labels, numbers) = ground.batch(0)?;
        let embedded = Embedded::new(&self.network, &images, ground.training.chunk.map(i64::from));
        trace.extend([
            ("batch".to_owned(), images),
            ("embeddings".to_owned(), embedded.embeddings().detach()),
        ]);
        let arrivals = Arrivals {
            embeddings: embedded.embeddings(),
            labels: &labels,
            images: Some(&numbers),
            step: 0,
        };
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

    /// The parts of a flat gradient of the network.
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
