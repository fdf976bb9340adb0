//! How long, with which rates, and when it ends.

use schema::{Clip, Loss, Optimizer, Schedule, Span, WarmUp};

use super::{
    Checked, SweepFile, TrainingTable, fault, fraction, not_negative, positive, require, sampling,
};

pub(super) fn training(training: &TrainingTable, file: &SweepFile) -> Checked {
    require(
        training.steps > 0,
        "training.steps",
        "nothing is trained in 0 steps; for an untrained network, add a [[method]] with `baseline = \"untrained\"`",
    )?;
    validation(training, file)?;
    let sharing = file.method.iter().filter(|method| method.sampler.is_none());
    let needs_positives = sharing
        .filter_map(|method| method.loss.as_ref())
        .any(Loss::needs_positives);
    sampling::sampler(&training.sampler, "training.sampler", needs_positives, file)?;
    optimizers(training, file)?;
    rates(training)?;
    sizes(training)?;
    guards(training)
}

/// What needs a fold, and makes sense with one.
fn validation(training: &TrainingTable, file: &SweepFile) -> Checked {
    let asked = [
        ("validate_every", training.validate_every.is_some()),
        ("select", training.select.is_some()),
        ("patience", training.patience.is_some()),
        (
            "schedule.plateau",
            matches!(training.schedule, Some(Schedule::Plateau(_))),
        ),
    ];
    if let Some((key, _)) = asked
        .into_iter()
        .find(|(_, given)| *given && file.sweep.folds.is_none())
    {
        let message = "there is nothing to validate on: set `sweep.folds`, or leave the key out";
        return fault(format!("training.{key}"), message);
    }
    require(
        training.validate_every != Some(0),
        "training.validate_every",
        "expected at least 1 step",
    )?;
    require(
        training.patience != Some(0),
        "training.patience",
        "expected at least 1 validation",
    )?;
    let waits =
        training.patience.is_some() || matches!(training.schedule, Some(Schedule::Plateau(_)));
    require(
        !waits || training.validate_every.is_some(),
        if training.patience.is_some() {
            "training.patience"
        } else {
            "training.schedule.plateau"
        },
        "it counts validations: set `training.validate_every`",
    )
}

fn optimizers(training: &TrainingTable, file: &SweepFile) -> Checked {
    optimizer(&training.optimizer, "training.optimizer")?;
    let head_is_there = file.model.embedding.is_some();
    if let Some(head) = &training.head_optimizer {
        optimizer(head, "training.head_optimizer")?;
        require(
            head_is_there,
            "training.head_optimizer",
            "the model has no head: set `model.embedding`",
        )?;
    }
    if let Some(span) = &training.freeze_trunk {
        at_least_one(span, "training.freeze_trunk")?;
        require(
            head_is_there,
            "training.freeze_trunk",
            "the model has no head to train: set `model.embedding`",
        )?;
    }
    let Some(of_losses) = &training.loss_optimizer else {
        return Ok(());
    };
    optimizer(of_losses, "training.loss_optimizer")?;
    require(
        file.method
            .iter()
            .filter_map(|method| method.loss.as_ref())
            .any(Loss::has_parameters),
        "training.loss_optimizer",
        "no method has a loss with parameters of its own",
    )
}

fn rates(training: &TrainingTable) -> Checked {
    require(
        training.epoch_steps != Some(0),
        "training.epoch_steps",
        "an epoch has at least 1 step",
    )?;
    training.schedule.iter().try_for_each(schedule)?;
    training.warm_up.iter().try_for_each(warm_up)
}

fn schedule(schedule: &Schedule) -> Checked {
    let key = |name: &str| format!("training.schedule.{name}");
    match schedule {
        Schedule::Constant => Ok(()),
        Schedule::Step(step) => {
            at_least_one(&step.every, &key("step.every"))?;
            positive(step.factor, &key("step.factor"))
        }
        Schedule::MultiStep(multi_step) => {
            let (unit, at) = multi_step.at.named();
            require(
                at.is_sorted_by(|one, next| one < next) && at.first() != Some(&0),
                &key(&format!("multi_step.at.{unit}")),
                "expected times above 0, each later than the one before",
            )?;
            positive(multi_step.factor, &key("multi_step.factor"))
        }
        Schedule::Cosine(cosine) => {
            cosine
                .over
                .iter()
                .try_for_each(|over| at_least_one(over, &key("cosine.over")))?;
            fraction(cosine.floor, &key("cosine.floor"))
        }
        Schedule::Plateau(plateau) => {
            let key = |name: &str| key(&format!("plateau.{name}"));
            fraction(plateau.factor, &key("factor"))?;
            not_negative(plateau.threshold, &key("threshold"))?;
            fraction(plateau.floor, &key("floor"))
        }
    }
}

fn warm_up(warm_up: &WarmUp) -> Checked {
    at_least_one(&warm_up.over, "training.warm_up.over")?;
    require(
        (0.0..=1.0).contains(&warm_up.from),
        "training.warm_up.from",
        "expected a number from 0 to 1",
    )
}

fn at_least_one(span: &Span, key: &str) -> Checked {
    let (unit, &length) = span.named();
    require(length > 0, &format!("{key}.{unit}"), "expected at least 1")
}

fn sizes(training: &TrainingTable) -> Checked {
    match training.clip {
        Some(Clip::Norm(bound)) => positive(bound, "training.clip.norm")?,
        Some(Clip::Value(bound)) => positive(bound, "training.clip.value")?,
        None => {}
    }
    require(
        training.accumulate != Some(0),
        "training.accumulate",
        "a step has at least 1 batch",
    )?;
    require(
        training.chunk != Some(0),
        "training.chunk",
        "a chunk has at least 1 image",
    )
}

fn guards(training: &TrainingTable) -> Checked {
    let bound = training.guards.collapse;
    require(
        bound > 0.0 && bound <= 1.0,
        "training.guards.collapse",
        "expected a number above 0, and 1 for never",
    )
}

pub(super) fn optimizer(optimizer: &Optimizer, table: &str) -> Checked {
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
            fraction(sgd.dampening, &key("dampening"))?;
            require(
                !sgd.nesterov || (sgd.momentum > 0.0 && sgd.dampening == 0.0),
                &key("nesterov"),
                "it needs `momentum` above 0, and no `dampening`",
            )?;
            not_negative(sgd.weight_decay, &key("weight_decay"))
        }
    }
}

/// What Adam and AdamW have in common.
fn adaptive(lr: f64, betas: [f64; 2], epsilon: f64, key: &dyn Fn(&str) -> String) -> Checked {
    positive(lr, &key("lr"))?;
    positive(epsilon, &key("epsilon"))?;
    require(
        betas.iter().all(|beta| (0.0..1.0).contains(beta)),
        &key("betas"),
        "expected two numbers from 0 to below 1",
    )
}
