//! The serialised form of every part. Run ids are hashes of it: a change means that results that users have are no
//! longer found. `UPDATE_IDS=1 cargo test -p schema written` writes the file anew, for a new part.

use std::{env, fmt::Write as _, fs, path::Path};

use serde::{Serialize, de::DeserializeOwned};

use crate::*;

#[test]
fn every_part_is_written_as_ever() {
    let mut text = String::new();
    write(&mut text, "loss", Loss::every());
    write(&mut text, "miner", Miner::every());
    write(&mut text, "memory", Memory::every());
    write(&mut text, "sampler", Sampler::every());
    write(&mut text, "optimizer", Optimizer::every());
    write(&mut text, "schedule", Schedule::every());
    write(&mut text, "distance", Distance::every());
    write(&mut text, "reduction", Reduction::every());
    let backbones = Backbone::pretrainable().map(|one| one.with_weights(Weights::named("w")));
    write(&mut text, "backbone", backbones.collect());
    read_and_write::<Model>(&mut text, "model", MODELS);
    read_and_write::<Dataset>(&mut text, "dataset", DATASETS);
    read_and_write::<StoredImages>(&mut text, "images", IMAGES);
    read_and_write::<Transform>(&mut text, "transform", TRANSFORMS);
    read_and_write::<Loss>(&mut text, "loss", LOSSES);
    read_and_write::<Miner>(&mut text, "miner", MINERS);
    write(&mut text, "boost", Boost::every());
    write(&mut text, "diversity", Diversity::every());
    read_and_write::<Model>(&mut text, "model", SEVERAL_HEADS);
    read_and_write::<Links>(&mut text, "links", LINKS);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/written.txt");
    if env::var_os("UPDATE_IDS").is_some() {
        fs::write(&golden, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&golden).unwrap());
}

/// As recipes of earlier versions have it.
const MODELS: &[&str] = &[
    r#"{"backbone":"conv4","embedding":64,"normalise":false,"layer_norm":true}"#,
    r#"{"backbone":{"bn_inception":{"weights":"w","count_padding":false}},"batch_norm":"frozen_statistics","freeze":["conv1_7x7_s2"]}"#,
    r#"{"backbone":{"resnet50":{"stride_on":"1x1"}},"pooling":{"gem":{"p":3.0,"trainable":true}},"precision":"bf16"}"#,
    r#"{"backbone":{"vit_s16":{"input":"symmetric"}},"embedding":8,"head":{"mlp":{"hidden":[32]}}}"#,
    r#"{"backbone":{"resnet18":{}},"pooling":"avg_max","embedding":8,"head":{"linear":{"initial":"kaiming_fan_out"}}}"#,
    r#"{"backbone":{"torchscript":{"weights":"w","input":{"colours":"bgr","white":255.0,"mean":[1.0,2.0,3.0],"deviation":[1.0,1.0,1.0]}}}}"#,
    r#"{"backbone":"pixels","batch_norm":"frozen"}"#,
    r#"{"backbone":{"clip_b16":{"activation":"gelu","input":"symmetric","features":"class_and_mean"}}}"#,
];

const SEVERAL_HEADS: &[&str] = &[
    r#"{"backbone":"conv4","embedding":8,"heads":[{"width":3},{"width":5,"tap":"block3","layers":{"mlp":{"hidden":[4]}}}]}"#,
    r#"{"backbone":"conv4","embedding":8,"heads":[{"width":4},{"width":4}],"join":"width"}"#,
    r#"{"backbone":"conv4","embedding":8,"heads":[{"width":4},{"width":4}],"join":{"factors":[1.0,2.0]}}"#,
    r#"{"backbone":"conv4","embedding":8,"heads":[{"width":4,"dropout":0.5},{"width":4}]}"#,
    r#"{"backbone":"conv4","embedding":8,"heads":[{"width":4,"tap":"block2","auxiliary":{"channels":6}},{"width":4}]}"#,
];

const LINKS: &[&str] = &[
    r#"{"boost":"average","cascade":{"shares":[1.0,0.5]}}"#,
    r#"{"divide":{"until":{"epochs":2}}}"#,
    r#"{"cascade":{"shares":[0.5,0.5],"of":"all"},"diversity":{"activation":{"weight":0.1}}}"#,
];

const DATASETS: &[&str] = &[
    r#""omniglot""#,
    r#""cub200""#,
    r#""cars196""#,
    r#""sop""#,
    r#""sop_halves""#,
    r#""in_shop""#,
    r#""inaturalist2018""#,
    r#""vehicle_id_small""#,
    r#""vehicle_id_medium""#,
    r#""vehicle_id_large""#,
    r#"{"own":{"name":"birds"}}"#,
    r#"{"glyphs":{"classes":10,"test_classes":5}}"#,
];

const IMAGES: &[&str] = &[
    r#"{"size":{"square":28},"colour":"grey"}"#,
    r#"{"size":{"short_side":256},"colour":"rgb","bounding_boxes":true}"#,
];

const TRANSFORMS: &[&str] = &[
    r#"{"test":{"center_crop":224},"train":{"random_resized_crop":{"size":227},"flip":0.5}}"#,
    r#"{"train":{"random_crop":64,"colour_jitter":{"hue":0.1},"random_erasing":{}}}"#,
    r#"{"train":{"center_crop":64}}"#,
    r#"{"train":{"policy":{"rand_augment":{"operations":3,"interpolation":"bilinear"}}}}"#,
    r#"{"train":{"policy":{"trivial_augment":{}}}}"#,
    r#"{"train":{"policy":{"auto_augment":{}}}}"#,
];

const LOSSES: &[&str] = &[
    r#"{"margin":{"boundary":"learnt"}}"#,
    r#"{"margin":{"boundary":"per_class"}}"#,
    r#"{"sum":[{"weight":2.0,"loss":{"triplet":{}},"distance":{"lp":3.0},"reduction":{"threshold":{"low":0.0,"high":1.0}},"miner":{"semi_hard":{}},"regularizer":{"lp_norm":0.1}},{"loss":{"soft_triple":{"centres":2,"regulariser":0.5}}}]}"#,
];

const MINERS: &[&str] = &[
    r#"{"batch_easy_hard":{"positive":"semi_hard","negative":"all","positive_range":[0.0,1.0],"distance":"cosine"}}"#,
    r#"{"multi_similarity":{"epsilon":0.2,"distance":{"lp":2.0}}}"#,
];

fn write<T: Serialize>(text: &mut String, what: &str, parts: Vec<T>) {
    for part in parts {
        writeln!(text, "{what} {}", canonical_json(&part)).unwrap();
    }
}

fn read_and_write<T: Serialize + DeserializeOwned>(text: &mut String, what: &str, texts: &[&str]) {
    let parts = texts.iter().map(|json| serde_json::from_str(json).unwrap());
    write::<T>(text, what, parts.collect());
}
