//! Makes data ready, once for all runs: unpacks what a user downloaded, decodes and resizes it.

use std::{path::Path, sync::Mutex};

use dml::data::{
    self, Preparation, PreparedData, Source, StoredImages, Summary,
    adding::{self, Added, Folders, Request},
    omniglot,
    readers::Reader,
};
use schema::{Dataset, Event, ImportWork, Imported, PrepareWork, Prepared, Registration};

use crate::{Emit, Failed, Throttle, assemble, files, process::log};

/// Unpacks and verifies what a user downloaded.
///
/// # Errors
/// If it is not what it should be, or the disk does not take it.
pub(crate) fn import(work: &ImportWork, emit: Emit) -> Result<Imported, Failed> {
    emit(Event::Started { from: 0 });
    let images = match (&work.dataset, assemble::reader(&work.dataset)) {
        (Dataset::Omniglot, _) => with_progress(emit, |progress| {
            omniglot::import(&work.from, &work.into, progress)
        })?,
        (_, Some(reader)) => register(work, reader, emit)?,
        (_, None) => {
            return Err(Failed::recipe(
                "glyphs are drawn by the program, there is nothing to import",
            ));
        }
    };
    Ok(Imported { images })
}

/// Takes a data set in and writes down what was found.
fn register(work: &ImportWork, reader: Reader, emit: Emit) -> Result<u64, Failed> {
    let request = Request {
        reader,
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
    Ok(registration.training_images + registration.test_images)
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
        lone_test_classes: listing.test.lone_classes().len() as u32,
        differences,
    }
}

/// Decodes and resizes a data set. What is already there and whole is kept.
///
/// # Errors
/// If the data set is not what it should be, or the disk does not take the result.
pub(crate) fn prepare(work: &PrepareWork, emit: Emit) -> Result<Prepared, Failed> {
    emit(Event::Started { from: 0 });
    let source = assemble::source(&work.dataset, work.source.as_deref())?;
    let stored = assemble::stored(&work.images);
    if let Some(there) = already_there(&work.into, &source, &stored) {
        return Ok(prepared(there));
    }
    let preparation = Preparation::new(&source, stored, assemble::cache(work.cache), &work.into)?;
    let text = preparation.estimate();
    log(&text);
    emit(Event::Remark { text });
    let counts = with_progress(emit, |progress| preparation.run(progress))?;
    Ok(prepared(counts))
}

fn already_there(folder: &Path, source: &Source, stored: &StoredImages) -> Option<Summary> {
    if !folder.join("index.json").exists() {
        return None;
    }
    match PreparedData::open(folder) {
        Ok(data) if data.source == source.title() && data.images.stored() == stored => {
            Some(data.counts())
        }
        Ok(_) => {
            log(&format!(
                "`{}` holds another data set; it is prepared again",
                folder.display()
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
