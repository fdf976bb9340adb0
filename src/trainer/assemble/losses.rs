//! From the losses of a recipe, with all that is chosen about them, to those of [`dml`].

use dml::{
    distance,
    loss::{self, Start},
    objective::Term,
    reduce, regularizer,
};
use schema::{Boundary, Distance, Loss, Reduction, Regularizer, Training, WeightedLoss};

use super::{impossible, mining};
use crate::Failed;

/// The terms of what is minimised: one, unless the loss is a sum.
///
/// # Errors
/// If the recipe asks for something impossible.
pub(crate) fn terms(training: &Training, start: &Start) -> Result<Vec<Term>, Failed> {
    let only = || WeightedLoss {
        weight: 1.0,
        loss: training.loss.clone(),
        distance: training.distance,
        reduction: training.reduction,
        miner: training.miner.clone(),
        regularizer: training.regularizer.clone(),
    };
    let summands = if let Loss::Sum(summands) = &training.loss {
        summands
    } else {
        &vec![only()]
    };
    (0..)
        .zip(summands)
        .map(|(part, summand)| term(summand, &Start { part, ..*start }))
        .collect()
}

fn term(summand: &WeightedLoss, start: &Start) -> Result<Term, Failed> {
    let own = Term::of(loss(&summand.loss, start)?);
    Ok(Term {
        weight: summand.weight,
        distance: summand.distance.map_or(own.distance, distance),
        reduction: summand.reduction.map_or(own.reduction, reduction),
        regularizer: summand.regularizer.as_ref().map(regularizer),
        miner: summand
            .miner
            .as_ref()
            .map(mining::miner)
            .transpose()
            .map_err(impossible)?,
        ..own
    })
}

fn loss(loss: &Loss, start: &Start) -> Result<Box<dyn loss::Loss>, Failed> {
    Ok(match loss.clone() {
        Loss::Contrastive(schema::Contrastive {
            pos_margin,
            neg_margin,
            power,
        }) => Box::new(loss::Contrastive {
            pos_margin,
            neg_margin,
            power,
        }),
        Loss::ContrastiveDm(schema::ContrastiveDm { margin }) => {
            Box::new(loss::ContrastiveDm { margin })
        }
        Loss::Triplet(schema::Triplet {
            margin,
            swap,
            smooth,
        }) => Box::new(loss::Triplet {
            margin,
            swap,
            smooth,
        }),
        Loss::Lifted(schema::Lifted {
            neg_margin,
            pos_margin,
        }) => Box::new(loss::Lifted {
            neg_margin,
            pos_margin,
        }),
        Loss::GeneralizedLifted(schema::GeneralizedLifted {
            neg_margin,
            pos_margin,
        }) => Box::new(loss::GeneralisedLifted {
            neg_margin,
            pos_margin,
        }),
        Loss::LiftedDm(schema::LiftedDm { alpha, beta }) => {
            Box::new(loss::LiftedDm { alpha, beta })
        }
        Loss::Binomial(schema::Binomial { alpha, base, cost }) => {
            Box::new(loss::Binomial { alpha, base, cost })
        }
        Loss::BinomialDm(schema::BinomialDm {
            alpha,
            beta,
            base,
            scaled,
        }) => Box::new(loss::BinomialDm {
            alpha,
            beta,
            base,
            scaled,
        }),
        Loss::Nca(schema::Nca { scale }) => Box::new(loss::Nca { scale }),
        Loss::NcaDm(schema::NcaDm { alpha, k }) => Box::new(loss::NcaDm { alpha, k: k.into() }),
        Loss::SemiHardDm(schema::SemiHardDm { alpha, beta, base }) => {
            Box::new(loss::SemiHardDm { alpha, beta, base })
        }
        Loss::MultiSimilarity(schema::MultiSimilarity { alpha, beta, base }) => {
            Box::new(loss::MultiSimilarity { alpha, beta, base })
        }
        Loss::NtXent(schema::NtXent { temperature }) => Box::new(loss::NtXent { temperature }),
        Loss::SupCon(schema::SupCon { temperature }) => Box::new(loss::SupCon { temperature }),
        Loss::Circle(schema::Circle { margin, gamma }) => Box::new(loss::Circle { margin, gamma }),
        Loss::SnrContrastive(schema::SnrContrastive {
            pos_margin,
            neg_margin,
        }) => Box::new(loss::SnrContrastive {
            pos_margin,
            neg_margin,
        }),
        Loss::NPair(schema::NPair {}) => Box::new(loss::NPair),
        Loss::Angular(schema::Angular { alpha }) => Box::new(loss::Angular { alpha }),
        Loss::FastAp(schema::FastAp { bins }) => Box::new(loss::FastAp { bins: bins.into() }),
        Loss::Histogram(schema::Histogram { bins }) => {
            Box::new(loss::Histogram { bins: bins.into() })
        }
        Loss::SmoothAp(schema::SmoothAp {
            temperature,
            itself,
        }) => Box::new(loss::SmoothAp {
            temperature,
            itself,
        }),
        Loss::RecallAtK(schema::RecallAtK {
            ks,
            rank_temperature,
            k_temperature,
        }) => {
            let ks = ks.into_iter().map(f64::from).collect();
            Box::new(loss::RecallAtK {
                ks,
                rank_temperature,
                k_temperature,
            })
        }
        Loss::HierarchicalTriplet(schema::HierarchicalTriplet { margin, levels }) => {
            Box::new(loss::HierarchicalTriplet {
                margin,
                levels: levels.into(),
            })
        }
        Loss::Clustering(schema::Clustering { gamma, refinements }) => Box::new(loss::Clustering {
            gamma,
            refinements: refinements as usize,
        }),
        Loss::Margin(schema::Margin {
            margin,
            beta,
            nu,
            boundary,
        }) => {
            let settings = loss::MarginSettings {
                margin,
                beta,
                nu,
                boundary: self::boundary(boundary),
            };
            Box::new(loss::Margin::new(settings, start))
        }
        Loss::ProxyNca(schema::ProxyNca { scale }) => Box::new(loss::ProxyNca::new(scale, start)),
        Loss::ProxyNcaPp(schema::ProxyNcaPp { temperature }) => {
            Box::new(loss::ProxyNcaPp::new(temperature, start))
        }
        Loss::ProxyAnchor(schema::ProxyAnchor { margin, alpha }) => {
            Box::new(loss::ProxyAnchor::new(margin, alpha, start))
        }
        Loss::NormalizedSoftmax(schema::NormalizedSoftmax { temperature }) => {
            Box::new(loss::NormalisedSoftmax::new(temperature, start))
        }
        Loss::CosFace(schema::CosFace { margin, scale }) => {
            Box::new(loss::CosFace::new(margin, scale, start))
        }
        Loss::ArcFace(schema::ArcFace { margin, scale }) => {
            Box::new(loss::ArcFace::new(margin, scale, start))
        }
        Loss::SoftTriple(schema::SoftTriple {
            centers,
            la,
            gamma,
            delta,
            regularizer,
        }) => {
            let settings = loss::SoftTripleSettings {
                centres: centers.into(),
                la,
                gamma,
                delta,
                regulariser: regularizer,
            };
            Box::new(loss::SoftTriple::new(settings, start))
        }
        Loss::Sum(_) => return Err(Failed::recipe("a sum of losses cannot contain another sum")),
    })
}

fn boundary(boundary: Boundary) -> loss::Boundary {
    match boundary {
        Boundary::Fixed => loss::Boundary::Fixed,
        Boundary::Learned => loss::Boundary::Learnt,
        Boundary::PerClass => loss::Boundary::PerClass,
    }
}

pub(super) fn distance(distance: Distance) -> distance::Distance {
    match distance {
        Distance::Cosine => distance::Distance::Cosine,
        Distance::Euclidean => distance::Distance::Euclidean,
        Distance::SquaredEuclidean => distance::Distance::SquaredEuclidean,
        Distance::DotProduct => distance::Distance::DotProduct,
        Distance::SignalToNoise => distance::Distance::SignalToNoise,
        Distance::Lp(p) => distance::Distance::Lp { p },
    }
}

fn reduction(reduction: Reduction) -> reduce::Reduction {
    match reduction {
        Reduction::Mean => reduce::Reduction::Mean,
        Reduction::AvgNonZero => reduce::Reduction::AvgNonZero,
        Reduction::Sum => reduce::Reduction::Sum,
        Reduction::PerImage => reduce::Reduction::PerImage,
        Reduction::PerAnchor => reduce::Reduction::PerAnchor,
        Reduction::Threshold { low, high } => reduce::Reduction::Threshold { low, high },
    }
}

fn regularizer(regularizer: &Regularizer) -> (f64, Box<dyn regularizer::Regularizer>) {
    match *regularizer {
        Regularizer::ZeroMean(weight) => (weight, Box::new(regularizer::ZeroMean)),
        Regularizer::LpNorm(weight) => {
            (weight, Box::new(regularizer::LpNorm { p: 2.0, power: 1.0 }))
        }
        Regularizer::CenterInvariant(weight) => (weight, Box::new(regularizer::CenterInvariant)),
    }
}
