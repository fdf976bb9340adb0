//! The length, the learning rates and the end of training.

use schema::{Backbone, Clip, Loss, Optimizer, Sampler, Schedule, Span, Survey, WarmUp};

use super::{
    Checked, MethodTable, SweepFile, TrainingTable, fault, in_range, positive, require, sampling,
};

/// Maximum number of steps of a training.
const MOST_STEPS: u64 = 1_000_000_000;
/// Maximum number of batches of one step.
const MOST_BATCHES: u64 = 10_000;

pub(super) fn training(training: &TrainingTable, file: &SweepFile) -> Checked {
    require(
        training.steps > 0,
        "training.steps",
        "nothing is trained in 0 steps; for an untrained network, add a [[method]] with `baseline = \"untrained\"`",
    )?;
    let bounded = [
        ("steps", Some(training.steps)),
        ("epoch_steps", training.epoch_steps),
        ("validate_every", training.validate_every),
        ("patience", training.patience),
    ];
    for (key, steps) in bounded {
        require(
            steps.is_none_or(|steps| steps <= MOST_STEPS),
            &format!("training.{key}"),
            format!("expected at most {MOST_STEPS}"),
        )?;
    }
    validation(training, file)?;
    let sharing = file.method.iter().filter(|method| method.sampler.is_none());
    let needs_positives = sharing.into_iter().any(MethodTable::needs_positives);
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
    if let Some(decay) = training.layer_decay {
        layer_decay(decay, file)?;
    }
    if let Some(span) = &training.freeze_trunk {
        at_least_one(span, "freeze_trunk")?;
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
        file.method.iter().any(MethodTable::has_parameters),
        "training.loss_optimizer",
        "no method has a loss with parameters of its own",
    )
}

fn layer_decay(decay: f64, file: &SweepFile) -> Checked {
    let key = "training.layer_decay";
    require(
        decay > 0.0 && decay <= 1.0,
        key,
        "expected a number above 0 and at most 1",
    )?;
    require(
        !matches!(file.model.backbone, Backbone::Torchscript(_)),
        key,
        "the layers of a TorchScript module are not known: leave the key out",
    )
}

/// A survey is there if a method needs one, and only then. All methods are checked.
pub(super) fn surveys(training: &TrainingTable, file: &SweepFile) -> Checked {
    let needing = file
        .method
        .iter()
        .position(|method| needs_survey(method, training));
    match (&training.survey, needing) {
        (Some(survey), Some(_)) => {
            in_range(survey.check(), "training.survey")?;
            of_all_images(survey, training, file)
        }
        (Some(_), None) => fault(
            "training.survey",
            format!(
                "no method depends on surveys; these do: {}",
                users_of_surveys()
            ),
        ),
        (None, Some(method)) => fault(
            needing_key(&file.method[method], method),
            "it needs surveys of the training images: write `survey.every.epochs = 1` in [training]",
        ),
        (None, None) => Ok(()),
    }
}

/// Returns the keys of everything that depends on surveys.
fn users_of_surveys() -> String {
    let samplers = Sampler::every().into_iter().filter(Sampler::needs_survey);
    let samplers = samplers.map(|sampler| format!("`sampler.{}`", sampler.key()));
    let losses = Loss::every().into_iter().filter_map(|loss| {
        let setting = loss.survey_setting()?;
        Some(format!("`loss.{}` with `{setting}`", loss.key()))
    });
    let links = ["`links.divide`".to_owned()];
    let all: Vec<String> = samplers.chain(losses).chain(links).collect();
    all.join(", ")
}

/// A survey takes all images if a method needs all.
fn of_all_images(survey: &Survey, training: &TrainingTable, file: &SweepFile) -> Checked {
    let mut needing = file.method.iter();
    match needing.find_map(|method| key_of_all_images(method, training)) {
        Some(key) => require(
            survey.per_class.is_none(),
            "training.survey.per_class",
            format!("`{key}` needs all images surveyed: remove `per_class`"),
        ),
        None => Ok(()),
    }
}

/// Returns the key by which a method needs all images surveyed, if it does.
fn key_of_all_images(method: &MethodTable, training: &TrainingTable) -> Option<String> {
    if method.links.divide.is_some() {
        return Some("links.divide".to_owned());
    }
    let sampler = method.sampler_in(training);
    let is_used = method.loss.is_some() && sampler.needs_all_images();
    is_used.then(|| format!("sampler.{}", sampler.key()))
}

fn needs_survey(method: &MethodTable, training: &TrainingTable) -> bool {
    let sampler = method.sampler_in(training);
    method.loss.is_some() && (method.needs_survey() || sampler.needs_survey())
}

/// Returns the key that asks for a survey.
fn needing_key(method: &MethodTable, number: usize) -> String {
    if method.links.divide.is_some() {
        return format!("method.{number}.links.divide");
    }
    match (method.needs_survey(), &method.sampler) {
        (true, _) => format!("method.{number}.loss"),
        (false, Some(_)) => format!("method.{number}.sampler"),
        (false, None) => "training.sampler".to_owned(),
    }
}

fn rates(training: &TrainingTable) -> Checked {
    require(
        training.epoch_steps != Some(0),
        "training.epoch_steps",
        "an epoch has at least 1 step",
    )?;
    if let Some(schedule) = &training.schedule {
        let table = format!("training.schedule.{}", schedule.key());
        in_range(schedule.check(), &table)?;
    }
    training.warm_up.iter().try_for_each(warm_up)
}

fn warm_up(warm_up: &WarmUp) -> Checked {
    at_least_one(&warm_up.over, "warm_up.over")?;
    require(
        (0.0..=1.0).contains(&warm_up.from),
        "training.warm_up.from",
        "expected a number from 0 to 1",
    )
}

fn at_least_one(span: &Span, setting: &str) -> Checked {
    in_range(span.check_positive(setting), "training")
}

fn sizes(training: &TrainingTable) -> Checked {
    match training.clip {
        Some(Clip::Norm(bound)) => positive(bound, "training.clip.norm")?,
        Some(Clip::Value(bound)) => positive(bound, "training.clip.value")?,
        None => {}
    }
    require(
        training
            .ema
            .as_ref()
            .is_none_or(|ema| ema.decay > 0.0 && ema.decay < 1.0),
        "training.ema.decay",
        "expected a number above 0 and below 1",
    )?;
    require(
        training
            .accumulate
            .is_none_or(|batches| (1..=MOST_BATCHES).contains(&batches)),
        "training.accumulate",
        format!("expected 1 to {MOST_BATCHES} batches of a step"),
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
    in_range(optimizer.check(), &format!("{table}.{}", optimizer.key()))
}
