//! A prepared data set, and trainings beside it.

use std::path::PathBuf;

use schema::{
    Adam, Attempt, Backbone, Cache, Color, Contrastive, Dataset, Device, Event, Fingerprint,
    Finished, Glyphs, ImageSize, Loss, MPerClass, Model, Optimizer, PROTOCOL, PrepareWork, Recipe,
    Sampler, StoredImages, TrainWork, Trained, Training, Transform, Work,
};
use tempfile::TempDir;
use trainer::{End, Stop};

/// A folder with prepared images, and runs beside it.
pub(crate) struct Place {
    folder: TempDir,
}

/// Pixels a side of the stored images.
pub(crate) const SIDE: u32 = 20;

/// Returns a training of some steps of a small network.
pub(crate) fn recipe(steps: u64) -> Recipe {
    Recipe {
        dataset: Dataset::Glyphs(Glyphs {
            classes: 12,
            test_classes: 4,
            per_class: 6,
            seed: 1,
        }),
        images: StoredImages {
            size: ImageSize::Square(SIDE),
            color: Color::Rgb,
            bounding_boxes: false,
            background: None,
        },
        transform: Transform::default(),
        fold: None,
        model: Model::new(Backbone::Conv4, Some(8)),
        training: Some(Training::new(
            Loss::Contrastive(Contrastive::default()),
            Sampler::MPerClass(MPerClass {
                batch: 16,
                per_class: 4,
            }),
            Optimizer::Adam(Adam::default()),
            steps,
        )),
        seed: 3,
    }
}

impl Place {
    pub(crate) fn new() -> Place {
        Place::with(recipe(1))
    }

    /// Returns a folder with the images of a recipe.
    pub(crate) fn with(recipe: Recipe) -> Place {
        let place = Place {
            folder: tempfile::tempdir().unwrap(),
        };
        let prepare = Work::Prepare(PrepareWork {
            fingerprint: Fingerprint::of_parameters(&recipe.dataset),
            dataset: recipe.dataset,
            images: recipe.images,
            cache: Cache::Auto,
            source: None,
            into: place.data(),
        });
        place.attempt(prepare, Device::Cpu, &Stop::new(), &mut |_| {});
        place
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Trains without a break.
    pub(crate) fn train(&self, recipe: &Recipe, name: &str, device: Device) -> Trained {
        let work = self.work(recipe, name, f64::INFINITY);
        match self.attempt(work, device, &Stop::new(), &mut |_| {}) {
            End::Finished(Finished::Trained(trained)) => trained,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn work(&self, recipe: &Recipe, name: &str, checkpoint_seconds: f64) -> Work {
        Work::Train(TrainWork {
            recipe: recipe.clone(),
            data: self.data(),
            run: self.run(name),
            weights: None,
            scripts: None,
            checkpoint_seconds: Some(checkpoint_seconds),
            deterministic: false,
        })
    }

    pub(crate) fn attempt(
        &self,
        work: Work,
        device: Device,
        stop: &Stop,
        emit: &mut (dyn FnMut(Event) + Send),
    ) -> End {
        let attempt = Attempt {
            protocol: PROTOCOL,
            number: 1,
            device,
            threads: 1,
            work,
        };
        trainer::run(&attempt, stop, emit).unwrap()
    }
}
