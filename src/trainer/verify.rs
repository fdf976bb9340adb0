//! Recomputes results from the embeddings that are kept with them: whoever changes a record or the scores of a query has
//! to change the embeddings, too.
//!
//! Neither images nor networks are needed, but what is there is compared: the labels with those of the prepared data, and
//! the hash of network and images that the embeddings were computed by. On request, networks embed test images again.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use dml::{
    data::PreparedData,
    eval::{Embeddings, ensemble::concatenated},
};
use schema::{
    Amount, EmbeddedAgain, Evaluated, Event, KeptResult, Recipe, Recomputed, Verified, VerifyWork,
};
use tch::{Kind, Tensor};

use crate::{
    Emit, End, Failed, Stop,
    evaluate::{self, KeptEmbeddings},
    files, heads, queries,
    retrieval_set::TestImages,
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
    let mut embedded_runs = BTreeSet::new();
    let total = work.results.len() as u64;
    for result in &work.results {
        let mut verifier = Verifier {
            data: opened.get(result),
            faults: Vec::new(),
            embedded: EmbeddedAgain::default(),
            not_embedded: Vec::new(),
        };
        if let Some(amount) = work.embed {
            let new = result.members.iter();
            let new = new.filter(|(_, run)| embedded_runs.insert(run.clone()));
            for (recipe, run) in new {
                verifier.embed_again(recipe, run, amount, device, stop);
            }
        }
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
            embedded: Some(verifier.embedded).filter(|embedded| embedded.networks > 0),
            not_embedded: verifier.not_embedded,
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
    embedded: EmbeddedAgain,
    not_embedded: Vec<String>,
}

/// The largest distance between two embeddings of an image by the same network, both of length 1. Chunks of other sizes
/// and other processors change the last bits.
const ROUNDING: f64 = 1e-4;

impl Verifier<'_> {
    /// Returns what the embeddings give; `None` if they give nothing.
    fn recomputed(
        &mut self,
        result: &KeptResult,
        device: tch::Device,
        stop: &Stop,
    ) -> Result<Option<Evaluated>, Failed> {
        let mut all = Vec::new();
        let mut images = None;
        for (recipe, run) in &result.members {
            let Some(kept) = self.kept(recipe, run) else {
                return Ok(None);
            };
            images = images.or(self.images(&kept, run));
            all.push(kept);
        }
        let mut parts = all.iter().map(rows).collect::<Result<Vec<_>, _>>()?;
        let Some(images) = images else {
            return Ok(None);
        };
        let heads = match (&result.members[..], &all[..]) {
            ([(recipe, _)], [kept]) => {
                let (embeddings, metrics) = (&kept.embeddings, &result.metrics);
                heads::scores(recipe, embeddings, &images, metrics, device, stop)?
            }
            _ => Some(Vec::new()),
        };
        let Some(heads) = heads else {
            return Ok(None);
        };
        let rows = match parts.len() {
            1 => parts.remove(0),
            _ => concatenated(parts),
        };
        let Some((first, _)) = result.members.first() else {
            return Ok(None);
        };
        let set = images.set(rows, &first.dataset)?;
        let Some(scored) = set.score(&result.metrics, device, stop)? else {
            return Ok(None);
        };
        let path = files::queries(&result.folder);
        match durable::read(&path) {
            Ok(table) => {
                let table = String::from_utf8_lossy(&table);
                if let Some(difference) = queries::difference(&table, &scored) {
                    self.fault(&path, &difference);
                }
            }
            Err(error) => self.fault(&path, &error.to_string()),
        }
        Ok(Some(Evaluated {
            heads,
            ..evaluate::summary(&scored, &set, &images)
        }))
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

    /// Compares the embeddings of a run with those that its network computes now.
    fn embed_again(
        &mut self,
        recipe: &Recipe,
        run: &Path,
        amount: Amount,
        device: tch::Device,
        stop: &Stop,
    ) {
        let path = files::embeddings(run);
        // What cannot be read is told where the result is computed again.
        let Ok(kept) = KeptEmbeddings::read(&path) else {
            return;
        };
        let Some(data) = self.data else {
            return self.cannot_embed(run, "the prepared data is not there");
        };
        if !files::model(run).is_file() {
            return self.cannot_embed(run, "its network is not there");
        }
        let rows = kept.embeddings.size()[0];
        if rows != data.test_images().len() as i64 {
            return self.fault(&path, "it has not one embedding for each test image");
        }
        let positions = sample(rows, amount);
        match evaluate::embedded_again(recipe, data, run, &positions, device, stop) {
            Ok(Some(again)) => {
                let kept = kept
                    .embeddings
                    .index_select(0, &Tensor::from_slice(&positions));
                self.compare(&path, &kept, &again);
            }
            Ok(None) => {}
            Err(failed) => self.fault(&path, &failed.message),
        }
    }

    fn cannot_embed(&mut self, run: &Path, why: &str) {
        let run = run.display();
        self.not_embedded
            .push(format!("`{run}`: no image can be embedded again: {why}"));
    }

    fn compare(&mut self, path: &Path, kept: &Tensor, again: &Tensor) {
        if kept.size() != again.size() {
            return self.fault(path, "its embeddings have not the width of the network's");
        }
        let distance = largest_distance(kept, again);
        let is_close = distance <= ROUNDING;
        if !is_close {
            let why = format!(
                "an embedding is {distance:.1e} away from the one that the network computes, of length 1 both"
            );
            self.fault(path, &why);
        }
        self.embedded.networks += 1;
        self.embedded.images += kept.size()[0] as u64;
        self.embedded.distance = self.embedded.distance.max(distance);
    }

    /// Returns what is known about the test images: what the data set says, or what is kept beside the embeddings.
    fn images(&mut self, kept: &KeptEmbeddings, run: &Path) -> Option<TestImages> {
        let path = files::embeddings(run);
        match (self.data.map(TestImages::of), kept.images.clone()) {
            (Some(data), Some(beside)) if !data.agree_with(&beside) => {
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

/// Returns the positions of as many images, evenly spread.
fn sample(images: i64, amount: Amount) -> Vec<i64> {
    let count = match amount {
        Amount::All => images,
        Amount::AtMost(most) => images.min(i64::try_from(most).unwrap_or(i64::MAX)),
    };
    let spread = |number: i64| (i128::from(number) * i128::from(images) / i128::from(count)) as i64;
    (0..count).map(spread).collect()
}

/// Returns the largest distance between the rows of two matrices of the same shape, normalized; infinite if a value is
/// not finite.
fn largest_distance(one: &Tensor, other: &Tensor) -> f64 {
    if one.numel() == 0 {
        return 0.0;
    }
    let [one, other] = [one, other].map(|rows| {
        let rows = rows.to_device(tch::Device::Cpu).to_kind(Kind::Double);
        let lengths = rows.norm_scalaropt_dim(2.0, [1i64].as_slice(), true);
        rows / lengths.clamp_min(1e-12)
    });
    let distances = (one - other).norm_scalaropt_dim(2.0, [1i64].as_slice(), false);
    let largest = distances.max().double_value(&[]);
    match largest.is_nan() {
        true => f64::INFINITY,
        false => largest,
    }
}

fn rows(kept: &KeptEmbeddings) -> Result<Embeddings, Failed> {
    Embeddings::from_tensor(&kept.embeddings).map_err(|error| score::unmeasurable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_all_images() {
        assert_eq!(sample(10, Amount::AtMost(4)), [0, 2, 5, 7]);
        assert_eq!(sample(3, Amount::AtMost(9)), [0, 1, 2]);
        assert_eq!(sample(3, Amount::All), [0, 1, 2]);
        assert!(sample(0, Amount::All).is_empty());
    }

    #[test]
    fn distances_are_those_of_directions() {
        let rows = |values: &[f32]| Tensor::from_slice(values).view([-1, 2]);
        let one = rows(&[3.0, 4.0, 1.0, 0.0]);
        assert!(largest_distance(&one, &rows(&[6.0, 8.0, 2.0, 0.0])) < 1e-12);
        let turned = largest_distance(&one, &rows(&[3.0, 4.0, 0.0, 1.0]));
        assert!((turned - 2f64.sqrt()).abs() < 1e-12);
        assert_eq!(
            largest_distance(&one, &rows(&[3.0, 4.0, f32::NAN, 0.0])),
            f64::INFINITY
        );
    }
}
