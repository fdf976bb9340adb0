//! The nearest images of each query, in order: exact, and never more held than was asked for.
//!
//! From the approximate products a query keeps those that may be among its nearest, which are few more than those
//! that are. The exact similarities of these make the order.

use std::sync::Mutex;

use rayon::prelude::*;

use super::{
    EvalError, Resources,
    frame::Frame,
    on_device,
    product::{Side, TILE, Tile, Which, tiles},
    retrieval::{Itself, Search},
    rows::{Comparison, Rows},
};
use crate::processor::Processor;

/// The nearest images of each query.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    count: usize,
    images: Vec<u32>,
}

impl Neighbours {
    /// Those of `query`, nearest first; equally similar ones in order of their index.
    pub fn of(&self, query: usize) -> &[u32] {
        &self.images[query * self.count..][..self.count]
    }
}

/// Finds the `count` nearest images of each query, or as many as every query has if these are fewer. The budget of the
/// resources is for what is held beside the embeddings and the answer.
///
/// # Errors
/// If queries and gallery are not of one width.
pub fn nearest(
    search: Search,
    count: usize,
    resources: Resources,
) -> Result<Neighbours, EvalError> {
    let (queries, gallery) = search.sides();
    let (queries, references) = (queries.rows(), gallery.rows());
    if queries.width() != references.width() {
        return Err(EvalError::Widths {
            queries: queries.width(),
            references: references.width(),
        });
    }
    Ok(among(
        (queries, references),
        gallery.comparison(),
        search.itself(),
        count,
        resources,
    ))
}

/// As [`nearest`], of rows; `itself` says which references are no answers.
pub(super) fn among(
    (queries, references): (&Rows, &Rows),
    comparison: Comparison,
    itself: Itself,
    count: usize,
    resources: Resources,
) -> Neighbours {
    let count = count.min(references.len().saturating_sub(itself.most()));
    if count > 0 && resources.by_libtorch() {
        let images =
            on_device::nearest((queries, references), comparison, itself, count, resources);
        return Neighbours { count, images };
    }
    let (processor, budget) = (Processor::best(), resources.budget);
    let frame = Frame::new(queries, references, comparison, processor);
    let (left, right) = (Side::new(queries, &frame), Side::new(references, &frame));
    let searching = Searching {
        left: &left,
        right: &right,
        comparison,
        itself,
        count,
        processor,
    };
    let most = 4 * count + 64;
    let band = (budget / 2 / (most * size_of::<Candidate>() * TILE)).max(1);
    let all = queries.len().div_ceil(TILE);
    let mut images = Vec::with_capacity(queries.len() * count);
    for start in (0..if count == 0 { 0 } else { all }).step_by(band) {
        let numbers = start..all.min(start + band);
        let found: Vec<Mutex<Vec<Best>>> = numbers.clone().map(|_| Mutex::default()).collect();
        tiles(
            (&left, &right),
            numbers.clone(),
            Which::All,
            budget / 2,
            |tile| {
                if let Ok(mut best) = found[tile.left - start].lock() {
                    searching.see(tile, &mut best);
                }
            },
        );
        let ordered = numbers
            .into_par_iter()
            .zip(found)
            .flat_map_iter(|(tile, best)| {
                let best = best
                    .into_inner()
                    .unwrap_or_else(|poisoned| poisoned.into_inner());
                (tile * TILE..).zip(best).flat_map(|(query, mut best)| {
                    searching.settle(query, &mut best);
                    best.candidates.into_iter().map(|candidate| candidate.image)
                })
            });
        images.extend(ordered.collect::<Vec<u32>>());
    }
    Neighbours { count, images }
}

/// An image that may be among the nearest: its similarity is between these two.
#[derive(Clone, Copy)]
struct Candidate {
    low: f32,
    high: f32,
    image: u32,
}

/// The candidates of a query. What is below the floor is none.
struct Best {
    candidates: Vec<Candidate>,
    floor: f32,
}

/// Leaves so many of these images, given with their similarities: the nearest, in order.
pub(super) fn nearest_first(images: &mut Vec<(f64, u32)>, count: usize) {
    images.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    images.truncate(count);
}

struct Searching<'a> {
    left: &'a Side<'a>,
    right: &'a Side<'a>,
    comparison: Comparison,
    itself: Itself<'a>,
    count: usize,
    processor: Processor,
}

impl Searching<'_> {
    fn see(&self, tile: Tile, best: &mut Vec<Best>) {
        let rows = Tile::rows(tile.left, self.left.rows.len());
        let columns = Tile::rows(tile.right, self.right.rows.len());
        best.resize_with(rows.len(), || Best {
            candidates: Vec::new(),
            floor: f32::NEG_INFINITY,
        });
        for ((query, values), best) in rows.zip(tile.values.chunks_exact_mut(TILE)).zip(best) {
            let values = &mut values[..columns.len()];
            self.processor
                .subtract(values, &self.right.offsets[columns.clone()]);
            let radius = (self.left.radius(query, self.right, tile.right) as f32).next_up();
            let itself = self.itself.of(query);
            if (self.processor.largest(values) + radius).next_up() < best.floor {
                continue;
            }
            for (image, &value) in columns.clone().zip(values.iter()) {
                let candidate = Candidate {
                    low: (value - radius).next_down(),
                    high: (value + radius).next_up(),
                    image: image as u32,
                };
                if candidate.high >= best.floor && Some(image) != itself {
                    best.candidates.push(candidate);
                }
            }
            if best.candidates.len() > 2 * self.count + 32 {
                self.drop_hopeless(best);
            }
            if best.candidates.len() > 4 * self.count + 64 - TILE.min(2 * self.count + 32) {
                self.settle(query, best);
            }
        }
    }

    /// Leaves those that may be among the nearest.
    fn drop_hopeless(&self, best: &mut Best) {
        let candidates = &mut best.candidates;
        candidates.select_nth_unstable_by(self.count - 1, |a, b| b.low.total_cmp(&a.low));
        let floor = candidates[self.count - 1].low;
        candidates.retain(|candidate| candidate.high >= floor);
        best.floor = floor;
    }

    /// Leaves the nearest of the candidates, in order.
    fn settle(&self, query: usize, best: &mut Best) {
        let row = self.left.rows.row(query);
        let exact = |image: u32| {
            self.processor
                .similarity(self.comparison, row, self.right.rows.row(image as usize))
        };
        let mut exact: Vec<(f64, u32)> = best
            .candidates
            .iter()
            .map(|candidate| (exact(candidate.image), candidate.image))
            .collect();
        nearest_first(&mut exact, self.count);
        best.candidates = exact
            .into_iter()
            .map(|(similarity, image)| self.certain(query, similarity, image))
            .collect();
        if let (true, Some(last)) = (best.candidates.len() == self.count, best.candidates.last()) {
            best.floor = last.low;
        }
    }

    fn certain(&self, query: usize, similarity: f64, image: u32) -> Candidate {
        let (value, slack) = (self.left.threshold(query, similarity), self.left.slack());
        Candidate {
            low: ((value - slack) as f32).next_down(),
            high: ((value + slack) as f32).next_up(),
            image,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{eval::Labelled, testing::noise};

    fn images(seed: u64, len: i64, comparison: Comparison) -> Labelled {
        // Rounded, so that many are equally similar.
        let rows = Rows::from_tensor(&(noise(seed, len, 3) * 4.0).round()).unwrap();
        Labelled::new(rows, vec![0; len as usize], comparison).unwrap()
    }

    fn by_sorting(search: Search, query: usize, count: usize) -> Vec<u32> {
        let (queries, gallery) = search.sides();
        let similarity = |image: u32| {
            gallery.comparison().similarity(
                queries.rows().row(query),
                gallery.rows().row(image as usize),
            )
        };
        let mut order: Vec<u32> = (0..gallery.rows().len() as u32)
            .filter(|&image| Some(image as usize) != search.itself().of(query))
            .collect();
        order.sort_by(|&a, &b| similarity(b).total_cmp(&similarity(a)));
        order.truncate(count);
        order
    }

    #[test]
    fn neighbours_are_those_of_a_sort_and_equally_similar_ones_in_order() {
        for comparison in [Comparison::Cosine, Comparison::Euclidean, Comparison::Dot] {
            let (some, others) = (images(1, 500, comparison), images(2, 300, comparison));
            let itself: Vec<Option<u32>> = (0..300)
                .map(|query| (query % 3 > 0).then_some(499 - query))
                .collect();
            for search in [
                Search::Within(&some),
                Search::Between {
                    queries: &others,
                    gallery: &some,
                },
                Search::Overlapping {
                    queries: &others,
                    gallery: &some,
                    itself: &itself,
                },
            ] {
                for (count, budget) in [(1, 1 << 28), (7, 0), (120, 1 << 28)] {
                    let found = nearest(
                        search,
                        count,
                        Resources {
                            budget,
                            ..Resources::default()
                        },
                    )
                    .unwrap();
                    for query in 0..search.sides().0.rows().len() {
                        assert_eq!(
                            found.of(query),
                            by_sorting(search, query, count),
                            "{comparison:?} {query}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn libtorch_finds_the_same() {
        for comparison in [Comparison::Cosine, Comparison::Euclidean, Comparison::Dot] {
            let (rounded, others) = (images(1, 500, comparison), images(2, 300, comparison));
            let one_point = Labelled::new(
                Rows::new(vec![0.3; 2000], 4).unwrap(),
                vec![0; 500],
                comparison,
            )
            .unwrap();
            let smooth = Rows::from_tensor(&noise(3, 500, 40)).unwrap();
            let smooth = Labelled::new(smooth, vec![0; 500], comparison).unwrap();
            let itself: Vec<Option<u32>> = (0..300)
                .map(|query| (query % 3 > 0).then_some(499 - query))
                .collect();
            for search in [
                Search::Within(&rounded),
                Search::Within(&one_point),
                Search::Within(&smooth),
                Search::Between {
                    queries: &others,
                    gallery: &rounded,
                },
                Search::Overlapping {
                    queries: &others,
                    gallery: &rounded,
                    itself: &itself,
                },
            ] {
                let ((queries, gallery), itself) = (search.sides(), search.itself());
                for (count, device_budget) in [
                    (1, 1 << 30),
                    (1, 0),
                    (7, 0),
                    (200, 0),
                    (200, 1 << 30),
                    (499, 1 << 22),
                ] {
                    let expected = nearest(search, count, Resources::default()).unwrap();
                    let resources = Resources {
                        budget: device_budget,
                        device_budget,
                        ..Resources::default()
                    };
                    let rows = (queries.rows(), gallery.rows());
                    let images = on_device::nearest(rows, comparison, itself, count, resources);
                    assert_eq!(
                        Neighbours { count, images },
                        expected,
                        "{comparison:?}, {count}, {device_budget}"
                    );
                }
            }
        }
    }

    #[test]
    fn more_neighbours_than_there_are_others_are_not_found() {
        let of = |len| {
            nearest(
                Search::Within(&images(1, len, Comparison::Cosine)),
                10,
                Resources::default(),
            )
            .unwrap()
            .of(0)
            .len()
        };
        assert_eq!((of(3), of(1)), (2, 0));
    }
}
