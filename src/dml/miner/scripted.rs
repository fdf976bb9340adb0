//! A miner of the user: a module of TorchScript. See [`crate::script`].

use schema::{Distance, Script};
use tch::{Device, IValue, Kind, Tensor};

use super::{Candidates, Miner};
use crate::{
    random::Draws,
    script::{LoadedScript, ScriptError, Scripts, refused},
    tuples::{Pairs, Triplets, Tuples},
};

/// A miner of the user.
#[derive(Debug)]
pub struct ScriptedMiner {
    module: LoadedScript,
}

impl ScriptedMiner {
    /// Returns the miner of a module.
    ///
    /// # Errors
    /// If the module cannot be used.
    pub fn new(
        settings: &Script,
        scripts: &Scripts,
        device: Device,
    ) -> Result<ScriptedMiner, ScriptError> {
        Ok(ScriptedMiner {
            module: LoadedScript::new(settings, scripts, device)?,
        })
    }
}

impl Miner for ScriptedMiner {
    /// The distance that is handed to it, beside which it may compute any other.
    fn distance(&self) -> Distance {
        Distance::Euclidean
    }

    fn choose(&self, candidates: &Candidates, _: &mut Draws) -> Tuples {
        self.chosen(candidates)
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

impl ScriptedMiner {
    pub(crate) fn module(&self) -> &LoadedScript {
        &self.module
    }

    /// Returns what the module chooses.
    ///
    /// # Errors
    /// If it fails, or chooses what are no pairs or triplets.
    pub(crate) fn chosen(&self, candidates: &Candidates) -> Result<Tuples, ScriptError> {
        let Candidates {
            embeddings,
            labels,
            references,
            positives,
            negatives,
            ..
        } = candidates;
        let parameters = std::iter::empty();
        let chosen = self
            .module
            .forward(embeddings, labels, references, parameters)?;
        let tuples = tuples_of(chosen)?;
        match are_among(&tuples, positives, negatives) {
            true => Ok(tuples),
            false => Err(refused(
                "it chooses pairs that are none: an image and itself, or the wrong classes",
            )),
        }
    }
}

/// Returns three tensors as triplets, four as pairs.
fn tuples_of(chosen: IValue) -> Result<Tuples, ScriptError> {
    let indices = match chosen {
        IValue::Tuple(parts) => parts.into_iter().map(indices).collect(),
        _ => None,
    };
    let indices: Vec<Tensor> = indices.unwrap_or_default();
    match <[Tensor; 3]>::try_from(indices) {
        Ok([anchor, positive, negative]) => Ok(Tuples::Triplets(Triplets {
            anchor,
            positive,
            negative,
        })),
        Err(indices) => match <[Tensor; 4]>::try_from(indices) {
            Ok([anchor_pos, positive, anchor_neg, negative]) => Ok(Tuples::Pairs(Pairs {
                anchor_pos,
                positive,
                anchor_neg,
                negative,
            })),
            Err(_) => Err(refused(
                "it returns something other than three tensors of indices, for triplets, or four, for pairs",
            )),
        },
    }
}

fn indices(value: IValue) -> Option<Tensor> {
    match value {
        IValue::Tensor(tensor) if tensor.kind() == Kind::Int64 && tensor.dim() == 1 => Some(tensor),
        _ => None,
    }
}

/// True if all pairs are among those that these masks `[n, m]` mark.
fn are_among(tuples: &Tuples, positives: &Tensor, negatives: &Tensor) -> bool {
    let pairs = tuples.pairs();
    are_marked(&pairs.anchor_pos, &pairs.positive, positives)
        && are_marked(&pairs.anchor_neg, &pairs.negative, negatives)
}

fn are_marked(anchors: &Tensor, others: &Tensor, marked: &Tensor) -> bool {
    let size = marked.size();
    let within = |indices: &Tensor, end: i64| {
        let inside = indices.ge(0).logical_and(&indices.lt(end));
        inside.all().int64_value(&[]) != 0
    };
    anchors.size() == others.size()
        && within(anchors, size[0])
        && within(others, size[1])
        && marked
            .index(&[Some(anchors), Some(others)])
            .all()
            .int64_value(&[])
            != 0
}

#[cfg(test)]
mod tests {
    use schema::BatchHardMiner;

    use super::*;
    use crate::{
        distance::normalize,
        random::Purpose,
        testing::{noise, script},
        tuples::References,
    };

    fn chosen(miner: &dyn Miner) -> Triplets {
        let embeddings = normalize(&noise(4, 12, 3));
        let labels: Vec<i64> = (0..12).map(|image| image % 5).collect();
        let labels = Tensor::from_slice(&labels);
        let references = References::batch(&embeddings, &labels);
        let mut draws = Draws::new(0, Purpose::Mining, 0, 0);
        miner
            .mine(&embeddings, &labels, &references, None, &mut draws)
            .triplets(labels.size()[0])
    }

    fn miner(name: &str) -> ScriptedMiner {
        let (script, scripts) = script(name);
        ScriptedMiner::new(&script, &scripts, Device::Cpu).unwrap()
    }

    #[test]
    fn a_module_chooses_the_triplets_of_the_built_in_miner_of_its_rule() {
        let (own, built_in) = (
            chosen(&miner("hardest")),
            chosen(&BatchHardMiner::default()),
        );
        assert!(own.anchor.numel() > 5);
        assert_eq!(own.anchor, built_in.anchor);
        assert_eq!(own.positive, built_in.positive);
        assert_eq!(own.negative, built_in.negative);
    }

    #[test]
    #[should_panic(expected = "chooses pairs that are none")]
    fn an_image_and_itself_are_no_pair() {
        chosen(&miner("chooses_itself"));
    }

    #[test]
    #[should_panic(expected = "other than three tensors of indices")]
    fn a_matrix_is_no_choice() {
        chosen(&miner("returns_pairs"));
    }
}
