//! A GPU computes some losses in another form than the CPU: of masks instead of lists. Values and gradients are the same.

use dml::{
    distance::normalize,
    loss::ClassInit,
    memory::CrossBatchMemory,
    objective::{ConfiguredLoss, Objective},
};
use schema::{Combination, Loss, MemorySize, Miner, Reduction, WeightedLoss, Xbm};
use tch::{Device, Kind, Tensor};

use crate::library;

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

/// Returns the labels of a batch: two to four images of each class, and one of the last.
fn labels(device: Device) -> Tensor {
    let labels = [0i64, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4];
    Tensor::from_slice(&labels).to_device(device)
}

/// Returns the value of a loss and its gradient with respect to the embeddings, step by step.
fn computed(settings: &WeightedLoss, memory: bool, device: Device) -> Vec<[Tensor; 2]> {
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
    let step = |step| {
        let raw = raw(step, device).set_requires_grad(true);
        let loss = objective
            .step(&normalize(&raw), &labels(device), step)
            .value;
        let gradient = Tensor::run_backward(&[&loss], &[&raw], false, false).remove(0);
        [loss, gradient].map(|tensor| tensor.detach().to_device(Device::Cpu))
    };
    (0..STEPS).map(step).collect()
}

fn are_close(found: &Tensor, expected: &Tensor) -> bool {
    let difference = (found - expected).abs().max().double_value(&[]);
    difference <= 1e-5 * expected.abs().max().double_value(&[]).max(1.0)
}

/// Every loss with every miner that it can have, and with every reduction.
fn all() -> Vec<WeightedLoss> {
    let mut all = Vec::new();
    for loss in Loss::every() {
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
