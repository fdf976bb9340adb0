//! The memory that a run takes, roughly: its maps, by what its backbone was measured to take.
//!
//! How many images an evaluation embeds at a time follows from this and not from the machine, so
//! that the machine changes no embedding.

use crate::{Device, Model, Precision, Recipe};

/// What a backbone takes of memory, as `benches/backbones.rs` measured it on the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of maps for each pixel of an image that is embedded.
    pub evaluation: u32,
    /// Bytes of maps, and of their gradients, for each pixel of an image that is trained on.
    pub training: u32,
    /// Thousands of parameters.
    pub parameters: u32,
}

impl Footprint {
    /// Images as they are, without layers.
    pub(crate) const PIXELS: Footprint = Footprint {
        evaluation: 24,
        training: 24,
        parameters: 0,
    };

    /// A network that nothing is known about: about as much as the largest of the others.
    pub(crate) const UNKNOWN: Footprint = Footprint {
        evaluation: 500,
        training: 3000,
        parameters: 90_000,
    };
}

/// Bytes of maps that an evaluation holds at a time.
const MAPS_ON_CPU: u64 = 128 << 20;
const MAPS_ON_GPU: u64 = 4 << 30;

/// The most images that are embedded at a time.
const MOST_IMAGES: u64 = 512;

/// Bytes of a trainer without any work, most of them libtorch's.
const PROCESS: u64 = 300 << 20;

/// Copies of the parameters while a network is embedded with, and while it is trained: the weights,
/// their gradient, the state of an optimizer, the best weights, and what is written.
const COPIES_TO_EVALUATE: u64 = 2;
const COPIES_TO_TRAIN: u64 = 6;
/// The same if only adapters are trained: neither gradients of the weights nor a state of their optimizer.
const COPIES_TO_ADAPT: u64 = 3;
/// The average of the weights, and the weights themselves while the average is measured.
const COPIES_TO_AVERAGE: u64 = 2;

/// By how much maps are fewer at least if those within blocks are computed again.
const LESS_WITH_CHECKPOINTING: u64 = 2;

impl Recipe {
    /// Returns how many images are embedded at a time on a device.
    pub fn images_at_a_time(&self, device: Device) -> usize {
        let maps = match device {
            Device::Cpu => MAPS_ON_CPU,
            Device::Cuda => MAPS_ON_GPU,
        };
        let images = maps / self.bytes_of_test_image().max(1);
        images.clamp(1, MOST_IMAGES) as usize
    }

    /// Returns the bytes of a device's memory that measuring takes, roughly, without the data.
    pub fn bytes_to_evaluate(&self, device: Device) -> u64 {
        let images = self.images_at_a_time(device) as u64;
        PROCESS
            + COPIES_TO_EVALUATE * self.bytes_of_parameters()
            + images * self.bytes_of_test_image()
    }

    /// Returns the bytes of main memory that training on the CPU takes, roughly, without the data.
    /// Nothing: the run is not trained.
    pub fn bytes_to_train(&self) -> Option<u64> {
        let training = self.training.as_ref()?;
        let batch = u64::from(training.sampler.batch());
        let at_a_time = training
            .chunk
            .map_or(batch, |chunk| batch.min(chunk.into()));
        let pixels = square(self.transform.train_side(&self.images));
        let maps = at_a_time * pixels * u64::from(self.footprint().training) / self.model.shrink();
        let copies = match (&self.model.lora, &training.ema) {
            (Some(_), _) => COPIES_TO_ADAPT,
            (None, Some(_)) => COPIES_TO_TRAIN + COPIES_TO_AVERAGE,
            (None, None) => COPIES_TO_TRAIN,
        };
        let maps = match self.model.checkpointing {
            true => maps / LESS_WITH_CHECKPOINTING,
            false => maps,
        };
        Some(PROCESS + copies * self.bytes_of_parameters() + maps)
    }

    /// Returns the bytes of the trained network in a file, roughly.
    pub fn bytes_of_network(&self) -> u64 {
        self.bytes_of_parameters()
    }

    /// Returns the bytes of maps that a step of the training goes through, by which the times of different
    /// trainings compare, roughly. Nothing: the run is not trained.
    pub fn work_of_step(&self) -> Option<u64> {
        let training = self.training.as_ref()?;
        let images = u64::from(training.sampler.batch()) * training.accumulate;
        let pixels = square(self.transform.train_side(&self.images));
        Some(images * pixels * u64::from(self.footprint().training))
    }

    /// Returns the bytes of maps that measuring an image goes through.
    pub fn work_of_image(&self) -> u64 {
        let pixels = square(self.transform.test_side(&self.images));
        pixels * u64::from(self.footprint().evaluation)
    }

    fn bytes_of_test_image(&self) -> u64 {
        let pixels = square(self.transform.test_side(&self.images));
        pixels * u64::from(self.footprint().evaluation) / self.model.shrink()
    }

    fn bytes_of_parameters(&self) -> u64 {
        u64::from(self.footprint().parameters) * 1000 * size_of::<f32>() as u64
    }

    fn footprint(&self) -> Footprint {
        self.model.backbone.part().footprint()
    }
}

impl Model {
    /// Returns by how much maps are smaller than in single precision.
    fn shrink(&self) -> u64 {
        match self.precision {
            Precision::F32 => 1,
            Precision::Bf16 => 2,
        }
    }
}

fn square(side: u32) -> u64 {
    u64::from(side) * u64::from(side)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backbone, Color, Dataset, ImageSize, StoredImages, Transform};

    fn recipe(backbone: Backbone, side: u32) -> Recipe {
        Recipe {
            dataset: Dataset::Cub200,
            images: StoredImages {
                size: ImageSize::Square(side),
                color: Color::Rgb,
                bounding_boxes: false,
                background: None,
            },
            transform: Transform::default(),
            fold: None,
            model: Model::new(backbone, Some(128)),
            training: None,
            seed: 0,
        }
    }

    #[test]
    fn fewer_images_are_embedded_at_a_time_the_larger_they_are() {
        for backbone in Backbone::every() {
            let at_a_time = |side| {
                let recipe = recipe(backbone.clone(), side);
                recipe.images_at_a_time(Device::Cpu)
            };
            let [tiny, small, usual, large] = [1, 64, 224, 4096].map(at_a_time);
            assert_eq!(tiny, 512);
            assert!(small >= usual && usual >= large && large >= 1);
        }
    }

    #[test]
    fn what_an_evaluation_takes_beside_the_parameters_fits_into_a_small_machine() {
        for backbone in Backbone::every() {
            let recipe = recipe(backbone, 224);
            let bytes = recipe.bytes_to_evaluate(Device::Cpu);
            let beside = bytes - COPIES_TO_EVALUATE * recipe.bytes_of_parameters();
            assert!(beside < 1 << 30, "{beside}");
        }
    }
}
