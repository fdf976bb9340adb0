//! Choices of every miner, compared with those of the reference.
//!
//! `testdata/chosen.json` and `testdata/rules.json` hold `{ embeddings, labels, references,
//! reference_labels, cases }`. Each case has a `miner`, its `settings`, and what the reference chooses
//! within the `batch` and against the `references`: three lists of indices for triplets, four for
//! pairs. `make golden` writes the files.

use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::build;
use crate::{
    distance::normalize,
    random::{Draws, Purpose},
    script::Scripts,
    testing::{golden, integers, labels, tensor},
    tuples::{References, Tuples},
};

/// Miners that draw at random: their own tests compare probabilities.
const RANDOM: [&str; 2] = ["distance_weighted", "uniform_histogram"];

/// Miners of pairs whose order is not that of the reference, and means nothing.
const UNORDERED: [&str; 2] = ["hard_aware", "multi_similarity"];

#[test]
fn choices_are_those_of_the_reference_for_every_miner() {
    let files = [
        golden(include_str!("testdata/chosen.json")),
        golden(include_str!("testdata/rules.json")),
    ];
    for miner in schema::Miner::every() {
        let key = miner.key();
        let compared: usize = files.iter().map(|golden| compare(key, golden)).sum();
        assert!(
            compared >= 2 || RANDOM.contains(&key),
            "`{key}` has no golden cases: add some to scripts/golden_miners.py"
        );
    }
}

/// Compares all cases of a miner, and returns their number.
fn compare(key: &str, golden: &Value) -> usize {
    let embeddings = normalize(&tensor(&golden["embeddings"]));
    let labels_of_batch = labels(&golden["labels"]);
    let batch = References::batch(&embeddings, &labels_of_batch);
    let others = References::memory(
        normalize(&tensor(&golden["references"])),
        labels(&golden["reference_labels"]),
        Tensor::full(labels_of_batch.size(), -1, (Kind::Int64, tch::Device::Cpu)),
    );
    let cases = golden["cases"].as_array().unwrap();
    let cases: Vec<&Value> = cases.iter().filter(|case| case["miner"] == key).collect();
    for case in &cases {
        let settings = json!({ key: case["settings"] });
        let settings = serde_json::from_value(settings).unwrap();
        let miner = build(&settings, &Scripts::default(), Device::Cpu).unwrap();
        for (references, name) in [(&batch, "batch"), (&others, "references")] {
            let mut draws = Draws::new(0, Purpose::Mining, 0, 0);
            let found = miner.mine(&embeddings, &labels_of_batch, references, None, &mut draws);
            let expected = case[name]
                .as_array()
                .unwrap()
                .iter()
                .map(integers)
                .collect();
            let is_ordered = !UNORDERED.contains(&key);
            assert_eq!(
                in_order(lists(&found, labels_of_batch.size()[0]), is_ordered),
                in_order(expected, is_ordered),
                "{key} {} {name}",
                case["settings"]
            );
        }
    }
    cases.len()
}

/// Returns three lists for triplets, four for pairs, of a batch of `images` images.
fn lists(tuples: &Tuples, images: i64) -> Vec<Vec<i64>> {
    let lists = match tuples {
        Tuples::Triplets(_) | Tuples::MarkedTriplets(_) => {
            let all = tuples.triplets(images);
            vec![all.anchor, all.positive, all.negative]
        }
        Tuples::Pairs(_) | Tuples::MarkedPairs(_) => {
            let all = tuples.pairs();
            vec![all.anchor_pos, all.positive, all.anchor_neg, all.negative]
        }
    };
    lists
        .into_iter()
        .map(|indices| Vec::try_from(indices).unwrap())
        .collect()
}

/// Returns the tuples of each pair of lists, sorted if their order means nothing.
fn in_order(lists: Vec<Vec<i64>>, is_ordered: bool) -> Vec<Vec<Vec<i64>>> {
    if is_ordered {
        return vec![lists];
    }
    let sorted = lists.chunks(2).map(|side| {
        let mut pairs: Vec<Vec<i64>> = side[0]
            .iter()
            .zip(&side[1])
            .map(|(&anchor, &other)| vec![anchor, other])
            .collect();
        pairs.sort_unstable();
        pairs
    });
    sorted.collect()
}
