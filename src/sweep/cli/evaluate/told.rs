//! What is said beside the values of a measurement: what was measured, and what is doubtful about it.

use std::path::Path;

use schema::{Doubt, LeftOut, Measured, MeasuredSet, Metric, Scores};

use super::super::{counted, counted_classes};

/// The files of one side of a measurement, as the user named them.
#[derive(Clone, Copy)]
pub(super) struct NamedFiles<'a> {
    pub(super) embeddings: &'a Path,
    pub(super) labels: &'a Path,
}

/// The mean cosine from which on embeddings are said to have collapsed.
const COLLAPSED: f64 = 0.99;

/// Returns one sentence: `20 images of 8 numbers, 3 classes`.
pub(super) fn taken(measured: &Measured) -> String {
    match &measured.gallery {
        Some(gallery) => format!(
            "queries: {}; gallery: {}",
            sizes(&measured.queries),
            sizes(gallery)
        ),
        None => sizes(&measured.queries),
    }
}

fn sizes(set: &MeasuredSet) -> String {
    format!(
        "{} of {}, {}",
        counted(set.images as usize, "image"),
        counted(set.width as usize, "number"),
        counted_classes(set.classes)
    ) + &known(set)
}

/// Returns what the labels say beside the classes: `, 4 super-classes, 2 cameras`.
fn known(set: &MeasuredSet) -> String {
    let levels = set.super_classes.iter().map(|&count| match count {
        1 => ", 1 super-class".to_owned(),
        count => format!(", {count} super-classes"),
    });
    let cameras = match set.cameras {
        0 => String::new(),
        count => format!(", {}", counted(count as usize, "camera")),
    };
    levels.collect::<String>() + &cameras
}

/// Returns the number of images that a query searches.
pub(super) fn searched(measured: &Measured) -> u64 {
    match &measured.gallery {
        Some(gallery) => gallery.images,
        None => measured.queries.images.saturating_sub(1),
    }
}

/// Returns which values of Recall@K say nothing, because K is at least the number of searched images, if there are any.
pub(super) fn certain(scores: &Scores, searched: u64) -> Option<String> {
    let names: Vec<String> = scores
        .keys()
        .filter(|metric| matches!(metric, Metric::RecallAt(most) if u64::from(*most) >= searched))
        .map(Metric::to_string)
        .collect();
    (!names.is_empty()).then(|| {
        format!(
            "each query searches {}, so that {} finds all of them, whatever the embeddings",
            counted(searched as usize, "image"),
            names.join(", ")
        )
    })
}

/// Returns what was left out of the files, one sentence each.
pub(super) fn notes(measured: &Measured, sides: &[NamedFiles]) -> Vec<String> {
    let mut notes = Vec::new();
    for (set, files) in sets(measured).zip(sides) {
        notes.extend(
            set.left_out
                .iter()
                .map(|part| left_out(part, files.embeddings)),
        );
        let of_labels = set.left_out_of_labels.iter();
        notes.extend(of_labels.map(|part| left_out(part, files.labels)));
    }
    notes
}

fn sets(measured: &Measured) -> impl Iterator<Item = &MeasuredSet> {
    let gallery = measured.gallery.as_deref();
    [&*measured.queries].into_iter().chain(gallery)
}

fn left_out(part: &LeftOut, file: &Path) -> String {
    let file = file.display();
    match part {
        LeftOut::Heading { text } => format!("the first line of `{file}`, `{text}`, is a heading"),
        LeftOut::Index => {
            format!("the first column of `{file}` numbers or names the rows and is left out")
        }
        LeftOut::Columns { names } => {
            format!("not read of `{file}`: the columns {}", quoted(names))
        }
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// Returns the reasons to doubt the values, one sentence each.
pub(super) fn warnings(measured: &Measured, sides: &[NamedFiles]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (set, files) in sets(measured).zip(sides) {
        warnings.extend(set.doubts.iter().map(|reason| doubt(reason, *files)));
    }
    warnings.extend(queries_in_gallery(measured));
    let searched = measured.gallery.as_ref().unwrap_or(&measured.queries);
    warnings.extend(equal_embeddings(measured.duplicates, searched.images));
    if measured.mean_cosine > COLLAPSED {
        warnings.push(format!(
            "the embeddings have collapsed: their mean cosine is {:.4}",
            measured.mean_cosine
        ));
    }
    warnings
}

/// Returns what to say of embeddings that equal another one, if there are any.
pub(super) fn equal_embeddings(duplicates: u64, searched: u64) -> Option<String> {
    (duplicates > 0).then(|| format!("{duplicates} of {searched} embeddings exactly equal another"))
}

fn doubt(reason: &Doubt, files: NamedFiles) -> String {
    let (embeddings, labels) = (files.embeddings.display(), files.labels.display());
    match reason {
        Doubt::FirstRow => format!(
            "the first line of `{embeddings}` and of `{labels}` may be headings; if so, remove both"
        ),
        Doubt::CountingColumn { column } => format!(
            "column {column} of `{embeddings}`, counted from 0, counts the rows; if it is an index, remove it"
        ),
        Doubt::LabelColumn { column } => format!(
            "column {column} of `{embeddings}`, counted from 0, has one value for each class; if it is the label, \
             remove it"
        ),
        Doubt::ZeroRows { rows, first } => format!(
            "{} of `{embeddings}` {} only zeros, the first is row {first}, counted from 0",
            counted(*rows as usize, "row"),
            hold(*rows)
        ),
        Doubt::ConstantRows { rows, first } => format!(
            "{} of `{embeddings}` {} one number only, the first is row {first}, counted from 0",
            counted(*rows as usize, "row"),
            hold(*rows)
        ),
        Doubt::NumberedLabels => {
            format!("the labels in `{labels}` count the rows: each image has a class of its own")
        }
        Doubt::OneClass => {
            format!("all labels in `{labels}` are the same: whatever is found there is correct")
        }
        Doubt::Lengths { shortest, longest } => format!(
            "the rows of `{embeddings}` have lengths from {shortest:.3} to {longest:.3}: dot products favor the long \
             ones, `--distance cosine` does not"
        ),
    }
}

fn hold(rows: u64) -> &'static str {
    if rows == 1 { "holds" } else { "hold" }
}

fn queries_in_gallery(measured: &Measured) -> Option<String> {
    let (equal, all) = (measured.queries_in_gallery, measured.queries.images);
    match equal {
        0 => None,
        equal if equal == all => Some(format!(
            "each of the {all} queries exactly equals an image of the gallery and finds it first; without query files, \
             each image is searched among all the others"
        )),
        equal => Some(format!(
            "{equal} of {all} queries exactly equal an image of the gallery"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(images: u64, doubts: Vec<Doubt>) -> MeasuredSet {
        MeasuredSet {
            images,
            width: 8,
            classes: 1,
            cameras: 0,
            super_classes: Vec::new(),
            left_out: Vec::new(),
            left_out_of_labels: vec![LeftOut::Index],
            doubts,
        }
    }

    fn files<'a>(embeddings: &'a str, labels: &'a str) -> NamedFiles<'a> {
        NamedFiles {
            embeddings: Path::new(embeddings),
            labels: Path::new(labels),
        }
    }

    #[test]
    fn a_recall_among_more_images_than_there_are_is_told_to_be_certain() {
        let recalls = [1, 38, 39, 100].map(|most| (Metric::RecallAt(most), 1.0));
        let scores: Scores = recalls.into_iter().chain([(Metric::MapAtR, 1.0)]).collect();
        assert_eq!(
            certain(&scores, 39).as_deref(),
            Some(
                "each query searches 39 images, so that recall@39, recall@100 finds all of them, whatever the embeddings"
            )
        );
        assert_eq!(certain(&scores, 101), None);
    }

    #[test]
    fn each_side_is_described_with_its_own_files() {
        let measured = Measured {
            queries: Box::new(set(2, vec![Doubt::ZeroRows { rows: 1, first: 1 }])),
            gallery: Some(Box::new(set(20, vec![Doubt::OneClass]))),
            without_positive: 0,
            queries_in_gallery: 1,
            duplicates: 3,
            mean_cosine: 0.5,
            scores: Scores::new(),
            optimistic: Scores::new(),
            pessimistic: Scores::new(),
        };
        let sides = [files("q.npy", "q.csv"), files("g.npy", "g.csv")];
        assert_eq!(
            taken(&measured),
            "queries: 2 images of 8 numbers, 1 class; gallery: 20 images of 8 numbers, 1 class"
        );
        let notes = notes(&measured, &sides);
        assert!(notes[0].contains("`q.csv`") && notes[1].contains("`g.csv`"));
        assert_eq!(
            warnings(&measured, &sides),
            [
                "1 row of `q.npy` holds only zeros, the first is row 1, counted from 0",
                "all labels in `g.csv` are the same: whatever is found there is correct",
                "1 of 2 queries exactly equal an image of the gallery",
                "3 of 20 embeddings exactly equal another",
            ]
        );
    }
}
