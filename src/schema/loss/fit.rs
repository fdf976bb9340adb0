//! What goes with what: combinations that make no sense are refused when a sweep is checked, with a reason.

use super::{Boundary, Loss};
use crate::{Distance, Memory, Miner, Reduction};

/// Why a combination makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The key at fault: `distance`, `reduction`, `miner` or `memory`.
    pub key: &'static str,
    /// One sentence.
    pub reason: String,
}

/// What a loss compares the images of a batch with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compares {
    /// With each other or with a memory, in pairs or triplets that a miner may choose.
    Chosen,
    /// With each other or with a memory, all of them: a miner can only weight the images.
    All,
    /// The same, and a miner changes nothing.
    Everything,
    /// With each other only: it looks at the batch as a whole.
    Batch,
    /// With numbers of its own for each class.
    Classes,
}

use Distance::{Cosine, DotProduct, Euclidean, SignalToNoise, SquaredEuclidean};

impl Loss {
    /// The distances that make sense for it, its own first. A p-norm does wherever the Euclidean distance does.
    pub fn distances(&self) -> &'static [Distance] {
        match self {
            Loss::Contrastive(_)
            | Loss::Triplet(_)
            | Loss::Margin(_)
            | Loss::Lifted(_)
            | Loss::GeneralisedLifted(_) => &[
                Euclidean,
                Cosine,
                SquaredEuclidean,
                DotProduct,
                SignalToNoise,
            ],
            Loss::MultiSimilarity(_) => &[
                Cosine,
                Euclidean,
                SquaredEuclidean,
                DotProduct,
                SignalToNoise,
            ],
            Loss::NtXent(_) | Loss::SupCon(_) => &[Cosine, Euclidean, DotProduct],
            Loss::Nca(_) | Loss::FastAp(_) => &[SquaredEuclidean, Euclidean, Cosine],
            Loss::Histogram(_) => &[Cosine, Euclidean, SquaredEuclidean],
            Loss::NPair(_) => &[Cosine, DotProduct],
            Loss::SnrContrastive(_) => &[SignalToNoise],
            Loss::Clustering(_) | Loss::Angular(_) => &[Euclidean],
            Loss::HierarchicalTriplet(_) | Loss::ProxyNca(_) | Loss::ProxyNcaPp(_) => {
                &[SquaredEuclidean]
            }
            Loss::ContrastiveDm(_)
            | Loss::LiftedDm(_)
            | Loss::Binomial(_)
            | Loss::BinomialDm(_)
            | Loss::NcaDm(_)
            | Loss::SemiHardDm(_)
            | Loss::Circle(_)
            | Loss::SmoothAp(_)
            | Loss::RecallAtK(_)
            | Loss::ProxyAnchor(_)
            | Loss::NormalisedSoftmax(_)
            | Loss::CosFace(_)
            | Loss::ArcFace(_)
            | Loss::SoftTriple(_) => &[Cosine],
            Loss::Sum(_) => &[],
        }
    }

    /// Whether it has numbers of its own to train.
    pub fn has_parameters(&self) -> bool {
        match self {
            Loss::Margin(margin) => margin.boundary != Boundary::Fixed,
            Loss::Sum(summands) => summands.iter().any(|summand| summand.loss.has_parameters()),
            other => other.compares() == Some(Compares::Classes),
        }
    }

    /// Whether a batch without two images of a class teaches it nothing.
    pub fn needs_positives(&self) -> bool {
        match self {
            Loss::Sum(summands) => summands
                .iter()
                .any(|summand| summand.loss.needs_positives()),
            other => other.compares() != Some(Compares::Classes),
        }
    }

    /// The first reason, if any, why these do not go with this loss. The summands of a sum are asked by
    /// themselves.
    pub fn misfit(
        &self,
        distance: Option<Distance>,
        reduction: Option<Reduction>,
        miner: Option<&Miner>,
        memory: Option<&Memory>,
    ) -> Option<Misfit> {
        let name = self.name();
        let misfit = |key, reason: String| Some(Misfit { key, reason });
        match self.compares() {
            None => return misfit_of_sum(distance, reduction, miner),
            Some(Compares::Batch) if memory.is_some() => {
                return misfit(
                    "memory",
                    format!(
                        "`{name}` looks at a batch as a whole: there is nothing to compare with a memory"
                    ),
                );
            }
            Some(Compares::Batch) if miner.is_some() => {
                return misfit(
                    "miner",
                    format!("`{name}` looks at a batch as a whole: there is nothing to mine"),
                );
            }
            Some(Compares::Everything) if miner.is_some() => {
                return misfit(
                    "miner",
                    format!("`{name}` counts all pairs: a miner would change nothing"),
                );
            }
            Some(Compares::Classes) if memory.is_some() => {
                return misfit(
                    "memory",
                    format!(
                        "`{name}` compares images with classes, not with other images: a memory adds nothing"
                    ),
                );
            }
            Some(
                Compares::Batch
                | Compares::Classes
                | Compares::Everything
                | Compares::All
                | Compares::Chosen,
            ) => {}
        }
        let accepted = |distance: Distance| {
            let family = if let Distance::Lp(_) = distance {
                Euclidean
            } else {
                distance
            };
            self.distances().contains(&family)
        };
        distance
            .filter(|&distance| !accepted(distance))
            .and_then(|_| {
                let names: Vec<String> =
                    self.distances().iter().map(crate::canonical_json).collect();
                misfit(
                    "distance",
                    format!(
                        "`{name}` is not defined on that distance, only on {}",
                        names.join(", ")
                    ),
                )
            })
    }

    fn compares(&self) -> Option<Compares> {
        Some(match self {
            Loss::Contrastive(_)
            | Loss::ContrastiveDm(_)
            | Loss::Triplet(_)
            | Loss::Lifted(_)
            | Loss::GeneralisedLifted(_)
            | Loss::LiftedDm(_)
            | Loss::Binomial(_)
            | Loss::BinomialDm(_)
            | Loss::SemiHardDm(_)
            | Loss::MultiSimilarity(_)
            | Loss::NtXent(_)
            | Loss::SupCon(_)
            | Loss::Circle(_)
            | Loss::SnrContrastive(_)
            | Loss::Angular(_)
            | Loss::Histogram(_)
            | Loss::HierarchicalTriplet(_)
            | Loss::Margin(_) => Compares::Chosen,
            Loss::Nca(_)
            | Loss::NcaDm(_)
            | Loss::FastAp(_)
            | Loss::SmoothAp(_)
            | Loss::NPair(_) => Compares::All,
            Loss::RecallAtK(_) => Compares::Everything,
            Loss::Clustering(_) => Compares::Batch,
            Loss::ProxyNca(_)
            | Loss::ProxyNcaPp(_)
            | Loss::ProxyAnchor(_)
            | Loss::NormalisedSoftmax(_)
            | Loss::CosFace(_)
            | Loss::ArcFace(_)
            | Loss::SoftTriple(_) => Compares::Classes,
            Loss::Sum(_) => return None,
        })
    }
}

fn misfit_of_sum(
    distance: Option<Distance>,
    reduction: Option<Reduction>,
    miner: Option<&Miner>,
) -> Option<Misfit> {
    let own = |key| Misfit {
        key,
        reason: format!("in a sum, each loss has its own {key}: set it there"),
    };
    let given = [
        ("distance", distance.is_some()),
        ("reduction", reduction.is_some()),
        ("miner", miner.is_some()),
    ];
    given
        .into_iter()
        .find(|(_, given)| *given)
        .map(|(key, _)| own(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clustering, Contrastive, ProxyAnchor, SemiHardMiner, Summand, Xbm};

    #[test]
    fn combinations_that_make_no_sense_are_refused_with_the_key_at_fault() {
        let xbm = Memory::Xbm(serde_json::from_str::<Xbm>(r#"{"size": 64}"#).unwrap());
        let miner = Miner::SemiHard(SemiHardMiner::default());
        let key = |misfit: Option<Misfit>| misfit.map(|misfit| misfit.key);
        let proxies = Loss::ProxyAnchor(ProxyAnchor::default());
        assert_eq!(
            key(proxies.misfit(None, None, None, Some(&xbm))),
            Some("memory")
        );
        assert_eq!(
            key(proxies.misfit(Some(SignalToNoise), None, None, None)),
            Some("distance")
        );
        let batch = Loss::Clustering(Clustering::default());
        assert_eq!(
            key(batch.misfit(None, None, Some(&miner), None)),
            Some("miner")
        );
        let pairs = Loss::Contrastive(Contrastive::default());
        assert_eq!(
            pairs.misfit(
                Some(Distance::Lp(1.0)),
                Some(Reduction::Sum),
                Some(&miner),
                Some(&xbm)
            ),
            None
        );
        let sum = Loss::Sum(vec![Summand {
            weight: 1.0,
            loss: pairs,
            distance: None,
            reduction: None,
            miner: None,
            regularizer: None,
        }]);
        assert_eq!(
            key(sum.misfit(None, None, Some(&miner), None)),
            Some("miner")
        );
        assert_eq!(sum.misfit(None, None, None, Some(&xbm)), None);
    }

    #[test]
    fn every_loss_fits_its_own_distance() {
        for loss in Loss::every() {
            let own = loss.distances().first().copied();
            assert!(own.is_some());
            assert_eq!(loss.misfit(own, None, None, None), None);
        }
    }
}
