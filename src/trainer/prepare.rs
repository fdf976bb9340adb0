//! Adds data sets and prepares them, once for all runs.

use std::sync::Mutex;

use dml::data::{
    self, Preparation, PreparedData, Source, Summary,
    adding::{self, Folders, Request},
};
use schema::{Event, Files, ImportWork, Imported, PrepareWork, Prepared};

use crate::{Emit, Failed, Throttle, process::log};

/// Adds a data set that a user downloaded, and writes what was found.
///
/// # Errors
/// If the files are not those of the data set, or the disk does not take them.
pub(crate) fn import(work: &ImportWork, emit: Emit) -> Result<Imported, Failed> {
    emit(Event::Started { from: 0 });
    if work.dataset.files() == Files::Drawn {
        return Err(Failed::recipe(
            "glyphs are drawn by the program, there is nothing to import",
        ));
    }
    let request = Request {
        dataset: work.dataset.clone(),
        from: &work.from,
        into: &work.into,
        folders: if work.copy {
            Folders::Copy
        } else {
            Folders::Link
        },
        other_counts: work.allow_other_counts,
        skip_broken: work.skip_broken,
        test_fraction: work.test_fraction,
        like: work.like.clone(),
        split: work.split.as_deref(),
    };
    let registration = with_progress(emit, |progress| adding::add(&request, progress))?;
    Ok(Imported {
        images: registration.training_images + registration.test_images,
    })
}

/// Decodes and resizes a data set. An intact result of the same work is kept.
///
/// # Errors
/// If the files are not those of the data set, or the disk does not take the result.
pub(crate) fn prepare(work: &PrepareWork, emit: Emit) -> Result<Prepared, Failed> {
    emit(Event::Started { from: 0 });
    let source = Source::open(&work.dataset, work.source.as_deref())?;
    check_measurable(&source)?;
    if let Some(counts) = already_there(work) {
        return Ok(prepared(counts));
    }
    let preparation = Preparation::new(&source, work.images, work.cache, &work.into)?
        .expecting(work.fingerprint.clone());
    let text = preparation.estimate();
    log(&text);
    emit(Event::Remark { text });
    let counts = with_progress(emit, |progress| preparation.run(progress))?;
    Ok(prepared(counts))
}

/// Checks before training that a network can be measured.
fn check_measurable(source: &Source) -> Result<(), Failed> {
    match source {
        Source::Files { listing, .. } if listing.test.queries_with_positive() == 0 => {
            Err(Failed::data(
                "there is nothing to measure: no test image has another one of its class to find",
            ))
        }
        Source::Files { .. } | Source::Glyphs(_) => Ok(()),
    }
}

/// Returns the counts of a finished preparation.
fn already_there(work: &PrepareWork) -> Option<Summary> {
    let folder = &work.into;
    if !folder.join(PrepareWork::INDEX).exists() {
        return None;
    }
    match PreparedData::open(folder) {
        Ok(data) if data.is_of(&work.dataset, &work.images) => Some(data.counts()),
        Ok(_) => {
            let folder = folder.display();
            log(&format!(
                "`{folder}` holds another data set; it is prepared again"
            ));
            None
        }
        Err(error) => {
            log(&format!("it is prepared again: {error}"));
            None
        }
    }
}

fn prepared(counts: Summary) -> Prepared {
    Prepared {
        training_classes: counts.training_classes,
        training_images: counts.training_images,
        test_classes: counts.test_classes,
        test_images: counts.test_images,
    }
}

/// Turns calls from any thread into events, a few a second.
pub(crate) fn with_progress<T>(emit: Emit, work: impl FnOnce(data::Progress) -> T) -> T {
    let listener = Mutex::new((emit, Throttle::new()));
    work(&|done, total| {
        let Ok(mut guard) = listener.lock() else {
            return;
        };
        let (emit, throttle) = &mut *guard;
        if throttle.ready() || done == total {
            emit(Event::Progress {
                done,
                total,
                loss: None,
            });
        }
    })
}
