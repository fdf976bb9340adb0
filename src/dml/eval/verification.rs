//! Verification: a threshold of the similarity decides whether two images are of one class.
//!
//! A pair is accepted if it is at least as similar as the threshold. TAR, the true accept rate, is the share of accepted
//! pairs among those of one class; FAR, the false accept rate, is the share among those of different classes.
//!
//! - TAR at a FAR: the largest TAR of all thresholds with at most this FAR.
//! - Equal-error rate: where FAR = 1 - TAR on the line through all points (FAR, TAR).
//!
//! Within a set, each pair of images counts once; between queries and a gallery, each query with each image. Left out is
//! what a query does not search: itself, and images of its class from its camera.
//!
//! Both are exact, and the pairs are never held: Stanford Online Products has 1.8 billion. They are counted in bins of
//! their approximate similarity. The threshold of exact similarities is no farther from that of approximate ones than the
//! largest error of these. Only pairs in this interval are compared exactly; if their similarities have too many values to
//! be held, they are counted in finer bins.
//! Reference: scikit-learn `roc_curve`.

use std::{collections::BTreeMap, ptr, sync::Mutex};

use super::{
    error::EvalError,
    frame::RowFrame,
    labels::ClassIndex,
    product::{QuantizedRows, TILE, Tile, TileSelection, TiledProduct},
    resources::EvalResources,
    task::{Cameras, RetrievalTask, SelfMatch},
};
use crate::processor::Processor;

/// A threshold that verification is measured at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatingPoint {
    /// At most one of this many pairs of different classes is accepted.
    OneFalseAcceptIn(u64),
    /// As large a share of the pairs of different classes is accepted as is rejected of those of one class.
    EqualErrors,
}

/// Bins of approximate similarities.
const COARSE: usize = 1 << 16;

/// Bins of exact similarities.
const FINE: usize = 1 << 12;

/// Bytes that a value held in a map takes, approximately.
const VALUE_BYTES: usize = 64;

/// Returns for each point what is measured there: the TAR, or the equal-error rate.
///
/// # Errors
/// If no pair is of one class or none is of different classes, queries and gallery differ in width, or it is stopped.
pub fn verification(
    task: RetrievalTask,
    points: &[OperatingPoint],
    resources: EvalResources,
) -> Result<Vec<f64>, EvalError> {
    verification_with(task, points, resources, resources.budget / 4 / VALUE_BYTES)
}

/// Like [`verification`], with at most this many values held at a time.
fn verification_with(
    task: RetrievalTask,
    points: &[OperatingPoint],
    resources: EvalResources,
    held: usize,
) -> Result<Vec<f64>, EvalError> {
    task.check_widths()?;
    let (queries, references) = (task.queries(), task.gallery());
    let comparison = queries.comparison();
    let frame = RowFrame::new(
        queries.rows(),
        references.rows(),
        comparison,
        Processor::best(),
    );
    let of_queries = QuantizedRows::new(queries.rows(), &frame);
    let same_rows = ptr::eq(queries, references);
    let others = (!same_rows).then(|| QuantizedRows::new(references.rows(), &frame));
    let pairs = AllPairs {
        self_match: task.self_match(),
        cameras: task.cameras(),
        classes: ClassIndex::new(queries.labels(), references.labels()),
        references: others.as_ref().unwrap_or(&of_queries),
        queries: &of_queries,
        frame: &frame,
        resources,
    };
    let coarse = pairs.coarse()?;
    let all = coarse.bins.all();
    if all.right == 0 {
        return Err(EvalError::NoQueries);
    }
    if all.wrong == 0 {
        return Err(EvalError::OneClass);
    }
    let value = |&point: &OperatingPoint| {
        let search = ThresholdSearch { point, all, held };
        let (before, after) = search.run(&pairs, &coarse)?;
        Ok(point.value(before, after, all))
    };
    points.iter().map(value).collect()
}

/// Numbers of pairs of one class, and of different classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PairCounts {
    right: u64,
    wrong: u64,
}

impl PairCounts {
    fn count(&mut self, is_right: bool) {
        self.right += u64::from(is_right);
        self.wrong += u64::from(!is_right);
    }

    fn add(&mut self, other: PairCounts) {
        self.right += other.right;
        self.wrong += other.wrong;
    }
}

impl OperatingPoint {
    /// True if the threshold that accepts these pairs is at the point or below it, beginning with the highest threshold:
    /// it accepts too many, or the errors are equal.
    fn is_reached(self, accepted: PairCounts, all: PairCounts) -> bool {
        match self {
            OperatingPoint::OneFalseAcceptIn(pairs) => accepted.wrong > all.wrong / pairs.max(1),
            OperatingPoint::EqualErrors => {
                let product = |right: u64, wrong: u64| u128::from(right) * u128::from(wrong);
                let rejected = all.right - accepted.right;
                product(all.right, accepted.wrong) >= product(rejected, all.wrong)
            }
        }
    }

    /// Returns what is measured between two neighboring thresholds. The lower one is the first to reach the point.
    fn value(self, before: PairCounts, after: PairCounts, all: PairCounts) -> f64 {
        let tar = |accepted: PairCounts| accepted.right as f64 / all.right as f64;
        let far = |accepted: PairCounts| accepted.wrong as f64 / all.wrong as f64;
        match self {
            OperatingPoint::OneFalseAcceptIn(_) => tar(before),
            OperatingPoint::EqualErrors => {
                let (far_step, tar_step) = (far(after) - far(before), tar(after) - tar(before));
                let share = (1.0 - tar(before) - far(before)) / (far_step + tar_step);
                far(before) + share * far_step
            }
        }
    }
}

/// All pairs of queries and references.
struct AllPairs<'a> {
    self_match: SelfMatch<'a>,
    cameras: Option<Cameras<'a>>,
    classes: ClassIndex,
    queries: &'a QuantizedRows<'a>,
    references: &'a QuantizedRows<'a>,
    frame: &'a RowFrame,
    resources: EvalResources<'a>,
}

/// The approximate products of a query with some references, one after another.
struct ProductRow<'a> {
    query: usize,
    /// First reference.
    first: usize,
    values: &'a [f32],
    /// The tile of the references.
    tile: usize,
}

impl AllPairs<'_> {
    /// True if queries and references are one set. Each pair then counts once.
    fn is_symmetric(&self) -> bool {
        matches!(self.self_match, SelfMatch::SameIndex)
    }

    /// Returns sums that together cover the products of all pairs. Several threads make them.
    ///
    /// # Errors
    /// If it is stopped.
    fn sums<T: Send>(
        &self,
        new: impl Fn() -> T + Sync,
        add: impl Fn(&mut T, ProductRow) + Sync,
    ) -> Result<Vec<T>, EvalError> {
        let selection = match self.is_symmetric() {
            true => TileSelection::Upper,
            false => TileSelection::All,
        };
        let product = TiledProduct {
            left: self.queries,
            right: self.references,
            left_tiles: 0..self.queries.len().div_ceil(TILE),
            selection,
            budget: self.resources.budget / 2,
            stop: self.resources.stop,
        };
        let sums = Mutex::new(Vec::new());
        let free = || sums.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        product.for_each(|tile| {
            let taken = free().pop();
            let mut sum = taken.unwrap_or_else(&new);
            self.add_tile(tile, |row| add(&mut sum, row));
            free().push(sum);
        })?;
        Ok(sums
            .into_inner()
            .unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn add_tile(&self, tile: Tile, mut add: impl FnMut(ProductRow)) {
        let columns = Tile::rows(tile.right, self.references.len());
        let queries = Tile::rows(tile.left, self.queries.len());
        for (query, values) in queries.zip(tile.values.chunks_exact_mut(TILE)) {
            let first = match self.is_symmetric() {
                true => columns.start.max(query + 1),
                false => columns.start,
            };
            if first >= columns.end {
                continue;
            }
            let values = &mut values[first - columns.start..columns.len()];
            let offsets = &self.references.offsets[first..columns.end];
            self.frame.processor.subtract(values, offsets);
            add(ProductRow {
                query,
                first,
                values,
                tile: tile.right,
            });
        }
    }

    /// True if a pair is of one class, false if it is not; none if it does not count.
    fn is_right(&self, query: usize, reference: usize) -> Option<bool> {
        let is_right = self.classes.of_queries[query] == self.classes.of_references[reference];
        let from_one_camera = |cameras: Cameras| is_right && cameras.are_one(query, reference);
        let is_left_out = (!self.is_symmetric() && self.self_match.of(query) == Some(reference))
            || self.cameras.is_some_and(from_one_camera);
        (!is_left_out).then_some(is_right)
    }

    /// Counts all pairs by their approximate similarity.
    fn coarse(&self) -> Result<Coarse, EvalError> {
        let [low, high] = self.frame.similarities();
        let new = || Coarse {
            bins: Bins::new(low, high, COARSE),
            error: 0.0,
        };
        let sums = self.sums(new, |sum, row| {
            sum.error = sum.error.max(self.error(&row));
            for (reference, value) in (row.first..).zip(row.values) {
                if let Some(is_right) = self.is_right(row.query, reference) {
                    let product = f64::from(*value);
                    sum.bins
                        .count(self.queries.framed.similarity(row.query, product), is_right);
                }
            }
        })?;
        let mut all = new();
        for sum in sums {
            all.bins.add(&sum.bins);
            all.error = all.error.max(sum.error);
        }
        Ok(all)
    }

    /// Returns the largest error of the approximate similarities of a row.
    fn error(&self, row: &ProductRow) -> f64 {
        let radius = self.queries.radius(row.query, self.references, row.tile);
        (radius + self.queries.slack()) * self.frame.similarity_unit()
    }

    /// Counts the pairs that are more similar than an interval, and those in it by their exact similarity.
    fn fine(&self, interval: Interval, held: usize) -> Result<Fine, EvalError> {
        let held = held / rayon::current_num_threads().max(1);
        let sums = self.sums(
            || Fine::new(interval),
            |sum, row| self.add_fine(sum, &row, held),
        )?;
        let mut all = Fine::new(interval);
        for sum in sums {
            all.add(sum);
        }
        Ok(all)
    }

    fn add_fine(&self, sum: &mut Fine, row: &ProductRow, held: usize) {
        let Interval { low, high } = sum.interval;
        let margin = self.queries.margin(row.query, self.references, row.tile);
        let threshold = |similarity| self.queries.framed.threshold(row.query, similarity) as f32;
        // One more: `find` writes an index before it knows whether it counts.
        let mut found = [0; TILE + 1];
        let lowest = threshold(low) - margin;
        let count = self
            .frame
            .processor
            .find(row.values, lowest, f32::MAX, &mut found);
        let highest = threshold(high) + margin;
        for &column in &found[..count] {
            let reference = row.first + column as usize;
            let Some(is_right) = self.is_right(row.query, reference) else {
                continue;
            };
            if row.values[column as usize] > highest {
                sum.above.count(is_right);
            } else {
                sum.count(self.similarity(row.query, reference), is_right, held);
            }
        }
    }

    /// Returns the exact similarity.
    fn similarity(&self, query: usize, reference: usize) -> f64 {
        let [query, reference] = [
            self.queries.framed.rows.row(query),
            self.references.framed.rows.row(reference),
        ];
        self.frame.similarity(query, reference)
    }
}

/// Similarities from the lower to the higher, both included.
#[derive(Clone, Copy)]
struct Interval {
    low: f64,
    high: f64,
}

/// Numbers of pairs by their similarity. The first and the last bin have what lies outside, too.
struct Bins {
    low: f64,
    /// Width of a bin.
    width: f64,
    counts: Vec<PairCounts>,
}

impl Bins {
    fn new(low: f64, high: f64, bins: usize) -> Bins {
        Bins {
            low,
            width: ((high - low) / bins as f64).max(f64::MIN_POSITIVE),
            counts: vec![PairCounts::default(); bins],
        }
    }

    fn count(&mut self, similarity: f64, is_right: bool) {
        // A conversion to an integer saturates.
        let bin = ((similarity - self.low) / self.width) as usize;
        let last = self.counts.len() - 1;
        self.counts[bin.min(last)].count(is_right);
    }

    fn add(&mut self, other: &Bins) {
        for (count, other) in self.counts.iter_mut().zip(&other.counts) {
            count.add(*other);
        }
    }

    fn all(&self) -> PairCounts {
        let mut all = PairCounts::default();
        self.counts.iter().for_each(|count| all.add(*count));
        all
    }

    /// Returns where the pairs are that reach a point if those `above` are accepted, with another bin on either side, as
    /// rounding may move pairs to a neighboring bin.
    fn reaching(&self, search: &ThresholdSearch, above: PairCounts) -> Interval {
        let mut accepted = above;
        let is_reached = |count: &PairCounts| {
            accepted.add(*count);
            search.point.is_reached(accepted, search.all)
        };
        let bin = self.counts.iter().rev().position(is_reached);
        let bin = self.counts.len() - 1 - bin.unwrap_or(self.counts.len() - 1);
        Interval {
            low: match bin {
                0 => f64::MIN,
                bin => self.low + (bin as f64 - 1.0) * self.width,
            },
            high: match bin + 1 == self.counts.len() {
                true => f64::MAX,
                false => self.low + (bin as f64 + 2.0) * self.width,
            },
        }
    }
}

/// All pairs by their approximate similarity.
struct Coarse {
    bins: Bins,
    /// The largest difference from the exact one.
    error: f64,
}

/// Pairs in an interval.
struct Fine {
    interval: Interval,
    /// More similar ones.
    above: PairCounts,
    bins: Bins,
    /// By the bits of their similarity. None: there are too many values.
    values: Option<BTreeMap<u64, PairCounts>>,
}

impl Fine {
    fn new(interval: Interval) -> Fine {
        Fine {
            interval,
            above: PairCounts::default(),
            bins: Bins::new(interval.low, interval.high, FINE),
            values: Some(BTreeMap::new()),
        }
    }

    /// Counts a pair, while at most `held` values are held.
    fn count(&mut self, similarity: f64, is_right: bool, held: usize) {
        if similarity > self.interval.high {
            return self.above.count(is_right);
        }
        if similarity < self.interval.low {
            return;
        }
        self.bins.count(similarity, is_right);
        if let Some(values) = &mut self.values {
            // Both zeros are one value.
            values
                .entry((similarity + 0.0).to_bits())
                .or_default()
                .count(is_right);
            if values.len() > held {
                self.values = None;
            }
        }
    }

    fn add(&mut self, other: Fine) {
        self.above.add(other.above);
        self.bins.add(&other.bins);
        self.values = match (self.values.take(), other.values) {
            (Some(mut all), Some(values)) => {
                for (value, count) in values {
                    all.entry(value).or_default().add(count);
                }
                Some(all)
            }
            _ => None,
        };
    }
}

/// The search for the threshold of a point.
struct ThresholdSearch {
    point: OperatingPoint,
    all: PairCounts,
    /// Values of similarities to hold at most.
    held: usize,
}

impl ThresholdSearch {
    /// Returns what is accepted just above the point, and what by the next threshold.
    fn run(
        &self,
        pairs: &AllPairs,
        coarse: &Coarse,
    ) -> Result<(PairCounts, PairCounts), EvalError> {
        let Interval { low, high } = coarse.bins.reaching(self, PairCounts::default());
        let mut interval = Interval {
            low: low - coarse.error,
            high: high + coarse.error,
        };
        loop {
            let fine = pairs.fine(interval, self.held)?;
            if let Some(values) = &fine.values {
                return Ok(self.at(fine.above, values));
            }
            interval = fine.bins.reaching(self, fine.above).within(interval);
        }
    }

    /// Accepts one value after another, the most similar first, until the point is reached.
    fn at(
        &self,
        above: PairCounts,
        values: &BTreeMap<u64, PairCounts>,
    ) -> (PairCounts, PairCounts) {
        let mut values: Vec<(f64, PairCounts)> = values
            .iter()
            .map(|(bits, count)| (f64::from_bits(*bits), *count))
            .collect();
        values.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let (mut before, mut after) = (above, above);
        for (_, count) in values {
            before = after;
            after.add(count);
            if self.point.is_reached(after, self.all) {
                break;
            }
        }
        (before, after)
    }
}

impl Interval {
    fn within(self, other: Interval) -> Interval {
        Interval {
            low: self.low.max(other.low),
            high: self.high.min(other.high),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        eval::{Comparison, Embeddings, LabeledEmbeddings},
        random::{Draws, Purpose},
        testing::{golden, integers, noise, tensor},
    };

    const POINTS: [OperatingPoint; 6] = [
        OperatingPoint::OneFalseAcceptIn(2),
        OperatingPoint::OneFalseAcceptIn(10),
        OperatingPoint::OneFalseAcceptIn(1000),
        OperatingPoint::OneFalseAcceptIn(10_000),
        OperatingPoint::OneFalseAcceptIn(1_000_000_000),
        OperatingPoint::EqualErrors,
    ];

    fn images(seed: u64, rows: tch::Tensor, comparison: Comparison) -> LabeledEmbeddings {
        let rows = Embeddings::from_tensor(&rows).unwrap();
        let mut draws = Draws::new(seed, Purpose::Weights, 3, 0);
        let labels = (0..rows.len()).map(|_| draws.below(12) as i64).collect();
        LabeledEmbeddings::new(rows, labels, comparison).unwrap()
    }

    fn filmed(images: &LabeledEmbeddings) -> LabeledEmbeddings {
        let cameras =
            (0..images.labels().len() as u32).map(|image| (image % 5 > 0).then_some(image % 5));
        images.clone().with_cameras(cameras.collect()).unwrap()
    }

    /// Sorts all pairs.
    fn by_definition(task: RetrievalTask, point: OperatingPoint) -> f64 {
        let (queries, gallery) = (task.queries(), task.gallery());
        let mut values = BTreeMap::new();
        let mut all = PairCounts::default();
        for query in 0..queries.rows().len() {
            for reference in 0..gallery.rows().len() {
                let is_right = queries.labels()[query] == gallery.labels()[reference];
                let is_one = task
                    .cameras()
                    .is_some_and(|cameras| cameras.are_one(query, reference));
                let is_again = matches!(task, RetrievalTask::Within(_)) && reference < query;
                if task.self_match().of(query) == Some(reference)
                    || is_again
                    || (is_right && is_one)
                {
                    continue;
                }
                let rows = [queries.rows().row(query), gallery.rows().row(reference)];
                let similarity = crate::eval::similarity(queries.comparison(), rows[0], rows[1]);
                let count: &mut PairCounts =
                    values.entry((similarity + 0.0).to_bits()).or_default();
                count.count(is_right);
                all.count(is_right);
            }
        }
        let search = ThresholdSearch {
            point,
            all,
            held: 0,
        };
        let (before, after) = search.at(PairCounts::default(), &values);
        point.value(before, after, all)
    }

    fn assert_exact(task: RetrievalTask, what: &str) {
        let expected = POINTS.map(|point| by_definition(task, point));
        for (budget, held) in [(1 << 28, 1 << 20), (1 << 12, 200), (0, 8)] {
            let resources = EvalResources {
                budget,
                ..EvalResources::default()
            };
            let found = verification_with(task, &POINTS, resources, held).unwrap();
            assert_eq!(found, expected, "{what}, {held}");
        }
    }

    #[test]
    fn rates_are_those_of_all_pairs_sorted_whatever_is_held() {
        for comparison in [Comparison::Cosine, Comparison::Euclidean, Comparison::Dot] {
            let smooth = images(1, noise(1, 420, 9), comparison);
            let others = images(2, noise(2, 250, 9), comparison);
            for (images, what) in [
                (smooth.clone(), "smooth"),
                (
                    images(3, (noise(3, 300, 3) * 2.0).round(), comparison),
                    "rounded",
                ),
                (
                    images(4, noise(4, 200, 6) * 1e-4 + 1.0, comparison),
                    "nearly one point",
                ),
                (images(5, noise(5, 200, 6) * 1e-25, comparison), "tiny"),
                (
                    images(6, noise(6, 1, 6).repeat([150, 1]), comparison),
                    "one point",
                ),
            ] {
                assert_exact(RetrievalTask::Within(&images), what);
            }
            let (filmed, others_filmed) = (filmed(&smooth), filmed(&others));
            assert_exact(RetrievalTask::Within(&filmed), "cameras");
            let between = RetrievalTask::Between {
                queries: &others_filmed,
                gallery: &filmed,
            };
            assert_exact(between, "between");
            let searched: Vec<usize> = (0..420).step_by(3).collect();
            let itself: Vec<Option<u32>> = (0..420)
                .map(|image| (image % 3 == 0).then_some(image / 3))
                .collect();
            let gallery = smooth.select(&searched);
            let overlapping = RetrievalTask::Overlapping {
                queries: &smooth,
                gallery: &gallery,
                itself: &itself,
            };
            assert_exact(overlapping, "overlapping");
        }
    }

    #[test]
    fn rates_are_those_of_scikit_learn() {
        let golden = golden(include_str!("testdata/verification.json"));
        for case in golden["cases"].as_array().unwrap() {
            let rows = Embeddings::from_tensor(&tensor(&case["embeddings"])).unwrap();
            let images =
                LabeledEmbeddings::new(rows, integers(&case["labels"]), Comparison::Cosine);
            let images = images.unwrap();
            let found = verification(
                RetrievalTask::Within(&images),
                &POINTS[1..3],
                EvalResources::default(),
            );
            let found = found.unwrap();
            let equal = [OperatingPoint::EqualErrors];
            let eer = verification(
                RetrievalTask::Within(&images),
                &equal,
                EvalResources::default(),
            );
            let agree = |value: f64, name: &str| {
                let expected = case[name].as_f64().unwrap();
                assert!(
                    (value - expected).abs() < 1e-9,
                    "{name}: {value}, not {expected}"
                );
            };
            agree(found[0], "tar_at_1e-1");
            agree(found[1], "tar_at_1e-3");
            agree(eer.unwrap()[0], "eer");
        }
    }

    #[test]
    fn pairs_of_one_kind_alone_cannot_be_told_apart() {
        let labelled = |labels: &[i64]| {
            let rows = Embeddings::from_tensor(&noise(1, labels.len() as i64, 4)).unwrap();
            LabeledEmbeddings::new(rows, labels.to_vec(), Comparison::Cosine).unwrap()
        };
        let found = |labels: &[i64]| {
            let images = labelled(labels);
            verification(
                RetrievalTask::Within(&images),
                &POINTS,
                EvalResources::default(),
            )
        };
        assert_eq!(found(&[1, 1, 1]), Err(EvalError::OneClass));
        assert_eq!(found(&[1, 2, 3]), Err(EvalError::NoQueries));
        assert!(found(&[1, 1, 2]).is_ok());
    }

    #[test]
    fn perfect_and_collapsed_embeddings_have_the_rates_that_they_should() {
        let labels: Vec<i64> = (0..40).map(|image| image % 4).collect();
        let perfect = (0..40)
            .flat_map(|image| (0..4).map(move |class| f32::from(u8::from(image % 4 == class))));
        let rates = |values: Vec<f32>| {
            let rows = Embeddings::new(values, 4).unwrap();
            let images = LabeledEmbeddings::new(rows, labels.clone(), Comparison::Cosine).unwrap();
            verification(
                RetrievalTask::Within(&images),
                &POINTS[2..],
                EvalResources::default(),
            )
            .unwrap()
        };
        assert_eq!(rates(perfect.collect()), [1.0, 1.0, 1.0, 0.0]);
        assert_eq!(rates(vec![1.0; 160]), [0.0, 0.0, 0.0, 0.5]);
    }
}
