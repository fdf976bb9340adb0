//! Measures how fast images are loaded: from files, and from the cache.
//!
//! `cargo bench --package dml --bench loader -- FOLDER [THREADS]` decodes every JPEG and PNG of the
//! folder, resizes it to 256 pixels on its shorter side and crops it to 224. Then it forms batches
//! of 128 from cached images of 146 pixels by random resized crops to 128 and flips, normalized for
//! ResNet. Prints one JSON object per line with the processor time per image, which other processes
//! hardly influence.

#![expect(clippy::print_stdout, reason = "this is a program")]

use std::{path::Path, sync::Arc, time::Instant};

use dml::{
    data::{
        Batches, Cache, Color, Dataset, ImageSize, Loader, Preparation, PreparedData,
        RandomResizedCrop, Source, StoredImages, TrainTransform,
        listing::{Class, Image, Listing, Part, Role},
    },
    model::Normalization,
};
use rustix::time::{ClockId, clock_gettime};
use schema::ImageInput;
use tch::Device;

const BATCH: usize = 128;
const STEPS: u64 = 60;

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let Some(folder) = arguments.next() else {
        return;
    };
    let threads = arguments
        .next()
        .map_or(2, |threads| threads.parse().expect("a number of threads"));
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .expect("the first pool");
    tch::set_num_threads(1);
    let source = source(Path::new(&folder));
    report("decode", decoding(&source));
    report("loader", loading(&source));
}

/// The time that a number of images took.
struct Taken {
    images: usize,
    seconds: f64,
    /// Processor seconds of all threads.
    processor: f64,
}

impl Taken {
    fn of(images: usize, work: impl FnOnce()) -> Taken {
        let begun = Instant::now();
        let spent_before = spent();
        work();
        Taken {
            images,
            seconds: begun.elapsed().as_secs_f64(),
            processor: spent() - spent_before,
        }
    }
}

/// Returns the processor seconds of this process so far.
fn spent() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn report(
    name: &str,
    Taken {
        images,
        seconds,
        processor,
    }: Taken,
) {
    let rate = images as f64 / seconds;
    let milliseconds = processor * 1000.0 / images as f64;
    println!(
        r#"{{"name": "{name}", "images_per_second": {rate:.1}, "processor_milliseconds": {milliseconds:.3}}}"#
    );
}

fn source(folder: &Path) -> Source {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("a file").path())
        .collect();
    paths.sort();
    let image = |path| Image {
        path,
        class: 0,
        role: Role::Both,
        bounding_box: None,
        camera: None,
    };
    let classes = vec![Class {
        name: "all".into(),
        category: None,
        wider: Vec::new(),
    }];
    let training = Part {
        classes,
        images: paths.into_iter().map(image).collect(),
    };
    Source::Files {
        dataset: Dataset::Cub200,
        root: "/".into(),
        listing: Listing {
            training,
            test: Part::default(),
        },
    }
}

fn images(source: &Source, side: u32, cache: Cache, into: &Path) -> PreparedData {
    let stored = StoredImages {
        size: ImageSize::ShortSide(side),
        color: Color::Rgb,
        bounding_boxes: false,
        background: None,
    };
    Preparation::new(source, stored, cache, into)
        .and_then(|work| work.run(&|_, _| ()))
        .expect("readable images");
    PreparedData::open(into).expect("what was prepared")
}

/// Decodes, resizes and crops files.
fn decoding(source: &Source) -> Taken {
    let folder = tempfile::tempdir().expect("a folder");
    let images = images(source, 256, Cache::Never, folder.path()).images;
    let all: Vec<i64> = (0..images.count() as i64).collect();
    let batches = Batches {
        images,
        transform: TrainTransform {
            center_crop: Some(224),
            ..TrainTransform::default()
        },
        seed: 0,
        device: Device::Cpu,
    };
    Taken::of(all.len(), || {
        for indices in all.chunks(BATCH) {
            let _ = batches.batch(0, indices).expect("readable images");
        }
    })
}

/// Loads, augments and normalizes cached images.
fn loading(source: &Source) -> Taken {
    let folder = tempfile::tempdir().expect("a folder");
    let images = images(source, 146, Cache::Always, folder.path()).images;
    let crop = RandomResizedCrop {
        size: 128,
        scale: [0.16, 1.0],
        ratio: [0.75, 4.0 / 3.0],
    };
    let transform = TrainTransform {
        random_resized_crop: Some(crop),
        flip: 0.5,
        ..TrainTransform::default()
    };
    let count = images.count();
    let indices = move |step: u64| {
        (step < STEPS).then(|| {
            (0..BATCH)
                .map(|n| ((step as usize * BATCH + n) % count) as i64)
                .collect()
        })
    };
    let batches = Batches {
        images: Arc::clone(&images),
        transform,
        seed: 0,
        device: Device::Cpu,
    };
    Taken::of(STEPS as usize * BATCH, || {
        let normalization = Normalization::new(Some(&ImageInput::IMAGENET), Device::Cpu);
        for images in Loader::new(batches, indices, 0, 2) {
            let _ = normalization.of(&images.expect("readable images"));
        }
    })
}
