//! Miners.

use dml::miner::{self, By, MinerError, Violation};
use schema::{Distance, Miner, MinerStrategy};

use super::losses;

/// The miner of that name.
///
/// # Errors
/// If its settings contradict each other.
pub(super) fn miner(miner: &Miner) -> Result<Box<dyn miner::Miner>, MinerError> {
    Ok(match miner {
        Miner::SemiHard(m) => by(m.distance, miner::SemiHard { margin: m.margin }),
        Miner::Hard(m) => by(m.distance, gap(0.0, Violation::Hard)),
        Miner::Easy(m) => by(m.distance, gap(m.margin, Violation::Easy)),
        Miner::AllTriplets(m) => by(m.distance, gap(m.margin, Violation::All)),
        Miner::BatchHard(m) => by(m.distance, miner::BatchHard),
        Miner::BatchEasyHard(m) => by(m.distance, batch_easy_hard(m)?),
        Miner::DistanceWeighted(schema::DistanceWeightedMiner {
            cutoff,
            nonzero_loss_cutoff,
        }) => Box::new(miner::DistanceWeighted {
            cutoff: *cutoff,
            nonzero_loss_cutoff: *nonzero_loss_cutoff,
        }),
        Miner::MultiSimilarity(m) => by(m.distance, miner::MultiSimilarity { epsilon: m.epsilon }),
        Miner::PairMargin(m) => by(
            m.distance,
            miner::PairMargin {
                pos_margin: m.pos_margin,
                neg_margin: m.neg_margin,
            },
        ),
        Miner::HardAware(m) => by(m.distance, miner::HardAware { share: m.share }),
        Miner::Angular(m) => Box::new(miner::Angular { degrees: m.degrees }),
        Miner::UniformHistogram(m) => by(m.distance, uniform_histogram(m)),
    })
}

fn gap(margin: f64, keep: Violation) -> miner::TripletMargin {
    miner::TripletMargin { margin, keep }
}

fn batch_easy_hard(
    settings: &schema::BatchEasyHardMiner,
) -> Result<miner::BatchEasyHard, MinerError> {
    let strategy = |strategy| match strategy {
        MinerStrategy::Easy => miner::Strategy::Easy,
        MinerStrategy::SemiHard => miner::Strategy::SemiHard,
        MinerStrategy::Hard => miner::Strategy::Hard,
        MinerStrategy::All => miner::Strategy::All,
    };
    miner::BatchEasyHard::new(strategy(settings.positive), strategy(settings.negative))?
        .within(settings.positive_range, settings.negative_range)
}

fn uniform_histogram(settings: &schema::UniformHistogramMiner) -> miner::UniformHistogram {
    miner::UniformHistogram {
        bins: i64::from(settings.bins.max(1)),
        pos_per_bin: settings.pos_per_bin as usize,
        neg_per_bin: settings.neg_per_bin as usize,
    }
}

/// The miner, judging by another distance if one is named.
fn by(distance: Option<Distance>, miner: impl miner::Miner + 'static) -> Box<dyn miner::Miner> {
    match distance {
        None => Box::new(miner),
        Some(other) => Box::new(By {
            distance: losses::distance(other),
            miner: Box::new(miner),
        }),
    }
}
