//! Transforms: what is drawn, and that all ways of carrying it out agree.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use schema::{AugmentationPolicy, RandAugment};

use super::{listing::*, *};

const RANDOM_RESIZED: RandomResizedCrop = RandomResizedCrop {
    size: 16,
    scale: [0.16, 1.0],
    ratio: [0.75, 4.0 / 3.0],
};

fn resized(crop: RandomResizedCrop) -> TrainTransform {
    TrainTransform {
        random_resized_crop: Some(crop),
        ..TrainTransform::default()
    }
}

fn cropped(size: u32) -> TrainTransform {
    TrainTransform {
        random_crop: Some(size),
        ..TrainTransform::default()
    }
}

fn centered(size: u32) -> TrainTransform {
    TrainTransform {
        center_crop: Some(size),
        ..TrainTransform::default()
    }
}

/// Every change but a crop.
fn changed() -> TrainTransform {
    TrainTransform {
        flip: 0.5,
        color_jitter: Some(ColorJitter {
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.4,
            hue: 0.2,
        }),
        random_erasing: Some(RandomErasing {
            probability: 0.5,
            scale: [0.02, 0.33],
            ratio: [0.3, 3.3],
            color: [124, 116, 104],
        }),
        ..TrainTransform::default()
    }
}

fn everything() -> TrainTransform {
    TrainTransform {
        random_resized_crop: Some(RANDOM_RESIZED),
        ..changed()
    }
}

fn drawn(transform: &TrainTransform, sides: [usize; 2], step: u64) -> AugmentParams {
    let key = DrawKey {
        seed: 1,
        step,
        index: 0,
    };
    AugmentParams::drawn(transform, sides, key)
}

/// Images of several shapes, kept or streamed.
fn images(folder: &std::path::Path, cache: Cache) -> Arc<ImageStore> {
    let part = |name: &str, count: u32| Part {
        classes: vec![Class {
            name: name.into(),
            category: None,
            wider: Vec::new(),
        }],
        images: (0..count)
            .map(|number| {
                let path = folder.join(format!("{name} {number}.png"));
                let pixel = |x: u32, y: u32| {
                    image::Rgb([
                        (x * 5 + y) as u8,
                        (y * 3 + 9 * number) as u8,
                        (x * y / 5) as u8 ^ 90,
                    ])
                };
                image::RgbImage::from_fn(40 + 7 * number, 60 - 5 * number, pixel)
                    .save(&path)
                    .unwrap();
                Image {
                    path,
                    class: 0,
                    role: Role::Both,
                    bounding_box: None,
                    camera: None,
                }
            })
            .collect(),
    };
    let source = Source::Files {
        dataset: Dataset::Own(schema::Own {
            name: "patterns".into(),
        }),
        root: "/".into(),
        listing: Listing {
            training: part("a", 5),
            test: part("b", 1),
        },
    };
    let stored = StoredImages {
        size: ImageSize::ShortSide(32),
        color: Color::Rgb,
        bounding_boxes: false,
        background: None,
    };
    let into = folder.join(format!("{cache:?}"));
    Preparation::new(&source, stored, cache, &into)
        .unwrap()
        .run(&|_, _| ())
        .unwrap();
    PreparedData::open(&into).unwrap().images
}

fn batches(images: &Arc<ImageStore>, transform: TrainTransform) -> Batches {
    Batches {
        images: Arc::clone(images),
        transform,
        seed: 3,
        device: Device::Cpu,
    }
}

const INDICES: [i64; 12] = [0, 1, 2, 3, 4, 5, 0, 0, 1, 2, 3, 4];

#[test]
fn a_crop_never_leaves_the_image() {
    for transform in [everything(), cropped(9), centered(9), changed()] {
        for step in 0..500 {
            let sides = [[9, 9], [200, 10], [10, 200], [57, 31]][step as usize % 4];
            let params = drawn(&transform, sides, step);
            let Region {
                left,
                top,
                width,
                height,
            } = params.region;
            assert!(
                width > 0 && height > 0 && left + width <= sides[0] && top + height <= sides[1],
                "{params:?}"
            );
        }
    }
}

#[test]
fn random_parts_have_the_areas_and_ratios_that_were_asked_for() {
    let transform = resized(RANDOM_RESIZED);
    let parts: Vec<Region> = (0..4000)
        .map(|step| drawn(&transform, [300, 300], step).region)
        .collect();
    let area = |part: &Region| (part.width * part.height) as f64 / 90_000.0;
    assert!(parts.iter().all(|part| (0.155..=1.0).contains(&area(part))));
    let ratio = |part: &Region| part.width as f64 / part.height as f64;
    assert!(parts.iter().all(|part| (0.74..1.35).contains(&ratio(part))));
    // What is larger than the image is drawn again, so the mean is a little below the middle of 0.16 and 1.
    let mean = parts.iter().map(area).sum::<f64>() / 4000.0;
    assert!((0.5..0.58).contains(&mean), "{mean}");
}

#[test]
fn a_part_that_cannot_be_found_is_the_middle_in_an_allowed_ratio() {
    let part = drawn(&resized(RANDOM_RESIZED), [1000, 10], 0).region;
    assert_eq!((part.height, part.top), (10, 0));
    assert!(part.width <= 13, "{part:?}");
    let crop = RandomResizedCrop {
        size: 8,
        scale: [1.0, 1.0],
        ratio: [0.75, 4.0 / 3.0],
    };
    let part = drawn(&resized(crop), [1000, 10], 0).region;
    assert_eq!(
        part,
        Region {
            left: 493,
            top: 0,
            width: 13,
            height: 10
        }
    );
}

#[test]
fn the_middle_is_rounded_as_torchvision_does() {
    // 14.5 becomes 14, and 57.5 becomes 58: to the even one.
    assert_eq!(
        drawn(&centered(227), [256, 342], 0).region,
        Region {
            left: 14,
            top: 58,
            width: 227,
            height: 227
        }
    );
}

#[test]
fn batches_are_the_same_however_they_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let kept = images(folder.path(), Cache::Always);
    let streamed = images(folder.path(), Cache::Never);
    let expected = batches(&kept, everything()).batch(7, &INDICES).unwrap();
    assert_eq!(
        (expected.size(), expected.kind()),
        (vec![12, 3, 16, 16], Kind::Uint8)
    );
    assert_eq!(
        batches(&streamed, everything()).batch(7, &INDICES).unwrap(),
        expected
    );
    let alone = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    assert_eq!(
        alone.install(|| batches(&kept, everything()).batch(7, &INDICES).unwrap()),
        expected
    );
    assert_ne!(
        batches(&kept, everything()).batch(8, &INDICES).unwrap(),
        expected
    );
}

#[test]
fn a_policy_changes_images_and_no_other_draw() {
    let policy = AugmentationPolicy::RandAugment(RandAugment {
        operations: 3,
        ..RandAugment::default()
    });
    let with = TrainTransform {
        policy: Some(policy),
        ..everything()
    };
    for step in 0..50 {
        let params = drawn(&with, [57, 31], step);
        let without = AugmentParams {
            operations: Vec::new(),
            ..params
        };
        assert_eq!(without, drawn(&everything(), [57, 31], step));
    }
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path(), Cache::Always);
    let changed = batches(&images, with.clone()).batch(7, &INDICES).unwrap();
    assert_eq!(changed, batches(&images, with).batch(7, &INDICES).unwrap());
    assert_ne!(
        changed,
        batches(&images, everything()).batch(7, &INDICES).unwrap()
    );
}

#[test]
fn a_loader_goes_on_at_any_step_with_the_same_batches() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path(), Cache::Always);
    let of = |from| {
        let indices = |step: u64| (step < 6).then(|| vec![step as i64 % 6, 0]);
        Loader::new(batches(&images, everything()), indices, from, 2)
            .map(Result::unwrap)
            .collect::<Vec<Tensor>>()
    };
    let all = of(0);
    assert_eq!((all.len(), of(6).len()), (6, 0));
    assert_eq!(of(4), all[4..]);
    assert_eq!(
        all[5],
        batches(&images, everything()).batch(5, &[5, 0]).unwrap()
    );
}

#[test]
fn a_dropped_loader_ends() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path(), Cache::Always);
    let mut loader = Loader::new(batches(&images, everything()), |_| Some(vec![0, 1]), 0, 1);
    assert!(loader.next().is_some());
    drop(loader);
}

#[test]
fn an_image_that_is_gone_ends_a_loader_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path(), Cache::Never);
    std::fs::remove_file(folder.path().join("a 3.png")).unwrap();
    let mut loader = Loader::new(
        batches(&images, everything()),
        |step| Some(vec![step as i64 + 2]),
        0,
        1,
    );
    assert!(loader.next().unwrap().is_ok());
    assert!(
        loader
            .next()
            .unwrap()
            .unwrap_err()
            .to_string()
            .contains("a 3.png")
    );
    assert!(loader.next().is_none());
}

#[test]
fn tensor_operations_give_the_same_images() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path(), Cache::Always);
    for (transform, allowed) in [
        (resized(RANDOM_RESIZED), 1.0),
        (
            TrainTransform {
                flip: 0.5,
                ..cropped(20)
            },
            0.0,
        ),
        (
            TrainTransform {
                color_jitter: None,
                ..everything()
            },
            1.0,
        ),
        (
            TrainTransform {
                center_crop: Some(30),
                ..changed()
            },
            8.0,
        ),
    ] {
        let batches = batches(&images, transform);
        let here = batches.batch(2, &INDICES).unwrap().to_kind(Kind::Float);
        let there = batches.on_device(2, &INDICES).unwrap().to_kind(Kind::Float);
        let difference = (here - there).abs();
        let (largest, mean) = (
            difference.max().double_value(&[]),
            difference.mean(Kind::Float).double_value(&[]),
        );
        assert!(
            largest <= allowed && mean < 0.05,
            "{:?}: largest {largest}, mean {mean}",
            batches.transform
        );
    }
}
