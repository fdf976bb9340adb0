//! Whole attempts on tiny glyphs.

// Not in `tests/`, whose files cargo takes for tests of their own.
#[path = "in_shop_tests.rs"]
mod in_shop;
#[path = "resuming_tests.rs"]
mod resuming;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use dml::{
    data::PreparedData,
    eval::{
        Comparison, Embeddings, EvalResources, LabeledEmbeddings, RankDepth, RetrievalTask,
        TieOrder, retrieve,
    },
    model::{Network, NetworkConfig},
};
use schema::{
    Adam, Amount, Attempt, Backbone, BatchNorm, Boundary, Breakdown, Cache, Color, Contrastive,
    ConvnextT, Cut, Dataset, Device, Dinov3S16, EvaluateWork, Evaluated, Event, Failure,
    Fingerprint, Finished, Fitted, Fold, Glyphs, ImageSize, ImportWork, Imported, KeptResult,
    Labels, Loss, MPerClass, Margin, Memory, MemorySize, Metric, Model, Optimizer, Own, PROTOCOL,
    Precision, PrepareWork, Prepared, ProxyAnchor, Recipe, Recomputed, Registration, RmsProp,
    Sampler, Script, ScriptFile, Sgd, Span, Squeezenet, StoredImages, SwinT, Torchscript,
    TrainWork, Trained, Training, TrainingEnd, Transform, Triplet, VerifyWork, VitFeatures, WarmUp,
    Weights, WeightsWork, Work, Xbm,
};
use tch::{Kind, Tensor};
use tempfile::TempDir;

use crate::{End, Failed, Stop, assemble, files, run};

const METRICS: [Metric; 5] = [
    Metric::RecallAt(4),
    Metric::RecallAt(1),
    Metric::PrecisionAt1,
    Metric::RPrecision,
    Metric::MapAtR,
];

/// A folder with a prepared data set, and runs beside it.
struct Place {
    folder: TempDir,
    recipe: Recipe,
}

impl Place {
    fn new(recipe: Recipe) -> Place {
        // Tests run side by side: more threads for each would only make them wait for each other.
        tch::set_num_threads(1);
        let place = Place {
            folder: tempfile::tempdir().unwrap(),
            recipe,
        };
        assert_eq!(
            place.attempt(place.prepare()),
            Ok(End::Finished(Finished::Prepared(counts(&place.recipe))))
        );
        place
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The file that a backbone starts from, if it is there.
    fn scripts(&self) -> PathBuf {
        self.folder.path().join("scripts")
    }

    /// Keeps a module of `dml`'s tests as a run finds it. Returns its settings.
    fn script(&self, name: &str) -> Script {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../dml/testdata/scripts");
        let content = fs::read(format!("{source}/{name}.pt")).unwrap();
        let file = ScriptFile::of(content.as_slice()).unwrap();
        durable::write(&self.scripts().join(file.file_name()), &content).unwrap();
        Script {
            file,
            settings: Default::default(),
        }
    }

    fn weights(&self) -> PathBuf {
        self.folder.path().join("weights")
    }

    fn run(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn prepare(&self) -> Work {
        Work::Prepare(PrepareWork {
            fingerprint: Fingerprint::of_parameters(&self.recipe.dataset),
            dataset: self.recipe.dataset.clone(),
            images: self.recipe.images,
            cache: Cache::Auto,
            source: None,
            into: self.data(),
        })
    }

    fn train(&self, name: &str, checkpoint_seconds: f64) -> Work {
        let (recipe, data, run) = (self.recipe.clone(), self.data(), self.run(name));
        let weights = Some(self.weights()).filter(|file| file.is_file());
        Work::Train(TrainWork {
            recipe,
            data,
            run,
            weights,
            scripts: Some(self.scripts()).filter(|folder| folder.is_dir()),
            checkpoint_seconds: Some(checkpoint_seconds),
            deterministic: false,
        })
    }

    fn evaluate(&self, name: &str) -> Work {
        let (recipe, data, run) = (self.recipe.clone(), self.data(), self.run(name));
        Work::Evaluate(EvaluateWork {
            recipe,
            data,
            run,
            metrics: METRICS.to_vec(),
            read_only: false,
        })
    }

    fn attempt(&self, work: Work) -> Result<End, Failed> {
        self.listen(work, &Stop::new(), &mut |_| {})
    }

    fn listen(&self, work: Work, stop: &Stop, emit: crate::Emit) -> Result<End, Failed> {
        run(
            &Attempt {
                protocol: PROTOCOL,
                number: 1,
                device: Device::Cpu,
                threads: 1,
                work,
            },
            stop,
            emit,
        )
    }

    /// Trains without a break.
    fn trained(&self, name: &str) -> Trained {
        trained(self.attempt(self.train(name, f64::INFINITY)))
    }

    fn evaluated(&self, name: &str) -> Evaluated {
        match self.attempt(self.evaluate(name)) {
            Ok(End::Finished(Finished::Evaluated(evaluated))) => evaluated,
            other => panic!("{other:?}"),
        }
    }

    fn model(&self, name: &str) -> Vec<u8> {
        fs::read(files::model(&self.run(name))).unwrap()
    }

    fn fails(&self, name: &str) -> Failed {
        self.attempt(self.train(name, f64::INFINITY)).unwrap_err()
    }
}

fn trained(end: Result<End, Failed>) -> Trained {
    match end {
        Ok(End::Finished(Finished::Trained(trained))) => trained,
        other => panic!("{other:?}"),
    }
}

/// Returns the fingerprint of a data set that was added in the folder `source`.
fn fingerprint_of(dataset: &Dataset, source: &Path) -> Fingerprint {
    let rows = schema::listed_rows(&fs::read(source.join(Registration::LISTING)).unwrap()).unwrap();
    let files = dataset.facts().files;
    let hashed = rows.into_iter().map(|row| {
        let path = source.join(&row.image.path);
        schema::HashedFile {
            name: schema::HashedFile::name(files, &path, row.description),
            hash: blake3::hash(&fs::read(&path).unwrap()),
        }
    });
    Fingerprint::of_files(files, hashed.collect())
}

fn counts(recipe: &Recipe) -> Prepared {
    let Dataset::Glyphs(glyphs) = &recipe.dataset else {
        panic!("tests draw their own data")
    };
    let per_class = u64::from(glyphs.per_class);
    let (training_classes, test_classes) =
        (u64::from(glyphs.classes), u64::from(glyphs.test_classes));
    let (training_images, test_images) = (training_classes * per_class, test_classes * per_class);
    Prepared {
        training_classes,
        training_images,
        test_classes,
        test_images,
    }
}

/// Grey squares.
pub(crate) fn squares(side: u32) -> StoredImages {
    StoredImages {
        size: ImageSize::Square(side),
        color: Color::Gray,
        bounding_boxes: false,
        background: None,
    }
}

/// Two batches of the smallest network on the smallest images.
pub(crate) fn tiny() -> Recipe {
    Recipe {
        dataset: Dataset::Glyphs(Glyphs {
            classes: 9,
            test_classes: 4,
            per_class: 5,
            seed: 1,
        }),
        images: squares(16),
        transform: Transform::default(),
        fold: None,
        model: Model::new(Backbone::Conv4, Some(8)),
        training: Some(Training::new(
            Loss::Contrastive(Contrastive::default()),
            Sampler::MPerClass(MPerClass {
                batch: 12,
                per_class: 4,
            }),
            Optimizer::Adam(Adam::default()),
            2,
        )),
        seed: 3,
    }
}

/// Everything that has a state: memory, optimiser, validation.
fn stateful() -> Recipe {
    changed(tiny(), |recipe, training| {
        recipe.fold = Some(Fold {
            index: 1,
            of: 3,
            cut: Cut::Even,
        });
        training.memory = Some(Memory::Xbm(Xbm {
            start_step: 1,
            weight: 0.5,
            ..Xbm::new(MemorySize::Size(20))
        }));
        training.optimizer = Optimizer::Adam(Adam {
            lr: 0.01,
            ..Adam::default()
        });
        training.steps = 7;
        training.validate_every = Some(2);
    })
}

fn changed(mut recipe: Recipe, change: impl FnOnce(&mut Recipe, &mut Training)) -> Recipe {
    let mut training = recipe.training.take().unwrap();
    change(&mut recipe, &mut training);
    recipe.training.get_or_insert(training);
    recipe
}

/// Losses with parameters of their own, one of them without a memory and with an optimiser of its own.
fn with_loss_parameters() -> [Recipe; 3] {
    let with = |loss, loss_optimizer| {
        changed(stateful(), |_, training| {
            (training.loss, training.loss_optimizer) = (loss, loss_optimizer)
        })
    };
    let rms_prop = Optimizer::RmsProp(RmsProp {
        lr: 0.05,
        momentum: 0.9,
        weight_decay: 1e-3,
        ..RmsProp::default()
    });
    let margin = |boundary| {
        Loss::Margin(Margin {
            boundary,
            nu: 0.1,
            ..Margin::default()
        })
    };
    [
        with(Loss::ProxyAnchor(ProxyAnchor::default()), Some(rms_prop)),
        with(margin(Boundary::Learned), None),
        with(
            margin(Boundary::PerClass),
            Some(Optimizer::Sgd(Sgd {
                momentum: 0.5,
                ..Sgd::default()
            })),
        ),
    ]
}

#[test]
fn the_optimiser_of_loss_parameters_changes_the_result() {
    let place = Place::new(stateful());
    let [proxies, ..] = with_loss_parameters();
    let frozen = Optimizer::Sgd(Sgd {
        lr: 0.0,
        ..Sgd::default()
    });
    let frozen = changed(proxies.clone(), |_, training| {
        training.loss_optimizer = Some(frozen)
    });
    let train = |name: &str, recipe| {
        let (data, run) = (place.data(), place.run(name));
        trained(place.attempt(Work::Train(TrainWork {
            recipe,
            data,
            run,
            weights: None,
            scripts: None,
            checkpoint_seconds: Some(f64::INFINITY),
            deterministic: false,
        })));
        place.model(name)
    };
    assert!(train("proxies", proxies) != train("frozen", frozen));
}

#[test]
fn a_training_stopped_after_any_step_and_continued_leaves_the_same_bits() {
    for recipe in [stateful()].into_iter().chain(with_loss_parameters()) {
        continues_after_any_step(Place::new(recipe));
    }
}

/// SqueezeNet, with layers that are frozen: its dropped gradients and its memory layout are as reproducible.
fn partly_frozen() -> Recipe {
    changed(tiny(), |recipe, training| {
        recipe.images = squares(64);
        recipe.model = Model {
            freeze: vec!["features.0".to_owned(), "features.3".to_owned()],
            ..Model::new(Backbone::Squeezenet(Squeezenet::default()), Some(8))
        };
        training.steps = 3;
    })
}

#[test]
fn a_larger_backbone_with_frozen_layers_continues_with_the_same_bits() {
    continues_after_any_step(Place::new(partly_frozen()));
}

#[test]
fn transformers_are_trained_and_continued_with_the_same_bits() {
    let backbones = [
        Backbone::Dinov3S16(Dinov3S16 {
            features: VitFeatures::ClassAndMean,
            ..Dinov3S16::default()
        }),
        Backbone::ConvnextT(ConvnextT::default()),
        Backbone::SwinT(SwinT::default()),
    ];
    for backbone in backbones {
        let mut place = Place::new(changed(tiny(), |recipe, training| {
            recipe.images = squares(32);
            recipe.model = Model::new(backbone, Some(8));
            training.steps = 3;
        }));
        continues_after(&place, 2, &place.trained("undisturbed"));
        place.recipe.model.drop_path = 0.3;
        place.trained("skipping");
        place.recipe.model.checkpointing = true;
        place.trained("computed again");
        assert!(place.model("skipping") == place.model("computed again"));
        assert!(place.model("skipping") != place.model("undisturbed"));
        place.recipe.model.precision = Precision::Bf16;
        place.recipe.model.lora = Some(schema::Lora::default());
        let rounded = Place::new(place.recipe);
        continues_after(&rounded, 2, &rounded.trained("undisturbed"));
    }
}

#[test]
fn a_training_in_bfloat16_learns_and_continues_with_the_same_bits() {
    let mut place = Place::new(partly_frozen());
    place.trained("single");
    place.recipe.model.precision = Precision::Bf16;
    place.trained("rounded");
    let [one, other] = ["single", "rounded"].map(|name| {
        let parameters = Tensor::read_safetensors(files::model(&place.run(name))).unwrap();
        parameters
            .into_iter()
            .find(|(name, _)| name == "parameters")
            .unwrap()
            .1
    });
    assert_eq!(other.kind(), Kind::Float);
    let apart = (&one - &other).abs().max().double_value(&[]);
    assert!(apart > 0.0 && apart < 0.01, "{apart}");
    continues_after_any_step(place);
}

#[test]
fn a_torchscript_module_is_trained_measured_and_continued_with_the_same_bits() {
    let module = include_bytes!("../dml/model/testdata/script_features.pt").as_slice();
    let script = Torchscript {
        weights: Some(Weights::of_file(module).unwrap()),
        ..Torchscript::default()
    };
    let place = Place::new(changed(tiny(), |recipe, training| {
        recipe.images = squares(16);
        let model = Model::new(Backbone::Torchscript(script), Some(8));
        recipe.model = Model {
            batch_norm: BatchNorm::FrozenStatistics,
            ..model
        };
        training.steps = 3;
    }));
    assert_eq!(place.fails("without its file").class, Failure::Data);
    fs::write(place.weights(), module).unwrap();
    let fitted = assemble::fit_weights(&WeightsWork {
        backbone: Some(place.recipe.model.backbone.clone()),
        file: place.weights(),
        prefix: None,
        into: None,
    });
    assert_eq!(fitted.unwrap(), Fitted::of(6));
    place.trained("run");
    let trained = place.evaluated("run");
    fs::remove_file(place.run("run").join("embeddings.safetensors")).unwrap();
    assert_eq!(place.evaluated("run"), trained);
    let mut rounded = place.recipe.clone();
    rounded.model.precision = Precision::Bf16;
    continues_after_any_step(place);
    let place = Place::new(rounded);
    fs::write(place.weights(), module).unwrap();
    continues_after_any_step(place);
}

#[test]
fn frozen_layers_keep_their_initial_numbers_and_the_others_do_not() {
    let place = Place::new(partly_frozen());
    place.trained("run");
    let kept = Tensor::read_safetensors(files::model(&place.run("run"))).unwrap();
    let initial = assemble::network(&place.recipe, None, tch::Device::Cpu)
        .unwrap()
        .state();
    let is_as_at_first = |part: &str| {
        let of = |state: &[(String, Tensor)]| {
            state
                .iter()
                .find(|(name, _)| name == part)
                .unwrap()
                .1
                .copy()
        };
        of(&kept) == of(&initial)
    };
    assert!(is_as_at_first("constants"));
    assert!(!is_as_at_first("parameters"));
}

/// Writes random weights of SqueezeNet with names that begin with `prefix`, and returns the work of fitting them.
fn squeezenet_file(folder: &Path, prefix: &str, kind: Kind) -> WeightsWork {
    let backbone = Backbone::Squeezenet(Squeezenet::default());
    let config = NetworkConfig::new(backbone.clone(), 3, 64, None);
    let network = Network::new(config, 0, tch::Device::Cpu).unwrap();
    let named = network.parameters();
    let tensors: files::Tensors = named
        .map(|(name, tensor)| (format!("{prefix}{name}"), tensor.to_kind(kind)))
        .collect();
    let file = folder.join("some.safetensors");
    files::write(&tensors, &file).unwrap();
    WeightsWork {
        backbone: Some(backbone),
        file,
        prefix: None,
        into: Some(folder.join("converted.safetensors")),
    }
}

#[test]
fn weights_are_converted_only_if_the_backbone_does_not_read_them_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let plain = squeezenet_file(folder.path(), "", Kind::Float);
    assert!(!assemble::fit_weights(&plain).unwrap().is_converted);
    assert!(!folder.path().join("converted.safetensors").exists());
    for (prefix, kind) in [("module.", Kind::Float), ("", Kind::Half)] {
        let wrapped = squeezenet_file(folder.path(), prefix, kind);
        let fitted = assemble::fit_weights(&wrapped).unwrap();
        assert_eq!(
            (fitted.is_converted, fitted.prefix.as_str()),
            (true, prefix)
        );
        let converted = WeightsWork {
            file: wrapped.into.unwrap(),
            into: None,
            ..plain.clone()
        };
        assert_eq!(
            assemble::fit_weights(&converted).unwrap(),
            Fitted::of(fitted.used)
        );
    }
}

#[test]
fn the_backbone_of_weights_need_not_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let squeezenet = squeezenet_file(folder.path(), "backbone.", Kind::Float);
    let unnamed = WeightsWork {
        backbone: None,
        ..squeezenet.clone()
    };
    let fitted = assemble::fit_weights(&unnamed).unwrap();
    assert_eq!(fitted.backbone, squeezenet.backbone);
    files::write(&vec![("a".to_owned(), Tensor::from(1f32))], &unnamed.file).unwrap();
    let message = assemble::fit_weights(&unnamed).unwrap_err().message;
    assert!(message.contains("all tensors of any backbone"), "{message}");
}

#[test]
fn what_is_no_torchscript_module_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let squeezenet = squeezenet_file(folder.path(), "", Kind::Float);
    let refused = |file: PathBuf| {
        let fitted = assemble::fit_weights(&WeightsWork {
            backbone: Some(Backbone::Torchscript(Torchscript::default())),
            file,
            prefix: None,
            into: None,
        });
        fitted.unwrap_err().message
    };
    let page = folder.path().join("page.pt");
    fs::write(&page, "<html>404</html>").unwrap();
    assert!(refused(page).contains("a web page"));
    assert!(refused(squeezenet.file).contains("named tensors, not a TorchScript module"));
}

#[test]
fn weights_of_another_backbone_are_refused_with_the_name_of_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let squeezenet = squeezenet_file(folder.path(), "model.", Kind::Float);
    let refused = assemble::fit_weights(&WeightsWork {
        backbone: Some(Backbone::Resnet18(schema::Resnet18::default())),
        ..squeezenet
    });
    let message = refused.unwrap_err().message;
    assert!(
        message.contains("is not of `resnet18`, but of `squeezenet`"),
        "{message}"
    );
}

#[test]
fn weights_whose_file_is_another_one_are_refused_before_training() {
    let named = |hash: &str| {
        Backbone::Squeezenet(Squeezenet {
            weights: Some(Weights::named(hash)),
        })
    };
    let place = Place::new(changed(partly_frozen(), |recipe, _| {
        recipe.model.backbone = named("0123")
    }));
    let file = place.folder.path().join("weights.safetensors");
    fs::write(&file, "abc").unwrap();
    let Work::Train(work) = place.train("run", f64::INFINITY) else {
        panic!("a training")
    };
    let failed = place
        .attempt(Work::Train(TrainWork {
            weights: Some(file),
            ..work
        }))
        .unwrap_err();
    assert_eq!(failed.class, Failure::Data);
    let found = Weights::of_file(b"abc".as_slice()).unwrap();
    assert!(
        failed
            .message
            .contains(&format!("its SHA-256 is {found}, not 0123")),
        "{}",
        failed.message
    );
}

fn continues_after_any_step(place: Place) {
    let undisturbed = place.trained("undisturbed");
    for last in 0..undisturbed.steps {
        continues_after(&place, last, &undisturbed);
    }
}

/// Stops a training after these steps, and compares the end of its continuation with that of the run `undisturbed`.
fn continues_after(place: &Place, last: u64, undisturbed: &Trained) {
    let name = format!("stopped{last}");
    let stop = Stop::new();
    if last == 0 {
        stop.request();
    }
    let end = place.listen(place.train(&name, 0.0), &stop.clone(), &mut |event| {
        if event == (Event::Checkpoint { step: last }) {
            stop.request();
        }
    });
    assert_eq!(end, Ok(End::Stopped));
    assert!(!files::model(&place.run(&name)).exists());
    let mut from = None;
    let end = place.listen(
        place.train(&name, f64::INFINITY),
        &Stop::new(),
        &mut |event| {
            if let Event::Started { from: step } = event {
                from = Some(step);
            }
        },
    );
    assert_eq!(from, Some(last));
    assert_eq!(trained(end), *undisturbed);
    assert!(
        place.model(&name) == place.model("undisturbed"),
        "stopped after {last} steps"
    );
}

#[test]
fn a_training_whose_end_was_not_noted_is_not_done_again() {
    let place = Place::new(stateful());
    let finished = place.trained("run");
    let started = |place: &Place| {
        let mut from = None;
        let work = place.train("run", f64::INFINITY);
        let end = place.listen(work, &Stop::new(), &mut |event| {
            if let Event::Started { from: step } = event {
                from = Some(step);
            }
        });
        (trained(end), from)
    };
    assert_eq!(started(&place), (finished.clone(), Some(finished.steps)));

    let whole = place.model("run");
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(files::model(&place.run("run")), damaged).unwrap();
    assert_eq!(started(&place), (finished, Some(0)));
    assert!(
        place.model("run") == whole,
        "a damaged network is trained again"
    );
}

#[test]
fn damaged_embeddings_are_computed_again() {
    let place = Place::new(tiny());
    place.trained("run");
    let scores = place.evaluated("run");
    let path = files::embeddings(&place.run("run"));
    let whole = fs::read(&path).unwrap();
    for part in 1..8 {
        let mut damaged = whole.clone();
        damaged[whole.len() * part / 8] ^= 0x40;
        fs::write(&path, damaged).unwrap();
        assert_eq!(place.evaluated("run"), scores);
        assert!(fs::read(&path).unwrap() == whole);
    }
}

#[test]
fn a_trainer_that_dies_between_two_checkpoints_loses_nothing_but_time() {
    let place = Place::new(stateful());
    let undisturbed = place.trained("undisturbed");
    // A step is done and its validation said, but its checkpoint is not written yet.
    let end = place.listen(place.train("died", 0.0), &Stop::new(), &mut |event| {
        assert!(
            !matches!(event, Event::Scores { step: 4, .. }),
            "the trainer dies"
        );
    });
    assert_eq!(
        end.unwrap_err(),
        Failed {
            class: Failure::Internal,
            message: "the trainer dies".to_owned()
        }
    );
    assert_eq!(place.trained("died"), undisturbed);
    assert!(place.model("died") == place.model("undisturbed"));
}

#[test]
fn a_checkpoint_that_cannot_be_trusted_is_not_used() {
    let place = Place::new(stateful());
    let undisturbed = place.trained("undisturbed");
    let stop = Stop::new();
    stop.request();
    for (name, spoil) in [
        ("empty", (|_| Vec::new()) as fn(Vec<u8>) -> Vec<u8>),
        ("half", |whole| whole[..whole.len() / 2].to_vec()),
        ("flipped", |mut whole| {
            let middle = whole.len() / 2;
            whole[middle] ^= 1;
            whole
        }),
    ] {
        place
            .listen(place.train(name, 0.0), &stop, &mut |_| {})
            .unwrap();
        let checkpoint = files::checkpoint(&place.run(name));
        let spoilt = spoil(fs::read(&checkpoint).unwrap());
        fs::write(&checkpoint, spoilt).unwrap();
        assert_eq!(place.trained(name), undisturbed, "{name}");
        assert!(place.model(name) == place.model("undisturbed"), "{name}");
    }
    // A whole one, but of another seed.
    let foreign = Place::new(Recipe {
        seed: 4,
        ..stateful()
    });
    foreign
        .listen(foreign.train("foreign", 0.0), &stop, &mut |_| {})
        .unwrap();
    fs::create_dir(place.run("foreign")).unwrap();
    fs::copy(
        files::checkpoint(&foreign.run("foreign")),
        files::checkpoint(&place.run("foreign")),
    )
    .unwrap();
    assert_eq!(place.trained("foreign"), undisturbed);
}

#[test]
fn the_best_network_by_validation_is_kept() {
    let place = Place::new(stateful());
    let mut seen = Vec::new();
    let end = place.listen(
        place.train("run", f64::INFINITY),
        &Stop::new(),
        &mut |event| {
            if let Event::Scores { step, validation } = event {
                seen.push((step, validation));
            }
        },
    );
    let trained = trained(end);
    assert_eq!(
        seen.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        [0, 2, 4, 6, 7]
    );
    let best = seen
        .iter()
        .map(|(_, scores)| scores[&Metric::MapAtR])
        .fold(0.0, f64::max);
    let (step, scores) = seen
        .into_iter()
        .find(|(_, scores)| scores[&Metric::MapAtR] == best)
        .unwrap();
    assert_eq!(
        (trained.kept_step, trained.validation, trained.steps),
        (step, Some(scores), 7)
    );
}

#[test]
fn a_run_without_a_fold_does_not_validate_and_keeps_its_last_network() {
    let place = Place::new(changed(tiny(), |_, training| {
        training.validate_every = Some(1)
    }));
    let trained = place.trained("run");
    assert_eq!(
        trained,
        Trained {
            end: TrainingEnd::Completed,
            steps: 2,
            kept_step: 2,
            validation: None,
            empty_steps: 0,
            objective: trained.objective.clone(),
        }
    );
}

#[test]
fn a_training_tells_the_function_that_it_minimizes_as_a_comparison_does() {
    let place = Place::new(tiny());
    let trained = place.trained("run").objective;
    assert!(trained.is_some());
    let surveyed = changed(tiny(), |_, training| {
        let (every, per_class) = (schema::Span::Steps(1), None);
        training.survey = Some(schema::Survey { every, per_class });
    });
    let work = schema::CompareWork {
        recipes: vec![place.recipe.clone(), surveyed],
        scripts: None,
    };
    let compared = crate::compare::compare(&work, &mut |_| {}).unwrap();
    assert_eq!(compared.samples, [trained, None]);
}

#[test]
fn a_fold_is_not_trained_on() {
    // With the same seed, what is held out makes the difference; what is tested on does not.
    let whole = Place::new(tiny());
    let folded = Place::new(Recipe {
        fold: Some(Fold {
            index: 0,
            of: 3,
            cut: Cut::Even,
        }),
        ..tiny()
    });
    whole.trained("run");
    folded.trained("run");
    assert!(whole.model("run") != folded.model("run"));
    assert_eq!(
        whole.evaluated("run").images,
        folded.evaluated("run").images
    );
}

#[test]
fn shuffled_labels_train_another_network() {
    let place = Place::new(tiny());
    let shuffled = Place::new(changed(tiny(), |_, training| {
        training.labels = Labels::Shuffled
    }));
    place.trained("run");
    assert_eq!(shuffled.trained("run").end, TrainingEnd::Completed);
    assert!(place.model("run") != shuffled.model("run"));
}

#[test]
fn a_diverged_training_is_a_result_and_no_failure() {
    let diverging = |optimizer| {
        changed(tiny(), |_, training| {
            training.optimizer = optimizer;
            training.steps = 50;
        })
    };
    for optimizer in [
        Optimizer::Sgd(Sgd {
            lr: 1e38,
            momentum: 0.9,
            ..Sgd::default()
        }),
        Optimizer::Adam(Adam {
            lr: 1e38,
            ..Adam::default()
        }),
    ] {
        let place = Place::new(diverging(optimizer));
        let trained = place.trained("run");
        assert_eq!(trained.end, TrainingEnd::Broken(Breakdown::Diverged));
        assert!((1..50).contains(&trained.steps), "{trained:?}");
        assert!(files::model(&place.run("run")).exists());
    }
}

#[test]
fn steps_to_which_nothing_contributes_are_counted() {
    let place = Place::new(changed(tiny(), |_, training| {
        training.loss = Loss::Triplet(Triplet {
            margin: -3.0,
            ..Triplet::default()
        });
        training.steps = 3;
    }));
    assert_eq!(place.trained("run").empty_steps, 3);
}

#[test]
fn an_untrained_network_is_written_at_once() {
    for backbone in [Backbone::Conv4, Backbone::Pixels] {
        for embedding in [Some(8), None] {
            let place = Place::new(Recipe {
                model: Model::new(backbone.clone(), embedding),
                training: None,
                ..tiny()
            });
            let trained = place.trained("run");
            assert_eq!(
                (trained.end, trained.steps, trained.kept_step),
                (TrainingEnd::Completed, 0, 0)
            );
            assert!(place.evaluated("run").scores[&Metric::RecallAt(1)] > 0.0);
        }
    }
}

#[test]
fn an_evaluation_agrees_with_a_direct_computation() {
    let place = Place::new(tiny());
    place.trained("run");
    let evaluated = place.evaluated("run");

    let data = PreparedData::open(&place.data()).unwrap();
    let mut network = assemble::network(&place.recipe, None, tch::Device::Cpu).unwrap();
    network
        .restore(&Tensor::read_safetensors(files::model(&place.run("run"))).unwrap())
        .unwrap();
    let images = data.images.squares().unwrap().unwrap().narrow(
        0,
        data.test_images().start as i64,
        data.test_images().len() as i64,
    );
    let embeddings = tch::no_grad(|| network.forward(&images, false));
    let rows = Embeddings::from_tensor(&embeddings).unwrap();
    let images =
        LabeledEmbeddings::new(rows, data.test.labels.clone(), Comparison::Cosine).unwrap();
    let expected = retrieve(
        RetrievalTask::Within(&images),
        RankDepth::Nearest,
        EvalResources::default(),
    )
    .unwrap();
    let expected = expected.means(TieOrder::ByIndex);

    assert_eq!(
        (
            evaluated.classes,
            evaluated.images,
            evaluated.without_positive
        ),
        (4, 20, 0)
    );
    assert_eq!(evaluated.scores.len(), METRICS.len());
    assert_eq!(evaluated.scores[&Metric::RecallAt(1)], expected.recall(1));
    assert_eq!(evaluated.scores[&Metric::RecallAt(4)], expected.recall(4));
    assert_eq!(evaluated.scores[&Metric::PrecisionAt1], expected.recall(1));
    assert_eq!(
        evaluated.scores[&Metric::RPrecision],
        expected.r_precision()
    );
    assert_eq!(evaluated.scores[&Metric::MapAtR], expected.map_at_r());
}

#[test]
fn embeddings_are_kept_as_long_as_the_network_is_the_same() {
    let place = Place::new(tiny());
    place.trained("run");
    let (first, path) = (
        place.evaluated("run"),
        place.run("run").join("embeddings.safetensors"),
    );
    let queries = fs::read_to_string(place.run("run").join("queries.csv")).unwrap();
    assert_eq!(queries.lines().count(), 21, "{queries}");

    // Another metric is measured without looking at an image.
    let kept = fs::read(&path).unwrap();
    let mut progress = 0;
    let emit = &mut |event| progress += i32::from(matches!(event, Event::Progress { .. }));
    place
        .listen(place.evaluate("run"), &Stop::new(), emit)
        .unwrap();
    assert_eq!(progress, 0);

    // A damaged file, and one of another network, are replaced.
    fs::write(&path, "half").unwrap();
    assert_eq!(
        (place.evaluated("run"), fs::read(&path).unwrap()),
        (first, kept.clone())
    );
    let other = Place::new(Recipe { seed: 9, ..tiny() });
    other.trained("run");
    fs::copy(
        files::model(&other.run("run")),
        files::model(&place.run("run")),
    )
    .unwrap();
    place.evaluated("run");
    assert!(fs::read(&path).unwrap() != kept);
}

/// What verifying a run says, if its network embeds images again.
fn verified(place: &Place, embed: Option<Amount>) -> Recomputed {
    let result = KeptResult {
        members: vec![(place.recipe.clone(), place.run("run"))],
        data: place.data(),
        folder: place.run("run"),
        metrics: METRICS.to_vec(),
    };
    let work = VerifyWork {
        results: vec![result],
        embed,
    };
    match place.attempt(Work::Verify(work)) {
        Ok(End::Finished(Finished::Verified(mut verified))) => verified.results.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn embeddings_that_the_network_does_not_compute_are_found() {
    let place = Place::new(tiny());
    place.trained("run");
    place.evaluated("run");
    assert_eq!(verified(&place, None).embedded, None);
    for (amount, images) in [(Amount::All, 20), (Amount::AtMost(5), 5)] {
        let found = verified(&place, Some(amount));
        assert_eq!(found.faults, Vec::<String>::new());
        let embedded = found.embedded.unwrap();
        assert_eq!((embedded.networks, embedded.images), (1, images));
        assert!(embedded.distance < 1e-5, "{embedded:?}");
    }

    // A hundredth more or less of each number, in a file whose hash is right.
    let path = files::embeddings(&place.run("run"));
    let mut tensors = files::read_sealed(&path).unwrap();
    let kept = files::take(&mut tensors, "embeddings").unwrap();
    let factors: [f32; 8] = [1.01, 0.99, 1.01, 0.99, 1.01, 0.99, 1.01, 0.99];
    let moved = kept * Tensor::from_slice(&factors);
    tensors.push(("embeddings".to_owned(), moved));
    files::write_sealed(tensors, &path).unwrap();
    assert!(
        verified(&place, None)
            .faults
            .iter()
            .all(|fault| !fault.contains("away"))
    );
    for amount in [Amount::All, Amount::AtMost(1)] {
        let found = verified(&place, Some(amount));
        let is_told =
            |fault: &String| fault.contains("away from the one that the network computes");
        assert!(found.faults.iter().any(is_told), "{:?}", found.faults);
    }
}

#[test]
fn training_beats_the_untrained_network() {
    let recipe = changed(tiny(), |recipe, training| {
        recipe.dataset = Dataset::Glyphs(Glyphs {
            classes: 30,
            test_classes: 20,
            per_class: 8,
            seed: 0,
        });
        recipe.images = squares(28);
        recipe.model.embedding = Some(32);
        training.sampler = Sampler::MPerClass(MPerClass {
            batch: 32,
            per_class: 4,
        });
        training.optimizer = Optimizer::Adam(Adam {
            lr: 3e-3,
            ..Adam::default()
        });
        training.steps = 60;
    });
    let untrained = Place::new(Recipe {
        training: None,
        ..recipe.clone()
    });
    untrained.trained("run");
    let trained = Place::new(recipe);
    trained.trained("run");
    let map = |place: &Place| place.evaluated("run").scores[&Metric::MapAtR];
    let (before, after) = (map(&untrained), map(&trained));
    assert!(
        after > before + 0.15,
        "MAP@R {before} before, {after} after"
    );
}

#[test]
fn each_failure_has_its_class() {
    type Change = fn(&mut Recipe, &mut Training);
    let impossible: [(Change, &str); 7] = [
        (
            |_, training| {
                training.sampler = Sampler::MPerClass(MPerClass {
                    batch: 13,
                    per_class: 4,
                })
            },
            "multiple",
        ),
        (
            |_, training| {
                training.sampler = Sampler::MPerClass(MPerClass {
                    batch: 40,
                    per_class: 4,
                })
            },
            "classes",
        ),
        (
            |_, training| training.memory = Some(Memory::Xbm(Xbm::new(MemorySize::Size(46)))),
            "46 embeddings",
        ),
        (
            |_, training| training.memory = Some(Memory::Xbm(Xbm::new(MemorySize::Size(0)))),
            "at least one",
        ),
        (
            |recipe, _| recipe.model = Model::new(Backbone::Pixels, None),
            "nothing to train",
        ),
        (
            |recipe, _| {
                recipe.fold = Some(Fold {
                    index: 4,
                    of: 4,
                    cut: Cut::Even,
                })
            },
            "no fold",
        ),
        (
            |_, training| training.validate_every = Some(0),
            "between two validations",
        ),
    ];
    let place = Place::new(tiny());
    for (change, expected) in impossible {
        let place = Place {
            recipe: changed(tiny(), change),
            folder: tempfile::tempdir().unwrap(),
        };
        place.attempt(place.prepare()).unwrap();
        let failed = place.fails("run");
        assert_eq!(failed.class, Failure::Recipe, "{failed:?}");
        assert!(failed.message.contains(expected), "{failed:?}");
    }

    fs::write(place.run("file"), "not a folder").unwrap();
    let failed = place.fails("file");
    assert_eq!(failed.class, Failure::Disk, "{failed:?}");
    assert!(failed.message.contains("file`"), "{failed:?}");

    fs::create_dir(place.run("full")).unwrap();
    symlink(
        "/dev/full",
        files::model(&place.run("full")).with_extension("safetensors.incomplete"),
    )
    .unwrap();
    let failed = place.fails("full");
    assert_eq!(failed.class, Failure::Disk, "{failed:?}");
    assert!(
        failed.message.contains("the disk is full: cannot write `"),
        "{failed:?}"
    );

    let missing = place.attempt(place.evaluate("nothing")).unwrap_err();
    assert_eq!(missing.class, Failure::Data);
    assert!(missing.message.contains("model.safetensors"), "{missing:?}");
}

#[test]
fn data_that_is_not_what_it_should_be_is_named() {
    let place = Place::new(tiny());
    let fails = |recipe: Recipe, data: &Path| {
        let work = TrainWork {
            recipe,
            data: data.to_owned(),
            run: place.run("run"),
            weights: None,
            scripts: None,
            checkpoint_seconds: Some(1.0),
            deterministic: false,
        };
        place.attempt(Work::Train(work)).unwrap_err()
    };
    let other_size = fails(
        Recipe {
            images: squares(20),
            ..tiny()
        },
        &place.data(),
    );
    assert_eq!(other_size.class, Failure::Data);
    assert!(
        other_size.message.contains("in another way"),
        "{other_size:?}"
    );

    let missing = fails(tiny(), &place.run("nowhere"));
    assert_eq!(missing.class, Failure::Data);
    assert!(
        missing.message.contains("nowhere/index.json"),
        "{missing:?}"
    );

    fs::write(place.data().join("images.u8"), "short").unwrap();
    let damaged = fails(tiny(), &place.data());
    assert_eq!(damaged.class, Failure::Data);
    assert!(damaged.message.contains("images.u8"), "{damaged:?}");
}

#[test]
fn what_is_already_prepared_is_kept_and_what_is_damaged_is_prepared_again() {
    let place = Place::new(tiny());
    let images = place.data().join("images.u8");
    let whole = fs::read(&images).unwrap();
    let changed = || fs::metadata(&images).unwrap().modified().unwrap();
    let before = changed();
    place.attempt(place.prepare()).unwrap();
    assert_eq!(changed(), before);
    fs::write(&images, "short").unwrap();
    place.attempt(place.prepare()).unwrap();
    assert!(fs::read(&images).unwrap() == whole);
}

/// A PNG of one grey pixel.
const PIXEL: &[u8] = b"\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00\x3a\x7e\x9b\x55\x00\x00\x00\x0a\x49\x44\x41\x54\x78\x9c\x63\x68\x00\x00\x00\x82\x00\x81\x77\xcd\x72\xb6\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82";

#[test]
fn a_users_own_folders_are_registered_and_prepared() {
    let (place, source) = (Place::new(tiny()), tempfile::tempdir().unwrap());
    for file in ["a/1.png", "a/2.png", "b/1.png", "c/1.png", "c/2.png"] {
        let path = source.path().join("birds").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, PIXEL).unwrap();
    }
    let (into, from) = (place.run("birds"), vec![source.path().join("birds")]);
    let dataset = Dataset::Own(Own {
        name: "birds".to_owned(),
    });
    let work = ImportWork {
        dataset: dataset.clone(),
        from,
        into: into.clone(),
        copy: true,
        allow_other_counts: false,
        skip_broken: false,
        test_fraction: None,
        like: None,
        split: None,
    };
    let finished = place.attempt(Work::Import(work.clone())).unwrap();
    assert_eq!(
        finished,
        End::Finished(Finished::Imported(Imported { images: 5 }))
    );
    let text = std::fs::read_to_string(into.join(Registration::FILE)).unwrap();
    let found: Registration = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (
            found.training_classes,
            found.smallest_training_class,
            found.test_classes_without_positive
        ),
        (1, 2, 1)
    );

    let fingerprint = fingerprint_of(&dataset, &into);
    let prepare = |source| {
        let (dataset, fingerprint, into) =
            (dataset.clone(), fingerprint.clone(), place.run("prepared"));
        Work::Prepare(PrepareWork {
            dataset,
            fingerprint,
            images: squares(8),
            cache: Cache::Auto,
            source,
            into,
        })
    };
    let End::Finished(Finished::Prepared(prepared)) = place.attempt(prepare(Some(into))).unwrap()
    else {
        panic!()
    };
    assert_eq!(
        (
            prepared.training_images,
            prepared.test_classes,
            prepared.test_images
        ),
        (2, 2, 3)
    );
    assert_eq!(
        place.attempt(prepare(None)).unwrap_err().class,
        Failure::Data
    );

    let cub = ImportWork {
        dataset: Dataset::Cub200,
        ..work
    };
    let failed = place.attempt(Work::Import(cub)).unwrap_err();
    assert!(
        failed.message.contains("expected    5864   found       2"),
        "{}",
        failed.message
    );
}

#[test]
fn there_is_nothing_to_import_for_data_that_is_drawn() {
    let place = Place::new(tiny());
    let work = ImportWork {
        dataset: tiny().dataset,
        from: Vec::new(),
        into: place.run("import"),
        copy: false,
        allow_other_counts: false,
        skip_broken: false,
        test_fraction: None,
        like: None,
        split: None,
    };
    assert_eq!(
        place.attempt(Work::Import(work)).unwrap_err().class,
        Failure::Recipe
    );
}

#[test]
fn a_gpu_that_is_not_there_is_a_failure_of_the_device() {
    if crate::device::count_cuda() > 0 {
        return;
    }
    let place = Place::new(tiny());
    let work = place.train("run", 1.0);
    let attempt = Attempt {
        protocol: PROTOCOL,
        number: 1,
        device: Device::Cuda,
        threads: 1,
        work,
    };
    assert_eq!(
        run(&attempt, &Stop::new(), &mut |_| {}).unwrap_err().class,
        Failure::Device
    );
}

#[test]
fn an_evaluation_can_be_stopped() {
    let place = Place::new(Recipe {
        training: None,
        ..tiny()
    });
    place.trained("run");
    let stop = Stop::new();
    stop.request();
    assert_eq!(
        place.listen(place.evaluate("run"), &stop, &mut |_| {}),
        Ok(End::Stopped)
    );
}

/// Miners, memories and samplers as a sweep file names them, with all that can be set about them.
fn choices() -> Vec<(&'static str, &'static str)> {
    vec![
        ("miner", r#"{ "semi_hard": { "distance": "cosine" } }"#),
        ("miner", r#"{ "hard": {} }"#),
        ("miner", r#"{ "easy": { "margin": 0.01 } }"#),
        (
            "miner",
            r#"{ "all_triplets": { "distance": "squared_euclidean" } }"#,
        ),
        ("miner", r#"{ "batch_hard": {} }"#),
        ("miner", r#"{ "batch_easy_hard": {} }"#),
        (
            "miner",
            r#"{ "batch_easy_hard": { "positive": "semi_hard", "negative": "hard", "positive_range": [0, 1] } }"#,
        ),
        (
            "miner",
            r#"{ "batch_easy_hard": { "positive": "all", "negative": "easy", "negative_range": [0, 2] } }"#,
        ),
        ("miner", r#"{ "distance_weighted": {} }"#),
        ("miner", r#"{ "multi_similarity": {} }"#),
        ("miner", r#"{ "pair_margin": { "pos_margin": 0.01 } }"#),
        ("miner", r#"{ "hard_aware": { "share": 0.25 } }"#),
        ("miner", r#"{ "angular": { "degrees": 10 } }"#),
        ("miner", r#"{ "uniform_histogram": { "bins": 10 } }"#),
        (
            "memory",
            r#"{ "xbm": { "size": 20, "preset": "reference", "start_step": 1 } }"#,
        ),
        ("memory", r#"{ "xbm": { "size": 20, "preset": "pml" } }"#),
        (
            "memory",
            r#"{ "xbm": { "ratio": 0.5, "include_batch": false, "batch_loss": false } }"#,
        ),
        (
            "memory",
            r#"{ "xbm": { "ratio": 1, "key": "unique", "self_exclusion": "none", "weight": 0.3 } }"#,
        ),
        (
            "memory",
            r#"{ "xbm": { "size": 30, "init": "forward_pass", "start_step": 1 } }"#,
        ),
        (
            "memory",
            r#"{ "xbm": { "size": 45, "init": "forward_pass", "key": "unique", "include_batch": false } }"#,
        ),
        (
            "sampler",
            r#"{ "straddling": { "batch": 10, "per_class": 4 } }"#,
        ),
        ("sampler", r#"{ "random": { "batch": 12 } }"#),
        ("sampler", r#"{ "class_balanced": { "batch": 12 } }"#),
        ("sampler", r#"{ "fixed_pairs": { "batch": 12 } }"#),
    ]
}

fn chosen((what, text): (&str, &str)) -> Recipe {
    changed(tiny(), |_, training| {
        training.steps = 3;
        training.loss = Loss::Contrastive(Contrastive {
            neg_margin: 1.5,
            ..Contrastive::default()
        });
        match what {
            "miner" => {
                training.miner = Some(serde_json::from_str(text).unwrap());
                training.memory = Some(Memory::Xbm(Xbm {
                    start_step: 1,
                    ..Xbm::new(MemorySize::Size(20))
                }));
            }
            "memory" => training.memory = Some(serde_json::from_str(text).unwrap()),
            "sampler" => training.sampler = serde_json::from_str(text).unwrap(),
            other => panic!("{other}"),
        }
    })
}

#[test]
fn every_miner_memory_and_sampler_trains_and_is_continued_with_the_same_bits() {
    let mut place = Place::new(tiny());
    let mut models = std::collections::BTreeMap::from([("nothing", Vec::new())]);
    for (number, choice) in choices().into_iter().enumerate() {
        place.recipe = chosen(choice);
        let (whole, parts) = (format!("whole{number}"), format!("parts{number}"));
        let trained = place.trained(&whole);
        assert_eq!(
            (trained.end, trained.steps, trained.empty_steps),
            (TrainingEnd::Completed, 3, 0),
            "{choice:?}"
        );
        for last in 1..3 {
            let stop = Stop::new();
            let end = place.listen(place.train(&parts, 0.0), &stop.clone(), &mut |event| {
                if event == (Event::Checkpoint { step: last }) {
                    stop.request();
                }
            });
            assert_eq!(end, Ok(End::Stopped), "{choice:?}");
        }
        assert_eq!(place.trained(&parts), trained, "{choice:?}");
        let model = place.model(&whole);
        assert!(place.model(&parts) == model, "{choice:?}");
        let same = models.iter().find(|(_, other)| **other == model);
        assert!(
            same.is_none(),
            "{choice:?} makes no difference to {}",
            same.unwrap().0
        );
        models.insert(choice.1, model);
    }
}

#[test]
fn a_memory_says_how_it_is_doing() {
    let mut place = Place::new(tiny());
    place.recipe = chosen((
        "memory",
        r#"{ "xbm": { "ratio": 1, "key": "unique", "init": "forward_pass" } }"#,
    ));
    let mut said = Vec::new();
    let end = place.listen(
        place.train("run", f64::INFINITY),
        &Stop::new(),
        &mut |event| {
            if let Event::Memory {
                step,
                fill,
                age,
                drift,
            } = event
            {
                said.push((step, fill, age, drift));
            }
        },
    );
    assert_eq!(trained(end).end, TrainingEnd::Completed);
    // All images are there since this step, embedded as for evaluation: the batch differs by its own statistics.
    let [(0, 1.0, 0.0, Some(drift))] = said.as_slice() else {
        panic!("{said:?}")
    };
    assert!((0.0..2.0).contains(drift) && *drift > 0.0, "{drift}");
}

#[test]
fn settings_that_cannot_be_are_refused_by_the_trainer_as_well() {
    let mut place = Place::new(tiny());
    for (choice, expected) in [
        (
            (
                "miner",
                r#"{ "batch_easy_hard": { "positive": "semi_hard" } }"#,
            ),
            "both be semi-hard",
        ),
        (
            ("miner", r#"{ "batch_easy_hard": { "positive": "all" } }"#),
            "cannot be used with `all`",
        ),
        (
            ("memory", r#"{ "xbm": { "ratio": 1.5 } }"#),
            "67 embeddings is larger",
        ),
        (
            ("memory", r#"{ "xbm": { "ratio": 0.01 } }"#),
            "at least one",
        ),
        (
            ("sampler", r#"{ "fixed_pairs": { "batch": 20 } }"#),
            "needs 10 classes",
        ),
        (
            ("sampler", r#"{ "random": { "batch": 46 } }"#),
            "cannot be taken from 45",
        ),
        (
            (
                "sampler",
                r#"{ "straddling": { "batch": 12, "per_class": 0 } }"#,
            ),
            "not a positive multiple",
        ),
        (
            ("sampler", r#"{ "hierarchical": { "batch": 16 } }"#),
            "no super-classes",
        ),
    ] {
        place.recipe = chosen(choice);
        let failed = place.fails("run");
        assert_eq!(failed.class, Failure::Recipe, "{failed:?}");
        assert!(failed.message.contains(expected), "{failed:?}");
    }
}

/// Trains a few steps with this change of the training and returns the model that it leaves.
fn model_after(place: &mut Place, name: &str, change: impl FnOnce(&mut Training)) -> Vec<u8> {
    place.recipe = changed(tiny(), |_, training| {
        training.steps = 3;
        change(training);
    });
    let trained = place.trained(name);
    assert_eq!(
        (trained.end, trained.steps),
        (TrainingEnd::Completed, 3),
        "{name}"
    );
    place.model(name)
}

#[test]
fn every_loss_trains_and_its_own_distance_is_the_first_that_makes_sense_for_it() {
    let mut place = Place::new(tiny());
    let mut models = std::collections::BTreeMap::new();
    for loss in Loss::every() {
        let name = loss.key();
        let default = model_after(&mut place, name, |training| training.loss = loss.clone());
        let own = loss.distances().first().copied();
        let explicit = model_after(&mut place, &format!("{name} explicit"), |training| {
            (training.loss, training.distance) = (loss.clone(), own);
        });
        assert!(default == explicit, "the distance of {name} is not {own:?}");
        models.insert(name, default);
    }
    let different: std::collections::BTreeSet<&Vec<u8>> = models.values().collect();
    assert_eq!(
        different.len(),
        models.len(),
        "two losses train the same network"
    );
}

#[test]
fn every_distance_that_makes_sense_for_a_loss_trains() {
    let mut place = Place::new(tiny());
    for loss in Loss::every() {
        for &distance in &loss.distances()[1..] {
            let name = format!("{} {distance:?}", loss.key());
            let change = |training: &mut Training| {
                (training.loss, training.distance) = (loss.clone(), Some(distance))
            };
            model_after(&mut place, &name, change);
        }
    }
}

#[test]
fn reductions_regularizers_and_sums_change_what_is_trained() {
    let mut place = Place::new(tiny());
    let plain = model_after(&mut place, "plain", |_| {});
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let mut seen = vec![plain];
    for reduction in [
        r#""mean""#,
        r#""sum""#,
        r#""per_image""#,
        r#"{"threshold": {"low": 0.1, "high": 0.9}}"#,
    ] {
        let model = model_after(&mut place, reduction, |training| {
            training.reduction = serde_json::from_value(json(reduction)).unwrap();
        });
        assert!(!seen.contains(&model), "{reduction}");
        seen.push(model);
    }
    let model = model_after(&mut place, "regularized", |training| {
        training.regularizer = Some(schema::Regularizer::ZeroMean(0.5));
    });
    assert!(!seen.contains(&model));
    let alone = r#"{"sum": [{"loss": {"contrastive": {}}}]}"#;
    let alone = model_after(&mut place, "alone", |training| {
        training.loss = serde_json::from_value(json(alone)).unwrap()
    });
    assert!(alone == seen[0], "a sum of one loss is the loss");
    let both = r#"{"sum": [{"loss": {"proxy_anchor": {}}}, {"loss": {"triplet": {}}, "miner": {"semi_hard": {}}}, {"loss": {"proxy_anchor": {}}}]}"#;
    let both = model_after(&mut place, "both", |training| {
        training.loss = serde_json::from_value(json(both)).unwrap()
    });
    assert!(!seen.contains(&both));
}

#[test]
fn a_training_that_is_out_of_patience_ends_and_keeps_its_best() {
    let recipe = changed(stateful(), |_, training| {
        training.optimizer = Optimizer::Sgd(Sgd {
            lr: 1e-30,
            ..Sgd::default()
        });
        training.loss = Loss::Triplet(Triplet::default());
        (training.memory, training.steps, training.validate_every) = (None, 50, Some(1));
        training.patience = Some(3);
    });
    // Running statistics change what is validated, so not even such a small rate makes all scores equal.
    let trained = Place::new(recipe).trained("run");
    assert_eq!(trained.end, TrainingEnd::OutOfPatience);
    assert_eq!(trained.steps, trained.kept_step + 3);
}

#[test]
fn a_trunk_that_is_held_stays_and_the_head_learns() {
    let recipe = changed(tiny(), |_, training| {
        training.freeze_trunk = Some(Span::Steps(9))
    });
    let place = Place::new(recipe);
    let mut network = assemble::network(&place.recipe, None, tch::Device::Cpu).unwrap();
    let [(_, trunk), (_, head)] = network.groups().try_into().unwrap();
    let part = |flat: &Tensor, range: &std::ops::Range<i64>| {
        flat.narrow(0, range.start, range.end - range.start)
    };
    let before = network.flat_parameters().copy();
    place.trained("run");
    network
        .restore(&Tensor::read_safetensors(files::model(&place.run("run"))).unwrap())
        .unwrap();
    let after = network.flat_parameters();
    assert!(part(after, &trunk) == part(&before, &trunk));
    assert!(part(after, &head) != part(&before, &head));
}

#[test]
fn accumulated_batches_follow_the_mean_of_their_gradients() {
    // Without momentum, two batches in one step change weights by the mean of what each alone would change.
    let recipe = changed(tiny(), |recipe, training| {
        recipe.model = Model::new(Backbone::Pixels, Some(8));
        training.optimizer = Optimizer::Sgd(Sgd {
            lr: 1.0,
            ..Sgd::default()
        });
        (training.steps, training.accumulate) = (1, 2);
    });
    let mut place = Place::new(recipe.clone());
    let weights = |place: &Place, name: &str| {
        place.trained(name);
        let mut network = assemble::network(&place.recipe, None, tch::Device::Cpu).unwrap();
        network
            .restore(&Tensor::read_safetensors(files::model(&place.run(name))).unwrap())
            .unwrap();
        network.flat_parameters().copy()
    };
    let both = weights(&place, "both");
    place.recipe = changed(recipe.clone(), |_, training| training.accumulate = 1);
    let first = weights(&place, "first");
    let start = assemble::network(&recipe, None, tch::Device::Cpu)
        .unwrap()
        .state()
        .remove(0)
        .1;
    place.recipe = changed(recipe, |_, training| {
        // A learning rate of nothing in the first step leaves the second batch to start where the first did.
        training.warm_up = Some(WarmUp {
            over: Span::Steps(1),
            from: 0.0,
        });
        (training.accumulate, training.steps) = (1, 2);
    });
    let second = weights(&place, "second");
    let change = |end: &Tensor| end - &start;
    let difference = (change(&both) - (change(&first) + change(&second)) / 2.0)
        .abs()
        .max()
        .double_value(&[]);
    assert!(
        difference < 1e-6 * change(&both).abs().max().double_value(&[]).max(1.0),
        "{difference}"
    );
}

#[test]
fn a_training_without_tuples_is_dead_and_one_with_equal_embeddings_collapsed() {
    let dead = changed(tiny(), |_, training| {
        training.loss = Loss::Triplet(Triplet {
            margin: -3.0,
            ..Triplet::default()
        });
        (training.steps, training.guards.dead_steps) = (50, 7);
    });
    let trained = Place::new(dead).trained("run");
    assert_eq!(
        (trained.end, trained.steps),
        (TrainingEnd::Broken(Breakdown::Dead), 7)
    );

    // With such a bound, embeddings that are only somewhat alike count as equal.
    let collapsing = changed(tiny(), |_, training| {
        training.optimizer = Optimizer::Sgd(Sgd {
            lr: 1e-30,
            ..Sgd::default()
        });
        (training.steps, training.guards.collapse) = (150, 0.01);
    });
    let trained = Place::new(collapsing).trained("run");
    assert_eq!(
        (trained.end, trained.steps),
        (TrainingEnd::Broken(Breakdown::Collapsed), 100)
    );
}

#[test]
fn the_network_that_is_kept_is_the_average_of_the_weights_after_each_step() {
    let mut place = Place::new(stateful());
    let mut kept = |name: &str, steps, ema| {
        place.recipe = changed(stateful(), |recipe, training| {
            recipe.fold = None;
            training.validate_every = None;
            (training.steps, training.ema) = (steps, ema);
        });
        trained(place.attempt(place.train(name, f64::INFINITY)));
        Tensor::read_safetensors(files::model(&place.run(name))).unwrap()
    };
    let [first, second] =
        [("first", 1), ("second", 2)].map(|(name, steps)| kept(name, steps, None));
    let ema = schema::Ema {
        decay: 0.75,
        warm_up: false,
    };
    for (name, found) in kept("averaged", 2, Some(ema)) {
        let of = |state: &[(String, Tensor)]| {
            let mut tensors = state.iter();
            let (_, tensor) = tensors.find(|(other, _)| *other == name).unwrap();
            tensor.shallow_clone()
        };
        let (first, second) = (of(&first), of(&second));
        assert!(first != second, "{name}");
        let error = (&first * 0.75 + &second * 0.25 - &found).abs().max();
        assert!(error.double_value(&[]) < 1e-6, "{name}");
    }
}
