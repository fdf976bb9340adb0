//! Measures embeddings from files, of any origin.

use std::{collections::HashMap, path::Path};

use dml::eval::{Comparison, Embeddings, EvalError, LabeledEmbeddings, RetrievalTask, TieOrder};
use schema::{EmbeddingFiles, Event, MeasureWork, Measured, Scores};

use crate::{
    Emit, Failed,
    read::{self, Labels},
    score,
};

/// Measures the embeddings.
///
/// # Errors
/// Files cannot be read or do not match each other, or there is nothing to retrieve.
pub(crate) fn measure(work: &MeasureWork, emit: Emit) -> Result<Measured, Failed> {
    emit(Event::Started { from: 0 });
    let mut ids = LabelIds::default();
    let gallery = labelled(&work.gallery, work.comparison, &mut ids)?;
    let queries = work
        .queries
        .as_ref()
        .map(|queries| labelled(queries, work.comparison, &mut ids))
        .transpose()?;
    let search = match &queries {
        Some(queries) => RetrievalTask::Between {
            queries,
            gallery: &gallery,
        },
        None => RetrievalTask::Within(&gallery),
    };
    let scored = score::score(search, &work.metrics, tch::Device::Cpu)?;
    let ties = scored.retrieval.has_ties();
    let under = |order| {
        if ties {
            scored.under(order)
        } else {
            Scores::new()
        }
    };
    Ok(Measured {
        images: search.queries().labels().len() as u64,
        gallery: queries.is_some().then(|| gallery.labels().len() as u64),
        without_positive: scored.retrieval.without_positive as u64,
        duplicates: scored.retrieval.duplicates as u64,
        mean_cosine: scored.retrieval.mean_cosine,
        optimistic: under(TieOrder::Optimistic),
        pessimistic: under(TieOrder::Pessimistic),
        scores: scored.scores,
    })
}

fn labelled(
    files: &EmbeddingFiles,
    comparison: Comparison,
    ids: &mut LabelIds,
) -> Result<LabeledEmbeddings, Failed> {
    let (values, width) = read::embeddings(&files.embeddings)?;
    let labels = read::labels(&files.labels)?;
    let wrong = |error: EvalError| wrong(&error, files);
    LabeledEmbeddings::new(
        Embeddings::new(values, width).map_err(wrong)?,
        ids.of(labels),
        comparison,
    )
    .map_err(wrong)
}

fn wrong(error: &EvalError, files: &EmbeddingFiles) -> Failed {
    let (embeddings, labels) = (quoted(&files.embeddings), quoted(&files.labels));
    match error {
        EvalError::NotFinite { image } => Failed::data(format!(
            "row {image} of {embeddings}, counted from 0, holds a number that is not finite"
        )),
        EvalError::Labels {
            embeddings: rows,
            labels: lines,
        } => Failed::data(format!(
            "{embeddings} has {rows} rows but {labels} has {lines} labels"
        )),
        EvalError::NoQueries | EvalError::Widths { .. } => score::unmeasurable(error),
    }
}

fn quoted(path: &Path) -> String {
    format!("`{}`", path.display())
}

/// Assigns integers to labels. Equal texts get equal integers; an integer equals its decimal text.
#[derive(Default)]
struct LabelIds {
    of_texts: HashMap<String, i64>,
}

impl LabelIds {
    fn of(&mut self, labels: Labels) -> Vec<i64> {
        let texts: Vec<String> = match labels {
            Labels::Integers(numbers) => numbers.iter().map(i64::to_string).collect(),
            Labels::Texts(texts) => texts,
        };
        let number = |text| {
            let next = self.of_texts.len() as i64;
            *self.of_texts.entry(text).or_insert(next)
        };
        texts.into_iter().map(number).collect()
    }
}
