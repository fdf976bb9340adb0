//! The checks of a miner.

use std::collections::{BTreeMap, BTreeSet};

use schema::{Script, ScriptCheck, ScriptChecked, ScriptProperty};
use tch::{Device, Tensor};

use super::{
    super::{ScriptError, Scripts},
    Probe, check, clause, milliseconds, moved, small_batches, timed_batch,
};
use crate::{
    distance::DistanceExt,
    download::integers,
    miner::{self, Candidates, Miner, ScriptedMiner},
    random::{Draws, Purpose},
    tuples::{References, Tuples},
};

/// Checks a miner. What it is not is in the result.
///
/// # Errors
/// If the module cannot be loaded, or has no such settings.
pub fn check_miner(script: &Script, scripts: &Scripts) -> Result<ScriptChecked, ScriptError> {
    let miner = ScriptedMiner::new(script, scripts, Device::Cpu)?;
    let (embeddings, labels) = timed_batch();
    let references = References::batch(&embeddings, &labels);
    let time = |miner: &dyn Miner| {
        milliseconds(|| {
            let _ = miner.mine(&embeddings, &labels, &references, None, &mut draws());
        })
    };
    let checks = checks(&miner);
    let works = checks.len() > 1;
    let beside = schema::MultiSimilarityMiner::default();
    Ok(ScriptChecked {
        settings: miner.module().setting_values(),
        parameters: BTreeMap::new(),
        equals: equals(&miner),
        milliseconds: if works { time(&miner) } else { 0.0 },
        beside: (
            schema::Miner::from(beside.clone()).key().to_owned(),
            time(&beside),
        ),
        checks,
    })
}

fn draws() -> Draws {
    Draws::new(0, Purpose::Probe, 1, 0)
}

fn checks(miner: &ScriptedMiner) -> Vec<ScriptCheck> {
    let probe = Probe::new(1);
    let first = match chosen(miner, &probe) {
        Ok(first) => first,
        Err(fault) => return vec![check(ScriptProperty::Contract, Err(fault))],
    };
    let agrees = |other: Result<Choice, String>, when: &str| match other? == first {
        true => Ok(()),
        false => Err(format!("it chooses others {when}")),
    };
    let last = probe.labels.len() as i64 - 1;
    let reordered = chosen(miner, &probe.reordered());
    let back = reordered.map(|choice| choice.renumbered(moved, moved));
    let memory = chosen_with(miner, &probe, Probe::memory);
    let memory = memory.map(|choice| choice.renumbered(|anchor| anchor, |row| last - row));
    vec![
        check(ScriptProperty::Contract, Ok(())),
        check(
            ScriptProperty::Repeats,
            agrees(
                chosen(miner, &probe),
                "of the same batch: random numbers would make a continued training another one",
            ),
        ),
        check(
            ScriptProperty::Order,
            agrees(back, "if the images are in another order"),
        ),
        check(
            ScriptProperty::ClassNames,
            agrees(
                chosen(miner, &probe.renamed()),
                "if classes have other numbers",
            ),
        ),
        check(
            ScriptProperty::Memory,
            agrees(memory, "with the batch in a memory"),
        ),
        check(ScriptProperty::SmallBatches, small(miner)),
    ]
}

/// What a miner chose: triplets, or positive and negative pairs, as anchor and others.
#[derive(Debug, PartialEq, Eq)]
struct Choice(BTreeSet<Vec<i64>>);

impl Choice {
    /// Of a batch of `images` images.
    fn of(tuples: &Tuples, images: i64) -> Choice {
        let columns = match tuples {
            Tuples::Triplets(_) | Tuples::MarkedTriplets(_) => {
                let triplets = tuples.triplets(images);
                let columns = [triplets.anchor, triplets.positive, triplets.negative];
                return Choice(rows(&columns));
            }
            Tuples::Pairs(_) | Tuples::MarkedPairs(_) => tuples.pairs(),
        };
        let positive = rows(&[columns.anchor_pos, columns.positive]);
        let negative = rows(&[columns.anchor_neg, columns.negative]);
        Choice(positive.into_iter().chain(negative).collect())
    }

    /// Returns the same choice with other numbers of the anchors and of the others.
    fn renumbered(&self, anchor: impl Fn(i64) -> i64, other: impl Fn(i64) -> i64) -> Choice {
        let renumbered = |row: &Vec<i64>| {
            let (first, others) = (row[0], row[1..].iter());
            let others = others.map(|&image| other(image));
            std::iter::once(anchor(first)).chain(others).collect()
        };
        Choice(self.0.iter().map(renumbered).collect())
    }
}

fn rows(columns: &[Tensor]) -> BTreeSet<Vec<i64>> {
    let columns: Vec<Vec<i64>> = columns.iter().map(integers).collect();
    let row = |place: usize| columns.iter().map(|column| column[place]).collect();
    (0..columns[0].len()).map(row).collect()
}

fn chosen(miner: &ScriptedMiner, probe: &Probe) -> Result<Choice, String> {
    chosen_with(miner, probe, Probe::references)
}

fn chosen_with(
    miner: &ScriptedMiner,
    probe: &Probe,
    references: impl Fn(&Probe, &Tensor) -> References,
) -> Result<Choice, String> {
    let (embeddings, labels) = (probe.embeddings(), probe.labels());
    let references = references(probe, &embeddings);
    let distance = miner.distance();
    let (positives, negatives) = references.masks(&labels);
    let candidates = Candidates {
        embeddings: &embeddings,
        labels: &labels,
        references: &references,
        distances: distance.matrix(&embeddings, &references.embeddings),
        distance,
        positives,
        negatives,
    };
    let chosen = miner.chosen(&candidates).map_err(clause)?;
    Ok(Choice::of(&chosen, labels.size()[0]))
}

fn small(miner: &ScriptedMiner) -> Result<(), String> {
    for (words, probe) in small_batches() {
        chosen(miner, &probe).map_err(|fault| format!("with {words}, {fault}"))?;
    }
    Ok(())
}

/// Returns the keys of the built-in miners that choose the same at their defaults.
fn equals(own: &ScriptedMiner) -> Vec<String> {
    let chooses_the_same = |built_in: &dyn Miner| {
        [1, 2].map(Probe::new).iter().all(|probe| {
            let (embeddings, labels) = (probe.embeddings(), probe.labels());
            let references = probe.references(&embeddings);
            let other = built_in.mine(&embeddings, &labels, &references, None, &mut draws());
            chosen(own, probe).is_ok_and(|own| own == Choice::of(&other, labels.size()[0]))
        })
    };
    let miners = schema::Miner::every().into_iter();
    miners
        .filter_map(|settings| {
            let built_in = miner::build(&settings, &Scripts::default(), Device::Cpu);
            Some((settings.key(), built_in.ok()?))
        })
        .filter(|(_, built_in)| chooses_the_same(&**built_in))
        .map(|(key, _)| key.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::script;

    fn checked(name: &str) -> ScriptChecked {
        let (script, scripts) = script(name);
        check_miner(&script, &scripts).unwrap()
    }

    #[test]
    fn a_right_miner_passes_and_is_known_as_the_built_in_one() {
        let found = checked("hardest");
        assert!(
            found.checks.iter().all(|check| check.fault.is_none()),
            "{found:?}"
        );
        assert_eq!(found.checks.len(), 6);
        assert_eq!(found.equals, ["batch_hard"]);
    }

    #[test]
    fn a_miner_that_chooses_no_pairs_is_none() {
        let found = checked("chooses_itself");
        assert_eq!(found.checks.len(), 1);
        assert!(
            found.checks[0]
                .fault
                .as_ref()
                .unwrap()
                .contains("pairs that are none")
        );
        assert_eq!(found.equals, [""; 0]);
    }
}
