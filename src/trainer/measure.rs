//! Measures embeddings from files, of any origin.

use std::{collections::HashMap, path::Path};

use dml::eval::{
    Comparison, Embeddings, EvalError, LARGEST_REACH, LabeledEmbeddings, RetrievalTask, equal_rows,
    mean_cosine, on_hyperboloid,
};
use schema::{
    ComparedBy, Doubt, EmbeddingFiles, Event, Hyperbolic, MeasureWork, Measured, MeasuredSet,
};

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
    if let ComparedBy::Hyperbolic(ball) = work.compared {
        check_reach(ball)?;
    }
    let gallery = Side::read(&work.gallery, work.compared, &mut ids)?;
    let queries = work
        .queries
        .as_ref()
        .map(|files| Side::read(files, work.compared, &mut ids))
        .transpose()?;
    if let Some(queries) = &queries {
        check_widths(queries, &gallery)?;
    }
    if !has_pairs(queries.as_ref(), &gallery) {
        return Err(ids.nothing_to_retrieve(queries.as_ref(), &gallery));
    }
    let facing = facing(work.compared, queries.as_ref(), &gallery);
    let itself: Vec<Option<u32>> = (0..gallery.images.labels().len() as u32)
        .map(Some)
        .collect();
    let search = search(facing.as_ref(), queries.as_ref(), &gallery, &itself);
    let Some(scored) = score::score(search, &work.metrics, tch::Device::Cpu, stop)? else {
        return Ok(End::Stopped);
    };
    let (pessimistic, optimistic) = scored.bounds();
    let queries_in_gallery = queries.as_ref().map_or(0, |queries| {
        equal_rows(queries.images.rows(), gallery.images.rows())
    });
    let mean_cosine = gallery.mean_cosine;
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
        mean_cosine,
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
    /// The mean cosine between two embeddings.
    mean_cosine: f64,
}

impl Side<'_> {
    fn read<'a>(
        files: &'a EmbeddingFiles,
        compared: ComparedBy,
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
        let comparison = match compared {
            ComparedBy::Rows(comparison) => comparison,
            ComparedBy::Hyperbolic(_) => Comparison::Euclidean,
        };
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
        let mean_cosine = mean_cosine(&rows);
        let images = match compared {
            ComparedBy::Rows(comparison) => LabeledEmbeddings::new(rows, numbers, comparison),
            ComparedBy::Hyperbolic(ball) => {
                LabeledEmbeddings::new(on_hyperboloid(&rows, ball), numbers, Comparison::Dot)
            }
        };
        Ok(Side {
            files,
            mean_cosine,
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

/// Returns the queries as points that face those of the gallery, where hyperbolic distance needs them.
fn facing(
    compared: ComparedBy,
    queries: Option<&Side>,
    gallery: &Side,
) -> Option<LabeledEmbeddings> {
    match compared {
        ComparedBy::Rows(_) => None,
        ComparedBy::Hyperbolic(_) => Some(queries.unwrap_or(gallery).images.facing()),
    }
}

/// Returns which images search which. `itself` is the index of each gallery image.
fn search<'a>(
    facing: Option<&'a LabeledEmbeddings>,
    queries: Option<&'a Side>,
    gallery: &'a Side,
    itself: &'a [Option<u32>],
) -> RetrievalTask<'a> {
    let gallery = &gallery.images;
    match (facing, queries) {
        (None, None) => RetrievalTask::Within(gallery),
        (Some(queries), None) => RetrievalTask::Overlapping {
            queries,
            gallery,
            itself,
        },
        (_, Some(side)) => RetrievalTask::Between {
            queries: facing.unwrap_or(&side.images),
            gallery,
        },
    }
}

/// Checks that single precision can tell points of the ball apart.
fn check_reach(ball: Hyperbolic) -> Result<(), Failed> {
    let reach = ball.curvature.sqrt() * ball.clip;
    if reach <= LARGEST_REACH {
        return Ok(());
    }
    Err(Failed::data(format!(
        "with the curvature {} and the clip {}, embeddings are mapped so near to the rim of the ball that single precision \
         cannot tell them apart: the root of the curvature times the clip is {reach:.2}, and at most {LARGEST_REACH}",
        ball.curvature, ball.clip
    )))
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
fn has_pairs(queries: Option<&Side>, gallery: &Side) -> bool {
    let mut counts = HashMap::<i64, usize>::new();
    for label in gallery.images.labels() {
        *counts.entry(*label).or_default() += 1;
    }
    let itself = usize::from(queries.is_none());
    let mut labels = queries.unwrap_or(gallery).images.labels().iter();
    labels.any(|label| counts.get(label).is_some_and(|&count| count > itself))
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
