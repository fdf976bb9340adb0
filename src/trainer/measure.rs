//! Measures embeddings from files, of any origin.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use dml::eval::{
    Comparison, Embeddings, EvalError, LARGEST_REACH, LabeledEmbeddings, RetrievalTask, equal_rows,
    mean_cosine, on_hyperboloid,
};
use schema::{
    ComparedBy, Doubt, EmbeddingFiles, Event, Hyperbolic, MeasureWork, Measured, MeasuredSet,
    Metric,
};

use crate::{
    Emit, End, Failed, Stop,
    read::{self, Known, Labeled},
    score,
    split::Annotations,
    suspicion,
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
        check_columns(queries, &gallery)?;
    }
    check_super_classes(&gallery, &work.metrics)?;
    ids.check_levels(queries.iter().chain([&gallery]))?;
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
    known: Annotations,
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
            known,
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
        let known = ids.annotations(known);
        let set = MeasuredSet {
            images: rows.len() as u64,
            width: width as u64,
            classes: different(&numbers) as u64,
            cameras: different(known.cameras.iter().flatten()) as u64,
            super_classes: known
                .levels
                .iter()
                .map(|of| different(of.iter().flatten()) as u64)
                .collect(),
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
            images: known.on(images.map_err(|error| score::unmeasurable(&error))?)?,
            known,
            set,
        })
    }
}

/// Returns the number of different values.
fn different<T: Ord>(values: impl IntoIterator<Item = T>) -> usize {
    values.into_iter().collect::<BTreeSet<T>>().len()
}

fn wrong(error: &EvalError, files: &EmbeddingFiles) -> Failed {
    match error {
        EvalError::NotFinite { image } => Failed::data(format!(
            "row {image} of {}, counted from 0, holds a number that is not finite in single precision",
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

/// Checks that both sides say the same kinds of things about their images.
fn check_columns(queries: &Side, gallery: &Side) -> Result<(), Failed> {
    let columns = |side: &Side| {
        let Annotations { cameras, levels } = &side.known;
        (!cameras.is_empty(), levels.len())
    };
    if columns(queries) == columns(gallery) {
        return Ok(());
    }
    Err(Failed::data(format!(
        "the columns `camera` and `category` have to be in both {} and {}, or in neither",
        quoted(&queries.files.labels),
        quoted(&gallery.files.labels)
    )))
}

/// Checks that there are super-classes if a metric is a mean over them.
fn check_super_classes(gallery: &Side, metrics: &[Metric]) -> Result<(), Failed> {
    let is_over_them = |metric: &&Metric| {
        matches!(
            metric,
            Metric::CategoryPrecisionAt1 | Metric::CategoryMapAtR
        )
    };
    match metrics.iter().find(is_over_them) {
        Some(metric) if gallery.known.levels.is_empty() => Err(Failed::data(format!(
            "`{metric}` is a mean over super-classes, and {} names none; give a table with the columns `label` and \
             `category`",
            quoted(&gallery.files.labels)
        ))),
        _ => Ok(()),
    }
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

/// Assigns integers to labels, cameras and super-classes: equal ones to equal texts.
#[derive(Default)]
struct LabelIds {
    of_texts: HashMap<String, i64>,
    of_cameras: HashMap<String, u32>,
    /// For each level, the narrowest first.
    of_levels: Vec<HashMap<String, u32>>,
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

    fn annotations(&mut self, known: Known) -> Annotations {
        let missing = known.levels.len().saturating_sub(self.of_levels.len());
        self.of_levels
            .extend(std::iter::repeat_n(HashMap::new(), missing));
        let levels = known.levels.into_iter().zip(&mut self.of_levels);
        Annotations {
            cameras: numbered(known.cameras, &mut self.of_cameras),
            levels: levels.map(|(of, ids)| numbered(of, ids)).collect(),
        }
    }

    /// Checks that each class lies in one super-class of each level.
    fn check_levels<'a>(&self, sides: impl Iterator<Item = &'a Side<'a>>) -> Result<(), Failed> {
        let mut found = HashMap::new();
        for side in sides {
            for (level, of) in side.known.levels.iter().enumerate() {
                for (label, category) in side.images.labels().iter().zip(of) {
                    if *found.entry((level, *label)).or_insert(*category) != *category {
                        return Err(Failed::data(format!(
                            "the class {} in {} lies in two super-classes; a class lies in one",
                            self.text(*label),
                            quoted(&side.files.labels)
                        )));
                    }
                }
            }
        }
        Ok(())
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

/// Returns the number of each name; a new name gets the next one.
fn numbered(names: Vec<Option<String>>, ids: &mut HashMap<String, u32>) -> Vec<Option<u32>> {
    let mut number = |name| {
        let next = ids.len() as u32;
        *ids.entry(name).or_insert(next)
    };
    names
        .into_iter()
        .map(|name| name.map(&mut number))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// Five images on a circle, at these degrees: two classes, two cameras, two super-classes.
    const DEGREES: [f32; 5] = [0.0, 1.0, 10.0, 22.0, 24.0];
    const TABLE: [&str; 6] = [
        "label,camera,category",
        "a,1,x",
        "a,1,x",
        "b,1,y",
        "a,2,x",
        "b,2,y",
    ];

    /// Measures the images, whose labels are the cells of [`TABLE`] from which a closure takes those to write.
    fn measured(columns: fn(&str) -> String, metrics: &[Metric]) -> Result<Measured, String> {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        let row = |degrees: f32| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            format!("{cos},{sin}\n")
        };
        fs::write(at("e.csv"), DEGREES.map(row).concat()).unwrap();
        let table = TABLE.map(|line| columns(line) + "\n").concat();
        fs::write(at("l.csv"), table).unwrap();
        let work = MeasureWork {
            gallery: EmbeddingFiles {
                embeddings: at("e.csv"),
                labels: at("l.csv"),
            },
            queries: None,
            compared: ComparedBy::Rows(Comparison::Cosine),
            metrics: metrics.to_vec(),
        };
        match measure(&work, &Stop::new(), &mut |_| {}) {
            Ok(End::Finished(measured)) => Ok(measured),
            Ok(End::Stopped) => Err("stopped".to_owned()),
            Err(failed) => Err(failed.message),
        }
    }

    fn without_camera(line: &str) -> String {
        let cells: Vec<&str> = line.split(',').collect();
        format!("{},{}", cells[0], cells[2])
    }

    #[test]
    fn a_query_does_not_search_the_images_of_its_class_from_its_camera() {
        let metrics = [Metric::RecallAt(1), Metric::RecallAt(2)];
        let scores = |columns| measured(columns, &metrics).unwrap().scores.into_values();
        // By hand: the nearest image of another camera or class is wrong for all five, the second is right for three.
        assert!(scores(str::to_owned).eq([0.0, 0.6]));
        // Without cameras, the two images of class a and camera 1 find each other first.
        assert!(scores(without_camera).eq([0.4, 0.6]));
    }

    #[test]
    fn super_classes_of_files_are_measured_and_counted() {
        let found = measured(without_camera, &[Metric::CategoryPrecisionAt1]).unwrap();
        // Two of three queries of x find their class first, none of y.
        let value = found.scores[&Metric::CategoryPrecisionAt1];
        assert!((value - 1.0 / 3.0).abs() < 1e-12, "{value}");
        assert_eq!(
            (found.queries.super_classes, found.queries.cameras),
            (vec![2], 0)
        );
    }

    #[test]
    fn a_mean_over_super_classes_that_nobody_named_is_refused() {
        let labels = |line: &str| line.split(',').next().unwrap_or_default().to_owned();
        let message = measured(labels, &[Metric::CategoryMapAtR]).unwrap_err();
        assert!(
            message.starts_with("`category_map@r` is a mean over super-classes"),
            "{message}"
        );
    }

    #[test]
    fn a_class_in_two_super_classes_is_refused() {
        let moved = |line: &str| line.replace("a,2,x", "a,2,z");
        let message = measured(moved, &[Metric::MapAtR]).unwrap_err();
        assert!(message.starts_with("the class `a` in "), "{message}");
    }
}
