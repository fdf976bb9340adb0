//! What types cannot exclude: settings that contradict each other or make no sense, found before anything runs.

mod images;
mod losses;
mod mining;
mod model;
mod sampling;

use std::collections::BTreeSet;

use schema::{Dataset, Fold, Loss, Optimizer, Own, Summand};

use super::file::{Folds, MethodTable, Resources, SweepFile, TrainingTable};

/// A setting that cannot stand.
#[derive(Debug)]
pub(super) struct Fault {
    /// Its dotted key, with positions in arrays as numbers.
    pub(super) key: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

type Checked = Result<(), Fault>;

pub(super) fn check(file: &SweepFile) -> Checked {
    sweep(file)?;
    data(file)?;
    images::check(file)?;
    model::model(file)?;
    training(&file.training, file)?;
    methods(file)?;
    resources(&file.resources)?;
    let Some(metrics) = &file.report.metrics else { return Ok(()) };
    require(!metrics.is_empty(), "report.metrics", "the table has no columns")?;
    require(all_different(metrics), "report.metrics", "a metric is named twice")
}

fn sweep(file: &SweepFile) -> Checked {
    let name = &file.sweep.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    require(
        !name.is_empty() && name.chars().all(plain),
        "sweep.name",
        "the name becomes a folder: letters, digits, `-` and `_`",
    )?;
    let seeds = &file.sweep.seeds.0;
    require(!seeds.is_empty(), "sweep.seeds", "there are no seeds")?;
    require(all_different(seeds), "sweep.seeds", "a seed is named twice: equal seeds give equal runs")?;
    match (file.sweep.folds, file.data.half.classes) {
        (Some(Folds { of: 0 | 1, .. }), _) => {
            fault("sweep.folds", "cross-validation needs at least 2 folds; leave the key out for none")
        }
        (Some(Folds { of, .. }), Some(classes)) if of > classes / 2 => fault(
            "sweep.folds",
            format!("{of} folds of {classes} training classes leave fewer than 2 classes in a fold"),
        ),
        _ => Ok(()),
    }
}

fn data(file: &SweepFile) -> Checked {
    require(!file.data.root.as_os_str().is_empty(), "data.root", "the path is empty")?;
    match &file.data.dataset {
        Dataset::Own(own) => require(
            Own::is_name(&own.name),
            "data.dataset.own.name",
            "the name is that of a folder: letters, digits, `-` and `_`",
        ),
        Dataset::Glyphs(glyphs) => {
            let key = |name: &str| format!("data.dataset.glyphs.{name}");
            let enough = |n: u32| (2..=1_000_000).contains(&n);
            require(enough(glyphs.classes), &key("classes"), "expected 2 to 1000000 classes")?;
            require(enough(glyphs.test_classes), &key("test_classes"), "expected 2 to 1000000 classes")?;
            require(
                (2..=10_000).contains(&glyphs.per_class),
                &key("per_class"),
                "expected 2 to 10000 images of a class",
            )
        }
        _ => Ok(()),
    }
}

fn training(training: &TrainingTable, file: &SweepFile) -> Checked {
    require(
        training.steps > 0,
        "training.steps",
        "nothing is trained in 0 steps; for an untrained network, add a [[method]] with `baseline = \"untrained\"`",
    )?;
    match (training.validate_every, file.sweep.folds) {
        (Some(_), None) => fault(
            "training.validate_every",
            "there is nothing to validate on: set `sweep.folds`, or leave the key out",
        )?,
        (Some(0), Some(_)) => fault("training.validate_every", "expected at least 1 step")?,
        (Some(_) | None, _) => {}
    }
    let sharing = file.method.iter().filter(|method| method.sampler.is_none());
    let needs_positives = sharing.filter_map(|method| method.loss.as_ref()).any(Loss::needs_positives);
    sampling::sampler(&training.sampler, "training.sampler", needs_positives, file)?;
    optimizer(&training.optimizer, "training.optimizer")?;
    let Some(of_losses) = &training.loss_optimizer else { return Ok(()) };
    optimizer(of_losses, "training.loss_optimizer")?;
    require(
        file.method.iter().filter_map(|method| method.loss.as_ref()).any(Loss::has_parameters),
        "training.loss_optimizer",
        "no method has a loss with parameters of its own",
    )
}

fn optimizer(optimizer: &Optimizer, table: &str) -> Checked {
    match optimizer {
        Optimizer::Adam(adam) => {
            let key = |name: &str| format!("{table}.adam.{name}");
            adaptive(adam.lr, adam.betas, adam.epsilon, &key)?;
            not_negative(adam.weight_decay, &key("weight_decay"))
        }
        Optimizer::AdamW(adam_w) => {
            let key = |name: &str| format!("{table}.adam_w.{name}");
            adaptive(adam_w.lr, adam_w.betas, adam_w.epsilon, &key)?;
            not_negative(adam_w.weight_decay, &key("weight_decay"))
        }
        Optimizer::RmsProp(rms_prop) => {
            let key = |name: &str| format!("{table}.rms_prop.{name}");
            positive(rms_prop.lr, &key("lr"))?;
            positive(rms_prop.epsilon, &key("epsilon"))?;
            fraction(rms_prop.alpha, &key("alpha"))?;
            fraction(rms_prop.momentum, &key("momentum"))?;
            not_negative(rms_prop.weight_decay, &key("weight_decay"))
        }
        Optimizer::Sgd(sgd) => {
            let key = |name: &str| format!("{table}.sgd.{name}");
            positive(sgd.lr, &key("lr"))?;
            fraction(sgd.momentum, &key("momentum"))?;
            not_negative(sgd.weight_decay, &key("weight_decay"))
        }
    }
}

/// What Adam and AdamW have in common.
fn adaptive(lr: f64, betas: [f64; 2], epsilon: f64, key: &dyn Fn(&str) -> String) -> Checked {
    positive(lr, &key("lr"))?;
    positive(epsilon, &key("epsilon"))?;
    require(betas.iter().all(|beta| (0.0..1.0).contains(beta)), &key("betas"), "expected two numbers from 0 to below 1")
}

/// The fewest classes that any run of the sweep trains on, if it is known how many there are.
fn training_classes(file: &SweepFile) -> Option<u32> {
    let classes = file.data.half.classes?;
    let largest = file
        .sweep
        .folds
        .and_then(|Folds { of, cut }| Fold::all(of, cut).map(|fold| fold.held_out(classes).len()).max());
    Some(classes.saturating_sub(largest.map_or(0, |held_out| u32::try_from(held_out).unwrap_or(classes))))
}

/// The fewest images that any run of the sweep trains on, as far as it is known.
fn training_images(file: &SweepFile) -> Option<u64> {
    Some(u64::from(training_classes(file)?) * u64::from(file.data.half.smallest_class?))
}

fn methods(file: &SweepFile) -> Checked {
    require(!file.method.is_empty(), "sweep", "there are no methods: add at least one [[method]]")?;
    let mut names = BTreeSet::new();
    for (position, method) in file.method.iter().enumerate() {
        let key = |name: &str| format!("method.{position}.{name}");
        require(!method.name.trim().is_empty(), &key("name"), "the name is empty")?;
        require(names.insert(&method.name), &key("name"), "another method has the same name")?;
        self::method(method, &key, file)?;
    }
    Ok(())
}

fn method(method: &MethodTable, key: &dyn Fn(&str) -> String, file: &SweepFile) -> Checked {
    match (&method.loss, method.baseline) {
        (Some(loss), None) => trained(loss, method, key, file),
        (None, Some(_)) => baseline(method, key),
        (Some(_), Some(_)) => fault(key("baseline"), "a method has either a loss or is a baseline, not both"),
        (None, None) => fault(
            key("name"),
            "the method has no loss: set `loss.NAME = { .. }`, or `baseline = \"pixels\"` or `\"untrained\"`",
        ),
    }
}

fn trained(loss: &Loss, method: &MethodTable, key: &dyn Fn(&str) -> String, file: &SweepFile) -> Checked {
    // What is chosen about the only loss of a method is what is chosen about each in a sum.
    let whole = Summand {
        weight: 1.0,
        loss: loss.clone(),
        distance: method.distance,
        reduction: method.reduction,
        miner: method.miner.clone(),
        regularizer: method.regularizer.clone(),
    };
    losses::summand(&whole, method.memory.as_ref(), key)?;
    if let Some(of_loss) = &method.loss_optimizer {
        let name = loss.name();
        require(loss.has_parameters(), &key("loss_optimizer"), format!("`{name}` has no parameters of its own"))?;
        optimizer(of_loss, &key("loss_optimizer"))?;
    }
    if let Some(sampler) = &method.sampler {
        sampling::sampler(sampler, &key("sampler"), loss.needs_positives(), file)?;
    }
    method.memory.iter().try_for_each(|memory| mining::memory(memory, key, file))
}

/// A baseline is not trained, so nothing that belongs to training can stand beside it.
fn baseline(method: &MethodTable, key: &dyn Fn(&str) -> String) -> Checked {
    let training = [
        ("distance", method.distance.is_some()),
        ("reduction", method.reduction.is_some()),
        ("regularizer", method.regularizer.is_some()),
        ("miner", method.miner.is_some()),
        ("memory", method.memory.is_some()),
        ("sampler", method.sampler.is_some()),
        ("loss_optimizer", method.loss_optimizer.is_some()),
    ];
    match training.into_iter().find(|(_, given)| *given) {
        Some((name, _)) => fault(key(name), format!("a baseline is not trained, so it has no {name}")),
        None => Ok(()),
    }
}

fn resources(resources: &Resources) -> Checked {
    let key = |name: &str| format!("resources.{name}");
    require((1..=1024).contains(&resources.threads), &key("threads"), "expected 1 to 1024 threads")?;
    require((1..=64).contains(&resources.runs_per_gpu), &key("runs_per_gpu"), "expected 1 to 64 runs")?;
    require(resources.slots != Some(0), &key("slots"), "nothing can run in 0 slots")?;
    not_negative(resources.checkpoint_seconds, &key("checkpoint_seconds"))
}

fn require(holds: bool, key: &str, message: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { fault(key, message) }
}

fn finite(number: f64, key: &str) -> Checked {
    require(number.is_finite(), key, "expected a finite number")
}

fn fraction(number: f64, key: &str) -> Checked {
    require((0.0..1.0).contains(&number), key, "expected a number from 0 to below 1")
}

fn positive(number: f64, key: &str) -> Checked {
    require(number.is_finite() && number > 0.0, key, "expected a number above 0")
}

fn not_negative(number: f64, key: &str) -> Checked {
    require(number.is_finite() && number >= 0.0, key, "expected a number of at least 0")
}

fn all_different<T: Ord>(items: &[T]) -> bool {
    items.iter().collect::<BTreeSet<_>>().len() == items.len()
}

fn fault(key: impl Into<String>, message: impl Into<String>) -> Checked {
    Err(Fault { key: key.into(), message: message.into(), hint: None })
}
