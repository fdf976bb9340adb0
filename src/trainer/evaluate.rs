//! Measures a network: embeds images and compares them all with each other.

use dml::{
    eval::{EvalError, retrieval},
    model::Network,
};
use schema::{EvaluateWork, Evaluated, Event, Finished, Metric, Scores};
use tch::{Kind, Tensor, no_grad};

use crate::{
    End, Failed, Listener, Stop, Throttle, assemble, files,
    split::{self, Images},
};

/// Images embedded at a time.
const CHUNK: usize = 512;

/// Embeds and measures the test classes with the network that lies in the run's folder.
///
/// # Errors
/// If the data set or the network is not there, or not what the recipe asks for.
pub(crate) fn evaluate(work: &EvaluateWork, device: tch::Device, stop: &Stop, say: Listener) -> Result<End, Failed> {
    say(Event::Started { from: 0 });
    let data = split::open(&work.recipe, &work.data)?;
    let mut network = assemble::network(&work.recipe, data.channels, None, device)?;
    load(&mut network, work)?;
    let images = split::test(&data);
    let total = images.places.len() as u64;
    let mut throttle = Throttle::new();
    let (mut chunks, mut done) = (Vec::new(), 0);
    for chunk in embeddings(&network, &data.images, &images.places) {
        done += chunk.size()[0] as u64;
        chunks.push(chunk);
        if stop.requested() {
            return Ok(End::Stopped);
        }
        if throttle.ready() || done == total {
            say(Event::Progress { done, total, loss: None });
        }
    }
    let embeddings = joined(&network, &chunks);
    let measured = measure(&embeddings, &images.labels, &work.metrics).map_err(|error| unmeasurable(&error))?;
    let evaluated = Evaluated {
        classes: data.test_classes.len() as u64,
        images: total,
        lone: measured.lone,
        scores: measured.scores,
    };
    Ok(End::Finished(Finished::Evaluated(evaluated)))
}

fn load(network: &mut Network, work: &EvaluateWork) -> Result<(), Failed> {
    let path = files::model(&work.run);
    let unusable = |why: String| Failed::data(format!("cannot use the network `{}`: {why}", path.display()));
    let state = Tensor::read_safetensors(&path).map_err(|error| unusable(error.to_string()))?;
    network.restore(&state).map_err(|error| unusable(error.to_string()))
}

fn unmeasurable(error: &EvalError) -> Failed {
    match error {
        EvalError::NoQueries => Failed::data(error.to_string()),
        EvalError::NotFinite { .. } | EvalError::Labels { .. } => Failed::internal(error.to_string()),
    }
}

/// The values of some metrics.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) scores: Scores,
    /// Images whose class has no other.
    pub(crate) lone: u64,
}

/// Embeds the images at these places, chunk by chunk, in evaluation mode.
fn embeddings<'a>(network: &'a Network, images: &'a Tensor, places: &'a [i64]) -> impl Iterator<Item = Tensor> + 'a {
    places.chunks(CHUNK).map(|chunk| {
        let places = Tensor::from_slice(chunk).to_device(images.device());
        no_grad(|| network.forward(&images.index_select(0, &places), false))
    })
}

fn joined(network: &Network, chunks: &[Tensor]) -> Tensor {
    if chunks.is_empty() {
        return Tensor::zeros([0, network.width()], (Kind::Float, network.device()));
    }
    Tensor::cat(chunks, 0)
}

/// Measures embeddings with these labels.
///
/// # Errors
/// If they are not finite, or no class has two of them.
pub(crate) fn measure(embeddings: &Tensor, labels: &[i64], metrics: &[Metric]) -> Result<Measured, EvalError> {
    let recall_at: Vec<usize> = metrics.iter().filter_map(|metric| neighbours(*metric)).collect();
    let retrieval = retrieval(embeddings, labels, &recall_at)?;
    let mut recalls = retrieval.recall.iter();
    let mut scores = Scores::new();
    for &metric in metrics {
        let value = match metric {
            Metric::RecallAt(_) => recalls.next().copied(),
            Metric::PrecisionAt1 => Some(retrieval.precision_at_1),
            Metric::RPrecision => Some(retrieval.r_precision),
            Metric::MapAtR => Some(retrieval.map_at_r),
        };
        scores.extend(value.map(|value| (metric, value)));
    }
    Ok(Measured { scores, lone: retrieval.lone as u64 })
}

fn neighbours(metric: Metric) -> Option<usize> {
    match metric {
        Metric::RecallAt(k) => Some(k as usize),
        Metric::PrecisionAt1 | Metric::RPrecision | Metric::MapAtR => None,
    }
}

/// Measures a network on validation images. None if its embeddings are no finite numbers.
///
/// # Errors
/// If there is nothing to retrieve.
pub(crate) fn validate(
    network: &Network,
    images: &Tensor,
    validation: &Images,
    metrics: &[Metric],
) -> Result<Option<Scores>, Failed> {
    let chunks: Vec<Tensor> = embeddings(network, images, &validation.places).collect();
    let embeddings = joined(network, &chunks);
    match measure(&embeddings, &validation.labels, metrics) {
        Ok(measured) => Ok(Some(measured.scores)),
        Err(EvalError::NotFinite { .. }) => Ok(None),
        Err(error @ (EvalError::NoQueries | EvalError::Labels { .. })) => Err(unmeasurable(&error)),
    }
}
