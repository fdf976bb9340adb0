//! A GPU computes some losses in another form than the CPU: of masks instead of lists. Values and gradients are the same.

use dml::{
    distance::normalize,
    loss::ClassInit,
    memory::{CrossBatchMemory, MemoryBatch},
    objective::{ConfiguredLoss, Objective},
};
use schema::{
    Combination, HierarchicalTriplet, Loss, MemorySize, Miner, Reduction, SmoothAp, TreeOf,
    Triplet, WeightedLoss, Xbm,
};
use tch::{Device, Kind, Tensor};

use crate::library::{self, FakeCuda};

const IMAGES: i64 = 16;
const WIDTH: i64 = 6;
const CLASSES: i64 = 5;
const STEPS: u64 = 3;

/// Returns embeddings before they are normalized, which look random.
fn raw(step: u64, device: Device) -> Tensor {
    let numbers = Tensor::arange(IMAGES * WIDTH, (Kind::Double, Device::Cpu));
    let noise: Tensor = (numbers * 12.9898 + 78.233 * (step + 1) as f64).sin() * 43_758.545;
    let noise = (&noise - noise.floor() - 0.5).to_kind(Kind::Float);
    noise.view([IMAGES, WIDTH]).to_device(device)
}

/// The labels of a batch: two to four images of each class, and one of the last.
const LABELS: [i64; IMAGES as usize] = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4];

/// Returns what a loss minimizes.
fn objective(settings: &WeightedLoss, memory: bool, device: Device) -> Objective {
    let init = ClassInit {
        classes: CLASSES,
        width: WIDTH,
        seed: 1,
        part: 0,
        device,
    };
    let mut objective = Objective::of(
        ConfiguredLoss::new(settings, &dml::script::Scripts::default(), &init).unwrap(),
    );
    let xbm = Xbm::new(MemorySize::Size(24));
    objective.memory = memory.then(|| CrossBatchMemory::new(xbm, 24, WIDTH, device));
    objective
}

/// Returns the value of an objective at a step, and its gradient with respect to the embeddings.
fn step(objective: &mut Objective, raw: &Tensor, labels: &Tensor, step: u64) -> [Tensor; 2] {
    let raw = raw.detach().set_requires_grad(true);
    let batch = MemoryBatch {
        embeddings: &normalize(&raw),
        labels,
        host_labels: Some(&LABELS),
        images: None,
        step,
    };
    let loss = objective.step_of(&batch).value;
    let gradient = Tensor::run_backward(&[&loss], &[&raw], false, false).remove(0);
    [loss.detach(), gradient]
}

/// Returns the value of a loss and its gradient with respect to the embeddings, step by step.
fn computed(settings: &WeightedLoss, memory: bool, device: Device) -> Vec<[Tensor; 2]> {
    let mut objective = objective(settings, memory, device);
    let labels = Tensor::from_slice(&LABELS).to_device(device);
    let step = |number| {
        let found = step(&mut objective, &raw(number, device), &labels, number);
        found.map(|tensor| tensor.to_device(Device::Cpu))
    };
    (0..STEPS).map(step).collect()
}

/// Returns how often the host waits in one step of a loss with a full memory, and for what.
fn waits(library: &FakeCuda, settings: &WeightedLoss, memory: bool) -> (i64, String) {
    let device = Device::Cuda(0);
    let mut objective = objective(settings, memory, device);
    let labels = Tensor::from_slice(&LABELS).to_device(device);
    let [first, second] = [0, 1].map(|number| raw(number, device));
    let _ = step(&mut objective, &first, &labels, 0);
    let (counts, report) = library.counted(|| {
        let _ = step(&mut objective, &second, &labels, 1);
    });
    let lines = report.lines().filter(|line| line.starts_with("wait"));
    (counts.waits, lines.collect::<Vec<_>>().join(", "))
}

fn are_close(found: &Tensor, expected: &Tensor) -> bool {
    let difference = (found - expected).abs().max().double_value(&[]);
    difference <= 1e-5 * expected.abs().max().double_value(&[]).max(1.0)
}

/// Every loss with its defaults, and some with settings that are computed in another way.
fn losses() -> Vec<Loss> {
    let mut losses = Loss::every();
    losses.extend([
        Loss::Triplet(Triplet {
            swap: true,
            ..Triplet::default()
        }),
        Loss::SmoothAp(SmoothAp {
            itself: !SmoothAp::default().itself,
            ..SmoothAp::default()
        }),
        Loss::HierarchicalTriplet(HierarchicalTriplet {
            tree: TreeOf::Survey,
            ..HierarchicalTriplet::default()
        }),
    ]);
    losses
}

/// Every loss with every miner that it can have, and with every reduction.
fn all() -> Vec<WeightedLoss> {
    let mut all = Vec::new();
    for loss in losses() {
        let one = || WeightedLoss::of(loss.clone());
        let miners = Miner::every().into_iter().filter(|miner| {
            let with = Combination {
                miner: Some(miner),
                ..Combination::default()
            };
            loss.check_combination(with).is_ok()
        });
        all.extend(miners.map(|miner| WeightedLoss {
            miner: Some(miner),
            ..one()
        }));
        all.extend(
            Reduction::every()
                .into_iter()
                .map(|reduction| WeightedLoss {
                    reduction: Some(reduction),
                    ..one()
                }),
        );
    }
    all
}

#[test]
fn every_loss_has_the_values_and_gradients_that_it_has_on_the_cpu() {
    let _library = library::open();
    for settings in all() {
        for memory in [false, true] {
            let [there, here] =
                [Device::Cuda(0), Device::Cpu].map(|device| computed(&settings, memory, device));
            for (step, (there, here)) in there.iter().zip(&here).enumerate() {
                for (there, here) in there.iter().zip(here) {
                    assert!(
                        are_close(there, here),
                        "step {step}, memory {memory}, {settings:?}: {there} instead of {here}"
                    );
                }
            }
        }
    }
}

/// Returns how often the host may wait in a step. It waits twice at most, but for the pairs that `uniform_histogram` draws by
/// their number in each bin, which it reads, for the batch and the memory: losses of triplets then ask how many triplets
/// the drawn pairs make, and an N-pair loss which pair of a class comes first. Hierarchical triplets need their tree, too,
/// and those with `swap` the positives among them.
fn allowed(settings: &WeightedLoss) -> i64 {
    let lists = matches!(settings.miner, Some(Miner::UniformHistogram(_)));
    match &settings.loss {
        Loss::HierarchicalTriplet(_) if lists => 6,
        Loss::Triplet(triplet) if lists && triplet.swap => 6,
        Loss::Triplet(_) | Loss::Margin(_) | Loss::NPair(_) | Loss::Global(_) if lists => 4,
        _ => 2,
    }
}

#[test]
fn no_loss_with_any_miner_and_a_memory_makes_the_host_wait_more_than_twice_a_step() {
    let library = library::open();
    let mut found = Vec::new();
    for settings in all() {
        for memory in [false, true] {
            let (waits, for_what) = waits(&library, &settings, memory);
            if waits > allowed(&settings) {
                found.push(format!(
                    "{waits}, memory {memory}, {settings:?}: {for_what}"
                ));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
