//! Inspects every image of a data set once: `sweep data check`.

use std::path::Path;

use dml::data::{
    Inspection, Source, Spread, adding,
    listing::{Listing, Part, Role},
};
use schema::{Dataset, Event, Half, InspectWork, Inspected, InspectedHalf, InspectedImage};

use crate::{Emit, Failed, prepare::with_progress};

/// Decodes every image and returns their properties.
///
/// # Errors
/// If the data set is not there, or its table is inconsistent.
pub(crate) fn inspect(work: &InspectWork, emit: Emit) -> Result<Inspected, Failed> {
    emit(Event::Started { from: 0 });
    let listing = listing(&work.dataset, &work.source)?;
    let found = with_progress(emit, |progress| Inspection::of(&listing, progress));
    let image = |index: usize| image(&listing, index, &work.source);
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
        grey: found.gray,
        widths: found.widths.map(bounds),
        heights: found.heights.map(bounds),
        boxes: images.filter(|image| image.bounding_box.is_some()).count() as u64,
        transparent: found.transparent,
        turned: found.turned,
        reaching_out: found.reaching_out.into_iter().map(image).collect(),
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
        left_aside: adding::left_aside(&work.source, &listing)?,
    })
}

/// Returns the files of a data set.
///
/// # Errors
/// If it has none, or its table is inconsistent.
pub(crate) fn listing(dataset: &Dataset, source: &Path) -> Result<Listing, Failed> {
    match Source::open(dataset, Some(source))? {
        Source::Files { listing, .. } => Ok(listing),
        Source::Glyphs(_) => Err(Failed::recipe(
            "glyphs are drawn by the program, they have no files",
        )),
    }
}

fn half(half: Half, part: &Part) -> InspectedHalf {
    let apart = part.images.iter().any(|image| image.role != Role::Both);
    let sizes = Spread::of(part.sizes().into_iter().map(u64::from));
    InspectedHalf {
        half,
        classes: part.classes.len() as u64,
        images: part.images.len() as u64,
        per_class: sizes.map_or([0; 3], bounds),
        queries_and_gallery: apart
            .then(|| [part.count(Role::is_query), part.count(Role::is_reference)]),
    }
}

fn bounds(spread: Spread) -> [u64; 3] {
    [spread.least, spread.median, spread.greatest]
}

fn image(listing: &Listing, index: usize, source: &Path) -> InspectedImage {
    let training = listing.training.images.len();
    let (half, part, index) = match index.checked_sub(training) {
        None => (Half::Train, &listing.training, index),
        Some(index) => (Half::Test, &listing.test, index),
    };
    let image = &part.images[index];
    let path = image.path.strip_prefix(source).unwrap_or(&image.path);
    InspectedImage {
        half,
        class: part.classes[image.class as usize].full_name(),
        path: path.display().to_string(),
    }
}
