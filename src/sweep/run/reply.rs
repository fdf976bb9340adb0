//! Checks what a trainer reports before it is believed.
//!
//! A trainer may be anybody's program. A result that does not answer the task, lacks a score or has
//! an impossible one fails its job, and only its job.

use std::path::Path;

use schema::{
    EnsembleWork, EvaluateWork, Evaluated, Event, Failure, Finished, Metric, PrepareWork, Prepared,
    Scores, Task, TrainWork, Trained, TrainingEnd, Work, WrongReply, run_files,
};

use super::lines::shortened;

/// The most characters of a trainer's sentence that are kept.
const LONGEST: usize = 2000;

/// Returns the event as it counts: a result that cannot be right is a failure of
/// the trainer, and sentences have a bounded length.
pub(super) fn checked(event: Event, work: &Work) -> Event {
    match event {
        Event::Finished(finished) => match fault(&finished, work) {
            Some(message) => Event::Failed {
                class: Failure::Internal,
                message,
            },
            None => Event::Finished(finished),
        },
        Event::Failed { class, message } => Event::Failed {
            class,
            message: shortened(&message, LONGEST),
        },
        Event::Remark { text } => Event::Remark {
            text: shortened(&text, LONGEST),
        },
        other => other,
    }
}

/// Returns what is wrong with a result of this work.
fn fault(finished: &Finished, work: &Work) -> Option<String> {
    match work {
        Work::Prepare(work) => of_prepared(&reply::<PrepareWork>(finished), work),
        Work::Train(work) => of_trained(&reply::<TrainWork>(finished), work),
        Work::Evaluate(work) => of_evaluated(&reply::<EvaluateWork>(finished), &work.metrics),
        Work::Ensemble(work) => of_evaluated(&reply::<EnsembleWork>(finished), &work.metrics),
        _ => None,
    }
}

/// A reply of the right kind, if it is one.
type Reply<T> = Result<T, WrongReply>;

fn reply<T: Task>(finished: &Finished) -> Reply<T::Reply> {
    T::Reply::try_from(finished.clone())
}

fn of_prepared(prepared: &Reply<Prepared>, work: &PrepareWork) -> Option<String> {
    match prepared {
        Err(WrongReply) => Some(wrong_kind()),
        Ok(_) => missing(&work.into, PREPARED, "prepared data"),
    }
}

/// The file that appears last in the folder of prepared data.
const PREPARED: &str = "index.json";

fn of_trained(trained: &Reply<Trained>, work: &TrainWork) -> Option<String> {
    let trained = match trained {
        Err(WrongReply) => return Some(wrong_kind()),
        Ok(trained) => trained,
    };
    if matches!(trained.end, TrainingEnd::Broken(_)) {
        return None;
    }
    if trained.kept_step > trained.steps {
        let Trained {
            kept_step, steps, ..
        } = trained;
        return Some(format!(
            "the trainer reported the network of step {kept_step} of a training of {steps} steps"
        ));
    }
    of_validation(trained.validation.as_ref(), work)
        .or_else(|| missing(&work.run, run_files::MODEL, "a network"))
}

/// A training on a fold must be validated by the metric that selects.
fn of_validation(validation: Option<&Scores>, work: &TrainWork) -> Option<String> {
    let select = work
        .recipe
        .training
        .as_ref()
        .map(|training| training.select);
    let wanted = select.filter(|_| work.recipe.fold.is_some());
    let scores = validation.unwrap_or(const { &Scores::new() });
    of_scores(scores, wanted.as_slice(), "validation score")
}

fn of_evaluated(evaluated: &Reply<Evaluated>, wanted: &[Metric]) -> Option<String> {
    match evaluated {
        Err(WrongReply) => Some(wrong_kind()),
        Ok(evaluated) => of_scores(&evaluated.scores, wanted, "score"),
    }
}

fn of_scores(scores: &Scores, wanted: &[Metric], noun: &str) -> Option<String> {
    let missing = wanted.iter().find(|metric| !scores.contains_key(metric));
    if let Some(metric) = missing {
        return Some(format!("the trainer reported no {noun} `{metric}`"));
    }
    let mut impossible = scores
        .iter()
        .filter(|(metric, value)| !metric.allows(**value));
    let (metric, value) = impossible.next()?;
    Some(format!(
        "the trainer reported the {noun} {value:e} for `{metric}`, which is impossible"
    ))
}

fn missing(folder: &Path, file: &str, what: &str) -> Option<String> {
    (!folder.join(file).is_file())
        .then(|| format!("the trainer reported {what}, but there is no `{file}`"))
}

fn wrong_kind() -> String {
    "the trainer reported the result of another kind of work".to_owned()
}

#[cfg(test)]
mod tests;
