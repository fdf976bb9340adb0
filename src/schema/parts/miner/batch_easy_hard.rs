//! One positive and one negative of each anchor.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Distance, OutOfRange, Setting, parts::part::part};

/// Which partner of an anchor is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MinerStrategy {
    /// The closest positive, the farthest negative.
    Easy,
    /// The farthest positive that is closer than the negative, the closest negative that is farther
    /// than the positive.
    SemiHard,
    /// The farthest positive, the closest negative.
    Hard,
    /// All of them.
    All,
}

impl Setting for MinerStrategy {}

part! {
    /// Keeps one positive and one negative of each anchor, by strategy (Xuan et al., WACV 2020).
    pub struct BatchEasyHardMiner {
        /// Which positive.
        positive: MinerStrategy = MinerStrategy::Easy,
        /// Which negative.
        negative: MinerStrategy = MinerStrategy::SemiHard,
        /// Positives at other distances do not count.
        #[serde(skip_serializing_if = "Option::is_none")]
        positive_range: Option<[f64; 2]> = None,
        /// Negatives at other distances do not count.
        #[serde(skip_serializing_if = "Option::is_none")]
        negative_range: Option<[f64; 2]> = None,
        /// The distance by which it chooses. Absent: Euclidean.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<Distance> = None,
    }
    formula: "one positive and one negative of each anchor: easy, semi_hard, hard, or all of them",
    source: "Xuan, Stylianou & Pless, WACV 2020",
    check: check_strategies,
}

fn check_strategies(miner: &BatchEasyHardMiner) -> Result<(), OutOfRange> {
    use MinerStrategy::{All, SemiHard};
    let strategies = [miner.positive, miner.negative];
    if strategies == [SemiHard, SemiHard] {
        return Err(OutOfRange::new(
            "negative",
            "positives and negatives cannot both be semi-hard: each is chosen relative to the other",
        ));
    }
    if strategies.contains(&SemiHard) && strategies.contains(&All) {
        return Err(OutOfRange::new(
            "negative",
            "semi-hard is relative to one positive or negative: it cannot be used with `all`",
        ));
    }
    if miner.positive == All && miner.positive_range.is_some() {
        return Err(range_of_all("positive_range"));
    }
    if miner.negative == All && miner.negative_range.is_some() {
        return Err(range_of_all("negative_range"));
    }
    Ok(())
}

fn range_of_all(setting: &str) -> OutOfRange {
    OutOfRange::new(
        setting,
        "a range restricts which one is chosen: remove it, or choose another strategy than `all`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Part;

    #[test]
    fn strategies_that_contradict_each_other_are_refused() {
        use MinerStrategy::{All, Easy, SemiHard};
        let setting = |positive, negative, positive_range| {
            let miner = BatchEasyHardMiner {
                positive,
                negative,
                positive_range,
                ..BatchEasyHardMiner::default()
            };
            miner.check().err().map(|error| error.setting)
        };
        assert_eq!(
            setting(SemiHard, SemiHard, None).as_deref(),
            Some("negative")
        );
        assert_eq!(setting(SemiHard, All, None).as_deref(), Some("negative"));
        let range = Some([0.0, 1.0]);
        assert_eq!(setting(All, Easy, range).as_deref(), Some("positive_range"));
        let empty = Some([1.0, 0.0]);
        assert_eq!(
            setting(Easy, Easy, empty).as_deref(),
            Some("positive_range")
        );
        assert_eq!(setting(Easy, SemiHard, range), None);
    }
}
