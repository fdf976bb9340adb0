//! Measures embeddings from files, of any origin.

use std::{collections::HashMap, path::Path};

use dml::eval::{Comparison, Embeddings, EvalError, LabeledEmbeddings, RetrievalTask, equal_rows};
use schema::{Doubt, EmbeddingFiles, Event, MeasureWork, Measured, MeasuredSet};

use crate::{
    Emit, End, Failed, Stop,
    read::{self, Labeled},
    score, suspicion,
};

/// Measures the embeddings.
///
/// # Errors
/// Files cannot be read or do not match each other, or there is nothing to retrieve.
pub(crate) fn measure(
    work: &MeasureWork,
    stop: &Stop,
    emit: Emit,
) -> Result<End<Measured>, Failed> {
    emit(Event::Started { from: 0 });
    let mut ids = LabelIds::default();
    let gallery = Side::read(&work.gallery, work.comparison, &mut ids)?;
    let queries = work
        .queries
        .as_ref()
        .map(|files| Side::read(files, work.comparison, &mut ids))
        .transpose()?;
    let search = match &queries {
        Some(queries) => {
            check_widths(queries, &gallery)?;
            RetrievalTask::Between {
                queries: &queries.images,
                gallery: &gallery.images,
            }
        }
        None => RetrievalTask::Within(&gallery.images),
    };
    if !has_pairs(search) {
        return Err(ids.nothing_to_retrieve(queries.as_ref(), &gallery));
    }
    let Some(scored) = score::score(search, &work.metrics, tch::Device::Cpu, stop)? else {
        return Ok(End::Stopped);
    };
    let (pessimistic, optimistic) = scored.bounds();
    let queries_in_gallery = queries.as_ref().map_or(0, |queries| {
        equal_rows(queries.images.rows(), gallery.images.rows())
    });
    let (queries, gallery) = match queries {
        Some(queries) => (Box::new(queries.set), Some(Box::new(gallery.set))),
        None => (Box::new(gallery.set), None),
    };
    Ok(End::Finished(Measured {
        queries,
        gallery,
        without_positive: scored.retrieval.without_positive as u64,
        queries_in_gallery: queries_in_gallery as u64,
        duplicates: scored.retrieval.duplicates as u64,
        mean_cosine: scored.retrieval.mean_cosine,
        optimistic,
        pessimistic,
        scores: scored.scores,
    }))
}

/// The queries or the gallery.
struct Side<'a> {
    files: &'a EmbeddingFiles,
    images: LabeledEmbeddings,
    set: MeasuredSet,
}

impl Side<'_> {
    fn read<'a>(
        files: &'a EmbeddingFiles,
        comparison: Comparison,
        ids: &mut LabelIds,
    ) -> Result<Side<'a>, Failed> {
        let Labeled {
            values,
            width,
            labels,
            left_out,
            left_out_of_labels,
            may_have_heading,
        } = read::labeled(files)?;
        let rows = Embeddings::new(values, width).map_err(|error| wrong(&error, files))?;
        let mut doubts = suspicion::doubts(&rows, &labels, comparison);
        if may_have_heading {
            doubts.insert(0, Doubt::FirstRow);
        }
        let numbers = ids.of(labels);
        let set = MeasuredSet {
            images: rows.len() as u64,
            width: width as u64,
            classes: different(&numbers) as u64,
            left_out,
            left_out_of_labels,
            doubts,
        };
        let images = LabeledEmbeddings::new(rows, numbers, comparison);
        Ok(Side {
            files,
            images: images.map_err(|error| score::unmeasurable(&error))?,
            set,
        })
    }
}

fn different(numbers: &[i64]) -> usize {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.len()
}

fn wrong(error: &EvalError, files: &EmbeddingFiles) -> Failed {
    match error {
        EvalError::NotFinite { image } => Failed::data(format!(
            "row {image} of {}, counted from 0, holds a number that is not finite",
            quoted(&files.embeddings)
        )),
        _ => score::unmeasurable(error),
    }
}

fn check_widths(queries: &Side, gallery: &Side) -> Result<(), Failed> {
    let (query, image) = (queries.set.width, gallery.set.width);
    if query == image {
        return Ok(());
    }
    Err(Failed::data(format!(
        "the queries in {} have {query} values each, the images in {} have {image}",
        quoted(&queries.files.embeddings),
        quoted(&gallery.files.embeddings)
    )))
}

/// True if some query has an image of its class to find.
fn has_pairs(search: RetrievalTask) -> bool {
    let gallery = search.gallery().labels();
    let mut counts = HashMap::<i64, usize>::new();
    for label in gallery {
        *counts.entry(*label).or_default() += 1;
    }
    let itself = usize::from(matches!(search, RetrievalTask::Within(_)));
    let mut queries = search.queries().labels().iter();
    queries.any(|label| counts.get(label).is_some_and(|&count| count > itself))
}

fn quoted(path: &Path) -> String {
    format!("`{}`", path.display())
}

/// Assigns integers to labels: equal ones to equal texts.
#[derive(Default)]
struct LabelIds {
    of_texts: HashMap<String, i64>,
}

/// Labels that a message shows.
const SHOWN: usize = 3;

impl LabelIds {
    fn of(&mut self, labels: Vec<String>) -> Vec<i64> {
        let number = |text| {
            let next = self.of_texts.len() as i64;
            *self.of_texts.entry(text).or_insert(next)
        };
        labels.into_iter().map(number).collect()
    }

    /// Returns the error for queries without an equal label among the images that they search.
    fn nothing_to_retrieve(&self, queries: Option<&Side>, gallery: &Side) -> Failed {
        let in_gallery = self.examples(gallery);
        let why = match queries {
            Some(queries) => format!(
                "the labels of the queries and of the gallery have nothing in common: {}; {in_gallery}",
                self.examples(queries)
            ),
            None => format!("no two images have the same label: {in_gallery}"),
        };
        Failed::data(format!("there is nothing to retrieve: {why}"))
    }

    /// Returns the first labels of a side, and where they are from.
    fn examples(&self, side: &Side) -> String {
        let mut shown: Vec<i64> = Vec::new();
        for &label in side.images.labels() {
            if shown.len() < SHOWN && !shown.contains(&label) {
                shown.push(label);
            }
        }
        let more = if side.set.classes > SHOWN as u64 {
            ", .."
        } else {
            ""
        };
        let texts: Vec<String> = shown.into_iter().map(|label| self.text(label)).collect();
        format!(
            "{}{more} in {}",
            texts.join(", "),
            quoted(&side.files.labels)
        )
    }

    fn text(&self, label: i64) -> String {
        let found = self.of_texts.iter().find(|(_, number)| **number == label);
        found.map_or(String::new(), |(text, _)| {
            format!("`{}`", read::excerpt(text))
        })
    }
}
