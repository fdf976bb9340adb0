//! Checkpoints, from which a training resumes bit for bit: all state that is not a pure function of
//! recipe and step.
//!
//! A checkpoint is one safetensors file. It contains the tensors, a header with the identity and the
//! progress of the training, and a BLAKE3 hash of all of it. A checkpoint that is damaged, or belongs
//! to another recipe, data set, numerics or version of this program, is not used: [`load`] returns
//! the reason, and the training starts from scratch.
//!
//! [`CheckpointWriter`] writes one while the training goes on. The last checkpoint of a training has no tensors: it says that the network is written, with its hash.
//! The orchestrator removes it once it has published the end of the training, so that nothing that
//! happens in between costs the training.

mod writer;

use std::path::Path;

use dml::{data::PreparedData, optim::PlateauState, state::State};
use schema::{Metric, Numerics, Recipe, SCHEMA, Scores, Trained, canonical_json};
use tch::Tensor;

use crate::{
    Failed,
    files::{self, Tensors},
    monitor::BreakdownMonitor,
};

pub(crate) use writer::CheckpointWriter;

/// The version of the format: raised whenever a training would resume differently from an old one.
const FORMAT: u32 = 2;

const HEADER: &str = "header";

/// What a checkpoint contains.
#[derive(Debug)]
pub(crate) enum Saved {
    /// The state of a training that goes on.
    Underway(Box<Snapshot>),
    /// The end of a training whose network is written.
    Finished {
        trained: Trained,
        /// The BLAKE3 hash of the network's file.
        network: String,
    },
}

/// The state of a training: everything that its next step depends on.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) progress: Progress,
    pub(crate) plateau: Option<PlateauState>,
    pub(crate) best: Option<Best>,
    pub(crate) network: State,
    /// Parameters of losses.
    pub(crate) losses: State,
    /// The state of each optimizer, in order.
    pub(crate) optimizers: Vec<State>,
    pub(crate) memory: Option<State>,
    pub(crate) survey: Option<State>,
    /// The average of the weights.
    pub(crate) average: Option<State>,
}

/// The counters of a training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Progress {
    /// Steps done.
    pub(crate) step: u64,
    /// Steps in which nothing contributed to the loss.
    pub(crate) empty_steps: u64,
    /// Steps done before the latest survey; 0 without one.
    #[serde(default)]
    pub(crate) surveyed: u64,
    /// Validations since the best one.
    pub(crate) unimproved: u64,
    #[serde(rename = "noticed")]
    pub(crate) monitor: BreakdownMonitor,
    /// True if the validation after the last step is still to be done.
    #[serde(default)]
    pub(crate) unvalidated: bool,
}

/// The best network so far, by validation.
#[derive(Debug)]
pub(crate) struct Best {
    /// Steps done before it.
    pub(crate) step: u64,
    pub(crate) scores: Scores,
    pub(crate) network: State,
}

impl Best {
    /// Returns a copy that shares the tensors, which are never changed.
    pub(crate) fn share(&self) -> Best {
        Best {
            step: self.step,
            scores: self.scores.clone(),
            network: share(&self.network),
        }
    }
}

/// All state that is not a tensor. Floating-point values are kept as bits, so that they are read
/// back exactly.
#[derive(serde::Serialize, serde::Deserialize)]
struct Header {
    identity: String,
    progress: Progress,
    plateau: Option<PlateauHeader>,
    best: Option<BestHeader>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finished: Option<FinishedHeader>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct FinishedHeader {
    trained: Trained,
    network: String,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct PlateauHeader {
    rate_bits: u64,
    best_bits: u64,
    bad: u64,
    cooling: u64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct BestHeader {
    step: u64,
    score_bits: Vec<(Metric, u64)>,
}

/// Returns the identity of a training: a hash of everything that determines it.
pub(crate) fn identity(
    recipe: &Recipe,
    data: &PreparedData,
    threads: u32,
    device: tch::Device,
) -> String {
    let numerics = if device.is_cuda() {
        Numerics::Cuda
    } else {
        Numerics::Cpu { threads }
    };
    blake3::hash(canonical_json(&(FORMAT, SCHEMA, recipe, &data.blake3, numerics)).as_bytes())
        .to_hex()
        .to_string()
}

/// Writes a checkpoint, replacing an earlier one.
///
/// # Errors
/// The disk does not accept it.
fn save(path: &Path, identity: &str, snapshot: &Snapshot) -> Result<(), Failed> {
    let mut tensors = prefixed("network", &snapshot.network);
    tensors.extend(prefixed("losses", &snapshot.losses));
    let optimizers = snapshot.optimizers.iter().enumerate();
    tensors.extend(optimizers.flat_map(|(place, state)| prefixed(&optimizer(place), state)));
    let parts = [
        ("memory", &snapshot.memory),
        ("survey", &snapshot.survey),
        ("average", &snapshot.average),
    ];
    for (prefix, state) in parts {
        tensors.extend(state.iter().flat_map(|state| prefixed(prefix, state)));
    }
    tensors.extend(
        snapshot
            .best
            .iter()
            .flat_map(|best| prefixed("best", &best.network)),
    );
    tensors.push((
        HEADER.to_owned(),
        Tensor::from_slice(header(identity, snapshot).as_bytes()),
    ));
    files::write_sealed(tensors, path)
}

/// Writes that a training is finished, replacing its checkpoint. `network` is the hash of its network's file.
///
/// # Errors
/// The disk does not accept it.
pub(crate) fn finish(
    path: &Path,
    identity: &str,
    trained: &Trained,
    network: String,
) -> Result<(), Failed> {
    let header = canonical_json(&Header {
        identity: identity.to_owned(),
        progress: Progress::default(),
        plateau: None,
        best: None,
        finished: Some(FinishedHeader {
            trained: trained.clone(),
            network,
        }),
    });
    let header = Tensor::from_slice(header.as_bytes());
    files::write_sealed(vec![(HEADER.to_owned(), header)], path)
}

fn optimizer(place: usize) -> String {
    format!("optimizer_{place}")
}

fn header(identity: &str, snapshot: &Snapshot) -> String {
    let bits = |best: &Best| {
        best.scores
            .iter()
            .map(|(metric, score)| (*metric, score.to_bits()))
            .collect()
    };
    canonical_json(&Header {
        identity: identity.to_owned(),
        progress: snapshot.progress,
        plateau: snapshot.plateau.map(
            |PlateauState {
                 factor,
                 best,
                 bad,
                 cooling,
             }| PlateauHeader {
                rate_bits: factor.to_bits(),
                best_bits: best.to_bits(),
                bad,
                cooling,
            },
        ),
        best: snapshot.best.as_ref().map(|best| BestHeader {
            step: best.step,
            score_bits: bits(best),
        }),
        finished: None,
    })
}

/// Reads the checkpoint; `None` if there is none.
///
/// # Errors
/// The reason why it must not be used.
pub(crate) fn load(path: &Path, identity: &str) -> Result<Option<Saved>, String> {
    if !path.exists() {
        return Ok(None);
    }
    let mut tensors = files::read_sealed(path)?;
    let header = files::bytes(&files::take(&mut tensors, HEADER)?)?;
    let header: Header = serde_json::from_slice(&header).map_err(|error| error.to_string())?;
    if header.identity != identity {
        return Err("it belongs to another training".to_owned());
    }
    Ok(Some(match header.finished {
        Some(FinishedHeader { trained, network }) => Saved::Finished { trained, network },
        None => Saved::Underway(Box::new(snapshot(header, &tensors))),
    }))
}

fn snapshot(header: Header, tensors: &Tensors) -> Snapshot {
    let scores = |bits: Vec<(Metric, u64)>| {
        bits.into_iter()
            .map(|(metric, bits)| (metric, f64::from_bits(bits)))
    };
    let of_part = |prefix| Some(with_prefix(prefix, tensors)).filter(|state| !state.is_empty());
    Snapshot {
        progress: header.progress,
        plateau: header.plateau.map(
            |PlateauHeader {
                 rate_bits,
                 best_bits,
                 bad,
                 cooling,
             }| PlateauState {
                factor: f64::from_bits(rate_bits),
                best: f64::from_bits(best_bits),
                bad,
                cooling,
            },
        ),
        best: header.best.map(|best| Best {
            step: best.step,
            scores: scores(best.score_bits).collect(),
            network: with_prefix("best", tensors),
        }),
        network: with_prefix("network", tensors),
        losses: with_prefix("losses", tensors),
        optimizers: (0..)
            .map(|place| with_prefix(&optimizer(place), tensors))
            .take_while(|state| !state.is_empty())
            .collect(),
        memory: of_part("memory"),
        survey: of_part("survey"),
        average: of_part("average"),
    }
}

fn prefixed(prefix: &str, state: &State) -> Tensors {
    state
        .iter()
        .map(|(name, tensor)| (format!("{prefix}.{name}"), tensor.shallow_clone()))
        .collect()
}

fn with_prefix(prefix: &str, tensors: &Tensors) -> State {
    let own = |name: &str| Some(name.strip_prefix(prefix)?.strip_prefix('.')?.to_owned());
    tensors
        .iter()
        .filter_map(|(name, tensor)| Some((own(name)?, tensor.shallow_clone())))
        .collect()
}

fn share(state: &State) -> State {
    state
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn example() -> Snapshot {
        let state = |value: f64| vec![("a".to_owned(), Tensor::from_slice(&[value, 2.0, 3.0]))];
        Snapshot {
            progress: Progress {
                step: 7,
                empty_steps: 2,
                unimproved: 1,
                ..Progress::default()
            },
            plateau: Some(PlateauState {
                factor: 0.1 + 0.2,
                best: f64::NEG_INFINITY,
                bad: 3,
                cooling: 1,
            }),
            best: Some(Best {
                step: 5,
                scores: [(Metric::MapAtR, 0.1 + 0.2)].into(),
                network: state(1.0),
            }),
            network: state(4.0),
            losses: state(5.0),
            optimizers: vec![
                vec![("steps".to_owned(), Tensor::from_slice(&[7i64]))],
                state(6.0),
                state(7.0),
            ],
            memory: None,
            survey: Some(state(8.0)),
            average: Some(state(9.0)),
        }
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = files::checkpoint(folder.path());
        assert!(load(&path, "me").unwrap().is_none());
        save(&path, "me", &example()).unwrap();
        let Some(Saved::Underway(read)) = load(&path, "me").unwrap() else {
            panic!("the training is not finished");
        };
        assert_eq!(
            (read.progress, read.plateau),
            (example().progress, example().plateau)
        );
        assert_eq!(read.network, example().network);
        assert_eq!(
            (read.losses, read.optimizers),
            (example().losses, example().optimizers)
        );
        assert!(read.memory.is_none());
        assert_eq!(
            (read.survey, read.average),
            (example().survey, example().average)
        );
        let best = read.best.unwrap();
        assert_eq!(
            (best.step, best.scores[&Metric::MapAtR].to_bits()),
            (5, (0.1f64 + 0.2).to_bits())
        );
        assert_eq!(best.network, example().best.unwrap().network);
    }

    #[test]
    fn damage_is_detected_at_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = files::checkpoint(folder.path());
        save(&path, "me", &example()).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for place in (0..whole.len()).step_by(5) {
            let mut damaged = whole.clone();
            damaged[place] ^= 4;
            std::fs::write(&path, damaged).unwrap();
            assert!(
                load(&path, "me").is_err(),
                "byte {place} of {}",
                whole.len()
            );
        }
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(load(&path, "me").is_err());
    }

    #[test]
    fn a_foreign_checkpoint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = files::checkpoint(folder.path());
        save(&path, "me", &example()).unwrap();
        assert_eq!(
            load(&path, "you").unwrap_err(),
            "it belongs to another training"
        );
    }
}
