//! Recomputes results from the embeddings that are kept with them: whoever changes a record or the scores of a query has
//! to change the embeddings, too.
//!
//! Neither images nor networks are needed, but what is there is compared: the labels with those of the prepared data, and
//! the hash of network and images that the embeddings were computed by.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use dml::{
    data::{PreparedData, listing::Role},
    eval::{Comparison, Embeddings, LabeledEmbeddings, ensemble::concatenated},
};
use schema::{Evaluated, Event, KeptResult, Recipe, Recomputed, Verified, VerifyWork};

use crate::{
    Emit, End, Failed, Stop,
    evaluate::{self, KeptEmbeddings},
    files, queries,
    retrieval_set::RetrievalSet,
    score,
};

/// Recomputes each result, and says what contradicts it.
///
/// # Errors
/// Nothing that is damaged is an error: it is in the reply.
pub(crate) fn verify(
    work: &VerifyWork,
    device: tch::Device,
    stop: &Stop,
    emit: Emit,
) -> Result<End<Verified>, Failed> {
    emit(Event::Started { from: 0 });
    let mut opened = OpenedData::default();
    let mut results = Vec::new();
    let total = work.results.len() as u64;
    for result in &work.results {
        let mut verifier = Verifier {
            data: opened.get(result),
            faults: Vec::new(),
        };
        let evaluated = match verifier.recomputed(result, device, stop) {
            Ok(Some(evaluated)) => Some(evaluated),
            Ok(None) if stop.requested() => return Ok(End::Stopped),
            Ok(None) => None,
            Err(failed) => {
                verifier.faults.push(failed.message);
                None
            }
        };
        results.push(Recomputed {
            evaluated,
            faults: verifier.faults,
        });
        emit(Event::Progress {
            done: results.len() as u64,
            total,
            loss: None,
        });
    }
    Ok(End::Finished(Verified { results }))
}

/// The prepared data sets that are there, each opened once.
#[derive(Default)]
struct OpenedData(BTreeMap<PathBuf, Option<PreparedData>>);

impl OpenedData {
    fn get(&mut self, result: &KeptResult) -> Option<&PreparedData> {
        let open = || PreparedData::open(&result.data).ok();
        let data = self.0.entry(result.data.clone()).or_insert_with(open);
        let (recipe, _) = result.members.first()?;
        let data = data.as_ref();
        data.filter(|data| data.is_of(&recipe.dataset, &recipe.images))
    }
}

/// What is known of one result.
struct Verifier<'d> {
    /// Its data set, if it is there.
    data: Option<&'d PreparedData>,
    faults: Vec<String>,
}

impl Verifier<'_> {
    /// Returns what the embeddings give; `None` if they give nothing.
    fn recomputed(
        &mut self,
        result: &KeptResult,
        device: tch::Device,
        stop: &Stop,
    ) -> Result<Option<Evaluated>, Failed> {
        let mut parts = Vec::new();
        let mut images = None;
        for (recipe, run) in &result.members {
            let Some(kept) = self.kept(recipe, run) else {
                return Ok(None);
            };
            images = images.or(self.images(&kept, run));
            parts.push(rows(&kept)?);
        }
        let Some(TestImages { labels, roles }) = images else {
            return Ok(None);
        };
        let classes = labels.iter().collect::<BTreeSet<_>>().len();
        let rows = match parts.len() {
            1 => parts.remove(0),
            _ => concatenated(parts),
        };
        let labeled = LabeledEmbeddings::new(rows, labels, Comparison::Cosine)
            .map_err(|error| score::unmeasurable(&error))?;
        let set = RetrievalSet::new(labeled, &roles);
        let Some(scored) = score::score(set.task(), &result.metrics, device, stop)? else {
            return Ok(None);
        };
        let path = files::queries(&result.folder);
        match durable::read(&path) {
            Ok(table) => {
                let table = String::from_utf8_lossy(&table);
                if let Some(difference) = queries::difference(&table, &scored, &set) {
                    self.fault(&path, &difference);
                }
            }
            Err(error) => self.fault(&path, &error.to_string()),
        }
        Ok(Some(evaluate::summary(&scored, &set, classes)))
    }

    /// Returns the embeddings in a run's folder, compared with its network and its images.
    fn kept(&mut self, recipe: &Recipe, run: &Path) -> Option<KeptEmbeddings> {
        let path = files::embeddings(run);
        let kept = match KeptEmbeddings::read(&path) {
            Ok(kept) => kept,
            Err(why) => {
                self.fault(&path, &why);
                return None;
            }
        };
        if let Some(data) = self.data
            && files::model(run).is_file()
            && evaluate::key(recipe, data, run).is_ok_and(|key| key != kept.key)
        {
            self.fault(
                &path,
                "it was not computed by the network and from the images that are there",
            );
        }
        Some(kept)
    }

    /// Returns labels and roles of the test images: those of the data set, or those beside the embeddings.
    fn images(&mut self, kept: &KeptEmbeddings, run: &Path) -> Option<TestImages> {
        let path = files::embeddings(run);
        let beside = kept.labels.clone().zip(kept.roles.clone());
        let beside = beside.map(|(labels, roles)| TestImages { labels, roles });
        let of_data = self.data.map(|data| TestImages {
            labels: data.test_labels.clone(),
            roles: data.test_roles.clone(),
        });
        match (of_data, beside) {
            (Some(data), Some(beside)) if data != beside => {
                self.fault(&path, "its labels are not those of the data set");
                Some(data)
            }
            (Some(images), _) | (None, Some(images)) => Some(images),
            (None, None) => {
                self.fault(
                    &path,
                    "an earlier version wrote it without labels, and the prepared data is not there",
                );
                None
            }
        }
    }

    fn fault(&mut self, path: &Path, why: &str) {
        self.faults.push(format!("`{}`: {why}", path.display()));
    }
}

/// The class of each test image, and its role in retrieval.
#[derive(PartialEq)]
struct TestImages {
    labels: Vec<i64>,
    roles: Vec<Role>,
}

fn rows(kept: &KeptEmbeddings) -> Result<Embeddings, Failed> {
    Embeddings::from_tensor(&kept.embeddings).map_err(|error| score::unmeasurable(&error))
}
