//! Operations and magnitudes compared with torchvision, and how often policies draw what.

use std::collections::BTreeMap;

use schema::{AutoAugment, RandAugment, TrivialAugment};
use serde_json::Value;

use super::*;
use crate::random::Purpose;

fn golden(name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("testdata/operations.json")).unwrap();
    all[name].as_array().unwrap().clone()
}

fn kind(name: &str) -> Kind {
    KINDS
        .into_iter()
        .chain([Invert])
        .find(|kind| format!("{kind:?}") == name)
        .unwrap()
}

/// The image of the golden values; see `pattern` in scripts/golden_images.py.
fn pattern(side: usize, channels: usize) -> Vec<u8> {
    let mut pixels = Vec::new();
    for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
        pixels
            .extend((0..channels).map(|c| (3 * x + 5 * y + 40 * c + (x * y * (c + 3)) % 64) as u8));
    }
    pixels
}

#[test]
fn operations_give_the_pixels_of_torchvision() {
    for case in golden("operations") {
        let side = case["side"].as_u64().unwrap() as usize;
        let channels = case["channels"].as_u64().unwrap() as usize;
        let drawing = Drawing {
            strengths: Strengths::wide(31),
            side,
            interpolation: serde_json::from_value(case["interpolation"].clone()).unwrap(),
        };
        let magnitude = case["magnitude"].as_f64().unwrap() as f32;
        let operation = drawing.operation(kind(case["name"].as_str().unwrap()), magnitude);
        let mut pixels = pattern(side, channels);
        operation.unwrap().apply(&mut pixels, side, channels);
        let expected: Vec<u8> = serde_json::from_value(case["pixels"].clone()).unwrap();
        let worst = pixels
            .iter()
            .zip(&expected)
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        let (name, between) = (&case["name"], &case["interpolation"]);
        assert_eq!(
            worst,
            Some(0),
            "{name} {magnitude} {between} of {channels} channels"
        );
    }
}

#[test]
fn magnitudes_are_those_of_torchvision() {
    for case in golden("magnitudes") {
        let expected: Vec<f32> = serde_json::from_value(case["values"].clone()).unwrap();
        let (bins, side) = (
            expected.len() as u32,
            case["side"].as_u64().unwrap() as usize,
        );
        let strengths = match case["policy"].as_str().unwrap() {
            "TrivialAugmentWide" => Strengths::wide(bins),
            _ => Strengths::usual(bins, side),
        };
        let kind = kind(case["name"].as_str().unwrap());
        for (bin, expected) in (0..).zip(expected) {
            let magnitude = strengths.magnitude(kind, bin);
            assert!(
                (magnitude - expected).abs() <= 1e-6 * expected.abs()
                    && magnitude.trunc() == expected.trunc(),
                "{case}, number {bin}: {magnitude}"
            );
        }
    }
}

#[test]
fn the_learned_pairs_are_those_of_torchvision() {
    let expected = golden("learned");
    assert_eq!(expected.len(), LEARNED.len());
    for (pair, expected) in LEARNED.iter().zip(expected) {
        let pair: Vec<Value> = pair
            .iter()
            .map(|(kind, probability, bin)| {
                serde_json::json!([format!("{kind:?}"), probability, bin])
            })
            .collect();
        assert_eq!(Value::from(pair), expected);
    }
}

fn draws(step: u64) -> Draws {
    Draws::new(5, Purpose::Augmentation, step, 0)
}

#[test]
fn rand_augment_draws_its_kinds_and_signs_equally_often() {
    let policy = AugmentationPolicy::RandAugment(RandAugment {
        operations: 3,
        ..RandAugment::default()
    });
    let mut counts = BTreeMap::new();
    let mut identities = 0;
    for step in 0..7_000 {
        let operations = drawn(&policy, 64, &mut draws(step));
        identities += 3 - operations.len();
        for operation in operations {
            *counts.entry(format!("{operation:?}")).or_insert(0) += 1;
        }
    }
    // Of 21,000 operations, each of 14 kinds is drawn 1,500 times, and each of two signs 750 times.
    assert_eq!(counts.len(), 9 * 2 + 4);
    assert!((1350..1650).contains(&identities), "{identities}");
    let once = |count: &i32| (1350..1650).contains(count);
    let signed = |count: &i32| (640..860).contains(count);
    assert_eq!(
        counts.values().filter(|count| once(count)).count(),
        4,
        "{counts:?}"
    );
    assert_eq!(
        counts.values().filter(|count| signed(count)).count(),
        18,
        "{counts:?}"
    );
}

#[test]
fn trivial_augment_draws_one_operation_of_any_magnitude() {
    let policy = AugmentationPolicy::TrivialAugment(TrivialAugment::default());
    let mut different = Vec::new();
    for step in 0..20_000 {
        let operations = drawn(&policy, 64, &mut draws(step));
        assert!(operations.len() <= 1);
        different.extend(
            operations
                .into_iter()
                .map(|operation| format!("{operation:?}")),
        );
    }
    different.sort_unstable();
    different.dedup();
    // 31 magnitudes of two signs of 9 kinds, 31 thresholds, 7 numbers of bits and 2 others. Some move by the same pixels.
    let most = 9 * 62 + 31 + 7 + 2;
    assert!(
        (most - 60..=most).contains(&different.len()),
        "{}",
        different.len()
    );
}

#[test]
fn auto_augment_applies_operations_as_often_as_it_learned() {
    let policy = AugmentationPolicy::AutoAugment(AutoAugment::default());
    let probabilities: f64 = LEARNED
        .iter()
        .flatten()
        .map(|(_, probability, _)| probability)
        .sum();
    let count: usize = (0..10_000)
        .map(|step| drawn(&policy, 64, &mut draws(step)).len())
        .sum();
    let mean = count as f64 / 10_000.0;
    assert!((mean - probabilities / 25.0).abs() < 0.03, "{mean}");
}
