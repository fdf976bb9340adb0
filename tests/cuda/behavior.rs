//! What trainings on a GPU do.

use schema::{
    Breakdown, Device, EvaluateWork, Event, Finished, Loss, Metric, Optimizer, Recipe, Sgd,
    TrainingEnd, Work,
};
use trainer::{End, Stop};

use crate::{
    library,
    place::{Place, recipe},
};

fn changed(change: impl FnOnce(&mut schema::Training)) -> Recipe {
    let mut recipe = recipe(12);
    change(recipe.training.as_mut().unwrap());
    recipe
}

fn model(place: &Place, name: &str) -> Vec<u8> {
    std::fs::read(place.run(name).join(schema::run_files::MODEL)).unwrap()
}

#[test]
fn a_training_stopped_after_any_step_continues_to_the_same_bits() {
    let (_library, place) = (library::open(), Place::new());
    let recipe = changed(|training| training.steps = 6);
    let undisturbed = place.train(&recipe, "undisturbed", Device::Cuda);
    for at in 1..6 {
        let name = format!("stopped at {at}");
        let stop = Stop::new();
        let work = || place.work(&recipe, &name, 0.0);
        let end = place.attempt(work(), Device::Cuda, &stop, &mut |event| {
            if event == (Event::Checkpoint { step: at }) {
                stop.request();
            }
        });
        assert_eq!(end, End::Stopped);
        let end = place.attempt(work(), Device::Cuda, &Stop::new(), &mut |_| {});
        assert_eq!(end, End::Finished(Finished::Trained(undisturbed.clone())));
        assert!(
            model(&place, &name) == model(&place, "undisturbed"),
            "{name}"
        );
    }
}

#[test]
fn every_loss_that_diverges_is_noticed() {
    let (_library, place) = (library::open(), Place::new());
    for loss in Loss::every() {
        let name = loss.key();
        let recipe = changed(|training| {
            training.loss = loss.clone();
            training.optimizer = Optimizer::Sgd(Sgd {
                lr: 1e38,
                ..Sgd::default()
            });
        });
        let trained = place.train(&recipe, name, Device::Cuda);
        assert_eq!(
            trained.end,
            TrainingEnd::Broken(Breakdown::Diverged),
            "{name}"
        );
    }
}

#[test]
fn images_that_take_much_of_the_free_memory_stay_on_the_host_and_change_nothing() {
    let (library, place) = (library::open(), Place::new());
    let recipe = changed(|_| {});
    let run = |name: &str| library.counted(|| drop(place.train(&recipe, name, Device::Cuda)));
    let (kept, _) = run("kept");
    let (uploaded, _) = library.nearly_full(|| run("uploaded"));
    assert!(model(&place, "kept") == model(&place, "uploaded"));
    // The device selects each batch from what it keeps.
    assert!(
        uploaded.operations <= kept.operations - 12,
        "{uploaded:?}, {kept:?}"
    );
    assert_eq!(
        uploaded.waits,
        kept.waits - 1,
        "all images are uploaded at once"
    );
}

#[test]
fn test_classes_are_measured_on_the_device() {
    let (_library, place) = (library::open(), Place::new());
    let recipe = changed(|_| {});
    place.train(&recipe, "run", Device::Cuda);
    let work = Work::Evaluate(EvaluateWork {
        recipe,
        data: place.data(),
        run: place.run("run"),
        metrics: vec![Metric::MapAtR],
        read_only: false,
    });
    let measured = [Device::Cuda, Device::Cpu].map(|device| {
        match place.attempt(work.clone(), device, &Stop::new(), &mut |_| {}) {
            End::Finished(Finished::Evaluated(evaluated)) => evaluated.scores,
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(measured[0], measured[1]);
}
