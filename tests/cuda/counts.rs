//! What a step costs a GPU: operations, and waits of the host, of every loss, miner and memory.
//!
//! `counts.txt` has what was found before. `UPDATE_COUNTS=1 cargo test -p trainer --test cuda` writes it again, and
//! `REPORT=NAME` prints the counters of the rows whose name contains this.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use schema::{
    Backbone, BatchHardMiner, BatchNorm, Clip, ColorJitter, Combination, Contrastive, Device,
    ImageSize, Loss, Memory, MemoryInit, MemoryKey, MemorySize, MemoryWrap, Miner, Model,
    MultiSimilarity, MultiSimilarityMiner, Precision, RandomErasing, RandomResizedCrop, Recipe,
    Regularizer, Resnet18, SelfExclusion, SemiHardMiner, TrainTransform, Training, Triplet, Xbm,
};

use crate::{
    library::{self, Counts, FakeCuda},
    place::{Place, recipe},
};

/// Steps between the two trainings that are compared. The first steps of a training differ from the others.
const STEPS: u64 = 10;
const FIRST: u64 = 2;

const TABLE: &str = include_str!("counts.txt");

/// A kind of training with its name.
struct Row {
    name: String,
    recipe: Recipe,
}

fn row(name: &str, change: impl FnOnce(&mut Recipe, &mut Training)) -> Row {
    let mut recipe = recipe(FIRST);
    let mut training = recipe.training.take().unwrap();
    change(&mut recipe, &mut training);
    recipe.training = Some(training);
    Row {
        name: name.to_owned(),
        recipe,
    }
}

fn xbm(change: impl FnOnce(&mut Xbm)) -> Option<Memory> {
    let mut xbm = Xbm {
        start_step: 0,
        ..Xbm::new(MemorySize::Size(40))
    };
    change(&mut xbm);
    Some(Memory::Xbm(xbm))
}

/// Every loss, alone and with a memory if it can have one.
fn losses() -> Vec<Row> {
    let mut rows = Vec::new();
    for loss in Loss::every() {
        let name = format!("loss {}", loss.key());
        rows.push(row(&name, |_, training| training.loss = loss.clone()));
        let memory = xbm(|_| {});
        let with = Combination {
            memory: memory.as_ref(),
            ..Combination::default()
        };
        if loss.check_combination(with).is_ok() {
            rows.push(row(&format!("{name}, memory"), |_, training| {
                (training.loss, training.memory) = (loss.clone(), memory.clone())
            }));
        }
    }
    rows
}

/// Every miner with a loss of pairs, alone and with a memory.
fn miners() -> Vec<Row> {
    let mut rows = Vec::new();
    for miner in Miner::every() {
        let name = format!("miner {}", miner.key());
        rows.push(row(&name, |_, training| {
            training.miner = Some(miner.clone())
        }));
        rows.push(row(&format!("{name}, memory"), |_, training| {
            (training.miner, training.memory) = (Some(miner), xbm(|_| {}))
        }));
    }
    rows
}

fn memories() -> Vec<Row> {
    let kind = |name: &str, change: fn(&mut Xbm)| {
        row(&format!("memory, {name}"), |_, training| {
            training.memory = xbm(change)
        })
    };
    vec![
        kind("tail", |xbm| xbm.wrap = MemoryWrap::Tail),
        kind("unique", |xbm| xbm.key = MemoryKey::Unique),
        kind("forward pass", |xbm| xbm.init = MemoryInit::ForwardPass),
        kind("batch enters afterwards", |xbm| xbm.include_batch = false),
        kind("excluded by similarity", |xbm| {
            xbm.self_exclusion = SelfExclusion::Similarity
        }),
        kind("only the memory", |xbm| xbm.batch_loss = false),
    ]
}

fn transforms() -> Vec<Row> {
    let crop = RandomResizedCrop {
        size: 16,
        scale: [0.3, 1.0],
        ratio: [0.75, 4.0 / 3.0],
    };
    let jitter = ColorJitter {
        brightness: 0.3,
        contrast: 0.3,
        saturation: 0.3,
        hue: 0.1,
    };
    let erasing = RandomErasing {
        probability: 0.5,
        ..RandomErasing::default()
    };
    let crops = TrainTransform {
        random_resized_crop: Some(crop),
        flip: 0.5,
        ..TrainTransform::default()
    };
    let everything = TrainTransform {
        color_jitter: Some(jitter),
        random_erasing: Some(erasing),
        ..crops.clone()
    };
    let named = |name: &str, transform: TrainTransform| {
        row(&format!("transform, {name}"), |recipe, _| {
            recipe.transform.train = Some(transform)
        })
    };
    vec![
        named("crops and flips", crops),
        named("crops, flips, jitter, erasing", everything),
    ]
}

fn combinations() -> Vec<Row> {
    let multi_similarity = |training: &mut Training| {
        training.loss = Loss::MultiSimilarity(MultiSimilarity::default());
        training.miner = Some(Miner::MultiSimilarity(MultiSimilarityMiner::default()));
    };
    let regularized = |regularizer: Regularizer| {
        row(
            &format!("regularizer {}", regularizer.key()),
            |recipe, training| {
                recipe.model.normalize = !regularizer.is_of_lengths();
                training.loss = Loss::Contrastive(Contrastive::default());
                training.distance = Some(schema::Distance::Euclidean);
                training.regularizer = Some(regularizer);
            },
        )
    };
    let mut rows = vec![
        row("multi-similarity and its miner", |_, training| {
            multi_similarity(training)
        }),
        row("multi-similarity, its miner, memory", |_, training| {
            multi_similarity(training);
            training.memory = xbm(|_| {});
        }),
        row(
            "multi-similarity, its miner, only the memory",
            |_, training| {
                multi_similarity(training);
                training.memory = xbm(|xbm| xbm.batch_loss = false);
            },
        ),
        row("triplet, semi-hard, memory", |_, training| {
            training.loss = Loss::Triplet(Triplet::default());
            training.miner = Some(Miner::SemiHard(SemiHardMiner::default()));
            training.memory = xbm(|_| {});
        }),
        row("triplet, batch-hard, memory", |_, training| {
            training.loss = Loss::Triplet(Triplet::default());
            training.miner = Some(Miner::BatchHard(BatchHardMiner::default()));
            training.memory = xbm(|_| {});
        }),
        row("clipped", |_, training| {
            training.clip = Some(Clip::Norm(1.0))
        }),
        row("two batches a step", |_, training| training.accumulate = 2),
        row("chunks", |_, training| training.chunk = Some(8)),
    ];
    rows.extend(Regularizer::every().into_iter().map(regularized));
    rows
}

/// A larger network, in the forms that differ on a GPU.
fn backbones() -> Vec<Row> {
    let resnet = |name: &str, change: fn(&mut Model)| {
        row(&format!("resnet18{name}"), |recipe, _| {
            recipe.images.size = ImageSize::Square(32);
            recipe.model = Model::new(Backbone::Resnet18(Resnet18::default()), Some(8));
            change(&mut recipe.model);
        })
    };
    vec![
        resnet("", |_| {}),
        resnet(", frozen statistics", |model| {
            model.batch_norm = BatchNorm::FrozenStatistics
        }),
        resnet(", bfloat16", |model| model.precision = Precision::Bf16),
    ]
}

/// Returns what a step does, and the reports of the shorter and the longer training.
fn counted(library: &FakeCuda, place: &Place, row: &Row) -> (Counts, String) {
    let [short, long] = [FIRST, FIRST + STEPS].map(|steps| {
        let mut recipe = row.recipe.clone();
        recipe.training.as_mut().unwrap().steps = steps;
        let run = place.run("run");
        let counted = library.counted(|| drop(place.train(&recipe, "run", Device::Cuda)));
        fs::remove_dir_all(run).unwrap();
        counted
    });
    let counts = Counts {
        operations: long.0.operations - short.0.operations,
        waits: long.0.waits - short.0.waits,
    };
    (counts, difference(&short.1, &long.1))
}

/// Returns how much each counter of the second report is above that of the first.
fn difference(short: &str, long: &str) -> String {
    let counters = |report: &str| -> BTreeMap<String, i64> {
        let lines = report.lines().filter_map(|line| line.rsplit_once('\t'));
        lines
            .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
            .collect()
    };
    let before = counters(short);
    let mut text = String::new();
    for (name, value) in counters(long) {
        let more = value - before.get(&name).copied().unwrap_or(0);
        if more != 0 {
            writeln!(text, "  {:6.1} {name}", more as f64 / STEPS as f64).unwrap();
        }
    }
    text
}

#[test]
fn a_step_of_every_loss_miner_and_memory_costs_a_gpu_what_the_table_says() {
    let library = library::open();
    let places = [Place::new(), Place::with(backbones()[0].recipe.clone())];
    let mut found = String::from("operations   waits\n    a step  a step\n");
    let rows = [losses(), miners(), memories(), transforms(), combinations()];
    let reported = std::env::var("REPORT").ok();
    let rows = rows.iter().flatten().map(|row| (&places[0], row));
    let backbones = backbones();
    for (place, row) in rows.chain(backbones.iter().map(|row| (&places[1], row))) {
        let (Counts { operations, waits }, report) = counted(&library, place, row);
        let [operations, waits] = [operations, waits].map(|count| count as f64 / STEPS as f64);
        writeln!(found, "{operations:10.1}  {waits:6.1}  {}", row.name).unwrap();
        if reported
            .as_ref()
            .is_some_and(|name| row.name.contains(name))
        {
            print!("{}\n{report}", row.name);
        }
    }
    if std::env::var_os("UPDATE_COUNTS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cuda/counts.txt");
        fs::write(path, &found).unwrap();
        return;
    }
    for (found, expected) in found.lines().zip(TABLE.lines()) {
        assert_eq!(
            found, expected,
            "if this is meant, `UPDATE_COUNTS=1 cargo test -p trainer --test cuda`"
        );
    }
    assert_eq!(found.lines().count(), TABLE.lines().count());
}
