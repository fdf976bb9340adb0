//! Measures a network: embeds the test images, then retrieves each from the others, or queries from
//! a gallery.
//!
//! The embeddings are kept in the run's folder, so that further metrics need no forward pass, and so
//! are the scores of each query, for statistics.

use std::{collections::BTreeSet, path::Path};

use dml::{
    data::{PreparedData, listing::Role},
    eval::{Embeddings, EvalError, RetrievalTask, ensemble::concatenated},
    model::Network,
};
use schema::{
    Dataset, Device, EnsembleWork, EvaluateWork, Evaluated, Event, Metric, Recipe, Scores,
};
use tch::{Kind, Tensor, no_grad};

use crate::{
    Emit, End, Failed, Stop, Throttle, assemble,
    batches::BatchSource,
    files, heads, queries,
    retrieval_set::{RetrievalSet, TestImages},
    score::{self, Scored},
    split::{self, Annotations, Images},
};

/// Embeds and measures the test classes with the network in the run's folder.
///
/// # Errors
/// The data set or the network is missing or does not match the recipe.
pub(crate) fn evaluate(
    work: &EvaluateWork,
    device: tch::Device,
    stop: &Stop,
    emit: Emit,
) -> Result<End<Evaluated>, Failed> {
    emit(Event::Started { from: 0 });
    let data = split::open(&work.recipe, &work.data)?;
    let keep = match work.read_only {
        true => Keep::Nothing,
        false => Keep::Embeddings,
    };
    let embeddings = embedded(&work.recipe, &data, &work.run, keep, device, stop, emit)?;
    let Some(embeddings) = embeddings else {
        return Ok(End::Stopped);
    };
    let rows = Embeddings::from_tensor(&embeddings).map_err(|error| score::unmeasurable(&error))?;
    let folder = Some(&*work.run).filter(|_| !work.read_only);
    let (recipe, metrics) = (&work.recipe, &work.metrics);
    let measured = measure(rows, &data, &recipe.dataset, metrics, device, stop, folder)?;
    let End::Finished(evaluated) = measured else {
        return Ok(End::Stopped);
    };
    let images = TestImages::of(&data);
    let heads = heads::scores(recipe, &embeddings, &images, metrics, device, stop)?;
    Ok(heads.map_or(End::Stopped, |heads| {
        End::Finished(Evaluated { heads, ..evaluated })
    }))
}

/// Measures the networks in several runs' folders as an ensemble.
///
/// # Errors
/// The data set or a network is missing or does not match its recipe.
pub(crate) fn ensemble(
    work: &EnsembleWork,
    device: tch::Device,
    stop: &Stop,
    emit: Emit,
) -> Result<End<Evaluated>, Failed> {
    emit(Event::Started { from: 0 });
    let (first, _) = work
        .members
        .first()
        .ok_or_else(|| Failed::recipe("an ensemble needs members"))?;
    let data = split::open(first, &work.data)?;
    let mut parts = Vec::new();
    for (recipe, run) in &work.members {
        split::check(recipe, &data, &work.data)?;
        let keep = Keep::Embeddings;
        let Some(embeddings) = embedded(recipe, &data, run, keep, device, stop, emit)? else {
            return Ok(End::Stopped);
        };
        parts.push(
            Embeddings::from_tensor(&embeddings).map_err(|error| score::unmeasurable(&error))?,
        );
    }
    measure(
        concatenated(parts),
        &data,
        &first.dataset,
        &work.metrics,
        device,
        stop,
        Some(&work.into),
    )
}

/// Measures the embeddings of the test images and writes the scores of each query into a folder, if there is one.
fn measure(
    rows: Embeddings,
    data: &PreparedData,
    dataset: &Dataset,
    metrics: &[Metric],
    device: tch::Device,
    stop: &Stop,
    folder: Option<&Path>,
) -> Result<End<Evaluated>, Failed> {
    let images = TestImages::of(data);
    let set = images.set(rows, dataset)?;
    let Some(scored) = set.score(metrics, device, stop)? else {
        return Ok(End::Stopped);
    };
    if let Some(folder) = folder {
        let table = queries::table(&scored, &data.test.names);
        durable::write(&files::queries(folder), table.as_bytes())?;
    }
    Ok(End::Finished(summary(&scored, &set, &images)))
}

/// Returns the metrics of a retrieval among test images.
pub(crate) fn summary(scored: &Scored, set: &RetrievalSet, images: &TestImages) -> Evaluated {
    let (pessimistic, optimistic) = scored.bounds();
    let classes: BTreeSet<i64> = images.labels.iter().copied().collect();
    Evaluated {
        classes: classes.len() as u64,
        cameras: images.camera_count() as u64,
        draws: set.draws() as u64,
        images: set.queries() as u64,
        gallery: set.gallery().map(|images| images as u64),
        without_positive: scored.retrieval.without_positive as u64,
        duplicates: scored.retrieval.duplicates as u64,
        heads: Vec::new(),
        scores: scored.scores.clone(),
        pessimistic,
        optimistic,
    }
}

/// What is written into the folder of a run whose images are embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The embeddings, for further metrics.
    Embeddings,
    /// Nothing: the folder is only read.
    Nothing,
}

/// Returns the embeddings of the test images by the network in the run's folder; read from there if
/// they were computed before. `None` if a stop was requested.
///
/// # Errors
/// The network cannot be used, or its embeddings cannot be written.
pub(crate) fn embedded(
    recipe: &Recipe,
    data: &PreparedData,
    run: &Path,
    keep: Keep,
    device: tch::Device,
    stop: &Stop,
    emit: Emit,
) -> Result<Option<Tensor>, Failed> {
    let (path, key) = (files::embeddings(run), key(recipe, data, run)?);
    if let Ok(kept) = KeptEmbeddings::read(&path)
        && kept.key == key
    {
        return Ok(Some(kept.embeddings));
    }
    let network = trained_network(recipe, run, device)?;
    emit(built(&network));
    let images = split::test(data);
    let batches = BatchSource::new(recipe, data, device)?;
    let embedder = Embedder {
        recipe,
        network: &network,
        batches: &batches,
    };
    let total = images.indices.len() as u64;
    let mut throttle = Throttle::new();
    let progress = |done| {
        if throttle.ready() || done == total {
            emit(Event::Progress {
                done,
                total,
                loss: None,
            });
        }
    };
    let Some(embeddings) = embedder.embed(&images.indices, stop, progress)? else {
        return Ok(None);
    };
    let kept = KeptEmbeddings {
        embeddings,
        key,
        images: Some(TestImages::of(data)),
    };
    if keep == Keep::Embeddings {
        kept.write(&path)?;
    }
    Ok(Some(kept.embeddings))
}

/// Returns the embeddings of some test images, by position, by the network in the run's folder. `None` if a stop
/// was requested.
///
/// # Errors
/// The network cannot be used.
pub(crate) fn embedded_again(
    recipe: &Recipe,
    data: &PreparedData,
    run: &Path,
    positions: &[i64],
    device: tch::Device,
    stop: &Stop,
) -> Result<Option<Tensor>, Failed> {
    let network = trained_network(recipe, run, device)?;
    let batches = BatchSource::new(recipe, data, device)?;
    let embedder = Embedder {
        recipe,
        network: &network,
        batches: &batches,
    };
    let all = split::test(data).indices;
    let indices: Vec<i64> = positions.iter().map(|&at| all[at as usize]).collect();
    embedder.embed(&indices, stop, |_| ())
}

/// Returns a hash of what embeddings depend on: the network, the images and their transform.
pub(crate) fn key(recipe: &Recipe, data: &PreparedData, run: &Path) -> Result<Vec<u8>, Failed> {
    let path = files::model(run);
    let mut hasher = blake3::Hasher::new();
    let model = durable::read(&path).map_err(|error| unusable(&path, &error.to_string()))?;
    hasher.update(blake3::hash(&model).as_bytes());
    hasher.update(data.blake3.as_bytes());
    hasher.update(
        schema::canonical_json(&(&recipe.model, &recipe.images, &recipe.transform.test)).as_bytes(),
    );
    Ok(hasher.finalize().as_bytes().to_vec())
}

/// The embeddings of the test images in a run's folder, with what measuring them needs.
pub(crate) struct KeptEmbeddings {
    /// `[n, width]`.
    pub(crate) embeddings: Tensor,
    /// See [`key`].
    pub(crate) key: Vec<u8>,
    /// What is known about the images. An earlier version did not keep it.
    pub(crate) images: Option<TestImages>,
}

impl KeptEmbeddings {
    /// Reads a file.
    ///
    /// # Errors
    /// The reason why it must not be used.
    pub(crate) fn read(path: &Path) -> Result<KeptEmbeddings, String> {
        let mut tensors = files::read_sealed(path)?;
        let embeddings = files::take(&mut tensors, "embeddings")?;
        let key = files::take(&mut tensors, "key")?;
        Ok(KeptEmbeddings {
            embeddings,
            key: Vec::<u8>::try_from(&key).map_err(|error| error.to_string())?,
            images: images_of(&mut tensors),
        })
    }

    fn write(&self, path: &Path) -> Result<(), Failed> {
        let mut tensors = vec![
            ("embeddings".to_owned(), self.embeddings.shallow_clone()),
            ("key".to_owned(), Tensor::from_slice(&self.key)),
        ];
        if let Some(images) = &self.images {
            tensors.extend(tensors_of(images));
        }
        files::write_sealed(tensors, path)
    }
}

/// Stands for an unknown camera and for no super-class in a file.
const NONE: i64 = -1;

/// Returns what a file holds about the images.
fn tensors_of(images: &TestImages) -> Vec<(String, Tensor)> {
    let roles: Vec<u8> = images.roles.iter().map(|&role| number_of(role)).collect();
    let mut tensors = vec![
        ("labels".to_owned(), Tensor::from_slice(&images.labels)),
        ("roles".to_owned(), Tensor::from_slice(&roles)),
    ];
    let Annotations { cameras, levels } = &images.known;
    if !cameras.is_empty() {
        tensors.push(("cameras".to_owned(), tensor_of(cameras)));
    }
    if !levels.is_empty() {
        let levels: Vec<Tensor> = levels.iter().map(|level| tensor_of(level)).collect();
        tensors.push(("levels".to_owned(), Tensor::stack(&levels, 0)));
    }
    tensors
}

fn tensor_of(numbers: &[Option<u32>]) -> Tensor {
    let numbers = numbers.iter().map(|number| number.map_or(NONE, i64::from));
    Tensor::from_slice(&numbers.collect::<Vec<i64>>())
}

fn numbers_of(tensor: &Tensor) -> Option<Vec<Option<u32>>> {
    let numbers = Vec::<i64>::try_from(tensor).ok()?;
    let number = |number: i64| u32::try_from(number).ok();
    Some(numbers.into_iter().map(number).collect())
}

/// Returns what a file says about the images, if it does.
fn images_of(tensors: &mut files::Tensors) -> Option<TestImages> {
    let labels = files::take(tensors, "labels").ok()?;
    let roles = files::take(tensors, "roles").ok()?;
    let cameras = match files::take(tensors, "cameras") {
        Ok(cameras) => numbers_of(&cameras)?,
        Err(_) => Vec::new(),
    };
    let levels = match files::take(tensors, "levels") {
        Ok(levels) => levels
            .unbind(0)
            .iter()
            .map(numbers_of)
            .collect::<Option<_>>()?,
        Err(_) => Vec::new(),
    };
    Some(TestImages {
        labels: Vec::try_from(&labels).ok()?,
        roles: roles_of(&roles)?,
        known: Annotations { cameras, levels },
    })
}

/// Returns the number that stands for a role in a file.
fn number_of(role: Role) -> u8 {
    match role {
        Role::Both => 0,
        Role::Query => 1,
        Role::Gallery => 2,
    }
}

fn roles_of(numbers: &Tensor) -> Option<Vec<Role>> {
    const ROLES: [Role; 3] = [Role::Both, Role::Query, Role::Gallery];
    let numbers = Vec::<u8>::try_from(numbers).ok()?;
    let role = |number: &u8| {
        ROLES
            .iter()
            .copied()
            .find(|&role| number_of(role) == *number)
    };
    numbers.iter().map(role).collect()
}

/// Returns the network in a run's folder.
///
/// # Errors
/// It is missing, damaged or not that of the recipe.
pub(crate) fn trained_network(
    recipe: &Recipe,
    run: &Path,
    device: tch::Device,
) -> Result<Network, Failed> {
    let script = Some(files::script(run)).filter(|script| script.is_file());
    let mut network = assemble::network(recipe, script.as_deref(), device)?;
    load(&mut network, run)?;
    Ok(network)
}

/// Returns the event that a network is built.
pub(crate) fn built(network: &Network) -> Event {
    Event::Network {
        parameters: network.parameter_count() as u64,
    }
}

fn load(network: &mut Network, run: &Path) -> Result<(), Failed> {
    let path = files::model(run);
    let state =
        Tensor::read_safetensors(&path).map_err(|error| unusable(&path, &error.to_string()))?;
    network
        .restore(&state)
        .map_err(|error| unusable(&path, &error.to_string()))
}

fn unusable(path: &Path, why: &str) -> Failed {
    Failed::data(format!(
        "cannot use the network `{}`: {why}",
        path.display()
    ))
}

/// A network in evaluation mode, and the images that it embeds.
#[derive(Clone, Copy)]
pub(crate) struct Embedder<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) network: &'a Network,
    pub(crate) batches: &'a BatchSource,
}

impl Embedder<'_> {
    /// Embeds the images with these indices, chunk by chunk; `progress` receives how many are done.
    /// `None` if a stop was requested.
    ///
    /// The size of a chunk changes the last bits of embeddings. It follows from the recipe alone.
    pub(crate) fn embed(
        &self,
        indices: &[i64],
        stop: &Stop,
        mut progress: impl FnMut(u64),
    ) -> Result<Option<Tensor>, Failed> {
        let mut chunks = Vec::new();
        let mut done = 0;
        progress(done);
        for images in self.batches.chunks(
            indices,
            images_at_a_time(self.recipe, self.network.device()),
        ) {
            let images = images?;
            if stop.requested() {
                return Ok(None);
            }
            let chunk = no_grad(|| self.network.forward(&images, false));
            done += chunk.size()[0] as u64;
            chunks.push(chunk);
            progress(done);
        }
        Ok(Some(self.joined(&chunks)))
    }

    fn joined(&self, chunks: &[Tensor]) -> Tensor {
        if chunks.is_empty() {
            let shape = [0, self.network.width()];
            return Tensor::zeros(shape, (Kind::Float, self.network.device()));
        }
        Tensor::cat(chunks, 0)
    }
}

/// Returns the number of images that are embedded at a time: it changes the last bits of embeddings, and follows from the
/// recipe and the kind of device.
pub(crate) fn images_at_a_time(recipe: &Recipe, device: tch::Device) -> usize {
    recipe.images_at_a_time(match device {
        tch::Device::Cuda(_) => Device::Cuda,
        _ => Device::Cpu,
    })
}

/// The end of a validation.
pub(crate) enum Validated {
    Scores(Scores),
    /// The embeddings are not finite.
    NotFinite,
    Stopped,
}

/// Measures a network on validation images.
///
/// # Errors
/// There is nothing to retrieve.
pub(crate) fn validate(
    embedder: Embedder,
    validation: &Images,
    known: &Annotations,
    metrics: &[Metric],
    stop: &Stop,
) -> Result<Validated, Failed> {
    let Some(embeddings) = embedder.embed(&validation.indices, stop, |_| ())? else {
        return Ok(Validated::Stopped);
    };
    if let Err(EvalError::NotFinite { .. }) = Embeddings::from_tensor(&embeddings) {
        return Ok(Validated::NotFinite);
    }
    let images = score::labelled(embeddings, validation.labels.clone())?;
    let images = known.on(images)?;
    let task = RetrievalTask::Within(&images);
    let scored = score::score(task, metrics, embedder.network.device(), stop)?;
    Ok(scored.map_or(Validated::Stopped, |scored| {
        Validated::Scores(scored.scores)
    }))
}
