use std::fs;

use schema::{Breakdown, Imported, Recipe};
use serde_json::{Value, json};

use super::*;

/// A folder for the files of a run or of prepared data.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn work(kind: &str, of: &Value) -> Work {
    serde_json::from_value(json!({ kind: of })).unwrap()
}

fn recipe(fold: Option<Value>) -> Value {
    let mut recipe = json!({
        "dataset": { "glyphs": { "classes": 8, "test_classes": 4, "per_class": 4, "seed": 0 } },
        "images": { "size": { "square": 28 }, "colour": "grey" },
        "model": { "backbone": "conv4", "embedding": 16 },
        "training": {
            "loss": { "triplet": { "margin": 0.2, "swap": false, "smooth": false } },
            "sampler": { "m_per_class": { "batch": 8, "per_class": 4 } },
            "optimizer": { "sgd": { "lr": 0.1 } },
            "steps": 10,
        },
        "seed": 0,
    });
    if let Some(fold) = fold {
        recipe["fold"] = fold;
    }
    recipe
}

fn training(run: &Path, fold: Option<Value>) -> Work {
    work(
        "train",
        &json!({ "recipe": recipe(fold), "data": "d", "run": run, "checkpoint_seconds": 1.0 }),
    )
}

fn measuring(metrics: &[&str]) -> Work {
    work(
        "evaluate",
        &json!({ "recipe": recipe(None), "data": "d", "run": "r", "metrics": metrics }),
    )
}

fn trained(end: TrainingEnd, validation: Option<Value>) -> Finished {
    let validation = validation.map(|scores| serde_json::from_value(scores).unwrap());
    Finished::Trained(Trained {
        end,
        steps: 10,
        kept_step: 10,
        validation,
        empty_steps: 0,
        objective: None,
    })
}

fn evaluated(scores: &Value) -> Finished {
    let reply = json!({ "evaluated": { "classes": 2, "images": 4, "lone": 0, "scores": scores } });
    serde_json::from_value(reply).unwrap()
}

/// The failure that a result becomes; none if it is believed.
fn refused(finished: Finished, work: &Work) -> Option<String> {
    match checked(Event::Finished(finished.clone()), work) {
        Event::Finished(same) => {
            assert_eq!(same, finished);
            None
        }
        Event::Failed { class, message } => {
            assert_eq!(class, Failure::Internal);
            Some(message)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_of_another_kind_of_work_is_refused() {
    let folder = folder();
    let imported = || Finished::Imported(Imported { images: 3 });
    for work in [training(folder.path(), None), measuring(&["map@r"])] {
        let message = refused(imported(), &work).unwrap();
        assert!(message.contains("another kind of work"), "{message}");
    }
}

#[test]
fn a_training_without_a_network_is_refused_unless_it_broke_down() {
    let folder = folder();
    let work = training(folder.path(), None);
    let completed = || trained(TrainingEnd::Completed, None);
    let message = refused(completed(), &work).unwrap();
    assert!(message.contains("model.safetensors"), "{message}");
    let diverged = trained(TrainingEnd::Broken(Breakdown::Diverged), None);
    assert_eq!(refused(diverged, &work), None);
    fs::write(folder.path().join("model.safetensors"), "x").unwrap();
    assert_eq!(refused(completed(), &work), None);
}

#[test]
fn a_training_on_a_fold_needs_a_possible_score_of_validation() {
    let folder = folder();
    fs::write(folder.path().join("model.safetensors"), "x").unwrap();
    let fold = json!({ "index": 0, "of": 2 });
    let work = training(folder.path(), Some(fold));
    for (validation, word) in [
        (None, "no validation score"),
        (Some(json!({ "recall@1": 0.5 })), "no validation score"),
        (Some(json!({ "map@r": 1.5 })), "impossible"),
    ] {
        let trained = trained(TrainingEnd::Completed, validation.clone());
        let message = refused(trained, &work).unwrap_or_default();
        assert!(message.contains(word), "{validation:?}: {message}");
    }
    let good = trained(TrainingEnd::Completed, Some(json!({ "map@r": 0.5 })));
    assert_eq!(refused(good, &work), None);
}

#[test]
fn a_measurement_has_all_scores_that_were_asked_for_and_only_possible_ones() {
    let work = measuring(&["recall@1", "map@r"]);
    for (scores, word) in [
        (json!({}), "no score `recall@1`"),
        (json!({ "recall@1": 0.5 }), "no score `map@r`"),
        (json!({ "recall@1": 2.0, "map@r": 0.5 }), "impossible"),
        (json!({ "recall@1": 0.5, "map@r": 1e300 }), "1e300"),
        (
            json!({ "recall@1": 0.5, "map@r": -5.0 }),
            "-5e0 for `map@r`",
        ),
    ] {
        let message = refused(evaluated(&scores), &work).unwrap_or_default();
        assert!(message.contains(word), "{scores}: {message}");
    }
    let more = json!({ "recall@1": 1.0, "map@r": 0.0, "recall@2": 1.0 });
    assert_eq!(refused(evaluated(&more), &work), None);
}

#[test]
fn prepared_data_without_its_index_are_refused() {
    let folder = folder();
    let dataset = serde_json::from_value::<Recipe>(recipe(None))
        .unwrap()
        .dataset;
    let images = json!({ "size": { "square": 28 }, "colour": "grey" });
    let work = work(
        "prepare",
        &json!({ "dataset": dataset, "fingerprint": "0".repeat(16), "images": images, "cache": "auto", "into": folder.path() }),
    );
    let prepared = || {
        Finished::Prepared(Prepared {
            training_classes: 1,
            training_images: 2,
            test_classes: 1,
            test_images: 2,
        })
    };
    assert!(refused(prepared(), &work).unwrap().contains("index.json"));
    fs::write(folder.path().join(PREPARED), "{}").unwrap();
    assert_eq!(refused(prepared(), &work), None);
}

#[test]
fn sentences_of_a_trainer_have_a_bounded_length() {
    let long = "ä".repeat(3 * LONGEST);
    let work = measuring(&[]);
    for event in [
        Event::Remark { text: long.clone() },
        Event::Failed {
            class: Failure::Data,
            message: long,
        },
    ] {
        let (Event::Remark { text } | Event::Failed { message: text, .. }) = checked(event, &work)
        else {
            panic!();
        };
        assert!(text.chars().count() < LONGEST + 10);
    }
}
