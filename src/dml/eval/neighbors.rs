//! The nearest images of each query, in order. Exact, with memory for little more than the result.

use schema::Comparison;

use super::{
    device,
    embeddings::Embeddings,
    error::EvalError,
    resources::EvalResources,
    task::{NeighborProblem, RetrievalTask, SelfMatch},
    top_k,
};

/// The nearest images of each query.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbors {
    count: usize,
    images: Vec<u32>,
}

impl Neighbors {
    /// Returns the neighbors of `query`, nearest first; equally similar ones in order of their
    /// index.
    pub fn of(&self, query: usize) -> &[u32] {
        &self.images[query * self.count..][..self.count]
    }
}

/// Finds the `count` nearest images of each query, or as many as every query has if these are
/// fewer. Cameras are not looked at.
///
/// # Errors
/// If queries and gallery differ in width, or it is stopped.
pub fn nearest(
    task: RetrievalTask,
    count: usize,
    resources: EvalResources,
) -> Result<Neighbors, EvalError> {
    task.check_widths()?;
    let problem = NeighborProblem {
        queries: task.queries().rows(),
        references: task.gallery().rows(),
        comparison: task.gallery().comparison(),
        self_match: task.self_match(),
        count,
    };
    solve(problem, resources)
}

/// Finds the nearest reference of each query by Euclidean distance.
///
/// # Errors
/// If it is stopped.
pub(super) fn nearest_by_distance(
    queries: &Embeddings,
    references: &Embeddings,
    resources: EvalResources,
) -> Result<Neighbors, EvalError> {
    let problem = NeighborProblem {
        queries,
        references,
        comparison: Comparison::Euclidean,
        self_match: SelfMatch::Never,
        count: 1,
    };
    solve(problem, resources)
}

fn solve(mut problem: NeighborProblem, resources: EvalResources) -> Result<Neighbors, EvalError> {
    let available = problem.references.len();
    let available = available.saturating_sub(problem.self_match.max_excluded());
    problem.count = problem.count.min(available);
    let images = if problem.count == 0 {
        Vec::new()
    } else if resources.use_libtorch() {
        device::nearest(&problem, resources)?
    } else {
        top_k::nearest(&problem, resources)?
    };
    Ok(Neighbors {
        count: problem.count,
        images,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        eval::{LabeledEmbeddings, embeddings::similarity},
        testing::noise,
    };

    fn images(seed: u64, len: i64, comparison: Comparison) -> LabeledEmbeddings {
        // Rounded, so that many are equally similar.
        let rows = Embeddings::from_tensor(&(noise(seed, len, 3) * 4.0).round()).unwrap();
        LabeledEmbeddings::new(rows, vec![0; len as usize], comparison).unwrap()
    }

    fn by_sorting(task: RetrievalTask, query: usize, count: usize) -> Vec<u32> {
        let gallery = task.gallery().rows();
        let row = task.queries().rows().row(query);
        let comparison = task.gallery().comparison();
        let similarity = |image: u32| similarity(comparison, row, gallery.row(image as usize));
        let mut order: Vec<u32> = (0..gallery.len() as u32)
            .filter(|&image| Some(image as usize) != task.self_match().of(query))
            .collect();
        order.sort_by(|&a, &b| similarity(b).total_cmp(&similarity(a)));
        order.truncate(count);
        order
    }

    #[test]
    fn neighbors_are_those_of_a_sort_and_equally_similar_ones_in_order() {
        for comparison in [Comparison::Cosine, Comparison::Euclidean, Comparison::Dot] {
            let (some, others) = (images(1, 500, comparison), images(2, 300, comparison));
            let itself: Vec<Option<u32>> = (0..300)
                .map(|query| (query % 3 > 0).then_some(499 - query))
                .collect();
            for task in [
                RetrievalTask::Within(&some),
                RetrievalTask::Between {
                    queries: &others,
                    gallery: &some,
                },
                RetrievalTask::Overlapping {
                    queries: &others,
                    gallery: &some,
                    itself: &itself,
                },
            ] {
                for (count, budget) in [(1, 1 << 28), (7, 0), (120, 1 << 28)] {
                    let found = nearest(
                        task,
                        count,
                        EvalResources {
                            budget,
                            ..EvalResources::default()
                        },
                    )
                    .unwrap();
                    for query in 0..task.queries().rows().len() {
                        assert_eq!(
                            found.of(query),
                            by_sorting(task, query, count),
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
            let one_point = LabeledEmbeddings::new(
                Embeddings::new(vec![0.3; 2000], 4).unwrap(),
                vec![0; 500],
                comparison,
            )
            .unwrap();
            let smooth = Embeddings::from_tensor(&noise(3, 500, 40)).unwrap();
            let smooth = LabeledEmbeddings::new(smooth, vec![0; 500], comparison).unwrap();
            let itself: Vec<Option<u32>> = (0..300)
                .map(|query| (query % 3 > 0).then_some(499 - query))
                .collect();
            for task in [
                RetrievalTask::Within(&rounded),
                RetrievalTask::Within(&one_point),
                RetrievalTask::Within(&smooth),
                RetrievalTask::Between {
                    queries: &others,
                    gallery: &rounded,
                },
                RetrievalTask::Overlapping {
                    queries: &others,
                    gallery: &rounded,
                    itself: &itself,
                },
            ] {
                for (count, device_budget) in [
                    (1, 1 << 30),
                    (1, 0),
                    (7, 0),
                    (200, 0),
                    (200, 1 << 30),
                    (499, 1 << 22),
                ] {
                    let expected = nearest(task, count, EvalResources::default()).unwrap();
                    let resources = EvalResources {
                        budget: device_budget,
                        device_budget,
                        ..EvalResources::default()
                    };
                    let problem = NeighborProblem {
                        queries: task.queries().rows(),
                        references: task.gallery().rows(),
                        comparison,
                        self_match: task.self_match(),
                        count,
                    };
                    let images = device::nearest(&problem, resources).unwrap();
                    assert_eq!(
                        Neighbors { count, images },
                        expected,
                        "{comparison:?}, {count}, {device_budget}"
                    );
                }
            }
        }
    }

    #[test]
    fn more_neighbors_than_there_are_others_are_not_found() {
        let of = |len| {
            nearest(
                RetrievalTask::Within(&images(1, len, Comparison::Cosine)),
                10,
                EvalResources::default(),
            )
            .unwrap()
            .of(0)
            .len()
        };
        assert_eq!((of(3), of(1)), (2, 0));
    }
}
