//! Adds data sets and prepares them, once for all runs.

use std::sync::Mutex;

use dml::data::{
    self, Preparation, PreparedData, Source, Summary,
    adding::{self, Added, Folders, Request},
};
use schema::{Event, Files, ImportWork, Imported, PrepareWork, Prepared, Registration};

use crate::{Emit, Failed, Throttle, files, process::log};

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
    };
    let added = with_progress(emit, |progress| adding::add(&request, progress))?;
    let registration = registration(added);
    files::write_json(&registration, &work.into.join(Registration::FILE))?;
    Ok(Imported {
        images: registration.training_images + registration.test_images,
    })
}

fn registration(added: Added) -> Registration {
    let Added {
        layout,
        listing,
        differences,
    } = added;
    let counts = listing.counts();
    Registration {
        layout: layout.to_owned(),
        training_classes: listing.training.classes.len() as u32,
        training_images: counts.training_images,
        smallest_training_class: listing.training.sizes().into_iter().min().unwrap_or(0),
        super_classes: listing
            .training
            .classes
            .iter()
            .all(|class| class.category.is_some()),
        test_classes: listing.test.classes.len() as u32,
        test_images: counts.test_images,
        queries: counts.queries,
        references: counts.references,
        test_classes_without_positive: listing.test.classes_without_positive().len() as u32,
        differences,
    }
}

/// Decodes and resizes a data set. An intact result of the same work is kept.
///
/// # Errors
/// If the files are not those of the data set, or the disk does not take the result.
pub(crate) fn prepare(work: &PrepareWork, emit: Emit) -> Result<Prepared, Failed> {
    emit(Event::Started { from: 0 });
    let source = Source::open(&work.dataset, work.source.as_deref())?;
    if let Some(counts) = already_there(work) {
        return Ok(prepared(counts));
    }
    let preparation = Preparation::new(&source, work.images, work.cache, &work.into)?;
    let text = preparation.estimate();
    log(&text);
    emit(Event::Remark { text });
    let counts = with_progress(emit, |progress| preparation.run(progress))?;
    Ok(prepared(counts))
}

/// Returns the counts of a finished preparation.
fn already_there(work: &PrepareWork) -> Option<Summary> {
    let folder = &work.into;
    if !folder.join("index.json").exists() {
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
