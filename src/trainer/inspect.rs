//! Looks at every image of a data set once: `sweep data check`.

use std::path::Path;

use dml::data::{
    Inspection, Source, Spread,
    listing::{Listing, Part, Role},
    omniglot,
};
use schema::{Dataset, Event, Half, InspectWork, Inspected, InspectedHalf, InspectedImage};

use crate::{Emit, Failed, assemble, prepare::with_progress};

/// Decodes every image and tells what they are like.
///
/// # Errors
/// If the data set is not there, or its lists make no sense.
pub(crate) fn inspect(work: &InspectWork, emit: Emit) -> Result<Inspected, Failed> {
    emit(Event::Started { from: 0 });
    let listing = listing(&work.dataset, &work.source)?;
    let found = with_progress(emit, |progress| Inspection::of(&listing, progress));
    let image = |place: usize| image(&listing, place, &work.source);
    let images = listing
        .halves()
        .into_iter()
        .flat_map(|(_, part)| &part.images);
    Ok(Inspected {
        halves: vec![
            half(Half::Train, &listing.training),
            half(Half::Test, &listing.test),
        ],
        formats: found
            .formats
            .into_iter()
            .map(|(format, count)| (format.to_owned(), count))
            .collect(),
        grey: found.grey,
        widths: found.widths.map(numbers),
        heights: found.heights.map(numbers),
        boxes: images.filter(|image| image.bounding_box.is_some()).count() as u64,
        outside: found.outside.into_iter().map(image).collect(),
        corrupt: found
            .corrupt
            .into_iter()
            .map(|(_, error)| error.to_string())
            .collect(),
        duplicates: found
            .duplicates
            .into_iter()
            .map(|group| group.into_iter().map(image).collect())
            .collect(),
    })
}

/// The files of a data set.
///
/// # Errors
/// If there are none, or its lists make no sense.
pub(crate) fn listing(dataset: &Dataset, source: &Path) -> Result<Listing, Failed> {
    match assemble::source(dataset, Some(source))? {
        Source::Files { listing, .. } => Ok(listing),
        Source::Omniglot { root } => Ok(omniglot::listing(&root)?),
        Source::Glyphs(_) => Err(Failed::recipe(
            "glyphs are drawn by the program, they have no files",
        )),
    }
}

fn half(half: Half, part: &Part) -> InspectedHalf {
    let counted = |which: fn(Role) -> bool| {
        part.images.iter().filter(|image| which(image.role)).count() as u64
    };
    let apart = part.images.iter().any(|image| image.role != Role::Both);
    let sizes = Spread::of(part.sizes().into_iter().map(u64::from));
    InspectedHalf {
        half,
        classes: part.classes.len() as u64,
        images: part.images.len() as u64,
        per_class: sizes.map_or([0; 3], numbers),
        queries_and_gallery: apart.then(|| [counted(Role::is_query), counted(Role::is_reference)]),
    }
}

fn numbers(spread: Spread) -> [u64; 3] {
    [spread.least, spread.median, spread.greatest]
}

fn image(listing: &Listing, place: usize, source: &Path) -> InspectedImage {
    let training = listing.training.images.len();
    let (half, part, place) = match place.checked_sub(training) {
        None => (Half::Train, &listing.training, place),
        Some(place) => (Half::Test, &listing.test, place),
    };
    let image = &part.images[place];
    let path = image.path.strip_prefix(source).unwrap_or(&image.path);
    InspectedImage {
        half,
        class: part.classes[image.class as usize].full_name(),
        path: path.display().to_string(),
    }
}
